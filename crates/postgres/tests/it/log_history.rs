//! Whether the log at the source's address is the one that the task has read, and a source that falls silent.

use std::time::Duration;

use tokio::time::timeout;
use whimbrel_connector::Error;
use whimbrel_core::Position;
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server, ServerOptions, Stop};

use crate::log_support::{Captured, Reader, Told};
use crate::support::{ENGINES, TASK, connector};

const TABLE: &str = "create table t (id int primary key, name text)";
const MUCH: &str = "insert into t select i, repeat('x', 500) from generate_series(1000, 6000) i";

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

impl Captured {
    /// A log of its own, as a task that begins again has it.
    async fn again(&mut self) {
        self.log = self.connector.change_log(TASK).await.unwrap();
    }

    /// Runs SQL, and what is told of it behind a place, and the place between transactions that was come to.
    async fn behind(&mut self, from: &Position, sql: &str) -> (Vec<Told>, Position) {
        self.database.sql(sql).unwrap();
        let end = self.log.end().await.unwrap();
        let mut reader = self.open_at(from).await.unwrap();
        let told = reader.until(&end).await.unwrap();
        (told, reader.place.unwrap())
    }

    /// What becomes of a stream that goes on from a place.
    async fn refusal(&mut self, from: &Position) -> String {
        let end = self.log.end().await.unwrap();
        let error = match self.open_at(from).await {
            // As a task does it that has written down where it goes on from.
            Ok(mut reader) => {
                reader.stream.confirm(from);
                let error = reader.until(&end).await.unwrap_err();
                assert_eq!(reader.place, None, "nothing may be told");
                error
            }
            Err(error) => error,
        };
        assert!(matches!(error, Error::Fatal(_)), "{error:?}");
        error.to_string()
    }
}

fn assert_has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

fn changes(told: &[Told]) -> Vec<&str> {
    let changes = told.iter().flat_map(|told| &told.changes);
    changes.map(String::as_str).collect()
}

// A server that is stopped waits for the answers of streams, which the test must not block.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_put_back_and_has_written_on_is_refused() {
    for engine in ENGINES {
        let server = private(engine, &[]);
        let mut log = Captured::on(&server, TABLE).await;
        let start = log.start.clone();
        let (told, early) = log.behind(&start, "insert into t values (1, 'a')").await;
        assert_eq!(changes(&told), ["insert t (1, a)"]);
        server.stop(Stop::Clean).unwrap();
        server.keep_copy().unwrap();
        server.start().unwrap();
        log.again().await;
        // One place right behind a transaction, and a later one behind what is no change.
        let (told, late) = log.behind(&early, "insert into t values (2, 'b')").await;
        let places = [told[0].position.clone(), late];
        server.stop(Stop::Kill).unwrap();
        server.put_copy_back().unwrap();
        server.start().unwrap();
        log.again().await;
        for place in &places {
            let text = log.refusal(place).await;
            assert_has(&text, &["load the tables again"]);
        }
        // The same change at another moment, and much behind it.
        log.database.sql("insert into t values (2, 'b')").unwrap();
        log.database.sql(MUCH).unwrap();
        for place in places.iter().chain(&places) {
            let text = log.refusal(place).await;
            let words = [
                "is not the one that the task has read",
                "load the tables again",
            ];
            assert_has(&text, &words);
        }
        // What was read before the copy was made is in both.
        let (told, _) = log.behind(&early, "select 1").await;
        assert_eq!(
            told.iter().map(|told| told.changes.len()).sum::<usize>(),
            5002
        );
    }
}

/// Its last transaction is that of the task, and what comes behind it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_put_back_while_nothing_was_written_is_refused() {
    for engine in ENGINES {
        let server = private(engine, &[]);
        let mut log = Captured::on(&server, TABLE).await;
        let start = log.start.clone();
        let (_, quiet) = log.behind(&start, "insert into t values (1, 'a')").await;
        server.stop(Stop::Clean).unwrap();
        server.keep_copy().unwrap();
        server.start().unwrap();
        log.again().await;
        // What is no transaction moves the place on.
        let much = "select count(pg_logical_emit_message(false, 'other', repeat('x', 1000))) from generate_series(1, 1000)";
        log.database.sql(much).unwrap();
        let mut reader = log.open_at(&quiet).await.unwrap();
        let far = loop {
            reader.step().await;
            match &reader.place {
                Some(place) if log.log.is_past(place, &later(&quiet)).unwrap() => {
                    break place.clone();
                }
                _ => {}
            }
        };
        drop(reader);
        let last = |position: &Position| position.as_str().split('@').nth(1).map(str::to_owned);
        assert_eq!(last(&far), last(&quiet), "no transaction came in between");
        // As a run that was killed leaves it.
        server.stop(Stop::Kill).unwrap();
        server.put_copy_back().unwrap();
        server.start().unwrap();
        log.again().await;
        log.database.sql("insert into t values (2, 'b')").unwrap();
        log.database.sql(MUCH).unwrap();
        let text = log.refusal(&far).await;
        assert_has(&text, &["a transaction at", "that the task has not read"]);
    }
}

