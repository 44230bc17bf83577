//! The cells of a row as LOAD DATA reads them, and as parts of statements.
//!
//! In the text that LOAD DATA reads, backslash, tab, line feed and zero are escaped, in a form that means the same in a string
//! literal. So a cell becomes a literal by quotes around it and the doubling of quotes inside, and both ways of writing
//! a value are the same way.

use whimbrel_connector::Error;
use whimbrel_core::Value;

use super::super::layout::Layout;
use super::table::ApplyTable;
use crate::types::{Slot, SlotKind, unescape};

/// NULL, as LOAD DATA reads it. No text is written like this: its backslash would be doubled.
pub(super) const NULL: &[u8] = b"\\N";
/// Digits of the largest number of 64 bits, with its sign. Longer ones are left to the server to judge, as text.
const INTEGER_CHARS_MAX: usize = 20;

/// Some cells of one row, by their columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    text: Vec<u8>,
    /// For each column of the table: where its cell lies, if it was sent.
    spans: Vec<Option<(usize, usize)>>,
}

impl Cells {
    /// Takes the cells of a decoded row.
    pub(super) fn fill(&mut self, layout: &Layout, values: &[Value<'_>]) -> Result<(), Error> {
        layout.check_width(values)?;
        self.text.clear();
        self.spans.clear();
        for (column, value) in values.iter().enumerate() {
            if matches!(value, Value::NotSent) {
                self.spans.push(None);
                continue;
            }
            let start = self.text.len();
            layout.encode_at(values, column, &mut self.text)?;
            self.spans.push(Some((start, self.text.len())));
        }
        Ok(())
    }

    /// Takes the cells of a line of text that holds some columns.
    pub(super) fn fill_from_line(&mut self, width: usize, columns: &[usize], line: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(line);
        self.spans.clear();
        self.spans.resize(width, None);
        let mut start = 0;
        for (cell, &column) in line.split(|&byte| byte == b'\t').zip(columns) {
            self.spans[column] = Some((start, start + cell.len()));
            start += cell.len() + 1;
        }
    }

    /// The cell of a column, if it was sent.
    pub(super) fn get(&self, column: usize) -> Option<&[u8]> {
        let (start, end) = (*self.spans.get(column)?)?;
        self.text.get(start..end)
    }

    /// Puts another cell in a column's place.
    pub(super) fn set(&mut self, column: usize, cell: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(cell);
        if let Some(span) = self.spans.get_mut(column) {
            *span = Some((start, self.text.len()));
        }
    }

    /// The columns that were sent, with their cells.
    pub(super) fn sent(&self) -> impl Iterator<Item = (usize, &[u8])> {
        (0..self.spans.len()).filter_map(|column| Some((column, self.get(column)?)))
    }

    /// Appends the row as a line of all columns, with NULL for what was not sent, for messages.
    pub(super) fn append_line(&self, out: &mut Vec<u8>) {
        for column in 0..self.spans.len() {
            if column > 0 {
                out.push(b'\t');
            }
            out.extend_from_slice(self.get(column).unwrap_or(NULL));
        }
        out.push(b'\n');
    }
}

/// Appends a cell as a value to be stored.
pub(super) fn push_value(slot: &Slot, cell: &[u8], out: &mut Vec<u8>) {
    match slot.kind {
        _ if cell == NULL => out.extend_from_slice(b"NULL"),
        SlotKind::Int if cell.len() <= INTEGER_CHARS_MAX => out.extend_from_slice(cell),
        SlotKind::Bytes | SlotKind::Binary(_) | SlotKind::Bit(_) | SlotKind::Geometry => {
            push_bytes(cell, out);
        }
        // As text, so that the server reads it as it reads LOAD DATA.
        _ => push_text(cell, out),
    }
}

/// Appends a condition that finds the row by a cell of its key, over an index.
pub(super) fn push_key_condition(
    table: &ApplyTable,
    column: usize,
    cell: &[u8],
    out: &mut Vec<u8>,
) {
    let slot = &table.layout.slots[column];
    let name = table.columns[column].as_bytes();
    out.extend_from_slice(name);
    out.extend_from_slice(b" = ");
    push_operand(slot, cell, out);
    if !table.is_exact[column] {
        out.extend_from_slice(b" AND ");
        push_bytes_of_text(name, out);
        out.extend_from_slice(b" = ");
        push_bytes(cell, out);
    }
}

/// Appends a condition that holds for rows with exactly this cell, NULL included, without regard to indexes.
pub(super) fn push_cell_condition(
    table: &ApplyTable,
    column: usize,
    cell: &[u8],
    out: &mut Vec<u8>,
) {
    let slot = &table.layout.slots[column];
    let name = table.columns[column].as_bytes();
    match slot.kind {
        // Some types of bytes (geometries, vectors) cannot be compared as they are.
        SlotKind::Bytes | SlotKind::Binary(_) | SlotKind::Geometry => {
            out.extend_from_slice(b"HEX(");
            out.extend_from_slice(name);
            out.extend_from_slice(b") <=> ");
            push_hex(cell, out);
        }
        _ if cell == NULL => {
            // Not IS NULL, which some zero dates are as well.
            out.extend_from_slice(name);
            out.extend_from_slice(b" <=> NULL");
        }
        SlotKind::Char
        | SlotKind::Text
        | SlotKind::Enum(_)
        | SlotKind::Set(_)
        | SlotKind::JsonText
        | SlotKind::Uuid
        | SlotKind::Native => {
            push_bytes_of_text(name, out);
            out.extend_from_slice(b" <=> ");
            push_bytes(cell, out);
        }
        SlotKind::JsonBinary => {
            // Documents are compared in the one form that the server gives them; compared as documents, 1 would equal 1.0.
            push_bytes_of_text(name, out);
            out.extend_from_slice(b" <=> ");
            let mut document = Vec::new();
            push_document(cell, &mut document);
            push_bytes_of_text(&document, out);
        }
        _ => {
            out.extend_from_slice(name);
            out.extend_from_slice(b" <=> ");
            push_operand(slot, cell, out);
        }
    }
}

/// Appends the bytes of a cell as the server's HEX writes them.
fn push_hex(cell: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if cell == NULL {
        out.extend_from_slice(b"NULL");
        return;
    }
    out.push(b'\'');
    for byte in unescape(cell) {
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        out.extend_from_slice(&[DIGITS[high], DIGITS[low]]);
    }
    out.push(b'\'');
}

/// Appends a cell as a value to compare the column with: a literal of the column's own kind, so that the comparison is exact and
/// may use an index.
fn push_operand(slot: &Slot, cell: &[u8], out: &mut Vec<u8>) {
    match slot.kind {
        SlotKind::Int | SlotKind::Decimal | SlotKind::Float32 | SlotKind::Float64 => {
            out.extend_from_slice(cell);
        }
        SlotKind::Bit(_) => {
            let number = unescape(cell)
                .iter()
                .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
            out.extend_from_slice(number.to_string().as_bytes());
        }
        SlotKind::Bytes | SlotKind::Binary(_) | SlotKind::Geometry => push_bytes(cell, out),
        _ => push_text(cell, out),
    }
}

/// Appends a cell as a JSON document.
pub(super) fn push_document(cell: &[u8], out: &mut Vec<u8>) {
    if cell == NULL {
        out.extend_from_slice(b"NULL");
        return;
    }
    out.extend_from_slice(b"CAST(");
    push_text(cell, out);
    out.extend_from_slice(b" AS JSON)");
}

/// The bytes of a text in UTF-8: what tells apart what a collation takes for equal.
pub(super) fn push_bytes_of_text(expression: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"CAST(CONVERT(");
    out.extend_from_slice(expression);
    out.extend_from_slice(b" USING utf8mb4) AS BINARY)");
}

