"""Subnet groups."""

import pytest

from resources import make_instance, refused, unique


def make(dms, identifier, subnets=("subnet-1", "subnet-2")):
    return dms.create_replication_subnet_group(
        ReplicationSubnetGroupIdentifier=identifier,
        ReplicationSubnetGroupDescription="for tests",
        SubnetIds=list(subnets),
    )["ReplicationSubnetGroup"]


def find(dms, identifier):
    filters = [{"Name": "replication-subnet-group-id", "Values": [identifier]}]
    return dms.describe_replication_subnet_groups(Filters=filters)["ReplicationSubnetGroups"]


def test_a_group_is_complete_and_kept_in_lower_case(dms):
    identifier = unique("Group")
    made = make(dms, identifier)
    assert made["ReplicationSubnetGroupIdentifier"] == identifier.lower()
    assert made["SubnetGroupStatus"] == "Complete"
    assert [subnet["SubnetIdentifier"] for subnet in made["Subnets"]] == ["subnet-1", "subnet-2"]
    assert {subnet["SubnetStatus"] for subnet in made["Subnets"]} == {"Active"}
    assert find(dms, identifier.lower()) == [made]


def test_default_and_taken_names_are_refused(dms):
    with refused("InvalidParameterValueException"):
        make(dms, "Default")
    identifier = unique("group")
    make(dms, identifier)
    with refused("ResourceAlreadyExistsFault"):
        make(dms, identifier)


def test_a_group_is_modified_and_deleted(dms):
    identifier = unique("group")
    make(dms, identifier)
    changed = dms.modify_replication_subnet_group(
        ReplicationSubnetGroupIdentifier=identifier,
        ReplicationSubnetGroupDescription="changed",
        SubnetIds=["subnet-3", "subnet-4"],
    )["ReplicationSubnetGroup"]
    assert changed["ReplicationSubnetGroupDescription"] == "changed"
    assert [subnet["SubnetIdentifier"] for subnet in changed["Subnets"]] == ["subnet-3", "subnet-4"]
    dms.delete_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier)
    with refused("ResourceNotFoundFault"):
        find(dms, identifier)
    with refused("ResourceNotFoundFault"):
        dms.delete_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier)


def test_a_group_in_use_stays(dms):
    identifier = unique("group")
    make(dms, identifier)
    instance = make_instance(dms, ReplicationSubnetGroupIdentifier=identifier)
    assert instance["ReplicationSubnetGroup"]["ReplicationSubnetGroupIdentifier"] == identifier
    with refused("InvalidResourceStateFault"):
        dms.delete_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier)


def test_the_subnet_of_an_instance_stays_in_its_group(dms):
    identifier = unique("group")
    make(dms, identifier, ["subnet-1", "subnet-2", "subnet-3"])
    instance = make_instance(dms, ReplicationSubnetGroupIdentifier=identifier, MultiAZ=True)
    change = lambda *subnets: dms.modify_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier, SubnetIds=list(subnets))
    for subnets in (["subnet-2", "subnet-9"], ["subnet-1", "subnet-3"]):
        with refused("SubnetAlreadyInUse", instance["ReplicationInstanceIdentifier"]):
            change(*subnets)
    change("subnet-2", "subnet-1")
    dms.delete_replication_instance(ReplicationInstanceArn=instance["ReplicationInstanceArn"])
    of_instance = [{"Name": "replication-instance-arn", "Values": [instance["ReplicationInstanceArn"]]}]
    dms.get_waiter("replication_instance_deleted").wait(Filters=of_instance, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    change("subnet-8", "subnet-9")


@pytest.mark.parametrize("identifier", ["", "default", "Default", "with space", "with/slash", "ä", "x" * 256])
def test_identifiers_follow_their_rules(dms, identifier):
    with refused("InvalidParameterValueException", "ReplicationSubnetGroupIdentifier"):
        make(dms, identifier)


def test_identifiers_may_have_periods_underscores_and_digits_first(dms):
    identifier = "1." + unique("a_b")
    assert make(dms, identifier)["ReplicationSubnetGroupIdentifier"] == identifier


@pytest.mark.parametrize("subnets", [["subnet-1"], ["subnet-1", "subnet-1"]])
def test_a_group_covers_two_zones(dms, subnets):
    with refused("ReplicationSubnetGroupDoesNotCoverEnoughAZs", "at least 2 subnets"):
        make(dms, unique("group"), subnets)
    identifier = unique("group")
    made = make(dms, identifier)
    with refused("ReplicationSubnetGroupDoesNotCoverEnoughAZs"):
        dms.modify_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier, SubnetIds=subnets)
    assert find(dms, identifier) == [made]
    assert len({subnet["SubnetAvailabilityZone"]["Name"] for subnet in made["Subnets"]}) == 2


