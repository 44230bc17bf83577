//! The data plane over the engine and its connectors.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use whimbrel_connector::{ApplySettings, ConnectError, Connector, Error, KeyPolicy, PrepareMode};
use whimbrel_core::TableName;
use whimbrel_core::settings::{
    CachedChanges, ErrorPolicy, RecoverableErrors, TablePrepMode, TaskSettings,
};
use whimbrel_engine::{
    ApplyErrors, BATCH_BYTES, CdcEnd, CdcOutcome, CdcSpec, CdcStart, ControlTables, DdlPolicy,
    FullLoadSpec, Joining, LoadOutcome, Progress, ProgressSnapshot, Reloads, RetryPolicy,
    RowPolicy, RunError, Shaping, StartKind, TableErrorPolicy, UnboundedNumbers,
    keep_control_tables, plan_full_load, run_cdc, run_full_load,
};
use whimbrel_store::{ChangeCounts, EpochMs, StopReason, TableState};

use super::start::{Start, Starting};
use super::{
    Clearance, ConnectionFailure, DataPlane, EndpointConfig, Following, RunEnd, RunMode,
    RunProgress, TableProgress, TaskHandle, TaskSpec,
};

/// Makes the connector of an endpoint: checks the settings, connects nothing.
pub type MakeConnector =
    dyn Fn(&EndpointConfig) -> Result<Arc<dyn Connector>, ConnectError> + Send + Sync;

/// Real databases through their connectors, and full loads through the engine.
pub struct EngineDataPlane {
    make_connector: Arc<MakeConnector>,
}

impl EngineDataPlane {
    /// A data plane over these connectors.
    pub fn new(make_connector: Arc<MakeConnector>) -> Self {
        Self { make_connector }
    }
}

impl From<ConnectError> for ConnectionFailure {
    fn from(error: ConnectError) -> Self {
        Self {
            message: error.message,
            remedy: error.remedy,
        }
    }
}

#[async_trait]
impl DataPlane for EngineDataPlane {
    async fn test_connection(&self, endpoint: &EndpointConfig) -> Result<(), ConnectionFailure> {
        let connector = (self.make_connector)(endpoint)?;
        let server = connector.check().await?;
        tracing::debug!(
            endpoint = endpoint.identifier,
            version = server.version,
            tls = server.tls,
            "server answered"
        );
        Ok(())
    }

    async fn list_schemas(
        &self,
        endpoint: &EndpointConfig,
    ) -> Result<Vec<String>, ConnectionFailure> {
        let connector = (self.make_connector)(endpoint)?;
        let remedy = "check the privileges of the endpoint's user on the catalog";
        connector
            .schemas()
            .await
            .map_err(|error| failure(error, remedy))
    }

    async fn forget_task(
        &self,
        followed: Option<&EndpointConfig>,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        let (at_source, at_target) = tokio::join!(
            self.forget_at_source(followed, task),
            self.forget_at_target(target, task)
        );
        at_source.and(at_target)
    }

    fn start_task(&self, spec: TaskSpec) -> TaskHandle {
        let signals = Signals::default();
        let (sender, end) = oneshot::channel();
        let run = run(Arc::clone(&self.make_connector), spec, signals.clone());
        let span = tracing::info_span!("run");
        // The watcher of the run holds its handle until the end, so the run is joined through its answer.
        tokio::spawn(
            async move {
                drop(sender.send(run.await));
            }
            .instrument(span),
        );
        let Signals {
            progress,
            clearance,
            reloads,
            stop,
        } = signals;
        let cleared = Arc::clone(&clearance);
        let progress = move || progress_of(&progress.snapshot(), cleared.is_cleared());
        TaskHandle::new(Arc::new(progress), clearance, reloads, stop, end)
    }
}

/// What a run and its handle tell each other.
#[derive(Clone, Default)]
struct Signals {
    progress: Arc<Progress>,
    clearance: Arc<Clearance>,
    reloads: Arc<Reloads>,
    stop: CancellationToken,
}

impl EngineDataPlane {
    async fn forget_at_source(
        &self,
        followed: Option<&EndpointConfig>,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        let Some(source) = followed else {
            return Ok(());
        };
        let remedy = "drop the task's replication slot and publication at the source, or its log is kept for ever";
        let failed = |error| failure(error, remedy);
        let connector = (self.make_connector)(source)?;
        let mut log = connector.change_log(task).await.map_err(failed)?;
        log.remove().await.map_err(failed)
    }

