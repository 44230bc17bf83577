//! How far a run is behind its source.
//!
//! It is counted from the commit, by the source's clock, of the oldest change that is to be seen at the target and is not. So it grows while a
//! transaction is read or applied in pieces, though nothing ends meanwhile; a log that tells the time of a commit at its end alone begins
//! to count there. What rules leave out waits for nobody. A run is caught up when the log's end was reached, or what others
//! committed a moment ago, nothing came since, and all before is visible.

use whimbrel_core::clock;

use super::batch::BatchEnd;
use super::follow::Follower;

/// Reading what others wrote so long ago is being at the log's end: some servers tell the second of a commit alone.
const AT_END_MS: u64 = 2000;

/// When the source committed the oldest transactions that are not applied: microseconds since 1970 by its clock.
#[derive(Debug, Default)]
pub(super) struct WaitingSince {
    /// Of those that the target is applying.
    writing_us: Option<i64>,
    /// Of those that wait for it.
    gathered_us: Option<i64>,
    /// Of the one whose end has not come, where the log tells.
    open_us: Option<i64>,
    /// The end of the log was reached, and nothing came since.
    has_reached_end: bool,
}

impl WaitingSince {
    /// A transaction begins to come.
    pub(super) fn open(&mut self, committed_at_us: Option<i64>) {
        self.open_us = committed_at_us;
        self.has_reached_end = false;
    }

    /// It has come whole. `waits`: there is something in it for the target.
    pub(super) fn close(&mut self, committed_at_us: i64, waits: bool) {
        self.open_us = None;
        self.has_reached_end = false;
        if waits {
            self.gathered_us.get_or_insert(committed_at_us);
        }
    }

    /// Nothing of interest came up to a place: the log's end, or what was committed at a time. Answers how far reading is behind, in milliseconds.
    pub(super) fn rest(&mut self, committed_at_us: Option<i64>) -> u64 {
        let latency_ms = committed_at_us.map_or(0, latency_ms);
        // Where others write all the time, the very end is never told.
        self.has_reached_end = latency_ms <= AT_END_MS;
        latency_ms
    }

    /// The target begins with all that is whole.
    pub(super) fn write(&mut self) {
        self.writing_us = self.gathered_us.take();
    }

    /// The target has it.
    pub(super) fn written(&mut self) {
        self.writing_us = None;
    }
}

impl Follower<'_> {
    /// Whether the target has, or is to get, something of the transaction at hand.
    pub(super) fn has_part(&self) -> bool {
        self.collector.has_open() || self.must_commit
    }

    /// Tells users how far the run is.
    pub(super) fn show_latency(&self) {
        let since = &self.waiting_since;
        let reading_us = since.open_us.filter(|_| self.is_in_transaction);
        let oldest_waiting_us = since
            .writing_us
            .or(since.gathered_us)
            .or(reading_us.filter(|_| self.has_part()));
        let is_caught_up = since.has_reached_end
            && !self.is_in_transaction
            && !self.again.is_awaited()
            && self.barrier.is_none()
            && oldest_waiting_us.is_none();
        self.progress.follow(|cdc| {
            cdc.oldest_waiting_us = oldest_waiting_us;
            cdc.reading_us = reading_us;
            cdc.is_caught_up = is_caught_up;
        });
    }
}

/// How old the last transaction of a batch was when it was received, and is now that it is visible at the target.
pub(super) fn latencies_ms(end: &BatchEnd) -> (u64, u64) {
    let received_after = (end.received_at_us - end.committed_at_us) / 1000;
    let received_after = u64::try_from(received_after).unwrap_or(0);
    (received_after, latency_ms(end.committed_at_us))
}

/// How long ago the source committed, in milliseconds; 0 when its clock is ahead of ours.
pub(crate) fn latency_ms(committed_at_us: i64) -> u64 {
    u64::try_from((clock::now_us() - committed_at_us) / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_committed_long_ago_is_not_the_logs_end() {
        let mut since = WaitingSince::default();
        let long_ago_ms = since.rest(Some(clock::now_us() - 60_000_000));
        assert!(long_ago_ms >= 60_000 && !since.has_reached_end);
        let just_now_ms = since.rest(Some(clock::now_us()));
        assert!(just_now_ms < AT_END_MS && since.has_reached_end);
        since.open(None);
        assert_eq!((since.rest(None), since.has_reached_end), (0, true));
    }
}
