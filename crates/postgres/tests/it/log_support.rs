//! What the tests of change capture share: a source with a log, and its stream put into words.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::timeout;
use whimbrel_connector::{
    ChangeBlock, ChangeLog, ChangeRows, ChangeStream, Connector, Error, LogEvent, RowAt, TableId,
    TransactionMark,
};
use whimbrel_core::{Position, Table, Value, write_text};
use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::support::{TASK, all_tables, connector};

/// Longer than any wait for a change that does come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A database with a log.
pub(crate) struct Captured {
    pub(crate) database: TestDatabase,
    pub(crate) connector: std::sync::Arc<dyn Connector>,
    pub(crate) log: Box<dyn ChangeLog>,
    pub(crate) tables: Vec<Table>,
    pub(crate) start: Position,
}

impl Captured {
    /// A database made by `script`, prepared for capture.
    pub(crate) async fn of(engine: Engine, script: &str) -> Self {
        Self::on(&Server::get(engine).unwrap(), script).await
    }

    /// The same on a given server.
    pub(crate) async fn on(server: &Server, script: &str) -> Self {
        let database = server.database("log").unwrap();
        database.sql(script).unwrap();
        let connector = connector(&database.url());
        let tables = tables(&*connector).await;
        let mut log = connector.change_log(TASK).await.unwrap();
        let prepared = log.prepare(&tables).await.unwrap();
        assert_eq!(prepared.refused, []);
        Self {
            database,
            connector,
            log,
            tables,
            start: prepared.position,
        }
    }

    pub(crate) async fn open(&mut self) -> Reader {
        let start = self.start.clone();
        self.open_at(&start).await.unwrap()
    }

    pub(crate) async fn open_at(&mut self, from: &Position) -> Result<Reader, Error> {
        let stream = self.log.open(&self.tables, from).await?;
        Ok(Reader::of(stream))
    }

    /// Everything that is told from the start up to the log's end now.
    pub(crate) async fn everything(&mut self) -> Vec<Told> {
        let end = self.log.end().await.unwrap();
        self.open().await.until(&end).await.unwrap()
    }

