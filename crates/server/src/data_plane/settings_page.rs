//! `docs/settings.md`: what every setting does, told by what it changes in a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use whimbrel_core::Engine;
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::{SettingsDocument, TaskSettings};
use whimbrel_store::{EndpointRole, SslMode};

use super::engine::{
    apply_errors, apply_settings, batch_bytes_max, control_tables, ddl_policy, folds,
    full_load_spec, is_one_at_a_time, load_end, running_wait,
};
use super::{EndpointConfig, Following, RunMode, TaskSpec, validation};
use crate::connectors::{self, make_connector};
use crate::engine_catalog::{self, SettingType};

const HEAD: &str = include_str!("settings_page_head.md");

const NOT_HERE: &str = "this version does it another way, or has nothing that it would act on";
const APPLY_ERRORS: &str = "what becomes of such a change that the target refuses, or of an update or delete that meets no row: left out (`IGNORE_RECORD`), \
    left out and written down in `awsdms_apply_exceptions` (`LOG_ERROR`), its table followed no more (`SUSPEND_TABLE`), or the end of the task (`STOP_TASK`). \
    Rows that a large batch does not meet are written down by their count";
const APPLY_INSERTS: &str = "as ApplyErrorDeletePolicy; `INSERT_RECORD`: an insert whose key is there gives that row its values (it is updated, so that nothing that refers to it goes). Where \
    another unique key is in the way, as `LOG_ERROR`";
const APPLY_UPDATES: &str = "as ApplyErrorDeletePolicy; `UPDATE_RECORD`: an update that meets no row inserts it, where the log has all of its new values (`binlog_row_image = FULL`; PostgreSQL \
    leaves out long values that an update does not touch), else as `LOG_ERROR`. Changes are then applied in the order of the log, not in sets";
const DDL: &str = "`false`: the target's table stays as it is; a table that is altered is then followed no more until it is loaded again. `true`: the target's table \
    is changed in place where that gives no row another value, else its rows are loaded again";
const BATCH: &str = "not given: changes are folded and applied in sets whenever many wait. `true`: they also wait for BatchApplyTimeoutMin so that more come together. `false`, where it is given: each change is applied in the order of the log, and each transaction by itself unless MinTransactionSize or CommitTimeout are given too";
const VALIDATION: &str = "rows are compared whole and by hashes that engines agree on, without an order or prefixes of keys and values";
const LOBS: &str = "long values travel like all others, whole and with bounded memory";
const SESSION: &str = "loads go over the database's own bulk protocol, in streams, not files";
const GATHERED: &str = "without BatchApplyEnabled, and where one of the two is given, also as its default: changes wait for each other until there are MinTransactionSize of them or CommitTimeout has passed; a transaction of the source is never split. Otherwise they are gathered only while the target is busy, so that nothing waits";
const DATA_ERRORS: &str = "given, also as its default. In a load a row that the target refuses is left out (`IGNORE_RECORD`), left out and told in the log, and in `awsdms_full_load_exceptions` where that is enabled (`LOG_ERROR`), \
    puts its table into error (`SUSPEND_TABLE`), or ends the task (`STOP_TASK`); FullLoadErrorRows counts what this run left out. Of changes it decides for those with a value that the target cannot hold, in place of the ApplyError policies. \
    Not given: a refused row puts its table into error, and nothing is left out of a load. Keys that are made after the rows refuse the table, not a row";
const DATA_ESCALATION: &str = "given another count than 0: so many rows of a table that were left out by DataErrorPolicy or DataTruncationErrorPolicy since the run began put it into error, or end the task";
const APPLY_ESCALATION: &str = "given another count than 0: so many changes of a table that were left out by the ApplyError policies since the run began end its following (`SUSPEND_TABLE`) or the task (`STOP_TASK`); `LOG_ERROR` writes down those that are passed over from then on";
const LOGS: &str =
    "the log is the service's own, on its standard error; `WHIMBREL_LOG_LEVEL` sets what it tells";

