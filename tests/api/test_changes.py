"""Tasks that follow changes, through the API alone."""

import datetime
import json

import pytest

from conftest import SLOWNESS, wait_until
from resources import connect, describe_task, endpoint_of, make_task, mappings_of, refused, start, table_statistics, wait_for_task
from test_full_load import PAIRS, Pair

ALL_PAIRS = [*PAIRS, ("mariadb1011", "mysql97"), ("postgres18", "mysql97")]


@pytest.fixture
def pair(dms, servers, request):
    pair = Pair(dms, servers, *getattr(request, "param", PAIRS[0]))
    yield pair
    for task in dms.describe_replication_tasks()["ReplicationTasks"]:
        if task["SourceEndpointArn"] == pair.source_endpoint["EndpointArn"]:
            remove(dms, task)
    pair.close()


def stop(dms, task):
    dms.stop_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    return wait_for_task(dms, task, "stopped")


def remove(dms, task):
    if describe_task(dms, task)["Status"] in ("running", "starting"):
        stop(dms, task)
    dms.delete_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    dms.get_waiter("replication_task_deleted").wait(
        Filters=[{"Name": "replication-task-arn", "Values": [task["ReplicationTaskArn"]]}],
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )


def arrives(pair, table, rows, columns="id, name"):
    def found():
        try:
            return pair.rows(table, columns)
        except AssertionError as error:
            return f"not there yet: {error}"

    def explain():
        tasks = pair.dms.describe_replication_tasks()["ReplicationTasks"]
        return f"{found()} {[(t['Status'], t.get('LastFailureMessage')) for t in tasks]}"

    wait_until(lambda: found() == rows, 60, f"table {table} has {rows!r}", explain)


def slots(server, task):
    """The slots of a task: other tests have theirs on the same server."""
    if not server.is_postgres:
        return ""
    name = task["ReplicationTaskArn"].rsplit(":", 1)[1].lower()
    return server.sql(f"select slot_name from pg_replication_slots where slot_name like 'whimbrel\\_{name}%'")


@pytest.mark.parametrize("pair", ALL_PAIRS, indirect=True, ids="-to-".join)
def test_changes_arrive_after_the_load_and_after_a_stop(dms, pair):
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    wait_for_task(dms, task, "running")
    schema = pair.schema
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    pair.source.sql(f"update {schema}.a set name = 'uno' where id = 1; insert into {schema}.a values (4, 'four')")
    pair.source.sql(f"delete from {schema}.a where id = 2; update {schema}.a set id = 30 where id = 3")
    arrives(pair, "a", "1\tuno\n4\tfour\n30\tNULL\n")
    assert bool(slots(pair.source, task)) == pair.source.is_postgres

    stopped = stop(dms, task)
    assert stopped["StopReason"] == "Stop Reason NORMAL"
    checkpoint = stopped["RecoveryCheckpoint"]
    assert checkpoint.startswith("checkpoint:V1#")
    figures = stopped["ReplicationTaskStats"]
    assert figures["FullLoadProgressPercent"] == 100 and figures["TablesLoaded"] == 2
    counts = table_statistics(dms, task)["a"]
    assert (counts["Inserts"], counts["Updates"], counts["Deletes"]) == (1, 2, 1)
    assert counts["AppliedInserts"] == 1 and counts["FullLoadRows"] == 3

    pair.source.sql(f"insert into {schema}.b values (5, 'while it rested')")
    start(dms, task, "resume-processing")
    arrives(pair, "b", "1\tone\n2\ttwo\n3\tNULL\n5\twhile it rested\n")
    assert describe_task(dms, task)["Status"] == "running"
    wait_until(
        lambda: table_statistics(dms, task)["b"]["Inserts"] == 1
        and table_statistics(dms, task)["a"]["Updates"] == 2,
        60,
        "counts go on where they were",
    )
    remove(dms, task)
    assert slots(pair.source, task) == "", "the source need not keep its log"


