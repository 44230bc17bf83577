use std::sync::Arc;

use whimbrel_connector::{Error, RawFormat, RawRows, ReadFormat, RowBlock, RowRefusal, RowVisitor};
use whimbrel_core::{Column, Table, Value};

use crate::types::{decode_cell, decode_cell_to};
use crate::wire::CopyBlock;

/// Begins every binary COPY: signature, flags, length of an extension.
pub(crate) const BINARY_HEADER: [u8; 19] = *b"PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0";
/// Ends every binary COPY, in place of a row's count of fields.
pub(crate) const BINARY_TRAILER: [u8; 2] = [0xFF, 0xFF];

/// What is needed to read the rows of a chunk.
#[derive(Debug)]
pub(super) struct RowLayout {
    pub(super) table: Table,
    column_count: usize,
    format: ReadFormat,
}

impl RowLayout {
    pub(super) fn new(table: &Table, format: ReadFormat) -> Self {
        Self {
            column_count: table.loaded_columns().count(),
            table: table.clone(),
            format,
        }
    }

    fn is_binary(&self) -> bool {
        self.format != ReadFormat::Raw(RawFormat::PgCopyText)
    }
}

/// Rows as CopyData messages: the server puts each row into a message of its own, the header before the first, the trailer
/// into the last (`CopySendEndOfRow` in `copyto.c`).
pub(super) struct PgRows {
    pub(super) block: CopyBlock,
    pub(super) layout: Arc<RowLayout>,
}

impl PgRows {
    /// The block's rows: messages without header and trailer.
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let is_binary = self.layout.is_binary();
        self.block.messages().filter_map(move |message| {
            if !is_binary {
                return Some(message);
            }
            let row = message.strip_prefix(&BINARY_HEADER).unwrap_or(message);
            (row != BINARY_TRAILER && !row.is_empty()).then_some(row)
        })
    }

    fn refuse(&self, column: Option<&Column>, row: &[u8], reason: &str) -> Error {
        let layout = &self.layout;
        let column = column.map(|column| column.name.clone());
        let reason = format!("the source sent a row that cannot be read: {reason}");
        let cells = readable(&layout.table, row);
        RowRefusal::unreadable(&layout.table, &cells, column, reason).into()
    }

    fn decode_row<'a>(&'a self, row: &'a [u8], values: &mut Vec<Value<'a>>) -> Result<(), Error> {
        values.clear();
        let cut = || self.refuse(None, &[], "it ends too early");
        let whole = row;
        let (count, mut rest) = row.split_first_chunk::<2>().ok_or_else(cut)?;
        if usize::from(u16::from_be_bytes(*count)) != self.layout.column_count {
            return Err(self.refuse(None, &[], "it has another number of columns"));
        }
        for column in self.layout.table.loaded_columns() {
            let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            rest = tail;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                values.push(Value::Null);
                continue;
            };
            let (cell, tail) = rest.split_at_checked(length).ok_or_else(cut)?;
            rest = tail;
            decode_cell_to(&column.ty, cell, |value| values.push(value))
                .map_err(|reason| self.refuse(Some(column), whole, reason))?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(self.refuse(None, &[], "it goes on after its last column"))
        }
    }
}

/// The cells of a row, of which some cannot be read: they are `NotSent`.
fn readable<'a>(table: &Table, row: &'a [u8]) -> Vec<Value<'a>> {
    let mut rest = row.get(2..).unwrap_or_default();
    let mut cell = || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            return Some(None);
        };
        let (cell, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some(Some(cell))
    };
    let values = table.loaded_columns().map(|column| match cell() {
        None => Value::NotSent,
        Some(None) => Value::Null,
        Some(Some(cell)) => decode_cell(&column.ty, cell).unwrap_or(Value::NotSent),
    });
    values.collect()
}

impl RowBlock for PgRows {
    /// Counting needs no look into the rows but the first and the last: header and trailer stand there.
    fn row_count(&self) -> usize {
        if !self.layout.is_binary() || self.block.message_count == 0 {
            return self.block.message_count;
        }
        let has_trailer = self.block.bytes.ends_with(&BINARY_TRAILER)
            && self.block.messages().last().is_some_and(|last| {
                last.strip_prefix(&BINARY_HEADER).unwrap_or(last) == BINARY_TRAILER
            });
        self.block.message_count - usize::from(has_trailer)
    }

    fn byte_count(&self) -> usize {
        self.block.bytes.len()
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        Some(RawRows {
            format: self.layout.format.raw()?,
            bytes: &self.block.bytes,
        })
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.decode_from(0, visit)
    }

    fn decode_from(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        if self.layout.format.raw().is_some() {
            return Err(Error::Fatal(
                "a raw block was asked to decode its rows".to_owned(),
            ));
        }
        let mut values = Vec::with_capacity(self.layout.column_count);
        for row in self.rows().skip(skipped) {
            self.decode_row(row, &mut values)?;
            visit(&values)?;
        }
        Ok(())
    }

    fn readable(&self, at: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let row = self.rows().nth(at).unwrap_or_default();
        visit(&readable(&self.layout.table, row))
    }
}
