"""What becomes of rows and changes that a target refuses, as ErrorBehavior says, and how changes are put together."""

import contextlib
import json
import os
import subprocess

import pytest

from conftest import PSQL, wait_until
from resources import describe_task, events_of, mappings_of, start, table_statistics, wait_for_task
from test_changes import arrives, pair, remove, stop  # noqa: F401
from test_full_load import PAIRS

ENDS = [("postgres15", "mariadb1011"), ("mysql97", "postgres18"), ("mariadb1011", "postgres15"), ("postgres15", "postgres18"), ("postgres18", "mysql97")]
KEPT = {"FullLoadSettings": {"TargetTablePrepMode": "DO_NOTHING"}}
both_ways = pytest.mark.parametrize("pair", ENDS[:2], indirect=True, ids="-to-".join)
every_way = pytest.mark.parametrize("pair", ENDS, indirect=True, ids="-to-".join)


def settings(*groups, **behaviour):
    document = {"ErrorBehavior": behaviour} if behaviour else {}
    for group in groups:
        for name, members in group.items():
            document.setdefault(name, {}).update(members)
    return json.dumps(document)


def narrow(pair):
    """A table at the target that has no room for every row, and some rows in the way."""
    values = ", ".join(f"({n}, '{'much too long' if n % 100 == 7 else 'fits'}')" for n in range(10, 1010))
    pair.source.sql(f"insert into {pair.schema}.a values {values}")
    pair.target.sql(f"create schema {pair.schema}")
    pair.target.sql(f"create table {pair.schema}.a (id int primary key, name varchar(5))")
    pair.target.sql(f"insert into {pair.schema}.a values (2, 'way'), (500, 'way')")


def exceptions(pair, task, table, column="STATEMENT"):
    name = task["ReplicationTaskArn"].rsplit(":", 1)[1]
    if pair.target.is_postgres:
        return pair.target.sql(f"select \"{column}\" from public.{table} where \"TASK_NAME\" = '{name}' order by 1")
    return pair.target.sql(f"select {column} from awsdms_control.{table} where TASK_NAME = '{name}' order by 1")


def fails(dms, task):
    wait_until(lambda: describe_task(dms, task)["Status"] == "failed", 60, "the task fails", lambda: describe_task(dms, task))
    return describe_task(dms, task)["LastFailureMessage"]


def follows(dms, task):
    wait_until(lambda: describe_task(dms, task).get("RecoveryCheckpoint"), 60, "the task follows", lambda: describe_task(dms, task))


@contextlib.contextmanager
def open_transaction(server, statement):
    """A transaction of PostgreSQL that stays open, and is rolled back at the end."""
    command = [PSQL, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
    command += ["-h", server.host, "-p", str(server.port), "-U", server.user]
    env = {**os.environ, "PGPASSWORD": server.password}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)
    try:
        process.stdin.write(f"begin; {statement}; select 'it is open';\n")
        process.stdin.flush()
        assert process.stdout.readline() == "it is open\n"
        yield
    finally:
        process.stdin.close()
        process.wait(30)


@every_way
def test_refused_rows_of_a_load_are_left_out_and_told(dms, pair):
    narrow(pair)
    told = {"ControlTablesSettings": {"FullLoadExceptionTableEnabled": True}}
    log = {"DataErrorPolicy": "LOG_ERROR", "DataTruncationErrorPolicy": "LOG_ERROR"}
    task = pair.task(ReplicationTaskSettings=settings(KEPT, told, **log))
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] != "starting", 60, "the task is under way")
    done = wait_for_task(dms, task, "stopped")
    assert done["ReplicationTaskStats"]["TablesLoaded"] == 2, done
    figures = table_statistics(dms, task)
    # Ten are too long, two are there already.
    assert figures["a"]["FullLoadErrorRows"] == 12 and figures["a"]["FullLoadRows"] == 1003 - 12
    assert figures["b"]["FullLoadErrorRows"] == 0
    expected = {1: "one", 2: "way", 3: "NULL", 500: "way"}
    expected.update({n: "fits" for n in range(10, 1010) if n % 100 != 7 and n != 500})
    assert pair.rows("a") == "".join(f"{n}\t{expected[n]}\n" for n in sorted(expected))
    written = exceptions(pair, task, "awsdms_full_load_exceptions").splitlines()
    assert len(written) == 12
    assert f"INSERT INTO {pair.schema}.a (id, name) VALUES ('107', 'much too long')" in written
    errors = exceptions(pair, task, "awsdms_full_load_exceptions", "ERROR")
    assert any(words in errors for words in ("too long", "longer", "would cut it")), errors
    assert any("12 rows were left out" in text for text in events_of(dms, task)), events_of(dms, task)