def test_a_killed_service_goes_on_following(own_whimbrel, servers):
    dms = own_whimbrel.client()
    pair = Pair(dms, servers, "postgres15", "postgres18")
    try:
        task = pair.task(MigrationType="full-load-and-cdc")
        start(dms, task)
        arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
        own_whimbrel.kill()
        pair.source.sql(f"update {pair.schema}.a set name = 'while it was dead' where id = 3")
        own_whimbrel.start()
        arrives(pair, "a", "1\tone\n2\ttwo\n3\twhile it was dead\n")
        remove(dms, task)
    finally:
        pair.close()


@pytest.mark.parametrize(
    "setting, reason",
    [
        ("StopTaskCachedChangesNotApplied", "Stop Reason STOPPED_AFTER_FULL_LOAD"),
        ("StopTaskCachedChangesApplied", "Stop Reason STOPPED_AFTER_CACHED_EVENTS"),
    ],
)
def test_a_task_stops_around_the_changes_made_during_its_load(dms, pair, setting, reason):
    settings = json.dumps({"FullLoadSettings": {setting: True}})
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings)
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 60, "the task stops by itself")
    done = describe_task(dms, task)
    assert done["StopReason"] == reason
    assert pair.rows("b") == "1\tone\n2\ttwo\n3\tNULL\n"


def test_changes_alone_are_followed_until_a_time(dms, pair):
    for table in ("a", "b"):
        pair.target.sql(f"create schema if not exists {pair.schema}")
        pair.target.sql(f"create table {pair.schema}.{table} (id int primary key, name varchar(20))")
    task = pair.task(MigrationType="cdc")
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=15 if SLOWNESS == 1 else 30)
    start(dms, task, CdcStopPosition=f"server_time:{until:%Y-%m-%dT%H:%M:%S}")
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 30, "the task follows")
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'nine')")
    arrives(pair, "a", "9\tnine\n")
    wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 60, "the time comes")
    assert describe_task(dms, task)["StopReason"] == "Stop Reason STOPPED_AT_SERVER_TIME"
    with refused("InvalidParameterCombinationException", "CdcStartTime"):
        start(dms, task, CdcStartTime=until)


@pytest.mark.parametrize("pair", [("mariadb1011", "postgres15"), ("mysql97", "postgres18")], indirect=True, ids="-to-".join)
def test_changes_alone_begin_at_a_time_or_behind_a_set_of_transactions(dms, pair):
    for table in ("a", "b"):
        pair.target.sql(f"create schema if not exists {pair.schema}")
        pair.target.sql(f"create table {pair.schema}.{table} (id int primary key, name varchar(20))")
    pair.source.sql(f"insert into {pair.schema}.a values (8, 'before')")
    # Of a long file much would have to be read.
    pair.source.sql("flush binary logs")
    now = lambda: int(pair.source.sql("select unix_timestamp()"))
    second = now() + 1
    wait_until(lambda: now() >= second, 10, "the next second begins")
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'at it')")
    is_mariadb = "MariaDB" in pair.source.sql("select version()")
    executed = "@@global.gtid_binlog_pos" if is_mariadb else "@@global.gtid_executed"
    transactions = pair.source.sql(f"select {executed}").strip().replace("\\n", "")
    pair.source.sql(f"insert into {pair.schema}.a values (10, 'behind')")
    at = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
    for start_at, rows in [
        ({"CdcStartTime": at}, "9\tat it\n10\tbehind\n"),
        ({"CdcStartPosition": f"{at:%Y-%m-%dT%H:%M:%S}"}, "9\tat it\n10\tbehind\n"),
        ({"CdcStartPosition": transactions}, "10\tbehind\n"),
    ]:
        pair.target.sql(f"delete from {pair.schema}.a")
        task = pair.task(MigrationType="cdc")
        start(dms, task, **start_at)
        arrives(pair, "a", rows)
        stop(dms, task)
        remove(dms, task)


