//! Statements for single rows, sent many at a time.

use std::ops::Range;
use std::sync::Arc;

use whimbrel_connector::{Error, RefusalKind, RowRefusal};

use super::cells::{Cells, push_cell_condition, push_key_condition, push_value};
use super::json;
use super::table::ApplyTable;

/// One packet holds about so much: a round trip per so many bytes costs nothing to speak of.
const PART_BYTES: usize = 256 * 1024;
/// Inserted rows are joined into statements of about so many bytes.
const INSERT_BYTES: usize = 64 * 1024;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepKind {
    Insert,
    Update,
    Delete,
    /// Makes way for the UPDATE after it, see [`super::json`]; its count is of no interest.
    MakeWay,
}

/// One statement.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) table: Arc<ApplyTable>,
    pub(super) kind: StepKind,
    /// The caller's numbers of the rows that it writes: many for an INSERT only.
    pub(super) rows: Range<usize>,
    /// Where its text lies.
    pub(super) sql: Range<usize>,
}

/// Statements in order.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) sql: Vec<u8>,
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// A row comes. Consecutive rows of one table share a statement.
    pub(super) fn insert(
        &mut self,
        table: &Arc<ApplyTable>,
        cells: &Cells,
        row: usize,
    ) -> Result<(), Error> {
        let joined = self.steps.last_mut().filter(|last| {
            last.kind == StepKind::Insert
                && Arc::ptr_eq(&last.table, table)
                && last.sql.len() < INSERT_BYTES
        });
        let start = self.sql.len();
        if joined.is_some() {
            self.sql.push(b',');
        } else {
            self.sql.extend_from_slice(table.insert.as_bytes());
        }
        self.sql.push(b'(');
        for (column, slot) in table.layout.slots.iter().enumerate() {
            if column > 0 {
                self.sql.push(b',');
            }
            let cell = cells
                .get(column)
                .ok_or_else(|| not_sent(table, column, "this part of a new row"))?;
            push_value(slot, cell, &mut self.sql);
        }
        self.sql.push(b')');
        let end = self.sql.len();
        match joined {
            Some(last) => {
                last.sql.end = end;
                last.rows.end = row + 1;
            }
            None => self.push(table, StepKind::Insert, row, start),
        }
        Ok(())
    }

    /// The row that `old` tells changes to what was sent of `new`.
    pub(super) fn update(
        &mut self,
        table: &Arc<ApplyTable>,
        old: &Cells,
        new: &Cells,
        row: usize,
    ) -> Result<(), Error> {
        if !table.key().is_empty() {
            for column in json::changed(table, old, new) {
                let start = self.sql.len();
                push_update(table, &mut self.sql);
                json::push_way(table, column, &mut self.sql);
                push_where(table, old, new, &mut self.sql)?;
                json::push_condition(table, column, new, &mut self.sql);
                self.push(table, StepKind::MakeWay, row, start);
            }
        } else if let Some(passing) = json::passing(table, old, new) {
            self.plain_update(table, old, &passing.new, row, StepKind::MakeWay)?;
            return self.plain_update(table, &passing.old, new, row, StepKind::Update);
        }
        self.plain_update(table, old, new, row, StepKind::Update)
    }

    fn plain_update(
        &mut self,
        table: &Arc<ApplyTable>,
        old: &Cells,
        new: &Cells,
        row: usize,
        kind: StepKind,
    ) -> Result<(), Error> {
        let start = self.sql.len();
        let sql = &mut self.sql;
        push_update(table, sql);
        let mut separator: &[u8] = b"";
        for (column, cell) in new.sent() {
            if table.key().contains(&column) && old.get(column) == Some(cell) {
                continue;
            }
            sql.extend_from_slice(separator);
            sql.extend_from_slice(table.columns[column].as_bytes());
            sql.push(b'=');
            push_value(&table.layout.slots[column], cell, sql);
            separator = b",";
        }
        let kept = table
            .self_updating
            .iter()
            .filter(|&&column| new.get(column).is_none());
        for &column in kept {
            sql.extend_from_slice(separator);
            push_itself(table, column, sql);
            separator = b",";
        }
        if separator.is_empty() {
            // Nothing changes, but the row must be there.
            push_itself(table, table.key().first().copied().unwrap_or(0), sql);
        }
        push_where(table, old, new, sql)?;
        if table.key().is_empty() {
            sql.extend_from_slice(b" LIMIT 1");
        }
        self.push(table, kind, row, start);
        Ok(())
    }

    /// The row that `old` tells goes.
    pub(super) fn delete(
        &mut self,
        table: &Arc<ApplyTable>,
        old: &Cells,
        row: usize,
    ) -> Result<(), Error> {
        let start = self.sql.len();
        self.sql.extend_from_slice(b"DELETE FROM ");
        self.sql.extend_from_slice(table.name.as_bytes());
        push_where(table, old, old, &mut self.sql)?;
        if table.key().is_empty() {
            self.sql.extend_from_slice(b" LIMIT 1");
        }
        self.push(table, StepKind::Delete, row, start);
        Ok(())
    }

    /// All rows go.
    pub(super) fn empty(&mut self, table: &Arc<ApplyTable>, row: usize) {
        let start = self.sql.len();
        self.sql.extend_from_slice(b"DELETE FROM ");
        self.sql.extend_from_slice(table.name.as_bytes());
        self.push(table, StepKind::Delete, row, start);
    }

    fn push(&mut self, table: &Arc<ApplyTable>, kind: StepKind, row: usize, start: usize) {
        self.steps.push(Step {
            table: Arc::clone(table),
            kind,
            rows: row..row + 1,
            sql: start..self.sql.len(),
        });
    }

    /// How many steps from `first` on fit a packet: at least one.
    pub(super) fn part(&self, first: usize) -> Range<usize> {
        let start = self.steps[first].sql.start;
        let rest = self.steps[first + 1..].iter();
        let more = rest
            .take_while(|step| step.sql.end - start <= PART_BYTES)
            .count();
        first..first + 1 + more
    }
}

