//! Rows that differed, and what becomes of each as it is looked at again.
//!
//! ```text
//!  source row S ──► wait until everything committed by then is applied ──► target row T ──► source row S'
//! ```
//!
//! T equal to S or to S': the row arrived, and the difference was one of time. S and S' differ: the row is changing, and nothing is known of
//! it yet. S equal to S' and T another: the target lacks what was committed before the look. Should that be so because the row was
//! changed and changed back in between, a later look finds another T; so a difference is a failure only once it has stayed the same for as
//! long as the task wants, and a row of which nothing is known for too long is left alone.

use std::time::Duration;

use tokio::time::Instant;
use whimbrel_connector::KeyCell;
use whimbrel_core::RowHash;

/// How soon a row is looked at again that was changing.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The longest time between two looks at a difference.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(10);

/// How long rows may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// A difference that stays the same so long is a failure (`RecordFailureDelayInMinutes`).
    pub failure: Duration,
    /// A row that keeps changing so long is suspended (`RecordSuspendDelayInMinutes`).
    pub suspend: Duration,
}

/// A row at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The hash of each cell.
    pub(super) cells: Vec<RowHash>,
    /// Each cell as a user reads it, cut short.
    pub(super) texts: Vec<String>,
}

/// What a look found; `None`: no such row.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) source: Option<Seen>,
    /// Read when everything was applied that was committed before `source` was read.
    pub(super) target: Option<Seen>,
    pub(super) source_after: Option<Seen>,
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Equal,
    Failed,
    Suspended,
    /// It is looked at again.
    Open,
}

/// A row that is to be looked at again.
#[derive(Clone, Debug)]
pub(super) struct PendingRow {
    pub(super) key: Vec<KeyCell>,
    pub(super) key_hash: RowHash,
    /// The log has told of a change of it that may not be applied yet.
    pub(super) is_on_its_way: bool,
    /// When it was found to differ.
    since: Instant,
    /// The difference that was seen last, and since when it is the same.
    lasting: Option<(Instant, [Option<Vec<RowHash>>; 2])>,
    /// When to look at it.
    pub(super) due: Instant,
}

impl PendingRow {
    pub(super) fn new(key: Vec<KeyCell>, key_hash: RowHash, now: Instant) -> Self {
        Self {
            key,
            key_hash,
            is_on_its_way: false,
            since: now,
            lasting: None,
            due: now,
        }
    }

    /// A row that the log has told of. The source may show its change later than the log does, so that until it is applied both ends may
    /// have the old row.
    pub(super) fn touched(key: Vec<KeyCell>, key_hash: RowHash, due: Instant) -> Self {
        Self {
            is_on_its_way: true,
            ..Self::new(key, key_hash, due)
        }
    }

    /// Takes a look in.
    pub(super) fn judge(&mut self, look: &Look, delays: Delays, now: Instant) -> Judgement {
        let cells = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.cells.clone());
        let (before, at_target) = (cells(&look.source), cells(&look.target));
        let after = cells(&look.source_after);
        if at_target == before || at_target == after {
            return Judgement::Equal;
        }
        if before != after {
            self.lasting = None;
            self.due = now + LOOK_AGAIN;
            return self.open_or_suspended(delays, now);
        }
        let difference = [before, at_target];
        let since = match &self.lasting {
            Some((since, last)) if *last == difference => *since,
            _ => now,
        };
        let so_far = now.duration_since(since);
        if so_far >= delays.failure {
            return Judgement::Failed;
        }
        let is_new = since == now;
        self.lasting = Some((since, difference));
        let left = delays.failure.saturating_sub(so_far);
        let wait = if is_new { LOOK_AGAIN } else { LOOK_AGAIN_MAX };
        self.due = now + wait.min(left);
        self.open_or_suspended(delays, now)
    }

    fn open_or_suspended(&self, delays: Delays, now: Instant) -> Judgement {
        // A difference that stands still from the beginning has failed by then.
        let wait = delays.suspend.max(delays.failure);
        if now.duration_since(self.since) >= wait {
            Judgement::Suspended
        } else {
            Judgement::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: Delays = Delays {
        failure: Duration::from_mins(5),
        suspend: Duration::from_mins(30),
    };

    fn look(source: u128, target: u128, source_after: u128) -> Look {
        let seen = |cell: u128| {
            let cells = vec![RowHash(cell)];
            (cell > 0).then_some(Seen {
                cells,
                texts: Vec::new(),
            })
        };
        Look {
            source: seen(source),
            target: seen(target),
            source_after: seen(source_after),
        }
    }

    fn row(now: Instant) -> PendingRow {
        PendingRow::new(vec![KeyCell::Number("1".into())], RowHash(1), now)
    }

    #[test]
    fn a_row_that_arrived_is_equal_whichever_version_of_it_did() {
        let now = Instant::now();
        for equal in [
            look(1, 1, 1),
            look(1, 1, 2),
            look(1, 2, 2),
            look(0, 0, 0),
            look(1, 0, 0),
        ] {
            assert_eq!(row(now).judge(&equal, DELAYS, now), Judgement::Equal);
        }
    }

    #[test]
    fn a_difference_is_a_failure_once_it_has_stayed_the_same_for_long_enough() {
        let now = Instant::now();
        let mut row = row(now);
        let minute = Duration::from_mins(1);
        assert_eq!(row.judge(&look(1, 2, 1), DELAYS, now), Judgement::Open);
        assert_eq!(
            row.judge(&look(1, 2, 1), DELAYS, now + 4 * minute),
            Judgement::Open
        );
        // Another one: its time begins anew.
        assert_eq!(
            row.judge(&look(3, 2, 3), DELAYS, now + 5 * minute),
            Judgement::Open
        );
        assert_eq!(
            row.judge(&look(3, 2, 3), DELAYS, now + 9 * minute),
            Judgement::Open
        );
        assert_eq!(
            row.judge(&look(3, 2, 3), DELAYS, now + 10 * minute),
            Judgement::Failed
        );
    }

    #[test]
    fn a_row_that_keeps_changing_is_suspended_and_never_fails() {
        let now = Instant::now();
        let mut row = row(now);
        for minute in 0..30_u32 {
            let at = now + minute * Duration::from_mins(1);
            let moving = look(u128::from(minute) + 2, 1, u128::from(minute) + 3);
            assert_eq!(row.judge(&moving, DELAYS, at), Judgement::Open, "{minute}");
        }
        let at = now + Duration::from_mins(30);
        assert_eq!(row.judge(&look(7, 1, 8), DELAYS, at), Judgement::Suspended);
    }

    #[test]
    fn without_a_delay_the_first_difference_that_stands_still_is_a_failure() {
        let now = Instant::now();
        let delays = Delays {
            failure: Duration::ZERO,
            suspend: Duration::from_secs(5),
        };
        assert_eq!(
            row(now).judge(&look(1, 0, 1), delays, now),
            Judgement::Failed
        );
        assert_eq!(row(now).judge(&look(1, 3, 2), delays, now), Judgement::Open);
    }
}
