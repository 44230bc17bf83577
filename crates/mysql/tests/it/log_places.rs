//! Places in the log: where a stream begins and goes on, and what a snapshot holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use whimbrel_connector::{Error, LogEvent, ReadFormat, ReadRequest};
use whimbrel_core::Position;
use whimbrel_testkit::{Engine, Server, Stop};

use crate::log_support::{Seen, Tap, inserted, outline};
use crate::support::{ENGINES, connector};

#[tokio::test]
async fn a_stream_goes_on_from_every_place() {
    for engine in ENGINES {
        let database = Server::get(engine)
            .unwrap()
            .database("log_restart")
            .unwrap();
        database
            .sql("create table t (id int auto_increment primary key, v varchar(100))")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let mut script = String::new();
        for round in 0..6 {
            script.push_str("begin; insert into t (v) values ('a'), ('b'); update t set v = 'c' where v = 'a'; commit; insert into t (v) values ('d');");
            if round % 2 == 1 {
                script.push_str("flush binary logs; truncate t;");
            }
        }
        database.sql(&script).unwrap();
        let whole = tap.seen(&start).await;
        let places: Vec<(usize, Position)> = whole
            .iter()
            .enumerate()
            .filter_map(|(index, seen)| match seen {
                Seen::Commit(place) => Some((index, place.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(places.len(), 15, "{engine}");
        for (index, place) in &places[..places.len() - 1] {
            let rest = tap.seen(place).await;
            let is_told = |seen: &&Seen| !matches!(seen, Seen::Table(..));
            let rest: Vec<&Seen> = rest.iter().filter(is_told).collect();
            let expected: Vec<&Seen> = whole[index + 1..].iter().filter(is_told).collect();
            assert_eq!(rest, expected, "{engine} {place}");
        }
    }
}

#[tokio::test]
async fn each_transaction_is_in_the_snapshot_or_in_the_stream() {
    for engine in ENGINES {
        let database = Arc::new(Server::get(engine).unwrap().database("log_seam").unwrap());
        database
            .sql("create table t (id int auto_increment primary key, writer int)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (database, stop) = (Arc::clone(&database), Arc::clone(&stop));
                tokio::task::spawn_blocking(move || {
                    let one = format!("begin; insert into t (writer) values ({writer}), ({writer}); commit; insert into t (writer) values ({writer});");
                    while !stop.load(Ordering::Relaxed) {
                        database.sql(&one.repeat(40)).unwrap();
                    }
                })
            })
            .collect();
        let mut source = tap.connector.source().await.unwrap();
        let mut views = Vec::new();
        for _ in 0..4 {
            let snapshot = source.snapshot(2).await.unwrap();
            let mut ids = Vec::new();
            let mut reader = snapshot.reader().await.unwrap();
            for bounds in snapshot.plan(&tap.tables[0], 1 << 40).await.unwrap() {
                let request = ReadRequest {
                    table: &tap.tables[0],
                    bounds: &bounds,
                    filter: None,
                    format: ReadFormat::Decoded,
                    block_bytes: 1 << 20,
                };
                reader.open(request).await.unwrap();
                while let Some(block) = reader.next().await.unwrap() {
                    block
                        .decode(&mut |values| {
                            ids.push(format!("{values:?}"));
                            Ok(())
                        })
                        .unwrap();
                }
            }
            views.push((tap.log.view(snapshot.position()).unwrap(), ids));
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        let seen = tap.seen(&start).await;
        let all = tap.loaded("t").await;
        assert!(all.len() > views[0].1.len());
        for (view, ids) in views {
            let mut rows: BTreeMap<String, u32> = ids.into_iter().map(|row| (row, 1)).collect();
            let mut is_held = false;
            for event in &seen {
                match event {
                    Seen::Begin(mark) => is_held = view.holds(*mark),
                    Seen::Insert(_, row) if !is_held => *rows.entry(row.clone()).or_default() += 1,
                    _ => {}
                }
            }
            assert!(
                rows.values().all(|&count| count == 1),
                "{engine}: no row twice"
            );
            assert_eq!(rows.len(), all.len(), "{engine}: no row lost");
        }
    }
}

#[tokio::test]
async fn a_log_that_no_longer_reaches_back_is_an_error_that_names_the_gap() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("log_purged").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database.sql("insert into t values (1); flush binary logs; insert into t values (2); flush binary logs").unwrap();
        let file = start.as_str().split(':').next().unwrap().to_owned();
        let now = tap.log.end().await.unwrap();
        let last = now.as_str().split(':').next().unwrap().to_owned();
        // A server keeps a file until it needs it no more for its own recovery.
        for _ in 0..1000 {
            database
                .sql(&format!("flush engine logs; purge binary logs to '{last}'"))
                .unwrap();
            if !database.sql("show binary logs").unwrap().contains(&file) {
                break;
            }
        }
        let gone = tap.try_seen(&start).await.unwrap_err();
        assert!(matches!(gone, Error::Fatal(_)), "{gone}");
        assert!(
            gone.to_string().contains(&file) && gone.to_string().contains(&last),
            "{gone}"
        );
        // A place past the end, one within an event, one that is none.
        let place = |text: String| Position::new(text);
        for bad in [
            format!("{last}:99999999"),
            "0/16B3748".to_owned(),
            "none".to_owned(),
        ] {
            let error = tap.try_seen(&place(bad.clone())).await.unwrap_err();
            assert!(matches!(error, Error::Fatal(_)), "{bad}: {error}");
        }
        let error = tap.try_seen(&place(format!("{last}:5"))).await;
        assert!(matches!(error, Err(Error::Fatal(_))), "{error:?}");
        // The log of another life of the server.
        let end = tap.log.end().await.unwrap();
        let reset = if engine == Engine::Mysql97 {
            "reset binary logs and gtids"
        } else {
            "reset master"
        };
        database.sql(&format!("{reset}; insert into t values (3); flush binary logs; insert into t values (4); flush binary logs; insert into t values (5)")).unwrap();
        let error = tap.try_seen(&end).await.unwrap_err();
        assert!(matches!(error, Error::Fatal(_)), "{error}");
    }
}

#[tokio::test]
async fn a_quiet_log_gives_signs_of_life_and_a_lost_server_is_transient() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("log_quiet").unwrap();
        database
            .sql("create table t (id int primary key); create table other (id int primary key)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        tap.tables.retain(|table| table.name.name == "t");
        let start = tap.start().await;
        let mut stream = tap.open(&start).await;
        let begun = database.sql("select unix_timestamp()").unwrap();
        let begun_us = begun.trim().parse::<i64>().unwrap() * 1_000_000;
        let mut times = Vec::new();
        database.sql("insert into other values (1)").unwrap();
        let end = tap.log.end().await.unwrap();
        for _ in 0..4 {
            let block = tokio::time::timeout(Duration::from_secs(20), stream.next())
                .await
                .unwrap()
                .unwrap();
            if matches!(block.events[..], [LogEvent::Table { .. }]) {
                continue;
            }
            let Some(LogEvent::Idle {
                place,
                committed_at_us,
            }) = block.events.last()
            else {
                panic!("{block:?}")
            };
            times.push(*committed_at_us);
            if stream.has_reached(&**place, &end) {
                break;
            }
        }
        // What others commit is told with its time, so that a reader who is far behind does not take it for the log's end.
        assert!(
            times.iter().flatten().any(|at_us| *at_us >= begun_us),
            "{engine}: {times:?}"
        );
        let quiet = stream.next().await.unwrap();
        let ends = |event| {
            matches!(
                event,
                &LogEvent::Idle {
                    committed_at_us: None,
                    ..
                }
            )
        };
        assert!(quiet.events.iter().all(ends), "{engine}: {quiet:?}");
        server.stop(Stop::Clean).unwrap();
        let lost = loop {
            match stream.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(lost, Error::Transient(_)), "{engine} {lost:?}");
        server.start().unwrap();
        database.sql("insert into t values (1)").unwrap();
        let seen = tap.seen(&start).await;
        assert_eq!(outline(&seen), "(+)");
        // Killed, the server rolls back what it had begun to write.
        server.kill().unwrap();
        server.start().unwrap();
        database.sql("insert into t values (2)").unwrap();
        assert_eq!(inserted(&tap.seen(&start).await, "t").len(), 2, "{engine}");
    }
}

#[tokio::test]
async fn users_learn_which_privilege_they_lack() {
    for engine in ENGINES {
        let database = Server::get(engine).unwrap().database("log_rights").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        let user = format!("c_{}", database.name());
        let user = &user[..user.len().min(32)];
        let name = database.name();
        database
            .sql(&format!("create user '{user}'@'%' identified by 'pw'; grant select on {name}.* to '{user}'@'%'"))
            .unwrap();
        let url = database.url_as(user, "pw");
        let refusal = async || {
            let mut tap = Tap::of(&url, name).await;
            tap.log
                .prepare(&tap.tables)
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let first = if engine == Engine::Mysql97 {
            "REPLICATION CLIENT"
        } else {
            "BINLOG MONITOR"
        };
        let error = refusal().await.unwrap_err();
        assert!(
            error.contains(&format!("grant the user {first} ON")),
            "{error}"
        );
        database
            .sql(&format!("grant {first} on *.* to '{user}'@'%'"))
            .unwrap();
        let error = refusal().await.unwrap_err();
        assert!(
            error.contains("grant the user REPLICATION SLAVE ON"),
            "{error}"
        );
        database
            .sql(&format!("grant replication slave on *.* to '{user}'@'%'"))
            .unwrap();
        refusal().await.unwrap();
        let mut tap = Tap::of(&url, name).await;
        let start = tap.start().await;
        database.sql("insert into t values (1)").unwrap();
        assert_eq!(tap.seen(&start).await.len(), 3);
        database.sql(&format!("drop user '{user}'@'%'")).unwrap();
        assert!(connector(&url).change_log("x").await.is_err());
    }
}

/// What commits between two questions to the server is in both halves of a position or in none.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_read_among_commits_is_that_of_one_moment() {
    let database = Server::get(Engine::Mariadb1011)
        .unwrap()
        .database("log_steady")
        .unwrap();
    database
        .sql("create table t (v int); insert into t values (0)")
        .unwrap();
    let database = Arc::new(database);
    let mut tap = Tap::on(&database).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (database, is_over) = (Arc::clone(&database), Arc::clone(&is_over));
        tokio::task::spawn_blocking(move || {
            let script = "update t set v = v + 1;".repeat(200);
            while !is_over.load(Ordering::Relaxed) {
                database.sql(&script).unwrap();
            }
        })
    };
    let mut read = BTreeMap::new();
    while read.len() < 30 && !writer.is_finished() {
        let position = tap.log.end().await.unwrap();
        let (place, gtids) = position.as_str().split_once(';').unwrap();
        read.insert(place.to_owned(), gtids.to_owned());
    }
    is_over.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    for (place, gtids) in read {
        let (file, offset) = place.split_once(':').unwrap();
        let there = database.sql(&format!("select binlog_gtid_pos('{file}', {offset})"));
        assert_eq!(there.unwrap().trim(), gtids, "{place}");
    }
}

