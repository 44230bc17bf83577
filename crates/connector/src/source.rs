use async_trait::async_trait;
use whimbrel_core::mapping::{Predicate, Segments};
use whimbrel_core::objects::SchemaObjects;
use whimbrel_core::{ChunkBounds, Partition, Position, Table, TableName};

use crate::{Error, KeyLookup, Measured, Misfit, RawFormat, RowBlock, RowVisitor};

/// A type that columns of the selected tables need and that a target of the same engine must have first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeDefinition {
    /// What it is, for messages: `enum public.mood`, `extension hstore`.
    pub name: String,
    /// Idempotent SQL of the source's engine that makes it, schema included. May be several statements.
    pub sql: String,
    /// Whether it makes nothing, but sees that a type which is there holds the same values: where it does not, nothing is loaded.
    pub is_demand: bool,
}

/// One end in the role of a source: its catalog and its snapshots.
///
/// One call at a time. Nothing here changes the source.
#[async_trait]
pub trait Source: Send {
    /// Describes the tables that `is_selected` accepts, sorted by name. System tables are never offered, views neither.
    ///
    /// A partitioned table is one table; its partitions are not offered beside it.
    async fn tables(
        &mut self,
        is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error>;

    /// Describes the views that `is_selected` accepts like tables, sorted by name; none where the source offers none. They have no key.
    ///
    /// A snapshot reads them like tables. What they show changes with other tables, so that no plan of them holds under another snapshot.
    async fn views(
        &mut self,
        _is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error> {
        Ok(Vec::new())
    }

    /// The types (enums, domains, composites, extensions) that the tables' columns need on a target of the same engine,
    /// each after those it needs itself.
    async fn type_definitions(&mut self, tables: &[Table]) -> Result<Vec<TypeDefinition>, Error>;

    /// Describes what belongs to tables that this source described before, beside columns, rows and primary keys. Sequences have the numbers of the moment.
    async fn objects(&mut self, _tables: &[Table]) -> Result<SchemaObjects, Error> {
        Ok(SchemaObjects::default())
    }

    /// The partitions of a table that this source described, and their parts, in the server's order; none for a table without, and for a
    /// source that has no such thing.
    async fn partitions(&mut self, _table: &Table) -> Result<Vec<Partition>, Error> {
        Ok(Vec::new())
    }

    /// Finds values of a table that this source described which do not fit what the columns of the target hold. The server counts; no rows come here.
    /// `rows`: about how many to look at, as the server gives them; `None`: all.
    ///
    /// # Errors
    /// [`Error::Table`] when the table is gone or may not be read.
    async fn misfits(
        &mut self,
        _table: &Table,
        _columns: &[Measured],
        _rows: Option<u64>,
    ) -> Result<Vec<Misfit>, Error> {
        Err(Error::Fatal(
            "this source does not tell values apart that do not fit".to_owned(),
        ))
    }

    /// Opens one consistent view of the whole server for up to `reader_count` readers at once (1..=64).
    ///
    /// Under it those tables can be read that this source described before.
    ///
    /// On return the position is fixed: the view holds exactly the transactions committed up to it. Locks that were
    /// needed to get there have been released. The view lives until the snapshot is dropped or its connections are lost.
    async fn snapshot(&mut self, reader_count: usize) -> Result<Box<dyn Snapshot>, Error>;

    /// Looks at single rows of a table that this source described: gives those that have one of the keys, as they are committed at
    /// this moment, in one statement and whole.
    ///
    /// Rows of other keys may come with them, where the engine takes different texts for equal; the caller leaves them out.
    ///
    /// # Errors
    /// The visitor's; [`Error::Table`] when the table is gone, or cannot be asked for these keys.
    async fn rows_by_key(
        &mut self,
        lookup: KeyLookup<'_>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error>;
}

/// A consistent view of a source.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The position in the source's log that the view corresponds to.
    fn position(&self) -> &Position;

    /// Splits a table into chunks of about `chunk_bytes` each: every row of the view lies in exactly one.
    ///
    /// Cost is bounded: no full scan. A small table, or one that cannot be split, is one chunk. Never empty.
    async fn plan(&self, table: &Table, chunk_bytes: u64) -> Result<Vec<ChunkBounds>, Error>;

    /// Splits a table by its partitions: each of those that are segments is one chunk or more, and no other rows are in any. Asked where
    /// [`Source::partitions`] told of some, with segments that are partitions.
    ///
    /// # Errors
    /// [`Error::Table`] when one of them is gone; where they must hold all rows, also when another has come.
    async fn plan_partitions(
        &self,
        table: &Table,
        _segments: &Segments,
        _must_be_all: bool,
    ) -> Result<Vec<ChunkBounds>, Error> {
        Err(Error::table(&table.name, "its source has no partitions"))
    }

    /// Whether readers give exactly the rows of `table` that a filter selects, so that nobody has to look at them again.
    fn filters_exactly(&self, _table: &Table, _filter: &Predicate) -> bool {
        false
    }

    /// Tells of all loads that [`Self::plan_holds`] is going to be asked about, so that a source that finds the answer in its log
    /// reads that once for all of them. Costs nothing, and may be left out: the answers are then less often `true`.
    fn recall(&self, _plans: Vec<RecordedPlan>) {}

    /// Whether a load of `table` that was planned under an earlier snapshot (`planned_at`) may go on under this one: what the
    /// chunks in `finished` gave is what they hold now, and they and the others together hold every row exactly once. `false`
    /// means that the table must start again.
    ///
    /// `planned_at` is the snapshot that the plan was made under, or a later one under which it was found to hold: what the finished
    /// chunks gave is what they hold under that one, too.
    ///
    /// A source that cannot tell answers `false`. Asked once per table when a load resumes; may take a scan of the table.
    async fn plan_holds(
        &self,
        table: &Table,
        planned_at: &Position,
        finished: &[FinishedChunk],
    ) -> Result<bool, Error>;

    /// The raw formats in which rows of this table can be handed over, best first. Empty: only decoded.
    fn raw_formats(&self, table: &Table) -> Vec<RawFormat>;

    /// Checks that what a reader gave of `table` are rows of the table that had its name when the view opened. Asked when a chunk was read, while the
    /// reader still lives, by whoever does not follow the log, which tells of another one. A source whose readers see to it themselves has nothing to add.
    ///
    /// # Errors
    /// [`Error::Table`] when another table has its name now, or may have.
    async fn check_origin(&self, _table: &Table) -> Result<(), Error> {
        Ok(())
    }

    /// A reader with a connection of its own under this view. At most `reader_count` may exist at once; a dropped one
    /// makes room again.
    async fn reader(&self) -> Result<Box<dyn ChunkReader>, Error>;
}

/// A chunk that an interrupted load has committed.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedChunk {
    /// Its rows at the source.
    pub bounds: ChunkBounds,
    /// Those of them that were wanted; `None`: all.
    pub filter: Option<Predicate>,
    /// How many rows it gave, of those that were wanted.
    pub row_count: u64,
}

/// A load that was interrupted, as far as a source is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedPlan {
    /// The table.
    pub table: TableName,
    /// As [`Snapshot::plan_holds`] has it.
    pub planned_at: Position,
    /// The chunks that are committed.
    pub finished: Vec<FinishedChunk>,
}

