//! One attempt at a full load: plans, prepares tables in order, and feeds chunks to the subtasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    Connector, Error, LoadRecord, ReadFormat, Snapshot, Source, Target, TargetTable, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Position, Table, TableName, clock};

use super::LoadOutcome;
use super::conclude::{cancel_open, conclude};
use super::feeder::Feeder;
use super::outage::Retries;
use super::plan::{LoadPlan, plan_full_load, tell_unmatched};
use super::segments::Split;
use super::settle::settle;
use super::subtask::Subtask;
use crate::cdc::release_log;
use crate::feeding;
use crate::hold::Hold;
use crate::objects::{Groundwork, OpenTable};
use crate::progress::Listed;
use crate::shaping::Shaped;
use crate::{FullLoadSpec, Progress, RunError, StartKind, TableErrorPolicy, TableState};

/// Jobs that wait for a subtask: enough that none idles, few enough that a stop drops little planning.
const JOBS_WAITING_MAX: usize = 64;
pub(super) struct Attempt<'a> {
    pub(super) source: &'a Arc<dyn Connector>,
    pub(super) target: &'a Arc<dyn Connector>,
    pub(super) spec: &'a FullLoadSpec,
    pub(super) start: &'a StartKind,
    pub(super) progress: &'a Arc<Progress>,
    pub(super) stop: &'a CancellationToken,
    /// The task at the target.
    pub(super) hold: &'a Hold,
    /// Those of the run so far.
    pub(super) retries: &'a Arc<Retries>,
    /// Set once the record at the target is of this run: what an earlier one left has been removed, or is gone on with.
    pub(super) owns_record: &'a AtomicBool,
    /// Set once its tables are shown.
    pub(super) has_listed: &'a AtomicBool,
}

impl Attempt<'_> {
    /// Whether a table is loaded: the target's record tells, and not what this run remembers, because the target may have been put back.
    pub(super) fn is_completed(
        &self,
        name: &TableName,
        records: &HashMap<TableName, LoadRecord>,
    ) -> bool {
        match (records.get(name), self.start) {
            (Some(record), _) => record.is_finished,
            (None, StartKind::Resume { completed, .. }) if completed.contains(name) => true,
            (None, _) => {
                let joining = self.spec.joining.as_ref();
                joining.is_some_and(|joining| joining.completed.contains(name))
            }
        }
    }

    /// While changes follow, what refers to a table stays and keeps it: the keys that would be put aside come back at the end only.
    fn keeps_references(&self) -> bool {
        let joining = self.spec.joining.as_ref();
        self.spec.is_followed && joining.is_some_and(|joining| joining.is_later)
    }

    /// Shows the tables of the plan, as far as the target has them.
    fn list(&self, plan: &LoadPlan, records: &HashMap<TableName, LoadRecord>) {
        let listed = plan.tables.iter().map(|planned| {
            let table = &planned.source;
            Listed {
                name: table.name.clone(),
                row_estimate: table.row_estimate.unwrap_or(0),
                byte_estimate: table.byte_estimate.unwrap_or(0),
                record: records.get(&table.name).cloned(),
                is_completed: self.is_completed(&table.name, records),
                not_created: planned.not_created(self.target.engine()),
            }
        });
        let listed: Vec<Listed> = listed.collect();
        let Some(joining) = &self.spec.joining else {
            self.progress.begin(listed);
            if !self.spec.is_followed && !self.has_listed.swap(true, Ordering::Relaxed) {
                tell_unmatched(&plan.unmatched, self.spec, self.progress);
            }
            return;
        };
        let mut gone = joining.tables.clone();
        gone.retain(|name| listed.iter().all(|table| table.name != *name));
        // Another attempt is no other load.
        let again = joining.is_later && !self.has_listed.swap(true, Ordering::Relaxed);
        self.progress.begin_beside(listed, again);
        self.progress.gone(&gone, again, &self.spec.mappings);
    }

    /// The plan of what is left to load.
    fn open(&self, plan: LoadPlan, records: &HashMap<TableName, LoadRecord>) -> LoadPlan {
        let mut open = plan;
        open.tables
            .retain(|table| !self.is_completed(&table.source.name, records));
        open
    }
}

