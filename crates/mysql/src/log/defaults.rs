//! Defaults of columns, for new rows of which a log with `binlog_row_image = MINIMAL` or `NOBLOB` leaves out the cells that
//! the statement did not name.
//!
//! The server is asked for the values, in the protocol in which a full load reads rows. Only constants are taken: what an
//! expression gave then, nobody knows now. A column whose default was changed since the row came would get the new one; that
//! is the price of such a log.

use whimbrel_core::{Column, Engine, Table, Value};

use crate::quote;
use crate::types::{RowDecoder, ShiftedBits};
use crate::wire::{Connection, RowPackets, TextRow, WireError};

/// A block of one cell.
const CELL_BYTES: usize = 1 << 20;

/// The defaults of a table's loaded columns, in their order.
#[derive(Debug)]
pub(super) struct Defaults {
    cells: Vec<Default>,
}

#[derive(Debug)]
enum Default {
    Null,
    Constant {
        decoder: RowDecoder,
        row: RowPackets,
        bits: ShiftedBits,
    },
    Unknown,
}

impl Defaults {
    /// Asks the server.
    pub(super) async fn read(
        connection: &mut Connection,
        table: &Table,
    ) -> Result<Self, WireError> {
        let sql = format!(
            "SELECT column_name, column_default, is_nullable, extra FROM information_schema.columns \
             WHERE table_schema = {} AND table_name = {}",
            quote::literal(&table.name.schema),
            quote::literal(&table.name.name)
        );
        let rows = connection.rows(&sql).await?;
        let mut cells = Vec::new();
        for column in table.loaded_columns() {
            let row = rows.iter().find(|row| row.text(0) == column.name);
            cells.push(match row {
                Some(row) if is_null(row, connection.engine()) => Default::Null,
                Some(row) if is_constant(row, connection.engine()) => {
                    constant(connection, table, column).await?
                }
                _ => Default::Unknown,
            });
        }
        Ok(Self { cells })
    }

    /// NULL for each of so many columns.
    #[cfg(feature = "fuzz")]
    pub(super) fn nulls(count: usize) -> Self {
        Self {
            cells: (0..count).map(|_| Default::Null).collect(),
        }
    }

    /// Whether the default of a loaded column is known.
    pub(super) fn is_known(&self, slot: usize) -> bool {
        !matches!(self.cells.get(slot), None | Some(Default::Unknown))
    }

    /// Puts defaults in the place of cells that were not sent.
    pub(super) fn fill<'a>(&'a self, values: &mut [Value<'a>]) {
        let mut cell = Vec::with_capacity(1);
        for (value, default) in values.iter_mut().zip(&self.cells) {
            if !matches!(value, Value::NotSent) {
                continue;
            }
            match default {
                Default::Null => *value = Value::Null,
                Default::Constant { decoder, row, bits } => {
                    cell.clear();
                    let read = row
                        .iter()
                        .next()
                        .map(|row| decoder.decode(row, &mut bits.iter(), &mut cell));
                    if let (Some(Ok(())), Some(constant)) = (read, cell.first()) {
                        *value = *constant;
                    }
                }
                Default::Unknown => {}
            }
        }
    }
}

/// MariaDB writes NULL as a word, MySQL as NULL.
fn is_null(row: &TextRow, engine: Engine) -> bool {
    row.text(2) == "YES"
        && match row.get(1) {
            None => true,
            Some(text) => engine == Engine::MariaDb && text == "NULL",
        }
}

/// MariaDB writes constants as in SQL, MySQL marks expressions.
fn is_constant(row: &TextRow, engine: Engine) -> bool {
    let Some(text) = row.get(1) else { return false };
    if engine == Engine::MariaDb {
        return text.starts_with(|c: char| c == '\'' || c == '-' || c.is_ascii_digit())
            || text.starts_with("b'")
            || text.starts_with("x'");
    }
    !row.text(3)
        .to_ascii_uppercase()
        .contains("DEFAULT_GENERATED")
}

/// The default of a column, from a row of the table or from the row that an outer join or a count makes up.
async fn constant(
    connection: &mut Connection,
    table: &Table,
    column: &Column,
) -> Result<Default, WireError> {
    let name = quote::identifier(&column.name);
    let table = quote::table(&table.name);
    let made_up = if column.nullable {
        format!("SELECT DEFAULT({name}) FROM (SELECT 1 AS one) AS one LEFT JOIN {table} ON FALSE")
    } else {
        format!("SELECT DEFAULT({name}) FROM {table} HAVING count(*) = 0")
    };
    for sql in [
        format!("SELECT DEFAULT({name}) FROM {table} LIMIT 1"),
        made_up,
    ] {
        match cell(connection, &sql, column).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) | Err(WireError::Server(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Default::Unknown)
}

async fn cell(
    connection: &mut Connection,
    sql: &str,
    column: &Column,
) -> Result<Option<Default>, WireError> {
    let statement = connection.prepare(sql).await?;
    let announced = connection.open(&statement).await?;
    let row = connection.block(CELL_BYTES).await?;
    connection.drain().await?;
    connection.close(statement).await?;
    let (Some(row), Ok(decoder)) = (row, RowDecoder::new([column], &announced)) else {
        return Ok(None);
    };
    let Ok(bits) = decoder.shift_bits(row.iter()) else {
        return Ok(None);
    };
    let mut values = Vec::new();
    let read = row
        .iter()
        .next()
        .map(|row| decoder.decode(row, &mut bits.iter(), &mut values));
    // A column without NULL that gives one was not read from a row.
    let is_real =
        matches!((read, values.first()), (Some(Ok(())), Some(value)) if *value != Value::Null);
    Ok(is_real.then_some(Default::Constant { decoder, row, bits }))
}
