//! How rules of several kinds meet at one table, and which of them do not fit it.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::*;
use super::support::{
    INT4, TEXT, column_rule, filtered, names, numeric, read, resolved, settings, table, table_rule,
    unresolved, varchar,
};
use crate::{ColumnType, Generation, TableName};

#[test]
fn a_table_that_no_rule_is_for_is_untouched() {
    let source = table(&[("id", INT4), ("a", TEXT)]);
    let elsewhere = json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "remove-column",
        "object-locator": {"schema-name": "public", "table-name": "u%", "column-name": "a"}});
    let rename = table_rule(3, "%", json!({"rule-action": "add-prefix", "value": "p_"}));
    let rules = [elsewhere, rename];
    let mappings = read(&rules);
    assert!(!mappings.touches(&source.name));
    assert!(mappings.touches(&TableName::new("public", "u1")));
    let resolved = resolved(&rules, &source);
    assert!(resolved.is_untouched(&source));
    assert_eq!(resolved.target.name, "p_t");
    assert_eq!(resolved.key.unwrap().columns, [0]);
}

#[test]
fn each_kind_of_rule_touches() {
    let source = table(&[("id", INT4), ("a", TEXT), ("b", varchar(80))]);
    for rule in [
        filtered(&[("id", json!([{"filter-operator": "notnull"}]))]),
        column_rule(2, "a", json!({"rule-action": "remove-column"})),
        column_rule(2, "a", json!({"rule-action": "rename", "value": "x"})),
        column_rule(2, "b", json!({"rule-action": "data-masking-hash-mask"})),
        column_rule(
            2,
            "id",
            json!({"rule-action": "change-data-type", "data-type": {"type": "int8"}}),
        ),
        column_rule(
            2,
            "%",
            json!({"rule-action": "add-before-image-columns", "before-image-def": {}}),
        ),
        column_rule(
            2,
            "",
            json!({"rule-action": "add-column", "value": "x", "expression": "$a", "data-type": {"type": "clob"},
            "object-locator": {"schema-name": "%", "table-name": "%"}}),
        ),
        table_rule(
            2,
            "t",
            json!({"rule-action": "define-primary-key", "primary-key-def": {"columns": ["b"]}}),
        ),
        settings(2, json!({"lob-settings": {"mode": "none"}})),
        settings(
            2,
            json!({"parallel-load": {"type": "partitions-list", "partitions": ["p"]}}),
        ),
    ] {
        let text = rule.to_string();
        let rules = [rule];
        assert!(read(&rules).touches(&source.name), "{text}");
        assert!(!resolved(&rules, &source).is_untouched(&source), "{text}");
    }
    // Segments that hold all rows leave them as they are.
    for load in [
        json!({"type": "none"}),
        json!({"type": "partitions-auto"}),
        json!({"type": "ranges", "columns": ["id"], "boundaries": [["1"]]}),
    ] {
        let rules = [settings(2, json!({ "parallel-load": load }))];
        assert!(resolved(&rules, &source).is_untouched(&source));
    }
}

#[test]
fn a_change_to_the_type_that_a_column_has_is_none() {
    let source = table(&[("id", INT4)]);
    let change = column_rule(
        2,
        "id",
        json!({"rule-action": "change-data-type", "data-type": {"type": "int4"}}),
    );
    assert!(resolved(&[change], &source).is_untouched(&source));
}

