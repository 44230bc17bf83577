//! Rows of `COPY BINARY` with columns of every type.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{Piece, ReadFormat, RowBlock, RowVisitor};
use whimbrel_core::{Engine, Table, TableName};

use super::parts::PartReader;
use super::rows::{PgRows, RowLayout};
use crate::types;
use crate::wire::CopyBlock;

/// The first byte says whether the rest is CopyData messages, or one row whose framing, and whose count of columns, are put before it.
pub(crate) fn rows(data: &[u8], visit: &mut RowVisitor<'_>) {
    let Some((&is_framed, rest)) = data.split_first() else {
        return;
    };
    let table = table();
    let bytes = if is_framed & 1 == 0 {
        let count = u16::try_from(table.columns.len()).unwrap_or(u16::MAX);
        let length = u32::try_from(rest.len() + 6).unwrap_or(u32::MAX);
        let head = [b"d".as_slice(), &length.to_be_bytes(), &count.to_be_bytes()].concat();
        [head.as_slice(), rest].concat()
    } else {
        rest.to_vec()
    };
    let mut block = CopyBlock {
        bytes: Bytes::from(bytes),
        message_count: 0,
        is_part: false,
    };
    block.message_count = block.messages().count();
    let layout = Arc::new(RowLayout::new(&table, ReadFormat::Decoded));
    in_parts(rest, &layout, visit);
    let rows = PgRows { block, layout };
    for at in 0..rows.row_count().min(4) {
        rows.readable(at, visit).ok();
    }
    rows.decode(visit).ok();
}

/// The bytes of a row as they come.
fn in_parts(data: &[u8], layout: &Arc<RowLayout>, visit: &mut RowVisitor<'_>) {
    let mut parts = PartReader::default();
    let count = u16::try_from(layout.table.columns.len()).unwrap_or(u16::MAX);
    let row = [count.to_be_bytes().as_slice(), data].concat();
    for (place, bytes) in row.chunks(1 + row.len() % 97).enumerate() {
        let length = u32::try_from(bytes.len() + 4).unwrap_or(u32::MAX);
        let block = CopyBlock {
            bytes: Bytes::from([b"d".as_slice(), &length.to_be_bytes(), bytes].concat()),
            message_count: usize::from(place == 0),
            is_part: true,
        };
        let Ok(part) = parts.part(&block, layout) else {
            return;
        };
        part.pieces(&mut |piece| {
            let (Piece::Cell(value) | Piece::Begin { of: value, .. } | Piece::Part(value)) = piece;
            visit(&[value])
        })
        .ok();
    }
}

fn table() -> Table {
    let columns = types::fuzz::column_types().into_iter();
    Table {
        engine: Engine::Postgres,
        name: TableName::new("public", "t"),
        columns: columns.map(types::fuzz::column).collect(),
        primary_key: vec![0],
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    }
}
