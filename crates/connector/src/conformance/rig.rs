//! What the checks share: reading a table whole, and a load driven by hand.

use std::ops::Range;

use whimbrel_core::{ChunkBounds, ChunkId, Table, TableName, Value};

use super::{Change, End, Fixture, Harness};
use crate::memory::{Cell, Row};
use crate::{
    ChunkCommit, ChunkLoad, ChunkReader, Error, KeyPolicy, LoadRecord, Loader, PrepareMode,
    RawFormat, ReadFormat, ReadRequest, RowBlock, Snapshot, Source, Target, TargetTable, TaskFence,
};

/// A size that no table of the suite reaches.
pub(super) const WHOLE: u64 = 1 << 30;
/// Cuts the larger tables of the suite into several chunks.
pub(super) const SMALL_CHUNK: u64 = 16 << 10;
/// The size of blocks where it does not matter.
pub(super) const BLOCK_BYTES: usize = 8 << 10;

/// A task that nobody else has, with a name that needs care.
pub(super) fn task(harness: &dyn Harness) -> String {
    format!("conformance 'of' {}", harness.schema(End::Target))
}

/// The name of a table at an end.
pub(super) fn name(harness: &dyn Harness, end: End, table: &str) -> TableName {
    TableName::new(harness.schema(end), table)
}

/// Makes tables at the source.
pub(super) fn make(harness: &dyn Harness, fixtures: &[Fixture]) {
    let changes: Vec<Change<'_>> = fixtures.iter().flat_map(Fixture::made).collect();
    harness.change(End::Source, &changes);
}

/// Describes the tables of an end, all of them.
pub(super) async fn tables(harness: &dyn Harness, end: End, source: &mut dyn Source) -> Vec<Table> {
    let schema = harness.schema(end);
    source.tables(&|name| name.schema == schema).await.unwrap()
}

/// Describes one table.
pub(super) async fn table(
    harness: &dyn Harness,
    end: End,
    source: &mut dyn Source,
    table: &str,
) -> Table {
    let name = name(harness, end, table);
    let mut found = source.tables(&|offered| *offered == name).await.unwrap();
    assert_eq!(found.len(), 1, "{name} is offered once");
    found.remove(0)
}

/// A request for decoded rows.
pub(super) fn decoded<'a>(table: &'a Table, bounds: &'a ChunkBounds) -> ReadRequest<'a> {
    ReadRequest {
        table,
        bounds,
        filter: None,
        format: ReadFormat::Decoded,
        block_bytes: BLOCK_BYTES,
    }
}

pub(super) fn cell(value: &Value<'_>) -> Cell {
    match *value {
        Value::Null => Cell::Null,
        Value::Int(number) => Cell::Int(number),
        Value::UInt(number) => Cell::Int(i64::try_from(number).unwrap()),
        Value::Text(text) => Cell::Text(text.to_owned()),
        other => panic!("a fixture's cell came as {}", other.kind()),
    }
}

/// The rows of a block.
pub(super) fn rows_of(block: &dyn RowBlock) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut keep = |row: &[Value<'_>]| {
        rows.push(row.iter().map(cell).collect());
        Ok(())
    };
    block.decode(&mut keep).unwrap();
    assert_eq!(
        rows.len(),
        block.row_count(),
        "rows decoded against counted"
    );
    rows
}

/// The rows of a chunk, as they come.
pub(super) async fn read_chunk(
    reader: &mut dyn ChunkReader,
    table: &Table,
    bounds: &ChunkBounds,
) -> Result<Vec<Row>, Error> {
    reader.open(decoded(table, bounds)).await?;
    let mut rows = Vec::new();
    while let Some(block) = reader.next().await? {
        rows.extend(rows_of(&*block));
    }
    Ok(rows)
}

/// The rows of some chunks, sorted.
pub(super) async fn read_chunks(
    snapshot: &dyn Snapshot,
    table: &Table,
    chunks: &[ChunkBounds],
) -> Result<Vec<Row>, Error> {
    let mut reader = snapshot.reader().await?;
    let mut rows = Vec::new();
    for bounds in chunks {
        rows.extend(read_chunk(&mut *reader, table, bounds).await?);
    }
    rows.sort();
    Ok(rows)
}

/// The rows of a table, sorted.
pub(super) async fn read(snapshot: &dyn Snapshot, table: &Table) -> Result<Vec<Row>, Error> {
    let chunks = snapshot.plan(table, WHOLE).await?;
    read_chunks(snapshot, table, &chunks).await
}

