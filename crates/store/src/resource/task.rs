use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use whimbrel_core::TableName;
use whimbrel_core::settings::SettingsDocument;

use super::wire::{id_type, wire_enum};
use super::{EndpointId, InstanceId, Resource};
use crate::EpochMs;

id_type! {
    /// The last part of a replication task's ARN.
    TaskId
}

wire_enum! {
    /// What a task does.
    pub enum MigrationType {
        /// Copies the rows that are there.
        FullLoad = "full-load",
        /// Follows the changes.
        Cdc = "cdc",
        /// Copies the rows, then follows the changes.
        FullLoadAndCdc = "full-load-and-cdc",
    }
}

wire_enum! {
    /// How a start treats what earlier runs left.
    pub enum StartType {
        /// The first start.
        Start = "start-replication",
        /// Goes on where the last run ended.
        Resume = "resume-processing",
        /// Prepares the targets again and loads everything.
        Reload = "reload-target",
    }
}

wire_enum! {
    /// Where a task is in its life. Which status follows which: see the task reconciler of the server.
    pub enum TaskStatus {
        /// Set by CreateReplicationTask; the reconciler checks the task and makes it `ready`.
        Creating = "creating",
        /// Set by the reconciler, and again after a modification of a task that never ran.
        Ready = "ready",
        /// Set by StartReplicationTask; the reconciler starts the run.
        Starting = "starting",
        /// Set by the reconciler once the run is under way. A process that finds it after a crash resumes the run.
        Running = "running",
        /// Set by StopReplicationTask; the reconciler ends the run.
        Stopping = "stopping",
        /// Set by the reconciler when a run ended by request or because all is done.
        Stopped = "stopped",
        /// Set by the reconciler when a run ended with an error that is not to be repeated.
        Failed = "failed",
        /// Set by ModifyReplicationTask; the reconciler puts the status back.
        Modifying = "modifying",
        /// Set by MoveReplicationTask; the reconciler moves the task and puts the status back.
        Moving = "moving",
        /// Set by the reconciler when the other instance could not take the task.
        FailedMove = "failed-move",
        /// Set by an assessment run; its end puts the status back.
        Testing = "testing",
        /// Set by DeleteReplicationTask; the reconciler removes the task with its statistics.
        Deleting = "deleting",
    }
}

wire_enum! {
    /// Why the last run ended.
    pub enum StopReason {
        /// StopReplicationTask asked for it.
        Normal = "Stop Reason NORMAL",
        /// A full-load task has loaded everything.
        FullLoadOnlyFinished = "Stop Reason FULL_LOAD_ONLY_FINISHED",
        /// The task's settings ask to stop before cached changes are applied.
        StoppedAfterFullLoad = "Stop Reason STOPPED_AFTER_FULL_LOAD",
        /// The task's settings ask to stop after cached changes are applied.
        StoppedAfterCachedEvents = "Stop Reason STOPPED_AFTER_CACHED_EVENTS",
        /// `CdcStopPosition` named a time of this machine's clock.
        StoppedAtServerTime = "Stop Reason STOPPED_AT_SERVER_TIME",
        /// `CdcStopPosition` named a time of commit.
        StoppedAtCommitTime = "Stop Reason STOPPED_AT_COMMIT_TIME",
        /// An error of the surroundings, with retries used up.
        RecoverableError = "Stop Reason RECOVERABLE_ERROR",
        /// An error that no repetition will mend.
        FatalError = "Stop Reason FATAL_ERROR",
    }
}

/// A run that was asked for and has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRun {
    /// How StartReplicationTask asked for it.
    pub start_type: StartType,
    /// Whether a process took it up already: the next one to find it takes it over.
    pub begun: bool,
    /// When it was asked for.
    pub requested_at: EpochMs,
}

/// The figures of a task as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStatistics {
    /// 0 to 100.
    pub full_load_progress_percent: i32,
    /// Milliseconds that the full load has taken.
    pub elapsed_ms: i64,
    /// Tables loaded.
    pub tables_loaded: i32,
    /// Tables being loaded.
    pub tables_loading: i32,
    /// Tables waiting.
    pub tables_queued: i32,
    /// Tables in error.
    pub tables_errored: i32,
    /// The last start that began from nothing.
    pub fresh_started_at: Option<EpochMs>,
    /// The last start of any kind.
    pub started_at: Option<EpochMs>,
    /// The last end of a run.
    pub stopped_at: Option<EpochMs>,
    /// When the full load began.
    pub full_load_started_at: Option<EpochMs>,
    /// When it ended.
    pub full_load_finished_at: Option<EpochMs>,
}

/// A replication task: what to move from where to where, and how far it got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicationTask {
    /// The last part of its ARN.
    pub id: TaskId,
    /// The name that the user gave.
    pub identifier: String,
    /// Where rows come from.
    pub source_endpoint_id: EndpointId,
    /// Where rows go.
    pub target_endpoint_id: EndpointId,
    /// Where the task runs.
    pub instance_id: InstanceId,
    /// Where it is being moved to, or failed to move to.
    pub move_to: Option<InstanceId>,
    /// What it does.
    pub migration_type: MigrationType,
    /// The mapping document as given.
    pub table_mappings: String,
    /// The whole settings document, defaults filled in.
    pub settings: SettingsDocument,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// The status to go back to after `modifying`, `moving` or `testing`.
    pub resting_status: TaskStatus,
    /// The run that was asked for and has not ended.
    pub run: Option<TaskRun>,
    /// Grows whenever a process takes the task: what fences an earlier one at the target.
    pub epoch: i64,
    /// Whether the task was ever started.
    pub ever_started: bool,
    /// What it did by its last start: what is at the target came there by that. Not known of a task that an older version started.
    #[serde(default)]
    pub started_as: Option<MigrationType>,
    /// Whether the target has let go of what earlier starts recorded there. Until then every run is a fresh one, or it
    /// would take the record of an earlier start for its own.
    #[serde(alias = "is_load_prepared")]
    pub is_cleared: bool,
    /// Whether its load has come to its end without errors, after which the target lets the record of it go: what is complete is known from the
    /// tables' figures alone.
    #[serde(default)]
    pub is_loaded: bool,
    /// Server, port and database of source and target as its last run found them: of other ones, its figures tell nothing. Not known of a
    /// task that only an older version ran.
    #[serde(default)]
    pub ran_between: Option<[String; 2]>,
    /// Why the last run ended.
    pub stop_reason: Option<StopReason>,
    /// What went wrong in the last run.
    pub last_failure_message: Option<String>,
    /// Follow changes from this moment.
    pub cdc_start_time: Option<EpochMs>,
    /// Follow changes from this position.
    pub cdc_start_position: Option<String>,
    /// Stop following at this position.
    pub cdc_stop_position: Option<String>,
    /// Where following can go on from.
    pub recovery_checkpoint: Option<String>,
    /// Tables that are to be loaded again while the task runs, and whose load has not begun.
    #[serde(default)]
    pub reloads: BTreeSet<TableName>,
    /// Tables that are to be compared again while the task runs, and of which the run has not heard.
    #[serde(default)]
    pub revalidations: BTreeSet<TableName>,
    /// Supplemental data, as given.
    pub task_data: Option<String>,
    /// When it was made.
    pub created_at: EpochMs,
    /// Its figures.
    pub statistics: TaskStatistics,
}

impl Resource for ReplicationTask {
    const KIND: &'static str = "task";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        &self.identifier
    }
}
