//! What the tests of transactions that are sent while they run share.

use std::collections::HashMap;
use std::process::Command;
use std::thread;

use whimbrel_connector::ChangeLog;
use whimbrel_core::Position;
use whimbrel_postgres::Options;
use whimbrel_testkit::{Engine, TestDatabase};

use crate::log_support::{Captured, Reader, Told};
use crate::support::{TASK, connector_with};

pub(crate) const TABLE: &str = "create table t (id bigint primary key, a int, b text);";
/// What [`gated`] waits for.
pub(crate) const GATE: &str = "create table gate (id int primary key);";
/// How many sessions wait at the gate.
pub(crate) const WAITING: &str = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
/// The server sends what does not fit into this.
const LITTLE: &str = "do $$ begin execute format('alter database %I set logical_decoding_work_mem = ''64kB''', current_database()); end $$;";
const PIECES: &str = "select coalesce(sum(stream_count), 0) from pg_stat_replication_slots
    where slot_name in (select slot_name from pg_replication_slots where database = current_database())";

/// One log read in two ways: in pieces, of which little is held in memory, and whole.
pub(crate) struct Both {
    pub(crate) open: Captured,
    whole: Box<dyn ChangeLog>,
    whole_start: Position,
}

impl Both {
    pub(crate) async fn of(engine: Engine, script: &str) -> Self {
        let open = open(engine, script, |_| ()).await;
        let url = open.database.url();
        let whole = connector_with(&url, |options| options.takes_open_transactions = false);
        let mut whole = whole.change_log("whole transactions").await.unwrap();
        let whole_start = whole.prepare(&open.tables).await.unwrap().position;
        Self {
            open,
            whole,
            whole_start,
        }
    }

    /// Checks that both tell the same of what was committed since the beginning, and answers that.
    pub(crate) async fn same(&mut self) -> Vec<Vec<String>> {
        let end = self.open.log.end().await.unwrap();
        let start = self.whole_start.clone();
        let stream = self.whole.open(&self.open.tables, &start).await.unwrap();
        let whole = settled(Reader::of(stream).until(&end).await.unwrap());
        let mut reader = self.open.open_at(&start).await.unwrap();
        let open = settled(reader.until(&end).await.unwrap());
        assert_same(&open, &whole);
        changes(whole)
    }
}

/// A log that is read in pieces, of which little is held in memory.
pub(crate) async fn open(
    engine: Engine,
    script: &str,
    change: impl FnOnce(&mut Options),
) -> Captured {
    let mut open = Captured::of(engine, &format!("{LITTLE} {script}")).await;
    open.tables.retain(|table| table.name.name != "gate");
    let url = open.database.url();
    open.connector = connector_with(&url, |options| {
        options.open_memory_max = 100_000;
        change(options);
    });
    open.log = open.connector.change_log(TASK).await.unwrap();
    open
}

/// What transactions changed that changed something.
pub(crate) fn changes(told: Vec<Told>) -> Vec<Vec<String>> {
    let changes = told.into_iter().map(|told| told.changes);
    changes.filter(|changes| !changes.is_empty()).collect()
}

/// Waits until the server has sent so many pieces of transactions.
pub(crate) async fn pieces(log: &Captured, count: u64) {
    let is_enough = |answer: &str| answer.parse::<u64>().is_ok_and(|sent| sent >= count);
    log.eventually(PIECES, is_enough).await;
}

/// Makes so many rows from an id on.
pub(crate) fn rows(from: u32, count: u32) -> String {
    format!(
        "insert into t select i, 0, repeat('x', 100) from generate_series({from}, {}) i;",
        from + count - 1
    )
}

/// What is told of [`rows`].
pub(crate) fn told_rows(from: u32, count: u32) -> Vec<String> {
    (from..from + count)
        .map(|id| format!("insert t ({id}, 0, 100 characters)"))
        .collect()
}

/// Without definitions that tell a table as it was told last. The server may send a row before the message about the definition that was
/// written right before it: then the row brings the shape, and the message tells it again.
fn settled(mut told: Vec<Told>) -> Vec<Told> {
    let mut shapes: HashMap<String, String> = HashMap::new();
    for told in &mut told {
        told.changes.retain(|change| {
            let Some(shape) = change.strip_prefix("table ") else {
                return true;
            };
            let table = shape.split(' ').next().unwrap_or_default().to_owned();
            shapes.insert(table, shape.to_owned()).as_deref() != Some(shape)
        });
    }
    // Nothing is told alike of a transaction of tables that only one of the two publishes.
    told.retain(|told| !told.changes.is_empty());
    told
}

/// Tells where the two differ, not all of both.
fn assert_same(open: &[Told], whole: &[Told]) {
    for (open, whole) in open.iter().zip(whole) {
        let mut pairs = whole.changes.iter().zip(&open.changes);
        let first = pairs.position(|(whole, open)| whole != open);
        let near = |told: &Told| {
            let near = told.changes.iter();
            let near = near.skip(first.unwrap_or(0).saturating_sub(2)).take(6);
            near.cloned().collect::<Vec<_>>()
        };
        assert_eq!(near(open), near(whole), "change {first:?}");
        assert_eq!(open.changes.len(), whole.changes.len());
        assert_eq!(open, whole);
    }
    assert_eq!(open.len(), whole.len());
}

/// A session that goes on when there is a row in `gate`.
pub(crate) fn gated(database: &TestDatabase, first: &str, then: &str) -> thread::JoinHandle<()> {
    let wait = "do $$ begin while not exists (select from gate) loop perform pg_sleep(0.01); end loop; end $$;";
    let sql = format!("{first} {wait} {then}");
    let url = database.url();
    thread::spawn(move || {
        let said = Command::new(whimbrel_testkit::psql())
            .args(["-qXv", "ON_ERROR_STOP=1", &url, "-c", &sql])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{error}");
    })
}

/// Lets sessions go on, and waits for their end.
pub(crate) fn go_on(database: &TestDatabase, sessions: Vec<thread::JoinHandle<()>>) {
    database.sql("insert into gate values (1)").unwrap();
    for session in sessions {
        session.join().unwrap();
    }
}
