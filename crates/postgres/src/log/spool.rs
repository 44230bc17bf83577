//! Transactions that are sent before they are committed, kept until it is known what becomes of them.
//!
//! Each is a row of records, a length and a message as one of protocol 1 looks, in chunks that go to the disk ([`super::spill`]) when all
//! of them together take more memory than they may. Three things are less than obvious:
//!
//! 1. *Sub-transactions nest.* Between the first record of one and its end lie records of it and of those within it alone. So one that
//!    is rolled back takes everything with it from its first record on.
//! 2. *A message names no sub-transaction.* The server labels rows and tables with theirs, but what `pg_logical_emit_message` wrote with the
//!    whole transaction's (`ReorderBufferApplyMessage`). Our event triggers write in a sub-transaction of their own, which holds nothing else
//!    that is sent, so that its end comes under a number that no record has. When such a one comes while a message of ours is kept, it may be
//!    the message's: then nobody can tell, and the log is to be sent again, whole transactions only ([`Aborted::Unclear`]). So it is when a
//!    message of ours is kept behind the first record of what is rolled back. Those of it were rolled back before, by a number that no record
//!    has; and the server files a message under the end of its record (`logicalmsg_decode` gives `endptr`), which is where the next begins,
//!    so that it may send the change behind a message before it.
//! 3. *Tables.* A transaction in progress is told its tables itself. One that is prepared goes by those told before it, so that these are
//!    written down with it; later ones must not be used for its rows.

mod one;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use bytes::Bytes;

use super::control::Prepared;
use super::message::{Malformed, Message};
use super::place::Lsn;
use super::relations::Relations;
use super::spill::{Done, Job, Spill};
use one::{Chunk, Description, Spool};

/// A record that is no message: when the description of the table that follows came. Types of messages are letters.
pub(super) const ARRIVAL: u8 = 0;
pub(super) const RECORD_HEAD_BYTES: usize = 4;
const ARRIVAL_BYTES: usize = 1 + 8;
/// So many sub-transactions are told apart, of all transactions together: some 20 MB. The server needs many times as much for them.
const SUBS_MAX: usize = 500_000;
const CUT: Malformed = "it ends too early";

/// What messages are kept for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Running(u32),
    Prepared(u32),
}

/// What an end of a sub-transaction means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aborted {
    Done,
    /// A message that is kept may have been rolled back.
    Unclear,
}

/// The next of a transaction that is handed over.
#[derive(Debug)]
pub(super) enum Next {
    Chunk(Bytes),
    /// It comes once this is done.
    Read(Job),
    End,
}

/// What transactions take of memory.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    bytes: usize,
    subs: usize,
}

impl Total {
    /// Counts what became of a transaction.
    fn change(&mut self, before: Self, after: Self) {
        self.bytes = self.bytes.saturating_sub(before.bytes) + after.bytes;
        self.subs = self.subs.saturating_sub(before.subs) + after.subs;
    }

    /// A transaction that is kept no more.
    fn leave(&mut self, spool: &Spool) {
        self.change(Self::of(spool), Self::default());
    }

    fn of(spool: &Spool) -> Self {
        Self {
            bytes: spool.memory,
            subs: spool.subs.len(),
        }
    }
}

/// All transactions of a stream that are not over.
#[derive(Debug)]
pub(super) struct Spools {
    running: HashMap<u32, Spool>,
    prepared: HashMap<u32, Spool>,
    open: Option<Open>,
    /// What is handed over, and how much of the chunk that is being read is wanted.
    leaving: Option<Spool>,
    reading: usize,
    /// Prepared transactions, where their records begin, and where they were committed.
    held: HashMap<u32, (Lsn, Option<Lsn>)>,
    /// Of all that are kept.
    total: Total,
    memory_max: usize,
    spill: Spill,
    /// Whether a transaction may be prepared while it is kept.
    may_be_prepared: bool,
    /// Of the messages that are kept, with the NUL behind.
    prefix: Vec<u8>,
}

