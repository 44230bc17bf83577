//! Rows that go in pieces, because they are too long to be held twice, or at all.
//!
//! A row held whole by a block is cut by a [`RowCursor`]: of it only what is made for the target is held beside it. Where both ends allow it, a row
//! is not even held by the source: its blocks are parts ([`RowBlock::pieces`]) that end wherever the bytes that have come do.

use whimbrel_core::{ColumnType, Value};

use crate::{Error, RowBlock};

/// A row held whole goes in pieces from this size on.
const WIDE_BYTES: usize = 4 * 1024 * 1024;
/// A cell from this size on may be cut.
const LONG_BYTES: usize = 64 * 1024;
const WINDOW_BYTES: usize = 256 * 1024;
/// The most characters of a column whose cells count as short: a row of them costs little, held or not.
const SHORT_CHARS_MAX: u32 = 64 * 1024;
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

/// How long cells of a column come where rows come in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongCells {
    /// There are none that are worth a cut.
    None,
    /// Cut, as [`Value::Text`]; a document too.
    Texts,
    /// Cut, as [`Value::Bytes`].
    Bytes,
    /// Whole: what is sent is not what is written, or has to be looked at as a whole.
    Whole,
}

impl LongCells {
    /// Those of a type: what every source that gives rows in parts keeps to, and every target that takes them reckons with.
    pub fn of(ty: &ColumnType) -> Self {
        match ty {
            ColumnType::Text { .. }
            | ColumnType::Varchar { length: None }
            | ColumnType::Json { binary: false }
            | ColumnType::Native { .. } => Self::Texts,
            ColumnType::Blob { .. } | ColumnType::Geometry { .. } => Self::Bytes,
            ColumnType::Varchar {
                length: Some(length),
            } if *length > SHORT_CHARS_MAX => Self::Texts,
            ColumnType::Char { length } if *length > SHORT_CHARS_MAX => Self::Whole,
            ColumnType::Json { binary: true } | ColumnType::Bit { length: None, .. } => Self::Whole,
            _ => Self::None,
        }
    }

    /// Whether any of these comes in parts, and whether all that do not are short: otherwise rows are better held whole once than some cells of theirs
    /// several times.
    pub fn are_cut(mut all: impl Iterator<Item = Self> + Clone) -> bool {
        let is_cut = |long| matches!(long, Self::Texts | Self::Bytes);
        all.clone().any(is_cut) && all.all(|long| long != Self::Whole)
    }
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
    /// For a block that is one row, and so large that it is to go in windows. One that is another row at each look goes whole.
    pub fn of(block: &dyn RowBlock) -> Option<Self> {
        let byte_count = block.byte_count();
        (block.row_count() == 1 && byte_count >= WIDE_BYTES && block.is_repeatable())
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
    use crate::{RawRows, RowVisitor};

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

    /// Rows, their bytes, and whether they are the same at each look.
    struct Rows(usize, usize, bool);

    impl RowBlock for Rows {
        fn row_count(&self) -> usize {
            self.0
        }

        fn byte_count(&self) -> usize {
            self.1
        }

        fn raw(&self) -> Option<RawRows<'_>> {
            None
        }

        fn decode(&self, _: &mut RowVisitor<'_>) -> Result<(), Error> {
            Ok(())
        }

        fn is_repeatable(&self) -> bool {
            self.2
        }
    }

    #[test]
    fn only_one_large_row_that_stays_the_same_goes_in_windows() {
        assert!(RowCursor::of(&Rows(1, WIDE_BYTES, true)).is_some());
        assert!(RowCursor::of(&Rows(2, WIDE_BYTES, true)).is_none());
        assert!(RowCursor::of(&Rows(1, WIDE_BYTES - 1, true)).is_none());
        assert!(RowCursor::of(&Rows(1, WIDE_BYTES, false)).is_none());
    }

    #[test]
    fn a_column_that_may_be_long_and_comes_whole_keeps_rows_from_being_cut() {
        let text = LongCells::of(&ColumnType::Text { bytes_max: None });
        let document = LongCells::of(&ColumnType::Json { binary: true });
        let number = LongCells::of(&ColumnType::Float64);
        let are_cut = |all: &[LongCells]| LongCells::are_cut(all.iter().copied());
        assert!(are_cut(&[number, text]));
        assert!(!are_cut(&[text, document]));
        assert!(!are_cut(&[number]));
    }
}
