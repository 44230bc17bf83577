"""Endpoints."""

import pytest

from conftest import wait_until
from resources import QUICK, an_instance, make_endpoint, make_task, refused, unique


def find(dms, **filters):
    listed = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
    return dms.describe_endpoints(Filters=listed)["Endpoints"]


def test_an_endpoint_is_active_at_once_and_its_password_is_never_told(dms):
    made = make_endpoint(dms, Password="planted-password-1")
    assert made["Status"] == "active"
    assert made["SslMode"] == "none"
    [found] = find(dms, endpoint_arn=[made["EndpointArn"]])
    assert "planted-password-1" not in repr([made, found])
    assert found["EndpointIdentifier"] == made["EndpointIdentifier"]
    assert found["PostgreSQLSettings"]["ServerName"] == "127.0.0.1"
    assert "Password" not in found["PostgreSQLSettings"]


def test_login_given_in_the_settings_alone_is_as_good(dms):
    made = dms.create_endpoint(
        EndpointIdentifier=unique("settings"),
        EndpointType="target",
        EngineName="mysql",
        MySQLSettings={"ServerName": "db.example", "Port": 3307, "Username": "u", "Password": "planted-password-2"},
    )["Endpoint"]
    assert (made["ServerName"], made["Port"], made["Username"]) == ("db.example", 3307, "u")
    assert "planted-password-2" not in repr(made)


def test_a_server_must_be_given(dms):
    with refused("InvalidParameterValueException", "serverName"):
        make_endpoint(dms, ServerName="")


@pytest.mark.parametrize("identifier", ["1x", "x-", "x--y", "x_y", "-x", "a b"])
def test_identifiers_follow_their_rules(dms, identifier):
    with refused("InvalidParameterValueException"):
        make_endpoint(dms, identifier=identifier)


def test_an_identifier_is_taken_once(dms):
    made = make_endpoint(dms)
    with refused("ResourceAlreadyExistsFault"):
        make_endpoint(dms, identifier=made["EndpointIdentifier"])


def test_unknown_engines_and_attributes_are_refused(dms):
    with refused("InvalidParameterValueException"):
        make_endpoint(dms, EngineName="dbase")
    with refused("InvalidParameterValueException", "nonsense"):
        make_endpoint(dms, ExtraConnectionAttributes="nonsense=1")


@pytest.mark.parametrize(
    "engine, attribute, allowed",
    [
        ("postgres", "FailTasksOnLobTruncation=perhaps", "true or false"),
        ("postgres", "mapUnboundedNumericAsString=maybe", "true or false"),
        ("postgres", "pluginName=foo", "test-decoding"),
        ("postgres", "heartbeatFrequency=0", "between 1 and"),
        ("mysql", "targetDbType=EVERY_DATABASE", "multiple-databases"),
        ("mariadb", "parallelLoadThreads=many", "between 1 and 5"),
    ],
)
def test_attributes_are_checked_like_the_settings_of_their_name(dms, engine, attribute, allowed):
    with refused("InvalidParameterValueException", allowed):
        make_endpoint(dms, EngineName=engine, ExtraConnectionAttributes=attribute)


@pytest.mark.parametrize(
    "engine, attribute",
    [("postgres", "password=hunter2"), ("oracle", "asmPassword=hunter2"), ("kafka", "topic=t;SASLPASSWORD=hunter2")],
)
def test_attributes_hold_no_secrets(dms, engine, attribute):
    settings = {"KafkaSettings": {"Broker": "localhost:9092"}} if engine == "kafka" else {}
    with refused("InvalidParameterValueException", "would be shown"):
        make_endpoint(dms, "target" if engine == "kafka" else "source", EngineName=engine, ExtraConnectionAttributes=attribute, **settings)


