//! Rows that are written piece by piece: those too large to be held twice, which are encoded in windows, and those that the source hands over in parts.
//!
//! A piece is sent before the next is made. What of a row is held beside the block is a window, and the text of its key for the message should it be
//! refused. What can be lost or doubled: a row counts with its first piece, so that a statement is never cut within one, and the server's own count of
//! rows, which is that of rows it saw the end of, is compared with ours before the commit. A row that is refused when some of it has been sent, or
//! whose parts come to an end before its last cell, ends the COPY by CopyFail, and the chunk is rolled back with it.

use whimbrel_connector::{
    Error, LongCells, Piece, RefusalKind, RowBlock, RowCursor, RowRefusal, TargetTable,
};
use whimbrel_core::{Value, write_text};

use super::super::ActualColumn;
use super::{OpenChunk, PostgresLoader, cut};
use crate::types::{
    JSONB_VERSION, Limit, Refused, TOO_LARGE, TOO_LONG, WireType, check_plain, encode_binary,
    encode_text, escape, plain,
};

/// Whether the rows of a table may come in parts: its cells that are cut are written as they are, whatever else they hold.
pub(in super::super) fn takes_parts(table: &TargetTable, columns: &[ActualColumn]) -> bool {
    let planned = table.columns.iter().map(|column| &column.source_type);
    planned
        .zip(columns)
        .all(|(from, to)| match LongCells::of(from) {
            LongCells::Texts => {
                let is_plain = matches!(to.wire, WireType::Text | WireType::Json | WireType::Other);
                is_plain && to.limit == Limit::None
            }
            LongCells::Bytes => to.wire == WireType::Bytea,
            LongCells::None | LongCells::Whole => true,
        })
}

impl PostgresLoader {
    /// Writes a block of one wide row.
    pub(super) async fn write_wide(
        &mut self,
        open: &mut OpenChunk,
        block: &dyn RowBlock,
        mut cursor: RowCursor,
    ) -> Result<(), Error> {
        self.begin_row(open).await?;
        let (mut writer, mut is_over) = (PieceWriter::default(), false);
        while !is_over {
            self.start_message();
            let message = &mut self.message;
            // Unless the row says otherwise.
            is_over = true;
            block.decode(&mut |row| {
                let next = cursor.next(
                    row,
                    &|place, value| open.may_cut(place, value),
                    &mut |piece| {
                        writer
                            .write(piece, open, message)
                            .map_err(|reason| open.refuse(row, writer.column, reason))
                    },
                );
                is_over = next?;
                Ok(())
            })?;
            self.send_message(open).await?;
        }
        if writer.is_over {
            Ok(())
        } else {
            Err(open.ended_early())
        }
    }

    /// Writes a part of a row.
    pub(super) async fn write_part(
        &mut self,
        open: &mut OpenChunk,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        let mut writer = if block.row_count() > 0 {
            self.begin_row(open).await?;
            PieceWriter::default()
        } else {
            let begun = open.pieces.take();
            begun.ok_or_else(|| Error::Fatal("a part of a row that was not begun".to_owned()))?
        };
        self.start_message();
        let message = &mut self.message;
        block.pieces(&mut |piece| {
            writer
                .write(piece, open, message)
                .map_err(|reason| writer.refuse(open, piece, reason))
        })?;
        open.pieces = (!writer.is_over).then_some(writer);
        self.send_message(open).await
    }

    async fn begin_row(&mut self, open: &mut OpenChunk) -> Result<(), Error> {
        open.check_between_rows()?;
        if open.room() == 0 {
            self.cut(open).await?;
        }
        open.statement_rows += 1;
        Ok(())
    }

    fn start_message(&mut self) {
        self.message.clear();
        cut::start_frame(&mut self.message);
    }

    async fn send_message(&mut self, open: &OpenChunk) -> Result<(), Error> {
        cut::end_frame(&mut self.message, 0)
            .ok_or_else(|| Error::table(&open.table.source.name, "a row is longer than 1 GiB"))?;
        let mut message = std::mem::take(&mut self.message);
        self.send(open, &message).await?;
        message.clear();
        message.shrink_to(super::MESSAGE_BYTES_KEPT);
        self.message = message;
        Ok(())
    }
}

impl OpenChunk {
    /// Whether the bytes of a cell may be written in parts.
    fn may_cut(&self, place: usize, value: &Value<'_>) -> bool {
        let column = self.format.columns().get(place);
        column.is_some_and(|column| plain(value, column.wire).is_some())
    }

    /// Checks that no row has been begun that is not over.
    pub(super) fn check_between_rows(&self) -> Result<(), Error> {
        match self.pieces {
            None => Ok(()),
            Some(_) => Err(self.ended_early()),
        }
    }

    fn ended_early(&self) -> Error {
        let source = &self.table.source.name;
        Error::Fatal(format!(
            "a row of table {source} ended before its last cell"
        ))
    }
}

/// Writes a row piece by piece.
#[derive(Debug, Default)]
pub(super) struct PieceWriter {
    /// The next cell, or the one whose parts are being written.
    column: usize,
    cutting: Option<Cutting>,
    /// The cells of the key that were written, as text.
    key: Vec<(usize, String)>,
    is_over: bool,
}

