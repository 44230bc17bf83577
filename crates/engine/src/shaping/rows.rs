use std::sync::Arc;

use whimbrel_connector::{ChangeRows, Error, RawRows, RowAt, RowBlock, RowVisitor};

use super::Shaped;

/// A block of a load whose rows get another shape as they are decoded.
pub(crate) struct ShapedBlock {
    pub(crate) block: Box<dyn RowBlock>,
    pub(crate) shape: Arc<Shaped>,
}

impl RowBlock for ShapedBlock {
    fn row_count(&self) -> usize {
        self.block.row_count()
    }

    fn byte_count(&self) -> usize {
        self.block.byte_count()
    }

    /// Rows that pass through are in nobody's hands.
    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut scratch = String::new();
        self.block
            .decode(&mut |row| self.shape.row(row, &mut scratch, visit))
    }
}

/// The rows of one table in a block of the log.
#[derive(Debug)]
pub(crate) struct ShapedRows {
    pub(crate) rows: Arc<dyn ChangeRows>,
    pub(crate) shape: Arc<Shaped>,
    /// Whether the block's bytes are counted here, and not where its other rows are.
    pub(crate) counts_bytes: bool,
}

impl ChangeRows for ShapedRows {
    fn byte_count(&self) -> usize {
        if self.counts_bytes {
            self.rows.byte_count()
        } else {
            0
        }
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut scratch = String::new();
        self.rows
            .decode(row, &mut |row| self.shape.row(row, &mut scratch, visit))
    }
}
