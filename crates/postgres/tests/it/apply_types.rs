//! Every type is applied as it would have been loaded.

use std::fmt::Write as _;

use whimbrel_connector::{
    ApplySettings, ChunkReader, PrepareMode, ReadFormat, ReadRequest, SingleChange, SingleKind,
};
use whimbrel_core::{ChunkBounds, Position, Value};
use whimbrel_testkit::Engine;

use crate::changes::{Blocks, Rig, Row, Rows, at, int};
use crate::support::{ENGINES, How, Pair, all_tables};
use crate::types::{CASES, create_script_with, table_name};

/// All rows of a table, decoded.
async fn read(
    rig: &Rig,
    reader: &mut dyn ChunkReader,
    table: &str,
    bounds: &[ChunkBounds],
) -> Blocks {
    let mut blocks = Vec::new();
    for bounds in bounds {
        let request = ReadRequest {
            table: &rig.tables[table].source,
            bounds,
            filter: None,
            format: ReadFormat::Decoded,
            block_bytes: 64 << 10,
        };
        reader.open(request).await.unwrap();
        while let Some(block) = reader.next().await.unwrap() {
            blocks.push(block);
        }
    }
    Blocks(blocks)
}

/// A database with all types at the source, and the empty tables at the target.
async fn prepared(from: Engine, to: Engine, constraints: &str) -> (Rig, Vec<Blocks>) {
    let pair = Pair::between(from, to, "apply_types");
    pair.source.sql(&create_script_with(constraints)).unwrap();
    let mut rig = Rig::of(pair).await;
    let mut source = rig.pair.from.source().await.unwrap();
    all_tables(&mut *source).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let mut all = Vec::new();
    for index in 0..CASES.len() {
        let name = table_name(index);
        let table = rig.tables[&name].clone();
        let chunks = snapshot.plan(&table.source, 64 << 20).await.unwrap();
        rig.target
            .prepare(
                &rig.fence,
                &table,
                PrepareMode::DropAndCreate,
                &Position::new("x"),
                // Its rows come as changes.
                &[],
            )
            .await
            .unwrap();
        rig.target.finish(&rig.fence, &table).await.unwrap();
        all.push(read(&rig, &mut *reader, &name, &chunks).await);
    }
    (rig, all)
}

fn tables() -> Vec<String> {
    (0..CASES.len()).map(table_name).collect()
}

/// Sets the value of every row to NULL behind the applier's back.
fn empty_values(rig: &Rig) {
    let mut script = String::new();
    for table in tables() {
        writeln!(script, "update {table} set v = null;").unwrap();
    }
    rig.pair.target.sql(&script).unwrap();
}

async fn single(
    rig: &mut Rig,
    table: &str,
    rows: &Blocks,
    kind: impl Fn(usize) -> SingleKind,
) -> Vec<u64> {
    use whimbrel_connector::RowSet;
    let changes: Vec<_> = (0..rows.row_count())
        .map(|row| SingleChange {
            table: &rig.tables[table],
            kind: kind(row),
            rows,
        })
        .collect();
    rig.applier.apply_single(&changes).await.unwrap()
}

#[tokio::test]
async fn every_type_is_applied_by_key_as_it_is_loaded() {
    for (from, to) in [
        (ENGINES[0], ENGINES[0]),
        (ENGINES[1], ENGINES[1]),
        (ENGINES[0], ENGINES[1]),
    ] {
        let (mut rig, all) = prepared(from, to, ", primary key (n)").await;
        let nothing = Rows::default();
        let count = |index: usize| CASES[index].1.len() as u64 + 1;
        rig.begin().await;
        for (index, rows) in all.iter().enumerate() {
            let counts = rig
                .net_sets(&table_name(index), &nothing, &nothing, rows)
                .await
                .unwrap();
            assert_eq!(counts.inserted, count(index));
        }
        rig.commit().await;
        rig.pair.same_tables(&tables());
        empty_values(&rig);
        rig.begin().await;
        for (index, rows) in all.iter().enumerate() {
            let counts = rig
                .net_sets(&table_name(index), &nothing, rows, &nothing)
                .await
                .unwrap();
            assert_eq!(counts.updated, count(index));
        }
        rig.commit().await;
        rig.pair.same_tables(&tables());
        empty_values(&rig);
        rig.begin().await;
        for (index, rows) in all.iter().enumerate() {
            let set = |row| SingleKind::Update {
                before: None,
                after: at(row),
            };
            let counts = single(&mut rig, &table_name(index), rows, set).await;
            assert!(counts.iter().all(|&count| count == 1), "{}", CASES[index].0);
        }
        rig.commit().await;
        rig.pair.same_tables(&tables());
        rig.begin().await;
        for (index, rows) in all.iter().enumerate() {
            let counts = rig
                .net_sets(&table_name(index), rows, &nothing, &nothing)
                .await
                .unwrap();
            assert_eq!(counts.deleted, count(index));
            single(&mut rig, &table_name(index), rows, |row| {
                SingleKind::Insert { after: at(row) }
            })
            .await;
        }
        rig.commit().await;
        rig.pair.same_tables(&tables());
    }
}

