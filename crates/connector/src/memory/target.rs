use std::collections::HashSet;

use async_trait::async_trait;
use whimbrel_core::{ChunkBounds, ChunkId, Column, Engine, Generation, Position, Table, TableName};

use super::apply::MemoryApplier;
use super::{Call, Cell, Faults, MemoryDatabase, MemoryTable, Row, State};
use crate::control_tables::ControlWrite;
use crate::{
    Applier, ApplySettings, Checkpoint, ChunkCommit, ChunkLoad, ChunkRecord, Error, FedTable,
    Feeding, FollowState, KeyNotRestored, KeyPolicy, LoadRecord, Loader, NOBODY, PrepareMode,
    RawFormat, RefusalKind, RefusedType, RowBlock, RowRefusal, Target, TargetColumn, TargetTable,
    TaskFence, TypeDefinition,
};

pub(super) struct MemoryTarget {
    database: MemoryDatabase,
    faults: Faults,
}

impl MemoryTarget {
    pub(super) fn new(database: MemoryDatabase, faults: Faults) -> Self {
        Self { database, faults }
    }
}

pub(super) fn check_fence(state: &State, fence: &TaskFence) -> Result<(), Error> {
    let theirs = state.epochs.get(&fence.task);
    let theirs = theirs.map_or(NOBODY, |(epoch, _)| *epoch);
    if theirs == fence.epoch {
        Ok(())
    } else {
        Err(Error::Fenced {
            ours: fence.epoch,
            theirs,
        })
    }
}

/// Sees whether the holder has the task, in this epoch or a later one.
fn check_holder(state: &State, fence: &TaskFence) -> Result<(), Error> {
    match state.epochs.get(&fence.task) {
        Some((epoch, holder)) if *holder == fence.holder && *epoch >= fence.epoch => Ok(()),
        _ => check_fence(state, fence),
    }
}

pub(super) fn fed_by_others(
    state: &State,
    task: &str,
    tables: &[TableName],
    feeding: Feeding,
) -> Vec<FedTable> {
    let is_shared = |theirs: Feeding| feeding == Feeding::Together && theirs == feeding;
    let fed = state.fed.iter();
    let fed = fed.filter(|((table, by), theirs)| {
        tables.contains(table) && by != task && !is_shared(**theirs)
    });
    fed.map(|((table, task), _)| FedTable {
        table: table.clone(),
        task: task.clone(),
    })
    .collect()
}

/// Gives the task an epoch that was never given, later than `before`.
fn take(state: &mut State, task: &str, holder: Option<&str>, before: i64) -> TaskFence {
    let epoch = state.ticks.max(before) + 1;
    state.ticks = epoch;
    let holder = holder.map_or_else(|| epoch.to_string(), ToOwned::to_owned);
    state
        .epochs
        .insert(task.to_owned(), (epoch, holder.clone()));
    TaskFence {
        task: task.to_owned(),
        epoch,
        holder,
    }
}

#[async_trait]
impl Target for MemoryTarget {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn plan_table(
        &self,
        source: &Table,
        name: TableName,
        keys: KeyPolicy,
    ) -> Result<TargetTable, Error> {
        let columns = source.loaded_columns().map(|column| TargetColumn {
            name: column.name.clone(),
            native: column.native.clone(),
            source_type: column.ty.clone(),
            nullable: column.nullable,
        });
        let primary_key = if keys == KeyPolicy::None {
            Vec::new()
        } else {
            source.key_in_row()
        };
        Ok(TargetTable {
            name,
            columns: columns.collect(),
            primary_key,
            keys,
            notes: Vec::new(),
            source: source.clone(),
            shaped: None,
        })
    }

    async fn raw_formats(&mut self, _table: &TargetTable) -> Result<Vec<RawFormat>, Error> {
        Ok(Vec::new())
    }

    fn preview(&self, table: &TargetTable, _mode: PrepareMode) -> Vec<String> {
        vec![format!("make {}", table.name)]
    }

    async fn claim(&mut self, task: &str) -> Result<TaskFence, Error> {
        self.faults.hang(Call::Claim).await;
        self.faults.around(Call::Claim, || {
            let mut state = self.database.lock();
            let before = state.epochs.get(task).map_or(0, |(epoch, _)| *epoch);
            Ok(take(&mut state, task, None, before))
        })
    }

    async fn claim_again(&mut self, held: &TaskFence) -> Result<TaskFence, Error> {
        self.faults.around(Call::Claim, || {
            let mut state = self.database.lock();
            match check_holder(&state, held) {
                Err(error) if error.is_taken_over() => Err(error),
                Ok(()) | Err(_) => {
                    let (task, holder) = (&held.task, Some(held.holder.as_str()));
                    Ok(take(&mut state, task, holder, held.epoch))
                }
            }
        })
    }

