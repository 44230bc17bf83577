//! What the tests of change capture share: a log that is read up to its end, and rows as text to be compared.

use std::time::Duration;

use tokio::time::timeout;
use whimbrel_connector::{
    ChangeBlock, ChangeLog, ChangeStream, Connector, Error, LogEvent, ReadFormat, ReadRequest,
    RowAt, TransactionMark,
};
use whimbrel_core::{Position, Table};
use whimbrel_testkit::TestDatabase;

use crate::support::connector;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// An event with its rows as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Table(String, usize),
    Begin(TransactionMark),
    Insert(String, String),
    Update(String, Option<String>, String),
    Delete(String, String),
    Truncate(String),
    /// A table that came, went, or got another name.
    Ddl(String, String),
    /// A table whose rows must be loaded again, and why.
    Rewritten(String, String),
    Commit(Position),
}

/// A database whose changes are captured.
pub(crate) struct Tap {
    pub(crate) connector: std::sync::Arc<dyn Connector>,
    pub(crate) log: Box<dyn ChangeLog>,
    pub(crate) tables: Vec<Table>,
    names: Vec<(u32, String)>,
    /// When the transaction at hand was committed, as its beginning told.
    begun_at_us: Option<i64>,
}

impl Tap {
    /// Captures all tables of a database.
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        Self::of(&database.url(), database.name()).await
    }

    pub(crate) async fn of(url: &str, schema: &str) -> Self {
        let connector = connector(url);
        let log = connector.change_log("a task").await.unwrap();
        let mut source = connector.source().await.unwrap();
        let tables = source.tables(&|name| name.schema == schema).await.unwrap();
        Self {
            connector,
            log,
            tables,
            names: Vec::new(),
            begun_at_us: None,
        }
    }

    /// The place from which changes are captured.
    pub(crate) async fn start(&mut self) -> Position {
        let start = self.log.prepare(&self.tables).await.unwrap();
        assert_eq!(start.refused, []);
        start.position
    }

    pub(crate) async fn open(&mut self, from: &Position) -> Box<dyn ChangeStream> {
        self.log.open(&self.tables, from).await.unwrap()
    }

    /// Everything from a place up to the end of the log.
    pub(crate) async fn seen(&mut self, from: &Position) -> Vec<Seen> {
        self.try_seen(from).await.unwrap()
    }

    pub(crate) async fn try_seen(&mut self, from: &Position) -> Result<Vec<Seen>, Error> {
        let end = self.log.end().await?;
        loop {
            let mut stream = self.log.open(&self.tables, from).await?;
            let mut seen = Vec::new();
            match self.read_to(&mut *stream, &end, &mut seen).await {
                // What was rolled back is only known behind it.
                Err(Error::Transient(why)) if why.contains("rolled back") => {
                    // As a task does it.
                    self.log = self.connector.change_log("a task").await?;
                }
                other => return other.map(|()| seen),
            }
        }
    }

    pub(crate) async fn read_to(
        &mut self,
        stream: &mut dyn ChangeStream,
        end: &Position,
        seen: &mut Vec<Seen>,
    ) -> Result<(), Error> {
        loop {
            let block = timeout(PATIENCE, stream.next())
                .await
                .expect("the log's end is reached")?;
            self.read(&block, seen)?;
            let reached = block.events.iter().any(|event| match event {
                LogEvent::Commit { place, .. } | LogEvent::Idle { place, .. } => {
                    stream.has_reached(&**place, end)
                }
                _ => false,
            });
            if reached {
                return Ok(());
            }
        }
    }

    /// The events of a block with their rows decoded.
    pub(crate) fn read(&mut self, block: &ChangeBlock, seen: &mut Vec<Seen>) -> Result<(), Error> {
        let row = |at: &RowAt| row_text(block, at);
        for event in &block.events {
            let name = |id: &whimbrel_connector::TableId| {
                let found = self.names.iter().rev().find(|(known, _)| *known == id.0);
                // Numbers are the places of the tables that the stream was opened with.
                found.map_or_else(
                    || self.tables[id.0 as usize].name.name.clone(),
                    |(_, name)| name.clone(),
                )
            };
            let is_empty = matches!(seen.last(), Some(Seen::Begin(_)));
            seen.push(match event {
                LogEvent::Table { id, table } => {
                    self.names.push((id.0, table.name.name.clone()));
                    if seen.is_empty() {
                        // All are told at the beginning.
                        continue;
                    }
                    Seen::Table(table.name.name.clone(), table.columns.len())
                }
                LogEvent::Begin {
                    mark,
                    committed_at_us,
                } => {
                    self.begun_at_us = *committed_at_us;
                    Seen::Begin(*mark)
                }
                LogEvent::Insert { table, after } => Seen::Insert(name(table), row(after)?),
                LogEvent::Update {
                    table,
                    before,
                    after,
                } => {
                    let before = before.as_ref().map(row).transpose()?;
                    Seen::Update(name(table), before, row(after)?)
                }
                LogEvent::Delete { table, before } => Seen::Delete(name(table), row(before)?),
                LogEvent::Truncate { table } => Seen::Truncate(name(table)),
                LogEvent::Dropped { table } => Seen::Ddl(name(table), "dropped".to_owned()),
                LogEvent::Identified { .. } => {
                    panic!("this log tells rows apart by all that they have")
                }
                LogEvent::Renamed { table, to } => Seen::Ddl(name(table), to.name.clone()),
                LogEvent::Gap { table, why } | LogEvent::Rewritten { table, why } => {
                    Seen::Rewritten(name(table), why.clone())
                }
                // Another test's.
                LogEvent::Created { table } if table.schema != self.tables[0].name.schema => {
                    continue;
                }
                LogEvent::Commit {
                    committed_at_us, ..
                } if is_empty => {
                    check_time(self.begun_at_us, *committed_at_us);
                    seen.pop();
                    continue;
                }
                LogEvent::Created { table } => Seen::Ddl(table.name.clone(), "created".to_owned()),
                LogEvent::Commit {
                    place,
                    committed_at_us,
                } => {
                    check_time(self.begun_at_us, *committed_at_us);
                    Seen::Commit(place.position())
                }
                LogEvent::Idle { .. } => continue,
            });
        }
        Ok(())
    }

    /// The rows of a table as a full load reads them.
    pub(crate) async fn loaded(&self, table: &str) -> Vec<String> {
        let mut source = self.connector.source().await.unwrap();
        let schema = self.tables[0].name.schema.clone();
        let tables = source
            .tables(&|name| name.schema == schema && name.name == table)
            .await
            .unwrap();
        let snapshot = source.snapshot(1).await.unwrap();
        let mut rows = Vec::new();
        let mut reader = snapshot.reader().await.unwrap();
        for bounds in snapshot.plan(&tables[0], 1 << 40).await.unwrap() {
            let request = ReadRequest {
                table: &tables[0],
                bounds: &bounds,
                filter: None,
                format: ReadFormat::Decoded,
                block_bytes: 1 << 20,
            };
            reader.open(request).await.unwrap();
            while let Some(block) = reader.next().await.unwrap() {
                block
                    .decode(&mut |values| {
                        rows.push(format!("{values:?}"));
                        Ok(())
                    })
                    .unwrap();
            }
        }
        rows
    }
}

