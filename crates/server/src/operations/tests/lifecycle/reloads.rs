//! Tables that are loaded again, and what of a load is not.

use serde_json::{Value, json};
use whimbrel_core::TableName;
use whimbrel_store::{StopReason, TableState};

use super::{Task, goes_on, progress, reload_of};
use crate::data_plane::{FakeRun, RunEnd, RunMode};

/// A task that follows changes, with one table that is loaded.
async fn following() -> (Task, FakeRun) {
    let task = Task::of("full-load-and-cdc").await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    task.harness
        .until("DescribeTableStatistics", task.request(), |page| {
            page["TableStatistics"][0]["FullLoadRows"] == 7
        })
        .await;
    (task, run)
}

#[tokio::test]
async fn a_table_that_is_to_be_loaded_again_is_handed_to_the_run_once() {
    let (task, run) = following().await;
    let answer = task.harness.ok("ReloadTables", reload_of(&task, "a")).await;
    assert_eq!(answer["ReplicationTaskArn"], task.arn);
    let page = task
        .harness
        .ok("DescribeTableStatistics", task.request())
        .await;
    assert_eq!(
        page["TableStatistics"][0]["TableState"],
        "Table is being reloaded"
    );
    let mut asked = run.reloads();
    while asked.is_empty() {
        tokio::task::yield_now().await;
        asked = run.reloads();
    }
    assert_eq!(asked, [TableName::new("s", "a")]);
    let mut again = progress(&[("a", TableState::FullLoad, 2)]);
    for table in again.tables.values_mut() {
        (table.reload_count, table.reload_answer_count) = (1, 1);
    }
    run.set_progress(again);
    let reloading = |page: &Value| {
        let table = &page["TableStatistics"][0];
        table["FullLoadRows"] == 2 && table["TableState"] == "Table is being reloaded"
    };
    task.harness
        .until("DescribeTableStatistics", task.request(), reloading)
        .await;
    let mut done = progress(&[("a", TableState::Completed, 9)]);
    for table in done.tables.values_mut() {
        (table.reload_count, table.reload_answer_count) = (1, 1);
    }
    run.set_progress(done);
    let is_done = |page: &Value| {
        let table = &page["TableStatistics"][0];
        table["TableState"] == "Table completed" && table["FullLoadReloaded"] == true
    };
    task.harness
        .until("DescribeTableStatistics", task.request(), is_done)
        .await;
    assert_eq!(run.reloads(), [], "it was asked for once");
}

#[tokio::test]
async fn tables_that_cannot_be_loaded_again_are_refused() {
    let (task, _run) = following().await;
    let harness = &task.harness;
    harness
        .refused(
            "ReloadTables",
            reload_of(&task, "other"),
            "InvalidParameterValueException",
        )
        .await;
    let mut validating = reload_of(&task, "a");
    validating["ReloadOption"] = json!("validate-only");
    harness
        .refused("ReloadTables", validating, "InvalidResourceStateFault")
        .await;
}

#[tokio::test]
async fn a_reload_that_was_asked_for_outlives_a_crash() {
    let (task, _run) = following().await;
    task.harness.ok("ReloadTables", reload_of(&task, "a")).await;
    let task = task.after_a_crash();
    let run = task.harness.data_plane.run(0).await;
    let mut asked = run.reloads();
    while asked.is_empty() {
        tokio::task::yield_now().await;
        asked = run.reloads();
    }
    assert_eq!(asked, [TableName::new("s", "a")]);
}

#[tokio::test]
async fn tables_of_a_load_that_has_ended_are_not_loaded_again_by_a_resume() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    task.start("resume-processing").await;
    let loaded = RunMode::Resume {
        completed: vec![TableName::new("s", "a")],
        may_begin: true,
    };
    let run = task.harness.data_plane.run(1).await;
    assert_eq!(run.spec.mode, loaded);
    run.end(RunEnd::Stopped);
}

/// Loads, modifies the target, and resumes.
async fn resumed_after(modified: Value) -> Task {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    let target = task.until("stopped").await["TargetEndpointArn"].clone();
    let mut request = modified;
    request["EndpointArn"] = target.clone();
    task.harness.ok("ModifyEndpoint", request).await;
    let target = target.as_str().unwrap();
    task.harness.tested(&task.instance, target).await;
    task.start("resume-processing").await;
    task
}

