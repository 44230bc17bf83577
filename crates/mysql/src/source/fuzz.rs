//! Rows of the binary protocol with columns of every type.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{Piece, RowBlock, RowVisitor};
use whimbrel_core::{Engine, Table, TableName};

use super::block::{BlockLayout, MysqlBlock};
use super::parts::PartReader;
use crate::types::{self, RowDecoder};
use crate::wire::{ResultColumn, RowPackets, RowPart};

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
        obstacle: None,
        notes: Vec::new(),
    };
    let decoder =
        RowDecoder::new(&table.columns, &announced).expect("each type is announced as it is");
    let layout = Arc::new(BlockLayout { table, decoder });
    in_parts(data, &layout, visit);
    let block = MysqlBlock {
        layout,
        packets: RowPackets::LongRow(Bytes::copy_from_slice(data)),
    };
    block.readable(0, visit).ok();
    block.decode(visit).ok();
}

/// The same row as it comes.
fn in_parts(data: &[u8], layout: &Arc<BlockLayout>, visit: &mut RowVisitor<'_>) {
    let mut parts = PartReader::default();
    let mut left = data.len();
    for bytes in data.chunks(1 + data.len() % 97) {
        let begins = left == data.len();
        left -= bytes.len();
        let part = RowPart {
            bytes: Bytes::copy_from_slice(bytes),
            begins,
            ends: left == 0,
        };
        let Ok(part) = parts.part(part, layout) else {
            return;
        };
        part.pieces(&mut |piece| {
            let (Piece::Cell(value) | Piece::Begin { of: value, .. } | Piece::Part(value)) = piece;
            visit(&[value])
        })
        .ok();
    }
}
