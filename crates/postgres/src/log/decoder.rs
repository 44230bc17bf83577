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

mod change;
mod kept;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use whimbrel_connector::{ChangeBlock, Error, LogEvent, TableId};
use whimbrel_core::Table;

use super::control::Ending;
use super::message::RelationMessage;
use super::place::{Lsn, Place};
use super::relations::Relations;
use super::rows::{LogRows, Shape};
use super::spill::{Done, Job};
use super::spool::{ARRIVAL, Next, RECORD_HEAD_BYTES, Spools};
use super::witness::Witness;

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
        /// What of it the stream has not told before.
        news: News,
    },
    /// Nobody asked for it.
    Ignored,
}

/// What is new about a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Nothing,
    /// The columns alone by which the log tells its rows apart.
    Identity,
    Shape,
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
    /// Transactions committed before this place are passed over. Its log and its last transaction are those of the last place that was told.
    from: Place,
    witness: Witness,
    relations: Relations,
    spools: Spools,
    /// Asks for whole transactions in the streams to come.
    wants_whole: Arc<AtomicBool>,
    /// Only ever appended to, so that blocks handed over stay as they were.
    shapes: Arc<Vec<Arc<Shape>>>,
    /// Whether a transaction is open, and whether it is passed over.
    transaction: Option<Passing>,
    /// Whether it has changes, told or not.
    has_changes: bool,
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
        (from, witness): (Place, Witness),
        prefix: String,
        first: Vec<LogEvent>,
        spools: Spools,
        wants_whole: Arc<AtomicBool>,
    ) -> Self {
        Self {
            prefix,
            from,
            witness,
            relations: Relations::default(),
            spools,
            wants_whole,
            shapes: Arc::default(),
            transaction: None,
            has_changes: false,
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
        self.witness.let_go(self.spools.let_go(place))
    }

    /// A place of this log, behind what was told so far.
    fn place(&self, lsn: Lsn) -> Arc<Place> {
        Arc::new(Place { lsn, ..self.from })
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
            let place = Lsn(u64::from_be_bytes(*place));
            if self.witness.is_watching() {
                if place < self.from.lsn {
                    return Ok(());
                }
                self.witness.arrive()?;
            }
            let place = self.place(place.max(self.from.lsn));
            if let Some(LogEvent::Idle { place: last, .. }) = self.events.last_mut() {
                *last = place;
            } else {
                // Nearly always: only after half a `wal_sender_timeout` of changes to others does it send one on its way.
                let committed_at_us = None;
                self.events.push(LogEvent::Idle {
                    place,
                    committed_at_us,
                });
            }
        }
        Ok(())
    }
}

fn malformed(what: &str, kind: Option<&u8>, why: &str) -> Error {
    let kind = kind.map_or_else(|| "none".to_owned(), |kind| kind.escape_ascii().to_string());
    Error::Fatal(format!(
        "the source's log has a {what} message of type '{kind}' that cannot be understood: {why}; nothing of it was passed over"
    ))
}

#[cfg(test)]
mod tests;
