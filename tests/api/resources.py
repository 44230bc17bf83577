"""Makes resources for tests, under names of their own, and waits for what the service does with them."""

import contextlib
import functools
import itertools
import json
import os
import pathlib
import socket
import threading

import botocore.exceptions
import pytest

QUICK = {"Delay": 1, "MaxAttempts": 60}
INCLUDE_ALL = {
    "rules": [
        {
            "rule-type": "selection",
            "rule-id": "1",
            "rule-name": "1",
            "object-locator": {"schema-name": "%", "table-name": "%"},
            "rule-action": "include",
        }
    ]
}

_numbers = itertools.count(1)


# Several processes run tests at a time, on the same servers.
_process = os.environ.get("PYTEST_XDIST_WORKER", "gw")


def unique(prefix: str) -> str:
    return f"{prefix}-{_process}-{next(_numbers)}"


def ca_of(server) -> str:
    """The certificate of the authority that a database server's certificate is from."""
    return pathlib.Path(server.ca_pem).read_text()


def mappings_of(schema: str, table: str = "%") -> str:
    """Table mappings that include the tables of one schema."""
    rules = json.loads(json.dumps(INCLUDE_ALL))
    rules["rules"][0]["object-locator"] = {"schema-name": schema, "table-name": table}
    return json.dumps(rules)


@contextlib.contextmanager
def refused(code: str, *words: str):
    """The call inside is refused with this fault, whose message holds these words."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield caught
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    for word in words:
        assert word in error["Message"], error


def make_instance(dms, identifier: str | None = None, wait: bool = True, **more) -> dict:
    identifier = identifier or unique("instance")
    made = dms.create_replication_instance(
        ReplicationInstanceIdentifier=identifier,
        ReplicationInstanceClass="dms.t3.medium",
        **more,
    )["ReplicationInstance"]
    if wait:
        dms.get_waiter("replication_instance_available").wait(
            Filters=[{"Name": "replication-instance-arn", "Values": [made["ReplicationInstanceArn"]]}],
            WaiterConfig=QUICK,
        )
    return made


# Tests that share an instance: it is connected to a hundred endpoints at most.
TESTS_PER_INSTANCE = 20
_sharing_tests: dict[str, int] = {}


def an_instance(dms) -> dict:
    """An instance for tests that do nothing to it, the same one throughout a test: an account has room for sixty."""
    test = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
    number = _sharing_tests.setdefault(test, len(_sharing_tests))
    return _shared_instance(dms, number // TESTS_PER_INSTANCE)


@functools.cache
def _shared_instance(dms, _number: int) -> dict:
    return make_instance(dms)


def make_endpoint(dms, role: str = "source", identifier: str | None = None, **more) -> dict:
    settings = {
        "EngineName": "postgres",
        "ServerName": "127.0.0.1",
        "Port": 1,
        "Username": "nobody",
        "Password": "secret-of-nobody",
        "DatabaseName": "postgres",
    }
    return dms.create_endpoint(
        EndpointIdentifier=identifier or unique(role), EndpointType=role, **{**settings, **more}
    )["Endpoint"]


def endpoint_of(dms, role: str, server, database: str | None = None, **more) -> dict:
    """An endpoint on a running database server."""
    settings = {
        "EngineName": server.dms_engine_name,
        "ServerName": server.host,
        "Port": server.port,
        "Username": server.user,
        "Password": server.password,
    }
    if database is not None:
        settings["DatabaseName"] = database
    elif server.is_postgres:
        settings["DatabaseName"] = "postgres"
    return make_endpoint(dms, role, **{**settings, "DatabaseName": settings.get("DatabaseName", ""), **more})


def connect(dms, instance: dict, endpoint: dict) -> dict:
    """Tests a connection and waits for its success."""
    arns = {
        "ReplicationInstanceArn": instance["ReplicationInstanceArn"],
        "EndpointArn": endpoint["EndpointArn"],
    }
    dms.test_connection(**arns)
    filters = [
        {"Name": "endpoint-arn", "Values": [arns["EndpointArn"]]},
        {"Name": "replication-instance-arn", "Values": [arns["ReplicationInstanceArn"]]},
    ]
    try:
        dms.get_waiter("test_connection_succeeds").wait(Filters=filters, WaiterConfig=QUICK)
    except botocore.exceptions.WaiterError as error:
        raise AssertionError(error.last_response) from error
    [connection] = dms.describe_connections(Filters=filters)["Connections"]
    return connection


def make_task(dms, instance: dict, source: dict, target: dict, wait: bool = True, **more) -> dict:
    settings = {
        "ReplicationTaskIdentifier": unique("task"),
        "MigrationType": "full-load",
        "TableMappings": json.dumps(INCLUDE_ALL),
    }
    made = dms.create_replication_task(
        SourceEndpointArn=source["EndpointArn"],
        TargetEndpointArn=target["EndpointArn"],
        ReplicationInstanceArn=instance["ReplicationInstanceArn"],
        **{**settings, **more},
    )["ReplicationTask"]
    if wait:
        wait_for_task(dms, made, "ready")
    return made


def describe_task(dms, task: dict) -> dict:
    filters = [{"Name": "replication-task-arn", "Values": [task["ReplicationTaskArn"]]}]
    [found] = dms.describe_replication_tasks(Filters=filters)["ReplicationTasks"]
    return found


def wait_for_task(dms, task: dict, waiter: str) -> dict:
    """Waits with the SDK's own waiter: `ready`, `running` or `stopped`."""
    filters = [{"Name": "replication-task-arn", "Values": [task["ReplicationTaskArn"]]}]
    try:
        dms.get_waiter(f"replication_task_{waiter}").wait(Filters=filters, WaiterConfig=QUICK)
    except botocore.exceptions.WaiterError as error:
        raise AssertionError(error.last_response) from error
    return describe_task(dms, task)


