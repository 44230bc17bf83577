"""The log that a source keeps for a task comes near its limit."""

import threading

import pytest

from conftest import wait_until
from resources import describe_task, events_of, start
from test_changes import arrives, pair  # noqa: F401

EXPIRY = "set global binlog_expire_logs_seconds = "


@pytest.mark.alone
@pytest.mark.parametrize("pair", [("mariadb1011", "postgres15"), ("mysql97", "postgres18")], indirect=True, ids="-to-".join)
def test_a_log_near_its_limit_is_an_event_and_so_is_its_end(dms, pair):  # noqa: F811
    schema = pair.schema
    expiry_before = pair.source.sql("select @@global.binlog_expire_logs_seconds").strip()
    pair.source.sql(EXPIRY + "20")
    try:
        task = pair.task(MigrationType="full-load-and-cdc")
        start(dms, task)
        wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "the task follows")
        arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
        # Somebody has locked the table, and the files of the log grow old meanwhile.
        locked = f"begin; lock table {schema}.a; select 'held', pg_sleep(100)"
        locker = threading.Thread(target=lambda: pytest.raises(AssertionError, pair.target.sql, locked))
        locker.start()
        held = "select pid from pg_stat_activity where query like 'select ''held''%' or query like 'begin; lock table%'"
        wait_until(lambda: pair.target.sql(f"select count(*) from pg_locks where relation = '{schema}.a'::regclass and mode = 'AccessExclusiveLock'") != "0\n", 30, "it is locked")
        pair.source.sql(f"insert into {schema}.a values (4, 'four'); flush binary logs")
        warnings = lambda: [event for event in events_of(dms, task) if event.startswith("Warning: ")]
        wait_until(warnings, 60, "the warning is told", lambda: str(events_of(dms, task)))
        [warning] = warnings()
        assert "still needs" in warning and "What to do: " in warning and "binlog_expire_logs_seconds" in warning
        pair.target.sql(f"select pg_terminate_backend(pid) from ({held}) h")
        locker.join()
        over = lambda: [event for event in events_of(dms, task) if event.startswith("The warning is over")]

        def moves_on():
            pair.source.sql(f"update {schema}.a set name = 'more' where id = 4")
            return over()

        wait_until(moves_on, 60, "the end is told")
        assert len(over()) == 1 and len(warnings()) == 1
    finally:
        pair.source.sql(EXPIRY + expiry_before)