def test_an_instance_lies_in_a_zone_of_its_group(dms):
    identifier = unique("group")
    made = make(dms, identifier, ["subnet-1", "subnet-2"])
    first, second = [subnet["SubnetAvailabilityZone"]["Name"] for subnet in made["Subnets"]]
    with refused("InvalidParameterValueException", "mars-1x"):
        make_instance(dms, ReplicationSubnetGroupIdentifier=identifier, AvailabilityZone="mars-1x")
    with refused("ReplicationSubnetGroupDoesNotCoverEnoughAZs", first[:-1] + "c"):
        make_instance(dms, ReplicationSubnetGroupIdentifier=identifier, AvailabilityZone=first[:-1] + "c")
    instance = make_instance(dms, ReplicationSubnetGroupIdentifier=identifier, AvailabilityZone=second)
    assert instance["AvailabilityZone"] == second
    assert make_instance(dms)["AvailabilityZone"] == first


def test_a_standby_that_comes_later_lies_in_a_zone_of_the_group_too(dms):
    identifier = unique("group")
    make(dms, identifier, ["subnet-1", "subnet-2", "subnet-3"])
    zones = {subnet["SubnetIdentifier"]: subnet["SubnetAvailabilityZone"]["Name"] for subnet in find(dms, identifier)[0]["Subnets"]}
    instance, _ = [
        make_instance(dms, ReplicationSubnetGroupIdentifier=identifier, AvailabilityZone=zones[subnet])
        for subnet in ("subnet-1", "subnet-3")
    ]
    # Which leaves the first zone and the last.
    dms.modify_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier, SubnetIds=["subnet-1", "subnet-3"])
    arn = instance["ReplicationInstanceArn"]
    dms.modify_replication_instance(ReplicationInstanceArn=arn, MultiAZ=True, ApplyImmediately=True)
    of_instance = [{"Name": "replication-instance-arn", "Values": [arn]}]
    dms.get_waiter("replication_instance_available").wait(Filters=of_instance, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    changed = dms.describe_replication_instances(Filters=of_instance)["ReplicationInstances"][0]
    assert (changed["AvailabilityZone"], changed["SecondaryAvailabilityZone"]) == (zones["subnet-1"], zones["subnet-3"])


def test_a_subnet_in_use_keeps_its_zone(dms):
    identifier = unique("group")
    make(dms, identifier, ["subnet-1", "subnet-2"])
    make_instance(dms, ReplicationSubnetGroupIdentifier=identifier)
    zone = lambda: {
        subnet["SubnetIdentifier"]: subnet["SubnetAvailabilityZone"]["Name"] for subnet in find(dms, identifier)[0]["Subnets"]
    }
    before = zone()["subnet-1"]
    for subnets in (["subnet-2", "subnet-1"], ["subnet-9", "subnet-1"]):
        dms.modify_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier, SubnetIds=subnets)
        assert zone()["subnet-1"] == before
        assert len(set(zone().values())) == 2
    with refused("SubnetAlreadyInUse", "subnet-1"):
        dms.modify_replication_subnet_group(ReplicationSubnetGroupIdentifier=identifier, SubnetIds=["subnet-9", "subnet-2"])
