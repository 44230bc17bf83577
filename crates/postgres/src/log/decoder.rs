//! From blocks of the stream to events.
//!
//! The decoder holds no I/O: it stops at a table that it has not met in this form, and where the disk is to be used, and goes on once that
//! was done.
//!
//! ```text
//!  block ──► committed transactions ─────────────────────────────────────────► events
//!      └───► transactions that are not over ──► Spools ── at their commit ──► records ──► events
//! ```
//!
//! Why each transaction comes once, whole, and in the order of the commits, though the server sends it in pieces and before its commit:
//! nothing of it becomes an event before the server says that it is committed, which it says in the order of the commit records, among the
//! transactions that it sends whole. What it says to be rolled back is dropped from what is kept ([`super::spool`]). What is kept belongs to
//! the stream and goes with it; a place is confirmed only when everything that was committed before is applied, and the commit of what is
//! still kept lies behind that place. So the next stream brings all of it again, from its first row on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use whimbrel_connector::{ChangeBlock, Error, LogEvent, RowAt, TableId};
use whimbrel_core::{DAYS_1970_TO_2000, MICROS_PER_DAY, Table};

use super::control::{Control, Ending};
use super::message::{Message, OldTuple, RelationMessage, TupleAt};
use super::place::{Lsn, mark};
use super::relations::{Relations, State};
use super::rows::{LogRows, Shape};
use super::spill::{Done, Job};
use super::spool::{ARRIVAL, Aborted, Next, RECORD_HEAD_BYTES, Spools};

/// Type byte and length of a CopyData message.
const FRAME_BYTES: usize = 5;
/// Of a change: type, begin, end of the log, clock.
const CHANGE_HEAD_BYTES: usize = 1 + 8 + 8 + 8;
/// About how many bytes of the stream make an event: for the first guess at how many there will be.
const EVENT_BYTES: usize = 96;

/// What the decoder wants next.
#[derive(Debug)]
pub(super) enum Step {
    /// More bytes.
    Starved,
    /// Events, and the rows in them.
    Block(ChangeBlock),
    /// To be told what this table is, by [`Decoder::learn`].
    Unknown(RelationMessage),
    /// To be told what came of this, by [`Decoder::defined`].
    Defined(Bytes),
    /// To be told by [`Decoder::done`] what came of this.
    Disk(Job),
}

/// What is known of a table of the log.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// A table of the stream.
    Captured {
        id: TableId,
        table: Arc<Table>,
        /// Whether each loaded column belongs to the replica identity.
        is_key: Vec<bool>,
        /// Whether the stream has not told this shape before.
        is_news: bool,
    },
    /// Nobody asked for it.
    Ignored,
}

/// A table as changes name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captured {
    pub(super) id: TableId,
    /// Indexes of the shapes of rows and of keys.
    row_shape: u32,
    key_shape: u32,
    column_count: usize,
    /// Whether a key is a whole row.
    is_all_key: bool,
}

/// Turns the bytes of one stream into events.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Of messages about definitions.
    prefix: String,
    /// Transactions committed before this place are passed over.
    from: Lsn,
    relations: Relations,
    spools: Spools,
    /// Asks for whole transactions in the streams to come.
    wants_whole: Arc<AtomicBool>,
    /// Only ever appended to, so that blocks handed over stay as they were.
    shapes: Arc<Vec<Arc<Shape>>>,
    /// Whether a transaction is open, and whether it is passed over.
    transaction: Option<Passing>,
    block: Bytes,
    /// How far the block has been read.
    at: usize,
    /// Of the next table that is described by a record.
    arrival: u64,
    events: Vec<LogEvent>,
    leaving: Option<Leaving>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    On,
    Over,
}

/// A transaction that was kept and is handed over: the block is a chunk of it.
#[derive(Debug)]
struct Leaving {
    end: Ending,
    /// What of the stream's block follows its commit.
    rest: Bytes,
}

impl Decoder {
    pub(super) fn new(
        from: Lsn,
        prefix: String,
        first: Vec<LogEvent>,
        spools: Spools,
        wants_whole: Arc<AtomicBool>,
    ) -> Self {
        Self {
            prefix,
            from,
            relations: Relations::default(),
            spools,
            wants_whole,
            shapes: Arc::default(),
            transaction: None,
            block: Bytes::new(),
            at: 0,
            arrival: 0,
            events: first,
            leaving: None,
        }
    }

    /// Takes the next bytes of the stream: whole CopyData messages. Those before them have been read.
    pub(super) fn feed(&mut self, block: Bytes) {
        self.events.reserve(block.len() / EVENT_BYTES + 4);
        self.block = block;
        self.at = 0;
    }