    async fn forget_at_target(
        &self,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        let remedy =
            "delete the task's rows from the control tables in awsdms_control at the target";
        let failed = |error| failure(error, remedy);
        let connector = (self.make_connector)(target)?;
        let mut target = connector.target().await.map_err(failed)?;
        // Claimed first: a worker that is believed dead can then no longer write.
        let fence = target.claim(task).await.map_err(failed)?;
        target.forget(&fence).await.map_err(failed)
    }
}

fn failure(error: Error, remedy: &str) -> ConnectionFailure {
    match error {
        Error::Connect(error) => error.into(),
        error => ConnectionFailure {
            message: error.to_string(),
            remedy: remedy.to_owned(),
        },
    }
}

async fn run(make_connector: Arc<MakeConnector>, spec: TaskSpec, signals: Signals) -> RunEnd {
    let failed = |side: &str, error: ConnectError| RunEnd::Failed {
        message: format!("{side}: {error}"),
        is_recoverable: false,
    };
    let source = match make_connector(&spec.source) {
        Ok(source) => source,
        Err(error) => return failed("source", error),
    };
    let target = match make_connector(&spec.target) {
        Ok(target) => target,
        Err(error) => return failed("target", error),
    };
    let load = full_load_spec(&spec);
    if let Some(name) = table_read_and_written(&source, &target, &load).await {
        return RunEnd::Failed {
            message: format!(
                "source and target are the same database, and {name} would be read and written at once; name another target, or other \
                 names there with TargetSchema or renaming rules"
            ),
            is_recoverable: false,
        };
    }
    let starting = Starting {
        target: &target,
        task: &spec.task,
        mode: &spec.mode,
        follows: spec.following.is_some(),
        retry: load.retry,
        progress: &signals.progress,
        clearance: &signals.clearance,
    };
    let has_ended = CancellationToken::new();
    let _ends = has_ended.clone().drop_guard();
    let keeper = keep_control_tables(
        Arc::clone(&target),
        control_tables(&spec),
        Arc::clone(&signals.progress),
        has_ended.clone(),
    );
    let ended = match starting.start(&signals.stop).await {
        Ok(None) => Ok(RunEnd::Stopped),
        Ok(Some(start)) => {
            // Told to end with the run, and waited for: the tables show that it ended.
            let keeper = tokio::spawn(keeper);
            let ended = move_data(&source, &target, &spec, load, start, &signals).await;
            has_ended.cancel();
            if tokio::time::timeout(CONTROL_TABLES_WAIT, keeper)
                .await
                .is_err()
            {
                tracing::warn!(
                    task = spec.task,
                    "the control tables that users read may not show the end of the run"
                );
            }
            ended
        }
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| RunEnd::Failed {
        message: error.to_string(),
        is_recoverable: error.is_transient(),
    })
}

/// How long the end of a run waits for its tables.
const CONTROL_TABLES_WAIT: Duration = Duration::from_secs(10);

/// The tables in which users read how the task is.
pub(super) fn control_tables(spec: &TaskSpec) -> ControlTables {
    let settings = &spec.settings;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty());
    ControlTables {
        home: settings.control_tables.schema.clone(),
        server_name: host.unwrap_or("localhost").to_owned(),
        task: spec.task.clone(),
        status: settings.control_tables.status,
        history: settings.control_tables.history,
        suspended: settings.control_tables.suspended,
    }
}

/// The work itself, once it is known where it starts.
async fn move_data(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &TaskSpec,
    load: FullLoadSpec,
    start: Start,
    signals: &Signals,
) -> Result<RunEnd, RunError> {
    let Signals { progress, stop, .. } = signals;
    let Some(following) = &spec.following else {
        return load_and_reload(source, target, load, signals).await;
    };
    let settings = &spec.settings;
    let spec = CdcSpec {
        loads: following.loads,
        start: cdc_start(following, start),
        end: if following.loads {
            load_end(settings)
        } else {
            CdcEnd::Never
        },
        stop_at: following.stop_at,
        on_apply_error: apply_errors(settings),
        on_ddl: ddl_policy(settings),
        reloads: Arc::clone(&signals.reloads),
        apply: apply_settings(settings),
        batch_wait: settings.batch_wait,
        batch_changes_min: settings.batch_changes_min,
        batch_bytes_max: batch_bytes_max(settings),
        ..CdcSpec::new(load)
    };
    run_cdc(source, target, &spec, progress, stop)
        .await
        .map(end_of_following)
}

