use std::sync::Arc;

use whimbrel_connector::{Error, RawRows, RowBlock, RowRefusal, RowVisitor};
use whimbrel_core::Table;

use crate::types::{BadCell, RowDecoder};
use crate::wire::RowPackets;

/// What all blocks of a chunk share.
#[derive(Debug)]
pub(super) struct BlockLayout {
    pub(super) table: Table,
    pub(super) decoder: RowDecoder,
}

/// Rows in the packets of the binary protocol.
#[derive(Debug)]
pub(super) struct MysqlBlock {
    pub(super) layout: Arc<BlockLayout>,
    pub(super) packets: RowPackets,
}

impl RowBlock for MysqlBlock {
    fn row_count(&self) -> usize {
        self.packets.row_count()
    }

    fn byte_count(&self) -> usize {
        self.packets.byte_count()
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.decode_from(0, visit)
    }

    fn decode_from(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let decoder = &self.layout.decoder;
        let rows = || self.packets.iter().skip(skipped);
        let shifted = decoder.shift_bits(rows());
        let shifted = shifted.map_err(|bad| self.layout.refusal(bad, &[]))?;
        let mut shifted = shifted.iter();
        let mut values = Vec::new();
        for row in rows() {
            values.clear();
            decoder
                .decode(row, &mut shifted, &mut values)
                .map_err(|bad| self.layout.refusal(bad, row))?;
            visit(&values)?;
        }
        Ok(())
    }

    fn readable(&self, at: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let row = self.packets.iter().nth(at).unwrap_or_default();
        visit(&self.layout.decoder.readable(row))
    }
}

impl BlockLayout {
    pub(super) fn refusal(&self, bad: BadCell, row: &[u8]) -> Error {
        let mut columns = self.table.loaded_columns();
        let column = columns.nth(bad.column).map(|column| column.name.clone());
        let reason = format!("the source sent {}", bad.what);
        let cells = self.decoder.readable(row);
        RowRefusal::unreadable(&self.table, &cells, column, reason).into()
    }
}
