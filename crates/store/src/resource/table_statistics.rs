use serde::{Deserialize, Serialize};

use super::wire::wire_enum;
use super::{Resource, TaskId};
use crate::EpochMs;

wire_enum! {
    /// How far a table got. All but the first two are set by the run of the task, from the engine's figures.
    pub enum TableState {
        /// The table was selected before but the source has it no more.
        DoesNotExist = "Table does not exist",
        /// Selected, not begun. Also set when a start asks for everything to be loaded again.
        BeforeLoad = "Before load",
        /// Rows are being copied.
        FullLoad = "Full load",
        /// All rows of the snapshot are durable at the target.
        Completed = "Table completed",
        /// The task was stopped while the table was being loaded; a resume goes on with it.
        Cancelled = "Table cancelled",
        /// The table failed; the others go on.
        Error = "Table error",
        /// Loading again by ReloadTables.
        Reloading = "Table is being reloaded",
    }
}

/// Changes counted by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Rows inserted.
    pub inserts: i64,
    /// Rows updated.
    pub updates: i64,
    /// Rows deleted.
    pub deletes: i64,
    /// Changes of the table itself.
    pub ddls: i64,
}

/// The figures of one table of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableStatistics {
    /// Task and table as one text.
    pub id: String,
    /// The task.
    pub task_id: TaskId,
    /// The schema at the source.
    pub schema: String,
    /// The table at the source.
    pub table: String,
    /// How far it got.
    pub state: TableState,
    /// Rows of the last load durable at the target.
    pub full_load_rows: i64,
    /// Rows of the last load that the target refused.
    pub full_load_error_rows: i64,
    /// When the last load began.
    pub full_load_started_at: Option<EpochMs>,
    /// When the last load ended.
    pub full_load_ended_at: Option<EpochMs>,
    /// Whether the last load was asked for by ReloadTables.
    pub full_load_reloaded: bool,
    /// Changes captured.
    pub captured: ChangeCounts,
    /// Changes applied.
    pub applied: ChangeCounts,
    /// When this record last changed.
    pub updated_at: EpochMs,
    /// What is wrong with the table, for the log and the failure message of the task.
    pub error: Option<String>,
}

impl TableStatistics {
    /// Figures of a table that was not begun.
    pub fn new(task_id: &TaskId, schema: &str, table: &str, now: EpochMs) -> Self {
        Self {
            id: Self::id_of(task_id, schema, table),
            task_id: task_id.clone(),
            schema: schema.to_owned(),
            table: table.to_owned(),
            state: TableState::BeforeLoad,
            full_load_rows: 0,
            full_load_error_rows: 0,
            full_load_started_at: None,
            full_load_ended_at: None,
            full_load_reloaded: false,
            captured: ChangeCounts::default(),
            applied: ChangeCounts::default(),
            updated_at: now,
            error: None,
        }
    }

    /// Task and table as one text that no other table gives: the lengths tell where the schema ends.
    pub fn id_of(task_id: &TaskId, schema: &str, table: &str) -> String {
        format!("{task_id}/{}:{schema}.{table}", schema.len())
    }
}

impl Resource for TableStatistics {
    const KIND: &'static str = "table-statistics";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.id
    }

    fn parent(&self) -> &str {
        self.task_id.as_str()
    }
}