fn push_update(table: &ApplyTable, sql: &mut Vec<u8>) {
    sql.extend_from_slice(b"UPDATE ");
    sql.extend_from_slice(table.name.as_bytes());
    sql.extend_from_slice(b" SET ");
}

fn push_itself(table: &ApplyTable, column: usize, sql: &mut Vec<u8>) {
    let name = table.columns[column].as_bytes();
    sql.extend_from_slice(name);
    sql.push(b'=');
    sql.extend_from_slice(name);
}

/// Finds the row by its key, or without one by everything that was sent. A key's cell missing from the old row did not change.
fn push_where(
    table: &ApplyTable,
    old: &Cells,
    new: &Cells,
    sql: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut separator: &[u8] = b" WHERE ";
    for &column in table.key() {
        let cell = old.get(column).or_else(|| new.get(column));
        let cell = cell.ok_or_else(|| not_sent(table, column, "this part of the key"))?;
        sql.extend_from_slice(separator);
        push_key_condition(table, column, cell, sql);
        separator = b" AND ";
    }
    if !table.key().is_empty() {
        return Ok(());
    }
    for (column, cell) in old.sent() {
        sql.extend_from_slice(separator);
        push_cell_condition(table, column, cell, sql);
        separator = b" AND ";
    }
    if separator == b" WHERE " {
        return Err(Error::table(
            &table.layout.source,
            "it has no key, and the source did not send the old row; give it a key or let the source log whole rows",
        ));
    }
    Ok(())
}

/// The refusal of a row without a cell that it must have.
pub(super) fn not_sent(table: &ApplyTable, column: usize, what: &str) -> Error {
    RowRefusal {
        table: table.layout.source.clone(),
        key: None,
        column: Some(table.layout.slots[column].name.clone()),
        kind: RefusalKind::Value,
        reason: format!("the source did not send {what}"),
    }
    .into()
}
