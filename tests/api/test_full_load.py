"""Full loads between real databases, through the API alone."""

import json
import re

import pytest

from conftest import wait_until
from resources import (
    Gate,
    an_instance,
    connect,
    describe_task,
    endpoint_of,
    events_of,
    make_task,
    mappings_of,
    refused,
    start,
    table_statistics,
    unique,
    wait_for_task,
)

PAIRS = [
    ("postgres15", "postgres18"),
    ("postgres15", "mariadb1011"),
    ("mariadb1011", "postgres15"),
    ("mysql97", "postgres18"),
]
ROWS = "1\tone\n2\ttwo\n3\tNULL\n"


class Pair:
    """A schema with two small tables at a source, an empty place at a target, and both connected."""

    def __init__(self, dms, servers, source, target):
        self.dms = dms
        self.source, self.target = servers[source], servers[target]
        self.schema = unique("birds").replace("-", "_")
        self.source.sql(f"create schema {self.schema}")
        for table in ("a", "b"):
            self.source.sql(f"create table {self.schema}.{table} (id int primary key, name varchar(20))")
            self.source.sql(f"insert into {self.schema}.{table} values (1, 'one'), (2, 'two'), (3, null)")
        self.instance = an_instance(dms)
        self.source_endpoint = endpoint_of(dms, "source", self.source)
        self.target_endpoint = endpoint_of(dms, "target", self.target)
        connect(dms, self.instance, self.source_endpoint)
        connect(dms, self.instance, self.target_endpoint)

    def task(self, **more):
        more.setdefault("TableMappings", mappings_of(self.schema))
        return make_task(self.dms, self.instance, self.source_endpoint, self.target_endpoint, **more)

    def rows(self, table, columns="id, name"):
        return self.target.sql(f"select {columns} from {self.schema}.{table} order by id")

    def close(self):
        for server in (self.source, self.target):
            cascade = " cascade" if server.is_postgres else ""
            server.sql(f"drop schema if exists {self.schema}{cascade}")


