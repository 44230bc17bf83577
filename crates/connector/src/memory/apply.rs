//! Applying changes to a database in memory: a transaction works on copies of the tables that it touches, and puts them in place at
//! its commit.

use std::collections::BTreeMap;

use async_trait::async_trait;
use whimbrel_core::{TableName, Value};

use super::define;
use super::target::{check_fence, fed_by_others, places};
use super::{Call, Cell, Faults, MemoryDatabase, MemoryTable, Row, State};
use crate::{
    AppliedCount, Applier, ApplyException, Checkpoint, Definition, Error, FedTable, Feeding,
    LoadRecord, NetChanges, RecordChange, RefusalKind, RowRefusal, SingleChange, SingleKind,
    TargetTable, TaskFence,
};

/// Cells of a row; `None` is not sent.
type Cells = Vec<Option<Cell>>;

pub(super) struct MemoryApplier {
    database: MemoryDatabase,
    faults: Faults,
    fence: TaskFence,
    open: Option<Open>,
    mark: Option<Open>,
    /// Before the last call of net changes.
    before_net: Option<Open>,
}

/// What a transaction has done so far.
#[derive(Clone, Default)]
pub(super) struct Open {
    /// The tables that it has touched; `None`: gone.
    tables: BTreeMap<TableName, Option<MemoryTable>>,
    records: Vec<RecordChange>,
    exceptions: Vec<ApplyException>,
}

impl MemoryApplier {
    pub(super) fn new(database: MemoryDatabase, faults: Faults, fence: TaskFence) -> Self {
        Self {
            database,
            faults,
            fence,
            open: None,
            mark: None,
            before_net: None,
        }
    }

    /// Does something to the open transaction, all or nothing.
    fn change<T>(
        &mut self,
        what: impl FnOnce(&State, &mut Open) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        let mut changed = open.clone();
        let state = self.database.lock();
        let done = what(&state, &mut changed)?;
        *open = changed;
        Ok(done)
    }
}

impl Open {
    /// A table as the transaction sees it.
    pub(super) fn table<'t>(
        &'t mut self,
        state: &State,
        table: &TargetTable,
    ) -> Result<&'t mut MemoryTable, Error> {
        let seen = self.tables.entry(table.name.clone());
        let seen = seen.or_insert_with(|| state.tables.get(&table.name).cloned());
        seen.as_mut()
            .ok_or_else(|| Error::table(&table.source.name, "the target table is gone"))
    }

    pub(super) fn put(&mut self, name: TableName, table: Option<MemoryTable>) {
        self.tables.insert(name, table);
    }
}

#[async_trait]
impl Applier for MemoryApplier {
    async fn begin(&mut self) -> Result<(), Error> {
        self.open = None;
        self.faults.around(Call::ApplyBegin, || {
            check_fence(&self.database.lock(), &self.fence)
        })?;
        self.open = Some(Open::default());
        Ok(())
    }

    async fn apply_net(&mut self, changes: NetChanges<'_>) -> Result<AppliedCount, Error> {
        let faults = self.faults.clone();
        self.before_net.clone_from(&self.open);
        faults.around(Call::Apply, || {
            self.change(|state, open| {
                let mut count = AppliedCount::default();
                let table = open.table(state, changes.table)?;
                let planned = changes.table;
                changes.deletes.visit(&mut |cells| {
                    count.deleted += change(table, planned, Some(&own(cells)?), None)?;
                    Ok(())
                })?;
                changes.updates.visit(&mut |cells| {
                    let cells = own(cells)?;
                    count.updated += change(table, planned, Some(&cells), Some(&cells))?;
                    Ok(())
                })?;
                changes.inserts.visit(&mut |cells| {
                    count.inserted += change(table, planned, None, Some(&own(cells)?))?;
                    Ok(())
                })?;
                Ok(count)
            })
        })
    }

    async fn undo_net(&mut self) -> Result<(), Error> {
        self.open = Some(self.before_net.take().ok_or_else(nothing_open)?);
        Ok(())
    }

