"""Where following begins and ends, and what survives on the way, through the API alone."""

import datetime

import pytest

from conftest import SLOWNESS, wait_until
from resources import (
    connect,
    describe_task,
    endpoint_of,
    make_instance,
    make_task,
    mappings_of,
    refused,
    start,
    table_statistics,
    unique,
    wait_for_task,
)
from test_changes import arrives, pair, remove, stop  # noqa: F401
from test_full_load import Pair

SOURCES = [("postgres15", "postgres18"), ("mysql97", "postgres18"), ("mariadb1011", "postgres15")]
WITH_FILES = SOURCES[1:]


def of_sources(sources=SOURCES):
    return pytest.mark.parametrize("pair", sources, indirect=True, ids="-to-".join)


def make_targets(pair):
    pair.target.sql(f"create schema if not exists {pair.schema}")
    for table in ("a", "b"):
        pair.target.sql(f"create table {pair.schema}.{table} (id int primary key, name varchar(20))")


def follows(dms, task):
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "the task follows", lambda: str(describe_task(dms, task)))


def is_over(dms, task):
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the task ends")
    return describe_task(dms, task)


def clock(seconds=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return f"{at:%Y-%m-%dT%H:%M:%S}"


def log_end(server):
    """File and offset of the log's end."""
    is_mariadb = "MariaDB" in server.sql("select version()")
    status = server.sql("show master status" if is_mariadb else "show binary log status")
    file, offset = status.split("\t")[:2]
    return f"{file}:{offset}"


@pytest.fixture
def slot(servers):
    """The name of a slot that a user makes, and who makes it."""
    server, name = servers["postgres15"], unique("given").replace("-", "_")
    yield name
    server.sql(f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{name}'")


@of_sources(WITH_FILES)
def test_changes_begin_at_a_file_and_an_offset(dms, pair):  # noqa: F811
    make_targets(pair)
    pair.source.sql(f"insert into {pair.schema}.a values (8, 'before')")
    position = log_end(pair.source)
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'behind')")
    task = pair.task(MigrationType="cdc")
    start(dms, task, CdcStartPosition=position)
    arrives(pair, "a", "9\tbehind\n")


@of_sources(WITH_FILES)
def test_changes_begin_at_a_checkpoint_of_the_service(dms, pair):  # noqa: F811
    make_targets(pair)
    pair.source.sql(f"insert into {pair.schema}.a values (8, 'before')")
    begin = log_end(pair.source)
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'at hand')")
    at = log_end(pair.source)
    end = int(at.rsplit(":", 1)[1])
    pair.source.sql(f"insert into {pair.schema}.a values (10, 'behind')")
    task = pair.task(MigrationType="cdc")
    start(dms, task, CdcStartPosition=f"checkpoint:V1#27#{at}:-1:{end}:677883278264080:{begin}#0#0#*#0#93")
    arrives(pair, "a", "9\tat hand\n10\tbehind\n")


@of_sources(WITH_FILES)
def test_changes_of_a_table_that_was_altered_behind_the_start_are_refused(dms, pair):  # noqa: F811
    make_targets(pair)
    position = log_end(pair.source)
    pair.source.sql(
        f"insert into {pair.schema}.a values (8, 'before'); alter table {pair.schema}.a modify column id int after name; "
        f"insert into {pair.schema}.a values ('behind', 9)"
    )
    behind = log_end(pair.source)
    pair.source.sql(f"insert into {pair.schema}.a values ('at the end', 10)")
    task = pair.task(MigrationType="cdc")
    start(dms, task, CdcStartPosition=position)
    done = is_over(dms, task)
    assert done["Status"] == "failed", done
    assert f"{pair.schema}.a" in done["LastFailureMessage"] and "begin at " in done["LastFailureMessage"], done
    assert pair.rows("a") == ""
    remove(dms, task)
    task = pair.task(MigrationType="cdc")
    start(dms, task, CdcStartPosition=behind)
    arrives(pair, "a", "10\tat the end\n")


