//! Long rows, handed on as they come.
//!
//! What can be lost or doubled: the first part counts as the row and the others as none; a row whose bytes end before its last cell, or go on behind it, is
//! an error, and its beginning is rolled back with the chunk.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{Error, Piece, PieceVisitor};
use whimbrel_net::{PartCells, RowScanner, ScanFault, ScannedPart};

use super::block::BlockLayout;
use crate::types::{BadCell, BinaryRow, NOT_TEXT};
use crate::wire::RowPart;

/// The row that is coming in parts, if one is.
#[derive(Debug, Default)]
pub(super) struct PartReader {
    scanner: Option<RowScanner<BinaryRow>>,
}

impl PartReader {
    /// Takes a part of a row.
    pub(super) fn part(
        &mut self,
        part: RowPart,
        layout: &Arc<BlockLayout>,
    ) -> Result<ScannedPart<BlockLayout>, Error> {
        let framing = || layout.decoder.framing(layout.table.loaded_columns());
        let scanner = self
            .scanner
            .get_or_insert_with(|| RowScanner::new(framing()));
        let byte_count = part.bytes.len();
        let mut found = Vec::new();
        let fed = scanner.feed(part.bytes, &mut found);
        fed.map_err(|bad| layout.refuse(bad.column, words(bad.why)))?;
        if part.ends {
            if !scanner.is_over() {
                return Err(layout.refuse(None, "fewer bytes than the row's columns hold"));
            }
            self.scanner = None;
        }
        Ok(ScannedPart {
            cells: Arc::clone(layout),
            begins: part.begins,
            byte_count,
            found,
        })
    }
}

fn words(fault: ScanFault) -> &'static str {
    match fault {
        ScanFault::Framing(what) => what,
        ScanFault::NotText => NOT_TEXT,
        ScanFault::TooLong => "more bytes than the row's columns hold",
        ScanFault::NoRoom => "a cell for which there is no memory",
    }
}

impl BlockLayout {
    /// Refuses a row of which nobody has all cells.
    fn refuse(&self, column: Option<usize>, what: &'static str) -> Error {
        let column = column.unwrap_or_default();
        self.refusal(BadCell { column, what }, &[])
    }
}

/// A cell that is none, or the visitor's error.
enum Met {
    Bad(&'static str),
    Other(Error),
}

impl From<&'static str> for Met {
    fn from(what: &'static str) -> Self {
        Self::Bad(what)
    }
}

impl PartCells for BlockLayout {
    fn cell(&self, column: usize, cell: &Bytes, visit: &mut PieceVisitor<'_>) -> Result<(), Error> {
        let visited = self.decoder.decode_one(column, cell, |value| {
            visit(Piece::Cell(value)).map_err(Met::Other)
        });
        visited.map_err(|met| match met {
            Met::Bad(what) => self.refuse(Some(column), what),
            Met::Other(error) => error,
        })
    }

    fn not_text(&self, column: usize) -> Error {
        self.refuse(Some(column), NOT_TEXT)
    }
}
