//! Applying changes to a database in memory: a transaction works on a copy of the tables and puts it in place at its commit.

use std::collections::BTreeMap;

use async_trait::async_trait;
use whimbrel_core::{Position, TableName, Value};

use super::target::check_fence;
use super::{Call, Cell, Faults, MemoryDatabase, MemoryTable, Row};
use crate::{
    AppliedCount, Applier, Error, NetChanges, RowRefusal, SingleChange, SingleKind, TargetTable,
    TaskFence,
};

type Tables = BTreeMap<TableName, MemoryTable>;
/// Cells of a row; `None` is not sent.
type Cells = Vec<Option<Cell>>;

pub(super) struct MemoryApplier {
    pub(super) database: MemoryDatabase,
    pub(super) faults: Faults,
    pub(super) fence: TaskFence,
    pub(super) open: Option<Tables>,
}

#[async_trait]
impl Applier for MemoryApplier {
    async fn begin(&mut self) -> Result<(), Error> {
        self.open = None;
        let open = self.faults.around(Call::ApplyBegin, || {
            let state = self.database.lock();
            check_fence(&state, &self.fence)?;
            Ok(state.tables.clone())
        })?;
        self.open = Some(open);
        Ok(())
    }

    async fn apply_net(&mut self, changes: NetChanges<'_>) -> Result<AppliedCount, Error> {
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        self.faults.around(Call::Apply, || {
            let mut tables = open.clone();
            let mut count = AppliedCount::default();
            let table = changes.table;
            changes.deletes.visit(&mut |cells| {
                count.deleted += change(&mut tables, table, Some(&own(cells)?), None)?;
                Ok(())
            })?;
            changes.updates.visit(&mut |cells| {
                let cells = own(cells)?;
                count.updated += change(&mut tables, table, Some(&cells), Some(&cells))?;
                Ok(())
            })?;
            changes.inserts.visit(&mut |cells| {
                count.inserted += change(&mut tables, table, None, Some(&own(cells)?))?;
                Ok(())
            })?;
            *open = tables;
            Ok(count)
        })
    }

    async fn apply_single(&mut self, changes: &[SingleChange<'_>]) -> Result<Vec<u64>, Error> {
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        self.faults.around(Call::Apply, || {
            let mut tables = open.clone();
            let counts = changes
                .iter()
                .map(|single| apply_one(&mut tables, single))
                .collect::<Result<Vec<u64>, Error>>()?;
            *open = tables;
            Ok(counts)
        })
    }

    async fn commit(&mut self, checkpoint: &Position) -> Result<(), Error> {
        let open = self.open.take().ok_or_else(nothing_open)?;
        self.faults.around(Call::ApplyCommit, || {
            let mut state = self.database.lock();
            check_fence(&state, &self.fence)?;
            state.tables = open;
            state
                .checkpoints
                .insert(self.fence.task.clone(), checkpoint.clone());
            Ok(())
        })
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        self.open = None;
        Ok(())
    }
}

fn nothing_open() -> Error {
    Error::Fatal("no open transaction".to_owned())
}

fn own(cells: &[Value<'_>]) -> Result<Cells, Error> {
    cells
        .iter()
        .map(|cell| match cell {
            Value::NotSent => Ok(None),
            sent => Cell::of(sent).map(Some),
        })
        .collect()
}

fn apply_one(tables: &mut Tables, single: &SingleChange<'_>) -> Result<u64, Error> {
    let cells = |row| {
        let mut cells = Vec::new();
        single.rows.decode(row, &mut |values| {
            cells = own(values)?;
            Ok(())
        })?;
        Ok::<Cells, Error>(cells)
    };
    match single.kind {
        SingleKind::Insert { after } => change(tables, single.table, None, Some(&cells(after)?)),
        SingleKind::Delete { before } => change(tables, single.table, Some(&cells(before)?), None),
        SingleKind::Update { before, after } => {
            let after = cells(after)?;
            let before = before.map_or_else(|| Ok(after.clone()), cells)?;
            change(tables, single.table, Some(&before), Some(&after))
        }
        SingleKind::Truncate => {
            let table = find(tables, single.table)?;
            let count = table.rows.len() as u64;
            table.rows.clear();
            Ok(count)
        }
    }
}

fn find<'t>(tables: &'t mut Tables, table: &TargetTable) -> Result<&'t mut MemoryTable, Error> {
    tables
        .get_mut(&table.name)
        .ok_or_else(|| Error::table(&table.source.name, "the target table is gone"))
}

/// Removes the row that is like `old`, and puts `new` there. Returns how many rows were touched.
fn change(
    tables: &mut Tables,
    table: &TargetTable,
    old: Option<&Cells>,
    new: Option<&Cells>,
) -> Result<u64, Error> {
    let rows = &mut find(tables, table)?.rows;
    let is_key = |place: usize| table.primary_key.is_empty() || table.primary_key.contains(&place);
    let is_like = |row: &Row, cells: &Cells| {
        let mut pairs = row.iter().zip(cells).enumerate();
        pairs.all(|(place, (own, cell))| {
            !is_key(place) || cell.as_ref().is_none_or(|cell| cell == own)
        })
    };
    let removed = match old {
        None => None,
        Some(old) => match rows.iter().position(|row| is_like(row, old)) {
            None => return Ok(0),
            Some(place) => Some(rows.swap_remove(place)),
        },
    };
    let Some(new) = new else { return Ok(1) };
    let mut row = Row::new();
    for (place, cell) in new.iter().enumerate() {
        let kept = || removed.as_ref().map(|row| row[place].clone());
        let refuse = || refusal(table, "a cell of a new row was not sent");
        row.push(cell.clone().or_else(kept).ok_or_else(refuse)?);
    }
    let key = |row: &Row| {
        let places = table.primary_key.iter();
        places.map(|&place| row[place].clone()).collect::<Vec<_>>()
    };
    if !table.primary_key.is_empty() && rows.iter().any(|known| key(known) == key(&row)) {
        return Err(refusal(table, "the key is there already"));
    }
    rows.push(row);
    Ok(1)
}

fn refusal(table: &TargetTable, reason: &str) -> Error {
    RowRefusal {
        table: table.source.name.clone(),
        key: None,
        column: None,
        reason: reason.to_owned(),
    }
    .into()
}
