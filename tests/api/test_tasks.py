"""Replication tasks, without moving data."""

import datetime
import json

import pytest

from conftest import wait_until
from resources import (
    INCLUDE_ALL,
    QUICK,
    describe_task,
    make_endpoint,
    make_instance,
    make_task,
    refused,
    start,
    unique,
    wait_for_task,
)


@pytest.fixture(scope="module")
def place(dms):
    """An instance with two endpoints that lead nowhere."""
    return make_instance(dms), make_endpoint(dms), make_endpoint(dms, "target")


def test_a_task_is_creating_then_ready(dms, place):
    made = make_task(dms, *place, wait=False)
    assert made["Status"] == "creating"
    ready = wait_for_task(dms, made, "ready")
    assert ready["Status"] == "ready"
    assert json.loads(ready["TableMappings"]) == INCLUDE_ALL
    assert json.loads(ready["ReplicationTaskSettings"])["FullLoadSettings"]["MaxFullLoadSubTasks"] == 8
    assert ready["MigrationType"] == "full-load"
    assert ":task:" in ready["ReplicationTaskArn"]
    assert ready["ReplicationTaskCreationDate"]


def test_settings_are_left_out_on_request(dms, place):
    made = make_task(dms, *place)
    filters = [{"Name": "replication-task-arn", "Values": [made["ReplicationTaskArn"]]}]
    [found] = dms.describe_replication_tasks(Filters=filters, WithoutSettings=True)["ReplicationTasks"]
    assert "ReplicationTaskSettings" not in found


def test_an_identifier_is_taken_once(dms, place):
    made = make_task(dms, *place)
    with refused("ResourceAlreadyExistsFault"):
        make_task(dms, *place, ReplicationTaskIdentifier=made["ReplicationTaskIdentifier"])
    for identifier in ("1x", "x-", "x--y", "x_y", "x" * 256):
        with refused("InvalidParameterValueException"):
            make_task(dms, *place, ReplicationTaskIdentifier=identifier)


def test_ends_must_be_of_their_side(dms, place):
    instance, source, target = place
    with refused("InvalidParameterValueException", "endpoint must be of type SOURCE"):
        make_task(dms, instance, target, target)
    with refused("InvalidParameterValueException", "endpoint must be of type TARGET"):
        make_task(dms, instance, source, source)


def test_what_a_task_needs_must_exist(dms, place):
    instance, source, target = place
    for broken in (
        (instance, {"EndpointArn": source["EndpointArn"] + "X"}, target),
        (instance, source, {"EndpointArn": target["EndpointArn"] + "X"}),
        ({"ReplicationInstanceArn": instance["ReplicationInstanceArn"] + "X"}, source, target),
    ):
        with refused("ResourceNotFoundFault"):
            make_task(dms, *broken)


@pytest.mark.parametrize(
    ("mappings", "words"),
    [
        ("{", "Invalid Table Mappings document. Invalid json"),
        ("{}", "Valid Table mappings is required"),
        ('{"rules":[]}', "At least one selection rule is required."),
        (
            '{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1","rule-action":"include"}]}',
            "Rule with ruleId = 1 failed validation. object locator cannot be null",
        ),
        (json.dumps({"rules": INCLUDE_ALL["rules"] * 2}), "Error in mapping rules. Duplicate ruleid 1"),
        ('{"rules":[{"rule-type":"nonsense","rule-id":"1"}]}', "Invalid table mappings document."),
    ],
)
def test_wrong_mappings_are_refused(dms, place, mappings, words):
    with refused("InvalidParameterValueException", words):
        make_task(dms, *place, TableMappings=mappings)


def test_a_start_time_and_a_start_position_exclude_each_other(dms, place):
    with refused("InvalidParameterCombinationException"):
        make_task(
            dms,
            *place,
            MigrationType="cdc",
            CdcStartTime=datetime.datetime(2026, 1, 1),
            CdcStartPosition="4AF/B00000D0",
        )


def test_the_first_start_is_start_replication(dms, place):
    made = make_task(dms, *place)
    for start_type in ("resume-processing", "reload-target"):
        with refused("InvalidParameterCombinationException"):
            start(dms, made, start_type)


