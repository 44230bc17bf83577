"""The settings document of tasks."""

import json

import pytest

from resources import an_instance, describe_task, make_endpoint, make_task, refused


@pytest.fixture(scope="module")
def place(dms):
    return an_instance(dms), make_endpoint(dms), make_endpoint(dms, "target")


def settings_of(dms, task):
    return describe_task(dms, task)["ReplicationTaskSettings"]


def test_without_settings_the_whole_document_is_told_in_a_stable_order(dms, place):
    first, second = make_task(dms, *place), make_task(dms, *place)
    text = settings_of(dms, first)
    assert text == settings_of(dms, second)
    document = json.loads(text)
    assert list(document)[:3] == ["TargetMetadata", "FullLoadSettings", "Logging"]
    assert document["TTSettings"] is None
    assert document["ControlTablesSettings"]["historyTimeslotInMinutes"] == 5
    assert document["ErrorBehavior"]["FailOnNoTablesCaptured"] is True


def test_partial_settings_leave_the_rest_at_its_defaults(dms, place):
    defaults = json.loads(settings_of(dms, make_task(dms, *place)))
    task = make_task(dms, *place, ReplicationTaskSettings='{"Logging":{"EnableLogging":true}}')
    defaults["Logging"]["EnableLogging"] = True
    assert json.loads(settings_of(dms, task)) == defaults


def test_what_is_told_can_be_sent_again(dms, place):
    text = settings_of(dms, make_task(dms, *place, ReplicationTaskSettings='{"FullLoadSettings":{"CommitRate":7}}'))
    assert settings_of(dms, make_task(dms, *place, ReplicationTaskSettings=text)) == text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("{", "Invalid task settings json"),
        (
            '{"Logging":{"CloudWatchLogGroup":"x"}}',
            "Task Settings CloudWatchLogGroup or CloudWatchLogStream cannot be set on create",
        ),
        ('{"FullLoadSettings":{"MaxFullLoadSubTasks":50}}', "MaxFullLoadSubTasks"),
        ('{"FullLoadSettings":{"TargetTablePrepMode":"x"}}', "TargetTablePrepMode"),
    ],
)
def test_wrong_settings_are_refused(dms, place, settings, words):
    with refused("InvalidParameterValueException", words):
        make_task(dms, *place, ReplicationTaskSettings=settings)
