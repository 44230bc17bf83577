//! What of a task may be changed, and when.

use serde_json::{Value, json};
use whimbrel_store::StopReason;

use super::Task;
use crate::data_plane::{RunEnd, RunMode};

#[tokio::test]
async fn only_severities_change_while_a_task_runs() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    task.until("running").await;
    let modify = |settings: &str| json!({"ReplicationTaskArn": task.arn, "ReplicationTaskSettings": settings});
    let severities =
        r#"{"Logging":{"LogComponents":[{"Id":"SORTER","Severity":"LOGGER_SEVERITY_DEBUG"}]}}"#;
    task.harness
        .ok("ModifyReplicationTask", modify(severities))
        .await;
    // The echo of the task with one severity changed, as a program sends it.
    let page = task.harness.ok("DescribeReplicationTasks", json!({})).await;
    let echo = page["ReplicationTasks"][0]["ReplicationTaskSettings"].clone();
    let echo = echo.as_str().unwrap();
    let quieter = echo.replace("SEVERITY_DEBUG", "SEVERITY_INFO");
    assert_ne!(echo, quieter);
    let answer = task
        .harness
        .ok("ModifyReplicationTask", modify(&quieter))
        .await;
    assert_eq!(
        answer["ReplicationTask"]["ReplicationTaskSettings"],
        json!(quieter)
    );
    let other = modify(r#"{"FullLoadSettings":{"CommitRate":5}}"#);
    let text = task
        .harness
        .refused("ModifyReplicationTask", other, "InvalidResourceStateFault")
        .await;
    assert!(
        text.contains("excluding logging severity task settings"),
        "{text}"
    );
}

#[tokio::test]
async fn a_load_takes_no_points_of_the_log() {
    let task = Task::ready().await;
    for (name, value) in [
        ("CdcStartTime", json!(1_700_000_000)),
        ("CdcStartPosition", json!("0/1")),
        ("CdcStopPosition", json!("server_time:2030-01-01T00:00:00")),
    ] {
        let mut request = json!({"ReplicationTaskArn": task.arn});
        request[name] = value.clone();
        let text = task
            .harness
            .refused(
                "ModifyReplicationTask",
                request.clone(),
                "InvalidParameterCombinationException",
            )
            .await;
        assert!(text.contains(name), "{text}");
        request["MigrationType"] = json!("cdc");
        task.harness.ok("ModifyReplicationTask", request).await;
        task.until("ready").await;
        let back = json!({"ReplicationTaskArn": task.arn, "MigrationType": "full-load"});
        task.harness.ok("ModifyReplicationTask", back).await;
        task.until("ready").await;
    }
}

#[tokio::test]
async fn an_endpoint_of_a_task_stays_at_its_end() {
    let task = Task::ready().await;
    let page = task.harness.ok("DescribeReplicationTasks", json!({})).await;
    let source = page["ReplicationTasks"][0]["SourceEndpointArn"].clone();
    let modify = |role: &str| json!({"EndpointArn": source, "EndpointType": role});
    let text = task
        .harness
        .refused(
            "ModifyEndpoint",
            modify("target"),
            "InvalidResourceStateFault",
        )
        .await;
    assert!(
        text.contains("the source of the replication task"),
        "{text}"
    );
    task.harness.ok("ModifyEndpoint", modify("source")).await;
}

#[tokio::test]
async fn a_task_of_another_type_begins_anew_instead_of_going_on() {
    let task = Task::ready().await;
    task.start("start-replication").await;
    let run = task.harness.data_plane.run(0).await;
    run.end(RunEnd::Finished(StopReason::FullLoadOnlyFinished));
    task.until("stopped").await;
    for (number, migration_type, start_type) in [
        (1, "cdc", "start-replication"),
        (2, "full-load-and-cdc", "reload-target"),
    ] {
        let request = json!({"ReplicationTaskArn": task.arn, "MigrationType": migration_type});
        task.harness.ok("ModifyReplicationTask", request).await;
        task.until("stopped").await;
        let code = "InvalidParameterCombinationException";
        let text = task.refused_start("resume-processing", code).await;
        assert!(
            text.contains(migration_type) && text.contains(start_type),
            "{text}"
        );
        task.start(start_type).await;
        let run = task.harness.data_plane.run(number).await;
        assert_eq!(run.spec.mode, RunMode::Fresh);
        task.until("running").await;
        task.harness.ok("StopReplicationTask", task.request()).await;
        run.end(RunEnd::Stopped);
        task.until("stopped").await;
    }
}

#[tokio::test]
async fn a_task_whose_time_has_passed_starts_once_the_time_is_taken_back() {
    let task = Task::of("cdc").await;
    let stop_at = |operation: &'static str, position: &str| {
        let mut request = json!({"ReplicationTaskArn": task.arn, "CdcStopPosition": position});
        if operation == "StartReplicationTask" {
            request["StartReplicationTaskType"] = json!("start-replication");
        }
        (operation, request)
    };
    let code = "InvalidParameterCombinationException";
    let passed = "server_time:2020-01-01T00:00:00";
    for (operation, request) in [
        stop_at("ModifyReplicationTask", ""),
        stop_at("StartReplicationTask", ""),
    ] {
        task.until("ready").await;
        let (modify, request_passed) = stop_at("ModifyReplicationTask", passed);
        task.harness.ok(modify, request_passed).await;
        task.until("ready").await;
        let text = task.refused_start("start-replication", code).await;
        assert!(text.contains(passed) && text.contains("empty"), "{text}");
        task.harness.ok(operation, request).await;
        let page = task.harness.ok("DescribeReplicationTasks", json!({})).await;
        let position = &page["ReplicationTasks"][0]["CdcStopPosition"];
        assert_eq!(*position, Value::Null);
    }
    let run = task.harness.data_plane.run(0).await;
    assert_eq!(run.spec.following.unwrap().stop_at, None);
}
