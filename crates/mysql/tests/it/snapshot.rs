//! One view for all readers, whatever others write meanwhile and whatever the user may not do.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel_connector::{Connector, Error, ReadFormat, ReadRequest, Snapshot};
use whimbrel_core::{Table, Value};
use whimbrel_testkit::TestDatabase;

use crate::support::{ENGINES, Pair, connector};

async fn rows_of(snapshot: &dyn Snapshot, table: &Table) -> Vec<(i64, i64)> {
    let plan = snapshot.plan(table, 1 << 30).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let request = ReadRequest {
        table,
        bounds: &plan[0],
        filter: None,
        format: ReadFormat::Decoded,
        block_bytes: 1000,
    };
    reader.open(request).await.unwrap();
    let mut rows = Vec::new();
    while let Some(block) = reader.next().await.unwrap() {
        block
            .decode(&mut |values| {
                let [Value::Int(a), Value::Int(b)] = values else {
                    panic!("{values:?}")
                };
                rows.push((*a, *b));
                Ok(())
            })
            .unwrap();
    }
    rows
}

/// Tells the mover to stop, also when the test panics: the runtime would wait for it for ever.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Moves amounts between two tables until told to stop; their sum never changes.
fn mover(database: &TestDatabase, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut sql = String::new();
        for step in 0..50 {
            write!(
                sql,
                "start transaction; update a set v = v - 1 where id = {0}; update b set v = v + 1 where id = {0}; commit;",
                step % 20
            )
            .unwrap();
        }
        database.sql(&sql).unwrap();
    }
}

async fn sums_hold(pair: &Pair, from: &dyn Connector) {
    let mut source = from.source().await.unwrap();
    let tables = pair.tables(&mut *source).await.unwrap();
    for _ in 0..5 {
        let snapshot = source.snapshot(4).await.unwrap();
        let a = rows_of(&*snapshot, &tables[0]).await;
        let b = rows_of(&*snapshot, &tables[1]).await;
        let sum: i64 = a.iter().chain(&b).map(|row| row.1).sum();
        assert_eq!((a.len(), b.len(), sum), (20, 20, 0));
        // Who may not see the log gets no position.
        let position = snapshot.position().as_str();
        assert!(
            position.contains("binlog.") || position.ends_with("none"),
            "{position}"
        );
    }
}

const ACCOUNTS: &str = "create table a (id int primary key, v int); create table b (id int primary key, v int);
    insert into a values (0,0),(1,0),(2,0),(3,0),(4,0),(5,0),(6,0),(7,0),(8,0),(9,0),(10,0),(11,0),(12,0),(13,0),(14,0),(15,0),(16,0),(17,0),(18,0),(19,0);
    insert into b select * from a;";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_readers_see_one_moment_while_others_write() {
    for engine in ENGINES {
        let pair = Arc::new(Pair::on(engine, "moment"));
        pair.source.sql(ACCOUNTS).unwrap();
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let moving = {
            let (pair, stop) = (Arc::clone(&pair), Arc::clone(&stop.0));
            tokio::task::spawn_blocking(move || mover(&pair.source, &stop))
        };
        sums_hold(&pair, &*pair.from).await;
        // A user without RELOAD: MariaDB compares the places of the views, MySQL locks the tables.
        let user = format!("r_{}", pair.source.name());
        let user = &user[..user.len().min(32)];
        let rights = "select, lock tables";
        pair.source
            .sql(&format!("create user '{user}'@'%' identified by 'pw'; grant {rights} on {}.* to '{user}'@'%'", pair.source.name()))
            .unwrap();
        sums_hold(&pair, &*connector(&pair.source.url_as(user, "pw"))).await;
        // Nor may it lock tables: MySQL is left with one reader.
        pair.source
            .sql(&format!(
                "revoke lock tables on {}.* from '{user}'@'%'",
                pair.source.name()
            ))
            .unwrap();
        sums_hold(&pair, &*connector(&pair.source.url_as(user, "pw"))).await;
        drop(stop);
        moving.await.unwrap();
        pair.source.sql(&format!("drop user '{user}'@'%'")).unwrap();
    }
}

