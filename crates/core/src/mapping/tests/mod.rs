use super::*;

fn mappings(rules: &str) -> Result<TableMappings, MappingError> {
    TableMappings::parse(&format!("{{\"rules\":[{rules}]}}"))
}

fn selection(id: u32, schema: &str, table: &str, action: &str) -> String {
    format!(
        r#"{{"rule-type":"selection","rule-id":"{id}","rule-name":"{id}","object-locator":{{"schema-name":"{schema}","table-name":"{table}"}},"rule-action":"{action}","filters":[]}}"#
    )
}

fn rename(id: u32, target: &str, locator: &str, rest: &str) -> String {
    format!(
        r#"{{"rule-type":"transformation","rule-id":{id},"rule-target":"{target}","object-locator":{{{locator}}},{rest}}}"#
    )
}

fn selected(mappings: &TableMappings, tables: &[&str]) -> Vec<String> {
    tables
        .iter()
        .filter(|table| mappings.selects(&TableName::new("public", **table)))
        .map(|table| (*table).to_owned())
        .collect()
}

#[test]
fn exclude_wins_whatever_the_order_of_rules() {
    let include = selection(1, "public", "%", "include");
    let exclude = selection(2, "public", "%log", "exclude");
    for rules in [
        format!("{include},{exclude}"),
        format!("{exclude},{include}"),
    ] {
        let mappings = mappings(&rules).unwrap();
        assert_eq!(selected(&mappings, &["a", "b", "audit_log"]), ["a", "b"]);
    }
}

#[test]
fn explicit_selects_one_table_and_takes_no_wildcard() {
    let one = mappings(&selection(1, "public", "a", "explicit")).unwrap();
    assert_eq!(selected(&one, &["a", "ab"]), ["a"]);
    assert!(matches!(
        mappings(&selection(1, "public", "a%", "explicit")),
        Err(MappingError::Rule { rule_id: 1, .. })
    ));
}

#[test]
fn schema_names_are_matched_with_their_case() {
    let mappings = mappings(&selection(1, "Public", "%", "include")).unwrap();
    assert!(selected(&mappings, &["a"]).is_empty());
}

#[test]
fn higher_load_order_comes_first() {
    let rules = [("a", 1), ("b", 5)].map(|(table, order)| {
        selection(order, "public", table, "include").replace(
            "\"filters\"",
            &format!("\"load-order\":\"{order}\",\"filters\""),
        )
    });
    let mappings = mappings(&format!(
        "{},{}",
        rules.join(","),
        selection(9, "public", "c", "include")
    ))
    .unwrap();
    let order = |table: &str| mappings.load_order(&TableName::new("public", table));
    assert_eq!(
        (order("a"), order("b"), order("c")),
        (Some(1), Some(5), None)
    );
}

#[test]
fn schema_and_table_renames_act_together() {
    let rules = [
        selection(1, "public", "%", "include"),
        rename(
            2,
            "schema",
            r#""schema-name":"public""#,
            r#""rule-action":"rename","value":"app""#,
        ),
        rename(
            3,
            "table",
            r#""schema-name":"public","table-name":"%""#,
            r#""rule-action":"add-prefix","value":"stg_""#,
        ),
    ];
    let mappings = mappings(&rules.join(",")).unwrap();
    assert_eq!(
        mappings
            .target_name(&TableName::new("public", "orders"), &NoExpressions)
            .unwrap(),
        TableName::new("app", "stg_orders")
    );
}

#[test]
fn the_lowest_rule_id_wins_and_rules_are_not_combined() {
    let any = r#""schema-name":"public","table-name":"%""#;
    let rules = [
        selection(1, "public", "%", "include"),
        rename(3, "table", any, r#""rule-action":"convert-uppercase""#),
        rename(
            2,
            "table",
            any,
            r#""rule-action":"add-suffix","value":"_x""#,
        ),
    ];
    let mappings = mappings(&rules.join(",")).unwrap();
    assert_eq!(
        mappings
            .target_name(&TableName::new("public", "orders"), &NoExpressions)
            .unwrap()
            .name,
        "orders_x"
    );
}

#[test]
fn wrong_documents_are_refused_in_the_words_of_the_service() {
    let cases = [
        ("{", "Invalid Table Mappings document. Invalid json"),
        ("{}", "Valid Table mappings is required"),
        (
            r#"{"rules":[]}"#,
            "At least one selection rule is required.",
        ),
        (
            r#"{"rules":[{"rule-type":"x","rule-id":"1"}]}"#,
            "Invalid table mappings document.",
        ),
        (
            r#"{"rules":[{"rule-type":"selection","rule-id":"1","rule-action":"include"}]}"#,
            "Error in mapping rules. Rule with ruleId = 1 failed validation. object locator cannot be null",
        ),
    ];
    for (document, expected) in cases {
        let error = TableMappings::parse(document).unwrap_err().to_string();
        assert!(error.contains(expected), "{document}: {error}");
    }
    let twice = format!(
        "{},{}",
        selection(1, "a", "b", "include"),
        selection(1, "a", "c", "include")
    );
    assert_eq!(
        mappings(&twice).unwrap_err().to_string(),
        "Error in mapping rules. Duplicate ruleid 1 ($.rules[1].rule-id: expected a number that no other rule has)"
    );
}

#[test]
fn what_is_not_built_is_refused_and_not_ignored() {
    let tag = r#"{"rule-type":"post-processing","rule-id":2,"object-locator":{"schema-name":"%","table-name":"%"},
        "rule-action":"add-tag","tag-set":[{"key":"a","value":"b"}]}"#;
    let rules = format!("{},{tag}", selection(1, "a", "b", "include"));
    let error = mappings(&rules).unwrap_err().to_string();
    assert!(error.contains("not supported by this version"), "{error}");
}

mod examples;
mod page;
mod refusals;
mod resolution;
mod rows;
mod support;
