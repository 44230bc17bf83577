//! Rows that are encoded here.

use whimbrel_connector::{Error, TargetTable};
use whimbrel_core::{Value, write_text};

use super::{Format, OpenChunk};
use crate::types::{encode_binary, encode_text};

/// Encodes rows.
pub(super) struct RowEncoder<'a> {
    pub(super) open: &'a OpenChunk,
    pub(super) scratch: Vec<u8>,
}

impl RowEncoder<'_> {
    pub(super) fn row(&mut self, row: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
        match &self.open.format {
            Format::Binary(columns) => {
                let count = i16::try_from(row.len()).map_err(|_| {
                    Error::table(&self.open.table.source.name, "it has too many columns")
                })?;
                out.extend_from_slice(&count.to_be_bytes());
                for (index, (value, column)) in row.iter().zip(columns.iter()).enumerate() {
                    let encoded = column.limit.check(value);
                    encoded
                        .and_then(|()| encode_binary(value, column.wire, out))
                        .map_err(|reason| self.open.refuse(row, index, reason))?;
                }
            }
            Format::Text(columns) => {
                for (index, (value, column)) in row.iter().zip(columns.iter()).enumerate() {
                    if index > 0 {
                        out.push(b'\t');
                    }
                    let encoded = column.limit.check(value);
                    encoded
                        .and_then(|()| encode_text(value, column.wire, &mut self.scratch, out))
                        .map_err(|reason| self.open.refuse(row, index, reason))?;
                }
                out.push(b'\n');
            }
            Format::Raw(_) => return Err(Error::Fatal("a decoded row in a raw load".to_owned())),
        }
        Ok(())
    }
}

/// The row's key as `(a, b)`.
pub(in super::super) fn key_text(table: &TargetTable, row: &[Value<'_>]) -> Option<String> {
    let key = table.model().key_in_row();
    if key.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    for (place, column) in key.into_iter().enumerate() {
        text.extend_from_slice(if place == 0 { b"(" } else { b", " });
        write_text(row.get(column)?, &mut text);
    }
    text.push(b')');
    Some(String::from_utf8_lossy(&text).into_owned())
}
