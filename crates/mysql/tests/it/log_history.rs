//! Whether the log at the source's address is the one that the task has read, and a source that falls silent.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use whimbrel_connector::Error;
use whimbrel_core::Position;
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server, ServerOptions, Stop};

use crate::log_support::{Seen, Tap, inserted};
use crate::support::ENGINES;

const TABLE: &str = "create table t (id int primary key, v varchar(100))";

fn places(seen: &[Seen]) -> Vec<Position> {
    let places = seen.iter().filter_map(|seen| match seen {
        Seen::Commit(place) => Some(place.clone()),
        _ => None,
    });
    places.collect()
}

/// When the file of a position was begun.
fn begun_s(position: &Position) -> u64 {
    let (_, file) = position.as_str().split_once('@').unwrap();
    file.split_once('-').unwrap().0.parse().unwrap()
}

/// The position as an earlier version wrote it, or a user.
fn without_file(position: &Position) -> Position {
    let (place, rest) = position.as_str().split_once('@').unwrap();
    let ids = rest.split_once(';').map(|(_, ids)| format!(";{ids}"));
    Position::new(format!("{place}{}", ids.unwrap_or_default()))
}

#[tokio::test]
async fn a_source_that_was_put_back_and_has_written_on_is_refused() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("log_history").unwrap();
        database.sql(TABLE).unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database.sql("insert into t values (1, 'a')").unwrap();
        let shared = places(&tap.seen(&start).await).pop().unwrap();
        server.stop(Stop::Clean).unwrap();
        server.keep_copy().unwrap();
        server.start().unwrap();
        tap = Tap::on(&database).await;
        database
            .sql("insert into t values (2, 'b'); insert into t values (3, 'c')")
            .unwrap();
        let ours = places(&tap.seen(&shared).await);
        assert_eq!(ours.len(), 2);
        server.stop(Stop::Kill).unwrap();
        server.put_copy_back().unwrap();
        // Servers tell the second in which a file was begun; within one, files of one name are the same.
        let begun = begun_s(&ours[0]);
        while SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() <= begun {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.start().unwrap();
        tap = Tap::on(&database).await;
        // As many transactions of the same length, under the same ids.
        database
            .sql("insert into t values (2, 'x'); insert into t values (3, 'y'); insert into t values (4, 'z')")
            .unwrap();
        let log = &tap.log.end().await.unwrap();
        for place in ours.iter().chain(&ours) {
            let file =
                |position: &Position| position.as_str().split(':').next().unwrap().to_owned();
            assert_eq!(file(place), file(log), "the case is the one that is meant");
            let error = tap.try_seen(place).await.unwrap_err();
            assert!(matches!(error, Error::Fatal(_)), "{engine}: {error:?}");
            for words in ["was begun by server 1 at", "load the tables again"] {
                assert!(error.to_string().contains(words), "{engine}: {error}");
            }
            let error = tap.log.reaches_back(place).await;
            assert!(matches!(error, Err(Error::Fatal(_))), "{engine}: {error:?}");
            // Without what tells the file nobody could know.
            let told = tap.seen(&without_file(place)).await;
            assert!(!inserted(&told, "t").is_empty(), "{engine}");
        }
        // What was read before the copy was made is in both.
        let told = tap.seen(&shared).await;
        assert_eq!(inserted(&told, "t").len(), 3, "{engine}");
    }
}

#[tokio::test]
async fn a_place_without_its_file_is_gone_on_from_and_takes_it_in() {
    for engine in ENGINES {
        let database = Server::get(engine).unwrap().database("log_old").unwrap();
        database.sql(TABLE).unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql("insert into t values (1, 'a'); insert into t values (2, 'b')")
            .unwrap();
        let ours = places(&tap.seen(&start).await);
        let old = without_file(&ours[0]);
        let told = tap.seen(&old).await;
        assert_eq!(places(&told), ours[1..], "{engine}");
        // So does a place that users give.
        let start = whimbrel_connector::StartPoint::Given(old.as_str().to_owned());
        assert_eq!(tap.log.locate(&start).await.unwrap(), ours[0], "{engine}");
        // And every place between transactions, also in the next file.
        database.sql("flush binary logs").unwrap();
        let end = tap.log.end().await.unwrap();
        let mut stream = tap.open(&ours[1]).await;
        loop {
            let block = stream.next().await.unwrap();
            let places = block.events.iter().filter_map(|event| match event {
                whimbrel_connector::LogEvent::Idle { place, .. } => Some(place),
                _ => None,
            });
            let mut has_reached = false;
            for place in places {
                assert!(place.position().as_str().contains('@'), "{place:?}");
                has_reached |= stream.has_reached(&**place, &end);
            }
            if has_reached {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_source_that_falls_silent_is_given_up_and_one_that_is_quiet_is_not() {
    for engine in ENGINES {
        let limit = if engine == Engine::Mysql97 {
            "replica-net-timeout"
        } else {
            "slave-net-timeout"
        };
        let options = ServerOptions {
            settings: vec![(limit.to_owned(), "6".to_owned())],
            ..ServerOptions::default()
        };
        let server = Server::private_with(engine, options).unwrap();
        let database = server.database("log_silent").unwrap();
        database.sql(TABLE).unwrap();
        let address = format!("{}:{}", server.host, server.port);
        let proxy = FaultProxy::start(address.parse().unwrap()).await.unwrap();
        let url = database
            .url()
            .replace(&address, &proxy.address().to_string());
        let mut tap = Tap::of(&url, database.name()).await;
        let start = tap.start().await;
        for (fault, quiet_s) in [(Fault::Lose, 12), (Fault::Stall, 0)] {
            let mut stream = tap.open(&start).await;
            // Time is what is tested: twice as long as a silence may be.
            let quiet = async {
                loop {
                    let next = stream.next().await;
                    assert!(next.is_ok(), "{engine}: {next:?}");
                }
            };
            let quiet = timeout(Duration::from_secs(quiet_s), quiet).await;
            assert!(quiet.is_err());
            proxy.set(fault);
            let silent = async {
                loop {
                    if let Err(error) = stream.next().await {
                        return error;
                    }
                }
            };
            let error = timeout(Duration::from_secs(30), silent).await;
            let error = error.expect("it is noticed");
            assert!(matches!(error, Error::Transient(_)), "{fault:?}: {error:?}");
            assert!(error.to_string().contains("sign of life"), "{error}");
            proxy.set(Fault::None);
        }
    }
}
