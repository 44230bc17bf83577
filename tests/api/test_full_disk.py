"""The disk of a target is full."""

import json

from conftest import small_disk, wait_until
from resources import (
    an_instance,
    connect,
    describe_task,
    endpoint_of,
    events_of,
    make_task,
    mappings_of,
    start,
    unique,
    wait_for_task,
)

ROW_COUNT = 60_000
SETTINGS = {
    "FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"},
    "ErrorBehavior": {"RecoverableErrorCount": 2, "RecoverableErrorInterval": 1, "RecoverableErrorThrottling": False},
}
ROWS = "select id, payload from {}.big order by id"


def test_a_full_disk_is_named_with_the_remedy_and_resuming_goes_on_once_there_is_room(dms, servers):
    source, schema = servers["postgres15"], unique("disk").replace("-", "_")
    with small_disk("mysql97", 40, "innodb-directories=SMALL_DISK") as (target, place):
        source.sql(f"create schema {schema}; create table {schema}.big (id int primary key, payload varchar(200) not null)")
        source.sql(f"insert into {schema}.big select n, repeat('x', 130) from generate_series(1, {ROW_COUNT}) n")
        target.sql(f"create database {schema}")
        target.sql(f"create table big (id int primary key, payload varchar(200) not null) data directory = '{place}'", schema)
        target.sql(f"create table filler (b longblob) data directory = '{place}'", schema)
        target.sql("insert into filler values (repeat('x', 3000000));" * 10, schema)
        try:
            instance = an_instance(dms)
            ends = endpoint_of(dms, "source", source), endpoint_of(dms, "target", target)
            for endpoint in ends:
                connect(dms, instance, endpoint)
            settings = json.dumps(SETTINGS)
            task = make_task(dms, instance, *ends, TableMappings=mappings_of(schema), ReplicationTaskSettings=settings)
            start(dms, task)
            failed = lambda: describe_task(dms, task)["Status"] == "failed"
            wait_until(failed, 120, "the task fails", lambda: str(describe_task(dms, task)))
            message = describe_task(dms, task)["LastFailureMessage"]
            told = [event for event in events_of(dms, task) if "is interrupted" in event or "was interrupted" in event]
            assert len(told) == 2, events_of(dms, task)
            for text in (message, *told):
                assert "big" in text and "is full" in text and "make room on the disk of that server" in text, text
            assert target.sql("select count(*) from big", schema) != f"{ROW_COUNT}\n"

            target.sql("drop table filler", schema)
            start(dms, task, "resume-processing")
            wait_until(lambda: describe_task(dms, task)["Status"] != "starting", 60, "the task is under way")
            done = wait_for_task(dms, task, "stopped")
            assert done["StopReason"] == "Stop Reason FULL_LOAD_ONLY_FINISHED"
            assert target.sql(ROWS.format(schema)) == source.sql(ROWS.format(schema))
        finally:
            source.sql(f"drop schema {schema} cascade")
