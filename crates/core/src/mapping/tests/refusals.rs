//! Documents that are refused: with the rule's id, the place and what was expected.

use serde_json::{Value as Json, json};

use super::super::*;
use super::support::{column_rule, filtered, merged, refusal, settings, table_rule};

#[track_caller]
fn refused(rule: Json, path: &str, expected: &str) {
    let text = refusal(&[rule]);
    let place = format!("$.rules[0]{path}: expected {expected}");
    assert!(text.contains(&place), "{text}\nhas no\n{place}");
    assert!(text.contains("ruleId = "), "{text}");
}

fn condition(condition: &Json) -> Json {
    filtered(&[("a", json!([{"filter-operator": "null"}, condition]))])
}

#[test]
fn filters_that_cannot_be_read() {
    let at = ".filters[0].filter-conditions[1]";
    for (wrong, member, expected) in [
        (
            json!({"filter-operator": "like", "value": "x"}),
            "filter-operator",
            r#"one of "lte", "ste", "gte""#,
        ),
        (json!({"value": "x"}), "filter-operator", "one of"),
        (
            json!({"filter-operator": "eq"}),
            "value",
            "text (or a whole number)",
        ),
        (
            json!({"filter-operator": "eq", "value": 1.5}),
            "value",
            "text (or a whole number)",
        ),
        (
            json!({"filter-operator": "between", "start-value": "1"}),
            "end-value",
            "text",
        ),
        (
            json!({"filter-operator": "notbetween", "value": "1"}),
            "start-value",
            "text",
        ),
    ] {
        refused(condition(&wrong), &format!("{at}.{member}"), expected);
    }
    refused(
        filtered(&[("a", json!([]))]),
        ".filters[0].filter-conditions",
        "at least one condition",
    );
    refused(
        filtered(&[("", json!([{"filter-operator": "null"}]))]),
        ".filters[0].column-name",
        "text that is not empty",
    );
    let null = filtered(&[("a", json!([{"filter-operator": "null"}]))]);
    let wild = merged(
        null.clone(),
        json!({"object-locator": {"schema-name": "public", "table-name": "%"}}),
    );
    refused(wild, ".object-locator.table-name", "a name without %");
    refused(
        merged(null.clone(), json!({"rule-action": "exclude"})),
        ".filters",
        "no filters",
    );
    let text = refusal(&[null.clone(), merged(null, json!({"rule-id": 2}))]);
    assert!(
        text.contains("ruleId = 2") && text.contains("$.rules[1].filters"),
        "{text}"
    );
}