/// How a reader hands rows over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFormat {
    /// To be decoded cell by cell.
    Decoded,
    /// In a raw format that [`Snapshot::raw_formats`] names for the table.
    Raw(RawFormat),
    /// To be decoded cell by cell; a row that is longer than a block may come in parts, of which the first counts as the row and the others as none. Cells
    /// may be cut where [`LongCells::of`](crate::LongCells::of) says so. A source that holds rows whole takes it for [`Self::Decoded`].
    InParts,
}

impl ReadFormat {
    /// The raw format, if it is one.
    pub fn raw(self) -> Option<RawFormat> {
        match self {
            Self::Raw(format) => Some(format),
            Self::Decoded | Self::InParts => None,
        }
    }
}

/// Which rows to read, and how.
#[derive(Clone, Debug)]
pub struct ReadRequest<'a> {
    /// The table as the catalog described it; rows hold its loaded columns in catalog order.
    pub table: &'a Table,
    /// The chunk.
    pub bounds: &'a ChunkBounds,
    /// The rows that are wanted; `None`: all. A source may leave out those of which its server knows that the filter does not select them, and
    /// never any other: whoever asks looks at each row that comes, unless [`Snapshot::filters_exactly`].
    pub filter: Option<&'a Predicate>,
    /// The form of the rows.
    pub format: ReadFormat,
    /// About how many bytes a block should hold.
    pub block_bytes: usize,
}

/// Reads chunks one after another over one connection.
#[async_trait]
pub trait ChunkReader: Send {
    /// Begins to read a chunk. A chunk still open is given up first.
    ///
    /// # Errors
    /// [`Error::Table`] when the table is gone or changed since it was described.
    async fn open(&mut self, request: ReadRequest<'_>) -> Result<(), Error>;

    /// The next block, or `None` after the last row: only then has the server confirmed that the chunk is complete.
    ///
    /// At most one block is buffered beyond those returned.
    ///
    /// # Errors
    /// [`Error::Transient`] when the connection is lost: the chunk must be opened again under a new snapshot or reader.
    async fn next(&mut self) -> Result<Option<Box<dyn RowBlock>>, Error>;
}
