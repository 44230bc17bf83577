use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;

use super::SettingsDocument;
use crate::characters::CharacterRules;
use crate::objects::ObjectSelection;

/// What happens to target tables before their load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePrepMode {
    /// Existing tables and rows stay; missing tables are created.
    DoNothing,
    /// Existing tables are dropped and created again.
    DropAndCreate,
    /// Existing tables are emptied, missing ones created.
    TruncateBeforeLoad,
}

/// What an error of a row or table leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// Skip the row silently.
    IgnoreRecord,
    /// Log and skip the row.
    LogError,
    /// The table goes to error, the others go on.
    SuspendTable,
    /// The task fails.
    StopTask,
}

/// Changes that find another state of their row than they expect, and are applied all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserts {
    /// An insert whose row is there replaces that (`INSERT_RECORD`).
    pub overwrites: bool,
    /// An update whose row is not there inserts it (`UPDATE_RECORD`).
    pub inserts_missing: bool,
}

/// What becomes of rows that cannot be read or held, where the user says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataErrorSettings {
    /// Rows with a value that cannot be read or held.
    pub refused: Option<ErrorPolicy>,
    /// Rows with a value that is too long.
    pub too_long: Option<ErrorPolicy>,
    /// When there are many in a table.
    pub escalation: Option<EscalationSettings>,
}

/// What becomes of a table, or of the task, after many errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscalationSettings {
    /// So many are too many.
    pub count: NonZeroU32,
    /// What happens then.
    pub policy: ErrorPolicy,
}

/// How changes are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// In sets where many wait, as the user has not said otherwise.
    AsFits,
    /// In sets, for which changes are gathered.
    InSets,
    /// One after another, several transactions of the source in one of the target.
    InOrder,
    /// One after another, each transaction of the source by itself.
    OneByOne,
}

/// Whose the tables at the target are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTables {
    /// Those of the task alone.
    Own,
    /// Those of all tasks that say the same.
    Shared,
}

/// What a truncation at the source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncateHandling {
    /// It is done at the target.
    Truncate,
    /// It is passed over.
    Keep,
    /// It ends the task with an error.
    Fail,
}

/// How long a task waits for transactions that were open at the source when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransactions {
    /// So long; the connector's own bound when not given.
    pub wait: Option<Duration>,
    /// Whether the task fails then, rather than trying again.
    pub fails: bool,
}

/// Whether a task stops around the changes that were made during its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachedChanges {
    /// They are applied, and those after them.
    GoOn,
    /// The task stops before they are applied.
    StopBefore,
    /// The task stops once they are applied.
    StopAfter,
}

/// How errors of the surroundings are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverableErrors {
    /// Restarts after the first failure; `None`: as many as the service makes by itself.
    pub retries_max: Option<u32>,
    /// The first wait.
    pub interval: Duration,
    /// Whether each wait is twice the one before.
    pub doubles: bool,
    /// The longest wait.
    pub interval_max: Duration,
    /// Whether the first wait of that length is the last.
    pub stops_at_max: bool,
}

