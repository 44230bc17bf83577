"""Tasks that compare their two ends, through the API alone."""

import json
import threading

import pytest

from conftest import wait_until
from resources import describe_task, refused, start, table_statistics
from test_changes import arrives, remove, stop
from test_full_load import PAIRS, Pair

LOADED = "1\tone\n2\ttwo\n3\tNULL\n"


@pytest.fixture
def pair(dms, servers, request):
    pair = Pair(dms, servers, *getattr(request, "param", PAIRS[0]))
    yield pair
    for task in dms.describe_replication_tasks()["ReplicationTasks"]:
        if task["SourceEndpointArn"] == pair.source_endpoint["EndpointArn"]:
            remove(dms, task)
    pair.close()


def validating(**more):
    """Settings of a task that validates, and takes a difference that stands still for a failure at once."""
    settings = {"EnableValidation": True, "RecordFailureDelayInMinutes": 0, **more}
    return json.dumps({"ValidationSettings": settings})


def state(dms, task, table):
    return table_statistics(dms, task).get(table, {}).get("ValidationState")


def comes_to(dms, task, table, wanted):
    def explain():
        return json.dumps(table_statistics(dms, task).get(table), default=str)

    wait_until(lambda: state(dms, task, table) == wanted, 90, f"{table} is {wanted}", explain)
    return table_statistics(dms, task)[table]


def revalidate(dms, task, schema, *tables):
    dms.reload_tables(
        ReplicationTaskArn=task["ReplicationTaskArn"],
        TablesToReload=[{"SchemaName": schema, "TableName": table} for table in tables],
        ReloadOption="validate-only",
    )


def failures(pair, task, table):
    """Key, kind and details of what was written down of a table."""
    home = "public" if pair.target.is_postgres else "awsdms_control"
    quote = '"' if pair.target.is_postgres else "`"
    columns = ", ".join(f"{quote}{name}{quote}" for name in ("KEY_TYPE", "KEY", "FAILURE_TYPE", "DETAILS"))
    name = task["ReplicationTaskArn"].rsplit(":", 1)[1]
    condition = f"{quote}TASK_NAME{quote} = '{name}' and {quote}TABLE_OWNER{quote} = '{pair.schema}' and {quote}TABLE_NAME{quote} = '{table}'"
    found = pair.target.sql(f"select {columns} from {home}.awsdms_validation_failures_v1 where {condition} order by 2")
    return [line.split("\t") for line in found.splitlines()]


def fails_with(pair, task, table, expected):
    """A table's state may be told before its failures are written down."""
    found = lambda: failures(pair, task, table)
    wait_until(lambda: found() == expected, 30, f"the failures of {table} are {expected}", lambda: str(found()))


