"""What survives the sudden death of the service."""

from conftest import wait_until
from resources import (
    connect,
    describe_task,
    endpoint_of,
    make_endpoint,
    make_instance,
    make_task,
    mappings_of,
    start,
    table_statistics,
)

ROW_COUNT = 2_000_000


def test_secrets_are_in_no_file(own_whimbrel):
    dms = own_whimbrel.client()
    make_endpoint(dms, Password="planted-password-zebra")
    own_whimbrel.stop()
    for path in own_whimbrel.data_dir.rglob("*"):
        if path.is_file():
            assert b"planted-password-zebra" not in path.read_bytes(), path
    assert "planted-password-zebra" not in own_whimbrel.log()
    own_whimbrel.start()


def test_a_test_that_was_under_way_ends_after_a_restart(own_whimbrel):
    dms = own_whimbrel.client()
    instance, endpoint = make_instance(dms), make_endpoint(dms)
    dms.test_connection(
        ReplicationInstanceArn=instance["ReplicationInstanceArn"], EndpointArn=endpoint["EndpointArn"]
    )
    own_whimbrel.kill()
    own_whimbrel.start()
    wait_until(
        lambda: dms.describe_connections()["Connections"][0]["Status"] == "failed", 60, "the test is over"
    )


def test_a_load_goes_on_by_itself_after_a_restart(own_whimbrel, servers):
    dms, source, target = own_whimbrel.client(), servers["postgres15"], servers["postgres18"]
    source.sql("create schema crash_test; create table crash_test.small (id int primary key)")
    source.sql("insert into crash_test.small select generate_series(1, 10)")
    source.sql("create table crash_test.large (id int primary key, text text)")
    source.sql(f"insert into crash_test.large select n, repeat('x', 100) from generate_series(1, {ROW_COUNT}) n")
    try:
        instance = make_instance(dms)
        ends = endpoint_of(dms, "source", source), endpoint_of(dms, "target", target)
        for endpoint in ends:
            connect(dms, instance, endpoint)
        task = make_task(dms, instance, *ends, TableMappings=mappings_of("crash_test"))
        start(dms, task)

        def small_is_done():
            tables = table_statistics(dms, task)
            return tables.get("small", {}).get("TableState") == "Table completed"

        wait_until(small_is_done, 60, "the small table is loaded")
        finished_at = table_statistics(dms, task)["small"]["FullLoadEndTime"]
        own_whimbrel.kill()
        own_whimbrel.start()
        wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 120, "the load is finished")
        assert describe_task(dms, task)["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
        assert target.sql("select count(*) from crash_test.large") == f"{ROW_COUNT}\n"
        assert target.sql("select count(*) from crash_test.small") == "10\n"
        assert table_statistics(dms, task)["small"]["FullLoadEndTime"] == finished_at
    finally:
        source.sql("drop schema crash_test cascade")
        target.sql("drop schema if exists crash_test cascade")
