//! The data plane over the engine and its connectors.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use whimbrel_connector::{
    ApplySettings, ConnectError, Connector, Error, Feeding, KeyPolicy, NOBODY, PrepareMode,
    RunningWait, UnreadLog, in_background,
};
use whimbrel_core::settings::{
    ApplyMode, CachedChanges, ErrorPolicy, EscalationSettings, OpenTransactions, RecoverableErrors,
    TablePrepMode, TargetTables, TaskSettings, TruncateHandling,
};
use whimbrel_engine::assess::{Assessments, Values, assess};
use whimbrel_engine::{
    ApplyErrors, BATCH_BYTES, BATCH_CHANGES, CdcEnd, CdcOutcome, CdcSpec, CdcStart, ControlTables,
    DataErrors, DdlPolicy, Escalation, FullLoadSpec, LoadExceptions, LoadOutcome, ObjectProgress,
    OnCut, OnTruncate, Progress, ProgressSnapshot, RepeatedLoad, RetryPolicy, RowPolicy, RunError,
    Shaping, StartKind, TableErrorPolicy, UnboundedNumbers, Validator, keep_control_tables,
    release_log, run_cdc,
};
use whimbrel_store::{ChangeCounts, EndpointRole, EpochMs, StopReason, TableState};

use super::assessing::assessed;
use super::start::{Start, Started, Starting};
use super::validation::{self, Settled, Validating};
use super::{
    Clearance, ConnectionFailure, DataPlane, EndpointConfig, Following, Requests, RunEnd, RunMode,
    RunProgress, TableProgress, TaskHandle, TaskSpec,
};

/// Makes the connector of an endpoint: checks the settings, connects nothing.
pub type MakeConnector =
    dyn Fn(&EndpointConfig) -> Result<Arc<dyn Connector>, ConnectError> + Send + Sync;

const SEE_THE_TARGET: &str =
    "see that the endpoint's user may read and write the control tables in awsdms_control";

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
        if endpoint.role == EndpointRole::Source {
            warn_of_unread_logs(&*connector, &endpoint.identifier).await;
        }
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

    async fn has_followed(
        &self,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<bool, ConnectionFailure> {
        let failed = |error| failure(error, SEE_THE_TARGET);
        let connector = (self.make_connector)(target)?;
        let mut target = connector.target().await.map_err(failed)?;
        target.has_checkpoint(task).await.map_err(failed)
    }

    async fn forget_at_source(
        &self,
        source: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        let remedy = "see that the endpoint's user may remove the task's replication slot and publication at the source";
        let failed = |error| failure(error, remedy);
        let connector = (self.make_connector)(source)?;
        release_log(&connector, task).await.map_err(failed)
    }

    async fn forget_at_target(
        &self,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        let failed = |error| failure(error, SEE_THE_TARGET);
        let connector = (self.make_connector)(target)?;
        let mut target = connector.target().await.map_err(failed)?;
        // Claimed first: a worker that is believed dead can then no longer write.
        let fence = target.claim(task).await.map_err(failed)?;
        target.forget(&fence).await.map_err(failed).map(drop)
    }

    async fn assess(
        &self,
        spec: &TaskSpec,
        values: Values,
    ) -> Result<Assessments, ConnectionFailure> {
        let source = (self.make_connector)(&spec.source)?;
        let target = (self.make_connector)(&spec.target)?;
        Ok(assess(&source, &target, &assessed(spec), values).await)
    }

    fn start_task(&self, spec: TaskSpec) -> TaskHandle {
        let signals = Signals::default();
        let validates = spec.settings.validation.is_some();
        let (sender, end) = oneshot::channel();
        let run = run(Arc::clone(&self.make_connector), spec, signals.clone());
        let span = tracing::info_span!("run");
        #[expect(
            clippy::disallowed_methods,
            reason = "the watcher of the run waits for its answer, and nobody may end it but by asking"
        )]
        tokio::spawn(
            async move {
                drop(sender.send(run.await));
            }
            .instrument(span),
        );
        let Signals {
            progress,
            clearance,
            requests,
            stop,
        } = signals;
        let cleared = Arc::clone(&clearance);
        let progress = move || {
            let snapshot = progress.snapshot();
            RunProgress {
                validations: validates.then(|| validation::progress_of(&snapshot)),
                ..progress_of(&snapshot, cleared.is_cleared())
            }
        };
        TaskHandle::new(Arc::new(progress), clearance, requests, stop, end)
    }
}

/// What a run and its handle tell each other.
#[derive(Clone, Default)]
pub(super) struct Signals {
    pub(super) progress: Arc<Progress>,
    clearance: Arc<Clearance>,
    pub(super) requests: Requests,
    pub(super) stop: CancellationToken,
}