def start(dms, task: dict, start_type: str = "start-replication", **more) -> dict:
    return dms.start_replication_task(
        ReplicationTaskArn=task["ReplicationTaskArn"], StartReplicationTaskType=start_type, **more
    )["ReplicationTask"]


def table_statistics(dms, task: dict, **filters: list[str]) -> dict[str, dict]:
    """Statistics by table name, through the paginator."""
    pages = dms.get_paginator("describe_table_statistics").paginate(
        ReplicationTaskArn=task["ReplicationTaskArn"],
        Filters=[{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()],
    )
    return {table["TableName"]: table for page in pages for table in page["TableStatistics"]}


def events_of(dms, task: dict) -> list[str]:
    """The messages of a task's events in their order."""
    pages = dms.get_paginator("describe_events").paginate(
        SourceType="replication-task", SourceIdentifier=task["ReplicationTaskIdentifier"]
    )
    return [event["Message"] for page in pages for event in page["Events"]]


class Gate:
    """
    A port that leads to another port of this machine while it is open; shut, it refuses connections, and mute, it never answers new ones.

    What is answered can be held back past a number of bytes, and what is open can be cut.
    """

    def __init__(self, leads_to: int):
        self._leads_to = leads_to
        self._listener = None
        self._mute = []
        self._open = []
        self._room = threading.Condition()
        self._bytes_left = None
        self.is_mute = False
        self.port = 0

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.shut()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._let_in, args=[self._listener], daemon=True).start()

    def shut(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def hold_after(self, byte_count: int | None) -> None:
        """Lets so many more bytes of answers pass, all connections together; without a number, all that come."""
        with self._room:
            self._bytes_left = byte_count
            self._room.notify_all()

    def is_holding(self) -> bool:
        return self._bytes_left is not None and self._bytes_left <= 0

    def has_mute(self) -> bool:
        """Whether somebody waits for an answer that does not come."""
        return bool(self._mute)

    def cut(self) -> None:
        """Ends what is open, without a word to either side."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _let_in(self, listener) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                if self.is_mute:
                    self._mute.append(near)
                    continue
                far = socket.create_connection(("127.0.0.1", self._leads_to))
                self._open += [near, far]
                for ends in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, near, far, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if is_answer:
                    self._wait_for_room(len(data))
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _wait_for_room(self, byte_count: int) -> None:
        with self._room:
            self._room.wait_for(lambda: not self.is_holding())
            if self._bytes_left is not None:
                self._bytes_left -= byte_count
