//! Logs that are gone, servers that cannot be captured from, readers that are slow or replaced.

use std::time::Duration;

use whimbrel_connector::Error;
use whimbrel_core::Position;
use whimbrel_testkit::{Engine, Server, ServerOptions, Stop};

use crate::log_support::{Captured, lsn, tables};
use crate::support::{ENGINES, TASK, connector};

const TABLE: &str = "create table t (id int primary key, name text)";

fn private(engine: Engine, settings: &[(&str, &str)]) -> Server {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = ServerOptions {
        settings: settings.collect(),
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

fn assert_fatal<T>(result: Result<T, Error>, words: &[&str]) {
    match result {
        Err(Error::Fatal(message)) => {
            for word in words {
                assert!(message.contains(word), "{word}: {message}");
            }
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no error"),
    }
}

#[tokio::test]
async fn a_server_that_does_not_log_for_capture_says_what_to_set() {
    let server = private(Engine::Postgres15, &[("wal_level", "replica")]);
    let database = server.database("log").unwrap();
    database.sql(TABLE).unwrap();
    let from = connector(&database.url());
    let found = tables(&*from).await;
    let mut log = from.change_log(TASK).await.unwrap();
    let expected = [
        "wal_level is replica",
        "ALTER SYSTEM SET wal_level = 'logical'",
    ];
    assert_fatal(log.prepare(&found).await, &expected);
    assert_eq!(
        database.sql("select count(*) from pg_publication").unwrap(),
        "0\n"
    );
}

#[tokio::test]
async fn a_user_without_the_right_to_replicate_is_told_how_to_get_it() {
    let log = Captured::of(Engine::Postgres18, TABLE).await;
    let name = log.database.name().to_owned();
    log.database
        .sql(&format!(
            "create role plain_{name} login password 'x'; grant all on t to plain_{name}"
        ))
        .unwrap();
    let from = connector(&log.database.url_as(&format!("plain_{name}"), "x"));
    let mut plain = from.change_log("another task").await.unwrap();
    assert_fatal(
        plain.prepare(&log.tables).await,
        &["lacks the right to replicate", "REPLICATION"],
    );
    log.database
        .sql(&format!("alter role plain_{name} replication"))
        .unwrap();
    assert_fatal(plain.prepare(&log.tables).await, &["must own the tables"]);
    log.database
        .sql(&format!(
            "drop owned by plain_{name}; drop role plain_{name}"
        ))
        .unwrap();
}

#[tokio::test]
async fn a_slot_that_was_dropped_is_an_error_that_names_the_gap() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database.sql("insert into t values (1, 'a')").unwrap();
        log.database
            .sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()")
            .unwrap();
        let start = log.start.clone();
        let opened = log.open_at(&start).await;
        assert_fatal(
            opened,
            &["is not there", lsn(&start), "load the tables again"],
        );
        // One that is made anew does not reach back.
        log.database.sql("insert into t values (2, 'b')").unwrap();
        let again = log.log.prepare(&log.tables).await.unwrap();
        assert_ne!(again.position, start);
        let opened = log.open_at(&start).await;
        assert_fatal(opened, &["are missing", lsn(&start), lsn(&again.position)]);
    }
}

#[tokio::test]
async fn a_position_of_another_server_or_kind_is_refused() {
    let mut log = Captured::of(Engine::Postgres15, TABLE).await;
    let opened = log.open_at(&Position::new("FFFF/0")).await;
    assert_fatal(opened, &["another server", "FFFF/0"]);
    let opened = log.open_at(&Position::new("binlog.000001:4")).await;
    assert_fatal(opened, &["give it as an LSN"]);
    assert_fatal(log.log.view(&log.start), &["load the table again"]);
}

#[tokio::test]
async fn a_publication_that_was_dropped_is_an_error() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let mut reader = log.open().await;
        let name = log
            .database
            .sql("select pubname from pg_publication")
            .unwrap();
        log.database
            .sql(&format!("insert into t values (1, 'a'); drop publication {name}; insert into t values (2, 'b')"))
            .unwrap();
        let end = log.log.end().await.unwrap();
        assert_fatal(reader.until(&end).await, &["publication", name.trim()]);
        drop(reader);
        let start = log.start.clone();
        assert_fatal(
            log.open_at(&start).await,
            &["was dropped", "load the tables again"],
        );
        assert_fatal(log.log.prepare(&log.tables).await, &["publication is not"]);
    }
}

#[tokio::test]
async fn a_publication_that_was_dropped_is_an_error_where_warnings_are_kept_quiet() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let quiet = "do $$ begin execute format('alter database %I set client_min_messages = error', current_database()); end $$";
        log.database.sql(quiet).unwrap();
        let mut reader = log.open().await;
        let name = "select pubname from pg_publication";
        let name = log.database.sql(name).unwrap();
        log.database
            .sql(&format!(
                "drop publication {name}; insert into t values (2, 'b')"
            ))
            .unwrap();
        let end = log.log.end().await.unwrap();
        assert_fatal(reader.until(&end).await, &["publication", name.trim()]);
    }
}