    async fn check(&mut self, fence: &TaskFence) -> Result<(), Error> {
        check_holder(&self.database.lock(), fence)
    }

    async fn load_records(&mut self, fence: &TaskFence) -> Result<Vec<LoadRecord>, Error> {
        self.faults.hang(Call::LoadRecords).await;
        self.faults.around(Call::LoadRecords, || {
            let state = self.database.lock();
            check_fence(&state, fence)?;
            let ours = state
                .records
                .iter()
                .filter(|((task, _), _)| *task == fence.task);
            Ok(ours.map(|(_, record)| record.clone()).collect())
        })
    }

    async fn write_control(&mut self, _: Option<&str>, write: &ControlWrite) -> Result<(), Error> {
        self.faults.around(Call::WriteControl, || {
            let mut state = self.database.lock();
            let rows = state.control.entry(write.table.name).or_default();
            rows.retain(|row| write.replaces.is_empty() || !row.starts_with(&write.replaces));
            rows.extend(write.rows.iter().cloned());
            Ok(())
        })
    }

    async fn clear(&mut self, fence: &TaskFence) -> Result<(), Error> {
        self.faults.hang(Call::Clear).await;
        self.faults.around(Call::Clear, || {
            let mut state = self.database.lock();
            check_fence(&state, fence)?;
            state.records.retain(|(task, _), _| *task != fence.task);
            state.checkpoints.remove(&fence.task);
            state.fed.retain(|(_, task), _| *task != fence.task);
            Ok(())
        })
    }

    async fn fed_by_others(
        &mut self,
        task: &str,
        tables: &[TableName],
        feeding: Feeding,
    ) -> Result<Vec<FedTable>, Error> {
        Ok(fed_by_others(&self.database.lock(), task, tables, feeding))
    }

    async fn feed(
        &mut self,
        fence: &TaskFence,
        tables: &[TableName],
        feeding: Feeding,
    ) -> Result<Vec<FedTable>, Error> {
        let mut state = self.database.lock();
        check_fence(&state, fence)?;
        let others = fed_by_others(&state, &fence.task, tables, feeding);
        if others.is_empty() {
            state.fed.retain(|(_, task), _| *task != fence.task);
            let fed = tables.iter().cloned();
            state
                .fed
                .extend(fed.map(|table| ((table, fence.task.clone()), feeding)));
        }
        Ok(others)
    }

    async fn unrecord(&mut self, fence: &TaskFence, tables: &[&TableName]) -> Result<(), Error> {
        self.faults.around(Call::Unrecord, || {
            let mut state = self.database.lock();
            check_fence(&state, fence)?;
            let is_meant = |(task, table): &(String, TableName)| {
                *task == fence.task && tables.contains(&table)
            };
            state.records.retain(|key, _| !is_meant(key));
            Ok(())
        })
    }

    async fn forget(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        self.faults.hang(Call::Forget).await;
        self.faults.around(Call::Forget, || {
            let mut state = self.database.lock();
            if !state.epochs.contains_key(&fence.task) {
                return Ok(Vec::new());
            }
            check_fence(&state, fence)?;
            state.records.retain(|(task, _), _| *task != fence.task);
            state.epochs.remove(&fence.task);
            state.checkpoints.remove(&fence.task);
            state.fed.retain(|(_, task), _| *task != fence.task);
            Ok(Vec::new())
        })
    }

    async fn restore_keys(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        self.faults.hang(Call::RestoreKeys).await;
        self.faults.around(Call::RestoreKeys, || {
            let state = self.database.lock();
            check_fence(&state, fence)?;
            Ok(state.keys_refused.clone())
        })
    }

    async fn create_types(&mut self, _types: &[TypeDefinition]) -> Result<Vec<RefusedType>, Error> {
        Ok(Vec::new())
    }

