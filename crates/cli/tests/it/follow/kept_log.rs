//! What the command tells of the log that the source keeps for it.

use serde_json::Value;
use whimbrel_testkit::{Engine, Fault, Server, ServerOptions};

use super::process::Following;
use crate::ends::{Ends, wait_until};
use crate::{run_well, whimbrel};

fn alarms(following: &Following) -> Vec<Value> {
    let events = following.events().into_iter();
    events
        .filter(|event| event["event"] == "log_alarm")
        .collect()
}

/// How far the target is behind, as told last.
fn latency_ms(following: &Following) -> u64 {
    let events = following.events().into_iter().rev();
    let mut told = events.filter_map(|event| event["follow"]["target_latency_ms"].as_u64());
    told.next().unwrap_or(0)
}

/// The target stands still, and the source goes on until its log is near its limit.
async fn told_of(from: Engine, limit: (&str, &str), write: &str, again: &str, word: &str) {
    let options = ServerOptions {
        settings: vec![(limit.0.to_owned(), limit.1.to_owned())],
        ..ServerOptions::default()
    };
    let source = Server::private_with(from, options).unwrap();
    let target = Server::get(Engine::Postgres18).unwrap();
    let mut ends = Ends::on(&source, &target, "kept_log");
    let proxy = ends.break_target().await;
    ends.source
        .sql("create table t (id int primary key, n int); create table noise (id int, name text); insert into t values (1, 0)")
        .unwrap();
    let tables = if from.is_postgres() {
        "public.t".to_owned()
    } else {
        format!("{}.t", ends.source.name())
    };
    let options = ["--follow", "--json", "--tables", &tables];
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    assert_eq!(alarms(&following), Vec::<Value>::new());
    proxy.set(Fault::Stall);
    ends.source.sql("update t set n = n + 1").unwrap();
    ends.source.sql(write).unwrap();
    following.wait_until("it told of the log", |it| !alarms(it).is_empty());
    let begun = &alarms(&following)[0];
    assert_eq!(begun["state"], "begun");
    for (part, word) in [("message", word), ("help", "target")] {
        assert!(begun[part].as_str().unwrap().contains(word), "{begun}");
    }
    let err = following.err();
    assert!(
        err.contains("warning: source: ") && err.contains("\n  help: "),
        "{err}"
    );

    // Nothing is applied, and so the target falls behind.
    following.wait_until("it was behind", |it| latency_ms(it) > 2000);

    proxy.set(Fault::None);
    following.wait_until("it was over", |it| {
        ends.source.sql(again).unwrap();
        alarms(it).len() > 1
    });
    let told = alarms(&following);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1]["state"], "over");
    assert_eq!(following.err().matches("warning: source: ").count(), 1);
    following.wait_until("it was behind no more", |it| latency_ms(it) < 2000);
    following.interrupt();
    let err = following.err();
    assert!(
        !err.contains("_ddl"),
        "what the task made itself is no object of the user's: {err}"
    );
    assert_left_behind(&ends);
}

/// A slot whose task does not run is told of when the source is looked at, until the task is forgotten.
fn assert_left_behind(ends: &Ends) {
    let unread =
        || run_well(&["check", &ends.source_url, "--json"]).events()[0]["unread_logs"].clone();
    if !ends.source.engine().is_postgres() {
        assert_eq!(unread(), serde_json::json!([]));
        return;
    }
    // The server's end of the connection may need a moment to see that it is over.
    wait_until(|| unread() != serde_json::json!([]));
    let said = run_well(&["check", &ends.source_url]);
    for word in [
        "warning: replication slot whimbrel_",
        "its task does not run",
        "whimbrel forget",
    ] {
        assert!(said.out.contains(word), "{word}: {said:?}");
    }
    let mut forget = whimbrel(&ends.words("forget", &["--tables", "public.t"]));
    assert!(forget.status().unwrap().success());
    assert_eq!(unread(), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_near_its_limit_is_told_of_from_postgres() {
    told_of(
        Engine::Postgres15,
        ("max_slot_wal_keep_size", "64MB"),
        "insert into noise select i, repeat('x', 1000) from generate_series(1, 50000) i",
        "update t set n = n + 1; checkpoint",
        "max_slot_wal_keep_size",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_near_its_limit_is_told_of_from_mariadb() {
    of_files(Engine::Mariadb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_near_its_limit_is_told_of_from_mysql() {
    of_files(Engine::Mysql97).await;
}

async fn of_files(from: Engine) {
    told_of(
        from,
        ("binlog-expire-logs-seconds", "20"),
        "flush binary logs",
        "update t set n = n + 1",
        "binlog_expire_logs_seconds",
    )
    .await;
}
