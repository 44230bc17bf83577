//! Messages about transactions that are not over yet, and what is kept of these.

use std::io;
use std::sync::atomic::Ordering;

use whimbrel_connector::Error;

use super::super::control::{Control, Ending};
use super::super::place::Lsn;
use super::super::spool::Aborted;
use super::{Decoder, Leaving, Step, malformed};

impl Decoder {
    pub(super) fn no_disk(&self, error: &io::Error) -> Error {
        self.whole(&format!(
            "the rows of transactions that are not over yet cannot be kept in {}: {error}; make room there, or set WHIMBREL_SPOOL_DIR to a folder with more",
            self.spools.dir()
        ))
    }

    /// Gives the stream up for one in which the server keeps transactions on its own disk until their commit.
    pub(super) fn whole(&self, why: &str) -> Error {
        self.wants_whole.store(true, Ordering::Relaxed);
        Error::Transient(format!(
            "{why}; the source is asked for whole transactions from here on"
        ))
    }

    /// A message of the stream: about a transaction that is kept, of one, or a change.
    pub(super) fn message(&mut self, start: usize, end: usize) -> Result<Option<Step>, Error> {
        let bytes = &self.block[start..end];
        let kind = bytes.first().copied();
        let broken = |why| malformed("change", kind.as_ref(), why);
        if let Some(control) = Control::parse(bytes).map_err(broken)? {
            if self.transaction.is_some() {
                return Err(broken("a transaction is open"));
            }
            self.control(control, end).map_err(|error| match error {
                Refused::Malformed(why) => broken(why),
                Refused::Error(error) => error,
            })?;
            return Ok(None);
        }
        if !self.spools.is_open() {
            return self.change(start, end);
        }
        self.spools
            .keep(bytes, &mut self.relations)
            .map_err(broken)?;
        if self.spools.is_too_fine() {
            return Err(self.whole("transactions that are not over yet have more savepoints than are told apart in memory"));
        }
        Ok(None)
    }

    /// What is kept goes to the disk until what is left fits into memory, before more is kept.
    pub(super) fn overflow(&mut self) -> Result<Option<Step>, Error> {
        if !self.spools.is_open() {
            return Ok(None);
        }
        let job = self.spools.overflow();
        let job = job.map_err(|error| self.no_disk(&error))?;
        Ok(job.map(Step::Disk))
    }

    fn control(&mut self, control: Control, message_end: usize) -> Result<(), Refused> {
        match control {
            Control::StreamStart {
                transaction,
                is_first,
            } => self.spools.start(transaction, is_first)?,
            Control::StreamStop => self.spools.stop()?,
            Control::StreamAbort { transaction, sub } => {
                if self.spools.abort(transaction, sub)? == Aborted::Unclear {
                    return Err(Refused::Error(self.whole(
                        "a transaction that is not over yet changed a definition and rolled back to a savepoint, and its pieces do not tell whether before or after",
                    )));
                }
            }
            Control::StreamCommit { transaction, end } => {
                self.spools.commit(transaction)?;
                self.hand_over(transaction, end, message_end)?;
            }
            Control::StreamPrepare(prepared) => {
                self.spools.stream_prepare(&prepared, &mut self.relations)?;
            }
            Control::BeginPrepare(prepared) => self.spools.begin_prepare(&prepared)?,
            Control::Prepare(prepared) => self.spools.prepare(&prepared)?,
            Control::CommitPrepared {
                transaction,
                name,
                end,
            } => {
                let is_there = self.spools.commit_prepared(transaction, end.end)?;
                if end.commit < self.from.lsn {
                    self.spools.pass_over();
                    // Whether it has changes is not looked up: it may be the last one, and is never one too many.
                    self.witness.pass(end, false)?;
                } else if is_there {
                    self.hand_over(transaction, end, message_end)?;
                } else {
                    return Err(Refused::Error(lost(&name, end.commit)));
                }
            }
            Control::RollbackPrepared { transaction } => self.spools.rollback_prepared(transaction),
        }
        Ok(())
    }

    /// Goes on with a transaction that was kept, and then behind its commit.
    pub(super) fn hand_over(
        &mut self,
        transaction: u32,
        end: Ending,
        message_end: usize,
    ) -> Result<(), Error> {
        let rest = self.block.split_off(message_end);
        self.leaving = Some(Leaving { end, rest });
        self.relations.enter();
        self.begin(end.commit, end.committed_at_us, transaction)
    }
}

/// Why a message about a transaction is not taken.
enum Refused {
    Malformed(&'static str),
    Error(Error),
}

impl From<&'static str> for Refused {
    fn from(why: &'static str) -> Self {
        Self::Malformed(why)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The server sends the rows of a prepared transaction once, and to a later reader not again.
fn lost(name: &str, commit: Lsn) -> Error {
    Error::Fatal(format!(
        "transaction {name}, which was prepared and then committed at {commit}, cannot be told: its rows were sent to an earlier reader of the replication slot, and a slot with two_phase does not send them again; load the tables again, with a slot made without two_phase"
    ))
}
