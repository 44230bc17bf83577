//! Following the log: reads ahead while a batch is being applied, and applies whatever is complete as soon as the target is free.
//! Where a definition changes, everything before it is applied first ([`super::definitions`]).
//!
//! So the size of a batch follows the load by itself: a single transaction when little happens, thousands when the target is
//! behind. Memory is bounded by the bytes that may wait; what waits in the stream beyond that holds the source back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChangeBlock, ChangeRows, ChangeStream, Checkpoint, Error, LogEvent, LogPlace, Mutation,
    SingleKind, TableId, Target,
};
use whimbrel_core::{Position, TableName};

use super::apply::{BatchWriter, ChangeCounts, Control, Controlled};
use super::batch::{Batch, BatchEnd, Collector};
use super::definitions::Barrier;
use super::newcomers::Newcomers;
use super::tables::{Fate, StreamTables};
use super::{CdcOutcome, CdcSpec, StopTime};
use crate::{Progress, RunError};

/// A checkpoint that moved without changes is written this often, so that a quiet source can drop its log.
const QUIET_CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// How following a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowEnd {
    /// The run is over.
    Run(CdcOutcome),
    /// Tables were loaded that are to be followed too: the stream is to be opened again.
    Rejoin,
}

/// One stream of the log, followed.
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
    /// What the target has committed last.
    pub(super) committed: Checkpoint,
    /// The rows of the block being read.
    pub(super) rows: Option<Arc<dyn ChangeRows>>,
    /// A transaction has begun whose end has not come.
    pub(super) is_in_transaction: bool,
    /// The target's transaction has what is no change of a row.
    pub(super) must_commit: bool,
    /// The stream is to be opened again behind the transaction at hand.
    pub(super) reopens: bool,
    /// Events behind a change of a definition.
    pub(super) waiting: VecDeque<LogEvent>,
    /// What is to be done once everything before it is applied.
    pub(super) barrier: Option<Barrier>,
    pub(super) newcomers: Newcomers,
    /// When the first of the changes was found that wait for more.
    pub(super) gathered_since: Option<Instant>,
    /// Changes of rows that the transaction at hand has had so far.
    pub(super) changes_in_transaction: u64,
    /// Changes of the first transaction that were applied before.
    pub(super) applied_before: u64,
}

type Applied = Result<Done, Error>;

/// What became of a piece of work.
#[derive(Debug)]
pub(super) enum Done {
    /// Counts by table, and tables that are followed no more, with the reason.
    Batch(BTreeMap<TableName, ChangeCounts>, Vec<(TableName, String)>),
    Control(Controlled),
}

enum Work {
    Batch(Batch),
    Control(Control),
}

/// Work under way at the target.
struct Writing {
    task: JoinHandle<(BatchWriter, Applied)>,
    end: Option<BatchEnd>,
    transaction_count: u64,
    byte_count: u64,
}

