use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroU32;

use whimbrel_connector::{
    Error, Feeding, KeyPolicy, LoadRecord, PrepareMode, Target, TargetTable, TaskFence,
};
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::objects::ObjectSelection;
use whimbrel_core::{Position, Table, TableName};

use crate::shaping::Shaper;
use crate::{DataErrors, Progress, RetryPolicy, RunError, Shaping, TableState};

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
        /// Tables that are complete and whose record was let go: what the target does not record is believed of these only.
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

/// Where users read of rows that were left out of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadExceptions {
    /// The schema of their table; where the service has such tables when not given.
    pub home: Option<String>,
}

/// Everything a full load can be told.
#[derive(Clone, Debug)]
pub struct FullLoadSpec {
    /// The task's name at the target: at most 128 characters, unique there.
    pub task: String,
    /// Whether it shares its tables at the target with other tasks.
    pub feeding: Feeding,
    /// Which tables, under which names.
    pub mappings: TableMappings,
    /// Puts all tables into this schema of the target, whatever the mappings say.
    pub target_schema: Option<String>,
    /// What happens to target tables first.
    pub prepare: PrepareMode,
    /// Whether and when primary keys are created.
    pub keys: KeyPolicy,
    /// The objects that are made beside rows and primary keys.
    pub objects: ObjectSelection,
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
    /// What becomes of rows that are refused.
    pub data_errors: DataErrors,
    /// The table at the target in which users read of rows that were left out of the load; only the log tells of them when not given.
    pub load_exceptions: Option<LoadExceptions>,
    /// What a failed table does.
    pub on_table_error: TableErrorPolicy,
    /// So many tables in error end the run.
    pub tables_in_error_max: Option<NonZeroU32>,
    /// Whether matching no table is an error.
    pub fails_without_tables: bool,
    /// Whether the record stays at the target after a load without errors, for the caller to remove once it has noted the end.
    pub keeps_record: bool,
    /// Whether changes are followed afterwards: the record stays, and a table's rows all come from one view.
    pub is_followed: bool,
    /// Only some tables, into a task that is under way.
    pub joining: Option<Joining>,
    /// What the caller has claimed already: whoever has taken the task since does not lose it to this run.
    pub held: Option<TaskFence>,
    /// Retries after faults of the environment.
    pub retry: RetryPolicy,
}

/// A load of some of the task's tables.
#[derive(Clone, Debug)]
pub struct Joining {
    /// What the run holds that follows others meanwhile; `None` for a load that claims the task itself.
    pub fence: Option<TaskFence>,
    /// The tables.
    pub tables: BTreeSet<TableName>,
    /// Whether they join others that were loaded before, or are loaded once more.
    pub is_later: bool,
    /// The log is read from here on for them, so that their view must not be older.
    pub not_before: Option<Position>,
    /// Others of the task that are complete though the target does not record them.
    pub completed: HashSet<TableName>,
}

impl FullLoadSpec {
    /// A fresh load of the mapped tables with the defaults of a task.
    pub fn new(task: impl Into<String>, mappings: TableMappings) -> Self {
        Self {
            task: task.into(),
            feeding: Feeding::Alone,
            mappings,
            target_schema: None,
            prepare: PrepareMode::DropAndCreate,
            keys: KeyPolicy::Best,
            objects: ObjectSelection::none(),
            shaping: Shaping::default(),
            subtask_count: 8,
            chunk_bytes: CHUNK_BYTES,
            block_bytes: BLOCK_BYTES,
            statement_rows_max: None,
            start: StartKind::Fresh,
            data_errors: DataErrors::default(),
            load_exceptions: None,
            on_table_error: TableErrorPolicy::SuspendTable,
            tables_in_error_max: None,
            fails_without_tables: true,
            keeps_record: false,
            is_followed: false,
            joining: None,
            held: None,
            retry: RetryPolicy::default(),
        }
    }

