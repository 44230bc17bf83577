//! Rows turned into columns: each column of a batch is one array parameter.

use whimbrel_connector::Error;
use whimbrel_core::Value;

use super::shape::{Shape, TEXT_OID};
use super::sql::Statement;
use super::{too_long, values};
use crate::types::{Refused, WireType, encode_binary};
use crate::wire::{FORMAT_BINARY, Pipeline};

/// Rows of one kind, column by column.
#[derive(Debug)]
pub(super) struct Batch {
    /// Which columns are taken.
    columns: Vec<usize>,
    /// The elements of each column's array.
    elements: Vec<Vec<u8>>,
    /// Which columns of each row were sent, as elements of an array of `bytea`.
    masks: Option<Vec<u8>>,
    row_count: i32,
    scratch: Vec<u8>,
}

impl Batch {
    pub(super) fn new(columns: Vec<usize>, is_masked: bool) -> Self {
        Self {
            elements: vec![Vec::new(); columns.len()],
            columns,
            masks: is_masked.then(Vec::new),
            row_count: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.row_count == 0
    }

    /// Takes a row. On error, which names the column, the batch is of no use any more.
    pub(super) fn push(
        &mut self,
        shape: &Shape,
        cells: &[Value<'_>],
    ) -> Result<(), (usize, Refused)> {
        for (&column, out) in self.columns.iter().zip(&mut self.elements) {
            let value = match cells[column] {
                Value::NotSent if self.masks.is_some() && !shape.is_key(column) => Value::Null,
                value => value,
            };
            values::encode(&value, &shape.columns[column], &mut self.scratch, out)
                .map_err(|reason| (column, reason))?;
        }
        if let Some(masks) = &mut self.masks {
            let mut mask = vec![0; cells.len().div_ceil(8)];
            for (column, value) in cells.iter().enumerate() {
                if !matches!(value, Value::NotSent) {
                    mask[column / 8] |= 1 << (column % 8);
                }
            }
            encode_binary(&Value::Bytes(&mask), WireType::Bytea, masks)
                .map_err(|reason| (0, reason))?;
        }
        self.row_count += 1;
        Ok(())
    }

    /// Bytes held.
    pub(super) fn byte_count(&self) -> usize {
        let masks = self.masks.as_ref().map_or(0, Vec::len);
        self.elements.iter().map(Vec::len).sum::<usize>() + masks
    }

    /// Executes a prepared statement with the rows, and empties the batch.
    pub(super) fn execute(
        &mut self,
        shape: &Shape,
        name: &str,
        statement: &Statement,
        pipeline: &mut Pipeline,
    ) -> Result<(), Error> {
        debug_assert_eq!(
            statement.parameters, self.columns,
            "a column for each parameter"
        );
        let formats = statement.types.iter().map(|_| FORMAT_BINARY);
        let bind = pipeline.begin_bind(name, formats);
        for (&column, elements) in self.columns.iter().zip(&mut self.elements) {
            let column = &shape.columns[column];
            let oid = if column.is_passed_as_text {
                TEXT_OID
            } else {
                column.oid
            };
            push_array(oid, self.row_count, elements, pipeline.body())?;
        }
        if let Some(masks) = &mut self.masks {
            push_array(BYTEA_OID, self.row_count, masks, pipeline.body())?;
        }
        self.row_count = 0;
        pipeline.end_bind_and_execute(bind).map_err(too_long)
    }
}

const BYTEA_OID: u32 = 17;

/// Appends a parameter: an array of one dimension in its binary form (`array_recv` in `arrayfuncs.c`). Empties the elements.
fn push_array(
    oid: u32,
    row_count: i32,
    elements: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    const HEADER_BYTES: usize = 20;
    let length = i32::try_from(elements.len() + HEADER_BYTES)
        .map_err(|_| Error::Fatal("a batch of changes is longer than 1 GiB".to_owned()))?;
    out.extend_from_slice(&length.to_be_bytes());
    // Dimensions; whether NULLs may come; type of the elements; their count; the first one's number.
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&oid.to_be_bytes());
    out.extend_from_slice(&row_count.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.append(elements);
    Ok(())
}