    /// How far the server may let go of its log when everything before `place` is applied.
    pub(super) fn let_go(&mut self, place: Lsn) -> Lsn {
        self.spools.let_go(place)
    }

    /// Goes on until a block is complete or something is missing.
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        loop {
            let step = if self.leaving.is_some() {
                self.records()?
            } else {
                self.messages()?
            };
            if let Some(step) = step {
                return Ok(step);
            }
            if !self.events.is_empty() {
                return Ok(Step::Block(self.cut()));
            }
            if let Some(step) = self.more()? {
                return Ok(step);
            }
        }
    }

    /// Goes through the block of the stream; `None` at its end, or at the commit of a transaction that was kept.
    fn messages(&mut self) -> Result<Option<Step>, Error> {
        while let Some(end) = self.message_end()? {
            if let Some(step) = self.overflow()? {
                return Ok(Some(step));
            }
            let payload = self.at + FRAME_BYTES;
            match self.block.get(payload) {
                Some(b'w') if end >= payload + CHANGE_HEAD_BYTES => {
                    let start = payload + CHANGE_HEAD_BYTES;
                    if let Some(step) = self.message(start, end)? {
                        return Ok(Some(step));
                    }
                    if self.leaving.is_some() {
                        return Ok(None);
                    }
                }
                Some(b'k') => self.keepalive(payload, end)?,
                other => {
                    return Err(malformed(
                        "replication",
                        other,
                        "this type of message is not known",
                    ));
                }
            }
            self.at = end;
        }
        Ok(None)
    }

    /// Goes through a chunk of a transaction that was kept.
    fn records(&mut self) -> Result<Option<Step>, Error> {
        while let Some(end) = self.record_end()? {
            let start = self.at + RECORD_HEAD_BYTES;
            match self.block.get(start..end).and_then(<[u8]>::split_first) {
                Some((&ARRIVAL, rest)) => {
                    let arrival = rest
                        .first_chunk::<8>()
                        .map(|rest| u64::from_be_bytes(*rest));
                    self.arrival =
                        arrival.ok_or_else(|| malformed("kept", None, "it ends too early"))?;
                }
                _ => {
                    if let Some(step) = self.change(start, end)? {
                        return Ok(Some(step));
                    }
                }
            }
            self.at = end;
        }
        Ok(None)
    }

    /// What has become of the block so far.
    fn cut(&mut self) -> ChangeBlock {
        ChangeBlock {
            events: std::mem::take(&mut self.events),
            rows: Arc::new(LogRows {
                bytes: std::mem::take(&mut self.block),
                shapes: Arc::clone(&self.shapes),
            }),
        }
    }

    /// Goes to the next chunk of the transaction that is handed over, or back to the stream.
    fn more(&mut self) -> Result<Option<Step>, Error> {
        self.block = Bytes::new();
        self.at = 0;
        if self.leaving.is_none() {
            return Ok(Some(self.spools.tidy().map_or(Step::Starved, Step::Disk)));
        }
        let next = self.spools.next();
        match next.map_err(|why| malformed("kept", None, why))? {
            Next::Chunk(bytes) => self.feed(bytes),
            Next::Read(job) => return Ok(Some(Step::Disk(job))),
            Next::End => {
                if let Some(leaving) = self.leaving.take() {
                    self.relations.leave();
                    self.commit(leaving.end)?;
                    self.block = leaving.rest;
                }
            }
        }
        Ok(None)
    }

    /// Answers [`Step::Disk`].
    pub(super) fn done(&mut self, done: io::Result<Done>) -> Result<(), Error> {
        let done = done.map_err(|error| self.no_disk(&error))?;
        if let Some(bytes) = self.spools.arrived(done) {
            self.feed(bytes);
        }
        Ok(())
    }

    fn no_disk(&self, error: &io::Error) -> Error {
        self.whole(&format!(
            "the rows of transactions that are not over yet cannot be kept in {}: {error}; make room there, or set WHIMBREL_SPOOL_DIR to a folder with more",
            self.spools.dir()
        ))
    }

    /// Gives the stream up for one in which the server keeps transactions on its own disk until their commit.
    fn whole(&self, why: &str) -> Error {
        self.wants_whole.store(true, Ordering::Relaxed);
        Error::Transient(format!(
            "{why}; the source is asked for whole transactions from here on"
        ))
    }

    /// Where the message at the cursor ends; `None` when there is none.
    fn message_end(&self) -> Result<Option<usize>, Error> {
        let rest = self.block.get(self.at..).unwrap_or_default();
        let Some(head) = rest.first_chunk::<FRAME_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize + 1;
        if length < FRAME_BYTES || length > rest.len() {
            return Err(malformed(
                "replication",
                Some(&head[0]),
                "it ends too early",
            ));
        }
        Ok(Some(self.at + length))
    }

    /// Where the record at the cursor ends; `None` when there is none.
    fn record_end(&self) -> Result<Option<usize>, Error> {
        let rest = self.block.get(self.at..).unwrap_or_default();
        let Some(head) = rest.first_chunk::<RECORD_HEAD_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize + RECORD_HEAD_BYTES;
        if length > rest.len() {
            return Err(malformed("kept", None, "it ends too early"));
        }
        Ok(Some(self.at + length))
    }

    fn keepalive(&mut self, payload: usize, end: usize) -> Result<(), Error> {
        let bytes = &self.block[payload..end];
        let Some(place) = bytes.get(1..).and_then(<[u8]>::first_chunk::<8>) else {
            return Err(malformed("replication", Some(&b'k'), "it ends too early"));
        };
        // Within a transaction the server is past places that we are not. One that is in progress commits behind them.
        if self.transaction.is_none() && !self.spools.is_open() {
            let place = Arc::new(Lsn(u64::from_be_bytes(*place)).max(self.from));
            if let Some(LogEvent::Idle { place: last }) = self.events.last_mut() {
                *last = place;
            } else {
                self.events.push(LogEvent::Idle { place });
            }
        }
        Ok(())
    }

    /// A message of the stream: about a transaction that is kept, of one, or a change.
    fn message(&mut self, start: usize, end: usize) -> Result<Option<Step>, Error> {
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
    fn overflow(&mut self) -> Result<Option<Step>, Error> {
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
            Control::StreamPrepare(prepared) => self.spools.stream_prepare(&prepared)?,
            Control::BeginPrepare(prepared) => self.spools.begin_prepare(&prepared)?,
            Control::Prepare(prepared) => self.spools.prepare(&prepared)?,
            Control::CommitPrepared {
                transaction,
                name,
                end,
            } => {
                let is_there = self.spools.commit_prepared(transaction, end.end)?;
                if end.commit < self.from {
                    self.spools.pass_over();
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
    fn hand_over(
        &mut self,
        transaction: u32,
        end: Ending,
        message_end: usize,
    ) -> Result<(), Error> {
        let rest = self.block.split_off(message_end);
        self.leaving = Some(Leaving { end, rest });
        self.relations.enter();
        self.begin(end.commit, transaction)
    }

    fn change(&mut self, start: usize, end: usize) -> Result<Option<Step>, Error> {
        let bytes = &self.block[start..end];
        let message =
            Message::parse(bytes).map_err(|why| malformed("change", bytes.first(), why))?;
        if let Some(unknown) = self.unknown(&message)? {
            return Ok(Some(Step::Unknown(unknown)));
        }
        match message {
            Message::Begin {
                commit,
                transaction,
            } => self.begin(commit, transaction)?,
            Message::Commit(end) => self.commit(end)?,
            Message::Relation(relation) if self.leaving.is_some() => {
                self.relations.hear_own(relation, bytes, self.arrival);
            }
            Message::Relation(relation) => self.relations.hear(relation, bytes),
            Message::Insert { relation, new } => {
                if let Some(captured) = self.captured(relation) {
                    let after = row_at(captured, new, start)?;
                    let table = captured.id;
                    self.events.push(LogEvent::Insert { table, after });
                }
            }
            Message::Update { relation, old, new } => {
                if let Some(captured) = self.captured(relation) {
                    let before = old.map(|old| old_at(captured, old, start)).transpose()?;
                    let after = row_at(captured, new, start)?;
                    let table = captured.id;
                    self.events.push(LogEvent::Update {
                        table,
                        before,
                        after,
                    });
                }
            }
            Message::Delete { relation, old } => {
                if let Some(captured) = self.captured(relation) {
                    let before = old_at(captured, old, start)?;
                    let table = captured.id;
                    self.events.push(LogEvent::Delete { table, before });
                }
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    if let Some(captured) = self.captured(relation) {
                        let table = captured.id;
                        self.events.push(LogEvent::Truncate { table });
                    }
                }
            }
            Message::Logical { prefix, content } => {
                if prefix == self.prefix && self.transaction == Some(Passing::On) {
                    let content = start + content.start..start + content.end;
                    return Ok(Some(Step::Defined(self.block.slice(content))));
                }
            }
            Message::Other => {}
        }
        Ok(None)
    }

    /// The first table of a change that is to be looked up.
    fn unknown(&self, message: &Message) -> Result<Option<RelationMessage>, Error> {
        let (kind, relations) = match message {
            Message::Insert { relation, .. } => (b'I', std::slice::from_ref(relation)),
            Message::Update { relation, .. } => (b'U', std::slice::from_ref(relation)),
            Message::Delete { relation, .. } => (b'D', std::slice::from_ref(relation)),
            Message::Truncate { relations } => (b'T', relations.as_slice()),
            _ => return Ok(None),
        };
        let refuse = |why| Err(malformed("change", Some(&kind), why));
        if self.transaction.is_none() {
            return refuse("no transaction is open");
        }
        for &relation in relations {
            match self.relations.state(relation) {
                None => return refuse("its table was not described before"),
                Some(State::Unknown) if self.transaction == Some(Passing::On) => {
                    return Ok(self.relations.message(relation).cloned());
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }

    fn begin(&mut self, commit: Lsn, transaction: u32) -> Result<(), Error> {
        if self.transaction.is_some() {
            return Err(malformed("change", Some(&b'B'), "a transaction is open"));
        }
        // A record that begins before the end of one that was applied is that one or an earlier one.
        if commit < self.from {
            self.transaction = Some(Passing::Over);
            return Ok(());
        }
        self.transaction = Some(Passing::On);
        let mark = mark(transaction, commit);
        self.events.push(LogEvent::Begin { mark });
        Ok(())
    }

    fn commit(&mut self, end: Ending) -> Result<(), Error> {
        const US_1970_TO_2000: i64 = DAYS_1970_TO_2000 as i64 * MICROS_PER_DAY;
        match self.transaction.take() {
            Some(Passing::On) => self.events.push(LogEvent::Commit {
                place: Arc::new(end.end),
                committed_at_us: end.committed_at_us.saturating_add(US_1970_TO_2000),
            }),
            Some(Passing::Over) => {}
            None => return Err(malformed("change", Some(&b'C'), "no transaction is open")),
        }
        Ok(())
    }

    /// The table of a change, if the change is to be told.
    fn captured(&self, relation: u32) -> Option<Captured> {
        match self.relations.state(relation) {
            Some(State::Captured(captured)) if self.transaction == Some(Passing::On) => {
                Some(captured)
            }
            _ => None,
        }
    }

    /// Answers [`Step::Unknown`].
    pub(super) fn learn(&mut self, relation: &RelationMessage, known: Known) {
        let state = match known {
            Known::Ignored => State::Ignored,
            Known::Captured {
                id,
                table,
                is_key,
                is_news,
            } => {
                let shapes = Shape::pair(&table, &is_key);
                let column_count = shapes[0].column_count();
                let next = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
                Arc::make_mut(&mut self.shapes).extend(shapes);
                if is_news {
                    self.events.push(LogEvent::Table { id, table });
                }
                State::Captured(Captured {
                    id,
                    row_shape: next,
                    key_shape: next + 1,
                    column_count,
                    is_all_key: is_key.iter().all(|is_key| *is_key),
                })
            }
        };
        self.relations.learn(relation, state);
    }

    /// Answers [`Step::Defined`]: goes on behind the message.
    pub(super) fn defined(&mut self, events: Vec<LogEvent>) -> Result<(), Error> {
        for event in &events {
            if let LogEvent::Table { id, .. } = event {
                self.relations.look_up_again(*id);
            }
        }
        self.events.extend(events);
        let end = if self.leaving.is_some() {
            self.record_end()?
        } else {
            self.message_end()?
        };
        self.at = end.unwrap_or(self.at);
        Ok(())
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

fn row_at(captured: Captured, tuple: TupleAt, start: usize) -> Result<RowAt, Error> {
    place(captured, tuple, captured.row_shape, start)
}

fn old_at(captured: Captured, old: OldTuple, start: usize) -> Result<RowAt, Error> {
    if !old.is_key {
        return place(captured, old.tuple, captured.row_shape, start);
    }
    let mut row = place(captured, old.tuple, captured.key_shape, start)?;
    row.is_whole &= captured.is_all_key;
    Ok(row)
}

fn place(captured: Captured, tuple: TupleAt, shape: u32, start: usize) -> Result<RowAt, Error> {
    if usize::from(tuple.column_count) != captured.column_count {
        return Err(Error::Fatal(
            "the source's log has a row with another number of columns than its table; nothing of it was passed over".to_owned(),
        ));
    }
    let offset = u32::try_from(start + tuple.offset)
        .map_err(|_| Error::Fatal("a block of the source's log is longer than 4 GiB".to_owned()))?;
    Ok(RowAt {
        shape,
        offset,
        is_whole: tuple.is_whole,
    })
}

fn malformed(what: &str, kind: Option<&u8>, why: &str) -> Error {
    let kind = kind.map_or_else(|| "none".to_owned(), |kind| kind.escape_ascii().to_string());
    Error::Fatal(format!(
        "the source's log has a {what} message of type '{kind}' that cannot be understood: {why}; nothing of it was passed over"
    ))
}

#[cfg(test)]
mod tests;
