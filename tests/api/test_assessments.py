"""Assessments of tasks: checks before a run, which write nothing at either end."""

import contextlib
import json
import os
import subprocess

import pytest

from conftest import PSQL, wait_until
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
    unique,
    wait_for_task,
)

ROLE = "arn:aws:iam::000000000000:role/assess"
BUCKET = "results-of-tests"
SAMPLED = "values-not-fitting-sampled"
ALL_VALUES = "values-not-fitting"
KEYS = "table-with-no-primary-key-or-unique-constraint"


def assess(dms, task, **more):
    settings = {
        "ReplicationTaskArn": task["ReplicationTaskArn"],
        "ServiceAccessRoleArn": ROLE,
        "ResultLocationBucket": BUCKET,
        "AssessmentRunName": unique("run"),
    }
    return dms.start_replication_task_assessment_run(**{**settings, **more})["ReplicationTaskAssessmentRun"]


def arn_of(run):
    return run["ReplicationTaskAssessmentRunArn"]


def filters(**values):
    return [{"Name": name.replace("_", "-"), "Values": given} for name, given in values.items()]


def describe_run(dms, run):
    found = dms.describe_replication_task_assessment_runs(
        Filters=filters(replication_task_assessment_run_arn=[arn_of(run)])
    )
    [found] = found["ReplicationTaskAssessmentRuns"]
    return found


def ended(dms, run, task, patience_s=60):
    """The run once it has ended, with which its task is no longer `testing`."""
    wait_until(
        lambda: describe_task(dms, task)["Status"] != "testing", patience_s, "the run ends", lambda: str(describe_run(dms, run))
    )
    return describe_run(dms, run)


def individual(dms, run):
    found = dms.describe_replication_task_individual_assessments(
        Filters=filters(replication_task_assessment_run_arn=[arn_of(run)])
    )
    checks = found["ReplicationTaskIndividualAssessments"]
    assert all(one["ReplicationTaskAssessmentRunArn"] == arn_of(run) for one in checks)
    assert all(":individual-assessment:" in one["ReplicationTaskIndividualAssessmentArn"] for one in checks)
    return {one["IndividualAssessmentName"]: one["Status"] for one in checks}


def results(whimbrel, run):
    """The files of a run's results by their names."""
    folder = whimbrel.data_dir / "assessments" / run["ResultLocationBucket"]
    folder = folder / run.get("ResultLocationFolder", "") / run["AssessmentRunName"]
    return {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}


@contextlib.contextmanager
def schema(server, statements):
    name = unique("assessed").replace("-", "_")
    server.sql(f"create schema {name}")
    try:
        use = f"set search_path to {name};" if server.is_postgres else f"use {name};"
        server.sql(use + statements)
        yield name
    finally:
        server.sql(f"drop schema {name}" + (" cascade" if server.is_postgres else ""))


@contextlib.contextmanager
def locked(server, table):
    """A lock that lets nobody read the table."""
    command = [PSQL, "-X", "-q", "-h", server.host, "-p", str(server.port), "-U", server.user, "-d", "postgres"]
    environment = {**os.environ, "PGPASSWORD": server.password, "PGSSLMODE": "disable"}
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True)
    try:
        holder.stdin.write(f"begin; lock table {table} in access exclusive mode;\n")
        holder.stdin.flush()
        held = f"select count(*) from pg_locks where relation = '{table}'::regclass and mode = 'AccessExclusiveLock' and granted"
        wait_until(lambda: server.sql(held) == "1\n", 30, "the table is locked")
        yield
    finally:
        holder.stdin.close()
        holder.wait(30)


def task_over(dms, source, target, name, instance=None, connected=False, **more):
    instance = instance or an_instance(dms)
    ends = endpoint_of(dms, "source", source), endpoint_of(dms, "target", target)
    if connected:
        for end in ends:
            connect(dms, instance, end)
    return make_task(dms, instance, *ends, TableMappings=mappings_of(name), **more)


MISFITS = """
create table plain (id int primary key, note varchar(40)); insert into plain values (1, 'x');
create table no_key (a int);
create table unique_key (a int not null unique, b text);
create table odd (id int primary key, n numeric, d date, f double precision);
insert into odd values (1, 1, '2020-01-01', 1), (2, 1e40, 'infinity', 'NaN');
"""