@of_sources(WITH_FILES)
def test_a_task_goes_on_from_the_checkpoint_of_another(dms, pair):  # noqa: F811
    first = pair.task(MigrationType="full-load-and-cdc")
    start(dms, first)
    follows(dms, first)
    pair.source.sql(f"insert into {pair.schema}.a values (4, 'of the first')")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tof the first\n")
    checkpoint = stop(dms, first)["RecoveryCheckpoint"]
    pair.source.sql(f"insert into {pair.schema}.a values (5, 'between')")
    remove(dms, first)
    second = pair.task(MigrationType="cdc")
    start(dms, second, CdcStartPosition=checkpoint)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tof the first\n5\tbetween\n")


@of_sources(SOURCES[:1])
def test_views_that_made_way_for_a_definition_come_back_at_the_end(dms, pair):  # noqa: F811
    schema = pair.schema
    make_targets(pair)
    pair.target.sql(
        f"create view {schema}.ids as select id from {schema}.a; create view {schema}.names as select name from {schema}.a; "
        f"create materialized view {schema}.kept as select id from {schema}.a"
    )
    views = f"select string_agg(relname::text, ' ' order by relname) from pg_class where relnamespace = '{schema}'::regnamespace and relkind in ('v', 'm')"
    task = pair.task(MigrationType="cdc")
    start(dms, task)
    follows(dms, task)
    pair.source.sql(f"alter table {schema}.a drop column name; insert into {schema}.a values (9)")
    ids = f"select id from {schema}.ids order by 1"
    wait_until(lambda: pair.target.sql(ids) == "9\n", 60, "the row is there")
    assert pair.target.sql(views) == "ids\n"
    stop(dms, task)
    start(dms, task, start_type="resume-processing", CdcStopPosition=f"server_time:{clock(1)}")
    pair.source.sql(f"insert into {schema}.a values (10)")
    done = is_over(dms, task)
    assert done["Status"] == "stopped", done
    # The other has no column to show.
    assert pair.target.sql(views) == "ids kept\n"
    assert "9" in pair.target.sql(f"select id from {schema}.kept")


def with_slot(dms, pair, name):
    settings = {"SlotName": name}
    endpoint = endpoint_of(dms, "source", pair.source, PostgreSQLSettings=settings)
    connect(dms, pair.instance, endpoint)
    return endpoint


# Nothing may change in the database between the slot and the task's publication.
@pytest.mark.alone
@of_sources(SOURCES[:1])
def test_changes_begin_at_an_lsn_of_a_slot_that_was_given(dms, pair, slot):  # noqa: F811
    make_targets(pair)
    made = f"select lsn from pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    lsn = pair.source.sql(made).strip()
    source = with_slot(dms, pair, slot)
    tasks = []

    def task():
        tasks.append(make_task(dms, pair.instance, source, pair.target_endpoint, MigrationType="cdc", TableMappings=mappings_of(pair.schema)))
        return tasks[-1]

    try:
        first = task()
        start(dms, first, CdcStartPosition=lsn)
        follows(dms, first)
        pair.source.sql(f"insert into {pair.schema}.a values (9, 'behind')")
        arrives(pair, "a", "9\tbehind\n")
        checkpoint = stop(dms, first)["RecoveryCheckpoint"]
        remove(dms, first)
        assert slot in pair.source.sql("select slot_name from pg_replication_slots"), "a slot of the user's stays"
        # The next task has a publication of its own, which knows nothing of what came before it.
        second = task()
        # As the service itself writes it.
        high, low = checkpoint.removeprefix("checkpoint:V1#").split("@")[0].split("/")
        start(dms, second, CdcStartPosition=f"checkpoint:V1#1#{high:0>8}/{low:0>8}#0#0#*#0#0")
        follows(dms, second)
        pair.source.sql(f"insert into {pair.schema}.a values (10, 'of the second')")
        arrives(pair, "a", "9\tbehind\n10\tof the second\n")
    finally:
        for made in tasks:
            if any(t["ReplicationTaskArn"] == made["ReplicationTaskArn"] for t in dms.describe_replication_tasks()["ReplicationTasks"]):
                remove(dms, made)


