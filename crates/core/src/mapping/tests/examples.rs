//! The worked examples of the rules. Those of expressions are tests of the crate that evaluates them.

use serde_json::{Value as Json, json};

use super::super::*;
use super::support::{
    INT4, TEXT, column_rule, filtered, names, numeric, read, refusal, resolved, settings, table,
    table_rule, varchar,
};
use crate::{ColumnType, Generation, TableName, Value};

fn selection(rules: &[(&str, &str, &str)]) -> TableMappings {
    let rule = |(place, (action, schema, table)): (usize, &(&str, &str, &str))| {
        json!({"rule-type": "selection", "rule-id": (place + 1).to_string(), "rule-action": action,
            "object-locator": {"schema-name": schema, "table-name": table}})
    };
    let rules: Vec<Json> = rules.iter().enumerate().map(rule).collect();
    TableMappings::read(&json!({ "rules": rules }).to_string()).unwrap()
}

fn chosen<'t>(mappings: &TableMappings, tables: &[&'t str]) -> Vec<&'t str> {
    let is_chosen = |table: &&&str| mappings.selects(&TableName::new("public", **table));
    tables.iter().filter(is_chosen).copied().collect()
}

#[test]
fn examples_1_to_5_which_tables_are_selected() {
    let rules = [("include", "public", "%"), ("exclude", "public", "%log")];
    assert_eq!(
        chosen(&selection(&rules), &["a", "b", "audit_log"]),
        ["a", "b"]
    );
    let rules = [("exclude", "public", "a"), ("include", "public", "%")];
    assert_eq!(chosen(&selection(&rules), &["a", "b"]), ["b"]);
    let rules = [("explicit", "public", "a")];
    assert_eq!(chosen(&selection(&rules), &["a", "ab"]), ["a"]);
    let rules = [("include", "public", "t_1")];
    assert_eq!(chosen(&selection(&rules), &["t_1", "tx1"]), ["t_1", "tx1"]);
    let rules = [("include", "Public", "%")];
    assert!(chosen(&selection(&rules), &["a"]).is_empty());
    // Exact names are not patterns.
    let rules = [("explicit", "public", "t_1")];
    assert_eq!(chosen(&selection(&rules), &["t_1", "tx1"]), ["t_1"]);
}

#[test]
fn example_6_higher_load_order_first_and_none_last() {
    let rule = |id: u32, name: &str, order: Option<u32>| {
        json!({"rule-type": "selection", "rule-id": id, "rule-action": "include", "load-order": order,
            "object-locator": {"schema-name": "public", "table-name": name}})
    };
    let mappings = read(&[
        rule(1, "a", Some(1)),
        rule(2, "b", Some(5)),
        rule(3, "c", None),
    ]);
    let mut tables = ["a", "b", "c"];
    tables.sort_by_key(|name| {
        std::cmp::Reverse(mappings.load_order(&TableName::new("public", *name)))
    });
    assert_eq!(tables, ["b", "a", "c"]);
}

fn renamed(rules: &[Json], name: &str) -> TableName {
    let mut source = table(&[("id", INT4)]);
    name.clone_into(&mut source.name.name);
    let rules_of = read(rules);
    let resolved = rules_of.resolve(&source, &NoExpressions).unwrap();
    let named = rules_of.target_name(&source.name, &NoExpressions);
    assert_eq!(named, Ok(resolved.target.clone()));
    resolved.target
}

#[test]
fn example_7_schema_and_table_change_side_by_side() {
    let schema = json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "schema",
        "object-locator": {"schema-name": "public"}, "rule-action": "rename", "value": "app"});
    let table = table_rule(
        3,
        "%",
        json!({"rule-action": "add-prefix", "value": "stg_"}),
    );
    assert_eq!(
        renamed(&[schema, table], "orders"),
        TableName::new("app", "stg_orders")
    );
}

#[test]
fn example_8_the_lowest_id_wins_and_nothing_is_combined() {
    let upper = table_rule(3, "%", json!({"rule-action": "convert-uppercase"}));
    let suffix = table_rule(2, "%", json!({"rule-action": "add-suffix", "value": "_x"}));
    assert_eq!(renamed(&[upper, suffix], "orders").name, "orders_x");
}

#[test]
fn examples_9_and_10_prefixes_that_are_not_there() {
    let remove = table_rule(
        2,
        "%",
        json!({"rule-action": "remove-prefix", "value": "DMS_"}),
    );
    assert_eq!(renamed(std::slice::from_ref(&remove), "DMS_A").name, "A");
    assert_eq!(renamed(&[remove], "X").name, "X");
    let replace = table_rule(
        2,
        "%",
        json!({"rule-action": "replace-prefix", "old-value": "Pre_", "value": "New_"}),
    );
    assert_eq!(
        renamed(std::slice::from_ref(&replace), "Pre_T").name,
        "New_T"
    );
    assert_eq!(renamed(&[replace], "preT").name, "preT");
}