def test_a_run_tells_what_stands_in_the_way(whimbrel, dms, servers):
    with schema(servers["postgres15"], MISFITS) as name:
        task = task_over(dms, servers["postgres15"], servers["mariadb1011"], name)
        run = assess(dms, task, ResultLocationFolder="a/b", ResultEncryptionMode="SSE_S3", Tags=[{"Key": "k", "Value": "v"}])
        assert run["Status"] == "starting" and ":assessment-run:" in arn_of(run)
        assert describe_task(dms, task)["Status"] in ("testing", "ready")
        run = ended(dms, run, task)
        assert run["Status"] == "failed", run
        assert describe_task(dms, task)["Status"] == "ready"
        assert run["IsLatestTaskAssessmentRun"] is True
        assert run["ResultEncryptionMode"] == "SSE_S3" and run["ServiceAccessRoleArn"] == ROLE
        [tag] = dms.list_tags_for_resource(ResourceArn=arn_of(run))["TagList"]
        assert (tag["Key"], tag["Value"]) == ("k", "v")
        checks = individual(dms, run)
        assert checks[SAMPLED] == "failed"
        assert checks[KEYS] == "warning"
        assert checks["all-check-source-selection-rules"] == "passed"
        assert checks["target-disk-room"] == "skipped"
        # What reads all rows has to be named, and what is of changes is of no load.
        assert ALL_VALUES not in checks and "postgres-check-wallevel" not in checks
        statistic = run["ResultStatistic"]
        assert statistic["Failed"] == list(checks.values()).count("failed")
        assert sum(statistic.values()) == len(checks)
        progress = run["AssessmentProgress"]
        assert progress["IndividualAssessmentCount"] == progress["IndividualAssessmentCompletedCount"] == len(checks)
        assert f"{SAMPLED}: {name}.odd." in run["LastFailureMessage"]
        files = results(whimbrel, run)
        assert set(files) == {"summary", *checks}
        found = {finding["object"]: finding["message"] for finding in files[SAMPLED]["findings"]}
        assert set(found) == {f"{name}.odd.{column}" for column in "ndf"}, found
        assert "key 2" in found[f"{name}.odd.d"] and "infinite" in found[f"{name}.odd.d"]
        assert all(finding["help"] for finding in files[SAMPLED]["findings"])
        assert [finding["object"] for finding in files[KEYS]["findings"]] == [f"{name}.no_key"]
        # The same over the API.
        answer = dms.describe_replication_task_assessment_results(ReplicationTaskArn=task["ReplicationTaskArn"])
        [result] = answer["ReplicationTaskAssessmentResults"]
        assert result["AssessmentStatus"] == "Issues found"
        assert json.loads(result["AssessmentResults"]) == files["summary"]
        assert answer["BucketName"] == BUCKET
        assert result["AssessmentResultsFile"] == f"a/b/{run['AssessmentRunName']}/summary.json"
        # Nothing was written at the target.
        assert name not in servers["mariadb1011"].sql("show databases").split()


def test_all_rows_are_read_where_that_is_asked_for(whimbrel, dms, servers):
    rows = "create table late (id int primary key, t text); insert into late select n, 'x' from generate_series(1, 50000) n;"
    bad = "insert into late values (50001, repeat('y', 11));"
    with schema(servers["postgres15"], rows + bad) as name:
        mappings = json.loads(mappings_of(name))
        narrow = {
            "rule-type": "transformation",
            "rule-id": "2",
            "rule-name": "2",
            "rule-target": "column",
            "object-locator": {"schema-name": name, "table-name": "late", "column-name": "t"},
            "rule-action": "change-data-type",
            "data-type": {"type": "string", "length": 10},
        }
        mappings["rules"].append(narrow)
        ends = endpoint_of(dms, "source", servers["postgres15"]), endpoint_of(dms, "target", servers["mysql97"])
        task = make_task(dms, an_instance(dms), *ends, TableMappings=json.dumps(mappings))
        run = ended(dms, assess(dms, task, IncludeOnly=[ALL_VALUES]), task)
        assert individual(dms, run) == {ALL_VALUES: "failed"}
        [finding] = results(whimbrel, run)[ALL_VALUES]["findings"]
        assert finding["object"] == f"{name}.late.t"
        assert "the longest has 11" in finding["message"] and "key 50001" in finding["message"]
        servers["postgres15"].sql(f"delete from {name}.late where id > 50000")
        run = ended(dms, assess(dms, task, IncludeOnly=[ALL_VALUES]), task)
        assert run["Status"] == "passed" and "LastFailureMessage" not in run
        # A check of large objects alone is made too.
        lobs = "postgres-check-limited-lob-size"
        assert individual(dms, ended(dms, assess(dms, task, IncludeOnly=[lobs]), task)) == {lobs: "passed"}