@pytest.mark.parametrize(
    "pair", [("postgres15", "postgres18"), ("postgres15", "mariadb1011"), ("mariadb1011", "mysql97")], indirect=True, ids="-to-".join
)
def test_control_tables_tell_how_a_task_is(dms, pair):
    switched_on = {"StatusTableEnabled": True, "HistoryTableEnabled": True, "SuspendedTablesTableEnabled": True}
    settings = {
        "ControlTablesSettings": {**switched_on, "ControlSchema": pair.schema + "_control"},
        "TargetMetadata": {"TaskRecoveryTableEnabled": True},
    }
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=json.dumps(settings))
    start(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    name = task["ReplicationTaskArn"].rsplit(":", 1)[1]
    home = f"{pair.schema}_control"

    def found(columns, table):
        try:
            return pair.target.sql(f"select {columns} from {home}.{table} where task_name = '{name}' order by 1")
        except AssertionError as error:
            return f"not there yet: {error}"

    wait_until(lambda: found("task_status", "awsdms_status") == "CHANGE PROCESSING\n", 60, "the status is told")
    # A row that is in the way, and a change that meets it.
    pair.target.sql(f"drop table {pair.schema}.b")
    pair.source.sql(f"insert into {pair.schema}.b values (4, 'four'); insert into {pair.schema}.a values (4, 'four')")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tfour\n")
    in_error = lambda: found("table_owner, table_name", "awsdms_suspended_tables")
    wait_until(lambda: in_error() == f"{pair.schema}\tb\n", 60, "the table in error is told", in_error)
    stop(dms, task)
    assert found("task_status", "awsdms_status") == "NOT RUNNING\n"
    quote = '"' if pair.target.is_postgres else "`"
    state = f"select {quote}CHECKPOINT{quote} from {home}.awsdms_txn_state where {quote}TASK_NAME{quote} = '{name}'"
    assert pair.target.sql(state).strip() == describe_task(dms, task)["RecoveryCheckpoint"]
    records = found("sum(timeslot_records)", "awsdms_history")
    assert int(records) >= 7, records
    remove(dms, task)
    cascade = " cascade" if pair.target.is_postgres else ""
    pair.target.sql(f"drop schema {home}{cascade}")


def test_changes_alone_go_on_after_a_stop_and_no_table_is_loaded(dms, pair):
    for table in ("a", "b"):
        pair.target.sql(f"create schema if not exists {pair.schema}")
        pair.target.sql(f"create table {pair.schema}.{table} (id int primary key, name varchar(20))")
    pair.target.sql(f"insert into {pair.schema}.a values (1000, 'was there')")
    task = pair.task(MigrationType="cdc")
    start(dms, task)
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 30, "the task follows")
    stop(dms, task)
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'while it rested')")
    start(dms, task, "resume-processing")
    arrives(pair, "a", "9\twhile it rested\n1000\twas there\n")


def test_a_source_whose_log_cannot_tell_is_refused_with_the_remedy(dms, pair):
    pair.source.sql(f"create table {pair.schema}.keyless (a int)")
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] == "failed", 60, "the task fails")
    message = describe_task(dms, task)["LastFailureMessage"]
    assert "keyless" in message and "REPLICA IDENTITY" in message
    assert "FATAL_ERROR" in message


def statistics_of(dms, task, table):
    """The figures of a table. A run tells of its tables every second, so that a quick task has applied changes before."""
    wait_until(lambda: table in table_statistics(dms, task), 30, f"table {table} is listed")
    return table_statistics(dms, task)[table]


def reload_tables(dms, task, schema, *tables):
    dms.reload_tables(
        ReplicationTaskArn=task["ReplicationTaskArn"],
        TablesToReload=[{"SchemaName": schema, "TableName": table} for table in tables],
    )


