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
//! A target that is away is waited for within an attempt, whose snapshot is kept; an error of the source ends it.
//! A resume reads the open chunks under a new snapshot. The source connector is asked whether the recorded bounds still
//! cover every row, and the finished chunks gave what they hold now ([`whimbrel_connector::Snapshot::plan_holds`]); where not, the table starts again.
//!
//! Where so, the record is put under the new snapshot ([`whimbrel_connector::Target::rebase`]) *before* a chunk of it is queued. From then on it says that every
//! chunk that is done, old or new, holds what it gave under the new snapshot's position, which is what the attempt after this one asks from:
//!
//! - Killed before that commit, the record has the old position and the old chunks: the next attempt asks the same question over a longer time.
//! - Killed behind it, the old chunks were found to be unchanged up to the new position, and new ones are read under it: a change up to there is in the
//!   rows, and one behind it is asked for. Nothing that was committed between the two is overlooked.
//! - The commit checks the epoch, so that whoever was replaced puts no record under a snapshot that is not that of its successor.
//! - A table whose definition is another than when it was prepared is not asked about: its rows would not fit the target's table, or be other ones.
//!
//! A table that is followed has one view V for all its chunks, so that a record of it is gone on with only where all of them are done and its keys are left to build. Its
//! changes are told from the place of its attempt on ([`Joining::not_before`]), and what lies between V and that place would be in neither: the place moves on when the load of
//! a table fails, since nobody has the log kept for it then. So the record has to reach the place of *now*, like a view that is opened; otherwise the table is
//! prepared anew.

mod apart;
mod conclude;
mod coordinator;
mod feeder;
mod outage;
mod plan;
mod rows;
mod segments;
mod settle;
mod sift;
mod subtask;

pub use apart::{are_one_database, check_ends_are_apart};
pub(crate) use plan::{Found, tell_unmatched, unfollowable};
pub use plan::{LoadPlan, PlannedTable, plan_full_load};
pub use segments::Split;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::warn;
use whimbrel_connector::Connector;
use whimbrel_core::TableName;

use crate::hold::Hold;
use crate::stall_watch::StallWatcher;
use crate::{FullLoadSpec, Joining, Progress, RunError, StartKind};

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
    let hold = Hold::new(spec.held.clone());
    load(source, target, spec, progress, stop, &hold).await
}

/// A load whose tables may be loaded again. The task stays in its hands from one load to the next.
pub struct RepeatedLoad<'a> {
    source: &'a Arc<dyn Connector>,
    target: &'a Arc<dyn Connector>,
    spec: &'a FullLoadSpec,
    progress: &'a Arc<Progress>,
    stop: &'a CancellationToken,
    hold: Hold,
}

impl<'a> RepeatedLoad<'a> {
    /// A load that has not begun.
    pub fn new(
        source: &'a Arc<dyn Connector>,
        target: &'a Arc<dyn Connector>,
        spec: &'a FullLoadSpec,
        progress: &'a Arc<Progress>,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            source,
            target,
            spec,
            progress,
            stop,
            hold: Hold::new(spec.held.clone()),
        }
    }

    /// Loads everything, like [`run_full_load`].
    ///
    /// # Errors
    /// Those of [`run_full_load`].
    pub async fn load(&self) -> Result<LoadOutcome, RunError> {
        self.run(self.spec).await
    }

    /// Loads some tables once more; what is recorded of the others stays.
    ///
    /// # Errors
    /// Those of [`run_full_load`].
    pub async fn load_again(&self, tables: BTreeSet<TableName>) -> Result<LoadOutcome, RunError> {
        let mut completed = match &self.spec.start {
            StartKind::Fresh => HashSet::new(),
            StartKind::Resume { completed, .. } => completed.clone(),
        };
        completed.retain(|table| !tables.contains(table));
        let again = FullLoadSpec {
            start: StartKind::Fresh,
            joining: Some(Joining {
                fence: None,
                tables,
                is_later: true,
                not_before: None,
                completed,
            }),
            // They may be gone at the source, and the others are loaded.
            fails_without_tables: false,
            ..self.spec.clone()
        };
        self.run(&again).await
    }

    async fn run(&self, spec: &FullLoadSpec) -> Result<LoadOutcome, RunError> {
        let (source, target) = (self.source, self.target);
        let (progress, stop) = (self.progress, self.stop);
        load(source, target, spec, progress, stop, &self.hold).await
    }
}

