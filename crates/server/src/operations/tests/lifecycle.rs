mod modifying;
mod reloads;
mod validation;

use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_core::TableName;
use whimbrel_engine::Interruption;
use whimbrel_store::{ChangeCounts, EpochMs, StopReason, TableState};

use super::Harness;
use crate::data_plane::{ConnectionFailure, RunEnd, RunMode, RunProgress, TableProgress};

const MAPPINGS: &str = r#"{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1",
    "object-locator":{"schema-name":"s","table-name":"%"},"rule-action":"include"}]}"#;

/// A ready task between two tested ends.
struct Task {
    harness: Harness,
    arn: String,
    instance: String,
}

impl Task {
    async fn ready() -> Self {
        Self::of("full-load").await
    }

    async fn of(migration_type: &str) -> Self {
        let harness = Harness::start();
        let instance = harness.instance("i").await;
        let source = harness.endpoint("source", "s", "db1").await;
        let target = harness.endpoint("target", "t", "db2").await;
        let request = json!({
            "ReplicationTaskIdentifier": "task", "SourceEndpointArn": source, "TargetEndpointArn": target,
            "ReplicationInstanceArn": instance, "MigrationType": migration_type, "TableMappings": MAPPINGS,
        });
        let made = harness.ok("CreateReplicationTask", request).await;
        assert_eq!(made["ReplicationTask"]["Status"], "creating");
        let arn = made["ReplicationTask"]["ReplicationTaskArn"]
            .as_str()
            .unwrap()
            .to_owned();
        let task = Self {
            harness,
            arn,
            instance,
        };
        task.until("ready").await;
        let text = task
            .refused_start("start-replication", "InvalidResourceStateFault")
            .await;
        assert!(
            text.starts_with("Test connection")
                && text.ends_with("should be successful for starting the replication task"),
            "{text}"
        );
        task.harness.tested(&task.instance, &source).await;
        task.harness.tested(&task.instance, &target).await;
        task
    }

    async fn until(&self, status: &str) -> Value {
        let page = self
            .harness
            .until("DescribeReplicationTasks", json!({}), |page| {
                page["ReplicationTasks"][0]["Status"] == status
            })
            .await;
        page["ReplicationTasks"][0].clone()
    }

    fn request(&self) -> Value {
        json!({"ReplicationTaskArn": self.arn})
    }

    async fn start(&self, start_type: &str) {
        let request =
            json!({"ReplicationTaskArn": self.arn, "StartReplicationTaskType": start_type});
        let answer = self.harness.ok("StartReplicationTask", request).await;
        assert_eq!(answer["ReplicationTask"]["Status"], "starting");
    }

    async fn refused_start(&self, start_type: &str, code: &str) -> String {
        let request =
            json!({"ReplicationTaskArn": self.arn, "StartReplicationTaskType": start_type});
        self.harness
            .refused("StartReplicationTask", request, code)
            .await
    }

    fn after_a_crash(self) -> Self {
        Self {
            harness: self.harness.after_a_crash(),
            arn: self.arn,
            instance: self.instance,
        }
    }
}

fn progress(tables: &[(&str, TableState, i64)]) -> RunProgress {
    let tables = tables.iter().map(|(name, state, rows)| {
        let table = TableProgress {
            state: *state,
            rows: *rows,
            error_rows: 0,
            started_at: Some(EpochMs(5)),
            ended_at: None,
            message: None,
            not_created: Vec::new(),
            applied: ChangeCounts::default(),
            captured: ChangeCounts::default(),
            reload_count: 0,
            reload_answer_count: 0,
        };
        (TableName::new("s", *name), table)
    });
    RunProgress {
        tables: tables.collect(),
        percent: 50,
        is_cleared: true,
        checkpoint: None,
        interruption: None,
        log_alarm: None,
        target_alarm: None,
        validations: None,
    }
}

/// A run that goes on, of a load of which no table is known to be complete.
fn goes_on() -> RunMode {
    RunMode::Resume {
        completed: Vec::new(),
        may_begin: true,
    }
}

