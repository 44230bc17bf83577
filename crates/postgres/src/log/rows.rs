use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{ChangeRows, Error, Mutation, RowAt, RowRefusal, RowVisitor};
use whimbrel_core::{ColumnType, Table, Value};

use crate::types::{decode_cell, decode_text, scratch_bytes};

/// How the row versions of a table are read, from one description of it to the next.
#[derive(Debug)]
pub(super) struct Shape {
    table: Arc<Table>,
    columns: Vec<ShapeColumn>,
    /// Whether a column's text form is not its value.
    needs_scratch: bool,
}

#[derive(Debug)]
struct ShapeColumn {
    name: String,
    ty: ColumnType,
    /// Whether NULL means that it was not sent: columns outside the key, in a row version that is only a key.
    is_outside: bool,
}

impl Shape {
    /// A shape for whole rows, and one for keys. `is_key` says for each loaded column whether it belongs to the replica identity.
    pub(super) fn pair(table: &Table, is_key: &[bool]) -> [Arc<Self>; 2] {
        let described = Arc::new(table.clone());
        [true, false].map(|is_row| {
            let columns = table.loaded_columns().zip(is_key);
            Arc::new(Self {
                table: Arc::clone(&described),
                needs_scratch: table.loaded_columns().any(|column| {
                    matches!(column.ty, ColumnType::Blob { .. } | ColumnType::Bit { .. })
                }),
                columns: columns
                    .map(|(column, is_key)| ShapeColumn {
                        name: column.name.clone(),
                        ty: column.ty.clone(),
                        is_outside: !is_row && !is_key,
                    })
                    .collect(),
            })
        })
    }

    pub(super) fn column_count(&self) -> usize {
        self.columns.len()
    }

    fn refuse(&self, column: Option<&str>, row: &[u8], reason: &str) -> Error {
        let reason = format!("the source's log has a row that cannot be read: {reason}");
        let mut scratch = vec![0; self.scratch_bytes(row)];
        let cells = self.readable(row, &mut scratch);
        RowRefusal::unreadable(&self.table, &cells, column.map(str::to_owned), reason).into()
    }

    /// The cells of a row, of which some cannot be read: they are `NotSent`.
    fn readable<'a>(&'a self, row: &'a [u8], mut scratch: &'a mut [u8]) -> Vec<Value<'a>> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (cell, column) in Cells::of(row).zip(&self.columns) {
            let value = match cell {
                Ok(Cell::Null) if !column.is_outside => Some(Value::Null),
                Ok(Cell::Binary(bytes)) => decode_cell(&column.ty, bytes).ok(),
                Ok(Cell::Text(text)) => {
                    let bytes = scratch_bytes(&column.ty, text).min(scratch.len());
                    let (mine, rest) = scratch.split_at_mut(bytes);
                    scratch = rest;
                    decode_text(&column.ty, text, mine).ok()
                }
                Ok(Cell::Null | Cell::NotSent) | Err(_) => None,
            };
            values.push(value.unwrap_or(Value::NotSent));
        }
        values
    }

    /// The bytes of scratch space that the text cells of a row take.
    fn scratch_bytes(&self, row: &[u8]) -> usize {
        if !self.needs_scratch {
            return 0;
        }
        let cells = Cells::of(row).zip(&self.columns);
        let bytes = cells.map(|(cell, column)| match cell {
            Ok(Cell::Text(text)) => scratch_bytes(&column.ty, text),
            _ => 0,
        });
        bytes.sum()
    }

    /// `is_needed`: whether the cell in this place has to be readable; others that are not are `NotSent`.
    fn decode<'a>(
        &self,
        row: &'a [u8],
        mut scratch: &'a mut [u8],
        values: &mut Vec<Value<'a>>,
        is_needed: impl Fn(usize) -> bool,
    ) -> Result<(), Error> {
        let mut cells = Cells::of(row);
        if usize::from(cells.left) != self.columns.len() {
            return Err(self.refuse(None, &[], "it has another number of columns"));
        }
        for (place, column) in self.columns.iter().enumerate() {
            let refuse = |reason| self.refuse(Some(&column.name), row, reason);
            let cell = cells.next().unwrap_or(Err(CUT)).map_err(refuse)?;
            let value = match cell {
                Cell::Null if column.is_outside => Ok(Value::NotSent),
                Cell::Null => Ok(Value::Null),
                Cell::NotSent => Ok(Value::NotSent),
                // The reader of the stream asks for text where a type has no binary form that is known here.
                Cell::Binary(_) if matches!(column.ty, ColumnType::Native { .. }) => {
                    Err("a binary form that is not known")
                }
                Cell::Binary(bytes) => decode_cell(&column.ty, bytes),
                Cell::Text(text) => {
                    let bytes = scratch_bytes(&column.ty, text).min(scratch.len());
                    let (mine, rest) = scratch.split_at_mut(bytes);
                    scratch = rest;
                    decode_text(&column.ty, text, mine)
                }
            };
            values.push(match value {
                Err(_) if !is_needed(place) => Value::NotSent,
                value => value.map_err(refuse)?,
            });
        }
        Ok(())
    }
}

