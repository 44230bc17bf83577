//! The table of all settings: order of the echo, defaults, allowed values.

use Kind::{Bool, Int, Objects, OneOf, Text};

/// What a member may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    /// Inclusive bounds.
    Int(i64, i64),
    Text,
    OneOf(&'static [&'static str]),
    /// Only `null`: filled in by the service.
    LogName,
    /// The list of log components with their severities.
    LogComponents,
    /// Kinds of objects, as on the command line.
    Objects,
}

/// One member of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The default as JSON; `None` for a member that is echoed only when it was sent.
    pub(super) default: Option<&'static str>,
}

/// A member of the document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Group(&'static str, &'static [Member]),
    Value(Member),
    /// A group that the service does not have: echoed only when it was sent, so that other clients never see it.
    Own(&'static str, &'static [Member]),
    /// A group that is null by default, and is kept as it was sent: characters that become others.
    Characters(&'static str),
    /// A group that is null by default. `switch`: the member that turns it on; without one any content does.
    Unsupported {
        name: &'static str,
        switch: Option<&'static str>,
    },
}

const fn member(name: &'static str, kind: Kind, default: &'static str) -> Member {
    Member {
        name,
        kind,
        default: Some(default),
    }
}

const fn optional(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        kind,
        default: None,
    }
}

/// Where no bound is known, anything that fits the service's own integers.
const MAX: i64 = 2_147_483_647;

const ERROR_POLICY: Kind = OneOf(&["IGNORE_RECORD", "LOG_ERROR", "SUSPEND_TABLE", "STOP_TASK"]);
const TABLE_POLICY: Kind = OneOf(&["SUSPEND_TABLE", "STOP_TASK"]);

pub(super) const LOG_COMPONENTS: &[&str] = &[
    "TRANSFORMATION",
    "SOURCE_UNLOAD",
    "IO",
    "TARGET_LOAD",
    "PERFORMANCE",
    "SOURCE_CAPTURE",
    "SORTER",
    "REST_SERVER",
    "VALIDATOR_EXT",
    "TARGET_APPLY",
    "TASK_MANAGER",
    "TABLES_MANAGER",
    "METADATA_MANAGER",
    "FILE_FACTORY",
    "COMMON",
    "ADDONS",
    "DATA_STRUCTURE",
    "COMMUNICATION",
    "FILE_TRANSFER",
];
/// Listed in the echo only when they were sent.
pub(super) const OPTIONAL_LOG_COMPONENTS: &[&str] =
    &["VALIDATOR", "DATA_RESYNC", "RESYNC_UNLOAD", "RESYNC_APPLY"];
pub(super) const SEVERITIES: &[&str] = &[
    "LOGGER_SEVERITY_ERROR",
    "LOGGER_SEVERITY_WARNING",
    "LOGGER_SEVERITY_INFO",
    "LOGGER_SEVERITY_DEFAULT",
    "LOGGER_SEVERITY_DEBUG",
    "LOGGER_SEVERITY_DETAILED_DEBUG",
];
pub(super) const DEFAULT_SEVERITY: &str = "LOGGER_SEVERITY_DEFAULT";

pub(super) const LAYOUT: &[Entry] = &[
    Entry::Group("TargetMetadata", TARGET_METADATA),
    Entry::Group("FullLoadSettings", FULL_LOAD),
    Entry::Group("Logging", LOGGING),
    Entry::Group("ControlTablesSettings", CONTROL_TABLES),
    Entry::Group("StreamBufferSettings", STREAM_BUFFERS),
    Entry::Group("ChangeProcessingDdlHandlingPolicy", DDL_POLICY),
    Entry::Group("ErrorBehavior", ERROR_BEHAVIOR),
    Entry::Group("ChangeProcessingTuning", CHANGE_TUNING),
    Entry::Group("ValidationSettings", VALIDATION),
    Entry::Unsupported {
        name: "PostProcessingRules",
        switch: None,
    },
    Entry::Characters("CharacterSetSettings"),
    Entry::Unsupported {
        name: "LoopbackPreventionSettings",
        switch: Some("EnableLoopbackPrevention"),
    },
    Entry::Unsupported {
        name: "BeforeImageSettings",
        switch: Some("EnableBeforeImage"),
    },
    Entry::Value(member("FailTaskWhenCleanTaskResourceFailed", Bool, "false")),
    Entry::Unsupported {
        name: "TTSettings",
        switch: Some("EnableTT"),
    },
    Entry::Own("WhimbrelSettings", WHIMBREL),
];

