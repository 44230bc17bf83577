//! Table mappings: which tables of a source a task migrates, under which names and in which shape.
//!
//! ```text
//!  document ──► TableMappings: every rule, checked ──► resolve(table) ──► TableRules: what becomes of this table
//! ```
//!
//! The document is the `TableMappings` JSON of the API. The whole language is read; [`TableMappings::parse`] refuses what no part of a run
//! acts on in this version, so that no rule is ever ignored.

mod acting;
mod conversion;
mod data_type;
mod document;
mod error;
mod expression_text;
mod filter;
mod literal;
mod masking;
mod node;
mod number;
mod other_rules;
mod pattern;
mod predicate;
mod rename;
mod resolve;
mod segments;
mod selection;
mod table_rules;
mod table_settings;
mod transformation;
mod unmatched;

pub use conversion::{Conversion, ConversionError, Converted};
pub use data_type::{DataType, TypeName, is_lob, type_word};
pub use error::{MappingError, Place};
pub use expression_text::{Part, indicates_operation, parts, tokens};
pub use filter::TestedColumn;
pub use literal::{Day, Literal};
pub use masking::{Mask, MaskError, MaskSecret};
pub use number::Number;
pub use pattern::Pattern;
pub use predicate::{Comparison, Predicate};
pub use resolve::{NameExpressions, NoExpressions, ResolveError, SourceNames};
pub use segments::Segments;
pub use selection::TableKind;
pub use table_rules::{Origin, TableRules, TargetColumn, TargetKey};
pub use table_settings::{LobMode, ParallelLoad, Ranges};
pub use transformation::KeyOrigin;
pub use unmatched::{Inclusions, Unmatched};

use crate::{Column, TableName};
use acting::Use;
use filter::RowFilter;
use other_rules::ValidationOverride;
use selection::{SelectionAction, SelectionRule};
use table_settings::TableSettings;
use transformation::{Action, NameChange, Target, Transformation};

/// Checked table mappings.
#[derive(Clone, Debug, Default)]
pub struct TableMappings {
    selection: Vec<SelectionRule>,
    /// In the order of rule ids: of several that match, the lowest acts.
    transformations: Vec<Transformation>,
    settings: Vec<TableSettings>,
    validation: Vec<ValidationOverride>,
    uses: Vec<Use>,
}

/// What a validation makes of a column before it compares, in the SQL of each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidationFunctions<'a> {
    /// At the source; `None`: nothing.
    pub source: Option<&'a str>,
    /// At the target; `None`: nothing.
    pub target: Option<&'a str>,
}

impl TableMappings {
    /// Reads and checks a `TableMappings` document, and refuses rules that no part of a run acts on.
    ///
    /// # Errors
    /// The text of the first thing wrong, in the service's own wording where it has one.
    pub fn parse(document: &str) -> Result<Self, MappingError> {
        let mappings = Self::read(document)?;
        acting::refuse_what_does_not_act(&mappings)?;
        Ok(mappings)
    }

    /// Reads and checks a document in the whole language of rules.
    ///
    /// # Errors
    /// The text of the first thing wrong, in the service's own wording where it has one.
    pub fn read(document: &str) -> Result<Self, MappingError> {
        document::read(document)
    }

    /// Mappings that include every table matching one of `include` and none of `exclude`, each as (schema, table) patterns.
    pub fn of_patterns(include: &[(String, String)], exclude: &[(String, String)]) -> Self {
        let rule = |action, (schema, table): &(String, String)| {
            SelectionRule::of_names(action, Pattern::new(schema), Pattern::new(table))
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
            ..Self::default()
        }
    }

    /// Adds the inclusion of every table of one schema, whose name is no pattern.
    #[must_use]
    pub fn with_schema_included(mut self, schema: &str) -> Self {
        self.selection.push(SelectionRule::of_names(
            SelectionAction::Include,
            Pattern::exact(schema),
            Pattern::new("%"),
        ));
        self
    }