/// What the coordinator and the subtasks of an attempt share.
pub(super) struct Shared {
    pub(super) target_connector: Arc<dyn Connector>,
    pub(super) snapshot: Box<dyn Snapshot>,
    pub(super) fence: TaskFence,
    pub(super) progress: Arc<Progress>,
    pub(super) spec: FullLoadSpec,
    /// Cancelled by the user's stop, and by the first error that ends the attempt.
    pub(super) halt: CancellationToken,
    pub(super) first_error: std::sync::Mutex<Option<RunError>>,
    /// Targets that are connected and not in use.
    idle_targets: Mutex<Vec<Box<dyn Target>>>,
    pub(super) retries: Arc<Retries>,
    /// Held by whoever waits for a target that is away.
    pub(super) outage: Mutex<()>,
    pub(super) outages_over: AtomicU64,
    /// What a connection is told that prepares tables ([`Target::keep_references`]).
    pub(super) keeps_references: bool,
}

/// One table of the attempt.
pub(super) struct TableRun {
    pub(super) name: TableName,
    pub(super) source: whimbrel_core::Table,
    pub(super) target: TargetTable,
    /// How rows are read that are not looked at one by one.
    pub(super) format: ReadFormat,
    /// Rows get another shape on their way.
    pub(super) shape: Option<Arc<Shaped>>,
    pub(super) split: Split,
    /// The source gives the rows of a range and no others.
    pub(super) is_exact: bool,
    pub(super) is_only_chunk: bool,
    /// Chunks not committed yet. Whoever brings it to zero finishes the table.
    pub(super) chunks_open: AtomicU32,
    pub(super) has_failed: AtomicBool,
    /// Rows that were left out, because the target refused them.
    pub(super) left_out: AtomicU64,
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

    /// Lets go of idle targets: they may have been lost with a connection that was.
    pub(super) async fn forget_idle_targets(&self) {
        self.idle_targets.lock().await.clear();
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
            entry.ended_at = Some(clock::now());
            entry.message = Some(message.to_owned());
        });
        if self.spec.on_table_error == TableErrorPolicy::StopTask {
            self.fail(RunError::Table(format!("table {table}: {message}")));
        } else if let Err(error) = self.spec.check_tables_in_error(&self.progress) {
            self.fail(error);
        }
    }
}

/// An attempt that is about to prepare tables.
struct Begun {
    target: Box<dyn Target>,
    fence: TaskFence,
    snapshot: Box<dyn Snapshot>,
    records: HashMap<TableName, LoadRecord>,
    plan: LoadPlan,
}

/// Runs one attempt. A stop waits for nothing that others have locked at either end: what is under way there is given up with its connection.
pub(super) async fn run_once(attempt: Attempt<'_>) -> Result<LoadOutcome, RunError> {
    let begun = tokio::select! {
        () = attempt.stop.cancelled() => {
            cancel_open(&attempt, &attempt.progress.snapshot());
            return Ok(LoadOutcome::Stopped);
        }
        begun = begin(&attempt) => begun?,
    };
    let (mut target, records, plan) = (begun.target, begun.records, begun.plan);
    let shared = Arc::new(Shared {
        target_connector: Arc::clone(attempt.target),
        snapshot: begun.snapshot,
        fence: begun.fence,
        progress: Arc::clone(attempt.progress),
        spec: attempt.spec.clone(),
        halt: attempt.stop.child_token(),
        first_error: std::sync::Mutex::new(None),
        idle_targets: Mutex::new(Vec::new()),
        retries: Arc::clone(attempt.retries),
        outage: Mutex::new(()),
        outages_over: AtomicU64::new(0),
        keeps_references: attempt.keeps_references(),
    });
    let (jobs, queue) = mpsc::channel(JOBS_WAITING_MAX);
    let subtasks = spawn_subtasks(&shared, queue, attempt.spec.subtask_count.max(1));
    let feeder = Feeder {
        attempt: &attempt,
        shared: &shared,
        target: &mut target,
        jobs,
    };
    let feeding = feeder.feed(attempt.open(plan, &records), records);
    let feeding = async {
        tokio::select! {
            () = shared.halt.cancelled() => {}
            fed = feeding => if let Err(error) = fed { shared.fail(error) },
        }
    };
    tokio::join!(feeding, see_to_their_end(&shared, subtasks));
    let outcome = conclude(&attempt, &shared, &mut target).await?;
    let fence = shared.fence.clone();
    // The source need not keep its view while objects are made.
    drop(shared);
    settle(&attempt, &fence, &mut *target, outcome).await
}

