//! One law for every type: a row that is loaded, a row that is inserted, and a row that is updated decode to the same values.

use std::collections::BTreeMap;
use std::fmt::Write;

use whimbrel_connector::{ChangeRows, LogEvent, ReadFormat, ReadRequest, RowAt, TableId};
use whimbrel_core::{ColumnType, Value, write_text};
use whimbrel_testkit::Engine;

use crate::log_support::Captured;
use crate::support::ENGINES;
use crate::types::{CASES, cast};

/// What all text forms depend on, set in every way that is not ours.
const SETTINGS: &[(&str, &str)] = &[
    ("timezone", "'Asia/Kathmandu'"),
    ("datestyle", "'SQL, DMY'"),
    ("intervalstyle", "'sql_standard'"),
    ("bytea_output", "'escape'"),
    ("extra_float_digits", "0"),
    ("lc_monetary", "'C'"),
];

/// The value of a cell, with what kind it is. `None` when it was not sent.
type Cell = Option<String>;

fn cell(value: &Value<'_>) -> Cell {
    let mut text = Vec::new();
    write_text(value, &mut text);
    let text = String::from_utf8(text).unwrap();
    (*value != Value::NotSent).then(|| format!("{}: {text}", value.kind()))
}

/// The rows of a table by their number.
type Rows = BTreeMap<i64, Cell>;

fn put(rows: &mut Rows, values: &[Value<'_>]) {
    let Value::Int(number) = values[0] else {
        panic!("{values:?}");
    };
    assert_eq!(rows.insert(number, cell(&values[1])), None, "row {number}");
}

/// A table for each type that `is_wanted` takes, with a key.
fn script(is_wanted: &dyn Fn(usize) -> bool) -> (String, String) {
    let (mut create, mut fill) = (String::new(), String::new());
    for (index, (ty, values)) in CASES.iter().enumerate().filter(|(i, _)| is_wanted(*i)) {
        writeln!(
            create,
            "create table t{index} (n int primary key, v {ty}); alter table t{index} replica identity full;"
        )
        .unwrap();
        for (n, value) in values.iter().enumerate() {
            writeln!(
                fill,
                "insert into t{index} values ({n}, {});",
                cast(value, ty)
            )
            .unwrap();
        }
        writeln!(
            fill,
            "insert into t{index} values ({}, null);",
            values.len()
        )
        .unwrap();
    }
    (create, fill)
}

/// Loaded rows of each table.
async fn loaded(log: &Captured) -> BTreeMap<String, Rows> {
    let mut source = log.connector.source().await.unwrap();
    let tables = crate::support::all_tables(&mut *source).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let mut all = BTreeMap::new();
    for table in &tables {
        let mut rows = Rows::new();
        for bounds in &snapshot.plan(table, 1 << 40).await.unwrap() {
            let request = ReadRequest {
                table,
                bounds,
                filter: None,
                format: ReadFormat::Decoded,
                block_bytes: 1 << 16,
            };
            reader.open(request).await.unwrap();
            while let Some(block) = reader.next().await.unwrap() {
                block
                    .decode(&mut |values| {
                        put(&mut rows, values);
                        Ok(())
                    })
                    .unwrap();
            }
        }
        all.insert(table.name.name.clone(), rows);
    }
    all
}

/// Rows as the log tells them: inserted, before an update, after an update.
#[derive(Default)]
struct FromLog {
    names: BTreeMap<TableId, String>,
    inserted: BTreeMap<String, Rows>,
    before: BTreeMap<String, Rows>,
    after: BTreeMap<String, Rows>,
}

impl FromLog {
    async fn read(log: &mut Captured) -> Self {
        let end = log.log.end().await.unwrap();
        let mut reader = log.open().await;
        let mut read = Self::default();
        loop {
            let block = reader.block().await.unwrap();
            for event in &block.events {
                if read.event(event, &*block.rows) {
                    continue;
                }
                if let LogEvent::Commit { place, .. } | LogEvent::Idle { place, .. } = event
                    && reader.stream.has_reached(&**place, &end)
                {
                    return read;
                }
            }
        }
    }

    /// Whether it was a change.
    fn event(&mut self, event: &LogEvent, rows: &dyn ChangeRows) -> bool {
        let add = |all: &mut BTreeMap<String, Rows>, table: &String, at: RowAt| {
            let all = all.entry(table.clone()).or_default();
            rows.decode(at, &mut |values| {
                put(all, values);
                Ok(())
            })
            .unwrap();
        };
        match event {
            LogEvent::Table { id, table } => {
                self.names.insert(*id, table.name.name.clone());
            }
            LogEvent::Insert { table, after } => {
                add(&mut self.inserted, &self.names[table], *after);
            }
            LogEvent::Update {
                table,
                before: Some(before),
                after,
            } => {
                add(&mut self.before, &self.names[table], *before);
                add(&mut self.after, &self.names[table], *after);
            }
            LogEvent::Commit { .. } | LogEvent::Idle { .. } => return false,
            other => assert!(matches!(other, LogEvent::Begin { .. }), "{other:?}"),
        }
        true
    }
}

async fn law_holds(engine: Engine, is_wanted: &dyn Fn(usize) -> bool) {
    let (create, fill) = script(is_wanted);
    let mut log = Captured::of(engine, &create).await;
    let name = log.database.name().to_owned();
    let mut set = String::new();
    for (setting, value) in SETTINGS {
        writeln!(set, "alter database {name} set {setting} = {value};").unwrap();
    }
    log.database.sql(&set).unwrap();
    log.database.sql(&fill).unwrap();
    let loaded = loaded(&log).await;
    let mut update = String::new();
    for table in loaded.keys() {
        writeln!(update, "update {table} set n = n + 1000;").unwrap();
    }
    log.database.sql(&update).unwrap();
    let read = FromLog::read(&mut log).await;
    for (table, rows) in &loaded {
        let (ty, values) = CASES[table[1..].parse::<usize>().unwrap()];
        assert_eq!(rows.len(), values.len() + 1, "{ty}");
        assert_eq!(read.inserted.get(table), Some(rows), "inserted {ty}");
        assert_eq!(read.before.get(table), Some(rows), "before the update {ty}");
        for (n, loaded) in rows {
            let after = &read.after[table][&(n + 1000)];
            let is_oversized = loaded.as_ref().is_some_and(|text| text.len() > 1000);
            assert!(
                after == loaded || (after.is_none() && is_oversized),
                "after the update {ty}: {after:?} {loaded:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_type_is_told_as_it_is_loaded() {
    for engine in ENGINES {
        law_holds(engine, &|_| true).await;
    }
}

#[tokio::test]
async fn every_type_with_a_binary_form_is_told_as_it_is_loaded() {
    // Which types those are, the catalog says.
    let (create, _) = script(&|_| true);
    let log = Captured::of(Engine::Postgres15, &create).await;
    let mut is_binary = vec![false; CASES.len()];
    for table in &log.tables {
        let index: usize = table.name.name[1..].parse().unwrap();
        is_binary[index] = !matches!(table.columns[1].ty, ColumnType::Native { .. });
    }
    assert!(is_binary.iter().filter(|is_binary| **is_binary).count() > 25);
    for engine in ENGINES {
        law_holds(engine, &|index| is_binary[index]).await;
    }
}
