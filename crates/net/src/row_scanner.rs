//! Takes a row apart as its bytes come, so that nobody holds all of it.
//!
//! Cells come whole, but for long ones of columns whose bytes are the value: these are handed on as they come. What of a cell or of its head has not
//! come is waited for.

use bytes::{Buf, Bytes};

use crate::LongBuffer;

/// A cell from this size on is cut, where it may be.
const CUT_BYTES: usize = 64 * 1024;
/// What is to be held until it is whole has memory of its own from this size on.
const LONG_BYTES: usize = 1024 * 1024;

/// How a protocol lays out a row: a head, and behind it cells of which each has a head of its own.
pub trait RowFraming: Send {
    /// How many cells a row has.
    fn column_count(&self) -> usize;

    /// Bytes before the first cell.
    fn head_bytes(&self) -> usize;

    /// Takes the bytes before the first cell.
    ///
    /// # Errors
    /// Why they begin no row.
    fn take_head(&mut self, head: &[u8]) -> Result<(), &'static str>;

    /// Looks at bytes that begin with a cell.
    ///
    /// # Errors
    /// Why they are none.
    fn cell(&self, column: usize, bytes: &[u8]) -> Result<CellHead, &'static str>;

    /// Whether the bytes of a column's cells may be handed on in parts, and as what.
    fn cut(&self, column: usize) -> Option<CutAs>;
}

/// What is known of a cell by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellHead {
    /// More has to come.
    Unfinished,
    /// NULL, which takes so many bytes.
    Null(usize),
    /// So many bytes before the value, and of the value.
    Value {
        /// Before the value.
        head: usize,
        /// Of the value.
        bytes: usize,
    },
}

/// What the parts of a cell are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutAs {
    /// Texts in UTF-8, which is checked: each part is one.
    Text,
    /// Byte strings.
    Bytes,
}

/// Something of a row, with the column that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The column.
    pub column: usize,
    /// What of it.
    pub what: Found,
}

/// What was found of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// NULL.
    Null,
    /// All of it, its head included.
    Cell(Bytes),
    /// A cell of so many bytes, which come in parts.
    Begin(CutAs, usize),
    /// The next part.
    Part(CutAs, Bytes),
}