/// Starts the subtasks. The queue is theirs alone: once none of them is left, nothing waits for a place in it.
fn spawn_subtasks(shared: &Arc<Shared>, queue: mpsc::Receiver<Job>, count: usize) -> JoinSet<()> {
    let queue = Arc::new(Mutex::new(queue));
    let mut subtasks = JoinSet::new();
    for _ in 0..count {
        subtasks.spawn(Subtask::new(Arc::clone(shared), Arc::clone(&queue)).run());
    }
    subtasks
}

/// Waits for the subtasks. One that ends abnormally ends the attempt at once.
async fn see_to_their_end(shared: &Shared, mut subtasks: JoinSet<()>) {
    while let Some(joined) = subtasks.join_next().await {
        if let Err(panic) = joined {
            shared.fail(RunError::Table(format!(
                "a subtask of the load ended abnormally: {panic}"
            )));
        }
    }
}

/// Connects, plans, takes the task and opens the view of the load.
async fn begin(attempt: &Attempt<'_>) -> Result<Begun, RunError> {
    let (source, target) = tokio::join!(attempt.source.source(), attempt.target.target());
    let mut source = source.map_err(RunError::Source)?;
    let mut target = target.map_err(RunError::Target)?;
    target.keep_references(attempt.keeps_references());
    let plan = plan_full_load(&mut *source, &mut *target, attempt.spec).await?;
    let is_fresh = matches!(attempt.spec.start, StartKind::Fresh);
    if is_fresh {
        // Before anything of an earlier run is given up.
        check_not_fed(&mut *target, attempt, &plan, |_| true).await?;
    }
    let (fence, records) = claim(&mut *target, attempt).await?;
    attempt.owns_record.store(true, Ordering::Relaxed);
    attempt.list(&plan, &records);
    if !is_fresh {
        let is_open = |table: &TableName| !attempt.is_completed(table, &records);
        check_not_fed(&mut *target, attempt, &plan, is_open).await?;
    }
    prepare_ground(
        attempt,
        (&mut *source, &mut *target),
        &fence,
        (&plan, &records),
    )
    .await?;
    let snapshot = source
        .snapshot(attempt.spec.subtask_count)
        .await
        .map_err(RunError::Source)?;
    reach(Point::SnapshotOpen).await;
    check_view(attempt, snapshot.position()).await?;
    check_descriptions(&mut *source, &plan).await?;
    drop(source);
    attempt.progress.set_position(snapshot.position().as_str());
    info!(task = fence.task, position = %snapshot.position(), tables = plan.tables.len(), "full load begins");
    Ok(Begun {
        target,
        fence,
        snapshot,
        records,
        plan,
    })
}

/// Whether the log is followed from a place that a view has reached.
pub(super) async fn is_followed_from(
    attempt: &Attempt<'_>,
    view: &Position,
) -> Result<bool, RunError> {
    let joining = attempt.spec.joining.as_ref();
    let Some(from) = joining.and_then(|joining| joining.not_before.as_ref()) else {
        return Ok(true);
    };
    let log = attempt.source.change_log(&attempt.spec.task).await;
    let log = log.map_err(RunError::Source)?;
    log.view_reaches(view, from).map_err(RunError::Source)
}

/// Sees that the log is followed from a place that the view has reached. Nothing is written under another view.
async fn check_view(attempt: &Attempt<'_>, view: &Position) -> Result<(), RunError> {
    if is_followed_from(attempt, view).await? {
        return Ok(());
    }
    Err(RunError::Source(Error::Transient(format!(
        "the source's tables can be read only as they were at {view}, before the place from where on their changes are followed: commits at the source wait for a standby, or the source's address leads to several servers"
    ))))
}

