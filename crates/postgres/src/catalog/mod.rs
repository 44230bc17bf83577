//! What the catalog says of tables, their columns, and the types these need.

mod column_types;
mod definitions;
mod objects;
mod tables;

pub(crate) use column_types::{DescribedType, describe_types};
pub(crate) use definitions::type_definitions;
pub(crate) use objects::{Resting, resting_on, schema_objects};
pub(crate) use tables::{
    COLUMN_FIELDS, COLUMNS, KEYS, Relation, TableDetail, column, describe_tables, describe_views,
    names_with_owners, partitions, relations, schemas,
};

use crate::wire::{TextRow, WireError};

/// The text of a column that the query never leaves NULL.
fn text(row: &TextRow, column: usize) -> Result<&str, WireError> {
    row.get(column)
        .and_then(Option::as_deref)
        .ok_or_else(|| WireError::Protocol(format!("the catalog gave no value in column {column}")))
}

/// A number that the query never leaves NULL.
fn number<T: std::str::FromStr>(row: &TextRow, column: usize) -> Result<T, WireError> {
    text(row, column)?
        .parse()
        .map_err(|_| WireError::Protocol(format!("the catalog gave no number in column {column}")))
}

/// A boolean as the server writes it, alone or cast to text.
fn flag(row: &TextRow, column: usize) -> Result<bool, WireError> {
    Ok(matches!(text(row, column)?, "t" | "true"))
}

/// The labels of an enum, given as JSON; `None` when the type is none.
fn labels(row: &TextRow, column: usize) -> Result<Option<Vec<String>>, WireError> {
    let labels = row.get(column).and_then(Option::as_deref);
    labels
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| WireError::Protocol("the labels of an enum are not a list".to_owned()))
}

/// Object ids as an array literal. They are numbers, so nothing needs quoting.
fn oid_array(oids: impl Iterator<Item = u32>) -> String {
    let list: Vec<String> = oids.map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::oid[]", list.join(","))
}