/// A place half a megabyte behind another.
fn later(position: &Position) -> Position {
    let lsn = position.as_str().split('@').next().unwrap();
    let (high, low) = lsn.split_once('/').unwrap();
    let low = u32::from_str_radix(low, 16).unwrap() + (1 << 19);
    Position::new(format!("{high}/{low:X}"))
}

/// Makes a running server a standby of nobody, and promotes it.
fn promote(server: &Server) {
    let signal = "copy (select '') to program 'touch standby.signal'";
    server.sql(signal).unwrap();
    server.restart().unwrap();
    assert_eq!(server.sql("select pg_is_in_recovery()").unwrap(), "t\n");
    assert_eq!(server.sql("select pg_promote()").unwrap(), "t\n");
}

// A server that is stopped waits for the answers of streams, which the test must not block.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_gone_on_with_up_to_where_it_left_the_old_timeline() {
    for engine in ENGINES {
        let server = private(engine, &[]);
        let mut log = Captured::on(&server, TABLE).await;
        let start = log.start.clone();
        let (told, _) = log.behind(&start, "insert into t values (1, 'a')").await;
        let shared = told[0].position.clone();
        server.stop(Stop::Clean).unwrap();
        server.keep_copy().unwrap();
        server.start().unwrap();
        log.again().await;
        // The standby will not hear of this.
        let (_, ahead) = log.behind(&shared, MUCH).await;
        server.stop(Stop::Kill).unwrap();
        server.put_copy_back().unwrap();
        server.start().unwrap();
        promote(&server);
        log.again().await;
        let (told, place) = log.behind(&shared, "insert into t values (2, 'b')").await;
        assert_eq!(changes(&told), ["insert t (2, b)"]);
        assert!(shared.as_str().contains(":1:"), "{shared}");
        assert!(place.as_str().contains(":2:"), "{place}");
        log.database.sql(MUCH).unwrap();
        log.database.sql("update t set name = 'y'").unwrap();
        let text = log.refusal(&ahead).await;
        let words = [
            "timeline 2 left timeline 1",
            ahead.as_str().split('@').next().unwrap(),
        ];
        assert_has(&text, &words);
        // A server of the old timeline.
        server.stop(Stop::Kill).unwrap();
        server.put_copy_back().unwrap();
        server.start().unwrap();
        log.again().await;
        let text = log.refusal(&place).await;
        assert_has(&text, &["writes timeline 1", "has read timeline 2"]);
    }
}

#[tokio::test]
async fn another_server_is_refused() {
    let mut ours = Captured::of(Engine::Postgres15, TABLE).await;
    let start = ours.start.clone();
    let (told, _) = ours.behind(&start, "insert into t values (1, 'a')").await;
    let mut theirs = Captured::of(Engine::Postgres18, TABLE).await;
    theirs.database.sql(MUCH).unwrap();
    for place in [&start, &told[0].position] {
        let text = theirs.refusal(place).await;
        assert_has(&text, &["is another server", "system identifier"]);
        let refused = theirs.log.reaches_back(place).await;
        assert!(matches!(refused, Err(Error::Fatal(_))), "{refused:?}");
    }
    ours.log.reaches_back(&start).await.unwrap();
}

#[tokio::test]
async fn a_place_without_its_log_is_gone_on_from_and_takes_it_in() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let start = log.start.clone();
        let (told, _) = log.behind(&start, "insert into t values (1, 'a')").await;
        let (lsn, _) = told[0].position.as_str().split_once('@').unwrap();
        let old = Position::new(lsn);
        let (told, _) = log.behind(&old, "insert into t values (2, 'b')").await;
        assert_eq!(changes(&told), ["insert t (2, b)"]);
        assert!(told[0].position.as_str().contains('@'), "{:?}", told[0]);
    }
}

async fn proxied(server: &Server, url: &str) -> (FaultProxy, String) {
    let address = format!("{}:{}", server.host, server.port);
    let proxy = FaultProxy::start(address.parse().unwrap()).await.unwrap();
    let url = url.replace(&address, &proxy.address().to_string());
    (proxy, url)
}