def test_values_of_mysql_that_postgres_does_not_hold(whimbrel, dms, servers):
    statements = """
    create table t (id int primary key, d datetime null, s varchar(20), h time);
    set session sql_mode = 'ALLOW_INVALID_DATES';
    insert into t values (1, '2020-02-29', 'fine', '23:59:59'), (2, '0000-00-00', 'a\\0b', '-10:00:00');
    """
    for engine in ("mysql97", "mariadb1011"):
        with schema(servers[engine], statements) as name:
            task = task_over(dms, servers[engine], servers["postgres15"], name)
            run = ended(dms, assess(dms, task, IncludeOnly=[SAMPLED]), task)
            found = {finding["object"]: finding["message"] for finding in results(whimbrel, run)[SAMPLED]["findings"]}
            assert set(found) == {f"{name}.t.{column}" for column in "dsh"}, (found, run)
            assert all("1 row has" in message and "key 2" in message for message in found.values()), found


def test_an_unreachable_source_passes_nothing_that_is_asked_of_it(dms, servers):
    source = make_endpoint(dms)
    target = endpoint_of(dms, "target", servers["mysql97"])
    task = make_task(dms, an_instance(dms), source, target)
    run = ended(dms, assess(dms, task), task)
    assert run["Status"] == "error-executing"
    assert "cannot be checked" in run["LastFailureMessage"] and "127.0.0.1" in run["LastFailureMessage"]
    checks = individual(dms, run)
    assert checks["all-check-target-read-replica"] == "passed"
    of_source = [status for name, status in checks.items() if name.startswith("postgres-") and "similar" not in name]
    assert of_source and set(of_source) == {"error"}, checks
    assert checks["mysql-check-target-privileges"] == "error"


def test_a_check_without_the_privilege_for_it_has_not_passed(whimbrel, dms, servers):
    server = servers["postgres15"]
    user = unique("few").replace("-", "_")
    with schema(server, "create table t (id int primary key, n numeric)") as name:
        server.sql(f"create role {user} login password 'few-rights-only'; grant usage on schema {name} to {user}")
        try:
            source = endpoint_of(dms, "source", server, Username=user, Password="few-rights-only")
            target = endpoint_of(dms, "target", servers["mysql97"])
            task = make_task(dms, an_instance(dms), source, target, TableMappings=mappings_of(name))
            run = ended(dms, assess(dms, task), task)
            checks = individual(dms, run)
            assert checks["postgres-check-select-object-privileges"] == "failed"
            assert checks[SAMPLED] == "error"
            [reason] = results(whimbrel, run)[SAMPLED]["cannot-be-checked"]
            assert f"{name}.t" in reason and "permission denied" in reason
            assert "few-rights-only" not in json.dumps(results(whimbrel, run))
        finally:
            server.sql(f"drop owned by {user}; drop role {user}")


