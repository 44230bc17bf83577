use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Column, Engine};

/// A table's schema (in `MySQL` terms: database) and name, spelled as in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Schema or, for `MySQL` and MariaDB, database.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// Puts a name together.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

/// A part of a partitioned table, by its name in rules: that of the partition, with its schema where this is not the table's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// The partition that it is a part of; `None`: the table's own.
    pub parent: Option<String>,
}

impl Partition {
    /// Whether it is a part of another one.
    pub fn is_of(&self, other: &Self) -> bool {
        self.parent.as_ref() == Some(&other.name)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A table as its source's catalog describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The engine whose types `columns` names.
    pub engine: Engine,
    /// Schema and name at the source.
    pub name: TableName,
    /// All visible and invisible columns in catalog order, computed ones included.
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the primary key, in key order; empty without one.
    pub primary_key: Vec<usize>,
    /// The number by which the source knows the table under every name that it gets, and which no later table of the same name has;
    /// `None` where there is none.
    #[serde(default)]
    pub id: Option<u32>,
    /// For each column of the key, how many characters (bytes of a binary type) at the front of its values the key is made of; `None`: the
    /// whole value. Empty when all are whole. Such a key tells rows apart by the whole values all the more, but has no order by them.
    #[serde(default)]
    pub key_prefixes: Vec<Option<u32>>,
    /// About how many rows there are, if the catalog has an idea.
    pub row_estimate: Option<u64>,
    /// About how many bytes the rows take at the source, if the catalog has an idea.
    pub byte_estimate: Option<u64>,
    /// Why a snapshot of the source does not cover the rows, with the remedy: they are read as they are at that moment. `None` when it
    /// covers them.
    #[serde(default)]
    pub outside_snapshot: Option<String>,
    /// Why it cannot be migrated as it is described, with the remedy: not all of its columns are seen, or not all of its changes told any more. Such a table is neither
    /// loaded, nor followed, nor compared. `None` when it can.
    #[serde(default)]
    pub obstacle: Option<String>,
    /// What a user should know of how it is read.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Table {
    /// The columns that a load reads and writes, in catalog order. Rows hold their values in this order.
    pub fn loaded_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_loaded())
    }

    /// How much of the values of the key's column at this place of the key belongs to it; `None`: all.
    pub fn key_prefix(&self, place: usize) -> Option<u32> {
        self.key_prefixes.get(place).copied().flatten()
    }

    /// Whether the key is made of the beginnings of some values only.
    pub fn has_prefix_key(&self) -> bool {
        self.key_prefixes.iter().any(Option::is_some)
    }

    /// The positions of the key's columns within a row of loaded columns, in key order; empty without a key.
    pub fn key_in_row(&self) -> Vec<usize> {
        let loaded: Vec<usize> = (0..self.columns.len())
            .filter(|&i| self.columns[i].is_loaded())
            .collect();
        self.primary_key
            .iter()
            .filter_map(|key| loaded.iter().position(|i| i == key))
            .collect()
    }
}