/// A load, and the loads of tables that were asked for again meanwhile.
async fn load_and_reload(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    mut load: FullLoadSpec,
    signals: &Signals,
) -> Result<RunEnd, RunError> {
    let Signals { progress, stop, .. } = signals;
    loop {
        let outcome = run_full_load(source, target, &load, progress, stop).await?;
        if outcome == LoadOutcome::Stopped {
            return Ok(RunEnd::Stopped);
        }
        let tables = signals.reloads.take();
        if tables.is_empty() {
            return Ok(end_of_load(&outcome));
        }
        let mut target = target.target().await.map_err(RunError::Target)?;
        let fence = target.claim(&load.task).await.map_err(RunError::Target)?;
        target.forget(&fence).await.map_err(RunError::Target)?;
        let fence = target.claim(&load.task).await.map_err(RunError::Target)?;
        load.start = StartKind::Resume {
            completed: HashSet::new(),
            needs_record: false,
        };
        load.joining = Some(Joining { fence, tables });
    }
}

fn end_of_load(outcome: &LoadOutcome) -> RunEnd {
    match outcome {
        LoadOutcome::Finished { .. } => RunEnd::Finished(StopReason::FullLoadOnlyFinished),
        LoadOutcome::Stopped => RunEnd::Stopped,
    }
}

fn end_of_following(outcome: CdcOutcome) -> RunEnd {
    RunEnd::Finished(match outcome {
        CdcOutcome::Stopped => return RunEnd::Stopped,
        CdcOutcome::Loaded => StopReason::StoppedAfterFullLoad,
        CdcOutcome::CaughtUp => StopReason::StoppedAfterCachedEvents,
        CdcOutcome::CommitTime => StopReason::StoppedAtCommitTime,
        CdcOutcome::ServerTime => StopReason::StoppedAtServerTime,
    })
}

fn cdc_start(following: &Following, start: Start) -> CdcStart {
    match start {
        Start::GoOn => CdcStart::Resume,
        Start::Begin => CdcStart::Fresh {
            from: following.start.clone(),
        },
    }
}

/// What becomes of changes that the target refuses or that meet no row.
pub(super) fn apply_errors(settings: &TaskSettings) -> ApplyErrors {
    let row = |policy: ErrorPolicy| match policy {
        ErrorPolicy::IgnoreRecord => RowPolicy::Ignore,
        ErrorPolicy::LogError => RowPolicy::Report,
        ErrorPolicy::SuspendTable => RowPolicy::SuspendTable,
        ErrorPolicy::StopTask => RowPolicy::StopTask,
    };
    let [insert, update, delete] = settings.apply_errors.map(row);
    ApplyErrors {
        insert,
        update,
        delete,
        missing_update: update,
        missing_delete: delete,
    }
}

pub(super) fn ddl_policy(settings: &TaskSettings) -> DdlPolicy {
    DdlPolicy {
        drops: settings.ddl.drops,
        truncates: settings.ddl.truncates,
        alters: settings.ddl.alters,
    }
}

pub(super) fn apply_settings(settings: &TaskSettings) -> ApplySettings {
    ApplySettings {
        statements_kept_max: usize::try_from(settings.statement_cache_size).unwrap_or(usize::MAX),
        control_schema: settings.control_tables.schema.clone(),
    }
}

/// What may wait for the target: what this version takes anyway, or less where the task says so. A quarter of the total, as reading ahead,
/// gathering, writing and a row of its own size each take their share.
pub(super) fn batch_bytes_max(settings: &TaskSettings) -> usize {
    let total = settings.memory_limit_bytes / 4;
    let limit = settings
        .batch_memory_bytes
        .map_or(total, |batch| batch.min(total));
    usize::try_from(limit).map_or(BATCH_BYTES, |limit| limit.clamp(1, BATCH_BYTES))
}

/// When a task with a load ends by itself.
pub(super) fn load_end(settings: &TaskSettings) -> CdcEnd {
    match settings.cached_changes {
        CachedChanges::GoOn => CdcEnd::Never,
        CachedChanges::StopBefore => CdcEnd::AfterLoad,
        CachedChanges::StopAfter => CdcEnd::AfterCachedChanges,
    }
}

/// A table that the run would overwrite while it reads it, because both ends are one database, whatever names they have. What cannot be
/// asked here the run itself will meet, with its own words and retries.
async fn table_read_and_written(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &FullLoadSpec,
) -> Option<TableName> {
    let (at_source, at_target) = tokio::join!(source.check(), target.check());
    let identity = at_source.ok()?.identity?;
    if at_target.ok()?.identity? != identity {
        return None;
    }
    let (mut source, mut target) = (source.source().await.ok()?, target.target().await.ok()?);
    let plan = plan_full_load(&mut *source, &mut *target, spec)
        .await
        .ok()?;
    plan.table_read_and_written().cloned()
}