def wait_for_failures(pair, task, table):
    wait_until(lambda: failures(pair, task, table) != [], 30, "it is written down")
    return failures(pair, task, table)


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_a_full_load_ends_when_its_tables_are_compared(dms, pair):
    schema = pair.schema
    create = f"create schema {schema}; create table {schema}.b (id int primary key, name varchar(20))"
    pair.target.sql(f"{create}; insert into {schema}.b values (9, 'was there')")
    pair.source.sql(f"create table {schema}.keyless (id int)")
    settings = json.loads(validating())
    settings["FullLoadSettings"] = {"TargetTablePrepMode": "DO_NOTHING"}
    task = pair.task(ReplicationTaskSettings=json.dumps(settings))
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the task is over")
    assert describe_task(dms, task)["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    tables = table_statistics(dms, task)
    assert tables["a"]["ValidationState"] == "Validated"
    assert tables["a"]["ValidationFailedRecords"] == tables["a"]["ValidationPendingRecords"] == 0
    assert tables["keyless"]["ValidationState"] == "No primary key"
    assert tables["b"]["ValidationState"] == "Mismatched records"
    assert tables["b"]["ValidationFailedRecords"] == 1
    fails_with(pair, task, "b", [["Row", '{"key": ["9"]}', "MISSING_SOURCE", ""]])
    assert failures(pair, task, "a") == []


@pytest.mark.parametrize("pair", [*PAIRS, ("mariadb1011", "mysql97")], indirect=True, ids="-to-".join)
def test_a_row_that_somebody_changed_at_the_target_is_found(dms, pair):
    schema = pair.schema
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=validating())
    start(dms, task)
    comes_to(dms, task, "a", "Validated")
    comes_to(dms, task, "b", "Validated")
    pair.target.sql(f"update {schema}.a set name = 'zwei' where id = 2; delete from {schema}.a where id = 3")
    revalidate(dms, task, schema, "a")
    found = comes_to(dms, task, "a", "Mismatched records")
    wait_until(lambda: table_statistics(dms, task)["a"]["ValidationPendingRecords"] == 0, 60, "all is looked at")
    assert table_statistics(dms, task)["a"]["ValidationFailedRecords"] == 2, found
    different = ["Row", '{"key": ["2"]}', "RECORD_DIFF", "[[{'name': 'two'}, {'name': 'zwei'}],]"]
    fails_with(pair, task, "a", [different, ["Row", '{"key": ["3"]}', "MISSING_TARGET", ""]])
    assert state(dms, task, "b") == "Validated"
    assert table_statistics(dms, task)["a"]["FullLoadReloaded"] is False

    pair.target.sql(f"update {schema}.a set name = 'two' where id = 2; insert into {schema}.a values (3, null)")
    revalidate(dms, task, schema, "a")
    comes_to(dms, task, "a", "Validated")
    fails_with(pair, task, "a", [])
    assert table_statistics(dms, task)["a"]["ValidationFailedRecords"] == 0
    assert describe_task(dms, task)["Status"] == "running"

    # Loaded again, and compared again by that.
    pair.target.sql(f"delete from {schema}.a where id = 1")
    dms.reload_tables(
        ReplicationTaskArn=task["ReplicationTaskArn"], TablesToReload=[{"SchemaName": schema, "TableName": "a"}]
    )
    wait_until(lambda: table_statistics(dms, task)["a"]["FullLoadReloaded"], 60, "it is loaded again")
    comes_to(dms, task, "a", "Validated")
    assert pair.rows("a") == LOADED


@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[1], PAIRS[2], ("postgres15", "mysql97")], indirect=True, ids="-to-".join)
def test_rows_are_found_by_keys_of_every_kind(dms, pair):
    schema = pair.schema
    blob, moment = ("bytea", "timestamptz") if pair.source.is_postgres else ("varbinary(20)", "timestamp(6)")
    bytes_ = r"'\x00ff27'" if pair.source.is_postgres else "X'00ff27'"
    uuid = "uuid" if pair.source.is_postgres else "char(36)"
    tables = {
        "k_text": ("varchar(40)", "'it''s \u00e9\u4e2d\U0001f426 \"x\"'"),
        "k_decimal": ("decimal(20, 4)", "-12345678901234.5000"),
        "k_date": ("date", "'2024-02-29'"),
        "k_moment": (moment, "'2024-02-29 12:34:56.123456'"),
        "k_bytes": (blob, bytes_),
        "k_uuid": (uuid, "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"),
        "k_big": ("bigint", "-9223372036854775807"),
    }
    for name, (kind, value) in tables.items():
        pair.source.sql(f"create table {schema}.{name} (k {kind} not null, n int not null, v int, primary key (n, k))")
        pair.source.sql(f"insert into {schema}.{name} values ({value}, 7, 1)")
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=validating())
    start(dms, task)
    for name in tables:
        comes_to(dms, task, name, "Validated")
        pair.target.sql(f"update {schema}.{name} set v = 2")
    revalidate(dms, task, schema, *tables)
    for name in tables:
        comes_to(dms, task, name, "Mismatched records")
        wait_until(lambda: failures(pair, task, name) != [], 30, "it is written down")
        [failure] = failures(pair, task, name)
        assert failure[2:] == ["RECORD_DIFF", "[[{'v': '1'}, {'v': '2'}],]"], failure