def test_attributes_are_spelled_as_attributes_are(dms):
    make_endpoint(dms, ExtraConnectionAttributes="FailTasksOnLobTruncation=Y;pluginName=TEST_DECODING;captureDdls=0")
    make_endpoint(dms, "target", EngineName="mysql", ExtraConnectionAttributes="targetDbType=MULTIPLE_DATABASES")


def test_tls_modes_are_those_of_the_engine(dms):
    with refused("InvalidParameterValueException"):
        make_endpoint(dms, EngineName="mysql", SslMode="require")
    assert make_endpoint(dms, SslMode="require")["SslMode"] == "require"
    with refused("InvalidParameterValueException", "Valid values: none"):
        make_endpoint(dms, "target", EngineName="kafka", SslMode="verify-full")


def test_certificates_of_other_services_and_unknown_ones_are_refused(dms):
    with refused("InvalidParameterValueException"):
        make_endpoint(dms, CertificateArn="arn:aws:acm:eu-central-1:000000000000:certificate/x")
    with refused("ResourceNotFoundFault"):
        make_endpoint(dms, CertificateArn="arn:aws:dms:eu-central-1:000000000000:cert:NOTHERE")


def test_filters_select_and_match_all_of_them(dms):
    source, target = make_endpoint(dms), make_endpoint(dms, "target", EngineName="mariadb")
    arns = [source["EndpointArn"], target["EndpointArn"]]
    assert [e["EndpointArn"] for e in find(dms, endpoint_arn=arns)] == arns
    assert [e["EndpointArn"] for e in find(dms, endpoint_arn=arns, endpoint_type=["target"])] == arns[1:]
    assert [e["EndpointArn"] for e in find(dms, endpoint_arn=arns, engine_name=["postgres"])] == arns[:1]
    assert [e["EndpointArn"] for e in find(dms, endpoint_id=[target["EndpointIdentifier"]])] == arns[1:]
    assert [e["EndpointArn"] for e in find(dms, endpoint_arn=arns, engine_name=["MariaDB"])] == arns[1:]
    with refused("ResourceNotFoundFault", "No Endpoints found matching provided filters"):
        find(dms, endpoint_id=["nobody"])


def test_modification_changes_what_is_given_and_keeps_the_rest(dms):
    made = make_endpoint(dms, PostgreSQLSettings={"ExecuteTimeout": 7})
    name = unique("renamed")
    changed = dms.modify_endpoint(
        EndpointArn=made["EndpointArn"],
        EndpointIdentifier=name,
        Port=5433,
        PostgreSQLSettings={"CaptureDdls": False},
    )["Endpoint"]
    assert (changed["EndpointIdentifier"], changed["Port"], changed["Username"]) == (name, 5433, "nobody")
    assert changed["PostgreSQLSettings"]["ExecuteTimeout"] == 7
    assert changed["PostgreSQLSettings"]["CaptureDdls"] is False
    exact = dms.modify_endpoint(
        EndpointArn=made["EndpointArn"], ExactSettings=True, PostgreSQLSettings={"CaptureDdls": True}
    )["Endpoint"]
    assert "ExecuteTimeout" not in exact["PostgreSQLSettings"]


def test_a_secret_takes_the_place_of_a_login_and_the_other_way_round(dms):
    made = make_endpoint(dms)
    arn = {"EndpointArn": made["EndpointArn"]}
    secret = {"SecretsManagerSecretId": "a-secret", "SecretsManagerAccessRoleArn": "arn:aws:iam::123456789012:role/r"}
    with refused("InvalidParameterCombinationException"):
        dms.modify_endpoint(**arn, ServerName="localhost", PostgreSQLSettings=secret)
    changed = dms.modify_endpoint(**arn, PostgreSQLSettings=secret)["Endpoint"]
    assert not {"ServerName", "Username", "Port"} & (changed.keys() | changed["PostgreSQLSettings"].keys())
    assert changed["PostgreSQLSettings"]["SecretsManagerSecretId"] == "a-secret"
    login = {"ServerName": "localhost", "Username": "nobody", "Password": "planted-password-4"}
    changed = dms.modify_endpoint(**arn, **login)["Endpoint"]
    assert changed["ServerName"] == "localhost"
    assert "SecretsManagerSecretId" not in changed["PostgreSQLSettings"]