/// What the beginning of a transaction tells of its commit is what the end tells, but for the seconds that some servers tell alone.
fn check_time(begun_at_us: Option<i64>, committed_at_us: i64) {
    const COARSE_US: i64 = 2_000_000;
    let early_us = committed_at_us - begun_at_us.expect("these logs tell it");
    assert!((0..COARSE_US).contains(&early_us), "{early_us}");
}

/// The rows of the inserts into a table.
pub(crate) fn inserted(seen: &[Seen], table: &str) -> Vec<String> {
    let rows = seen.iter().filter_map(|seen| match seen {
        Seen::Insert(name, row) if name == table => Some(row.clone()),
        _ => None,
    });
    rows.collect()
}

/// The new rows of the updates of a table.
pub(crate) fn updated(seen: &[Seen], table: &str) -> Vec<String> {
    let rows = seen.iter().filter_map(|seen| match seen {
        Seen::Update(name, _, row) if name == table => Some(row.clone()),
        _ => None,
    });
    rows.collect()
}

/// Events in short: `+` inserts, `~` updates, `-` deletes, and so on, with how many there are in a row.
pub(crate) fn outline(seen: &[Seen]) -> String {
    let letter = |seen: &Seen| match seen {
        Seen::Table(..) => 't',
        Seen::Begin(_) => '(',
        Seen::Insert(..) => '+',
        Seen::Update(..) => '~',
        Seen::Delete(..) => '-',
        Seen::Truncate(_) => '0',
        Seen::Ddl(..) => 'D',
        Seen::Rewritten(..) => 'R',
        Seen::Commit(_) => ')',
    };
    seen.iter().map(letter).collect()
}

/// A row as tests write it down.
fn row_text(block: &ChangeBlock, at: &RowAt) -> Result<String, Error> {
    let mut text = String::new();
    block.rows.decode(*at, &mut |values| {
        text = format!("{values:?}");
        let is_whole = !values.contains(&whimbrel_core::Value::NotSent);
        assert_eq!(is_whole, at.is_whole, "{text}");
        Ok(())
    })?;
    Ok(text)
}