/// Why a setting has no effect, or what is worth knowing of one that acts: by path, or by group.
const NOTES: &[(&str, &str)] = &[
    (
        "TargetMetadata.TargetSchema",
        "puts all tables into this schema (MySQL, MariaDB: database)",
    ),
    (
        "TargetMetadata.SupportLobs",
        "long values are always loaded",
    ),
    (
        "TargetMetadata.FullLobMode",
        "with another LobMaxSize than the default: `true` cuts nothing",
    ),
    ("TargetMetadata.LobChunkSize", LOBS),
    (
        "TargetMetadata.LimitedSizeLobMode",
        "with another LobMaxSize than the default: `false` cuts nothing",
    ),
    (
        "TargetMetadata.LobMaxSize",
        "texts and byte strings without a length (text, bytea, mediumtext, longblob and the like) are cut to so many KB; the default cuts nothing, see above",
    ),
    ("TargetMetadata.InlineLobMaxSize", LOBS),
    ("TargetMetadata.LoadMaxFileSize", SESSION),
    (
        "TargetMetadata.ParallelLoad",
        "of targets that are not built yet; MaxFullLoadSubTasks sets how much is loaded at once",
    ),
    ("TargetMetadata.BatchApplyEnabled", BATCH),
    (
        "TargetMetadata.TaskRecoveryTableEnabled",
        "a row of `awsdms_txn_state` for a task that follows: its `CHECKPOINT` may be the `CdcStartPosition` of another task, to which what was applied since the last five seconds comes again. The task itself goes on by a checkpoint that is always kept at the target, in the transaction of the rows",
    ),
    (
        "TargetMetadata.Parallel",
        "changes are applied in the order of the source's transactions; sets of a batch take the place of threads",
    ),
    ("TargetMetadata.", NOT_HERE),
    (
        "FullLoadSettings.TargetTablePrepMode",
        "what becomes of tables that are there",
    ),
    (
        "FullLoadSettings.CreatePkAfterFullLoad",
        "`false`: when the target loads fastest with it; `true`: always after the rows",
    ),
    (
        "FullLoadSettings.MaxFullLoadSubTasks",
        "chunks loaded at once, each over a connection of its own at both ends",
    ),
    (
        "FullLoadSettings.CommitRate",
        "given, also as its default: the most rows of one statement (`COPY`, `LOAD DATA`) to the target; not given, nothing is bounded. A chunk is one \
         transaction of such statements",
    ),
    (
        "FullLoadSettings.StopTaskCachedChangesNotApplied",
        "a task that follows changes ends with its load; a resume goes on",
    ),
    (
        "FullLoadSettings.StopTaskCachedChangesApplied",
        "a task that follows changes ends when those made during its load are applied",
    ),
    (
        "FullLoadSettings.TransactionConsistencyTimeout",
        "given: how long a task that follows a PostgreSQL source waits at its start for transactions that are open there; not given: ten minutes. The log cannot be read without their end, so the load does not start before: the task is tried again, or fails where FailOnTransactionConsistencyBreached is given. MySQL and MariaDB need not wait: what is open is in the log with its commit",
    ),
    ("FullLoadSettings.", NOT_HERE),
    (
        "Logging.CloudWatchLog",
        "filled in by the service, and refused in a request unless null; this one has no CloudWatch",
    ),
    ("Logging.", LOGS),
    (
        "ControlTablesSettings.ControlSchema",
        "where the tables are that users read; by default `public` (PostgreSQL) or `awsdms_control` (MySQL, MariaDB). The tables that a task needs to go on are always in `awsdms_control`",
    ),
    (
        "ControlTablesSettings.StatusTableEnabled",
        "a row of `awsdms_status` for the task, written every five seconds and at its end",
    ),
    (
        "ControlTablesSettings.SuspendedTablesTableEnabled",
        "a row of `awsdms_suspended_tables` for each table in error",
    ),
    (
        "ControlTablesSettings.HistoryTableEnabled",
        "a row of `awsdms_history` for each slice of time",
    ),
    (
        "ControlTablesSettings.CommitPositionTableEnabled",
        "an older name of TaskRecoveryTableEnabled",
    ),
    (
        "ControlTablesSettings.FullLoadExceptionTableEnabled",
        "a row of `awsdms_full_load_exceptions` for each row that DataErrorPolicy or DataTruncationErrorPolicy left out of a load with `LOG_ERROR`, with statement and reason; a chunk that is loaded again after a fault may be told of twice. A load that begins anew removes what it told of the table",
    ),
    (
        "ControlTablesSettings.",
        "with HistoryTableEnabled: how much time a row of `awsdms_history` tells of",
    ),
    ("StreamBufferSettings.", "the log is read ahead by 8 MiB"),
    (
        "ChangeProcessingDdlHandlingPolicy.HandleSourceTableDropped",
        "`true`: the target's table is dropped too; `false`: it stays with its rows, and is followed no more",
    ),
    (
        "ChangeProcessingDdlHandlingPolicy.HandleSourceTableTruncated",
        "`true`: the target's table is emptied too; `false`: its rows stay",
    ),
    ("ChangeProcessingDdlHandlingPolicy.", DDL),
    ("ErrorBehavior.DataErrorPolicy", DATA_ERRORS),
    (
        "ErrorBehavior.DataTruncationErrorPolicy",
        "given, also as its default: as DataErrorPolicy, for values that are too long for their column. With LobMaxSize, which cuts: `SUSPEND_TABLE` and `STOP_TASK` in place of the cut. Not given: such a value puts its table into error, and nothing is cut but by LobMaxSize",
    ),
    ("ErrorBehavior.DataErrorEscalation", DATA_ESCALATION),
    ("ErrorBehavior.ApplyErrorInsertPolicy", APPLY_INSERTS),
    ("ErrorBehavior.ApplyErrorUpdatePolicy", APPLY_UPDATES),
    ("ErrorBehavior.ApplyErrorDeletePolicy", APPLY_ERRORS),
    ("ErrorBehavior.ApplyErrorEscalation", APPLY_ESCALATION),
    (
        "ErrorBehavior.ApplyErrorFailOnTruncationDdl",
        "`true`: a truncation at the source ends the task with an error, once all before it is applied; set back to `false` and resumed, `HandleSourceTableTruncated` decides",
    ),
    (
        "ErrorBehavior.FullLoadIgnoreConflicts",
        "changes that the loaded rows hold are told exactly and left out, so that there are no conflicts to ignore; those that there are come of others' writes, and the ApplyError policies decide",
    ),
    (
        "ErrorBehavior.FailOnTransactionConsistencyBreached",
        "`true`: when TransactionConsistencyTimeout has passed at a PostgreSQL source, the task fails rather than being tried again",
    ),
    (
        "ErrorBehavior.EventErrorPolicy",
        "events are kept in the service's own store, in the transaction of what they tell of: none fails alone",
    ),
    (
        "ErrorBehavior.TableErrorPolicy",
        "`STOP_TASK`: the first table in error ends the task",
    ),
    (
        "ErrorBehavior.TableErrorEscalation",
        "another count than 0: so many tables in error end the task, which is the one policy that there is",
    ),
    ("ErrorBehavior.RecoverableErrorCount", "-1: nine restarts"),
    (
        "ErrorBehavior.RecoverableErrorStopRetryAfterThrottlingMax",
        "`true`, where it is given: the first wait of RecoverableErrorThrottlingMax is the last",
    ),
    (
        "ErrorBehavior.RecoverableError",
        "the waits between restarts",
    ),
    (
        "ErrorBehavior.FailOnNoTablesCaptured",
        "`false`: mappings that match no table end in `stopped` instead of `failed`",
    ),
    ("ErrorBehavior.", NOT_HERE),
    (
        "ChangeProcessingTuning.BatchApplyTimeoutMin",
        "with BatchApplyEnabled: how long changes are gathered",
    ),
    (
        "ChangeProcessingTuning.BatchApplyTimeoutMax",
        "with BatchApplyEnabled, given, also as its default: while changes keep coming, a batch is gathered longer than BatchApplyTimeoutMin, up to this; it is applied as soon as nothing came for 300 ms. Not given: it is applied when BatchApplyTimeoutMin has passed. A full batch never waits",
    ),
    (
        "ChangeProcessingTuning.BatchApplyMemoryLimit",
        "with BatchApplyEnabled, given, also as its default: the most of a batch, 128 MB at most; not given: 8 MiB",
    ),
    (
        "ChangeProcessingTuning.MemoryLimitTotal",
        "given, also as its default: a batch gets a quarter of it, 128 MB at most, and no more than BatchApplyMemoryLimit; not given: 8 MiB. A larger transaction is applied in pieces within one transaction of the target",
    ),
    (
        "ChangeProcessingTuning.StatementCacheSize",
        "statements that are kept prepared at a PostgreSQL target; at MySQL and MariaDB changes travel in sets of text, of which none is prepared",
    ),
    (
        "ChangeProcessingTuning.BatchApplyPreserveTransaction",
        "a batch always ends with a source transaction",
    ),
    (
        "ChangeProcessingTuning.BatchSplitSize",
        "a batch is one transaction of the target",
    ),
    (
        "ChangeProcessingTuning.MemoryKeepTime",
        "what waits in memory is bounded by bytes: what is beyond waits at once on disk (PostgreSQL, see above) or in the log of the source, however old it is",
    ),
    ("ChangeProcessingTuning.MinTransactionSize", GATHERED),
    ("ChangeProcessingTuning.CommitTimeout", GATHERED),
    (
        "ValidationSettings.ValidationOnly",
        "`true` is refused at the start of the task, which would move data",
    ),
    (
        "ValidationSettings.EnableValidation",
        "each table is compared with its source, row by row, once the load of the task is over; a task that follows changes goes on to look at each row that changes. \
         A resumed task that follows changes compares again from the beginning, a resumed full load what had no result. Rows that differ are in `awsdms_validation_failures_v1` at the target. \
         Tables without a primary key are not compared. \
         A task that ends by itself while it follows changes does not wait for what is still being compared",
    ),
    (
        "ValidationSettings.ValidationMode",
        "tables are always compared by groups first, and by row where a group differs",
    ),
    (
        "ValidationSettings.ThreadCount",
        "chunks read at once from each end while a table is compared, each over a connection of its own; 32 at most",
    ),
    (
        "ValidationSettings.PartitionSize",
        "rows that differed, or changed, are looked at with one statement; 500 at most",
    ),
    (
        "ValidationSettings.FailureMaxCount",
        "when more rows of the task differ, nothing more is compared: what had no result is `Error`",
    ),
    (
        "ValidationSettings.TableFailureMaxCount",
        "when more rows of a table differ, it is `Table error` and the rest of it is not looked at",
    ),
    (
        "ValidationSettings.RecordFailureDelayInMinutes",
        "with changes being followed: a row has failed when it has differed in the same way for so long, seen each time once everything was applied that was committed before. \
         A full load does not wait",
    ),
    (
        "ValidationSettings.RecordFailureDelayLimitInMinutes",
        "the delay does not grow with the latency, because a look waits for the changes before it",
    ),
    (
        "ValidationSettings.RecordSuspendDelayInMinutes",
        "with changes being followed: a row of which nothing could be said for so long, because it kept changing, is suspended",
    ),
    (
        "ValidationSettings.ValidationQueryCdcDelaySeconds",
        "how long a row is left alone that changed since its table was compared",
    ),
    ("ValidationSettings.", VALIDATION),
    ("PostProcessingRules", "anything but null is refused"),
    (
        "CharacterSetSettings",
        "before anything else is made of a row, in the load, in changes and in what a validation expects: each character of `CharacterReplacements` becomes another (code points in hexadecimal, \
         also where they are written as numbers; 0 removes it), then each that is not in the `CharacterSet` of `CharacterSetSupport`. In all texts, of whatever length (the service leaves large ones alone); \
         not in labels, JSON, arrays and other types. Known sets: US-ASCII, ISO-8859, Windows 125x and 874, KOI8 and the forms of Unicode, of which UTF-16 has the characters of one unit, as the service says; \
         another name is refused with the list. Two keys that become one are a refused row. `null` switches it off",
    ),
    ("LoopbackPreventionSettings", "switching it on is refused"),
    ("BeforeImageSettings", "switching it on is refused"),
    (
        "FailTaskWhenCleanTaskResourceFailed",
        "a task is deleted all the same; the log says what it left",
    ),
    ("TTSettings", "switching it on is refused"),
];