/// Of one domain that several servers write to, none of them strict.
#[tokio::test]
async fn ids_that_go_down_within_a_domain_are_gone_on_from() {
    // The ids stay in the server's log.
    let server = Server::private(Engine::Mariadb1011).unwrap();
    let database = server.database("log_ring").unwrap();
    database.sql("create table t (id int primary key)").unwrap();
    let insert = |server: u32, number: u32, row: u32| {
        let script = format!(
            "set session gtid_domain_id = 77; set session server_id = {server}; set session gtid_seq_no = {number}; insert into t values ({row})"
        );
        database.sql(&script).unwrap();
    };
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    insert(1, 1_000_010, 1);
    let first = tap.seen(&start).await;
    let place = first.iter().rev().find_map(|seen| match seen {
        Seen::Commit(place) => Some(place.clone()),
        _ => None,
    });
    let place = place.unwrap();
    insert(2, 1_000_009, 2);
    tap.log.reaches_back(&place).await.unwrap();
    let rest = tap.seen(&place).await;
    let inserts = rest.iter().filter(|seen| matches!(seen, Seen::Insert(..)));
    assert_eq!(inserts.count(), 1, "{rest:?}");
    // What the position holds itself is known for it all the same.
    let again = tap.seen(&start).await;
    let inserts = again.iter().filter(|seen| matches!(seen, Seen::Insert(..)));
    assert_eq!(inserts.count(), 2, "{again:?}");
}
