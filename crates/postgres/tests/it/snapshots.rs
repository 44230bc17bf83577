//! Every reader sees one moment of the source, and the chunks of a plan cover it exactly.

use std::time::Duration;

use whimbrel_connector::{Error, FinishedChunk, KeyPolicy, ReadFormat, ReadRequest, Snapshot};
use whimbrel_core::{ChunkBounds, Table};
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair, TASK, all_tables, load_table};

/// 40,000 rows on some hundred pages, with holes, in which nobody but the tests makes room.
const BIG: &str =
    "create table big (id int primary key, filler text) with (autovacuum_enabled = off);
    insert into big select i, repeat('x', i % 200) from generate_series(1, 40000) i;
    delete from big where id % 7 = 0; analyze big;";

async fn row_count(snapshot: &dyn Snapshot, table: &Table, chunks: &[ChunkBounds]) -> usize {
    let mut reader = snapshot.reader().await.unwrap();
    let mut count = 0;
    for bounds in chunks {
        let request = ReadRequest {
            table,
            bounds,
            filter: None,
            format: ReadFormat::Decoded,
            block_bytes: 32 << 10,
        };
        reader.open(request).await.unwrap();
        while let Some(block) = reader.next().await.unwrap() {
            count += block.row_count();
        }
    }
    count
}

async fn finished(
    snapshot: &dyn Snapshot,
    table: &Table,
    chunks: &[ChunkBounds],
) -> Vec<FinishedChunk> {
    let mut finished = Vec::new();
    for bounds in chunks {
        let row_count = row_count(snapshot, table, std::slice::from_ref(bounds)).await as u64;
        finished.push(FinishedChunk {
            bounds: bounds.clone(),
            filter: None,
            row_count,
        });
    }
    finished
}

#[tokio::test]
async fn chunks_cover_a_large_table_exactly() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "chunks");
            pair.source.sql(BIG).unwrap();
            let loaded = pair.load(how.chunk_bytes(256 << 10)).await.unwrap();
            assert!(loaded[0].chunk_count > 5, "{}", loaded[0].chunk_count);
            assert_eq!(loaded[0].row_count, 34286);
            pair.same_table("big");
        }
    }
}

#[tokio::test]
async fn a_small_or_empty_table_is_one_chunk() {
    let pair = Pair::on(Engine::Postgres15, "one_chunk");
    pair.source
        .sql("create table a (id int); create table b (id int); insert into b values (1)")
        .unwrap();
    let loaded = pair.load(How::RAW).await.unwrap();
    assert!(loaded.iter().all(|table| table.chunk_count == 1));
    pair.same_table("a");
    pair.same_table("b");
}

#[tokio::test]
async fn rows_written_after_the_snapshot_are_not_read() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "moment");
        pair.source.sql(BIG).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let tables = all_tables(&mut *source).await.unwrap();
        let snapshot = source.snapshot(2).await.unwrap();
        drop(source);
        let before = snapshot.plan(&tables[0], 256 << 10).await.unwrap();
        pair.source
            .sql(
                "insert into big select i, 'late' from generate_series(50000, 60000) i;
                 update big set filler = 'late' where id < 1000; delete from big where id > 39000;",
            )
            .unwrap();
        let after = snapshot.plan(&tables[0], 256 << 10).await.unwrap();
        for chunks in [before, after] {
            assert_eq!(row_count(&*snapshot, &tables[0], &chunks).await, 34286);
        }
    }
}

#[tokio::test]
async fn two_readers_work_side_by_side() {
    let pair = Pair::on(Engine::Postgres15, "readers");
    pair.source.sql(BIG).unwrap();
    let mut source = pair.from.source().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let snapshot = source.snapshot(2).await.unwrap();
    let chunks = snapshot.plan(&tables[0], 512 << 10).await.unwrap();
    let (left, right) = chunks.split_at(chunks.len() / 2);
    let (a, b) = tokio::join!(
        row_count(&*snapshot, &tables[0], left),
        row_count(&*snapshot, &tables[0], right)
    );
    assert_eq!(a + b, 34286);
}

#[tokio::test]
async fn the_position_is_a_place_in_the_log_and_what_was_running_there() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "position");
        let mut source = pair.from.source().await.unwrap();
        let snapshot = source.snapshot(1).await.unwrap();
        let (place, running) = snapshot.position().as_str().split_once(';').unwrap();
        let answer = pair
            .source
            .sql(&format!(
                "select '{place}'::pg_lsn > '0/0', pg_snapshot_xmin('{running}'::pg_snapshot)::text::bigint > 0"
            ))
            .unwrap();
        assert_eq!(answer, "t\tt\n");
    }
}

