"""Full loads that are stopped in their middle, and tables that were there before."""

import json

import pytest

from conftest import wait_until
from resources import describe_task, start, table_statistics, wait_for_task
from test_full_load import PAIRS, ROWS, Pair, run

# Three chunks of 128 MB.
LARGE_ROWS = 360_000
PAYLOAD = 1000


@pytest.fixture
def pair(dms, servers, request):
    pair = Pair(dms, servers, *request.param)
    yield pair
    pair.close()


def fill(pair):
    """A table of several chunks at the source."""
    table = f"{pair.schema}.large"
    pair.source.sql(f"create table {table} (id int primary key, mark varchar(9), payload varchar({PAYLOAD}))")
    if pair.source.is_postgres:
        numbers = f"select n from generate_series(1, {LARGE_ROWS}) n"
    else:
        digits = "(select 0 d union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)"
        names = "abcdef"
        sum_of = " + ".join(f"{name}.d * {10 ** place}" for place, name in enumerate(names))
        numbers = f"select n from (select 1 + {sum_of} as n from {', '.join(f'{digits} {name}' for name in names)}) x where n <= {LARGE_ROWS}"
    pair.source.sql(f"insert into {table} select n, 'source', repeat('x', {PAYLOAD}) from ({numbers}) y")
    pair.source.sql("analyze" if pair.source.is_postgres else f"analyze table {table}")


def count(server, what):
    """Rows at a server; none when there is no table yet."""
    try:
        return int(server.sql(f"select count(*) from {what}"))
    except AssertionError:
        return 0


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_a_load_stopped_in_its_middle_goes_on_without_loading_its_finished_chunks_again(dms, pair):
    fill(pair)
    settings = {"FullLoadSettings": {"MaxFullLoadSubTasks": 1, "TargetTablePrepMode": "DO_NOTHING"}}
    task = pair.task(ReplicationTaskSettings=json.dumps(settings))
    start(dms, task)
    large = f"{pair.schema}.large"
    wait_until(lambda: count(pair.target, large) > 0, 120, "the first chunk is there", lambda: describe_task(dms, task))
    dms.stop_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    stopped = wait_for_task(dms, task, "stopped")
    assert stopped["StopReason"] == "Stop Reason NORMAL"
    assert table_statistics(dms, task)["large"]["TableState"] == "Table cancelled"
    kept = count(pair.target, large)
    assert 0 < kept < LARGE_ROWS
    # Rows that are loaded again lose the mark, or stand beside those that have it.
    pair.target.sql(f"update {large} set mark = 'kept'")
    resumed = run(dms, task, "resume-processing")
    assert resumed["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED", resumed
    assert count(pair.target, f"{large} where mark = 'kept'") == kept
    assert count(pair.target, f"{large} where mark = 'source'") == LARGE_ROWS - kept
    assert count(pair.target, f"(select distinct id from {large}) x") == LARGE_ROWS
    assert table_statistics(dms, task)["large"]["FullLoadRows"] == LARGE_ROWS
    assert resumed["ReplicationTaskStats"]["FreshStartDate"] < resumed["ReplicationTaskStats"]["StartDate"]


@pytest.mark.parametrize("pair", PAIRS[:3], indirect=True, ids="-to-".join)
def test_truncating_before_the_load_keeps_the_table_and_replaces_its_rows(dms, pair):
    schema = pair.schema
    pair.target.sql(f"create schema {schema}")
    pair.target.sql(f"create table {schema}.a (id int primary key, name varchar(20), more int default 7)")
    pair.target.sql(f"create index own_index on {schema}.a (name)")
    pair.target.sql(f"insert into {schema}.a values (1, 'old', 1), (99, 'old', 1)")
    settings = json.dumps({"FullLoadSettings": {"TargetTablePrepMode": "TRUNCATE_BEFORE_LOAD"}})
    task = pair.task(ReplicationTaskSettings=settings)
    done = run(dms, task)
    assert done["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    assert "LastFailureMessage" not in done
    assert pair.rows("a") == ROWS
    assert count(pair.target, f"{schema}.a where more = 7") == 3
    # A table that was missing was created.
    assert pair.rows("b") == ROWS
    if pair.target.is_postgres:
        indexes = f"pg_indexes where schemaname = '{schema}' and indexname = 'own_index'"
    else:
        indexes = f"information_schema.statistics where table_schema = '{schema}' and index_name = 'own_index'"
    assert count(pair.target, indexes) == 1
    run(dms, task, "reload-target")
    assert pair.rows("a") == ROWS