    async fn apply_single(&mut self, changes: &[SingleChange<'_>]) -> Result<Vec<u64>, Error> {
        let faults = self.faults.clone();
        faults.around(Call::Apply, || {
            self.change(|state, open| {
                changes
                    .iter()
                    .map(|single| apply_one(open.table(state, single.table)?, single))
                    .collect()
            })
        })
    }

    async fn mark(&mut self) -> Result<(), Error> {
        self.mark = Some(self.open.clone().ok_or_else(nothing_open)?);
        Ok(())
    }

    async fn drop_mark(&mut self) -> Result<(), Error> {
        self.mark.take().map(drop).ok_or_else(nothing_open)
    }

    async fn back_to_mark(&mut self) -> Result<(), Error> {
        self.open = Some(self.mark.take().ok_or_else(nothing_open)?);
        Ok(())
    }

    async fn record(&mut self, changes: &[RecordChange]) -> Result<(), Error> {
        let faults = self.faults.clone();
        faults.around(Call::Record, || {
            self.change(|_, open| {
                open.records.extend_from_slice(changes);
                Ok(())
            })
        })
    }

    async fn report(&mut self, exceptions: &[ApplyException]) -> Result<(), Error> {
        self.change(|_, open| {
            open.exceptions.extend_from_slice(exceptions);
            Ok(())
        })
    }

    fn defines_in_transaction(&self) -> bool {
        self.database.lock().defines_in_transaction
    }

    async fn feed_also(
        &mut self,
        table: &TableName,
        feeding: Feeding,
    ) -> Result<Option<FedTable>, Error> {
        let mut state = self.database.lock();
        check_fence(&state, &self.fence)?;
        let task = &self.fence.task;
        let others = fed_by_others(&state, task, std::slice::from_ref(table), feeding);
        if others.is_empty() {
            let key = (table.clone(), task.clone());
            state.fed.insert(key, feeding);
        }
        Ok(others.into_iter().next())
    }

    async fn define(&mut self, definition: &Definition) -> Result<(), Error> {
        let faults = self.faults.clone();
        faults.around(Call::Define, || {
            if self.defines_in_transaction() {
                return self.change(|state, open| define::define(state, open, definition));
            }
            let mut state = self.database.lock();
            check_fence(&state, &self.fence)?;
            let mut open = Open::default();
            define::define(&state, &mut open, definition)?;
            put_in_place(&mut state, open.tables);
            Ok(())
        })
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let open = self.open.take().ok_or_else(nothing_open)?;
        self.faults.hang(Call::ApplyCommit).await;
        self.faults.around(Call::ApplyCommit, || {
            let mut state = self.database.lock();
            check_fence(&state, &self.fence)?;
            put_in_place(&mut state, open.tables);
            for change in open.records {
                record(&mut state, &self.fence.task, change);
            }
            state.exceptions.extend(open.exceptions);
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

fn put_in_place(state: &mut State, tables: BTreeMap<TableName, Option<MemoryTable>>) {
    for (name, table) in tables {
        match table {
            Some(table) => state.tables.insert(name, table),
            None => state.tables.remove(&name),
        };
    }
}

fn record(state: &mut State, task: &str, change: RecordChange) {
    match change {
        RecordChange::Remove { table } => {
            state.records.remove(&(task.to_owned(), table));
        }
        RecordChange::Unfed { table, .. } => {
            state.fed.remove(&(table, task.to_owned()));
        }
        RecordChange::Put {
            table,
            state: follow,
        } => {
            let key = (task.to_owned(), table.clone());
            let record = state.records.entry(key).or_insert_with(|| LoadRecord {
                table,
                planned_at: None,
                chunks: Vec::new(),
                is_finished: true,
                follow: None,
            });
            record.follow = Some(follow);
        }
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

fn apply_one(table: &mut MemoryTable, single: &SingleChange<'_>) -> Result<u64, Error> {
    let cells = |row| {
        let mut cells = Vec::new();
        single.rows.decode(row, &mut |values| {
            cells = own(values)?;
            Ok(())
        })?;
        Ok::<Cells, Error>(cells)
    };
    match single.kind {
        SingleKind::Insert { after } => change(table, single.table, None, Some(&cells(after)?)),
        SingleKind::Delete { before } => change(table, single.table, Some(&cells(before)?), None),
        SingleKind::Update { before, after } => {
            let after = cells(after)?;
            let before = before.map_or_else(|| Ok(after.clone()), cells)?;
            change(table, single.table, Some(&before), Some(&after))
        }
        SingleKind::Truncate => {
            let count = table.rows.len() as u64;
            table.rows.clear();
            Ok(count)
        }
    }
}

/// Cells in the order of the table's own columns; those that were not planned are not sent.
fn in_place(table: &MemoryTable, planned: &TargetTable, cells: &Cells) -> Result<Cells, Error> {
    let mut placed = vec![None; table.table.columns.len()];
    for (place, cell) in places(table, planned)?.into_iter().zip(cells) {
        placed[place].clone_from(cell);
    }
    Ok(placed)
}

/// Removes the row that is like `old`, and puts `new` there. Returns how many rows were touched.
fn change(
    table: &mut MemoryTable,
    planned: &TargetTable,
    old: Option<&Cells>,
    new: Option<&Cells>,
) -> Result<u64, Error> {
    let places = places(table, planned)?;
    let key: Vec<usize> = planned
        .primary_key
        .iter()
        .map(|&place| places[place])
        .collect();
    let is_key = |place: usize| key.is_empty() || key.contains(&place);
    let is_like = |row: &Row, cells: &Cells| {
        let mut pairs = row.iter().zip(cells).enumerate();
        pairs.all(|(place, (own, cell))| {
            !is_key(place) || cell.as_ref().is_none_or(|cell| cell == own)
        })
    };
    let old = old
        .map(|cells| in_place(table, planned, cells))
        .transpose()?;
    let new = new
        .map(|cells| in_place(table, planned, cells))
        .transpose()?;
    let rows = &mut table.rows;
    let removed = match &old {
        None => None,
        Some(old) => match rows.iter().position(|row| is_like(row, old)) {
            None => return Ok(0),
            Some(place) => Some(rows.swap_remove(place)),
        },
    };
    let Some(new) = new else { return Ok(1) };
    let mut row = Row::new();
    for (place, cell) in new.into_iter().enumerate() {
        let kept = || match &removed {
            Some(row) => Some(row[place].clone()),
            // A column of the target alone.
            None => (!places.contains(&place)).then_some(Cell::Null),
        };
        let refuse = || refusal(planned, "a cell of a new row was not sent");
        row.push(cell.or_else(kept).ok_or_else(refuse)?);
    }
    let key_of = |row: &Row| {
        key.iter()
            .map(|&place| row[place].clone())
            .collect::<Vec<_>>()
    };
    if !key.is_empty() && rows.iter().any(|known| key_of(known) == key_of(&row)) {
        return Err(refusal(planned, "the key is there already"));
    }
    rows.push(row);
    Ok(1)
}

fn refusal(table: &TargetTable, reason: &str) -> Error {
    RowRefusal {
        table: table.source.name.clone(),
        key: None,
        column: None,
        kind: RefusalKind::Constraint,
        reason: reason.to_owned(),
    }
    .into()
}
