"""A migration through the DMS API with boto3 and the AWS CLI, printed step by step.

Run by `cargo x demo`, which starts the databases and the service and passes their addresses in the environment:
DEMO_API (URL of the service), DEMO_SOURCE_* and DEMO_TARGET_* (HOST, PORT, USER, PASSWORD, DATABASE), and the AWS_* variables.
"""

import json
import os
import subprocess
import sys
import time

import boto3

API = os.environ["DEMO_API"]
REGION = os.environ["AWS_REGION"]
MAPPINGS = {
    "rules": [
        {
            "rule-type": "selection",
            "rule-id": "1",
            "rule-name": "all-of-tpch",
            "object-locator": {"schema-name": os.environ["DEMO_SOURCE_DATABASE"], "table-name": "%"},
            "rule-action": "include",
        }
    ]
}


def step(text):
    print(f"\n== {text}", flush=True)


def endpoint(dms, identifier, kind, engine, prefix, **more):
    """Creates an endpoint from the DEMO_ variables of one end; answers its ARN."""
    created = dms.create_endpoint(
        EndpointIdentifier=identifier,
        EndpointType=kind,
        EngineName=engine,
        ServerName=os.environ[f"{prefix}_HOST"],
        Port=int(os.environ[f"{prefix}_PORT"]),
        Username=os.environ[f"{prefix}_USER"],
        Password=os.environ[f"{prefix}_PASSWORD"],
        **more,
    )["Endpoint"]
    print(f"{kind}: {created['EndpointIdentifier']} ({engine}), {created['Status']}")
    return created["EndpointArn"]


def create(dms):
    step("A replication instance and two endpoints")
    instance = dms.create_replication_instance(
        ReplicationInstanceIdentifier="demo", ReplicationInstanceClass="dms.t3.medium"
    )["ReplicationInstance"]["ReplicationInstanceArn"]
    waiter = dms.get_waiter("replication_instance_available")
    waiter.wait(
        Filters=[{"Name": "replication-instance-arn", "Values": [instance]}],
        WaiterConfig={"Delay": 1},
    )
    source = endpoint(dms, "shop-mariadb", "source", "mariadb", "DEMO_SOURCE")
    target = endpoint(
        dms, "shop-postgres", "target", "postgres", "DEMO_TARGET",
        DatabaseName=os.environ["DEMO_TARGET_DATABASE"],
    )
    return instance, source, target


def test_connections(dms, instance, endpoints):
    step("Testing the connections: aws dms describe-connections")
    for arn in endpoints:
        dms.test_connection(ReplicationInstanceArn=instance, EndpointArn=arn)
    dms.get_waiter("test_connection_succeeds").wait(
        Filters=[{"Name": "endpoint-arn", "Values": endpoints}], WaiterConfig={"Delay": 1}
    )
    subprocess.run(
        ["aws", "dms", "describe-connections", "--endpoint-url", API, "--region", REGION,
         "--output", "table", "--query",
         "Connections[].{Endpoint:EndpointIdentifier,Instance:ReplicationInstanceIdentifier,Status:Status}"],
        env=os.environ | {"AWS_PAGER": ""},
        check=True,
    )


def run_task(dms, instance, source, target):
    step("A full-load task")
    task = dms.create_replication_task(
        ReplicationTaskIdentifier="shop-to-postgres",
        SourceEndpointArn=source,
        TargetEndpointArn=target,
        ReplicationInstanceArn=instance,
        MigrationType="full-load",
        TableMappings=json.dumps(MAPPINGS),
    )["ReplicationTask"]["ReplicationTaskArn"]
    by_arn = [{"Name": "replication-task-arn", "Values": [task]}]
    dms.get_waiter("replication_task_ready").wait(Filters=by_arn, WaiterConfig={"Delay": 1})
    dms.start_replication_task(
        ReplicationTaskArn=task, StartReplicationTaskType="start-replication"
    )
    while True:
        described = dms.describe_replication_tasks(Filters=by_arn)["ReplicationTasks"][0]
        stats = described.get("ReplicationTaskStats", {})
        print(f"{described['Status']:9} {stats.get('FullLoadProgressPercent', 0):3} %", flush=True)
        if described["Status"] in ("stopped", "failed"):
            break
        time.sleep(1)
    print(described.get("StopReason", ""), described.get("LastFailureMessage", ""))
    return task, described


def show_statistics(dms, task):
    step("Table statistics")
    pages = dms.get_paginator("describe_table_statistics").paginate(ReplicationTaskArn=task)
    tables = [table for page in pages for table in page["TableStatistics"]]
    print(f"{'table':24} {'rows':>10}  state")
    for table in sorted(tables, key=lambda t: t["TableName"]):
        name = f"{table['SchemaName']}.{table['TableName']}"
        print(f"{name:24} {table['FullLoadRows']:>10}  {table['TableState']}")
    return all(table["TableState"] == "Table completed" for table in tables)


def main():
    dms = boto3.client("dms", endpoint_url=API, region_name=REGION)
    instance, source, target = create(dms)
    test_connections(dms, instance, [source, target])
    task, described = run_task(dms, instance, source, target)
    completed = show_statistics(dms, task)
    finished = described.get("StopReason") == "Stop Reason FULL_LOAD_ONLY_FINISHED"
    sys.exit(0 if completed and finished else 1)


if __name__ == "__main__":
    main()
