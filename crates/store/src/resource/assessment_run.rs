use serde::{Deserialize, Serialize};

use super::wire::{id_type, wire_enum};
use super::{Resource, TaskId};
use crate::EpochMs;

id_type! {
    /// The last part of an assessment run's ARN.
    AssessmentRunId
}

wire_enum! {
    /// Where an assessment run is in its life.
    pub enum AssessmentRunStatus {
        /// Set with the run; the reconciler begins it.
        Starting = "starting",
        /// Set by the reconciler. A process that finds it after a crash begins the run anew.
        Running = "running",
        /// All its checks have passed.
        Passed = "passed",
        /// Some have warnings, and none has failed.
        Warning = "warning",
        /// Some have failed.
        Failed = "failed",
        /// Some could not be made, and none has failed.
        ErrorExecuting = "error-executing",
        /// Set by CancelReplicationTaskAssessmentRun; it stays once the run has ended, for there is no other word for it.
        Cancelling = "cancelling",
        /// Set by DeleteReplicationTaskAssessmentRun; the reconciler removes the run.
        Deleting = "deleting",
    }
}

wire_enum! {
    /// What became of one check of a run.
    pub enum IndividualStatus {
        /// Its run has not begun.
        Pending = "pending",
        /// Its run is under way.
        Running = "running",
        /// It found nothing.
        Passed = "passed",
        /// It found something that the task survives.
        Warning = "warning",
        /// It found something that stands in the way.
        Failed = "failed",
        /// It could not be made.
        Error = "error",
        /// The server has no way to answer it.
        Skipped = "skipped",
        /// Its run was cancelled.
        Cancelled = "cancelled",
    }
}

/// One check of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndividualAssessment {
    /// The last part of its ARN.
    pub id: String,
    /// The name of the check.
    pub name: String,
    /// What became of it.
    pub status: IndividualStatus,
    /// When its run began.
    pub started_at: Option<EpochMs>,
}

/// Where the user wants the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultLocation {
    /// The role that would write them.
    pub role_arn: String,
    /// The bucket: a folder here.
    pub bucket: String,
    /// The folder in it.
    pub folder: Option<String>,
    /// How they would be encrypted.
    pub encryption_mode: Option<String>,
    /// The key of that encryption.
    pub kms_key_arn: Option<String>,
}

/// A run of checks of a task. A task that is `testing` has exactly one that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssessmentRun {
    /// The last part of its ARN.
    pub id: AssessmentRunId,
    /// The task.
    pub task_id: TaskId,
    /// The name that the user gave; of an assessment of types alone, one that nobody can give.
    pub name: String,
    /// Whether StartReplicationTaskAssessment asked for it, which asks of types alone and shows no run.
    pub is_of_types: bool,
    /// Where results go.
    pub location: ResultLocation,
    /// Its state.
    pub status: AssessmentRunStatus,
    /// Its checks.
    pub individual: Vec<IndividualAssessment>,
    /// What the last check that failed, or could not be made, has found.
    pub last_failure_message: Option<String>,
    /// When it was asked for.
    pub created_at: EpochMs,
    /// When it ended; `None` while it has not.
    pub ended_at: Option<EpochMs>,
}

impl Resource for AssessmentRun {
    const KIND: &'static str = "assessment-run";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn parent(&self) -> &str {
        self.task_id.as_str()
    }
}