/// Neither are its tables called loaded there, nor are tables of the same names dropped.
#[tokio::test]
async fn a_load_that_is_over_is_not_resumed_elsewhere() {
    for elsewhere in [
        json!({"ServerName": "production"}),
        json!({"Port": 5433}),
        json!({"DatabaseName": "other"}),
    ] {
        let task = resumed_after(elsewhere).await;
        let failed = task.until("failed").await;
        let message = failed["LastFailureMessage"].as_str().unwrap();
        assert!(message.contains("reload-target"), "{message}");
        // The second time it is the same.
        task.start("resume-processing").await;
        task.until("failed").await;
        task.start("reload-target").await;
        assert_eq!(
            task.harness.data_plane.run(1).await.spec.mode,
            RunMode::Fresh
        );
    }
    let loaded = RunMode::Resume {
        completed: vec![TableName::new("s", "a")],
        may_begin: true,
    };
    let same = json!({"Username": "another", "Password": "another-password"});
    let task = resumed_after(same).await;
    assert_eq!(task.harness.data_plane.run(1).await.spec.mode, loaded);
}

/// What is recorded of a table in error keeps its rows from being loaded twice.
#[tokio::test]
async fn the_record_of_a_table_in_error_stays_though_an_earlier_run_ended_well() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    let forgotten = task.harness.data_plane.forgotten().len();
    assert_eq!(forgotten, 1);
    task.start("resume-processing").await;
    let run = task.harness.data_plane.run(1).await;
    let tables = [("a", TableState::Completed, 7), ("b", TableState::Error, 3)];
    run.set_progress(progress(&tables));
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    task.start("resume-processing").await;
    let loaded = RunMode::Resume {
        completed: vec![TableName::new("s", "a")],
        may_begin: true,
    };
    assert_eq!(task.harness.data_plane.run(2).await.spec.mode, loaded);
    assert_eq!(task.harness.data_plane.forgotten().len(), forgotten);
}

#[tokio::test]
async fn a_load_ends_only_when_no_table_waits_to_be_loaded_again() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    let is_shown = |page: &Value| page["TableStatistics"][0]["FullLoadRows"] == 7;
    task.harness
        .until("DescribeTableStatistics", task.request(), is_shown)
        .await;
    task.harness.ok("ReloadTables", reload_of(&task, "a")).await;
    // The run has looked for the last time.
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    let run = task.harness.data_plane.run(1).await;
    assert_eq!(run.spec.mode, goes_on());
    assert_eq!(task.until("running").await["StopReason"], Value::Null);
    assert!(task.harness.data_plane.forgotten().is_empty());
    let mut again = progress(&[("a", TableState::Completed, 9)]);
    for table in again.tables.values_mut() {
        (table.reload_count, table.reload_answer_count) = (1, 1);
    }
    run.set_progress(again);
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    let stopped = task.until("stopped").await;
    assert_eq!(stopped["StopReason"], "Stop Reason FULL_LOAD_ONLY_FINISHED");
}

#[tokio::test]
async fn tables_whose_rows_would_stay_are_not_loaded_again() {
    let task = Task::ready().await;
    let request = json!({
        "ReplicationTaskArn": task.arn,
        "ReplicationTaskSettings": r#"{"FullLoadSettings":{"TargetTablePrepMode":"DO_NOTHING"}}"#,
    });
    task.harness.ok("ModifyReplicationTask", request).await;
    task.until("ready").await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.set_progress(progress(&[("a", TableState::Completed, 7)]));
    let is_shown = |page: &Value| page["TableStatistics"][0]["FullLoadRows"] == 7;
    task.harness
        .until("DescribeTableStatistics", task.request(), is_shown)
        .await;
    let (code, request) = ("InvalidResourceStateFault", reload_of(&task, "a"));
    let text = task.harness.refused("ReloadTables", request, code).await;
    assert!(text.contains("DO_NOTHING"), "{text}");
}
