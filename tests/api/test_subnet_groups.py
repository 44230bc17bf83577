"""Subnet groups."""

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
