//! A row too large to be held twice: it is encoded in windows, each sent before the next is made.
//!
//! The cells are borrowed from the block that holds the row, which is decoded anew for each window.

use whimbrel_connector::{Error, RowBlock};
use whimbrel_core::Value;

use super::{Format, OpenChunk, PostgresLoader, cut};
use crate::types::{
    JSONB_VERSION, Refused, TOO_LARGE, WireType, check_plain, encode_binary, encode_text, escape,
    plain,
};

/// A row from this size on goes in windows.
const WIDE_BYTES: usize = 4 * 1024 * 1024;
/// A cell from this size on may lie in several windows.
const LONG_BYTES: usize = 64 * 1024;
const WINDOW_BYTES: usize = 256 * 1024;
/// Each window costs a look at the row, so that a very large one has larger windows.
const WINDOWS_MAX: usize = 32;

/// Where in a row the next window begins.
#[derive(Debug, Default)]
struct Windows {
    cell: usize,
    /// Bytes of the cell that earlier windows have; 0 when it has not begun.
    offset: usize,
}

/// Whether a block is one such row.
pub(super) fn is_wide(block: &dyn RowBlock) -> bool {
    block.row_count() == 1 && block.byte_count() >= WIDE_BYTES
}

impl PostgresLoader {
    /// Writes a block of one wide row.
    pub(super) async fn write_wide(
        &mut self,
        open: &mut OpenChunk,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        if open.room() == 0 {
            self.cut(open).await?;
        }
        let window_bytes = WINDOW_BYTES.max(block.byte_count() / WINDOWS_MAX);
        let mut windows = Windows::default();
        let mut is_over = false;
        while !is_over {
            self.message.clear();
            cut::start_frame(&mut self.message);
            let message = &mut self.message;
            block.decode(&mut |row| {
                let filled = windows.fill(row, &open.format, window_bytes, message);
                is_over = filled.map_err(|(cell, reason)| open.refuse(row, cell, reason))?;
                Ok(())
            })?;
            cut::end_frame(&mut self.message, 0).ok_or_else(|| {
                Error::table(&open.table.source.name, "a row is longer than 1 GiB")
            })?;
            let message = std::mem::take(&mut self.message);
            self.send(open, &message).await?;
            self.message = message;
        }
        self.message.clear();
        self.message.shrink_to(super::MESSAGE_BYTES_KEPT);
        open.statement_rows += 1;
        Ok(())
    }
}

