use serde_json::{Value, json};

use super::*;

fn create(sent: &str) -> Result<SettingsDocument, SettingsError> {
    SettingsDocument::for_create(Some(sent))
}

fn refusal(sent: &str) -> String {
    create(sent).unwrap_err().to_string()
}

#[test]
fn without_settings_the_whole_default_document_is_answered() {
    let document = SettingsDocument::for_create(None).unwrap();
    let text = document.to_json();
    assert!(
        text.starts_with(
            r#"{"TargetMetadata":{"TargetSchema":"","SupportLobs":true,"FullLobMode":false,"#
        ),
        "{text}"
    );
    assert!(
        text.ends_with(r#""FailTaskWhenCleanTaskResourceFailed":false,"TTSettings":null}"#),
        "{text}"
    );
    assert!(text.contains(r#""ControlTablesSettings":{"historyTimeslotInMinutes":5,"ControlSchema":"","HistoryTimeslotInMinutes":5,"#));
    assert!(text.contains(r#"{"Id":"TRANSFORMATION","Severity":"LOGGER_SEVERITY_DEFAULT"}"#));
    assert_eq!(text, create("").unwrap().to_json());
    assert_eq!(text, create("{}").unwrap().to_json());
}

#[test]
fn partial_settings_are_merged_into_the_defaults() {
    let document = create(r#"{"Logging":{"EnableLogging":true}}"#).unwrap();
    let mut expected: Value = serde_json::from_str(&SettingsDocument::default().to_json()).unwrap();
    expected["Logging"]["EnableLogging"] = json!(true);
    assert_eq!(document.to_json(), expected.to_string());
}

#[test]
fn what_is_answered_can_be_sent_again() {
    let first = create(r#"{"FullLoadSettings":{"CommitRate":500},"Logging":{"LogComponents":[{"Id":"VALIDATOR","Severity":"LOGGER_SEVERITY_DEBUG"}]}}"#).unwrap();
    assert_eq!(create(&first.to_json()).unwrap().to_json(), first.to_json());
}

#[test]
fn what_is_not_an_object_is_refused() {
    for sent in ["{", "[]", "7", "null", "\"x\""] {
        assert_eq!(refusal(sent), "Invalid task settings json", "{sent}");
    }
}

#[test]
fn log_names_cannot_be_set_but_may_be_null() {
    let text = "Task Settings CloudWatchLogGroup or CloudWatchLogStream cannot be set on create";
    assert_eq!(refusal(r#"{"Logging":{"CloudWatchLogGroup":"x"}}"#), text);
    assert_eq!(refusal(r#"{"Logging":{"CloudWatchLogStream":"x"}}"#), text);
    create(r#"{"Logging":{"CloudWatchLogGroup":null,"CloudWatchLogStream":null}}"#).unwrap();
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (sent, path) in [
        (
            r#"{"FullLoadSettings":{"MaxFullLoadSubTasks":50}}"#,
            "FullLoadSettings.MaxFullLoadSubTasks",
        ),
        (
            r#"{"FullLoadSettings":{"CommitRate":0}}"#,
            "FullLoadSettings.CommitRate",
        ),
        (
            r#"{"FullLoadSettings":{"TargetTablePrepMode":"DROP"}}"#,
            "FullLoadSettings.TargetTablePrepMode",
        ),
        (
            r#"{"Logging":{"EnableLogging":"yes"}}"#,
            "Logging.EnableLogging",
        ),
        (r#"{"Logging":[]}"#, "Logging"),
        (
            r#"{"Logging":{"LogComponents":[{"Id":"X"}]}}"#,
            "Logging.LogComponents",
        ),
    ] {
        let text = refusal(sent);
        assert!(text.contains(&format!("{path} must be")), "{text}");
    }
}

#[test]
fn unknown_members_are_ignored_and_not_echoed() {
    let document = create(r#"{"Nonsense":{"A":1},"FullLoadSettings":{"Nonsense":1}}"#).unwrap();
    assert_eq!(document, SettingsDocument::default());
}

#[test]
fn features_that_change_the_data_and_are_not_built_are_refused() {
    let text = refusal(r#"{"TTSettings":{"EnableTT":true}}"#);
    assert!(text.contains("TTSettings is not supported"), "{text}");
    create(r#"{"TTSettings":{"EnableTT":false},"BeforeImageSettings":null,"PostProcessingRules":null}"#).unwrap();
}

#[test]
fn characters_are_kept_as_they_were_sent_until_null_is_sent() {
    let sent = r#"{"CharacterSetSettings":{"CharacterReplacements":[{"SourceCharacterCodePoint":62,"TargetCharacterCodePoint":"0"}]}}"#;
    let document = create(sent).unwrap();
    assert!(document.to_json().contains(&sent[1..sent.len() - 1]));
    assert_eq!(
        TaskSettings::of(&document)
            .characters
            .apply("abc")
            .as_deref(),
        Some("ac")
    );
    let same = document.for_modify("{}").unwrap();
    assert_eq!(same, document);
    let off = document
        .for_modify(r#"{"CharacterSetSettings":null}"#)
        .unwrap();
    assert_eq!(off, SettingsDocument::default());
    let text = refusal(
        r#"{"CharacterSetSettings":{"CharacterSetSupport":{"CharacterSet":"EBCDIC","ReplaceWithCharacterCodePoint":0}}}"#,
    );
    assert!(
        text.starts_with("Invalid task settings: CharacterSetSettings.CharacterSetSupport.CharacterSet must be one of us-ascii, iso-8859-1, "),
        "{text}"
    );
}

#[test]
fn lob_modes_exclude_each_other() {
    let document = create(r#"{"TargetMetadata":{"FullLobMode":true}}"#).unwrap();
    assert!(!document.bool("TargetMetadata", "LimitedSizeLobMode"));
    let back = document
        .for_modify(r#"{"TargetMetadata":{"LimitedSizeLobMode":true}}"#)
        .unwrap();
    assert!(!back.bool("TargetMetadata", "FullLobMode"));
    assert!(
        create(r#"{"TargetMetadata":{"FullLobMode":true,"LimitedSizeLobMode":true}}"#).is_err()
    );
}

#[test]
fn both_spellings_of_the_history_slot_stay_equal() {
    for spelling in ["HistoryTimeslotInMinutes", "historyTimeslotInMinutes"] {
        let document =
            create(&json!({"ControlTablesSettings": {spelling: 9}}).to_string()).unwrap();
        assert_eq!(
            document.get("ControlTablesSettings", "HistoryTimeslotInMinutes"),
            9
        );
        assert_eq!(
            document.get("ControlTablesSettings", "historyTimeslotInMinutes"),
            9
        );
    }
}

#[test]
fn a_change_of_severities_is_told_from_other_changes() {
    let document = SettingsDocument::default();
    let severities = document
        .for_modify(
            r#"{"Logging":{"LogComponents":[{"Id":"SORTER","Severity":"LOGGER_SEVERITY_DEBUG"}]}}"#,
        )
        .unwrap();
    assert_ne!(document, severities);
    let changed = document.with_severities_of(&severities).unwrap();
    assert_eq!(changed.to_json(), severities.to_json());
    let other = document
        .for_modify(r#"{"Logging":{"EnableLogging":true}}"#)
        .unwrap();
    assert_eq!(document.with_severities_of(&other), None);
}

#[test]
fn a_task_that_only_validates_prepares_nothing_and_stays_so() {
    let document = create(r#"{"ValidationSettings":{"ValidationOnly":true}}"#).unwrap();
    assert_eq!(
        TaskSettings::of(&document).prepare,
        TablePrepMode::DoNothing
    );
    assert!(
        document
            .for_modify(r#"{"ValidationSettings":{"ValidationOnly":false}}"#)
            .is_err()
    );
}

#[test]
fn the_typed_view_holds_the_defaults() {
    let settings = TaskSettings::of(&SettingsDocument::default());
    assert_eq!(settings.target_schema, None);
    assert_eq!(settings.prepare, TablePrepMode::DropAndCreate);
    assert_eq!(settings.full_load_subtasks_max, 8);
    assert_eq!(settings.commit_rate, None);
    assert_eq!(settings.table_errors, ErrorPolicy::SuspendTable);
    assert_eq!(settings.recoverable_errors.retries_max, None);
    assert_eq!(settings.recoverable_errors.interval.as_secs(), 5);
    assert_eq!(settings.recoverable_errors.interval_max.as_secs(), 1800);
    assert!(settings.fails_without_tables);
}

#[test]
fn what_the_user_gave_is_known_from_what_stands_there_by_default() {
    let rate = |document: &SettingsDocument| TaskSettings::of(document).commit_rate;
    let given = create(r#"{"FullLoadSettings":{"CommitRate":10000}}"#).unwrap();
    assert_eq!(given.to_json(), SettingsDocument::default().to_json());
    assert_eq!(rate(&given), Some(10_000));
    let null = create(r#"{"FullLoadSettings":{"CommitRate":null}}"#).unwrap();
    assert_eq!(rate(&null), None);
    let stored = serde_json::to_string(&given).unwrap();
    let read: SettingsDocument = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, given);
    let modified = read
        .for_modify(r#"{"FullLoadSettings":{"MaxFullLoadSubTasks":3}}"#)
        .unwrap();
    assert_eq!(rate(&modified), Some(10_000));
    let running = given.with_severities_of(&SettingsDocument::default());
    assert_eq!(running.map(|document| rate(&document)), Some(Some(10_000)));
    // Documents that were stored before do not tell.
    let old: SettingsDocument =
        serde_json::from_str(&stored.replace(r#","given":["FullLoadSettings.CommitRate"]"#, ""))
            .unwrap();
    assert_eq!((rate(&old), old), (None, SettingsDocument::default()));
    let old = stored.replace("10000", "500");
    assert_eq!(rate(&serde_json::from_str(&old).unwrap()), Some(500));
}

/// The service has no such group: other clients must not meet it.
#[test]
fn our_own_settings_are_echoed_only_where_they_were_given() {
    use crate::objects::{ObjectKind, ObjectSelection};
    let default = SettingsDocument::for_create(None).unwrap();
    assert!(!default.to_json().contains("Whimbrel"));
    let objects = TaskSettings::of(&default).objects;
    assert_eq!(objects, ObjectSelection::all());
    let sent = r#"{"WhimbrelSettings":{"Objects":"indexes,checks"}}"#;
    let given = SettingsDocument::for_create(Some(sent)).unwrap();
    assert!(
        given
            .to_json()
            .contains(r#""WhimbrelSettings":{"Objects":"indexes,checks"}"#)
    );
    let objects = TaskSettings::of(&given).objects;
    assert!(objects.has(ObjectKind::Index) && !objects.has(ObjectKind::ForeignKey));
    let kept = given
        .for_modify(r#"{"Logging":{"EnableLogging":true}}"#)
        .unwrap();
    assert_eq!(TaskSettings::of(&kept).objects, objects);
    assert_eq!(TaskSettings::of(&kept).target_tables, TargetTables::Own);
    let shared = given
        .for_modify(r#"{"WhimbrelSettings":{"SharedTargetTables":true}}"#)
        .unwrap();
    let shared = TaskSettings::of(&shared);
    assert_eq!(shared.target_tables, TargetTables::Shared);
    assert_eq!(shared.objects, objects);
    for wrong in [r#""vistas""#, "7"] {
        let sent = format!(r#"{{"WhimbrelSettings":{{"Objects":{wrong}}}}}"#);
        let error = SettingsDocument::for_create(Some(&sent))
            .unwrap_err()
            .to_string();
        assert!(error.contains("WhimbrelSettings.Objects"), "{error}");
    }
}

#[test]
fn what_loses_rows_or_takes_time_acts_where_it_is_given_alone() {
    let of = |sent: &str| TaskSettings::of(&SettingsDocument::for_create(Some(sent)).unwrap());
    let silent = of("{}");
    assert_eq!(silent.data_errors.refused, None);
    assert_eq!(silent.data_errors.too_long, None);
    assert_eq!(silent.data_errors.escalation, None);
    assert_eq!((silent.batch_wait, silent.memory_limit_bytes), (None, None));
    assert_eq!(silent.apply_mode, ApplyMode::AsFits);
    assert_eq!(silent.open_transactions.wait, None);
    assert!(!silent.recoverable_errors.stops_at_max);

    // A document as the service gives it out, sent back whole, means no more than what it changes.
    let echo = SettingsDocument::default().to_json();
    assert_eq!(of(&echo), silent);
    let tuned = of(&echo.replace(r#""CommitRate":10000"#, r#""CommitRate":500"#));
    assert_eq!(tuned.data_errors.refused, None);
    assert_ne!(tuned, silent);

    let named = of(
        r#"{"ErrorBehavior":{"DataErrorPolicy":"LOG_ERROR"},"ChangeProcessingTuning":{"MinTransactionSize":1000,"MemoryLimitTotal":1024}}"#,
    );
    assert_eq!(named.data_errors.refused, Some(ErrorPolicy::LogError));
    assert_eq!(named.data_errors.too_long, None);
    assert_eq!(named.batch_changes_min, Some(1000));
    assert_eq!(named.memory_limit_bytes, Some(1024 << 20));
    let in_order = of(
        r#"{"TargetMetadata":{"BatchApplyEnabled":false},"ChangeProcessingTuning":{"CommitTimeout":1}}"#,
    );
    assert_eq!(in_order.apply_mode, ApplyMode::InOrder);
    let at_max = of(r#"{"ErrorBehavior":{"RecoverableErrorStopRetryAfterThrottlingMax":true}}"#);
    assert!(at_max.recoverable_errors.stops_at_max);

    let one_by_one = of(r#"{"TargetMetadata":{"BatchApplyEnabled":false}}"#);
    assert_eq!(one_by_one.apply_mode, ApplyMode::OneByOne);
    let counted = of(
        r#"{"ErrorBehavior":{"DataErrorEscalationCount":7,"DataErrorEscalationPolicy":"STOP_TASK"}}"#,
    );
    let escalation = counted.data_errors.escalation.unwrap();
    assert_eq!(
        (escalation.count.get(), escalation.policy),
        (7, ErrorPolicy::StopTask)
    );
}

#[test]
fn what_a_modification_repeats_is_not_given_by_it() {
    let document = SettingsDocument::for_create(Some(
        r#"{"FullLoadSettings":{"CommitRate":10000},"Logging":{"EnableLogging":true}}"#,
    ))
    .unwrap();
    let louder = document
        .to_json()
        .replacen("LOGGER_SEVERITY_DEFAULT", "LOGGER_SEVERITY_DEBUG", 1);
    let modified = document.for_modify(&louder).unwrap();
    assert_eq!(TaskSettings::of(&modified), TaskSettings::of(&document));
    let running = document.with_severities_of(&modified).unwrap();
    assert_eq!(running.to_json(), louder);
    assert_eq!(TaskSettings::of(&running), TaskSettings::of(&document));

    let more = document
        .for_modify(r#"{"FullLoadSettings":{"CommitRate":1}}"#)
        .unwrap();
    assert_eq!(document.with_severities_of(&more), None);
}