#[tokio::test]
async fn a_chunk_may_be_given_up_for_another() {
    let pair = Pair::on(Engine::Postgres15, "given_up");
    pair.source.sql(BIG).unwrap();
    let mut source = pair.from.source().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let chunks = snapshot.plan(&tables[0], 1 << 40).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let request = ReadRequest {
        table: &tables[0],
        bounds: &chunks[0],
        filter: None,
        format: ReadFormat::Decoded,
        block_bytes: 8192,
    };
    for _ in 0..3 {
        reader.open(request.clone()).await.unwrap();
        assert!(reader.next().await.unwrap().is_some());
    }
    reader.open(request).await.unwrap();
    let mut count = 0;
    while let Some(block) = reader.next().await.unwrap() {
        count += block.row_count();
    }
    assert_eq!(count, 34286);
}

#[tokio::test]
async fn a_table_dropped_after_planning_is_a_fault_of_that_table() {
    let pair = Pair::on(Engine::Postgres15, "dropped");
    pair.source
        .sql(
            "create table gone (id int); create table stays (id int); insert into stays values (1)",
        )
        .unwrap();
    let mut source = pair.from.source().await.unwrap();
    let mut target = pair.to.target().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let fence = target.claim(TASK).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    pair.source.sql("drop table gone").unwrap();
    let error = load_table(&*snapshot, &mut *target, &fence, &tables[0], How::RAW)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Table(fault) if fault.table.name == "gone"),
        "{error:?}"
    );
    // The view is as good as before for the others.
    load_table(&*snapshot, &mut *target, &fence, &tables[1], How::RAW)
        .await
        .unwrap();
    pair.same_table("stays");
}

/// Waits until no transaction runs any more that is older than the table's rows: beside one they count as new, and others run some on
/// this server.
async fn settled(pair: &Pair) {
    let is_settled = "select bool_and(age(xmin) > age((pg_snapshot_xmin(pg_current_snapshot())::text::numeric % 4294967296)::text::xid)) from big";
    let waiting = async {
        while pair.source.sql(is_settled).unwrap().trim() != "t" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(3), waiting).await;
    waited.expect("older transactions go on running");
}

#[tokio::test]
async fn a_resumed_plan_holds_only_while_the_table_stays_as_it_was() {
    let pair = Pair::on(Engine::Postgres15, "holds");
    pair.source.sql(BIG).unwrap();
    settled(&pair).await;
    let mut source = pair.from.source().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let first = source.snapshot(1).await.unwrap();
    let chunks = first.plan(&tables[0], 256 << 10).await.unwrap();
    let finished = finished(&*first, &tables[0], &chunks[..2]).await;
    let planned_at = first.position().clone();
    drop(first);
    let holds = async |source: &mut Box<dyn whimbrel_connector::Source>| {
        let snapshot = source.snapshot(1).await.unwrap();
        snapshot
            .plan_holds(&tables[0], &planned_at, &finished)
            .await
            .unwrap()
    };
    assert!(holds(&mut source).await, "nothing changed");
    let last = "delete from big where id = (select max(id) from big)";
    pair.source.sql(last).unwrap();
    assert!(holds(&mut source).await, "what is read next lacks the row");
    pair.source.sql("delete from big where id = 1").unwrap();
    assert!(!holds(&mut source).await, "the target has a row too many");
}

#[tokio::test]
async fn a_resumed_plan_does_not_hold_once_rows_moved_or_columns_changed() {
    for change in [
        "vacuum full big",
        "alter table big rename filler to other",
        "alter table big add later int default 7",
    ] {
        let holds = holds_after(change).await;
        assert!(!holds, "{change}");
    }
}

async fn holds_after(change: &str) -> bool {
    let pair = Pair::on(Engine::Postgres15, "moved");
    pair.source.sql(BIG).unwrap();
    let mut source = pair.from.source().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let first = source.snapshot(1).await.unwrap();
    let chunks = first.plan(&tables[0], 256 << 10).await.unwrap();
    let finished = finished(&*first, &tables[0], &chunks[..2]).await;
    let planned_at = first.position().clone();
    drop(first);
    pair.source.sql(change).unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let second = source.snapshot(1).await.unwrap();
    let holds = second.plan_holds(&tables[0], &planned_at, &finished).await;
    holds.unwrap()
}

/// The first two chunks are finished, and the rest of the table stays in use.
#[tokio::test]
async fn a_resumed_plan_holds_while_rows_are_written_in_open_chunks_only() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "open_chunks");
        pair.source.sql(BIG).unwrap();
        settled(&pair).await;
        let mut source = pair.from.source().await.unwrap();
        let tables = all_tables(&mut *source).await.unwrap();
        let first = source.snapshot(1).await.unwrap();
        let chunks = first.plan(&tables[0], 256 << 10).await.unwrap();
        let finished = finished(&*first, &tables[0], &chunks[..2]).await;
        let planned_at = first.position().clone();
        drop(first);
        // A row is inserted into page 0 where the vacuum before has left room.
        for (change, holds) in [
            (
                "insert into big select i, 'late' from generate_series(50000, 52000) i",
                true,
            ),
            ("update big set filler = 'late' where id > 39000", true),
            ("delete from big where id > 51000", true),
            ("delete from big where id = 9", false),
            ("vacuum big; insert into big values (9, 'xxxxxxxxx')", false),
        ] {
            pair.source.sql(change).unwrap();
            let next = source.snapshot(1).await.unwrap();
            let answer = next.plan_holds(&tables[0], &planned_at, &finished).await;
            assert_eq!(answer.unwrap(), holds, "{engine}: {change}");
        }
        let page = pair
            .source
            .sql("select ctid < '(50,0)' from big where id = 9");
        assert_eq!(
            page.unwrap(),
            "t\n",
            "the count is as before, and one row is new"
        );
    }
}