/// What is of this service alone.
const WHIMBREL: &[Member] = &[
    optional("Objects", Objects),
    optional("SharedTargetTables", Bool),
];

const TARGET_METADATA: &[Member] = &[
    member("TargetSchema", Text, "\"\""),
    member("SupportLobs", Bool, "true"),
    member("FullLobMode", Bool, "false"),
    member("LobChunkSize", Int(0, MAX), "0"),
    member("LimitedSizeLobMode", Bool, "true"),
    member("LobMaxSize", Int(0, 102_400), "32"),
    member("InlineLobMaxSize", Int(0, 102_400), "0"),
    member("LoadMaxFileSize", Int(0, 100_000), "0"),
    member("ParallelLoadThreads", Int(0, 200), "0"),
    member("ParallelLoadBufferSize", Int(0, 1000), "0"),
    member("BatchApplyEnabled", Bool, "false"),
    member("TaskRecoveryTableEnabled", Bool, "false"),
    member("ParallelLoadQueuesPerThread", Int(0, 512), "0"),
    member("ParallelApplyThreads", Int(0, 32), "0"),
    member("ParallelApplyBufferSize", Int(0, 1000), "0"),
    member("ParallelApplyQueuesPerThread", Int(0, 512), "0"),
];

const FULL_LOAD: &[Member] = &[
    member(
        "TargetTablePrepMode",
        OneOf(&["DO_NOTHING", "DROP_AND_CREATE", "TRUNCATE_BEFORE_LOAD"]),
        "\"DROP_AND_CREATE\"",
    ),
    member("CreatePkAfterFullLoad", Bool, "false"),
    member("StopTaskCachedChangesApplied", Bool, "false"),
    member("StopTaskCachedChangesNotApplied", Bool, "false"),
    member("MaxFullLoadSubTasks", Int(1, 49), "8"),
    member("TransactionConsistencyTimeout", Int(0, MAX), "600"),
    member("CommitRate", Int(1, 50_000), "10000"),
];

const LOGGING: &[Member] = &[
    member("EnableLogging", Bool, "false"),
    member("EnableLogContext", Bool, "false"),
    member("LogComponents", Kind::LogComponents, "[]"),
    member("CloudWatchLogGroup", Kind::LogName, "null"),
    member("CloudWatchLogStream", Kind::LogName, "null"),
];

/// The first and the fifth are one setting in two spellings, as the service echoes it.
const CONTROL_TABLES: &[Member] = &[
    member("historyTimeslotInMinutes", Int(1, MAX), "5"),
    member("ControlSchema", Text, "\"\""),
    member("HistoryTimeslotInMinutes", Int(1, MAX), "5"),
    member("HistoryTableEnabled", Bool, "false"),
    member("SuspendedTablesTableEnabled", Bool, "false"),
    member("StatusTableEnabled", Bool, "false"),
    member("FullLoadExceptionTableEnabled", Bool, "false"),
    optional("CommitPositionTableEnabled", Bool),
];

const STREAM_BUFFERS: &[Member] = &[
    member("StreamBufferCount", Int(1, MAX), "3"),
    member("StreamBufferSizeInMB", Int(1, MAX), "8"),
    member("CtrlStreamBufferSizeInMB", Int(1, 8), "5"),
];

const DDL_POLICY: &[Member] = &[
    member("HandleSourceTableDropped", Bool, "true"),
    member("HandleSourceTableTruncated", Bool, "true"),
    member("HandleSourceTableAltered", Bool, "true"),
];