#[tokio::test]
async fn a_source_that_falls_silent_is_given_up_and_one_that_is_quiet_is_not() {
    for engine in ENGINES {
        let server = private(engine, &[("wal_sender_timeout", "6s")]);
        let mut log = Captured::on(&server, TABLE).await;
        let (proxy, url) = proxied(&server, &log.database.url()).await;
        log.connector = connector(&url);
        log.again().await;
        let never = Position::new("FFFF/0");
        for (fault, quiet_s) in [
            (Fault::Lose, 14),
            (Fault::LoseAnswers, 0),
            (Fault::Stall, 0),
        ] {
            let start = log.start.clone();
            let stream = log.log.open(&log.tables, &start).await.unwrap();
            let mut reader = Reader::of(stream);
            // Time is what is tested: more than twice as long as a silence may be.
            let quiet = Duration::from_secs(quiet_s);
            let read = timeout(quiet, reader.until(&never)).await;
            assert!(read.is_err(), "{engine}: {read:?}");
            proxy.set(fault);
            let error = timeout(Duration::from_secs(40), reader.until(&never)).await;
            let error = error.expect("it is noticed").unwrap_err();
            assert!(matches!(error, Error::Transient(_)), "{fault:?}: {error:?}");
            // The server gives us up after the same time, and may be first.
            let text = error.to_string();
            let ways = ["said nothing for 6 s", "connection to the server was lost"];
            assert!(ways.iter().any(|words| text.contains(words)), "{text}");
            proxy.set(Fault::None);
        }
    }
}

fn set_here(log: &Captured, setting: &str) {
    let sql = format!(
        "do 'begin execute format(''alter database %I set {}'', current_database()); end'",
        setting.replace('\'', "''''")
    );
    log.database.sql(&sql).unwrap();
}

/// The server tells such messages with transactions that it sends whole, and they are none of ours; a transaction that consists of them must
/// not be looked for where it is sent in pieces.
#[tokio::test]
async fn messages_of_others_are_no_sign_of_another_log() {
    const OF_OTHERS: &str = "select count(pg_logical_emit_message(true, 'other', repeat('x', 1000))) from generate_series(1, 300)";
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let start = log.start.clone();
        let (told, _) = log.behind(&start, "insert into t values (1, 'a')").await;
        let ours = told[0].position.clone();
        let (told, whole) = log.behind(&ours, OF_OTHERS).await;
        assert_eq!(changes(&told), [""; 0]);
        for work_mem in ["64kB", "64MB"] {
            set_here(&log, &format!("logical_decoding_work_mem = '{work_mem}'"));
            log.again().await;
            let (_, read) = log.behind(&whole, OF_OTHERS).await;
            for place in [&ours, &whole, &read] {
                log.behind(place, "select 1").await;
            }
        }
    }
}

/// A task whose tables are loaded has the log kept from before the place at which it reads: until it says so, nothing is let go.
#[tokio::test]
async fn a_stream_that_is_opened_again_confirms_no_more_than_it_was_told() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        // It hears from us soon.
        set_here(&log, "wal_sender_timeout = '2s'");
        let start = log.start.clone();
        let (told, _) = log.behind(&start, "insert into t values (1, 'a')").await;
        let mut reader = log.open_at(&told[0].position).await.unwrap();
        let ours = "from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid where s.database = current_database()";
        let opened = log.database.sql("select clock_timestamp()").unwrap();
        let heard = format!(
            "select count(*) {ours} and r.reply_time > '{}'::timestamptz + interval '1 second'",
            opened.trim()
        );
        let reading = async {
            loop {
                reader.step().await;
            }
        };
        tokio::select! {
            () = reading => {}
            _ = log.eventually(&heard, |count| count == "1") => {}
        }
        let kept = log
            .database
            .sql(&format!("select s.confirmed_flush_lsn {ours}"));
        let begun = start.as_str().split('@').next().unwrap();
        assert_eq!(kept.unwrap().trim(), begun, "{engine}");
    }
}

/// 0 is no limit.
#[tokio::test]
async fn a_server_that_gives_nobody_up_is_not_given_up_at_once() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        set_here(&log, "wal_sender_timeout = 0");
        log.again().await;
        let start = log.start.clone();
        let mut reader = log.open_at(&start).await.unwrap();
        let set = log.database.sql("insert into t values (1, 'a')");
        set.unwrap();
        assert_eq!(
            changes(&reader.transactions(1).await.unwrap()),
            ["insert t (1, a)"]
        );
        // And one that comes behind a silence.
        log.eventually("select now() > max(reply_time) + interval '1 second' from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.database = current_database()", |is_later| is_later == "t").await;
        log.database.sql("insert into t values (2, 'b')").unwrap();
        assert_eq!(
            changes(&reader.transactions(1).await.unwrap()),
            ["insert t (2, b)"]
        );
    }
}
