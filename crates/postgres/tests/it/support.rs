//! What the tests share: a pair of databases, and a load driven by hand over the contracts.

use std::sync::Arc;

use whimbrel_connector::{
    ChunkLoad, ChunkReader, Connector, Error, KeyPolicy, Loader, PrepareMode, RawFormat,
    ReadFormat, ReadRequest, Snapshot, Source, Target, TargetTable, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Table};
use whimbrel_postgres::{Options, PostgresConnector};
use whimbrel_testkit::{Engine, Server, TestDatabase};

/// The servers that every test runs against.
pub(crate) const ENGINES: [Engine; 2] = [Engine::Postgres15, Engine::Postgres18];
/// The name of the task in every test.
pub(crate) const TASK: &str = "test task";

/// A connector for a URL.
pub(crate) fn connector(url: &str) -> Arc<dyn Connector> {
    Arc::new(PostgresConnector::new(Options::from_url(url).unwrap()))
}

/// A connector with other options than the default.
pub(crate) fn connector_with(url: &str, change: impl FnOnce(&mut Options)) -> Arc<dyn Connector> {
    let mut options = Options::from_url(url).unwrap();
    change(&mut options);
    Arc::new(PostgresConnector::new(options))
}

/// Two databases, and connectors to them.
pub(crate) struct Pair {
    pub(crate) source: TestDatabase,
    pub(crate) target: TestDatabase,
    pub(crate) from: Arc<dyn Connector>,
    pub(crate) to: Arc<dyn Connector>,
}

impl Pair {
    /// Two empty databases on one server.
    pub(crate) fn on(engine: Engine, hint: &str) -> Self {
        Self::between(engine, engine, hint)
    }

    /// Two empty databases on two servers.
    pub(crate) fn between(from: Engine, to: Engine, hint: &str) -> Self {
        let source = Server::get(from).unwrap().database(hint).unwrap();
        let target = Server::get(to).unwrap().database(hint).unwrap();
        let from = connector(&source.url());
        let to = connector(&target.url());
        Self {
            source,
            target,
            from,
            to,
        }
    }

    /// Loads every table, with `how`.
    pub(crate) async fn load(&self, how: How) -> Result<Vec<Loaded>, Error> {
        load(&*self.from, &*self.to, how).await
    }

    /// Checks that a query answers the same at both ends, and gives the answer.
    pub(crate) fn same(&self, query: &str) -> String {
        let at_source = self.source.sql(query).unwrap();
        let at_target = self.target.sql(query).unwrap();
        assert_eq!(at_target, at_source, "target against source: {query}");
        at_source
    }

    /// Checks that a table holds the same rows and has the same columns at both ends.
    pub(crate) fn same_table(&self, table: &str) -> String {
        self.same_tables(&[table.to_owned()])
    }

    /// The same of several tables, in one go.
    pub(crate) fn same_tables(&self, tables: &[String]) -> String {
        let queries = tables.iter().map(|table| {
            format!(
                "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute
                 where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped order by attnum;
                 select t::text from {table} t order by 1;"
            )
        });
        self.same(&queries.collect::<String>())
    }
}

/// How a test loads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) mode: PrepareMode,
    pub(crate) keys: KeyPolicy,
    /// Takes the best raw format; otherwise every row is decoded.
    pub(crate) is_raw: bool,
    pub(crate) chunk_bytes: u64,
    pub(crate) block_bytes: usize,
    pub(crate) statement_rows_max: Option<u32>,
}

impl How {
    pub(crate) const RAW: Self = Self {
        mode: PrepareMode::DropAndCreate,
        keys: KeyPolicy::Best,
        is_raw: true,
        chunk_bytes: 64 << 20,
        block_bytes: 64 << 10,
        statement_rows_max: None,
    };
    pub(crate) const DECODED: Self = Self {
        is_raw: false,
        ..Self::RAW
    };

    pub(crate) fn mode(mut self, mode: PrepareMode) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn chunk_bytes(mut self, chunk_bytes: u64) -> Self {
        self.chunk_bytes = chunk_bytes;
        self
    }
}

/// What became of a table.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) target: TargetTable,
    pub(crate) raw: Option<RawFormat>,
    pub(crate) chunk_count: usize,
    pub(crate) row_count: u64,
}

/// The tables of a source, all of them.
pub(crate) async fn all_tables(source: &mut dyn Source) -> Result<Vec<Table>, Error> {
    source.tables(&|_| true).await
}

