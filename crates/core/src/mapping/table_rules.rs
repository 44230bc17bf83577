//! What the rules make of one table.

use super::{KeyOrigin, LobMode, Mask, Predicate, Segments};
use crate::{ColumnType, Table, TableName};

/// What becomes of one table: its name, columns and rows at the target, and how it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRules {
    /// Schema and name at the target.
    pub target: TableName,
    /// The target's columns in their order: those of the source, before images, added ones.
    pub columns: Vec<TargetColumn>,
    /// The columns of the source that are not migrated, by their places in its table.
    pub removed: Vec<usize>,
    /// The target's key; `None`: there is none.
    pub key: Option<TargetKey>,
    /// Which rows are migrated; `None`: all.
    pub filter: Option<Predicate>,
    /// A delete at the source sets the flag of an added column, and the row stays.
    pub deletes_become_updates: bool,
    /// Tables of a higher order are loaded first, those without one last.
    pub load_order: Option<u32>,
    /// The segments in which it is loaded; `None`: as the engine likes.
    pub segments: Option<Segments>,
    /// What becomes of large objects; `None`: what the task's settings say.
    pub lob: Option<LobMode>,
    /// What a user should know of it.
    pub notes: Vec<String>,
}

/// A column of the target's table.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetColumn {
    /// Its name at the target.
    pub name: String,
    /// Where its values come from.
    pub origin: Origin,
    /// What it holds.
    pub ty: ColumnType,
    /// Whether it has another type than its column at the source. What the catalog says of the type there does not hold then.
    pub is_retyped: bool,
    /// The type that a rule gives to the values of its column at the source, before they are hidden; `None`: they have their own.
    pub retyped: Option<ColumnType>,
    /// The rule that does.
    pub retyped_by: Option<u64>,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// How its values are hidden. The mask is put on values of the column's new type.
    pub mask: Option<Mask>,
    /// The rule that gave it its name; `None`: it has that of the source.
    pub named_by: Option<u64>,
}

/// Where the values of a column of the target come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The source's column at this place of its table.
    Source(usize),
    /// What the source's column at this place of its table was before an update; NULL for rows that were not updated.
    Before(usize),
    /// An expression.
    Expression {
        /// The rule that has it.
        rule_id: u64,
        /// SQLite's SQL.
        expression: String,
    },
}

/// The key of the target's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKey {
    /// Its name, if a rule gives one.
    pub name: Option<String>,
    /// The places of its columns among the target's.
    pub columns: Vec<usize>,
    /// Where a rule defines it: what it is at the source. `None`: it is the source's own primary key.
    pub defined: Option<KeyOrigin>,
}

impl TableRules {
    /// Whether the table arrives as it is, apart from its name: rows may pass undecoded, and nothing chooses among them.
    pub fn is_untouched(&self, table: &Table) -> bool {
        self.filter.is_none()
            && !matches!(self.segments, Some(Segments::PartitionList { .. }))
            && self.lob.is_none()
            && self.key.as_ref().is_none_or(|key| key.defined.is_none())
            && !self.shapes_rows(table)
    }

    /// Whether its rows or columns differ from the source's.
    pub fn shapes_rows(&self, table: &Table) -> bool {
        let is_same = |(place, column): (usize, &TargetColumn)| {
            column.origin == Origin::Source(place)
                && column.name == table.columns[place].name
                && !column.is_retyped
                && column.mask.is_none()
        };
        self.deletes_become_updates
            || self.columns.len() != table.columns.len()
            || !self.columns.iter().enumerate().all(is_same)
    }
}