#[tokio::test]
async fn a_full_load_runs_to_its_end_and_keeps_its_last_figures() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.until("running").await;
    let run = task.harness.data_plane.run(0).await;
    assert_eq!(run.spec.mode, RunMode::Fresh);
    run.set_progress(progress(&[
        ("a", TableState::Completed, 7),
        ("b", TableState::Error, 0),
    ]));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    let done = task.until("stopped").await;
    assert_eq!(done["StopReason"], "Stop Reason FULL_LOAD_ONLY_FINISHED");
    let figures = &done["ReplicationTaskStats"];
    assert_eq!(figures["FullLoadProgressPercent"], 100);
    assert_eq!(
        (&figures["TablesLoaded"], &figures["TablesErrored"]),
        (&json!(1), &json!(1))
    );
    let page = task
        .harness
        .ok("DescribeTableStatistics", task.request())
        .await;
    assert_eq!(page["TableStatistics"][0]["FullLoadRows"], 7);
    assert_eq!(page["TableStatistics"][1]["TableState"], "Table error");
    let text = task
        .refused_start("start-replication", "InvalidParameterCombinationException")
        .await;
    assert!(
        text.contains("valid only for tasks running for the first time"),
        "{text}"
    );
}

#[tokio::test]
async fn figures_are_true_while_a_load_runs() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::FullLoad, 3)]));
    task.harness
        .until("DescribeTableStatistics", task.request(), |page| {
            page["TableStatistics"][0]["FullLoadRows"] == 3
        })
        .await;
    assert_eq!(
        task.until("running").await["ReplicationTaskStats"]["TablesLoading"],
        1
    );
}

#[tokio::test]
async fn a_stop_ends_the_run_with_its_reason_and_a_resume_goes_on() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[
        ("a", TableState::Completed, 7),
        ("b", TableState::Cancelled, 2),
    ]));
    task.until("running").await;
    let answer = task.harness.ok("StopReplicationTask", task.request()).await;
    assert_eq!(answer["ReplicationTask"]["Status"], "stopping");
    run.stop_requested().await;
    run.end(RunEnd::Stopped);
    assert_eq!(
        task.until("stopped").await["StopReason"],
        "Stop Reason NORMAL"
    );
    task.start("resume-processing").await;
    let run = task.harness.data_plane.run(1).await;
    // The target's record tells what is complete.
    assert_eq!(run.spec.mode, goes_on());
}

#[tokio::test]
async fn a_reload_begins_afresh_and_forgets_the_figures() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    task.start("reload-target").await;
    assert_eq!(
        task.harness.data_plane.run(1).await.spec.mode,
        RunMode::Fresh
    );
    let page = task
        .harness
        .ok("DescribeTableStatistics", task.request())
        .await;
    assert_eq!(page["TableStatistics"], json!([]));
}

#[tokio::test]
async fn a_failure_is_told_and_the_task_can_be_started_again() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.end(RunEnd::Failed {
        message: "the table mappings match no table".into(),
        is_recoverable: false,
    });
    let failed = task.until("failed").await;
    assert_eq!(failed["StopReason"], "Stop Reason FATAL_ERROR");
    assert!(
        failed["LastFailureMessage"]
            .as_str()
            .unwrap()
            .contains("match no table")
    );
    task.start("reload-target").await;
}

#[tokio::test]
async fn a_task_that_ran_at_a_crash_resumes_by_itself() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.harness
        .data_plane
        .run(0)
        .await
        .set_progress(progress(&[("a", TableState::Completed, 7)]));
    task.harness
        .until("DescribeTableStatistics", task.request(), |page| {
            page["TableStatistics"][0]["FullLoadRows"] == 7
        })
        .await;
    let task = task.after_a_crash();
    let run = task.harness.data_plane.run(0).await;
    assert_eq!(run.spec.mode, goes_on());
    assert_eq!(
        task.until("running").await["ReplicationTaskStats"]["TablesLoaded"],
        1
    );
    run.set_progress(progress(&[("a", TableState::Completed, 0)]));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    let page = task
        .harness
        .ok("DescribeTableStatistics", task.request())
        .await;
    assert_eq!(page["TableStatistics"][0]["FullLoadRows"], 7);
}

#[tokio::test]
async fn a_crash_right_after_the_clearing_was_written_down_leaves_a_run_to_go_on_with() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    // From here on the run may record chunks, whether or not any figures of it are ever written.
    task.harness.data_plane.run(0).await.clear().await;
    let task = task.after_a_crash();
    assert_eq!(task.harness.data_plane.run(0).await.spec.mode, goes_on());
    task.until("running").await;
    task.harness.ok("StopReplicationTask", task.request()).await;
    task.harness.data_plane.run(0).await.end(RunEnd::Stopped);
    task.until("stopped").await;
    task.start("reload-target").await;
    assert_eq!(
        task.harness.data_plane.run(1).await.spec.mode,
        RunMode::Fresh
    );
}