impl Spools {
    pub(super) fn new(memory_max: usize, spill: Spill, prefix: &str) -> Self {
        Self {
            running: HashMap::new(),
            prepared: HashMap::new(),
            open: None,
            leaving: None,
            reading: 0,
            held: HashMap::new(),
            total: Total::default(),
            memory_max,
            spill,
            may_be_prepared: true,
            prefix: [prefix.as_bytes(), &[0]].concat(),
        }
    }

    /// Of a slot that sends no transaction when it is prepared: descriptions of tables, which nothing bounds, need not be kept beside the records.
    #[must_use]
    pub(super) fn of_one_phase(mut self) -> Self {
        self.may_be_prepared = false;
        self
    }

    /// Whether what comes belongs to a transaction that is kept.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn start(&mut self, transaction: u32, is_first: bool) -> Result<(), Malformed> {
        if self.open.is_some() {
            return Err("a transaction is open");
        }
        match (is_first, self.running.contains_key(&transaction)) {
            (true, true) => return Err("the transaction has begun before"),
            (false, false) => return Err("the beginning of the transaction was not sent"),
            (true, false) => drop(self.running.insert(transaction, Spool::default())),
            (false, true) => {}
        }
        self.open = Some(Open::Running(transaction));
        Ok(())
    }

    pub(super) fn stop(&mut self) -> Result<(), Malformed> {
        match self.open.take() {
            Some(Open::Running(_)) => Ok(()),
            _ => Err("no transaction in progress is open"),
        }
    }

    pub(super) fn begin_prepare(&mut self, prepared: &Prepared) -> Result<(), Malformed> {
        if self.open.is_some() || self.prepared.contains_key(&prepared.transaction) {
            return Err("a transaction is open");
        }
        self.prepared.insert(prepared.transaction, Spool::default());
        self.held.insert(prepared.transaction, (prepared.at, None));
        self.open = Some(Open::Prepared(prepared.transaction));
        Ok(())
    }

    pub(super) fn prepare(&mut self, prepared: &Prepared) -> Result<(), Malformed> {
        match self.open.take() {
            Some(Open::Prepared(open)) if open == prepared.transaction => Ok(()),
            _ => Err("another transaction is open, or none"),
        }
    }

    pub(super) fn stream_prepare(
        &mut self,
        prepared: &Prepared,
        relations: &mut Relations,
    ) -> Result<(), Malformed> {
        let spool = self.running.remove(&prepared.transaction);
        let mut spool = spool.ok_or("the transaction was not sent")?;
        if self.open.is_some() || self.prepared.contains_key(&prepared.transaction) {
            return Err("a transaction is open");
        }
        let descriptions = std::mem::take(&mut spool.descriptions).into_values();
        for Description { arrival, raw, .. } in descriptions.flatten() {
            if let Message::Relation(relation) = Message::parse(&raw)? {
                relations.hear_prepared(relation, &raw, arrival);
            }
        }
        // From here on it is rolled back as a whole or not at all.
        let before = Total::of(&spool);
        spool.subs = HashMap::new();
        spool.sub_order = Vec::new();
        self.total.change(before, Total::of(&spool));
        self.prepared.insert(prepared.transaction, spool);
        self.held.insert(prepared.transaction, (prepared.at, None));
        Ok(())
    }

    /// Keeps a message of the open transaction.
    pub(super) fn keep(
        &mut self,
        message: &[u8],
        relations: &mut Relations,
    ) -> Result<(), Malformed> {
        match self.open {
            Some(Open::Running(transaction)) => self.keep_running(transaction, message, relations),
            Some(Open::Prepared(transaction)) => {
                self.keep_prepared(transaction, message, relations)
            }
            None => Err("no transaction is open"),
        }
    }

    fn keep_running(
        &mut self,
        transaction: u32,
        message: &[u8],
        relations: &mut Relations,
    ) -> Result<(), Malformed> {
        let (&kind, rest) = message.split_first().ok_or(CUT)?;
        match kind {
            // Origins and names of types.
            b'O' | b'Y' => return Ok(()),
            b'R' | b'I' | b'U' | b'D' | b'T' | b'M' => {}
            _ => return Err("this type of message is not known"),
        }
        let (label, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        let label = u32::from_be_bytes(*label);
        let is_ours = kind == b'M' && is_ours(&self.prefix, rest);
        if kind == b'M' && !is_ours {
            return Ok(());
        }
        let spool = self.running.get_mut(&transaction).ok_or(CUT)?;
        let before = Total::of(spool);
        let cut = spool.room(2 * (RECORD_HEAD_BYTES + 1) + ARRIVAL_BYTES + rest.len());
        if label != transaction {
            if let Entry::Vacant(new) = spool.subs.entry(label) {
                new.insert(cut);
                spool.sub_order.push(label);
            }
        } else if is_ours {
            spool.messages.push(cut);
        }
        if kind == b'R' {
            let arrival = relations.next_arrival();
            spool.push_relation(arrival, rest)?;
            if self.may_be_prepared {
                spool.describe(cut, arrival, rest);
            }
        } else {
            spool.push(kind, rest)?;
        }
        self.total.change(before, Total::of(spool));
        Ok(())
    }

    fn keep_prepared(
        &mut self,
        transaction: u32,
        message: &[u8],
        relations: &mut Relations,
    ) -> Result<(), Malformed> {
        let (&kind, rest) = message.split_first().ok_or(CUT)?;
        let spool = self.prepared.get_mut(&transaction).ok_or(CUT)?;
        let before = Total::of(spool);
        let parsed = Message::parse(message)?;
        let needed = match parsed {
            Message::Other => return Ok(()),
            Message::Logical { .. } if !is_ours(&self.prefix, rest) => return Ok(()),
            Message::Begin { .. } | Message::Commit { .. } => {
                return Err("a transaction is open");
            }
            Message::Relation(relation) => {
                let id = relation.id;
                relations.hear(relation, message);
                // It may be the second of this table.
                spool.described.remove(&id);
                return Ok(());
            }
            Message::Logical { .. } => Vec::new(),
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => vec![relation],
            Message::Truncate { relations } => relations,
        };
        for relation in needed {
            if spool.described.insert(relation) {
                let (arrival, raw) = relations
                    .told(relation)
                    .ok_or("its table was not described before")?;
                spool.room(2 * (RECORD_HEAD_BYTES + 1) + ARRIVAL_BYTES + raw.len());
                spool.push_relation(arrival, raw.get(1..).unwrap_or_default())?;
            }
        }
        spool.room(RECORD_HEAD_BYTES + message.len());
        spool.push(kind, rest)?;
        self.total.change(before, Total::of(spool));
        Ok(())
    }

    /// Whether there are more sub-transactions than are told apart.
    pub(super) fn is_too_fine(&self) -> bool {
        self.total.subs > SUBS_MAX
    }

    /// A transaction or one of its sub-transactions was rolled back.
    pub(super) fn abort(&mut self, transaction: u32, sub: u32) -> Result<Aborted, Malformed> {
        if self.open.is_some() {
            return Err("a transaction is open");
        }
        if transaction == sub {
            // Nothing of one that is not there can be told.
            if let Some(spool) = self.running.remove(&transaction) {
                self.total.leave(&spool);
                spool.discard(&mut self.spill);
            }
            return Ok(Aborted::Done);
        }
        let Some(spool) = self.running.get_mut(&transaction) else {
            return Ok(Aborted::Done);
        };
        match spool.subs.get(&sub).copied() {
            Some(first) if spool.messages.last().is_none_or(|last| *last < first) => {
                let before = Total::of(spool);
                spool.truncate(first, &mut self.spill);
                self.total.change(before, Total::of(spool));
            }
            None if spool.messages.is_empty() => {}
            _ => return Ok(Aborted::Unclear),
        }
        Ok(Aborted::Done)
    }

    /// Begins to hand over a transaction that was in progress.
    pub(super) fn commit(&mut self, transaction: u32) -> Result<(), Malformed> {
        if self.open.is_some() {
            return Err("a transaction is open");
        }
        let spool = self.running.remove(&transaction);
        let spool = spool.ok_or("the transaction was not sent")?;
        self.total.leave(&spool);
        self.leaving = Some(spool);
        Ok(())
    }

    /// Begins to hand over a transaction that was prepared. Whether it is there.
    pub(super) fn commit_prepared(
        &mut self,
        transaction: u32,
        end: Lsn,
    ) -> Result<bool, Malformed> {
        if self.open.is_some() {
            return Err("a transaction is open");
        }
        self.leaving = self.prepared.remove(&transaction);
        if let Some(spool) = &self.leaving {
            self.total.leave(spool);
        }
        if let Some((_, committed)) = self.held.get_mut(&transaction) {
            *committed = Some(end);
        }
        Ok(self.leaving.is_some())
    }

    /// One that is not there was prepared before the stream began.
    pub(super) fn rollback_prepared(&mut self, transaction: u32) {
        self.held.remove(&transaction);
        if let Some(spool) = self.prepared.remove(&transaction) {
            self.total.leave(&spool);
            spool.discard(&mut self.spill);
        }
    }

    /// Drops what was to be handed over.
    pub(super) fn pass_over(&mut self) {
        if let Some(spool) = self.leaving.take() {
            spool.discard(&mut self.spill);
        }
    }

    /// How far the server may let go of its log when everything before `place` is applied: it does not send again what was prepared
    /// before that, so that this must stay until it is applied as well.
    pub(super) fn let_go(&mut self, place: Lsn) -> Lsn {
        self.held
            .retain(|_, (_, end)| end.is_none_or(|end| end > place));
        let held = self.held.values().map(|(at, _)| *at);
        held.min().map_or(place, |at| at.min(place))
    }

    /// What is to be written to the disk before more is kept.
    pub(super) fn overflow(&mut self) -> io::Result<Option<Job>> {
        if self.total.bytes <= self.memory_max {
            return Ok(None);
        }
        let spools = self.running.values_mut().chain(self.prepared.values_mut());
        let Some(spool) = spools.max_by_key(|spool| spool.memory) else {
            return Ok(None);
        };
        let Some(chunk) = spool.oldest() else {
            return Ok(None);
        };
        let Chunk::Memory(bytes) = chunk else {
            return Ok(None);
        };
        let keep = bytes.len();
        let (extent, job) = self.spill.write(std::mem::take(bytes))?;
        *chunk = Chunk::Disk { extent, keep };
        spool.memory -= keep;
        self.total.bytes = self.total.bytes.saturating_sub(keep);
        Ok(Some(job))
    }

    /// The next chunk of the transaction that is handed over.
    pub(super) fn next(&mut self) -> Result<Next, Malformed> {
        let Some(spool) = &mut self.leaving else {
            return Ok(Next::End);
        };
        match spool.chunks.pop_front() {
            Some(Chunk::Memory(bytes)) => Ok(Next::Chunk(bytes)),
            Some(Chunk::Disk { extent, keep }) => {
                self.reading = keep;
                let job = self.spill.read(extent);
                Ok(Next::Read(job.ok_or("its rows are no longer kept")?))
            }
            None if spool.tail.is_empty() => {
                self.leaving = None;
                Ok(Next::End)
            }
            None => Ok(Next::Chunk(std::mem::take(&mut spool.tail).freeze())),
        }
    }

    /// Takes what the disk gave.
    pub(super) fn arrived(&mut self, done: Done) -> Option<Bytes> {
        let Done::Read { mut bytes, extent } = done else {
            return None;
        };
        self.spill.release(extent);
        bytes.truncate(self.reading);
        Some(bytes)
    }

    /// The job of giving the room on disk back, when nothing is there any more.
    pub(super) fn tidy(&mut self) -> Option<Job> {
        self.spill.close()
    }

    pub(super) fn dir(&self) -> String {
        self.spill.dir()
    }
}

/// Whether the rest of a message, behind its type, is one of ours: flags and place come before the prefix.
fn is_ours(prefix: &[u8], rest: &[u8]) -> bool {
    let text = rest.get(1 + 8..).unwrap_or_default();
    text.starts_with(prefix)
}