def test_a_task_is_testing_until_its_run_is_cancelled(dms, servers):
    server = servers["postgres15"]
    with schema(server, MISFITS) as name:
        task = task_over(dms, server, servers["mariadb1011"], name)
        with locked(server, f"{name}.odd"):
            run = assess(dms, task)
            wait_until(lambda: describe_run(dms, run)["Status"] == "running", 30, "the run is under way")
            assert describe_task(dms, task)["Status"] == "testing"
            assert set(individual(dms, run).values()) == {"running"}
            arn = task["ReplicationTaskArn"]
            with refused("InvalidResourceStateFault"):
                start(dms, task)
            with refused("InvalidResourceStateFault", "testing"):
                dms.delete_replication_task(ReplicationTaskArn=arn)
            with refused("InvalidResourceStateFault"):
                dms.stop_replication_task(ReplicationTaskArn=arn)
            with refused("InvalidResourceStateFault", "testing"):
                assess(dms, task)
            with refused("InvalidResourceStateFault", "running"):
                dms.delete_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(run))
            cancelled = dms.cancel_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(run))
            assert cancelled["ReplicationTaskAssessmentRun"]["Status"] == "cancelling"
            run = ended(dms, run, task)
        assert run["Status"] == "cancelling"
        assert set(individual(dms, run).values()) == {"cancelled"}
        assert run["ResultStatistic"]["Cancelled"] == len(individual(dms, run))
        assert describe_task(dms, task)["Status"] == "ready"
        with refused("InvalidResourceStateFault"):
            dms.cancel_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(run))


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_run_survives_a_killed_service(own_whimbrel, servers, is_cancelled):
    dms, server = own_whimbrel.client(), servers["postgres15"]
    with schema(server, MISFITS) as name:
        instance = make_instance(dms)
        task = task_over(dms, server, servers["mariadb1011"], name, instance)
        with locked(server, f"{name}.odd"):
            run = assess(dms, task)
            wait_until(lambda: describe_run(dms, run)["Status"] == "running", 30, "the run is under way")
            if is_cancelled:
                dms.cancel_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(run))
            own_whimbrel.kill()
            own_whimbrel.start()
            if not is_cancelled:
                assert describe_task(dms, task)["Status"] == "testing"
        run = ended(dms, run, task)
        assert run["Status"] == ("cancelling" if is_cancelled else "failed")
        assert describe_task(dms, task)["Status"] == "ready"
        if not is_cancelled:
            assert set(results(own_whimbrel, run)) == {"summary", *individual(dms, run)}


def test_runs_survive_a_service_killed_at_any_moment(own_whimbrel, servers):
    dms, server = own_whimbrel.client(), servers["postgres15"]
    with schema(server, "create table t (id int primary key)") as name:
        instance = make_instance(dms)
        task = task_over(dms, server, servers["mariadb1011"], name, instance)
        for _ in range(6):
            run = assess(dms, task)
            own_whimbrel.kill()
            own_whimbrel.start()
            run = ended(dms, run, task)
            assert run["Status"] == "passed", run
            dms.delete_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(run))
            own_whimbrel.kill()
            own_whimbrel.start()
            wait_until(
                lambda: dms.describe_replication_task_assessment_runs()["ReplicationTaskAssessmentRuns"] == [], 60, "it is gone"
            )


def test_a_service_that_is_stopped_does_not_wait_for_a_run(own_whimbrel, servers):
    dms, server = own_whimbrel.client(), servers["postgres15"]
    with schema(server, MISFITS) as name:
        instance = make_instance(dms)
        task = task_over(dms, server, servers["mariadb1011"], name, instance)
        with locked(server, f"{name}.odd"):
            run = assess(dms, task)
            wait_until(lambda: describe_run(dms, run)["Status"] == "running", 30, "the run is under way")
            own_whimbrel.process.terminate()
            assert own_whimbrel.process.wait(15) == 0
            own_whimbrel.start()
        assert ended(dms, run, task)["Status"] == "failed"


