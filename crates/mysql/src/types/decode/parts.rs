//! Rows whose bytes are taken apart as they come.

use whimbrel_connector::LongCells;
use whimbrel_core::{Column, Value};
use whimbrel_net::{CellHead, CutAs, RowFraming};

use super::{Cell, RowDecoder, decode_cell, shift};
use crate::wire::Reader;

/// A row of the binary protocol: a zero, a bit for each NULL, and the other cells.
#[derive(Debug)]
pub(crate) struct BinaryRow {
    cells: Vec<Cell>,
    cuts: Vec<Option<CutAs>>,
    nulls: Vec<u8>,
}

impl RowDecoder {
    /// How the cells of a row are found in its bytes.
    pub(crate) fn framing<'a>(&self, columns: impl Iterator<Item = &'a Column>) -> BinaryRow {
        let cuts = columns.zip(&self.cells).map(|(column, cell)| {
            match (LongCells::of(&column.ty), cell) {
                (LongCells::Texts, Cell::Text | Cell::Json) => Some(CutAs::Text),
                (LongCells::Bytes, Cell::Bytes) => Some(CutAs::Bytes),
                _ => None,
            }
        });
        BinaryRow {
            cuts: cuts.collect(),
            cells: self.cells.clone(),
            nulls: Vec::new(),
        }
    }

    /// Decodes one cell, and hands it to `visit`.
    ///
    /// # Errors
    /// Why it is none of its column, or what `visit` answers.
    pub(crate) fn decode_one<E: From<&'static str>>(
        &self,
        column: usize,
        bytes: &[u8],
        visit: impl FnOnce(Value<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let cell = *self.cells.get(column).ok_or("more cells than columns")?;
        let moved = match cell {
            Cell::Bits(length) => {
                let bits = Reader::new(bytes).counted().map_err(super::cut_short)?;
                Some(shift(bits, length))
            }
            _ => None,
        };
        let mut reader = Reader::new(bytes);
        visit(decode_cell(cell, &mut reader, &mut moved.iter())?)
    }
}

impl RowFraming for BinaryRow {
    fn column_count(&self) -> usize {
        self.cells.len()
    }

    fn head_bytes(&self) -> usize {
        1 + (self.cells.len() + 2).div_ceil(8)
    }

    fn take_head(&mut self, head: &[u8]) -> Result<(), &'static str> {
        match head.split_first() {
            Some((0, nulls)) => {
                self.nulls = nulls.to_vec();
                Ok(())
            }
            _ => Err("it is no row of the binary protocol"),
        }
    }

    fn cell(&self, column: usize, bytes: &[u8]) -> Result<CellHead, &'static str> {
        let bit = column + 2;
        if self
            .nulls
            .get(bit / 8)
            .is_some_and(|byte| byte & 1 << (bit % 8) != 0)
        {
            return Ok(CellHead::Null(0));
        }
        let fixed = |bytes| CellHead::Value { head: 0, bytes };
        Ok(match self.cells.get(column) {
            Some(Cell::Int8 | Cell::UInt8) => fixed(1),
            Some(Cell::Int16 | Cell::UInt16) => fixed(2),
            Some(Cell::Int32 | Cell::UInt32 | Cell::Float32) => fixed(4),
            Some(Cell::Int64 | Cell::UInt64 | Cell::Float64) => fixed(8),
            _ => counted(bytes)?,
        })
    }

    fn cut(&self, column: usize) -> Option<CutAs> {
        self.cuts.get(column).copied().flatten()
    }
}

/// A cell with its length before it, which has one to nine bytes.
fn counted(bytes: &[u8]) -> Result<CellHead, &'static str> {
    let head = match bytes.first() {
        None => return Ok(CellHead::Unfinished),
        Some(0xFC) => 3,
        Some(0xFD) => 4,
        Some(0xFE) => 9,
        Some(_) => 1,
    };
    let Some(length) = bytes.get(..head) else {
        return Ok(CellHead::Unfinished);
    };
    let length = Reader::new(length).length();
    let length = length.ok().flatten().ok_or(super::CUT_SHORT)?;
    Ok(CellHead::Value {
        head,
        bytes: length,
    })
}
