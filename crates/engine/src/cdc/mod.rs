//! Change data capture: the task that keeps following its source.
//!
//! ```text
//!  log kept from S ──► snapshot, full load (view per table) ──► stream from the checkpoint ──► batches ──► target
//!  (checkpoint = S)                                                 ▲                               │
//!                                                                   └── confirm, after the commit ──┘
//! ```
//!
//! Why each change is applied exactly once:
//!
//! 1. *Nothing is missed.* The source keeps its log from S before any snapshot is opened, so every transaction is in the
//!    snapshot's view, or in the log past S, or both. The log is confirmed only up to what a target transaction has committed.
//! 2. *Nothing is applied twice.* A transaction that the view of a table holds is left out for that table
//!    ([`whimbrel_connector::SnapshotView`]); the record of the load, with the view's position, lives at the target. What was
//!    applied is known from the checkpoint, which commits in the same transaction as the rows: after a crash at any point, rows and
//!    checkpoint agree, and the stream goes on right behind the checkpoint.
//! 3. *In order.* The stream gives whole transactions in commit order; a batch takes a run of them, folds them to net
//!    changes, and commits at the end of a source transaction only. A transaction larger than a batch is applied in pieces within one
//!    transaction of the target. So a reader of the target never sees part of a source transaction.
//! 4. *Rule by table.* What is left out is decided for each table: what the view of its load holds, and what it held already when the log was
//!    read again from an earlier place, for tables that joined later ([`newcomers`]). So start, restart, reload of one table and new
//!    tables are one case.
//! 5. *In the right columns.* The shape in which a table's changes were applied is kept at the target and moves on with the checkpoint; a
//!    stream is opened with the shapes of its place in the log, not with those of now ([`definitions`]).
//! 6. *By one worker.* The target hands out an epoch to each attempt, and refuses older ones in the very transactions that write.

mod apply;
mod batch;
mod definitions;
mod exceptions;
mod faulty;
mod fold;
mod follow;
mod newcomers;
mod reshape;
mod session;
mod spec;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChangeLog, Checkpoint, Connector, Error, FollowState, LoadRecord, RecordChange, Source,
    StartPoint, Target, TaskFence,
};
use whimbrel_core::{Table, TableName};

pub use apply::{ChangeCounts, LeftOut};
use follow::FollowEnd;
pub use spec::{
    ApplyErrors, BATCH_BYTES, CdcEnd, CdcSpec, CdcStart, DdlPolicy, Reloads, RowPolicy, StopTime,
};

use crate::full_load::unfollowable;
use crate::{
    FullLoadSpec, Joining, LoadOutcome, Progress, RunError, StartKind, TableErrorPolicy,
    run_full_load,
};

/// How a run that follows its source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdcOutcome {
    /// It was asked to stop; a resume goes on.
    Stopped,
    /// The load is done, as wanted.
    Loaded,
    /// The changes made during the load are applied, as wanted.
    CaughtUp,
    /// Everything committed up to the wanted time is applied.
    CommitTime,
    /// The wanted time has come, and what was received by then is applied.
    ServerTime,
}

