//! Rows by their keys, as they are committed at the moment of the statement.

use std::fmt::Write as _;
use std::sync::Arc;

use whimbrel_connector::{Error, KeyCell, KeyLookup, ReadFormat, RowBlock as _, RowVisitor};
use whimbrel_core::{Column, ColumnType, TableName};

use super::reader::columns_sql;
use super::rows::{PgRows, RowLayout};
use crate::errors::of_table;
use crate::quote;
use crate::wire::{Connection, WireError};

const DOING: &str = "look at rows of";
/// Few rows are asked for: most answers are one block.
const BLOCK_BYTES: usize = 64 * 1024;

pub(super) async fn rows(
    connection: &mut Connection,
    lookup: KeyLookup<'_>,
    is_partitioned: bool,
    visit: &mut RowVisitor<'_>,
) -> Result<(), Error> {
    let table = lookup.table;
    let failed = |error: WireError| of_table(error, &table.name, DOING);
    let sql = copy_sql(&lookup, is_partitioned)?;
    connection.copy_out(&sql).await.map_err(failed)?;
    let layout = Arc::new(RowLayout::new(table, ReadFormat::Decoded));
    let mut outcome = Ok(());
    while let Some(block) = connection
        .copy_out_block(BLOCK_BYTES)
        .await
        .map_err(failed)?
    {
        // The rest is read all the same, so that the connection can be used again.
        if outcome.is_ok() {
            let layout = Arc::clone(&layout);
            outcome = PgRows { block, layout }.decode(visit);
        }
    }
    outcome
}

fn copy_sql(lookup: &KeyLookup<'_>, is_partitioned: bool) -> Result<String, Error> {
    let table = lookup.table;
    let key_columns = lookup.key_columns()?;
    let mut condition = String::new();
    for (index, key) in lookup.keys.iter().enumerate() {
        let cells = key_columns.iter().zip(key).map(|(column, cell)| {
            let literal = literal(&table.name, column, cell)?;
            Ok(format!("{} = {literal}", quote::identifier(&column.name)))
        });
        let cells = cells.collect::<Result<Vec<String>, Error>>()?;
        let or = if index > 0 { " OR " } else { "" };
        write!(condition, "{or}({})", cells.join(" AND "))
            .expect("writing to a string cannot fail");
    }
    // The rows of tables that inherit from it are theirs; those of partitions are its own.
    let only = if is_partitioned { "" } else { "ONLY " };
    Ok(format!(
        "COPY (SELECT {} FROM {only}{} WHERE {condition}) TO STDOUT (FORMAT binary)",
        columns_sql(table, true),
        quote::table(&table.name)
    ))
}

/// A cell in SQL. Numbers that stand alone are checked and the rest is quoted, so that no value becomes a part of the statement. A quoted
/// literal has no type of its own: it is read as one of the column's.
fn literal(table: &TableName, column: &Column, cell: &KeyCell) -> Result<String, Error> {
    Ok(match cell {
        // As it is, because one that does not fit the column is no error then: there is no such row.
        KeyCell::Number(text) if matches!(column.ty, ColumnType::Int { .. }) => {
            let is_number = text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'.');
            if !is_number || text.is_empty() {
                return Err(Error::table(
                    table,
                    format!(
                        "rows cannot be looked up by values of the key's column {}",
                        column.name
                    ),
                ));
            }
            text.clone()
        }
        KeyCell::Number(text) | KeyCell::Text(text) | KeyCell::Bits(text) => quote::literal(text),
        KeyCell::Bytes(_) => quote::literal(&cell.to_text()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::{Engine, Generation, Table};

    fn table() -> Table {
        let column = |name: &str, ty| Column {
            name: name.to_owned(),
            ty,
            native: String::new(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        };
        let number = ColumnType::Int {
            bits: 64,
            unsigned: false,
        };
        Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: vec![
                column("a", number),
                column("b", ColumnType::Text { bytes_max: None }),
            ],
            primary_key: vec![0, 1],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    fn sql(columns: &[usize], keys: &[Vec<KeyCell>]) -> Result<String, Error> {
        let table = table();
        let lookup = KeyLookup {
            table: &table,
            columns,
            keys,
        };
        copy_sql(&lookup, false)
    }

    #[test]
    fn keys_become_conditions_and_never_more() {
        let number = |text: &str| KeyCell::Number(text.to_owned());
        let text = |text: &str| KeyCell::Text(text.to_owned());
        let keys = [
            vec![number("1"), text("it's")],
            vec![number("-2"), text("x")],
        ];
        assert_eq!(
            sql(&[0, 1], &keys).unwrap(),
            "COPY (SELECT \"a\", \"b\" FROM ONLY \"s\".\"t\" WHERE (\"a\" = 1 AND \"b\" = 'it''s') OR (\"a\" = -2 AND \"b\" = 'x')) \
             TO STDOUT (FORMAT binary)"
        );
        assert!(sql(&[0], &[vec![number("1) OR (1=1")]]).is_err());
        assert!(sql(&[2], &[vec![number("1")]]).is_err());
        let bytes = KeyCell::Bytes(vec![0x27]);
        assert!(sql(&[1], &[vec![bytes]]).unwrap().contains(r"E'\\x27'"));
    }
}
