//! Databases in memory, and runs between them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::Connector;
use whimbrel_connector::memory::{Cell, Faults, MemoryConnector, MemoryDatabase, MemoryTable};
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::{Column, ColumnType, Engine, Generation, Table, TableName};
use whimbrel_engine::{
    FullLoadSpec, LoadOutcome, Progress, RetryPolicy, RunError, StartKind, run_full_load,
};

/// Small enough that tables of a hundred rows have many chunks.
pub(crate) const CHUNK_BYTES: u64 = 16 * 10;
pub(crate) const BLOCK_BYTES: usize = 16 * 4;

pub(crate) fn name(table: &str) -> TableName {
    TableName::new("shop", table)
}

/// A table with an integer key and a text, and that many rows.
pub(crate) fn table(table: &str, rows: i64) -> MemoryTable {
    let column = |name: &str, ty, nullable| Column {
        name: name.to_owned(),
        ty,
        native: "any".to_owned(),
        nullable,
        generation: Generation::None,
        id: None,
        default: None,
    };
    let rows = (0..rows).map(|id| {
        let note = if id % 7 == 0 {
            Cell::Null
        } else {
            Cell::Text(format!("note {id}"))
        };
        vec![Cell::Int(id), note]
    });
    MemoryTable {
        table: Table {
            engine: Engine::Postgres,
            name: name(table),
            columns: vec![
                column(
                    "id",
                    ColumnType::Int {
                        bits: 64,
                        unsigned: false,
                    },
                    false,
                ),
                column("note", ColumnType::Text { bytes_max: None }, true),
            ],
            primary_key: vec![0],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        },
        rows: rows.collect(),
        has_key: true,
    }
}

/// A source with two tables of many chunks, and an empty target.
pub(crate) struct Pair {
    pub(crate) source: MemoryDatabase,
    pub(crate) target: MemoryDatabase,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let source = MemoryDatabase::new();
        source.put(table("orders", 95));
        source.put(table("items", 42));
        source.put(table("empty", 0));
        Self {
            source,
            target: MemoryDatabase::new(),
        }
    }

    pub(crate) fn assert_equal(&self) {
        for table in ["orders", "items", "empty"] {
            assert_eq!(
                self.target.rows(&name(table)),
                self.source.rows(&name(table)),
                "{table}"
            );
        }
    }

    pub(crate) async fn run(
        &self,
        spec: &FullLoadSpec,
        faults: &Faults,
        progress: &Arc<Progress>,
    ) -> Result<LoadOutcome, RunError> {
        self.run_until(spec, faults, progress, &CancellationToken::new())
            .await
    }

    pub(crate) async fn run_until(
        &self,
        spec: &FullLoadSpec,
        faults: &Faults,
        progress: &Arc<Progress>,
        stop: &CancellationToken,
    ) -> Result<LoadOutcome, RunError> {
        let source = connector(&self.source, faults);
        let target = connector(&self.target, faults);
        run_full_load(&source, &target, spec, progress, stop).await
    }
}

pub(crate) fn connector(database: &MemoryDatabase, faults: &Faults) -> Arc<dyn Connector> {
    Arc::new(MemoryConnector::new(database.clone(), faults.clone()))
}

/// Everything, in small chunks, without retries of whole attempts.
pub(crate) fn spec() -> FullLoadSpec {
    let all = TableMappings::of_patterns(&[("%".to_owned(), "%".to_owned())], &[]);
    FullLoadSpec {
        subtask_count: 3,
        chunk_bytes: CHUNK_BYTES,
        block_bytes: BLOCK_BYTES,
        retry: RetryPolicy {
            retries_max: 0,
            wait_first: Duration::from_secs(5),
            wait_max: Duration::from_mins(1),
        },
        ..FullLoadSpec::new("task", all)
    }
}

pub(crate) fn resumed(spec: &FullLoadSpec) -> FullLoadSpec {
    let start = StartKind::Resume {
        completed: HashSet::new(),
        needs_record: false,
    };
    FullLoadSpec {
        start,
        ..spec.clone()
    }
}
