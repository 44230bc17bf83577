//! The wire types against JSON as clients send and read it, byte for byte.

use serde_json::{Value, json};
use whimbrel_model::{
    Certificate, Connection, CreateEndpointMessage, CreateReplicationTaskMessage,
    DescribeCertificatesResponse, DescribeConnectionsMessage, DescribeConnectionsResponse,
    DescribeReplicationTasksResponse, Operation, ReplicationTask, ReplicationTaskStats, SecretText,
    Timestamp, parse_input,
};

fn body(text: &str) -> Value {
    serde_json::from_str(text).expect("the text of a test is JSON")
}

#[test]
fn a_request_as_the_sdk_sends_it_is_read_member_by_member() {
    let text = r#"{"EndpointIdentifier": "orders", "EndpointType": "source", "EngineName": "mysql", "Username": "reader", "Password": "p",
        "ServerName": "db.example", "Port": 3306, "Tags": [{"Key": "team", "Value": "birds"}], "SslMode": "verify-ca",
        "MySQLSettings": {"ServerTimezone": "US/Pacific", "CleanSourceMetadataOnMismatch": true}}"#;
    let request: CreateEndpointMessage =
        parse_input(Operation::CreateEndpoint, body(text)).unwrap();
    assert_eq!(request.endpoint_identifier, "orders");
    assert_eq!(request.endpoint_type, "source");
    assert_eq!(request.port, Some(3306));
    assert_eq!(request.password, Some(SecretText::new("p")));
    let settings = request.my_sql_settings.unwrap();
    assert_eq!(settings.server_timezone.as_deref(), Some("US/Pacific"));
    assert_eq!(settings.clean_source_metadata_on_mismatch, Some(true));
    assert_eq!(settings.password, None);
    let tags = request.tags.unwrap();
    assert_eq!(tags[0].key.as_deref(), Some("team"));
}

#[test]
fn filters_and_paging_are_read() {
    let text = r#"{"Filters": [{"Name": "endpoint-arn", "Values": ["a", "b"]}], "MaxRecords": 20, "Marker": "m"}"#;
    let request: DescribeConnectionsMessage =
        parse_input(Operation::DescribeConnections, body(text)).unwrap();
    let filters = request.filters.unwrap();
    assert_eq!(
        (filters[0].name.as_str(), &filters[0].values),
        ("endpoint-arn", &vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(
        (request.max_records, request.marker.as_deref()),
        (Some(20), Some("m"))
    );
}

#[test]
fn a_moment_is_read_as_a_number_of_seconds_and_nothing_else() {
    let request = |time: Value| {
        json!({
            "ReplicationTaskIdentifier": "t", "SourceEndpointArn": "s", "TargetEndpointArn": "t", "ReplicationInstanceArn": "i",
            "MigrationType": "cdc", "TableMappings": "{}", "CdcStartTime": time,
        })
    };
    let read = |time: Value| {
        parse_input::<CreateReplicationTaskMessage>(Operation::CreateReplicationTask, request(time))
    };
    for (time, millis) in [
        (json!(1_700_000_000), 1_700_000_000_000),
        (json!(1_700_000_000.25), 1_700_000_000_250),
    ] {
        let moment = read(time).unwrap().cdc_start_time.unwrap();
        assert_eq!(moment.millis(), millis);
    }
    for wrong in [
        json!("2024-01-01T00:00:00Z"),
        json!(1e300),
        json!(253_402_300_800_i64),
    ] {
        let fault = read(wrong).unwrap_err();
        assert_eq!(fault.code.as_str(), "SerializationException");
        assert!(fault.message.contains("CdcStartTime"), "{}", fault.message);
    }
}

#[test]
fn answers_leave_out_what_is_not_there() {
    let answer = DescribeConnectionsResponse {
        marker: None,
        connections: Some(vec![Connection {
            replication_instance_arn: Some("arn:i".into()),
            endpoint_arn: Some("arn:e".into()),
            status: Some("successful".into()),
            ..Connection::default()
        }]),
    };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"Connections":[{"ReplicationInstanceArn":"arn:i","EndpointArn":"arn:e","Status":"successful"}]}"#
    );
    let empty = DescribeConnectionsResponse {
        connections: Some(Vec::new()),
        ..DescribeConnectionsResponse::default()
    };
    assert_eq!(
        serde_json::to_string(&empty).unwrap(),
        r#"{"Connections":[]}"#
    );
}

#[test]
fn moments_in_answers_are_numbers() {
    let answer = DescribeReplicationTasksResponse {
        replication_tasks: Some(vec![ReplicationTask {
            status: Some("stopped".into()),
            replication_task_creation_date: Some(Timestamp::from_millis(1_700_000_000_000)),
            replication_task_stats: Some(ReplicationTaskStats {
                full_load_progress_percent: Some(100),
                elapsed_time_millis: Some(12),
                start_date: Some(Timestamp::from_millis(1_700_000_001_500)),
                ..ReplicationTaskStats::default()
            }),
            ..ReplicationTask::default()
        }]),
        ..DescribeReplicationTasksResponse::default()
    };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        concat!(
            r#"{"ReplicationTasks":[{"Status":"stopped","ReplicationTaskCreationDate":1700000000,"#,
            r#""ReplicationTaskStats":{"FullLoadProgressPercent":100,"ElapsedTimeMillis":12,"StartDate":1700000001.5}}]}"#
        )
    );
}

#[test]
fn a_wallet_is_answered_in_base64_and_does_not_print() {
    let answer = DescribeCertificatesResponse {
        certificates: Some(vec![Certificate {
            certificate_wallet: Some(SecretText::new("Y2FuYXJ5")),
            ..Certificate::default()
        }]),
        ..DescribeCertificatesResponse::default()
    };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"Certificates":[{"CertificateWallet":"Y2FuYXJ5"}]}"#
    );
    assert!(!format!("{answer:?}").contains("Y2FuYXJ5"));
}