    /// Sees whether the run goes on with the tables that are in error.
    ///
    /// # Errors
    /// There are as many as the user wants to be the end of it.
    pub(crate) fn check_tables_in_error(&self, progress: &Progress) -> Result<(), RunError> {
        let Some(most) = self.tables_in_error_max else {
            return Ok(());
        };
        let count = progress.snapshot().count(TableState::Error);
        if count < most.get() as usize {
            return Ok(());
        }
        Err(RunError::Table(format!(
            "{count} tables are in error, which are too many by TableErrorEscalationCount; mend them and load them again, or raise the count"
        )))
    }

    /// Whether the run loads a table of the source.
    pub(crate) fn selects(&self, table: &TableName) -> bool {
        let joins = |joining: &Joining| joining.tables.contains(table);
        self.mappings.selects_any(table) && self.joining.as_ref().is_none_or(joins)
    }

    /// Whether the load answers for a table that is complete: for all of the task where it holds the task alone.
    pub(crate) fn answers_for(&self, table: &TableName) -> bool {
        let holds_task = |joining: &Joining| joining.fence.is_none();
        self.selects(table)
            || self.mappings.selects_any(table) && self.joining.as_ref().is_some_and(holds_task)
    }

    /// Whether a table was loaded under the settings and rules of now.
    ///
    /// # Errors
    /// It was not: rows of two shapes would lie beside each other, and changes in another shape would not find their rows.
    pub(crate) fn check_shape(&self, record: &LoadRecord) -> Result<(), RunError> {
        let state = record.follow.as_ref();
        let is_same = state.is_none_or(|state| {
            state.suspended.is_some() || self.shaper().is_that_of(&state.shape)
        });
        if is_same {
            return Ok(());
        }
        Err(RunError::Table(format!(
            "table {} was loaded under other settings of its values (LobMaxSize, MapBooleanAsBoolean, MapUnboundedNumericAsString) or other rules for its columns and rows than the task has now; set them back, or load the tables again with reload-target",
            record.table
        )))
    }

    /// Plans the target's table for one of the source.
    pub(crate) fn plan_table(
        &self,
        table: &Table,
        target: &dyn Target,
    ) -> Result<TargetTable, Error> {
        if let Some(why) = &table.obstacle {
            return Err(Error::table(&table.name, why));
        }
        let name = self.shaper().target_name(&table.name)?;
        self.shaper().plan(target, table, name, self.keys)
    }

    /// Whether rows of a table are decoded on their way, because rules or settings make others of them or choose among them.
    pub fn shapes_rows(&self, table: &Table) -> bool {
        let shape = self.shaper().of_rows(table);
        shape.is_ok_and(|shape| shape.is_some())
    }

    /// What decides of the shape of the run's tables.
    pub(crate) fn shaper(&self) -> Shaper<'_> {
        Shaper {
            settings: &self.shaping,
            mappings: &self.mappings,
            target_schema: self.target_schema.as_deref(),
        }
    }

    /// Why changes of a table cannot be followed in the shape that rules give it.
    ///
    /// # Errors
    /// [`Error::Table`] for a rule that does not fit the table.
    pub(crate) fn untellable(&self, table: &Table) -> Result<(), Error> {
        match self.shaper().of(table)? {
            Some(shaped) if !shaped.finds_rows() => Err(Error::table(
                &table.name,
                "rules leave out a column of its key, give it random digits, or make a key of other columns than those of its own (a table without a key is looked for by all its columns), so that changes do not find their rows; keep the columns of its key, or load the table without following its changes",
            )),
            _ => Ok(()),
        }
    }

    /// Those of the tables whose updates are of use only where the log tells more of the old row than its key.
    pub(crate) fn needing_old_rows(&self, tables: &[Table]) -> Vec<Table> {
        let needs = |table: &&Table| {
            let shaped = self.shaper().of(table);
            shaped.is_ok_and(|shaped| shaped.is_some_and(|shaped| shaped.needs_old_rows()))
        };
        tables.iter().filter(needs).cloned().collect()
    }

    /// The table's name at the target; its own where a rule makes none, which keeps the table from being planned.
    pub(crate) fn target_name(&self, table: &TableName) -> TableName {
        let name = self.shaper().target_name(table);
        name.unwrap_or_else(|_| table.clone())
    }
}
