//! One attempt at a full load: plans, prepares tables in order, and feeds chunks to the subtasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    Connector, Error, FinishedChunk, LoadRecord, PrepareMode, RawFormat, Snapshot, Source, Target,
    TargetTable, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Position, Table, TableName};

use super::LoadOutcome;
use super::plan::{LoadPlan, PlannedTable, plan_full_load};
use super::subtask::Subtask;
use crate::shaping::Shaped;
use crate::{
    FullLoadSpec, Progress, ProgressSnapshot, RunError, StartKind, TableErrorPolicy, TableState,
};

/// Jobs that wait for a subtask: enough that none idles, few enough that a stop drops little planning.
const JOBS_WAITING_MAX: usize = 64;
/// What a table is told that would have to start again although its rows are to be left alone.
const WOULD_DOUBLE: &str = "its load was interrupted with some of its rows at the target and cannot be gone on with, because \
    the table has changed at the source or is followed; loading it again would double those rows, because what the target holds \
    is to be left as it is: empty the table at the target and start anew without a resume, or let it be truncated or created";

pub(super) struct Attempt<'a> {
    pub(super) source: &'a Arc<dyn Connector>,
    pub(super) target: &'a Arc<dyn Connector>,
    pub(super) spec: &'a FullLoadSpec,
    pub(super) start: &'a StartKind,
    pub(super) progress: &'a Arc<Progress>,
    pub(super) stop: &'a CancellationToken,
    /// Counts the chunks this attempt committed.
    pub(super) chunks_committed: &'a Arc<AtomicU64>,
    /// Set once the record at the target is of this run: what an earlier one left has been removed, or is gone on with.
    pub(super) owns_record: &'a AtomicBool,
}

/// What the coordinator and the subtasks of an attempt share.
pub(super) struct Shared {
    pub(super) target_connector: Arc<dyn Connector>,
    pub(super) snapshot: Box<dyn Snapshot>,
    pub(super) fence: TaskFence,
    pub(super) progress: Arc<Progress>,
    pub(super) block_bytes: usize,
    pub(super) statement_rows_max: Option<u32>,
    pub(super) on_table_error: TableErrorPolicy,
    /// Cancelled by the user's stop, and by the first error that ends the attempt.
    pub(super) halt: CancellationToken,
    pub(super) chunks_committed: Arc<AtomicU64>,
    pub(super) first_error: std::sync::Mutex<Option<RunError>>,
    /// Targets that are connected and not in use.
    idle_targets: Mutex<Vec<Box<dyn Target>>>,
}

/// One table of the attempt.
pub(super) struct TableRun {
    pub(super) name: TableName,
    pub(super) source: whimbrel_core::Table,
    pub(super) target: TargetTable,
    pub(super) raw: Option<RawFormat>,
    /// Rows get another shape on their way.
    pub(super) shape: Option<Arc<Shaped>>,
    pub(super) is_only_chunk: bool,
    /// Chunks not committed yet. Whoever brings it to zero finishes the table.
    pub(super) chunks_open: AtomicU32,
    pub(super) has_failed: AtomicBool,
}

pub(super) struct Job {
    pub(super) table: Arc<TableRun>,
    /// `None`: all chunks were committed by an earlier run, only the keys are left to build.
    pub(super) chunk: Option<(ChunkId, ChunkBounds)>,
}

impl Shared {
    /// Runs one call on a target connection of its own, taken from the idle ones or newly made.
    pub(super) async fn target(&self) -> Result<Box<dyn Target>, Error> {
        let idle = self.idle_targets.lock().await.pop();
        match idle {
            Some(target) => Ok(target),
            None => self.target_connector.target().await,
        }
    }

    /// Puts a target back that is in good order.
    pub(super) async fn give_back(&self, target: Box<dyn Target>) {
        self.idle_targets.lock().await.push(target);
    }

    /// Ends the attempt; the first error is the one that is reported.
    pub(super) fn fail(&self, error: RunError) {
        let mut first = self
            .first_error
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert(error);
        self.halt.cancel();
    }

