use serde_json::json;
use whimbrel_core::mapping::{NoExpressions, TableMappings};
use whimbrel_core::{Table, Value};

use super::fixture::WIDE_BYTES;
use super::rig::{self, WHOLE};
use super::{Change, End, Harness, fixture};
use crate::memory::{Cell, Row};
use crate::{Error, ReadRequest, Snapshot};

const BLOCK_BYTES: usize = 4 << 10;
const CHUNK_BYTES: u64 = 16 << 10;

/// Bytes and rows of the blocks of a table read in one chunk.
async fn blocks(snapshot: &dyn Snapshot, table: &Table) -> Vec<(usize, usize)> {
    let chunks = snapshot.plan(table, WHOLE).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let request = ReadRequest {
        block_bytes: BLOCK_BYTES,
        ..rig::decoded(table, &chunks[0])
    };
    reader.open(request).await.unwrap();
    let mut blocks = Vec::new();
    while let Some(block) = reader.next().await.unwrap() {
        assert_eq!(rig::rows_of(&*block).len(), block.row_count());
        blocks.push((block.byte_count(), block.row_count()));
    }
    blocks
}

/// Blocks are about as large as asked for.
pub async fn blocks_are_about_as_large_as_asked(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    let blocks = blocks(&*snapshot, &table).await;
    let rows: usize = blocks.iter().map(|block| block.1).sum();
    assert_eq!(rows, fixture.rows.len());
    let bytes: usize = blocks.iter().map(|block| block.0).sum();
    assert!(bytes > 480 * 230, "all bytes count: {bytes}");
    assert!(
        blocks.iter().all(|block| block.0 <= 2 * BLOCK_BYTES),
        "{blocks:?}"
    );
    assert!(blocks.len() <= 2 + 3 * bytes / BLOCK_BYTES, "{blocks:?}");
}

/// A row that is larger than a block is a block of its own.
pub async fn a_row_larger_than_a_block_is_a_block(harness: &dyn Harness) {
    let fixture = fixture::wide_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    let blocks = blocks(&*snapshot, &table).await;
    let wide: Vec<_> = blocks.iter().filter(|block| block.0 > WIDE_BYTES).collect();
    assert_eq!(wide.len(), 3, "{blocks:?}");
    assert!(wide.iter().all(|block| block.1 == 1), "{blocks:?}");
}

/// A chunk that was given up before its end, or read to its end, gives the same rows again.
pub async fn a_chunk_opened_again_gives_the_same_rows(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    let chunks = snapshot.plan(&table, WHOLE).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    for blocks_read in 0..3 {
        reader.open(rig::decoded(&table, &chunks[0])).await.unwrap();
        for _ in 0..blocks_read {
            assert!(reader.next().await.unwrap().is_some());
        }
    }
    for _ in 0..2 {
        let rows = rig::read_chunk(&mut *reader, &table, &chunks[0]).await;
        let mut rows = rows.unwrap();
        rows.sort();
        assert_eq!(rows, fixture.sorted());
    }
}

/// A filter leaves out no row that it selects; those that it does not select may come all the same.
pub async fn a_filter_leaves_out_no_row_that_it_selects(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    for (column, conditions) in [
        (
            "id",
            json!([{"filter-operator": "between", "start-value": "-20", "end-value": "700"}]),
        ),
        (
            "id",
            json!([{"filter-operator": "noteq", "value": "1"}, {"filter-operator": "gte", "value": "100.5"}]),
        ),
        (
            "note",
            json!([{"filter-operator": "gte", "value": "0"}, {"filter-operator": "null"}]),
        ),
        (
            "note",
            json!([{"filter-operator": "eq", "value": "it's \\ none"}]),
        ),
    ] {
        let rule = json!({"rule-type": "selection", "rule-id": 1, "rule-action": "include",
            "object-locator": {"schema-name": table.name.schema, "table-name": table.name.name},
            "filters": [{"filter-type": "source", "column-name": column, "filter-conditions": conditions}]});
        let mappings = TableMappings::parse(&json!({ "rules": [rule] }).to_string()).unwrap();
        let rules = mappings.resolve(&table, &NoExpressions).unwrap();
        let filter = rules.filter.unwrap();
        let mut rows = Vec::new();
        let mut reader = snapshot.reader().await.unwrap();
        for chunk in snapshot.plan(&table, CHUNK_BYTES).await.unwrap() {
            let request = ReadRequest {
                filter: Some(&filter),
                ..rig::decoded(&table, &chunk)
            };
            reader.open(request).await.unwrap();
            while let Some(block) = reader.next().await.unwrap() {
                rows.extend(rig::rows_of(&*block));
            }
        }
        let mut expected = fixture.sorted();
        let selects = |row: &Row| {
            let cells: Vec<Value<'_>> = row.iter().map(Cell::value).collect();
            filter.selects(&cells) == Some(true)
        };
        expected.retain(selects);
        rows.retain(selects);
        rows.sort();
        assert_eq!(rows, expected, "{column} {conditions}");
    }
}

/// The first error of planning and reading a table.
async fn reading_fails(snapshot: &dyn Snapshot, table: &Table) -> Error {
    match rig::read(snapshot, table).await {
        Err(error) => error,
        Ok(rows) => panic!("{} rows of a table that is gone", rows.len()),
    }
}

/// A table that is gone since it was described is a fault of that table; others are read as before.
pub async fn a_dropped_table_is_a_fault_of_the_table(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows(), fixture::one_row()]);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    harness.change(End::Source, &[Change::Drop("many_rows")]);
    let snapshot = source.snapshot(1).await.unwrap();
    let error = reading_fails(&*snapshot, &tables[0]).await;
    let names_it = matches!(&error, Error::Table(fault) if fault.table == tables[0].name);
    assert!(names_it, "{error:?}");
    let rows = rig::read(&*snapshot, &tables[1]).await.unwrap();
    assert_eq!(rows, fixture::one_row().rows);
}

/// So is a table that has other columns than when it was described.
pub async fn an_altered_table_is_a_fault_of_the_table(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows(), fixture::one_row()]);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    let other = fixture::no_key().named("many_rows");
    let [create, insert] = other.made();
    harness.change(End::Source, &[Change::Drop("many_rows"), create, insert]);
    let snapshot = source.snapshot(1).await.unwrap();
    let error = reading_fails(&*snapshot, &tables[0]).await;
    let names_it = matches!(&error, Error::Table(fault) if fault.table == tables[0].name);
    assert!(names_it, "{error:?}");
    let rows = rig::read(&*snapshot, &tables[1]).await.unwrap();
    assert_eq!(rows, fixture::one_row().rows);
}
