use std::sync::{Arc, Mutex};

use futures_util::future::try_join_all;
use whimbrel_connector::{Error, ReadFormat, ReadRequest, Snapshot};
use whimbrel_core::{ChunkBounds, Table, Value};

use crate::shaping::{Scratch, Shaped, is_wanted};
use crate::spec::{BLOCK_BYTES, CHUNK_BYTES};

/// What a scan does with the rows: each reader has its own, fed row by row.
pub(super) trait RowSink: Send {
    /// Takes one row in the order of the table's loaded columns.
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), Error>;
}

/// Reads all rows of a table with several readers; each gets a sink of its own, all of which are returned.
pub(super) async fn scan<S: RowSink>(
    snapshot: &dyn Snapshot,
    table: &Table,
    shape: Option<&Shaped>,
    reader_count: usize,
    make_sink: impl Fn() -> S,
) -> Result<Vec<S>, Error> {
    let chunks = match shape.and_then(Shaped::listed_partitions) {
        None => snapshot.plan(table, CHUNK_BYTES).await?,
        Some(listed) => snapshot.plan_partitions(table, listed, false).await?,
    };
    let reader_count = reader_count.clamp(1, chunks.len().max(1));
    let waiting: Arc<Mutex<Vec<ChunkBounds>>> = Arc::new(Mutex::new(chunks));
    let readers =
        (0..reader_count).map(|_| read(snapshot, table, shape, Arc::clone(&waiting), make_sink()));
    try_join_all(readers).await
}

async fn read<S: RowSink>(
    snapshot: &dyn Snapshot,
    table: &Table,
    shape: Option<&Shaped>,
    waiting: Arc<Mutex<Vec<ChunkBounds>>>,
    mut sink: S,
) -> Result<S, Error> {
    let mut reader = snapshot.reader().await?;
    let mut scratch = Scratch::default();
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        let Some(bounds) = next else { return Ok(sink) };
        let request = ReadRequest {
            table,
            bounds: &bounds,
            filter: shape.and_then(Shaped::filter),
            format: ReadFormat::Decoded,
            block_bytes: BLOCK_BYTES,
        };
        reader.open(request).await?;
        while let Some(block) = reader.next().await? {
            block.decode(&mut |row| match shape {
                None => sink.row(row),
                Some(shape) if !is_wanted(shape, row)? => Ok(()),
                Some(shape) => shape.row(row, &mut scratch, &mut |row| sink.row(row)),
            })?;
            // Hashing a block takes milliseconds: the other end's reader gets its turn in between.
            tokio::task::yield_now().await;
        }
    }
}
