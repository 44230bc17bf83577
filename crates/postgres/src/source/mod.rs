//! PostgreSQL as a source.
//!
//! One transaction exports its snapshot and stays open; every reader is a transaction of its own that imports it. So all
//! readers, whenever they begin, see exactly the same rows. Chunks are ranges of physical places (`ctid`): within one snapshot a row
//! has one place, so ranges that cover all pages cover every row once, and a range is read without touching the others.

mod chunk;
mod filter;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod lookup;
mod misfits;
mod parts;
mod reader;
mod rows;
mod snapshot;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::expression::{self, Dialect};
use whimbrel_connector::{
    Error, KeyLookup, Measured, Misfit, RowVisitor, Snapshot, Source, TypeDefinition,
};
use whimbrel_core::objects::SchemaObjects;
use whimbrel_core::{Partition, Table, TableName};

use crate::catalog::{self, TableDetail};
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::wire::Connection;
use snapshot::PostgresSnapshot;

/// A database read as a source.
pub(crate) struct PostgresSource {
    options: Arc<Options>,
    connection: Connection,
    /// Of the tables described so far.
    details: HashMap<TableName, TableDetail>,
}

impl PostgresSource {
    pub(crate) fn new(options: Arc<Options>, connection: Connection) -> Self {
        Self {
            options,
            connection,
            details: HashMap::new(),
        }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn tables(
        &mut self,
        is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error> {
        let described = catalog::describe_tables(&mut self.connection, is_selected)
            .await
            .map_err(|error| general(error, "read the catalog"))?;
        let mut tables = Vec::with_capacity(described.len());
        for (table, detail) in described {
            self.details.insert(table.name.clone(), detail);
            tables.push(table);
        }
        Ok(tables)
    }

    async fn views(
        &mut self,
        is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error> {
        let described = catalog::describe_views(&mut self.connection, is_selected)
            .await
            .map_err(|error| general(error, "read the views of the catalog"))?;
        let mut views = Vec::with_capacity(described.len());
        for (view, detail) in described {
            self.details.insert(view.name.clone(), detail);
            views.push(view);
        }
        Ok(views)
    }

    async fn type_definitions(&mut self, tables: &[Table]) -> Result<Vec<TypeDefinition>, Error> {
        let details = tables
            .iter()
            .filter_map(|table| self.details.get(&table.name));
        let oids: Vec<u32> = details.map(|detail| detail.oid).collect();
        catalog::type_definitions(&mut self.connection, oids.into_iter())
            .await
            .map_err(|error| general(error, "read the types that the tables need"))
    }

    async fn objects(&mut self, tables: &[Table]) -> Result<SchemaObjects, Error> {
        let mut objects = catalog::schema_objects(&mut self.connection, tables)
            .await
            .map_err(|error| general(error, "read the objects of the tables"))?;
        expression::read_all(&mut objects, tables, Dialect::Postgres);
        Ok(objects)
    }

    async fn partitions(&mut self, table: &Table) -> Result<Vec<Partition>, Error> {
        let Some(detail) = self.details.get(&table.name) else {
            return Ok(Vec::new());
        };
        let partitions = catalog::partitions(&mut self.connection, detail.oid).await;
        let partitions =
            partitions.map_err(|error| of_table(error, &table.name, "read the partitions of"))?;
        Ok(partitions.into_iter().map(|one| one.partition).collect())
    }

    async fn misfits(
        &mut self,
        table: &Table,
        columns: &[Measured],
        rows: Option<u64>,
    ) -> Result<Vec<Misfit>, Error> {
        misfits::find(&mut self.connection, table, columns, rows).await
    }

    async fn snapshot(&mut self, _reader_count: usize) -> Result<Box<dyn Snapshot>, Error> {
        let snapshot = PostgresSnapshot::export(&self.options, self.details.clone()).await?;
        Ok(Box::new(snapshot))
    }

    async fn rows_by_key(
        &mut self,
        lookup: KeyLookup<'_>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let detail = self.details.get(&lookup.table.name);
        let is_partitioned = detail.is_some_and(|detail| detail.is_partitioned);
        lookup::rows(&mut self.connection, lookup, is_partitioned, visit).await
    }
}
