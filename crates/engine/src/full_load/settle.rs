//! The end of a load: the objects of its tables, and then its record, which a resume needs until both are done.

use tracing::{debug, info, warn};
use whimbrel_connector::{Error, NOBODY, Target, TaskFence};
use whimbrel_core::TableName;

use super::LoadOutcome;
use super::conclude::lost_tables;
use super::coordinator::Attempt;
use crate::objects::{Building, Built, Stage};
use crate::{ProgressSnapshot, RunError};

pub(super) async fn settle(
    attempt: &Attempt<'_>,
    fence: &TaskFence,
    target: &mut dyn Target,
    outcome: LoadOutcome,
) -> Result<LoadOutcome, RunError> {
    let LoadOutcome::Finished { tables_errored } = outcome else {
        return Ok(outcome);
    };
    let building = Building {
        source: attempt.source,
        target: attempt.target,
        spec: attempt.spec,
        fence,
        progress: attempt.progress,
        stop: attempt.stop,
    };
    let mut is_refused = false;
    // What constrains rows waits until no more changes follow.
    if tables_errored > 0 {
        tell_put_aside(fence, target).await;
    } else if !attempt.spec.is_followed {
        let refused = tokio::select! {
            () = attempt.stop.cancelled() => return Ok(LoadOutcome::Stopped),
            refused = target.restore_keys(fence) => refused,
        };
        let refused = refused.map_err(RunError::Target)?;
        is_refused = !refused.is_empty();
        building.tell_keys(refused);
    }
    if building.run(Stage::Loaded).await? == Built::Stopped {
        return Ok(LoadOutcome::Stopped);
    }
    if is_refused {
        let refused = tokio::select! {
            () = attempt.stop.cancelled() => return Ok(LoadOutcome::Stopped),
            refused = target.restore_keys(fence) => refused,
        };
        building.tell_keys(refused.map_err(RunError::Target)?);
    }
    let progress = attempt.progress.snapshot();
    let objects_failed = progress.objects_failed();
    let keeps_record = attempt.spec.keeps_record || attempt.spec.is_followed;
    if tables_errored == 0 && objects_failed == 0 && !keeps_record {
        forget(attempt, target, fence, &progress).await?;
    }
    info!(
        task = fence.task,
        tables_errored,
        objects_failed,
        rows = progress.row_count(),
        "full load finished"
    );
    Ok(outcome)
}

/// Says where something of the target stays away because tables are in error. The load has ended either way, so a target that does not tell ends nothing.
async fn tell_put_aside(fence: &TaskFence, target: &mut dyn Target) {
    match target.has_put_aside(fence).await {
        Ok(false) => {}
        Ok(true) => warn!(
            task = fence.task,
            "foreign keys, views and triggers that were put aside at the target come back once its tables are loaded, or when the task is forgotten"
        ),
        Err(error) => debug!(task = fence.task, %error, "it cannot be said what was put aside"),
    }
}

/// Removes the record, which has no use any more: everything is loaded. So nothing is amiss where it stays, but where the target was put back
/// at this very moment.
async fn forget(
    attempt: &Attempt<'_>,
    target: &mut dyn Target,
    fence: &TaskFence,
    progress: &ProgressSnapshot,
) -> Result<(), RunError> {
    let forgotten = async {
        // Its foreign keys came back before.
        let Err(first) = target.forget(fence).await else {
            return Ok(None);
        };
        debug!(task = fence.task, error = %first, "removing the record of the load is tried again");
        forget_again(attempt, fence, progress).await
    };
    let forgotten = tokio::select! {
        biased;
        forgotten = forgotten => forgotten,
        () = attempt.stop.cancelled() => {
            warn!(task = fence.task, "the load is stopped while the record of it is removed, which may stay at the target; the next start of the task, or whimbrel forget, removes it");
            return Ok(());
        }
    };
    match forgotten {
        // Or it was removed the first time.
        Ok(None) | Err(Error::Fenced { theirs: NOBODY, .. }) => Ok(()),
        Ok(Some(table)) => Err(RunError::Target(Error::record_lost(&table))),
        Err(error) => {
            warn!(task = fence.task, %error, "the record of the load stays at the target; the next start of the task, or whimbrel forget, removes it");
            Ok(())
        }
    }
}

/// Removes the record on a new connection, unless it has lost a table.
async fn forget_again(
    attempt: &Attempt<'_>,
    fence: &TaskFence,
    progress: &ProgressSnapshot,
) -> Result<Option<TableName>, Error> {
    let mut target = attempt.target.target().await?;
    let lost = lost_tables(attempt, &mut *target, fence, progress).await?;
    if lost.is_empty() {
        target.forget(fence).await?;
    }
    Ok(lost.into_iter().next())
}
