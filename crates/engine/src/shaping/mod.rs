//! The stage between source and target in which rows get another shape, for users who ask for it.
//!
//! ```text
//!  Table ──► Shaper::of ──► Shaped: the table as the target is to have it, which rows arrive, and what becomes of each cell
//!                             │
//!  rows of the load, of the log and of comparisons ──► those of them that are wanted, in that shape
//! ```
//!
//! What a load, the log and a comparison give of a row passes here alike, so that changes meet the rows that were loaded. What is kept of a
//! table at the target stays the source's own description: its shape follows from that, from the settings and from the rules of the
//! mappings, at any place of the log. Tables without anything to shape pass by untouched.

mod cell;
mod characters;
mod event;
mod expression;
mod rows;
mod rules;
mod scratch;
mod settings;
mod shaped;

use std::sync::Arc;

use whimbrel_connector::{Error, KeyPolicy, Target, TargetTable};
use whimbrel_core::mapping::{LobMode, TableMappings};
use whimbrel_core::{Table, TableName};

pub(crate) use event::{ChangeOrigin, CommitPoint, Event, Operation};
pub(crate) use expression::EvaluatedNames;
pub(crate) use rows::{EventRow, MergedRow, ShapedBlock, ShapedRows, filled, is_wanted};
pub(crate) use rules::refused;
pub(crate) use scratch::Scratch;
pub use settings::{OnCut, Shaping, UnboundedNumbers};
use shaped::{ByRules, From};
pub(crate) use shaped::{Shaped, Wanted};

/// What decides of the shape of a run's tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shaper<'a> {
    pub(crate) settings: &'a Shaping,
    pub(crate) mappings: &'a TableMappings,
    /// The one schema of all tables at the target, if so.
    pub(crate) target_schema: Option<&'a str>,
}

impl Shaper<'_> {
    /// The table's schema and name at the target.
    ///
    /// # Errors
    /// [`Error::Table`] for a rule that makes no name of its own.
    pub(crate) fn target_name(&self, table: &TableName) -> Result<TableName, Error> {
        let mapped = self.mappings.target_name(table, &EvaluatedNames);
        let mapped = mapped.map_err(|error| rules::refused(&error))?;
        Ok(match self.target_schema {
            Some(schema) => TableName {
                schema: schema.to_owned(),
                name: mapped.name,
            },
            None => mapped,
        })
    }

    /// The table in its shape at the target; `None` when it stays as it is.
    ///
    /// # Errors
    /// [`Error::Table`] for a rule that does not fit the table.
    pub(crate) fn of(&self, table: &Table) -> Result<Option<Arc<Shaped>>, Error> {
        let mut shaped = rules::by_rules(self, table)?;
        let loaded = (0..table.columns.len()).filter(|&place| table.columns[place].is_loaded());
        let loaded: Vec<usize> = loaded.collect();
        let settings = self.settings_of(&shaped);
        let mut made = shaped.table.columns.iter_mut();
        for pick in &mut shaped.picks {
            let column = made.find(|column| column.is_loaded());
            if let (Some(column), From::Source(place)) = (column, pick.from) {
                let is_key = table.primary_key.contains(&loaded[place]);
                pick.cell = settings.column(column, table.engine, is_key, pick.cell);
            }
        }
        shaped.on_cut = self.settings.on_cut;
        shaped.replace_characters(self.settings, table);
        shaped.note_cells();
        let is_untouched = shaped.ruled == ByRules::Untouched && shaped.picks_all_as_they_are();
        Ok((!is_untouched).then(|| Arc::new(shaped)))
    }

    /// The settings of the task, but for what rules say of the table's large objects.
    fn settings_of(&self, shaped: &Shaped) -> Shaping {
        let lob_bytes_max = match shaped.lob {
            None => self.settings.lob_bytes_max,
            Some(LobMode::Limited { bytes_max }) => {
                Some(usize::try_from(bytes_max).unwrap_or(usize::MAX))
            }
            // Those columns are left out.
            Some(LobMode::Unlimited { .. } | LobMode::None) => None,
        };
        Shaping {
            lob_bytes_max,
            ..self.settings.clone()
        }
    }

    /// What becomes of rows on their way; `None` when all arrive as they are, perhaps in columns of other names.
    pub(crate) fn of_rows(&self, table: &Table) -> Result<Option<Arc<Shaped>>, Error> {
        let shaped = self.of(table)?;
        Ok(shaped.filter(|shaped| shaped.touches_rows()))
    }

    /// The source's own description, with notes of the shape that its rows get: so a record at the target tells how they were loaded.
    pub(crate) fn described(&self, table: &Table) -> Result<Table, Error> {
        let mut described = table.clone();
        described.notes.retain(|note| !is_of_shape(note));
        if let Some(shaped) = self.of(table)? {
            described.notes.extend(shaped.notes().iter().cloned());
        }
        Ok(described)
    }

    /// Whether a table that was described under some settings and rules has the same shape under these.
    pub(crate) fn is_that_of(&self, described: &Table) -> bool {
        let now = self.described(described);
        now.is_ok_and(|now| now.notes == described.notes)
    }

    /// Plans the target's table. What is kept of the source in it is its own description.
    pub(crate) fn plan(
        &self,
        target: &dyn Target,
        table: &Table,
        name: TableName,
        keys: KeyPolicy,
    ) -> Result<TargetTable, Error> {
        let Some(shaped) = self.of(table)? else {
            return target.plan_table(table, name, keys);
        };
        shaped.check_names(target.engine())?;
        let mut planned = target.plan_table(shaped.table(), name, keys)?;
        planned.source = self.described(table)?;
        planned.shaped = Some(Box::new(shaped.model()));
        planned.notes.extend(shaped.notes().iter().cloned());
        Ok(planned)
    }
}

/// How notes of a shape begin.
const BY_SETTINGS: &str = "by the settings,";
const BY_RULES: &str = "by the rules,";

fn is_of_shape(note: &str) -> bool {
    note.starts_with(BY_SETTINGS) || note.starts_with(BY_RULES)
}

#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;