/// The same for the settings of endpoints, by name in lower case.
const ENDPOINT_NOTES: &[(&str, &str)] = &[
    (
        "afterconnectscript",
        "runs on each connection, source and target; what fails is logged and the connection used. Times, text forms and \
      SQL mode are fixed after it. MySQL, MariaDB: statements parted by `;` that give no rows",
    ),
    ("initstmt", "as `AfterConnectScript`, after it"),
    (
        "targetdbtype",
        "`specific-database`, or a `DatabaseName` with no `TargetDbType`: the tables of all schemas go into that database; \
      `multiple-databases`: each schema becomes a database. The task's `TargetSchema` goes before it",
    ),
    (
        "connectiontimeout",
        "seconds to reach the server and sign in, 1 to 300; 15 by default",
    ),
    (
        "authenticationmethod",
        "`iam` is refused when the connection is tested",
    ),
    (
        "databasemode",
        "`babelfish` is refused when the connection is tested",
    ),
    ("babelfishdatabasename", "see `DatabaseMode`"),
    (
        "captureddls",
        "`true`: event triggers of the task, where the user may make them, write changes of definitions into the log; `false`: they are only seen at the next row, and new tables when the task is resumed",
    ),
    (
        "ddlartifactsschema",
        "the schema of the function that the event triggers call",
    ),
    (
        "heartbeatenable",
        "writes a message into the log at times, so that the slot of a quiet database moves on",
    ),
    ("heartbeatschema", "the heartbeat needs no table"),
    ("heartbeatfrequency", "minutes between two heartbeats"),
    (
        "slotname",
        "a slot of plugin `pgoutput` that exists is read instead of one that the task makes; a task of changes alone begins where it stands, or at `CdcStartPosition` (an LSN)",
    ),
    (
        "pluginname",
        "`pgoutput`, which every server has, is always used",
    ),
    (
        "consumemonotonicevents",
        "transactions always come in the order of their commits",
    ),
    ("eventspollinterval", "the log is read as it is written"),
    (
        "cleansourcemetadataonmismatch",
        "the catalog is read anew at each start",
    ),
    (
        "skiptablesuspensionforpartitionddl",
        "partitions that take rows with them make their table be loaded again",
    ),
    (
        "ignoreopenxatransactionscheck",
        "XA transactions are followed, prepared ones too",
    ),
    ("maxfilesize", SESSION),
    ("loadusingcsv", SESSION),
    (
        "parallelloadthreads",
        "the task's `MaxFullLoadSubTasks` sets how much is loaded at once",
    ),
    (
        "resourcebasedparallelload",
        "the task's `MaxFullLoadSubTasks` sets how much is loaded at once",
    ),
    ("executetimeout", "a statement may take as long as it needs"),
    (
        "failtasksonlobtruncation",
        "`true`: a value longer than a LobMaxSize that cuts ends the task instead",
    ),
    ("trimspaceinchar", "texts arrive with their blanks"),
    (
        "mapbooleanasboolean",
        "a boolean arrives as the target's boolean, unless `false` is given here at either end: then as `varchar(5)` with `true` and `false`",
    ),
    ("mapjsonbasclob", "JSON arrives as the target's JSON"),
    ("maplongvarcharas", "texts of any length arrive whole"),
    (
        "mapunboundednumericasstring",
        "numbers of any length arrive exactly, see `docs/types.md`, unless this is given: `true` makes them texts with all their digits, `false` rounds them to `numeric(28,6)`",
    ),
    (
        "unboundedvarcharmaxsize",
        "texts of any length arrive whole",
    ),
    (
        "disableunicodesourcefilter",
        "selection compares names exactly, in any script",
    ),
    ("fetchcachesize", "memory is bounded by bytes, not by rows"),
    ("securitydbpropertiesfilepath", "no such file is read"),
    (
        "servertimezone",
        "moments are read and written in UTC, whatever the server's zone",
    ),
    (
        "charsetmapping",
        "the server converts texts to UTF-8 itself",
    ),
];

