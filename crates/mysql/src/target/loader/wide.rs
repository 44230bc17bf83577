//! A row too large to be held twice: its text is made in windows, each sent before the next is made.
//!
//! The cells are borrowed from the block that holds the row, which is decoded anew for each window. The row has a statement of its own, and
//! what is kept of it to name it, should it be refused, is its short cells.

use whimbrel_connector::{Error, RowBlock};
use whimbrel_core::Value;

use super::super::layout::Layout;
use super::{Cut, OpenChunk};
use crate::types::{Slot, check_plain, escape, plain};
use crate::wire::Connection;

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

impl OpenChunk {
    /// Writes a block of one wide row.
    pub(super) async fn write_wide(
        &mut self,
        connection: &mut Connection,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        self.end_last(connection).await?;
        let window_bytes = WINDOW_BYTES.max(block.byte_count() / WINDOWS_MAX);
        let mut windows = Windows::default();
        let mut is_over = false;
        while !is_over {
            self.drop_text();
            let (layout, text) = (&self.layout, &mut self.text);
            block.decode(&mut |row| {
                is_over = windows.fill(row, layout, window_bytes, text)?;
                Ok(())
            })?;
            self.send(connection, self.text.len()).await?;
        }
        self.drop_text();
        let (layout, text) = (&self.layout, &mut self.text);
        block.decode(&mut |row| outline(row, layout, text))?;
        self.sent = self.text.len();
        let cut = Cut {
            at: self.text.len(),
            rows: 1,
        };
        self.end_statement(connection, cut).await?;
        self.total.byte_count += block.byte_count() as u64;
        Ok(())
    }
}

impl Windows {
    /// Appends the next window of about `bytes`. Answers whether the row is over.
    fn fill(
        &mut self,
        row: &[Value<'_>],
        layout: &Layout,
        bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        layout.check_width(row)?;
        let end = out.len() + bytes;
        while let (Some(value), Some(slot)) = (row.get(self.cell), layout.slots.get(self.cell)) {
            if out.len() >= end {
                return Ok(false);
            }
            if self.offset == 0 && self.cell > 0 {
                out.push(b'\t');
            }
            match long(value, slot) {
                Some(cell) => {
                    if self.offset == 0 {
                        check_plain(value, slot)
                            .map_err(|why| layout.refuse(row, value, slot, why))?;
                    }
                    let room = end.saturating_sub(out.len()).max(1);
                    let piece_end = cell.len().min(self.offset + room);
                    escape(cell.get(self.offset..piece_end).unwrap_or_default(), out);
                    self.offset = piece_end;
                    if piece_end < cell.len() {
                        return Ok(false);
                    }
                }
                None => layout.encode_at(row, self.cell, out)?,
            }
            (self.cell, self.offset) = (self.cell + 1, 0);
        }
        out.push(b'\n');
        Ok(true)
    }
}

/// The bytes of a cell that goes in pieces.
fn long<'v>(value: &'v Value<'_>, slot: &Slot) -> Option<&'v [u8]> {
    plain(value, slot).filter(|bytes| bytes.len() >= LONG_BYTES)
}

/// The row as it was sent, without its long cells.
fn outline(row: &[Value<'_>], layout: &Layout, out: &mut Vec<u8>) -> Result<(), Error> {
    for (index, (value, slot)) in row.iter().zip(&layout.slots).enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        if long(value, slot).is_none() {
            layout.encode_at(row, index, out)?;
        }
    }
    out.push(b'\n');
    Ok(())
}
