//! From the JSON document to checked rules.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::rename::{RenameAction, RenameRule, RenameTarget};
use super::selection::{SelectionAction, SelectionRule};
use super::{MappingError, Pattern, TableMappings};

/// The service's own bound.
const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

type Object = Map<String, Value>;

pub(super) fn parse(text: &str) -> Result<TableMappings, MappingError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(MappingError::InvalidDocument(format!(
            "it has {} bytes, at most {DOCUMENT_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    let document: Value =
        serde_json::from_str(text).map_err(|error| MappingError::NotJson(error.to_string()))?;
    let rules = document
        .get("rules")
        .and_then(Value::as_array)
        .ok_or(MappingError::NoRules)?;
    let mut mappings = TableMappings {
        selection: Vec::new(),
        renames: Vec::new(),
    };
    let mut ids = HashSet::new();
    for rule in rules {
        let rule = rule
            .as_object()
            .ok_or_else(|| invalid("each rule must be an object"))?;
        let rule = Rule {
            id: rule_id(rule)?,
            members: rule,
        };
        if !ids.insert(rule.id) {
            return Err(MappingError::DuplicateRuleId(rule.id));
        }
        match rule.text("rule-type")? {
            "selection" => mappings.selection.push(rule.selection()?),
            "transformation" => mappings.renames.push(rule.rename()?),
            kind @ ("table-settings" | "object-mapping" | "validation" | "post-processing") => {
                return Err(rule.fault(format!(
                    "Rule type {kind} is not supported by this version."
                )));
            }
            kind => return Err(invalid(&format!("Unknown rule-type {kind}."))),
        }
    }
    if mappings.selection.is_empty() {
        return Err(MappingError::NoSelectionRule);
    }
    mappings.renames.sort_by_key(|rule| rule.id);
    Ok(mappings)
}

fn invalid(reason: &str) -> MappingError {
    MappingError::InvalidDocument(reason.to_owned())
}

/// Ids are numbers, given as JSON numbers or as text.
fn rule_id(rule: &Object) -> Result<u64, MappingError> {
    match rule.get("rule-id") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| invalid("Each rule needs a numeric rule-id."))
}

struct Rule<'a> {
    id: u64,
    members: &'a Object,
}

impl<'a> Rule<'a> {
    fn fault(&self, reason: impl Into<String>) -> MappingError {
        MappingError::Rule {
            rule_id: self.id,
            reason: reason.into(),
        }
    }

    fn text(&self, member: &str) -> Result<&'a str, MappingError> {
        self.members
            .get(member)
            .and_then(Value::as_str)
            .ok_or_else(|| invalid(&format!("Rule {}: {member} must be text.", self.id)))
    }

    fn locator(&self) -> Result<&'a Object, MappingError> {
        self.members
            .get("object-locator")
            .and_then(Value::as_object)
            .ok_or_else(|| self.fault("object locator cannot be null"))
    }

    fn located(&self, locator: &'a Object, member: &str) -> Result<&'a str, MappingError> {
        locator
            .get(member)
            .and_then(Value::as_str)
            .ok_or_else(|| self.fault(format!("object-locator.{member} must be text")))
    }

    fn selection(&self) -> Result<SelectionRule, MappingError> {
        let locator = self.locator()?;
        let schema = Pattern::new(self.located(locator, "schema-name")?);
        let table = Pattern::new(self.located(locator, "table-name")?);
        let action = match self.text("rule-action")? {
            "include" => SelectionAction::Include,
            "exclude" => SelectionAction::Exclude,
            "explicit" => SelectionAction::Explicit,
            action => {
                return Err(invalid(&format!(
                    "Unknown rule-action {action} of a selection rule."
                )));
            }
        };
        if action == SelectionAction::Explicit && (schema.has_wildcard() || table.has_wildcard()) {
            return Err(self.fault("Rule action explicit takes exact names, without a wildcard."));
        }
        match locator.get("table-type").and_then(Value::as_str) {
            None | Some("table") => {}
            Some(kind @ ("view" | "all")) => {
                return Err(self.fault(format!(
                    "Table type {kind} is not supported by this version."
                )));
            }
            Some(kind) => return Err(invalid(&format!("Unknown table-type {kind}."))),
        }
        if self
            .members
            .get("filters")
            .is_some_and(|filters| !is_blank(filters))
        {
            return Err(self.fault("Filters are not supported by this version."));
        }
        Ok(SelectionRule {
            action,
            schema,
            table,
            load_order: self.load_order()?,
        })
    }

    fn load_order(&self) -> Result<Option<u32>, MappingError> {
        let order = match self.members.get("load-order") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64(),
        };
        order
            .and_then(|order| u32::try_from(order).ok())
            .filter(|&order| order > 0 && order <= i32::MAX.unsigned_abs())
            .map(Some)
            .ok_or_else(|| self.fault("load-order must be a number from 1 to 2147483647."))
    }

    fn rename(&self) -> Result<RenameRule, MappingError> {
        let locator = self.locator()?;
        let schema = Pattern::new(self.located(locator, "schema-name")?);
        let (target, table) = match self.text("rule-target")? {
            "schema" => (RenameTarget::Schema, None),
            "table" => (
                RenameTarget::Table,
                Some(Pattern::new(self.located(locator, "table-name")?)),
            ),
            kind @ ("column" | "table-tablespace" | "index-tablespace") => {
                return Err(self.fault(format!(
                    "Rule target {kind} is not supported by this version."
                )));
            }
            kind => return Err(invalid(&format!("Unknown rule-target {kind}."))),
        };
        Ok(RenameRule {
            id: self.id,
            target,
            schema,
            table,
            action: self.rename_action()?,
        })
    }

    fn rename_action(&self) -> Result<RenameAction, MappingError> {
        let value = || self.required("value");
        let pair = || Ok::<_, MappingError>((self.required("old-value")?, self.required("value")?));
        Ok(match self.text("rule-action")? {
            "rename" => RenameAction::Rename(value()?),
            "convert-lowercase" => RenameAction::Lowercase,
            "convert-uppercase" => RenameAction::Uppercase,
            "add-prefix" => RenameAction::AddPrefix(value()?),
            "add-suffix" => RenameAction::AddSuffix(value()?),
            "remove-prefix" => RenameAction::RemovePrefix(value()?),
            "remove-suffix" => RenameAction::RemoveSuffix(value()?),
            "replace-prefix" => {
                let (old, new) = pair()?;
                RenameAction::ReplacePrefix { old, new }
            }
            "replace-suffix" => {
                let (old, new) = pair()?;
                RenameAction::ReplaceSuffix { old, new }
            }
            "define-primary-key" => {
                return Err(
                    self.fault("Rule action define-primary-key is not supported by this version.")
                );
            }
            action => {
                return Err(invalid(&format!(
                    "Unknown rule-action {action} of a transformation rule."
                )));
            }
        })
    }

    fn required(&self, member: &str) -> Result<String, MappingError> {
        match self.members.get(member).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(self.fault(format!("{member} must be given and not empty."))),
        }
    }
}

/// Consoles write empty lists and nulls for members that are not used.
fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