fn note(path: &str) -> &'static str {
    NOTES
        .iter()
        .find(|(known, _)| path == *known || (known.contains('.') && path.starts_with(known)))
        .map_or_else(|| panic!("a word on {path} is missing"), |(_, note)| *note)
}

fn endpoint_note(name: &str) -> &'static str {
    let name = name.to_lowercase();
    ENDPOINT_NOTES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or_else(|| panic!("a word on {name} is missing"), |(_, note)| *note)
}

fn endpoint(engine_name: &str, role: EndpointRole) -> EndpointConfig {
    EndpointConfig {
        identifier: "e".into(),
        role,
        engine_name: engine_name.into(),
        server_name: "db".into(),
        port: 1,
        username: "u".into(),
        password: None,
        database_name: Some("d".into()),
        ssl_mode: SslMode::None,
        ca_pem: None,
        attributes: BTreeMap::new(),
        settings: Map::new(),
    }
}

/// All that a run is told of the document.
fn run_of(document: &SettingsDocument, target: EndpointConfig) -> String {
    run_between(document, endpoint("postgres", EndpointRole::Source), target)
}

fn run_between(
    document: &SettingsDocument,
    source: EndpointConfig,
    target: EndpointConfig,
) -> String {
    let settings = TaskSettings::of(document);
    let following = (
        apply_errors(&settings),
        load_end(&settings),
        ddl_policy(&settings),
        apply_settings(&settings),
        (settings.batch_wait, settings.batch_wait_max),
        settings.batch_changes_min,
        batch_bytes_max(&settings),
        (folds(&settings), is_one_at_a_time(&settings)),
        running_wait(&settings),
    );
    let spec = TaskSpec {
        task: "t".into(),
        source,
        target,
        mappings: TableMappings::of_patterns(&[], &[]),
        settings,
        mode: RunMode::Fresh,
        following: Some(Following {
            loads: true,
            start: None,
            stop_at: None,
        }),
        validated: BTreeMap::new(),
    };
    let load = full_load_spec(&spec);
    let validation = validation::spec_of(&spec, &load, &Arc::default());
    format!(
        "{load:?} {following:?} {:?} {validation:?}",
        control_tables(&spec)
    )
}

