use async_trait::async_trait;
use whimbrel_core::objects::{ObjectKind, ObjectSelection, SchemaObjects};
use whimbrel_core::{ChunkBounds, ChunkId, ColumnType, Engine, Position, Table, TableName};

use crate::control_tables::ControlWrite;
use crate::objects::{Aside, ObjectOutcome, ObjectPlan, ObjectStep};
use crate::{
    Applier, ApplySettings, Bounds, Checkpoint, Error, FollowState, LongCells, NOBODY, RawFormat,
    RowBlock, TypeDefinition,
};

/// A type that the server does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedType {
    /// The type.
    pub definition: TypeDefinition,
    /// The server's words.
    pub reason: String,
}

/// What happens to a target table before its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrepareMode {
    /// Existing tables and rows stay as they are; missing tables are created, and what others write into these stays as well.
    DoNothing,
    /// Existing tables are dropped and created again.
    DropAndCreate,
    /// Existing tables are emptied, missing ones created.
    Truncate,
}

/// Whether a load creates primary keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// When the target's engine loads fastest with them: before the rows or after.
    Best,
    /// After the rows.
    AfterLoad,
    /// Not at all.
    None,
}

/// A column as the target will have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetColumn {
    /// Name.
    pub name: String,
    /// The exact type in the target's SQL.
    pub native: String,
    /// What the source gives.
    pub source_type: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

/// A table as the target will have it: what [`Target::plan_table`] makes of a source's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTable {
    /// Schema (`MySQL`: database) and name at the target.
    pub name: TableName,
    /// The table at the source: what records hold of it.
    pub source: Table,
    /// The source's table as rules and settings want it to be made here; `None`: as it is.
    pub shaped: Option<Box<ShapedTable>>,
    /// One for each loaded column of [`Self::model`], in the same order.
    pub columns: Vec<TargetColumn>,
    /// Indexes into `columns`, in key order.
    pub primary_key: Vec<usize>,
    /// When to create the key.
    pub keys: KeyPolicy,
    /// Things a user should know: a type without an exact counterpart, a collation replaced.
    pub notes: Vec<String>,
}

/// A table in another shape than the source's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapedTable {
    /// As it is to be made.
    pub table: Table,
    /// For each of its loaded columns, which of the source's loaded columns it is; `None`: it is added.
    pub source_places: Vec<Option<usize>>,
    /// For each of its loaded columns, whether its values are the source's own.
    pub keeps_values: Vec<bool>,
    /// Whether some rows of the source do not arrive.
    pub leaves_out_rows: bool,
}

impl TargetTable {
    /// The table that this one is made after: the source's, in the shape that it is to have here.
    pub fn model(&self) -> &Table {
        self.shaped
            .as_ref()
            .map_or(&self.source, |shaped| &shaped.table)
    }

    /// Whether some rows of the source do not arrive.
    pub fn leaves_out_rows(&self) -> bool {
        self.shaped
            .as_ref()
            .is_some_and(|shaped| shaped.leaves_out_rows)
    }

    /// Whether its rows are better read in parts than held whole, as far as the types of the source tell.
    pub fn is_worth_parts(&self) -> bool {
        let types = self.columns.iter().map(|column| &column.source_type);
        LongCells::are_cut(types.map(LongCells::of))
    }

    /// The columns of the source whose values arrive as others.
    pub fn columns_changed(&self) -> impl Iterator<Item = &str> {
        let loaded = self.source.loaded_columns();
        loaded.map(|column| column.name.as_str()).filter(|name| {
            let place = self.column_of(name);
            let shaped = self.shaped.as_ref();
            let kept = shaped.and_then(|shaped| shaped.keeps_values.get(place?));
            kept == Some(&false)
        })
    }

    /// The place among [`Self::columns`] of a column of the source, if it is there.
    pub fn column_of(&self, source: &str) -> Option<usize> {
        let mut loaded = self.source.loaded_columns();
        let place = loaded.position(|column| column.name == source)?;
        match &self.shaped {
            None => Some(place),
            Some(shaped) => shaped
                .source_places
                .iter()
                .position(|from| *from == Some(place)),
        }
    }
}

