//! From blocks of the stream to events.
//!
//! The decoder holds no I/O: it stops at a table that it has not met in this form, and goes on once it is told what it is.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{ChangeBlock, Error, LogEvent, RowAt, TableId};
use whimbrel_core::{DAYS_1970_TO_2000, MICROS_PER_DAY, Table};

use super::message::{Message, OldTuple, RelationMessage, TupleAt};
use super::place::{Lsn, mark};
use super::rows::{LogRows, Shape};

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
struct Captured {
    id: TableId,
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
    relations: HashMap<u32, (RelationMessage, Option<Captured>)>,
    /// Only ever appended to, so that blocks handed over stay as they were.
    shapes: Arc<Vec<Arc<Shape>>>,
    /// Whether a transaction is open, and whether it is passed over.
    transaction: Option<Passing>,
    block: Bytes,
    /// How far the block has been read.
    at: usize,
    events: Vec<LogEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    On,
    Over,
}

impl Decoder {
    pub(super) fn new(from: Lsn, prefix: String, first: Vec<LogEvent>) -> Self {
        Self {
            prefix,
            from,
            relations: HashMap::new(),
            shapes: Arc::default(),
            transaction: None,
            block: Bytes::new(),
            at: 0,
            events: first,
        }
    }

    /// Takes the next bytes of the stream: whole CopyData messages. Those before them have been read.
    pub(super) fn feed(&mut self, block: Bytes) {
        self.events.reserve(block.len() / EVENT_BYTES + 4);
        self.block = block;
        self.at = 0;
    }