def test_a_task_that_does_not_run_cannot_be_stopped_or_reloaded(dms, place):
    made = make_task(dms, *place)
    with refused("InvalidResourceStateFault"):
        dms.stop_replication_task(ReplicationTaskArn=made["ReplicationTaskArn"])
    tables = [{"SchemaName": "s", "TableName": "t"}]
    with refused("InvalidResourceStateFault"):
        dms.reload_tables(ReplicationTaskArn=made["ReplicationTaskArn"], TablesToReload=tables)


def test_a_task_is_modified_and_ready_again(dms, place):
    made = make_task(dms, *place)
    name = unique("renamed")
    answer = dms.modify_replication_task(
        ReplicationTaskArn=made["ReplicationTaskArn"],
        ReplicationTaskIdentifier=name,
        ReplicationTaskSettings='{"FullLoadSettings":{"MaxFullLoadSubTasks":3}}',
    )["ReplicationTask"]
    assert answer["Status"] == "modifying"
    # The SDK's waiter for `ready` gives up when it sees `modifying`.
    wait_until(lambda: describe_task(dms, made)["Status"] == "ready", 30, "the task is modified")
    ready = describe_task(dms, made)
    assert ready["ReplicationTaskIdentifier"] == name
    assert json.loads(ready["ReplicationTaskSettings"])["FullLoadSettings"]["MaxFullLoadSubTasks"] == 3


def test_a_task_moves_to_another_instance(dms, place):
    made, other = make_task(dms, *place), make_instance(dms)
    answer = dms.move_replication_task(
        ReplicationTaskArn=made["ReplicationTaskArn"],
        TargetReplicationInstanceArn=other["ReplicationInstanceArn"],
    )["ReplicationTask"]
    assert answer["Status"] == "moving"
    assert wait_for_task(dms, made, "ready")["ReplicationInstanceArn"] == other["ReplicationInstanceArn"]


def test_a_deleted_task_is_gone(dms, place):
    made = make_task(dms, *place)
    answer = dms.delete_replication_task(ReplicationTaskArn=made["ReplicationTaskArn"])["ReplicationTask"]
    assert answer["Status"] == "deleting"
    filters = [{"Name": "replication-task-arn", "Values": [made["ReplicationTaskArn"]]}]
    dms.get_waiter("replication_task_deleted").wait(Filters=filters, WaiterConfig=QUICK)
    with refused("ResourceNotFoundFault", "No Tasks found matching provided filters"):
        describe_task(dms, made)


def test_an_instance_with_a_task_stays(dms, place):
    make_task(dms, *place)
    with refused("InvalidResourceStateFault"):
        dms.delete_replication_instance(ReplicationInstanceArn=place[0]["ReplicationInstanceArn"])


def test_filters_select_and_match_all_of_them(dms, place):
    instance, source, target = place
    other = make_endpoint(dms)
    tasks = [make_task(dms, *place), make_task(dms, instance, other, target, MigrationType="cdc")]
    arns = [task["ReplicationTaskArn"] for task in tasks]

    def found(**filters):
        listed = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
        page = dms.describe_replication_tasks(Filters=listed)
        return [task["ReplicationTaskArn"] for task in page["ReplicationTasks"]]

    assert found(replication_task_arn=arns) == arns
    assert found(replication_task_arn=arns, migration_type=["cdc"]) == arns[1:]
    assert found(replication_task_id=[tasks[0]["ReplicationTaskIdentifier"]]) == arns[:1]
    assert found(endpoint_arn=[other["EndpointArn"]]) == arns[1:]
    assert set(found(replication_instance_arn=[instance["ReplicationInstanceArn"]])) >= set(arns)


def test_pages_of_twenty_hold_every_task_once(dms, place):
    made = {make_task(dms, *place, wait=False)["ReplicationTaskArn"] for _ in range(41)}
    filters = [{"Name": "endpoint-arn", "Values": [place[1]["EndpointArn"]]}]
    pages = dms.get_paginator("describe_replication_tasks").paginate(
        Filters=filters, PaginationConfig={"PageSize": 20}
    )
    seen = [task["ReplicationTaskArn"] for page in pages for task in page["ReplicationTasks"]]
    assert len(seen) == len(set(seen))
    assert made <= set(seen)
