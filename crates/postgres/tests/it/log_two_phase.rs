//! Transactions that are prepared first and committed or rolled back later, by somebody else perhaps.

use whimbrel_connector::Error;
use whimbrel_core::Position;
use whimbrel_testkit::Engine;

use crate::log_open_support::{Both, TABLE, changes, open, pieces, rows, told_rows};
use crate::log_support::Captured;
use crate::support::{TASK, connector_with};

/// Version 17 describes tables otherwise around what is prepared.
const ENGINES: [Engine; 4] = [
    Engine::Postgres15,
    Engine::Postgres16,
    Engine::Postgres17,
    Engine::Postgres18,
];

const STANDS: &str = "select confirmed_flush_lsn from pg_replication_slots where database = current_database() and two_phase";

/// A log whose slot sends rows when their transaction is prepared. Names of slots are the server's.
async fn two_phase(engine: Engine) -> Captured {
    let mut log = open(engine, TABLE, |_| ()).await;
    let made = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database();
        select slot_name from pg_create_logical_replication_slot('two_phase_' || current_database(), 'pgoutput', false, true)";
    let made = log.database.sql(made).unwrap();
    let slot = made.lines().find(|line| line.starts_with("two_phase_"));
    let slot = slot.unwrap().to_owned();
    log.connector = connector_with(&log.database.url(), |options| {
        options.open_memory_max = 100_000;
        options.slot = Some(slot);
    });
    log.log = log.connector.change_log(TASK).await.unwrap();
    log.start = log.log.prepare(&log.tables).await.unwrap().position;
    log
}

/// Prepares transactions, small and large, and ends them in another order. Names of them are the server's.
fn script(log: &Captured) -> String {
    let name = log.database.sql("select current_database()").unwrap();
    let name = name.trim();
    let large = |from: u32| {
        format!(
            "begin; {} savepoint s; {} rollback to s; {}",
            rows(from, 2000),
            rows(from + 2000, 2000),
            rows(from + 4000, 1000)
        )
    };
    format!(
        "begin; insert into t values (1, 1, 'one'), (2, 2, 'two'); prepare transaction '{name} small';
         {} prepare transaction '{name} large'; {} prepare transaction '{name} gone';
         begin; insert into t values (3, 3, 'gone'); prepare transaction '{name} small gone';
         insert into t values (4, 4, 'four'); commit prepared '{name} large'; rollback prepared '{name} gone';
         rollback prepared '{name} small gone'; commit prepared '{name} small'; insert into t values (5, 5, 'five')",
        large(10_000),
        large(20_000)
    )
}

fn expected() -> Vec<Vec<String>> {
    let one = |change: &str| vec![change.to_owned()];
    vec![
        one("insert t (4, 4, four)"),
        [told_rows(10_000, 2000), told_rows(14_000, 1000)].concat(),
        ["insert t (1, 1, one)", "insert t (2, 2, two)"]
            .map(str::to_owned)
            .to_vec(),
        one("insert t (5, 5, five)"),
    ]
}

#[tokio::test]
async fn what_was_prepared_is_told_at_its_second_commit_and_nothing_of_what_was_rolled_back() {
    for engine in ENGINES {
        let mut both = Both::of(engine, TABLE).await;
        let script = script(&both.open);
        both.open.database.sql(&script).unwrap();
        assert!(both.same().await == expected(), "something else is told");
        pieces(&both.open, 2).await;
    }
}

#[tokio::test]
async fn a_slot_that_sends_what_is_prepared_tells_the_same_to_every_reader() {
    for engine in ENGINES {
        let mut log = two_phase(engine).await;
        let script = script(&log);
        log.database.sql(&script).unwrap();
        for _ in 0..2 {
            let told = changes(log.everything().await);
            assert!(told == expected(), "something else is told");
        }
        pieces(&log, 2).await;
    }
}

#[tokio::test]
async fn what_is_prepared_keeps_the_log_until_it_is_applied() {
    for engine in ENGINES {
        let mut log = two_phase(engine).await;
        let name = log.database.sql("select current_database()").unwrap();
        let name = name.trim();
        log.database
            .sql(&format!(
                "begin; {} prepare transaction '{name} large'; insert into t values (1, 1, 'one')",
                rows(10, 3000)
            ))
            .unwrap();
        let prepared_at = log.log.end().await.unwrap();
        let mut reader = log.open().await;
        let first = reader.until(&prepared_at).await.unwrap();
        let place = reader.place.clone().unwrap();
        assert_eq!(changes(first), [["insert t (1, 1, one)"]]);
        reader.stream.confirm(&place);
        let stands = |log: &Captured| Position::new(log.database.sql(STANDS).unwrap().trim());
        // The next reader, from the target's place on, is sent the rows again.
        log.database
            .sql(&format!(
                "commit prepared '{name} large'; insert into t values (2, 2, 'two')"
            ))
            .unwrap();
        let end = log.log.end().await.unwrap();
        for _ in 0..2 {
            let mut reader = log.open_at(&place).await.unwrap();
            assert!(
                log.log.is_past(&prepared_at, &stands(&log)).unwrap(),
                "the rows were let go of"
            );
            let told = changes(reader.until(&end).await.unwrap());
            assert!(told[0] == told_rows(10, 3000), "other rows");
            assert_eq!(told[1..], [["insert t (2, 2, two)"]]);
        }
        let mut reader = log.open_at(&place).await.unwrap();
        reader.until(&end).await.unwrap();
        let place = reader.place.clone().unwrap();
        reader.stream.confirm(&place);
        log.eventually(STANDS, |stands| {
            let stands = Position::new(stands);
            log.log.is_past(&stands, &prepared_at).unwrap()
        })
        .await;
    }
}

#[tokio::test]
async fn rows_that_were_sent_to_somebody_else_when_they_were_prepared_are_missed() {
    for engine in ENGINES {
        let mut log = two_phase(engine).await;
        let name = log.database.sql("select current_database()").unwrap();
        let name = name.trim();
        log.database
            .sql(&format!(
                "begin; insert into t values (1, 1, 'one'); prepare transaction '{name} taken'; insert into t values (2, 2, 'two');
                 select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) from pg_replication_slots
                 where database = current_database() and two_phase"
            ))
            .unwrap();
        let from = log.log.end().await.unwrap();
        log.database
            .sql(&format!("commit prepared '{name} taken'"))
            .unwrap();
        let end = log.log.end().await.unwrap();
        let mut reader = log.open_at(&from).await.unwrap();
        let error = reader.until(&end).await.unwrap_err();
        assert!(
            matches!(&error, Error::Fatal(text) if text.contains(&format!("{name} taken")) && text.contains("load the tables again")),
            "{error}"
        );
    }
}
