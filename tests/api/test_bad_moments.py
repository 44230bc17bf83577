"""What happens in the middle of a load: a table goes, a connection is cut."""

import json

import pytest

from conftest import comes_true, wait_until
from resources import Gate, connect, describe_task, endpoint_of, make_task, mappings_of, start, table_statistics
from test_full_load import Pair, ROWS

PAIRS = [("postgres15", "mariadb1011"), ("mariadb1011", "postgres15"), ("mysql97", "postgres18"), ("postgres18", "mysql97")]
# Of about 100 bytes.
BIG_ROWS = 100_000
MIDDLE_BYTES = 2_000_000
# A state is told within a second.
STATE_PATIENCE_S = 5
IN_ORDER = {
    "rule-type": "selection",
    "rule-id": "2",
    "rule-name": "2",
    "rule-action": "include",
    "load-order": 2,
}


@pytest.fixture
def pair(dms, servers, request):
    pair = Pair(dms, servers, *request.param)
    yield pair
    pair.close()


@pytest.fixture
def halfway(dms, pair):
    """A task whose source stopped answering in the middle of a big table, which comes before all others, and the gate before its source."""
    pair.source.sql(f"create table {pair.schema}.big (id int primary key, payload varchar(200))")
    if pair.source.is_postgres:
        numbers = f"select n from generate_series(1, {BIG_ROWS}) n"
    else:
        digits = " union all ".join(f"select {digit} d" for digit in range(10))
        names = "abcde"
        number = " + ".join(f"{name}.d * {10**place}" for place, name in enumerate(names))
        numbers = f"select 1 + {number} n from {', '.join(f'({digits}) {name}' for name in names)}"
    pair.source.sql(f"insert into {pair.schema}.big select n, repeat('x', 90) from ({numbers}) x")
    with Gate(pair.source.port) as gate:
        source = endpoint_of(dms, "source", pair.source, ServerName="127.0.0.1", Port=gate.port)
        connect(dms, pair.instance, source)
        mappings = json.loads(mappings_of(pair.schema))
        mappings["rules"].append(IN_ORDER | {"object-locator": {"schema-name": pair.schema, "table-name": "big"}})
        settings = {
            "FullLoadSettings": {"MaxFullLoadSubTasks": 1},
            "ErrorBehavior": {"RecoverableErrorInterval": 1, "RecoverableErrorThrottling": False},
        }
        task = make_task(
            dms,
            pair.instance,
            source,
            pair.target_endpoint,
            TableMappings=json.dumps(mappings),
            ReplicationTaskSettings=json.dumps(settings),
        )
        gate.hold_after(MIDDLE_BYTES)
        start(dms, task)
        is_loading = lambda: table_statistics(dms, task).get("big", {}).get("TableState") == "Full load"
        # What a server tells of its tables and its log passes before the first row, however much it is.
        wait_until(gate.is_holding, 60, "answers are held back", lambda: describe_task(dms, task))
        while not comes_true(is_loading, STATE_PATIENCE_S):
            gate.hold_after(MIDDLE_BYTES)
            wait_until(gate.is_holding, 60, "the load is in the middle of its first table", lambda: describe_task(dms, task))
        yield task, gate
        gate.hold_after(None)


def finished(dms, task):
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 120, "the task is over", lambda: describe_task(dms, task))
    return describe_task(dms, task)


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_a_table_dropped_before_its_turn_is_named_and_the_others_arrive(dms, pair, halfway):
    task, gate = halfway
    pair.source.sql(f"drop table {pair.schema}.b")
    gate.hold_after(None)
    done = finished(dms, task)
    assert (done["Status"], done["ReplicationTaskStats"]["TablesErrored"]) == ("stopped", 1), done
    assert f"{pair.schema}.b" in done["LastFailureMessage"], done
    states = {name: table["TableState"] for name, table in table_statistics(dms, task).items()}
    assert states == {"big": "Table completed", "a": "Table completed", "b": "Table error"}
    assert pair.rows("a") == ROWS
    assert pair.target.sql(f"select count(*) from {pair.schema}.big") == f"{BIG_ROWS}\n"


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_a_connection_cut_in_the_middle_of_a_table_costs_nothing(dms, pair, halfway):
    task, gate = halfway
    gate.cut()
    gate.hold_after(None)
    done = finished(dms, task)
    assert (done["Status"], done["ReplicationTaskStats"]["TablesLoaded"]) == ("stopped", 3), done
    assert "LastFailureMessage" not in done
    assert table_statistics(dms, task)["big"]["FullLoadRows"] == BIG_ROWS
    totals = f"select count(*), sum(id), sum(length(payload)) from {pair.schema}.big"
    assert pair.target.sql(totals) == pair.source.sql(totals)
    assert pair.rows("b") == ROWS