/// The settings that act on a full load, as types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSettings {
    /// Puts all tables into this schema of the target.
    pub target_schema: Option<String>,
    /// Before the load.
    pub prepare: TablePrepMode,
    /// What is made beside rows and primary keys.
    pub objects: ObjectSelection,
    /// Whose the tables at the target are.
    pub target_tables: TargetTables,
    /// Large values are cut to so many KiB, where the user wants it.
    pub lob_kib_max: Option<u32>,
    /// Whether primary keys are made after the rows.
    pub create_pk_after_full_load: bool,
    /// Tables or chunks loaded at once, 1 to 49.
    pub full_load_subtasks_max: u8,
    /// The most rows of one statement to the target, 1 to 50000, where the user has given it.
    pub commit_rate: Option<u32>,
    /// Errors of rows.
    pub data_errors: DataErrorSettings,
    /// Errors of whole tables.
    pub table_errors: ErrorPolicy,
    /// So many tables in error end the task.
    pub tables_in_error_max: Option<NonZeroU32>,
    /// Inserts, updates and deletes that the target refuses or that meet no row.
    pub apply_errors: [ErrorPolicy; 3],
    /// Changes that are put in order instead of that.
    pub upserts: Upserts,
    /// When many such changes of a table were left out.
    pub apply_escalation: Option<EscalationSettings>,
    /// Transactions that are open at the source when the task begins.
    pub open_transactions: OpenTransactions,
    /// How changes are put together.
    pub apply_mode: ApplyMode,
    /// Whether definitions that change at the source change at the target.
    pub ddl: DdlHandling,
    /// How long changes are gathered before they are applied; as short as the target allows when not given.
    pub batch_wait: Option<Duration>,
    /// How long they are gathered at most while more keep coming; no longer than `batch_wait` when not given.
    pub batch_wait_max: Option<Duration>,
    /// So many changes are enough not to wait for more.
    pub batch_changes_min: Option<usize>,
    /// Bytes of changes that may wait for the target in one batch, where the task applies in batches and the user says so.
    pub batch_memory_bytes: Option<u64>,
    /// Bytes of changes that may be in memory, where the user says so.
    pub memory_limit_bytes: Option<u64>,
    /// Prepared statements that are kept at the target.
    pub statement_cache_size: u32,
    /// The tables at the target that users read.
    pub control_tables: ControlTableSettings,
    /// Whether a task that follows changes ends by itself.
    pub cached_changes: CachedChanges,
    /// Whether a task that matches no table fails.
    pub fails_without_tables: bool,
    /// Errors of the surroundings.
    pub recoverable_errors: RecoverableErrors,
    /// Characters that become others on their way.
    pub characters: CharacterRules,
    /// Whether the task only compares.
    pub validation_only: bool,
    /// How loaded tables are compared, if they are.
    pub validation: Option<ValidationSettings>,
}

/// How the two ends of a task are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationSettings {
    /// Chunks read at once from each end.
    pub thread_count: u32,
    /// Rows that are looked at with one statement.
    pub partition_size: u32,
    /// More rows that differ suspend the validation of the task.
    pub failures_max: u32,
    /// More rows of a table that differ end its validation.
    pub table_failures_max: u32,
    /// A difference that stays the same so long is a failure.
    pub failure_delay: Duration,
    /// A row that keeps changing so long is suspended.
    pub suspend_delay: Duration,
    /// How long a row that changed is left alone.
    pub query_delay: Duration,
}

/// Which tables at the target users read, and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a table that a user wants or not"
)]
pub struct ControlTableSettings {
    /// Their schema; where the service has them when not given.
    pub schema: Option<String>,
    /// Whether there is one of what tasks do.
    pub status: bool,
    /// Whether there is one of what they did, and how long a slice of time each of its rows tells of.
    pub history: Option<Duration>,
    /// Whether there is one of tables in error.
    pub suspended: bool,
    /// Whether there is one of rows that were left out of loads.
    pub load_exceptions: bool,
    /// Whether there is one of how far tasks are, from where another task may begin.
    pub recovery: bool,
}