#[tokio::test]
async fn a_publication_that_was_dropped_is_noticed_before_the_next_change() {
    let mut log = Captured::of(Engine::Postgres18, TABLE).await;
    let loaded = [(log.tables[0].clone(), None)];
    log.log.gaps(&loaded).await.unwrap();
    let mut reader = log.open().await;
    let name = "select pubname from pg_publication";
    let name = log.database.sql(name).unwrap();
    log.database
        .sql(&format!("drop publication {name}"))
        .unwrap();
    // Nothing else of the log comes that could tell.
    let dropped = async {
        loop {
            if let Err(error) = reader.block().await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_mins(2), dropped).await;
    let error = error.expect("the publication was looked at");
    assert_fatal::<()>(Err(error), &["publication", name.trim(), "load"]);
}

#[tokio::test]
async fn a_slot_that_fell_too_far_behind_is_lost_and_says_so() {
    let settings = [
        ("max_slot_wal_keep_size", "2MB"),
        ("min_wal_size", "32MB"),
        ("max_wal_size", "32MB"),
    ];
    let server = private(Engine::Postgres18, &settings);
    let mut log = Captured::on(&server, TABLE).await;
    for _ in 0..4 {
        log.database
            .sql("insert into t select coalesce(max(id), 0) + i, repeat('x', 1000) from generate_series(1, 30000) i left join t on true group by i; select pg_switch_wal(); checkpoint;")
            .unwrap();
        let is_lost = log
            .database
            .sql("select wal_status from pg_replication_slots")
            .unwrap();
        if is_lost == "lost\n" {
            break;
        }
    }
    let start = log.start.clone();
    let expected = ["is lost", "wal_removed", "max_slot_wal_keep_size"];
    assert_fatal(log.open_at(&start).await, &expected);
    assert_fatal(log.log.prepare(&log.tables).await, &expected);
    log.log.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_kept() {
    for engine in ENGINES {
        let server = private(engine, &[("wal_sender_timeout", "4s")]);
        let mut log = Captured::on(&server, TABLE).await;
        log.database
            .sql("insert into t select i, repeat('x', 1000) from generate_series(1, 60000) i")
            .unwrap();
        let mut reader = log.open().await;
        reader.step().await;
        // Time is what is tested: three times as long as the server waits.
        tokio::time::sleep(Duration::from_secs(12)).await;
        let end = log.log.end().await.unwrap();
        let told = reader.until(&end).await.unwrap();
        assert_eq!(told[0].changes.len(), 60_000);
        // And so it is when nothing happens at all.
        tokio::time::sleep(Duration::from_secs(9)).await;
        log.database
            .sql("insert into t values (0, 'late')")
            .unwrap();
        let end = log.log.end().await.unwrap();
        let told = reader.until(&end).await.unwrap();
        assert_eq!(told[0].changes, ["insert t (0, late)"]);
    }
}

#[tokio::test]
async fn a_new_reader_replaces_an_old_one() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let mut old = log.open().await;
        old.step().await;
        let mut new = log.open().await;
        log.database.sql("insert into t values (1, 'a')").unwrap();
        let end = log.log.end().await.unwrap();
        let told = new.until(&end).await.unwrap();
        assert_eq!(told[0].changes, ["insert t (1, a)"]);
        let error = old.until(&end).await.unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
        // The slot goes even while it is read.
        log.log.remove().await.unwrap();
        let error = new.until(&Position::new("FFFF/0")).await.unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_crashes_is_gone_on_with_at_the_same_place() {
    let server = private(Engine::Postgres15, &[]);
    let mut log = Captured::on(&server, TABLE).await;
    log.database.sql("insert into t values (1, 'a')").unwrap();
    log.database.sql("insert into t values (2, 'b')").unwrap();
    let mut reader = log.open().await;
    let told = reader.transactions(2).await.unwrap();
    reader.stream.confirm(&told[0].position);
    server.stop(Stop::Kill).unwrap();
    let error = reader.until(&Position::new("FFFF/0")).await.unwrap_err();
    assert!(matches!(error, Error::Transient(_)), "{error:?}");
    server.start().unwrap();
    log.log = log.connector.change_log(TASK).await.unwrap();
    log.database.sql("insert into t values (3, 'c')").unwrap();
    let end = log.log.end().await.unwrap();
    let mut reader = log.open_at(&told[0].position).await.unwrap();
    let told: Vec<String> = reader
        .until(&end)
        .await
        .unwrap()
        .into_iter()
        .flat_map(|told| told.changes)
        .collect();
    assert_eq!(told, ["insert t (2, b)", "insert t (3, c)"]);
}

#[tokio::test]
async fn a_server_that_shuts_down_is_not_kept_waiting() {
    for engine in ENGINES {
        let server = private(engine, &[]);
        let mut log = Captured::on(&server, TABLE).await;
        log.database.sql("insert into t values (1, 'a')").unwrap();
        let mut reader = log.open().await;
        reader.transactions(1).await.unwrap();
        // Nothing is ever confirmed.
        let begun = std::time::Instant::now();
        let stopping = std::thread::spawn(move || {
            server.stop(Stop::Clean).unwrap();
            server
        });
        let error = reader.until(&Position::new("FFFF/0")).await.unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
        let server = stopping.join().unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(45),
            "{:?}",
            begun.elapsed()
        );
        server.start().unwrap();
        log.log = log.connector.change_log(TASK).await.unwrap();
        let told = log.told("insert into t values (2, 'b')").await;
        assert_eq!(told, ["insert t (1, a)", "insert t (2, b)"]);
    }
}