impl Windows {
    /// Appends the next window of about `bytes`. Answers whether the row is over; or the cell that the target does not hold, and why.
    fn fill(
        &mut self,
        row: &[Value<'_>],
        format: &Format,
        bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, (usize, Refused)> {
        let (columns, is_binary) = match format {
            Format::Binary(columns) => (columns, true),
            Format::Text(columns) => (columns, false),
            Format::Raw(_) => return Err((0, "a decoded row in a raw load")),
        };
        let end = out.len() + bytes;
        if is_binary && self.cell == 0 && self.offset == 0 {
            let count = i16::try_from(row.len()).map_err(|_| (0, "it has too many columns"))?;
            out.extend_from_slice(&count.to_be_bytes());
        }
        while let (Some(value), Some(column)) = (row.get(self.cell), columns.get(self.cell)) {
            if out.len() >= end {
                return Ok(false);
            }
            let failed = |reason| (self.cell, reason);
            if self.offset == 0 {
                if !is_binary && self.cell > 0 {
                    out.push(b'\t');
                }
                column.limit.check(value).map_err(failed)?;
            }
            match long(value, column.wire) {
                Some(cell) => {
                    if self.offset == 0 {
                        begin(value, column.wire, is_binary, out).map_err(failed)?;
                    }
                    let room = end.saturating_sub(out.len()).max(1);
                    let piece_end = cell.len().min(self.offset + room);
                    let piece = cell.get(self.offset..piece_end).unwrap_or_default();
                    write(piece, value, is_binary, out);
                    self.offset = piece_end;
                    if piece_end < cell.len() {
                        return Ok(false);
                    }
                }
                None if is_binary => encode_binary(value, column.wire, out).map_err(failed)?,
                None => encode_text(value, column.wire, &mut Vec::new(), out).map_err(failed)?,
            }
            (self.cell, self.offset) = (self.cell + 1, 0);
        }
        if !is_binary {
            out.push(b'\n');
        }
        Ok(true)
    }
}

/// The bytes of a cell that goes in pieces.
fn long<'v>(value: &'v Value<'_>, wire: WireType) -> Option<&'v [u8]> {
    plain(value, wire).filter(|bytes| bytes.len() >= LONG_BYTES)
}

/// Writes what stands before the bytes of a cell.
fn begin(
    value: &Value<'_>,
    wire: WireType,
    is_binary: bool,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    check_plain(value, wire)?;
    let length = plain(value, wire).map_or(0, <[u8]>::len);
    let version: &[u8] = match wire {
        WireType::Jsonb if is_binary => &[JSONB_VERSION],
        _ => &[],
    };
    let length = i32::try_from(length + version.len()).map_err(|_| TOO_LARGE)?;
    if is_binary {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(version);
    } else if matches!(value, Value::Bytes(_)) {
        out.extend_from_slice(b"\\\\x");
    }
    Ok(())
}

fn write(piece: &[u8], value: &Value<'_>, is_binary: bool, out: &mut Vec<u8>) {
    match value {
        _ if is_binary => out.extend_from_slice(piece),
        Value::Bytes(_) => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend(
                piece
                    .iter()
                    .flat_map(|byte| [byte >> 4, byte & 15])
                    .map(|digit| DIGITS[usize::from(digit)]),
            );
        }
        _ => escape(piece, out),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::ActualColumn;
    use super::*;
    use crate::types::Limit;

    fn column(wire: WireType) -> ActualColumn {
        ActualColumn {
            native: String::new(),
            wire,
            limit: Limit::None,
            is_text_only: false,
        }
    }

    fn whole(row: &[Value<'_>], columns: &[ActualColumn], is_binary: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if is_binary {
            out.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
        }
        for (place, (value, column)) in row.iter().zip(columns).enumerate() {
            if is_binary {
                encode_binary(value, column.wire, &mut out).unwrap();
            } else {
                if place > 0 {
                    out.push(b'\t');
                }
                encode_text(value, column.wire, &mut Vec::new(), &mut out).unwrap();
            }
        }
        if !is_binary {
            out.push(b'\n');
        }
        out
    }

    #[test]
    fn windows_of_any_size_are_the_row() {
        let bytes: Vec<u8> = (0..=255).cycle().take(LONG_BYTES + 77).collect();
        let text = "a\tb\\c\nü".repeat(LONG_BYTES / 4);
        let document = format!("{{\"a\": \"{}\"}}", "x".repeat(LONG_BYTES));
        let row = [
            Value::Int(7),
            Value::Bytes(&bytes),
            Value::Null,
            Value::Text(&text),
            Value::Json(&document),
            Value::Text("short"),
            Value::Bytes(&bytes),
        ];
        let columns: Vec<ActualColumn> = [
            WireType::Int8,
            WireType::Bytea,
            WireType::Text,
            WireType::Text,
            WireType::Jsonb,
            WireType::Text,
            WireType::Bytea,
        ]
        .map(column)
        .into();
        let shared = Arc::new(columns);
        for format in [
            Format::Binary(Arc::clone(&shared)),
            Format::Text(Arc::clone(&shared)),
        ] {
            let expected = whole(&row, &shared, format.is_binary());
            for window in [1000, 4096, LONG_BYTES, LONG_BYTES + 77, 1 << 30] {
                let mut windows = Windows::default();
                let (mut out, mut count) = (Vec::new(), 0);
                loop {
                    let mut piece = Vec::new();
                    let is_over = windows.fill(&row, &format, window, &mut piece).unwrap();
                    out.extend_from_slice(&piece);
                    count += 1;
                    if is_over {
                        break;
                    }
                    // Escapes take up to twice the room.
                    assert!(piece.len() <= 2 * window + 64, "{}", piece.len());
                }
                assert!(out == expected, "windows of {window}: {count}");
            }
        }
    }

    #[test]
    fn what_the_column_does_not_hold_is_refused_before_any_of_it_is_written() {
        let text = format!("{}\0", "a".repeat(LONG_BYTES));
        let format = Format::Binary(Arc::new(vec![column(WireType::Text)]));
        let mut out = Vec::new();
        let refused = Windows::default().fill(&[Value::Text(&text)], &format, 1 << 20, &mut out);
        assert_eq!(refused.unwrap_err().0, 0);
        assert!(out.len() < 8);
    }
}