@pytest.mark.parametrize("pair", [PAIRS[0], ("mysql97", "postgres15")], indirect=True, ids="-to-".join)
def test_one_table_is_loaded_again_while_the_others_are_followed(dms, pair):
    schema = pair.schema
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 30, "the task follows")
    # Somebody spoils the table at the target.
    pair.target.sql(f"delete from {schema}.a where id = 2")
    reload_tables(dms, task, schema, "a")
    pair.source.sql(f"insert into {schema}.b values (7, 'meanwhile'); insert into {schema}.a values (8, 'late')")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n8\tlate\n")
    arrives(pair, "b", "1\tone\n2\ttwo\n3\tNULL\n7\tmeanwhile\n")
    wait_until(lambda: statistics_of(dms, task, "a")["FullLoadReloaded"], 30, "the statistics say so")
    wait_until(lambda: statistics_of(dms, task, "a")["TableState"] == "Table completed", 30, "it is complete again")
    assert not statistics_of(dms, task, "b")["FullLoadReloaded"]
    pair.source.sql(f"update {schema}.a set name = 'zwei' where id = 2")
    arrives(pair, "a", "1\tone\n2\tzwei\n3\tNULL\n8\tlate\n")
    with refused("InvalidParameterValueException", "none of the task's"):
        reload_tables(dms, task, schema, "nothing")
    with refused("InvalidParameterValueException", "1 to 10"):
        reload_tables(dms, task, schema, *(f"t{n}" for n in range(11)))
    stop(dms, task)
    with refused("InvalidResourceStateFault", "only while the replication task is running"):
        reload_tables(dms, task, schema, "a")


@pytest.mark.parametrize("pair", [PAIRS[0], ("mariadb1011", "postgres18")], indirect=True, ids="-to-".join)
def test_definitions_are_followed_as_the_policy_says(dms, pair):
    schema = pair.schema
    policy = {"ChangeProcessingDdlHandlingPolicy": {"HandleSourceTableTruncated": False}}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=json.dumps(policy))
    start(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    pair.source.sql(f"alter table {schema}.a add column note varchar(9); insert into {schema}.a values (4, 'four', 'n')")
    altered = "1\tone\tNULL\n2\ttwo\tNULL\n3\tNULL\tNULL\n4\tfour\tn\n"
    arrives(pair, "a", altered, "id, name, note")
    pair.source.sql(f"truncate table {schema}.b; insert into {schema}.b values (9, 'nine')")
    arrives(pair, "b", "1\tone\n2\ttwo\n3\tNULL\n9\tnine\n")
    pair.source.sql(f"create table {schema}.c (id int primary key, name varchar(20)); insert into {schema}.c values (1, 'new')")
    arrives(pair, "c", "1\tnew\n")
    wait_until(lambda: statistics_of(dms, task, "a")["Ddls"] == 1, 30, "the definition is counted")


@pytest.mark.parametrize("pair", [PAIRS[0], ("postgres15", "mariadb1011")], indirect=True, ids="-to-".join)
def test_changes_that_cannot_be_applied_are_written_down(dms, pair):
    schema = pair.schema
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 30, "the task follows")
    pair.target.sql(f"delete from {schema}.a where id = 1; insert into {schema}.a values (50, 'in the way')")
    pair.source.sql(f"update {schema}.a set name = 'uno' where id = 1")
    pair.source.sql(f"insert into {schema}.a values (50, 'fifty')")
    pair.source.sql(f"insert into {schema}.a values (51, 'the rest')")
    arrives(pair, "a", "2\ttwo\n3\tNULL\n50\tin the way\n51\tthe rest\n")
    home = "public" if pair.target.is_postgres else "awsdms_control"
    name = task["ReplicationTaskArn"].rsplit(":", 1)[1]
    if pair.target.is_postgres:
        query = f"select \"STATEMENT\" from {home}.awsdms_apply_exceptions where \"TASK_NAME\" = '{name}' order by 1"
    else:
        query = f"select STATEMENT from {home}.awsdms_apply_exceptions where TASK_NAME = '{name}' order by 1"
    written = pair.target.sql(query)
    assert f"INSERT INTO {schema}.a (id, name) VALUES ('50', 'fifty')" in written
    assert f"UPDATE {schema}.a SET id = '1', name = 'uno' WHERE id = '1'" in written
    wait_until(lambda: statistics_of(dms, task, "a")["Inserts"] == 2, 30, "both were captured")
    assert statistics_of(dms, task, "a")["AppliedInserts"] == 1
    assert describe_task(dms, task)["Status"] == "running"