def test_servers_that_need_no_user(dms):
    mongo = dms.create_endpoint(
        EndpointIdentifier=unique("mongo"),
        EndpointType="source",
        EngineName="mongodb",
        MongoDbSettings={"ServerName": "localhost", "Port": 27017, "AuthType": "no"},
    )["Endpoint"]
    assert (mongo["ServerName"], mongo["Port"]) == ("localhost", 27017)
    redis = dms.create_endpoint(
        EndpointIdentifier=unique("redis"),
        EndpointType="target",
        EngineName="redis",
        RedisSettings={"ServerName": "localhost", "Port": 6379, "AuthType": "none"},
    )["Endpoint"]
    assert (redis["ServerName"], redis["RedisSettings"]["Port"]) == ("localhost", 6379)


def test_a_deleted_endpoint_is_gone(dms):
    made = make_endpoint(dms)
    answer = dms.delete_endpoint(EndpointArn=made["EndpointArn"])
    assert answer["Endpoint"]["Status"] == "deleting"
    filters = [{"Name": "endpoint-arn", "Values": [made["EndpointArn"]]}]
    dms.get_waiter("endpoint_deleted").wait(Filters=filters, WaiterConfig=QUICK)
    with refused("ResourceNotFoundFault"):
        dms.delete_endpoint(EndpointArn=made["EndpointArn"])


def test_an_endpoint_that_a_task_uses_stays(dms):
    source, target = make_endpoint(dms), make_endpoint(dms, "target")
    make_task(dms, an_instance(dms), source, target)
    for endpoint in (source, target):
        with refused("InvalidResourceStateFault"):
            dms.delete_endpoint(EndpointArn=endpoint["EndpointArn"])


def test_types_and_settings_of_engines_are_told(dms):
    types = dms.describe_endpoint_types(Filters=[{"Name": "engine-name", "Values": ["postgres"]}])
    assert {t["EndpointType"] for t in types["SupportedEndpointTypes"]} == {"source", "target"}
    settings = dms.describe_endpoint_settings(EngineName="mysql")["EndpointSettings"]
    assert "ServerTimezone" in {setting["Name"] for setting in settings}


def test_endpoints_of_engines_that_are_not_built_are_kept_and_say_so(dms):
    kafka = dms.create_endpoint(
        EndpointIdentifier=unique("kafka"),
        EndpointType="target",
        EngineName="kafka",
        KafkaSettings={"Broker": "localhost:9092", "SaslUsername": "u", "SaslPassword": "planted-password-3"},
    )["Endpoint"]
    assert kafka["KafkaSettings"] == {"Broker": "localhost:9092", "SaslUsername": "u"}
    ends = {
        "ReplicationInstanceArn": an_instance(dms)["ReplicationInstanceArn"],
        "EndpointArn": kafka["EndpointArn"],
    }
    dms.test_connection(**ends)
    filters = [{"Name": "endpoint-arn", "Values": [kafka["EndpointArn"]]}]

    def connection():
        return dms.describe_connections(Filters=filters)["Connections"][0]

    wait_until(lambda: connection()["Status"] == "failed", 30, "the test is over")
    assert "kafka is not supported by this version" in connection()["LastFailureMessage"]


def test_settings_of_another_engine_are_refused(dms):
    with refused("InvalidParameterCombinationException", "MySQLSettings"):
        make_endpoint(dms, MySQLSettings={"EventsPollInterval": 3})
    with refused("InvalidParameterValueException", "EventsPollInterval"):
        make_endpoint(dms, EngineName="mysql", MySQLSettings={"EventsPollInterval": 99})
