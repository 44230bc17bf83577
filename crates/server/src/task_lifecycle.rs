//! The life of a replication task.
//!
//! ```text
//!  status        event                        next status      set by
//!  ------------  ---------------------------  ---------------  ----------------------
//!  creating      settled                      ready            reconciler
//!  ready         start                        starting         StartReplicationTask
//!  stopped       start                        starting         StartReplicationTask
//!  failed        start                        starting         StartReplicationTask
//!  starting      run begun                    running          reconciler
//!  starting      stop                         stopping         StopReplicationTask
//!  running       stop                         stopping         StopReplicationTask
//!  running       run ended: finished          stopped          run
//!  running       run ended: failed            failed           run
//!  running       run ended: stopped           running          run (the process ends, or the instance reboots)
//!  stopping      run ended: in any way        stopped, failed  run, or reconciler when none is there after a crash
//!  at rest       modify                       modifying        ModifyReplicationTask
//!  modifying     settled                      as before        reconciler
//!  at rest       move                         moving           MoveReplicationTask
//!  moving        settled                      as before        reconciler
//!  moving        instance gone                failed-move      reconciler
//!  ready         assess                       testing          StartReplicationTaskAssessmentRun, StartReplicationTaskAssessment
//!  stopped       assess                       testing          as above
//!  failed        assess                       testing          as above
//!  testing       assessment ended             as before        reconciler, in the transaction that ends the run of the assessment
//!  not running   delete                       deleting         DeleteReplicationTask
//!  deleting      run ended, nothing left      (gone)           reconciler
//! ```
//!
//! At rest: `ready`, `stopped`, `failed`, `failed-move`. Nobody else changes a status.
//!
//! Why a crash needs no care: a status that is on its way (`starting`, `stopping`, …) is stored before anything is done about it,
//! and whoever starts next finds it and does the same step again. `running` without a run in this process means that the process
//! that ran it is gone, so it is claimed under the next epoch and resumed.

use whimbrel_store::{
    EpochMs, MigrationType, ReplicationTask, StartType, StopReason, TaskRun, TaskStatistics,
    TaskStatus,
};

use crate::data_plane::RunEnd;

/// Why a step is not allowed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The status does not allow it.
    WrongStatus,
    /// `start-replication` of a task that ran before.
    NotFirstStart,
    /// The first start must be `start-replication`.
    FirstStart,
    /// `reload-target` of a task that only follows changes.
    NothingToReload,
    /// `resume-processing` of a task that does something else now, which cannot go on from what was done.
    OtherType {
        /// What it did by its last start.
        was: MigrationType,
        /// What it does now.
        is: MigrationType,
    },
}

/// Whether nothing is under way.
pub(crate) fn is_at_rest(status: TaskStatus) -> bool {
    use TaskStatus as S;
    match status {
        S::Ready | S::Stopped | S::Failed | S::FailedMove => true,
        S::Creating
        | S::Starting
        | S::Running
        | S::Stopping
        | S::Modifying
        | S::Moving
        | S::Testing
        | S::Deleting => false,
    }
}

/// Whether the task has or should have a run.
pub(crate) fn is_active(status: TaskStatus) -> bool {
    matches!(
        status,
        TaskStatus::Starting | TaskStatus::Running | TaskStatus::Stopping
    )
}