#[tokio::test]
async fn a_resumed_plan_does_not_hold_once_rows_were_written() {
    let pair = Pair::on(Engine::Postgres15, "written");
    pair.source.sql(BIG).unwrap();
    let mut source = pair.from.source().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let first = source.snapshot(1).await.unwrap();
    let chunks = first.plan(&tables[0], 256 << 10).await.unwrap();
    let finished = finished(&*first, &tables[0], &chunks[..2]).await;
    let planned_at = first.position().clone();
    pair.source
        .sql("update big set filler = 'x' where id = 4")
        .unwrap();
    let second = source.snapshot(1).await.unwrap();
    let holds = second.plan_holds(&tables[0], &planned_at, &finished).await;
    assert!(!holds.unwrap());
}

#[tokio::test]
async fn a_table_truncated_or_moved_while_it_is_read_is_a_fault_and_not_empty() {
    for change in [
        "truncate big",
        "vacuum full big",
        "drop table big; create table big (id int, filler text)",
    ] {
        let pair = Pair::on(Engine::Postgres18, "truncated");
        pair.source.sql(BIG).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let mut target = pair.to.target().await.unwrap();
        let tables = all_tables(&mut *source).await.unwrap();
        let fence = target.claim(TASK).await.unwrap();
        let snapshot = source.snapshot(1).await.unwrap();
        pair.source.sql(change).unwrap();
        let loaded = load_table(&*snapshot, &mut *target, &fence, &tables[0], How::RAW).await;
        let error = loaded.unwrap_err();
        assert!(
            matches!(&error, Error::Table(fault) if fault.table.name == "big"),
            "{change}: {error:?}"
        );
    }
}

/// Partitions have their columns in other places than their table, and one that was dropped.
const COLUMNS: &str = "create table plain (id int primary key, a varchar(20), b text, gone int);
    alter table plain drop column gone;
    create table parted (id int, a varchar(20), b text) partition by range (id);
    create table leaf (b text, gone int, a varchar(20), id int not null); alter table leaf drop column gone;
    alter table parted attach partition leaf for values from (0) to (10);
    insert into plain values (1, 'a', 'b'); insert into parted values (1, 'a', 'b')";

/// What the loads of both tables give, of which columns change between the snapshot and the reading.
async fn loaded_after(engine: Engine, how: How, change: &str) -> [Result<u64, Error>; 2] {
    let pair = Pair::on(engine, "columns");
    pair.source.sql(COLUMNS).unwrap();
    let mut source = pair.from.source().await.unwrap();
    let mut target = pair.to.target().await.unwrap();
    let mut tables = source.tables(&|name| name.name != "leaf").await.unwrap();
    tables.sort_by_key(|table| table.name.name == "parted");
    let fence = target.claim(TASK).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    for table in &tables {
        let change = change.replace("TABLE", &format!("alter table {}", table.name.name));
        pair.source.sql(&change).unwrap();
    }
    let mut loaded = Vec::new();
    for table in &tables {
        let one = load_table(&*snapshot, &mut *target, &fence, table, how).await;
        loaded.push(one.map(|loaded| loaded.row_count));
    }
    loaded.try_into().unwrap()
}

#[tokio::test]
async fn a_column_that_takes_the_name_of_another_is_a_fault_and_not_read() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            for change in [
                "TABLE drop column b, add column b text default 'new'",
                "TABLE rename a to c; TABLE rename b to a; TABLE rename c to b",
            ] {
                for loaded in loaded_after(engine, how, change).await {
                    let error = loaded.unwrap_err();
                    assert!(
                        matches!(&error, Error::Table(fault) if fault.message.contains("columns")),
                        "{change}: {error:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn columns_that_come_or_take_longer_values_leave_the_others_to_be_read() {
    let change = "TABLE add later int default 7; TABLE alter a type text";
    for how in [How::RAW, How::DECODED] {
        for loaded in loaded_after(Engine::Postgres18, how, change).await {
            assert_eq!(loaded.unwrap(), 1, "{how:?}");
        }
    }
}

#[tokio::test]
async fn keys_may_be_left_out() {
    let pair = Pair::on(Engine::Postgres15, "no_keys");
    pair.source
        .sql("create table t (id int primary key); insert into t values (1), (2)")
        .unwrap();
    pair.load(How {
        keys: KeyPolicy::None,
        ..How::RAW
    })
    .await
    .unwrap();
    assert_eq!(
        pair.target
            .sql("select count(*) from pg_index where indrelid = 't'::regclass")
            .unwrap(),
        "0\n"
    );
}
