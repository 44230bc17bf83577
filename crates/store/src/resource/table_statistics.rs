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

wire_enum! {
    /// How far the comparison of a table's two ends is. All but the first and the last are set by the run of the task.
    pub enum ValidationState {
        /// The task does not compare.
        NotEnabled = "Not enabled",
        /// Waits for its turn.
        PendingValidation = "Pending validation",
        /// Being described at both ends.
        PreparingTable = "Preparing table",
        /// Rows are being compared, or looked at again.
        PendingRecords = "Pending records",
        /// Both ends hold the same rows.
        Validated = "Validated",
        /// Rows differ.
        MismatchedRecords = "Mismatched records",
        /// Rows kept changing while they were looked at.
        SuspendedRecords = "Suspended records",
        /// Rows cannot be told apart.
        NoPrimaryKey = "No primary key",
        /// The table is in error, or too many of its rows differ.
        TableError = "Table error",
        /// The table could not be compared.
        Error = "Error",
        /// To be compared again, by ReloadTables.
        PendingRevalidation = "Pending revalidation",
    }
}

/// What is known of the comparison of a table's two ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableValidation {
    /// How far it is.
    pub state: ValidationState,
    /// Rows that are still to be looked at.
    pub pending: i64,
    /// Rows that differ.
    pub failed: i64,
    /// Rows that kept changing.
    pub suspended: i64,
    /// What a user should know.
    pub details: Option<String>,
}

impl TableValidation {
    /// Nothing but a state.
    pub fn of(state: ValidationState) -> Self {
        Self {
            state,
            pending: 0,
            failed: 0,
            suspended: 0,
            details: None,
        }
    }
}

impl Default for TableValidation {
    fn default() -> Self {
        Self::of(ValidationState::NotEnabled)
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
    /// How far the comparison of both ends is.
    #[serde(default)]
    pub validation: TableValidation,
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
            validation: TableValidation::default(),
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
