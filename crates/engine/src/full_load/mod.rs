//! The full load.
//!
//! ```text
//!  plan ──► coordinator ── jobs ──► subtasks ──► chunk: read ► write ► commit with record
//!           (prepare, in order)        └──────► last chunk of a table: build keys, finish
//! ```
//!
//! Why every row arrives once. The chunks of a plan cover the snapshot exactly. A chunk's rows and the record that it is done
//! commit together, so after a crash the record tells exactly which chunks the table holds, and the others are loaded again
//! from nothing: an open chunk leaves no rows. A record is written last when a table is prepared, so a table without
//! one is prepared again. A worker that was replaced holds an older epoch and is refused in those same transactions.
//! A resume reads the open chunks under a new snapshot. The source connector is asked whether the recorded bounds still
//! cover every row ([`whimbrel_connector::Snapshot::plan_holds`]); where they do not, the table starts again.

mod coordinator;
mod plan;
mod subtask;

pub(crate) use plan::unfollowable;
pub use plan::{LoadPlan, PlannedTable, plan_full_load};

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::warn;
use whimbrel_connector::Connector;

use crate::{FullLoadSpec, Progress, RunError, StartKind, TableState};

/// How a full load ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// Every table is completed or in error.
    Finished {
        /// Tables in error.
        tables_errored: usize,
    },
    /// It was asked to stop; a resume goes on.
    Stopped,
}

/// Runs a full load to its end, retrying after faults of the environment.
///
/// `progress` shows the run as it goes. When `stop` is cancelled, open chunks are rolled back and the run ends as
/// [`LoadOutcome::Stopped`].
///
/// # Errors
/// The first error that no retry mends. Finished chunks stay recorded; a resume goes on from them.
///
/// # Cancel safety
/// Dropping the future rolls open chunks back, like a crash.
pub async fn run_full_load(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &FullLoadSpec,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<LoadOutcome, RunError> {
    let mut start = spec.start.clone();
    let mut retry_number = 0;
    let owns_record = AtomicBool::new(false);
    loop {
        let chunks_committed = Arc::new(AtomicU64::new(0));
        let attempt = coordinator::Attempt {
            source,
            target,
            spec,
            start: &start,
            progress,
            stop,
            chunks_committed: &chunks_committed,
            owns_record: &owns_record,
        };
        let error = match coordinator::run_once(attempt).await {
            Ok(outcome) => return Ok(outcome),
            Err(_) if stop.is_cancelled() => return Ok(LoadOutcome::Stopped),
            Err(error) => error,
        };
        if chunks_committed.load(Ordering::Relaxed) > 0 {
            retry_number = 0;
        }
        retry_number += 1;
        if !error.is_transient() || retry_number > spec.retry.retries_max {
            return Err(error);
        }
        let wait = progress.interrupted(&error, retry_number, &spec.retry);
        warn!(task = spec.task, %error, retry_number, wait_ms = wait.as_millis(), "the load is interrupted and tried again");
        tokio::select! {
            () = stop.cancelled() => return Ok(LoadOutcome::Stopped),
            () = tokio::time::sleep(wait) => {}
        }
        if owns_record.load(Ordering::Relaxed) {
            start = retry_start(start, progress);
        }
    }
}

/// What an attempt starts from once the record at the target is this run's own. Before that, a fresh start stays one: what it
/// would find is the record of an earlier run, whose rows it was told to load again.
///
/// Tables that are completed stay so, although the record may have gone: removing it may have succeeded and its answer been lost.
fn retry_start(start: StartKind, progress: &Progress) -> StartKind {
    let mut completed = match start {
        StartKind::Fresh => HashSet::new(),
        StartKind::Resume { completed, .. } => completed,
    };
    let tables = progress.snapshot().tables;
    let done = tables
        .into_iter()
        .filter(|(_, table)| table.state == TableState::Completed);
    completed.extend(done.map(|(name, _)| name));
    StartKind::Resume {
        completed,
        needs_record: false,
    }
}
