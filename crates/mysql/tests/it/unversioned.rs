//! Tables whose storage engine keeps no versions of rows: no snapshot covers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel_connector::{ReadFormat, ReadRequest, Snapshot};
use whimbrel_core::{Table, Value};
use whimbrel_testkit::{Engine, TestDatabase};

use crate::support::{ENGINES, How, Pair};

const CHUNK_BYTES: u64 = 64 << 10;

/// Storage engines, and whether they have primary keys.
fn storage_engines(engine: Engine) -> [(&'static str, bool); 4] {
    let own = match engine {
        Engine::Mysql97 => ("ARCHIVE", false),
        _ => ("Aria", true),
    };
    [("MyISAM", true), ("MEMORY", true), ("CSV", false), own]
}

fn fill(database: &TestDatabase, storage: &str, has_key: bool) {
    let key = if has_key { ", primary key (id)" } else { "" };
    let sql = format!(
        "create table t_{storage} (id int not null, v int not null, filler char(100) not null{key}) engine = {storage};
         insert into t_{storage} select n, 0, repeat('x', 100) from numbers"
    );
    database.sql(&sql).unwrap();
}

const NUMBERS: &str = "create table digits (d int); insert into digits values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    create view numbers as select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + 1 n from digits a, digits b, digits c, digits e;";

#[tokio::test]
async fn they_are_one_chunk_and_said_to_be_and_arrive_whole() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "unversioned");
        pair.source.sql(NUMBERS).unwrap();
        for (storage, has_key) in storage_engines(engine) {
            fill(&pair.source, storage, has_key);
        }
        let mut source = pair.from.source().await.unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        let snapshot = source.snapshot(2).await.unwrap();
        for (storage, _) in storage_engines(engine) {
            let name = format!("t_{storage}");
            let table = tables.iter().find(|t| t.name.name == name).unwrap();
            let plan = snapshot.plan(table, CHUNK_BYTES).await.unwrap();
            assert_eq!(plan.len(), 1, "{engine} {storage}");
            let note = table.notes.concat();
            assert!(
                note.contains(storage) && note.contains("one statement"),
                "{note}"
            );
            let why = table.outside_snapshot.as_deref().unwrap();
            assert!(why.contains("ENGINE = InnoDB"), "{why}");
        }
        pair.load(How::PLAIN.chunk_bytes(CHUNK_BYTES))
            .await
            .unwrap();
        for (storage, _) in storage_engines(engine) {
            let sums = format!("select count(*), sum(id), sum(crc32(filler)) from t_{storage}");
            assert!(pair.same(&sums).starts_with("10000\t"), "{storage}");
        }
    }
}

#[tokio::test]
async fn a_table_that_is_converted_is_like_any_other() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "converted");
        pair.source.sql(NUMBERS).unwrap();
        fill(&pair.source, "MyISAM", true);
        pair.source
            .sql("alter table t_MyISAM engine = InnoDB; analyze table t_MyISAM")
            .unwrap();
        let mut source = pair.from.source().await.unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        let table = tables.iter().find(|t| t.name.name == "t_MyISAM").unwrap();
        assert_eq!((&table.outside_snapshot, table.notes.len()), (&None, 0));
        let snapshot = source.snapshot(1).await.unwrap();
        assert!(snapshot.plan(table, CHUNK_BYTES).await.unwrap().len() > 1);
    }
}

/// Tells the mover to stop, also when the test panics: the runtime would wait for it for ever.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Moves amounts from one end of the table to the other until told to stop; their sum never changes.
fn mover(database: &TestDatabase, stop: &AtomicBool) {
    let moved = "update t_MyISAM set v = v + if(id < 5000, -1, 1) where id in (1, 9999);";
    while !stop.load(Ordering::Relaxed) {
        database.sql(&moved.repeat(50)).unwrap();
    }
}

/// The sum of the amounts in all chunks of the plan.
async fn sum(snapshot: &dyn Snapshot, table: &Table) -> i64 {
    let mut sum = 0;
    for bounds in &snapshot.plan(table, CHUNK_BYTES).await.unwrap() {
        let mut reader = snapshot.reader().await.unwrap();
        let request = ReadRequest {
            table,
            bounds,
            filter: None,
            format: ReadFormat::Decoded,
            block_bytes: 1000,
        };
        reader.open(request).await.unwrap();
        while let Some(block) = reader.next().await.unwrap() {
            let mut add = |values: &[Value<'_>]| {
                let Value::Int(amount) = values[1] else {
                    panic!("{values:?}")
                };
                sum += amount;
                Ok(())
            };
            block.decode(&mut add).unwrap();
        }
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn their_rows_are_of_one_moment_while_others_write() {
    for engine in ENGINES {
        let pair = Arc::new(Pair::on(engine, "live"));
        pair.source.sql(NUMBERS).unwrap();
        fill(&pair.source, "MyISAM", true);
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let moving = {
            let (pair, stop) = (Arc::clone(&pair), Arc::clone(&stop.0));
            tokio::task::spawn_blocking(move || mover(&pair.source, &stop))
        };
        let mut source = pair.from.source().await.unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        let table = tables.iter().find(|t| t.name.name == "t_MyISAM").unwrap();
        let snapshot = source.snapshot(1).await.unwrap();
        for _ in 0..10 {
            assert_eq!(sum(&*snapshot, table).await, 0, "{engine}");
        }
        drop(stop);
        moving.await.unwrap();
    }
}
