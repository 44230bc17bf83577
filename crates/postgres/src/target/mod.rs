//! PostgreSQL as a target.
//!
//! The record of a load lives in schema `awsdms_control` of the target database ([`control`]). A chunk's COPY and the update of its
//! record are one transaction, which also holds a share lock on the task's epoch: a worker that claims the task raises the
//! epoch and so waits for running commits, and every later commit of the old worker finds the new epoch and is refused.

mod apply;
mod control;
mod cut;
mod fed;
mod kept_keys;
mod kept_objects;
mod load;
mod objects;
mod plan;
mod prepare;
mod reports;
mod sessions;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use whimbrel_connector::control_tables::ControlWrite;
use whimbrel_connector::objects::{Aside, ObjectOutcome, ObjectPlan, ObjectStep};
use whimbrel_connector::{
    Applier, ApplySettings, Bounds, Checkpoint, Error, FedTable, Feeding, KeyNotRestored,
    KeyPolicy, LoadRecord, Loader, PrepareMode, RawFormat, RefusedType, Target, TargetTable,
    TaskFence, TypeDefinition,
};
use whimbrel_core::objects::{ObjectSelection, SchemaObjects};
use whimbrel_core::{ChunkBounds, ColumnType, Engine, Position, Table, TableName};

use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::types::{self, Limit, WireType};
use crate::wire::Connection;
use apply::PostgresApplier;
use load::PostgresLoader;

/// A database written as a target.
pub(crate) struct PostgresTarget {
    options: Arc<Options>,
    connection: Connection,
    known: Arc<KnownTables>,
    /// The epoch of which the session has its name.
    named: Option<i64>,
    /// Foreign keys to a table that is dropped stay.
    keeps_references: bool,
}

/// What this process knows of the target's tables; the targets of one connector and their loaders share it.
#[derive(Debug, Default)]
pub(crate) struct KnownTables {
    /// Tables that this process created or emptied, so that a single chunk may empty them again within its own transaction.
    emptied: Mutex<HashSet<TableName>>,
    /// The types that the columns of a table really have, in the order of the planned columns.
    actual: Mutex<HashMap<TableName, Arc<Vec<ActualColumn>>>>,
    /// Tables that this process plans to load.
    planned: Mutex<HashSet<TableName>>,
    /// Whether it was said that triggers of the target act.
    is_warned_of_triggers: AtomicBool,
}

/// A column as the target's catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActualColumn {
    pub(crate) native: String,
    pub(crate) wire: WireType,
    pub(crate) limit: Limit,
    /// Whether the binary form must not be used: there is no encoder, or this server would read another value.
    pub(crate) is_text_only: bool,
}

/// The first version that writes infinite intervals.
const INFINITE_INTERVALS: u32 = 17;

impl ActualColumn {
    fn new(native: String, connection: &Connection) -> Self {
        let mut column = Self {
            wire: WireType::of(&native),
            limit: Limit::of(&native),
            native,
            is_text_only: false,
        };
        column.is_text_only =
            column.wire == WireType::Other || column.reads_binary_otherwise(connection);
        column
    }

    /// The column, for values of a source's column of this type.
    fn for_source(mut self, ty: &ColumnType) -> Self {
        self.limit = self.limit.for_source(ty);
        self
    }

