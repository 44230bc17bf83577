"""Two tasks that would write into one table."""

import pytest

from conftest import wait_until
from resources import Gate, connect, describe_task, endpoint_of, make_task, mappings_of, start, wait_for_task
from test_changes import arrives, pair, remove, slots, stop  # noqa: F401

PAIRS = [("postgres15", "postgres18"), ("mariadb1011", "mysql97"), ("mysql97", "mariadb1011")]


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
@pytest.mark.parametrize("kind", ["full-load-and-cdc", "full-load"])
def test_a_second_task_for_the_same_tables_is_refused(dms, pair, kind):  # noqa: F811
    first = pair.task(MigrationType="full-load-and-cdc")
    start(dms, first)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    with Gate(pair.target.port) as gate:
        # The same server under another address.
        elsewhere = endpoint_of(dms, "target", pair.target, Port=gate.port)
        connect(dms, pair.instance, elsewhere)
        mappings = mappings_of(pair.schema)
        second = make_task(dms, pair.instance, pair.source_endpoint, elsewhere, MigrationType=kind, TableMappings=mappings)
        start(dms, second)
        wait_until(lambda: describe_task(dms, second)["Status"] == "failed", 60, "the task fails")
        message = describe_task(dms, second)["LastFailureMessage"]
        for name in (first, second):
            assert name["ReplicationTaskArn"].rsplit(":", 1)[1] in message, message
        assert f"{pair.schema}.a" in message and "delete the replication task" in message
        assert slots(pair.source, second) == ""
        pair.source.sql(f"insert into {pair.schema}.a values (4, 'four')")
        arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tfour\n")
        # Stopped, it still has its tables; deleted, it has them no more.
        stop(dms, first)
        start(dms, second, "reload-target")
        wait_until(lambda: describe_task(dms, second)["Status"] == "failed", 60, "the task fails again")
        remove(dms, first)
        pair.target.sql(f"delete from {pair.schema}.a")
        start(dms, second, "reload-target")
        arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tfour\n")
        if kind == "full-load":
            wait_for_task(dms, second, "stopped")
        remove(dms, second)
