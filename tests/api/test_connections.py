"""Connections."""

import pytest

from resources import QUICK, an_instance, ca_of, connect, endpoint_of, make_endpoint, make_instance, refused, unique, make_task, start
from conftest import wait_until

ENGINES = ["postgres15", "postgres18", "mariadb1011", "mysql97"]


def arns(instance, endpoint):
    return {
        "ReplicationInstanceArn": instance["ReplicationInstanceArn"],
        "EndpointArn": endpoint["EndpointArn"],
    }


def find(dms, **filters):
    listed = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
    return dms.describe_connections(Filters=listed)["Connections"]


def outcome(dms, instance, endpoint):
    """Tests and waits for an end, whichever."""
    dms.test_connection(**arns(instance, endpoint))
    seen = {}

    def is_over():
        [seen["connection"]] = find(dms, endpoint_arn=[endpoint["EndpointArn"]])
        return seen["connection"]["Status"] != "testing"

    wait_until(is_over, 90, "the test is over")
    return seen["connection"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_connection_is_testing_then_successful(dms, servers, engine):
    instance, endpoint = make_instance(dms, unique("Upper-Case")), endpoint_of(dms, "source", servers[engine])
    answer = dms.test_connection(**arns(instance, endpoint))["Connection"]
    assert answer["Status"] == "testing"
    filters = [{"Name": "endpoint-arn", "Values": [endpoint["EndpointArn"]]}]
    dms.get_waiter("test_connection_succeeds").wait(Filters=filters, WaiterConfig=QUICK)
    [found] = dms.describe_connections(Filters=filters)["Connections"]
    assert found == {
        **arns(instance, endpoint),
        "Status": "successful",
        "EndpointIdentifier": endpoint["EndpointIdentifier"],
        "ReplicationInstanceIdentifier": instance["ReplicationInstanceIdentifier"].lower(),
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ServerName": "no-such-host.invalid"}, ["no-such-host.invalid"]),
        ({"Port": 1}, ["127.0.0.1:1", ": nothing listens at this port"]),
        ({"Password": "wrong-password-of-mine"}, ["password"]),
        ({"DatabaseName": "no_such_database"}, ["no_such_database"]),
    ],
    ids=["name", "port", "password", "database"],
)
def test_a_failure_names_what_went_wrong(dms, servers, engine, change, words):
    endpoint = endpoint_of(dms, "source", servers[engine], **change)
    connection = outcome(dms, an_instance(dms), endpoint)
    assert connection["Status"] == "failed"
    for word in words:
        assert word in connection["LastFailureMessage"]
    assert "wrong-password-of-mine" not in connection["LastFailureMessage"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_certificate_of_the_endpoint_is_used(dms, servers, engine):
    server = servers[engine]
    certificate = dms.import_certificate(CertificateIdentifier=unique("ca"), CertificatePem=ca_of(server))["Certificate"]
    instance = an_instance(dms)
    trusted = endpoint_of(
        dms, "source", server, SslMode="verify-full", CertificateArn=certificate["CertificateArn"]
    )
    assert connect(dms, instance, trusted)["Status"] == "successful"
    untrusted = endpoint_of(dms, "source", server, SslMode="verify-full")
    connection = outcome(dms, instance, untrusted)
    assert connection["Status"] == "failed"
    assert "certificate" in connection["LastFailureMessage"]


def test_a_changed_password_takes_effect(dms, servers):
    instance, endpoint = an_instance(dms), endpoint_of(dms, "source", servers["postgres15"], Password="wrong")
    assert outcome(dms, instance, endpoint)["Status"] == "failed"
    dms.modify_endpoint(EndpointArn=endpoint["EndpointArn"], Password=servers["postgres15"].password)
    assert connect(dms, instance, endpoint)["Status"] == "successful"


def test_a_modification_that_changes_nothing_leaves_the_connection(dms, servers):
    server = servers["postgres15"]
    instance, endpoint = an_instance(dms), endpoint_of(dms, "source", server)
    connect(dms, instance, endpoint)
    same = {"ServerName": endpoint["ServerName"], "Port": endpoint["Port"], "Username": endpoint["Username"]}
    dms.modify_endpoint(EndpointArn=endpoint["EndpointArn"], Password=server.password, **same)
    [kept] = find(dms, endpoint_arn=[endpoint["EndpointArn"]])
    assert kept["Status"] == "successful"
    dms.modify_endpoint(EndpointArn=endpoint["EndpointArn"], Password="another")
    assert find(dms, endpoint_arn=[endpoint["EndpointArn"]]) == []


def test_what_does_not_exist_cannot_be_tested(dms):
    instance, endpoint = an_instance(dms), make_endpoint(dms)
    nobody = {**arns(instance, endpoint), "EndpointArn": endpoint["EndpointArn"] + "X"}
    with refused("ResourceNotFoundFault"):
        dms.test_connection(**nobody)
    nobody = {**arns(instance, endpoint), "ReplicationInstanceArn": instance["ReplicationInstanceArn"] + "X"}
    with refused("ResourceNotFoundFault"):
        dms.test_connection(**nobody)
    with refused("ResourceNotFoundFault"):
        dms.delete_connection(**arns(instance, endpoint))
    with refused("ResourceNotFoundFault"):
        find(dms, endpoint_arn=[endpoint["EndpointArn"] + "X"])
    assert find(dms, endpoint_arn=[endpoint["EndpointArn"]]) == []


def test_filters_take_several_values_and_match_all_of_them(dms):
    instances = [make_instance(dms), make_instance(dms)]
    endpoints = [make_endpoint(dms) for _ in range(2)]
    for instance in instances:
        for endpoint in endpoints:
            dms.test_connection(**arns(instance, endpoint))
    instance_arns = [instance["ReplicationInstanceArn"] for instance in instances]
    endpoint_arns = [endpoint["EndpointArn"] for endpoint in endpoints]
    assert len(find(dms, endpoint_arn=endpoint_arns)) == 4
    assert len(find(dms, endpoint_arn=endpoint_arns[:1])) == 2
    assert len(find(dms, replication_instance_arn=instance_arns)) == 4
    [one] = find(dms, endpoint_arn=endpoint_arns[:1], replication_instance_arn=instance_arns[1:])
    assert (one["EndpointArn"], one["ReplicationInstanceArn"]) == (endpoint_arns[0], instance_arns[1])
    twice = [{"Name": "endpoint-arn", "Values": values} for values in (endpoint_arns, endpoint_arns[1:])]
    found = dms.describe_connections(Filters=twice)["Connections"]
    assert {connection["EndpointArn"] for connection in found} == {endpoint_arns[1]}
    with refused("InvalidParameterValueException"):
        find(dms, status=["successful"])


def test_a_deleted_connection_is_gone(dms):
    instance, endpoint = an_instance(dms), make_endpoint(dms)
    outcome(dms, instance, endpoint)
    answer = dms.delete_connection(**arns(instance, endpoint))["Connection"]
    assert answer["Status"] == "deleting"
    wait_until(lambda: find(dms, endpoint_arn=[endpoint["EndpointArn"]]) == [], 30, "the connection is gone")


def test_a_connection_that_a_task_needs_is_told_at_its_start(dms):
    instance, source, target = an_instance(dms), make_endpoint(dms), make_endpoint(dms, "target")
    task = make_task(dms, instance, source, target)
    with refused("InvalidResourceStateFault", "Test connection", "should be successful for starting the replication task"):
        start(dms, task)


def test_pages_hold_what_stays_while_connections_come_and_go(dms):
    instance = make_instance(dms)
    endpoints = [make_endpoint(dms) for _ in range(45)]
    for endpoint in endpoints:
        dms.test_connection(**arns(instance, endpoint))
    filters = [{"Name": "replication-instance-arn", "Values": [instance["ReplicationInstanceArn"]]}]
    first = dms.describe_connections(Filters=filters, MaxRecords=20)
    assert len(first["Connections"]) == 20
    last_seen = first["Connections"][-1]
    dms.delete_endpoint(EndpointArn=last_seen["EndpointArn"])
    dms.delete_endpoint(EndpointArn=first["Connections"][0]["EndpointArn"])
    newcomer = make_endpoint(dms)
    dms.test_connection(**arns(instance, newcomer))
    second = dms.describe_connections(Filters=filters, MaxRecords=20, Marker=first["Marker"])
    third = dms.describe_connections(Filters=filters, MaxRecords=20, Marker=second["Marker"])
    assert not third.get("Marker")
    seen = [c["EndpointArn"] for page in (first, second, third) for c in page["Connections"]]
    assert seen == [endpoint["EndpointArn"] for endpoint in [*endpoints, newcomer]]
    paginator = dms.get_paginator("describe_connections")

    def count():
        pages = paginator.paginate(Filters=filters, PaginationConfig={"PageSize": 20})
        return len([c for page in pages for c in page["Connections"]])

    wait_until(lambda: count() == 44, 30, "the deleted ones are gone", lambda: str(count()))


def test_pages_have_their_bounds(dms):
    for count in (19, 101, 0, -1):
        with refused("InvalidParameterValueException"):
            dms.describe_connections(MaxRecords=count)
    with refused("InvalidParameterValueException", "Marker"):
        dms.describe_connections(Marker="nonsense")
    assert "Connections" in dms.describe_connections(Marker="", MaxRecords=100)


def test_the_command_line_shows_connections(dms, aws):
    instance, endpoint = an_instance(dms), make_endpoint(dms)
    outcome(dms, instance, endpoint)
    shown = aws("describe-connections", "--filters", f"Name=endpoint-arn,Values={endpoint['EndpointArn']}")
    [connection] = shown["Connections"]
    assert connection["Status"] == "failed"
    assert connection["EndpointIdentifier"] == endpoint["EndpointIdentifier"]