#[test]
fn selections_that_cannot_be_read() {
    let rule = json!({"rule-type": "selection", "rule-id": 1, "rule-action": "include",
        "object-locator": {"schema-name": "a", "table-name": "b"}});
    let with = |more| merged(rule.clone(), more);
    refused(
        with(json!({"rule-type": "other"})),
        ".rule-type",
        r#"one of "selection", "transformation""#,
    );
    refused(
        with(json!({"rule-action": "Include"})),
        ".rule-action",
        r#"one of "include", "exclude", "explicit""#,
    );
    refused(
        with(json!({"object-locator": 5})),
        ".object-locator",
        "an object",
    );
    refused(
        with(json!({"object-locator": {"schema-name": "a"}})),
        ".object-locator.table-name",
        "text that is not empty",
    );
    refused(
        with(
            json!({"object-locator": {"schema-name": "a", "table-name": "b", "table-type": "index"}}),
        ),
        ".object-locator.table-type",
        r#"one of "table", "view", "all""#,
    );
    refused(
        with(json!({"load-order": 0})),
        ".load-order",
        "a whole number from 1 to 2147483647",
    );
    refused(
        with(json!({"load-order": 2_147_483_648_u32})),
        ".load-order",
        "a whole number",
    );
    refused(
        with(json!({"filters": {}})),
        ".filters",
        "an array of filters",
    );
    let nameless = TableMappings::read(r#"{"rules":[{"rule-type":"selection"}]}"#).unwrap_err();
    assert_eq!(
        nameless.to_string(),
        "Invalid table mappings document. $.rules[0].rule-id: expected a whole number"
    );
    let no_rule = TableMappings::read(r#"{"rules":[5]}"#).unwrap_err();
    assert_eq!(
        no_rule.to_string(),
        "Invalid table mappings document. $.rules[0]: expected a rule: an object"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn transformations_that_cannot_be_read() {
    let rule = |rest| column_rule(2, "a", rest);
    let add = json!({"rule-action": "add-column", "value": "c", "expression": "1", "data-type": {"type": "int4"}});
    let add = |more| rule(merged(add.clone(), more));
    let masked = |value| rule(json!({"rule-action": "data-masking-digits-mask", "value": value}));
    for (rule, path, expected) in [
        (
            rule(json!({"rule-action": "make-lowercase"})),
            ".rule-action",
            r#"one of "rename""#,
        ),
        (
            rule(json!({"rule-action": "rename"})),
            ".value",
            "text that is not empty",
        ),
        (
            rule(json!({"rule-action": "replace-suffix", "value": "x"})),
            ".old-value",
            "text that is not empty",
        ),
        (
            rule(json!({"rule-action": "define-primary-key"})),
            ".rule-target",
            r#"one of "table""#,
        ),
        (
            rule(json!({"rule-action": "remove-column", "rule-target": "view"})),
            ".rule-target",
            r#"one of "schema""#,
        ),
        (
            add(json!({"value": ""})),
            ".value",
            "text that is not empty",
        ),
        (
            add(json!({"expression": null})),
            ".expression",
            "text that is not empty",
        ),
        (
            add(json!({"expression": "1; DROP TABLE x"})),
            ".expression",
            "one expression, without a semicolon",
        ),
        (add(json!({"data-type": null})), ".data-type", "an object"),
        (
            add(json!({"data-type": {"type": "INT4"}})),
            ".data-type.type",
            r#"one of "bytes""#,
        ),
        (
            add(json!({"data-type": {"type": "string"}})),
            ".data-type.length",
            "the length of the type",
        ),
        (
            add(json!({"data-type": {"type": "numeric", "scale": 2}})),
            ".data-type.precision",
            "the count of digits",
        ),
        (
            add(json!({"data-type": {"type": "numeric", "precision": 2, "scale": 3}})),
            ".data-type.scale",
            "no more digits",
        ),
        (
            add(json!({"data-type": {"type": "map"}})),
            ".data-type.type",
            "a type that relational targets have",
        ),
        (
            masked(json!("##")),
            ".value",
            "one printable ASCII character",
        ),
        (
            masked(json!("é")),
            ".value",
            "one printable ASCII character",
        ),
        (masked(Json::Null), ".value", "text"),
        (
            rule(
                json!({"rule-action": "add-before-image-columns", "before-image-def": {"column-prefix": "", "column-suffix": "", "column-filter": "some"}}),
            ),
            ".before-image-def.column-filter",
            r#"one of "pk-only", "non-lob", "all""#,
        ),
    ] {
        refused(rule, path, expected);
    }
    let key =
        |definition| json!({"rule-action": "define-primary-key", "primary-key-def": definition});
    refused(
        table_rule(2, "t", key(json!({"columns": []}))),
        ".primary-key-def.columns",
        "at least one name",
    );
    refused(
        table_rule(2, "t", key(json!({"columns": ["a", "a"]}))),
        ".primary-key-def.columns[1]",
        "each column once",
    );
    refused(
        table_rule(2, "t", key(json!({"columns": ["a"], "origin": "x"}))),
        ".primary-key-def.origin",
        "one of",
    );
    refused(
        table_rule(2, "%", key(json!({"columns": ["a"]}))),
        ".object-locator.table-name",
        "a name without %",
    );
}

#[test]
fn settings_and_other_rules_that_cannot_be_read() {
    let load = |rest| settings(2, json!({ "parallel-load": rest }));
    let lob = |rest| settings(2, json!({ "lob-settings": rest }));
    for (rule, path, expected) in [
        (
            load(json!({"type": "auto"})),
            ".parallel-load.type",
            r#"one of "none""#,
        ),
        (
            load(json!({"type": "partitions-list"})),
            ".parallel-load.partitions",
            "names of partitions",
        ),
        (
            load(json!({"type": "ranges", "boundaries": [["1"]]})),
            ".parallel-load.columns",
            "one to 10 names",
        ),
        (
            load(json!({"type": "ranges", "columns": ["a"]})),
            ".parallel-load.boundaries",
            "at least one boundary",
        ),
        (
            load(json!({"type": "ranges", "columns": ["a"], "boundaries": [["1"], ["1", "2"]]})),
            ".parallel-load.boundaries[1]",
            "1 values, one for each column",
        ),
        (
            lob(json!({"mode": "limited", "bulk-max-size": "0"})),
            ".lob-settings.bulk-max-size",
            "a whole number from 1",
        ),
        (lob(json!({"mode": "full"})), ".lob-settings.mode", "one of"),
    ] {
        refused(rule, path, expected);
    }
    let text = refusal(&[settings(2, json!({})), settings(3, json!({}))]);
    assert!(
        text.contains("ruleId = 3") && text.contains("one table-settings rule for a table"),
        "{text}"
    );
    let locator = json!({"schema-name": "s", "table-name": "t", "column-name": "c"});
    refused(
        json!({"rule-type": "validation", "rule-id": 9, "rule-target": "column", "object-locator": locator,
        "rule-action": "override-validation-function"}),
        ".source-function",
        "a source-function",
    );
    refused(
        json!({"rule-type": "object-mapping", "rule-id": 9, "object-locator": locator, "rule-action": "x"}),
        ".rule-action",
        "one of",
    );
    refused(
        json!({"rule-type": "post-processing", "rule-id": 9, "object-locator": locator, "rule-action": "add-tag"}),
        ".tag-set",
        "one to 10 tags",
    );
}

#[test]
fn nothing_that_does_not_act_is_taken() {
    let any = json!({"schema-name": "s", "table-name": "t", "column-name": "c"});
    let transformation = |rest| {
        merged(
            json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "column",
        "object-locator": any}),
            rest,
        )
    };
    let rules = [
        transformation(
            json!({"rule-target": "table-tablespace", "rule-action": "rename", "value": "x"}),
        ),
        json!({"rule-type": "validation", "rule-id": 2, "rule-target": "column", "object-locator": any,
            "rule-action": "override-validation-function", "source-function": "x"}),
        json!({"rule-type": "object-mapping", "rule-id": 2, "object-locator": any, "rule-action": "map-record-to-record"}),
        json!({"rule-type": "post-processing", "rule-id": 2, "object-locator": any, "rule-action": "add-tag",
            "tag-set": [{"key": "a", "value": "b"}]}),
    ];
    for rule in rules {
        let document = with_everything(&rule);
        assert!(TableMappings::read(&document).is_ok(), "{document}");
        let error = TableMappings::parse(&document).unwrap_err().to_string();
        assert!(
            error.contains("not supported by this version"),
            "{document}: {error}"
        );
    }
    for acts in [
        settings(2, json!({})),
        settings(
            2,
            json!({"parallel-load": {"type": "none"}, "lob-settings": {"mode": "none"}}),
        ),
        transformation(
            json!({"rule-action": "add-column", "value": "x", "expression": "1", "data-type": {"type": "int4"}}),
        ),
        transformation(json!({"rule-action": "change-data-type", "data-type": {"type": "int4"}})),
        transformation(json!({"rule-action": "add-before-image-columns", "before-image-def": {}})),
    ] {
        let document = with_everything(&acts);
        assert!(TableMappings::parse(&document).is_ok(), "{document}");
    }
}

/// A document with a rule, and the inclusion of every table.
fn with_everything(rule: &Json) -> String {
    let all = json!({"rule-type": "selection", "rule-id": 99, "rule-action": "include",
        "object-locator": {"schema-name": "%", "table-name": "%"}});
    json!({"rules": [all, rule]}).to_string()
}