/// The rows that a table of the target holds, sorted.
pub(super) async fn rows_at_target(harness: &dyn Harness, name: &str) -> Vec<Row> {
    let mut source = harness.connector(End::Target).source().await.unwrap();
    let described = table(harness, End::Target, &mut *source, name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    read(&*snapshot, &described).await.unwrap()
}

/// Checks that tables of the target hold the rows of the fixtures they are named for.
pub(super) async fn assert_arrived(harness: &dyn Harness, fixtures: &[Fixture], how: How) {
    let mut source = harness.connector(End::Target).source().await.unwrap();
    let tables = tables(harness, End::Target, &mut *source).await;
    let snapshot = source.snapshot(1).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    for fixture in fixtures {
        let table = tables.iter().find(|t| t.name.name == fixture.name).unwrap();
        let mut rows = Vec::new();
        for bounds in &snapshot.plan(table, WHOLE).await.unwrap() {
            rows.extend(read_chunk(&mut *reader, table, bounds).await.unwrap());
        }
        rows.sort();
        assert_eq!(rows, fixture.sorted(), "{} {how:?}", fixture.name);
    }
}

/// Whether an error says that a later epoch owns the task.
pub(super) fn assert_fenced<T>(answer: Result<T, Error>, doing: &str) {
    match answer {
        Err(Error::Fenced { ours, theirs }) => assert!(ours < theirs, "{doing}: {ours} {theirs}"),
        Err(other) => panic!("{doing}: {other:?}"),
        Ok(_) => panic!("{doing}: an older epoch was let through"),
    }
}

/// Whether what an older worker did was refused: by its epoch, or because its session was ended, and then its epoch says why.
pub(super) async fn assert_replaced<T>(
    answer: Result<T, Error>,
    harness: &dyn Harness,
    fence: &TaskFence,
    doing: &str,
) {
    match answer {
        Err(Error::Transient(_)) => {
            let mut target = harness.connector(End::Target).target().await.unwrap();
            assert_fenced(target.check(fence).await, doing);
        }
        other => assert_fenced(other, doing),
    }
}

/// How a table is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) mode: PrepareMode,
    pub(super) keys: KeyPolicy,
    pub(super) chunk_bytes: u64,
    pub(super) raw: Option<RawFormat>,
    /// Rows come in parts of these bytes.
    pub(super) part_bytes: Option<usize>,
    pub(super) statement_rows_max: Option<u32>,
    pub(super) sifts: bool,
}

impl How {
    /// In one chunk into a new table.
    pub(super) const WHOLE: Self = Self {
        mode: PrepareMode::DropAndCreate,
        keys: KeyPolicy::Best,
        chunk_bytes: WHOLE,
        raw: None,
        part_bytes: None,
        statement_rows_max: None,
        sifts: false,
    };
    /// In several chunks into a new table.
    pub(super) const CHUNKED: Self = Self {
        chunk_bytes: SMALL_CHUNK,
        ..Self::WHOLE
    };

    pub(super) fn mode(self, mode: PrepareMode) -> Self {
        Self { mode, ..self }
    }

    pub(super) fn keys(self, keys: KeyPolicy) -> Self {
        Self { keys, ..self }
    }
}

/// The load of one table under a task, step by step.
pub(super) struct Rig {
    pub(super) snapshot: Box<dyn Snapshot>,
    pub(super) target: Box<dyn Target>,
    pub(super) fence: TaskFence,
    pub(super) planned: TargetTable,
    pub(super) chunks: Vec<ChunkBounds>,
    pub(super) how: How,
}

impl Rig {
    /// Claims the task and plans the table of the source under its own name.
    pub(super) async fn planned(harness: &dyn Harness, name: &str, how: How) -> Self {
        let mut source = harness.connector(End::Source).source().await.unwrap();
        let described = table(harness, End::Source, &mut *source, name).await;
        let to = TableName::new(harness.schema(End::Target), name);
        Self::of_table(harness, &mut *source, &described, to, how).await
    }

    /// Claims the task and plans a table that the source described.
    pub(super) async fn of_table(
        harness: &dyn Harness,
        source: &mut dyn Source,
        table: &Table,
        to: TableName,
        how: How,
    ) -> Self {
        let snapshot = source.snapshot(3).await.unwrap();
        let mut target = harness.connector(End::Target).target().await.unwrap();
        let fence = target.claim(&task(harness)).await.unwrap();
        let planned = target.plan_table(table, to, how.keys).unwrap();
        let chunks = snapshot.plan(table, how.chunk_bytes).await.unwrap();
        Self {
            snapshot,
            target,
            fence,
            planned,
            chunks,
            how,
        }
    }

