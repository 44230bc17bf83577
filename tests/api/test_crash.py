"""What survives the sudden death of the service."""

import base64
import json
import os

import pytest

from conftest import wait_until
from resources import (
    Gate,
    connect,
    describe_task,
    endpoint_of,
    make_endpoint,
    make_instance,
    make_task,
    mappings_of,
    start,
    table_statistics,
    wait_for_task,
)
from test_full_load import ROWS, Pair, control_rows

ROW_COUNT = 2_000_000


def test_secrets_are_in_no_file(own_whimbrel):
    dms = own_whimbrel.client()
    make_endpoint(dms, Password="planted-password-zebra")
    wallet = b"planted wallet of a zebra"
    answer = dms.import_certificate(CertificateIdentifier="wallet", CertificateWallet=wallet)
    assert "CertificateWallet" not in answer["Certificate"]
    assert "CertificateWallet" not in dms.describe_certificates()["Certificates"][0]
    own_whimbrel.stop()
    planted = [b"planted-password-zebra", wallet, base64.b64encode(wallet)]
    for path in own_whimbrel.data_dir.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert not any(secret in held for secret in planted), path
    log = own_whimbrel.log().encode()
    assert not any(secret in log for secret in planted)
    own_whimbrel.start()


def test_what_a_server_says_of_a_script_is_not_logged(own_whimbrel, servers):
    dms = own_whimbrel.client()
    instance = make_instance(dms)
    for server, member, script in (
        (servers["postgres15"], "PostgreSQLSettings", "SELECT 'planted-zebra'::integer"),
        (servers["mysql97"], "MySQLSettings", "SET a = b planted-zebra"),
    ):
        connect(dms, instance, endpoint_of(dms, "target", server, **{member: {"AfterConnectScript": script}}))
    log = own_whimbrel.log()
    assert log.count("after-connect script failed") >= 2
    assert "planted-zebra" not in log


def test_a_test_that_was_under_way_ends_after_a_restart(own_whimbrel):
    dms = own_whimbrel.client()
    status = lambda: dms.describe_connections()["Connections"][0]["Status"]
    server = Gate(leads_to=1)
    server.open()
    server.is_mute = True
    instance, endpoint = make_instance(dms), make_endpoint(dms, ServerName="127.0.0.1", Port=server.port)
    dms.test_connection(
        ReplicationInstanceArn=instance["ReplicationInstanceArn"], EndpointArn=endpoint["EndpointArn"]
    )
    wait_until(server.has_mute, 30, "the server is asked, and does not answer")
    own_whimbrel.kill()
    own_whimbrel.start()
    assert status() == "testing"
    server.shut()
    wait_until(lambda: status() == "failed", 90, "the test is over")


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


def restart(service):
    service.kill()
    service.start()


def statuses(dms, what):
    """Identifier and status of everything of a kind."""
    if what == "instance":
        found = dms.describe_replication_instances()["ReplicationInstances"]
        return {i["ReplicationInstanceIdentifier"]: i["ReplicationInstanceStatus"] for i in found}
    if what == "endpoint":
        return {e["EndpointIdentifier"]: e["Status"] for e in dms.describe_endpoints()["Endpoints"]}
    found = dms.describe_replication_tasks()["ReplicationTasks"]
    return {t["ReplicationTaskIdentifier"]: t["Status"] for t in found}


def test_whatever_an_instance_was_doing_it_ends_available_or_gone(own_whimbrel):
    dms = own_whimbrel.client()
    made = make_instance(dms, "one", wait=False)
    arn = made["ReplicationInstanceArn"]
    settled = lambda: statuses(dms, "instance") == {"one": "available"}
    restart(own_whimbrel)
    wait_until(settled, 30, "it is created")
    dms.modify_replication_instance(ReplicationInstanceArn=arn, AllocatedStorage=77, ApplyImmediately=True)
    restart(own_whimbrel)
    wait_until(settled, 30, "it is modified")
    [found] = dms.describe_replication_instances()["ReplicationInstances"]
    assert found["AllocatedStorage"] == 77
    dms.reboot_replication_instance(ReplicationInstanceArn=arn)
    restart(own_whimbrel)
    wait_until(settled, 30, "it is rebooted")
    dms.delete_replication_instance(ReplicationInstanceArn=arn)
    restart(own_whimbrel)
    wait_until(lambda: statuses(dms, "instance") == {}, 30, "it is gone")