#[test]
fn examples_11_and_12_columns_that_are_left_out() {
    let remove = json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "remove-column",
        "object-locator": {"schema-name": "%", "table-name": "%", "column-name": "ssn"}});
    let source = table(&[("id", INT4), ("ssn", TEXT), ("n", INT4)]);
    let rules = resolved(&[remove], &source);
    assert_eq!((names(&rules), &rules.removed), (vec!["id", "n"], &vec![1]));
    let include = |id, column| column_rule(id, column, json!({"rule-action": "include-column"}));
    let source = table(&[("id", INT4), ("name", TEXT), ("nat", TEXT), ("z", TEXT)]);
    let rules = resolved(&[include(2, "id"), include(3, "na%")], &source);
    assert_eq!(names(&rules), ["id", "name", "nat"]);
    assert_eq!(rules.key.unwrap().columns, [0]);
}

#[test]
fn example_16_types_of_all_columns_of_one_type() {
    let change = json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "change-data-type",
        "object-locator": {"schema-name": "public", "table-name": "t", "column-name": "%", "data-type": "int4"},
        "data-type": {"type": "int8"}});
    let mut source = table(&[("a", INT4), ("b", numeric(10, 2))]);
    let rules = resolved(std::slice::from_ref(&change), &source);
    let types: Vec<_> = rules
        .columns
        .iter()
        .map(|column| (column.ty.clone(), column.is_retyped))
        .collect();
    let int8 = ColumnType::Int {
        bits: 64,
        unsigned: false,
    };
    assert_eq!(types, [(int8, true), (numeric(10, 2), false)]);
    // What the server computes is not meant.
    source.columns[1].ty = INT4;
    source.columns[1].generation = Generation::Computed;
    let rules = resolved(&[change], &source);
    let is_retyped: Vec<bool> = rules
        .columns
        .iter()
        .map(|column| column.is_retyped)
        .collect();
    assert_eq!(is_retyped, [true, false]);
}

#[test]
fn example_17_a_key_that_a_rule_defines() {
    let define = table_rule(
        2,
        "t",
        json!({"rule-action": "define-primary-key",
        "primary-key-def": {"name": "pk", "origin": "primary-key", "columns": ["b", "a"]}}),
    );
    let mut source = table(&[("a", INT4), ("b", INT4)]);
    source.primary_key.clear();
    let rules = resolved(&[define], &source);
    let key = rules.key.clone().unwrap();
    assert_eq!(
        (key.columns.as_slice(), key.defined),
        (&[1, 0][..], Some(KeyOrigin::PrimaryKey))
    );
    assert!(!rules.is_untouched(&source) && !rules.shapes_rows(&source));
}

#[test]
fn examples_18_and_19_masks() {
    let digits = column_rule(
        2,
        "a",
        json!({"rule-action": "data-masking-digits-mask", "value": "#"}),
    );
    let hash = column_rule(3, "b", json!({"rule-action": "data-masking-hash-mask"}));
    let rules = resolved(
        &[digits, hash],
        &table(&[("id", INT4), ("a", varchar(12)), ("b", varchar(3))]),
    );
    let (secret, mut scratch) = (MaskSecret::new([0; 32]), String::new());
    let mut masked = |place: usize, text: &str| {
        let column: &TargetColumn = &rules.columns[place];
        let value =
            column
                .mask
                .unwrap()
                .apply(&Value::Text(text), &column.ty, &secret, &mut scratch);
        let Ok(Value::Text(text)) = value else {
            panic!()
        };
        text.to_owned()
    };
    assert_eq!(masked(1, "C6BGJ566669K"), "C#BGJ######K");
    assert_eq!(
        masked(2, "abc"),
        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
    );
    // The hash needs more room than the values had.
    assert_eq!(
        (&rules.columns[2].ty, rules.columns[2].is_retyped),
        (&varchar(64), true)
    );
}

#[test]
fn example_20_filters_of_several_columns_and_conditions() {
    let rule = filtered(&[
        ("a", json!([{"filter-operator": "eq", "value": "1"}])),
        (
            "b",
            json!([{"filter-operator": "lte", "value": "2"},
            {"filter-operator": "between", "start-value": "5", "end-value": "6"}]),
        ),
    ]);
    let filter = resolved(&[rule], &table(&[("a", INT4), ("b", INT4)]))
        .filter
        .unwrap();
    let selected: Vec<_> = [(1, 1), (1, 5), (1, 4), (2, 1)]
        .into_iter()
        .filter(|(a, b)| filter.selects(&[Value::Int(*a), Value::Int(*b)]).unwrap())
        .collect();
    assert_eq!(selected, [(1, 1), (1, 5)]);
}

