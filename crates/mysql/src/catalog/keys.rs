//! Keys: the primary one, and the one by whose ranges a table can be read.

use std::collections::HashMap;

use whimbrel_core::{Column, Engine, Table, TableName};

use super::{Scope, name_of, pick};
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// A table that cannot be split is worth a note from this size on: read by one subtask it takes a while, and a load that is interrupted
/// meanwhile reads it again from the start.
const NOTED_BYTES: u64 = 64 * 1024 * 1024;

/// A column of a primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPart {
    column: String,
    /// Characters or bytes of it that belong to the key; `None`: all.
    prefix: Option<u32>,
}

/// An index that holds every row once, in the order of whole values: ranges of these hold every row once too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeKey {
    /// The index's name; `None`: the primary key's.
    pub(crate) index: Option<String>,
    /// Its columns, none of which takes NULL, in its order.
    pub(crate) columns: Vec<Column>,
}

/// The columns of primary keys, in key order.
pub(super) async fn primary_keys(
    connection: &mut Connection,
    scope: Scope<'_>,
) -> Result<HashMap<TableName, Vec<KeyPart>>, WireError> {
    let sql = format!(
        "SELECT table_schema, table_name, column_name, sub_part FROM information_schema.statistics \
         WHERE index_name = 'PRIMARY' AND {} ORDER BY table_schema, table_name, seq_in_index",
        scope.condition("table_schema", "table_name")
    );
    let mut keys: HashMap<TableName, Vec<KeyPart>> = HashMap::new();
    for row in connection.rows(&sql).await? {
        keys.entry(name_of(&row)).or_default().push(KeyPart {
            column: row.text(2).to_owned(),
            prefix: row.number(3),
        });
    }
    Ok(keys)
}

/// Tells a table, whose columns are known, its primary key.
pub(super) fn set(table: &mut Table, parts: &[KeyPart]) {
    let place = |part: &KeyPart| {
        let mut columns = table.columns.iter();
        columns.position(|column| column.name == part.column)
    };
    let found: Vec<(usize, Option<u32>)> = parts
        .iter()
        .filter_map(|part| Some((place(part)?, part.prefix)))
        .collect();
    (table.primary_key, table.key_prefixes) = found.into_iter().unzip();
    if !table.has_prefix_key() {
        table.key_prefixes.clear();
    }
}

/// The names of the columns of one table's primary key, in key order; empty without one.
pub(crate) async fn primary_key(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Vec<String>, WireError> {
    let mut keys = primary_keys(connection, Scope::Table(table)).await?;
    let parts: Vec<KeyPart> = pick(&mut keys, table);
    Ok(parts.into_iter().map(|part| part.column).collect())
}

/// The key by whose ranges the table is read best: the first unique index that takes whole values and no NULL. `SHOW INDEX` has the
/// primary key first, then the one by which the rows are kept when there is no primary key.
pub(crate) async fn range_key(
    connection: &mut Connection,
    table: &Table,
) -> Result<Option<RangeKey>, WireError> {
    let sql = format!("SHOW INDEX FROM {}", quote::table(&table.name));
    let rows = connection.rows(&sql).await?;
    let mut indexes: Vec<(&str, Option<Vec<Column>>)> = Vec::new();
    for row in &rows {
        let name = row.text(2);
        if indexes.last().is_none_or(|(last, _)| *last != name) {
            indexes.push((name, Some(Vec::new())));
        }
        if let Some((_, columns)) = indexes.last_mut() {
            *columns = columns.take().zip(range_column(row, table)).map(joined);
        }
    }
    let usable = indexes.into_iter().find_map(|(name, columns)| {
        Some(RangeKey {
            index: (name != "PRIMARY").then(|| name.to_owned()),
            columns: columns?,
        })
    });
    Ok(usable)
}

fn joined((mut columns, last): (Vec<Column>, Column)) -> Vec<Column> {
    columns.push(last);
    columns
}

/// The column of a part of an index, when ranges can be made of it.
fn range_column(row: &TextRow, table: &Table) -> Option<Column> {
    let is_unique = row.text(1) == "0";
    let is_whole = row.get(7).is_none();
    let is_ordered = row.text(10) == "BTREE";
    // MySQL tells whether the optimizer may use the index, MariaDB whether it is to ignore it.
    let is_hidden = match table.engine {
        Engine::MariaDb => row.text(13) == "YES",
        Engine::MySql | Engine::Postgres => row.text(13) == "NO",
    };
    if !is_unique || !is_whole || !is_ordered || is_hidden {
        return None;
    }
    let mut columns = table.columns.iter();
    let column = columns.find(|column| column.name == row.text(4))?;
    (!column.nullable).then(|| column.clone())
}

/// What a user should know of a large table that cannot be split.
pub(super) async fn note_unsplittable(
    connection: &mut Connection,
    table: &Table,
) -> Result<Option<String>, WireError> {
    let is_small = table.byte_estimate.unwrap_or(0) < NOTED_BYTES;
    let has_whole_key = !table.primary_key.is_empty() && !table.has_prefix_key();
    if is_small || has_whole_key || table.outside_snapshot.is_some() {
        return Ok(None);
    }
    match range_key(connection, table).await {
        // Or it is gone, or may not be seen.
        Ok(Some(_)) | Err(WireError::Server(_)) => Ok(None),
        Ok(None) => Ok(Some(
            "it has no primary key, nor a unique one without NULL, that is made of whole values: it is read in one piece by one subtask, and from its start again \
             after an interruption"
                .to_owned(),
        )),
        Err(error) => Err(error),
    }
}