    /// Puts a table in error; by policy the attempt goes on.
    pub(super) fn fail_table(&self, table: &TableName, message: &str) {
        error!(task = self.fence.task, %table, error = message, "the table cannot be loaded");
        self.progress.update(table, |entry| {
            entry.state = TableState::Error;
            entry.ended_at = Some(SystemTime::now());
            entry.message = Some(message.to_owned());
        });
        if self.on_table_error == TableErrorPolicy::StopTask {
            self.fail(RunError::Table(format!("table {table}: {message}")));
        }
    }
}

/// Runs one attempt.
pub(super) async fn run_once(attempt: Attempt<'_>) -> Result<LoadOutcome, RunError> {
    let (source, target) = tokio::join!(attempt.source.source(), attempt.target.target());
    let mut source = source.map_err(RunError::Source)?;
    let mut target = target.map_err(RunError::Target)?;
    let plan = plan_full_load(&mut *source, &mut *target, attempt.spec).await?;
    let tables = plan
        .tables
        .iter()
        .map(|t| (t.source.name.clone(), t.source.row_estimate.unwrap_or(0)));
    match &attempt.spec.joining {
        None => attempt.progress.reset(tables),
        Some(_) => attempt.progress.begin_again(tables),
    }
    let (fence, records) = claim(&mut *target, attempt.spec, attempt.start).await?;
    attempt.owns_record.store(true, Ordering::Relaxed);
    target
        .create_types(&plan.types)
        .await
        .map_err(RunError::Target)?;
    let snapshot = source
        .snapshot(attempt.spec.subtask_count)
        .await
        .map_err(RunError::Source)?;
    reach(Point::SnapshotOpen).await;
    check_descriptions(&mut *source, &plan).await?;
    drop(source);
    attempt.progress.set_position(snapshot.position().as_str());
    info!(task = fence.task, position = %snapshot.position(), tables = plan.tables.len(), "full load begins");

    let shared = Arc::new(Shared {
        target_connector: Arc::clone(attempt.target),
        snapshot,
        fence,
        progress: Arc::clone(attempt.progress),
        block_bytes: attempt.spec.block_bytes,
        statement_rows_max: attempt.spec.statement_rows_max,
        on_table_error: attempt.spec.on_table_error,
        halt: attempt.stop.child_token(),
        chunks_committed: Arc::clone(attempt.chunks_committed),
        first_error: std::sync::Mutex::new(None),
        idle_targets: Mutex::new(Vec::new()),
    });
    let (jobs, queue) = mpsc::channel(JOBS_WAITING_MAX);
    let queue = Arc::new(Mutex::new(queue));
    let mut subtasks = JoinSet::new();
    for _ in 0..attempt.spec.subtask_count.max(1) {
        subtasks.spawn(Subtask::new(Arc::clone(&shared), Arc::clone(&queue)).run());
    }
    let feeder = Feeder {
        attempt: &attempt,
        shared: &shared,
        target: &mut *target,
        jobs,
        has_records: !records.is_empty(),
    };
    if let Err(error) = feeder.feed(plan, records).await {
        shared.fail(error);
    }
    while let Some(joined) = subtasks.join_next().await {
        if let Err(panic) = joined {
            shared.fail(RunError::Table(format!(
                "a subtask of the load ended abnormally: {panic}"
            )));
        }
    }
    conclude(&attempt, &shared, &mut *target).await
}

/// Checks that no table was altered between its description and the snapshot: its rows would be read as what they are not. From
/// then on the snapshot itself tells.
async fn check_descriptions(source: &mut dyn Source, plan: &LoadPlan) -> Result<(), RunError> {
    let planned: HashMap<&TableName, &Table> = plan
        .tables
        .iter()
        .map(|table| (&table.source.name, &table.source))
        .collect();
    let is_planned = |name: &TableName| planned.contains_key(name);
    let now = source.tables(&is_planned).await.map_err(RunError::Source)?;
    let is_same = |table: &&Table| {
        planned[&table.name].columns == table.columns
            && planned[&table.name].primary_key == table.primary_key
            && planned[&table.name].key_prefixes == table.key_prefixes
            && planned[&table.name].outside_snapshot == table.outside_snapshot
    };
    if now.iter().filter(is_same).count() == planned.len() {
        return Ok(());
    }
    Err(RunError::Source(Error::Transient(
        "tables were altered or dropped while the snapshot was opened".to_owned(),
    )))
}