/// Values that the setting may be given instead, as far as one can guess.
fn others(value: &Value) -> Vec<Value> {
    match value {
        // What is the default may act where it is given.
        Value::Bool(flag) => vec![(!flag).into(), (*flag).into()],
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            [number + 1, number - 1, 4, 1].map(Value::from).to_vec()
        }
        Value::String(_) => [
            "x",
            "DO_NOTHING",
            "IGNORE_RECORD",
            "STOP_TASK",
            "SUSPEND_TABLE",
            "IGNORE",
            "GROUP_LEVEL",
        ]
        .map(Value::from)
        .to_vec(),
        Value::Null => vec![
            serde_json::json!({"x": 1, "EnableTT": true, "EnableBeforeImage": true, "EnableLoopbackPrevention": true,
                "CharacterReplacements": [{"SourceCharacterCodePoint": "62", "TargetCharacterCodePoint": "61"}]}),
        ],
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

/// The switch without which a setting has nothing to act on.
fn needs(name: &str) -> Option<(&'static str, &'static str, Value)> {
    let validates = ("ValidationSettings", "EnableValidation");
    let (group, member) = match name {
        "BatchApplyTimeoutMin" | "BatchApplyTimeoutMax" | "BatchApplyMemoryLimit" => {
            ("TargetMetadata", "BatchApplyEnabled")
        }
        "DataErrorEscalationPolicy" | "ApplyErrorEscalationPolicy" => {
            let count = if name.starts_with("Data") {
                "DataErrorEscalationCount"
            } else {
                "ApplyErrorEscalationCount"
            };
            return Some(("ErrorBehavior", count, 3.into()));
        }
        "RecoverableErrorStopRetryAfterThrottlingMax" => {
            return Some(("ErrorBehavior", "RecoverableErrorThrottlingMax", 20.into()));
        }
        "FullLobMode" | "LimitedSizeLobMode" => {
            return Some(("TargetMetadata", "LobMaxSize", 64.into()));
        }
        "HistoryTimeslotInMinutes" | "historyTimeslotInMinutes" => {
            ("ControlTablesSettings", "HistoryTableEnabled")
        }
        "ThreadCount"
        | "PartitionSize"
        | "FailureMaxCount"
        | "TableFailureMaxCount"
        | "RecordFailureDelayInMinutes"
        | "RecordSuspendDelayInMinutes"
        | "ValidationQueryCdcDelaySeconds" => validates,
        _ => return None,
    };
    Some((group, member, true.into()))
}

fn effect(group: Option<&str>, name: &str, value: &Value) -> &'static str {
    let plain = || endpoint("postgres", EndpointRole::Target);
    let default = run_of(&SettingsDocument::default(), plain());
    let mut is_accepted = matches!(value, Value::Array(_));
    for other in others(value) {
        let mut sent = serde_json::json!({name: other});
        if let Some(group) = group {
            sent = serde_json::json!({group: sent});
        }
        let mut usual = default.clone();
        if let Some((group, member, value)) = needs(name) {
            sent[group][member] = value.clone();
            let needed = serde_json::json!({group: {member: value}}).to_string();
            let needed = SettingsDocument::for_create(Some(&needed)).unwrap();
            usual = run_of(&needed, plain());
        }
        if let Ok(document) = SettingsDocument::for_create(Some(&sent.to_string())) {
            is_accepted = true;
            if run_of(&document, plain()) != usual && name != "ValidationOnly" {
                return "acts";
            }
        }
    }
    // The one allowed value is the default.
    let has_one_value = name == "TableErrorEscalationPolicy";
    if is_accepted && name != "ValidationOnly" || has_one_value {
        "no effect"
    } else {
        "refused"
    }
}

