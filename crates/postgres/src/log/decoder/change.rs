//! Changes of rows, and the tables that they name.

use std::sync::Arc;

use whimbrel_connector::{Error, LogEvent, RowAt};
use whimbrel_core::{DAYS_1970_TO_2000, MICROS_PER_DAY};

use super::super::control::Ending;
use super::super::message::{Message, OldTuple, RelationMessage, TupleAt};
use super::super::place::{Last, Lsn, mark};
use super::super::relations::State;
use super::super::rows::Shape;
use super::{Captured, Decoder, Known, News, Passing, Step, malformed};

impl Decoder {
    pub(super) fn change(&mut self, start: usize, end: usize) -> Result<Option<Step>, Error> {
        let bytes = &self.block[start..end];
        let message =
            Message::parse(bytes).map_err(|why| malformed("change", bytes.first(), why))?;
        if let Some(unknown) = self.unknown(&message)? {
            return Ok(Some(Step::Unknown(unknown)));
        }
        // Messages of others are left out where transactions are sent in pieces, so they must not count here.
        self.has_changes |= match &message {
            Message::Logical { prefix, .. } => *prefix == self.prefix,
            other => other.is_change(),
        };
        match message {
            Message::Begin {
                commit,
                committed_at_us,
                transaction,
            } => self.begin(commit, committed_at_us, transaction)?,
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
    pub(super) fn unknown(&self, message: &Message) -> Result<Option<RelationMessage>, Error> {
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

    /// `committed_at_us` counts from 2000.
    pub(super) fn begin(
        &mut self,
        commit: Lsn,
        committed_at_us: i64,
        transaction: u32,
    ) -> Result<(), Error> {
        if self.transaction.is_some() {
            return Err(malformed("change", Some(&b'B'), "a transaction is open"));
        }
        self.has_changes = false;
        // A record that begins before the end of one that was applied is that one or an earlier one.
        if commit < self.from.lsn {
            self.transaction = Some(Passing::Over);
            return Ok(());
        }
        self.witness.arrive()?;
        self.transaction = Some(Passing::On);
        let mark = mark(transaction, commit);
        self.events.push(LogEvent::Begin {
            mark,
            committed_at_us: Some(since_1970(committed_at_us)),
        });
        Ok(())
    }

    pub(super) fn commit(&mut self, end: Ending) -> Result<(), Error> {
        match self.transaction.take() {
            Some(Passing::On) => {
                if self.has_changes {
                    self.from.last = Some(Last {
                        commit: end.commit,
                        committed_at_us: Some(end.committed_at_us),
                    });
                }
                self.events.push(LogEvent::Commit {
                    place: self.place(end.end),
                    committed_at_us: since_1970(end.committed_at_us),
                });
            }
            Some(Passing::Over) => self.witness.pass(end, self.has_changes)?,
            None => return Err(malformed("change", Some(&b'C'), "no transaction is open")),
        }
        Ok(())
    }

    /// The table of a change, if the change is to be told.
    pub(super) fn captured(&self, relation: u32) -> Option<Captured> {
        match self.relations.state(relation) {
            Some(State::Captured(captured)) if self.transaction == Some(Passing::On) => {
                Some(captured)
            }
            _ => None,
        }
    }

    /// Answers [`Step::Unknown`].
    pub(in crate::log) fn learn(&mut self, relation: &RelationMessage, known: Known) {
        let state = match known {
            Known::Ignored => State::Ignored,
            Known::Captured {
                id,
                table,
                is_key,
                news,
            } => {
                let shapes = Shape::pair(&table, &is_key);
                let column_count = shapes[0].column_count();
                let next = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
                Arc::make_mut(&mut self.shapes).extend(shapes);
                match news {
                    News::Nothing => {}
                    News::Identity => self.events.push(LogEvent::Identified { id, table }),
                    News::Shape => self.events.push(LogEvent::Table { id, table }),
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
    pub(in crate::log) fn defined(&mut self, events: Vec<LogEvent>) -> Result<(), Error> {
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

/// Of the server's time, which counts from 2000.
fn since_1970(us: i64) -> i64 {
    const US_1970_TO_2000: i64 = DAYS_1970_TO_2000 as i64 * MICROS_PER_DAY;
    us.saturating_add(US_1970_TO_2000)
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