    /// A load that is prepared.
    pub(super) async fn prepared(harness: &dyn Harness, name: &str, how: How) -> Self {
        let mut rig = Self::planned(harness, name, how).await;
        rig.prepare().await.unwrap();
        rig
    }

    pub(super) async fn prepare(&mut self) -> Result<(), Error> {
        let (mode, at) = (self.how.mode, self.snapshot.position());
        self.target
            .prepare(&self.fence, &self.planned, mode, at, &self.chunks)
            .await
    }

    pub(super) async fn loader(&mut self) -> Box<dyn Loader> {
        self.target.loader(&self.fence).await.unwrap()
    }

    /// The chunk as a loader is told of it.
    pub(super) fn chunk(&self, index: usize) -> ChunkLoad<'_> {
        ChunkLoad {
            table: &self.planned,
            chunk: ChunkId(u32::try_from(index).unwrap()),
            is_only_chunk: self.chunks.len() == 1,
            raw: self.how.raw,
            statement_rows_max: self.how.statement_rows_max,
            sifts: self.how.sifts,
        }
    }

    /// Opens a chunk and writes its rows, without the commit.
    pub(super) async fn write(&self, loader: &mut dyn Loader, index: usize) -> Result<(), Error> {
        let mut reader = self.snapshot.reader().await?;
        self.write_from(&mut *reader, loader, index).await
    }

    async fn write_from(
        &self,
        reader: &mut dyn ChunkReader,
        loader: &mut dyn Loader,
        index: usize,
    ) -> Result<(), Error> {
        let format = match (self.how.raw, self.how.part_bytes) {
            (Some(raw), _) => ReadFormat::Raw(raw),
            (None, Some(_)) => ReadFormat::InParts,
            (None, None) => ReadFormat::Decoded,
        };
        reader
            .open(ReadRequest {
                filter: None,
                format,
                block_bytes: self.how.part_bytes.unwrap_or(BLOCK_BYTES),
                ..decoded(&self.planned.source, &self.chunks[index])
            })
            .await?;
        loader.begin(self.chunk(index)).await?;
        while let Some(block) = reader.next().await? {
            loader.write(&*block).await?;
        }
        Ok(())
    }

    /// Loads a chunk and commits it.
    pub(super) async fn load(
        &self,
        loader: &mut dyn Loader,
        index: usize,
    ) -> Result<ChunkCommit, Error> {
        self.write(loader, index).await?;
        loader.commit().await
    }

    /// Loads some chunks over one reader.
    pub(super) async fn load_some(
        &self,
        loader: &mut dyn Loader,
        indexes: Range<usize>,
    ) -> Result<(), Error> {
        let mut reader = self.snapshot.reader().await?;
        for index in indexes {
            self.write_from(&mut *reader, loader, index).await?;
            loader.commit().await?;
        }
        Ok(())
    }

    /// Loads all chunks and finishes the table.
    pub(super) async fn load_all(&mut self) -> Result<(), Error> {
        let mut loader = self.target.loader(&self.fence).await?;
        self.load_some(&mut *loader, 0..self.chunks.len()).await?;
        drop(loader);
        self.target.finish(&self.fence, &self.planned).await
    }

    /// Goes on with another table of the view, or with the same one in another way.
    pub(super) async fn turn_to(&mut self, harness: &dyn Harness, table: &Table, how: How) {
        let to = name(harness, End::Target, &table.name.name);
        self.planned = self.target.plan_table(table, to, how.keys).unwrap();
        self.chunks = self.snapshot.plan(table, how.chunk_bytes).await.unwrap();
        self.how = how;
        self.prepare().await.unwrap();
    }

    /// The record of the table, read over a connection of its own.
    pub(super) async fn record(&self, harness: &dyn Harness) -> LoadRecord {
        let mut target = harness.connector(End::Target).target().await.unwrap();
        let mut records = target.load_records(&self.fence).await.unwrap();
        records.retain(|record| record.table == self.planned.source.name);
        assert_eq!(records.len(), 1, "a prepared table has one record");
        records.remove(0)
    }

    /// The rows of chunks as the snapshot has them, sorted.
    pub(super) async fn rows_at_source(&self, chunks: &[ChunkBounds]) -> Vec<Row> {
        read_chunks(&*self.snapshot, &self.planned.source, chunks)
            .await
            .unwrap()
    }
}