fn default_text(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("{} components", list.len()),
        value => format!("`{value}`"),
    }
}

fn task_rows(page: &mut String) {
    let document: Value = serde_json::from_str(&SettingsDocument::default().to_json()).unwrap();
    let mut single = Vec::new();
    let row = |page: &mut String, group: Option<&str>, name: &str, value: &Value| {
        let path = group.map_or_else(|| name.to_owned(), |group| format!("{group}.{name}"));
        let effect = effect(group, name, value);
        writeln!(
            page,
            "| {name} | {} | {effect} | {} |",
            default_text(value),
            note(&path)
        )
        .unwrap();
    };
    for (group, members) in document.as_object().unwrap() {
        let Value::Object(members) = members else {
            single.push((group, members));
            continue;
        };
        writeln!(
            page,
            "\n### {group}\n\n| setting | default | here | |\n|---|---|---|---|"
        )
        .unwrap();
        for (name, value) in members {
            row(page, Some(group), name, value);
        }
    }
    page.push_str("\n### Others\n\n| setting | default | here | |\n|---|---|---|---|\n");
    for (name, value) in single {
        row(page, None, name, value);
    }
}

/// All that connections and runs are told of an endpoint, or that it is refused.
fn endpoint_told(config: &EndpointConfig, engine: Engine) -> Option<String> {
    make_connector(config).ok()?;
    let options = match engine {
        Engine::Postgres => format!("{:?}", connectors::postgres(config).ok()?),
        Engine::MySql | Engine::MariaDb => {
            format!("{:?}", connectors::mysql(config, engine).ok()?)
        }
    };
    let document = SettingsDocument::default();
    let run = match config.role {
        EndpointRole::Source => run_between(
            &document,
            config.clone(),
            endpoint("postgres", EndpointRole::Target),
        ),
        EndpointRole::Target => run_of(&document, config.clone()),
    };
    Some(options + &run)
}