#[tokio::test]
async fn every_type_is_found_without_a_key_as_it_was_loaded() {
    for (from, to, how) in [
        (ENGINES[0], ENGINES[0], How::RAW),
        (ENGINES[0], ENGINES[1], How::DECODED),
    ] {
        let (mut rig, all) = prepared(from, to, "").await;
        rig.pair.load(how).await.unwrap();
        // The load took the task over, and ended its sessions.
        rig.target = rig.pair.to.target().await.unwrap();
        rig.fence = rig.target.claim(crate::support::TASK).await.unwrap();
        rig.applier = rig
            .target
            .applier(&rig.fence, &ApplySettings::default())
            .await
            .unwrap();
        rig.begin().await;
        for (index, rows) in all.iter().enumerate() {
            let name = table_name(index);
            // There and back, so that rows which were applied are found as well.
            let same = |row| SingleKind::Update {
                before: Some(at(row)),
                after: at(row),
            };
            let counts = single(&mut rig, &name, rows, same).await;
            assert!(
                counts.iter().all(|&count| count == 1),
                "{}: {counts:?}",
                CASES[index].0
            );
        }
        rig.commit().await;
        rig.pair.same_tables(&tables());
        rig.begin().await;
        for (index, rows) in all.iter().enumerate() {
            let name = table_name(index);
            let counts = single(&mut rig, &name, rows, |row| SingleKind::Delete {
                before: at(row),
            })
            .await;
            assert!(
                counts.iter().all(|&count| count == 1),
                "{}: {counts:?}",
                CASES[index].0
            );
        }
        rig.commit().await;
        let left = tables().join(" union all select n from ");
        let left = format!("select n from {left}");
        assert_eq!(rig.shown(&left), "");
    }
}

#[tokio::test]
async fn user_types_are_applied_as_they_are_loaded() {
    let script = "create type mood as enum ('sad', 'o''k'); create domain positive as int not null check (value > 0);
        create domain short as varchar(5) check (value <> ''); create domain shorter as short;
        create type pair as (a int, m mood); create extension hstore; create extension citext;
        create table t (id int primary key, m mood, p positive, s shorter, c pair, cs pair[], h hstore, x citext);
        create table only_key (a positive, b mood, primary key (a, b));";
    for engine in ENGINES {
        let mut rig = Rig::new(engine, script).await;
        let row = |id, v: [&'static str; 6]| -> Row {
            let [mood, short, pair, pairs, store, caseless] = v.map(Value::Text);
            vec![int(id), mood, int(id), short, pair, pairs, store, caseless]
        };
        let a = |id| {
            row(
                id,
                ["sad", "abc", "(1,sad)", "{\"(2,)\"}", "\"a\"=>NULL", "Mi"],
            )
        };
        let b = |id| row(id, ["o'k", "x", "(,)", "{}", "", ""]);
        let masked = |id| -> Row {
            let mut row = vec![Value::NotSent; 8];
            (row[0], row[3]) = (int(id), Value::Text("part"));
            row
        };
        rig.begin().await;
        rig.net("t", vec![], vec![], vec![a(1), a(2), a(3)])
            .await
            .unwrap();
        let count = rig
            .net("t", vec![a(3)], vec![b(1), masked(2)], vec![])
            .await
            .unwrap();
        assert_eq!((count.deleted, count.updated), (1, 2));
        let set = vec![
            ("t", crate::changes::Do::Insert(a(4))),
            ("t", crate::changes::Do::Set(masked(4))),
        ];
        assert_eq!(rig.single(set).await.unwrap(), [1, 1]);
        let key = |n| vec![int(n), Value::Text("sad")];
        rig.net("only_key", vec![], vec![], vec![key(1), key(2)])
            .await
            .unwrap();
        let count = rig
            .net("only_key", vec![key(2)], vec![key(1)], vec![])
            .await
            .unwrap();
        assert_eq!((count.deleted, count.updated), (1, 1));
        assert_eq!(
            rig.single(vec![("only_key", crate::changes::Do::Set(key(1)))])
                .await
                .unwrap(),
            [1]
        );
        rig.commit().await;
        assert_eq!(
            rig.shown("select * from t order by id"),
            "1\to'k\t1\tx\t(,)\t{}\t\t\n2\tsad\t2\tpart\t(1,sad)\t{\"(2,)\"}\t\"a\"=>NULL\tMi\n4\tsad\t4\tpart\t(1,sad)\t{\"(2,)\"}\t\"a\"=>NULL\tMi"
        );
    }
}