/// What users want to be different at the target. Where the service changes values by default, only a setting that is given does it here.
fn shaping(spec: &TaskSpec) -> Shaping {
    let lob_kib_max = spec.settings.lob_kib_max;
    let booleans = [&spec.source, &spec.target].map(|end| end.switch("MapBooleanAsBoolean"));
    Shaping {
        lob_bytes_max: lob_kib_max.and_then(|kib| usize::try_from(u64::from(kib) << 10).ok()),
        fails_on_cut: [&spec.source, &spec.target]
            .map(|end| end.switch("FailTasksOnLobTruncation"))
            .contains(&Some(true)),
        // Both ends have to map them to booleans.
        booleans_as_text: booleans.contains(&Some(false)),
        unbounded_numbers: match spec.source.switch("MapUnboundedNumericAsString") {
            None => UnboundedNumbers::Exact,
            Some(true) => UnboundedNumbers::AsText,
            Some(false) => UnboundedNumbers::Rounded,
        },
    }
}

pub(super) fn full_load_spec(spec: &TaskSpec) -> FullLoadSpec {
    let settings = &spec.settings;
    let schema = settings.target_schema.clone();
    FullLoadSpec {
        target_schema: schema.or_else(|| spec.target.single_database()),
        prepare: match settings.prepare {
            TablePrepMode::DoNothing => PrepareMode::DoNothing,
            TablePrepMode::DropAndCreate => PrepareMode::DropAndCreate,
            TablePrepMode::TruncateBeforeLoad => PrepareMode::Truncate,
        },
        keys: if settings.create_pk_after_full_load {
            KeyPolicy::AfterLoad
        } else {
            KeyPolicy::Best
        },
        shaping: shaping(spec),
        subtask_count: usize::from(settings.full_load_subtasks_max),
        statement_rows_max: settings.commit_rate,
        // The target has let go of what earlier starts recorded, so a fresh start finds nothing to go on from.
        start: StartKind::Resume {
            completed: match &spec.mode {
                RunMode::Fresh => HashSet::new(),
                RunMode::Resume { completed, .. } => completed.iter().cloned().collect(),
            },
            needs_record: false,
        },
        keeps_record: true,
        on_table_error: match settings.table_errors {
            ErrorPolicy::StopTask => TableErrorPolicy::StopTask,
            ErrorPolicy::IgnoreRecord | ErrorPolicy::LogError | ErrorPolicy::SuspendTable => {
                TableErrorPolicy::SuspendTable
            }
        },
        fails_without_tables: settings.fails_without_tables,
        retry: retry_policy(settings.recoverable_errors),
        ..FullLoadSpec::new(spec.task.clone(), spec.mappings.clone())
    }
}

fn retry_policy(errors: RecoverableErrors) -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        retries_max: errors.retries_max.unwrap_or(default.retries_max),
        wait_first: errors.interval,
        wait_max: if errors.doubles {
            errors.interval_max
        } else {
            errors.interval
        },
    }
}

fn progress_of(snapshot: &ProgressSnapshot, is_cleared: bool) -> RunProgress {
    let tables = snapshot.tables.iter().map(|(name, table)| {
        let progress = TableProgress {
            state: table_state(table.state),
            rows: i64::try_from(table.row_count).unwrap_or(i64::MAX),
            started_at: table.started_at.map(epoch_ms),
            ended_at: table.ended_at.map(epoch_ms),
            message: table.message.clone(),
            applied: change_counts(&table.changes),
            captured: change_counts(&table.changes.captured()),
            reload_count: table.reload_count,
        };
        (name.clone(), progress)
    });
    RunProgress {
        tables: tables.collect(),
        percent: snapshot.percent(),
        is_cleared,
        checkpoint: snapshot
            .follow
            .as_ref()
            .and_then(|follow| follow.checkpoint.clone()),
        interruption: snapshot.interruption.clone(),
    }
}

fn change_counts(counts: &whimbrel_engine::ChangeCounts) -> ChangeCounts {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ChangeCounts {
        inserts: signed(counts.inserts),
        updates: signed(counts.updates),
        deletes: signed(counts.deletes),
        ddls: signed(counts.ddls),
    }
}

fn table_state(state: whimbrel_engine::TableState) -> TableState {
    match state {
        whimbrel_engine::TableState::BeforeLoad => TableState::BeforeLoad,
        whimbrel_engine::TableState::FullLoad => TableState::FullLoad,
        whimbrel_engine::TableState::Completed => TableState::Completed,
        whimbrel_engine::TableState::Cancelled => TableState::Cancelled,
        whimbrel_engine::TableState::Error => TableState::Error,
        whimbrel_engine::TableState::Dropped => TableState::DoesNotExist,
    }
}

fn epoch_ms(time: SystemTime) -> EpochMs {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    EpochMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