impl TaskSettings {
    /// The typed view of a checked document.
    pub fn of(document: &SettingsDocument) -> Self {
        let number =
            |group: &str, member: &str| document.get(group, member).as_i64().unwrap_or_default();
        let small =
            |group: &str, member: &str| u32::try_from(number(group, member)).unwrap_or_default();
        let policy = |member: &str| error_policy(document.get("ErrorBehavior", member));
        let tuning = |member: &str| small("ChangeProcessingTuning", member);
        let batches = document.bool("TargetMetadata", "BatchApplyEnabled");
        let is_tuned = |member: &str| document.is_given("ChangeProcessingTuning", member);
        // By default nothing waits.
        let gathers = is_tuned("MinTransactionSize") || is_tuned("CommitTimeout");
        Self {
            target_schema: text(document, "TargetMetadata", "TargetSchema"),
            prepare: match document
                .get("FullLoadSettings", "TargetTablePrepMode")
                .as_str()
            {
                Some("DO_NOTHING") => TablePrepMode::DoNothing,
                Some("TRUNCATE_BEFORE_LOAD") => TablePrepMode::TruncateBeforeLoad,
                _ => TablePrepMode::DropAndCreate,
            },
            objects: objects(document),
            target_tables: target_tables(document),
            lob_kib_max: lob_kib_max(document),
            create_pk_after_full_load: document.bool("FullLoadSettings", "CreatePkAfterFullLoad"),
            full_load_subtasks_max: u8::try_from(number("FullLoadSettings", "MaxFullLoadSubTasks"))
                .unwrap_or(8),
            commit_rate: document
                .is_given("FullLoadSettings", "CommitRate")
                .then(|| small("FullLoadSettings", "CommitRate")),
            data_errors: data_errors(document),
            table_errors: policy("TableErrorPolicy"),
            tables_in_error_max: NonZeroU32::new(small(
                "ErrorBehavior",
                "TableErrorEscalationCount",
            )),
            apply_errors: [
                policy("ApplyErrorInsertPolicy"),
                policy("ApplyErrorUpdatePolicy"),
                policy("ApplyErrorDeletePolicy"),
            ],
            upserts: upserts(document),
            apply_escalation: escalation(document, "ApplyError"),
            open_transactions: open_transactions(document),
            apply_mode: apply_mode(document, gathers),
            ddl: ddl_handling(document),
            batch_wait: if batches {
                Some(Duration::from_secs(tuning("BatchApplyTimeoutMin").into()))
            } else {
                gathers.then(|| Duration::from_secs(tuning("CommitTimeout").into()))
            },
            batch_changes_min: (gathers && !batches).then(|| tuning("MinTransactionSize") as usize),
            batch_wait_max: (batches && is_tuned("BatchApplyTimeoutMax"))
                .then(|| Duration::from_secs(tuning("BatchApplyTimeoutMax").into())),
            batch_memory_bytes: (batches && is_tuned("BatchApplyMemoryLimit"))
                .then(|| u64::from(tuning("BatchApplyMemoryLimit")) << 20),
            memory_limit_bytes: is_tuned("MemoryLimitTotal")
                .then(|| u64::from(tuning("MemoryLimitTotal")) << 20),
            statement_cache_size: tuning("StatementCacheSize"),
            control_tables: control_tables(document),
            cached_changes: cached_changes(document),
            fails_without_tables: document.bool("ErrorBehavior", "FailOnNoTablesCaptured"),
            recoverable_errors: recoverable_errors(document),
            // Checked when it was sent.
            characters: CharacterRules::of_settings(document.whole("CharacterSetSettings"))
                .unwrap_or_default(),
            validation_only: document.bool("ValidationSettings", "ValidationOnly"),
            validation: validation(document),
        }
    }
}

