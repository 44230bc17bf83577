//! Following the log: reads ahead while a batch is being applied, and applies whatever is complete as soon as the target is free.
//!
//! So the size of a batch follows the load by itself: a single transaction when little happens, thousands when the target is
//! behind. Memory is bounded by the bytes that may wait; what waits in the stream beyond that holds the source back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use whimbrel_connector::{
    ChangeBlock, ChangeStream, Error, LogEvent, LogPlace, SingleKind, TableId, Target,
};
use whimbrel_core::{Position, TableName};

use super::apply::{BatchWriter, ChangeCounts};
use super::batch::{Batch, BatchEnd, Collector};
use super::tables::{Fate, StreamTables};
use super::{CdcOutcome, CdcSpec, StopTime};
use crate::{Progress, RunError};

/// A checkpoint that moved without changes is written this often, so that a quiet source can drop its log.
const QUIET_CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// One attempt at following the log.
pub(super) struct Follower<'a> {
    pub(super) spec: &'a CdcSpec,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a CancellationToken,
    /// Plans tables; does no I/O here.
    pub(super) target: Box<dyn Target>,
    pub(super) stream: Box<dyn ChangeStream>,
    pub(super) tables: StreamTables,
    pub(super) collector: Collector,
    /// Ends once everything up to here is applied.
    pub(super) until: Option<Position>,
    /// Why nothing more is read; what was received before is still applied.
    pub(super) ended: Option<CdcOutcome>,
    pub(super) batches_committed: u64,
}

type Applied = Result<BTreeMap<TableName, ChangeCounts>, Error>;

/// A batch on its way into the target.
struct Writing {
    task: JoinHandle<(BatchWriter, Applied)>,
    end: Option<BatchEnd>,
    transaction_count: u64,
}

