//! A MySQL or MariaDB server as a target.

mod apply;
mod control;
mod fed;
mod kept_objects;
mod layout;
mod loader;
mod objects;
mod prepare;
mod reports;
mod sessions;
mod stall;
mod vectors;
mod verdict;

use async_trait::async_trait;
use whimbrel_connector::control_tables::ControlWrite;
use whimbrel_connector::objects::{Aside, ObjectOutcome, ObjectPlan, ObjectStep};
use whimbrel_connector::{
    Applier, ApplySettings, Bounds, Checkpoint, Error, FedTable, Feeding, KeyNotRestored,
    KeyPolicy, LoadRecord, Loader, NOBODY, PrepareMode, RawFormat, RefusedType, Target,
    TargetColumn, TargetTable, TaskFence, TypeDefinition,
};
use whimbrel_core::objects::{ObjectSelection, SchemaObjects};
use whimbrel_core::{ChunkBounds, Engine, Position, Table, TableName};

use self::apply::MysqlApplier;
use self::control::Held;
use self::layout::Layout;
use self::loader::MysqlLoader;
pub(crate) use self::stall::DiskWatch;
use crate::catalog;
use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::types::{self, plan_columns};
use crate::wire::{Connection, Purpose};
use vectors::{has_vectors, without_vectors};

const LOOKING: &str = "look at the columns of the target table of";

/// The target's tables and the records of loads.
pub(crate) struct MysqlTarget {
    options: Options,
    connection: Connection,
    /// Whoever takes the task over finds the connection, and ends it.
    is_marked: bool,
}

impl MysqlTarget {
    pub(crate) fn new(options: Options, connection: Connection) -> Self {
        Self {
            options,
            connection,
            is_marked: false,
        }
    }

    /// After an error a transaction may be open; the next call must not find it.
    async fn clean_up<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err()
            && self.connection.is_ready()
            && let Err(error) = self.connection.execute("ROLLBACK").await
        {
            tracing::debug!(%error, "the rollback failed too");
        }
        result
    }

    /// Whoever takes the task over finds the connection, and ends it.
    async fn mark(&mut self, fence: &TaskFence) -> Result<(), Error> {
        if !self.is_marked {
            sessions::mark(&mut self.connection, fence).await?;
            self.is_marked = true;
        }
        Ok(())
    }
}

/// Runs a statement that concerns a table of the source.
async fn run(
    connection: &mut Connection,
    table: &TableName,
    doing: &str,
    sql: &str,
) -> Result<(), Error> {
    connection
        .execute(sql)
        .await
        .map(drop)
        .map_err(|error| of_table(error, table, doing))
}

/// What becomes of columns that the source computes.
fn computed_notes(source: &Table, target: Engine) -> Vec<String> {
    let mut notes = Vec::new();
    if source.engine != target {
        let computed = source.columns.iter().filter(|column| !column.is_loaded());
        notes.extend(computed.map(|column| {
            format!(
                "column {}: it is computed by the source and is not created",
                column.name
            )
        }));
    }
    notes
}

/// The key's columns within a row, and why there are none although the source has a key.
fn plan_key(
    source: &Table,
    columns: &[TargetColumn],
    target: Engine,
) -> (Vec<usize>, Option<String>) {
    let key = source.key_in_row();
    if key.len() < source.primary_key.len() {
        let note = "the primary key has a computed column and is not created";
        return (Vec::new(), Some(note.to_owned()));
    }
    // MariaDB's JSON is a text, of which a key can hold the beginning.
    let is_document = |&column: &usize| columns[column].native == "json";
    if target == Engine::MySql && source.has_prefix_key() && key.iter().any(is_document) {
        let note = "the primary key has a JSON column, which cannot be part of a key here, and is not created";
        return (Vec::new(), Some(note.to_owned()));
    }
    (key, None)
}

#[async_trait]
impl Target for MysqlTarget {
    fn engine(&self) -> Engine {
        self.connection.engine()
    }

