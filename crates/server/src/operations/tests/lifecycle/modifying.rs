//! What of a task may be changed, and when.

use serde_json::json;

use super::Task;

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