/// Loads every table of the source under its own name, chunk after chunk.
pub(crate) async fn load(
    from: &dyn Connector,
    to: &dyn Connector,
    how: How,
) -> Result<Vec<Loaded>, Error> {
    let mut source = from.source().await?;
    let mut target = to.target().await?;
    let tables = all_tables(&mut *source).await?;
    let fence = target.claim(TASK).await?;
    let types = source.type_definitions(&tables).await?;
    assert_eq!(target.create_types(&types).await?, []);
    let snapshot = source.snapshot(2).await?;
    let mut loaded = Vec::new();
    for table in &tables {
        loaded.push(load_table(&*snapshot, &mut *target, &fence, table, how).await?);
    }
    target.forget(&fence).await?;
    Ok(loaded)
}

/// Plans, prepares, loads and finishes one table.
pub(crate) async fn load_table(
    snapshot: &dyn Snapshot,
    target: &mut dyn Target,
    fence: &TaskFence,
    table: &Table,
    how: How,
) -> Result<Loaded, Error> {
    let planned = target.plan_table(table, table.name.clone(), how.keys)?;
    let chunks = snapshot.plan(table, how.chunk_bytes).await?;
    target
        .prepare(fence, &planned, how.mode, snapshot.position(), &chunks)
        .await?;
    let raw = raw_format(snapshot, target, &planned, how).await?;
    let mut reader = snapshot.reader().await?;
    let mut loader = target.loader(fence).await?;
    let mut row_count = 0;
    for (id, bounds) in (0..).map(ChunkId).zip(&chunks) {
        let chunk = Chunk {
            table: &planned,
            id,
            bounds,
            is_only: chunks.len() == 1,
            raw,
            how,
        };
        row_count += chunk.load(&mut *reader, &mut *loader).await?;
    }
    target.finish(fence, &planned).await?;
    Ok(Loaded {
        target: planned,
        raw,
        chunk_count: chunks.len(),
        row_count,
    })
}

/// The raw format that the engine would take.
pub(crate) async fn raw_format(
    snapshot: &dyn Snapshot,
    target: &mut dyn Target,
    table: &TargetTable,
    how: How,
) -> Result<Option<RawFormat>, Error> {
    if !how.is_raw {
        return Ok(None);
    }
    let accepted = target.raw_formats(table).await?;
    Ok(snapshot
        .raw_formats(&table.source)
        .into_iter()
        .find(|format| accepted.contains(format)))
}

/// One chunk on its way.
pub(crate) struct Chunk<'a> {
    pub(crate) table: &'a TargetTable,
    pub(crate) id: ChunkId,
    pub(crate) bounds: &'a ChunkBounds,
    pub(crate) is_only: bool,
    pub(crate) raw: Option<RawFormat>,
    pub(crate) how: How,
}

impl Chunk<'_> {
    /// Opens the chunk at both ends.
    pub(crate) async fn begin(
        &self,
        reader: &mut dyn ChunkReader,
        loader: &mut dyn Loader,
    ) -> Result<(), Error> {
        let format = self.raw.map_or(ReadFormat::Decoded, ReadFormat::Raw);
        reader
            .open(ReadRequest {
                table: &self.table.source,
                bounds: self.bounds,
                filter: None,
                format,
                block_bytes: self.how.block_bytes,
            })
            .await?;
        loader
            .begin(ChunkLoad {
                table: self.table,
                chunk: self.id,
                is_only_chunk: self.is_only,
                raw: self.raw,
                statement_rows_max: self.how.statement_rows_max,
                sifts: false,
            })
            .await
    }

    /// Loads the chunk and commits it; answers how many rows it holds.
    pub(crate) async fn load(
        &self,
        reader: &mut dyn ChunkReader,
        loader: &mut dyn Loader,
    ) -> Result<u64, Error> {
        self.begin(reader, loader).await?;
        let mut read_count = 0;
        while let Some(block) = reader.next().await? {
            read_count += block.row_count() as u64;
            loader.write(&*block).await?;
        }
        let commit = loader.commit().await?;
        assert_eq!(
            commit.row_count, read_count,
            "rows committed against rows read"
        );
        Ok(commit.row_count)
    }
}

/// The most memory that this process has had.
pub(crate) fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = peak.unwrap().trim().trim_end_matches(" kB");
    digits.parse().unwrap()
}