const CUT: &str = "it ends too early";

/// A column of a row version.
enum Cell<'a> {
    Null,
    NotSent,
    Binary(&'a [u8]),
    Text(&'a [u8]),
}

/// Walks over the columns of a row version.
struct Cells<'a> {
    bytes: &'a [u8],
    left: u16,
}

impl<'a> Cells<'a> {
    fn of(row: &'a [u8]) -> Self {
        let (left, bytes) = row.split_first_chunk::<2>().unwrap_or((&[0; 2], &[]));
        Self {
            bytes,
            left: u16::from_be_bytes(*left),
        }
    }

    fn cell(&mut self) -> Result<Cell<'a>, &'static str> {
        let (&kind, rest) = self.bytes.split_first().ok_or(CUT)?;
        self.bytes = rest;
        match kind {
            b'n' => return Ok(Cell::Null),
            b'u' if Mutation::NotSentIsNull.is_on() => return Ok(Cell::Null),
            b'u' => return Ok(Cell::NotSent),
            _ => {}
        }
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(CUT)?;
        self.bytes = rest;
        match kind {
            b'b' => Ok(Cell::Binary(bytes)),
            b't' => Ok(Cell::Text(bytes)),
            _ => Err("this kind of column is not known"),
        }
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Cell<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.cell())
    }
}

/// The row versions of a block, in the bytes that came from the socket.
#[derive(Default)]
pub(super) struct LogRows {
    pub(super) bytes: Bytes,
    pub(super) shapes: Arc<Vec<Arc<Shape>>>,
}

impl std::fmt::Debug for LogRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogRows({} bytes)", self.bytes.len())
    }
}

impl ChangeRows for LogRows {
    fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.decode_needed(row, |_| true, visit)
    }

    fn decode_old(
        &self,
        row: RowAt,
        key: &[usize],
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        self.decode_needed(row, |place| key.is_empty() || key.contains(&place), visit)
    }
}