    fn plan_table(
        &self,
        source: &Table,
        name: TableName,
        keys: KeyPolicy,
    ) -> Result<TargetTable, Error> {
        let (mut columns, column_notes) = plan_columns(source, self.engine(), keys);
        let mut notes = [source.notes.clone(), column_notes].concat();
        if self.engine() == Engine::MariaDb && !has_vectors(self.connection.version()) {
            notes.extend(without_vectors(source, &mut columns));
        }
        if columns.is_empty() {
            return Err(Error::table(
                &source.name,
                "it has no columns that could be loaded, and a table without columns cannot be made here",
            ));
        }
        notes.extend(computed_notes(source, self.engine()));
        let (primary_key, key_note) = plan_key(source, &columns, self.engine());
        notes.extend(key_note);
        Ok(TargetTable {
            name,
            source: source.clone(),
            shaped: None,
            columns,
            primary_key,
            keys,
            notes,
        })
    }

    async fn bounds(
        &mut self,
        table: &TargetTable,
        keeps_tables: bool,
    ) -> Result<Vec<Bounds>, Error> {
        let there = if keeps_tables {
            let columns = catalog::columns(&mut self.connection, &table.name).await;
            columns.map_err(|error| of_table(error, &table.source.name, LOOKING))?
        } else {
            Vec::new()
        };
        let bounds = table.columns.iter().map(|planned| {
            let name = planned.name.to_lowercase();
            let mut there = there.iter();
            let found = there.find(|column| column.name.to_lowercase() == name);
            match found {
                Some(column) => types::bounds(&column.ty.native()),
                None => types::bounds(&planned.native),
            }
        });
        Ok(bounds.collect())
    }

    async fn raw_formats(&mut self, _: &TargetTable) -> Result<Vec<RawFormat>, Error> {
        Ok(Vec::new())
    }

    async fn takes_parts(&mut self, table: &TargetTable) -> Result<bool, Error> {
        if !table.is_worth_parts() {
            return Ok(false);
        }
        let layout = Layout::read(&mut self.connection, table).await?;
        Ok(loader::takes_parts(&layout))
    }

    fn preview(&self, table: &TargetTable, mode: PrepareMode) -> Vec<String> {
        prepare::preview(table, mode, self.engine())
    }

    async fn claim(&mut self, task: &str) -> Result<TaskFence, Error> {
        sessions::end_all(&mut self.connection, task).await?;
        let claimed = control::claim(&mut self.connection, task).await;
        let fence = self.clean_up(claimed).await?;
        self.mark(&fence).await?;
        sessions::end_older(&mut self.connection, &fence).await?;
        Ok(fence)
    }

    async fn claim_again(&mut self, held: &TaskFence) -> Result<TaskFence, Error> {
        // A connection that was lost may still hold the task's row, and the claim would wait for it in vain.
        match sessions::end_older(&mut self.connection, held).await {
            Ok(()) | Err(Error::Fenced { .. }) => {}
            Err(error) => return Err(error),
        }
        let claimed = control::claim_again(&mut self.connection, held).await;
        let fence = self.clean_up(claimed).await?;
        self.mark(&fence).await?;
        sessions::end_older(&mut self.connection, &fence).await?;
        Ok(fence)
    }

    async fn check(&mut self, fence: &TaskFence) -> Result<(), Error> {
        control::check_holder(&mut self.connection, fence).await
    }

    async fn load_records(&mut self, fence: &TaskFence) -> Result<Vec<LoadRecord>, Error> {
        control::check_fence(&mut self.connection, fence, Held::Now).await?;
        control::load_records(&mut self.connection, fence).await
    }

    async fn write_control(
        &mut self,
        home: Option<&str>,
        write: &ControlWrite,
    ) -> Result<(), Error> {
        reports::write(&mut self.connection, home, write).await
    }

    async fn clear(&mut self, fence: &TaskFence) -> Result<(), Error> {
        self.mark(fence).await?;
        let cleared = control::clear(&mut self.connection, fence).await;
        self.clean_up(cleared).await
    }