fn endpoint_effect(engine: Engine, name: &str, values: &[Value]) -> &'static str {
    let roles = [EndpointRole::Target, EndpointRole::Source];
    let effects = roles.map(|role| effect_at(engine, role, name, values));
    ["acts", "refused"]
        .into_iter()
        .find(|effect| effects.contains(effect))
        .unwrap_or("no effect")
}

fn effect_at(engine: Engine, role: EndpointRole, name: &str, values: &[Value]) -> &'static str {
    let engine_name = match engine {
        Engine::Postgres => "postgres",
        Engine::MySql => "mysql",
        Engine::MariaDb => "mariadb",
    };
    let mut plain = endpoint(engine_name, role);
    if name == "HeartbeatFrequency" {
        plain
            .settings
            .insert("HeartbeatEnable".to_owned(), true.into());
    }
    let default = endpoint_told(&plain, engine);
    let mut effect = "no effect";
    for value in values {
        let mut by_setting = plain.clone();
        by_setting.settings.insert(name.to_owned(), value.clone());
        let mut by_attribute = plain.clone();
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        by_attribute.attributes.insert(name.to_lowercase(), text);
        let told = endpoint_told(&by_setting, engine);
        let told_by_attribute = endpoint_told(&by_attribute, engine);
        if told.is_none() {
            effect = "refused";
        } else if told != default || told_by_attribute != default {
            return "acts";
        }
    }
    effect
}