impl LogRows {
    fn decode_needed(
        &self,
        row: RowAt,
        is_needed: impl Fn(usize) -> bool,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let place = (
            self.shapes.get(row.shape as usize),
            self.bytes.get(row.offset as usize..),
        );
        let (Some(shape), Some(bytes)) = place else {
            return Err(Error::Fatal(
                "a row was asked for that lies in no block of the log".to_owned(),
            ));
        };
        // Nothing is allocated for rows without bytes and bits in text form.
        let mut scratch = vec![0; shape.scratch_bytes(bytes)];
        let mut values = Vec::with_capacity(shape.columns.len());
        shape.decode(bytes, &mut scratch, &mut values, is_needed)?;
        visit(&values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use whimbrel_core::{Column, Engine, Generation, TableName};

    use super::*;

    fn column(name: &str, ty: ColumnType) -> Column {
        Column {
            name: name.to_owned(),
            ty,
            native: String::new(),
            nullable: true,
            generation: Generation::None,
            id: None,
            default: None,
        }
    }

    fn table() -> Table {
        let int = ColumnType::Int {
            bits: 32,
            unsigned: false,
        };
        Table {
            engine: Engine::Postgres,
            name: TableName::new("public", "t"),
            columns: vec![
                column("id", int),
                column("note", ColumnType::Text { bytes_max: None }),
                column("data", ColumnType::Blob { bytes_max: None }),
            ],
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

    fn decode(bytes: &[u8], shape: u32) -> Result<String, Error> {
        let rows = LogRows {
            bytes: Bytes::copy_from_slice(bytes),
            shapes: Arc::new(Shape::pair(&table(), &[true, false, false]).to_vec()),
        };
        let row = RowAt {
            shape,
            offset: 1,
            is_whole: true,
        };
        let mut text = String::new();
        rows.decode(row, &mut |values| {
            text = format!("{values:?}");
            Ok(())
        })?;
        Ok(text)
    }

    #[test]
    fn cells_come_binary_as_text_as_null_or_not_at_all() {
        let row = b"x\0\x03b\0\0\0\x04\0\0\0\x05nt\0\0\0\x06\\x00ff";
        assert_eq!(decode(row, 0).unwrap(), "[Int(5), Null, Bytes([0, 255])]");
        let row = b"x\0\x03t\0\0\0\x01-unn";
        assert!(decode(row, 0).is_err());
        let row = b"x\0\x03t\0\0\0\x015un";
        assert_eq!(decode(row, 0).unwrap(), "[Int(5), NotSent, Null]");
    }

    #[test]
    fn an_old_row_is_read_without_what_is_outside_its_key_and_cannot_be_read() {
        let old = |bytes: &'static [u8], key: &[usize]| {
            let rows = LogRows {
                bytes: Bytes::from_static(bytes),
                shapes: Arc::new(Shape::pair(&table(), &[true, false, false]).to_vec()),
            };
            let row = RowAt {
                shape: 0,
                offset: 0,
                is_whole: true,
            };
            let mut text = String::new();
            rows.decode_old(row, key, &mut |values| {
                text = format!("{values:?}");
                Ok(())
            })?;
            Ok::<String, Error>(text)
        };
        let bad_note = b"\0\x03b\0\0\0\x04\0\0\0\x05b\0\0\0\x01\xffn";
        assert_eq!(old(bad_note, &[0]).unwrap(), "[Int(5), NotSent, Null]");
        assert!(old(bad_note, &[0, 1]).is_err(), "of the key");
        assert!(old(bad_note, &[]).is_err(), "no key");
        let bad_key = b"\0\x03b\0\0\0\x02\0\x05nn";
        assert!(old(bad_key, &[0]).is_err());
        let cut = b"\0\x03b\0\0\0\x04\0\0\0\x05b\0\0\0\x09\xffn";
        assert!(old(cut, &[0]).is_err(), "what is behind is not known");
    }

    #[test]
    fn columns_outside_a_key_were_not_sent() {
        let row = b"x\0\x03b\0\0\0\x04\0\0\0\x05nn";
        assert_eq!(decode(row, 1).unwrap(), "[Int(5), NotSent, NotSent]");
        let row = b"x\0\x03nnn";
        assert_eq!(decode(row, 1).unwrap(), "[Null, NotSent, NotSent]");
    }

    #[test]
    fn another_number_of_columns_is_an_error() {
        assert!(decode(b"x\0\x02nn", 0).is_err());
        assert!(decode(b"x\0\x03nn", 0).is_err());
        assert!(decode(b"x", 0).is_err());
        assert!(decode(b"", 0).is_err());
        assert!(decode(b"x\0\x03nnn", 2).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(prop_oneof![Just(b'b'), Just(b't'), Just(0), Just(3), Just(b'\\'), any::<u8>()], 0..60)) {
            drop(decode(&bytes, 0));
            drop(decode(&bytes, 1));
        }
    }
}