@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[2]], indirect=True, ids="-to-".join)
def test_a_busy_source_is_validated_without_false_failures(dms, pair):
    schema = pair.schema
    pair.source.sql(f"insert into {schema}.b values " + ", ".join(f"({n}, 'row {n}')" for n in range(10, 2000)))
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=validating())
    is_over = threading.Event()

    def write():
        number = 0
        while not is_over.is_set():
            number += 1
            statements = [
                f"update {schema}.b set name = 'change {number}' where id % 50 = {number % 50}",
                f"insert into {schema}.a values ({1000 + number}, 'new {number}')",
                f"delete from {schema}.a where id = {990 + number}",
            ]
            pair.source.sql("; ".join(statements))

    writer = threading.Thread(target=write)
    start(dms, task)
    writer.start()
    seen = []

    def is_compared():
        tables = table_statistics(dms, task)
        seen.extend(t["ValidationFailedRecords"] for t in tables.values())
        return all(tables.get(name, {}).get("AppliedUpdates", 0) + tables.get(name, {}).get("AppliedInserts", 0) > 20 for name in "ab")

    try:
        wait_until(is_compared, 90, "changes are applied while tables are compared")
    finally:
        is_over.set()
        writer.join()
    comes_to(dms, task, "a", "Validated")
    comes_to(dms, task, "b", "Validated")
    assert set(seen) == {0}
    assert failures(pair, task, "a") == failures(pair, task, "b") == []


@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[2]], indirect=True, ids="-to-".join)
def test_a_row_that_changes_later_is_looked_at(dms, pair):
    schema = pair.schema
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=validating())
    start(dms, task)
    comes_to(dms, task, "a", "Validated")
    pair.target.sql(f"delete from {schema}.a where id = 2")
    pair.source.sql(f"update {schema}.a set name = 'deux' where id = 2")
    comes_to(dms, task, "a", "Mismatched records")
    fails_with(pair, task, "a", [["Row", '{"key": ["2"]}', "MISSING_TARGET", ""]])
    pair.source.sql(f"delete from {schema}.a where id = 2")
    comes_to(dms, task, "a", "Validated")


def test_validation_goes_on_after_a_kill_and_a_stop(own_whimbrel, servers):
    dms = own_whimbrel.client()
    pair = Pair(dms, servers, "postgres15", "postgres18")
    schema = pair.schema
    try:
        task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=validating())
        start(dms, task)
        comes_to(dms, task, "a", "Validated")
        own_whimbrel.kill()
        pair.target.sql(f"update {schema}.a set name = 'while it was dead' where id = 1")
        own_whimbrel.start()
        comes_to(dms, task, "a", "Mismatched records")
        stop(dms, task)
        assert state(dms, task, "a") == "Mismatched records"
        pair.target.sql(f"update {schema}.a set name = 'one' where id = 1")
        start(dms, task, "resume-processing")
        comes_to(dms, task, "a", "Validated")
        with refused("InvalidParameterValueException", "none of the task's"):
            revalidate(dms, task, schema, "nothing")
        # What was asked for and not done is done by the next run.
        revalidate(dms, task, schema, "a", "b")
        own_whimbrel.kill()
        own_whimbrel.start()
        comes_to(dms, task, "a", "Validated")
        comes_to(dms, task, "b", "Validated")
        remove(dms, task)
    finally:
        pair.close()


