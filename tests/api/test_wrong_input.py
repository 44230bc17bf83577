"""Requests that are wrong in one way each, as a hand-written client would send them, and what is answered."""

import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from conftest import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, wait_until
from resources import (
    an_instance,
    connect,
    describe_task,
    endpoint_of,
    make_endpoint,
    make_instance,
    make_task,
    mappings_of,
    refused,
    start,
    table_statistics,
    unique,
)

TARGET = "AmazonDMSv20160101."


def post(whimbrel, operation, body, signed=True, target=TARGET, **headers):
    """Sends a request whose body may be anything; gives the status and the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Content-Type": "application/x-amz-json-1.1", **headers}
    if operation is not None:
        all_headers["X-Amz-Target"] = target + operation
    request = botocore.awsrequest.AWSRequest("POST", whimbrel.url + "/", data=data, headers=all_headers)
    if signed:
        key = botocore.credentials.Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
        botocore.auth.SigV4Auth(key, "dms", REGION).add_auth(request)
    return send(urllib.request.Request(request.url, data, dict(request.headers)))


def send(request):
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def check_fault(answer, code, *words):
    status, body = answer
    assert (status, body["__type"]) == (400, code), body
    for word in words:
        assert word in body["message"], body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", ["JSON", "line 1"]),
        (b"[]", ["JSON object"]),
        (b"7", ["JSON object"]),
        (b"{'a': 1}", ["JSON"]),
        (b'{"Marker": "\xff"}', ["JSON"]),
        (b'{"Marker": "a", "Marker": "b"}', ["Marker", "twice"]),
        (b'{"Filters": ' + b"[" * 2000 + b"]" * 2000 + b"}", ["JSON"]),
    ],
    ids=["cut", "list", "number", "quotes", "no-utf-8", "twice", "deep"],
)
def test_a_body_that_is_no_json_object_is_refused(whimbrel, body, words):
    check_fault(post(whimbrel, "DescribeConnections", body), "SerializationException", *words)


def test_an_empty_body_is_an_empty_request(whimbrel):
    assert post(whimbrel, "DescribeEndpointTypes", b"")[0] == 200


@pytest.mark.parametrize(
    ("operation", "target"),
    [
        ("DescribeEverything", TARGET),
        ("describeConnections", TARGET),
        ("DescribeConnections", "AmazonDMSv20990101."),
        (None, ""),
    ],
)
def test_an_operation_that_is_not_there_is_refused(whimbrel, operation, target):
    check_fault(post(whimbrel, operation, {}, target=target), "UnknownOperationException", "operation")


@pytest.mark.parametrize(
    ("operation", "body", "code", "words"),
    [
        ("CreateEndpoint", {}, "InvalidParameterValueException", ["EndpointIdentifier"]),
        ("DescribeConnections", {"MaxRecords": "20"}, "SerializationException", ["MaxRecords"]),
        ("DescribeConnections", {"MaxRecords": 20.5}, "SerializationException", ["MaxRecords"]),
        ("DescribeConnections", {"MaxRecords": 5000000000}, "SerializationException", ["MaxRecords"]),
        ("DescribeConnections", {"Filters": {"Name": "x"}}, "SerializationException", ["Filters must be a list"]),
        ("DescribeConnections", {"Filters": [7]}, "SerializationException", ["Filters[0] must be an object"]),
        ("DescribeConnections", {"Filters": [{"Name": "endpoint-arn"}]}, "InvalidParameterValueException", ["Filters[0].Values"]),
        ("DescribeConnections", {"Filters": [{"Name": "x", "Values": ["y"]}]}, "InvalidParameterValueException", ["x"]),
        ("DescribeConnections", {"Marker": 7}, "SerializationException", ["Marker must be text"]),
        ("DescribeConnections", {"Marker": "made up"}, "InvalidParameterValueException", ["arker"]),
        ("DescribeReplicationTasks", {"WithoutSettings": "yes"}, "SerializationException", ["WithoutSettings must be true or false"]),
        ("DescribeEvents", {"StartTime": "now"}, "SerializationException", ["StartTime", "seconds since 1970"]),
        ("DescribeEvents", {"StartTime": 1e300}, "SerializationException", ["StartTime", "9999"]),
        ("TestConnection", {"ReplicationInstanceArn": None, "EndpointArn": "x"}, "InvalidParameterValueException", ["ReplicationInstanceArn"]),
    ],
)
def test_members_of_the_wrong_kind_are_named(whimbrel, operation, body, code, words):
    check_fault(post(whimbrel, operation, body), code, *words)


def test_members_that_are_not_known_are_passed_over_and_named_in_the_log(whimbrel):
    body = {"Colour": "value-of-no-member", "Filters": [{"Name": "endpoint-arn", "Values": [], "Shade\n": 1}]}
    check_fault(post(whimbrel, "DescribeConnections", body), "InvalidParameterValueException", "endpoint-arn")
    assert post(whimbrel, "DescribeConnections", {"Colour": "value-of-no-member"})[0] == 200
    [first, second] = [line for line in whimbrel.log().splitlines() if '"Colour"' in line][-2:]
    assert "WARN" in first and "DescribeConnections" in first and '"Filters[0].Shade\\n"' in first
    assert "Filters" not in second
    assert "value-of-no-member" not in whimbrel.log()


ARNS = [
    "",
    "nonsense",
    "arn:aws:dms:eu-central-1:000000000000:endpoint:",
    "arn:aws:dms:us-east-1:000000000000:endpoint:X",
    "arn:aws:dms:eu-central-1:999999999999:endpoint:X",
    "arn:aws:s3:::bucket",
    "arn:aws:dms:eu-central-1:000000000000:rep:X",
    "x" * 5000,
]


@pytest.mark.parametrize("arn", ARNS, ids=range(len(ARNS)))
def test_an_arn_of_nothing_finds_nothing(whimbrel, arn):
    for operation, body in [
        ("DeleteEndpoint", {"EndpointArn": arn}),
        ("DeleteReplicationTask", {"ReplicationTaskArn": arn}),
        ("DeleteReplicationInstance", {"ReplicationInstanceArn": arn}),
        ("TestConnection", {"ReplicationInstanceArn": arn, "EndpointArn": arn}),
        ("DescribeSchemas", {"EndpointArn": arn}),
        ("DescribeTableStatistics", {"ReplicationTaskArn": arn}),
        ("ListTagsForResource", {"ResourceArn": arn}),
    ]:
        status, answer = post(whimbrel, operation, body)
        assert status == 400, (operation, answer)
        assert answer["__type"] in ("ResourceNotFoundFault", "InvalidParameterValueException"), (operation, answer)
        assert answer["message"]


def test_unsigned_and_wrongly_signed_requests_are_refused(whimbrel):
    check_fault(post(whimbrel, "DescribeConnections", {}, signed=False), "MissingAuthenticationTokenException")
    answer = post(whimbrel, "DescribeConnections", {}, signed=False, Authorization="AWS4-HMAC-SHA256 nonsense")
    check_fault(answer, "IncompleteSignatureException")
    with refused("UnrecognizedClientException"):
        whimbrel.client(aws_access_key_id="AKIANOTHERE").describe_connections()
    with refused("InvalidSignatureException"):
        whimbrel.client(aws_secret_access_key="wrong").describe_connections()


def test_other_methods_and_paths_are_no_api(whimbrel):
    for method, path in [("GET", "/"), ("PUT", "/"), ("POST", "/other"), ("GET", "/../etc/passwd")]:
        request = urllib.request.Request(whimbrel.url + path, method=method)
        try:
            status = urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as error:
            status = error.code
        assert status in (404, 405), (method, path)


def test_the_command_line_shows_the_fault(whimbrel):
    done = whimbrel.aws("describe-connections", "--filters", "Name=colour,Values=red", check=False)
    assert done.returncode != 0
    assert "InvalidParameterValueException" in done.stderr and "colour" in done.stderr
    done = whimbrel.aws("test-connection", "--replication-instance-arn", "x", "--endpoint-arn", "y", check=False)
    assert done.returncode != 0 and "ResourceNotFoundFault" in done.stderr


def failure_of(dms, endpoint):
    """Tests a connection that is to fail; gives its message."""
    arns = {
        "ReplicationInstanceArn": an_instance(dms)["ReplicationInstanceArn"],
        "EndpointArn": endpoint["EndpointArn"],
    }
    dms.test_connection(**arns)
    seen = {}

    def is_over():
        filters = [{"Name": "endpoint-arn", "Values": [arns["EndpointArn"]]}]
        [seen["connection"]] = dms.describe_connections(Filters=filters)["Connections"]
        return seen["connection"]["Status"] != "testing"

    wait_until(is_over, 90, "the test is over")
    assert seen["connection"]["Status"] == "failed"
    return seen["connection"]["LastFailureMessage"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PostgreSQLSettings": {"AuthenticationMethod": "iam"}}, ["AuthenticationMethod iam is not supported", "password"]),
        ({"PostgreSQLSettings": {"DatabaseMode": "babelfish"}, "EndpointType": "target"}, ["babelfish is not supported"]),
        ({"ExtraConnectionAttributes": "connectionTimeout=soon"}, ["ConnectionTimeout is soon", "1 to 300"]),
        (
            {"EngineName": "mysql", "MySQLSettings": {"AfterConnectScript": "SET a = 'x"}},
            ["AfterConnectScript has a quote that does not end"],
        ),
        ({"EngineName": "oracle"}, ["oracle is not supported"]),
    ],
)
def test_settings_that_cannot_be_served_fail_the_connection_test(dms, settings, words):
    role = settings.get("EndpointType", "source")
    more = {name: value for name, value in settings.items() if name != "EndpointType"}
    message = failure_of(dms, make_endpoint(dms, role, **more))
    for word in words:
        assert word in message, message


def test_a_login_in_a_secrets_manager_fails_the_connection_test(dms):
    made = dms.create_endpoint(
        EndpointIdentifier=unique("secret"),
        EndpointType="source",
        EngineName="postgres",
        PostgreSQLSettings={
            "SecretsManagerSecretId": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:x",
            "SecretsManagerAccessRoleArn": "arn:aws:iam::000000000000:role/x",
        },
    )["Endpoint"]
    assert "Secrets Manager" in failure_of(dms, made)


@pytest.mark.parametrize("login", [{"ServerName": "h"}, {"Username": "u"}, {"Password": "p"}])
def test_a_secrets_manager_and_a_login_beside_it_are_refused(dms, login):
    secret = {
        "SecretsManagerSecretId": "arn:aws:secretsmanager:eu-central-1:000000000000:secret:x",
        "SecretsManagerAccessRoleArn": "arn:aws:iam::000000000000:role/x",
    }
    with refused("InvalidParameterCombinationException", "password"):
        dms.create_endpoint(
            EndpointIdentifier=unique("secret"), EndpointType="source", EngineName="postgres", PostgreSQLSettings=secret, **login
        )


def test_a_specific_database_must_be_named(dms):
    settings = {"EngineName": "mysql", "DatabaseName": "", "MySQLSettings": {"TargetDbType": "specific-database"}}
    with refused("InvalidParameterCombinationException", "DatabaseName"):
        make_endpoint(dms, "target", **settings)


def test_an_attribute_with_an_open_quote_is_refused(dms):
    with refused("InvalidParameterValueException", "ExtraConnectionAttributes"):
        make_endpoint(dms, EngineName="mysql", ExtraConnectionAttributes="initstmt='SET a = 1")
    with refused("InvalidParameterValueException", "sslmode"):
        make_endpoint(dms, ExtraConnectionAttributes="sslmode=require")


def test_a_user_without_rights_is_told_what_is_missing(dms, servers):
    server = servers["postgres15"]
    name = unique("locked").replace("-", "_")
    server.sql(f"create database {name}")
    server.sql(f"revoke connect on database {name} from public; create role {name} login password 'p'")
    try:
        endpoint = endpoint_of(dms, "source", server, name, Username=name, Password="p")
        assert "GRANT CONNECT" in failure_of(dms, endpoint)
    finally:
        server.sql(f"drop database {name}")
        server.sql(f"drop role {name}")


def test_something_else_at_the_port_is_told(dms, whimbrel):
    for engine in ("postgres", "mysql", "mariadb"):
        endpoint = make_endpoint(
            dms, EngineName=engine, Port=whimbrel.port, ExtraConnectionAttributes="connectionTimeout=3"
        )
        message = failure_of(dms, endpoint)
        assert "listens at this port" in message or "host and port are right" in message, message


def test_a_table_that_the_user_may_not_read_ends_in_its_own_error(dms, servers):
    source, target = servers["postgres15"], servers["postgres18"]
    name = unique("shut").replace("-", "_")
    source.sql(f"create schema {name}; create role {name} login password 'p'; grant usage on schema {name} to {name}")
    source.sql(f"create table {name}.a (id int primary key); create table {name}.b (id int primary key)")
    source.sql(f"insert into {name}.a values (1); insert into {name}.b values (1); grant select on {name}.a to {name}")
    try:
        ends = [
            endpoint_of(dms, "source", source, Username=name, Password="p"),
            endpoint_of(dms, "target", target),
        ]
        for end in ends:
            connect(dms, an_instance(dms), end)
        task = make_task(dms, an_instance(dms), *ends, TableMappings=mappings_of(name))
        start(dms, task)
        wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the task is over")
        states = {table: t["TableState"] for table, t in table_statistics(dms, task).items()}
        assert states == {"a": "Table completed", "b": "Table error"}, describe_task(dms, task)
    finally:
        source.sql(f"drop schema {name} cascade; drop role {name}")
        target.sql(f"drop schema if exists {name} cascade")


def test_the_resource_that_is_in_the_way_is_named(dms, whimbrel):
    made = make_endpoint(dms)
    body = {
        "EndpointIdentifier": made["EndpointIdentifier"],
        "EndpointType": "target",
        "EngineName": "mysql",
        "ServerName": "db",
        "Username": "u",
    }
    status, answer = post(whimbrel, "CreateEndpoint", body)
    assert (status, answer["__type"]) == (400, "ResourceAlreadyExistsFault")
    assert answer["resourceArn"] == made["EndpointArn"]


def test_keys_that_are_none_are_refused(dms):
    with refused("KMSKeyNotAccessibleFault", "nonsense"):
        make_endpoint(dms, KmsKeyId="nonsense")
    with refused("KMSKeyNotAccessibleFault"):
        make_instance(dms, KmsKeyId="arn:aws:s3:::bucket")
    assert make_endpoint(dms, KmsKeyId="alias/mine")["KmsKeyId"] == "alias/mine"


def test_a_server_without_tls_is_told(dms):
    def refuse_tls():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(8)
                    connection.sendall(b"N")
                    connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse_tls, daemon=True).start()
        endpoint = make_endpoint(dms, Port=listener.getsockname()[1], SslMode="require")
        message = failure_of(dms, endpoint)
        assert "does not offer TLS" in message and "SSL mode" in message
        listener.shutdown(socket.SHUT_RDWR)