/// A cell whose parts are being written.
#[derive(Debug)]
struct Cutting {
    /// Bytes that are still to come.
    left: usize,
    /// Somebody had it whole, and it was looked at.
    is_checked: bool,
}

impl PieceWriter {
    fn write(
        &mut self,
        piece: Piece<'_>,
        open: &OpenChunk,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let is_binary = open.format.is_binary();
        let columns = open.format.columns();
        let column = columns
            .get(self.column)
            .ok_or("there is no column for it")?;
        match piece {
            Piece::Cell(value) => {
                self.begin_cell(is_binary, columns.len(), out)?;
                column.limit.check(&value)?;
                if is_binary {
                    encode_binary(&value, column.wire, out)?;
                } else {
                    encode_text(&value, column.wire, &mut Vec::new(), out)?;
                }
                self.note_key(&open.table, &value);
                self.end_cell(is_binary, columns.len(), out);
            }
            Piece::Begin { of, bytes } => {
                self.begin_cell(is_binary, columns.len(), out)?;
                column.limit.check(&of)?;
                begin(&of, bytes, column.wire, is_binary, out)?;
                let whole = plain(&of, column.wire);
                self.cutting = Some(Cutting {
                    left: bytes,
                    is_checked: whole.is_some_and(|whole| whole.len() == bytes),
                });
            }
            Piece::Part(part) => {
                let bytes = plain(&part, column.wire).ok_or("it comes in parts")?;
                let cutting = self.cutting.as_mut();
                let cutting = cutting.ok_or("it has a part and no beginning")?;
                cutting.left = cutting
                    .left
                    .checked_sub(bytes.len())
                    .ok_or("it has more bytes than it said")?;
                if !cutting.is_checked {
                    // All that can be told of a part alone.
                    check_plain(&part, WireType::Text)?;
                }
                write(bytes, &part, is_binary, out);
                if cutting.left == 0 {
                    self.end_cell(is_binary, columns.len(), out);
                }
            }
        }
        Ok(())
    }

    fn begin_cell(
        &self,
        is_binary: bool,
        columns: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if self.cutting.is_some() {
            return Err("the cell before it lacks bytes");
        }
        if is_binary && self.column == 0 {
            let count = i16::try_from(columns).map_err(|_| "it has too many columns")?;
            out.extend_from_slice(&count.to_be_bytes());
        }
        if !is_binary && self.column > 0 {
            out.push(b'\t');
        }
        Ok(())
    }

    fn end_cell(&mut self, is_binary: bool, columns: usize, out: &mut Vec<u8>) {
        self.cutting = None;
        self.column += 1;
        self.is_over = self.column == columns;
        if self.is_over && !is_binary {
            out.push(b'\n');
        }
    }

    fn note_key(&mut self, table: &TargetTable, value: &Value<'_>) {
        if table.model().key_in_row().contains(&self.column) {
            let mut text = Vec::new();
            write_text(value, &mut text);
            let text = String::from_utf8_lossy(&text).into_owned();
            self.key.push((self.column, text));
        }
    }

    /// Says that the column does not take a piece of a row of which nobody has all.
    fn refuse(&self, open: &OpenChunk, piece: Piece<'_>, reason: &str) -> Error {
        let (Piece::Cell(value) | Piece::Begin { of: value, .. } | Piece::Part(value)) = piece;
        let name = open.table.columns.get(self.column);
        let name = name.map_or("", |column| column.name.as_str());
        let mut refusal = RowRefusal::value(&open.table.source.name, name, value.kind(), reason);
        if reason == TOO_LONG {
            refusal.kind = RefusalKind::TooLong;
        }
        let key = open.table.model().key_in_row();
        let cell = |place: &usize| self.key.iter().find(|(column, _)| column == place);
        let cells: Option<Vec<&str>> = key
            .iter()
            .map(|place| cell(place).map(|(_, text)| text.as_str()))
            .collect();
        refusal.key = cells
            .filter(|cells| !cells.is_empty())
            .map(|cells| format!("({})", cells.join(", ")));
        refusal.into()
    }
}

/// Writes what stands before the bytes of a cell.
fn begin(
    of: &Value<'_>,
    bytes: usize,
    wire: WireType,
    is_binary: bool,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    check_plain(of, wire)?;
    let version: &[u8] = match wire {
        WireType::Jsonb if is_binary => &[JSONB_VERSION],
        _ => &[],
    };
    let length = i32::try_from(bytes + version.len()).map_err(|_| TOO_LARGE)?;
    if is_binary {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(version);
    } else if matches!(of, Value::Bytes(_)) {
        out.extend_from_slice(b"\\\\x");
    }
    Ok(())
}

fn write(bytes: &[u8], part: &Value<'_>, is_binary: bool, out: &mut Vec<u8>) {
    match part {
        _ if is_binary => out.extend_from_slice(bytes),
        Value::Bytes(_) => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend(
                bytes
                    .iter()
                    .flat_map(|byte| [byte >> 4, byte & 15])
                    .map(|digit| DIGITS[usize::from(digit)]),
            );
        }
        _ => escape(bytes, out),
    }
}

#[cfg(test)]
mod tests;
