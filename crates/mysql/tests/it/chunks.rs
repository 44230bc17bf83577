//! Ranges of keys: every row lies in exactly one, whatever the key is made of.

use std::collections::HashSet;
use std::fmt::Write;

use whimbrel_connector::{FinishedChunk, ReadFormat, ReadRequest, Snapshot};
use whimbrel_core::{ChunkBounds, Table};
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair};

/// Rows in each of the tables: enough for several chunks of the size below.
const ROWS: u32 = 6000;
const CHUNK_BYTES: u64 = 64 << 10;

/// Tables whose keys differ, each with an index `n` that names the row. The servers number rows from 1 to `ROWS`.
const TABLES: [(&str, &str, &str); 17] = [
    ("whole", "id int primary key", "n"),
    (
        "negative",
        "id bigint primary key",
        "n * 1000003 - 3000000000",
    ),
    (
        "unsigned_max",
        "id bigint unsigned primary key",
        "18446744073709551615 - n",
    ),
    (
        "outlier",
        "id bigint primary key",
        "if(n = 6000, 9223372036854775807, n)",
    ),
    ("decimals", "id decimal(20,4) primary key", "n / 7 - 100"),
    (
        "text_key",
        "id varchar(70) primary key",
        "concat('user', sha2(n, 224))",
    ),
    (
        "text_general",
        "id varchar(60) collate utf8mb4_general_ci primary key",
        "concat('é', n, 'ß', left(sha2(n, 224), 9))",
    ),
    (
        "text_latin",
        "id char(60) character set latin1 collate latin1_swedish_ci primary key",
        "concat(left(sha2(n, 224), 9), 'é', n)",
    ),
    (
        "binary_key",
        "id binary(16) primary key",
        "left(unhex(sha2(n, 224)), 16)",
    ),
    (
        "dates",
        "id date primary key",
        "date_add('2000-01-01', interval n day)",
    ),
    (
        "moments",
        "id datetime(6) primary key",
        "date_add('2000-01-01', interval n * 1000003 microsecond)",
    ),
    (
        "enumerated",
        "id enum('a','b') not null, k int not null, primary key (id, k)",
        "if(n % 2, 'b', 'a'), n",
    ),
    ("double_key", "id double primary key", "n / 3"),
    ("no_key", "id int", "n"),
    ("unique_key", "id int not null unique", "n"),
    (
        "unique_keys",
        "a int, b varchar(9) not null, c bigint not null, unique (a), key (c), unique (b(2), c), unique `it``s` (b, c)",
        "n, concat('t', n % 3), n * 7",
    ),
    ("nullable_key", "id int unique", "n"),
];