fn push_bytes(cell: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"_binary");
    push_text(cell, out);
}

/// In quotes. Backslashes in a cell always begin an escape that means the same here.
fn push_text(cell: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    let mut rest = cell;
    while let Some(at) = memchr::memchr(b'\'', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'\'');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::ColumnType;

    fn value(kind: SlotKind, cell: &[u8]) -> String {
        let slot = Slot::for_test(kind, ColumnType::Text { bytes_max: None });
        let mut out = Vec::new();
        push_value(&slot, cell, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_become_literals_that_cannot_be_left() {
        assert_eq!(value(SlotKind::Text, b"it's"), "'it''s'");
        assert_eq!(
            value(SlotKind::Text, br"\\' or 1=1 -- "),
            r"'\\'' or 1=1 -- '"
        );
        assert_eq!(value(SlotKind::Text, NULL), "NULL");
        assert_eq!(value(SlotKind::Text, br"\\N"), r"'\\N'");
        assert_eq!(value(SlotKind::Int, b"-5"), "-5");
        assert_eq!(value(SlotKind::Bytes, br"\0'"), r"_binary'\0'''");
        assert_eq!(value(SlotKind::Int, &[b'9'; 40]).len(), 42);
    }

    #[test]
    fn cells_of_a_line_are_found_by_their_columns() {
        let mut cells = Cells::default();
        cells.fill_from_line(4, &[2, 0], b"a\\tb\tc");
        assert_eq!(cells.get(2), Some(&b"a\\tb"[..]));
        assert_eq!(cells.get(0), Some(&b"c"[..]));
        assert_eq!((cells.get(1), cells.get(9)), (None, None));
        let mut line = Vec::new();
        cells.append_line(&mut line);
        assert_eq!(line, b"c\t\\N\ta\\tb\t\\N\n");
    }
}
