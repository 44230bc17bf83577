//! What the log tells of changes: rows, transactions, places.

use whimbrel_testkit::Engine;

use crate::log_support::{Captured, Told, lsn};
use crate::support::{ENGINES, peak_kb};

const TABLE: &str = "create table t (id int primary key, name text)";

fn changes(told: Vec<Told>) -> Vec<Vec<String>> {
    let changes = told.into_iter().map(|told| told.changes);
    changes.filter(|changes| !changes.is_empty()).collect()
}

#[tokio::test]
async fn inserts_updates_and_deletes_are_told_in_order() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let told = log
            .told(
                "insert into t values (1, 'one'), (2, null);
                 update t set name = 'eins' where id = 1;
                 update t set id = 3 where id = 2;
                 delete from t where id = 1;",
            )
            .await;
        assert_eq!(
            told,
            [
                "insert t (1, one)",
                "insert t (2, null)",
                "update t (1, eins)",
                "update t (2, ?) → (3, null)",
                "delete t (1, ?)",
            ]
        );
    }
}

#[tokio::test]
async fn nothing_of_a_rolled_back_transaction_or_savepoint_is_told() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let name = log.database.name().to_owned();
        let told = log
            .told(
                &format!(
                    "begin; insert into t values (1, 'gone'); rollback;
                 begin; insert into t values (2, 'kept');
                 savepoint a; insert into t values (3, 'gone'); savepoint b; insert into t values (4, 'gone');
                 rollback to a; insert into t values (5, 'kept'); savepoint c; insert into t values (6, 'kept');
                 release c; commit;
                 begin; insert into t values (7, 'gone'); prepare transaction '{name}_1';
                 begin; insert into t values (8, 'kept'); prepare transaction '{name}_2';
                 rollback prepared '{name}_1'; commit prepared '{name}_2';"
                ),
            )
            .await;
        assert_eq!(
            told,
            [
                "insert t (2, kept)",
                "insert t (5, kept)",
                "insert t (6, kept)",
                "insert t (8, kept)"
            ]
        );
    }
}

#[tokio::test]
async fn interleaved_transactions_are_told_whole_and_in_the_order_of_their_commits() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let name = log.database.name();
        // Prepared transactions stay open beside each other in one session.
        log.database
            .sql(&format!(
                "begin; insert into t values (1, 'a'); prepare transaction '{name}_first';
                 begin; insert into t values (2, 'b'); insert into t values (3, 'b'); commit;
                 begin; insert into t values (4, 'c'); prepare transaction '{name}_third';
                 commit prepared '{name}_third'; commit prepared '{name}_first';",
            ))
            .unwrap();
        let told = changes(log.everything().await);
        assert_eq!(
            told,
            [
                vec!["insert t (2, b)", "insert t (3, b)"],
                vec!["insert t (4, c)"],
                vec!["insert t (1, a)"],
            ]
        );
    }
}

#[tokio::test]
async fn truncating_names_every_table_that_was_emptied() {
    for engine in ENGINES {
        let mut log = Captured::of(
            engine,
            "create table a (id int primary key); create table b (id int primary key references a);
             create table c (id serial primary key); create table d (id int primary key);
             insert into d values (1)",
        )
        .await;
        let mut told = log
            .told(
                "truncate a cascade; truncate c, d restart identity; insert into c default values",
            )
            .await;
        told[..2].sort();
        told[2..4].sort();
        assert_eq!(
            told,
            [
                "truncate a",
                "truncate b",
                "truncate c",
                "truncate d",
                "insert c (1)"
            ]
        );
    }
}

#[tokio::test]
async fn commits_have_the_time_and_the_place_of_the_server() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        let before = log
            .database
            .sql("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
            .unwrap();
        let told = log.told("insert into t values (1, 'a')").await;
        assert_eq!(told.len(), 1);
        let told = log.everything().await;
        let first = &told[0];
        let late_by = first.committed_at_us - before.trim().parse::<i64>().unwrap();
        assert!((0..60_000_000).contains(&late_by), "{late_by}");
        let is_between = format!(
            "select '{}'::pg_lsn > '{}'::pg_lsn and '{0}'::pg_lsn <= pg_current_wal_lsn()",
            lsn(&first.position),
            lsn(&log.start)
        );
        assert_eq!(log.database.sql(&is_between).unwrap(), "t\n");
    }
}

#[tokio::test]
async fn a_stream_goes_on_behind_any_transaction_and_repeats_nothing() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database
            .sql(
                "do $$ begin for i in 1..50 loop insert into t values (i, 'x'), (-i, 'y');
                 if i % 3 = 0 then delete from t where id = -i; end if; commit; end loop; end $$",
            )
            .unwrap();
        let all = log.everything().await;
        assert_eq!(all.len(), 51, "and the one that marks the end");
        let end = log.log.end().await.unwrap();
        for place in [0, 7, 24, 49] {
            let from = all[place].position.clone();
            let mut reader = log.open_at(&from).await.unwrap();
            let rest = reader.until(&end).await.unwrap();
            assert_eq!(rest[..50 - place], all[place + 1..], "{place}");
        }
    }
}