#[tokio::test]
async fn a_task_that_crashed_before_its_target_was_cleared_begins_afresh() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.harness.data_plane.run(0).await;
    let task = task.after_a_crash();
    assert_eq!(
        task.harness.data_plane.run(0).await.spec.mode,
        RunMode::Fresh
    );
}

#[tokio::test]
async fn a_task_that_was_stopping_at_a_crash_is_stopped() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let mut under_way = progress(&[
        ("a", TableState::FullLoad, 1),
        ("b", TableState::FullLoad, 2),
        ("c", TableState::Completed, 3),
        ("d", TableState::Completed, 4),
        ("e", TableState::BeforeLoad, 0),
    ]);
    if let Some(table) = under_way.tables.get_mut(&TableName::new("s", "b")) {
        (table.reload_count, table.reload_answer_count) = (1, 1);
    }
    task.harness.data_plane.run(0).await.set_progress(under_way);
    task.harness
        .until("DescribeTableStatistics", task.request(), |page| {
            page["TableStatistics"][1]["TableState"] == "Table is being reloaded"
        })
        .await;
    task.harness.ok("ReloadTables", reload_of(&task, "d")).await;
    task.harness.ok("StopReplicationTask", task.request()).await;
    let task = task.after_a_crash();
    let stopped = task.until("stopped").await;
    assert_eq!(stopped["StopReason"], "Stop Reason NORMAL");
    let page = task
        .harness
        .ok("DescribeTableStatistics", task.request())
        .await;
    let states = [
        "Table cancelled",
        "Table cancelled",
        "Table completed",
        // It was asked for, and the next run does it.
        "Table is being reloaded",
        "Before load",
    ];
    for (number, state) in states.into_iter().enumerate() {
        assert_eq!(page["TableStatistics"][number]["TableState"], state);
    }
    let figures = &stopped["ReplicationTaskStats"];
    let counts = ["TablesLoaded", "TablesLoading", "TablesQueued"].map(|name| &figures[name]);
    assert_eq!(counts, [&json!(1), &json!(0), &json!(4)]);
}

#[tokio::test]
async fn a_reboot_interrupts_a_run_and_it_goes_on() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::FullLoad, 1)]));
    task.until("running").await;
    task.harness
        .ok(
            "RebootReplicationInstance",
            json!({"ReplicationInstanceArn": task.instance}),
        )
        .await;
    run.stop_requested().await;
    run.end(RunEnd::Stopped);
    let again = task.harness.data_plane.run(1).await;
    assert_eq!(again.spec.mode, goes_on());
    assert_eq!(task.until("running").await.get("StopReason"), None);
}

#[tokio::test]
async fn what_a_task_uses_cannot_be_deleted_before_it() {
    let task = Task::ready().await;
    let request = json!({"ReplicationInstanceArn": task.instance});
    task.harness
        .refused(
            "DeleteReplicationInstance",
            request.clone(),
            "InvalidResourceStateFault",
        )
        .await;
    task.harness
        .ok("DeleteReplicationTask", task.request())
        .await;
    task.harness
        .until("DescribeReplicationTasks", json!({}), |page| {
            page["ReplicationTasks"] == json!([])
        })
        .await;
    task.harness.ok("DeleteReplicationInstance", request).await;
    task.harness
        .until("DescribeReplicationInstances", json!({}), |page| {
            page["ReplicationInstances"] == json!([])
        })
        .await;
}

#[tokio::test]
async fn events_tell_the_story_of_a_task() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.harness
        .data_plane
        .run(0)
        .await
        .end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    let page = task.harness.ok("DescribeEvents", json!({})).await;
    let messages: Vec<&str> = page["Events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["SourceIdentifier"] == "task")
        .map(|event| event["Message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "The replication task has been created.",
            "The replication task has started with taskType: full-load, startType: start-replication",
            "Replication task has stopped. Stop Reason FULL_LOAD_ONLY_FINISHED",
        ]
    );
}

