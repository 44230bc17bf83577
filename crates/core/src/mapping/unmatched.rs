//! Which inclusions find nothing: a name that is spelled wrong must not be passed over.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::TableMappings;
use super::selection::{SelectionAction, SelectionRule, TableKind};
use crate::TableName;

/// The inclusions of table mappings, and which of them have found something yet.
#[derive(Debug)]
pub struct Inclusions<'m> {
    rules: Vec<(&'m SelectionRule, AtomicBool)>,
}

/// The inclusions that found nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Tables and views that rules name without a wildcard.
    pub names: BTreeSet<TableName>,
    /// The others, as their patterns stand in the rules.
    pub patterns: BTreeSet<TableName>,
}

impl TableMappings {
    /// The inclusions, to be shown all that there is.
    pub fn watched_inclusions(&self) -> Inclusions<'_> {
        // What is excluded by its very name is not asked for.
        let is_asked_for = |rule: &&SelectionRule| {
            let name = rule.text();
            let excludes = |other: &SelectionRule| {
                other.action == SelectionAction::Exclude && other.names(&name)
            };
            rule.has_wildcard() || !self.selection.iter().any(excludes)
        };
        let rules = self.inclusions().filter(is_asked_for);
        Inclusions {
            rules: rules.map(|rule| (rule, AtomicBool::new(false))).collect(),
        }
    }
}

impl Inclusions<'_> {
    /// Something that is at the source, whether it is selected or not.
    pub fn see(&self, table: &TableName, kind: TableKind) {
        for (rule, has_found) in &self.rules {
            if !has_found.load(Ordering::Relaxed) && rule.matches(table, kind) {
                has_found.store(true, Ordering::Relaxed);
            }
        }
    }

    /// What has found nothing, after all was seen.
    pub fn unmatched(&self) -> Unmatched {
        let mut unmatched = Unmatched::default();
        for (rule, has_found) in &self.rules {
            if has_found.load(Ordering::Relaxed) {
                continue;
            }
            if rule.has_wildcard() {
                unmatched.patterns.insert(rule.text());
            } else {
                unmatched.names.insert(rule.text());
            }
        }
        unmatched
    }
}

impl SelectionRule {
    fn has_wildcard(&self) -> bool {
        self.schema.has_wildcard() || self.table.has_wildcard()
    }

    /// Its patterns as they stand.
    fn text(&self) -> TableName {
        TableName::new(self.schema.text(), self.table.text())
    }
}