def test_whatever_a_task_at_rest_was_doing_it_ends_ready_or_gone(own_whimbrel):
    dms = own_whimbrel.client()
    instance, other = make_instance(dms), make_instance(dms)
    source, target = make_endpoint(dms), make_endpoint(dms, "target")
    task = make_task(dms, instance, source, target, wait=False)
    arn = {"ReplicationTaskArn": task["ReplicationTaskArn"]}
    settled = lambda: describe_task(dms, task)["Status"] == "ready"
    restart(own_whimbrel)
    wait_until(settled, 30, "it is created")
    dms.modify_replication_task(**arn, ReplicationTaskIdentifier="renamed")
    restart(own_whimbrel)
    wait_until(settled, 30, "it is modified")
    dms.move_replication_task(**arn, TargetReplicationInstanceArn=other["ReplicationInstanceArn"])
    restart(own_whimbrel)
    wait_until(settled, 30, "it is moved")
    moved = describe_task(dms, task)
    assert moved["ReplicationInstanceArn"] == other["ReplicationInstanceArn"]
    assert moved["ReplicationTaskIdentifier"] == "renamed"
    dms.delete_replication_task(**arn)
    restart(own_whimbrel)
    wait_until(lambda: statuses(dms, "task") == {}, 30, "it is gone")
    dms.delete_endpoint(EndpointArn=source["EndpointArn"])
    restart(own_whimbrel)
    wait_until(lambda: statuses(dms, "endpoint") == {target["EndpointIdentifier"]: "active"}, 30, "the endpoint is gone")


@pytest.fixture
def own_pair(own_whimbrel, servers):
    pair = Pair(own_whimbrel.client(), servers, "postgres15", "postgres18")
    yield pair
    pair.close()


def test_a_task_that_was_starting_or_stopping_gets_there(own_whimbrel, own_pair):
    dms, task = own_pair.dms, own_pair.task(MigrationType="full-load-and-cdc")
    start(dms, task)
    restart(own_whimbrel)
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "it follows")
    assert (own_pair.rows("a"), own_pair.rows("b")) == (ROWS, ROWS)
    dms.stop_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    restart(own_whimbrel)
    wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 60, "it is stopped")
    assert describe_task(dms, task)["StopReason"] == "Stop Reason NORMAL"
    own_pair.source.sql(f"insert into {own_pair.schema}.a values (4, 'four')")
    start(dms, task, "resume-processing")
    restart(own_whimbrel)
    wait_until(lambda: own_pair.rows("a") == ROWS + "4\tfour\n", 60, "the change arrives")
    dms.stop_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    wait_for_task(dms, task, "stopped")
    dms.delete_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
    wait_until(lambda: statuses(dms, "task") == {}, 60, "it is gone")


def test_a_task_that_was_being_deleted_takes_its_records_with_it(own_whimbrel, own_pair):
    dms = own_pair.dms
    with Gate(own_pair.target.port) as gate:
        target = endpoint_of(dms, "target", own_pair.target, ServerName="127.0.0.1", Port=gate.port)
        connect(dms, own_pair.instance, target)
        task = make_task(
            dms,
            own_pair.instance,
            own_pair.source_endpoint,
            target,
            MigrationType="full-load-and-cdc",
            TableMappings=mappings_of(own_pair.schema),
        )
        start(dms, task)
        wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "it follows")
        dms.stop_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
        wait_for_task(dms, task, "stopped")
        assert control_rows(own_pair.target, task) > 0
        gate.is_mute = True
        dms.delete_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
        own_whimbrel.kill()
        gate.is_mute = False
        own_whimbrel.start()
        wait_until(lambda: statuses(dms, "task") == {}, 60, "it is gone")
    assert control_rows(own_pair.target, task) == 0
    slots = own_pair.source.sql("select slot_name from pg_replication_slots")
    assert task["ReplicationTaskArn"].rsplit(":", 1)[1].lower() not in slots


def test_rows_without_a_key_are_not_doubled_by_a_kill_that_nothing_was_written_down_before(own_whimbrel, own_pair):
    """Killed as soon as the first rows are there, which is before any figures of the run are written."""
    pair, dms = own_pair, own_pair.dms
    tables, row_count = [f"t{n}" for n in range(8)], 50_000
    for table in tables:
        pair.source.sql(f"create table {pair.schema}.{table} as select n from generate_series(1, {row_count}) n")
    settings = {"FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING", "MaxFullLoadSubTasks": 2}}
    task = pair.task(ReplicationTaskSettings=json.dumps(settings))

    def has_rows():
        try:
            return pair.target.sql(f"select n from {pair.schema}.t0 limit 1") != ""
        except AssertionError:
            return False

    for start_type in ("start-replication", "reload-target", "reload-target"):
        pair.target.sql(f"drop schema if exists {pair.schema} cascade")
        start(dms, task, start_type)
        wait_until(has_rows, 60, "the first rows are there")
        restart(own_whimbrel)
        wait_until(lambda: describe_task(dms, task)["Status"] == "stopped", 60, "the load is finished")
        done = describe_task(dms, task)
        assert "LastFailureMessage" not in done
        counts = [pair.target.sql(f"select count(*) from {pair.schema}.{table}") for table in tables]
        assert counts == [f"{row_count}\n"] * len(tables), start_type


def test_what_is_built_for_use_holds_nobody_and_makes_no_mistakes():
    """Points where tests hold a process, and mistakes that they have made, are compiled for tests alone."""
    with open(os.environ["WHIMBREL_BINARY"], "rb") as file:
        program = file.read()
    assert b"WHIMBREL_LOG_LEVEL" in program
    assert b"WHIMBREL_HOLD" not in program
    assert b"WHIMBREL_MUTATION" not in program