    async fn unrecord(&mut self, fence: &TaskFence, tables: &[&TableName]) -> Result<(), Error> {
        self.mark(fence).await?;
        let removed = control::unrecord(&mut self.connection, fence, tables).await;
        self.clean_up(removed).await
    }

    async fn rebase(
        &mut self,
        fence: &TaskFence,
        table: &TableName,
        planned_at: &Position,
    ) -> Result<(), Error> {
        self.mark(fence).await?;
        let noted = control::rebase(&mut self.connection, fence, table, planned_at).await;
        self.clean_up(noted).await
    }

    async fn folds_names(&mut self) -> Result<bool, Error> {
        let folds = fed::folds_case(&mut self.connection).await;
        folds.map_err(|error| general(error, "ask how the server compares names of tables"))
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
        self.mark(fence).await?;
        fed::feed(&mut self.connection, fence, tables, feeding).await
    }

    async fn forget(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        self.mark(fence).await?;
        let refused = match self.restore_keys(fence).await {
            // It was forgotten already.
            Err(Error::Fenced { theirs: NOBODY, .. }) => Vec::new(),
            restored => restored?,
        };
        control::forget(&mut self.connection, fence).await?;
        Ok(refused)
    }

    async fn restore_keys(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        self.mark(fence).await?;
        control::check_fence(&mut self.connection, fence, Held::Now).await?;
        let restored = kept_objects::restore(&mut self.connection, fence).await;
        self.clean_up(restored).await
    }

    async fn has_put_aside(&mut self, fence: &TaskFence) -> Result<bool, Error> {
        kept_objects::is_any_noted(&mut self.connection, fence).await
    }

    async fn create_types(&mut self, _: &[TypeDefinition]) -> Result<Vec<RefusedType>, Error> {
        // Types belong to columns here.
        Ok(Vec::new())
    }

    async fn prepare(
        &mut self,
        fence: &TaskFence,
        table: &TargetTable,
        mode: PrepareMode,
        planned_at: &Position,
        chunks: &[ChunkBounds],
    ) -> Result<(), Error> {
        self.mark(fence).await?;
        let prepared =
            prepare::prepare(&mut self.connection, fence, table, mode, planned_at, chunks).await;
        self.clean_up(prepared).await
    }

    async fn loader(&mut self, fence: &TaskFence) -> Result<Box<dyn Loader>, Error> {
        control::check_fence(&mut self.connection, fence, Held::Now).await?;
        let mut connection = connect(&self.options, Purpose::Write).await?;
        sessions::mark(&mut connection, fence).await?;
        Ok(Box::new(MysqlLoader::new(connection, fence.clone())))
    }

    async fn finish(&mut self, fence: &TaskFence, table: &TargetTable) -> Result<(), Error> {
        self.mark(fence).await?;
        let finished = prepare::finish(&mut self.connection, fence, table).await;
        self.clean_up(finished).await
    }

    fn plan_objects(
        &self,
        objects: &SchemaObjects,
        tables: &[TargetTable],
        wanted: &ObjectSelection,
    ) -> ObjectPlan {
        objects::plan(objects, tables, wanted, self.engine())
    }

    async fn make_object(
        &mut self,
        fence: &TaskFence,
        step: &ObjectStep,
    ) -> Result<ObjectOutcome, Error> {
        self.mark(fence).await?;
        let made = objects::make(&mut self.connection, fence, step).await;
        self.clean_up(made).await
    }

    async fn unmake_object(
        &mut self,
        fence: &TaskFence,
        step: &ObjectStep,
    ) -> Result<Aside, Error> {
        self.mark(fence).await?;
        let gone = objects::unmake(&mut self.connection, fence, step).await;
        self.clean_up(gone).await
    }

    async fn make_together(
        &mut self,
        fence: &TaskFence,
        steps: &[ObjectStep],
    ) -> Result<Option<Vec<ObjectOutcome>>, Error> {
        self.mark(fence).await?;
        let made = objects::make_together(&mut self.connection, fence, steps).await;
        self.clean_up(made).await
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
        let applier = MysqlApplier::start(&self.options, fence, settings).await?;
        Ok(Box::new(applier))
    }
}