/// Why bytes are no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The column at which that is seen, if it is of one.
    pub column: Option<usize>,
    /// Why.
    pub why: ScanFault,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFault {
    /// As the framing has it.
    Framing(&'static str),
    /// A text that is not in UTF-8.
    NotText,
    /// Bytes behind the last cell.
    TooLong,
    /// The system has no room for a cell that has to be held.
    NoRoom,
}

/// Scans one row.
#[derive(Debug)]
pub struct RowScanner<F> {
    framing: F,
    has_head: bool,
    /// The next cell, or the one that is being cut.
    column: usize,
    cutting: Option<Cutting>,
    held: Held,
}

#[derive(Debug)]
struct Cutting {
    is: CutAs,
    /// Bytes that have not come.
    left: usize,
    /// The beginning of a character whose end has not come.
    begun: Vec<u8>,
}

/// What has come of something that is not whole.
#[derive(Debug)]
enum Held {
    Nothing,
    Short(Vec<u8>),
    /// A cell of so many bytes, its head included.
    Long(LongBuffer, usize),
}

impl<F: RowFraming> RowScanner<F> {
    /// For the bytes of a row from its beginning on.
    pub fn new(framing: F) -> Self {
        Self {
            framing,
            has_head: false,
            column: 0,
            cutting: None,
            held: Held::Nothing,
        }
    }

    /// Whether the last cell has come.
    pub fn is_over(&self) -> bool {
        self.has_head && self.column == self.framing.column_count()
    }

    /// Takes the next bytes of the row, and appends what is found in them.
    ///
    /// # Errors
    /// Why they are none.
    pub fn feed(&mut self, bytes: Bytes, found: &mut Vec<Scanned>) -> Result<(), BadRow> {
        let mut bytes = self.behind_held(bytes, found)?;
        if !self.has_head {
            let head = self.framing.head_bytes();
            if bytes.len() < head {
                self.held = Held::Short(bytes.to_vec());
                return Ok(());
            }
            let taken = self.framing.take_head(&bytes.split_to(head));
            taken.map_err(|why| bad(None, ScanFault::Framing(why)))?;
            self.has_head = true;
        }
        while self.column < self.framing.column_count() {
            if !self.next(&mut bytes, found)? {
                return Ok(());
            }
        }
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(bad(None, ScanFault::TooLong))
        }
    }

    /// The bytes that are to be looked at: those that were held first.
    fn behind_held(&mut self, mut bytes: Bytes, found: &mut Vec<Scanned>) -> Result<Bytes, BadRow> {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => Ok(bytes),
            Held::Short(mut held) => {
                held.extend_from_slice(&bytes);
                Ok(Bytes::from(held))
            }
            Held::Long(mut buffer, whole) => {
                let count = bytes.len().min(whole - buffer.len());
                let room = buffer.extend(&bytes.split_to(count));
                room.map_err(|_| bad(Some(self.column), ScanFault::NoRoom))?;
                if buffer.len() < whole {
                    self.held = Held::Long(buffer, whole);
                } else {
                    self.push(Found::Cell(buffer.freeze()), found);
                    self.column += 1;
                }
                Ok(bytes)
            }
        }
    }

    /// Goes past a cell, or to the end of the bytes: then the answer is `false`.
    fn next(&mut self, bytes: &mut Bytes, found: &mut Vec<Scanned>) -> Result<bool, BadRow> {
        if matches!(self.held, Held::Long(..)) {
            return Ok(false);
        }
        if self.cutting.is_some() {
            return self.cut(bytes, found);
        }
        let column = self.column;
        let cell = self.framing.cell(column, bytes);
        match cell.map_err(|why| bad(Some(column), ScanFault::Framing(why)))? {
            CellHead::Unfinished => {
                self.held = Held::Short(bytes.to_vec());
                return Ok(false);
            }
            CellHead::Null(count) => {
                bytes.advance(count);
                self.push(Found::Null, found);
            }
            CellHead::Value { head, bytes: count } => {
                if let Some(is) = self.framing.cut(column)
                    && count >= CUT_BYTES
                {
                    bytes.advance(head);
                    self.push(Found::Begin(is, count), found);
                    self.cutting = Some(Cutting {
                        is,
                        left: count,
                        begun: Vec::new(),
                    });
                    return Ok(true);
                }
                let whole = head
                    .checked_add(count)
                    .ok_or_else(|| bad(Some(column), ScanFault::NoRoom))?;
                if bytes.len() < whole {
                    self.hold(bytes, whole)?;
                    return Ok(false);
                }
                self.push(Found::Cell(bytes.split_to(whole)), found);
            }
        }
        self.column += 1;
        Ok(true)
    }

    fn cut(&mut self, bytes: &mut Bytes, found: &mut Vec<Scanned>) -> Result<bool, BadRow> {
        let column = self.column;
        let Some(cutting) = &mut self.cutting else {
            return Ok(true);
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        let part = bytes.split_to(bytes.len().min(cutting.left));
        cutting.left -= part.len();
        let is = cutting.is;
        let part = match is {
            CutAs::Bytes => part,
            CutAs::Text => cutting
                .characters(part)
                .ok_or_else(|| bad(Some(column), ScanFault::NotText))?,
        };
        let is_over = cutting.left == 0;
        if !part.is_empty() {
            self.push(Found::Part(is, part), found);
        }
        if is_over {
            self.cutting = None;
            self.column += 1;
        }
        Ok(true)
    }

    fn hold(&mut self, bytes: &[u8], whole: usize) -> Result<(), BadRow> {
        let no_room = |_| bad(Some(self.column), ScanFault::NoRoom);
        self.held = if whole < LONG_BYTES {
            Held::Short(bytes.to_vec())
        } else {
            let mut buffer = LongBuffer::with_room(whole).map_err(no_room)?;
            buffer.extend(bytes).map_err(no_room)?;
            Held::Long(buffer, whole)
        };
        Ok(())
    }

    fn push(&self, what: Found, found: &mut Vec<Scanned>) {
        let column = self.column;
        found.push(Scanned { column, what });
    }
}

impl Cutting {
    /// The whole characters among the bytes that came, those that were begun before included; `None` where there is one that is none.
    fn characters(&mut self, part: Bytes) -> Option<Bytes> {
        let mut part = if self.begun.is_empty() {
            part
        } else {
            let mut whole = std::mem::take(&mut self.begun);
            whole.extend_from_slice(&part);
            Bytes::from(whole)
        };
        match std::str::from_utf8(&part) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() && self.left > 0 => {
                self.begun = part.split_off(error.valid_up_to()).to_vec();
            }
            Err(_) => return None,
        }
        Some(part)
    }
}

