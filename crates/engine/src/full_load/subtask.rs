//! A subtask: loads chunk after chunk over a reader and a loader of its own, and finishes the tables it completes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio::sync::{Mutex, mpsc};
use tracing::{debug, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChunkCommit, ChunkLoad, ChunkReader, Error, Loader, ReadFormat, ReadRequest, RowBlock,
};
use whimbrel_core::{ChunkBounds, ChunkId};

use super::coordinator::{Job, Shared, TableRun, table_message};
use crate::shaping::ShapedBlock;
use crate::{RunError, TableState};

/// Tries of one chunk within an attempt, on new connections under the same snapshot.
const CHUNK_TRIES_MAX: u32 = 3;

/// A block of this size is one large row. Two of them at once would be worth more memory than the time that is won.
const LARGE_BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Why a chunk was not loaded.
enum ChunkError {
    /// The run is to halt; nothing is wrong with the chunk.
    Halted,
    Source(Error),
    Target(Error),
}

pub(super) struct Subtask {
    shared: Arc<Shared>,
    queue: Arc<Mutex<mpsc::Receiver<Job>>>,
    reader: Option<Box<dyn ChunkReader>>,
    loader: Option<Box<dyn Loader>>,
}

impl Subtask {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<Mutex<mpsc::Receiver<Job>>>) -> Self {
        Self {
            shared,
            queue,
            reader: None,
            loader: None,
        }
    }

    /// Works until the queue is closed and empty, or the run halts.
    pub(super) async fn run(mut self) {
        loop {
            let job = tokio::select! {
                () = self.shared.halt.cancelled() => return,
                job = async { self.queue.lock().await.recv().await } => job,
            };
            let Some(job) = job else { return };
            if job.table.has_failed.load(Ordering::Relaxed) {
                continue;
            }
            match self.run_job(&job).await {
                Ok(()) | Err(ChunkError::Halted) => {}
                Err(ChunkError::Source(error)) => self.fail(&job.table, error, RunError::Source),
                Err(ChunkError::Target(error)) => self.fail(&job.table, error, RunError::Target),
            }
        }
    }

    fn fail(&self, table: &TableRun, error: Error, of_end: fn(Error) -> RunError) {
        match error {
            Error::Row(_) | Error::Table(_) => {
                if table.fail_once() {
                    self.shared.fail_table(&table.name, &table_message(error));
                }
            }
            Error::Connect(_) | Error::Transient(_) | Error::Fenced { .. } | Error::Fatal(_) => {
                self.shared.fail(of_end(error));
            }
        }
    }

    async fn run_job(&mut self, job: &Job) -> Result<(), ChunkError> {
        if let Some((id, bounds)) = &job.chunk {
            self.load_with_retries(&job.table, *id, bounds).await?;
            self.shared.chunks_committed.fetch_add(1, Ordering::Relaxed);
            self.shared
                .progress
                .count(&job.table.name, |entry| entry.chunks_done += 1);
            if job.table.chunks_open.fetch_sub(1, Ordering::AcqRel) != 1 {
                return Ok(());
            }
        }
        self.finish(&job.table).await
    }

    /// The table's last chunk is committed: builds its keys.
    async fn finish(&mut self, table: &TableRun) -> Result<(), ChunkError> {
        let mut target = self.shared.target().await.map_err(ChunkError::Target)?;
        reach(Point::TableFinishing).await;
        let finished = tokio::select! {
            () = self.shared.halt.cancelled() => return Err(ChunkError::Halted),
            finished = target.finish(&self.shared.fence, &table.target) => finished,
        };
        finished.map_err(ChunkError::Target)?;
        reach(Point::TableFinished).await;
        self.shared.give_back(target).await;
        self.shared.progress.update(&table.name, |entry| {
            entry.state = TableState::Completed;
            entry.ended_at = Some(SystemTime::now());
        });
        Ok(())
    }

    /// Loads a chunk; after a lost connection again, unless the target says that the commit went through.
    async fn load_with_retries(
        &mut self,
        table: &TableRun,
        id: ChunkId,
        bounds: &ChunkBounds,
    ) -> Result<(), ChunkError> {
        let mut tries = 1;
        loop {
            let mut counted = Counted::default();
            let loaded = self.load(table, id, bounds, &mut counted).await;
            let (reason, error) = match loaded {
                Ok(commit) => {
                    debug!(table = %table.name, chunk = id.0, rows = commit.row_count, "chunk committed");
                    return Ok(());
                }
                Err(ChunkError::Halted) => ("halted", ChunkError::Halted),
                Err(error) => ("failed", error),
            };
            // Dropping both rolls the chunk back and leaves no half-read result on a connection.
            self.reader = None;
            self.loader = None;
            let is_transient = matches!(
                &error,
                ChunkError::Source(Error::Transient(_)) | ChunkError::Target(Error::Transient(_))
            );
            if is_transient && self.was_committed(table, id).await? {
                return Ok(());
            }
            self.shared.progress.count(&table.name, |entry| {
                entry.row_count = entry.row_count.saturating_sub(counted.rows);
                entry.byte_count = entry.byte_count.saturating_sub(counted.bytes);
            });
            if !is_transient || tries >= CHUNK_TRIES_MAX {
                return Err(error);
            }
            tries += 1;
            warn!(table = %table.name, chunk = id.0, tries, reason, "the chunk is tried again on new connections");
        }
    }

    /// Asks the target for the fate of a chunk whose connection was lost.
    async fn was_committed(&mut self, table: &TableRun, id: ChunkId) -> Result<bool, ChunkError> {
        let mut target = self
            .shared
            .target_connector
            .target()
            .await
            .map_err(ChunkError::Target)?;
        let records = target
            .load_records(&self.shared.fence)
            .await
            .map_err(ChunkError::Target)?;
        self.shared.give_back(target).await;
        Ok(records
            .iter()
            .filter(|record| record.table == table.name)
            .flat_map(|record| &record.chunks)
            .any(|chunk| chunk.id == id && chunk.done.is_some()))
    }

    async fn load(
        &mut self,
        table: &TableRun,
        id: ChunkId,
        bounds: &ChunkBounds,
        counted: &mut Counted,
    ) -> Result<ChunkCommit, ChunkError> {
        let shared = Arc::clone(&self.shared);
        let halted = shared.halt.cancelled();
        tokio::select! {
            () = halted => Err(ChunkError::Halted),
            loaded = self.load_unguarded(table, id, bounds, counted) => loaded,
        }
    }

    async fn load_unguarded(
        &mut self,
        table: &TableRun,
        id: ChunkId,
        bounds: &ChunkBounds,
        counted: &mut Counted,
    ) -> Result<ChunkCommit, ChunkError> {
        if self.reader.is_none() {
            let reader = self
                .shared
                .snapshot
                .reader()
                .await
                .map_err(ChunkError::Source)?;
            self.reader = Some(reader);
        }
        if self.loader.is_none() {
            let mut target = self.shared.target().await.map_err(ChunkError::Target)?;
            let loader = target
                .loader(&self.shared.fence)
                .await
                .map_err(ChunkError::Target)?;
            self.shared.give_back(target).await;
            self.loader = Some(loader);
        }
        let (Some(reader), Some(loader)) = (&mut self.reader, &mut self.loader) else {
            unreachable!("both were just made")
        };
        let request = ReadRequest {
            table: &table.source,
            bounds,
            format: table.raw.map_or(ReadFormat::Decoded, ReadFormat::Raw),
            block_bytes: self.shared.block_bytes,
        };
        let load = ChunkLoad {
            table: &table.target,
            chunk: id,
            is_only_chunk: table.is_only_chunk,
            raw: table.raw,
            statement_rows_max: self.shared.statement_rows_max,
        };
        let (opened, begun) = tokio::join!(reader.open(request), loader.begin(load));
        opened.map_err(ChunkError::Source)?;
        begun.map_err(ChunkError::Target)?;
        let mut next = reader.next().await.map_err(ChunkError::Source)?;
        while let Some(block) = next {
            let (row_count, byte_count) = (block.row_count(), block.byte_count());
            next = pass(&mut **reader, &mut **loader, table.shaped(block)).await?;
            self.shared.progress.count(&table.name, |entry| {
                counted.add(row_count as u64, byte_count as u64, entry);
            });
        }
        reach(Point::ChunkWritten).await;
        let commit = loader.commit().await.map_err(ChunkError::Target)?;
        reach(Point::ChunkCommitted).await;
        Ok(commit)
    }
}

