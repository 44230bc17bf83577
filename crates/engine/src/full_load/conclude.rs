//! The end of an attempt.

use whimbrel_connector::{Error, Target, TaskFence};
use whimbrel_core::TableName;

use super::LoadOutcome;
use super::coordinator::{Attempt, Shared};
use crate::{ProgressSnapshot, RunError, TableState};

/// Tells how the loading of an attempt ended.
pub(super) async fn conclude(
    attempt: &Attempt<'_>,
    shared: &Shared,
    target: &mut Box<dyn Target>,
) -> Result<LoadOutcome, RunError> {
    let error = shared
        .first_error
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    let progress = attempt.progress.snapshot();
    if cancel_open(attempt, &progress) || error.is_some() {
        return match error {
            Some(error) => Err(error),
            None => Ok(LoadOutcome::Stopped),
        };
    }
    let lost = tokio::select! {
        () = attempt.stop.cancelled() => return Ok(LoadOutcome::Stopped),
        lost = lost_at_last(attempt, shared, target, &progress) => lost?,
    };
    if let Some(first) = lost.first() {
        // The next attempt loads them.
        cancel(attempt, &lost);
        return Err(RunError::Target(Error::record_lost(first)));
    }
    let ours = progress.tables.iter();
    let ours = ours.filter(|(name, _)| is_ours(attempt, name));
    let tables_errored = ours
        .filter(|(_, table)| table.state == TableState::Error)
        .count();
    Ok(LoadOutcome::Finished { tables_errored })
}

/// The tables that are lost, once the target tells: the connection may be gone since the last table was prepared.
async fn lost_at_last(
    attempt: &Attempt<'_>,
    shared: &Shared,
    target: &mut Box<dyn Target>,
    progress: &ProgressSnapshot,
) -> Result<Vec<TableName>, RunError> {
    loop {
        let seen = shared.outages();
        let lost = lost_tables(attempt, &mut **target, &shared.fence, progress).await;
        match lost.map_err(RunError::Target) {
            Err(met) if met.may_pass() => shared.renew(target, met, seen).await?,
            lost => return lost,
        }
    }
}

/// Of tables that join others only they are told: the others may wait for a load of their own.
fn is_ours(attempt: &Attempt<'_>, name: &TableName) -> bool {
    let joining = attempt.spec.joining.as_ref();
    joining.is_none_or(|joining| joining.tables.contains(name))
}

/// Shows what is left to load as not loaded by this attempt. Answers whether anything is.
pub(super) fn cancel_open(attempt: &Attempt<'_>, progress: &ProgressSnapshot) -> bool {
    let tables = progress.tables.iter();
    let open = tables.filter(|(name, table)| is_ours(attempt, name) && !table.state.is_over());
    let open: Vec<&TableName> = open.map(|(name, _)| name).collect();
    let is_any = !open.is_empty();
    cancel(attempt, open);
    is_any
}

/// Shows tables as not loaded by this attempt.
fn cancel<'t>(attempt: &Attempt<'_>, tables: impl IntoIterator<Item = &'t TableName>) {
    for name in tables {
        attempt
            .progress
            .update(name, |entry| entry.state = TableState::Cancelled);
    }
}

/// Tables that are shown as complete and that the target does not have any more: it may have been put back while other tables were loaded.
pub(super) async fn lost_tables(
    attempt: &Attempt<'_>,
    target: &mut dyn Target,
    fence: &TaskFence,
    progress: &ProgressSnapshot,
) -> Result<Vec<TableName>, Error> {
    let records = target.load_records(fence).await?;
    let records = records
        .into_iter()
        .map(|record| (record.table.clone(), record));
    let records = records.collect();
    let complete = progress.tables.iter().filter(|(name, table)| {
        attempt.spec.answers_for(name) && table.state == TableState::Completed
    });
    let lost = complete.filter(|(name, _)| !attempt.is_completed(name, &records));
    Ok(lost.map(|(name, _)| name.clone()).collect())
}