fn bad(column: Option<usize>, why: ScanFault) -> BadRow {
    BadRow { column, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte for the count of cells, and before each cell four for its length.
    #[derive(Debug)]
    struct Plain;

    impl RowFraming for Plain {
        fn column_count(&self) -> usize {
            4
        }

        fn head_bytes(&self) -> usize {
            1
        }

        fn take_head(&mut self, head: &[u8]) -> Result<(), &'static str> {
            (head == [4]).then_some(()).ok_or("another count")
        }

        fn cell(&self, _: usize, bytes: &[u8]) -> Result<CellHead, &'static str> {
            Ok(match bytes.first_chunk::<4>() {
                None => CellHead::Unfinished,
                Some([0xFF, ..]) => CellHead::Null(4),
                Some(length) => CellHead::Value {
                    head: 4,
                    bytes: u32::from_be_bytes(*length) as usize,
                },
            })
        }

        fn cut(&self, column: usize) -> Option<CutAs> {
            [None, Some(CutAs::Text), Some(CutAs::Bytes), None][column]
        }
    }

    fn row(cells: &[Option<&[u8]>]) -> Bytes {
        let mut row = vec![4];
        for cell in cells {
            match cell {
                None => row.extend_from_slice(&[0xFF; 4]),
                Some(cell) => {
                    let length = u32::try_from(cell.len()).unwrap();
                    row.extend_from_slice(&length.to_be_bytes());
                    row.extend_from_slice(cell);
                }
            }
        }
        Bytes::from(row)
    }

    type Cells = Vec<Option<Vec<u8>>>;

    /// The cells put together again, and whether the second and third came in parts.
    fn scan(row: &Bytes, step: usize) -> Result<(Cells, [bool; 2]), BadRow> {
        let mut scanner = RowScanner::new(Plain);
        let (mut cells, mut are_cut) = (vec![None; 4], [false; 2]);
        for from in (0..row.len()).step_by(step) {
            assert!(!scanner.is_over());
            let mut found = Vec::new();
            scanner.feed(row.slice(from..row.len().min(from + step)), &mut found)?;
            for Scanned { column, what } in found {
                match what {
                    Found::Null => cells[column] = None,
                    Found::Cell(cell) => cells[column] = Some(cell[4..].to_vec()),
                    Found::Begin(..) => {
                        are_cut[column - 1] = true;
                        cells[column] = Some(Vec::new());
                    }
                    Found::Part(is, part) => {
                        assert!(is == CutAs::Bytes || std::str::from_utf8(&part).is_ok());
                        cells[column].as_mut().unwrap().extend_from_slice(&part);
                    }
                }
            }
        }
        assert!(scanner.is_over());
        Ok((cells, are_cut))
    }

    #[test]
    fn a_row_is_the_same_however_its_bytes_come() {
        let text = "aü€😀".repeat(CUT_BYTES / 8);
        let held = vec![b'h'; 3 * LONG_BYTES];
        let cells = [
            Some(held.as_slice()),
            Some(text.as_bytes()),
            Some(held.as_slice()),
            None,
        ];
        let row = row(&cells);
        let expected: Cells = cells.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect();
        for step in [7001, 65_536, LONG_BYTES + 1, 1 << 30] {
            assert!(
                scan(&row, step) == Ok((expected.clone(), [true, true])),
                "{step}"
            );
        }
    }

    #[test]
    fn short_cells_come_whole_byte_by_byte() {
        let cells = [None, Some(b"x".as_slice()), Some(b""), Some(b"long enough")];
        let expected = cells.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect();
        assert_eq!(scan(&row(&cells), 1), Ok((expected, [false, false])));
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_column() {
        let fault = |row: &Bytes, step| scan(row, step).unwrap_err();
        let mut text = vec![b'x'; CUT_BYTES];
        text[CUT_BYTES - 1] = 0xC3;
        let cut_character = row(&[None, Some(&text), None, None]);
        assert_eq!(fault(&cut_character, 999), bad(Some(1), ScanFault::NotText));
        let mut longer = row(&[None; 4]).to_vec();
        longer.push(0);
        let longer = Bytes::from(longer);
        assert_eq!(fault(&longer, 100), bad(None, ScanFault::TooLong));
        let other = Bytes::from_static(&[5]);
        assert_eq!(
            fault(&other, 1),
            bad(None, ScanFault::Framing("another count"))
        );
    }
}