/// Which task and which of its runs writes.
///
/// The epoch grows each time a worker takes the task over. A target refuses the older epoch in the very transaction that
/// would have written: a worker that was believed dead cannot write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFence {
    /// The task's name: at most 128 characters, unique among the tasks of a target.
    pub task: String,
    /// The run's epoch.
    pub epoch: i64,
    /// Who holds it: the same from a claim through all that follow it by [`Target::claim_again`], and nobody else's.
    pub holder: String,
}

/// One chunk in the record of a load that the target keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// The chunk.
    pub id: ChunkId,
    /// Its rows at the source.
    pub bounds: ChunkBounds,
    /// Rows and bytes once it is committed; `None` while it is open.
    pub done: Option<ChunkCommit>,
}

/// What was committed for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkCommit {
    /// Rows written.
    pub row_count: u64,
    /// Bytes received from the source, in its wire format.
    pub byte_count: u64,
}

/// The record of one table's load, kept in the target beside the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRecord {
    /// The table at the source.
    pub table: TableName,
    /// The position of the snapshot under which the chunks were planned, or of a later one under which the plan was found to hold
    /// ([`Target::rebase`]); `None` for a table that was not loaded by the task.
    pub planned_at: Option<Position>,
    /// All chunks of the plan, by id.
    pub chunks: Vec<ChunkRecord>,
    /// Whether keys were built after the last chunk.
    pub is_finished: bool,
    /// What is known of it for following; `None` in records of earlier versions.
    pub follow: Option<FollowState>,
}

/// Whether a task lets others feed its tables too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feeding {
    /// It does not.
    #[default]
    Alone,
    /// Those that say the same: each writes rows of its own.
    Together,
}

/// A table of the target that a task feeds with changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FedTable {
    /// Its name at the target.
    pub table: TableName,
    /// The task.
    pub task: String,
}

/// Something of the target that was put aside while tables were made, emptied and filled, and is not whole again: a foreign key, a view, a routine, a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNotRestored {
    /// Whether the run failed by it. What a definition that is followed took with it is no failure.
    pub is_failure: bool,
    /// What it is.
    pub kind: ObjectKind,
    /// Its name, with that of its table or schema in front.
    pub name: String,
    /// What the server says, and what to do.
    pub reason: String,
}

/// One chunk to load.
#[derive(Clone, Debug)]
pub struct ChunkLoad<'a> {
    /// The table.
    pub table: &'a TargetTable,
    /// The chunk.
    pub chunk: ChunkId,
    /// Whether it is the table's only chunk, so that it may be loaded in one transaction with the emptying of the table.
    pub is_only_chunk: bool,
    /// The raw format of its blocks; `None`: decoded.
    pub raw: Option<RawFormat>,
    /// The most rows to send in one statement, when the user set a bound (`CommitRate`).
    pub statement_rows_max: Option<u32>,
    /// Whether rows that are refused may be left out: see [`Loader::write`].
    pub sifts: bool,
}

/// One end in the role of a target: its tables, and the records of loads.
///
/// One call at a time, beside any number of its loaders. Every method may be repeated: done twice, it leaves what once left.
#[async_trait]
pub trait Target: Send {
    /// The engine of the server.
    fn engine(&self) -> Engine;

    /// Says how a source's table will look here, under `name`. Does no I/O.
    ///
    /// Between servers of one engine columns keep their exact types; between engines each type maps to one that holds
    /// every value of it, or every value that can be held at all (the rest is refused row by row, and noted here).
    ///
    /// # Errors
    /// [`Error::Table`] when a column has no counterpart at all.
    fn plan_table(
        &self,
        source: &Table,
        name: TableName,
        keys: KeyPolicy,
    ) -> Result<TargetTable, Error>;

