//! Tasks that compare their ends, as the run tells of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use whimbrel_core::TableName;
use whimbrel_store::{TableState, TableValidation, ValidationState};

use super::{Task, progress, reload_of};
use crate::data_plane::{FakeRun, RunProgress, ValidationProgress};

/// A running task that validates.
async fn validating() -> (Task, FakeRun) {
    let task = Task::of("full-load-and-cdc").await;
    let mut request = task.request();
    request["ReplicationTaskSettings"] =
        json!(r#"{"ValidationSettings":{"EnableValidation":true}}"#);
    task.harness.ok("ModifyReplicationTask", request).await;
    task.until("ready").await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    (task, run)
}

/// A loaded table, and what is known of its comparison.
fn told(state: Option<ValidationState>, failed: i64, request_count: u32) -> RunProgress {
    let known = state.map(|state| {
        let known = TableValidation {
            failed,
            ..TableValidation::of(state)
        };
        let progress = ValidationProgress {
            known,
            request_count,
        };
        (TableName::new("s", "a"), progress)
    });
    RunProgress {
        validations: Some(known.into_iter().collect::<BTreeMap<_, _>>()),
        ..progress(&[("a", TableState::Completed, 7)])
    }
}

async fn until(task: &Task, state: &str, failed: i64) {
    let is_so = |page: &Value| {
        let table = &page["TableStatistics"][0];
        table["ValidationState"] == state && table["ValidationFailedRecords"] == failed
    };
    let request = task.request();
    task.harness
        .until("DescribeTableStatistics", request, is_so)
        .await;
}

#[tokio::test]
async fn the_statistics_tell_how_far_a_comparison_is() {
    let (task, run) = validating().await;
    run.set_progress(told(None, 0, 0));
    until(&task, "Pending validation", 0).await;
    run.set_progress(told(Some(ValidationState::PendingRecords), 0, 0));
    until(&task, "Pending records", 0).await;
    run.set_progress(told(Some(ValidationState::MismatchedRecords), 3, 0));
    until(&task, "Mismatched records", 3).await;
}

#[tokio::test]
async fn a_comparison_that_is_asked_for_is_handed_to_the_run_once() {
    let (task, run) = validating().await;
    run.set_progress(told(Some(ValidationState::Validated), 0, 0));
    until(&task, "Validated", 0).await;
    let mut request = reload_of(&task, "a");
    request["ReloadOption"] = json!("validate-only");
    task.harness.ok("ReloadTables", request.clone()).await;
    until(&task, "Pending revalidation", 0).await;
    let mut asked = run.revalidations();
    while asked.is_empty() {
        tokio::task::yield_now().await;
        asked = run.revalidations();
    }
    assert_eq!(asked, [TableName::new("s", "a")]);
    run.set_progress(told(Some(ValidationState::MismatchedRecords), 1, 1));
    until(&task, "Mismatched records", 1).await;
    assert_eq!((run.revalidations(), run.reloads()), (vec![], vec![]));

    // A second one, and the process is killed before the run has heard of it.
    task.harness.ok("ReloadTables", request).await;
    let task = task.after_a_crash();
    let run = task.harness.data_plane.run(0).await;
    let mut asked = run.revalidations();
    while asked.is_empty() {
        tokio::task::yield_now().await;
        asked = run.revalidations();
    }
    assert_eq!(asked, [TableName::new("s", "a")]);
}

#[tokio::test]
async fn a_run_that_goes_on_is_told_what_was_found_out() {
    let (task, run) = validating().await;
    run.clear().await;
    run.set_progress(told(Some(ValidationState::MismatchedRecords), 3, 0));
    until(&task, "Mismatched records", 3).await;
    let task = task.after_a_crash();
    let run = task.harness.data_plane.run(0).await;
    let known = &run.spec.validated[&TableName::new("s", "a")];
    assert_eq!(
        (known.state, known.failed),
        (ValidationState::MismatchedRecords, 3)
    );
}

#[tokio::test]
async fn a_table_that_is_loaded_again_is_to_be_compared_again() {
    let (task, run) = validating().await;
    run.set_progress(told(Some(ValidationState::Validated), 0, 0));
    until(&task, "Validated", 0).await;
    task.harness.ok("ReloadTables", reload_of(&task, "a")).await;
    until(&task, "Pending validation", 0).await;
}