def test_a_killed_full_load_ends_with_its_validation(own_whimbrel, servers):
    dms = own_whimbrel.client()
    pair = Pair(dms, servers, "postgres15", "mariadb1011")
    try:
        pair.source.sql(f"create table {pair.schema}.many (id int primary key, name varchar(20))")
        pair.source.sql(f"insert into {pair.schema}.many select n, 'row ' || n from generate_series(1, 300000) n")
        task = pair.task(ReplicationTaskSettings=validating(ThreadCount=1))
        start(dms, task)
        is_loaded = lambda: table_statistics(dms, task).get("many", {}).get("TableState") == "Table completed"
        wait_until(is_loaded, 60, "it is loaded, and about to be compared")
        own_whimbrel.kill()
        own_whimbrel.start()
        wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 60, "the task is over")
        for table in ("a", "b", "many"):
            assert state(dms, task, table) == "Validated"
        assert describe_task(dms, task)["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    finally:
        pair.close()


def test_a_task_that_does_not_validate_refuses_to(dms, pair):
    task = pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    arrives(pair, "a", LOADED)
    wait_until(lambda: "a" in table_statistics(dms, task), 30, "the table is listed")
    assert state(dms, task, "a") == "Not enabled"
    with refused("InvalidResourceStateFault", "EnableValidation"):
        revalidate(dms, task, pair.schema, "a")
    with refused("InvalidParameterValueException", "data-reload, validate-only"):
        dms.reload_tables(
            ReplicationTaskArn=task["ReplicationTaskArn"],
            TablesToReload=[{"SchemaName": pair.schema, "TableName": "a"}],
            ReloadOption="something",
        )


def test_changes_alone_are_validated(dms, pair):
    schema = pair.schema
    create = f"create schema {schema}"
    for table in ("a", "b"):
        create += f"; create table {schema}.{table} (id int primary key, name varchar(20))"
        create += f"; insert into {schema}.{table} values (1, 'one'), (2, 'two'), (3, null)"
    pair.target.sql(create)
    pair.target.sql(f"update {schema}.b set name = 'other' where id = 1")
    task = pair.task(MigrationType="cdc", ReplicationTaskSettings=validating())
    start(dms, task)
    comes_to(dms, task, "a", "Validated")
    comes_to(dms, task, "b", "Mismatched records")
    [failure] = wait_for_failures(pair, task, "b")
    assert failure[1:3] == ['{"key": ["1"]}', "RECORD_DIFF"]


@pytest.mark.parametrize("pair", [("postgres15", "postgres18"), ("mysql97", "postgres15")], indirect=True, ids="-to-".join)
def test_characters_become_others_and_are_expected_so(dms, pair):
    schema = pair.schema
    pair.source.sql(f"insert into {schema}.a values (4, 'Łódź™'), (5, 'bulb')")
    characters = {
        "CharacterReplacements": [{"SourceCharacterCodePoint": 62, "TargetCharacterCodePoint": "0070"}, {"SourceCharacterCodePoint": "017A", "TargetCharacterCodePoint": "7A"}],
        "CharacterSetSupport": {"CharacterSet": "ISO-8859-1", "ReplaceWithCharacterCodePoint": "003F"},
    }
    settings = json.dumps({**json.loads(validating()), "CharacterSetSettings": characters})
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings)
    assert json.loads(describe_task(dms, task)["ReplicationTaskSettings"])["CharacterSetSettings"] == characters
    start(dms, task)
    rows = LOADED + "4\t?ódz?\n5\tpulp\n"
    arrives(pair, "a", rows)
    pair.source.sql(f"insert into {schema}.a values (6, 'ž'); update {schema}.a set name = 'ob' where id = 1")
    arrives(pair, "a", rows.replace("one", "op") + "6\t?\n")
    comes_to(dms, task, "a", "Validated")
    pair.target.sql(f"update {schema}.a set name = 'bulb' where id = 5")
    revalidate(dms, task, schema, "a")
    comes_to(dms, task, "a", "Mismatched records")
    bad = {"CharacterSetSettings": {"CharacterSetSupport": {"CharacterSet": "EBCDIC", "ReplaceWithCharacterCodePoint": 0}}}
    with refused("InvalidParameterValueException", "CharacterSetSettings.CharacterSetSupport.CharacterSet must be one of us-ascii"):
        pair.task(ReplicationTaskSettings=json.dumps(bad))