@of_sources(SOURCES[:1])
def test_a_slot_with_changes_from_before_the_publication_is_refused_with_the_remedy(dms, pair, slot):  # noqa: F811
    make_targets(pair)
    made = f"select lsn from pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    lsn = pair.source.sql(made).strip()
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'before the task')")
    source = with_slot(dms, pair, slot)
    task = make_task(dms, pair.instance, source, pair.target_endpoint, MigrationType="cdc", TableMappings=mappings_of(pair.schema))
    start(dms, task, CdcStartPosition=lsn)
    assert is_over(dms, task)["Status"] == "failed"
    message = describe_task(dms, task)["LastFailureMessage"]
    assert "from before the task's publication" in message and "pg_replication_slot_advance" in message
    remove(dms, task)


@of_sources(SOURCES[:1])
def test_an_lsn_that_no_slot_keeps_is_refused_with_the_remedy(dms, pair):  # noqa: F811
    make_targets(pair)
    lsn = pair.source.sql("select pg_current_wal_lsn()").strip()
    pair.source.sql(f"insert into {pair.schema}.a values (9, 'behind')")
    task = pair.task(MigrationType="cdc")
    start(dms, task, CdcStartPosition=lsn)
    assert is_over(dms, task)["Status"] == "failed"
    message = describe_task(dms, task)["LastFailureMessage"]
    assert lsn in message and "SlotName" in message
    with refused("InvalidParameterCombinationException", "CdcStartTime"):
        start(dms, task, CdcStartTime=datetime.datetime.now(datetime.timezone.utc))


@of_sources()
def test_a_task_ends_at_a_time_of_this_machine(dms, pair):  # noqa: F811
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task, CdcStopPosition=f"server_time:{clock(12 if SLOWNESS == 1 else 24)}")
    follows(dms, task)
    pair.source.sql(f"insert into {pair.schema}.a values (4, 'in time')")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tin time\n")
    assert is_over(dms, task)["StopReason"] == "Stop Reason STOPPED_AT_SERVER_TIME"


@of_sources()
def test_a_task_ends_before_the_first_commit_behind_a_time(dms, pair):  # noqa: F811
    task = pair.task(MigrationType="full-load-and-cdc")
    limit = clock(15 if SLOWNESS == 1 else 30)
    start(dms, task, CdcStopPosition=f"commit_time:{limit}")
    follows(dms, task)
    pair.source.sql(f"insert into {pair.schema}.a values (4, 'in time')")
    assert clock() < limit, "this machine is too slow"
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tin time\n")
    wait_until(lambda: clock() > limit, 60, "the time is over")
    if pair.source.is_postgres:
        # Which tells no time of what others commit.
        assert describe_task(dms, task)["Status"] == "running", "nothing was committed since"
        pair.source.sql(f"insert into {pair.schema}.a values (5, 'too late')")
    else:
        others = unique("others").replace("-", "_")
        pair.source.sql(f"create database {others}; create table {others}.t (id int primary key); insert into {others}.t values (1); drop database {others}")
    assert is_over(dms, task)["StopReason"] == "Stop Reason STOPPED_AT_COMMIT_TIME"
    assert pair.rows("a") == "1\tone\n2\ttwo\n3\tNULL\n4\tin time\n"


