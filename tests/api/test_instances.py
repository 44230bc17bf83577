"""Replication instances."""

import datetime
import socket

import pytest

from resources import QUICK, make_instance, refused, unique


def by_id(identifier):
    return [{"Name": "replication-instance-id", "Values": [identifier]}]


def test_an_instance_is_creating_then_available_with_its_defaults(dms):
    identifier = unique("Mixed-Case")
    made = make_instance(dms, identifier, wait=False)
    assert made["ReplicationInstanceStatus"] == "creating"
    assert made["ReplicationInstanceIdentifier"] == identifier.lower()
    dms.get_waiter("replication_instance_available").wait(Filters=by_id(identifier), WaiterConfig=QUICK)
    [found] = dms.describe_replication_instances(Filters=by_id(identifier))["ReplicationInstances"]
    assert found["AutoMinorVersionUpgrade"] is True
    assert found["PubliclyAccessible"] is True
    assert found["MultiAZ"] is False
    assert found["AllocatedStorage"] == 50
    assert found["ReplicationSubnetGroup"]["SubnetGroupStatus"] == "Complete"
    assert found["VpcSecurityGroups"] is not None
    assert found["KmsKeyId"]
    assert ":rep:" in found["ReplicationInstanceArn"]
    [address] = found["ReplicationInstancePrivateIpAddresses"]
    assert address == found["ReplicationInstancePrivateIpAddress"]
    # An address of this machine, or it could not be listened at.
    socket.create_server((address, 0)).close()
    assert found["ReplicationInstancePublicIpAddresses"] == []


def test_an_identifier_names_one_instance_in_any_case(dms):
    identifier = unique("twice")
    make_instance(dms, identifier)
    with refused("ResourceAlreadyExistsFault"):
        make_instance(dms, identifier.upper())


@pytest.mark.parametrize("identifier", ["1x", "x-", "x--y", "x_y", "x" * 64, "-x", "ä"])
def test_identifiers_follow_their_rules(dms, identifier):
    with refused("InvalidParameterValueException"):
        make_instance(dms, identifier)


def test_a_resource_identifier_becomes_the_end_of_the_arn(dms):
    name = unique("my-own-name")
    made = make_instance(dms, ResourceIdentifier=name)
    assert made["ReplicationInstanceArn"].endswith(f":rep:{name}")


def test_several_zones_and_a_named_zone_exclude_each_other(dms):
    with refused("InvalidParameterCombinationException"):
        make_instance(dms, MultiAZ=True, AvailabilityZone="eu-central-1a")


def test_an_unknown_subnet_group_is_not_found(dms):
    with refused("ResourceNotFoundFault"):
        make_instance(dms, ReplicationSubnetGroupIdentifier="nowhere")


def shut_window():
    """A maintenance window that is days away."""
    day = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
    return f"{day:%a}:03:00-{day:%a}:03:30"


def test_modification_waits_for_the_window_unless_it_applies_at_once(dms):
    made = make_instance(dms, PreferredMaintenanceWindow=shut_window())
    arn = made["ReplicationInstanceArn"]
    changed = dms.modify_replication_instance(ReplicationInstanceArn=arn, AllocatedStorage=77)
    assert changed["ReplicationInstance"]["PendingModifiedValues"]["AllocatedStorage"] == 77
    assert changed["ReplicationInstance"]["AllocatedStorage"] == 50
    changed = dms.modify_replication_instance(ReplicationInstanceArn=arn, AllocatedStorage=88, ApplyImmediately=True)
    assert changed["ReplicationInstance"]["ReplicationInstanceStatus"] == "modifying"
    identifier = made["ReplicationInstanceIdentifier"]
    dms.get_waiter("replication_instance_available").wait(Filters=by_id(identifier), WaiterConfig=QUICK)
    [found] = dms.describe_replication_instances(Filters=by_id(identifier))["ReplicationInstances"]
    assert found["AllocatedStorage"] == 88
    assert not found.get("PendingModifiedValues")


def test_a_modification_that_changes_nothing_is_refused(dms):
    made = make_instance(dms)
    with refused("InvalidParameterCombinationException"):
        dms.modify_replication_instance(ReplicationInstanceArn=made["ReplicationInstanceArn"])