/// Sees that no other task feeds tables that are written into. One that is followed notes its own, and sees it then.
async fn check_not_fed(
    target: &mut dyn Target,
    attempt: &Attempt<'_>,
    plan: &LoadPlan,
    is_written: impl Fn(&TableName) -> bool,
) -> Result<(), RunError> {
    feeding::check_prepare(attempt.spec)?;
    if attempt.spec.is_followed {
        return Ok(());
    }
    let tables = plan.tables.iter().map(|table| &table.source);
    let written = tables.filter(|table| is_written(&table.name)).cloned();
    feeding::check(target, attempt.spec, &written.collect::<Vec<Table>>()).await
}

/// Makes what tables rest on, and clears their way.
async fn prepare_ground(
    attempt: &Attempt<'_>,
    (source, target): (&mut dyn Source, &mut dyn Target),
    fence: &TaskFence,
    (plan, records): (&LoadPlan, &HashMap<TableName, LoadRecord>),
) -> Result<(), RunError> {
    let ground = Groundwork::plan(source, target, attempt.spec).await?;
    let planned = plan.tables.iter().map(|table| OpenTable {
        source: &table.source.name,
        target: table.target.as_ref().ok().map(|target| &target.name),
    });
    let open = planned.filter(|table| !attempt.is_completed(table.source, records));
    let open: Vec<OpenTable<'_>> = open.collect();
    let about = (attempt.spec, &**attempt.progress);
    ground.clear(target, fence, about, &open).await?;
    ground
        .lay_all(target, fence, (&plan.types, attempt.progress))
        .await
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
    let mut now = source.tables(&is_planned).await.map_err(RunError::Source)?;
    if plan.tables.iter().any(|table| table.is_view) {
        now.extend(source.views(&is_planned).await.map_err(RunError::Source)?);
    }
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
    attempt: &Attempt<'_>,
) -> Result<(TaskFence, HashMap<TableName, LoadRecord>), RunError> {
    let (spec, hold) = (attempt.spec, attempt.hold);
    let joining = spec.joining.as_ref();
    let needs_record = matches!(
        attempt.start,
        StartKind::Resume {
            needs_record: true,
            ..
        }
    );
    // A task that was claimed has begun, whatever came of its tables.
    if needs_record && !target.knows(&spec.task).await.map_err(RunError::Target)? {
        return Err(RunError::NothingToResume);
    }
    let was_followed = was_followed(target, attempt).await?;
    if was_followed && matches!(attempt.start, StartKind::Resume { .. }) {
        return Err(RunError::WasFollowed);
    }
    let fence = match joining.and_then(|joining| joining.fence.clone()) {
        Some(fence) => fence,
        None => hold.claim(target, &spec.task).await?,
    };
    match (attempt.start, joining) {
        (StartKind::Fresh, Some(joining)) => {
            let tables: Vec<&TableName> = joining.tables.iter().collect();
            let unrecorded = target.unrecord(&fence, &tables).await;
            unrecorded.map_err(RunError::Target)?;
            Ok((fence, HashMap::new()))
        }
        (StartKind::Fresh, None) => {
            if was_followed {
                // Before the checkpoint goes, which alone tells of it.
                let released = release_log(attempt.source, &spec.task).await;
                released.map_err(RunError::Source)?;
            }
            target.clear(&fence).await.map_err(RunError::Target)?;
            Ok((fence, HashMap::new()))
        }
        (StartKind::Resume { .. }, _) => {
            let records = target
                .load_records(&fence)
                .await
                .map_err(RunError::Target)?;
            for record in records.iter().filter(|record| record.is_finished) {
                spec.check_shape(record)?;
            }
            let by_name = records
                .into_iter()
                .map(|record| (record.table.clone(), record));
            Ok((fence, by_name.collect()))
        }
    }
}

/// Whether an earlier run has followed the source, which this one does not. Found out before the task is taken from a worker that does.
async fn was_followed(target: &mut dyn Target, attempt: &Attempt<'_>) -> Result<bool, RunError> {
    let spec = attempt.spec;
    if spec.is_followed || spec.joining.is_some() {
        return Ok(false);
    }
    let found = target.has_checkpoint(&spec.task).await;
    found.map_err(RunError::Target)
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
