//! One consistent view of the whole server for many readers.
//!
//! InnoDB gives each connection a view of its own, and no view can be handed to another connection. So all views are opened
//! while nothing can commit. In order of preference:
//!
//! 1. `FLUSH TABLES WITH READ LOCK`: nothing commits while the views open and the position in the log is read; the lock is
//!    held for milliseconds. It needs RELOAD, and it waits for running statements: if they do not end within a few seconds
//!    the attempt is given up, because others queue behind a lock that is waited for.
//! 2. MariaDB: every view knows its own place in the log (`binlog_snapshot_position`). Views at the same place are the same
//!    view; they are opened again until all agree.
//! 3. `LOCK TABLES … READ` on the selected tables: a transaction that has written to one of them keeps us waiting until it
//!    has ended, and none can begin, so that for these tables all views are the same.
//! 4. A single reader, whose view is consistent in itself. The position is read before the view opens, so that the view may
//!    hold transactions past it. Tables are then read one after another.

use std::collections::HashSet;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use tracing::{debug, info, warn};
use whimbrel_connector::{ChunkReader, Error, FinishedChunk, RawFormat, Snapshot};
use whimbrel_core::mapping::Segments;
use whimbrel_core::{ChunkBounds, Engine, Partition, Position, Table, TableName};

use super::changed::Changed;
use super::plan::plan_table;
use super::pool::Pool;
use super::position;
use super::range::KeyRange;
use super::reader::MysqlReader;
use crate::catalog;
use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, Purpose, WireError};

/// The most readers of a snapshot.
pub(super) const READERS_MAX: usize = 64;
/// Seconds to wait for a lock behind which others queue.
const LOCK_WAIT_SECONDS: u32 = 3;
/// Attempts at the global lock, and at views that agree.
const LOCK_ATTEMPTS: usize = 2;
const AGREE_ATTEMPTS: usize = 10;

const OPEN_VIEW: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
const DOING: &str = "open a consistent snapshot of the source";

/// A consistent view of the server.
pub(super) struct MysqlSnapshot {
    options: Options,
    position: Position,
    pool: Pool,
    /// For planning, which needs no view: ranges cover every key there can be.
    planner: Mutex<Option<Connection>>,
    /// Views, which the log does not tell of.
    views: HashSet<TableName>,
    changed: Changed,
}

/// Opens a view for so many readers.
pub(super) async fn open(
    options: &Options,
    connection: &mut Connection,
    (tables, views): (&[Table], &[Table]),
    reader_count: usize,
) -> Result<MysqlSnapshot, Error> {
    let connecting = (0..reader_count).map(|_| connect(options, Purpose::Read));
    let mut readers = try_join_all(connecting).await?;
    // A lock of a view locks what it reads; one without columns is broken, and is loaded by nobody.
    let views = views.iter().filter(|view| !view.columns.is_empty());
    let views: Vec<Table> = views.cloned().collect();
    let position = open_views(connection, &mut readers, (tables, &views))
        .await
        .map_err(|error| general(error, DOING))?;
    debug!(%position, readers = readers.len(), "snapshot opened");
    Ok(MysqlSnapshot {
        options: options.clone(),
        changed: Changed::new(options.clone(), tables.to_vec(), position.clone()),
        position,
        views: views.iter().map(|view| view.name.clone()).collect(),
        pool: Pool::new(options.clone(), readers),
        planner: Mutex::new(None),
    })
}

impl MysqlSnapshot {
    /// The connection for planning, or a new one.
    async fn planning(&self, planner: &mut Option<Connection>) -> Result<Connection, Error> {
        match planner.take() {
            Some(connection) if connection.is_ready() => Ok(connection),
            _ => Ok(connect(&self.options, Purpose::Read).await?),
        }
    }
}

async fn open_views(
    connection: &mut Connection,
    readers: &mut Vec<Connection>,
    (tables, views): (&[Table], &[Table]),
) -> Result<Position, WireError> {
    connection
        .execute(&format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}"
        ))
        .await?;
    for _ in 0..LOCK_ATTEMPTS {
        match connection.execute("FLUSH TABLES WITH READ LOCK").await {
            Ok(_) => return open_locked(connection, readers).await,
            Err(WireError::Server(error)) if error.is_denied() => {
                debug!(%error, "no global read lock");
                break;
            }
            Err(WireError::Server(error)) if error.is_transient() => {
                info!(%error, "the global read lock was not to be had in time");
            }
            Err(error) => return Err(error),
        }
    }
    if connection.engine() == Engine::MariaDb
        && let Some(position) = open_until_equal(readers).await?
    {
        return Ok(position);
    }
    // A view that cannot be locked does not keep the tables from it: it is read by one statement.
    let lists = [[tables, views].concat(), tables.to_vec()];
    for locked in lists.iter().filter(|locked| !locked.is_empty()) {
        let locks: Vec<String> = locked
            .iter()
            .map(|table| format!("{} READ", quote::table(&table.name)))
            .collect();
        match connection
            .execute(&format!("LOCK TABLES {}", locks.join(", ")))
            .await
        {
            Ok(_) => return open_locked(connection, readers).await,
            Err(WireError::Server(error)) => info!(%error, "the selected tables cannot be locked"),
            Err(error) => return Err(error),
        }
    }
    warn!(
        "no lock is allowed at the source: a single reader reads the tables; grant RELOAD to read in parallel"
    );
    readers.truncate(1);
    let position = position::current(connection).await?;
    open_all(readers).await?;
    Ok(position::inexact(&position))
}

