//! A random workload of several sessions, read by streams that are cut off at random: what the log tells, put on an empty table,
//! makes the table.

use std::collections::BTreeMap;
use std::fmt::Write;

use whimbrel_connector::{ChangeRows, LogEvent, RowAt};
use whimbrel_core::{Position, Value, write_text};

use crate::log_support::Captured;
use crate::support::ENGINES;

const SESSIONS: u64 = 4;
const TRANSACTIONS: u64 = 120;
const TABLE: &str = "create table t (id bigint primary key, a int, b text, c numeric); alter table t alter b set storage external";

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A session's script. Sessions have keys of their own, so that they never wait for each other.
fn script(session: u64, dice: &mut Dice) -> String {
    let mut sql = String::new();
    for _ in 0..TRANSACTIONS {
        sql.push_str("begin;");
        for step in 0..=dice.roll(6) {
            let id = session * 1_000 + dice.roll(40);
            let other = session * 1_000 + dice.roll(40);
            let big = 3_000 * dice.roll(2) + dice.roll(5);
            match dice.roll(9) {
                0..=2 => write!(
                    sql,
                    "insert into t values ({id}, {step}, repeat('{session}', {big}), {id} / 7.0) on conflict (id) do nothing;"
                ),
                3 => write!(sql, "update t set a = a + 1 where id = {id};"),
                4 => write!(sql, "update t set b = repeat('u', {big}), c = null where id = {id};"),
                5 => write!(
                    sql,
                    "update t set id = {other} where id = {id} and not exists (select from t where id = {other});"
                ),
                6 => write!(sql, "delete from t where id = {id};"),
                7 => write!(
                    sql,
                    "savepoint s; update t set a = -1, b = null where id / 1000 = {session}; rollback to s;"
                ),
                _ => write!(sql, "savepoint r; update t set c = 1.50 where id = {other}; release r;"),
            }
            .unwrap();
        }
        sql.push_str(if dice.roll(5) == 0 {
            "rollback;"
        } else {
            "commit;"
        });
    }
    sql
}

type Row = Vec<Option<String>>;

/// A table as the log tells it.
#[derive(Clone, Default)]
struct Model(BTreeMap<String, Row>);

impl Model {
    fn apply(&mut self, event: &LogEvent, rows: &dyn ChangeRows) {
        match event {
            LogEvent::Insert { after, .. } => {
                let row = cells(rows, *after);
                assert_eq!(self.0.insert(key(&row), row), None, "it was not there");
            }
            LogEvent::Update { before, after, .. } => {
                let mut row = cells(rows, *after);
                let old = before.map_or_else(|| key(&row), |at| key(&cells(rows, at)));
                let old = self.0.remove(&old).expect("it was there");
                for (cell, old) in row.iter_mut().zip(old) {
                    if cell.as_deref() == Some("not sent") {
                        *cell = old;
                    }
                }
                assert_eq!(self.0.insert(key(&row), row), None, "its place was free");
            }
            LogEvent::Delete { before, .. } => {
                let row = cells(rows, *before);
                self.0.remove(&key(&row)).expect("it was there");
            }
            _ => {}
        }
    }

    fn text(&self) -> String {
        let lines = self.0.values().map(|row| {
            let cells = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL"));
            cells.collect::<Vec<_>>().join("\t")
        });
        lines.fold(String::new(), |text, line| text + &line + "\n")
    }
}

fn key(row: &Row) -> String {
    row[0].clone().expect("keys are not null")
}

fn cells(rows: &dyn ChangeRows, at: RowAt) -> Row {
    let mut row = Row::new();
    rows.decode(at, &mut |values| {
        row = values.iter().map(cell).collect();
        Ok(())
    })
    .unwrap();
    row
}

fn cell(value: &Value<'_>) -> Option<String> {
    let mut text = Vec::new();
    match value {
        Value::Null => return None,
        Value::NotSent => text.extend_from_slice(b"not sent"),
        value => write_text(value, &mut text),
    }
    Some(String::from_utf8(text).unwrap())
}

/// Follows to `end`, beginning anew behind the last whole transaction after some blocks.
async fn follow(log: &mut Captured, end: &Position, dice: &mut Dice) -> Model {
    let mut model = Model::default();
    let mut from = log.start.clone();
    loop {
        let mut reader = log.open_at(&from).await.unwrap();
        // What a reader has seen of an open transaction is lost with it, as an open transaction of the target is.
        let mut open = model.clone();
        for _ in 0..=dice.roll(20) {
            let block = reader.block().await.unwrap();
            for event in &block.events {
                open.apply(event, &*block.rows);
                if let LogEvent::Commit { place, .. } | LogEvent::Idle { place, .. } = event {
                    from = place.position();
                    model.clone_from(&open);
                    if dice.roll(3) == 0 {
                        reader.stream.confirm(&from);
                    }
                    if reader.stream.has_reached(&**place, end) {
                        return model;
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_tells_makes_the_table() {
    let seed = whimbrel_testkit::seed() | 1;
    for engine in ENGINES {
        let mut dice = Dice(seed);
        let mut log = Captured::of(engine, TABLE).await;
        let scripts: Vec<String> = (1..=SESSIONS).map(|n| script(n, &mut dice)).collect();
        std::thread::scope(|scope| {
            for script in &scripts {
                let database = &log.database;
                scope.spawn(move || database.sql(script).unwrap());
            }
        });
        let end = log.log.end().await.unwrap();
        let model = follow(&mut log, &end, &mut dice).await;
        let rows = log.database.sql("select * from t order by id").unwrap();
        assert!(rows.lines().count() > 10);
        assert_eq!(model.text(), rows);
    }
}