fn endpoint_rows(page: &mut String, engine: Engine) {
    page.push_str("\n| setting | end | default | here | |\n|---|---|---|---|---|\n");
    for setting in engine_catalog::settings(engine) {
        let values: Vec<Value> = match setting.kind {
            SettingType::Text => vec!["x".into()],
            SettingType::Bool => vec![true.into(), false.into()],
            SettingType::Int(min, max) => vec![min.into(), max.into()],
            SettingType::OneOf(values) => values.iter().map(|&value| value.into()).collect(),
        };
        let role = setting.role.map_or("both", EndpointRole::as_str);
        let default = setting
            .default
            .map_or_else(String::new, |text| format!("`{text}`"));
        let effect = endpoint_effect(engine, setting.name, &values);
        writeln!(
            page,
            "| {} | {role} | {default} | {effect} | {} |",
            setting.name,
            endpoint_note(setting.name)
        )
        .unwrap();
    }
    for name in engine_catalog::attributes(engine) {
        let effect = endpoint_effect(engine, name, &["7", "true", "false"].map(Value::from));
        writeln!(
            page,
            "| {name} (attribute) | both | | {effect} | {} |",
            endpoint_note(name)
        )
        .unwrap();
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Of tasks\n");
    task_rows(&mut page);
    page.push_str("\n## Of endpoints\n\nGiven in the engine's own structure or as extra connection attributes; where both are given, the structure counts.\n");
    page.push_str("`SecretsManagerSecretId` is kept, but a connection test fails and says so: this version asks no Secrets Manager.\n");
    page.push_str("\n### PostgreSQL\n");
    endpoint_rows(&mut page, Engine::Postgres);
    page.push_str("\n### MySQL and MariaDB\n");
    endpoint_rows(&mut page, Engine::MySql);
    page
}

#[test]
fn the_page_tells_of_every_setting_what_it_changes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = page();
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(page.contains("| CommitRate | `10000` | acts |"));
    assert!(
        std::fs::read_to_string(path).unwrap() == page,
        "docs/settings.md is out of date"
    );
}

#[test]
fn a_commit_rate_that_is_given_bounds_statements_also_as_the_default() {
    let run = |sent: &str| {
        let document = SettingsDocument::for_create(Some(sent)).unwrap();
        run_of(&document, endpoint("postgres", EndpointRole::Target))
    };
    assert!(run("{}").contains("statement_rows_max: None"));
    let given = run(r#"{"FullLoadSettings":{"CommitRate":10000}}"#);
    assert!(given.contains("statement_rows_max: Some(10000)"), "{given}");
}

#[test]
fn a_mysql_target_with_a_database_takes_all_schemas_into_it() {
    let mut target = endpoint("mariadb", EndpointRole::Target);
    assert_eq!(target.single_database().as_deref(), Some("d"));
    let document = SettingsDocument::default();
    assert!(run_of(&document, target.clone()).contains("target_schema: Some(\"d\")"));
    let sent = r#"{"TargetMetadata":{"TargetSchema":"s"}}"#;
    let named = SettingsDocument::for_create(Some(sent)).unwrap();
    assert!(run_of(&named, target.clone()).contains("target_schema: Some(\"s\")"));
    target
        .settings
        .insert("TargetDbType".into(), "multiple-databases".into());
    assert_eq!(target.single_database(), None);
    target
        .settings
        .insert("TargetDbType".into(), "specific-database".into());
    assert_eq!(target.single_database().as_deref(), Some("d"));
    assert_eq!(
        endpoint("postgres", EndpointRole::Target).single_database(),
        None
    );
}
