use whimbrel_core::{ChunkBounds, Table, TableName};

use super::rig::{self, SMALL_CHUNK, WHOLE};
use super::{Change, End, Harness, fixture};
use crate::{FinishedChunk, RecordedPlan, Snapshot, Source};

/// The longest text of bounds that a target must be able to keep.
const RANGE_BYTES_MAX: usize = 60_000;

/// Every row of the view lies in exactly one chunk, whatever the shape of the table and the size of chunks.
pub async fn every_row_lies_in_exactly_one_chunk(harness: &dyn Harness) {
    let fixtures = fixture::all();
    rig::make(harness, &fixtures);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    let snapshot = source.snapshot(1).await.unwrap();
    for fixture in &fixtures {
        let table = tables.iter().find(|t| t.name.name == fixture.name).unwrap();
        for chunk_bytes in [WHOLE, SMALL_CHUNK] {
            let chunks = snapshot.plan(table, chunk_bytes).await.unwrap();
            assert!(!chunks.is_empty(), "{}", fixture.name);
            assert!(chunks.iter().all(|c| c.range.len() <= RANGE_BYTES_MAX));
            let rows = rig::read_chunks(&*snapshot, table, &chunks).await.unwrap();
            assert_eq!(rows, fixture.sorted(), "{} {chunk_bytes}", fixture.name);
        }
    }
}

/// A small table is one chunk, and so is an empty one.
pub async fn a_small_table_is_one_chunk(harness: &dyn Harness) {
    let fixtures = [fixture::empty(), fixture::one_row(), fixture::nulls()];
    rig::make(harness, &fixtures);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    let snapshot = source.snapshot(1).await.unwrap();
    for table in &tables {
        for chunk_bytes in [WHOLE, 64 << 10] {
            let chunks = snapshot.plan(table, chunk_bytes).await.unwrap();
            assert_eq!(chunks.len(), 1, "{}", table.name);
        }
    }
}

/// A table with a key of whole numbers is cut into chunks of about the size asked for: none has most of the rows, and
/// there are not far more than needed.
pub async fn chunks_are_about_as_large_as_asked(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    let chunks = snapshot.plan(&table, SMALL_CHUNK).await.unwrap();
    // 480 rows of 250 bytes are seven times 16 KiB; pages are filled as each engine likes.
    assert!((3..=30).contains(&chunks.len()), "{} chunks", chunks.len());
    let mut reader = snapshot.reader().await.unwrap();
    for bounds in &chunks {
        let rows = rig::read_chunk(&mut *reader, &table, bounds).await.unwrap();
        let share = fixture.rows.len() / 2;
        assert!(rows.len() < share, "{} rows in one chunk", rows.len());
    }
    assert_eq!(snapshot.plan(&table, WHOLE).await.unwrap().len(), 1);
}

/// While a table stays as it was, a plan holds under a later view, whichever chunks are finished.
pub async fn a_plan_holds_while_the_table_is_unchanged(harness: &dyn Harness) {
    let fixtures = fixture::all();
    rig::make(harness, &fixtures);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    // A connector may take rows for new that were committed beside transactions which still ran, and others may run some on this server.
    let mut attempt = 0;
    let (second, plans) = loop {
        attempt += 1;
        match planned(&mut *source, &tables).await {
            Ok(held) => break held,
            Err(table) => assert!(attempt < 20, "the plan of {table} does not hold"),
        }
    };
    let many = tables.iter().position(|t| t.name.name == "many_rows");
    let (table, plan) = (&tables[many.unwrap()], &plans[many.unwrap()]);
    let plan: Vec<ChunkBounds> = plan.iter().map(|chunk| chunk.bounds.clone()).collect();
    let rows = rig::read_chunks(&*second, table, &plan).await.unwrap();
    assert_eq!(rows, fixture::many_rows().sorted());
}

/// Plans under one snapshot that hold under another; or the name of a table whose plan does not.
async fn planned(
    source: &mut dyn Source,
    tables: &[Table],
) -> Result<(Box<dyn Snapshot>, Vec<Vec<FinishedChunk>>), TableName> {
    let first = source.snapshot(1).await.unwrap();
    let mut plans = Vec::new();
    for table in tables {
        let plan = first.plan(table, SMALL_CHUNK).await.unwrap();
        plans.push(finished(&*first, table, &plan).await);
    }
    let planned_at = first.position().clone();
    drop(first);
    let second = source.snapshot(1).await.unwrap();
    for (table, plan) in tables.iter().zip(&plans) {
        // With nothing finished, nothing is lost by starting again.
        for finished in [&plan[..1], &plan[..]] {
            let holds = second.plan_holds(table, &planned_at, finished).await;
            if !holds.unwrap() {
                return Err(table.name.clone());
            }
        }
    }
    Ok((second, plans))
}

/// The chunks with the rows that they give now.
async fn finished(
    snapshot: &dyn Snapshot,
    table: &Table,
    chunks: &[ChunkBounds],
) -> Vec<FinishedChunk> {
    let mut finished = Vec::new();
    for bounds in chunks {
        let rows = rig::read_chunks(snapshot, table, std::slice::from_ref(bounds)).await;
        finished.push(FinishedChunk {
            bounds: bounds.clone(),
            filter: None,
            row_count: rows.unwrap().len() as u64,
        });
    }
    finished
}

/// A connector that lets a plan hold although rows came and went: those of the finished chunks and what the others hold now
/// are every row.
pub async fn a_plan_that_holds_covers_every_row(harness: &dyn Harness) {
    let (many, later) = (fixture::many_rows(), fixture::later_rows());
    let name = many.name;
    let went = [Change::Delete(name)];
    let came = [Change::Insert(name, &later)];
    let replaced = [
        Change::Delete(name),
        Change::Insert(name, &later),
        Change::Insert(name, &many.rows),
    ];
    for changes in [&went[..], &came, &replaced] {
        rig::make(harness, std::slice::from_ref(&many));
        let mut source = harness.connector(End::Source).source().await.unwrap();
        let table = rig::table(harness, End::Source, &mut *source, name).await;
        let first = source.snapshot(1).await.unwrap();
        let chunks = first.plan(&table, SMALL_CHUNK).await.unwrap();
        let (done, open) = chunks.split_at(1);
        let mut rows = rig::read_chunks(&*first, &table, done).await.unwrap();
        let done = finished(&*first, &table, done).await;
        let planned_at = first.position().clone();
        drop(first);
        harness.change(End::Source, changes);
        let second = source.snapshot(1).await.unwrap();
        second.recall(vec![RecordedPlan {
            table: table.name.clone(),
            planned_at: planned_at.clone(),
            finished: done.clone(),
        }]);
        if second.plan_holds(&table, &planned_at, &done).await.unwrap() {
            rows.extend(rig::read_chunks(&*second, &table, open).await.unwrap());
            rows.sort();
            assert_eq!(rows, rig::read(&*second, &table).await.unwrap());
        }
        drop(second);
        harness.change(End::Source, &[Change::Drop(name)]);
    }
}
