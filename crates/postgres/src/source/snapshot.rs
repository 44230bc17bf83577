use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use whimbrel_connector::{ChunkReader, Error, RawFormat, Snapshot};
use whimbrel_core::{ChunkBounds, Position, Table, TableName};

use super::chunk;
use super::reader::PostgresReader;
use crate::catalog::TableDetail;
use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::quote;
use crate::wire::Connection;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// An exported snapshot. The transaction that exported it lives as long.
pub(super) struct PostgresSnapshot {
    options: Arc<Options>,
    /// The name under which readers import it: letters, digits and hyphens.
    name: String,
    position: Position,
    details: HashMap<TableName, TableDetail>,
    exporter: Mutex<Connection>,
}

impl PostgresSnapshot {
    pub(super) async fn export(
        options: &Arc<Options>,
        details: HashMap<TableName, TableDetail>,
    ) -> Result<Self, Error> {
        let mut exporter = connect(options).await?;
        let sql = format!(
            "{BEGIN}; SELECT pg_export_snapshot(),
             CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END || ';' || pg_current_snapshot()"
        );
        let rows = exporter
            .query(&sql)
            .await
            .map_err(|error| general(error, "export a snapshot of the source"))?;
        let mut cells = rows.into_iter().flatten().flatten();
        let (Some(name), Some(position)) = (cells.next(), cells.next()) else {
            return Err(Error::Fatal("the source exported no snapshot".to_owned()));
        };
        let position = Position::new(position);
        Ok(Self {
            options: Arc::clone(options),
            name,
            position,
            details,
            exporter: Mutex::new(exporter),
        })
    }

    fn detail(&self, table: &Table) -> Result<&TableDetail, Error> {
        self.details
            .get(&table.name)
            .ok_or_else(|| Error::table(&table.name, "it was not described before the snapshot"))
    }
}

/// The SQL that puts a new connection under a snapshot.
pub(super) fn import_sql(name: &str) -> String {
    format!("{BEGIN}; SET TRANSACTION SNAPSHOT {}", quote::literal(name))
}

/// The oldest transaction that was not over at a position: `LSN;xmin:xmax:list`, as a 32-bit id, which is what rows hold.
fn oldest_open(position: &Position) -> Option<u32> {
    let (_, snapshot) = position.as_str().split_once(';')?;
    let oldest: u64 = snapshot.split(':').next()?.parse().ok()?;
    u32::try_from(oldest & u64::from(u32::MAX)).ok()
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn position(&self) -> &Position {
        &self.position
    }

    async fn plan(&self, table: &Table, chunk_bytes: u64) -> Result<Vec<ChunkBounds>, Error> {
        Ok(chunk::plan(self.detail(table)?, chunk_bytes))
    }

    /// Places of rows are stable as long as no row version was written: an update moves a row, an insert may fill a page that
    /// was read already. So the plan holds if no visible row version is younger than the snapshot it was made under. A deleted row
    /// leaves the others in place.
    async fn plan_holds(
        &self,
        table: &Table,
        planned_at: &Position,
        _finished: &[ChunkBounds],
    ) -> Result<bool, Error> {
        let Some(oldest) = oldest_open(planned_at) else {
            return Ok(false);
        };
        let mut exporter = self.exporter.lock().await;
        for relation in &self.detail(table)?.relations {
            let sql = format!(
                "SELECT EXISTS (SELECT FROM ONLY {} WHERE age(xmin) <= age('{oldest}'::xid))",
                quote::table(&relation.name)
            );
            let rows = exporter
                .query(&sql)
                .await
                .map_err(|error| of_table(error, &table.name, "look for rows written since"))?;
            if rows
                .iter()
                .flatten()
                .flatten()
                .any(|has_new| has_new == "t")
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn raw_formats(&self, table: &Table) -> Vec<RawFormat> {
        match self.details.get(&table.name) {
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
    fn the_oldest_open_transaction_is_read_from_a_position() {
        assert_eq!(
            oldest_open(&Position::new("0/16B3748;731:735:732,733")),
            Some(731)
        );
        assert_eq!(
            oldest_open(&Position::new("0/16B3748;8589934593:8589934593:")),
            Some(1)
        );
        assert_eq!(oldest_open(&Position::new("0/16B3748")), None);
    }
}
