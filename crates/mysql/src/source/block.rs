use std::sync::Arc;

use whimbrel_connector::{Error, RawRows, RefusalKind, RowBlock, RowRefusal, RowVisitor};
use whimbrel_core::TableName;

use crate::types::RowDecoder;
use crate::wire::RowPackets;

/// What all blocks of a chunk share.
#[derive(Debug)]
pub(super) struct BlockLayout {
    pub(super) table: TableName,
    /// Names of the columns, in the order of the cells.
    pub(super) columns: Vec<String>,
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
        let BlockLayout {
            table,
            columns,
            decoder,
        } = &*self.layout;
        let refuse = |bad: crate::types::BadCell| {
            Error::from(RowRefusal {
                table: table.clone(),
                key: None,
                column: columns.get(bad.column).cloned(),
                kind: RefusalKind::Value,
                reason: format!("the source sent {}", bad.what),
            })
        };
        let shifted = decoder.shift_bits(self.packets.iter()).map_err(refuse)?;
        let mut shifted = shifted.iter();
        let mut values = Vec::with_capacity(columns.len());
        for row in self.packets.iter() {
            values.clear();
            decoder
                .decode(row, &mut shifted, &mut values)
                .map_err(refuse)?;
            visit(&values)?;
        }
        Ok(())
    }
}