@pytest.mark.parametrize("pair", [("mysql97", "postgres18"), ("mariadb1011", "postgres15")], indirect=True, ids="-to-".join)
def test_a_row_that_cannot_be_read_is_left_out_of_its_range_alone(dms, pair):
    words = ", ".join(f"({n}, 'word')" for n in range(1, 31) if n not in (3, 12, 13))
    pair.source.sql(
        f"create table {pair.schema}.words (id int primary key, v varchar(20) character set cp1251); "
        f"insert into {pair.schema}.words values {words}; "
        # Bytes that the set gives no meaning.
        f"set sql_mode = ''; insert into {pair.schema}.words values (3, _cp1251 x'619862'), (12, _cp1251 x'98'), (13, _cp1251 x'98')"
    )
    ranges = {
        "rule-type": "table-settings",
        "rule-id": "2",
        "rule-name": "2",
        "object-locator": {"schema-name": pair.schema, "table-name": "words"},
        "parallel-load": {"type": "ranges", "columns": ["id"], "boundaries": [["10"], ["20"]]},
    }
    mappings = json.loads(mappings_of(pair.schema))
    mappings["rules"].append(ranges)
    told = {"ControlTablesSettings": {"FullLoadExceptionTableEnabled": True}}
    task = pair.task(
        TableMappings=json.dumps(mappings), ReplicationTaskSettings=settings(told, DataErrorPolicy="LOG_ERROR")
    )
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] != "starting", 60, "the task is under way")
    done = wait_for_task(dms, task, "stopped")
    assert done["ReplicationTaskStats"]["TablesErrored"] == 0, (done, table_statistics(dms, task))
    figures = table_statistics(dms, task)["words"]
    assert (figures["FullLoadRows"], figures["FullLoadErrorRows"]) == (27, 3), figures
    assert pair.rows("words", "id") == "".join(f"{n}\n" for n in range(1, 31) if n not in (3, 12, 13))
    errors = exceptions(pair, task, "awsdms_full_load_exceptions", "ERROR").splitlines()
    assert [key for key in ("(3)", "(12)", "(13)") if sum(key in text for text in errors) == 1] == ["(3)", "(12)", "(13)"], errors
    assert len(errors) == 3, errors


@both_ways
def test_without_a_policy_no_row_is_left_out(dms, pair):
    narrow(pair)
    task = pair.task(ReplicationTaskSettings=settings(KEPT))
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] != "starting", 60, "the task is under way")
    assert wait_for_task(dms, task, "stopped")["ReplicationTaskStats"]["TablesErrored"] == 1
    figures = table_statistics(dms, task)["a"]
    assert figures["TableState"] == "Table error" and figures["FullLoadErrorRows"] == 0
    assert pair.rows("a") == "2\tway\n500\tway\n"


@both_ways
def test_errors_of_data_escalate_or_end_the_task(dms, pair):
    narrow(pair)
    ignore = {"DataErrorPolicy": "IGNORE_RECORD", "DataTruncationErrorPolicy": "IGNORE_RECORD"}
    escalated = pair.task(ReplicationTaskSettings=settings(KEPT, DataErrorEscalationCount=5, **ignore))
    start(dms, escalated)
    wait_until(lambda: describe_task(dms, escalated)["Status"] != "starting", 60, "the task is under way")
    wait_for_task(dms, escalated, "stopped")
    figures = table_statistics(dms, escalated)
    assert figures["a"]["TableState"] == "Table error" and figures["b"]["TableState"] == "Table completed"
    assert "DataErrorEscalationCount" in describe_task(dms, escalated)["LastFailureMessage"]
    stopping = pair.task(ReplicationTaskSettings=settings(KEPT, DataErrorPolicy="IGNORE_RECORD", DataTruncationErrorPolicy="STOP_TASK"))
    start(dms, stopping)
    assert "policy for data errors" in fails(dms, stopping)
    # One table in error is one too many.
    counted = pair.task(ReplicationTaskSettings=settings(KEPT, TableErrorEscalationCount=1))
    start(dms, counted)
    assert "TableErrorEscalationCount" in fails(dms, counted)


