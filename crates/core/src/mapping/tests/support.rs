//! Tables and documents for tests.

use serde_json::{Value as Json, json};

use super::super::*;
use crate::{Column, ColumnType, Engine, Generation, Table, TableName, Value};

pub(super) const INT4: ColumnType = ColumnType::Int {
    bits: 32,
    unsigned: false,
};
pub(super) const TEXT: ColumnType = ColumnType::Text { bytes_max: None };

pub(super) fn varchar(length: u32) -> ColumnType {
    ColumnType::Varchar {
        length: Some(length),
    }
}

pub(super) fn numeric(precision: u32, scale: i32) -> ColumnType {
    ColumnType::Decimal {
        precision: Some((precision, scale)),
        unsigned: false,
    }
}

/// A table `public.t` of PostgreSQL whose first column is the key.
pub(super) fn table(columns: &[(&str, ColumnType)]) -> Table {
    let column = |(name, ty): &(&str, ColumnType)| Column {
        name: (*name).to_owned(),
        ty: ty.clone(),
        native: String::new(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    };
    Table {
        engine: Engine::Postgres,
        name: TableName::new("public", "t"),
        columns: columns.iter().map(column).collect(),
        primary_key: vec![0],
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    }
}

/// Reads rules: the inclusion of everything, and these.
pub(super) fn read(rules: &[Json]) -> TableMappings {
    match TableMappings::read(&document(rules)) {
        Ok(mappings) => mappings,
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn refusal(rules: &[Json]) -> String {
    TableMappings::read(&document(rules))
        .unwrap_err()
        .to_string()
}

fn document(rules: &[Json]) -> String {
    let include = json!({"rule-type": "selection", "rule-id": 1000, "rule-action": "include",
        "object-locator": {"schema-name": "%", "table-name": "%"}});
    let rules: Vec<&Json> = rules.iter().chain([&include]).collect();
    json!({ "rules": rules }).to_string()
}

/// A rule for columns of `public.t`.
pub(super) fn column_rule(id: u32, column: &str, rest: Json) -> Json {
    let locator = json!({"schema-name": "public", "table-name": "t", "column-name": column});
    merged(
        json!({"rule-type": "transformation", "rule-id": id, "rule-target": "column", "object-locator": locator}),
        rest,
    )
}

/// A rule for tables of the schema `public`.
pub(super) fn table_rule(id: u32, table: &str, rest: Json) -> Json {
    let locator = json!({"schema-name": "public", "table-name": table});
    merged(
        json!({"rule-type": "transformation", "rule-id": id, "rule-target": "table", "object-locator": locator}),
        rest,
    )
}

pub(super) fn settings(id: u32, rest: Json) -> Json {
    let locator = json!({"schema-name": "public", "table-name": "t"});
    merged(
        json!({"rule-type": "table-settings", "rule-id": id, "object-locator": locator}),
        rest,
    )
}

/// The inclusion of `public.t` with filters, each as a column and its conditions.
pub(super) fn filtered(filters: &[(&str, Json)]) -> Json {
    let filter = |(column, conditions): &(&str, Json)| json!({"filter-type": "source", "column-name": column, "filter-conditions": conditions});
    let filters: Vec<Json> = filters.iter().map(filter).collect();
    json!({"rule-type": "selection", "rule-id": 1, "rule-action": "include",
        "object-locator": {"schema-name": "public", "table-name": "t"}, "filters": filters})
}

pub(super) fn merged(mut rule: Json, more: Json) -> Json {
    if let (Json::Object(rule), Json::Object(more)) = (&mut rule, more) {
        rule.extend(more);
    }
    rule
}

pub(super) fn resolved(rules: &[Json], table: &Table) -> TableRules {
    match read(rules).resolve(table, &NoExpressions) {
        Ok(rules) => rules,
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn unresolved(rules: &[Json], table: &Table) -> String {
    let error = read(rules).resolve(table, &NoExpressions).unwrap_err();
    error.to_string()
}

pub(super) fn names(rules: &TableRules) -> Vec<&str> {
    rules
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

/// Which rows a filter on one whole-number column `a` selects.
pub(super) fn selects(conditions: Json, ty: ColumnType, value: Value<'_>) -> Option<bool> {
    let rules = resolved(&[filtered(&[("a", conditions)])], &table(&[("a", ty)]));
    rules.filter.unwrap().selects(&[value])
}
