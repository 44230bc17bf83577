//! Following the log: reads ahead while a batch is being applied, and applies whatever is complete as soon as the target is free.
//! Where a definition changes, everything before it is applied first ([`super::definitions`]).
//!
//! So the size of a batch follows the load by itself: a single transaction when little happens, thousands when the target is
//! behind. Memory is bounded by the bytes that may wait; what waits in the stream beyond that holds the source back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChangeBlock, ChangeRows, ChangeStream, Checkpoint, LogEvent, Mutation, TableId, Target,
};
use whimbrel_core::{Position, clock};

use super::apply::BatchWriter;
use super::batch::{Batch, BatchEnd, Collector};
use super::definitions::{Again, Barrier};
use super::latency::{WaitingSince, latencies_ms, latency_ms};
use super::newcomers::Newcomers;
use super::tables::StreamTables;
use super::uncommitted::Uncommitted;
use super::writing::{Done, Finished, Work, Writing, finished};
use super::{CdcOutcome, CdcSpec, StopTime};
use crate::{Progress, RunError};

/// A checkpoint that moved without changes is written this often, so that a quiet source can drop its log.
const QUIET_CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// A stop waits this long for what is being written. What is not there by then waits for somebody else, or for a server that is gone.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// A source of which nothing came for so long is quiet: well above the time between two transactions of a busy one, and little beside the
/// seconds in which users count the waits of batches.
const QUIET_AFTER: Duration = Duration::from_millis(300);

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
    pub(super) until: Option<Until>,
    /// Why nothing more is read; what was received before is still applied, and tables that are on their way join.
    pub(super) ended: Option<CdcOutcome>,
    /// The log is read again for tables that have joined, and others hold everything up to here.
    pub(super) ahead: Option<Position>,
    pub(super) batches_committed: u64,
    /// What the target has committed last.
    pub(super) committed: Checkpoint,
    /// The rows of the block being read.
    pub(super) rows: Option<Arc<dyn ChangeRows>>,
    /// A transaction has begun whose end has not come.
    pub(super) is_in_transaction: bool,
    /// The target's transaction has what is no change of a row.
    pub(super) must_commit: bool,
    /// The transaction of which the target got a piece last.
    pub(super) piece_of: u64,
    /// The stream is to be opened again behind the transaction at hand.
    pub(super) reopens: bool,
    /// Tables of which changes are missing in the log.
    pub(super) gaps: Vec<(TableId, String)>,
    /// Events behind a change of a definition.
    pub(super) waiting: VecDeque<LogEvent>,
    /// What is to be done once everything before it is applied.
    pub(super) barrier: Option<Barrier>,
    pub(super) newcomers: Newcomers,
    /// When the first of the changes was found that wait for more.
    pub(super) gathered_since: Option<Instant>,
    /// When the last change was received.
    pub(super) changed_at: Option<Instant>,
    /// Why the run ends, once all before it is applied.
    pub(super) failure: Option<RunError>,
    /// Changes of rows that the transaction at hand has had so far.
    pub(super) changes_in_transaction: u64,
    /// Changes of the first transaction that were applied before.
    pub(super) applied_before: u64,
    pub(super) waiting_since: WaitingSince,
    pub(super) again: Again,
    pub(super) uncommitted: Uncommitted,
}

/// Where a run ends.
pub(super) struct Until {
    pub(super) position: Position,
    /// Everything up to it is at the target.
    pub(super) is_reached: bool,
}

impl From<Position> for Until {
    fn from(position: Position) -> Self {
        Self {
            position,
            is_reached: false,
        }
    }
}