async fn open_all(readers: &mut [Connection]) -> Result<(), WireError> {
    try_join_all(readers.iter_mut().map(|reader| reader.execute(OPEN_VIEW))).await?;
    Ok(())
}

/// Opens the views while `connection` holds a lock, and releases the lock whatever happens.
async fn open_locked(
    connection: &mut Connection,
    readers: &mut [Connection],
) -> Result<Position, WireError> {
    let opened = open_all(readers).await;
    let position = position::current(connection).await;
    connection.execute("UNLOCK TABLES").await?;
    opened?;
    position
}

/// Opens views until all are at one place of the log. `None` when they never are, or the server keeps no log.
async fn open_until_equal(readers: &mut [Connection]) -> Result<Option<Position>, WireError> {
    for _ in 0..AGREE_ATTEMPTS {
        open_all(readers).await?;
        let places = try_join_all(readers.iter_mut().map(place)).await?;
        let Some(first) = places.first().filter(|place| !place.0.is_empty()) else {
            return Ok(None);
        };
        if places.iter().all(|place| place == first) {
            let (file, offset) = first.clone();
            let gtids = position::binlog_gtid_pos(&mut readers[0], &file, &offset).await?;
            return Ok(Some(position::written(&file, &offset, &gtids)));
        }
    }
    Ok(None)
}

/// The place in the log of a reader's view: file and offset.
async fn place(reader: &mut Connection) -> Result<(String, String), WireError> {
    let rows = reader.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let find = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.text(0).eq_ignore_ascii_case(name));
        row.map(|row| row.text(1).to_owned()).unwrap_or_default()
    };
    let offset = find("binlog_snapshot_position");
    // It becomes part of a statement, so it must be a number.
    let offset = offset
        .parse::<u64>()
        .map(|offset| offset.to_string())
        .unwrap_or_default();
    Ok((find("binlog_snapshot_file"), offset))
}

#[async_trait]
impl Snapshot for MysqlSnapshot {
    fn position(&self) -> &Position {
        &self.position
    }

    async fn plan(&self, table: &Table, chunk_bytes: u64) -> Result<Vec<ChunkBounds>, Error> {
        let mut planner = self.planner.lock().await;
        let mut connection = self.planning(&mut planner).await?;
        let plan = plan_table(&mut connection, table, chunk_bytes)
            .await
            .map_err(|error| of_table(error, &table.name, "plan the chunks of the table"))?;
        *planner = Some(connection);
        Ok(plan)
    }

    /// Rows that a statement reads of named partitions are those of that moment's partitions: a table whose definition has changed since
    /// the view opened cannot be read at all.
    async fn plan_partitions(
        &self,
        table: &Table,
        segments: &Segments,
        must_be_all: bool,
    ) -> Result<Vec<ChunkBounds>, Error> {
        let mut planner = self.planner.lock().await;
        let mut connection = self.planning(&mut planner).await?;
        let there = catalog::partitions(&mut connection, &table.name)
            .await
            .map_err(|error| of_table(error, &table.name, "read the partitions of"))?;
        *planner = Some(connection);
        let (partitions, rows): (Vec<Partition>, Vec<u64>) = there.into_iter().unzip();
        let found = segments.found_partitions(&partitions, must_be_all);
        let found = found.map_err(|message| Error::table(&table.name, message))?;
        let bounds = found.into_iter().map(|wanted| {
            let place = partitions.iter().position(|one| one == wanted);
            let range = KeyRange {
                partition: Some(wanted.name.clone()),
                ..KeyRange::default()
            };
            range.to_bounds(place.map_or(0, |place| rows[place]))
        });
        Ok(bounds.collect())
    }

    /// Ranges of keys cover every key there can be. So a plan holds as long as the key is still made of the same columns and
    /// the log knows of no change to the table: a row that changed, came or went in a chunk that is finished would be missed.
    async fn plan_holds(
        &self,
        table: &Table,
        planned_at: &Position,
        finished: &[FinishedChunk],
    ) -> Result<bool, Error> {
        let has_same_key = finished.iter().all(|chunk| {
            KeyRange::from_bounds(&chunk.bounds)
                .is_some_and(|range| range.condition(table).is_some())
        });
        let is_view = self.views.contains(&table.name);
        Ok(has_same_key && !is_view && !self.changed.since(planned_at, &table.name).await?)
    }

    fn raw_formats(&self, _: &Table) -> Vec<RawFormat> {
        Vec::new()
    }

    async fn reader(&self) -> Result<Box<dyn ChunkReader>, Error> {
        Ok(Box::new(MysqlReader::new(self.pool.take().await?)))
    }
}