/// StartReplicationTask.
pub(crate) fn start(
    task: &mut ReplicationTask,
    start_type: StartType,
    now: EpochMs,
) -> Result<(), Refusal> {
    if !matches!(
        task.status,
        TaskStatus::Ready | TaskStatus::Stopped | TaskStatus::Failed
    ) {
        return Err(Refusal::WrongStatus);
    }
    let follows_changes_only = task.migration_type == MigrationType::Cdc;
    match start_type {
        StartType::Start if task.ever_started && !follows_changes_only => {
            return Err(Refusal::NotFirstStart);
        }
        StartType::Reload if follows_changes_only => return Err(Refusal::NothingToReload),
        StartType::Resume | StartType::Reload if !task.ever_started => {
            return Err(Refusal::FirstStart);
        }
        StartType::Resume => check_goes_on(task)?,
        StartType::Start | StartType::Reload => {}
    }
    task.status = TaskStatus::Starting;
    task.ever_started = true;
    task.started_as = Some(task.migration_type);
    task.stop_reason = None;
    task.last_failure_message = None;
    task.run = Some(TaskRun {
        start_type,
        begun: false,
        requested_at: now,
    });
    task.statistics.started_at = Some(now);
    task.statistics.stopped_at = None;
    if start_type != StartType::Resume {
        task.reloads.clear();
        task.revalidations.clear();
        task.is_cleared = false;
        task.is_loaded = false;
        task.recovery_checkpoint = None;
        task.statistics = TaskStatistics {
            started_at: Some(now),
            fresh_started_at: Some(now),
            ..TaskStatistics::default()
        };
    }
    Ok(())
}

/// Whether what the task does now goes on from what it did. Rows that were loaded without keeping the log lack what was committed since;
/// tables that were followed only never got the rows that they had.
fn check_goes_on(task: &ReplicationTask) -> Result<(), Refusal> {
    use MigrationType as T;
    let is = task.migration_type;
    let has_loaded = task.statistics.full_load_finished_at.is_some();
    match task.started_as {
        Some(T::FullLoadAndCdc) if is == T::Cdc && has_loaded => Ok(()),
        Some(was) if was != is => Err(Refusal::OtherType { was, is }),
        Some(_) | None => Ok(()),
    }
}

/// StopReplicationTask.
pub(crate) fn stop(task: &mut ReplicationTask) -> Result<(), Refusal> {
    if !matches!(task.status, TaskStatus::Starting | TaskStatus::Running) {
        return Err(Refusal::WrongStatus);
    }
    task.status = TaskStatus::Stopping;
    Ok(())
}

/// ModifyReplicationTask, before anything is modified.
pub(crate) fn modify(task: &mut ReplicationTask) -> Result<(), Refusal> {
    leave_rest(task, TaskStatus::Modifying)?;
    if task.ever_started {
        task.started_as.get_or_insert(task.migration_type);
    }
    Ok(())
}

/// MoveReplicationTask.
pub(crate) fn start_move(task: &mut ReplicationTask) -> Result<(), Refusal> {
    leave_rest(task, TaskStatus::Moving)
}

fn leave_rest(task: &mut ReplicationTask, next: TaskStatus) -> Result<(), Refusal> {
    if !is_at_rest(task.status) {
        return Err(Refusal::WrongStatus);
    }
    // A failed move is over once the task is modified or moved again.
    if task.status != TaskStatus::FailedMove {
        task.resting_status = task.status;
    }
    task.status = next;
    Ok(())
}

/// StartReplicationTaskAssessmentRun, StartReplicationTaskAssessment.
pub(crate) fn start_assessment(task: &mut ReplicationTask) -> Result<(), Refusal> {
    if task.status == TaskStatus::FailedMove {
        return Err(Refusal::WrongStatus);
    }
    leave_rest(task, TaskStatus::Testing)
}

/// The assessment has ended, in whatever way.
pub(crate) fn end_assessment(task: &mut ReplicationTask) {
    if task.status == TaskStatus::Testing {
        task.status = task.resting_status;
    }
}

/// DeleteReplicationTask.
pub(crate) fn delete(task: &mut ReplicationTask) -> Result<(), Refusal> {
    if !is_at_rest(task.status) && task.status != TaskStatus::Creating {
        return Err(Refusal::WrongStatus);
    }
    task.status = TaskStatus::Deleting;
    Ok(())
}

/// The reconciler has done what `creating`, `modifying` or `moving` asked for.
pub(crate) fn settle(task: &mut ReplicationTask) -> bool {
    match task.status {
        TaskStatus::Creating => task.status = TaskStatus::Ready,
        TaskStatus::Modifying | TaskStatus::Moving => task.status = task.resting_status,
        _ => return false,
    }
    true
}

