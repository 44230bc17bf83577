//! Documents that MySQL takes for equal.
//!
//! MySQL writes nothing when an UPDATE changes a row to values that it takes for equal, and it takes the documents `1` and `1.0` for
//! equal. (Where another column of the row changes as well, the document is written as it is.) So where an UPDATE might meet
//! such a pair, a statement before it puts another document in the place of the old one.

use super::cells::{Cells, push_bytes_of_text, push_document, push_value};
use super::table::ApplyTable;
use crate::types::SlotKind;

/// The document in between.
const PASSING: &str = r#"["whimbrel: a document is on its way"]"#;

fn is_document(table: &ApplyTable, column: usize) -> bool {
    table.layout.slots[column].kind == SlotKind::JsonBinary
}

/// Columns of documents that were sent, and not as they were.
pub(super) fn changed<'c>(
    table: &'c ApplyTable,
    old: &'c Cells,
    new: &'c Cells,
) -> impl Iterator<Item = usize> + 'c {
    let is_same_row = std::ptr::eq(old, new);
    new.sent()
        .filter(move |&(column, cell)| {
            is_document(table, column) && (is_same_row || old.get(column) != Some(cell))
        })
        .map(|(column, _)| column)
}

/// Appends the assignment of the document in between. NULL offends the fewest constraints.
pub(super) fn push_way(table: &ApplyTable, column: usize, sql: &mut Vec<u8>) {
    sql.extend_from_slice(table.columns[column].as_bytes());
    sql.push(b'=');
    let slot = &table.layout.slots[column];
    if slot.nullable {
        sql.extend_from_slice(b"NULL");
    } else {
        push_value(slot, PASSING.as_bytes(), sql);
    }
}

/// Appends the condition that old and new document are another pair of equals.
pub(super) fn push_condition(table: &ApplyTable, column: usize, new: &Cells, sql: &mut Vec<u8>) {
    let name = table.columns[column].as_bytes();
    let mut document = Vec::new();
    push_document(new.get(column).unwrap_or_default(), &mut document);
    sql.extend_from_slice(b" AND ");
    sql.extend_from_slice(&equal_but_different(name, &document));
}

/// The condition that two documents are equal and not the same.
pub(super) fn equal_but_different(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut sql = [one, b" = ", other, b" AND "].concat();
    push_bytes_of_text(one, &mut sql);
    sql.extend_from_slice(b" <> ");
    push_bytes_of_text(other, &mut sql);
    sql
}

/// The assignments and conditions for a set of rows, for each column of documents among `columns`.
pub(super) fn ways_of_set(
    table: &ApplyTable,
    columns: &[usize],
) -> impl Iterator<Item = (String, String)> {
    let documents = columns
        .iter()
        .filter(|&&column| is_document(table, column) && !table.key().contains(&column));
    documents.map(|&column| {
        let name = &table.columns[column];
        let mut way = b"t.".to_vec();
        push_way(table, column, &mut way);
        let condition = equal_but_different(
            format!("t.{name}").as_bytes(),
            format!("s.{name}").as_bytes(),
        );
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(way), text(condition))
    })
}

/// What a row without a key looks like on its way.
pub(super) struct Passing {
    pub(super) new: Cells,
    pub(super) old: Cells,
}

/// The way of a row that is found by all its cells, when nothing but documents changes.
pub(super) fn passing(table: &ApplyTable, old: &Cells, new: &Cells) -> Option<Passing> {
    let documents: Vec<usize> = changed(table, old, new).collect();
    let others = new
        .sent()
        .any(|(column, cell)| !is_document(table, column) && old.get(column) != Some(cell));
    if documents.is_empty() || others {
        return None;
    }
    let put = |cells: &Cells| {
        let mut cells = cells.clone();
        for &column in &documents {
            cells.set(column, PASSING.as_bytes());
        }
        cells
    };
    Some(Passing {
        new: put(new),
        old: put(old),
    })
}