#[test]
fn columns_come_as_those_of_the_source_then_before_images_then_added() {
    let rules = [
        column_rule(
            2,
            "%",
            json!({"rule-action": "add-column", "value": "z", "expression": "$a", "data-type": {"type": "string", "length": 5}}),
        ),
        column_rule(
            3,
            "%",
            json!({"rule-action": "add-column", "value": "y", "expression": "1", "data-type": {"type": "int4"}}),
        ),
        // The name is taken by the rule of the lower id.
        column_rule(
            4,
            "%",
            json!({"rule-action": "add-column", "value": "z", "expression": "2", "data-type": {"type": "int4"}}),
        ),
        column_rule(
            5,
            "%",
            json!({"rule-action": "add-before-image-columns", "before-image-def": {"column-suffix": "_old", "column-filter": "non-lob"}}),
        ),
        column_rule(6, "id", json!({"rule-action": "rename", "value": "key"})),
    ];
    let rules = resolved(&rules, &table(&[("id", INT4), ("a", TEXT), ("b", INT4)]));
    assert_eq!(
        names(&rules),
        ["key", "a", "b", "key_old", "b_old", "z", "y"]
    );
    assert_eq!(rules.columns[5].ty, varchar(5));
    let rule_ids: Vec<u64> = rules
        .columns
        .iter()
        .filter_map(|column| match column.origin {
            Origin::Expression { rule_id, .. } => Some(rule_id),
            _ => None,
        })
        .collect();
    assert_eq!(rule_ids, [2, 3]);
}

#[test]
fn a_type_changes_before_its_mask() {
    let change = |id| {
        column_rule(
            id,
            "id",
            json!({"rule-action": "change-data-type", "data-type": {"type": "string", "length": 20}}),
        )
    };
    let mask = column_rule(5, "id", json!({"rule-action": "data-masking-hash-mask"}));
    let source = table(&[("id", INT4)]);
    let rules = resolved(&[mask.clone(), change(4)], &source);
    assert_eq!(
        (&rules.columns[0].ty, rules.columns[0].mask),
        (&varchar(64), Some(Mask::Hash))
    );
    let late = unresolved(&[mask.clone(), change(6)], &source);
    assert!(
        late.contains("rule 6") && late.contains("lower rule-id than its mask"),
        "{late}"
    );
    let unhidden = unresolved(&[mask], &source);
    assert!(
        unhidden.contains("rule 5") && unhidden.contains("values can be masked"),
        "{unhidden}"
    );
}

