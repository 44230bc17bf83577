//! Table mappings: which tables of a source a task migrates, and under which names.
//!
//! The document is the `TableMappings` JSON of the API. Selection rules and the renaming of schemas and tables act;
//! a rule that asks for anything else is refused when the mappings are read, never ignored.

mod document;
mod error;
mod pattern;
mod rename;
mod selection;

pub use error::MappingError;
pub use pattern::Pattern;

use crate::TableName;
use rename::RenameRule;
use selection::{SelectionAction, SelectionRule};

/// Checked table mappings.
#[derive(Clone, Debug)]
pub struct TableMappings {
    selection: Vec<SelectionRule>,
    /// In the order of rule ids: of several that match, the lowest acts.
    renames: Vec<RenameRule>,
}

impl TableMappings {
    /// Reads and checks a `TableMappings` document.
    ///
    /// # Errors
    /// The text of the first thing wrong, in the service's own wording where it has one.
    pub fn parse(document: &str) -> Result<Self, MappingError> {
        document::parse(document)
    }

    /// Mappings that include every table matching one of `include` and none of `exclude`, each as (schema, table) patterns.
    pub fn of_patterns(include: &[(String, String)], exclude: &[(String, String)]) -> Self {
        let rule = |action, (schema, table): &(String, String)| SelectionRule {
            action,
            schema: Pattern::new(schema),
            table: Pattern::new(table),
            load_order: None,
        };
        let selection = include
            .iter()
            .map(|pair| rule(SelectionAction::Include, pair))
            .chain(
                exclude
                    .iter()
                    .map(|pair| rule(SelectionAction::Exclude, pair)),
            )
            .collect();
        Self {
            selection,
            renames: Vec::new(),
        }
    }

    /// Adds the inclusion of every table of one schema, whose name is no pattern.
    #[must_use]
    pub fn with_schema_included(mut self, schema: &str) -> Self {
        self.selection.push(SelectionRule {
            action: SelectionAction::Include,
            schema: Pattern::exact(schema),
            table: Pattern::new("%"),
            load_order: None,
        });
        self
    }

    /// Adds the renaming of a schema, after the rules there are.
    #[must_use]
    pub fn with_schema_renamed(mut self, from: &str, to: &str) -> Self {
        self.renames.push(RenameRule::schema(from, to));
        self
    }

    /// Whether a table is in scope: matched by an include or explicit rule and by no exclude rule.
    pub fn selects(&self, table: &TableName) -> bool {
        let matched = |action: fn(SelectionAction) -> bool| {
            self.selection
                .iter()
                .any(|rule| action(rule.action) && rule.matches(table))
        };
        !matched(|action| action == SelectionAction::Exclude)
            && matched(|action| action != SelectionAction::Exclude)
    }

    /// The order in which a table's load starts: higher first, tables without one last.
    pub fn load_order(&self, table: &TableName) -> Option<u32> {
        self.selection
            .iter()
            .filter(|rule| rule.action != SelectionAction::Exclude && rule.matches(table))
            .filter_map(|rule| rule.load_order)
            .max()
    }

    /// The table's schema and name at the target.
    pub fn target_name(&self, table: &TableName) -> TableName {
        let schema = self
            .renames
            .iter()
            .find(|rule| rule.acts_on_schema_of(table))
            .map_or_else(
                || table.schema.clone(),
                |rule| rule.action.apply(&table.schema),
            );
        let name = self
            .renames
            .iter()
            .find(|rule| rule.acts_on_table(table))
            .map_or_else(|| table.name.clone(), |rule| rule.action.apply(&table.name));
        TableName { schema, name }
    }
}

#[cfg(test)]
mod tests;
