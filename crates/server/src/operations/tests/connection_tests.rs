use serde_json::json;

use super::Harness;
use crate::data_plane::ConnectionFailure;

#[tokio::test]
async fn a_test_is_testing_until_the_database_answers() {
    let harness = Harness::start();
    harness.data_plane.hold();
    let (instance, endpoint) = (
        harness.instance("I").await,
        harness.endpoint("source", "e", "db").await,
    );
    let ends = json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint});
    let answer = harness.ok("TestConnection", ends.clone()).await;
    assert_eq!(answer["Connection"]["Status"], "testing");
    assert_eq!(answer["Connection"]["ReplicationInstanceIdentifier"], "i");
    let text = harness
        .refused("TestConnection", ends, "InvalidResourceStateFault")
        .await;
    assert!(text.contains("already being tested"), "{text}");
    harness.data_plane.release();
    harness
        .until("DescribeConnections", json!({}), |page| {
            page["Connections"][0]["Status"] == "successful"
        })
        .await;
    let [tested] = &harness.data_plane.tests()[..] else {
        panic!("one test")
    };
    assert_eq!((tested.server_name.as_str(), tested.port), ("db", 5432));
    assert_eq!(
        tested.password.as_ref().unwrap().expose(),
        "planted-password"
    );
}

#[tokio::test]
async fn a_failure_is_told_with_its_remedy() {
    let harness = Harness::start();
    let failure = ConnectionFailure {
        message: "port 5432 of db is closed".into(),
        remedy: "start the server".into(),
    };
    harness.data_plane.fail("db", failure);
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "db").await,
    );
    let connection = harness.tested(&instance, &endpoint).await;
    assert_eq!(connection["Status"], "failed");
    let text = connection["LastFailureMessage"].as_str().unwrap();
    assert!(
        text.contains("port 5432 of db is closed") && text.contains("start the server"),
        "{text}"
    );
}

#[tokio::test]
async fn a_test_under_way_at_a_crash_is_made_again() {
    let harness = Harness::start();
    harness.data_plane.hold();
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "db").await,
    );
    harness
        .ok(
            "TestConnection",
            json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint}),
        )
        .await;
    let next = harness.after_a_crash();
    next.until("DescribeConnections", json!({}), |page| {
        page["Connections"][0]["Status"] == "successful"
    })
    .await;
}

#[tokio::test]
async fn an_answer_for_settings_that_changed_meanwhile_is_not_taken() {
    let harness = Harness::start();
    harness.data_plane.hold();
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "good").await,
    );
    let failure = ConnectionFailure {
        message: "no".into(),
        remedy: "none".into(),
    };
    harness.data_plane.fail("bad", failure);
    harness
        .ok(
            "TestConnection",
            json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint}),
        )
        .await;
    harness
        .ok(
            "ModifyEndpoint",
            json!({"EndpointArn": endpoint, "ServerName": "bad"}),
        )
        .await;
    harness.data_plane.release();
    let page = harness
        .until("DescribeConnections", json!({}), |page| {
            page["Connections"][0]["Status"] != "testing"
        })
        .await;
    assert_eq!(page["Connections"][0]["Status"], "failed");
}

#[tokio::test]
async fn a_changed_endpoint_forgets_its_tests_and_a_renamed_one_does_not() {
    let harness = Harness::start();
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "db").await,
    );
    harness.tested(&instance, &endpoint).await;
    harness
        .ok(
            "ModifyEndpoint",
            json!({"EndpointArn": endpoint, "EndpointIdentifier": "renamed"}),
        )
        .await;
    let page = harness.ok("DescribeConnections", json!({})).await;
    assert_eq!(page["Connections"][0]["EndpointIdentifier"], "renamed");
    harness
        .ok(
            "ModifyEndpoint",
            json!({"EndpointArn": endpoint, "Password": "other"}),
        )
        .await;
    assert_eq!(
        harness.ok("DescribeConnections", json!({})).await["Connections"],
        json!([])
    );
}

#[tokio::test]
async fn a_deleted_connection_passes_through_deleting_and_an_answer_cannot_revive_it() {
    let harness = Harness::start();
    harness.data_plane.hold();
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "db").await,
    );
    let ends = json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint});
    harness.ok("TestConnection", ends.clone()).await;
    let answer = harness.ok("DeleteConnection", ends.clone()).await;
    assert_eq!(answer["Connection"]["Status"], "deleting");
    harness
        .until("DescribeConnections", json!({}), |page| {
            page["Connections"] == json!([])
        })
        .await;
    harness.data_plane.release();
    harness
        .refused("DeleteConnection", ends, "ResourceNotFoundFault")
        .await;
    harness.tested(&instance, &endpoint).await;
}

#[tokio::test]
async fn a_deleted_endpoint_takes_its_connections_with_it() {
    let harness = Harness::start();
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "db").await,
    );
    harness.tested(&instance, &endpoint).await;
    harness
        .ok("DeleteEndpoint", json!({"EndpointArn": endpoint}))
        .await;
    harness
        .until("DescribeEndpoints", json!({}), |page| {
            page["Endpoints"] == json!([])
        })
        .await;
    assert_eq!(
        harness.ok("DescribeConnections", json!({})).await["Connections"],
        json!([])
    );
}