impl Follower<'_> {
    pub(super) async fn run(&mut self, writer: BatchWriter) -> Result<FollowEnd, RunError> {
        let mut idle = Some(writer);
        let mut writing: Option<Writing> = None;
        let mut wrote_at = Instant::now();
        loop {
            if self.stop.is_cancelled() && writing.is_none() {
                return Ok(FollowEnd::Run(CdcOutcome::Stopped));
            }
            if !self.stop.is_cancelled()
                && let Some(writer) = idle.take()
            {
                if self.may_rejoin() {
                    reach(Point::Rejoining).await;
                    return Ok(FollowEnd::Rejoin);
                }
                match self.next_work(wrote_at) {
                    Some(work) => {
                        self.confirm_too_early(&work);
                        let kept_from = self.newcomers.begin_write();
                        writing = Some(Writing::start(writer, work, kept_from));
                    }
                    None => match self.ended {
                        Some(outcome) => return Ok(FollowEnd::Run(outcome)),
                        None => idle = Some(writer),
                    },
                }
            }
            let (may_read, pause) = (self.may_read(), self.pause());
            tokio::select! {
                biased;
                done = finished(&mut writing), if writing.is_some() => {
                    idle = Some(self.written(done?)?);
                    reach(Point::PositionConfirmed).await;
                    wrote_at = Instant::now();
                }
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => {}
                () = until_time(self.spec.stop_at), if self.ended.is_none() => {
                    info!("the time has come at which the task is to stop");
                    self.end(CdcOutcome::ServerTime);
                }
                loaded = self.newcomers.loaded() => {
                    loaded?;
                    self.start_newcomers();
                }
                () = self.spec.reloads.asked(), if self.barrier.is_none() && !self.is_in_transaction => {
                    self.ask_for_reloads()?;
                }
                block = self.stream.next(), if may_read => {
                    self.take(block.map_err(RunError::Source)?)?;
                }
                () = tokio::time::sleep(pause), if idle.is_some() => {}
            }
        }
    }

    /// A mistake, made only to show that tests find it.
    fn confirm_too_early(&mut self, work: &Work) {
        if Mutation::ConfirmBeforeCommit.is_on()
            && let Work::Batch(Batch { end: Some(end), .. }) = work
        {
            self.stream.confirm(&end.place.position());
        }
    }

    fn may_read(&self) -> bool {
        self.ended.is_none()
            && !self.stop.is_cancelled()
            && self.barrier.is_none()
            && !self.is_at_reopening()
            && !self.is_full()
    }

    /// Whether all is taken in that this stream has to give.
    pub(super) fn is_at_reopening(&self) -> bool {
        self.reopens && !self.is_in_transaction
    }

    /// What the target should do next, if anything.
    fn next_work(&mut self, wrote_at: Instant) -> Option<Work> {
        let Some(barrier) = &mut self.barrier else {
            return self.next_batch(wrote_at).map(Work::Batch);
        };
        if self.collector.has_changes() || self.collector.end().is_some() {
            let batch = self.collector.take_complete(self.tables.shapes());
            return Some(Work::Batch(batch));
        }
        if self.collector.size().1 > 0 {
            let piece = self.collector.take_piece(self.tables.shapes());
            return Some(Work::Batch(piece));
        }
        let checkpoint = Checkpoint {
            kept_from: self.newcomers.kept_from.clone(),
            ..self.committed.clone()
        };
        barrier.take_control(checkpoint).map(Work::Control)
    }

    fn next_batch(&mut self, wrote_at: Instant) -> Option<Batch> {
        let is_quiet = wrote_at.elapsed() >= QUIET_CHECKPOINT_EVERY
            || self.must_commit
            || self.has_reached_end()
            || self.is_at_reopening();
        let is_due = self.collector.has_changes() && !self.waits_for_more();
        if is_due || (is_quiet && self.collector.end().is_some()) {
            self.gathered_since = None;
            return Some(self.collector.take_complete(self.tables.shapes()));
        }
        self.is_full()
            .then(|| self.collector.take_piece(self.tables.shapes()))
    }

    /// How long nothing need be done while nothing comes.
    fn pause(&self) -> Duration {
        let wait = self
            .spec
            .batch_wait
            .filter(|_| self.collector.has_changes());
        wait.unwrap_or(QUIET_CHECKPOINT_EVERY)
    }

    /// Whether the task wants more changes in a batch than there are, and has waited for them less than it wants to.
    fn waits_for_more(&mut self) -> bool {
        let Some(wait) = self.spec.batch_wait else {
            return false;
        };
        let since = *self.gathered_since.get_or_insert_with(Instant::now);
        let enough = self.spec.batch_changes_min;
        let is_enough = enough.is_some_and(|enough| self.collector.size().1 >= enough);
        since.elapsed() < wait && !is_enough && !self.is_full() && !self.has_reached_end()
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

    fn written(&mut self, finished: Finished) -> Result<BatchWriter, RunError> {
        let kept_from = self.newcomers.end_write();
        let Finished {
            writer,
            applied,
            end,
            transaction_count,
            byte_count,
        } = finished;
        match applied.map_err(RunError::Target)? {
            Done::Batch(counts, suspended) => {
                for (table, reason) in suspended {
                    self.suspended(&table, reason).map_err(RunError::Source)?;
                }
                let latencies_ms = end.as_ref().map(latencies_ms);
                for (table, counts) in &counts {
                    self.progress.count(table, |entry| {
                        entry.changes.add(counts);
                        entry.latencies_ms = latencies_ms.or(entry.latencies_ms);
                    });
                }
                let waiting_count = self.collector.size().1 as u64;
                self.progress.follow(|cdc| {
                    cdc.byte_count += byte_count;
                    cdc.waiting_count = waiting_count;
                });
                if let Some(end) = end {
                    self.committed(&end, transaction_count, kept_from.as_ref());
                }
                self.start_newcomers();
            }
            Done::Control(done) => self.controlled(done)?,
        }
        Ok(writer)
    }

    /// Rows and checkpoint are durable at the target: now the source may forget what comes before `kept_from`.
    fn committed(&mut self, end: &BatchEnd, transactions: u64, kept_from: Option<&Position>) {
        self.batches_committed += 1;
        let position = end.place.position();
        self.committed = Checkpoint::at(position.clone());
        self.newcomers.is_blocked = false;
        self.must_commit = false;
        self.stream.confirm(kept_from.unwrap_or(&position));
        let latency_ms = latency_ms(end.committed_at_us);
        self.progress.follow(|cdc| {
            cdc.checkpoint = Some(position.as_str().to_owned());
            cdc.transaction_count += transactions;
            if end.committed_at_us > 0 {
                cdc.applied_at_us = Some(end.committed_at_us);
            }
            if transactions > 0 {
                cdc.target_latency_ms = latency_ms;
            } else if cdc.is_caught_up {
                cdc.target_latency_ms = 0;
            }
        });
        if let Some(until) = &self.until
            && self.newcomers.is_idle()
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
        self.rows = Some(block.rows);
        self.waiting.extend(block.events);
        self.go_on()
    }

    /// Takes in what waits, up to the next change of a definition.
    pub(super) fn go_on(&mut self) -> Result<(), RunError> {
        while self.barrier.is_none()
            && self.ended.is_none()
            && !self.is_at_reopening()
            && let Some(event) = self.waiting.pop_front()
        {
            self.event(event)?;
        }
        Ok(())
    }

    /// Nothing more is read; a transaction whose end has not come is left out.
    fn end(&mut self, outcome: CdcOutcome) {
        self.collector.drop_open();
        self.waiting.clear();
        if let Some(barrier) = self.barrier.take() {
            self.spec.reloads.ask(barrier.asked_for().iter().cloned());
        }
        self.ended = Some(outcome);
    }

    fn event(&mut self, event: LogEvent) -> Result<(), RunError> {
        match event {
            LogEvent::Table { id, table } => self.described(id, table),
            LogEvent::Begin { mark } => {
                self.tables.begin(mark);
                self.is_in_transaction = true;
                self.changes_in_transaction = 0;
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
            LogEvent::Dropped { table } => self.dropped(table),
            LogEvent::Renamed { table, to } => self.renamed(table, to),
            LogEvent::Rewritten { table, why } => self.rewritten(table, &why),
            LogEvent::Created { table } => {
                self.created(table);
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
            Fate::Apply(shape) => {
                self.changes_in_transaction += 1;
                let was_applied = self.changes_in_transaction <= self.applied_before;
                let is_left_out = kind == SingleKind::Truncate && !self.spec.on_ddl.truncates;
                if !was_applied && !is_left_out {
                    let rows = self.tables.shapes()[shape as usize].shape.as_ref();
                    self.collector.push(shape, kind, rows);
                }
            }
            Fate::Held => self.changes_in_transaction += 1,
            Fate::Redefine => {
                self.waiting.push_front(change_event(table, kind));
                self.redefine(table)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, place: Arc<dyn LogPlace>, committed_at_us: i64) {
        if matches!(self.spec.stop_at, Some(StopTime::Commit(limit)) if committed_at_us > limit) {
            info!("the log has reached the time at which the task is to stop");
            self.end(CdcOutcome::CommitTime);
            return;
        }
        if self.changes_in_transaction > 0 {
            self.applied_before = 0;
        }
        self.changes_in_transaction = 0;
        self.is_in_transaction = false;
        self.collector.commit(BatchEnd {
            place,
            committed_at_us,
            received_at_us: now_us(),
        });
        let waiting_count = self.collector.size().1 as u64;
        let latency_ms = latency_ms(committed_at_us);
        self.progress.follow(|cdc| {
            cdc.source_latency_ms = latency_ms;
            cdc.is_caught_up = false;
            cdc.received_at_us = Some(committed_at_us);
            cdc.waiting_count = waiting_count;
        });
    }
}

impl Writing {
    fn start(mut writer: BatchWriter, work: Work, kept_from: Option<Position>) -> Self {
        let (end, transaction_count, byte_count) = match &work {
            Work::Batch(batch) => (
                batch.end.clone(),
                batch.transaction_count,
                batch.byte_count(),
            ),
            Work::Control(_) => (None, 0, 0),
        };
        let task = tokio::spawn(async move {
            let applied = match work {
                Work::Batch(batch) => {
                    let applied = writer.apply(&batch, kept_from).await;
                    applied.map(|counts| Done::Batch(counts, writer.take_suspended()))
                }
                Work::Control(control) => writer.control(&control).await.map(Done::Control),
            };
            (writer, applied)
        });
        Self {
            task,
            end,
            transaction_count,
            byte_count,
        }
    }
}

impl Drop for Writing {
    /// A follower that goes away takes its batch with it: it is rolled back, like in a crash.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Work that is over.
struct Finished {
    writer: BatchWriter,
    applied: Applied,
    /// Where the batch ended, and how many transactions ended in it.
    end: Option<BatchEnd>,
    transaction_count: u64,
    byte_count: u64,
}

/// A change as the stream told it.
fn change_event(table: TableId, kind: SingleKind) -> LogEvent {
    match kind {
        SingleKind::Insert { after } => LogEvent::Insert { table, after },
        SingleKind::Update { before, after } => LogEvent::Update {
            table,
            before,
            after,
        },
        SingleKind::Delete { before } => LogEvent::Delete { table, before },
        SingleKind::Truncate => LogEvent::Truncate { table },
    }
}

/// Waits for running work. Called only while there is some.
async fn finished(writing: &mut Option<Writing>) -> Result<Finished, RunError> {
    let Some(running) = writing else {
        return std::future::pending().await;
    };
    let joined = (&mut running.task).await;
    let (end, transaction_count, byte_count) = (
        running.end.take(),
        running.transaction_count,
        running.byte_count,
    );
    *writing = None;
    let (writer, applied) = joined
        .map_err(|panic| RunError::Table(format!("applying changes ended abnormally: {panic}")))?;
    Ok(Finished {
        writer,
        applied,
        end,
        transaction_count,
        byte_count,
    })
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

/// How old the last transaction of a batch was when it was received, and is now that it is visible at the target.
fn latencies_ms(end: &BatchEnd) -> (u64, u64) {
    let received_after = (end.received_at_us - end.committed_at_us) / 1000;
    let received_after = u64::try_from(received_after).unwrap_or(0);
    (received_after, latency_ms(end.committed_at_us))
}

/// How long ago the source committed, in milliseconds; 0 when its clock is ahead of ours.
fn latency_ms(committed_at_us: i64) -> u64 {
    u64::try_from((now_us() - committed_at_us) / 1000).unwrap_or(0)
}
