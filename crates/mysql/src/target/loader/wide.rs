//! Rows that are written piece by piece: those too large to be held twice, whose text is made in windows, and those that the source hands over in
//! parts.
//!
//! A piece is sent before the next is made. The row has a statement of its own, and what is kept of it to name it, should it be refused, is its short
//! cells. What can be lost or doubled: the statement ends behind the row's last cell, and the server's own count of rows is compared with that of one
//! row as it is for any other; a row that is refused when some of it has been sent, or whose parts come to an end before its last cell, is rolled
//! back with its chunk.

use whimbrel_connector::{Error, LongCells, Piece, RowBlock, RowCursor};
use whimbrel_core::Value;

use super::super::layout::Layout;
use super::{Cut, OpenChunk};
use crate::types::{SlotKind, check_plain, encode_cell, escape, plain};
use crate::wire::Connection;

/// A row that is being written in pieces.
#[derive(Debug, Default)]
pub(super) struct PieceWriter {
    /// The next cell, or the one whose parts are being written.
    column: usize,
    is_cutting: bool,
    /// Bytes that are still to come of that cell.
    left: usize,
    /// The row as it was sent, without its cut cells.
    outline: Vec<u8>,
    is_over: bool,
}

/// Whether rows may come in parts: cells that are cut are written as they are, whatever else they hold.
pub(in super::super) fn takes_parts(layout: &Layout) -> bool {
    layout
        .slots
        .iter()
        .all(|slot| match LongCells::of(&slot.source_type) {
            LongCells::Texts => matches!(
                slot.kind,
                SlotKind::Text | SlotKind::JsonText | SlotKind::Native
            ),
            LongCells::Bytes => matches!(slot.kind, SlotKind::Bytes | SlotKind::Geometry),
            LongCells::None | LongCells::Whole => true,
        })
}

impl OpenChunk {
    /// Writes a block of one wide row.
    pub(super) async fn write_wide(
        &mut self,
        connection: &mut Connection,
        block: &dyn RowBlock,
        mut cursor: RowCursor,
    ) -> Result<(), Error> {
        self.end_last(connection).await?;
        let (mut writer, mut is_over) = (PieceWriter::default(), false);
        while !is_over {
            self.drop_text();
            // Unless the row says otherwise.
            is_over = true;
            let (layout, text) = (&self.layout, &mut self.text);
            let may_cut = |place: usize, value: &Value<'_>| {
                let slot = layout.slots.get(place);
                slot.is_some_and(|slot| plain(value, slot).is_some())
            };
            block.decode(&mut |row| {
                layout.check_width(row)?;
                is_over = cursor.next(row, &may_cut, &mut |piece| {
                    writer.write(piece, layout, row, text)
                })?;
                Ok(())
            })?;
            self.send(connection, self.text.len()).await?;
        }
        if !writer.is_over {
            return Err(self.ended_early());
        }
        self.end_row(connection, writer).await?;
        self.total.byte_count += block.byte_count() as u64;
        Ok(())
    }

    /// Writes a part of a row.
    pub(super) async fn write_part(
        &mut self,
        connection: &mut Connection,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        let mut writer = if block.row_count() > 0 {
            self.check_between_rows()?;
            self.end_last(connection).await?;
            PieceWriter::default()
        } else {
            let begun = self.pieces.take();
            begun.ok_or_else(|| Error::Fatal("a part of a row that was not begun".to_owned()))?
        };
        self.drop_text();
        let (layout, text) = (&self.layout, &mut self.text);
        block.pieces(&mut |piece| writer.write(piece, layout, &[], text))?;
        self.send(connection, self.text.len()).await?;
        self.total.byte_count += block.byte_count() as u64;
        if writer.is_over {
            return self.end_row(connection, writer).await;
        }
        self.drop_text();
        self.pieces = Some(writer);
        Ok(())
    }

    /// Ends the statement of a row that was sent.
    async fn end_row(
        &mut self,
        connection: &mut Connection,
        writer: PieceWriter,
    ) -> Result<(), Error> {
        self.text = writer.outline;
        self.sent = self.text.len();
        let cut = Cut {
            at: self.text.len(),
            rows: 1,
        };
        self.end_statement(connection, cut).await
    }

    /// Checks that no row has been begun that is not over.
    pub(super) fn check_between_rows(&self) -> Result<(), Error> {
        match self.pieces {
            None => Ok(()),
            Some(_) => Err(self.ended_early()),
        }
    }

    fn ended_early(&self) -> Error {
        let source = &self.layout.source;
        Error::Fatal(format!(
            "a row of table {source} ended before its last cell"
        ))
    }
}

impl PieceWriter {
    /// Appends a piece as LOAD DATA reads it. `row` is all of the row, where somebody has it.
    fn write(
        &mut self,
        piece: Piece<'_>,
        layout: &Layout,
        row: &[Value<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let wrong = |what: &str| Error::Fatal(format!("a row of table {} {what}", layout.source));
        let slot = layout.slots.get(self.column);
        let slot = slot.ok_or_else(|| wrong("has more cells than columns"))?;
        let refuse = |value: &Value<'_>, why: &str| layout.refuse(row, value, slot, why);
        match piece {
            Piece::Cell(_) | Piece::Begin { .. } if self.is_cutting => {
                return Err(wrong("has a cell that lacks bytes"));
            }
            Piece::Cell(value) => {
                self.separate(out);
                let start = out.len();
                encode_cell(&value, slot, out).map_err(|why| refuse(&value, why))?;
                self.outline.extend_from_slice(&out[start..]);
                self.end_cell(layout, out);
            }
            Piece::Begin { of, bytes } => {
                self.separate(out);
                check_plain(&of, slot).map_err(|why| refuse(&of, why))?;
                (self.is_cutting, self.left) = (true, bytes);
            }
            Piece::Part(part) => {
                let bytes = plain(&part, slot).ok_or_else(|| refuse(&part, "it comes in parts"))?;
                let left = self.left.checked_sub(bytes.len());
                self.left = left.ok_or_else(|| wrong("has a cell of more bytes than it said"))?;
                escape(bytes, out);
                if self.left == 0 {
                    self.end_cell(layout, out);
                }
            }
        }
        Ok(())
    }

    fn separate(&mut self, out: &mut Vec<u8>) {
        if self.column > 0 {
            out.push(b'\t');
            self.outline.push(b'\t');
        }
    }

    fn end_cell(&mut self, layout: &Layout, out: &mut Vec<u8>) {
        self.is_cutting = false;
        self.column += 1;
        if self.column == layout.slots.len() {
            out.push(b'\n');
            self.outline.push(b'\n');
            self.is_over = true;
        }
    }
}

#[cfg(test)]
mod tests;