/// Takes the task at the target and reads the record to go on from; a fresh start clears it.
async fn claim(
    target: &mut dyn Target,
    spec: &FullLoadSpec,
    start: &StartKind,
) -> Result<(TaskFence, HashMap<TableName, LoadRecord>), RunError> {
    let fence = match &spec.joining {
        Some(joining) => joining.fence.clone(),
        None => target.claim(&spec.task).await.map_err(RunError::Target)?,
    };
    match start {
        StartKind::Fresh => {
            target.forget(&fence).await.map_err(RunError::Target)?;
            let fence = target.claim(&spec.task).await.map_err(RunError::Target)?;
            Ok((fence, HashMap::new()))
        }
        StartKind::Resume { needs_record, .. } => {
            let records = target
                .load_records(&fence)
                .await
                .map_err(RunError::Target)?;
            if *needs_record && records.is_empty() {
                target.forget(&fence).await.map_err(RunError::Target)?;
                return Err(RunError::NothingToResume);
            }
            let by_name = records
                .into_iter()
                .map(|record| (record.table.clone(), record));
            Ok((fence, by_name.collect()))
        }
    }
}

/// Ends an attempt: tells how, and removes the record of a load that nothing is left of.
async fn conclude(
    attempt: &Attempt<'_>,
    shared: &Shared,
    target: &mut dyn Target,
) -> Result<LoadOutcome, RunError> {
    let error = shared
        .first_error
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    let progress = attempt.progress.snapshot();
    let is_over = |state| {
        use TableState as S;
        matches!(state, S::Completed | S::Error | S::Dropped)
    };
    // Of tables that join others only they are told: the others may wait for a load of their own.
    let joining = attempt.spec.joining.as_ref();
    let is_ours = |name: &TableName| joining.is_none_or(|joining| joining.tables.contains(name));
    let tables = progress.tables.iter();
    let open: Vec<&TableName> = tables
        .filter(|(name, table)| is_ours(name) && !is_over(table.state))
        .map(|(name, _)| name)
        .collect();
    if error.is_some() || !open.is_empty() {
        for name in open {
            attempt
                .progress
                .update(name, |entry| entry.state = TableState::Cancelled);
        }
        return match error {
            Some(error) => Err(error),
            None => Ok(LoadOutcome::Stopped),
        };
    }
    check_records(target, &shared.fence, &progress).await?;
    let ours = progress.tables.iter().filter(|(name, _)| is_ours(name));
    let tables_errored = ours
        .filter(|(_, table)| table.state == TableState::Error)
        .count();
    let keeps_record = attempt.spec.keeps_record || attempt.spec.is_followed;
    if tables_errored == 0 && !keeps_record {
        target
            .forget(&shared.fence)
            .await
            .map_err(RunError::Target)?;
    }
    info!(
        task = shared.fence.task,
        tables_errored,
        rows = progress.row_count(),
        "full load finished"
    );
    Ok(LoadOutcome::Finished { tables_errored })
}

/// Whether the target still has what it had confirmed: it may have been put back while other tables were loaded.
async fn check_records(
    target: &mut dyn Target,
    fence: &TaskFence,
    progress: &ProgressSnapshot,
) -> Result<(), RunError> {
    let records = target.load_records(fence).await.map_err(RunError::Target)?;
    let is_lost = |record: &&LoadRecord| {
        let shown = progress.tables.get(&record.table);
        !record.is_finished && shown.is_some_and(|table| table.state == TableState::Completed)
    };
    match records.iter().find(is_lost) {
        None => Ok(()),
        Some(record) => Err(RunError::Target(Error::record_lost(&record.table))),
    }
}