/// The events of the task since it was started, with their categories.
async fn told(task: &Task) -> Vec<(String, String)> {
    let page = task.harness.ok("DescribeEvents", json!({})).await;
    let events = page["Events"].as_array().unwrap().iter();
    let of_task = events.filter(|event| event["SourceIdentifier"] == "task");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_task
        .skip(2)
        .map(|event| (text(&event["EventCategories"][0]), text(&event["Message"])))
        .collect()
}

fn failed(message: &str) -> RunProgress {
    let mut progress = progress(&[("a", TableState::Completed, 7), ("b", TableState::Error, 0)]);
    for table in progress.tables.values_mut() {
        if table.state == TableState::Error {
            table.message = Some(message.to_owned());
        }
    }
    progress
}

#[tokio::test]
async fn a_table_in_error_is_told_in_an_event_and_when_the_task_has_stopped() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(failed("no place for its rows; make room"));
    task.harness
        .until("DescribeEvents", json!({}), |page| {
            page.to_string().contains("make room")
        })
        .await;
    // Figures that change tell nothing again.
    let mut later = failed("no place for its rows; make room");
    later.percent = 70;
    run.set_progress(later);
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    let done = task.until("stopped").await;
    assert_eq!(
        done["LastFailureMessage"],
        "Table s.b: no place for its rows; make room"
    );
    assert_eq!(
        told(&task).await,
        [
            (
                "failure",
                "Table s.b: no place for its rows; make room. When the cause is removed, resume-processing loads the table again, and \
                 reload-target all tables."
            ),
            (
                "state change",
                "Replication task has stopped. Stop Reason FULL_LOAD_ONLY_FINISHED"
            ),
        ]
        .map(|(category, text)| (category.to_owned(), text.to_owned()))
    );
    task.start("reload-target").await;
    assert_eq!(task.until("running").await.get("LastFailureMessage"), None);
}

#[tokio::test]
async fn a_table_in_error_is_told_when_the_task_was_stopped_while_no_process_ran() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(failed("it was dropped"));
    task.harness
        .until("DescribeTableStatistics", task.request(), |page| {
            page["TableStatistics"][1]["TableState"] == "Table error"
        })
        .await;
    task.harness.ok("StopReplicationTask", task.request()).await;
    let task = task.after_a_crash();
    let stopped = task.until("stopped").await;
    assert_eq!(stopped["LastFailureMessage"], "Table s.b: it was dropped");
}

#[tokio::test]
async fn each_interruption_is_told_with_its_reason_and_the_next_try() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    for number in 1..=2 {
        let mut progress = progress(&[("a", TableState::FullLoad, 7)]);
        progress.interruption = Some(Interruption {
            number: number.into(),
            message: "target: no space left on device".to_owned(),
            retry_number: number,
            retries_max: 9,
            wait: Duration::from_secs(5 * u64::from(number)),
        });
        run.set_progress(progress);
        let words = format!("try {number} of 9");
        task.harness
            .until("DescribeEvents", json!({}), |page| {
                page.to_string().contains(&words)
            })
            .await;
    }
    let again = |seconds: u32, number: u32| {
        let text = format!(
            "The replication task was interrupted and is tried again in {seconds} s (try {number} of 9). Reason: target: no space left on device"
        );
        ("state change".to_owned(), text)
    };
    assert_eq!(told(&task).await, [again(5, 1), again(10, 2)]);
    assert_eq!(task.until("running").await.get("LastFailureMessage"), None);
}

/// Waits until no task is left.
async fn until_gone(task: &Task) {
    task.harness
        .until("DescribeReplicationTasks", json!({}), |page| {
            page["ReplicationTasks"] == json!([])
        })
        .await;
}

#[tokio::test]
async fn the_target_forgets_a_task_that_ran_and_is_deleted() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.harness
        .data_plane
        .run(0)
        .await
        .end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    task.harness
        .ok("DeleteReplicationTask", task.request())
        .await;
    until_gone(&task).await;
    let (_, id) = task.arn.rsplit_once(':').unwrap();
    // Once when the load was over, and once more with the task.
    let forgotten = ("db2".to_owned(), id.to_owned());
    assert_eq!(
        task.harness.data_plane.forgotten(),
        [forgotten.clone(), forgotten]
    );
}