    async fn prepare(
        &mut self,
        fence: &TaskFence,
        table: &TargetTable,
        mode: PrepareMode,
        planned_at: &Position,
        chunks: &[ChunkBounds],
    ) -> Result<(), Error> {
        self.faults.hang(Call::Prepare).await;
        self.faults.around(Call::Prepare, || {
            let mut state = self.database.lock();
            check_fence(&state, fence)?;
            state.changes += 1;
            match state.tables.get_mut(&table.name) {
                Some(_) if mode == PrepareMode::DoNothing => {}
                Some(kept) if mode == PrepareMode::Truncate => kept.rows.clear(),
                _ => {
                    state.tables.insert(table.name.clone(), made(table));
                }
            }
            let source = table.source.name.clone();
            state.commits.retain(|(table, _), _| *table != source);
            let record = LoadRecord {
                table: source.clone(),
                planned_at: Some(planned_at.clone()),
                chunks: (0..)
                    .zip(chunks)
                    .map(|(id, bounds)| ChunkRecord {
                        id: ChunkId(id),
                        bounds: bounds.clone(),
                        done: None,
                    })
                    .collect(),
                is_finished: false,
                follow: Some(FollowState::loaded(table.source.clone())),
            };
            state.records.insert((fence.task.clone(), source), record);
            Ok(())
        })
    }

    async fn rebase(
        &mut self,
        fence: &TaskFence,
        table: &TableName,
        planned_at: &Position,
    ) -> Result<(), Error> {
        let mut state = self.database.lock();
        check_fence(&state, fence)?;
        let key = (fence.task.clone(), table.clone());
        if let Some(record) = state.records.get_mut(&key) {
            record.planned_at = Some(planned_at.clone());
        }
        Ok(())
    }

    async fn loader(&mut self, fence: &TaskFence) -> Result<Box<dyn Loader>, Error> {
        self.faults.hang(Call::Connect).await;
        self.faults.around(Call::Connect, || {
            Ok(Box::new(MemoryLoader {
                database: self.database.clone(),
                faults: self.faults.clone(),
                fence: fence.clone(),
                open: None,
            }) as Box<dyn Loader>)
        })
    }

    async fn finish(&mut self, fence: &TaskFence, table: &TargetTable) -> Result<(), Error> {
        self.faults.around(Call::Finish, || {
            let mut state = self.database.lock();
            check_fence(&state, fence)?;
            let name = &table.source.name;
            let record = state.records.get(&(fence.task.clone(), name.clone()));
            if record.is_none_or(|record| record.chunks.iter().any(|chunk| chunk.done.is_none())) {
                return Err(Error::record_lost(name));
            }
            let loaded = state
                .tables
                .get_mut(&table.name)
                .ok_or_else(|| Error::table(name, "it is gone"))?;
            if !table.primary_key.is_empty() {
                let places = places(loaded, table)?;
                let key: Vec<usize> = table.primary_key.iter().map(|&i| places[i]).collect();
                if has_duplicates(&loaded.rows, &key) {
                    return Err(Error::table(
                        name,
                        "the primary key cannot be built: a key is there twice",
                    ));
                }
                loaded.has_key = true;
                loaded.table.primary_key = key;
            }
            if let Some(record) = state.records.get_mut(&(fence.task.clone(), name.clone())) {
                record.is_finished = true;
            }
            Ok(())
        })
    }

    async fn checkpoint(&mut self, fence: &TaskFence) -> Result<Option<Checkpoint>, Error> {
        self.faults.around(Call::Checkpoint, || {
            Ok(self.database.lock().checkpoints.get(&fence.task).cloned())
        })
    }

    async fn has_checkpoint(&mut self, task: &str) -> Result<bool, Error> {
        Ok(self.database.lock().checkpoints.contains_key(task))
    }

    async fn applier(
        &mut self,
        fence: &TaskFence,
        _settings: &ApplySettings,
    ) -> Result<Box<dyn Applier>, Error> {
        self.faults.around(Call::Connect, || {
            Ok(Box::new(MemoryApplier::new(
                self.database.clone(),
                self.faults.clone(),
                fence.clone(),
            )) as Box<dyn Applier>)
        })
    }
}

/// A new table as it was planned, without its key.
fn made(table: &TargetTable) -> MemoryTable {
    let columns = table.columns.iter().map(|column| Column {
        name: column.name.clone(),
        ty: column.source_type.clone(),
        native: column.native.clone(),
        nullable: column.nullable,
        generation: Generation::None,
        id: None,
        default: None,
    });
    MemoryTable {
        table: Table {
            name: table.name.clone(),
            columns: columns.collect(),
            primary_key: Vec::new(),
            ..table.model().clone()
        },
        rows: Vec::new(),
        has_key: false,
    }
}

/// Where each planned column is in the table that is there.
pub(super) fn places(loaded: &MemoryTable, table: &TargetTable) -> Result<Vec<usize>, Error> {
    let columns = loaded.table.columns.iter();
    let place = |planned: &TargetColumn| {
        let at = columns
            .clone()
            .position(|column| column.name == planned.name);
        at.ok_or_else(|| Error::table(&table.source.name, "a column is missing at the target"))
    };
    table.columns.iter().map(place).collect()
}