#[tokio::test]
async fn rows_read_without_any_lock_are_no_ground_for_changes() {
    let pair = Pair::on(whimbrel_testkit::Engine::Mysql97, "unlocked");
    pair.source
        .sql("create table t (id int primary key)")
        .unwrap();
    let user = format!("u_{}", pair.source.name());
    let user = &user[..user.len().min(32)];
    pair.source
        .sql(&format!(
            "create user '{user}'@'%' identified by 'pw'; grant replication slave, replication client on *.* to '{user}'@'%';
             grant select on {}.* to '{user}'@'%'",
            pair.source.name()
        ))
        .unwrap();
    let from = connector(&pair.source.url_as(user, "pw"));
    let mut source = from.source().await.unwrap();
    pair.tables(&mut *source).await.unwrap();
    let snapshot = source.snapshot(2).await.unwrap();
    let log = from.change_log("unlocked").await.unwrap();
    let error = log.view(snapshot.position()).unwrap_err().to_string();
    assert!(error.contains("grant RELOAD"), "{error}");
    pair.source.sql(&format!("drop user '{user}'@'%'")).unwrap();
}

/// Reads the only chunk of a table.
async fn read_whole(snapshot: &dyn Snapshot, table: &Table) -> Result<(), Error> {
    let plan = snapshot.plan(table, 1 << 30).await?;
    let mut reader = snapshot.reader().await?;
    let request = ReadRequest {
        table,
        bounds: &plan[0],
        filter: None,
        format: ReadFormat::Decoded,
        block_bytes: 1000,
    };
    reader.open(request).await?;
    while reader.next().await?.is_some() {}
    Ok(())
}

