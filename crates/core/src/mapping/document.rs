//! From the JSON document to checked rules.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::acting::{Feature, Use};
use super::error::Place;
use super::node::Node;
use super::other_rules::{self, ValidationOverride};
use super::selection::{SelectionAction, SelectionRule};
use super::table_settings::TableSettings;
use super::transformation::Transformation;
use super::{MappingError, TableMappings};
use crate::TableName;

/// The service's own bound.
const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Clone, Copy)]
enum RuleType {
    Selection,
    Transformation,
    TableSettings,
    ObjectMapping,
    Validation,
    PostProcessing,
}

const RULE_TYPES: &[(&str, RuleType)] = &[
    ("selection", RuleType::Selection),
    ("transformation", RuleType::Transformation),
    ("table-settings", RuleType::TableSettings),
    ("object-mapping", RuleType::ObjectMapping),
    ("validation", RuleType::Validation),
    ("post-processing", RuleType::PostProcessing),
];

pub(super) fn read(text: &str) -> Result<TableMappings, MappingError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(MappingError::TooLong {
            bytes: text.len(),
            bytes_max: DOCUMENT_BYTES_MAX,
        });
    }
    let document: Value =
        serde_json::from_str(text).map_err(|error| MappingError::NotJson(error.to_string()))?;
    let rules = document
        .get("rules")
        .and_then(Value::as_array)
        .ok_or(MappingError::NoRules)?;
    let mut mappings = TableMappings::default();
    let mut ids = HashSet::new();
    for (place, rule) in rules.iter().enumerate() {
        let path = format!("$.rules[{place}]");
        let id = rule_id(rule, &path)?;
        if !ids.insert(id) {
            return Err(MappingError::DuplicateRuleId {
                rule_id: id,
                place: Place {
                    path: format!("{path}.rule-id"),
                    expected: "a number that no other rule has".to_owned(),
                },
            });
        }
        read_rule(&mut mappings, &Node::rule(id, path, rule))?;
    }
    if mappings.selection.is_empty() {
        return Err(MappingError::NoSelectionRule);
    }
    mappings.transformations.sort_by_key(|rule| rule.id);
    mappings.validation.sort_by_key(|rule| rule.id);
    check_filters(&mappings.selection)?;
    check_settings(&mappings.settings)?;
    Ok(mappings)
}

/// Ids are numbers, given as JSON numbers or as text.
fn rule_id(rule: &Value, path: &str) -> Result<u64, MappingError> {
    let (path, expected) = if rule.is_object() {
        (format!("{path}.rule-id"), "a whole number")
    } else {
        (path.to_owned(), "a rule: an object")
    };
    match rule.get("rule-id") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| MappingError::InvalidDocument {
        rule_id: None,
        place: Place {
            path,
            expected: expected.to_owned(),
        },
    })
}

fn read_rule(mappings: &mut TableMappings, rule: &Node<'_>) -> Result<(), MappingError> {
    let mut uses = |feature| {
        mappings.uses.push(Use {
            feature,
            rule_id: rule.rule_id(),
            path: rule.path().to_owned(),
        });
    };
    match rule.member("rule-type").ruling_word(RULE_TYPES)? {
        RuleType::Selection => {
            let read = SelectionRule::read(rule)?;
            Feature::of_selection(&read).into_iter().for_each(uses);
            mappings.selection.push(read);
        }
        RuleType::Transformation => {
            let read = Transformation::read(rule)?;
            Feature::of_transformation(&read).into_iter().for_each(uses);
            mappings.transformations.push(read);
        }
        RuleType::TableSettings => {
            let read = TableSettings::read(rule)?;
            Feature::of_settings(&read).into_iter().for_each(uses);
            mappings.settings.push(read);
        }
        RuleType::Validation => {
            uses(Feature::ValidationFunctions);
            mappings.validation.push(ValidationOverride::read(rule)?);
        }
        RuleType::ObjectMapping => {
            other_rules::check_object_mapping(rule)?;
            uses(Feature::ObjectMapping);
        }
        RuleType::PostProcessing => {
            other_rules::check_post_processing(rule)?;
            uses(Feature::PostProcessing);
        }
    }
    Ok(())
}

/// Filters of two rules for one table would leave open whether rows must pass both.
fn check_filters(rules: &[SelectionRule]) -> Result<(), MappingError> {
    let mut filtered: HashMap<TableName, u64> = HashMap::new();
    for rule in rules {
        let is_filtered = rule.action != SelectionAction::Exclude && !rule.filter.is_empty();
        if !is_filtered {
            continue;
        }
        let table = TableName::new(rule.schema.text(), rule.table.text());
        if let Some(other) = filtered.insert(table, rule.id) {
            return Err(MappingError::Rule {
                rule_id: rule.id,
                reason: format!("Rule {other} has filters for the same table."),
                place: Place {
                    path: format!("{}.filters", rule.path),
                    expected: "all filters of a table in one rule".to_owned(),
                },
            });
        }
    }
    Ok(())
}

fn check_settings(rules: &[TableSettings]) -> Result<(), MappingError> {
    let mut settled: HashMap<&TableName, u64> = HashMap::new();
    for rule in rules {
        if let Some(other) = settled.insert(&rule.table, rule.id) {
            return Err(MappingError::Rule {
                rule_id: rule.id,
                reason: format!("Rule {other} has settings of the same table."),
                place: Place {
                    path: format!("{}.object-locator", rule.path),
                    expected: "one table-settings rule for a table".to_owned(),
                },
            });
        }
    }
    Ok(())
}