/// Tells of log that the source keeps for tasks that do not run. The connection is none the worse for it.
async fn warn_of_unread_logs(connector: &dyn Connector, endpoint: &str) {
    match connector.unread_logs().await {
        Ok(unread_logs) => {
            for UnreadLog { message, remedy } in unread_logs {
                tracing::warn!(endpoint, remedy, "{message}");
            }
        }
        Err(error) => {
            tracing::debug!(endpoint, %error, "the source does not tell what log it keeps");
        }
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
    let starting = Starting {
        source: &source,
        target: &target,
        load: &load,
        task: &spec.task,
        mode: &spec.mode,
        follows: spec.following.is_some(),
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
        Ok(Some(Started { start, held })) => {
            let load = FullLoadSpec { held, ..load };
            // Told to end with the run, and waited for: the tables show that it ended.
            let keeper = in_background("control tables", keeper);
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
        message: with_remedy(&error),
        is_recoverable: error.is_transient(),
    })
}

/// Why a run failed, with what to do where only the caller of the engine knows.
fn with_remedy(error: &RunError) -> String {
    match error {
        RunError::Target(Error::Fenced { theirs: NOBODY, .. }) => {
            format!("{error}; start the task with reload-target")
        }
        RunError::FedByAnother { fed, .. } => format!(
            "{error}; delete the replication task whose ARN ends in {0}, or give the tables other names at the target; where each task writes rows of its own, set WhimbrelSettings.SharedTargetTables of all of them to true. If no such task is there, it belongs to another service or to the command line: whimbrel forget SOURCE TARGET --task {0} ends it, with the source that it has",
            fed.task
        ),
        _ => error.to_string(),
    }
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
        recovery: settings.control_tables.recovery,
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
    let validation = validation::spec_of(spec, &load, &signals.requests.revalidations);
    let validator = |spec| Validator::new(source, target, spec, progress);
    let touched = validation.as_ref().map(|spec| Arc::clone(&spec.touched));
    let validator = validation.map(validator);
    let Some(following) = &spec.following else {
        return load_and_reload(source, target, &load, validator, signals).await;
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
        reloads: Arc::clone(&signals.requests.reloads),
        touched,
        apply: apply_settings(settings),
        batch_wait: settings.batch_wait,
        batch_wait_max: settings.batch_wait_max,
        batch_changes_min: settings.batch_changes_min,
        batch_bytes_max: batch_bytes_max(settings),
        batch_changes_max: batch_changes_max(settings),
        folds: folds(settings),
        is_one_at_a_time: is_one_at_a_time(settings),
        running_wait: running_wait(settings),
        ..CdcSpec::new(load)
    };
    let validating = validator.map(Validating::start);
    let outcome = run_cdc(source, target, &spec, progress, stop).await;
    if let Some(validating) = validating {
        validating.end().await;
    }
    outcome.map(|outcome| objects_told(progress, end_of_following(outcome)))
}

/// A load, and the loads of tables that were asked for again meanwhile.
async fn load_and_reload(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    load: &FullLoadSpec,
    mut validator: Option<Validator>,
    signals: &Signals,
) -> Result<RunEnd, RunError> {
    let Signals { progress, stop, .. } = signals;
    let repeated = RepeatedLoad::new(source, target, load, progress, stop);
    let mut outcome = repeated.load().await?;
    loop {
        if outcome == LoadOutcome::Stopped {
            return Ok(RunEnd::Stopped);
        }
        if let Some(validator) = &mut validator
            && validation::settle(validator, signals).await == Settled::Stopped
        {
            return Ok(RunEnd::Stopped);
        }
        let tables = signals.requests.reloads.take();
        if tables.is_empty() {
            return Ok(objects_told(progress, end_of_load(&outcome)));
        }
        outcome = repeated.load_again(tables).await?;
    }
}

fn end_of_load(outcome: &LoadOutcome) -> RunEnd {
    match outcome {
        LoadOutcome::Finished { .. } => RunEnd::Finished(StopReason::FullLoadOnlyFinished),
        LoadOutcome::Stopped => RunEnd::Stopped,
    }
}

/// A run that could not make an object does not end as if it had.
fn objects_told(progress: &Progress, end: RunEnd) -> RunEnd {
    let snapshot = progress.snapshot();
    let mut failures = snapshot.objects.iter().flat_map(ObjectProgress::failures);
    let (RunEnd::Finished(_), Some((first, why))) = (&end, failures.next()) else {
        return end;
    };
    let more = match failures.count() {
        0 => String::new(),
        count => format!("; and {count} more, see the service's log"),
    };
    let rows = match snapshot.count(whimbrel_engine::TableState::Error) {
        0 => "all rows are there, but not all objects".to_owned(),
        1 => "a table is in error, and not all objects are there".to_owned(),
        count => format!("{count} tables are in error, and not all objects are there"),
    };
    RunEnd::Failed {
        message: format!(
            "{rows}: {} {}: {why}{more}; mend the cause and resume the task: rows and objects that are there stay as they are",
            first.kind.singular(),
            first.name
        ),
        is_recoverable: false,
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
    let [insert, update, delete] = settings.apply_errors.map(row_policy);
    ApplyErrors {
        insert,
        update,
        delete,
        missing_update: update,
        missing_delete: delete,
        overwrites: settings.upserts.overwrites,
        inserts_missing: settings.upserts.inserts_missing,
        escalation: settings.apply_escalation.map(escalation),
    }
}

fn row_policy(policy: ErrorPolicy) -> RowPolicy {
    match policy {
        ErrorPolicy::IgnoreRecord => RowPolicy::Ignore,
        ErrorPolicy::LogError => RowPolicy::Report,
        ErrorPolicy::SuspendTable => RowPolicy::SuspendTable,
        ErrorPolicy::StopTask => RowPolicy::StopTask,
    }
}

fn escalation(settings: EscalationSettings) -> Escalation {
    Escalation {
        count: settings.count.into(),
        then: row_policy(settings.policy),
    }
}

/// What becomes of rows that are refused. Where the service leaves rows out by default, only a setting that is given does it here.
fn data_errors(settings: &TaskSettings) -> DataErrors {
    DataErrors {
        refused: settings.data_errors.refused.map(row_policy),
        too_long: settings.data_errors.too_long.map(row_policy),
        escalation: settings.data_errors.escalation.map(escalation),
    }
}

/// How long transactions are waited for that run at the source.
pub(super) fn running_wait(settings: &TaskSettings) -> Option<RunningWait> {
    let OpenTransactions { wait, fails } = settings.open_transactions;
    let limit = wait.or_else(|| fails.then_some(OPEN_TRANSACTIONS_WAIT))?;
    Some(RunningWait { limit, fails })
}

/// Whether large batches are applied in sets.
pub(super) fn folds(settings: &TaskSettings) -> bool {
    matches!(settings.apply_mode, ApplyMode::AsFits | ApplyMode::InSets)
}

/// Whether each transaction of the source is one of the target.
pub(super) fn is_one_at_a_time(settings: &TaskSettings) -> bool {
    settings.apply_mode == ApplyMode::OneByOne
}

pub(super) fn ddl_policy(settings: &TaskSettings) -> DdlPolicy {
    DdlPolicy {
        drops: settings.ddl.drops,
        on_truncate: match settings.ddl.truncates {
            TruncateHandling::Truncate => OnTruncate::Truncate,
            TruncateHandling::Keep => OnTruncate::Keep,
            TruncateHandling::Fail => OnTruncate::Fail,
        },
        alters: settings.ddl.alters,
    }
}

pub(super) fn apply_settings(settings: &TaskSettings) -> ApplySettings {
    ApplySettings {
        statements_kept_max: usize::try_from(settings.statement_cache_size).unwrap_or(usize::MAX),
        control_schema: settings.control_tables.schema.clone(),
        put_aside: settings.objects.clone(),
    }
}

/// What may wait for the target. A quarter of the total, as reading ahead, gathering, writing and a row of its own size each take their share.
pub(super) fn batch_bytes_max(settings: &TaskSettings) -> usize {
    let total = settings.memory_limit_bytes.map(|total| total / 4);
    let limits = settings.batch_memory_bytes.into_iter().chain(total);
    let limit = limits.min().map_or(BATCH_BYTES, |limit| {
        usize::try_from(limit).unwrap_or(BATCH_BYTES_MAX)
    });
    limit.clamp(1, BATCH_BYTES_MAX)
}

/// How many changes may wait: no fewer than by default, and more where a batch may be larger.
fn batch_changes_max(settings: &TaskSettings) -> usize {
    BATCH_CHANGES * (batch_bytes_max(settings) / BATCH_BYTES).max(1)
}

/// However much a user allows: what a server takes with one statement is 1 GiB, and rows may be longer there than in the log.
const BATCH_BYTES_MAX: usize = 128 * 1024 * 1024;

/// As long as the service waits by default.
const OPEN_TRANSACTIONS_WAIT: Duration = Duration::from_mins(10);

/// When a task with a load ends by itself.
pub(super) fn load_end(settings: &TaskSettings) -> CdcEnd {
    match settings.cached_changes {
        CachedChanges::GoOn => CdcEnd::Never,
        CachedChanges::StopBefore => CdcEnd::AfterLoad,
        CachedChanges::StopAfter => CdcEnd::AfterCachedChanges,
    }
}

/// What users want to be different at the target. Where the service changes values by default, only a setting that is given does it here.
fn shaping(spec: &TaskSpec) -> Shaping {
    let lob_kib_max = spec.settings.lob_kib_max;
    let booleans = [&spec.source, &spec.target].map(|end| end.switch("MapBooleanAsBoolean"));
    Shaping {
        lob_bytes_max: lob_kib_max.and_then(|kib| usize::try_from(u64::from(kib) << 10).ok()),
        on_cut: on_cut(spec),
        // Both ends have to map them to booleans.
        booleans_as_text: booleans.contains(&Some(false)),
        unbounded_numbers: match spec.source.switch("MapUnboundedNumericAsString") {
            None => UnboundedNumbers::Exact,
            Some(true) => UnboundedNumbers::AsText,
            Some(false) => UnboundedNumbers::Rounded,
        },
        characters: (!spec.settings.characters.is_empty())
            .then(|| Arc::new(spec.settings.characters.clone())),
    }
}

/// What a value does that is longer than `LobMaxSize`.
fn on_cut(spec: &TaskSpec) -> OnCut {
    let fails = [&spec.source, &spec.target].map(|end| end.switch("FailTasksOnLobTruncation"));
    if fails.contains(&Some(true)) {
        return OnCut::StopTask;
    }
    match spec.settings.data_errors.too_long {
        Some(ErrorPolicy::StopTask) => OnCut::StopTask,
        Some(ErrorPolicy::SuspendTable) => OnCut::SuspendTable,
        Some(ErrorPolicy::IgnoreRecord | ErrorPolicy::LogError) | None => OnCut::Cut,
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
        feeding: match settings.target_tables {
            TargetTables::Own => Feeding::Alone,
            TargetTables::Shared => Feeding::Together,
        },
        objects: settings.objects.clone(),
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
        data_errors: data_errors(settings),
        load_exceptions: settings
            .control_tables
            .load_exceptions
            .then(|| LoadExceptions {
                home: settings.control_tables.schema.clone(),
            }),
        tables_in_error_max: settings.tables_in_error_max,
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
    let policy = RetryPolicy {
        retries_max: errors.retries_max.unwrap_or(default.retries_max),
        wait_first: errors.interval,
        wait_max: if errors.doubles {
            errors.interval_max
        } else {
            errors.interval
        },
    };
    if !errors.doubles || !errors.stops_at_max {
        return policy;
    }
    // Doubled so often, every wait that a setting can name is past every other.
    let last = (1..=64).find(|number| policy.wait(*number) >= policy.wait_max);
    RetryPolicy {
        retries_max: last.map_or(policy.retries_max, |last| policy.retries_max.min(last)),
        ..policy
    }
}

fn progress_of(snapshot: &ProgressSnapshot, is_cleared: bool) -> RunProgress {
    let tables = snapshot.tables.iter().map(|(name, table)| {
        let progress = TableProgress {
            state: table_state(table.state),
            rows: i64::try_from(table.row_count).unwrap_or(i64::MAX),
            error_rows: i64::try_from(table.error_row_count).unwrap_or(i64::MAX),
            started_at: table.started_at.map(epoch_ms),
            ended_at: table.ended_at.map(epoch_ms),
            message: table.message.clone(),
            not_created: table.not_created.clone(),
            applied: change_counts(&table.changes),
            captured: change_counts(&table.changes.captured()),
            reload_count: table.reload_count,
            reload_answer_count: table.reload_answer_count,
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
            .and_then(|follow| follow.recovery.clone()),
        interruption: snapshot.interruption.clone(),
        log_alarm: snapshot.log_alarm.clone(),
        target_alarm: snapshot.target_alarm.clone(),
        validations: None,
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
        whimbrel_engine::TableState::Dropped | whimbrel_engine::TableState::Missing => {
            TableState::DoesNotExist
        }
    }
}

fn epoch_ms(time: SystemTime) -> EpochMs {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    EpochMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_with_the_first_of_the_longest_waits_where_that_is_wanted() {
        let errors = |stops_at_max, doubles| RecoverableErrors {
            retries_max: Some(50),
            interval: Duration::from_secs(5),
            doubles,
            interval_max: Duration::from_mins(1),
            stops_at_max,
        };
        // 5, 10, 20, 40, 60
        assert_eq!(retry_policy(errors(true, true)).retries_max, 5);
        assert_eq!(retry_policy(errors(false, true)).retries_max, 50);
        assert_eq!(retry_policy(errors(true, false)).retries_max, 50);
    }
}
