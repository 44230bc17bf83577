use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_core::{ChunkBounds, Position, Table, TableName, Value};

use super::{Call, Faults, MemoryDatabase, MemoryTable, ROW_BYTES_MIN, Row, byte_count};
use crate::{
    ChunkReader, Error, FinishedChunk, KeyCell, KeyLookup, RawFormat, RawRows, ReadRequest,
    RowBlock, RowVisitor, Snapshot, Source, TypeDefinition,
};

pub(super) struct MemorySource {
    database: MemoryDatabase,
    faults: Faults,
}

impl MemorySource {
    pub(super) fn new(database: MemoryDatabase, faults: Faults) -> Self {
        Self { database, faults }
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn tables(
        &mut self,
        is_selected: &(dyn for<'t> Fn(&'t TableName) -> bool + Sync),
    ) -> Result<Vec<Table>, Error> {
        self.faults.hang(Call::Tables).await;
        self.faults.around(Call::Tables, || {
            let state = self.database.lock();
            let selected = state
                .tables
                .values()
                .filter(|table| is_selected(&table.table.name));
            Ok(selected.map(|table| table.table.clone()).collect())
        })
    }

    async fn type_definitions(&mut self, _tables: &[Table]) -> Result<Vec<TypeDefinition>, Error> {
        Ok(Vec::new())
    }

    async fn snapshot(&mut self, _reader_count: usize) -> Result<Box<dyn Snapshot>, Error> {
        self.faults.hang(Call::Snapshot).await;
        self.faults.around(Call::Snapshot, || {
            let state = self.database.lock();
            let snapshot = MemorySnapshot {
                position: super::log::position(&state),
                tables: Arc::new(state.tables.clone()),
                database: self.database.clone(),
                faults: self.faults.clone(),
            };
            Ok(Box::new(snapshot) as Box<dyn Snapshot>)
        })
    }

    async fn rows_by_key(
        &mut self,
        lookup: KeyLookup<'_>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let name = &lookup.table.name;
        let rows = self.faults.around(Call::Lookup, || {
            let state = self.database.lock();
            let table = state.tables.get(name);
            let table = table.ok_or_else(|| Error::table(name, "it is gone"))?;
            let is_wanted = |row: &&Row| {
                let cells = lookup.columns.iter().map(|&place| row.get(place));
                let key: Option<Vec<KeyCell>> =
                    cells.map(|cell| KeyCell::of(&cell?.value())).collect();
                key.is_some_and(|key| lookup.keys.contains(&key))
            };
            Ok(table.rows.iter().filter(is_wanted).cloned().collect())
        })?;
        MemoryBlock { rows }.decode(visit)
    }
}

/// A copy of all tables.
struct MemorySnapshot {
    position: Position,
    tables: Arc<BTreeMap<TableName, MemoryTable>>,
    database: MemoryDatabase,
    faults: Faults,
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    fn position(&self) -> &Position {
        &self.position
    }

    /// Chunks are ranges of row numbers, each of as many rows of the table's average size as fill it.
    async fn plan(&self, table: &Table, chunk_bytes: u64) -> Result<Vec<ChunkBounds>, Error> {
        self.faults.around(Call::Plan, || {
            let rows = self
                .tables
                .get(&table.name)
                .map_or(&[][..], |table| &table.rows);
            let bytes: usize = rows.iter().map(byte_count).sum();
            let rows = rows.len();
            let row_bytes = bytes.div_ceil(rows.max(1)).max(ROW_BYTES_MIN) as u64;
            let step = usize::try_from(chunk_bytes / row_bytes)
                .unwrap_or(usize::MAX)
                .max(1);
            let chunks: Vec<ChunkBounds> = (0..rows.max(1))
                .step_by(step)
                .map(|from| ChunkBounds {
                    range: format!("{from}..{}", from.saturating_add(step).min(rows)),
                    row_estimate: step as u64,
                })
                .collect();
            Ok(chunks)
        })
    }

    async fn plan_holds(
        &self,
        _table: &Table,
        planned_at: &Position,
        _finished: &[FinishedChunk],
    ) -> Result<bool, Error> {
        Ok(*planned_at == self.position)
    }

    async fn check_origin(&self, table: &Table) -> Result<(), Error> {
        let id = |table: &MemoryTable| table.table.id;
        let before = self.tables.get(&table.name).map(id);
        let now = self.database.lock().tables.get(&table.name).map(id);
        if now.is_none() || now == before {
            return Ok(());
        }
        Err(Error::table(&table.name, "another table has its name now"))
    }

    fn raw_formats(&self, _table: &Table) -> Vec<RawFormat> {
        Vec::new()
    }

    async fn reader(&self) -> Result<Box<dyn ChunkReader>, Error> {
        self.faults.hang(Call::Connect).await;
        self.faults.around(Call::Connect, || {
            Ok(Box::new(MemoryReader {
                tables: Arc::clone(&self.tables),
                faults: self.faults.clone(),
                rows: Vec::new(),
                block_bytes: 0,
            }) as Box<dyn ChunkReader>)
        })
    }
}

struct MemoryReader {
    tables: Arc<BTreeMap<TableName, MemoryTable>>,
    faults: Faults,
    /// What is left of the chunk, the next row last.
    rows: Vec<Row>,
    block_bytes: usize,
}

#[async_trait]
impl ChunkReader for MemoryReader {
    async fn open(&mut self, request: ReadRequest<'_>) -> Result<(), Error> {
        let (faults, tables) = (&self.faults, &self.tables);
        let rows = faults.around(Call::Open, || {
            let name = &request.table.name;
            let table = tables
                .get(name)
                .ok_or_else(|| Error::table(name, "it is gone"))?;
            if table.table.columns != request.table.columns {
                return Err(Error::table(name, "its columns changed"));
            }
            let (from, to) = request
                .bounds
                .range
                .split_once("..")
                .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
                .ok_or_else(|| Error::Fatal("not a range of memory".to_owned()))?;
            let rows: &[Row] = table.rows.get(from..to).unwrap_or(&[]);
            Ok(rows.iter().rev().cloned().collect())
        })?;
        self.rows = rows;
        self.block_bytes = request.block_bytes;
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Box<dyn RowBlock>>, Error> {
        let (faults, rows, bytes_max) = (&self.faults, &mut self.rows, self.block_bytes);
        faults.around(Call::Next, || {
            let mut block = Vec::new();
            let mut bytes = 0;
            while let Some(row) = rows.pop() {
                let row_bytes = byte_count(&row);
                if !block.is_empty() && bytes + row_bytes > bytes_max {
                    rows.push(row);
                    break;
                }
                bytes += row_bytes;
                block.push(row);
            }
            let block = (!block.is_empty()).then_some(MemoryBlock { rows: block });
            Ok(block.map(|block| Box::new(block) as Box<dyn RowBlock>))
        })
    }
}

struct MemoryBlock {
    rows: Vec<Row>,
}

impl RowBlock for MemoryBlock {
    fn row_count(&self) -> usize {
        self.rows.len()
    }

    fn byte_count(&self) -> usize {
        self.rows.iter().map(byte_count).sum()
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        for row in &self.rows {
            let values: Vec<Value<'_>> = row.iter().map(super::Cell::value).collect();
            visit(&values)?;
        }
        Ok(())
    }
}