#[test]
fn what_is_left_of_a_key_is_no_key() {
    let mut source = table(&[("a", INT4), ("b", INT4), ("c", INT4)]);
    source.primary_key = vec![2, 0];
    assert_eq!(resolved(&[], &source).key.unwrap().columns, [2, 0]);
    let rules = resolved(
        &[column_rule(2, "b", json!({"rule-action": "remove-column"}))],
        &source,
    );
    assert_eq!(rules.key.unwrap().columns, [1, 0]);
    let rules = resolved(
        &[column_rule(2, "a", json!({"rule-action": "remove-column"}))],
        &source,
    );
    assert!(rules.key.is_none() && rules.notes.len() == 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn rules_that_do_not_fit_name_themselves() {
    let mut source = table(&[
        ("id", INT4),
        ("a", varchar(9)),
        ("f", ColumnType::Float64),
        ("g", INT4),
    ]);
    source.columns[3].generation = Generation::Computed;
    let filter = |column: &str, conditions| filtered(&[(column, conditions)]);
    let equal = |value: &str| json!([{"filter-operator": "eq", "value": value}]);
    let ranges = |column: &str, boundaries: Json| {
        settings(
            2,
            json!({"parallel-load": {"type": "ranges", "columns": [column], "boundaries": boundaries}}),
        )
    };
    let add = |name: &str, expression: &str| {
        column_rule(
            2,
            "%",
            json!({"rule-action": "add-column", "value": name, "expression": expression, "data-type": {"type": "int4"}}),
        )
    };
    for (rule, expected) in [
        (
            filter("A", equal("1")),
            "$.rules[0].filters[0]: expected the name of a column",
        ),
        (
            filter("g", equal("1")),
            "$.rules[0].filters[0]: expected a column with values of its own",
        ),
        (
            filter("id", equal("one")),
            "$.rules[0].filters[0].filter-conditions[0]: expected a number",
        ),
        (
            ranges("x", json!([["1"]])),
            "$.rules[0].parallel-load.columns[0]: expected the name",
        ),
        (
            ranges("f", json!([["1"]])),
            "columns[0]: expected a column that is no floating-point number",
        ),
        (
            ranges("id", json!([["1"], ["x"]])),
            "boundaries[1][0]: expected a number",
        ),
        (
            ranges("id", json!([["10"], ["9"]])),
            "boundaries[1]: expected a boundary above",
        ),
        (
            ranges("id", json!([["10"], ["10.0"]])),
            "boundaries[1]: expected a boundary above",
        ),
        (
            add("a", "1"),
            "names that differ: two columns would be called a",
        ),
        (add("x", "$missing"), "$missing is none"),
        (add("x", "$g + 1"), "$g is none"),
        (
            column_rule(2, "a", json!({"rule-action": "rename", "value": "id"})),
            "called id",
        ),
        (
            column_rule(2, "%", json!({"rule-action": "remove-column"})),
            "rules that leave a column",
        ),
        (
            column_rule(
                2,
                "g",
                json!({"rule-action": "change-data-type", "data-type": {"type": "int8"}}),
            ),
            "g is computed",
        ),
        (
            column_rule(
                2,
                "a",
                json!({"rule-action": "rename-column", "expression": "'x'"}),
            ),
            "expressions are not evaluated here",
        ),
        (
            column_rule(
                2,
                "a",
                json!({"rule-action": "remove-prefix", "value": "a"}),
            ),
            "leaves something of the name a",
        ),
        (
            table_rule(
                2,
                "t",
                json!({"rule-action": "define-primary-key", "primary-key-def": {"columns": ["x"]}}),
            ),
            "x is none",
        ),
    ] {
        let text = unresolved(&[rule], &source);
        assert!(
            text.starts_with("table public.t: rule ") && text.contains(expected),
            "{text}\nhas no\n{expected}"
        );
    }
    let flag = add("op", "operation_indicator('D','U','I')");
    assert!(resolved(std::slice::from_ref(&flag), &source).deletes_become_updates);
    source.primary_key.clear();
    assert!(unresolved(&[flag], &source).contains("a key at both ends"));
}

#[test]
fn names_that_expressions_make() {
    struct Spelled;
    impl NameExpressions for Spelled {
        fn name(&self, expression: &str, names: &SourceNames<'_>) -> Result<String, String> {
            let column = names.column.map_or("", |column| column.name.as_str());
            Ok(format!(
                "{expression}/{}/{}/{column}",
                names.schema, names.table
            ))
        }
    }
    let rules = [
        json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "schema", "rule-action": "rename-schema",
            "expression": "s", "object-locator": {"schema-name": "public"}}),
        table_rule(
            3,
            "t",
            json!({"rule-action": "rename-table", "expression": "t"}),
        ),
        column_rule(
            4,
            "a",
            json!({"rule-action": "rename-column", "expression": "c"}),
        ),
    ];
    let rules = read(&rules)
        .resolve(&table(&[("id", INT4), ("a", TEXT)]), &Spelled)
        .unwrap();
    assert_eq!(rules.target, TableName::new("s/public/t/", "t/public/t/"));
    assert_eq!(names(&rules), ["id", "c/public/t/a"]);
}

#[test]
fn views_are_selected_by_rules_that_ask_for_them() {
    let rule = |kind: &str| {
        let document = json!({"rules": [{"rule-type": "selection", "rule-id": 1, "rule-action": "include",
            "object-locator": {"schema-name": "%", "table-name": "%", "table-type": kind}}]});
        TableMappings::read(&document.to_string()).unwrap()
    };
    let name = TableName::new("public", "v");
    let found = ["table", "view", "all"].map(|kind| {
        let rule = rule(kind);
        (
            rule.selects(&name),
            rule.selects_kind(&name, TableKind::View),
            rule.asks_for_views(),
        )
    });
    assert_eq!(
        found,
        [
            (true, false, false),
            (false, true, true),
            (true, true, true)
        ]
    );
}