fn setup(engine: Engine) -> String {
    let mut sql = String::from("create table digits (d int); insert into digits values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
        create view numbers as select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + 1 n from digits a, digits b, digits c, digits e;");
    let mut tables = TABLES.to_vec();
    if engine.is_mariadb() {
        tables.push(("uuids", "id uuid primary key", "concat(left(sha2(n, 224), 8), '-', mid(sha2(n, 224), 9, 4), '-4', mid(sha2(n, 224), 14, 3), '-8', mid(sha2(n, 224), 18, 3), '-', mid(sha2(n, 224), 21, 12))"));
    }
    tables.push((
        "composite",
        "a int not null, b int not null, c varchar(9) not null, primary key (a, b, c)",
        "n % 3, n, n",
    ));
    tables.push((
        "text_tenant",
        "a varchar(9) not null, b varchar(9) not null, c int not null, primary key (a, b, c)",
        "if(n % 9, 'acme', concat('t', n % 5)), 'x', n",
    ));
    tables.push((
        "one_tenant",
        "a bigint not null, b date not null, c int not null, primary key (a, b, c)",
        "7, '2020-01-01', n",
    ));
    for (name, columns, key) in tables {
        write!(sql,
            "create table {name} ({columns}, n int not null, filler char(100) not null default 'x') character set utf8mb4;
             insert into {name} select {key}, n, repeat('y', 100) from numbers where n <= {ROWS};
             analyze table {name};"
        )
        .unwrap();
    }
    sql
}

/// The numbers of the rows that a chunk holds, in the order in which they come.
pub(crate) async fn read(snapshot: &dyn Snapshot, table: &Table, bounds: &ChunkBounds) -> Vec<u64> {
    let mut reader = snapshot.reader().await.unwrap();
    let request = ReadRequest {
        table,
        bounds,
        filter: None,
        format: ReadFormat::Decoded,
        block_bytes: 10_000,
    };
    reader.open(request).await.unwrap();
    let at = table
        .loaded_columns()
        .position(|column| column.name == "n")
        .unwrap();
    let mut rows = Vec::new();
    while let Some(block) = reader.next().await.unwrap() {
        block
            .decode(&mut |values| {
                let whimbrel_core::Value::Int(number) = values[at] else {
                    panic!("{:?}", values[at])
                };
                rows.push(u64::try_from(number).unwrap());
                Ok(())
            })
            .unwrap();
    }
    rows
}

#[tokio::test]
async fn every_row_lies_in_exactly_one_chunk() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "chunks");
        pair.source.sql(&setup(engine)).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        assert!(
            tables.iter().all(|table| table.name.name != "numbers"),
            "views are not tables"
        );
        let snapshot = source.snapshot(2).await.unwrap();
        for table in tables.iter().filter(|table| table.name.name != "digits") {
            let name = &table.name.name;
            let plan = snapshot.plan(table, CHUNK_BYTES).await.unwrap();
            let is_whole =
                ["enumerated", "double_key", "no_key", "nullable_key"].contains(&name.as_str());
            if is_whole {
                assert_eq!(plan.len(), 1, "{engine} {name}");
            } else {
                assert!((3..200).contains(&plan.len()), "{engine} {name}: {plan:?}");
            }
            let mut seen = HashSet::new();
            let mut largest = 0;
            for bounds in &plan {
                let rows = read(&*snapshot, table, bounds).await;
                largest = largest.max(rows.len());
                for row in rows {
                    assert!(
                        seen.insert(row),
                        "{engine} {name}: row {row} lies in two chunks"
                    );
                }
            }
            assert_eq!(seen.len(), ROWS as usize, "{engine} {name}");
            if !is_whole {
                assert!(
                    largest < ROWS as usize * 2 / 3,
                    "{engine} {name}: {largest} rows in one chunk of {}",
                    plan.len()
                );
            }
            let finished = finished(&plan);
            assert!(
                snapshot
                    .plan_holds(table, snapshot.position(), &finished)
                    .await
                    .unwrap()
            );
        }
        let (a, b) = (&tables[0], &tables[3]);
        let plan = snapshot.plan(b, CHUNK_BYTES).await.unwrap();
        assert!(
            !snapshot
                .plan_holds(a, snapshot.position(), &finished(&plan))
                .await
                .unwrap(),
            "{} {}",
            a.name,
            b.name
        );
    }
}

/// Chunks that a load is over with; how many rows they gave does not matter to a source with a log.
fn finished(plan: &[ChunkBounds]) -> Vec<FinishedChunk> {
    plan.iter()
        .map(|bounds| FinishedChunk {
            bounds: bounds.clone(),
            filter: None,
            row_count: 0,
        })
        .collect()
}

#[tokio::test]
async fn a_table_of_many_chunks_and_statements_arrives_whole() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "many_chunks");
        pair.source.sql(&setup(engine)).unwrap();
        pair.source.sql("drop view numbers").unwrap();
        let how = How {
            statement_rows_max: Some(77),
            ..How::PLAIN.chunk_bytes(CHUNK_BYTES)
        };
        let keep = [
            "whole",
            "composite",
            "text_general",
            "no_key",
            "unique_keys",
        ];
        let drop: Vec<&str> = TABLES
            .iter()
            .map(|table| table.0)
            .filter(|name| !keep.contains(name))
            .collect();
        pair.source
            .sql(&format!("drop table digits, {}", drop.join(", ")))
            .unwrap();
        let loaded = pair.load(how).await.unwrap();
        assert!(loaded.iter().any(|table| table.chunk_count > 3));
        for table in loaded {
            let name = table.target.name.name;
            pair.same(&format!(
                "select count(*), sum(n), min(n), max(n), sum(crc32(filler)) from {name}"
            ));
        }
    }
}

#[tokio::test]
async fn a_large_table_that_cannot_be_split_is_said_to_be() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "large");
        let doubled = "set @rows = (select count(*) from large); insert into large select n + @rows, filler from large;";
        pair.source
            .sql(&format!(
                "create table large (n int not null, filler varchar(1000)); insert into large values (0, repeat('x', 1000));
                 {} analyze table large; create table small (n int)",
                doubled.repeat(16)
            ))
            .unwrap();
        let mut source = pair.from.source().await.unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        assert!(tables[1].notes.is_empty(), "{:?}", tables[1].notes);
        assert_eq!(tables[0].notes.len(), 1, "{:?}", tables[0]);
        assert!(tables[0].notes[0].contains("in one piece"));
        pair.source
            .sql("alter table large add unique (n); analyze table large")
            .unwrap();
        let tables = pair.tables(&mut *source).await.unwrap();
        assert!(tables[0].notes.is_empty(), "{:?}", tables[0].notes);
        let snapshot = source.snapshot(1).await.unwrap();
        let plan = snapshot.plan(&tables[0], 8 << 20).await.unwrap();
        assert!((6..30).contains(&plan.len()), "{engine} {}", plan.len());
    }
}
