//! `docs/settings.md`: what every setting does, told by what it changes in a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};
use whimbrel_core::Engine;
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::{SettingsDocument, TaskSettings};
use whimbrel_store::{EndpointRole, SslMode};

use super::engine::{
    apply_errors, apply_settings, batch_bytes_max, control_tables, ddl_policy, full_load_spec,
    load_end,
};
use super::{EndpointConfig, RunMode, TaskSpec};
use crate::connectors::{self, make_connector};
use crate::engine_catalog::{self, SettingType};

const HEAD: &str = "# Settings: what acts, what does not, what is refused

Every setting of the service is accepted in its form and checked for its range, and is echoed as it was given. This page says which of them act
on what this version does, a full load and the changes since. *Acts* means that another value changes the run. *No effect* means that the value is kept and
echoed, and nothing else: the reason stands beside it. *Refused* means that asking for it is a fault at once, because to pass it
over would lose or misplace data.

Where the service loses data by default, Whimbrel does not: values arrive whole. With another `LobMaxSize` than the default, in limited mode, long
texts and byte strings are cut as they would be there; the plan tells of the columns, and the log of values that were cut. The default itself, 32 KB, cuts
nothing: it stands in every settings document that is copied whole. Keys and JSON documents are never cut.

What a deleted task leaves: its load records in `awsdms_control` at the target go with it, if the target can be reached within half a minute.
If not, the task is deleted all the same and the service's log says so; the records are rows that carry the task's name.

What waits on disk: a PostgreSQL source, from version 15 on, sends large transactions while they run. What 16 MB of memory do not hold of them lies in a
file without a name until their commit, in the folder that `WHIMBREL_SPOOL_DIR` names (by default the system's for temporary files: `TMPDIR`, or `/tmp`; choose
another where that is memory), of `WHIMBREL_SPOOL_MAX_MB` megabytes at most for each task (by default 64 GiB). The file goes with the process,
however that ends. Where there is no room for it, the source is asked to keep such transactions itself, as before version 15: the stream begins
again, which is one interruption of those that `RecoverableErrorCount` and `--retries` count. What is prepared (`SlotName` with `two_phase`) needs the room in any case.

This page is tested against the code: `WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-server settings_page` writes it anew.
";

const NOT_HERE: &str = "this version does it another way, or has nothing that it would act on";
const APPLY_ERRORS: &str = "what becomes of such a change that the target refuses, or of an update or delete that meets no row: left out (`IGNORE_RECORD`), \
    left out and written down in `awsdms_apply_exceptions` (`LOG_ERROR`), its table followed no more (`SUSPEND_TABLE`), or the end of the task (`STOP_TASK`). \
    Rows that a large batch does not meet are written down by their count";
const DDL: &str = "`false`: the target's table stays as it is; a table that is altered is then followed no more until it is loaded again. `true`: the target's table \
    is changed in place where that gives no row another value, else its rows are loaded again";
