//! Whether what lies before the task's place is what the task has read.
//!
//! The files of a server that are put back as they were, by a backup or a disk's snapshot, go on with the same system identifier and on the
//! same timeline, and soon have a place of the task's number, behind other transactions. So a checkpoint names the last transaction before
//! it: where its commit record begins, and when it was committed, in microseconds.
//!
//! ```text
//!        slot ── confirmed ───────────── last ── place of the task ──► what is to be applied
//!                                         ▲ the stream begins here, if the slot still has it
//! ```
//!
//! A server that has lost what the task has read has lost with it that the task confirmed it: its slot stands before the place. Then the
//! stream begins at the last transaction, or at the slot, and nothing is told before the place was come to: there the last transaction has to
//! be the one that the checkpoint names, if it names one, and none with changes behind it. A slot that stands at the place, or past the last transaction, has
//! heard of it.
//!
//! Transactions without changes are left out: servers send them or not, by their version and the form of the stream.

use whimbrel_connector::Error;

use super::control::Ending;
use super::history;
use super::place::{Last, Lsn, Place};

/// Watches what comes before the task's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    from: Lsn,
    /// From where on the slot has the log.
    begin: Lsn,
    /// `None` once everything is settled.
    watched: Option<Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    last: Last,
    /// Whether it has to come, and has not yet.
    is_missing: bool,
}

impl Witness {
    /// For a stream that goes on from a place, of a log that is kept from `kept` on.
    pub(super) fn new(place: &Place, kept: Lsn) -> Self {
        let from = place.lsn;
        let last = place.last.filter(|_| place.log.is_some() && kept < from);
        let begin = last.map_or(from, |last| last.commit.clamp(kept, from));
        Self {
            from,
            begin,
            watched: last.map(|last| Watched {
                last,
                is_missing: last.commit >= kept && last.committed_at_us.is_some(),
            }),
        }
    }

    /// Where the stream has to begin.
    pub(super) fn begin(&self) -> Lsn {
        self.begin
    }

    /// Whether the log is still to be proved to be the task's: nothing is told meanwhile.
    pub(super) fn is_watching(&self) -> bool {
        self.watched.is_some()
    }

    /// How far the server may let go: what proves the log stays until it was seen, or the next stream could not see it.
    pub(super) fn let_go(&self, place: Lsn) -> Lsn {
        match self.watched {
            Some(_) => place.min(self.begin),
            None => place,
        }
    }

    /// A transaction before the task's place.
    pub(super) fn pass(&mut self, end: Ending, has_changes: bool) -> Result<(), Error> {
        let Some(watched) = &mut self.watched else {
            return Ok(());
        };
        let last = watched.last;
        if end.commit == last.commit && last.committed_at_us == Some(end.committed_at_us) {
            watched.is_missing = false;
        } else if end.commit >= last.commit && has_changes {
            return Err(self.another(&format!(
                "it has a transaction at {} that the task has not read",
                end.commit
            )));
        }
        Ok(())
    }

    /// The stream has come to the task's place.
    pub(super) fn arrive(&mut self) -> Result<(), Error> {
        match self.watched.take() {
            Some(watched) if watched.is_missing => {
                self.watched = Some(watched);
                Err(self.another(&format!(
                    "it lacks the transaction at {} that the task has read",
                    watched.last.commit
                )))
            }
            _ => Ok(()),
        }
    }

    fn another(&self, what: &str) -> Error {
        history::refusal(
            self.from,
            &format!(
                "the source's log is not the one that the task has read: {what}. The source was restored from an older backup and has written on, or is a copy of the server that has gone its own way"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::LogId;
    use super::*;

    fn place(last: Option<(u64, Option<i64>)>) -> Place {
        Place {
            lsn: Lsn(0x50),
            log: LogId::parse("7", "1"),
            last: last.map(|(commit, committed_at_us)| Last {
                commit: Lsn(commit),
                committed_at_us,
            }),
        }
    }

    fn end(commit: u64, committed_at_us: i64) -> Ending {
        Ending {
            commit: Lsn(commit),
            end: Lsn(commit + 8),
            committed_at_us,
        }
    }

    #[test]
    fn a_slot_that_has_heard_of_the_place_is_not_watched() {
        for (last, kept) in [
            (Some((0x40, Some(1))), 0x50),
            (Some((0x40, Some(1))), 0x60),
            (None, 0x10),
        ] {
            let witness = Witness::new(&place(last), Lsn(kept));
            assert!(!witness.is_watching());
            assert_eq!(
                (witness.begin(), witness.let_go(Lsn(0x90))),
                (Lsn(0x50), Lsn(0x90))
            );
        }
        let unbound = Place {
            log: None,
            ..place(Some((0x40, Some(1))))
        };
        assert!(!Witness::new(&unbound, Lsn(0x10)).is_watching());
    }

    #[test]
    fn the_last_transaction_has_to_come_as_it_was() {
        let mut witness = Witness::new(&place(Some((0x40, Some(9)))), Lsn(0x10));
        assert_eq!(
            (witness.begin(), witness.let_go(Lsn(0x90))),
            (Lsn(0x40), Lsn(0x40))
        );
        witness.pass(end(0x20, 5), true).unwrap();
        assert!(witness.arrive().is_err() && witness.is_watching());
        witness.pass(end(0x40, 9), true).unwrap();
        witness.pass(end(0x48, 9), false).unwrap();
        witness.arrive().unwrap();
        assert!(!witness.is_watching());
    }

    #[test]
    fn what_the_task_has_not_read_is_told_wherever_it_lies() {
        for (commit, at_us) in [(0x40, 8), (0x44, 9), (0x48, 12)] {
            let mut witness = Witness::new(&place(Some((0x40, Some(9)))), Lsn(0x10));
            let error = witness
                .pass(end(commit, at_us), true)
                .unwrap_err()
                .to_string();
            assert!(error.contains("load the tables again"), "{error}");
        }
        // The slot stands behind the last transaction, so that nothing may come.
        let mut witness = Witness::new(&place(Some((0x40, Some(9)))), Lsn(0x48));
        assert_eq!(witness.begin(), Lsn(0x48));
        assert!(witness.pass(end(0x48, 12), true).is_err());
        witness.arrive().unwrap();
        // There was none, and so there is to be none.
        for kept in [0x10, 0x40, 0x48] {
            let mut witness = Witness::new(&place(Some((0x40, None))), Lsn(kept));
            assert_eq!(witness.begin(), Lsn(kept.max(0x40)));
            witness.pass(end(0x38, 12), true).unwrap();
            assert!(witness.pass(end(0x48, 12), true).is_err());
            witness.arrive().unwrap();
        }
    }
}
