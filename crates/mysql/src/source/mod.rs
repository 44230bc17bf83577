//! A MySQL or MariaDB server as a source.

mod axis;
mod block;
mod changed;
mod filter;
mod finished;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod lookup;
mod misfits;
mod parts;
mod plan;
mod pool;
mod position;
mod range;
mod reader;
mod snapshot;
mod texts;
mod views;

pub(crate) use position::{current as current_position, is_exact, written};

use async_trait::async_trait;
use whimbrel_connector::expression::{self, Dialect};
use whimbrel_connector::{
    Error, KeyLookup, Measured, Misfit, RowVisitor, Snapshot, Source, TypeDefinition,
};
use whimbrel_core::objects::SchemaObjects;
use whimbrel_core::{Partition, Table, TableName};

use crate::catalog;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::wire::Connection;

/// The source's catalog and the maker of its snapshots.
pub(crate) struct MysqlSource {
    options: Options,
    connection: Connection,
    /// The tables that were offered last: those that a snapshot may have to lock one by one, and to look for in the log.
    offered: Vec<Table>,
    /// The same of views.
    offered_views: Vec<Table>,
}

impl MysqlSource {
    pub(crate) fn new(options: Options, connection: Connection) -> Self {
        Self {
            options,
            connection,
            offered: Vec::new(),
            offered_views: Vec::new(),
        }
    }
}

#[async_trait]
impl Source for MysqlSource {
    async fn tables(
        &mut self,
        is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error> {
        let tables = catalog::tables(&mut self.connection, is_selected)
            .await
            .map_err(|error| general(error, "read the catalog of the source"))?;
        self.offered.clone_from(&tables);
        Ok(tables)
    }

    async fn views(
        &mut self,
        is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error> {
        let views = catalog::views(&mut self.connection, is_selected)
            .await
            .map_err(|error| general(error, "read the views of the source"))?;
        self.offered_views.clone_from(&views);
        Ok(views)
    }

    async fn type_definitions(&mut self, _: &[Table]) -> Result<Vec<TypeDefinition>, Error> {
        // Types belong to columns here: there are none to make first.
        Ok(Vec::new())
    }

    async fn objects(&mut self, tables: &[Table]) -> Result<SchemaObjects, Error> {
        let mut objects = catalog::schema_objects(&mut self.connection, tables)
            .await
            .map_err(|error| general(error, "read the objects of the tables"))?;
        expression::read_all(&mut objects, tables, Dialect::MySql);
        Ok(objects)
    }

    async fn partitions(&mut self, table: &Table) -> Result<Vec<Partition>, Error> {
        let partitions = catalog::partitions(&mut self.connection, &table.name).await;
        let partitions =
            partitions.map_err(|error| of_table(error, &table.name, "read the partitions"))?;
        Ok(partitions.into_iter().map(|(one, _)| one).collect())
    }

    async fn misfits(
        &mut self,
        table: &Table,
        columns: &[Measured],
        rows: Option<u64>,
    ) -> Result<Vec<Misfit>, Error> {
        misfits::find(&mut self.connection, table, columns, rows).await
    }

    async fn snapshot(&mut self, reader_count: usize) -> Result<Box<dyn Snapshot>, Error> {
        let snapshot = snapshot::open(
            &self.options,
            &mut self.connection,
            (&self.offered, &self.offered_views),
            reader_count.clamp(1, snapshot::READERS_MAX),
        )
        .await?;
        Ok(Box::new(snapshot))
    }

    async fn rows_by_key(
        &mut self,
        lookup: KeyLookup<'_>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        lookup::rows(&mut self.connection, lookup, visit).await
    }
}
