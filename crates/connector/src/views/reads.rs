//! What a view reads at the target: what must be there, as it was planned, when the view is made.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_core::TableName;

/// The tables and views that one view reads itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// By their names at the source.
    pub tables: BTreeMap<TableName, ReadTable>,
    /// Views that were converted too, by their names at the source.
    pub views: BTreeSet<TableName>,
}

/// A table that a view reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadTable {
    /// At the target.
    pub name: TableName,
    /// The columns that the view names, with the types that a load gives them. Whether it means the same was decided by these: a table that was there before may
    /// have others.
    pub columns: BTreeMap<String, String>,
}

impl Reads {
    pub(super) fn view(&mut self, name: TableName) {
        self.views.insert(name);
    }

    pub(super) fn table(&mut self, source: &TableName, target: &TableName) {
        self.tables
            .entry(source.clone())
            .or_insert_with(|| ReadTable {
                name: target.clone(),
                columns: BTreeMap::new(),
            });
    }

    pub(super) fn column(&mut self, table: &TableName, name: String, native: String) {
        if let Some(table) = self.tables.get_mut(table) {
            table.columns.insert(name, native);
        }
    }
}