impl Follower<'_> {
    pub(super) async fn run(&mut self, writer: BatchWriter) -> Result<CdcOutcome, RunError> {
        let mut idle = Some(writer);
        let mut writing: Option<Writing> = None;
        let mut wrote_at = Instant::now();
        loop {
            if self.stop.is_cancelled() && writing.is_none() {
                return Ok(CdcOutcome::Stopped);
            }
            if !self.stop.is_cancelled()
                && let Some(writer) = idle.take()
            {
                match self.next_batch(wrote_at) {
                    Some(batch) => writing = Some(Writing::start(writer, batch)),
                    None => match self.ended {
                        Some(outcome) => return Ok(outcome),
                        None => idle = Some(writer),
                    },
                }
            }
            let is_full = self.is_full();
            let may_read = self.ended.is_none() && !self.stop.is_cancelled() && !is_full;
            tokio::select! {
                biased;
                done = finished(&mut writing), if writing.is_some() => {
                    let (writer, end, transactions) = self.written(done?)?;
                    idle = Some(writer);
                    wrote_at = Instant::now();
                    if let Some(end) = end {
                        self.committed(&end, transactions);
                    }
                }
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => {}
                () = until_time(self.spec.stop_at), if self.ended.is_none() => {
                    info!("the time has come at which the task is to stop");
                    self.collector.drop_open();
                    self.ended = Some(CdcOutcome::ServerTime);
                }
                block = self.stream.next(), if may_read => {
                    self.take(block.map_err(RunError::Source)?)?;
                }
                () = tokio::time::sleep(QUIET_CHECKPOINT_EVERY), if idle.is_some() => {}
            }
        }
    }

    /// What the target should get next, if anything.
    fn next_batch(&mut self, wrote_at: Instant) -> Option<Batch> {
        let is_quiet = wrote_at.elapsed() >= QUIET_CHECKPOINT_EVERY || self.has_reached_end();
        if self.collector.has_changes() || (is_quiet && self.collector.end().is_some()) {
            return Some(self.collector.take_complete(self.tables.shapes()));
        }
        self.is_full()
            .then(|| self.collector.take_piece(self.tables.shapes()))
    }

    fn is_full(&self) -> bool {
        let (bytes, changes) = self.collector.size();
        bytes >= self.spec.batch_bytes_max || changes >= self.spec.batch_changes_max
    }

    fn has_reached_end(&self) -> bool {
        let end = self.collector.end();
        self.ended.is_some()
            || self.until.as_ref().is_some_and(|until| {
                end.is_some_and(|end| self.stream.has_reached(&*end.place, until))
            })
    }

    fn written(
        &mut self,
        done: (BatchWriter, Applied, Option<BatchEnd>, u64),
    ) -> Result<(BatchWriter, Option<BatchEnd>, u64), RunError> {
        let (writer, applied, end, transactions) = done;
        let counts = applied.map_err(RunError::Target)?;
        for (table, counts) in &counts {
            self.progress
                .count(table, |entry| entry.changes.add(counts));
        }
        Ok((writer, end, transactions))
    }

    /// Rows and checkpoint are durable at the target: now the source may forget.
    fn committed(&mut self, end: &BatchEnd, transactions: u64) {
        self.batches_committed += 1;
        let position = end.place.position();
        self.stream.confirm(&position);
        let latency_ms = latency_ms(end.committed_at_us);
        self.progress.follow(|cdc| {
            cdc.checkpoint = Some(position.as_str().to_owned());
            cdc.transaction_count += transactions;
            if transactions > 0 {
                cdc.target_latency_ms = latency_ms;
            } else if cdc.is_caught_up {
                cdc.target_latency_ms = 0;
            }
        });
        if let Some(until) = &self.until
            && self.stream.has_reached(&*end.place, until)
        {
            info!(%position, "everything up to the wanted position is applied");
            self.ended.get_or_insert(CdcOutcome::CaughtUp);
        }
    }

    /// Takes in what the stream gave.
    fn take(&mut self, block: ChangeBlock) -> Result<(), RunError> {
        if self.ended.is_some() {
            return Ok(());
        }
        self.collector.begin_block(Arc::clone(&block.rows));
        for event in block.events {
            self.event(event)?;
            if self.ended.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: LogEvent) -> Result<(), RunError> {
        match event {
            LogEvent::Table { id, table } => {
                let before = self
                    .tables
                    .describe(id, &table, &*self.target, &self.spec.load)
                    .map_err(RunError::Target)?;
                if before.is_some() {
                    return Err(RunError::Table(format!(
                        "table {}: its columns changed while its changes are followed; make the same change at the target and reload the table",
                        table.name
                    )));
                }
                Ok(())
            }
            LogEvent::Begin { mark } => {
                self.tables.begin(mark);
                Ok(())
            }
            LogEvent::Insert { table, after } => self.change(table, SingleKind::Insert { after }),
            LogEvent::Update {
                table,
                before,
                after,
            } => self.change(table, SingleKind::Update { before, after }),
            LogEvent::Delete { table, before } => self.change(table, SingleKind::Delete { before }),
            LogEvent::Truncate { table } => self.change(table, SingleKind::Truncate),
            LogEvent::Ddl { table, statement } => {
                debug!(%table, statement, "the definition of a table changed at the source");
                Ok(())
            }
            LogEvent::Commit {
                place,
                committed_at_us,
            } => {
                self.commit(place, committed_at_us);
                Ok(())
            }
            LogEvent::Idle { place } => {
                self.collector.idle(place);
                self.progress.follow(|cdc| {
                    cdc.source_latency_ms = 0;
                    cdc.is_caught_up = true;
                });
                Ok(())
            }
        }
    }

    fn change(&mut self, table: TableId, kind: SingleKind) -> Result<(), RunError> {
        match self.tables.fate(table).map_err(RunError::Source)? {
            Fate::Apply(shape) => self.collector.push(shape, kind),
            Fate::Held => {}
        }
        Ok(())
    }

    fn commit(&mut self, place: Arc<dyn LogPlace>, committed_at_us: i64) {
        if matches!(self.spec.stop_at, Some(StopTime::Commit(limit)) if committed_at_us > limit) {
            info!("the log has reached the time at which the task is to stop");
            self.collector.drop_open();
            self.ended = Some(CdcOutcome::CommitTime);
            return;
        }
        self.collector.commit(BatchEnd {
            place,
            committed_at_us,
        });
        let latency_ms = latency_ms(committed_at_us);
        self.progress.follow(|cdc| {
            cdc.source_latency_ms = latency_ms;
            cdc.is_caught_up = false;
        });
    }
}

impl Writing {
    fn start(mut writer: BatchWriter, batch: Batch) -> Self {
        let (end, transaction_count) = (batch.end.clone(), batch.transaction_count);
        let task = tokio::spawn(async move {
            let applied = writer.apply(&batch).await;
            (writer, applied)
        });
        Self {
            task,
            end,
            transaction_count,
        }
    }
}

impl Drop for Writing {
    /// A follower that goes away takes its batch with it: it is rolled back, like in a crash.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for a running batch. Called only while there is one.
async fn finished(
    writing: &mut Option<Writing>,
) -> Result<(BatchWriter, Applied, Option<BatchEnd>, u64), RunError> {
    let Some(running) = writing else {
        return std::future::pending().await;
    };
    let joined = (&mut running.task).await;
    let (end, transactions) = (running.end.take(), running.transaction_count);
    *writing = None;
    let (writer, applied) = joined
        .map_err(|panic| RunError::Table(format!("applying changes ended abnormally: {panic}")))?;
    Ok((writer, applied, end, transactions))
}

/// Waits until the clock shows the time; for ever without one.
async fn until_time(stop_at: Option<StopTime>) {
    let Some(StopTime::Server(at_us)) = stop_at else {
        return std::future::pending().await;
    };
    let wait_us = u64::try_from(at_us - now_us()).unwrap_or(0);
    tokio::time::sleep(Duration::from_micros(wait_us)).await;
}

fn now_us() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

/// How long ago the source committed, in milliseconds; 0 when its clock is ahead of ours.
fn latency_ms(committed_at_us: i64) -> u64 {
    u64::try_from((now_us() - committed_at_us) / 1000).unwrap_or(0)
}