@both_ways
def test_changes_with_values_that_do_not_fit_are_left_out_as_told(dms, pair):
    schema = pair.schema
    policies = {"DataTruncationErrorPolicy": "LOG_ERROR", "ApplyErrorInsertPolicy": "STOP_TASK", "DataErrorEscalationCount": 3}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(**policies))
    start(dms, task)
    follows(dms, task)
    alter = "alter column name type varchar(5)" if pair.target.is_postgres else "modify name varchar(5)"
    pair.target.sql(f"alter table {schema}.a {alter}")
    pair.source.sql(f"insert into {schema}.a values (4, 'much too long'), (5, 'five')")
    pair.source.sql(f"update {schema}.a set name = 'much too long' where id = 1")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n5\tfive\n")
    wait_until(lambda: table_statistics(dms, task)["a"]["Updates"] == 1, 30, "the update is told")
    assert "VALUES ('4', 'much too long')" in exceptions(pair, task, "awsdms_apply_exceptions")
    assert table_statistics(dms, task)["a"]["TableState"] == "Table completed"
    # The third is one too many.
    pair.source.sql(f"insert into {schema}.a values (6, 'much too long')")
    wait_until(lambda: table_statistics(dms, task)["a"]["TableState"] == "Table error", 30, "the table is suspended")
    pair.source.sql(f"insert into {schema}.b values (9, 'nine')")
    arrives(pair, "b", "1\tone\n2\ttwo\n3\tNULL\n9\tnine\n")


@pytest.mark.parametrize("pair", [("mariadb1011", "postgres18"), ("mysql97", "mariadb1011")], indirect=True, ids="-to-".join)
def test_bytes_that_are_no_text_are_left_out_as_told(dms, pair):
    """Code 0x98 of cp1251 means nothing. What is behind such a row arrives."""
    schema = pair.schema
    pair.source.sql(f"alter table {schema}.a modify name varchar(20) character set cp1251")
    pair.source.sql(f"insert into {schema}.a values (5, 'жук?'), (6, _cp1251 x'6198'), (7, 'ёж')")
    told = {"ControlTablesSettings": {"FullLoadExceptionTableEnabled": True}}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(told, DataErrorPolicy="LOG_ERROR"))
    start(dms, task)
    follows(dms, task)
    arrived = "1\tone\n2\ttwo\n3\tNULL\n5\tжук?\n7\tёж\n"
    assert pair.rows("a") == arrived
    assert table_statistics(dms, task)["a"]["FullLoadErrorRows"] == 1
    why = f"table {schema}.a, key (6), column name: the source sent bytes that are no text in the column's character set"
    assert why in exceptions(pair, task, "awsdms_full_load_exceptions", "ERROR")
    pair.source.sql(f"insert into {schema}.a values (8, _cp1251 x'98'), (9, 'я')")
    arrives(pair, "a", arrived + "9\tя\n")
    why = f"table {schema}.a, key (8), column name: the source's log holds bytes that are no text"
    wait_until(lambda: why in exceptions(pair, task, "awsdms_apply_exceptions", "ERROR"), 30, "it is told")
    assert table_statistics(dms, task)["a"]["TableState"] == "Table completed"


@both_ways
def test_changes_that_are_left_out_escalate(dms, pair):
    schema = pair.schema
    policies = {"ApplyErrorInsertPolicy": "IGNORE_RECORD", "ApplyErrorEscalationCount": 2, "ApplyErrorEscalationPolicy": "STOP_TASK"}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(**policies))
    start(dms, task)
    follows(dms, task)
    pair.target.sql(f"insert into {schema}.a values (50, 'way'), (51, 'way')")
    pair.source.sql(f"insert into {schema}.a values (50, 'fifty')")
    pair.source.sql(f"insert into {schema}.a values (52, 'the rest')")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n50\tway\n51\tway\n52\tthe rest\n")
    pair.source.sql(f"insert into {schema}.a values (51, 'fifty-one')")
    assert f"{schema}.a" in fails(dms, task)