const ERROR_BEHAVIOR: &[Member] = &[
    member("DataErrorPolicy", ERROR_POLICY, "\"LOG_ERROR\""),
    member("DataTruncationErrorPolicy", ERROR_POLICY, "\"LOG_ERROR\""),
    optional("DataMaskingErrorPolicy", ERROR_POLICY),
    member(
        "DataErrorEscalationPolicy",
        TABLE_POLICY,
        "\"SUSPEND_TABLE\"",
    ),
    member("DataErrorEscalationCount", Int(0, MAX), "0"),
    member(
        "EventErrorPolicy",
        OneOf(&["IGNORE", "STOP_TASK"]),
        "\"IGNORE\"",
    ),
    member("TableErrorPolicy", TABLE_POLICY, "\"SUSPEND_TABLE\""),
    member(
        "TableErrorEscalationPolicy",
        OneOf(&["STOP_TASK"]),
        "\"STOP_TASK\"",
    ),
    member("TableErrorEscalationCount", Int(0, MAX), "0"),
    member("RecoverableErrorCount", Int(-1, MAX), "-1"),
    member("RecoverableErrorInterval", Int(0, MAX), "5"),
    member("RecoverableErrorThrottling", Bool, "true"),
    member("RecoverableErrorThrottlingMax", Int(0, MAX), "1800"),
    member("RecoverableErrorStopRetryAfterThrottlingMax", Bool, "true"),
    member("ApplyErrorDeletePolicy", ERROR_POLICY, "\"IGNORE_RECORD\""),
    member(
        "ApplyErrorInsertPolicy",
        OneOf(&[
            "IGNORE_RECORD",
            "LOG_ERROR",
            "SUSPEND_TABLE",
            "STOP_TASK",
            "INSERT_RECORD",
        ]),
        "\"LOG_ERROR\"",
    ),
    member(
        "ApplyErrorUpdatePolicy",
        OneOf(&[
            "IGNORE_RECORD",
            "LOG_ERROR",
            "SUSPEND_TABLE",
            "STOP_TASK",
            "UPDATE_RECORD",
        ]),
        "\"LOG_ERROR\"",
    ),
    member(
        "ApplyErrorEscalationPolicy",
        OneOf(&["LOG_ERROR", "SUSPEND_TABLE", "STOP_TASK"]),
        "\"LOG_ERROR\"",
    ),
    member("ApplyErrorEscalationCount", Int(0, MAX), "0"),
    member("ApplyErrorFailOnTruncationDdl", Bool, "false"),
    member("FullLoadIgnoreConflicts", Bool, "true"),
    member("FailOnTransactionConsistencyBreached", Bool, "false"),
    member("FailOnNoTablesCaptured", Bool, "true"),
];

const CHANGE_TUNING: &[Member] = &[
    member("BatchApplyPreserveTransaction", Bool, "true"),
    member("BatchApplyTimeoutMin", Int(0, MAX), "1"),
    member("BatchApplyTimeoutMax", Int(0, MAX), "30"),
    member("BatchApplyMemoryLimit", Int(0, MAX), "500"),
    member("BatchSplitSize", Int(0, MAX), "0"),
    member("MinTransactionSize", Int(0, MAX), "1000"),
    member("CommitTimeout", Int(0, MAX), "1"),
    member("MemoryLimitTotal", Int(0, MAX), "1024"),
    member("MemoryKeepTime", Int(0, MAX), "60"),
    member("StatementCacheSize", Int(0, 200), "50"),
    optional("RecoveryTimeout", Int(-1, MAX)),
];

const VALIDATION: &[Member] = &[
    member("EnableValidation", Bool, "false"),
    member(
        "ValidationMode",
        OneOf(&["ROW_LEVEL", "GROUP_LEVEL"]),
        "\"ROW_LEVEL\"",
    ),
    member("ThreadCount", Int(1, MAX), "5"),
    member("FailureMaxCount", Int(0, MAX), "10000"),
    member("TableFailureMaxCount", Int(0, MAX), "1000"),
    member("HandleCollationDiff", Bool, "false"),
    member("ValidationOnly", Bool, "false"),
    member("RecordFailureDelayLimitInMinutes", Int(0, MAX), "0"),
    member("SkipLobColumns", Bool, "false"),
    member("ValidationPartialLobSize", Int(0, MAX), "0"),
    member("ValidationQueryCdcDelaySeconds", Int(0, MAX), "0"),
    member("PartitionSize", Int(1, MAX), "10000"),
    member("RecordFailureDelayInMinutes", Int(0, MAX), "5"),
    member("RecordSuspendDelayInMinutes", Int(0, MAX), "30"),
    member("MaxKeyColumnSize", Int(0, MAX), "8096"),
];
