//! Where following begins that is to begin at a time, or behind a set of transactions.

use std::time::Duration;

use whimbrel_connector::{Error, StartPoint};
use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::log_support::{Seen, Tap};
use crate::support::ENGINES;

/// Waits until the server's clock shows another second, and gives that.
async fn next_second(database: &TestDatabase) -> i64 {
    let now = || -> i64 {
        let second = database.sql("select unix_timestamp()").unwrap();
        second.trim().parse().unwrap()
    };
    let begun = now();
    loop {
        let second = now();
        if second > begun {
            return second;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn rows(seen: &[Seen]) -> Vec<String> {
    let insert = |seen: &'_ Seen| match seen {
        Seen::Insert(_, row) => Some(row.clone()),
        _ => None,
    };
    seen.iter().filter_map(insert).collect()
}

/// What is read from a start on.
async fn from(tap: &mut Tap, start: &StartPoint) -> Vec<Seen> {
    let position = tap.log.locate(start).await.unwrap();
    tap.seen(&position).await
}

#[tokio::test]
async fn what_is_committed_from_a_second_on_is_followed() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("log_times").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        database.sql("insert into t values (1)").unwrap();
        let second = next_second(&database).await;
        database
            .sql("insert into t values (2); flush binary logs; insert into t values (3)")
            .unwrap();
        let third = next_second(&database).await;
        database
            .sql("flush binary logs; flush binary logs; insert into t values (4)")
            .unwrap();
        let ahead = next_second(&database).await + 3600;
        for (at, expected) in [
            (second, vec!["2", "3", "4"]),
            (third, vec!["4"]),
            (ahead, vec![]),
        ] {
            let seen = from(&mut tap, &StartPoint::Time(at * 1_000_000 + 999_999)).await;
            let ids: Vec<String> = rows(&seen)
                .iter()
                .map(|row| row.chars().filter(char::is_ascii_digit).collect())
                .collect();
            assert_eq!(ids, expected, "{engine} {at}");
        }
        // What may be missing is refused: nobody knows what was before the first file.
        let early = StartPoint::Time((second - 100_000) * 1_000_000);
        let gone = tap.log.locate(&early).await.unwrap_err();
        assert!(matches!(gone, Error::Fatal(_)), "{engine}: {gone}");
        assert!(gone.to_string().contains("begins at 2"), "{engine}: {gone}");
    }
}

/// The transactions that the server has executed.
fn executed(database: &TestDatabase, engine: Engine) -> String {
    let sql = match engine {
        Engine::Mysql97 => "select replace(@@global.gtid_executed, '\\n', '')",
        _ => "select @@global.gtid_binlog_pos",
    };
    database.sql(sql).unwrap().trim().replace("\\n", "")
}

#[tokio::test]
async fn what_comes_behind_a_set_of_transactions_is_followed() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("log_sets").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        database.sql("insert into t values (1)").unwrap();
        let first = executed(&database, engine);
        database
            .sql("flush binary logs; insert into t values (2); insert into t values (3)")
            .unwrap();
        let third = executed(&database, engine);
        database
            .sql("flush binary logs; insert into t values (4)")
            .unwrap();
        let all = executed(&database, engine);
        for (set, expected) in [(&first, 3), (&third, 1), (&all, 0)] {
            let seen = from(&mut tap, &StartPoint::Given(set.clone())).await;
            assert_eq!(rows(&seen).len(), expected, "{engine} {set}");
        }
        // One that the server has never executed, and one with a hole.
        let (strange, holed) = match engine {
            Engine::Mysql97 => {
                let (uuid, last) = all.split_once(":1-").unwrap();
                let last: u64 = last.parse().unwrap();
                (
                    format!("{all},11111111-1111-1111-1111-111111111111:1-3"),
                    format!("{uuid}:1-{}:{last}", last - 2),
                )
            }
            _ => (format!("{all},7-7-7"), format!("{all},7-7-7")),
        };
        for bad in [strange, holed] {
            let error = tap.log.locate(&StartPoint::Given(bad.clone())).await;
            let error = error.unwrap_err();
            assert!(
                error.to_string().contains("no place"),
                "{engine} {bad}: {error}"
            );
        }
    }
}

/// Servers of one domain take turns and their numbers go down, so that numbers alone tell neither the file nor the place.
#[tokio::test]
async fn places_are_found_among_ids_that_go_down() {
    const TURNS: [(u32, u32); 6] = [(1, 20), (2, 9), (3, 5), (2, 10), (1, 21), (3, 6)];
    let server = Server::private(Engine::Mariadb1011).unwrap();
    let database = server.database("log_ring").unwrap();
    database.sql("create table t (id int primary key)").unwrap();
    let mut tap = Tap::on(&database).await;
    let mut starts = Vec::new();
    for (row, (server_id, number)) in TURNS.iter().enumerate() {
        let second = next_second(&database).await;
        starts.push((StartPoint::Time(second * 1_000_000), row));
        let script = format!(
            "set session gtid_domain_id = 77; set session server_id = {server_id}; set session gtid_seq_no = {number}; insert into t values ({row})"
        );
        database.sql(&script).unwrap();
        let set = executed(&database, Engine::Mariadb1011);
        starts.push((StartPoint::Given(set), row + 1));
        if row % 2 == 1 {
            database.sql("flush binary logs").unwrap();
        }
    }
    for (start, passed) in starts {
        let found = tap.log.locate(&start).await;
        let found = found.unwrap_or_else(|error| panic!("{start:?}: {error}"));
        let checked = tap.log.reaches_back(&found).await;
        checked.unwrap_or_else(|error| panic!("{start:?}: {error}"));
        let rest = rows(&tap.seen(&found).await);
        assert_eq!(rest.len(), TURNS.len() - passed, "{start:?}: {rest:?}");
    }
}