/// The instance to move to is gone.
pub(crate) fn fail_move(task: &mut ReplicationTask) {
    if task.status == TaskStatus::Moving {
        task.status = TaskStatus::FailedMove;
    }
}

/// The reconciler starts the run, or takes over that of a process that is gone. Gives the way to start it.
pub(crate) fn begin_run(task: &mut ReplicationTask) -> Option<BegunRun> {
    if !matches!(task.status, TaskStatus::Starting | TaskStatus::Running) {
        return None;
    }
    let run = task.run.as_mut()?;
    let begun = BegunRun {
        resumes: task.is_cleared,
        was_running: run.begun,
    };
    run.begun = true;
    task.epoch += 1;
    task.status = TaskStatus::Running;
    Some(begun)
}

/// The run begins between these ends. Where the last one had others, what it loaded there is not loaded here.
///
/// # Errors
/// A load that is over would be resumed elsewhere: nobody knows here what of it there is, and tables of the same names may be somebody's.
pub(crate) fn meet_ends(
    task: &mut ReplicationTask,
    ends: [String; 2],
    begun: BegunRun,
) -> Result<(), &'static str> {
    if task.ran_between.as_ref().is_some_and(|last| *last != ends) {
        let loads_alone = task.migration_type == MigrationType::FullLoad;
        if begun.resumes && task.is_loaded && loads_alone {
            return Err(
                "The task has loaded its tables between other servers or databases than its endpoints name now, so that it cannot be resumed here. \
                 Start it with reload-target, which prepares and loads all tables at this target; or modify the endpoints back. \
                 Tables that are new can be loaded by a task of their own",
            );
        }
        task.is_loaded = false;
    }
    task.ran_between = Some(ends);
    Ok(())
}

/// How [`begin_run`] wants the run started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BegunRun {
    /// On from what is at the target, instead of afresh.
    pub(crate) resumes: bool,
    /// It is taken over from a process that is gone.
    pub(crate) was_running: bool,
}

/// Whether a run has loaded all that was left to load, so that nobody needs the target's record of it.
pub(crate) fn lets_record_go(task: &ReplicationTask, end: &RunEnd) -> bool {
    *end == RunEnd::Finished(StopReason::FullLoadOnlyFinished)
        && task.statistics.tables_errored == 0
}

/// The run is over. Answers whether the task has come to rest.
pub(crate) fn end_run(task: &mut ReplicationTask, end: &RunEnd, now: EpochMs) -> bool {
    let was_asked_to_stop = matches!(task.status, TaskStatus::Stopping | TaskStatus::Deleting);
    let (status, reason, message) = match end {
        // Nobody asked the task to stop, so the process is ending or the instance reboots: it goes on later.
        RunEnd::Stopped if !was_asked_to_stop => return false,
        RunEnd::Stopped => (TaskStatus::Stopped, StopReason::Normal, None),
        // Tables were asked for again at the last moment: another run loads them.
        RunEnd::Finished(StopReason::FullLoadOnlyFinished)
            if !was_asked_to_stop && !task.reloads.is_empty() =>
        {
            return false;
        }
        RunEnd::Finished(reason) => (TaskStatus::Stopped, *reason, None),
        RunEnd::Failed {
            message,
            is_recoverable,
        } => {
            let (reason, level) = if *is_recoverable {
                (StopReason::RecoverableError, "RECOVERABLE")
            } else {
                (StopReason::FatalError, "FATAL")
            };
            (
                TaskStatus::Failed,
                reason,
                Some(format!("Last Error {message} {reason} Error Level {level}")),
            )
        }
    };
    if task.status != TaskStatus::Deleting {
        task.status = status;
    }
    task.run = None;
    task.is_loaded |= lets_record_go(task, end);
    task.stop_reason = Some(reason);
    task.last_failure_message = message;
    task.statistics.stopped_at = Some(now);
    true
}

#[cfg(test)]
pub(crate) mod tests;