/// A text that is not empty.
fn text(document: &SettingsDocument, group: &str, member: &str) -> Option<String> {
    let text = document.get(group, member).as_str().unwrap_or_default();
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn control_tables(document: &SettingsDocument) -> ControlTableSettings {
    const GROUP: &str = "ControlTablesSettings";
    ControlTableSettings {
        schema: text(document, GROUP, "ControlSchema"),
        status: document.bool(GROUP, "StatusTableEnabled"),
        history: history_table(document),
        suspended: document.bool(GROUP, "SuspendedTablesTableEnabled"),
        load_exceptions: document.bool(GROUP, "FullLoadExceptionTableEnabled"),
        recovery: document.bool("TargetMetadata", "TaskRecoveryTableEnabled")
            || document.bool(GROUP, "CommitPositionTableEnabled"),
    }
}

fn recoverable_errors(document: &SettingsDocument) -> RecoverableErrors {
    const GROUP: &str = "ErrorBehavior";
    let seconds = |member: &str| {
        let seconds = document.get(GROUP, member).as_u64();
        Duration::from_secs(seconds.unwrap_or_default())
    };
    let count = document.get(GROUP, "RecoverableErrorCount").as_i64();
    RecoverableErrors {
        retries_max: u32::try_from(count.unwrap_or_default()).ok(),
        interval: seconds("RecoverableErrorInterval"),
        doubles: document.bool(GROUP, "RecoverableErrorThrottling"),
        interval_max: seconds("RecoverableErrorThrottlingMax"),
        stops_at_max: given_switch(document, "RecoverableErrorStopRetryAfterThrottlingMax"),
    }
}

fn data_errors(document: &SettingsDocument) -> DataErrorSettings {
    DataErrorSettings {
        refused: given_policy(document, "DataErrorPolicy"),
        too_long: given_policy(document, "DataTruncationErrorPolicy"),
        escalation: escalation(document, "DataError"),
    }
}

fn apply_mode(document: &SettingsDocument, gathers: bool) -> ApplyMode {
    let (group, member) = ("TargetMetadata", "BatchApplyEnabled");
    match (
        document.bool(group, member),
        document.is_given(group, member),
    ) {
        (true, _) => ApplyMode::InSets,
        (false, false) => ApplyMode::AsFits,
        (false, true) if gathers => ApplyMode::InOrder,
        (false, true) => ApplyMode::OneByOne,
    }
}

/// What the user says of an error; nothing where only the default says it.
fn given_policy(document: &SettingsDocument, member: &str) -> Option<ErrorPolicy> {
    const GROUP: &str = "ErrorBehavior";
    document
        .is_given(GROUP, member)
        .then(|| error_policy(document.get(GROUP, member)))
}

/// Whether the user has switched something on.
fn given_switch(document: &SettingsDocument, member: &str) -> bool {
    const GROUP: &str = "ErrorBehavior";
    document.is_given(GROUP, member) && document.bool(GROUP, member)
}

/// What happens after many errors of a kind; never where the count is 0.
fn escalation(document: &SettingsDocument, kind: &str) -> Option<EscalationSettings> {
    const GROUP: &str = "ErrorBehavior";
    let count = document.get(GROUP, &format!("{kind}EscalationCount"));
    let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
    let policy = document.get(GROUP, &format!("{kind}EscalationPolicy"));
    Some(EscalationSettings {
        count: NonZeroU32::new(count?)?,
        policy: error_policy(policy),
    })
}

fn open_transactions(document: &SettingsDocument) -> OpenTransactions {
    let (group, member) = ("FullLoadSettings", "TransactionConsistencyTimeout");
    let seconds = document.get(group, member).as_u64();
    OpenTransactions {
        wait: seconds
            .filter(|_| document.is_given(group, member))
            .map(Duration::from_secs),
        fails: given_switch(document, "FailOnTransactionConsistencyBreached"),
    }
}

/// What becomes of the changes that were made during the load.
fn cached_changes(document: &SettingsDocument) -> CachedChanges {
    if document.bool("FullLoadSettings", "StopTaskCachedChangesNotApplied") {
        CachedChanges::StopBefore
    } else if document.bool("FullLoadSettings", "StopTaskCachedChangesApplied") {
        CachedChanges::StopAfter
    } else {
        CachedChanges::GoOn
    }
}

/// Which definitions that change at the source change at the target (`ChangeProcessingDdlHandlingPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DdlHandling {
    /// Tables that are dropped.
    pub drops: bool,
    /// Tables that are emptied.
    pub truncates: TruncateHandling,
    /// Tables that are altered.
    pub alters: bool,
}

