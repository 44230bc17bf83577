use std::time::Duration;

use serde_json::Value;

use super::SettingsDocument;

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
}

/// The settings that act on a full load, as types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSettings {
    /// Puts all tables into this schema of the target.
    pub target_schema: Option<String>,
    /// Before the load.
    pub prepare: TablePrepMode,
    /// Large values are cut to so many KiB, where the user wants it.
    pub lob_kib_max: Option<u32>,
    /// Whether primary keys are made after the rows.
    pub create_pk_after_full_load: bool,
    /// Tables or chunks loaded at once, 1 to 49.
    pub full_load_subtasks_max: u8,
    /// The most rows of one statement to the target, 1 to 50000, where the user has given it.
    pub commit_rate: Option<u32>,
    /// Errors of whole tables.
    pub table_errors: ErrorPolicy,
    /// Inserts, updates and deletes that the target refuses or that meet no row.
    pub apply_errors: [ErrorPolicy; 3],
    /// Whether definitions that change at the source change at the target.
    pub ddl: DdlHandling,
    /// How long changes are gathered before they are applied; as short as the target allows when not given.
    pub batch_wait: Option<Duration>,
    /// So many changes are enough not to wait for more.
    pub batch_changes_min: Option<usize>,
    /// Bytes of changes that may wait for the target in one batch, where the task applies in batches.
    pub batch_memory_bytes: Option<u64>,
    /// Bytes of changes that may be in memory.
    pub memory_limit_bytes: u64,
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
    /// Whether the task only compares.
    pub validation_only: bool,
}

/// Which tables at the target users read, and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlTableSettings {
    /// Their schema; where the service has them when not given.
    pub schema: Option<String>,
    /// Whether there is one of what tasks do.
    pub status: bool,
    /// Whether there is one of what they did, and how long a slice of time each of its rows tells of.
    pub history: Option<Duration>,
    /// Whether there is one of tables in error.
    pub suspended: bool,
}

impl TaskSettings {
    /// The typed view of a checked document.
    pub fn of(document: &SettingsDocument) -> Self {
        let number =
            |group: &str, member: &str| document.get(group, member).as_i64().unwrap_or_default();
        let small =
            |group: &str, member: &str| u32::try_from(number(group, member)).unwrap_or_default();
        let seconds = |member: &str| Duration::from_secs(small("ErrorBehavior", member).into());
        let policy = |member: &str| error_policy(document.get("ErrorBehavior", member));
        let tuning = |member: &str| small("ChangeProcessingTuning", member);
        let text = |group: &str, member: &str| {
            let text = document.get(group, member).as_str().unwrap_or_default();
            Some(text.to_owned()).filter(|text| !text.is_empty())
        };
        let batches = document.bool("TargetMetadata", "BatchApplyEnabled");
        // By default nothing waits; a document that is copied whole has the default.
        let gathers = tuning("MinTransactionSize") != 1000 || tuning("CommitTimeout") != 1;
        Self {
            target_schema: text("TargetMetadata", "TargetSchema"),
            prepare: match document
                .get("FullLoadSettings", "TargetTablePrepMode")
                .as_str()
            {
                Some("DO_NOTHING") => TablePrepMode::DoNothing,
                Some("TRUNCATE_BEFORE_LOAD") => TablePrepMode::TruncateBeforeLoad,
                _ => TablePrepMode::DropAndCreate,
            },
            lob_kib_max: lob_kib_max(document),
            create_pk_after_full_load: document.bool("FullLoadSettings", "CreatePkAfterFullLoad"),
            full_load_subtasks_max: u8::try_from(number("FullLoadSettings", "MaxFullLoadSubTasks"))
                .unwrap_or(8),
            commit_rate: document
                .is_given("FullLoadSettings", "CommitRate")
                .then(|| small("FullLoadSettings", "CommitRate")),
            table_errors: policy("TableErrorPolicy"),
            apply_errors: [
                policy("ApplyErrorInsertPolicy"),
                policy("ApplyErrorUpdatePolicy"),
                policy("ApplyErrorDeletePolicy"),
            ],
            ddl: ddl_handling(document),
            batch_wait: if batches {
                Some(Duration::from_secs(tuning("BatchApplyTimeoutMin").into()))
            } else {
                gathers.then(|| Duration::from_secs(tuning("CommitTimeout").into()))
            },
            batch_changes_min: (gathers && !batches).then(|| tuning("MinTransactionSize") as usize),
            batch_memory_bytes: batches.then(|| u64::from(tuning("BatchApplyMemoryLimit")) << 20),
            memory_limit_bytes: u64::from(tuning("MemoryLimitTotal")) << 20,
            statement_cache_size: tuning("StatementCacheSize"),
            control_tables: ControlTableSettings {
                schema: text("ControlTablesSettings", "ControlSchema"),
                status: document.bool("ControlTablesSettings", "StatusTableEnabled"),
                history: history_table(document),
                suspended: document.bool("ControlTablesSettings", "SuspendedTablesTableEnabled"),
            },
            cached_changes: if document.bool("FullLoadSettings", "StopTaskCachedChangesNotApplied")
            {
                CachedChanges::StopBefore
            } else if document.bool("FullLoadSettings", "StopTaskCachedChangesApplied") {
                CachedChanges::StopAfter
            } else {
                CachedChanges::GoOn
            },
            fails_without_tables: document.bool("ErrorBehavior", "FailOnNoTablesCaptured"),
            recoverable_errors: RecoverableErrors {
                retries_max: u32::try_from(number("ErrorBehavior", "RecoverableErrorCount")).ok(),
                interval: seconds("RecoverableErrorInterval"),
                doubles: document.bool("ErrorBehavior", "RecoverableErrorThrottling"),
                interval_max: seconds("RecoverableErrorThrottlingMax"),
            },
            validation_only: document.bool("ValidationSettings", "ValidationOnly"),
        }
    }
}

/// Which definitions that change at the source change at the target (`ChangeProcessingDdlHandlingPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DdlHandling {
    /// Tables that are dropped.
    pub drops: bool,
    /// Tables that are emptied.
    pub truncates: bool,
    /// Tables that are altered.
    pub alters: bool,
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
        truncates: handles("HandleSourceTableTruncated"),
        alters: handles("HandleSourceTableAltered"),
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
