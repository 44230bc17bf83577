//! Changes one after another.

use std::sync::Arc;

use whimbrel_connector::{Error, RowAt, SingleChange, SingleKind};
use whimbrel_core::Value;

use super::MysqlApplier;
use super::cells::Cells;
use super::script::{Script, Step, StepKind};
use super::table::ApplyTable;
use crate::target::verdict;

impl MysqlApplier {
    pub(super) async fn single(&mut self, changes: &[SingleChange<'_>]) -> Result<Vec<u64>, Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut tables: Vec<Arc<ApplyTable>> = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            // Most changes are of the table of the one before.
            let same = index
                .checked_sub(1)
                .filter(|&before| std::ptr::eq(changes[before].table, change.table));
            let table = match same.and_then(|before| tables.get(before)) {
                Some(table) => Arc::clone(table),
                None => self.table(change.table).await?,
            };
            tables.push(table);
        }
        let script = build(changes, &tables)?;
        let lines = |step: &Step| lines_of(step, changes);
        let done = self.run(&script, &lines).await?;
        let mut counts = vec![0; changes.len()];
        for (step, done) in script.steps.iter().zip(&done) {
            match step.kind {
                StepKind::Insert if done.affected_rows == step.rows.len() as u64 => {
                    counts[step.rows.clone()].fill(1);
                }
                StepKind::Insert => {
                    return Err(Error::table(
                        &step.table.layout.source,
                        format!(
                            "the target took {} rows of {} without a word of the others",
                            done.affected_rows,
                            step.rows.len()
                        ),
                    ));
                }
                StepKind::Update => counts[step.rows.start] = verdict::matched(done),
                StepKind::Delete => counts[step.rows.start] = done.affected_rows,
                StepKind::MakeWay => {}
            }
        }
        Ok(counts)
    }
}

fn build(changes: &[SingleChange<'_>], tables: &[Arc<ApplyTable>]) -> Result<Script, Error> {
    let mut script = Script::default();
    let (mut old, mut new) = (Cells::default(), Cells::default());
    for (row, (change, table)) in changes.iter().zip(tables).enumerate() {
        match change.kind {
            SingleKind::Insert { after } => {
                fill(&mut new, table, change, after)?;
                script.insert(table, &new, row)?;
            }
            SingleKind::Update { before, after } => {
                fill(&mut new, table, change, after)?;
                match before {
                    Some(before) => fill_old(&mut old, table, change, before)?,
                    None if table.key().is_empty() => old = Cells::default(),
                    None => {
                        script.update(table, &new, &new, row)?;
                        continue;
                    }
                }
                script.update(table, &old, &new, row)?;
            }
            SingleKind::Delete { before } => {
                fill_old(&mut old, table, change, before)?;
                script.delete(table, &old, row)?;
            }
            SingleKind::Truncate => script.empty(table, row),
        }
    }
    Ok(script)
}

fn fill(
    cells: &mut Cells,
    table: &ApplyTable,
    change: &SingleChange<'_>,
    row: RowAt,
) -> Result<(), Error> {
    change
        .rows
        .decode(row, &mut |values| cells.fill(&table.layout, values))
}

/// Cells outside the key may be lacking.
fn fill_old(
    cells: &mut Cells,
    table: &ApplyTable,
    change: &SingleChange<'_>,
    row: RowAt,
) -> Result<(), Error> {
    let mut take = |values: &[Value<'_>]| cells.fill(&table.layout, values);
    change.rows.decode_old(row, table.key(), &mut take)
}

/// The rows of a step, decoded once more.
fn lines_of(step: &Step, changes: &[SingleChange<'_>]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut cells = Cells::default();
    for change in changes.get(step.rows.clone()).unwrap_or_default() {
        let row = match change.kind {
            SingleKind::Insert { after } => after,
            SingleKind::Update { before, after } => before.unwrap_or(after),
            SingleKind::Delete { before } => before,
            SingleKind::Truncate => continue,
        };
        // It was decoded before.
        if fill(&mut cells, &step.table, change, row).is_ok() {
            cells.append_line(&mut lines);
        }
    }
    lines
}
