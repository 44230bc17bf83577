//! A subtask: loads chunk after chunk over a reader and a loader of its own, and finishes the tables it completes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Mutex, mpsc};
use tracing::{debug, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChunkCommit, ChunkLoad, ChunkReader, Error, LoadRecord, Loader, ReadFormat, ReadRequest,
    RowRefusal,
};
use whimbrel_core::{ChunkBounds, ChunkId, clock};

use super::coordinator::{Job, Shared, TableRun, table_message};
use super::feeder::both;
use super::rows::{Counted, RowsOf, pass_all, sift};
use crate::{RowPolicy, RunError, TableState};

/// Tries of one chunk within an attempt, on new connections under the same snapshot.
const CHUNK_TRIES_MAX: u32 = 3;

/// Why a chunk was not loaded.
pub(super) enum ChunkError {
    /// The run is to halt; nothing is wrong with the chunk.
    Halted,
    /// A row was refused, which is to end the task.
    Policy(RowRefusal),
    Source(Error),
    Target(Error),
    /// The target stayed away, or is not what it was.
    Away(RunError),
}

impl ChunkError {
    /// The row that was refused, if one was and that is the reason.
    fn refusal(&self) -> Option<&RowRefusal> {
        match self {
            Self::Source(Error::Row(refusal)) | Self::Target(Error::Row(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// Whether only the target stands in the way, and may be waited for.
    fn is_of_outage(&self) -> bool {
        match self {
            Self::Target(error) => crate::error::may_pass(error),
            Self::Halted | Self::Policy(_) | Self::Source(_) | Self::Away(_) => false,
        }
    }
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
                Err(ChunkError::Policy(refusal)) => self.stop_task(&refusal),
                Err(ChunkError::Source(error)) => self.fail(&job.table, error, RunError::Source),
                Err(ChunkError::Target(error)) => self.fail(&job.table, error, RunError::Target),
                Err(ChunkError::Away(error)) => self.shared.fail(error),
            }
        }
    }

    fn stop_task(&self, refusal: &RowRefusal) {
        self.shared.fail(RunError::Table(format!(
            "{refusal}; the task's policy for data errors ends it"
        )));
    }

    fn fail(&self, table: &TableRun, error: Error, of_end: fn(Error) -> RunError) {
        match error {
            Error::Row(refusal) if self.policy(&refusal) == Some(RowPolicy::StopTask) => {
                self.stop_task(&refusal);
            }
            Error::Row(_) | Error::Table(_) => {
                if table.fail_once() {
                    self.shared.fail_table(&table.name, &table_message(error));
                }
            }
            Error::Connect(_)
            | Error::Transient(_)
            | Error::Busy(_)
            | Error::Fenced { .. }
            | Error::Fatal(_) => {
                self.shared.fail(of_end(error));
            }
        }
    }

    /// What the user wants to become of a row that was refused.
    fn policy(&self, refusal: &RowRefusal) -> Option<RowPolicy> {
        self.shared.spec.data_errors.of_row(refusal.kind)
    }

    /// How a chunk of which a row was refused is loaded once more, if it is.
    fn once_more(&self, table: &TableRun, taken: Taken, error: &ChunkError) -> Option<Taken> {
        let refusal = error.refusal()?;
        let leaves_out = self.policy(refusal).is_some_and(RowPolicy::leaves_out);
        if leaves_out && taken != Taken::Sifted {
            return Some(Taken::Sifted);
        }
        // Of a row in parts nobody may have had the key.
        let is_nameless = refusal.key.is_none() && !table.source.key_in_row().is_empty();
        let was_in_parts = taken == Taken::AsPlanned && table.format == ReadFormat::InParts;
        (is_nameless && was_in_parts).then_some(Taken::Decoded)
    }

    async fn run_job(&mut self, job: &Job) -> Result<(), ChunkError> {
        if let Some((id, bounds)) = &job.chunk {
            self.load_with_retries(&job.table, *id, bounds).await?;
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
        let mut tries = 1;
        loop {
            let seen = self.shared.outages();
            let error = match self.finish_once(table).await {
                Ok(()) => break,
                Err(error) if error.is_of_outage() => error,
                Err(error) => return Err(error),
            };
            self.shared.forget_idle_targets().await;
            tries += 1;
            if tries > CHUNK_TRIES_MAX {
                let record = self.record(table).await?;
                if !record.is_some_and(|record| record.chunks.iter().all(|c| c.done.is_some())) {
                    return Err(ChunkError::Target(Error::record_lost(&table.name)));
                }
                self.outlast(error, seen).await?;
                tries = 1;
            }
            warn!(table = %table.name, tries, "the table is finished again on a new connection");
        }
        reach(Point::TableFinished).await;
        let left_out = table.left_out.load(Ordering::Relaxed);
        if left_out > 0 {
            warn!(table = %table.name, left_out, "the table is loaded without rows that the target refused, as the task's policy for data errors says");
        }
        self.shared.progress.update(&table.name, |entry| {
            entry.state = TableState::Completed;
            entry.ended_at = Some(clock::now());
        });
        Ok(())
    }

    async fn finish_once(&mut self, table: &TableRun) -> Result<(), ChunkError> {
        let finished = async {
            let mut target = self.shared.target().await?;
            reach(Point::TableFinishing).await;
            target.finish(&self.shared.fence, &table.target).await?;
            self.shared.give_back(target).await;
            Ok(())
        };
        tokio::select! {
            () = self.shared.halt.cancelled() => Err(ChunkError::Halted),
            finished = finished => finished.map_err(ChunkError::Target),
        }
    }

    /// Loads a chunk; after a lost connection again, unless the target says that the commit went through.
    async fn load_with_retries(
        &mut self,
        table: &TableRun,
        id: ChunkId,
        bounds: &ChunkBounds,
    ) -> Result<(), ChunkError> {
        let (mut tries, mut taken) = (1, Taken::AsPlanned);
        loop {
            let seen = self.shared.outages();
            let mut counted = Counted::default();
            let chunk = Chunk { id, bounds, taken };
            let loaded = self.load(table, chunk, &mut counted).await;
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
            let is_of_outage = error.is_of_outage();
            let is_transient = is_of_outage
                || matches!(
                    &error,
                    ChunkError::Source(Error::Transient(_) | Error::Busy(_))
                );
            // Its rows may be there twice, or its table may not be there at all.
            let may_be_lost = matches!(&error, ChunkError::Target(Error::Table(_) | Error::Row(_)));
            let fate = if is_transient || may_be_lost {
                self.fate(table, id).await
            } else {
                Ok(Fate::Open)
            };
            if let Ok(Fate::Committed(commit)) = fate {
                self.shared.progress.count(&table.name, |entry| {
                    entry.row_count =
                        entry.row_count.saturating_sub(counted.rows) + commit.row_count;
                    entry.byte_count =
                        entry.byte_count.saturating_sub(counted.bytes) + commit.byte_count;
                });
                return Ok(());
            }
            self.shared.progress.count(&table.name, |entry| {
                entry.row_count = entry.row_count.saturating_sub(counted.rows);
                entry.byte_count = entry.byte_count.saturating_sub(counted.bytes);
                entry.error_row_count = entry.error_row_count.saturating_sub(counted.left_out);
            });
            table
                .left_out
                .fetch_sub(counted.left_out, Ordering::Relaxed);
            if fate? == Fate::Lost {
                // What else is wrong with the table comes of that.
                return Err(ChunkError::Target(Error::record_lost(&table.name)));
            }
            if let Some(otherwise) = self.once_more(table, taken, &error) {
                warn!(table = %table.name, chunk = id.0, "a row was refused: the chunk is loaded again {otherwise}");
                taken = otherwise;
                continue;
            }
            if is_of_outage && tries >= CHUNK_TRIES_MAX {
                self.outlast(error, seen).await?;
                tries = 0;
            } else if !is_transient || tries >= CHUNK_TRIES_MAX {
                return Err(error);
            }
            tries += 1;
            self.shared.forget_idle_targets().await;
            warn!(table = %table.name, chunk = id.0, tries, reason, "the chunk is tried again on new connections");
        }
    }

    /// Asks the target for the fate of a chunk that failed.
    async fn fate(&mut self, table: &TableRun, id: ChunkId) -> Result<Fate, ChunkError> {
        let record = self.record(table).await?;
        let mut chunks = record.iter().flat_map(|record| &record.chunks);
        Ok(match chunks.find(|chunk| chunk.id == id) {
            None => Fate::Lost,
            Some(chunk) => chunk.done.map_or(Fate::Open, Fate::Committed),
        })
    }

    /// What the target has recorded of a table, once it tells.
    async fn record(&mut self, table: &TableRun) -> Result<Option<LoadRecord>, ChunkError> {
        tokio::select! {
            () = self.shared.halt.cancelled() => Err(ChunkError::Halted),
            record = self.shared.record(&table.name) => record.map_err(ChunkError::Away),
        }
    }

    /// Waits for a target that is away. What else is wrong is the answer.
    async fn outlast(&mut self, error: ChunkError, seen: u64) -> Result<(), ChunkError> {
        let ChunkError::Target(error) = error else {
            return Err(error);
        };
        tokio::select! {
            () = self.shared.halt.cancelled() => Err(ChunkError::Halted),
            over = self.shared.outlast(RunError::Target(error), seen) => over.map_err(ChunkError::Away),
        }
    }

    async fn load(
        &mut self,
        table: &TableRun,
        chunk: Chunk<'_>,
        counted: &mut Counted,
    ) -> Result<ChunkCommit, ChunkError> {
        let shared = Arc::clone(&self.shared);
        let halted = shared.halt.cancelled();
        tokio::select! {
            () = halted => Err(ChunkError::Halted),
            loaded = self.load_unguarded(table, chunk, counted) => loaded,
        }
    }

    async fn load_unguarded(
        &mut self,
        table: &TableRun,
        chunk: Chunk<'_>,
        counted: &mut Counted,
    ) -> Result<ChunkCommit, ChunkError> {
        self.connect().await?;
        let (Some(reader), Some(loader)) = (&mut self.reader, &mut self.loader) else {
            unreachable!("both were just made")
        };
        let sifts = chunk.taken == Taken::Sifted;
        let format = match chunk.taken {
            Taken::AsPlanned => table.format,
            Taken::Decoded | Taken::Sifted => ReadFormat::Decoded,
        };
        let part = table.split.part(chunk.bounds).ok_or_else(|| {
            let message =
                "a chunk of its record is of other ranges than those of now; start the load afresh";
            ChunkError::Source(Error::table(&table.name, message))
        })?;
        let filter = both(
            part.rows,
            table.shape.as_ref().and_then(|shape| shape.filter()),
        );
        let request = ReadRequest {
            table: &table.source,
            bounds: &part.bounds,
            filter: filter.as_ref(),
            format,
            block_bytes: self.shared.spec.block_bytes,
        };
        let load = ChunkLoad {
            table: &table.target,
            chunk: chunk.id,
            is_only_chunk: table.is_only_chunk,
            raw: format.raw(),
            statement_rows_max: self.shared.spec.statement_rows_max,
            sifts,
        };
        let (opened, begun) = tokio::join!(reader.open(request), loader.begin(load));
        opened.map_err(ChunkError::Source)?;
        begun.map_err(ChunkError::Target)?;
        let (reader, loader) = (&mut **reader, &mut **loader);
        let of_chunk = RowsOf {
            table,
            rows: part.rows.filter(|_| !table.is_exact),
        };
        if sifts {
            sift(&self.shared, of_chunk, reader, loader, counted).await?;
        } else {
            pass_all(&self.shared, of_chunk, reader, loader, counted).await?;
        }
        if !self.shared.spec.is_followed {
            let checked = self.shared.snapshot.check_origin(&table.source).await;
            checked.map_err(ChunkError::Source)?;
        }
        reach(Point::ChunkWritten).await;
        let commit = loader.commit().await.map_err(ChunkError::Target)?;
        reach(Point::ChunkCommitted).await;
        Ok(commit)
    }

    async fn connect(&mut self) -> Result<(), ChunkError> {
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
        Ok(())
    }
}

/// A chunk, and how it is loaded.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    id: ChunkId,
    bounds: &'a ChunkBounds,
    taken: Taken,
}

/// How the rows of a chunk are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// In the format that is best for the table.
    AsPlanned,
    /// Whole, so that one that is refused can be named.
    Decoded,
    /// Without those that the target refuses, which are looked for one by one.
    Sifted,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsPlanned => "as before",
            Self::Decoded => "in whole rows, to name it",
            Self::Sifted => "without such rows",
        })
    }
}

/// What the target records of a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its rows are there.
    Committed(ChunkCommit),
    /// None of its rows are there.
    Open,
    /// It does not record it at all.
    Lost,
}