    /// Waits until a query answers as wanted, and gives the answer.
    pub(crate) async fn eventually(&self, query: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        loop {
            let answer = self.database.sql(query).unwrap();
            if is_wanted(answer.trim()) {
                return answer.trim().to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "{query}: {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs SQL, and everything that is told of it since the start.
    pub(crate) async fn told(&mut self, sql: &str) -> Vec<String> {
        self.database.sql(sql).unwrap();
        let told = self.everything().await;
        told.into_iter().flat_map(|told| told.changes).collect()
    }
}

impl Drop for Captured {
    /// A slot keeps its database from being dropped.
    fn drop(&mut self) {
        // What is prepared and left would be waited for by every new slot of the server.
        let left = "select gid from pg_prepared_xacts where database = current_database()";
        for name in self.database.sql(left).unwrap_or_default().lines() {
            let back = format!("rollback prepared '{name}'");
            if let Err(error) = self.database.sql(&back) {
                eprintln!("roll back what a test has prepared: {error:#}");
            }
        }
        let drop = "select pg_terminate_backend(active_pid) from pg_replication_slots
                    where database = current_database() and active_pid is not null;
                    select pg_sleep(0.05) from generate_series(1, 100) where exists (select from pg_stat_get_wal_senders() s
                        join pg_replication_slots r on r.active_pid = s.pid where r.database = current_database());
                    select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()";
        if let Err(error) = self.database.sql(drop) {
            eprintln!("drop the slots of a test: {error:#}");
        }
    }
}

/// A position without what tells its log.
pub(crate) fn lsn(position: &Position) -> &str {
    position.as_str().split('@').next().unwrap()
}

/// The tables of a source.
pub(crate) async fn tables(connector: &dyn Connector) -> Vec<Table> {
    let mut source = connector.source().await.unwrap();
    all_tables(&mut *source).await.unwrap()
}

/// A transaction in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) mark: TransactionMark,
    pub(crate) position: Position,
    pub(crate) committed_at_us: i64,
    /// `insert t (1, 'a')`, `update t (1, ?) → (2, 'b')`, …; `table t (id, name)` where a table changed.
    pub(crate) changes: Vec<String>,
}

/// A stream that is put into words.
pub(crate) struct Reader {
    pub(crate) stream: Box<dyn ChangeStream>,
    tables: HashMap<TableId, String>,
    open: Option<(TransactionMark, Vec<String>)>,
    begun_at_us: Option<i64>,
    told: Vec<Told>,
    /// Shapes told so far, in words.
    pub(crate) shapes: Vec<String>,
    /// The last place between transactions.
    pub(crate) place: Option<Position>,
}

impl Reader {
    pub(crate) fn of(stream: Box<dyn ChangeStream>) -> Self {
        Self {
            stream,
            tables: HashMap::new(),
            open: None,
            begun_at_us: None,
            told: Vec::new(),
            shapes: Vec::new(),
            place: None,
        }
    }

    /// The next block; an error when none comes.
    pub(crate) async fn block(&mut self) -> Result<ChangeBlock, Error> {
        timeout(PATIENCE, self.stream.next())
            .await
            .unwrap_or_else(|_| panic!("nothing came within {PATIENCE:?}"))
    }

    /// Reads until a place is reached, and tells the transactions up to there.
    pub(crate) async fn until(&mut self, end: &Position) -> Result<Vec<Told>, Error> {
        loop {
            let block = self.block().await?;
            if self.take(block, Some(end)) {
                return Ok(std::mem::take(&mut self.told));
            }
        }
    }

    /// Reads until so many transactions were told.
    pub(crate) async fn transactions(&mut self, count: usize) -> Result<Vec<Told>, Error> {
        while self.told.len() < count {
            let block = self.block().await?;
            self.take(block, None);
        }
        Ok(std::mem::take(&mut self.told))
    }

    /// Takes what comes next, whatever it is.
    pub(crate) async fn step(&mut self) {
        let block = self.block().await.unwrap();
        self.take(block, None);
    }

    /// Whether the end was reached.
    fn take(&mut self, block: ChangeBlock, end: Option<&Position>) -> bool {
        let mut is_there = false;
        for event in block.events {
            let place = self.event(event, &*block.rows);
            if let Some(place) = place {
                is_there |= end.is_some_and(|end| self.stream.has_reached(&*place, end));
                self.place = Some(place.position());
            }
        }
        is_there
    }

    fn event(
        &mut self,
        event: LogEvent,
        rows: &dyn ChangeRows,
    ) -> Option<std::sync::Arc<dyn whimbrel_connector::LogPlace>> {
        let change = match event {
            LogEvent::Table { id, table } | LogEvent::Identified { id, table } => {
                let shape = shape(&table);
                self.tables.insert(id, table.name.name.clone());
                self.shapes.push(shape.clone());
                self.open.as_ref()?;
                shape
            }
            LogEvent::Begin {
                mark,
                committed_at_us,
            } => {
                self.begun_at_us = committed_at_us;
                assert_eq!(self.open, None, "a transaction is open");
                self.open = Some((mark, Vec::new()));
                return None;
            }
            LogEvent::Insert { table, after } => {
                assert!(after.is_whole);
                format!("insert {} {}", self.tables[&table], row(rows, after))
            }
            LogEvent::Update {
                table,
                before,
                after,
            } => {
                let before = before.map_or(String::new(), |at| format!("{} → ", row(rows, at)));
                let after = row(rows, after);
                format!("update {} {before}{after}", self.tables[&table])
            }
            LogEvent::Delete { table, before } => {
                format!("delete {} {}", self.tables[&table], row(rows, before))
            }
            LogEvent::Truncate { table } => format!("truncate {}", self.tables[&table]),
            LogEvent::Dropped { table } => format!("drop {}", self.tables[&table]),
            LogEvent::Created { table } => format!("create {table}"),
            LogEvent::Gap { table, .. } => format!("gap {}", self.tables[&table]),
            LogEvent::Rewritten { table, .. } => format!("rewrite {}", self.tables[&table]),
            LogEvent::Renamed { .. } => panic!("this log knows tables by their numbers"),
            LogEvent::Commit {
                place,
                committed_at_us,
            } => {
                let (mark, changes) = self.open.take().expect("a transaction is open");
                assert_eq!(self.begun_at_us, Some(committed_at_us));
                self.told.push(Told {
                    mark,
                    position: place.position(),
                    committed_at_us,
                    changes,
                });
                return Some(place);
            }
            LogEvent::Idle { place, .. } => {
                assert_eq!(self.open, None, "idle within a transaction");
                return Some(place);
            }
        };
        let (_, changes) = self.open.as_mut().expect("a change outside a transaction");
        changes.push(change);
        None
    }
}

/// A row version in words.
pub(crate) fn row(rows: &dyn ChangeRows, at: RowAt) -> String {
    let mut text = String::new();
    rows.decode(at, &mut |values| {
        let is_sent = values.iter().all(|value| *value != Value::NotSent);
        assert_eq!(at.is_whole, is_sent, "{values:?}");
        let cells: Vec<String> = values.iter().map(cell).collect();
        text = format!("({})", cells.join(", "));
        Ok(())
    })
    .unwrap();
    text
}

/// A value in words, long ones in short.
pub(crate) fn cell(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::NotSent => "?".to_owned(),
        value => {
            let mut text = Vec::new();
            write_text(value, &mut text);
            let text = String::from_utf8(text).unwrap();
            if text.len() > 60 {
                format!("{} characters", text.len())
            } else {
                text
            }
        }
    }
}

/// A table as tests write it down.
fn shape(table: &Table) -> String {
    let key = table.primary_key.iter();
    let key: Vec<&str> = key.map(|&k| table.columns[k].name.as_str()).collect();
    let names: Vec<String> = table
        .loaded_columns()
        .map(|c| format!("{} {}", c.name, c.native))
        .collect();
    format!(
        "table {} ({}) by ({})",
        table.name.name,
        names.join(", "),
        key.join(", ")
    )
}