    /// Adds the renaming of a schema, after the rules there are.
    #[must_use]
    pub fn with_schema_renamed(mut self, from: &str, to: &str) -> Self {
        self.transformations
            .push(Transformation::schema_rename(from, to));
        self
    }

    /// Whether a table is in scope: matched by an include or explicit rule and by no exclude rule.
    pub fn selects(&self, table: &TableName) -> bool {
        self.selects_kind(table, TableKind::Table)
    }

    /// As [`Self::selects`], for tables and views.
    pub fn selects_kind(&self, table: &TableName, kind: TableKind) -> bool {
        let matched = |action: fn(SelectionAction) -> bool| {
            self.selection
                .iter()
                .any(|rule| action(rule.action) && rule.matches(table, kind))
        };
        !matched(|action| action == SelectionAction::Exclude)
            && matched(|action| action != SelectionAction::Exclude)
    }

    /// As [`Self::selects`], for one whose kind the caller does not know: a schema has no view under the name of a table.
    pub fn selects_any(&self, name: &TableName) -> bool {
        self.selects_kind(name, TableKind::Table) || self.selects_kind(name, TableKind::View)
    }

    /// Whether any rule asks for views.
    pub fn asks_for_views(&self) -> bool {
        let mut inclusions = self.inclusions();
        inclusions.any(|rule| rule.kinds != selection::Kinds::Tables)
    }

    /// The order in which a table's load starts: higher first, tables without one last.
    pub fn load_order(&self, table: &TableName) -> Option<u32> {
        self.inclusions()
            .filter(|rule| rule.names(table))
            .filter_map(|rule| rule.load_order)
            .max()
    }

    fn inclusions(&self) -> impl Iterator<Item = &SelectionRule> {
        self.selection
            .iter()
            .filter(|rule| rule.action != SelectionAction::Exclude)
    }

    fn schema_rename(&self, table: &TableName) -> Option<(u64, &str, &NameChange)> {
        self.rename_of(Target::Schema, |rule| {
            rule.locator.has_schema(&table.schema)
        })
    }

    fn table_rename(&self, table: &TableName) -> Option<(u64, &str, &NameChange)> {
        self.rename_of(Target::Table, |rule| rule.locator.has_table(table))
    }

    /// The rule of the lowest id that gives a name, its place, and the name.
    fn rename_of(
        &self,
        target: Target,
        is_for: impl Fn(&Transformation) -> bool,
    ) -> Option<(u64, &str, &NameChange)> {
        self.transformations
            .iter()
            .find_map(|rule| match &rule.action {
                Action::Rename(change) if rule.target == target && is_for(rule) => {
                    Some((rule.id, rule.path.as_str(), change))
                }
                _ => None,
            })
    }

    /// Whether any rule may change more of a table than its name, or which of its rows arrive. If not, its rows may pass as they are.
    pub fn touches(&self, table: &TableName) -> bool {
        let shapes = |rule: &Transformation| match rule.target {
            Target::Column => rule.locator.has_table(table),
            Target::Table => {
                matches!(rule.action, Action::DefinePrimaryKey(_)) && rule.locator.has_table(table)
            }
            Target::Schema | Target::Tablespace => false,
        };
        self.inclusions()
            .any(|rule| !rule.filter.is_empty() && rule.names(table))
            || self.settings.iter().any(|rule| rule.table == *table)
            || self.transformations.iter().any(shapes)
    }

    /// What a validation makes of a column before it compares.
    pub fn validation_functions(
        &self,
        table: &TableName,
        column: &Column,
    ) -> Option<ValidationFunctions<'_>> {
        let rule = self
            .validation
            .iter()
            .find(|rule| rule.has(table, column))?;
        Some(ValidationFunctions {
            source: rule.source_function.as_deref(),
            target: rule.target_function.as_deref(),
        })
    }
}

#[cfg(test)]
mod tests;