fn has_duplicates(rows: &[Row], key: &[usize]) -> bool {
    let mut seen = HashSet::new();
    rows.iter().any(|row| {
        let key: Vec<&Cell> = key.iter().map(|&place| &row[place]).collect();
        !seen.insert(key)
    })
}

struct MemoryLoader {
    database: MemoryDatabase,
    faults: Faults,
    fence: TaskFence,
    open: Option<OpenChunk>,
}

struct OpenChunk {
    table: TargetTable,
    chunk: ChunkId,
    rows: Vec<Row>,
    bytes: u64,
    sifts: bool,
}

#[async_trait]
impl Loader for MemoryLoader {
    async fn begin(&mut self, load: ChunkLoad<'_>) -> Result<(), Error> {
        self.open = None;
        let open = self.faults.around(Call::Begin, || {
            check_fence(&self.database.lock(), &self.fence)?;
            Ok(OpenChunk {
                table: load.table.clone(),
                chunk: load.chunk,
                rows: Vec::new(),
                bytes: 0,
                sifts: load.sifts,
            })
        })?;
        self.open = Some(open);
        Ok(())
    }

    async fn write(&mut self, block: &dyn RowBlock) -> Result<(), Error> {
        let open = self
            .open
            .as_mut()
            .ok_or_else(|| Error::Fatal("no open chunk".to_owned()))?;
        let rows_before = open.rows.len();
        let database = &self.database;
        let written = self.faults.around(Call::Write, || {
            block.decode(&mut |row| {
                open.rows
                    .push(row.iter().map(Cell::of).collect::<Result<_, _>>()?);
                Ok(())
            })?;
            match database.lock().tables.get(&open.table.name) {
                Some(loaded) if open.sifts => with_rows(loaded, open).map(drop),
                _ => Ok(()),
            }
        });
        match &written {
            Ok(()) => open.bytes += block.byte_count() as u64,
            Err(Error::Row(_)) if open.sifts => open.rows.truncate(rows_before),
            Err(_) => {}
        }
        written
    }

    async fn commit(&mut self) -> Result<ChunkCommit, Error> {
        let open = self
            .open
            .take()
            .ok_or_else(|| Error::Fatal("no open chunk".to_owned()))?;
        self.faults.around(Call::Commit, || {
            commit(&mut self.database.lock(), &self.fence, &open)
        })
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        self.open = None;
        Ok(())
    }
}

fn commit(state: &mut State, fence: &TaskFence, open: &OpenChunk) -> Result<ChunkCommit, Error> {
    check_fence(state, fence)?;
    let source = &open.table.source.name;
    let row_count = open.rows.len() as u64;
    let loaded = state
        .tables
        .get(&open.table.name)
        .ok_or_else(|| Error::table(source, "the target table is gone"))?;
    let rows = with_rows(loaded, open)?;
    let record = state
        .records
        .get_mut(&(fence.task.clone(), source.clone()))
        .and_then(|record| {
            record
                .chunks
                .iter_mut()
                .find(|chunk| chunk.id == open.chunk)
        })
        .filter(|chunk| chunk.done.is_none())
        .ok_or_else(|| Error::record_lost(source))?;
    let commit = ChunkCommit {
        row_count,
        byte_count: open.bytes,
    };
    record.done = Some(commit);
    state.changes += 1;
    if let Some(loaded) = state.tables.get_mut(&open.table.name) {
        loaded.rows = rows;
    }
    *state
        .commits
        .entry((source.clone(), open.chunk.0))
        .or_default() += 1;
    Ok(commit)
}

/// The rows of a table with those of a chunk, each cell in its column and NULL in those that the source does not have.
fn with_rows(loaded: &MemoryTable, open: &OpenChunk) -> Result<Vec<Row>, Error> {
    let places = places(loaded, &open.table)?;
    let mut rows = loaded.rows.clone();
    rows.extend(open.rows.iter().map(|cells| {
        let mut row = vec![Cell::Null; loaded.table.columns.len()];
        for (&place, cell) in places.iter().zip(cells) {
            row[place] = cell.clone();
        }
        row
    }));
    if loaded.has_key && has_duplicates(&rows, &loaded.table.primary_key) {
        return Err(Error::from(RowRefusal {
            table: open.table.source.name.clone(),
            key: None,
            column: None,
            kind: RefusalKind::Constraint,
            reason: "its key is there already".to_owned(),
        }));
    }
    Ok(rows)
}