def test_an_instance_is_renamed(dms):
    made = make_instance(dms)
    name = unique("Renamed")
    dms.modify_replication_instance(
        ReplicationInstanceArn=made["ReplicationInstanceArn"], ReplicationInstanceIdentifier=name
    )
    [found] = dms.describe_replication_instances(Filters=by_id(name.lower()))["ReplicationInstances"]
    assert found["ReplicationInstanceArn"] == made["ReplicationInstanceArn"]


def test_a_reboot_ends_available(dms):
    made = make_instance(dms)
    answer = dms.reboot_replication_instance(ReplicationInstanceArn=made["ReplicationInstanceArn"])
    assert answer["ReplicationInstance"]["ReplicationInstanceStatus"] == "rebooting"
    dms.get_waiter("replication_instance_available").wait(
        Filters=by_id(made["ReplicationInstanceIdentifier"]), WaiterConfig=QUICK
    )


def test_a_deleted_instance_is_gone(dms):
    made = make_instance(dms)
    answer = dms.delete_replication_instance(ReplicationInstanceArn=made["ReplicationInstanceArn"])
    assert answer["ReplicationInstance"]["ReplicationInstanceStatus"] == "deleting"
    dms.get_waiter("replication_instance_deleted").wait(
        Filters=by_id(made["ReplicationInstanceIdentifier"]), WaiterConfig=QUICK
    )
    with refused("ResourceNotFoundFault"):
        dms.delete_replication_instance(ReplicationInstanceArn=made["ReplicationInstanceArn"])


def test_filters_select_and_match_all_of_them(dms):
    first, second = make_instance(dms), make_instance(dms)
    arns = [first["ReplicationInstanceArn"], second["ReplicationInstanceArn"]]
    names = [first["ReplicationInstanceIdentifier"], second["ReplicationInstanceIdentifier"]]

    def found(*filters):
        page = dms.describe_replication_instances(Filters=[{"Name": n, "Values": v} for n, v in filters])
        return [instance["ReplicationInstanceArn"] for instance in page["ReplicationInstances"]]

    assert found(("replication-instance-arn", arns)) == arns
    assert found(("replication-instance-arn", arns), ("replication-instance-id", names[1:])) == arns[1:]
    assert set(found(("replication-instance-class", ["dms.t3.medium"]))) >= set(arns)
    assert set(found(("engine-version", [first["EngineVersion"]]))) >= set(arns)
    with refused("ResourceNotFoundFault"):
        found(("replication-instance-id", ["nobody"]))
    with refused("InvalidParameterValueException", "nonsense"):
        found(("nonsense", ["x"]))


def test_an_upgrade_that_waits_is_a_pending_action_and_can_be_applied(dms):
    made = make_instance(dms, EngineVersion="3.5.4", PreferredMaintenanceWindow=shut_window())
    arn = made["ReplicationInstanceArn"]
    with refused("ResourceNotFoundFault"):
        dms.apply_pending_maintenance_action(
            ReplicationInstanceArn=arn, ApplyAction="db-upgrade", OptInType="immediate"
        )
    dms.modify_replication_instance(ReplicationInstanceArn=arn, EngineVersion="3.6.1")
    [waiting] = dms.describe_pending_maintenance_actions(ReplicationInstanceArn=arn)["PendingMaintenanceActions"]
    assert waiting["ResourceIdentifier"] == arn
    dms.apply_pending_maintenance_action(ReplicationInstanceArn=arn, ApplyAction="db-upgrade", OptInType="immediate")
    dms.get_waiter("replication_instance_available").wait(
        Filters=by_id(made["ReplicationInstanceIdentifier"]), WaiterConfig=QUICK
    )
    [found] = dms.describe_replication_instances(Filters=by_id(made["ReplicationInstanceIdentifier"]))[
        "ReplicationInstances"
    ]
    assert found["EngineVersion"] == "3.6.1"
    assert dms.describe_pending_maintenance_actions(ReplicationInstanceArn=arn)["PendingMaintenanceActions"] == []


def test_quotas_versions_and_classes_are_told(dms):
    quotas = {q["AccountQuotaName"]: q for q in dms.describe_account_attributes()["AccountQuotas"]}
    assert quotas["ReplicationInstances"]["Max"] == 60
    versions = dms.describe_engine_versions()["EngineVersions"]
    assert make_instance(dms)["EngineVersion"] == versions[0]["Version"]
    pages = dms.get_paginator("describe_orderable_replication_instances").paginate(PaginationConfig={"PageSize": 20})
    classes = {c["ReplicationInstanceClass"] for page in pages for c in page["OrderableReplicationInstances"]}
    assert "dms.t3.medium" in classes