#[tokio::test]
async fn no_answer_holds_a_password() {
    let harness = Harness::start();
    let endpoint = harness.endpoint("source", "e", "db").await;
    let settings = json!({"EndpointArn": endpoint, "PostgreSQLSettings": {"Password": "planted-password", "CaptureDdls": false}});
    let modified = harness.ok("ModifyEndpoint", settings).await;
    let described = harness.ok("DescribeEndpoints", json!({})).await;
    for answer in [modified, described] {
        assert!(!answer.to_string().contains("planted-password"), "{answer}");
        assert!(answer.to_string().contains("CaptureDdls"), "{answer}");
    }
}

#[tokio::test]
async fn schemas_are_read_by_the_worker() {
    let harness = Harness::start();
    harness.data_plane.set_schemas(&["app", "public"]);
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "db").await,
    );
    let answer = harness
        .ok(
            "RefreshSchemas",
            json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint}),
        )
        .await;
    assert_eq!(answer["RefreshSchemasStatus"]["Status"], "refreshing");
    let request = json!({"EndpointArn": endpoint});
    harness
        .until("DescribeSchemas", request, |page| {
            page["Schemas"] == json!(["app", "public"])
        })
        .await;
}

#[tokio::test]
async fn schemas_of_a_server_that_the_endpoint_left_are_not_taken() {
    let harness = Harness::start();
    harness.data_plane.set_schemas(&["app"]);
    harness.data_plane.hold();
    let failure = ConnectionFailure {
        message: "of the new server".into(),
        remedy: "none".into(),
    };
    harness.data_plane.fail("new", failure);
    let (instance, endpoint) = (
        harness.instance("i").await,
        harness.endpoint("source", "e", "old").await,
    );
    harness
        .ok(
            "RefreshSchemas",
            json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint}),
        )
        .await;
    harness
        .ok(
            "ModifyEndpoint",
            json!({"EndpointArn": endpoint, "ServerName": "new"}),
        )
        .await;
    harness.data_plane.release();
    let status = harness
        .until(
            "DescribeRefreshSchemasStatus",
            json!({"EndpointArn": endpoint}),
            |answer| answer["RefreshSchemasStatus"]["Status"] != "refreshing",
        )
        .await;
    assert_eq!(status["RefreshSchemasStatus"]["Status"], "failed");
}

async fn refresh(harness: &Harness, instance: &str, endpoint: &str) {
    let ends = json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint});
    harness.ok("RefreshSchemas", ends).await;
    let request = json!({"EndpointArn": endpoint});
    harness
        .until("DescribeRefreshSchemasStatus", request, |answer| {
            answer["RefreshSchemasStatus"]["Status"] == "successful"
        })
        .await;
}

#[tokio::test]
async fn pages_of_schemas_stay_right_while_schemas_come_and_go() {
    let harness = Harness::start();
    let instance = harness.instance("i").await;
    let endpoint = harness.endpoint("source", "e", "db").await;
    let other = harness.endpoint("source", "f", "db").await;
    let names = |range: std::ops::Range<u32>| range.map(|n| format!("s{n:02}")).collect::<Vec<_>>();
    let set = |all: &[String]| {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        harness.data_plane.set_schemas(&all);
    };
    // As servers sort by their own rules, so they may come in any order.
    set(&names(0..50).into_iter().rev().collect::<Vec<_>>());
    for endpoint in [&endpoint, &other] {
        refresh(&harness, &instance, endpoint).await;
    }
    let page = async |endpoint: &str, marker: Option<&str>| {
        let request = json!({"EndpointArn": endpoint, "MaxRecords": 20, "Marker": marker});
        harness.call("DescribeSchemas", request).await
    };
    let first = page(&endpoint, None).await.unwrap();
    assert_eq!(first["Schemas"], json!(names(0..20)));
    let marker = first["Marker"].as_str().unwrap();
    // Of those that were seen some go, the last one included; of those to come one goes and one comes.
    let mut changed = names(0..50);
    changed.retain(|name| !["s00", "s07", "s19", "s30"].contains(&name.as_str()));
    changed.extend(["a".to_owned(), "s45x".to_owned()]);
    set(&changed);
    refresh(&harness, &instance, &endpoint).await;
    let second = page(&endpoint, Some(marker)).await.unwrap();
    let mut expected = names(20..41);
    expected.retain(|name| name != "s30");
    assert_eq!(second["Schemas"], json!(expected));
    let third = page(&endpoint, second["Marker"].as_str()).await.unwrap();
    let mut expected = names(41..50);
    expected.insert(5, "s45x".to_owned());
    assert_eq!(third["Schemas"], json!(expected));
    assert_eq!(third.get("Marker"), None);
    let (code, _) = page(&other, Some(marker)).await.unwrap_err();
    assert_eq!(code, "InvalidParameterValueException");
}