@every_way
def test_inserts_overwrite_and_updates_insert_where_that_is_wanted(dms, pair):
    policies = {"ApplyErrorInsertPolicy": "INSERT_RECORD", "ApplyErrorUpdatePolicy": "UPDATE_RECORD"}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(**policies))
    start(dms, task)
    follows(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    stop(dms, task)
    schema = pair.schema
    pair.target.sql(f"delete from {schema}.a where id in (1, 2, 3); insert into {schema}.a values (7, 'way'), (11, 'way')")
    # Of one row more than once, in one transaction: what is inserted for an update is met by what comes behind it.
    pair.source.sql(
        f"begin; update {schema}.a set name = 'first' where id = 1; update {schema}.a set name = 'second' where id = 1; "
        f"update {schema}.a set name = 'gone' where id = 2; delete from {schema}.a where id = 2; insert into {schema}.a values (2, 'anew'); "
        f"insert into {schema}.a values (7, 'wins'); update {schema}.a set id = 11, name = 'moved' where id = 3; commit"
    )
    start(dms, task, "resume-processing")
    arrives(pair, "a", "1\tsecond\n2\tanew\n7\twins\n11\tmoved\n")
    # So in a batch that is large.
    pair.target.sql(f"insert into {schema}.a values (150, 'way'); delete from {schema}.a where id = 1")
    values = ", ".join(f"({n}, 'row')" for n in range(100, 300))
    pair.source.sql(f"begin; insert into {schema}.a values {values}; update {schema}.a set name = 'all'; commit")
    rows = "".join(f"{n}\tall\n" for n in [1, 2, 7, 11, *range(100, 300)])
    arrives(pair, "a", rows)
    assert exceptions(pair, task, "awsdms_apply_exceptions") == ""
    stop(dms, task)


@pytest.mark.parametrize("pair", ENDS[:3], indirect=True, ids="-to-".join)
def test_rows_that_a_batch_does_not_find_are_named(dms, pair):
    schema = pair.schema
    values = ", ".join(f"({n}, 'row')" for n in range(100, 300))
    pair.source.sql(f"insert into {schema}.a values {values}")
    policies = settings({"TargetMetadata": {"BatchApplyEnabled": True}}, ApplyErrorDeletePolicy="LOG_ERROR")
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=policies)
    start(dms, task)
    follows(dms, task)
    pair.target.sql(f"delete from {schema}.a where id in (150, 250)")
    pair.source.sql(f"begin; update {schema}.a set name = 'all' where id >= 100 and id < 200; delete from {schema}.a where id >= 200; commit")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n" + "".join(f"{n}\tall\n" for n in range(100, 200) if n != 150))
    left_out = exceptions(pair, task, "awsdms_apply_exceptions").splitlines()
    assert len(left_out) == 2, left_out
    assert left_out[0].startswith(f"DELETE FROM {schema}.a WHERE id = '250'"), left_out
    assert left_out[1].startswith(f"UPDATE {schema}.a SET ") and left_out[1].endswith("WHERE id = '150'"), left_out
    assert exceptions(pair, task, "awsdms_apply_exceptions", "ERROR").splitlines() == ["the row is not there"] * 2
    applied = lambda: [table_statistics(dms, task)["a"][name] for name in ("Updates", "AppliedUpdates", "Deletes", "AppliedDeletes")]
    wait_until(lambda: applied() == [100, 99, 100, 99], 30, "they are counted", applied)


@pytest.mark.parametrize("pair", ENDS[:3], indirect=True, ids="-to-".join)
def test_a_batch_that_does_not_find_rows_does_what_its_changes_do(dms, pair):
    """A row that goes and comes again comes; one that changes its key does not."""
    schema = pair.schema
    values = lambda name: ", ".join(f"({n}, '{name}')" for n in range(100, 200))
    pair.source.sql(f"insert into {schema}.a values {values('row')}; insert into {schema}.a select id + 100, 'moves' from {schema}.a where id >= 100")
    policies = settings({"TargetMetadata": {"BatchApplyEnabled": True}}, ApplyErrorUpdatePolicy="IGNORE_RECORD", ApplyErrorDeletePolicy="IGNORE_RECORD")
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=policies)
    start(dms, task)
    follows(dms, task)
    pair.target.sql(f"delete from {schema}.a where id in (150, 250)")
    pair.source.sql(
        f"begin; delete from {schema}.a where id >= 100 and id < 200; insert into {schema}.a values {values('anew')}; "
        f"update {schema}.a set id = id + 1000 where id >= 200; commit"
    )
    moved = "".join(f"{n}\tmoves\n" for n in range(1200, 1300) if n != 1250)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n" + "".join(f"{n}\tanew\n" for n in range(100, 200)) + moved)
    assert exceptions(pair, task, "awsdms_apply_exceptions") == ""
    stop(dms, task)


