use std::collections::HashMap;

use whimbrel_connector::{Error, KeyPolicy, TargetColumn, TargetTable};
use whimbrel_core::{Column, ColumnType, Engine, Table, TableName};

use super::ActualColumn;
use crate::errors::of_table;
use crate::quote::literal;
use crate::types::{native_type, notes, refusal};
use crate::wire::Connection;

/// What a source's table becomes.
pub(super) fn plan_table(
    source: &Table,
    name: TableName,
    keys: KeyPolicy,
) -> Result<TargetTable, Error> {
    let is_same_engine = source.engine == Engine::Postgres;
    let loaded: Vec<_> = source.loaded_columns().collect();
    for column in &loaded {
        // Longer names would be cut, and two of them could become one.
        if column.name.len() > NAME_BYTES_MAX {
            return Err(Error::table(
                &source.name,
                format!(
                    "the name of column {} is longer than the 63 bytes PostgreSQL allows",
                    column.name
                ),
            ));
        }
    }
    if name.name.len() > NAME_BYTES_MAX || name.schema.len() > NAME_BYTES_MAX {
        return Err(Error::table(
            &source.name,
            format!(
                "the name {name} is longer than the 63 bytes PostgreSQL allows; rename it with a transformation rule"
            ),
        ));
    }
    let columns = loaded
        .iter()
        .map(|column| TargetColumn {
            name: column.name.clone(),
            // A type that rules change is known by what it holds alone.
            native: if is_same_engine && !column.native.is_empty() {
                column.native.clone()
            } else {
                native_type(&column.ty)
            },
            source_type: column.ty.clone(),
            nullable: column.nullable,
        })
        .collect();
    let key = source.key_in_row();
    let is_key_whole = key.len() == source.primary_key.len();
    let has_key = keys != KeyPolicy::None && is_key_whole;
    Ok(TargetTable {
        name,
        source: source.clone(),
        shaped: None,
        columns,
        primary_key: if has_key { key } else { Vec::new() },
        keys,
        notes: plan_notes(source, is_key_whole, has_key),
    })
}

/// What a user should know of a table.
fn plan_notes(source: &Table, is_key_whole: bool, has_key: bool) -> Vec<String> {
    let of_column = |column: &Column| {
        let note = if column.is_loaded() {
            notes(&column.ty)
        } else {
            Some("it is computed by the source and is not created")
        };
        note.map(|note| format!("column {}: {note}", column.name))
    };
    let mut all = source.notes.clone();
    if source.engine != Engine::Postgres {
        all.extend(source.columns.iter().filter_map(of_column));
        for note in source
            .loaded_columns()
            .filter_map(|column| refusal(&column.ty))
        {
            if !all.iter().any(|known| known == note) {
                all.push(note.to_owned());
            }
        }
    }
    if !is_key_whole {
        all.push("the primary key has a computed column and is not created".to_owned());
    } else if has_key {
        all.extend(prefix_notes(source));
        let mut key = source.primary_key.iter();
        if key.any(|&at| source.columns.get(at).is_some_and(agrees_otherwise)) {
            all.push(format!("the primary key: {}", agrees_by_bytes("it")));
        }
    }
    all
}

/// Whether texts that differ here agree at the source, by a collation of another engine: in another case, with other accents.
pub(super) fn agrees_otherwise(column: &Column) -> bool {
    let is_text = matches!(
        column.ty,
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. }
    );
    is_text && column.native.contains(" COLLATE ") && !column.native.contains("_bin")
}

/// What a user should know of a key with such a column.
pub(super) fn agrees_by_bytes(key: &str) -> String {
    format!(
        "{key} keeps fewer texts apart at the source, whose collation takes some for equal (in another case, with other accents), and takes both here: \
         give the columns a nondeterministic collation, or the type citext, or add a unique index of lower(…)"
    )
}

/// What becomes of a key of beginnings. Values that differ there differ as a whole, so that whole ones are a key as well, and rows are found
/// by it; only must they fit it.
fn prefix_notes(source: &Table) -> impl Iterator<Item = String> {
    let prefixes = source.primary_key.iter().zip(&source.key_prefixes);
    prefixes.filter_map(|(&column, prefix)| {
        Some(format!(
            "column {}: the source's key holds the first {} of it, the key here all, and cannot be built with values longer than about {KEY_BYTES} bytes; \
             load the table without keys if it has such",
            source.columns.get(column)?.name,
            (*prefix)?
        ))
    })
}

/// A third of a page, which an entry of a B-tree must fit, a little rounded.
const KEY_BYTES: u32 = 2700;
/// `NAMEDATALEN` less the closing NUL.
const NAME_BYTES_MAX: usize = 63;

/// A planned type as the catalog prints it.
pub(super) fn without_collation(native: &str) -> &str {
    native.split_once(" COLLATE ").map_or(native, |(ty, _)| ty)
}

/// The types of the columns that the table has at the target, by their names; none where it is not there.
pub(super) async fn columns_there(
    connection: &mut Connection,
    table: &TargetTable,
) -> Result<HashMap<String, String>, Error> {
    let sql = format!(
        "select a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a
         join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = {} and c.relname = {} and a.attnum > 0 and not a.attisdropped",
        literal(&table.name.schema),
        literal(&table.name.name)
    );
    let rows = connection
        .query(&sql)
        .await
        .map_err(|error| of_table(error, &table.source.name, "read the columns of the target"))?;
    let columns = rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter();
        Some((cells.next()??, cells.next()??))
    });
    Ok(columns.collect())
}

/// The types that the planned columns really have.
pub(super) async fn actual_columns(
    connection: &mut Connection,
    table: &TargetTable,
) -> Result<Vec<ActualColumn>, Error> {
    let there = columns_there(connection, table).await?;
    let mut columns = Vec::with_capacity(table.columns.len());
    for planned in &table.columns {
        let native = there.get(&planned.name).cloned().ok_or_else(|| {
            Error::table(
                &table.source.name,
                format!(
                    "the target table {} has no column {}; add it, or prepare with drop-and-create",
                    table.name, planned.name
                ),
            )
        })?;
        columns.push(ActualColumn::new(native, connection).for_source(&planned.source_type));
    }
    Ok(columns)
}