fn validation(document: &SettingsDocument) -> Option<ValidationSettings> {
    const GROUP: &str = "ValidationSettings";
    let number = |member: &str| {
        let number = document.get(GROUP, member).as_u64().unwrap_or_default();
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let minutes = |member: &str| Duration::from_secs(u64::from(number(member)) * 60);
    document
        .bool(GROUP, "EnableValidation")
        .then(|| ValidationSettings {
            thread_count: number("ThreadCount"),
            partition_size: number("PartitionSize"),
            failures_max: number("FailureMaxCount"),
            table_failures_max: number("TableFailureMaxCount"),
            failure_delay: minutes("RecordFailureDelayInMinutes"),
            suspend_delay: minutes("RecordSuspendDelayInMinutes"),
            query_delay: Duration::from_secs(number("ValidationQueryCdcDelaySeconds").into()),
        })
}

/// Nothing is cut by default. A document that is copied whole from elsewhere has the default in it, and means no more by it.
fn lob_kib_max(document: &SettingsDocument) -> Option<u32> {
    const GROUP: &str = "TargetMetadata";
    const DEFAULT: u64 = 32;
    let size = document.get(GROUP, "LobMaxSize").as_u64();
    let is_limited =
        document.bool(GROUP, "LimitedSizeLobMode") && !document.bool(GROUP, "FullLobMode");
    let size = size.filter(|size| is_limited && *size != DEFAULT && *size > 0)?;
    u32::try_from(size).ok()
}

/// All that can be made, unless the task says otherwise: what it says was checked when it was stored.
fn objects(document: &SettingsDocument) -> ObjectSelection {
    let given = document.get("WhimbrelSettings", "Objects").as_str();
    let given = given.and_then(|given| ObjectSelection::parse(given).ok());
    given.unwrap_or_else(ObjectSelection::all)
}

fn target_tables(document: &SettingsDocument) -> TargetTables {
    if document.bool("WhimbrelSettings", "SharedTargetTables") {
        TargetTables::Shared
    } else {
        TargetTables::Own
    }
}

fn history_table(document: &SettingsDocument) -> Option<Duration> {
    const GROUP: &str = "ControlTablesSettings";
    // Written either way.
    let other = "historyTimeslotInMinutes";
    let is_other = document.is_given(GROUP, other);
    let member = if is_other {
        other
    } else {
        "HistoryTimeslotInMinutes"
    };
    let minutes = document.get(GROUP, member).as_u64().unwrap_or(5);
    document
        .bool(GROUP, "HistoryTableEnabled")
        .then(|| Duration::from_secs(minutes.max(1).saturating_mul(60)))
}

fn ddl_handling(document: &SettingsDocument) -> DdlHandling {
    let handles = |member: &str| document.bool("ChangeProcessingDdlHandlingPolicy", member);
    DdlHandling {
        drops: handles("HandleSourceTableDropped"),
        truncates: if document.bool("ErrorBehavior", "ApplyErrorFailOnTruncationDdl") {
            TruncateHandling::Fail
        } else if handles("HandleSourceTableTruncated") {
            TruncateHandling::Truncate
        } else {
            TruncateHandling::Keep
        },
        alters: handles("HandleSourceTableAltered"),
    }
}

fn upserts(document: &SettingsDocument) -> Upserts {
    let is_set =
        |member: &str, wanted: &str| document.get("ErrorBehavior", member).as_str() == Some(wanted);
    Upserts {
        overwrites: is_set("ApplyErrorInsertPolicy", "INSERT_RECORD"),
        inserts_missing: is_set("ApplyErrorUpdatePolicy", "UPDATE_RECORD"),
    }
}

fn error_policy(value: &Value) -> ErrorPolicy {
    match value.as_str() {
        Some("IGNORE_RECORD") => ErrorPolicy::IgnoreRecord,
        Some("SUSPEND_TABLE") => ErrorPolicy::SuspendTable,
        Some("STOP_TASK") => ErrorPolicy::StopTask,
        _ => ErrorPolicy::LogError,
    }
}
