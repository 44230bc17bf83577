use std::collections::HashSet;

use async_trait::async_trait;
use whimbrel_core::{ChunkBounds, ChunkId, Engine, Position, Table, TableName};

use super::{Call, Cell, Faults, MemoryDatabase, MemoryTable, Row, State};
use crate::{
    ChunkCommit, ChunkLoad, ChunkRecord, Error, KeyPolicy, LoadRecord, Loader, PrepareMode,
    RawFormat, RowBlock, Target, TargetColumn, TargetTable, TaskFence, TypeDefinition,
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

fn check_fence(state: &State, fence: &TaskFence) -> Result<(), Error> {
    let theirs = state.epochs.get(&fence.task).copied().unwrap_or(i64::MAX);
    if theirs == fence.epoch {
        Ok(())
    } else {
        Err(Error::Fenced {
            ours: fence.epoch,
            theirs,
        })
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
        })
    }

    async fn raw_formats(&mut self, _table: &TargetTable) -> Result<Vec<RawFormat>, Error> {
        Ok(Vec::new())
    }

    fn preview(&self, table: &TargetTable, _mode: PrepareMode) -> Vec<String> {
        vec![format!("make {}", table.name)]
    }

    async fn claim(&mut self, task: &str) -> Result<TaskFence, Error> {
        self.faults.around(Call::Claim, || {
            let mut state = self.database.lock();
            state.ticks += 1;
            let epoch = state
                .ticks
                .max(state.epochs.get(task).map_or(0, |epoch| epoch + 1));
            state.ticks = epoch;
            state.epochs.insert(task.to_owned(), epoch);
            Ok(TaskFence {
                task: task.to_owned(),
                epoch,
            })
        })
    }

    async fn load_records(&mut self, fence: &TaskFence) -> Result<Vec<LoadRecord>, Error> {
        self.faults.around(Call::LoadRecords, || {
            let state = self.database.lock();
            let ours = state
                .records
                .iter()
                .filter(|((task, _), _)| *task == fence.task);
            Ok(ours.map(|(_, record)| record.clone()).collect())
        })
    }

    async fn forget(&mut self, fence: &TaskFence) -> Result<(), Error> {
        self.faults.around(Call::Forget, || {
            let mut state = self.database.lock();
            check_fence(&state, fence)?;
            state.records.retain(|(task, _), _| *task != fence.task);
            state.epochs.remove(&fence.task);
            Ok(())
        })
    }

    async fn create_types(&mut self, _types: &[TypeDefinition]) -> Result<(), Error> {
        Ok(())
    }

    async fn prepare(
        &mut self,
        fence: &TaskFence,
        table: &TargetTable,
        mode: PrepareMode,
        planned_at: &Position,
        chunks: &[ChunkBounds],
    ) -> Result<(), Error> {
        self.faults.around(Call::Prepare, || {
            let mut state = self.database.lock();
            check_fence(&state, fence)?;
            let keeps = mode == PrepareMode::DoNothing && state.tables.contains_key(&table.name);
            if !keeps {
                let empty = MemoryTable {
                    table: Table {
                        name: table.name.clone(),
                        ..table.source.clone()
                    },
                    rows: Vec::new(),
                    has_key: false,
                };
                state.tables.insert(table.name.clone(), empty);
            }
            let source = table.source.name.clone();
            state.commits.retain(|(table, _), _| *table != source);
            let record = LoadRecord {
                table: source.clone(),
                planned_at: planned_at.clone(),
                chunks: (0..)
                    .zip(chunks)
                    .map(|(id, bounds)| ChunkRecord {
                        id: ChunkId(id),
                        bounds: bounds.clone(),
                        done: None,
                    })
                    .collect(),
                is_finished: false,
            };
            state.records.insert((fence.task.clone(), source), record);
            Ok(())
        })
    }

    async fn loader(&mut self, fence: &TaskFence) -> Result<Box<dyn Loader>, Error> {
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
            let loaded = state
                .tables
                .get_mut(&table.name)
                .ok_or_else(|| Error::table(name, "it is gone"))?;
            if !table.primary_key.is_empty() {
                check_key(loaded, table)?;
                loaded.has_key = true;
            }
            if let Some(record) = state.records.get_mut(&(fence.task.clone(), name.clone())) {
                record.is_finished = true;
            }
            Ok(())
        })
    }
}

fn check_key(loaded: &MemoryTable, table: &TargetTable) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for row in &loaded.rows {
        let key: Vec<&Cell> = table.primary_key.iter().map(|&place| &row[place]).collect();
        if !seen.insert(format!("{key:?}")) {
            return Err(Error::table(
                &table.source.name,
                "the primary key cannot be built: a key is there twice",
            ));
        }
    }
    Ok(())
}

struct MemoryLoader {
    database: MemoryDatabase,
    faults: Faults,
    fence: TaskFence,
    open: Option<OpenChunk>,
}

struct OpenChunk {
    target: TableName,
    source: TableName,
    chunk: ChunkId,
    rows: Vec<Row>,
    bytes: u64,
}

#[async_trait]
impl Loader for MemoryLoader {
    async fn begin(&mut self, load: ChunkLoad<'_>) -> Result<(), Error> {
        self.open = None;
        let open = self.faults.around(Call::Begin, || {
            check_fence(&self.database.lock(), &self.fence)?;
            Ok(OpenChunk {
                target: load.table.name.clone(),
                source: load.table.source.name.clone(),
                chunk: load.chunk,
                rows: Vec::new(),
                bytes: 0,
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
        self.faults.around(Call::Write, || {
            open.bytes += block.byte_count() as u64;
            block.decode(&mut |row| {
                open.rows
                    .push(row.iter().map(Cell::of).collect::<Result<_, _>>()?);
                Ok(())
            })
        })
    }

    async fn commit(&mut self) -> Result<ChunkCommit, Error> {
        let open = self
            .open
            .take()
            .ok_or_else(|| Error::Fatal("no open chunk".to_owned()))?;
        self.faults.around(Call::Commit, || {
            commit(&mut self.database.lock(), &self.fence, open)
        })
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        self.open = None;
        Ok(())
    }
}

fn commit(state: &mut State, fence: &TaskFence, open: OpenChunk) -> Result<ChunkCommit, Error> {
    check_fence(state, fence)?;
    let commit = ChunkCommit {
        row_count: open.rows.len() as u64,
        byte_count: open.bytes,
    };
    let record = state
        .records
        .get_mut(&(fence.task.clone(), open.source.clone()));
    let chunk = record.and_then(|record| {
        record
            .chunks
            .iter_mut()
            .find(|chunk| chunk.id == open.chunk)
    });
    match chunk {
        Some(chunk) if chunk.done.is_none() => chunk.done = Some(commit),
        _ => {
            return Err(Error::table(
                &open.source,
                "the chunk is recorded as loaded already",
            ));
        }
    }
    let table = state
        .tables
        .get_mut(&open.target)
        .ok_or_else(|| Error::table(&open.source, "the target table is gone"))?;
    table.rows.extend(open.rows);
    *state
        .commits
        .entry((open.source, open.chunk.0))
        .or_default() += 1;
    Ok(commit)
}
