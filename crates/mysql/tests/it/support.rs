//! What the tests share: a pair of databases, and a load driven by hand over the contracts.

use std::sync::Arc;

use whimbrel_connector::{
    ChunkLoad, ChunkReader, Connector, Error, KeyPolicy, Loader, PrepareMode, ReadFormat,
    ReadRequest, Snapshot, Source, Target, TargetTable, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Table, TableName};
use whimbrel_mysql::{MysqlConnector, Options};
use whimbrel_testkit::{Engine, Server, TestDatabase};

/// The servers that every test runs against.
pub(crate) const ENGINES: [Engine; 2] = [Engine::Mariadb1011, Engine::Mysql97];
/// Every pair of them.
pub(crate) const PAIRS: [(Engine, Engine); 4] = [
    (Engine::Mariadb1011, Engine::Mariadb1011),
    (Engine::Mysql97, Engine::Mysql97),
    (Engine::Mariadb1011, Engine::Mysql97),
    (Engine::Mysql97, Engine::Mariadb1011),
];

/// A connector for a URL.
pub(crate) fn connector(url: &str) -> Arc<dyn Connector> {
    Arc::new(MysqlConnector::new(Options::from_url(url).unwrap()))
}

/// Two databases, and connectors to them.
pub(crate) struct Pair {
    pub(crate) source: TestDatabase,
    pub(crate) target: TestDatabase,
    pub(crate) from: Arc<dyn Connector>,
    pub(crate) to: Arc<dyn Connector>,
    /// A task of its own, because tests share servers.
    pub(crate) task: String,
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
        let task = format!("task of {}", target.name());
        Self {
            source,
            target,
            from,
            to,
            task,
        }
    }

    /// The tables of the source database.
    pub(crate) async fn tables(&self, source: &mut dyn Source) -> Result<Vec<Table>, Error> {
        source
            .tables(&|name| name.schema == self.source.name())
            .await
    }

    /// The name at the target of a table of the source.
    pub(crate) fn target_name(&self, table: &Table) -> TableName {
        TableName::new(self.target.name(), table.name.name.clone())
    }

    /// Loads every table, with `how`.
    pub(crate) async fn load(&self, how: How) -> Result<Vec<Loaded>, Error> {
        let mut source = self.from.source().await?;
        let mut target = self.to.target().await?;
        let tables = self.tables(&mut *source).await?;
        let fence = target.claim(&self.task).await?;
        let snapshot = source.snapshot(2).await?;
        let mut loaded = Vec::new();
        for table in &tables {
            loaded.push(
                self.load_table(&*snapshot, &mut *target, &fence, table, how)
                    .await?,
            );
        }
        target.forget(&fence).await?;
        Ok(loaded)
    }

    /// Plans, prepares, loads and finishes one table.
    pub(crate) async fn load_table(
        &self,
        snapshot: &dyn Snapshot,
        target: &mut dyn Target,
        fence: &TaskFence,
        table: &Table,
        how: How,
    ) -> Result<Loaded, Error> {
        let planned = target.plan_table(table, self.target_name(table), how.keys)?;
        let chunks = snapshot.plan(table, how.chunk_bytes).await?;
        target
            .prepare(fence, &planned, how.mode, snapshot.position(), &chunks)
            .await?;
        let mut reader = snapshot.reader().await?;
        let mut loader = target.loader(fence).await?;
        let mut row_count = 0;
        for (id, bounds) in (0..).map(ChunkId).zip(&chunks) {
            let chunk = Chunk {
                table: &planned,
                id,
                bounds,
                is_only: chunks.len() == 1,
                how,
            };
            row_count += chunk.load(&mut *reader, &mut *loader).await?;
        }
        target.finish(fence, &planned).await?;
        Ok(Loaded {
            target: planned,
            chunk_count: chunks.len(),
            row_count,
        })
    }

    /// Checks that a query answers the same at both ends, and gives the answer.
    pub(crate) fn same(&self, query: &str) -> String {
        let at_source = self.source.sql(query).unwrap();
        let at_target = self.target.sql(query).unwrap();
        assert_eq!(at_target, at_source, "target against source: {query}");
        at_source
    }
}

/// How a test loads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) mode: PrepareMode,
    pub(crate) keys: KeyPolicy,
    pub(crate) chunk_bytes: u64,
    pub(crate) block_bytes: usize,
    pub(crate) statement_rows_max: Option<u32>,
    pub(crate) format: ReadFormat,
}

impl How {
    pub(crate) const PLAIN: Self = Self {
        mode: PrepareMode::DropAndCreate,
        keys: KeyPolicy::Best,
        chunk_bytes: 64 << 20,
        block_bytes: 64 << 10,
        statement_rows_max: None,
        format: ReadFormat::Decoded,
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
    pub(crate) chunk_count: usize,
    pub(crate) row_count: u64,
}

/// One chunk on its way.
pub(crate) struct Chunk<'a> {
    pub(crate) table: &'a TargetTable,
    pub(crate) id: ChunkId,
    pub(crate) bounds: &'a ChunkBounds,
    pub(crate) is_only: bool,
    pub(crate) how: How,
}

impl Chunk<'_> {
    /// Opens the chunk at both ends.
    pub(crate) async fn begin(
        &self,
        reader: &mut dyn ChunkReader,
        loader: &mut dyn Loader,
    ) -> Result<(), Error> {
        reader
            .open(ReadRequest {
                table: &self.table.source,
                bounds: self.bounds,
                filter: None,
                format: self.how.format,
                block_bytes: self.how.block_bytes,
            })
            .await?;
        loader
            .begin(ChunkLoad {
                table: self.table,
                chunk: self.id,
                is_only_chunk: self.is_only,
                raw: None,
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
