//! Rows that go in pieces, because they are too long to be held twice, or at all.
//!
//! A row held whole by a block is cut by a [`RowCursor`]: of it only what is made for the target is held beside it. Where both ends allow it, a row
//! is not even held by the source: its blocks are parts ([`RowBlock::pieces`](crate::RowBlock::pieces)) that end wherever the bytes that have come do.

use whimbrel_core::Value;

use crate::Error;

/// A row held whole goes in pieces from this size on.
const WIDE_BYTES: usize = 4 * 1024 * 1024;
/// A cell from this size on may be cut.
const LONG_BYTES: usize = 64 * 1024;
const WINDOW_BYTES: usize = 256 * 1024;
/// Each window costs a look at the row, so that a very large one has larger windows.
const WINDOWS_MAX: usize = 32;

/// A piece of a row. The cells follow one another in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// A cell as a whole.
    Cell(Value<'a>),
    /// A long cell begins, of so many bytes. `of` is what it is, a text, a document or bytes, and all of it where the row is held whole; else it
    /// is empty.
    Begin {
        /// The value, or an empty one of its kind.
        of: Value<'a>,
        /// Bytes of the parts together.
        bytes: usize,
    },
    /// The next part of that cell: of the same kind, not empty. Texts are cut between characters.
    Part(Value<'a>),
}

/// Called with the pieces of a row.
pub type PieceVisitor<'v> = dyn FnMut(Piece<'_>) -> Result<(), Error> + Send + 'v;

/// Cuts a row that is held whole into windows, each from where the one before it ended.
#[derive(Debug)]
pub struct RowCursor {
    window_bytes: usize,
    cell: usize,
    /// Bytes of the cell that earlier windows have; 0 when it has not begun.
    offset: usize,
}

impl RowCursor {
    /// For a block that is one row, and so large that it is to go in windows.
    pub fn of(row_count: usize, byte_count: usize) -> Option<Self> {
        (row_count == 1 && byte_count >= WIDE_BYTES)
            .then(|| Self::with_windows(WINDOW_BYTES.max(byte_count / WINDOWS_MAX)))
    }

    /// With windows of about so many bytes.
    pub fn with_windows(window_bytes: usize) -> Self {
        Self {
            window_bytes,
            cell: 0,
            offset: 0,
        }
    }

    /// Hands on the next window of the row, the same one each time. `may_cut` says of which cells the bytes may go in parts. Answers whether the row
    /// is over.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn next(
        &mut self,
        row: &[Value<'_>],
        may_cut: &dyn Fn(usize, &Value<'_>) -> bool,
        visit: &mut PieceVisitor<'_>,
    ) -> Result<bool, Error> {
        let mut room = self.window_bytes;
        while let Some(value) = row.get(self.cell) {
            if room == 0 {
                return Ok(false);
            }
            match long(value).filter(|_| may_cut(self.cell, value)) {
                None => {
                    visit(Piece::Cell(*value))?;
                    room = room.saturating_sub(byte_count(value).max(1));
                }
                Some(bytes) => {
                    if self.offset == 0 {
                        visit(Piece::Begin { of: *value, bytes })?;
                    }
                    let part = part(value, self.offset, room);
                    let part_bytes = byte_count(&part);
                    visit(Piece::Part(part))?;
                    self.offset += part_bytes;
                    if self.offset < bytes {
                        return Ok(false);
                    }
                    room = room.saturating_sub(part_bytes);
                }
            }
            (self.cell, self.offset) = (self.cell + 1, 0);
        }
        Ok(true)
    }
}

/// The bytes of a value that is long.
fn long(value: &Value<'_>) -> Option<usize> {
    let bytes = byte_count(value);
    (bytes >= LONG_BYTES).then_some(bytes)
}

/// Bytes of what can be long.
fn byte_count(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

/// The part of a long value from `offset` on, of about `room` bytes and at least one character.
fn part<'v>(value: &Value<'v>, offset: usize, room: usize) -> Value<'v> {
    match *value {
        Value::Text(text) => Value::Text(text_part(text, offset, room)),
        Value::Json(text) => Value::Json(text_part(text, offset, room)),
        Value::Bytes(bytes) => {
            let end = bytes.len().min(offset + room.max(1));
            Value::Bytes(bytes.get(offset..end).unwrap_or_default())
        }
        other => other,
    }
}

fn text_part(text: &str, offset: usize, room: usize) -> &str {
    let end = text.ceil_char_boundary(offset + room.max(1));
    text.get(offset..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_any_size_are_the_row() {
        let text = "ü€x".repeat(LONG_BYTES);
        let bytes = vec![7; LONG_BYTES + 77];
        let row = [
            Value::Int(1),
            Value::Text(&text),
            Value::Null,
            Value::Bytes(&bytes),
            Value::Text("short"),
            Value::Json(&text),
        ];
        for window in [1, 1000, LONG_BYTES, 1 << 30] {
            let mut cursor = RowCursor::with_windows(window);
            let (mut whole, mut cells, mut is_over) = (Vec::new(), 0, false);
            while !is_over {
                let visit = &mut |piece: Piece<'_>| {
                    match piece {
                        Piece::Cell(_) => cells += 1,
                        Piece::Begin { of, bytes } => assert_eq!(byte_count(&of), bytes),
                        Piece::Part(Value::Text(part) | Value::Json(part)) => {
                            whole.extend_from_slice(part.as_bytes());
                        }
                        Piece::Part(Value::Bytes(part)) => whole.extend_from_slice(part),
                        Piece::Part(other) => panic!("{other:?}"),
                    }
                    Ok(())
                };
                is_over = cursor.next(&row, &|_, _| true, visit).unwrap();
            }
            assert!(whole == [text.as_bytes(), &bytes, text.as_bytes()].concat());
            assert_eq!(cells, 3);
        }
    }

    #[test]
    fn what_may_not_be_cut_comes_whole() {
        let text = "x".repeat(LONG_BYTES);
        let row = [Value::Text(&text), Value::Text(&text)];
        let mut cursor = RowCursor::with_windows(1000);
        let mut told = Vec::new();
        while !cursor
            .next(&row, &|place, _| place == 1, &mut |piece| {
                told.push(matches!(piece, Piece::Cell(_)));
                Ok(())
            })
            .unwrap()
        {}
        assert_eq!(told.iter().filter(|is_whole| **is_whole).count(), 1);
        assert!(told.len() > 60);
    }

    #[test]
    fn only_one_large_row_goes_in_windows() {
        assert!(RowCursor::of(1, WIDE_BYTES).is_some());
        assert!(RowCursor::of(2, WIDE_BYTES).is_none());
        assert!(RowCursor::of(1, WIDE_BYTES - 1).is_none());
    }
}