    /// Whether names of tables that differ in case alone are one table here.
    async fn folds_names(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    /// What each column of a planned table holds. `keeps_tables`: a table that is there is kept, so that its own columns are what counts.
    async fn bounds(
        &mut self,
        table: &TargetTable,
        _keeps_tables: bool,
    ) -> Result<Vec<Bounds>, Error> {
        Ok(vec![Bounds::default(); table.columns.len()])
    }

    /// The raw formats that can be loaded into this table as they are. Asked once the table is prepared: where an existing table
    /// was kept, it looks at the types of its columns, which may be others than planned.
    async fn raw_formats(&mut self, table: &TargetTable) -> Result<Vec<RawFormat>, Error>;

    /// Whether rows are to be loaded into this table in parts ([`ReadFormat::InParts`](crate::ReadFormat::InParts)): nothing has to be known of a whole cell
    /// before its first bytes are written, where cells are cut, and no other can be long. Asked when [`Self::raw_formats`] is.
    async fn takes_parts(&mut self, _table: &TargetTable) -> Result<bool, Error> {
        Ok(false)
    }

    /// The SQL that [`Self::prepare`] and [`Self::finish`] would run, in order, for a dry run.
    fn preview(&self, table: &TargetTable, mode: PrepareMode) -> Vec<String>;

    /// Takes the task: makes the control tables if they are missing and raises the task's epoch to
    /// `max(previous + 1, the target's clock in microseconds since 1970)`, so that no epoch is ever handed out twice, even
    /// after [`Self::forget`].
    ///
    /// From its return on, loaders and targets of earlier epochs are refused; what they had open is ended where the server can tell.
    async fn claim(&mut self, task: &str) -> Result<TaskFence, Error>;

    /// Takes the task anew for a worker that held it, in one step with seeing that nobody else has taken it since. A later epoch of the same
    /// holder is a claim whose answer was lost. An epoch that is older than the one held is no reason to refuse: the target was put back.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a later epoch owns the task, or it was forgotten.
    async fn claim_again(&mut self, held: &TaskFence) -> Result<TaskFence, Error>;

    /// Sees whether the task is still that of the fence's holder, in whatever epoch.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another holder owns it, or it was forgotten.
    async fn check(&mut self, fence: &TaskFence) -> Result<(), Error>;

    /// Whether the target has the task: it was claimed and not forgotten since.
    async fn knows(&mut self, task: &str) -> Result<bool, Error> {
        let of_nobody = TaskFence {
            task: task.to_owned(),
            epoch: i64::MIN,
            holder: String::new(),
        };
        match self.check(&of_nobody).await {
            Ok(()) => Ok(true),
            Err(Error::Fenced { theirs, .. }) => Ok(theirs != NOBODY),
            Err(error) => Err(error),
        }
    }

    /// The records of the task's load, one for each table that was prepared, in order of name.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another epoch owns the task.
    async fn load_records(&mut self, fence: &TaskFence) -> Result<Vec<LoadRecord>, Error>;

    /// Writes rows that users read, in one transaction, and makes their table if it is missing: in schema `home`, or where the service has
    /// such tables.
    async fn write_control(
        &mut self,
        home: Option<&str>,
        write: &ControlWrite,
    ) -> Result<(), Error>;

    /// Removes all that is recorded of the task, its checkpoint too, as if it had just begun. The task stays that of the fence.
    async fn clear(&mut self, fence: &TaskFence) -> Result<(), Error>;

    /// Removes the records of some tables' loads, as if these had not been prepared yet.
    async fn unrecord(&mut self, fence: &TaskFence, tables: &[&TableName]) -> Result<(), Error>;

    /// Of these tables of the target, those that other tasks feed with changes ([`Self::feed`]) and do not share with this one. Writes nothing.
    async fn fed_by_others(
        &mut self,
        task: &str,
        tables: &[TableName],
        feeding: Feeding,
    ) -> Result<Vec<FedTable>, Error>;

    /// Notes that from now on the task feeds these tables of the target with changes, and no others. Nobody else may until the task is cleared or
    /// forgotten, but tasks that all feed [`Feeding::Together`]. In one step with seeing that no other task feeds them: answers those that others do, and then nothing is noted.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another epoch owns the task.
    async fn feed(
        &mut self,
        fence: &TaskFence,
        tables: &[TableName],
        feeding: Feeding,
    ) -> Result<Vec<FedTable>, Error>;

    /// Removes all records of the task, and the control tables when nobody else uses them. Answers the foreign keys that were put aside and are not whole
    /// again: they stay noted at the target, and another call tries them again.
    async fn forget(&mut self, fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error>;

    /// Makes the types that a source of the same engine lists; those that exist stay as they are. Answers those that the server refuses, which may rest on
    /// what is made later, such as a function: the others are made all the same.
    ///
    /// # Errors
    /// [`Error::Fatal`] when a demand on the target is not met.
    async fn create_types(&mut self, types: &[TypeDefinition]) -> Result<Vec<RefusedType>, Error>;

    /// Whether foreign keys by which other tables of the task refer to one stay when that is dropped, which is an error then. They may go where
    /// all tables of the task are made anew.
    fn keep_references(&mut self, _keeps: bool) {}

    /// Puts aside what rests on tables that are about to be dropped and is of a wanted kind. What it is, and how it is made again as it was, is on record
    /// before it goes. What cannot be put aside stays in the way.
    async fn clear_way(
        &mut self,
        _fence: &TaskFence,
        _tables: &[TableName],
        _wanted: &ObjectSelection,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Makes the foreign keys again that [`Self::prepare`] put aside so that tables could be emptied and filled in any order, and what [`Self::clear_way`] and
    /// [`Self::unmake_object`] put aside. Called once all tables of a
    /// load are there and no more changes follow. What is refused stays on record, and another call tries it again.
    async fn restore_keys(&mut self, _fence: &TaskFence) -> Result<Vec<KeyNotRestored>, Error> {
        Ok(Vec::new())
    }

    /// Whether the target has something on record that was put aside for the task and is not made again.
    async fn has_put_aside(&mut self, _fence: &TaskFence) -> Result<bool, Error> {
        Ok(false)
    }

    /// Brings a table into the state before its load, and records its chunks as open: the record is the last thing written,
    /// so that a table with a record is a prepared table.
    ///
    /// Creates the schema if it is missing. With a single chunk the emptying may be left to the loader's transaction.
    async fn prepare(
        &mut self,
        fence: &TaskFence,
        table: &TargetTable,
        mode: PrepareMode,
        planned_at: &Position,
        chunks: &[ChunkBounds],
    ) -> Result<(), Error>;

    /// Notes that the plan of a table's load holds under a later snapshot, under which the chunks are read that are open: what the finished ones
    /// gave is what they hold under it. A table without a record stays without.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another epoch owns the task, and nothing was written.
    async fn rebase(
        &mut self,
        fence: &TaskFence,
        table: &TableName,
        planned_at: &Position,
    ) -> Result<(), Error>;

    /// A loader with a connection of its own.
    async fn loader(&mut self, fence: &TaskFence) -> Result<Box<dyn Loader>, Error>;

    /// Builds what waits for the end of a table's load (keys), and marks its record finished.
    ///
    /// # Errors
    /// [`Error::Table`] when rows violate the key, naming it. [`Error::record_lost`] while the record has a chunk that is not done, or is not
    /// there.
    async fn finish(&mut self, fence: &TaskFence, table: &TargetTable) -> Result<(), Error>;

    /// Says what becomes of the objects of a source's tables here, as far as they are wanted. Does no I/O. `tables`: all of the task, as planned.
    fn plan_objects(
        &self,
        _objects: &SchemaObjects,
        _tables: &[TargetTable],
        _wanted: &ObjectSelection,
    ) -> ObjectPlan {
        ObjectPlan::default()
    }

    /// Makes an object once the rows of its tables are there. What exists is left as it is.
    ///
    /// # Errors
    /// [`Error::Table`] or [`Error::Fatal`] when the server refuses it, in the server's words: rows and other objects stay as they are, and a
    /// repetition goes on with the statement that was refused. [`Error::Fenced`] when a later epoch owns the task.
    async fn make_object(
        &mut self,
        _fence: &TaskFence,
        step: &ObjectStep,
    ) -> Result<ObjectOutcome, Error> {
        Err(Error::Fatal(format!(
            "{} cannot be made at this target",
            step.name
        )))
    }

    /// Takes what has the object's name away, because it would act on rows which are about to be written; it is on record before, and made again as it was by
    /// [`Self::restore_keys`].
    ///
    /// # Errors
    /// As of [`Self::make_object`].
    async fn unmake_object(
        &mut self,
        _fence: &TaskFence,
        _step: &ObjectStep,
    ) -> Result<Aside, Error> {
        Ok(Aside::Absent)
    }

    /// Makes several objects of one table and kind at once, where the server would otherwise go through the table for each. `None`: nothing was done, and they
    /// are made one by one, as when the server refuses one of them.
    ///
    /// # Errors
    /// Those of a lost connection, and [`Error::Fenced`].
    async fn make_together(
        &mut self,
        _fence: &TaskFence,
        _steps: &[ObjectStep],
    ) -> Result<Option<Vec<ObjectOutcome>>, Error> {
        Ok(None)
    }

    /// Up to where changes have been applied, as the last [`Applier::commit`] of this task left it.
    async fn checkpoint(&mut self, _fence: &TaskFence) -> Result<Option<Checkpoint>, Error> {
        Ok(None)
    }

    /// Whether the target has a checkpoint of the task, whoever holds that: an earlier run has followed the source. Writes nothing.
    async fn has_checkpoint(&mut self, _task: &str) -> Result<bool, Error> {
        Ok(false)
    }

    /// An applier with a connection of its own.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a later epoch owns the task; [`Error::Fatal`] when changes cannot be applied to this engine.
    async fn applier(
        &mut self,
        _fence: &TaskFence,
        _settings: &ApplySettings,
    ) -> Result<Box<dyn Applier>, Error> {
        Err(Error::Fatal(
            "changes cannot be applied to this target; run the task as a full load".to_owned(),
        ))
    }
}

/// Writes chunks one after another over one connection.
///
/// `begin`, any number of `write`, then `commit`. The rows of a chunk and the record that it is done become visible in
/// one transaction: after a crash at any point the record says exactly which chunks the table holds.
///
/// Dropping a loader, or beginning anew, rolls an open chunk back.
#[async_trait]
pub trait Loader: Send {
    /// Opens a chunk.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a later epoch owns the task.
    async fn begin(&mut self, load: ChunkLoad<'_>) -> Result<(), Error>;

    /// Sends a block. Returns when the connection has taken it, not when it is durable.
    ///
    /// Of a chunk that [sifts](ChunkLoad::sifts) it returns once the server has taken every row of the block. That is slower.
    ///
    /// # Errors
    /// [`Error::Row`] when a value cannot be held; the chunk is rolled back. One that sifts is put back to where it was before this call, and may
    /// be gone on with.
    async fn write(&mut self, block: &dyn RowBlock) -> Result<(), Error>;

    /// Commits the rows together with the chunk's record. On return both are durable.
    ///
    /// # Errors
    /// [`Error::Row`] when the server refused a row; [`Error::Fenced`]; [`Error::record_lost`] when the record has the chunk not as one that is
    /// open, and nothing was written; [`Error::Transient`] leaves the fate of the
    /// chunk unknown: [`Target::load_records`] on a new connection tells.
    async fn commit(&mut self) -> Result<ChunkCommit, Error>;

    /// Gives the open chunk up.
    async fn rollback(&mut self) -> Result<(), Error>;
}