/// As tools do it that alter tables online: they fill another table and let it take the name.
#[tokio::test]
async fn a_table_that_takes_the_name_of_another_is_a_fault_and_not_read() {
    for engine in ENGINES {
        for partitions in ["", "partition by hash (id) partitions 2"] {
            let pair = Pair::on(engine, "renamed");
            // The server tells to the second when a table was made.
            let sql = format!(
                "create table stays (id int primary key); insert into stays values (1);
                 create table t (id int primary key, v int) {partitions}; insert into t values (1, 1), (2, 2); do sleep(1.1);
                 create table ghost like t; insert into ghost values (1, 1)"
            );
            pair.source.sql(&sql).unwrap();
            let mut source = pair.from.source().await.unwrap();
            let tables = pair.tables(&mut *source).await.unwrap();
            let [_, stays, t] = &tables[..] else {
                panic!("{tables:?}")
            };
            let snapshot = source.snapshot(2).await.unwrap();
            pair.source
                .sql("rename table t to gone, ghost to t")
                .unwrap();
            for (table, is_same) in [(t, false), (stays, true)] {
                let checked = match read_whole(&*snapshot, table).await {
                    Ok(()) => snapshot.check_origin(table).await,
                    Err(error) => Err(error),
                };
                assert_eq!(
                    checked.is_ok(),
                    is_same,
                    "{engine} {partitions} {checked:?}"
                );
                if let Err(error) = checked {
                    assert!(matches!(error, Error::Table(_)), "{error:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_reader_given_up_half_way_makes_room_under_the_same_view() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "given_up");
        pair.source
            .sql("create table t (id int auto_increment primary key, filler varchar(2000)); insert into t (filler) values (repeat('x', 2000));
                  insert into t (filler) select filler from t; insert into t (filler) select filler from t; insert into t (filler) select filler from t;
                  insert into t (filler) select filler from t; insert into t (filler) select filler from t; insert into t (filler) select filler from t;
                  insert into t (filler) select filler from t; insert into t (filler) select filler from t; insert into t (filler) select filler from t;
                  insert into t (filler) select filler from t; insert into t (filler) select filler from t; insert into t (filler) select filler from t;
                  insert into t (filler) select filler from t; insert into t (filler) select filler from t")
            .unwrap();
        let mut source = pair.from.source().await.unwrap();
        let table = pair.tables(&mut *source).await.unwrap().remove(0);
        let snapshot = source.snapshot(1).await.unwrap();
        pair.source.sql("delete from t where id > 10").unwrap();
        let plan = snapshot.plan(&table, 1 << 40).await.unwrap();
        for _ in 0..3 {
            let mut reader = snapshot.reader().await.unwrap();
            let request = ReadRequest {
                table: &table,
                bounds: &plan[0],
                filter: None,
                format: ReadFormat::Decoded,
                block_bytes: 5000,
            };
            reader.open(request.clone()).await.unwrap();
            assert!(reader.next().await.unwrap().is_some());
            // Opening again gives the open chunk up too.
            reader.open(request).await.unwrap();
            assert!(reader.next().await.unwrap().is_some());
        }
        let mut reader = snapshot.reader().await.unwrap();
        reader
            .open(ReadRequest {
                table: &table,
                bounds: &plan[0],
                filter: None,
                format: ReadFormat::Decoded,
                block_bytes: 5000,
            })
            .await
            .unwrap();
        let mut rows = 0;
        while let Some(block) = reader.next().await.unwrap() {
            rows += block.row_count();
        }
        assert_eq!(rows, 1 << 14, "the view is still the old one");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_within_a_row_is_not_lent_again() {
    for engine in ENGINES {
        for format in [ReadFormat::InParts, ReadFormat::Decoded] {
            let pair = Pair::on(engine, "lost_within");
            // More than the sockets hold, so that the server is in the middle of it.
            pair.source
                .sql("create table t (id int primary key, b longblob); insert into t values (1, repeat('x', 15000000)), (2, repeat('x', 15000000))")
                .unwrap();
            let mut source = pair.from.source().await.unwrap();
            let table = pair.tables(&mut *source).await.unwrap().remove(0);
            let snapshot = source.snapshot(2).await.unwrap();
            let plan = snapshot.plan(&table, 1 << 40).await.unwrap();
            let request = ReadRequest {
                table: &table,
                bounds: &plan[0],
                filter: None,
                format,
                block_bytes: 64 << 10,
            };
            let mut reader = snapshot.reader().await.unwrap();
            reader.open(request.clone()).await.unwrap();
            assert!(reader.next().await.unwrap().is_some());
            let reading = "select id from information_schema.processlist where command = 'Execute' and db = database()";
            let id = pair.source.sql(reading).unwrap();
            pair.source.sql(&format!("kill {id}")).unwrap();
            // A server that can still write notices only behind its rows.
            let left =
                format!("select count(*) from information_schema.processlist where id = {id}");
            while pair.source.sql(&left).unwrap() != "0\n" {
                tokio::task::yield_now().await;
            }
            let lost = loop {
                match reader.next().await {
                    Ok(block) => assert!(block.is_some(), "{engine}: it was not lost"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(lost, Error::Transient(_)), "{engine} {lost:?}");
            drop(reader);
            let mut reader = snapshot.reader().await.unwrap();
            reader.open(request).await.unwrap();
            let mut rows = 0;
            while let Some(block) = reader.next().await.unwrap() {
                rows += block.row_count();
            }
            assert_eq!(rows, 2);
        }
    }
}

#[tokio::test]
async fn a_lost_connection_or_an_altered_table_is_told_apart() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "lost");
        pair.source.sql("create table t (id int primary key, v int); insert into t values (1, 1); create table u (id int primary key, v int)").unwrap();
        let mut source = pair.from.source().await.unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        pair.source.sql("alter table t modify v bigint").unwrap();
        let snapshot = source.snapshot(1).await.unwrap();
        let plan = snapshot.plan(&tables[0], 1 << 40).await.unwrap();
        let mut reader = snapshot.reader().await.unwrap();
        let request = ReadRequest {
            table: &tables[0],
            bounds: &plan[0],
            filter: None,
            format: ReadFormat::Decoded,
            block_bytes: 5000,
        };
        let altered = reader.open(request.clone()).await.unwrap_err();
        assert!(
            matches!(altered, Error::Table(_)) && altered.to_string().contains('v'),
            "{altered}"
        );
        pair.source.sql("drop table u").unwrap();
        let gone = reader
            .open(ReadRequest {
                table: &tables[1],
                ..request.clone()
            })
            .await
            .unwrap_err();
        assert!(matches!(gone, Error::Table(_)), "{gone}");
        let ids = pair.source.sql("select group_concat(id) from information_schema.processlist where command = 'Sleep' and time >= 0 and user = 'whimbrel' and info is null and db = database()").unwrap();
        for id in ids.trim().split(',') {
            pair.source.sql(&format!("kill {id}")).ok();
        }
        let lost = reader.open(request).await.unwrap_err();
        assert!(matches!(lost, Error::Transient(_)), "{engine} {lost:?}");
        drop(reader);
        let lost = snapshot.reader().await.err().unwrap();
        assert!(matches!(lost, Error::Transient(_)), "{engine} {lost:?}");
    }
}