#[test]
fn examples_21_and_22_filters_and_null() {
    use super::support::selects;
    let not_one = json!([{"filter-operator": "noteq", "value": "1"}]);
    let only_null = json!([{"filter-operator": "null"}]);
    for (value, is_not_one, is_null) in [
        (Value::Int(1), false, false),
        (Value::Int(2), true, false),
        (Value::Null, false, true),
    ] {
        assert_eq!(
            selects(not_one.clone(), INT4, value),
            Some(is_not_one),
            "{value:?}"
        );
        assert_eq!(
            selects(only_null.clone(), INT4, value),
            Some(is_null),
            "{value:?}"
        );
    }
}

#[test]
fn example_23_ranges() {
    let ranges = settings(
        2,
        json!({"parallel-load": {"type": "ranges", "columns": ["id"], "boundaries": [["10"], ["20"]]}}),
    );
    let rules = resolved(&[ranges], &table(&[("id", INT4)]));
    let Some(Segments::Ranges {
        segments,
        rest: Some(rest),
    }) = rules.segments
    else {
        panic!()
    };
    let of = |value: Value<'_>| -> Vec<usize> {
        let has = |place: &usize| segments[*place].selects(&[value]).unwrap();
        (0..segments.len()).filter(has).collect()
    };
    let found = [9, 10, 19, 20].map(|id| of(Value::Int(id)));
    assert_eq!(found, [vec![0], vec![1], vec![1], vec![2]]);
    assert!(of(Value::Null).is_empty());
    assert_eq!(rest.selects(&[Value::Null]), Some(true));
    assert_eq!(rest.selects(&[Value::Int(10)]), Some(false));
}

#[test]
fn example_24_limited_large_objects_are_counted_in_kilobytes() {
    let lob = settings(
        2,
        json!({"lob-settings": {"mode": "limited", "bulk-max-size": "1"}}),
    );
    let rules = resolved(&[lob], &table(&[("id", INT4), ("a", TEXT)]));
    assert_eq!(rules.lob, Some(LobMode::Limited { bytes_max: 1024 }));
}

#[test]
fn example_25_two_rules_of_one_id() {
    let rule = json!({"rule-type": "selection", "rule-id": "1", "rule-action": "include",
        "object-locator": {"schema-name": "a", "table-name": "b"}});
    let text = refusal(&[rule.clone(), rule]);
    assert!(
        text.starts_with("Error in mapping rules. Duplicate ruleid 1"),
        "{text}"
    );
}

#[test]
fn example_26_before_images_of_the_key() {
    let before = column_rule(
        2,
        "%",
        json!({"rule-action": "add-before-image-columns",
        "before-image-def": {"column-prefix": "BI_", "column-suffix": "", "column-filter": "pk-only"}}),
    );
    let rules = resolved(&[before], &table(&[("emp_no", INT4), ("name", TEXT)]));
    assert_eq!(names(&rules), ["emp_no", "name", "BI_emp_no"]);
    let image = &rules.columns[2];
    assert_eq!((&image.origin, image.nullable), (&Origin::Before(0), true));
}

#[test]
fn example_27_rules_name_objects_as_the_source_does() {
    let rename = json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "rename", "value": "b",
        "object-locator": {"schema-name": "%", "table-name": "%", "column-name": "a"}});
    let table_rename = table_rule(3, "t", json!({"rule-action": "rename", "value": "u"}));
    let define = table_rule(
        4,
        "t",
        json!({"rule-action": "define-primary-key", "primary-key-def": {"columns": ["a"]}}),
    );
    let rules = resolved(
        &[rename, table_rename, define],
        &table(&[("id", INT4), ("a", INT4)]),
    );
    assert_eq!(
        (names(&rules), rules.target.name.as_str()),
        (vec!["id", "b"], "u")
    );
    assert_eq!(rules.key.unwrap().columns, [1]);
}

#[test]
fn example_28_settings_need_exact_names() {
    let rule = json!({"rule-type": "table-settings", "rule-id": "7",
        "object-locator": {"schema-name": "HR", "table-name": "%"}, "parallel-load": {"type": "none"}});
    let text = refusal(&[rule]);
    let expected = "Error in mapping rules. Rule with ruleId = 7 failed validation. Exact schema and table name required when using table settings rule.";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("$.rules[0].object-locator.table-name"),
        "{text}"
    );
}
