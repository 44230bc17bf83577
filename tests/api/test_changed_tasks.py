"""Tasks, and endpoints of tasks, that were changed between two starts: what is gone on with, and what is not."""

import datetime

import pytest

from conftest import wait_until
from resources import Gate, connect, describe_task, endpoint_of, events_of, make_task, mappings_of, refused, start, unique, wait_for_task
from test_changes import arrives, pair, remove, slots, stop  # noqa: F401
from test_full_load import ROWS, run


def modify(dms, task, **more):
    dms.modify_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"], **more)
    wait_until(lambda: describe_task(dms, task)["Status"] != "modifying", 30, "it is modified")


@pytest.mark.parametrize("pair", [("postgres15", "postgres18"), ("mariadb1011", "postgres15")], indirect=True, ids="-to-".join)
def test_a_task_of_another_type_is_not_resumed_but_begins_anew(dms, pair):  # noqa: F811
    schema = pair.schema
    task = pair.task()
    assert run(dms, task)["Status"] == "stopped"
    pair.source.sql(f"insert into {schema}.a values (4, 'since the load')")
    modify(dms, task, MigrationType="full-load-and-cdc")
    with refused("InvalidParameterCombinationException", "RESUME_PROCESSING", "reload-target"):
        start(dms, task, "resume-processing")
    modify(dms, task, MigrationType="cdc")
    with refused("InvalidParameterCombinationException", "RESUME_PROCESSING", "start-replication"):
        start(dms, task, "resume-processing")
    start(dms, task)
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "the task follows")
    pair.source.sql(f"insert into {schema}.a values (5, 'followed')")
    arrives(pair, "a", ROWS + "5\tfollowed\n")
    stop(dms, task)
    modify(dms, task, MigrationType="full-load-and-cdc")
    with refused("InvalidParameterCombinationException", "ran as cdc", "reload-target"):
        start(dms, task, "resume-processing")
    start(dms, task, "reload-target")
    arrives(pair, "a", ROWS + "4\tsince the load\n5\tfollowed\n")
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "the task follows")
    stop(dms, task)
    pair.source.sql(f"insert into {schema}.a values (6, 'while it rested')")
    modify(dms, task, MigrationType="cdc")
    start(dms, task, "resume-processing")
    arrives(pair, "a", ROWS + "4\tsince the load\n5\tfollowed\n6\twhile it rested\n")


def test_a_time_that_has_passed_is_taken_back(dms, pair):  # noqa: F811
    task = pair.task(MigrationType="full-load-and-cdc")
    now = datetime.datetime.now(datetime.timezone.utc)
    start(dms, task, CdcStopPosition=f"server_time:{now + datetime.timedelta(seconds=10):%Y-%m-%dT%H:%M:%S}")
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the time comes")
    assert describe_task(dms, task)["StopReason"] == "Stop Reason STOPPED_AT_SERVER_TIME"
    pair.source.sql(f"insert into {pair.schema}.a values (4, 'behind it')")
    with refused("InvalidParameterCombinationException", "CdcStopPosition", "empty"):
        start(dms, task, "resume-processing")
    start(dms, task, "resume-processing", CdcStopPosition="")
    arrives(pair, "a", ROWS + "4\tbehind it\n")
    described = describe_task(dms, task)
    assert described["Status"] == "running" and "CdcStopPosition" not in described


def test_a_load_that_is_over_is_not_resumed_at_a_target_that_it_has_never_seen(dms, pair):  # noqa: F811
    task = pair.task()
    assert run(dms, task)["Status"] == "stopped"
    database = unique("production").replace("-", "_")
    pair.target.sql(f"create database {database}")
    try:
        dms.modify_endpoint(EndpointArn=pair.target_endpoint["EndpointArn"], DatabaseName=database)
        connect(dms, pair.instance, pair.target_endpoint)
        refused_there = run(dms, task, "resume-processing")
        assert refused_there["Status"] == "failed" and "reload-target" in refused_there["LastFailureMessage"], refused_there
        done = run(dms, task, "reload-target")
        assert done["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED", done
        assert pair.target.sql(f"select id, name from {pair.schema}.a order by id", database) == ROWS
        remove(dms, task)
    finally:
        pair.target.sql(f"drop database {database} with (force)")


@pytest.mark.parametrize("pair", [("postgres15", "postgres18")], indirect=True, ids="-to-".join)
def test_the_figures_stay_while_a_resume_cannot_connect_and_what_a_deletion_leaves_is_told(dms, pair):  # noqa: F811
    with Gate(pair.source.port) as gate:
        source = endpoint_of(dms, "source", pair.source)
        dms.modify_endpoint(EndpointArn=source["EndpointArn"], ServerName="127.0.0.1", Port=gate.port, SslMode="none")
        connect(dms, pair.instance, source)
        task = make_task(dms, pair.instance, source, pair.target_endpoint, MigrationType="full-load-and-cdc", TableMappings=mappings_of(pair.schema))
        start(dms, task)
        arrives(pair, "a", ROWS)
        wait_until(lambda: describe_task(dms, task)["ReplicationTaskStats"].get("FullLoadFinishDate"), 60, "the load is over")
        before = stop(dms, task)["ReplicationTaskStats"]
        slot = slots(pair.source, task).strip()
        assert (before["TablesLoaded"], before["FullLoadProgressPercent"]) == (2, 100) and slot
        gate.shut()
        start(dms, task, "resume-processing")
        is_told = lambda: any("interrupted" in text for text in events_of(dms, task))
        wait_until(is_told, 60, "it cannot connect", lambda: str(events_of(dms, task)))
        after = stop(dms, task)["ReplicationTaskStats"]
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert changed <= {"StartDate", "StopDate"}, (before, after)
        dms.delete_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
        dms.get_waiter("replication_task_deleted").wait(
            Filters=[{"Name": "replication-task-arn", "Values": [task["ReplicationTaskArn"]]}], WaiterConfig={"Delay": 1, "MaxAttempts": 90}
        )
        events = dms.describe_events(SourceType="replication-task", SourceIdentifier=task["ReplicationTaskIdentifier"], EventCategories=["failure"])
        [text] = [event["Message"] for event in events["Events"] if "at the source" in event["Message"]]
        prefix = next(word for word in text.replace(",", " ").split() if word.startswith("whimbrel_"))
        assert slot.startswith(prefix) and "at the target" not in text, (slot, text)
        gate.open()
    pair.source.sql(f"select pg_drop_replication_slot('{slot}')")
    pair.source.sql(f"drop publication {slot}")