/// Runs a task that follows its source until it is stopped or reaches its end, retrying after faults of the environment.
///
/// # Errors
/// The first error that no retry mends. Rows and checkpoint at the target agree; a resume goes on from there.
///
/// # Cancel safety
/// Dropping the future rolls back what is open, like a crash.
pub async fn run_cdc(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &CdcSpec,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<CdcOutcome, RunError> {
    let mut start = spec.start.clone();
    let mut retry_number = 0;
    let mut held = None;
    loop {
        let mut run = Run {
            source,
            target,
            spec,
            progress,
            stop,
            batches_committed: 0,
            has_begun: false,
            held,
            faulted: None,
        };
        let error = match run.once(&start).await {
            Ok(outcome) => return Ok(outcome),
            Err(_) if stop.is_cancelled() => return Ok(CdcOutcome::Stopped),
            Err(error) => run.taken_over().await.unwrap_or(error),
        };
        if run.has_begun {
            start = CdcStart::Resume;
        }
        held = run.held.take();
        if run.batches_committed > 0 {
            retry_number = 0;
        }
        retry_number += 1;
        let passes =
            error.is_transient() || matches!(&error, RunError::Target(error) if is_put_back(error));
        if !passes || retry_number > spec.load.retry.retries_max {
            return Err(error);
        }
        let wait = progress.interrupted(&error, retry_number, &spec.load.retry);
        warn!(task = spec.load.task, %error, retry_number, wait_ms = wait.as_millis(), "the task is interrupted and tried again");
        tokio::select! {
            () = stop.cancelled() => return Ok(CdcOutcome::Stopped),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Removes what a task left behind: at the source its hold on the log, at the target its record and checkpoint.
///
/// # Errors
/// That of the first end that cannot be reached; the other is cleaned all the same.
pub async fn forget_cdc(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    task: &str,
) -> Result<(), RunError> {
    let at_source = async {
        let mut log = source.change_log(task).await?;
        log.remove().await
    };
    let at_target = async {
        let mut target = target.target().await?;
        let fence = target.claim(task).await?;
        target.forget(&fence).await
    };
    let (source, target) = tokio::join!(at_source, at_target);
    source.map_err(RunError::Source)?;
    target.map_err(RunError::Target)
}

/// Epochs only grow at one target: one older than ours is from before our claim, and so is all that the target holds. Its checkpoint is as old as
/// its rows, and the log is read on from there, if it reaches back so far. Should another have claimed the task from there meanwhile, one
/// of the two loses it to the other; rows of both never meet, because every commit asks for its own epoch.
fn is_put_back(error: &Error) -> bool {
    matches!(error, Error::Fenced { ours, theirs } if theirs < ours)
}

struct Run<'a> {
    source: &'a Arc<dyn Connector>,
    target: &'a Arc<dyn Connector>,
    spec: &'a CdcSpec,
    progress: &'a Arc<Progress>,
    stop: &'a CancellationToken,
    batches_committed: u64,
    /// The checkpoint is at the target: another attempt goes on from it.
    has_begun: bool,
    /// What an attempt that followed held. Whoever took the task over since must not lose it to our next attempt.
    held: Option<TaskFence>,
    /// Tables that failed as a whole, and the checkpoint behind which they did.
    faulted: Option<(Checkpoint, BTreeSet<TableName>)>,
}

impl Run<'_> {
    /// Whether another worker took the task over while this one followed; then that is why it failed, whatever it saw of it: a slot
    /// that is not its own any more, a session that was ended.
    async fn taken_over(&self) -> Option<RunError> {
        let fence = self.held.as_ref()?;
        let mut target = self.target.target().await.ok()?;
        let error = target.applier(fence, &self.spec.apply).await.err()?;
        let is_taken_over = matches!(error, Error::Fenced { .. }) && !is_put_back(&error);
        is_taken_over.then_some(RunError::Target(error))
    }

    /// Claims nothing that was taken over. The check after the failure may not have reached the target.
    async fn let_go(&mut self, target: &mut dyn Target) -> Result<(), RunError> {
        if let Some(fence) = &self.held {
            match target.applier(fence, &self.spec.apply).await {
                Ok(_) => {}
                Err(error) if is_put_back(&error) => {
                    warn!(task = fence.task, %error, "the target is as it was before this worker claimed the task: it was put back, or fails over to a standby that was behind");
                }
                Err(error) => return Err(RunError::Target(error)),
            }
        }
        self.held = None;
        Ok(())
    }

    async fn once(&mut self, start: &CdcStart) -> Result<CdcOutcome, RunError> {
        let (source, target) = tokio::join!(self.source.source(), self.target.target());
        let mut source = source.map_err(RunError::Source)?;
        let mut target = target.map_err(RunError::Target)?;
        self.let_go(&mut *target).await?;
        let mut log = self
            .source
            .change_log(&self.spec.load.task)
            .await
            .map_err(RunError::Source)?;
        let tables = self.tables(&mut *source).await?;
        match start {
            CdcStart::Resume => self.check_begun(&mut *target).await?,
            CdcStart::Fresh { from } => {
                self.begin(&mut *log, &mut *target, &tables, from.as_ref())
                    .await?;
            }
        }
        self.has_begun = true;
        drop((source, target));
        if !self.spec.loads {
            self.progress
                .add(tables.iter().map(|table| table.name.clone()));
        } else if self.load(&mut *log, &tables).await? == LoadOutcome::Stopped {
            return Ok(CdcOutcome::Stopped);
        }
        let until = match self.spec.end {
            CdcEnd::Never => None,
            CdcEnd::AfterLoad => return Ok(CdcOutcome::Loaded),
            CdcEnd::AfterCachedChanges => Some(log.end().await.map_err(RunError::Source)?),
        };
        loop {
            match self.follow(&mut *log, until.clone()).await? {
                FollowEnd::Run(outcome) => return Ok(outcome),
                FollowEnd::Rejoin => info!(
                    task = self.spec.load.task,
                    "tables that were loaded meanwhile join"
                ),
            }
        }
    }

    async fn tables(&self, source: &mut dyn Source) -> Result<Vec<Table>, RunError> {
        let mappings = &self.spec.load.mappings;
        let tables = source
            .tables(&|name| mappings.selects(name))
            .await
            .map_err(RunError::Source)?;
        if tables.is_empty() && self.spec.load.fails_without_tables {
            return Err(RunError::NoTables);
        }
        Ok(tables)
    }

    /// A run that begins anew: clears what an earlier one left, has the log kept, and writes the first checkpoint.
    async fn begin(
        &self,
        log: &mut dyn ChangeLog,
        target: &mut dyn Target,
        tables: &[Table],
        from: Option<&StartPoint>,
    ) -> Result<(), RunError> {
        let from = match from {
            Some(start) => Some(log.locate(start).await.map_err(RunError::Source)?),
            None => None,
        };
        log.remove().await.map_err(RunError::Source)?;
        let fence = self.claim(target).await?;
        target.forget(&fence).await.map_err(RunError::Target)?;
        let fence = self.claim(target).await?;
        let begun = log.prepare(tables).await.map_err(RunError::Source)?;
        reach(Point::LogKept).await;
        let unfollowable = tables.iter().filter_map(unfollowable);
        let mut refused = unfollowable
            .filter(|_| self.spec.loads)
            .chain(begun.refused);
        if let Some(fault) = refused.next() {
            // Nothing has started, so nothing is to be kept.
            log.remove().await.map_err(RunError::Source)?;
            target.forget(&fence).await.map_err(RunError::Target)?;
            return Err(RunError::Source(Error::Table(Box::new(fault))));
        }
        let position = from.unwrap_or(begun.position);
        info!(task = fence.task, %position, "changes are kept from here on");
        let applier = target.applier(&fence, &self.spec.apply).await;
        let mut applier = applier.map_err(RunError::Target)?;
        applier.begin().await.map_err(RunError::Target)?;
        if !self.spec.loads {
            let shaping = self.spec.load.shaping;
            let adopted = tables.iter().map(|table| adopt(shaping.described(table)));
            let adopted: Vec<RecordChange> = adopted.collect();
            applier.record(&adopted).await.map_err(RunError::Target)?;
        }
        let checkpoint = Checkpoint::at(position);
        let committed = applier.commit(&checkpoint).await;
        committed.map_err(RunError::Target)?;
        reach(Point::FirstCheckpoint).await;
        Ok(())
    }

    async fn claim(&self, target: &mut dyn Target) -> Result<TaskFence, RunError> {
        target
            .claim(&self.spec.load.task)
            .await
            .map_err(RunError::Target)
    }

    async fn check_begun(&self, target: &mut dyn Target) -> Result<(), RunError> {
        let fence = self.claim(target).await?;
        match target.checkpoint(&fence).await.map_err(RunError::Target)? {
            Some(_) => Ok(()),
            None => Err(RunError::NothingToResume),
        }
    }

    /// Tables that are followed no more, as an earlier run wrote down.
    fn show_suspended(&self, records: &[LoadRecord]) {
        for record in records {
            let state = record.follow.as_ref();
            let Some(reason) = state.and_then(|state| state.suspended.as_ref()) else {
                continue;
            };
            self.progress.update(&record.table, |entry| {
                entry.state = crate::TableState::Error;
                entry.message = Some(reason.clone());
            });
        }
    }

    /// Loads what is not loaded yet, keeping the record of every table with the position of its view.
    async fn load(
        &self,
        log: &mut dyn ChangeLog,
        tables: &[Table],
    ) -> Result<LoadOutcome, RunError> {
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        let fence = self.claim(&mut *target).await?;
        let records = target
            .load_records(&fence)
            .await
            .map_err(RunError::Target)?;
        let (loaded, missing): (Vec<&Table>, Vec<&Table>) = tables.iter().partition(|table| {
            records
                .iter()
                .any(|record| record.is_finished && is_of(record, table))
        });
        self.progress
            .add(loaded.iter().map(|table| table.name.clone()));
        self.show_suspended(&records);
        if missing.is_empty() {
            return Ok(LoadOutcome::Finished { tables_errored: 0 });
        }
        // Tables may have come to be since the log was first kept.
        log.prepare(tables).await.map_err(RunError::Source)?;
        let spec = FullLoadSpec {
            start: StartKind::Resume {
                completed: std::collections::HashSet::new(),
                needs_record: false,
            },
            is_followed: true,
            fails_without_tables: false,
            joining: Some(Joining {
                fence,
                tables: missing.iter().map(|table| table.name.clone()).collect(),
            }),
            ..self.spec.load.clone()
        };
        let outcome =
            run_full_load(self.source, self.target, &spec, self.progress, self.stop).await?;
        if matches!(outcome, LoadOutcome::Finished { tables_errored } if tables_errored > 0)
            && spec.on_table_error == TableErrorPolicy::StopTask
        {
            return Err(RunError::Table("a table could not be loaded".to_owned()));
        }
        Ok(outcome)
    }
}

/// Whether a record is of this table, perhaps under the name that it had when its changes were last applied.
fn is_of(record: &LoadRecord, table: &Table) -> bool {
    let has_same_id = |state: &FollowState| table.id.is_some() && state.shape.id == table.id;
    record.table == table.name || record.follow.as_ref().is_some_and(has_same_id)
}

/// A table whose rows are at the target already.
fn adopt(table: Table) -> RecordChange {
    RecordChange::Put {
        table: table.name.clone(),
        state: FollowState {
            has_joined: true,
            ..FollowState::loaded(table)
        },
    }
}
