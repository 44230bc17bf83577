"""Full loads between real databases, through the API alone."""

import json

import pytest

from conftest import wait_until
from resources import (
    an_instance,
    connect,
    describe_task,
    endpoint_of,
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

    def rows(self, table):
        return self.target.sql(f"select id, name from {self.schema}.{table} order by id")

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


def run(dms, task, start_type="start-replication"):
    start(dms, task, start_type)
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the task is over")
    return describe_task(dms, task)


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


def test_statistics_are_filtered(dms, pair):
    task = pair.task()
    run(dms, task)
    assert set(table_statistics(dms, task, table_name=["a"])) == {"a"}
    assert set(table_statistics(dms, task, schema_name=[pair.schema])) == {"a", "b"}
    assert table_statistics(dms, task, table_name=["a"], table_state=["Table error"]) == {}
    with refused("ResourceNotFoundFault"):
        dms.describe_table_statistics(ReplicationTaskArn=task["ReplicationTaskArn"] + "X")


def test_changes_cannot_be_followed_yet_and_the_fault_says_so(dms, pair):
    task = pair.task(MigrationType="full-load-and-cdc")
    with refused("InvalidParameterCombinationException", "full-load"):
        start(dms, task)
    assert describe_task(dms, task)["Status"] == "ready"


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