/// Prepares tables one after another and queues their chunks.
struct Feeder<'a> {
    attempt: &'a Attempt<'a>,
    shared: &'a Shared,
    target: &'a mut dyn Target,
    jobs: mpsc::Sender<Job>,
    /// The target has records of the task.
    has_records: bool,
}

impl Feeder<'_> {
    async fn feed(
        mut self,
        plan: LoadPlan,
        mut records: HashMap<TableName, LoadRecord>,
    ) -> Result<(), RunError> {
        for table in plan.tables {
            if self.shared.halt.is_cancelled() {
                return Ok(());
            }
            let name = table.source.name.clone();
            let record = records.remove(&name);
            match self.feed_table(table, record).await {
                Ok(()) => {}
                Err(RunError::Source(error) | RunError::Target(error))
                    if matches!(error, Error::Table(_) | Error::Row(_)) =>
                {
                    self.shared.fail_table(&name, &table_message(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn feed_table(
        &mut self,
        planned: PlannedTable,
        record: Option<LoadRecord>,
    ) -> Result<(), RunError> {
        let name = planned.source.name.clone();
        if self.is_completed(&name, record.as_ref()) {
            self.show_completed(&name, record.as_ref());
            return Ok(());
        }
        let target = match planned.target {
            Ok(target) => target,
            Err(message) => {
                self.shared.fail_table(&name, &message);
                return Ok(());
            }
        };
        self.shared.progress.update(&name, |entry| {
            entry.state = TableState::FullLoad;
            entry.started_at = Some(SystemTime::now());
        });
        let record = match record {
            Some(record) if self.still_holds(&planned.source, &record).await? => record,
            Some(record) if self.would_double(&record) => {
                self.shared.fail_table(&name, WOULD_DOUBLE);
                return Ok(());
            }
            _ => self.prepare(&planned.source, &target).await?,
        };
        self.queue(planned.source, target, record).await
    }

    /// Whether the rows that an interrupted run has committed would stay beside those of a new start.
    fn would_double(&self, record: &LoadRecord) -> bool {
        self.attempt.spec.prepare == PrepareMode::DoNothing
            && record.chunks.iter().any(|chunk| chunk.done.is_some())
    }

    /// What the target records counts for more than what this run remembers of it: the target may have been put back. Only where nothing of
    /// the task is recorded, the records may have been removed at the end of the load, and the answer been lost.
    fn is_completed(&self, name: &TableName, record: Option<&LoadRecord>) -> bool {
        let says_so = |start: &StartKind| match start {
            StartKind::Fresh => false,
            StartKind::Resume { completed, .. } => completed.contains(name),
        };
        match record {
            Some(record) => record.is_finished,
            None if self.has_records => says_so(&self.attempt.spec.start),
            None => says_so(self.attempt.start),
        }
    }

    fn show_completed(&self, name: &TableName, record: Option<&LoadRecord>) {
        self.shared.progress.update(name, |entry| {
            entry.state = TableState::Completed;
            if let Some(record) = record {
                show_record(entry, record);
            }
        });
    }

    /// Whether a recorded plan may be gone on with.
    async fn still_holds(
        &mut self,
        table: &whimbrel_core::Table,
        record: &LoadRecord,
    ) -> Result<bool, RunError> {
        let finished: Vec<FinishedChunk> = record
            .chunks
            .iter()
            .filter_map(|chunk| {
                Some(FinishedChunk {
                    bounds: chunk.bounds.clone(),
                    row_count: chunk.done?.row_count,
                })
            })
            .collect();
        let shaping = self.attempt.spec.shaping;
        if record
            .follow
            .as_ref()
            .is_some_and(|state| !shaping.is_that_of(&state.shape))
        {
            info!(table = %table.name, "the settings of its values have changed since its load was interrupted: it starts again");
            return Ok(false);
        }
        if self.attempt.spec.is_followed {
            // A table that is followed has one view, and the new snapshot is another: only its keys may be left to build.
            return Ok(finished.len() == record.chunks.len());
        }
        let Some(planned_at) = record.planned_at.as_ref().filter(|_| !finished.is_empty()) else {
            return Ok(false);
        };
        let holds = self
            .shared
            .snapshot
            .plan_holds(table, planned_at, &finished)
            .await
            .map_err(RunError::Source)?;
        if !holds {
            info!(table = %table.name, "the table changed since its load was interrupted: it starts again");
        }
        Ok(holds)
    }

    async fn prepare(
        &mut self,
        source: &whimbrel_core::Table,
        target: &TargetTable,
    ) -> Result<LoadRecord, RunError> {
        let spec = self.attempt.spec;
        let bounds = self
            .shared
            .snapshot
            .plan(source, spec.chunk_bytes)
            .await
            .map_err(RunError::Source)?;
        let position: &Position = self.shared.snapshot.position();
        self.target
            .prepare(&self.shared.fence, target, spec.prepare, position, &bounds)
            .await
            .map_err(RunError::Target)?;
        reach(Point::TablePrepared).await;
        let chunks = (0..)
            .zip(bounds)
            .map(|(id, bounds)| whimbrel_connector::ChunkRecord {
                id: ChunkId(id),
                bounds,
                done: None,
            });
        Ok(LoadRecord {
            table: source.name.clone(),
            planned_at: Some(position.clone()),
            follow: None,
            chunks: chunks.collect(),
            is_finished: false,
        })
    }

    async fn queue(
        &mut self,
        source: whimbrel_core::Table,
        target: TargetTable,
        record: LoadRecord,
    ) -> Result<(), RunError> {
        self.shared
            .progress
            .update(&source.name, |entry| show_record(entry, &record));
        let offered = self.shared.snapshot.raw_formats(&source);
        let accepted = self
            .target
            .raw_formats(&target)
            .await
            .map_err(RunError::Target)?;
        let open: Vec<_> = record
            .chunks
            .iter()
            .filter(|chunk| chunk.done.is_none())
            .collect();
        let shape = self.attempt.spec.shaping.of(&source);
        let passes = |format: &RawFormat| shape.is_none() && accepted.contains(format);
        let table = Arc::new(TableRun {
            name: source.name.clone(),
            raw: offered.into_iter().find(passes),
            shape,
            is_only_chunk: record.chunks.len() == 1,
            chunks_open: AtomicU32::new(u32::try_from(open.len()).unwrap_or(u32::MAX)),
            has_failed: AtomicBool::new(false),
            source,
            target,
        });
        let mut jobs: Vec<Job> = open
            .into_iter()
            .map(|chunk| Job {
                table: Arc::clone(&table),
                chunk: Some((chunk.id, chunk.bounds.clone())),
            })
            .collect();
        if jobs.is_empty() {
            jobs.push(Job { table, chunk: None });
        }
        for job in jobs {
            tokio::select! {
                () = self.shared.halt.cancelled() => break,
                sent = self.jobs.send(job) => if sent.is_err() { break },
            }
        }
        Ok(())
    }
}

/// Shows what earlier runs committed of a table.
fn show_record(entry: &mut crate::TableProgress, record: &LoadRecord) {
    let done = record.chunks.iter().filter_map(|chunk| chunk.done);
    entry.row_count = done.clone().map(|commit| commit.row_count).sum();
    entry.byte_count = done.clone().map(|commit| commit.byte_count).sum();
    entry.chunk_count = u32::try_from(record.chunks.len()).unwrap_or(u32::MAX);
    entry.chunks_done = u32::try_from(done.count()).unwrap_or(u32::MAX);
}

/// An error's text for a table's entry, without the table's name in front.
pub(super) fn table_message(error: Error) -> String {
    match error {
        Error::Table(fault) => fault.message,
        other => other.to_string(),
    }
}

impl TableRun {
    /// Marks the table failed. `true` for the first caller only.
    pub(super) fn fail_once(&self) -> bool {
        !self.has_failed.swap(true, Ordering::Relaxed)
    }
}
