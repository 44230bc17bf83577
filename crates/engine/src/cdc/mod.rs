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
//! 4. *By one worker.* The target hands out an epoch to each attempt, and refuses older ones in the very transactions that write.

mod apply;
mod batch;
mod fold;
mod follow;
mod tables;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_connector::{ChangeLog, Connector, Error, Source, Target, TaskFence};
use whimbrel_core::{Position, Table};

use apply::BatchWriter;
pub use apply::ChangeCounts;
use batch::Collector;
use follow::Follower;
use tables::StreamTables;

use crate::{
    FullLoadSpec, LoadOutcome, Progress, RunError, StartKind, TableErrorPolicy, TableState,
    run_full_load,
};

/// Bytes of changes that may wait for the target.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Changes that may wait for the target.
const BATCH_CHANGES: usize = 40_000;

/// What becomes of a change that the target refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyErrorPolicy {
    /// It is reported and left out.
    LogError,
    /// The task ends; nothing of its batch is applied.
    StopTask,
}

/// Whether a run begins anew or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CdcStart {
    /// Anew: what an earlier run left is removed.
    Fresh {
        /// Changes are applied from this position on, in the source's notation; from the log's end when not given.
        from: Option<Position>,
    },
    /// From the checkpoint at the target; an unfinished full load is finished first.
    Resume,
}

/// When a run that follows its source ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CdcEnd {
    /// Never.
    Never,
    /// When the full load is done; changes since stay for a resume.
    AfterLoad,
    /// When the changes made during the full load are applied too.
    AfterCachedChanges,
}

/// A time at which a run ends, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopTime {
    /// Before the first transaction that the source committed later than this.
    Commit(i64),
    /// When this machine's clock passes it, whether anything is committed or not.
    Server(i64),
}

/// Everything a task that follows its source can be told.
#[derive(Clone, Debug)]
pub struct CdcSpec {
    /// The full load. Its start kind is not used: `start` says.
    pub load: FullLoadSpec,
    /// Whether the rows that are there are loaded first. Without a load they are at the target already, and no table is touched.
    pub loads: bool,
    /// How to begin.
    pub start: CdcStart,
    /// When to end.
    pub end: CdcEnd,
    /// Ends by time as well.
    pub stop_at: Option<StopTime>,
    /// What a refused change does.
    pub on_apply_error: ApplyErrorPolicy,
    /// Bytes of changes that may wait for the target.
    pub batch_bytes_max: usize,
    /// Changes that may wait for the target.
    pub batch_changes_max: usize,
}

impl CdcSpec {
    /// A full load with these settings, followed by the changes since.
    pub fn new(load: FullLoadSpec) -> Self {
        Self {
            load,
            loads: true,
            start: CdcStart::Fresh { from: None },
            end: CdcEnd::Never,
            stop_at: None,
            on_apply_error: ApplyErrorPolicy::StopTask,
            batch_bytes_max: BATCH_BYTES,
            batch_changes_max: BATCH_CHANGES,
        }
    }
}

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
}

