"""Rules of table mappings, through the API alone: columns, rows and what is refused."""

import json

import pytest

from conftest import wait_until
from resources import describe_task, events_of, mappings_of, refused, start, table_statistics, wait_for_task
from test_changes import arrives, pair, remove, stop  # noqa: F401
from test_full_load import PAIRS


def ruled(schema, *rules):
    document = json.loads(mappings_of(schema))
    document["rules"] += rules
    return json.dumps(document)


def of_column(rule_id, schema, table, column, action, **more):
    return {
        "rule-type": "transformation",
        "rule-id": rule_id,
        "rule-name": rule_id,
        "rule-target": "column",
        "object-locator": {"schema-name": schema, "table-name": table, "column-name": column},
        "rule-action": action,
        **more,
    }


def filtered(rule_id, schema, table, column, *conditions):
    return {
        "rule-type": "selection",
        "rule-id": rule_id,
        "rule-name": rule_id,
        "rule-action": "include",
        "object-locator": {"schema-name": schema, "table-name": table},
        "filters": [{"filter-type": "source", "column-name": column, "filter-conditions": list(conditions)}],
    }


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_rules_act_in_the_load_and_on_changes(dms, pair):
    schema = pair.schema
    mappings = ruled(
        schema,
        of_column("2", schema, "a", "name", "rename", value="title"),
        of_column("3", schema, "b", "name", "remove-column"),
        filtered("4", schema, "a", "name", {"filter-operator": "gte", "value": "t"}),
    )
    task = pair.task(MigrationType="full-load-and-cdc", TableMappings=mappings)
    start(dms, task)
    wait_for_task(dms, task, "running")
    arrives(pair, "a", "2\ttwo\n", "id, title")
    arrives(pair, "b", "1\n2\n3\n", "*")
    # Counts are kept a moment after the rows are seen.
    loaded = lambda: table_statistics(dms, task).get("a", {}).get("FullLoadRows")  # noqa: E731
    wait_until(lambda: loaded() == 1, 60, "one row is counted as loaded")
    # One comes in, one goes out, one that nobody sees goes.
    pair.source.sql(f"update {schema}.a set name = 'uno' where id = 1; update {schema}.a set name = 'due' where id = 2")
    pair.source.sql(f"delete from {schema}.a where id = 3; insert into {schema}.a values (4, 'vier'), (5, 'five')")
    arrives(pair, "a", "1\tuno\n4\tvier\n", "id, title")
    stop(dms, task)
    remove(dms, task)


def test_a_rule_that_does_not_act_is_refused_with_its_id(dms, pair):
    functions = {"source-function": "lower(${column-name})"}
    rule = of_column("2", pair.schema, "a", "name", "override-validation-function", **functions)
    rule["rule-type"] = "validation"
    with refused("InvalidParameterValueException", "ruleId = 2", "not supported by this version"):
        pair.task(TableMappings=ruled(pair.schema, rule))


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_segments_names_by_expressions_and_random_digits_act(dms, pair):
    schema = pair.schema
    by_name = of_column("2", schema, "b", "", "rename-table", expression="'x_' || $AR_M_SOURCE_TABLE_NAME")
    by_name["rule-target"] = "table"
    del by_name["object-locator"]["column-name"]
    ranges = {
        "rule-type": "table-settings",
        "rule-id": "3",
        "rule-name": "3",
        "object-locator": {"schema-name": schema, "table-name": "b"},
        "parallel-load": {"type": "ranges", "columns": ["id"], "boundaries": [["2"], ["3"]]},
    }
    digits = of_column("4", schema, "a", "name", "data-masking-digits-randomize")
    task = pair.task(MigrationType="full-load", TableMappings=ruled(schema, by_name, ranges, digits))
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 60, "the load ends")
    arrives(pair, "x_b", "1\n2\n3\n", "id")
    arrives(pair, "a", "1\n2\n3\n", "id")
    remove(dms, task)


def added(rule_id, schema, table, name, expression, **data_type):
    rule = of_column(rule_id, schema, table, "", "add-column", value=name, expression=expression)
    del rule["object-locator"]["column-name"]
    rule["data-type"] = data_type
    return rule


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-to-".join)
def test_columns_are_added_and_rows_that_go_stay_with_a_flag(dms, pair):
    schema = pair.schema
    mappings = ruled(
        schema,
        added("2", schema, "a", "label", "$id || ': ' || upper($name)", type="string", length=50),
        added("3", schema, "a", "op", "operation_indicator('D','U','I')", type="string", length=1),
        of_column("4", schema, "a", "id", "change-data-type", **{"data-type": {"type": "int8"}}),
    )
    task = pair.task(MigrationType="full-load-and-cdc", TableMappings=mappings)
    start(dms, task)
    wait_for_task(dms, task, "running")
    arrives(pair, "a", "1\tone\t1: ONE\tI\n2\ttwo\t2: TWO\tI\n3\tNULL\tNULL\tI\n", "id, name, label, op")
    pair.source.sql(f"update {schema}.a set name = 'uno' where id = 1; delete from {schema}.a where id = 2")
    arrives(pair, "a", "1\tuno\t1: UNO\tU\n2\ttwo\t2: TWO\tD\n3\tNULL\tNULL\tI\n", "id, name, label, op")
    stop(dms, task)
    remove(dms, task)


def test_an_expression_that_cannot_be_evaluated_is_told_by_its_table(dms, pair):
    rule = added("7", pair.schema, "a", "x", "load_extension('x')", type="string", length=9)
    task = pair.task(TableMappings=ruled(pair.schema, rule))
    start(dms, task)
    wait_until(lambda: describe_task(dms, task)["Status"] in ("stopped", "failed"), 90, "the task is over")
    states = {name: table["TableState"] for name, table in table_statistics(dms, task).items()}
    assert states == {"a": "Table error", "b": "Table completed"}


@pytest.mark.parametrize("kind", ["full-load", "full-load-and-cdc"])
def test_a_table_that_a_rule_names_and_that_is_not_there_is_told(dms, pair, kind):
    explicit = {
        "rule-type": "selection",
        "rule-id": "8",
        "rule-name": "8",
        "rule-action": "explicit",
        "object-locator": {"schema-name": pair.schema, "table-name": "late"},
    }
    task = pair.task(MigrationType=kind, TableMappings=ruled(pair.schema, explicit))
    start(dms, task)
    states = lambda: {name: table["TableState"] for name, table in table_statistics(dms, task).items()}
    told = {"a": "Table completed", "b": "Table completed", "late": "Table does not exist"}
    wait_until(lambda: states() == told, 90, "the others are loaded, and it is told")
    assert any(f"{pair.schema}.late: no such table" in text for text in events_of(dms, task))
    if kind == "full-load":
        wait_for_task(dms, task, "stopped")
        assert "late: no such table" in describe_task(dms, task)["LastFailureMessage"]
    else:
        pair.source.sql(f"create table {pair.schema}.late (id int primary key); insert into {pair.schema}.late values (7)")
        arrives(pair, "late", "7\n", "id")
        wait_until(lambda: states()["late"] == "Table completed", 60, "the table has come")
        stop(dms, task)
    remove(dms, task)
