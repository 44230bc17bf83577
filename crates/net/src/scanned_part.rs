//! A part of a row whose cells were found as its bytes came, as a block of pieces.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{Error, Piece, PieceVisitor, RawRows, RowBlock, RowVisitor};
use whimbrel_core::Value;

use crate::{CutAs, Found, Scanned};

/// Decodes the cells of rows that come in parts.
pub trait PartCells: Send + Sync {
    /// Decodes a cell, which begins with its head, and hands it to `visit`.
    ///
    /// # Errors
    /// The visitor's; or [`Error::Row`] when the cell is not what its column promises.
    fn cell(&self, column: usize, cell: &Bytes, visit: &mut PieceVisitor<'_>) -> Result<(), Error>;

    /// Refuses a row for a part of a text that is none.
    fn not_text(&self, column: usize) -> Error;
}

/// A part of a row.
pub struct ScannedPart<C> {
    /// What decodes its cells.
    pub cells: Arc<C>,
    /// Whether the row begins here.
    pub begins: bool,
    /// Bytes of it in the wire format.
    pub byte_count: usize,
    /// What was found in them.
    pub found: Vec<Scanned>,
}

impl<C: PartCells> RowBlock for ScannedPart<C> {
    fn row_count(&self) -> usize {
        usize::from(self.begins)
    }

    fn byte_count(&self) -> usize {
        self.byte_count
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, _: &mut RowVisitor<'_>) -> Result<(), Error> {
        Err(Error::Fatal(
            "a part of a row was asked to decode its rows".to_owned(),
        ))
    }

    fn is_part(&self) -> bool {
        true
    }

    fn pieces(&self, visit: &mut PieceVisitor<'_>) -> Result<(), Error> {
        for Scanned { column, what } in &self.found {
            match what {
                Found::Null => visit(Piece::Cell(Value::Null))?,
                Found::Cell(cell) => self.cells.cell(*column, cell, visit)?,
                Found::Begin(is, bytes) => visit(Piece::Begin {
                    of: match is {
                        CutAs::Text => Value::Text(""),
                        CutAs::Bytes => Value::Bytes(&[]),
                    },
                    bytes: *bytes,
                })?,
                Found::Part(CutAs::Bytes, part) => visit(Piece::Part(Value::Bytes(part)))?,
                Found::Part(CutAs::Text, part) => {
                    let text = std::str::from_utf8(part);
                    let text = text.map_err(|_| self.cells.not_text(*column))?;
                    visit(Piece::Part(Value::Text(text)))?;
                }
            }
        }
        Ok(())
    }
}