@pytest.fixture
def pair(dms, servers, request):
    pair = Pair(dms, servers, *getattr(request, "param", PAIRS[0]))
    yield pair
    pair.close()


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_a_full_load_runs_to_its_end(dms, pair):
    task = pair.task()
    assert start(dms, task)["Status"] == "starting"
    # The SDK's waiter for `stopped` gives up when it sees `starting`, so the first wait is for what follows it.
    wait_until(lambda: describe_task(dms, task)["Status"] != "starting", 60, "the task is under way")
    done = wait_for_task(dms, task, "stopped")
    assert done["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    figures = done["ReplicationTaskStats"]
    assert figures["FullLoadProgressPercent"] == 100
    assert (figures["TablesLoaded"], figures["TablesLoading"], figures["TablesErrored"]) == (2, 0, 0)
    assert figures["FullLoadStartDate"] <= figures["FullLoadFinishDate"]
    assert figures["StartDate"] == figures["FreshStartDate"]
    tables = table_statistics(dms, task)
    assert {name: (t["TableState"], t["FullLoadRows"]) for name, t in tables.items()} == {
        "a": ("Table completed", 3),
        "b": ("Table completed", 3),
    }
    assert pair.rows("a") == ROWS
    assert pair.rows("b") == ROWS


OF_SCHEMA = {
    "postgres": "select string_agg(conname, ' ' order by conname) from pg_constraint"
    " where contype = 'f' and connamespace = '{schema}'::regnamespace",
    "mysql": "select group_concat(constraint_name order by 1) from information_schema.referential_constraints"
    " where constraint_schema = '{schema}'",
}


def keys_of(pair):
    engine = "postgres" if pair.target.is_postgres else "mysql"
    return pair.target.sql(OF_SCHEMA[engine].format(schema=pair.schema)).strip()


@pytest.mark.parametrize(
    ("pair", "objects"),
    [(pair, None) for pair in PAIRS] + [(PAIRS[0], objects) for objects in ("all", "none", "indexes")] + [(PAIRS[-1], "none")],
    indirect=["pair"],
)
def test_objects_are_made_by_default_and_left_out_when_told(dms, pair, objects):
    pair.source.sql(f"alter table {pair.schema}.b add constraint b_to_a foreign key (id) references {pair.schema}.a (id)")
    more = {}
    if objects is not None:
        more["ReplicationTaskSettings"] = json.dumps({"WhimbrelSettings": {"Objects": objects}})
    task = pair.task(**more)
    assert run(dms, task)["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    assert pair.rows("b") == ROWS
    is_made = objects in (None, "all")
    assert ("b_to_a" in keys_of(pair)) == is_made
    settings = json.loads(describe_task(dms, task)["ReplicationTaskSettings"])
    assert settings.get("WhimbrelSettings") == (objects and {"Objects": objects})


def test_a_table_with_keys_is_truncated_and_filled_by_a_second_task(dms, pair):
    pair.source.sql(f"alter table {pair.schema}.a add constraint a_to_b foreign key (id) references {pair.schema}.b (id)")
    first = run(dms, pair.task())
    assert first["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    settings = json.dumps({"FullLoadSettings": {"TargetTablePrepMode": "TRUNCATE_BEFORE_LOAD"}})
    second = run(dms, pair.task(ReplicationTaskSettings=settings))
    assert second["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED", second.get("LastFailureMessage")
    assert (pair.rows("a"), pair.rows("b")) == (ROWS, ROWS)
    assert keys_of(pair) == "a_to_b"


def run(dms, task, start_type="start-replication"):
    start(dms, task, start_type)
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the task is over")
    return describe_task(dms, task)


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_columns_that_the_target_cannot_compute_are_told(dms, pair):
    pair.source.sql(f"alter table {pair.schema}.a add column twice int generated always as (id * 2) stored")
    task = pair.task()
    run(dms, task)
    assert pair.rows("a") == ROWS
    told = [text for text in events_of(dms, task) if "twice" in text]
    is_lost = pair.source.is_postgres != pair.target.is_postgres
    assert len(told) == int(is_lost), told
    assert all(f"Table {pair.schema}.a: not created at the target" in text for text in told)


def test_a_second_start_replication_is_refused(dms, pair):
    task = pair.task()
    run(dms, task)
    words = "Start Type : START_REPLICATION, valid only for tasks running for the first time"
    with refused("InvalidParameterCombinationException", words):
        start(dms, task)


def test_a_reload_prepares_and_loads_everything_again(dms, pair):
    task = pair.task()
    first = run(dms, task)
    pair.source.sql(f"insert into {pair.schema}.a values (4, 'four')")
    second = run(dms, task, "reload-target")
    assert second["ReplicationTaskStats"]["FreshStartDate"] > first["ReplicationTaskStats"]["FreshStartDate"]
    assert pair.rows("a") == ROWS + "4\tfour\n"
    assert table_statistics(dms, task)["a"]["FullLoadRows"] == 4


def test_a_resume_of_a_finished_load_loads_nothing_again(dms, pair):
    task = pair.task()
    first = run(dms, task)
    pair.target.sql(f"delete from {pair.schema}.a where id = 1")
    second = run(dms, task, "resume-processing")
    assert second["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    assert second["ReplicationTaskStats"]["FreshStartDate"] == first["ReplicationTaskStats"]["FreshStartDate"]
    assert second["ReplicationTaskStats"]["StartDate"] > first["ReplicationTaskStats"]["StartDate"]
    assert pair.rows("a") == ROWS.removeprefix("1\tone\n")


def test_mappings_that_match_nothing_fail_the_task(dms, pair):
    task = pair.task(TableMappings=mappings_of("no_such_schema"))
    done = run(dms, task)
    assert (done["Status"], done["StopReason"]) == ("failed", "Stop Reason FATAL_ERROR")
    assert "match no table" in done["LastFailureMessage"]


def test_rows_that_are_there_already_put_the_table_in_error(dms, pair):
    settings = json.dumps({"FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"}})
    pair.target.sql(f"create schema {pair.schema}")
    pair.target.sql(f"create table {pair.schema}.a (id int primary key, name varchar(20))")
    pair.target.sql(f"insert into {pair.schema}.a values (2, 'in the way')")
    task = pair.task(ReplicationTaskSettings=settings)
    done = run(dms, task)
    assert done["Status"] == "stopped"
    tables = table_statistics(dms, task)
    assert (tables["a"]["TableState"], tables["b"]["TableState"]) == ("Table error", "Table completed")
    assert done["ReplicationTaskStats"]["TablesErrored"] == 1
    table = f"Table {pair.schema}.a: "
    assert done["LastFailureMessage"].startswith(table)
    [event] = [text for text in events_of(dms, task) if text.startswith(table)]
    assert event.startswith(done["LastFailureMessage"]) and "resume-processing" in event
    assert not [text for text in events_of(dms, task) if f"{pair.schema}.b" in text]


def test_a_target_that_cannot_be_reached_is_told_while_the_run_is_tried_again(dms, pair):
    with Gate(pair.target.port) as gate:
        target = endpoint_of(dms, "target", pair.target, ServerName="127.0.0.1", Port=gate.port)
        connect(dms, pair.instance, target)
        settings = json.dumps({"ErrorBehavior": {"RecoverableErrorInterval": 1, "RecoverableErrorThrottling": False}})
        task = make_task(
            dms,
            pair.instance,
            pair.source_endpoint,
            target,
            TableMappings=mappings_of(pair.schema),
            ReplicationTaskSettings=settings,
        )
        gate.shut()
        start(dms, task)
        told = lambda: [text for text in events_of(dms, task) if "interrupted and is tried again in 1 s" in text]
        wait_until(lambda: len(told()) >= 2, 60, "two interruptions are told")
        assert str(gate.port) in told()[0] and re.search("try [1-9] of 9", told()[0])
        assert describe_task(dms, task)["Status"] == "running"
        gate.open()
        wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 90, "the task is over")
        assert pair.rows("a") == ROWS
        assert "LastFailureMessage" not in describe_task(dms, task)


def test_statistics_are_filtered(dms, pair):
    task = pair.task()
    run(dms, task)
    assert set(table_statistics(dms, task, table_name=["a"])) == {"a"}
    assert set(table_statistics(dms, task, schema_name=[pair.schema])) == {"a", "b"}
    assert table_statistics(dms, task, table_name=["a"], table_state=["Table error"]) == {}
    with refused("ResourceNotFoundFault"):
        dms.describe_table_statistics(ReplicationTaskArn=task["ReplicationTaskArn"] + "X")


def test_a_page_of_statistics_goes_on_for_its_own_task_alone(dms, pair):
    for number in range(21):
        pair.source.sql(f"create table {pair.schema}.t{number} (id int primary key)")
    task = pair.task()
    run(dms, task)
    page = lambda task, **more: dms.describe_table_statistics(
        ReplicationTaskArn=task["ReplicationTaskArn"], MaxRecords=20, **more
    )
    first = page(task)
    second = page(task, Marker=first["Marker"])
    names = [table["TableName"] for table in first["TableStatistics"] + second["TableStatistics"]]
    assert sorted(names) == sorted(["a", "b"] + [f"t{number}" for number in range(21)])
    assert "Marker" not in second
    other = pair.task()
    with refused("InvalidParameterValueException", "Marker"):
        page(other, Marker=first["Marker"])


def control_rows(server, task):
    """What the load of a task has recorded at the target."""
    place = "awsdms_control"
    tables = server.sql(f"select table_name from information_schema.tables where table_schema = '{place}'")
    name = task["ReplicationTaskArn"].rsplit(":", 1)[1]
    counts = [
        server.sql(f"select count(*) from {place}.{table} where task_name = '{name}'")
        for table in tables.split()
        if table in ("awsdms_load_table", "awsdms_load_chunk", "awsdms_task_epoch")
    ]
    return sum(map(int, counts))


@pytest.mark.parametrize("pair", PAIRS[:2], indirect=True, ids="-to-".join)
def test_a_deleted_task_leaves_no_records_at_its_target(dms, pair):
    pair.target.sql(f"create schema {pair.schema}")
    pair.target.sql(f"create table {pair.schema}.a (id int primary key, name varchar(20))")
    pair.target.sql(f"insert into {pair.schema}.a values (2, 'in the way')")
    settings = json.dumps({"FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"}})
    task = pair.task(ReplicationTaskSettings=settings)
    run(dms, task)
    assert control_rows(pair.target, task) > 0
    dms.delete_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    dms.get_waiter("replication_task_deleted").wait(
        Filters=[{"Name": "replication-task-arn", "Values": [task["ReplicationTaskArn"]]}],
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )
    assert control_rows(pair.target, task) == 0
    assert pair.rows("b") == ROWS


@pytest.mark.parametrize("pair", PAIRS[:3], indirect=True, ids="-to-".join)
def test_a_database_is_not_written_into_while_it_is_read(dms, pair):
    server = pair.source
    names = {"ServerName": "localhost"} if server.host == "127.0.0.1" else {}
    target = endpoint_of(dms, "target", server, **names)
    connect(dms, pair.instance, target)
    task = make_task(dms, pair.instance, pair.source_endpoint, target, TableMappings=mappings_of(pair.schema))
    done = run(dms, task)
    assert done["Status"] == "failed"
    assert "the same database" in done["LastFailureMessage"]
    assert server.sql(f"select id, name from {pair.schema}.a order by id") == ROWS


def test_a_task_that_would_only_validate_is_not_started(dms, pair):
    task = pair.task(ReplicationTaskSettings=json.dumps({"ValidationSettings": {"ValidationOnly": True}}))
    with refused("InvalidParameterCombinationException", "ValidationOnly"):
        start(dms, task)


def with_long_values(pair, settings):
    """Loads a value of 100 KB under these settings of LOBs; gives its length at the target."""
    pair.source.sql(f"create table {pair.schema}.long (id int primary key, note text)")
    pair.source.sql(f"insert into {pair.schema}.long values (1, repeat('x', 102400))")
    task = pair.task(ReplicationTaskSettings=json.dumps({"TargetMetadata": settings}))
    run(dms=pair.dms, task=task)
    return pair.target.sql(f"select length(note) from {pair.schema}.long")


@pytest.mark.parametrize(
    "settings, length",
    [
        # What stands in every settings document of the service, copied whole.
        ({"LimitedSizeLobMode": True, "FullLobMode": False, "LobMaxSize": 32}, 102400),
        ({"LimitedSizeLobMode": True, "LobMaxSize": 1}, 1024),
        ({"LobMaxSize": 100}, 102400),
        ({"FullLobMode": True, "LimitedSizeLobMode": False, "LobMaxSize": 1}, 102400),
    ],
)
def test_long_values_are_cut_only_where_a_size_is_given(pair, settings, length):
    assert with_long_values(pair, settings) == f"{length}\n"


def test_a_value_that_would_be_cut_is_an_error_where_that_is_wanted(dms, pair):
    pair.source.sql(f"alter table {pair.schema}.a add long_text text")
    pair.source.sql(f"update {pair.schema}.a set long_text = repeat('x', 2000) where id = 1")
    source = endpoint_of(dms, "source", pair.source, PostgreSQLSettings={"FailTasksOnLobTruncation": True})
    connect(dms, pair.instance, source)
    settings = json.dumps({"TargetMetadata": {"LobMaxSize": 1}})
    mappings = mappings_of(pair.schema)
    task = make_task(
        dms, pair.instance, source, pair.target_endpoint, TableMappings=mappings, ReplicationTaskSettings=settings
    )
    done = run(dms, task)
    assert done["Status"] == "failed"
    assert "long_text" in done["LastFailureMessage"] and "LobMaxSize" in done["LastFailureMessage"]


BOOLEAN = {True: "boolean", False: "tinyint"}
# The longest that MariaDB has.
EXACT = {True: "numeric", False: "decimal"}


@pytest.mark.parametrize("pair", PAIRS[:2], indirect=True, ids="-to-".join)
@pytest.mark.parametrize(
    "more, flag_type, number_type, number",
    [
        ({}, BOOLEAN, EXACT, "1.234567891"),
        ({"PostgreSQLSettings": {"MapBooleanAsBoolean": True}}, BOOLEAN, EXACT, "1.234567891"),
        (
            {"PostgreSQLSettings": {"MapBooleanAsBoolean": False}},
            {True: "character varying", False: "varchar"},
            EXACT,
            "1.234567891",
        ),
        (
            {"ExtraConnectionAttributes": "MapUnboundedNumericAsString=true"},
            BOOLEAN,
            {True: "text", False: "longtext"},
            "1.234567891",
        ),
        (
            {"ExtraConnectionAttributes": "MapUnboundedNumericAsString=false"},
            BOOLEAN,
            {True: "numeric", False: "decimal"},
            "1.234568",
        ),
    ],
    ids=["default", "boolean", "boolean-as-text", "numeric-as-text", "numeric-rounded"],
)
def test_booleans_and_numbers_change_only_where_a_setting_is_given(dms, pair, more, flag_type, number_type, number):
    pair.source.sql(f"create table {pair.schema}.kinds (id int primary key, f boolean, n numeric)")
    pair.source.sql(f"insert into {pair.schema}.kinds values (1, true, 1.234567891)")
    source = endpoint_of(dms, "source", pair.source, **more)
    connect(dms, pair.instance, source)
    task = make_task(dms, pair.instance, source, pair.target_endpoint, TableMappings=mappings_of(pair.schema))
    done = run(dms, task)
    assert done["ReplicationTaskStats"]["TablesErrored"] == 0, done
    types = pair.target.sql(
        "select lower(data_type) from information_schema.columns"
        f" where table_schema = '{pair.schema}' and table_name = 'kinds' and column_name in ('f', 'n') order by column_name"
    ).split()
    is_postgres = pair.target.is_postgres
    assert " ".join(types) == f"{flag_type[is_postgres]} {number_type[is_postgres]}"
    flag = "true" if "char" in flag_type[is_postgres] else ("t" if is_postgres else "1")
    found = pair.rows("kinds", "f, n").rstrip("\n").split("\t")
    assert [found[0], found[1].rstrip("0")] == [flag, number]



@pytest.mark.parametrize("pair", [("postgres15", "mariadb1011"), ("mariadb1011", "mysql97")], indirect=True, ids="-to-".join)
@pytest.mark.parametrize("kind", [None, "specific-database", "multiple-databases"])
def test_a_mysql_target_takes_all_schemas_into_one_database_if_asked_to(dms, pair, kind):
    database = f"{pair.schema}_all"
    pair.target.sql(f"create database {database}")
    settings = {"MySQLSettings": {"TargetDbType": kind}} if kind else {}
    target = endpoint_of(dms, "target", pair.target, database, **settings)
    connect(dms, pair.instance, target)
    task = make_task(dms, pair.instance, pair.source_endpoint, target, TableMappings=mappings_of(pair.schema))
    try:
        assert run(dms, task)["Status"] == "stopped"
        where = pair.schema if kind == "multiple-databases" else database
        assert pair.target.sql(f"select id, name from {where}.a order by id") == ROWS
    finally:
        pair.target.sql(f"drop database {database}")


SCRIPTS = {
    "postgres": "SET session_replication_role = 'replica'; CREATE TABLE IF NOT EXISTS {0}.ran (n int)",
    "mysql": "SET time_zone = '+03:00'; CREATE TABLE IF NOT EXISTS {0}.ran (n int)",
}


@pytest.mark.parametrize("pair", PAIRS[:3], indirect=True, ids="-to-".join)
def test_the_after_connect_script_runs_on_the_connections_of_a_task(dms, pair):
    pair.target.sql(f"create schema {pair.schema}")
    member = "PostgreSQLSettings" if pair.target.is_postgres else "MySQLSettings"
    script = SCRIPTS["postgres" if pair.target.is_postgres else "mysql"].format(pair.schema)
    target = endpoint_of(dms, "target", pair.target, **{member: {"AfterConnectScript": script}})
    connect(dms, pair.instance, target)
    task = make_task(dms, pair.instance, pair.source_endpoint, target, TableMappings=mappings_of(pair.schema))
    assert run(dms, task)["Status"] == "stopped"
    assert pair.target.sql(f"select count(*) from {pair.schema}.ran") == "0\n"
    assert pair.rows("a") == ROWS
