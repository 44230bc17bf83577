//! Rows by their keys, as they are committed at the moment of the statement.

use std::fmt::Write as _;
use std::sync::Arc;

use whimbrel_connector::{Error, KeyCell, KeyLookup, RowBlock as _, RowVisitor};
use whimbrel_core::{Column, ColumnType, TableName};

use super::block::MysqlBlock;
use super::reader::layout;
use super::texts;
use crate::errors::of_table;
use crate::quote;
use crate::wire::{Connection, WireError};

const DOING: &str = "look at rows of the table";
/// Few rows are asked for: most answers are one block.
const BLOCK_BYTES: usize = 64 * 1024;

pub(super) async fn rows(
    connection: &mut Connection,
    lookup: KeyLookup<'_>,
    visit: &mut RowVisitor<'_>,
) -> Result<(), Error> {
    let table = lookup.table;
    let failed = |error: WireError| of_table(error, &table.name, DOING);
    let sql = select(&lookup)?;
    let statement = connection.prepare(&sql).await.map_err(failed)?;
    let announced = connection.open(&statement).await.map_err(failed)?;
    let decoded = layout(table, &announced).map(Arc::new);
    let mut outcome = Ok(());
    while let Some(packets) = connection.block(BLOCK_BYTES).await.map_err(failed)? {
        // The rest is read all the same, so that the connection can be used again.
        let (Ok(layout), Ok(())) = (&decoded, &outcome) else {
            continue;
        };
        let layout = Arc::clone(layout);
        outcome = MysqlBlock { layout, packets }.decode(visit);
    }
    connection.close(statement).await.map_err(failed)?;
    decoded.and(outcome)
}

fn select(lookup: &KeyLookup<'_>) -> Result<String, Error> {
    let table = lookup.table;
    let columns = texts::columns(table);
    let mut sql = format!("SELECT {columns} FROM {} WHERE ", quote::table(&table.name));
    let key_columns = lookup.key_columns()?;
    for (index, key) in lookup.keys.iter().enumerate() {
        let cells = key_columns.iter().zip(key);
        let cells = cells.map(|(column, cell)| condition(&table.name, column, cell));
        let cells = cells.collect::<Result<Vec<String>, Error>>()?;
        let or = if index > 0 { " OR " } else { "" };
        write!(sql, "{or}({})", cells.join(" AND ")).expect("writing to a string cannot fail");
    }
    Ok(sql)
}

/// Columns that pad their values give them back without the blanks at their end, and others are loaded without those of another engine's padded
/// ones; not every collation passes over them. Rows that are found beside the key's are told apart by whoever asks.
fn condition(table: &TableName, column: &Column, cell: &KeyCell) -> Result<String, Error> {
    let name = quote::identifier(&column.name);
    let literal = literal(table, column, cell)?;
    Ok(match cell {
        KeyCell::Text(text) if text.ends_with(' ') => {
            let short = quote::literal(text.trim_end_matches(' '));
            format!("{name} IN ({literal}, {short})")
        }
        _ => format!("{name} = {literal}"),
    })
}

/// A cell in SQL. Numbers are checked and the rest is quoted or written in hexadecimal, so that no value becomes a part of the statement.
fn literal(table: &TableName, column: &Column, cell: &KeyCell) -> Result<String, Error> {
    let is_floating = matches!(column.ty, ColumnType::Float32 | ColumnType::Float64);
    let of_digits = |text: &str, digits: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| digits.contains(&byte))
    };
    Ok(match cell {
        KeyCell::Number(text) if !is_floating && of_digits(text, b"0123456789-.") => text.clone(),
        // As texts hold them where no column of bits is long enough.
        KeyCell::Bits(text) if is_text(&column.ty) => quote::literal(text),
        KeyCell::Bits(text) if of_digits(text, b"01") => format!("b'{text}'"),
        KeyCell::Bytes(bytes) => {
            let hex = bytes.iter().map(|byte| format!("{byte:02X}"));
            format!("X'{}'", hex.collect::<String>())
        }
        // Sessions are in UTC, and not every version understands a zone in a literal.
        KeyCell::Text(text) if is_moment(&column.ty) => {
            quote::literal(text.strip_suffix("+00").unwrap_or(text))
        }
        KeyCell::Text(text) => quote::literal(text),
        KeyCell::Number(_) | KeyCell::Bits(_) => {
            return Err(Error::table(
                table,
                format!(
                    "rows cannot be looked up by values of the key's column {}",
                    column.name
                ),
            ));
        }
    })
}

fn is_text(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. }
    )
}

fn is_moment(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::{Engine, Generation, Table};

    fn column(name: &str, ty: ColumnType) -> Column {
        Column {
            name: name.to_owned(),
            ty,
            native: String::new(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        }
    }

    fn table() -> Table {
        let number = ColumnType::Int {
            bits: 64,
            unsigned: false,
        };
        Table {
            engine: Engine::MySql,
            name: TableName::new("s", "t"),
            columns: vec![
                column("a", number),
                column("b", ColumnType::Varchar { length: Some(9) }),
                column("at", ColumnType::Timestamp { precision: 0 }),
                column("real", ColumnType::Float32),
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
        let sql = select(&lookup)?;
        Ok(sql.split_once(" WHERE ").unwrap().1.to_owned())
    }

    #[test]
    fn keys_become_conditions_and_never_more() {
        let number = |text: &str| KeyCell::Number(text.to_owned());
        let text = |text: &str| KeyCell::Text(text.to_owned());
        let keys = [
            vec![number("1"), text("it's")],
            vec![number("-2"), text(r"\")],
        ];
        assert_eq!(
            sql(&[0, 1], &keys).unwrap(),
            r"(`a` = 1 AND `b` = 'it''s') OR (`a` = -2 AND `b` = '\\')"
        );
        let at = text("2020-01-01 00:00:00+00");
        assert_eq!(
            sql(&[2], &[vec![at]]).unwrap(),
            "(`at` = '2020-01-01 00:00:00')"
        );
        assert_eq!(
            sql(&[1], &[vec![text("ab  ")]]).unwrap(),
            "(`b` IN ('ab  ', 'ab'))"
        );
        let bits = KeyCell::Bits("0101".to_owned());
        assert_eq!(sql(&[1], &[vec![bits.clone()]]).unwrap(), "(`b` = '0101')");
        assert_eq!(sql(&[0], &[vec![bits]]).unwrap(), "(`a` = b'0101')");
        let bytes = KeyCell::Bytes(vec![0x27, 0xff]);
        assert_eq!(sql(&[1], &[vec![bytes]]).unwrap(), "(`b` = X'27FF')");
        assert!(sql(&[0], &[vec![number("1 OR 1=1")]]).is_err());
        assert!(sql(&[3], &[vec![number("1.1")]]).is_err());
        assert!(sql(&[4], &[vec![number("1")]]).is_err());
    }
}