def test_runs_are_listed_filtered_and_deleted(whimbrel, dms, servers):
    with schema(servers["postgres15"], "create table t (id int primary key)") as name:
        task = task_over(dms, servers["postgres15"], servers["mysql97"], name)
        names = [unique("run") for _ in range(3)]
        runs = [ended(dms, assess(dms, task, AssessmentRunName=name, IncludeOnly=[KEYS]), task) for name in names]
        assert [run["Status"] for run in runs] == ["passed"] * 3
        arn = task["ReplicationTaskArn"]

        def listed(**more):
            of_task = {"replication_task_arn": [arn], **more}
            pages, marker, found = 0, "", []
            while pages == 0 or marker:
                page = dms.describe_replication_task_assessment_runs(Filters=filters(**of_task), MaxRecords=1, Marker=marker)
                found += page["ReplicationTaskAssessmentRuns"]
                pages, marker = pages + 1, page.get("Marker")
            return [run["AssessmentRunName"] for run in found]

        assert listed() == names
        assert listed(status=["passed"]) == names and listed(status=["failed"]) == []
        assert listed(replication_instance_arn=[an_instance(dms)["ReplicationInstanceArn"]]) == names
        every = dms.describe_replication_task_assessment_runs(Filters=filters(replication_task_arn=[arn]))
        latest = [run["IsLatestTaskAssessmentRun"] for run in every["ReplicationTaskAssessmentRuns"]]
        assert latest == [False, False, True]
        one = dms.describe_replication_task_individual_assessments(
            Filters=filters(replication_task_arn=[arn], status=["passed"]), MaxRecords=2
        )
        assert len(one["ReplicationTaskIndividualAssessments"]) == 2 and one["Marker"]
        two = dms.describe_replication_task_individual_assessments(
            Filters=filters(replication_task_arn=[arn], status=["passed"]), MaxRecords=2, Marker=one["Marker"]
        )
        assert len(two["ReplicationTaskIndividualAssessments"]) == 1 and "Marker" not in two
        # A name is taken until its run is deleted; its results stay.
        with refused("ResourceAlreadyExistsFault", names[2]):
            assess(dms, task, AssessmentRunName=names[2])
        assert describe_task(dms, task)["Status"] == "ready"
        deleted = dms.delete_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(runs[2]))
        assert deleted["ReplicationTaskAssessmentRun"]["Status"] == "deleting"
        wait_until(lambda: listed() == names[:2], 30, "the run is gone")
        assert results(whimbrel, runs[2])["summary"]
        with refused("ResourceNotFoundFault"):
            describe_run(dms, runs[2])
        with refused("ResourceNotFoundFault"):
            dms.list_tags_for_resource(ResourceArn=arn_of(runs[2]))
        with refused("ResourceNotFoundFault"):
            dms.delete_replication_task_assessment_run(ReplicationTaskAssessmentRunArn=arn_of(runs[2]))
        ended(dms, assess(dms, task, AssessmentRunName=names[2], IncludeOnly=[KEYS]), task)
        # A deleted task takes its runs with it.
        dms.delete_replication_task(ReplicationTaskArn=arn)
        gone = filters(replication_task_assessment_run_arn=[arn_of(runs[0])])

        def are_gone():
            try:
                dms.describe_replication_task_assessment_runs(Filters=gone)
            except dms.exceptions.ResourceNotFoundFault:
                return True
            return False

        wait_until(are_gone, 60, "the runs are gone")


def test_applicable_assessments(dms, servers):
    ends = endpoint_of(dms, "source", servers["mysql97"]), endpoint_of(dms, "target", servers["postgres15"])
    task = make_task(dms, an_instance(dms), *ends)
    names = dms.describe_applicable_individual_assessments(ReplicationTaskArn=task["ReplicationTaskArn"])
    names = names["IndividualAssessmentNames"]
    assert {ALL_VALUES, SAMPLED, "mysql-check-select-privileges", "postgres-check-target-privileges"} <= set(names)
    assert "mysql-check-binlog-format" not in names and "mysql-check-target-privileges" not in names
    kinds = {
        "ReplicationInstanceArn": an_instance(dms)["ReplicationInstanceArn"],
        "SourceEngineName": "mysql",
        "TargetEngineName": "postgres",
        "MigrationType": "full-load",
    }
    assert dms.describe_applicable_individual_assessments(**kinds)["IndividualAssessmentNames"] == names
    following = dms.describe_applicable_individual_assessments(**{**kinds, "MigrationType": "cdc"})
    assert "mysql-check-binlog-format" in following["IndividualAssessmentNames"]
    paged, marker = [], ""
    while not paged or marker:
        page = dms.describe_applicable_individual_assessments(**kinds, MaxRecords=7, Marker=marker)
        assert len(page["IndividualAssessmentNames"]) <= 7
        paged, marker = paged + page["IndividualAssessmentNames"], page.get("Marker")
    assert paged == names
    arn = task["ReplicationTaskArn"]
    for wrong in ({}, {"ReplicationTaskArn": arn, **kinds}, {"SourceEngineName": "mysql"}):
        with refused("InvalidParameterCombinationException"):
            dms.describe_applicable_individual_assessments(**wrong)
    for member, value in (("SourceEngineName", "no-such"), ("TargetEngineName", "oracle"), ("MigrationType", "some")):
        with refused("InvalidParameterValueException", member if member == "MigrationType" else value):
            dms.describe_applicable_individual_assessments(**{**kinds, member: value})
    with refused("ResourceNotFoundFault"):
        dms.describe_applicable_individual_assessments(**{**kinds, "ReplicationInstanceArn": arn})
    with refused("ResourceNotFoundFault"):
        dms.describe_applicable_individual_assessments(ReplicationTaskArn=arn + "X")