const BATCH: &str = "changes are folded and applied in sets whenever many wait, whatever it says; `true`: they also wait for BatchApplyTimeoutMin so that more come together";
const VALIDATION: &str = "tasks do not compare; `whimbrel validate` does, row by row";
const LOBS: &str = "long values travel like all others, whole and with bounded memory";
const SESSION: &str = "loads go over the database's own bulk protocol, in streams, not files";
const GATHERED: &str = "without BatchApplyEnabled, and where one of the two is given as another value than the default: changes wait for each other until there are MinTransactionSize of them or CommitTimeout has passed. Otherwise they are gathered only while the target is busy, so that nothing waits";
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
        "the checkpoint is always kept at the target, in the transaction of the rows",
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
        "transactions that are open when a load begins are waited for up to ten minutes",
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
        "ControlTablesSettings.FullLoadExceptionTableEnabled",
        "in a load a row that the target refuses puts its table into error, and no row is left out",
    ),
    (
        "ControlTablesSettings.",
        "with HistoryTableEnabled: how much time a row of `awsdms_history` tells of",
    ),
    ("StreamBufferSettings.", "the log is read ahead by 8 MiB"),
    ("ChangeProcessingDdlHandlingPolicy.", DDL),
    (
        "ErrorBehavior.DataErrorPolicy",
        "in a load a row that the target refuses puts its table into error, and no row is left out; for changes see ApplyErrorInsertPolicy",
    ),
    (
        "ErrorBehavior.DataTruncationErrorPolicy",
        "nothing is truncated: a value that does not fit puts its table into error",
    ),
    (
        "ErrorBehavior.DataErrorEscalation",
        "the first such error puts the table into error",
    ),
    ("ErrorBehavior.ApplyErrorInsertPolicy", APPLY_ERRORS),
    ("ErrorBehavior.ApplyErrorUpdatePolicy", APPLY_ERRORS),
    ("ErrorBehavior.ApplyErrorDeletePolicy", APPLY_ERRORS),
    (
        "ErrorBehavior.ApplyErrorEscalation",
        "the policies of single changes decide alone",
    ),
    (
        "ErrorBehavior.ApplyErrorFailOnTruncationDdl",
        "`HandleSourceTableTruncated` decides",
    ),
    (
        "ErrorBehavior.FullLoadIgnoreConflicts",
        "changes that the loaded rows hold are told exactly, so there are no conflicts to ignore",
    ),
    (
        "ErrorBehavior.FailOnTransactionConsistencyBreached",
        "transactions that are open when a load begins are always waited for",
    ),
    (
        "ErrorBehavior.EventErrorPolicy",
        "events stay within the service",
    ),
    (
        "ErrorBehavior.TableErrorPolicy",
        "`STOP_TASK`: the first table in error ends the task",
    ),
    (
        "ErrorBehavior.TableErrorEscalation",
        "`TableErrorPolicy` alone decides",
    ),
    ("ErrorBehavior.RecoverableErrorCount", "-1: nine restarts"),
    (
        "ErrorBehavior.RecoverableErrorStopRetryAfterThrottlingMax",
        "`RecoverableErrorCount` alone ends the restarts",
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
        "a batch is applied as soon as BatchApplyTimeoutMin has passed or it is full",
    ),
    (
        "ChangeProcessingTuning.BatchApplyMemoryLimit",
        "with BatchApplyEnabled: an upper bound; this version takes 8 MiB at most anyway",
    ),
    (
        "ChangeProcessingTuning.MemoryLimitTotal",
        "an upper bound, of which a batch gets a quarter; this version takes 8 MiB at most anyway",
    ),
    (
        "ChangeProcessingTuning.StatementCacheSize",
        "statements that are kept prepared at a PostgreSQL target",
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
        "what waits in memory is bounded by bytes, not by time",
    ),
    ("ChangeProcessingTuning.MinTransactionSize", GATHERED),
    ("ChangeProcessingTuning.CommitTimeout", GATHERED),
    (
        "ValidationSettings.ValidationOnly",
        "`true` is refused at the start of the task, which would move data",
    ),
    ("ValidationSettings.", VALIDATION),
    ("PostProcessingRules", "anything but null is refused"),
    (
        "CharacterSetSettings",
        "texts arrive as they are; rules that replace characters are refused",
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
        "`true`: event triggers of the task, where the user may make them, write changes of definitions into the log; `false`: they are only seen at the next row",
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
        settings.batch_wait,
        settings.batch_changes_min,
        batch_bytes_max(&settings),
    );
    let spec = TaskSpec {
        task: "t".into(),
        source,
        target,
        mappings: TableMappings::of_patterns(&[], &[]),
        settings,
        mode: RunMode::Fresh,
        following: None,
    };
    let load = full_load_spec(&spec);
    format!("{load:?} {following:?} {:?}", control_tables(&spec))
}

/// Values that the setting may be given instead, as far as one can guess.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![(!flag).into()],
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            // Bounds of memory act where they are narrower than what is taken anyway.
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
            serde_json::json!({"x": 1, "EnableTT": true, "EnableBeforeImage": true, "EnableLoopbackPrevention": true}),
        ],
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

/// The switch without which a setting has nothing to act on.
fn needs(name: &str) -> Option<(&'static str, &'static str, Value)> {
    let (group, member) = match name {
        "BatchApplyTimeoutMin" | "BatchApplyTimeoutMax" | "BatchApplyMemoryLimit" => {
            ("TargetMetadata", "BatchApplyEnabled")
        }
        "FullLobMode" | "LimitedSizeLobMode" => {
            return Some(("TargetMetadata", "LobMaxSize", 64.into()));
        }
        "HistoryTimeslotInMinutes" | "historyTimeslotInMinutes" => {
            ("ControlTablesSettings", "HistoryTableEnabled")
        }
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