    /// Goes on until a block is complete or something is missing.
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        while let Some(end) = self.message_end()? {
            let payload = self.at + FRAME_BYTES;
            match self.block.get(payload) {
                Some(b'w') if end >= payload + CHANGE_HEAD_BYTES => {
                    if let Some(step) = self.change(payload + CHANGE_HEAD_BYTES, end)? {
                        return Ok(step);
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
        if self.events.is_empty() {
            return Ok(Step::Starved);
        }
        Ok(Step::Block(ChangeBlock {
            events: std::mem::take(&mut self.events),
            rows: Arc::new(LogRows {
                bytes: std::mem::take(&mut self.block),
                shapes: Arc::clone(&self.shapes),
            }),
        }))
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

    fn keepalive(&mut self, payload: usize, end: usize) -> Result<(), Error> {
        let bytes = &self.block[payload..end];
        let Some(place) = bytes.get(1..).and_then(<[u8]>::first_chunk::<8>) else {
            return Err(malformed("replication", Some(&b'k'), "it ends too early"));
        };
        // Within a transaction the server is past places that we are not.
        if self.transaction.is_none() {
            let place = Arc::new(Lsn(u64::from_be_bytes(*place)).max(self.from));
            if let Some(LogEvent::Idle { place: last }) = self.events.last_mut() {
                *last = place;
            } else {
                self.events.push(LogEvent::Idle { place });
            }
        }
        Ok(())
    }

    fn change(&mut self, start: usize, end: usize) -> Result<Option<Step>, Error> {
        let bytes = &self.block[start..end];
        let message =
            Message::parse(bytes).map_err(|why| malformed("change", bytes.first(), why))?;
        match message {
            Message::Begin {
                commit,
                transaction,
            } => self.begin(commit, transaction)?,
            Message::Commit {
                end,
                committed_at_us,
            } => self.commit(end, committed_at_us)?,
            Message::Relation(relation) => {
                let known = self.relations.get(&relation.id);
                if known.is_none_or(|(known, _)| *known != relation) {
                    return Ok(Some(Step::Unknown(relation)));
                }
            }
            Message::Insert { relation, new } => {
                self.within_transaction(b'I')?;
                if let Some(captured) = self.captured(relation, b'I')? {
                    let after = row_at(captured, new, start)?;
                    let table = captured.id;
                    self.events.push(LogEvent::Insert { table, after });
                }
            }
            Message::Update { relation, old, new } => {
                self.within_transaction(b'U')?;
                if let Some(captured) = self.captured(relation, b'U')? {
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
                self.within_transaction(b'D')?;
                if let Some(captured) = self.captured(relation, b'D')? {
                    let before = old_at(captured, old, start)?;
                    let table = captured.id;
                    self.events.push(LogEvent::Delete { table, before });
                }
            }
            Message::Truncate { relations } => {
                self.within_transaction(b'T')?;
                for relation in relations {
                    if let Some(captured) = self.captured(relation, b'T')? {
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

    fn commit(&mut self, end: Lsn, committed_at_us: i64) -> Result<(), Error> {
        const US_1970_TO_2000: i64 = DAYS_1970_TO_2000 as i64 * MICROS_PER_DAY;
        match self.transaction.take() {
            Some(Passing::On) => self.events.push(LogEvent::Commit {
                place: Arc::new(end),
                committed_at_us: committed_at_us.saturating_add(US_1970_TO_2000),
            }),
            Some(Passing::Over) => {}
            None => return Err(malformed("change", Some(&b'C'), "no transaction is open")),
        }
        Ok(())
    }

    fn within_transaction(&self, kind: u8) -> Result<(), Error> {
        match self.transaction {
            Some(_) => Ok(()),
            None => Err(malformed("change", Some(&kind), "no transaction is open")),
        }
    }

    /// The table of a change, if the change is to be told.
    fn captured(&self, relation: u32, kind: u8) -> Result<Option<Captured>, Error> {
        match self.relations.get(&relation) {
            Some((_, captured)) => Ok(captured.filter(|_| self.transaction == Some(Passing::On))),
            None => Err(malformed(
                "change",
                Some(&kind),
                "its table was not described before",
            )),
        }
    }

    /// Answers [`Step::Unknown`]: goes on behind the description of the table.
    pub(super) fn learn(&mut self, relation: RelationMessage, known: Known) -> Result<(), Error> {
        let captured = match known {
            Known::Ignored => None,
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
                Some(Captured {
                    id,
                    row_shape: next,
                    key_shape: next + 1,
                    column_count,
                    is_all_key: is_key.iter().all(|is_key| *is_key),
                })
            }
        };
        self.relations.insert(relation.id, (relation, captured));
        self.pass()
    }

    /// Answers [`Step::Defined`]: goes on behind the message. The server describes a table anew before its next row.
    pub(super) fn defined(&mut self, events: Vec<LogEvent>) -> Result<(), Error> {
        self.events.extend(events);
        self.pass()
    }

    fn pass(&mut self) -> Result<(), Error> {
        if let Some(end) = self.message_end()? {
            self.at = end;
        }
        Ok(())
    }
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
mod tests {
    use proptest::prelude::*;
    use whimbrel_core::{Column, ColumnType, Engine, Generation, TableName};

    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 4).unwrap().to_be_bytes();
        [b"d", length.as_slice(), payload].concat()
    }

    fn change(message: &[u8]) -> Vec<u8> {
        frame(&[b"w".as_slice(), &[0; 24], message].concat())
    }

    fn keepalive(place: u64) -> Vec<u8> {
        frame(&[b"k".as_slice(), &place.to_be_bytes(), &[0; 9]].concat())
    }

    fn begin(commit: u64, transaction: u32) -> Vec<u8> {
        let (commit, id) = (commit.to_be_bytes(), transaction.to_be_bytes());
        change(&[b"B".as_slice(), &commit, &[0; 8], &id].concat())
    }

    fn commit(end: u64) -> Vec<u8> {
        change(&[b"C\0".as_slice(), &[0; 8], &end.to_be_bytes(), &[0; 8]].concat())
    }

    const RELATION: &[u8] = b"R\0\0\0\x07public\0t\0d\0\x01\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF";
    const INSERT: &[u8] = b"I\0\0\0\x07N\0\x01b\0\0\0\x04\0\0\0\x05";

    fn known() -> Known {
        let ty = ColumnType::Int {
            bits: 32,
            unsigned: false,
        };
        Known::Captured {
            id: TableId(3),
            table: Arc::new(Table {
                engine: Engine::Postgres,
                name: TableName::new("public", "t"),
                columns: vec![Column {
                    name: "id".to_owned(),
                    ty,
                    native: "integer".to_owned(),
                    nullable: false,
                    generation: Generation::None,
                    id: None,
                    default: None,
                }],
                primary_key: vec![0],
                id: None,
                key_prefixes: Vec::new(),
                row_estimate: None,
                byte_estimate: None,
                outside_snapshot: None,
                notes: Vec::new(),
            }),
            is_key: vec![true],
            is_news: true,
        }
    }

    /// The events of a stream, in short, and the values of its rows.
    fn run(decoder: &mut Decoder, stream: &[Vec<u8>], known: &Known) -> Result<String, Error> {
        let mut told = String::new();
        decoder.feed(Bytes::from(stream.concat()));
        loop {
            match decoder.step()? {
                Step::Starved => return Ok(told),
                Step::Unknown(relation) => decoder.learn(relation, known.clone())?,
                Step::Defined(_) => decoder.defined(Vec::new())?,
                Step::Block(block) => {
                    for event in block.events {
                        told.push_str(&in_short(&event, &*block.rows)?);
                    }
                }
            }
        }
    }

    fn in_short(
        event: &LogEvent,
        rows: &dyn whimbrel_connector::ChangeRows,
    ) -> Result<String, Error> {
        let mut text = String::new();
        Ok(match event {
            LogEvent::Table { id, .. } => format!("T{} ", id.0),
            LogEvent::Begin { mark } => format!("B{} ", mark.0),
            LogEvent::Insert { table, after } => {
                rows.decode(*after, &mut |values| {
                    text = format!("I{}{values:?} ", table.0);
                    Ok(())
                })?;
                text
            }
            LogEvent::Commit { place, .. } => format!("C{} ", place.position()),
            LogEvent::Idle { place } => format!("idle {} ", place.position()),
            other => format!("{other:?} "),
        })
    }

    #[test]
    fn transactions_are_told_with_their_tables_and_rows() {
        let mut decoder = Decoder::new(Lsn(0), "us_ddl".to_owned(), Vec::new());
        let stream = [
            keepalive(5),
            keepalive(6),
            begin(0x10, 700),
            change(RELATION),
            change(INSERT),
            keepalive(7),
            change(RELATION),
            change(INSERT),
            commit(0x20),
            keepalive(0x21),
        ];
        assert_eq!(
            run(&mut decoder, &stream, &known()).unwrap(),
            "idle 0/6 B700 T3 I3[Int(5)] I3[Int(5)] C0/20 idle 0/21 "
        );
        // What spans blocks goes on.
        let first = run(&mut decoder, &[begin(0x30, 701), keepalive(8)], &known());
        assert_eq!(first.unwrap(), "B701 ");
        let rest = run(&mut decoder, &[change(INSERT), commit(0x40)], &known());
        assert_eq!(rest.unwrap(), "I3[Int(5)] C0/40 ");
    }

    #[test]
    fn transactions_that_were_applied_are_passed_over() {
        let mut decoder = Decoder::new(Lsn(0x20), "us_ddl".to_owned(), Vec::new());
        let stream = [
            begin(0x10, 700),
            change(RELATION),
            change(INSERT),
            commit(0x20),
            keepalive(3),
            begin(0x20, 701),
            change(INSERT),
            commit(0x30),
        ];
        assert_eq!(
            run(&mut decoder, &stream, &known()).unwrap(),
            "T3 idle 0/20 B701 I3[Int(5)] C0/30 "
        );
    }

    #[test]
    fn tables_that_nobody_asked_for_are_left_out() {
        let mut decoder = Decoder::new(Lsn(0), "us_ddl".to_owned(), Vec::new());
        let stream = [begin(1, 7), change(RELATION), change(INSERT), commit(2)];
        assert_eq!(
            run(&mut decoder, &stream, &Known::Ignored).unwrap(),
            "B7 C0/2 "
        );
    }

    #[test]
    fn what_is_not_understood_is_fatal_and_named() {
        let outside = [change(RELATION), change(INSERT)].to_vec();
        let cases = [
            (vec![change(b"S\0\0\0\x01\x01")], "type 'S'"),
            (vec![frame(b"z")], "type 'z'"),
            (vec![frame(b"")], "type 'none'"),
            (vec![frame(b"w")], "type 'w'"),
            (vec![frame(b"k")], "type 'k'"),
            (vec![begin(1, 7), change(INSERT)], "not described"),
            (vec![begin(1, 7), begin(1, 7)], "a transaction is open"),
            (vec![commit(1)], "no transaction"),
            (outside, "no transaction"),
            (
                vec![
                    begin(1, 7),
                    change(RELATION),
                    change(b"I\0\0\0\x07N\0\x02nn"),
                ],
                "number of columns",
            ),
            (vec![b"d\0\0\0\x0Fw".to_vec()], "ends too early"),
        ];
        for (stream, expected) in cases {
            let mut decoder = Decoder::new(Lsn(0), "us_ddl".to_owned(), Vec::new());
            let error = run(&mut decoder, &stream, &known()).unwrap_err();
            assert!(matches!(error, Error::Fatal(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{expected}: {error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(place in 0..400_usize, byte: u8, cut in 0..400_usize) {
            let mut stream = [begin(0x10, 700), change(RELATION), change(INSERT), keepalive(7), commit(0x20)].concat();
            let place = place % stream.len();
            stream[place] = byte;
            stream.truncate(stream.len() - cut % 40);
            let mut decoder = Decoder::new(Lsn(0), "us_ddl".to_owned(), Vec::new());
            drop(run(&mut decoder, &[stream], &known()));
        }
    }
}