async fn load(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &FullLoadSpec,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
    hold: &Hold,
) -> Result<LoadOutcome, RunError> {
    let mut spec = spec.clone();
    let mut start = spec.start.clone();
    let retries = Arc::new(outage::Retries::default());
    let owns_record = AtomicBool::new(false);
    let has_listed = AtomicBool::new(false);
    let _stalls = StallWatcher::start(target, &spec.task, progress);
    loop {
        let attempt = coordinator::Attempt {
            source,
            target,
            spec: &spec,
            start: &start,
            progress,
            stop,
            hold,
            retries: &retries,
            owns_record: &owns_record,
            has_listed: &has_listed,
        };
        // Boxed: it is large, and part of what whoever runs a task awaits.
        let error = match Box::pin(coordinator::run_once(attempt)).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => tokio::select! {
                () = stop.cancelled() => error,
                taken_over = hold.taken_over(&**target) => taken_over.unwrap_or(error),
            },
        };
        // What cannot be connected to may be going away with us.
        if stop.is_cancelled() && (passes(&error, &spec) || error.is_of_connecting()) {
            warn!(task = spec.task, %error, "the load is stopped and was just being interrupted");
            return Ok(LoadOutcome::Stopped);
        }
        if !passes(&error, &spec) {
            return Err(error);
        }
        let Some(retry_number) = retries.next(progress, &spec.retry, !spec.is_followed) else {
            return Err(error);
        };
        let wait = progress.interrupted(&error, retry_number, &spec.retry);
        warn!(task = spec.task, %error, retry_number, wait_ms = wait.as_millis(), "the load is interrupted and tried again");
        tokio::select! {
            () = stop.cancelled() => return Ok(LoadOutcome::Stopped),
            () = tokio::time::sleep(wait) => {}
        }
        if owns_record.load(Ordering::Relaxed) {
            start = retry_start(start);
        }
        take_in_lost(&mut spec, progress);
    }
}

/// Whether another attempt may succeed. One that joins a task that is followed holds what its follower has claimed, and nothing newer.
fn passes(error: &RunError, spec: &FullLoadSpec) -> bool {
    let joining = spec.joining.as_ref();
    let holds_older = joining.is_some_and(|joining| joining.fence.is_some());
    let is_put_back = matches!(error, RunError::Target(error) if error.is_put_back());
    error.is_transient() && !(is_put_back && holds_older)
}

/// A load that holds the task alone answers for all of it: what was found to be lost while some tables were loaded again is loaded with them.
fn take_in_lost(spec: &mut FullLoadSpec, progress: &Progress) {
    let joining = spec.joining.as_mut();
    let Some(joining) = joining.filter(|joining| joining.fence.is_none()) else {
        return;
    };
    let tables = progress.snapshot().tables.into_iter();
    let open = tables.filter(|(_, table)| !table.state.is_over());
    joining.tables.extend(open.map(|(name, _)| name));
}

/// What an attempt starts from once the record at the target is this run's own. Before that, a fresh start stays one: what it
/// would find is the record of an earlier run, whose rows it was told to load again.
fn retry_start(start: StartKind) -> StartKind {
    let completed = match start {
        StartKind::Fresh => HashSet::new(),
        StartKind::Resume { completed, .. } => completed,
    };
    StartKind::Resume {
        completed,
        needs_record: false,
    }
}