impl TableRun {
    /// The rows as the target is to have them.
    fn shaped(&self, block: Box<dyn RowBlock>) -> Box<dyn RowBlock> {
        match &self.shape {
            None => block,
            Some(shape) => Box::new(ShapedBlock {
                block,
                shape: Arc::clone(shape),
            }),
        }
    }
}

/// Writes a block and answers the next, which is read meanwhile. Not beside a large row: of these one at a time is held.
async fn pass(
    reader: &mut dyn ChunkReader,
    loader: &mut dyn Loader,
    block: Box<dyn RowBlock>,
) -> Result<Option<Box<dyn RowBlock>>, ChunkError> {
    let (written, read) = if block.byte_count() < LARGE_BLOCK_BYTES {
        tokio::join!(loader.write(&*block), reader.next())
    } else {
        let written = loader.write(&*block).await;
        drop(block);
        written.map_err(ChunkError::Target)?;
        (Ok(()), reader.next().await)
    };
    written.map_err(ChunkError::Target)?;
    read.map_err(ChunkError::Source)
}

/// What of an open chunk has been shown in the progress.
#[derive(Default)]
struct Counted {
    rows: u64,
    bytes: u64,
}

impl Counted {
    fn add(&mut self, rows: u64, bytes: u64, entry: &mut crate::TableProgress) {
        self.rows += rows;
        self.bytes += bytes;
        entry.row_count += rows;
        entry.byte_count += bytes;
    }
}