impl Follower<'_> {
    pub(super) async fn run(&mut self, writer: BatchWriter) -> Result<FollowEnd, RunError> {
        let mut idle = Some(writer);
        let mut writing: Option<Writing> = None;
        let mut wrote_at = Instant::now();
        let mut give_up_at = None;
        loop {
            self.end_if_time_is_up();
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
                if let Some(work) = self.next_work(wrote_at) {
                    self.confirm_too_early(&work);
                    if matches!(&work, Work::Batch(batch) if batch.end.is_some()) {
                        self.waiting_since.write();
                    }
                    let kept_from = self.newcomers.begin_write();
                    writing = Some(Writing::start(writer, work, kept_from));
                    // What waited behind a transaction that is applied by itself.
                    self.go_on()?;
                } else if let Some(failure) = self.failure.take() {
                    return Err(failure);
                } else {
                    idle = Some(self.left_out(writer).await);
                    if let Some(outcome) = self.over() {
                        return Ok(FollowEnd::Run(outcome));
                    }
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
                () = self.stop.cancelled(), if give_up_at.is_none() => {
                    give_up_at = Some(Instant::now() + STOP_PATIENCE);
                }
                () = until_instant(give_up_at) => {
                    info!("the target has not answered since the stop; what is open there is rolled back");
                    return Ok(FollowEnd::Run(CdcOutcome::Stopped));
                }
                () = until_time(self.spec.stop_at), if self.ended.is_none() && !self.is_time_up() => {}
                loaded = self.newcomers.loaded() => {
                    loaded?;
                    self.start_newcomers();
                    self.end_if_caught_up();
                }
                () = self.spec.reloads.asked(), if self.may_reload_between() => {
                    self.ask_for_reloads()?;
                }
                block = self.stream.next(), if may_read => {
                    self.take(block.map_err(RunError::Source)?)?;
                }
                () = self.progress.checkpoint_wanted(), if idle.is_some() => {}
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
            && !self.holds_one()
            && !self.is_full()
    }

    /// Whether a transaction waits that is to be applied by itself, so that nothing is taken in behind it.
    fn holds_one(&self) -> bool {
        self.spec.is_one_at_a_time && self.collector.has_changes()
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
            return Some(Work::Batch(self.take_piece()));
        }
        let checkpoint = Checkpoint {
            kept_from: self.newcomers.kept_from.clone(),
            ..self.committed.clone()
        };
        barrier
            .take_control(checkpoint, &mut self.again)
            .map(Work::Control)
    }

    fn next_batch(&mut self, wrote_at: Instant) -> Option<Batch> {
        let waits = self.collector.has_changes() && self.waits_for_more();
        let is_quiet = (wrote_at.elapsed() >= QUIET_CHECKPOINT_EVERY && !waits)
            || self.must_commit
            || self.progress.is_checkpoint_wanted()
            || self.has_reached_end()
            || self.is_at_reopening();
        let is_due = self.collector.has_changes() && !waits;
        // A part is written down right behind the place in front of its transaction: what came between would be taken for it when it comes again.
        let is_wanted = is_quiet || self.is_full();
        if is_due || (is_wanted && self.collector.end().is_some()) {
            self.gathered_since = None;
            return Some(self.collector.take_complete(self.tables.shapes()));
        }
        if !self.is_full() {
            return None;
        }
        Some(self.take_piece())
    }

    /// A piece of the transaction at hand. Once its end is there, it is not left open at the target.
    fn take_piece(&mut self) -> Batch {
        self.must_commit = true;
        self.piece_of = self.tables.number();
        self.collector.take_piece(self.tables.shapes())
    }

    /// How long nothing need be done while nothing comes.
    fn pause(&self) -> Duration {
        let waits = self.collector.has_changes();
        let wait = self.spec.batch_wait.filter(|_| waits);
        match (wait, self.spec.batch_wait_max) {
            (Some(wait), Some(_)) => wait.min(QUIET_AFTER),
            (wait, _) => wait.unwrap_or(QUIET_CHECKPOINT_EVERY),
        }
    }

    /// Whether the task wants more changes in a batch than there are, and has waited for them less than it wants to.
    fn waits_for_more(&mut self) -> bool {
        let Some(wait) = self.spec.batch_wait else {
            return false;
        };
        let since = *self.gathered_since.get_or_insert_with(Instant::now);
        let enough = self.spec.batch_changes_min;
        let is_enough = enough.is_some_and(|enough| self.collector.size().1 >= enough);
        let keeps_coming = self.changed_at.is_some_and(|at| at.elapsed() < QUIET_AFTER);
        let wait = self
            .spec
            .batch_wait_max
            .filter(|_| keeps_coming)
            .map_or(wait, |max| max.max(wait));
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
                end.is_some_and(|end| self.stream.has_reached(&*end.place, &until.position))
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
                // Before anything can end the run: it is done.
                for (table, counts) in counts {
                    self.uncommitted.add(table, &counts);
                }
                let is_of_open = end.is_none() && self.piece_of == self.tables.number();
                for (table, reason) in suspended {
                    let left = self.suspended(&table, reason, is_of_open);
                    left.map_err(RunError::Source)?;
                    self.spec.load.check_tables_in_error(self.progress)?;
                }
                if let Some(end) = &end {
                    self.uncommitted
                        .show(Some(latencies_ms(end)), self.progress);
                }
                let waiting_count = self.collector.size().1 as u64;
                if end.is_some() {
                    self.waiting_since.written();
                }
                self.progress.follow(|cdc| {
                    cdc.byte_count += byte_count;
                    cdc.waiting_count = waiting_count;
                });
                if let Some(end) = end {
                    self.committed(&end, transaction_count, kept_from.as_ref());
                    self.end_if_caught_up();
                    // What waited for a whole transaction at the target.
                    self.go_on()?;
                }
                self.start_newcomers();
            }
            Done::Control(done) => self.controlled(done)?,
        }
        self.end_if_caught_up();
        self.show_latency();
        Ok(writer)
    }

    /// Rows and checkpoint are durable at the target: now the source may forget what comes before `kept_from`.
    fn committed(&mut self, end: &BatchEnd, transactions: u64, kept_from: Option<&Position>) {
        self.batches_committed += 1;
        let position = end.place.position();
        self.committed = Checkpoint::at(position.clone());
        self.newcomers.committed();
        self.must_commit = false;
        let needed_from = kept_from.unwrap_or(&position);
        self.stream.confirm(needed_from);
        self.progress.need_log(needed_from);
        // What of it has not come again never will.
        self.again.is_over();
        let latency_ms = latency_ms(end.committed_at_us);
        self.progress.follow(|cdc| {
            cdc.checkpoint = Some(position.as_str().to_owned());
            cdc.recovery = Some(needed_from.as_str().to_owned());
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
        if let Some(until) = &mut self.until {
            until.is_reached |= self.stream.has_reached(&*end.place, &until.position);
        }
    }

    /// Ends a run that has applied everything up to the wanted position, unless rows are still to be loaded or read again, or a definition changes within a transaction that
    /// comes behind it: then that transaction is applied first, because some targets would be left with a part of it.
    fn end_if_caught_up(&mut self) {
        let may_end = |barrier: &Barrier| barrier.is_between() && !barrier.wants_loads();
        let is_free = self.committed.is_whole() && self.barrier.as_ref().is_none_or(may_end);
        let is_settled = self.newcomers.is_idle() && self.gaps.is_empty() && is_free;
        let is_reached = self.until.as_ref().is_some_and(|until| until.is_reached);
        if is_reached && is_settled && self.ended.is_none() {
            let position = &self.committed.position;
            info!(%position, "everything up to the wanted position is applied");
            self.end(CdcOutcome::CaughtUp);
        }
    }

    /// Whether the clock has passed the time at which the task is to stop.
    fn is_time_up(&self) -> bool {
        matches!(self.spec.stop_at, Some(StopTime::Server(at_us)) if clock::now_us() >= at_us)
    }

    /// Stops reading once the time has come, behind a whole transaction. A table that has joined gets first what the others have.
    pub(super) fn end_if_time_is_up(&mut self) {
        let may_end = self.ended.is_none() && self.ahead.is_none() && self.is_whole();
        if may_end && self.is_time_up() {
            info!("the time has come at which the task is to stop");
            self.end(CdcOutcome::ServerTime);
        }
    }

    /// Where nothing more is read, what is open at the target is never committed: it is taken back, so that no load waits for its locks.
    async fn left_out(&mut self, mut writer: BatchWriter) -> BatchWriter {
        if self.ended.is_some() {
            if let Err(error) = writer.leave_out_open().await {
                warn!(%error, "what is open at the target could not be taken back, which happens when its connection ends");
            }
            self.uncommitted.take_back(self.progress);
        }
        writer
    }

    /// How the run ends that has applied all it is to apply, once no table is on its way.
    fn over(&mut self) -> Option<CdcOutcome> {
        let outcome = self.ended?;
        // What is not committed by now never will be.
        self.newcomers.leave_out_open();
        if self.is_settled() {
            return Some(outcome);
        }
        self.start_newcomers();
        None
    }

    /// Whether no table is on its way, so that a run may end that reads nothing more. None joins while the target has a part of a transaction, and a gap is found again
    /// when the stream is opened.
    fn is_settled(&self) -> bool {
        let is_waited_for = !self.newcomers.is_idle() || (!self.gaps.is_empty() && self.is_whole());
        self.barrier.is_none() && (!self.committed.is_whole() || !is_waited_for)
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
        while self.barrier.is_none() && !self.is_at_reopening() && !self.holds_one() {
            if let Some((table, why)) = self.next_gap() {
                self.read_again(table, &why)?;
            } else if let Some(event) = self.waiting.pop_front() {
                self.event(event)?;
            } else {
                break;
            }
        }
        self.show_latency();
        Ok(())
    }

    /// Whether the target has whole transactions alone, so that a table may leave: the changes of a part that it has come again after a crash and are told by
    /// their count, in which those of the table are, while the stream would not give them any more ([`super::definitions`]).
    fn is_whole(&self) -> bool {
        !self.is_in_transaction && self.committed.is_whole()
    }

    /// A table whose rows have to be read again.
    fn next_gap(&mut self) -> Option<(TableId, String)> {
        self.is_whole().then(|| self.gaps.pop()).flatten()
    }

    /// Whether tables may be taken out that a user wants loaded again.
    fn may_reload_between(&self) -> bool {
        self.barrier.is_none() && self.is_whole()
    }

    /// Nothing more is read; a transaction at hand is left out. What stands between transactions is done.
    pub(super) fn end(&mut self, outcome: CdcOutcome) {
        self.collector.drop_open();
        self.waiting.clear();
        self.ended = Some(outcome);
    }

    /// Whether a transaction comes behind the time of commit at which the task is to stop.
    pub(super) fn is_past_limit(&self, committed_at_us: Option<i64>) -> bool {
        let Some(StopTime::Commit(limit)) = self.spec.stop_at else {
            return false;
        };
        committed_at_us.is_some_and(|committed_at_us| committed_at_us > limit)
    }

    pub(super) fn end_at_limit(&mut self) {
        info!("the log has reached the time at which the task is to stop");
        self.end(CdcOutcome::CommitTime);
    }

    /// Whether the target has a part of the transaction at hand that it may not take back: changes before a definition, or a table that is gone for a load. Such a
    /// transaction is applied whole, though its log told too late that it comes behind the limit.
    pub(super) fn has_defined(&self) -> bool {
        self.again.is_awaited() || self.newcomers.has_of_open()
    }
}

/// For ever without one.
async fn until_instant(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until the clock shows the time; for ever without one.
async fn until_time(stop_at: Option<StopTime>) {
    let Some(StopTime::Server(at_us)) = stop_at else {
        return std::future::pending().await;
    };
    let wait_us = u64::try_from(at_us - clock::now_us()).unwrap_or(0);
    tokio::time::sleep(Duration::from_micros(wait_us)).await;
}