def test_wrong_input_changes_nothing(whimbrel, dms, servers):
    task = task_over(dms, servers["postgres15"], servers["mysql97"], "nothing")
    kms = "arn:aws:kms:eu-central-1:000000000000:key/x"
    for code, wrong in [
        ("ResourceNotFoundFault", {"ReplicationTaskArn": task["ReplicationTaskArn"] + "X"}),
        ("InvalidParameterCombinationException", {"IncludeOnly": [KEYS], "Exclude": [SAMPLED]}),
        ("InvalidParameterValueException", {"IncludeOnly": ["no-such-check"]}),
        ("InvalidParameterValueException", {"Exclude": ["postgres-check-wallevel"]}),
        ("InvalidParameterValueException", {"ServiceAccessRoleArn": "me"}),
        ("InvalidParameterValueException", {"ResultLocationBucket": "../../etc"}),
        ("InvalidParameterValueException", {"ResultLocationBucket": "UPPER"}),
        ("InvalidParameterValueException", {"ResultLocationFolder": "a/../../b"}),
        ("InvalidParameterValueException", {"ResultLocationFolder": "a//b"}),
        ("InvalidParameterValueException", {"AssessmentRunName": "../x"}),
        ("InvalidParameterValueException", {"AssessmentRunName": ""}),
        ("InvalidParameterValueException", {"ResultEncryptionMode": "ROT13"}),
        ("InvalidParameterCombinationException", {"ResultEncryptionMode": "SSE_KMS"}),
        ("InvalidParameterCombinationException", {"ResultKmsKeyArn": kms}),
        ("InvalidParameterValueException", {"Tags": [{"Key": "aws:x", "Value": ""}]}),
    ]:
        with refused(code):
            assess(dms, task, **wrong)
        assert describe_task(dms, task)["Status"] == "ready", wrong
    [of_task] = [dms.describe_replication_task_assessment_runs(Filters=filters(replication_task_arn=[task["ReplicationTaskArn"]]))]
    assert of_task["ReplicationTaskAssessmentRuns"] == []
    for call in (dms.cancel_replication_task_assessment_run, dms.delete_replication_task_assessment_run):
        with refused("ResourceNotFoundFault"):
            call(ReplicationTaskAssessmentRunArn=task["ReplicationTaskArn"])
    for call in (dms.describe_replication_task_assessment_runs, dms.describe_replication_task_individual_assessments):
        with refused("InvalidParameterValueException", "colour"):
            call(Filters=[{"Name": "colour", "Values": ["red"]}])
        with refused("InvalidParameterValueException", "MaxRecords"):
            call(MaxRecords=0)
        with refused("InvalidParameterValueException", "Marker"):
            call(Marker="no marker")
        with refused("ResourceNotFoundFault"):
            call(Filters=filters(replication_task_arn=[task["ReplicationTaskArn"] + "X"]))
    with refused("ResourceNotFoundFault"):
        dms.describe_replication_task_assessment_results(ReplicationTaskArn=task["ReplicationTaskArn"] + "X")
    with refused("InvalidParameterValueException", "MaxRecords"):
        dms.describe_replication_task_assessment_results(MaxRecords=19)


