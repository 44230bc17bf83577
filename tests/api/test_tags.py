"""Tags."""

from resources import make_endpoint, make_instance, refused


def tags(dms, arn):
    return {tag["Key"]: tag["Value"] for tag in dms.list_tags_for_resource(ResourceArn=arn)["TagList"]}


def test_tags_given_at_creation_are_listed(dms):
    made = make_instance(dms, Tags=[{"Key": "team", "Value": "birds"}, {"Key": "empty"}])
    assert tags(dms, made["ReplicationInstanceArn"]) == {"team": "birds", "empty": ""}


def test_tags_are_added_replaced_and_removed(dms):
    arn = make_endpoint(dms)["EndpointArn"]
    dms.add_tags_to_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    dms.add_tags_to_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    assert tags(dms, arn) == {"a": "3", "b": "2"}
    dms.remove_tags_from_resource(ResourceArn=arn, TagKeys=["a", "not-there"])
    assert tags(dms, arn) == {"b": "2"}


def test_tags_of_several_resources_say_whose_they_are(dms):
    arns = [make_endpoint(dms, Tags=[{"Key": "n", "Value": str(n)}])["EndpointArn"] for n in range(2)]
    listed = dms.list_tags_for_resource(ResourceArnList=arns)["TagList"]
    assert [(tag["ResourceArn"], tag["Value"]) for tag in listed] == [(arns[0], "0"), (arns[1], "1")]


def test_reserved_and_oversized_tags_are_refused(dms):
    arn = make_endpoint(dms)["EndpointArn"]
    for tag in ({"Key": "aws:x"}, {"Key": "dms:x"}, {"Key": "k" * 129}, {"Key": "k", "Value": "v" * 257}, {"Key": ""}):
        with refused("InvalidParameterValueException"):
            dms.add_tags_to_resource(ResourceArn=arn, Tags=[tag])


def test_unknown_resources_have_no_tags(dms):
    for arn in ("nonsense", make_endpoint(dms)["EndpointArn"] + "X"):
        with refused("ResourceNotFoundFault"):
            dms.list_tags_for_resource(ResourceArn=arn)
        with refused("ResourceNotFoundFault"):
            dms.add_tags_to_resource(ResourceArn=arn, Tags=[{"Key": "k", "Value": "v"}])