@pytest.mark.parametrize("batch", [True, False], ids=["in-batches", "one-by-one"])
@pytest.mark.parametrize("pair", [("mysql97", "postgres18"), ("postgres18", "postgres15")], indirect=True, ids="-to-".join)
def test_what_is_refused_at_the_commit_is_left_out_as_told(dms, pair, batch):
    """Foreign keys of the target that wait for the commit. A transaction may be whole only at its end."""
    schema = pair.schema
    pair.source.sql(f"create table {schema}.n (id int primary key, next int); create table {schema}.c (id int primary key, a int)")
    policies = settings({"TargetMetadata": {"BatchApplyEnabled": batch}}, ApplyErrorDeletePolicy="LOG_ERROR")
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=policies)
    start(dms, task)
    follows(dms, task)
    pair.target.sql(f"alter table {schema}.n add constraint n_next foreign key (next) references {schema}.n deferrable initially deferred")
    pair.target.sql(f"alter table {schema}.c add constraint c_a foreign key (a) references {schema}.a deferrable initially deferred")
    # They act in a session of a replica as well.
    triggers = f"select tgrelid::regclass, tgname from pg_trigger where tgrelid in ('{schema}.n'::regclass, '{schema}.c'::regclass, '{schema}.a'::regclass)"
    for line in pair.target.sql(triggers).splitlines():
        table, trigger = line.split("\t")
        pair.target.sql(f'alter table {table} enable always trigger "{trigger}"')
    pair.source.sql(
        f"begin; insert into {schema}.n values (1, 2), (3, 77), (2, 1); insert into {schema}.c values (1, 1); commit; "
        f"begin; insert into {schema}.c values (2, 98), (3, 99), (4, 1); update {schema}.c set a = 2 where id = 4; commit"
    )
    arrives(pair, "n", "1\t2\n2\t1\n", "id, next")
    arrives(pair, "c", "1\t1\n4\t2\n", "id, a")
    # The row that is at fault is not of the table that the target names.
    pair.source.sql(f"begin; delete from {schema}.a where id = 1; update {schema}.b set name = 'uno' where id = 1; commit")
    arrives(pair, "b", "1\tuno\n2\ttwo\n3\tNULL\n")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    # Of a batch that is applied in sets.
    values = ", ".join(f"({n}, {99 if n == 150 else 2})" for n in range(100, 200))
    pair.source.sql(f"begin; insert into {schema}.c values {values}; commit; insert into {schema}.c values (5, 2)")
    arrives(pair, "c", "1\t1\n4\t2\n5\t2\n" + "".join(f"{n}\t2\n" for n in range(100, 200) if n != 150), "id, a")
    left_out = exceptions(pair, task, "awsdms_apply_exceptions").splitlines()
    expected = [
        f"DELETE FROM {schema}.a WHERE id = '1'",
        f"INSERT INTO {schema}.c (id, a) VALUES ('150', '99')",
        f"INSERT INTO {schema}.c (id, a) VALUES ('2', '98')",
        f"INSERT INTO {schema}.c (id, a) VALUES ('3', '99')",
        f"INSERT INTO {schema}.n (id, next) VALUES ('3', '77')",
    ]
    assert left_out == expected, left_out
    errors = exceptions(pair, task, "awsdms_apply_exceptions", "ERROR")
    for words in ("key (150)", "n_next", "c_a", "at the commit"):
        assert words in errors, errors
    assert describe_task(dms, task)["Status"] == "running"
    wait_until(lambda: table_statistics(dms, task)["c"]["Inserts"] == 105, 30, "they are counted", lambda: table_statistics(dms, task)["c"])
    figures = table_statistics(dms, task)["c"]
    assert figures["AppliedInserts"] == 102, figures


