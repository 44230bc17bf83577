"""Schemas of endpoints."""

import pytest

from conftest import wait_until
from resources import an_instance, endpoint_of, make_endpoint, refused


def refresh(dms, instance, endpoint):
    answer = dms.refresh_schemas(
        EndpointArn=endpoint["EndpointArn"], ReplicationInstanceArn=instance["ReplicationInstanceArn"]
    )["RefreshSchemasStatus"]
    assert answer["Status"] == "refreshing"
    seen = {}

    def is_over():
        seen["status"] = dms.describe_refresh_schemas_status(EndpointArn=endpoint["EndpointArn"])["RefreshSchemasStatus"]
        return seen["status"]["Status"] != "refreshing"

    wait_until(is_over, 60, "the schemas are read")
    return seen["status"]


@pytest.mark.parametrize("engine", ["postgres15", "mariadb1011", "mysql97"])
def test_schemas_are_read_and_listed(dms, servers, engine):
    server = servers[engine]
    server.sql("create schema whimbrel_schema_test")
    try:
        endpoint = endpoint_of(dms, "source", server)
        status = refresh(dms, an_instance(dms), endpoint)
        assert status["Status"] == "successful"
        assert status["LastRefreshDate"]
        schemas = dms.describe_schemas(EndpointArn=endpoint["EndpointArn"], MaxRecords=100)["Schemas"]
        assert "whimbrel_schema_test" in schemas
        assert "information_schema" not in schemas
    finally:
        server.sql("drop schema whimbrel_schema_test")


def test_a_failed_refresh_says_why(dms):
    endpoint = make_endpoint(dms)
    status = refresh(dms, an_instance(dms), endpoint)
    assert status["Status"] == "failed"
    assert status["LastFailureMessage"]


def test_schemas_never_read_are_not_found(dms):
    endpoint = make_endpoint(dms)
    with refused("ResourceNotFoundFault"):
        dms.describe_refresh_schemas_status(EndpointArn=endpoint["EndpointArn"])
    with refused("ResourceNotFoundFault"):
        dms.describe_refresh_schemas_status(EndpointArn=endpoint["EndpointArn"] + "X")
    assert dms.describe_schemas(EndpointArn=endpoint["EndpointArn"])["Schemas"] == []