def test_a_running_task_is_not_assessed(dms, servers):
    with schema(servers["postgres15"], "create table t (id int primary key)") as name:
        task = task_over(dms, servers["postgres15"], servers["mysql97"], name, connected=True, MigrationType="full-load-and-cdc")
        start(dms, task)
        wait_for_task(dms, task, "running")
        with refused("InvalidResourceStateFault", "running"):
            assess(dms, task)
        dms.stop_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
        wait_for_task(dms, task, "stopped")
        run = ended(dms, assess(dms, task), task)
        assert "postgres-check-wallevel" in individual(dms, run)
        assert describe_task(dms, task)["Status"] == "stopped"
        servers["mysql97"].sql(f"drop schema if exists {name}")
        dms.delete_replication_task(ReplicationTaskArn=task["ReplicationTaskArn"])
        gone = filters(replication_task_arn=[task["ReplicationTaskArn"]])
        dms.get_waiter("replication_task_deleted").wait(Filters=gone, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_the_assessment_of_types(whimbrel, dms, aws, servers):
    with schema(servers["postgres15"], "create table t (id int primary key, a int[], b inet)") as name:
        task = task_over(dms, servers["postgres15"], servers["mysql97"], name)
        arn = task["ReplicationTaskArn"]
        with refused("InvalidResourceStateFault", "Test connection"):
            dms.start_replication_task_assessment(ReplicationTaskArn=arn)
        with refused("ResourceNotFoundFault"):
            dms.start_replication_task_assessment(ReplicationTaskArn=arn + "X")
        assert dms.describe_replication_task_assessment_results(ReplicationTaskArn=arn)["ReplicationTaskAssessmentResults"] == []
        for end in ("SourceEndpointArn", "TargetEndpointArn"):
            connect(dms, an_instance(dms), {"EndpointArn": task[end]})
        begun = aws("start-replication-task-assessment", "--replication-task-arn", arn)["ReplicationTask"]
        assert begun["Status"] == "testing"
        wait_until(lambda: describe_task(dms, task)["Status"] == "ready", 60, "the assessment ends")
        [result] = aws("describe-replication-task-assessment-results", "--replication-task-arn", arn)[
            "ReplicationTaskAssessmentResults"
        ]
        assert result["ReplicationTaskIdentifier"] == task["ReplicationTaskIdentifier"]
        assert result["AssessmentStatus"] == "No issues found" and result["ReplicationTaskLastAssessmentDate"]
        found = json.loads(result["AssessmentResults"])
        assert found["summary"]["task-name"] == task["ReplicationTaskIdentifier"]
        assert found["summary"]["not-supported"] == {"data-type": [], "column-count": 0}
        assert found["summary"]["partially-supported"]["column-count"] == 2
        columns = {one["object-locator"]["column-name"]: one["data-type"] for one in found["types"]}
        assert columns == {"a": "integer[]", "b": "inet"}
        # It shows no run, and without the task's ARN nothing of what was found.
        runs = aws("describe-replication-task-assessment-runs", "--filters", f"Name=replication-task-arn,Values={arn}")
        assert runs["ReplicationTaskAssessmentRuns"] == []
        every = [
            one
            for page in dms.get_paginator("describe_replication_task_assessment_results").paginate()
            for one in page["ReplicationTaskAssessmentResults"]
        ]
        [listed] = [one for one in every if one["ReplicationTaskArn"] == arn]
        assert "AssessmentResults" not in listed and "S3ObjectUrl" not in listed


def test_the_command_line_of_the_sdk(aws, dms, servers):
    with schema(servers["mariadb1011"], "create table t (id int primary key)") as name:
        task = task_over(dms, servers["mariadb1011"], servers["postgres18"], name)
        run = aws(
            *["start-replication-task-assessment-run", "--replication-task-arn", task["ReplicationTaskArn"]],
            *["--service-access-role-arn", ROLE, "--result-location-bucket", BUCKET],
            *["--assessment-run-name", unique("run"), "--exclude", SAMPLED],
        )["ReplicationTaskAssessmentRun"]
        run = ended(dms, run, task)
        assert run["Status"] == "passed", run
        checks = aws(
            *["describe-replication-task-individual-assessments", "--filters"],
            f"Name=replication-task-assessment-run-arn,Values={arn_of(run)}",
        )["ReplicationTaskIndividualAssessments"]
        assert SAMPLED not in {one["IndividualAssessmentName"] for one in checks}
        assert {one["Status"] for one in checks} == {"passed", "skipped"}
        deleted = aws("delete-replication-task-assessment-run", "--replication-task-assessment-run-arn", arn_of(run))
        assert deleted["ReplicationTaskAssessmentRun"]["Status"] == "deleting"