#[tokio::test]
async fn what_was_confirmed_is_let_go_of_and_nothing_else() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database.sql("insert into t values (1, 'a')").unwrap();
        log.database.sql("insert into t values (2, 'b')").unwrap();
        let mut reader = log.open().await;
        let told = reader.transactions(2).await.unwrap();
        let slot = "select confirmed_flush_lsn from pg_replication_slots where database = current_database()";
        let start = lsn(&log.start).to_owned();
        assert_eq!(log.database.sql(slot).unwrap().trim(), start);
        reader.stream.confirm(&told[0].position);
        reader.stream.confirm(&log.start);
        let confirmed = log.eventually(slot, |answer| answer != start).await;
        assert_eq!(confirmed, lsn(&told[0].position));
    }
}

#[tokio::test]
async fn a_quiet_database_tells_places_so_that_the_log_can_be_let_go_of() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database
            .sql("create table other (id int); insert into other select generate_series(1, 1000)")
            .unwrap();
        let end = log.database.sql("select pg_current_wal_lsn()").unwrap();
        let end = whimbrel_core::Position::new(end.trim());
        let mut reader = log.open().await;
        let told = reader.until(&end).await.unwrap();
        let told: Vec<String> = changes(told).concat();
        assert_eq!(told, ["create public.other"]);
        let place = reader.place.clone().unwrap();
        reader.stream.confirm(&place);
        let slot = "select confirmed_flush_lsn from pg_replication_slots where database = current_database()";
        log.eventually(slot, |answer| answer == lsn(&place)).await;
        drop(reader);
        assert!(log.open_at(&place).await.is_ok());
    }
}

#[tokio::test]
async fn preparing_again_changes_nothing_and_keeps_the_position() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database.sql("insert into t values (1, 'a')").unwrap();
        let again = log.log.prepare(&log.tables).await.unwrap();
        assert_eq!(again.position, log.start);
        let mut other = log
            .connector
            .change_log(crate::support::TASK)
            .await
            .unwrap();
        assert_eq!(
            other.prepare(&log.tables).await.unwrap().position,
            log.start
        );
        assert_eq!(log.told("").await, ["insert t (1, a)"]);
        log.log.remove().await.unwrap();
        log.log.remove().await.unwrap();
        let left = "select count(*) from pg_publication;
                    select count(*) from pg_replication_slots where database = current_database()";
        assert_eq!(log.database.sql(left).unwrap(), "0\n0\n");
    }
}

#[tokio::test]
async fn tables_may_join_and_leave() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database
            .sql("create table u (id int primary key); insert into u values (0); insert into t values (1, 'a')")
            .unwrap();
        log.tables = crate::log_support::tables(&*log.connector).await;
        assert_eq!(
            log.log.prepare(&log.tables).await.unwrap().position,
            log.start
        );
        log.database
            .sql("insert into u values (1); insert into t values (2, 'b')")
            .unwrap();
        let told: Vec<String> = changes(log.everything().await).concat();
        assert_eq!(told, ["insert t (1, a)", "insert u (1)", "insert t (2, b)"]);
        log.tables.retain(|table| table.name.name == "u");
        log.log.prepare(&log.tables).await.unwrap();
        let told = log
            .told("insert into u values (2); insert into t values (3, 'c')")
            .await;
        assert_eq!(told, ["insert u (1)", "insert u (2)"]);
    }
}

#[tokio::test]
async fn a_transaction_far_larger_than_memory_comes_in_blocks() {
    let mut log = Captured::of(Engine::Postgres15, TABLE).await;
    log.database
        .sql("insert into t select i, repeat('x', 1000) from generate_series(1, 200000) i")
        .unwrap();
    let before = peak_kb();
    let mut reader = log.open().await;
    let (mut rows, mut blocks, mut bytes_max, mut is_committed) = (0, 0, 0, false);
    while !is_committed {
        let block = reader.block().await.unwrap();
        blocks += 1;
        bytes_max = bytes_max.max(block.rows.byte_count());
        for event in &block.events {
            match event {
                whimbrel_connector::LogEvent::Insert { .. } => rows += 1,
                whimbrel_connector::LogEvent::Commit { .. } => is_committed = true,
                _ => {}
            }
        }
    }
    assert_eq!(rows, 200_000);
    assert!(blocks > 100 && bytes_max < 1 << 20, "{blocks} {bytes_max}");
    let grown = peak_kb() - before;
    assert!(grown < 64 * 1024, "memory grew by {grown} KB");
}