#[test]
fn validation_functions_are_found_by_column() {
    let rule = json!({"rule-type": "validation", "rule-id": 9, "rule-target": "column", "rule-action": "override-validation-function",
        "object-locator": {"schema-name": "public", "table-name": "%", "column-name": "a"}, "source-function": "lower(${column-name})"});
    let mappings = read(&[rule]);
    let source = table(&[("id", INT4), ("a", numeric(4, 2))]);
    assert!(
        mappings
            .validation_functions(&source.name, &source.columns[0])
            .is_none()
    );
    let functions = mappings
        .validation_functions(&source.name, &source.columns[1])
        .unwrap();
    assert_eq!(
        (functions.source, functions.target),
        (Some("lower(${column-name})"), None)
    );
}

/// A rule for columns in a property: its id, a pattern and what it does.
type Drawn = (u32, &'static str, usize);

const KINDS: [(&str, &str); 6] = [
    ("convert-uppercase", "rename"),
    ("add-prefix", "rename"),
    ("remove-column", "keep"),
    ("include-column", "keep"),
    ("data-masking-hash-mask", "mask"),
    ("data-masking-digits-randomize", "mask"),
];

fn rules_of(drawn: &[Drawn]) -> Vec<Json> {
    let rule = |(id, pattern, kind): &Drawn| {
        column_rule(
            *id,
            pattern,
            json!({"rule-action": KINDS[*kind].0, "value": "p_"}),
        )
    };
    drawn.iter().map(rule).collect()
}

/// The action of one kind that acts on a column, found the plain way.
fn acting(drawn: &[Drawn], column: &str, kind: &str) -> Option<&'static str> {
    let matching = drawn.iter().filter(|(_, pattern, action)| {
        KINDS[*action].1 == kind && Pattern::new(pattern).matches(column)
    });
    matching
        .min_by_key(|(id, ..)| *id)
        .map(|(_, _, action)| KINDS[*action].0)
}

proptest! {
    #[test]
    fn of_each_kind_the_lowest_id_acts_in_any_order_of_the_document(
        drawn in prop::collection::vec(
            (1_u32..900, prop::sample::select(vec!["%", "a%", "_b", "ab", "b", "k"]), 0_usize..6), 0..10),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let mut drawn = drawn;
        drawn.sort_by_key(|(id, ..)| *id);
        drawn.dedup_by_key(|(id, ..)| *id);
        let source = table(&[("k", varchar(80)), ("a", varchar(80)), ("ab", varchar(80)), ("b", varchar(80))]);
        let includes = drawn.iter().any(|(.., kind)| KINDS[*kind].0 == "include-column");
        let expected: Vec<(String, Option<Mask>)> = source.columns.iter().filter_map(|column| {
            let name = column.name.as_str();
            let is_kept = match acting(&drawn, name, "keep") {
                None => !includes,
                Some(action) => action == "include-column",
            };
            let new = match acting(&drawn, name, "rename") {
                None => name.to_owned(),
                Some("add-prefix") => format!("p_{name}"),
                Some(_) => name.to_uppercase(),
            };
            let mask = acting(&drawn, name, "mask").map(|action| match action {
                "data-masking-hash-mask" => Mask::Hash,
                _ => Mask::RandomDigits,
            });
            is_kept.then_some((new, mask))
        }).collect();
        let mut shuffled = drawn.clone();
        if !shuffled.is_empty() {
            let by = shuffle.index(shuffled.len());
            shuffled.rotate_left(by);
        }
        match read(&rules_of(&shuffled)).resolve(&source, &NoExpressions) {
            Ok(rules) => {
                let found: Vec<_> = rules.columns.iter().map(|column| (column.name.clone(), column.mask)).collect();
                prop_assert_eq!(found, expected);
            }
            Err(error) => prop_assert!(expected.is_empty(), "{}", error),
        }
    }
}