impl Run<'_> {
    /// Whether another worker took the task over while this one followed; then that is why it failed, whatever it saw of it: a slot
    /// that is not its own any more, a session that was ended.
    async fn taken_over(&self) -> Option<RunError> {
        let fence = self.held.as_ref()?;
        let mut target = self.target.target().await.ok()?;
        let error = target.applier(fence).await.err()?;
        matches!(error, Error::Fenced { .. }).then_some(RunError::Target(error))
    }

    /// Claims nothing that was taken over. The check after the failure may not have reached the target.
    async fn let_go(&mut self, target: &mut dyn Target) -> Result<(), RunError> {
        if let Some(fence) = &self.held {
            target.applier(fence).await.map_err(RunError::Target)?;
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
        let mut tables = self.tables(&mut *source).await?;
        match start {
            CdcStart::Resume => self.check_begun(&mut *target).await?,
            CdcStart::Fresh { from } => {
                self.begin(&mut *log, &mut *target, &tables, from.as_ref())
                    .await?;
            }
        }
        self.has_begun = true;
        drop(source);
        if !self.spec.loads {
            self.show_completed(&tables);
        } else if self.load(&tables).await? == LoadOutcome::Stopped {
            return Ok(CdcOutcome::Stopped);
        }
        let until = match self.spec.end {
            CdcEnd::Never => None,
            CdcEnd::AfterLoad => return Ok(CdcOutcome::Loaded),
            CdcEnd::AfterCachedChanges => Some(log.end().await.map_err(RunError::Source)?),
        };
        tables.retain(|table| !self.has_failed(table));
        self.follow(&mut *log, target, &tables, until).await
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
        from: Option<&Position>,
    ) -> Result<(), RunError> {
        log.remove().await.map_err(RunError::Source)?;
        let fence = self.claim(target).await?;
        target.forget(&fence).await.map_err(RunError::Target)?;
        let fence = self.claim(target).await?;
        let begun = log.prepare(tables).await.map_err(RunError::Source)?;
        if let Some(fault) = begun.refused.into_iter().next() {
            // Nothing has started, so nothing is to be kept.
            log.remove().await.map_err(RunError::Source)?;
            target.forget(&fence).await.map_err(RunError::Target)?;
            return Err(RunError::Source(Error::Table(Box::new(fault))));
        }
        let position = from.unwrap_or(&begun.position);
        info!(task = fence.task, %position, "changes are kept from here on");
        let mut applier = target.applier(&fence).await.map_err(RunError::Target)?;
        applier.begin().await.map_err(RunError::Target)?;
        applier.commit(position).await.map_err(RunError::Target)
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

    /// Loads what is not loaded yet, keeping the record of every table with the position of its view.
    async fn load(&self, tables: &[Table]) -> Result<LoadOutcome, RunError> {
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        let fence = self.claim(&mut *target).await?;
        let records = target
            .load_records(&fence)
            .await
            .map_err(RunError::Target)?;
        let is_loaded = |table: &Table| {
            let record = records.iter().find(|record| record.table == table.name);
            record.is_some_and(|record| record.is_finished)
        };
        if tables.iter().all(is_loaded) {
            self.show_completed(tables);
            return Ok(LoadOutcome::Finished { tables_errored: 0 });
        }
        let spec = FullLoadSpec {
            start: StartKind::Resume {
                completed: std::collections::HashSet::new(),
                needs_record: false,
            },
            is_followed: true,
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

    fn show_completed(&self, tables: &[Table]) {
        if !self.progress.snapshot().tables.is_empty() {
            return;
        }
        self.progress
            .reset(tables.iter().map(|table| (table.name.clone(), 0)));
        for table in tables {
            self.progress
                .update(&table.name, |entry| entry.state = TableState::Completed);
        }
    }

    fn has_failed(&self, table: &Table) -> bool {
        let progress = self.progress.snapshot();
        progress
            .tables
            .get(&table.name)
            .is_some_and(|entry| entry.state == TableState::Error)
    }

    async fn follow(
        &mut self,
        log: &mut dyn ChangeLog,
        mut target: Box<dyn Target>,
        tables: &[Table],
        until: Option<Position>,
    ) -> Result<CdcOutcome, RunError> {
        let fence = self.claim(&mut *target).await?;
        self.held = Some(fence.clone());
        let checkpoint = target
            .checkpoint(&fence)
            .await
            .map_err(RunError::Target)?
            .ok_or(RunError::NothingToResume)?;
        let records = target
            .load_records(&fence)
            .await
            .map_err(RunError::Target)?;
        let views = StreamTables::new(&records, |record| log.view(&record.planned_at))
            .map_err(RunError::Source)?;
        let applier = target.applier(&fence).await.map_err(RunError::Target)?;
        let stream = log
            .open(tables, &checkpoint)
            .await
            .map_err(RunError::Source)?;
        info!(task = fence.task, %checkpoint, "following the log of the source");
        self.progress.follow(|cdc| {
            cdc.checkpoint = Some(checkpoint.as_str().to_owned());
        });
        let mut follower = Follower {
            spec: self.spec,
            progress: self.progress,
            stop: self.stop,
            target,
            stream,
            tables: views,
            collector: Collector::default(),
            until,
            ended: None,
            batches_committed: 0,
        };
        let writer = BatchWriter::new(applier, self.spec.on_apply_error);
        let outcome = follower.run(writer).await;
        self.batches_committed += follower.batches_committed;
        outcome
    }
}