#[tokio::test]
async fn the_record_of_a_load_with_errors_stays_for_a_resume() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(failed("it was dropped"));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    task.start("resume-processing").await;
    task.harness.data_plane.run(1).await;
    assert_eq!(task.harness.data_plane.forgotten(), []);
}

#[tokio::test]
async fn a_deleted_task_that_never_ran_is_no_business_of_its_target() {
    let task = Task::ready().await;
    task.harness
        .ok("DeleteReplicationTask", task.request())
        .await;
    until_gone(&task).await;
    assert_eq!(task.harness.data_plane.forgotten(), []);
}

#[tokio::test]
async fn a_task_whose_target_is_gone_can_be_deleted() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.harness
        .data_plane
        .run(0)
        .await
        .end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    let refused = ConnectionFailure {
        message: "db2:5432 refused the connection".into(),
        remedy: "start it".into(),
    };
    task.harness.data_plane.fail("db2", refused);
    task.harness
        .ok("DeleteReplicationTask", task.request())
        .await;
    until_gone(&task).await;
}

/// The events that tell what a deleted task has left.
async fn left(task: &Task) -> Vec<String> {
    let events = told(task).await.into_iter();
    let failures = events.filter(|(category, _)| category == "failure");
    failures.map(|(_, text)| text).collect()
}

#[tokio::test]
async fn what_a_deleted_task_has_left_at_an_end_is_told_and_the_other_end_is_cleaned() {
    for (gone, cleaned, words) in [
        ("db1", "db2", "whimbrel_"),
        ("db2", "db1", "awsdms_control"),
    ] {
        let task = Task::of("full-load-and-cdc").await;
        task.start("start-replication").await;
        task.until("running").await;
        task.harness.ok("StopReplicationTask", task.request()).await;
        task.harness.data_plane.run(0).await.end(RunEnd::Stopped);
        task.until("stopped").await;
        let refused = ConnectionFailure {
            message: format!("{gone}:5432 refused the connection"),
            remedy: "start it".into(),
        };
        task.harness.data_plane.fail(gone, refused);
        task.harness
            .ok("DeleteReplicationTask", task.request())
            .await;
        until_gone(&task).await;
        let (_, id) = task.arn.rsplit_once(':').unwrap();
        assert_eq!(
            task.harness.data_plane.forgotten(),
            [(cleaned.to_owned(), id.to_owned())]
        );
        let [text]: [String; 1] = left(&task).await.try_into().unwrap();
        for words in ["refused the connection", words, "whimbrel forget", id] {
            assert!(text.contains(words), "{text}");
        }
    }
}

#[tokio::test]
async fn a_deleted_task_gives_up_its_source_though_its_target_cannot_be_connected_to() {
    let task = Task::of("cdc").await;
    task.start("start-replication").await;
    task.until("running").await;
    task.harness.ok("StopReplicationTask", task.request()).await;
    task.harness.data_plane.run(0).await.end(RunEnd::Stopped);
    let stopped = task.until("stopped").await;
    let request = json!({
        "EndpointArn": stopped["TargetEndpointArn"],
        "PostgreSQLSettings": {"SecretsManagerSecretId": "s", "SecretsManagerAccessRoleArn": "arn:aws:iam::000000000000:role/r"},
    });
    task.harness.ok("ModifyEndpoint", request).await;
    task.harness
        .ok("DeleteReplicationTask", task.request())
        .await;
    until_gone(&task).await;
    let forgotten = task.harness.data_plane.forgotten();
    assert_eq!(forgotten[0].0, "db1", "{forgotten:?}");
    let [text]: [String; 1] = left(&task).await.try_into().unwrap();
    assert!(
        text.contains("at the target") && text.contains("Secrets Manager"),
        "{text}"
    );
}

#[tokio::test]
async fn a_crash_while_the_target_forgets_loses_nothing() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.harness
        .data_plane
        .run(0)
        .await
        .end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    task.harness.data_plane.hold();
    task.harness
        .ok("DeleteReplicationTask", task.request())
        .await;
    task.until("deleting").await;
    let task = task.after_a_crash();
    until_gone(&task).await;
    assert_eq!(task.harness.data_plane.forgotten().len(), 1);
}

fn reload_of(task: &Task, table: &str) -> Value {
    json!({"ReplicationTaskArn": task.arn, "TablesToReload": [{"SchemaName": "s", "TableName": table}]})
}
