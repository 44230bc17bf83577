use serde_json::{Value, json};
use whimbrel_store::{ReplicationTask, TaskId};

use super::Harness;

const FAULT: &str = "ResourceQuotaExceededFault";
const MAPPINGS: &str = r#"{"rules":[{"rule-type":"selection","rule-id":"1","rule-name":"1",
    "object-locator":{"schema-name":"s","table-name":"%"},"rule-action":"include"}]}"#;

#[tokio::test]
async fn an_instance_is_connected_to_a_hundred_endpoints_at_most() {
    let harness = Harness::start();
    let (instance, other) = (harness.instance("i").await, harness.instance("j").await);
    let ends = |instance: &str, endpoint: &str| json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint});
    let mut endpoints = Vec::new();
    for number in 0..=100 {
        let endpoint = harness
            .endpoint("source", &format!("e{number}"), "db")
            .await;
        endpoints.push(endpoint);
    }
    for endpoint in &endpoints[..100] {
        harness
            .ok("TestConnection", ends(&instance, endpoint))
            .await;
    }
    let text = harness
        .refused("TestConnection", ends(&instance, &endpoints[100]), FAULT)
        .await;
    assert!(
        text.contains("endpoints per replication instance"),
        "{text}"
    );
    harness
        .until("DescribeConnections", json!({}), |page| {
            page["Connections"][0]["Status"] == "successful"
        })
        .await;
    harness
        .ok("TestConnection", ends(&instance, &endpoints[0]))
        .await;
    harness
        .ok("TestConnection", ends(&other, &endpoints[100]))
        .await;
}

#[tokio::test]
async fn an_instance_has_two_hundred_tasks_at_most() {
    let harness = Harness::start();
    let (instance, other) = (harness.instance("i").await, harness.instance("j").await);
    let source = harness.endpoint("source", "s", "db1").await;
    let target = harness.endpoint("target", "t", "db2").await;
    let task = |number: u32, instance: &str| {
        json!({
            "ReplicationTaskIdentifier": format!("task{number}"), "SourceEndpointArn": source, "TargetEndpointArn": target,
            "ReplicationInstanceArn": instance, "MigrationType": "full-load", "TableMappings": MAPPINGS,
        })
    };
    harness
        .ok("CreateReplicationTask", task(0, &instance))
        .await;
    fill(&harness, 199).await;
    let text = harness
        .refused("CreateReplicationTask", task(200, &instance), FAULT)
        .await;
    assert!(
        text.contains("replication tasks per replication instance"),
        "{text}"
    );
    let made: Value = harness.ok("CreateReplicationTask", task(200, &other)).await;
    let request = json!({"ReplicationTaskArn": made["ReplicationTask"]["ReplicationTaskArn"], "TargetReplicationInstanceArn": instance});
    harness.refused("MoveReplicationTask", request, FAULT).await;
}

/// That many copies of the one task that is there.
async fn fill(harness: &Harness, copies: u32) {
    let mut transaction = harness.context.store.begin().await.unwrap();
    let tasks = transaction.list::<ReplicationTask>().await.unwrap();
    for number in 1..=copies {
        let mut copy = tasks[0].value.clone();
        copy.id = TaskId(format!("COPY{number}"));
        copy.identifier = format!("task{number}");
        transaction.create(&copy).await.unwrap();
    }
    transaction.commit().await.unwrap();
}
