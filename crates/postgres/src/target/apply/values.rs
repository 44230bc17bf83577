use whimbrel_connector::{Error, RefusalKind, RowRefusal};
use whimbrel_core::Value;

use super::shape::{Shape, ShapeColumn};
use crate::target::load::key_text;
use crate::types::{Refused, TOO_LONG, encode_binary, encode_text_parameter};

/// Appends a value as a parameter or as an element of an array: its length and its bytes.
pub(super) fn encode(
    value: &Value<'_>,
    column: &ShapeColumn,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let actual = &column.actual;
    actual.limit.check(value)?;
    if column.is_passed_as_text {
        encode_text_parameter(value, actual.wire, scratch, out)
    } else {
        encode_binary(value, actual.wire, out)
    }
}

/// A value that the column cannot hold.
pub(super) fn refuse(shape: &Shape, cells: &[Value<'_>], column: usize, reason: Refused) -> Error {
    let table = &shape.table;
    let name = &table.columns[column].name;
    let mut refusal = RowRefusal::value(&table.source.name, name, cells[column].kind(), reason);
    if reason == TOO_LONG {
        refusal.kind = RefusalKind::TooLong;
    }
    refusal.key = key_text(table, cells);
    refusal.into()
}

/// Rows of another width would be put into the wrong columns.
pub(super) fn check_width(shape: &Shape, cells: &[Value<'_>]) -> Result<(), Error> {
    if cells.len() == shape.columns.len() {
        return Ok(());
    }
    let message = "a row with another number of cells than the target table has columns";
    Err(Error::table(&shape.table.source.name, message))
}