@of_sources()
def test_a_task_that_was_moved_goes_on_where_it_was(dms, pair):  # noqa: F811
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    follows(dms, task)
    pair.source.sql(f"insert into {pair.schema}.a values (4, 'before')")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tbefore\n")
    stop(dms, task)
    pair.source.sql(f"update {pair.schema}.a set name = 'while it moved' where id = 4")
    # Somebody spoils a row, which would come back if the table was loaded again.
    pair.target.sql(f"delete from {pair.schema}.a where id = 1")
    there = make_instance(dms)
    dms.move_replication_task(
        ReplicationTaskArn=task["ReplicationTaskArn"],
        TargetReplicationInstanceArn=there["ReplicationInstanceArn"],
    )
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed-move"), 60, "it is moved")
    moved = describe_task(dms, task)
    assert (moved["Status"], moved["ReplicationInstanceArn"]) == ("stopped", there["ReplicationInstanceArn"])
    for endpoint in (pair.source_endpoint, pair.target_endpoint):
        connect(dms, there, endpoint)
    start(dms, task, "resume-processing")
    arrives(pair, "a", "2\ttwo\n3\tNULL\n4\twhile it moved\n")


@of_sources(SOURCES[:1])
def test_heartbeats_let_a_quiet_source_forget_its_log(dms, pair, slot):  # noqa: F811
    settings = {"HeartbeatEnable": True, "HeartbeatFrequency": 1}
    source = endpoint_of(dms, "source", pair.source, PostgreSQLSettings=settings)
    connect(dms, pair.instance, source)
    other = unique("elsewhere").replace("-", "_")
    pair.source.sql(f"create database {other}")
    # Reads along what is written into the log.
    pair.source.sql(f"select pg_create_logical_replication_slot('{slot}', 'test_decoding')")
    task = make_task(dms, pair.instance, source, pair.target_endpoint, MigrationType="full-load-and-cdc", TableMappings=mappings_of(pair.schema))
    try:
        start(dms, task)
        follows(dms, task)
        pair.source.sql("create table t as select generate_series(1, 100000) i", other)
        end = pair.source.sql("select pg_current_wal_lsn()").strip()
        beats = f"select count(*) from pg_logical_slot_peek_changes('{slot}', null, null) where data like '%whimbrel_heartbeat%'"
        wait_until(lambda: int(pair.source.sql(beats)) > 0, 90, "the heart beats")
        moved = f"select count(*) from pg_replication_slots where slot_name like 'whimbrel%' and database = 'postgres' and confirmed_flush_lsn > '{end}'"
        wait_until(lambda: int(pair.source.sql(moved)) > 0, 60, "the source forgets its log")
    finally:
        remove(dms, task)
        pair.source.sql(f"drop database {other}")


@pytest.mark.parametrize("ends", SOURCES, ids="-to-".join)
def test_counts_go_on_after_a_kill(own_whimbrel, servers, ends):
    dms = own_whimbrel.client()
    pair = Pair(dms, servers, *ends)  # noqa: F811
    table = f"{pair.schema}.a"

    def counts():
        figures = table_statistics(dms, task).get("a", {})
        return [figures.get(name) for name in ("FullLoadRows", "Inserts", "Updates", "Deletes")]

    def insert(numbers):
        for number in numbers:
            pair.source.sql(f"insert into {table} values ({number}, 'new')")

    try:
        task = pair.task(MigrationType="full-load-and-cdc")
        start(dms, task)
        follows(dms, task)
        insert(range(10, 25))
        # What the service has told is not lost; what it applied within its last second it may not have told.
        wait_until(lambda: counts() == [3, 15, 0, 0], 30, "the counts are told", lambda: str(counts()))
        own_whimbrel.kill()
        insert(range(25, 40))
        pair.source.sql(f"update {table} set name = 'changed' where id >= 30; delete from {table} where id = 1")
        own_whimbrel.start()
        rows = ["2\ttwo\n", "3\tNULL\n"] + [f"{n}\t{'new' if n < 30 else 'changed'}\n" for n in range(10, 40)]
        arrives(pair, "a", "".join(rows))
        wait_until(lambda: counts() == [3, 30, 10, 1], 30, "the counts are true", lambda: str(counts()))
        remove(dms, task)
    finally:
        pair.close()
