//! Long rows, handed on as they come.
//!
//! The connection cuts a long message into parts ([`crate::wire`]); here their cells are found, whatever the parts' ends cut. What can be lost or
//! doubled: the first part counts as the row and the others as none; a row whose parts end before its last cell is an error, at its next
//! part as well as at the end of the chunk, and its beginning is rolled back with the chunk.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{Error, LongCells, Piece, PieceVisitor, RowRefusal};
use whimbrel_core::{Column, ColumnType, Value};
use whimbrel_net::{
    BadRow, CellHead, CutAs, PartCells, RowFraming, RowScanner, ScanFault, ScannedPart,
};

use super::rows::{BINARY_HEADER, RowLayout};
use crate::types::{NOT_TEXT, decode_cell};
use crate::wire::CopyBlock;

/// Bytes of the length before a cell.
const LENGTH_BYTES: usize = 4;

/// A row of `COPY BINARY`: the count of its cells, and each with its length before it.
#[derive(Debug)]
pub(super) struct BinaryRow {
    /// What cells may be cut as, for each column.
    cuts: Vec<Option<CutAs>>,
}

impl RowFraming for BinaryRow {
    fn column_count(&self) -> usize {
        self.cuts.len()
    }

    fn head_bytes(&self) -> usize {
        2
    }

    fn take_head(&mut self, head: &[u8]) -> Result<(), &'static str> {
        let count = head.first_chunk().map(|count| u16::from_be_bytes(*count));
        if count.map(usize::from) == Some(self.cuts.len()) {
            Ok(())
        } else {
            Err("it has another number of columns")
        }
    }

    fn cell(&self, _: usize, bytes: &[u8]) -> Result<CellHead, &'static str> {
        let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
            return Ok(CellHead::Unfinished);
        };
        Ok(match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => CellHead::Null(LENGTH_BYTES),
            Ok(bytes) => CellHead::Value {
                head: LENGTH_BYTES,
                bytes,
            },
        })
    }

    fn cut(&self, column: usize) -> Option<CutAs> {
        self.cuts.get(column).copied().flatten()
    }
}

/// The row that is coming in parts, if one is.
#[derive(Debug, Default)]
pub(super) struct PartReader {
    scanner: Option<RowScanner<BinaryRow>>,
}

impl PartReader {
    /// Takes a block that is a part of a row.
    pub(super) fn part(
        &mut self,
        block: &CopyBlock,
        layout: &Arc<RowLayout>,
    ) -> Result<ScannedPart<RowLayout>, Error> {
        let begins = block.message_count > 0;
        if begins == self.scanner.is_some() {
            return Err(layout.refuse_part(None, "it ends too early"));
        }
        let framing = || BinaryRow {
            cuts: layout.columns().map(|column| cut(&column.ty)).collect(),
        };
        let scanner = self
            .scanner
            .get_or_insert_with(|| RowScanner::new(framing()));
        let mut found = Vec::new();
        for message in block.messages() {
            let row = if begins {
                message.strip_prefix(&BINARY_HEADER).unwrap_or(message)
            } else {
                message
            };
            let fed = scanner.feed(block.bytes.slice_ref(row), &mut found);
            fed.map_err(|bad| refusal(layout, bad))?;
        }
        if scanner.is_over() {
            self.scanner = None;
        }
        Ok(ScannedPart {
            cells: Arc::clone(layout),
            begins,
            byte_count: block.bytes.len(),
            found,
        })
    }

    /// Checks that no row is left unfinished.
    pub(super) fn end(&self, layout: &RowLayout) -> Result<(), Error> {
        match self.scanner {
            None => Ok(()),
            Some(_) => Err(layout.refuse_part(None, "it ends too early")),
        }
    }
}

fn cut(ty: &ColumnType) -> Option<CutAs> {
    match LongCells::of(ty) {
        LongCells::Texts => Some(CutAs::Text),
        LongCells::Bytes => Some(CutAs::Bytes),
        LongCells::None | LongCells::Whole => None,
    }
}

fn refusal(layout: &RowLayout, bad: BadRow) -> Error {
    let reason = match bad.why {
        ScanFault::Framing(reason) => reason,
        ScanFault::NotText => NOT_TEXT,
        ScanFault::TooLong => "it goes on after its last column",
        ScanFault::NoRoom => "there is no memory for a cell of it",
    };
    layout.refuse_part(bad.column, reason)
}

impl RowLayout {
    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.table.loaded_columns()
    }

    /// Refuses a row of which nobody has all cells.
    fn refuse_part(&self, column: Option<usize>, reason: &str) -> Error {
        let column = column.and_then(|column| self.columns().nth(column));
        let reason = format!("the source sent a row that cannot be read: {reason}");
        let cells = vec![Value::NotSent; self.columns().count()];
        RowRefusal::unreadable(
            &self.table,
            &cells,
            column.map(|column| column.name.clone()),
            reason,
        )
        .into()
    }
}

impl PartCells for RowLayout {
    fn cell(&self, column: usize, cell: &Bytes, visit: &mut PieceVisitor<'_>) -> Result<(), Error> {
        let described = self.columns().nth(column);
        let described = described.ok_or_else(|| self.refuse_part(None, "it has more cells"))?;
        let value = cell.get(LENGTH_BYTES..).unwrap_or_default();
        let value = decode_cell(&described.ty, value);
        visit(Piece::Cell(
            value.map_err(|reason| self.refuse_part(Some(column), reason))?,
        ))
    }

    fn not_text(&self, column: usize) -> Error {
        self.refuse_part(Some(column), NOT_TEXT)
    }
}
