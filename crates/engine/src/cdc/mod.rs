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
mod events;
mod faulty;
mod filtering;
mod fold;
mod follow;
mod intake;
mod latency;
mod log_watch;
mod newcomers;
mod reshape;
mod session;
mod spec;
mod tables;
mod uncommitted;
mod writing;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChangeLog, Checkpoint, Connector, Error, FollowState, KeyNotRestored, LoadRecord, RecordChange,
    Source, StartPoint, TableFault, Target, TaskFence,
};
use whimbrel_core::{Position, Table, TableName};

pub use apply::{ChangeCounts, LeftOut};
use follow::FollowEnd;
pub(crate) use latency::latency_ms;
use log_watch::LogWatcher;
pub use spec::{
    ApplyErrors, BATCH_BYTES, BATCH_CHANGES, CdcEnd, CdcSpec, CdcStart, DdlPolicy, OnTruncate,
    Reloads, RowPolicy, StopTime,
};
use uncommitted::CutOff;

use crate::data_errors::Tally;
use crate::feeding;
use crate::full_load::{Found, tell_unmatched, unfollowable};
use crate::hold::Hold;
use crate::objects::{Building, Built, Stage};
use crate::retry::Headway;
use crate::stall_watch::StallWatcher;
use crate::{
    FullLoadSpec, Joining, LoadOutcome, Progress, RetryPolicy, RunError, StartKind,
    TableErrorPolicy, run_full_load,
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
    let mut headway = Headway::default();
    let hold = Hold::new(spec.load.held.clone());
    let _watcher = LogWatcher::start(source, &spec.load.task, progress);
    let _stalls = StallWatcher::start(target, &spec.load.task, progress);
    let tally = Tally::default();
    let mut lost_before = BTreeSet::new();
    let mut cut_off = CutOff::new(progress);
    loop {
        let mut run = Run {
            source,
            target,
            spec,
            progress,
            stop,
            batches_committed: 0,
            has_begun: false,
            hold: &hold,
            faulted: None,
            tally: &tally,
            lost_before: &mut lost_before,
            cut_off: &mut cut_off,
        };
        let error = match run.once(&start).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => tokio::select! {
                () = stop.cancelled() => error,
                taken_over = hold.taken_over(&**target) => taken_over.unwrap_or(error),
            },
        };
        // What cannot be connected to may be going away with us; what no retry mends is told all the same.
        if stop.is_cancelled() && (error.is_transient() || error.is_of_connecting()) {
            warn!(task = spec.load.task, %error, "the task is stopped and was just being interrupted");
            return Ok(CdcOutcome::Stopped);
        }
        if run.has_begun {
            start = CdcStart::Resume;
        }
        if run.batches_committed > 0 || headway.grew(progress, false) {
            retry_number = 0;
        }
        retry_number += 1;
        if !error.is_transient() || retry_number > spec.load.retry.retries_max {
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

/// What forgetting a task came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The target had something of the task.
    pub was_known: bool,
    /// What of the target was put aside for it and is not whole again.
    pub not_restored: Vec<KeyNotRestored>,
}

/// Removes what a task left behind: at the source its hold on the log, at the target its record and checkpoint.
///
/// It may be repeated.
///
/// # Errors
/// That of the first end that cannot be reached; the other is cleaned all the same.
pub async fn forget_cdc(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    task: &str,
) -> Result<Forgotten, RunError> {
    let at_source = release_log(source, task);
    let at_target = async {
        let mut target = target.target().await?;
        let was_known = target.knows(task).await?;
        let fence = target.claim(task).await?;
        let was_known = was_known || target.has_put_aside(&fence).await?;
        let not_restored = target.forget(&fence).await?;
        Ok(Forgotten {
            was_known,
            not_restored,
        })
    };
    let (source, target) = tokio::join!(at_source, at_target);
    source.map_err(RunError::Source)?;
    target.map_err(RunError::Target)
}

/// Removes a task's hold on the log of its source.
///
/// # Errors
/// Those of a source that cannot be reached, or refuses.
pub async fn release_log(source: &Arc<dyn Connector>, task: &str) -> Result<(), Error> {
    let mut log = source.change_log(task).await?;
    log.remove().await
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
    /// The task at the target.
    hold: &'a Hold,
    /// Tables that failed as a whole, and the checkpoint behind which they did.
    faulted: Option<(Checkpoint, BTreeSet<TableName>)>,
    /// Changes that were left out.
    tally: &'a Tally,
    /// Tables that are loaded again because the log had been purged of their changes, and that have not joined since.
    lost_before: &'a mut BTreeSet<TableName>,
    cut_off: &'a mut CutOff,
}

/// What a stop does not wait for; `None` when it came first. What was under way at either end is given up with its connection, as in a crash.
async fn unless_stopped<T>(
    stop: &CancellationToken,
    call: impl Future<Output = Result<T, RunError>>,
) -> Result<Option<T>, RunError> {
    tokio::select! {
        () = stop.cancelled() => Ok(None),
        done = call => done.map(Some),
    }
}

impl Run<'_> {
    /// Opens both ends, and begins or finds what was begun.
    async fn opened(
        &mut self,
        start: &CdcStart,
    ) -> Result<(Box<dyn ChangeLog>, Vec<Table>), RunError> {
        let (source, target) = tokio::join!(self.source.source(), self.target.target());
        let mut source = source.map_err(RunError::Source)?;
        let mut target = target.map_err(RunError::Target)?;
        let mut log = self
            .source
            .change_log(&self.spec.load.task)
            .await
            .map_err(RunError::Source)?;
        if let Some(wait) = self.spec.running_wait {
            log.wait_for_running(wait);
        }
        let mut tables = self.tables(&mut *source, start).await?;
        match start {
            CdcStart::Resume => {
                let taken = self.check_begun(&mut *log, &mut *target, &tables).await?;
                tables.retain(|table| !taken.contains(&table.name));
            }
            CdcStart::Fresh { from } => {
                self.begin(
                    &mut *log,
                    &mut *source,
                    &mut *target,
                    (&tables, from.as_ref()),
                )
                .await?;
            }
        }
        self.has_begun = true;
        Ok((log, tables))
    }

    async fn once(&mut self, start: &CdcStart) -> Result<CdcOutcome, RunError> {
        let stop = self.stop;
        let opened = unless_stopped(stop, Box::pin(self.opened(start))).await?;
        let Some((mut log, tables)) = opened else {
            return Ok(CdcOutcome::Stopped);
        };
        if !self.spec.loads {
            self.progress
                .add(tables.iter().map(|table| table.name.clone()));
        } else if self.load(&mut *log, &tables).await? == LoadOutcome::Stopped {
            return Ok(CdcOutcome::Stopped);
        }
        let until = match self.spec.end {
            CdcEnd::Never => None,
            CdcEnd::AfterLoad => return Ok(CdcOutcome::Loaded),
            CdcEnd::AfterCachedChanges => {
                let end = async { log.end().await.map_err(RunError::Source) };
                match unless_stopped(stop, end).await? {
                    Some(end) => Some(end),
                    None => return Ok(CdcOutcome::Stopped),
                }
            }
        };
        loop {
            let end = match self.follow(&mut *log, until.clone()).await {
                Err(error) if error.is_transient() && log.wants_another_form() => {
                    info!(task = self.spec.load.task, %error, "the stream is opened in another form");
                    continue;
                }
                end => end?,
            };
            match end {
                FollowEnd::Run(CdcOutcome::Stopped) => return Ok(CdcOutcome::Stopped),
                FollowEnd::Run(outcome) => {
                    let built = self.build_objects(Stage::Ended).await?;
                    return Ok(if built == Built::All {
                        outcome
                    } else {
                        CdcOutcome::Stopped
                    });
                }
                FollowEnd::Rejoin => info!(
                    task = self.spec.load.task,
                    "tables that were loaded meanwhile join"
                ),
            }
        }
    }

    async fn tables(
        &self,
        source: &mut dyn Source,
        start: &CdcStart,
    ) -> Result<Vec<Table>, RunError> {
        let found = Found::at(source, &self.spec.load.mappings).await;
        let found = found.map_err(RunError::Source)?;
        check_views(&found.views, start)?;
        if found.tables.is_empty() && self.spec.load.fails_without_tables {
            return Err(RunError::NoTables);
        }
        if matches!(start, CdcStart::Fresh { .. }) {
            tell_unmatched(&found.unmatched, &self.spec.load, self.progress);
        }
        Ok(found.tables)
    }

    /// A run that begins anew: clears what an earlier one left, has the log kept, and writes the first checkpoint.
    async fn begin(
        &self,
        log: &mut dyn ChangeLog,
        source: &mut dyn Source,
        target: &mut dyn Target,
        (tables, from): (&[Table], Option<&StartPoint>),
    ) -> Result<(), RunError> {
        let from = match from {
            Some(start) => Some(log.locate(start).await.map_err(RunError::Source)?),
            None => None,
        };
        if self.spec.loads {
            feeding::check_prepare(&self.spec.load)?;
        }
        feeding::check(target, &self.spec.load, tables).await?;
        // Whose the task is comes first: the log may be kept for another worker by now.
        let fence = self.claim(target).await?;
        log.remove().await.map_err(RunError::Source)?;
        target.clear(&fence).await.map_err(RunError::Target)?;
        let begun = log.prepare(tables).await.map_err(RunError::Source)?;
        reach(Point::LogKept).await;
        let needing = self.spec.load.needing_old_rows(tables);
        let position = from.unwrap_or(begun.position);
        let (tables, mut told) = self.described(source, log, tables, &position).await?;
        let tables = tables.as_slice();
        told.extend(begun.refused);
        if !needing.is_empty() {
            let untold = log.old_rows_untold(&needing).await;
            told.splice(..0, untold.map_err(RunError::Source)?);
        }
        let refused = match self.refusal(tables, told) {
            Some(refused) => Err(refused),
            None => feeding::take(target, &fence, &self.spec.load, tables).await,
        };
        if let Err(refused) = refused {
            // Nothing has started, so nothing is to be kept.
            if !refused.is_transient() {
                log.remove().await.map_err(RunError::Source)?;
                self.hold.forget(target, &fence).await?;
            }
            return Err(refused);
        }
        info!(task = fence.task, %position, "changes are kept from here on");
        let applier = target.applier(&fence, &self.spec.apply).await;
        let mut applier = applier.map_err(RunError::Target)?;
        applier.begin().await.map_err(RunError::Target)?;
        if !self.spec.loads {
            let shaper = self.spec.load.shaper();
            let described = tables.iter().map(|table| shaper.described(table));
            let adopted = described.map(|table| table.map(adopt));
            let adopted: Result<Vec<RecordChange>, Error> = adopted.collect();
            let adopted = adopted.map_err(RunError::Source)?;
            applier.record(&adopted).await.map_err(RunError::Target)?;
        }
        self.progress.need_log(&position);
        let checkpoint = Checkpoint::at(position);
        let committed = applier.commit(&checkpoint).await;
        committed.map_err(RunError::Target)?;
        reach(Point::FirstCheckpoint).await;
        Ok(())
    }

    /// The tables as they are where changes begin, and those of which nobody knows what they were there. A load describes its tables by itself, and
    /// what comes before its view is left out.
    async fn described(
        &self,
        source: &mut dyn Source,
        log: &mut dyn ChangeLog,
        tables: &[Table],
        from: &Position,
    ) -> Result<(Vec<Table>, Vec<TableFault>), RunError> {
        if self.spec.loads {
            return Ok((tables.to_vec(), Vec::new()));
        }
        // Those that were found before the log was kept may have been altered before it was.
        let is_known = |name: &TableName| tables.iter().any(|known| known.name == *name);
        let now = source.tables(&is_known).await.map_err(RunError::Source)?;
        let altered = log.altered_since(&now, from).await;
        Ok((now, altered.map_err(RunError::Source)?))
    }

    /// Why the first of the tables that cannot be followed cannot be. `told`: what the log says.
    fn refusal(&self, tables: &[Table], told: Vec<TableFault>) -> Option<RunError> {
        let unfollowable = tables.iter().filter_map(unfollowable);
        let untellable = tables.iter().filter_map(|table| {
            let refused = self.spec.load.untellable(table);
            refused.err().and_then(of_table)
        });
        let obstructed = tables.iter().filter_map(|table| {
            let (table, message) = (table.name.clone(), table.obstacle.clone()?);
            Some(TableFault { table, message })
        });
        // A load leaves out what it refuses by itself.
        let mut refused = unfollowable
            .filter(|_| self.spec.loads)
            .chain(untellable)
            .chain(obstructed.filter(|_| !self.spec.loads))
            .chain(told);
        let fault = refused.next()?;
        Some(RunError::Source(Error::Table(Box::new(fault))))
    }

    async fn claim(&self, target: &mut dyn Target) -> Result<TaskFence, RunError> {
        self.hold.claim(target, &self.spec.load.task).await
    }

    /// Finds the checkpoint, and that the source's log is still the one that it is of: before anything is loaded from there. Answers the
    /// tables that are in error because another task feeds them; the others go on.
    async fn check_begun(
        &self,
        log: &mut dyn ChangeLog,
        target: &mut dyn Target,
        tables: &[Table],
    ) -> Result<BTreeSet<TableName>, RunError> {
        let task = &self.spec.load.task;
        // Where nothing has begun nothing is left behind either, and a load alone is not taken from its worker.
        let has_begun = self.hold.fence().is_some()
            || target
                .has_checkpoint(task)
                .await
                .map_err(RunError::Target)?;
        if !has_begun {
            return Err(RunError::NothingToResume);
        }
        let fence = self.claim(target).await?;
        let checkpoint = target.checkpoint(&fence).await.map_err(RunError::Target)?;
        let checkpoint = checkpoint.ok_or(RunError::NothingToResume)?;
        log.reaches_back(&checkpoint.position)
            .await
            .map_err(RunError::Source)?;
        let needed_from = checkpoint.kept_from.as_ref();
        self.progress
            .need_log(needed_from.unwrap_or(&checkpoint.position));
        let load = &self.spec.load;
        let taken = feeding::take_what_is_free(target, &fence, load, tables.to_vec()).await?;
        for (table, reason) in &taken {
            self.progress.add([table.clone()]);
            self.progress.update(table, |entry| {
                entry.state = crate::TableState::Error;
                entry.message = Some(reason.clone());
            });
        }
        self.leave_to_others(target, &fence, &checkpoint, &taken)
            .await?;
        Ok(taken.into_iter().map(|(table, _)| table).collect())
    }

    /// Tables that another task feeds are followed no more: when it has ended, there is a gap in what they would have got from here.
    async fn leave_to_others(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
        checkpoint: &Checkpoint,
        taken: &[(TableName, String)],
    ) -> Result<(), RunError> {
        if taken.is_empty() {
            return Ok(());
        }
        let records = target.load_records(fence).await.map_err(RunError::Target)?;
        let left = records.into_iter().filter_map(|record| {
            let state = record.follow.as_ref()?;
            let (_, reason) = taken.iter().find(|(table, _)| *table == record.table)?;
            state.suspended.is_none().then(|| (record, reason.clone()))
        });
        self.suspend(target, fence, checkpoint, left).await
    }

    /// Makes objects of the tables, where the rows are the task's own. What stood aside for definitions comes back at the end in any case.
    async fn build_objects(&self, stage: Stage) -> Result<Built, RunError> {
        if !self.spec.loads && stage != Stage::Ended {
            return Ok(Built::All);
        }
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        let fence = match self.hold.fence() {
            Some(fence) => fence,
            None => self.claim(&mut *target).await?,
        };
        let refused = if stage == Stage::Ended {
            let refused = tokio::select! {
                () = self.stop.cancelled() => return Ok(Built::Stopped),
                refused = target.restore_keys(&fence) => refused,
            };
            refused.map_err(RunError::Target)?
        } else {
            Vec::new()
        };
        let building = Building {
            source: self.source,
            target: self.target,
            spec: &self.spec.load,
            fence: &fence,
            progress: self.progress,
            stop: self.stop,
        };
        let is_refused = !refused.is_empty();
        building.tell_keys(refused);
        if !self.spec.loads {
            return Ok(Built::All);
        }
        let built = building.run(stage).await?;
        // The source's objects may have taken the place of what could not be made again.
        if is_refused && built == Built::All {
            let refused = tokio::select! {
                () = self.stop.cancelled() => return Ok(Built::Stopped),
                refused = target.restore_keys(&fence) => refused,
            };
            building.tell_keys(refused.map_err(RunError::Target)?);
        }
        Ok(built)
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

    /// What the target has of the task's tables, and its checkpoint.
    async fn recorded(&self) -> Result<(TaskFence, Vec<LoadRecord>, Option<Checkpoint>), RunError> {
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        let fence = self.claim(&mut *target).await?;
        let records = target.load_records(&fence).await;
        let records = records.map_err(RunError::Target)?;
        let checkpoint = target.checkpoint(&fence).await.map_err(RunError::Target)?;
        Ok((fence, records, checkpoint))
    }

    /// Nothing is loaded before tables are followed again. What must not act beside the changes, such as triggers of the target, is put aside.
    async fn resumed(&self) -> Result<LoadOutcome, RunError> {
        let built = self.build_objects(Stage::Resumed).await?;
        Ok(match built {
            Built::All => LoadOutcome::Finished { tables_errored: 0 },
            Built::Stopped => LoadOutcome::Stopped,
        })
    }

    /// Loads what is not loaded yet, keeping the record of every table with the position of its view; what can be loaded while others are followed
    /// is left to that.
    async fn load(
        &self,
        log: &mut dyn ChangeLog,
        tables: &[Table],
    ) -> Result<LoadOutcome, RunError> {
        let recorded = unless_stopped(self.stop, self.recorded()).await?;
        let Some((fence, records, checkpoint)) = recorded else {
            return Ok(LoadOutcome::Stopped);
        };
        let (loaded, missing): (Vec<&Table>, Vec<&Table>) = tables.iter().partition(|table| {
            records
                .iter()
                .any(|record| record.is_finished && is_of(record, table))
        });
        self.progress
            .add(loaded.iter().map(|table| table.name.clone()));
        self.show_suspended(&records);
        if missing.is_empty() {
            return self.resumed().await;
        }
        let names = || missing.iter().map(|table| table.name.clone());
        let has_joined = |record: &LoadRecord| {
            let state = record.follow.as_ref();
            record.is_finished && state.is_some_and(|state| state.has_joined)
        };
        let has_end = self.spec.end != CdcEnd::Never || self.spec.stop_at.is_some();
        let has_part = checkpoint.as_ref().is_some_and(|it| !it.is_whole());
        // The rest of the transaction may tell that one of them is followed under another name.
        let waits_for_whole = has_part && self.spec.end != CdcEnd::AfterLoad;
        if waits_for_whole || (!has_end && records.iter().any(has_joined)) {
            // Those that were followed before do not wait for them: see [`newcomers`].
            self.progress.expect(names());
            return self.resumed().await;
        }
        // Tables may have come to be since the log was first kept.
        let prepared = async { log.prepare(tables).await.map_err(RunError::Source) };
        let Some(started) = unless_stopped(self.stop, prepared).await? else {
            return Ok(LoadOutcome::Stopped);
        };
        let mut missing: BTreeSet<TableName> = names().collect();
        self.leave_refused(&mut missing, started.refused)?;
        if missing.is_empty() {
            return self.resumed().await;
        }
        let spec = FullLoadSpec {
            start: StartKind::Resume {
                completed: std::collections::HashSet::new(),
                needs_record: false,
            },
            is_followed: true,
            fails_without_tables: false,
            // This run's own attempts are those of its load.
            retry: RetryPolicy {
                retries_max: 0,
                ..self.spec.load.retry
            },
            joining: Some(Joining {
                is_later: false,
                not_before: checkpoint.map(|it| it.kept_from.unwrap_or(it.position)),
                fence: Some(fence),
                tables: missing,
                completed: std::collections::HashSet::new(),
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

    /// Takes tables out of those to be loaded whose changes the log cannot tell: they are in error, with the remedy.
    fn leave_refused(
        &self,
        missing: &mut BTreeSet<TableName>,
        refused: Vec<TableFault>,
    ) -> Result<(), RunError> {
        for TableFault { table, message } in refused {
            if !missing.remove(&table) {
                continue;
            }
            error!(%table, error = message, "the table cannot be followed, and is not loaded");
            if self.spec.load.on_table_error == TableErrorPolicy::StopTask {
                return Err(RunError::Table(format!("table {table}: {message}")));
            }
            self.progress.add([table.clone()]);
            self.progress.update(&table, |entry| {
                entry.state = crate::TableState::Error;
                entry.message = Some(message);
            });
            self.spec.load.check_tables_in_error(self.progress)?;
        }
        Ok(())
    }
}

/// Whether a record is of this table, perhaps under the name that it had when its changes were last applied.
fn is_of(record: &LoadRecord, table: &Table) -> bool {
    let has_same_id = |state: &FollowState| table.id.is_some() && state.shape.id == table.id;
    record.table == table.name || record.follow.as_ref().is_some_and(has_same_id)
}

fn of_table(error: Error) -> Option<TableFault> {
    match error {
        Error::Table(fault) => Some(*fault),
        _ => None,
    }
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

/// No log tells what changes in a view. One that came to be later is no reason to end what is under way.
fn check_views(views: &[Table], start: &CdcStart) -> Result<(), RunError> {
    match views.first() {
        Some(view) if matches!(start, CdcStart::Resume) => {
            warn!(view = %view.name, "a view that the table mappings select is not followed");
            Ok(())
        }
        Some(view) => Err(RunError::Table(format!(
            "the table mappings select views, {} for one, and no log tells what changes in a view; select tables alone (table-type table), or load the \
             views by a task that does not follow changes",
            view.name
        ))),
        None => Ok(()),
    }
}