@both_ways
def test_a_truncation_ends_the_task_where_that_is_wanted(dms, pair):
    schema = pair.schema
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(ApplyErrorFailOnTruncationDdl=True))
    start(dms, task)
    follows(dms, task)
    pair.source.sql(f"insert into {schema}.a values (4, 'four')")
    pair.source.sql(f"truncate table {schema}.a")
    assert "ApplyErrorFailOnTruncationDdl" in fails(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n4\tfour\n")
    dms.modify_replication_task(
        ReplicationTaskArn=task["ReplicationTaskArn"], ReplicationTaskSettings=settings(ApplyErrorFailOnTruncationDdl=False)
    )
    wait_until(lambda: describe_task(dms, task)["Status"] != "modifying", 30, "the task is modified")
    start(dms, task, "resume-processing")
    arrives(pair, "a", "")


@pytest.mark.parametrize("pair", [("mysql97", "postgres18"), ("postgres15", "postgres18")], indirect=True, ids="-to-".join)
def test_transactions_are_applied_by_themselves_or_together(dms, pair):
    """A row of PostgreSQL says which transaction wrote it."""
    schema = pair.schema

    def transactions(task, first):
        start(dms, task)
        follows(dms, task)
        for number in range(first, first + 20):
            pair.source.sql(f"insert into {schema}.a values ({number}, 'x'), ({number + 1000}, 'x')")
        query = f"select count(*), count(distinct xmin::text) from {schema}.a where id % 1000 >= {first} and id % 1000 < {first + 20}"
        wait_until(lambda: pair.target.sql(query).startswith("40\t"), 60, "they arrive", lambda: pair.target.sql(query))
        stop(dms, task)
        remove(dms, task)
        return int(pair.target.sql(query).split("\t")[1])

    each = {"TargetMetadata": {"BatchApplyEnabled": False}}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(each))
    assert transactions(task, 100) == 20
    together = {"ChangeProcessingTuning": {"MinTransactionSize": 40, "CommitTimeout": 600}}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(each, together))
    assert transactions(task, 200) == 1


@pytest.mark.parametrize("pair", [("postgres15", "mariadb1011"), PAIRS[0]], indirect=True, ids="-to-".join)
def test_open_transactions_are_waited_for_as_long_as_told(dms, pair):
    limit = {"FullLoadSettings": {"TransactionConsistencyTimeout": 1}}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(limit, FailOnTransactionConsistencyBreached=True))
    with open_transaction(pair.source, f"insert into {pair.schema}.a values (4, 'open')"):
        start(dms, task)
        assert "did not end within 1 seconds" in fails(dms, task)
    start(dms, task, "reload-target")
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")


@pytest.mark.parametrize("pair", [("postgres15", "mariadb1011"), PAIRS[0]], indirect=True, ids="-to-".join)
def test_a_table_that_waits_to_join_is_told_of_and_holds_up_no_other(dms, pair):
    limit = {"FullLoadSettings": {"TransactionConsistencyTimeout": 1}}
    never_again = {"RecoverableErrorCount": 0, "FailOnTransactionConsistencyBreached": True}
    task = pair.task(MigrationType="full-load-and-cdc", ReplicationTaskSettings=settings(limit, **never_again))
    start(dms, task)
    follows(dms, task)
    arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n")
    table_state = lambda: table_statistics(dms, task)["late"]
    with open_transaction(pair.source, f"insert into {pair.schema}.a values (4, 'open')"):
        pair.source.sql(f"create table {pair.schema}.late (id int primary key, name text)")
        pair.source.sql(f"insert into {pair.schema}.late values (1, 'first')")
        wait_until(lambda: "late cannot be loaded yet" in str(events_of(dms, task)), 60, "the table is told of")
        assert table_state()["TableState"] == "Before load", table_state()
        pair.source.sql(f"insert into {pair.schema}.a values (5, 'meanwhile')")
        arrives(pair, "a", "1\tone\n2\ttwo\n3\tNULL\n5\tmeanwhile\n")
    pair.source.sql(f"insert into {pair.schema}.late values (2, 'second')")
    arrives(pair, "late", "1\tfirst\n2\tsecond\n")
    wait_until(lambda: table_state()["TableState"] == "Table completed", 60, "the table has joined", table_state)
    assert not table_state()["FullLoadReloaded"], table_state()
    assert describe_task(dms, task)["Status"] == "running"
