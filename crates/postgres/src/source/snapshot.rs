use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use whimbrel_connector::{ChunkReader, Error, FinishedChunk, RawFormat, Snapshot};
use whimbrel_core::mapping::{Predicate, Segments};
use whimbrel_core::{ChunkBounds, Partition, Position, Table, TableName};

use super::chunk::{self, ChunkRange};
use super::filter::Conditions;
use super::reader::PostgresReader;
use crate::catalog::{self, Relation, TableDetail};
use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::quote;
use crate::wire::Connection;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The place of the log's end once the snapshot was taken, and what the snapshot sees: together its position. Whatever it sees has
/// its commit record before that place, so the place is that of what was written, not only of what is on disk.
///
/// Then the name.
const EXPORT: &str = "
SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn())
            ELSE pg_current_wal_insert_lsn() END || ';' || pg_current_snapshot(),
       pg_export_snapshot()";

/// An exported snapshot. The transaction that exported it lives as long.
pub(super) struct PostgresSnapshot {
    options: Arc<Options>,
    /// The name under which readers import it: letters, digits and hyphens.
    name: String,
    position: Position,
    details: HashMap<TableName, TableDetail>,
    /// The server keeps text in UTF-8.
    is_utf8: bool,
    /// The server does not know in which encoding its texts are (`SQL_ASCII`), and sends their bytes as they are.
    knows_no_encoding: bool,
    exporter: Mutex<Connection>,
}

impl PostgresSnapshot {
    pub(super) async fn export(
        options: &Arc<Options>,
        details: HashMap<TableName, TableDetail>,
    ) -> Result<Self, Error> {
        let mut exporter = connect(options).await?;
        let failed = |error| general(error, "export a snapshot of the source");
        let export = format!("{BEGIN}; {EXPORT}");
        let rows = exporter.query(&export).await.map_err(failed)?;
        let mut cells = rows.into_iter().flatten().flatten();
        let (Some(position), Some(name)) = (cells.next(), cells.next()) else {
            return Err(Error::Fatal("the source exported no snapshot".to_owned()));
        };
        let position = Position::new(position);
        Ok(Self {
            options: Arc::clone(options),
            name,
            position,
            details,
            is_utf8: exporter.parameter("server_encoding") == Some("UTF8"),
            knows_no_encoding: exporter.parameter("server_encoding") == Some("SQL_ASCII"),
            exporter: Mutex::new(exporter),
        })
    }

    fn conditions<'t>(&self, table: &'t Table) -> Conditions<'t> {
        Conditions {
            table,
            is_utf8: self.is_utf8,
        }
    }

    /// A table's details and its relations as this snapshot sees them.
    async fn relations(
        &self,
        exporter: &mut Connection,
        table: &Table,
    ) -> Result<(&TableDetail, Vec<Relation>), Error> {
        let name = &table.name;
        let detail = self
            .details
            .get(name)
            .ok_or_else(|| Error::table(name, "it was not described before the snapshot"))?;
        let relations = catalog::relations(exporter, detail.oid)
            .await
            .map_err(|error| of_table(error, name, "read the partitions and files of"))?;
        if let Some(foreign) = relations.iter().find(|relation| relation.is_foreign) {
            return Err(Error::table(
                name,
                format!(
                    "its partition {} is a foreign table, whose rows are on another server; detach it, or exclude the table",
                    foreign.name
                ),
            ));
        }
        if relations.is_empty() && !detail.is_partitioned {
            return Err(Error::table(
                name,
                "it was dropped before the snapshot was taken; exclude it, or start the load again",
            ));
        }
        Ok((detail, relations))
    }
}

/// The oldest transaction that was not over in the snapshot of a position, as rows hold it: the lower 32 bits of its id.
fn oldest_open(position: &Position) -> Option<u32> {
    let (_, snapshot) = position.as_str().split_once(';')?;
    let (oldest, _) = snapshot.split_once(':')?;
    let oldest: u64 = oldest.parse().ok()?;
    u32::try_from(oldest & u64::from(u32::MAX)).ok()
}

/// How many rows there are by a query that also tells whether one of them is new; `None` when one is.
async fn unchanged_rows(
    exporter: &mut Connection,
    sql: &str,
    table: &Table,
) -> Result<Option<u64>, Error> {
    let rows = exporter
        .query(sql)
        .await
        .map_err(|error| of_table(error, &table.name, "look for rows that changed in"))?;
    let mut cells = rows.into_iter().flatten().flatten();
    let (has_new, count) = (cells.next(), cells.next());
    let Some(count) = count.and_then(|count| count.parse::<u64>().ok()) else {
        return Err(Error::Fatal("the source counted no rows".to_owned()));
    };
    Ok((has_new.as_deref() == Some("f")).then_some(count))
}

