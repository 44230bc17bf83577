//! Rows of the binary protocol with columns of every type.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{RowBlock, RowVisitor};
use whimbrel_core::{Engine, Table, TableName};

use super::block::{BlockLayout, MysqlBlock};
use crate::types::{self, RowDecoder};
use crate::wire::{ResultColumn, RowPackets};

/// A packet that is one row.
pub(crate) fn rows(data: &[u8], visit: &mut RowVisitor<'_>) {
    let described = types::fuzz::columns();
    let announced: Vec<ResultColumn> = described
        .iter()
        .map(|(column, kind)| ResultColumn {
            name: column.name.clone(),
            kind: *kind,
            is_unsigned: column.native.contains("unsigned"),
        })
        .collect();
    let table = Table {
        engine: Engine::MySql,
        name: TableName::new("s", "t"),
        columns: described.into_iter().map(|(column, _)| column).collect(),
        primary_key: vec![0],
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        notes: Vec::new(),
    };
    let decoder =
        RowDecoder::new(&table.columns, &announced).expect("each type is announced as it is");
    let block = MysqlBlock {
        layout: Arc::new(BlockLayout { table, decoder }),
        packets: RowPackets::LongRow(Bytes::copy_from_slice(data)),
    };
    block.readable(0, visit).ok();
    block.decode(visit).ok();
}
