use std::collections::{BTreeSet, HashSet};

use whimbrel_connector::{Error, KeyPolicy, PrepareMode, Target, TargetTable, TaskFence};
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::{Table, TableName};

use crate::{RetryPolicy, Shaping};

/// A chunk of this size keeps a few seconds of work: little is done again after a crash, and the cost of a
/// transaction per chunk is lost in it.
pub(crate) const CHUNK_BYTES: u64 = 128 * 1024 * 1024;

/// Large enough that the cost of a system call is lost in it, small enough that dozens fit the memory bound.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;

/// Whether a run begins anew or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartKind {
    /// Prepares every table and loads all rows.
    Fresh,
    /// Goes on with the recorded load: finished chunks are not read again.
    Resume {
        /// Tables known to be complete, whose record may be gone already.
        completed: HashSet<TableName>,
        /// Whether a target without any record of the task is an error rather than a load from the start.
        needs_record: bool,
    },
}

/// What a table that cannot be loaded does to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableErrorPolicy {
    /// The table is left in error, the others go on.
    SuspendTable,
    /// The run ends.
    StopTask,
}

/// Everything a full load can be told.
#[derive(Clone, Debug)]
pub struct FullLoadSpec {
    /// The task's name at the target: at most 128 characters, unique there.
    pub task: String,
    /// Which tables, under which names.
    pub mappings: TableMappings,
    /// Puts all tables into this schema of the target, whatever the mappings say.
    pub target_schema: Option<String>,
    /// What happens to target tables first.
    pub prepare: PrepareMode,
    /// Whether and when primary keys are created.
    pub keys: KeyPolicy,
    /// What a user wants to be different at the target.
    pub shaping: Shaping,
    /// Chunks loaded at once, 1..=49; each takes one connection at either end.
    pub subtask_count: usize,
    /// Aim for the size of a chunk.
    pub chunk_bytes: u64,
    /// Aim for the size of a block of rows; memory is about four blocks for each subtask.
    pub block_bytes: usize,
    /// The most rows in one statement to the target, if bounded.
    pub statement_rows_max: Option<u32>,
    /// Afresh, or on from the record.
    pub start: StartKind,
    /// What a failed table does.
    pub on_table_error: TableErrorPolicy,
    /// Whether matching no table is an error.
    pub fails_without_tables: bool,
    /// Whether the record stays at the target after a load without errors, for the caller to remove once it has noted the end.
    pub keeps_record: bool,
    /// Whether changes are followed afterwards: the record stays, and a table's rows all come from one view.
    pub is_followed: bool,
    /// Only some tables, into a task that is under way.
    pub joining: Option<Joining>,
    /// Retries after faults of the environment.
    pub retry: RetryPolicy,
}

/// A load of tables that join a task which follows others meanwhile.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The task is held already.
    pub fence: TaskFence,
    /// The tables, by their names at the source.
    pub tables: BTreeSet<TableName>,
}

impl FullLoadSpec {
    /// A fresh load of the mapped tables with the defaults of a task.
    pub fn new(task: impl Into<String>, mappings: TableMappings) -> Self {
        Self {
            task: task.into(),
            mappings,
            target_schema: None,
            prepare: PrepareMode::DropAndCreate,
            keys: KeyPolicy::Best,
            shaping: Shaping::default(),
            subtask_count: 8,
            chunk_bytes: CHUNK_BYTES,
            block_bytes: BLOCK_BYTES,
            statement_rows_max: None,
            start: StartKind::Fresh,
            on_table_error: TableErrorPolicy::SuspendTable,
            fails_without_tables: true,
            keeps_record: false,
            is_followed: false,
            joining: None,
            retry: RetryPolicy::default(),
        }
    }

    /// Whether the run loads a table of the source.
    pub(crate) fn selects(&self, table: &TableName) -> bool {
        let joins = |joining: &Joining| joining.tables.contains(table);
        self.mappings.selects(table) && self.joining.as_ref().is_none_or(joins)
    }

    /// Plans the target's table for one of the source.
    pub(crate) fn plan_table(
        &self,
        table: &Table,
        target: &dyn Target,
    ) -> Result<TargetTable, Error> {
        let name = self.target_name(&table.name);
        self.shaping.plan(target, table, name, self.keys)
    }

    pub(crate) fn target_name(&self, table: &TableName) -> TableName {
        let mapped = self.mappings.target_name(table);
        match &self.target_schema {
            Some(schema) => TableName {
                schema: schema.clone(),
                name: mapped.name,
            },
            None => mapped,
        }
    }
}
