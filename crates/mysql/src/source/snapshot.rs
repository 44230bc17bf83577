//! One consistent view of the whole server for many readers, as the engine sees it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{debug, info};
use whimbrel_connector::{ChunkReader, Error, FinishedChunk, RawFormat, RecordedPlan, Snapshot};
use whimbrel_core::mapping::Segments;
use whimbrel_core::{ChunkBounds, Engine, Partition, Position, Table, TableName};

use super::changed::Changed;
use super::plan::plan_table;
use super::pool::Pool;
use super::position;
use super::range::KeyRange;
use super::reader::MysqlReader;
use super::views::open_views;
use crate::catalog;
use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::log;
use crate::options::Options;
use crate::wire::{Connection, Purpose};

/// The most readers of a snapshot.
pub(super) const READERS_MAX: usize = 64;
const DOING: &str = "open a consistent snapshot of the source";
/// Time to find out when a file of the log was begun: the views wait for it, and nothing is wrong without.
const BEGUN_ANSWER: Duration = Duration::from_secs(10);

/// A consistent view of the server.
pub(super) struct MysqlSnapshot {
    options: Options,
    position: Position,
    pool: Pool,
    /// For planning, which needs no view (ranges cover every key there can be), and for what a view does not tell.
    planner: Mutex<Option<Connection>>,
    /// For what has become of tables: whoever ends a chunk does not wait for a plan.
    origins: Mutex<Option<Connection>>,
    /// Views, which the log does not tell of.
    views: HashSet<TableName>,
    /// When the tables were made that had their names before the views opened, where the server tells it.
    made_at: HashMap<TableName, String>,
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
    let made_at = made_at(connection, tables).await?;
    let position = open_views(connection, &mut readers, (tables, &views))
        .await
        .map_err(|error| general(error, DOING))?;
    let position = bound(options, connection.engine(), position).await?;
    debug!(%position, readers = readers.len(), "snapshot opened");
    Ok(MysqlSnapshot {
        options: options.clone(),
        changed: Changed::new(options.clone(), tables.to_vec(), position.clone()),
        position,
        views: views.iter().map(|view| view.name.clone()).collect(),
        pool: Pool::new(options.clone(), readers),
        planner: Mutex::new(None),
        origins: Mutex::new(None),
        made_at,
    })
}

/// When tables were made. Of one whose rows have no versions that is of no use: what is read is the table of that moment.
async fn made_at(
    connection: &mut Connection,
    tables: &[Table],
) -> Result<HashMap<TableName, String>, Error> {
    let versioned = tables
        .iter()
        .filter(|table| table.outside_snapshot.is_none());
    let names: Vec<&TableName> = versioned.map(|table| &table.name).collect();
    let made_at = catalog::made_at(connection, &names).await;
    made_at.map_err(|error| general(error, DOING))
}

/// The position with what tells the log from another of the same names, so that a load that goes on later never takes the one for the other. A user
/// who may not read the log gets the position without: nothing is looked up in the log for that user either.
async fn bound(options: &Options, engine: Engine, position: Position) -> Result<Position, Error> {
    if !position::is_exact(&position) || !position::is_known(&position) {
        return Ok(position);
    }
    match timeout(BEGUN_ANSWER, log::bound(options, engine, &position)).await {
        Ok(Ok(bound)) => return Ok(bound),
        Ok(Err(error @ (Error::Transient(_) | Error::Connect(_)))) => return Err(error),
        Ok(Err(error)) => {
            info!(%error, %position, "it is not known when the file of the position was begun: where the load is interrupted, tables that are not finished start again");
        }
        Err(_) => {
            info!(%position, "nobody has told in time when the file of the position was begun: where the load is interrupted, tables that are not finished start again");
        }
    }
    Ok(position)
}

impl MysqlSnapshot {
    /// When the table was made that has the name now.
    async fn made_now(&self, name: &TableName) -> Result<Option<String>, Error> {
        let mut kept = self.origins.lock().await;
        if let Some(mut connection) = kept.take()
            && let Ok(mut now) = catalog::made_at(&mut connection, &[name]).await
        {
            *kept = Some(connection);
            return Ok(now.remove(name));
        }
        // The one that was kept may have been idle for longer than something on its way allows.
        let mut connection = connect(&self.options, Purpose::Read).await?;
        let now = catalog::made_at(&mut connection, &[name]).await;
        let mut now =
            now.map_err(|error| of_table(error, name, "look for what has become of the table"))?;
        *kept = Some(connection);
        Ok(now.remove(name))
    }

    /// The connection for planning, or a new one.
    async fn planning(&self, planner: &mut Option<Connection>) -> Result<Connection, Error> {
        match planner.take() {
            Some(connection) if connection.is_ready() => Ok(connection),
            _ => Ok(connect(&self.options, Purpose::Read).await?),
        }
    }
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
            .map_err(|error| of_table(error, &table.name, "read the partitions"))?;
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

    fn recall(&self, plans: Vec<RecordedPlan>) {
        self.changed.recall(plans);
    }

    /// Ranges of keys cover every key there can be. So a plan holds as long as the key is still made of the same columns and
    /// the log knows of no change in a chunk that is finished: a row that changed, came or went there would be missed. See [`super::changed`].
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
        if !has_same_key || is_view {
            return Ok(false);
        }
        let is_changed = self.changed.since(planned_at, &table.name, finished);
        Ok(!is_changed.await?)
    }

    /// A view holds rows, and no names: a table that takes the name of another one (`RENAME TABLE`, by which tools that alter tables online end)
    /// is read under a view that opened before, with the rows that it had then. A reader that has read of a table keeps everybody from renaming it
    /// for as long as its view lives. A view may have a catalog of its own time (MySQL), so that nobody under one is asked.
    async fn check_origin(&self, table: &Table) -> Result<(), Error> {
        let name = &table.name;
        let Some(before) = self.made_at.get(name) else {
            return Ok(());
        };
        // One whose time the server does not tell now is there all the same: it was just read.
        let now = self.made_now(name).await?;
        if now.is_none_or(|now| now == *before) {
            return Ok(());
        }
        Err(Error::table(
            name,
            "another table took its name, or it was made anew (RENAME TABLE, ALTER TABLE), since the snapshot was opened; load it again",
        ))
    }

    fn raw_formats(&self, _: &Table) -> Vec<RawFormat> {
        Vec::new()
    }

    async fn reader(&self) -> Result<Box<dyn ChunkReader>, Error> {
        Ok(Box::new(MysqlReader::new(self.pool.take().await?)))
    }
}