    /// Servers before 17 read the binary form of an infinite interval as a very long one; as text they refuse it.
    fn reads_binary_otherwise(&self, connection: &Connection) -> bool {
        self.native.contains("interval") && connection.major_version() < INFINITE_INTERVALS
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KnownTables {
    fn mark_emptied(&self, table: &TableName) {
        lock(&self.emptied).insert(table.clone());
    }

    fn is_emptied(&self, table: &TableName) -> bool {
        lock(&self.emptied).contains(table)
    }

    fn forget(&self, table: &TableName) {
        lock(&self.emptied).remove(table);
        lock(&self.actual).remove(table);
    }

    /// The columns of a table as they are; read once.
    async fn columns(
        &self,
        connection: &mut Connection,
        table: &TargetTable,
    ) -> Result<Arc<Vec<ActualColumn>>, Error> {
        if let Some(known) = lock(&self.actual).get(&table.name) {
            return Ok(Arc::clone(known));
        }
        let columns = Arc::new(plan::actual_columns(connection, table).await?);
        lock(&self.actual).insert(table.name.clone(), Arc::clone(&columns));
        Ok(columns)
    }
}

impl PostgresTarget {
    pub(crate) fn new(
        options: Arc<Options>,
        connection: Connection,
        known: Arc<KnownTables>,
    ) -> Self {
        Self {
            options,
            connection,
            known,
            named: None,
            keeps_references: true,
        }
    }

    /// Before anything is asked or changed, so that a successor ends what this connection has open.
    async fn name(&mut self, fence: &TaskFence) -> Result<(), Error> {
        if self.named != Some(fence.epoch) {
            sessions::name(&mut self.connection, fence).await?;
            self.named = Some(fence.epoch);
        }
        Ok(())
    }
}

#[async_trait]
impl Target for PostgresTarget {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn plan_table(
        &self,
        source: &Table,
        name: TableName,
        keys: KeyPolicy,
    ) -> Result<TargetTable, Error> {
        let planned = plan::plan_table(source, name, keys)?;
        lock(&self.known.planned).insert(planned.name.clone());
        Ok(planned)
    }

    async fn bounds(
        &mut self,
        table: &TargetTable,
        keeps_tables: bool,
    ) -> Result<Vec<Bounds>, Error> {
        let there = if keeps_tables {
            plan::columns_there(&mut self.connection, table).await?
        } else {
            HashMap::new()
        };
        let bounds = table.columns.iter().map(|planned| {
            let native = there.get(&planned.name).unwrap_or(&planned.native);
            types::bounds(native)
        });
        Ok(bounds.collect())
    }

    async fn raw_formats(&mut self, table: &TargetTable) -> Result<Vec<RawFormat>, Error> {
        if table.source.engine != Engine::Postgres {
            return Ok(Vec::new());
        }
        let actual = self.known.columns(&mut self.connection, table).await?;
        let pairs = || table.columns.iter().zip(actual.iter());
        if !pairs()
            .all(|(planned, actual)| plan::without_collation(&planned.native) == actual.native)
        {
            // The server would round and cut in silence; decoded, every value is checked against the column it gets.
            return Ok(Vec::new());
        }
        let is_binary_safe =
            pairs().all(|(_, actual)| !actual.reads_binary_otherwise(&self.connection));
        Ok(if is_binary_safe {
            vec![RawFormat::PgCopyBinary, RawFormat::PgCopyText]
        } else {
            vec![RawFormat::PgCopyText]
        })
    }

    async fn takes_parts(&mut self, table: &TargetTable) -> Result<bool, Error> {
        if !table.is_worth_parts() {
            return Ok(false);
        }
        let columns = self.known.columns(&mut self.connection, table).await?;
        Ok(load::takes_parts(table, &columns))
    }

    fn preview(&self, table: &TargetTable, mode: PrepareMode) -> Vec<String> {
        prepare::preview(table, mode, self.connection.major_version())
    }

    async fn claim(&mut self, task: &str) -> Result<TaskFence, Error> {
        sessions::end_all(&mut self.connection, task).await?;
        let fence = control::claim(&mut self.connection, task).await?;
        sessions::end_older(&mut self.connection, &fence).await?;
        self.named = Some(fence.epoch);
        Ok(fence)
    }

    async fn claim_again(&mut self, held: &TaskFence) -> Result<TaskFence, Error> {
        let fence = control::claim_again(&mut self.connection, held).await?;
        sessions::end_older(&mut self.connection, &fence).await?;
        self.named = Some(fence.epoch);
        Ok(fence)
    }

    async fn check(&mut self, fence: &TaskFence) -> Result<(), Error> {
        control::check_holder(&mut self.connection, fence).await
    }

    async fn load_records(&mut self, fence: &TaskFence) -> Result<Vec<LoadRecord>, Error> {
        control::check_fence(&mut self.connection, fence, control::Held::Now).await?;
        control::load_records(&mut self.connection, fence).await
    }

    async fn write_control(
        &mut self,
        home: Option<&str>,
        write: &ControlWrite,
    ) -> Result<(), Error> {
        let written = reports::write(&mut self.connection, home, write).await;
        if written.is_err() {
            self.roll_back().await?;
        }
        written
    }

    async fn clear(&mut self, fence: &TaskFence) -> Result<(), Error> {
        self.name(fence).await?;
        control::clear(&mut self.connection, fence).await
    }

    async fn unrecord(&mut self, fence: &TaskFence, tables: &[&TableName]) -> Result<(), Error> {
        self.name(fence).await?;
        control::unrecord(&mut self.connection, fence, tables).await
    }

    async fn rebase(
        &mut self,
        fence: &TaskFence,
        table: &TableName,
        planned_at: &Position,
    ) -> Result<(), Error> {
        self.name(fence).await?;
        control::rebase(&mut self.connection, fence, table, planned_at).await
    }

    async fn fed_by_others(
        &mut self,
        task: &str,
        tables: &[TableName],
        feeding: Feeding,
    ) -> Result<Vec<FedTable>, Error> {
        fed::by_others(&mut self.connection, task, tables, feeding).await
    }

    async fn feed(
        &mut self,
        fence: &TaskFence,
        tables: &[TableName],
        feeding: Feeding,
    ) -> Result<Vec<FedTable>, Error> {
        self.name(fence).await?;
        let fed = fed::feed(&mut self.connection, fence, tables, feeding).await;
        if fed.is_err() {
            self.roll_back().await?;
        }
        fed
    }

    async fn restore_keys(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        self.name(fence).await?;
        control::check_fence(&mut self.connection, fence, control::Held::Now).await?;
        control::restore_all(&mut self.connection, fence).await
    }

    async fn has_put_aside(&mut self, fence: &TaskFence) -> Result<bool, Error> {
        control::has_put_aside(&mut self.connection, fence).await
    }

    async fn forget(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        self.name(fence).await?;
        control::forget(&mut self.connection, fence).await
    }

    async fn create_types(&mut self, types: &[TypeDefinition]) -> Result<Vec<RefusedType>, Error> {
        let mut refused = Vec::new();
        for definition in types {
            let Err(error) = self.connection.query(&definition.sql).await else {
                continue;
            };
            match general(error, &format!("create {} at the target", definition.name)) {
                Error::Fatal(reason) if !definition.is_demand => refused.push(RefusedType {
                    definition: definition.clone(),
                    reason,
                }),
                error => return Err(error),
            }
        }
        Ok(refused)
    }

    async fn clear_way(
        &mut self,
        fence: &TaskFence,
        tables: &[TableName],
        wanted: &ObjectSelection,
    ) -> Result<(), Error> {
        self.name(fence).await?;
        kept_objects::clear_way(&mut self.connection, fence, tables, wanted).await
    }

    fn keep_references(&mut self, keeps: bool) {
        self.keeps_references = keeps;
    }

    async fn prepare(
        &mut self,
        fence: &TaskFence,
        table: &TargetTable,
        mode: PrepareMode,
        planned_at: &Position,
        chunks: &[ChunkBounds],
    ) -> Result<(), Error> {
        self.name(fence).await?;
        self.known.forget(&table.name);
        let planned = lock(&self.known.planned).clone();
        let prepare = prepare::Preparation {
            fence,
            table,
            mode,
            planned: &planned,
            keeps_references: self.keeps_references,
        };
        let prepared = prepare.run(&mut self.connection, planned_at, chunks).await;
        let is_empty = match prepared {
            Ok(is_empty) => is_empty,
            Err(error) => {
                self.roll_back().await?;
                return Err(error);
            }
        };
        if is_empty {
            self.known.mark_emptied(&table.name);
        }
        Ok(())
    }

    async fn loader(&mut self, fence: &TaskFence) -> Result<Box<dyn Loader>, Error> {
        let mut connection = connect(&self.options).await?;
        sessions::name(&mut connection, fence).await?;
        Ok(Box::new(PostgresLoader::new(
            connection,
            fence.clone(),
            Arc::clone(&self.known),
        )))
    }

    async fn finish(&mut self, fence: &TaskFence, table: &TargetTable) -> Result<(), Error> {
        self.name(fence).await?;
        let finished = prepare::finish(&mut self.connection, fence, table).await;
        if finished.is_err() {
            self.roll_back().await?;
        }
        finished
    }

    fn plan_objects(
        &self,
        objects: &SchemaObjects,
        tables: &[TargetTable],
        wanted: &ObjectSelection,
    ) -> ObjectPlan {
        objects::plan(objects, tables, wanted)
    }

    async fn make_object(
        &mut self,
        fence: &TaskFence,
        step: &ObjectStep,
    ) -> Result<ObjectOutcome, Error> {
        self.name(fence).await?;
        objects::make(&mut self.connection, fence, step).await
    }

    async fn unmake_object(
        &mut self,
        fence: &TaskFence,
        step: &ObjectStep,
    ) -> Result<Aside, Error> {
        self.name(fence).await?;
        objects::unmake(&mut self.connection, fence, step).await
    }

    async fn checkpoint(&mut self, fence: &TaskFence) -> Result<Option<Checkpoint>, Error> {
        control::checkpoint(&mut self.connection, fence).await
    }

    async fn has_checkpoint(&mut self, task: &str) -> Result<bool, Error> {
        control::has_checkpoint(&mut self.connection, task).await
    }

    async fn applier(
        &mut self,
        fence: &TaskFence,
        settings: &ApplySettings,
    ) -> Result<Box<dyn Applier>, Error> {
        let connection = connect(&self.options).await?;
        let is_warned = &self.known.is_warned_of_triggers;
        let applier =
            PostgresApplier::start(connection, fence.clone(), settings, is_warned).await?;
        Ok(Box::new(applier))
    }
}

impl PostgresTarget {
    async fn roll_back(&mut self) -> Result<(), Error> {
        let rolled_back = self.connection.query("ROLLBACK").await;
        rolled_back
            .map(drop)
            .map_err(|error| general(error, "roll back at the target"))
    }
}

/// Runs statements that are about one table.
async fn run(
    connection: &mut Connection,
    table: &TableName,
    during: &str,
    sql: &str,
) -> Result<(), Error> {
    connection
        .query(sql)
        .await
        .map(drop)
        .map_err(|error| of_table(error, table, during))
}