/// The SQL that puts a new connection under a snapshot.
pub(super) fn import_sql(name: &str) -> String {
    format!("{BEGIN}; SET TRANSACTION SNAPSHOT {}", quote::literal(name))
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn position(&self) -> &Position {
        &self.position
    }

    async fn plan(&self, table: &Table, chunk_bytes: u64) -> Result<Vec<ChunkBounds>, Error> {
        let mut exporter = self.exporter.lock().await;
        let (detail, relations) = self.relations(&mut exporter, table).await?;
        if detail.is_view {
            // It has no pages of its own, or none that a later snapshot would find again.
            return Ok(vec![chunk::whole(&table.columns)]);
        }
        Ok(chunk::plan(
            &table.columns,
            &relations,
            detail.is_partitioned,
            chunk_bytes,
        ))
    }

    async fn plan_partitions(
        &self,
        table: &Table,
        segments: &Segments,
        must_be_all: bool,
    ) -> Result<Vec<ChunkBounds>, Error> {
        let mut exporter = self.exporter.lock().await;
        let (detail, relations) = self.relations(&mut exporter, table).await?;
        let there = catalog::partitions(&mut exporter, detail.oid)
            .await
            .map_err(|error| of_table(error, &table.name, "read the partitions of"))?;
        let partitions: Vec<Partition> = there.iter().map(|one| one.partition.clone()).collect();
        let found = segments.found_partitions(&partitions, must_be_all);
        let found = found.map_err(|message| Error::table(&table.name, message))?;
        let mut wanted: Vec<u32> = Vec::new();
        // Each stands behind the one that it is a part of.
        for one in &there {
            if found.contains(&&one.partition) || wanted.contains(&one.parent) {
                wanted.push(one.oid);
            }
        }
        Ok(chunk::plan_whole(&table.columns, &relations, &wanted))
    }

    fn filters_exactly(&self, table: &Table, filter: &Predicate) -> bool {
        self.conditions(table).exactly(filter).is_some()
    }

    /// A row keeps its place as long as no version of it is written and its file stays: an update moves it, an insert may fill a
    /// page that was read already. So the plan holds if the table has the same columns and the same relations with the same files, and the chunks
    /// that are finished hold no row version that is younger than the snapshot under which they held last, and lack none. Others are read anew. What was
    /// wanted of the rows is told by the server, where it can be asked exactly.
    async fn plan_holds(
        &self,
        table: &Table,
        planned_at: &Position,
        finished: &[FinishedChunk],
    ) -> Result<bool, Error> {
        let (Some(first), Some(since)) = (finished.first(), oldest_open(planned_at)) else {
            return Ok(false);
        };
        let planned = ChunkRange::parse(&first.bounds)?;
        let mut exporter = self.exporter.lock().await;
        let (detail, relations) = self.relations(&mut exporter, table).await?;
        if detail.is_view {
            return Ok(false);
        }
        if chunk::tree(&table.columns, &relations) != planned.tree {
            return Ok(false);
        }
        let mut row_count = 0;
        for relation in &relations {
            let partition = detail.is_partitioned.then_some(&relation.name);
            let wanted = chunk::runs(finished, partition, &self.conditions(table))?;
            let Some(wanted) = wanted else {
                return Ok(false);
            };
            for rows in wanted {
                let sql = format!(
                    "SELECT coalesce(bool_or(age(xmin) <= age('{since}'::xid)), false), count(*) FROM ONLY {} WHERE {rows}",
                    quote::table(&relation.name),
                );
                match unchanged_rows(&mut exporter, &sql, table).await? {
                    Some(count) => row_count += count,
                    None => return Ok(false),
                }
            }
        }
        Ok(row_count == finished.iter().map(|chunk| chunk.row_count).sum::<u64>())
    }

    fn raw_formats(&self, table: &Table) -> Vec<RawFormat> {
        match self.details.get(&table.name) {
            // Somebody has to look at the bytes who can tell of which row they are.
            _ if self.knows_no_encoding => Vec::new(),
            Some(detail) if detail.needs_text => vec![RawFormat::PgCopyText],
            Some(_) => vec![RawFormat::PgCopyBinary, RawFormat::PgCopyText],
            None => Vec::new(),
        }
    }

    async fn reader(&self) -> Result<Box<dyn ChunkReader>, Error> {
        let reader = PostgresReader::open(Arc::clone(&self.options), self.name.clone()).await?;
        Ok(Box::new(reader))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart_by_the_lower_half_of_an_id() {
        let oldest = |text: &str| oldest_open(&Position::new(text.to_owned()));
        assert_eq!(oldest("0/15D6B68;745:750:745,747"), Some(745));
        assert_eq!(oldest("0/15D6B68;4294967301:4294967301:"), Some(5));
        assert_eq!(oldest("0/15D6B68"), None);
        assert_eq!(oldest("0/15D6B68;x:1:"), None);
    }
}
