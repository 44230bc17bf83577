//! Which description of a table holds for which row.
//!
//! The server describes a table before its first row, and again after whatever may have changed it, by its own account of what it has
//! told: one for all transactions that are sent at their commit or when they are prepared, and one for each that is sent in progress. At the
//! commit of such a one its descriptions count for all, unless they were overtaken (`cleanup_rel_sync_cache` in pgoutput.c). So here:
//!
//! - Rows of a transaction that was in progress are read by the descriptions that came with it, whatever came since.
//! - At its commit each of them holds for all if none that holds for all came later: when the server takes a table for told, nothing
//!   has changed since the last description that counts; and when it does not, it describes the table again before the next row.
//! - Where it is prepared, they hold for all from there on in the same way: version 17 takes the tables for told then, others describe them again
//!   before the next row. Until it is committed or rolled back nobody else writes into a table whose definition it changed, and the end of
//!   such a transaction has the table described again.
//! - The target is told of a shape where the first row of that shape comes, in the order of the commits. Where a transaction brings a
//!   shape that is not the one that holds for all, that one is looked up again before its next row.

use std::collections::HashMap;

use bytes::Bytes;
use whimbrel_connector::TableId;

use super::decoder::Captured;
use super::message::RelationMessage;

/// A description, and what it stands for.
#[derive(Debug)]
struct Entry {
    message: RelationMessage,
    /// As it came.
    raw: Bytes,
    /// Descriptions are numbered in the order in which the server sent them.
    arrival: u64,
    state: State,
}

/// What a description stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// It is to be looked up.
    Unknown,
    /// Nobody asked for this table.
    Ignored,
    Captured(Captured),
}

/// The descriptions of a stream.
#[derive(Debug, Default)]
pub(super) struct Relations {
    general: HashMap<u32, Entry>,
    /// Of the transaction that is handed over.
    own: Option<HashMap<u32, Entry>>,
    arrivals: u64,
}

impl Relations {
    pub(super) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// A description that holds for all has come.
    pub(super) fn hear(&mut self, message: RelationMessage, raw: &[u8]) {
        let arrival = self.next_arrival();
        match self.general.get_mut(&message.id) {
            Some(entry) if entry.message == message => entry.arrival = arrival,
            _ => drop(
                self.general
                    .insert(message.id, entry(message, raw, arrival)),
            ),
        }
    }

    /// A description that came with a transaction in progress, which is prepared now, holds for all if none came later.
    pub(super) fn hear_prepared(&mut self, message: RelationMessage, raw: &[u8], arrival: u64) {
        match self.general.get_mut(&message.id) {
            Some(entry) if entry.arrival > arrival => {}
            Some(entry) if entry.message == message => entry.arrival = arrival,
            _ => drop(
                self.general
                    .insert(message.id, entry(message, raw, arrival)),
            ),
        }
    }

    /// A transaction of its own descriptions begins to be handed over.
    pub(super) fn enter(&mut self) {
        self.own = Some(HashMap::new());
    }

    /// A description that holds for the transaction that is handed over.
    pub(super) fn hear_own(&mut self, message: RelationMessage, raw: &[u8], arrival: u64) {
        let Some(own) = &mut self.own else {
            return;
        };
        match own.get_mut(&message.id) {
            Some(entry) if entry.message == message => entry.arrival = arrival,
            _ => {
                let general = self.general.get(&message.id);
                let general = general.filter(|general| general.message == message);
                let state = general.map_or(State::Unknown, |general| general.state);
                let entry = Entry {
                    state,
                    ..entry(message, raw, arrival)
                };
                own.insert(entry.message.id, entry);
            }
        }
    }

    /// The transaction is handed over. From here on its descriptions hold for all, where none came later.
    pub(super) fn leave(&mut self) {
        for (id, entry) in self.own.take().into_iter().flatten() {
            let general = self.general.get(&id);
            if general.is_none_or(|general| general.arrival < entry.arrival) {
                self.general.insert(id, entry);
            }
        }
    }

    /// When the last description of a table came that holds for all, and how it reads.
    pub(super) fn told(&self, id: u32) -> Option<(u64, &Bytes)> {
        let entry = self.general.get(&id)?;
        Some((entry.arrival, &entry.raw))
    }

    fn now(&self) -> &HashMap<u32, Entry> {
        self.own.as_ref().unwrap_or(&self.general)
    }

    /// What a row of this table is to be read by; `None` when the table was not described.
    pub(super) fn state(&self, id: u32) -> Option<State> {
        self.now().get(&id).map(|entry| entry.state)
    }

    pub(super) fn message(&self, id: u32) -> Option<&RelationMessage> {
        self.now().get(&id).map(|entry| &entry.message)
    }

    /// Says what a description stands for.
    pub(super) fn learn(&mut self, relation: &RelationMessage, state: State) {
        let id = relation.id;
        if let Some(own) = &mut self.own {
            if let Some(entry) = own.get_mut(&id) {
                entry.state = state;
            }
            // The target knows the table in another shape now.
            let general = self.general.get_mut(&id);
            if let Some(general) = general.filter(|general| general.message != *relation) {
                general.state = State::Unknown;
            }
        } else if let Some(entry) = self.general.get_mut(&id) {
            entry.state = state;
        }
    }

    /// The target was told another shape of a table.
    pub(super) fn look_up_again(&mut self, table: TableId) {
        let own = self.own.iter_mut().flat_map(HashMap::values_mut);
        for entry in self.general.values_mut().chain(own) {
            if matches!(entry.state, State::Captured(captured) if captured.id == table) {
                entry.state = State::Unknown;
            }
        }
    }
}

fn entry(message: RelationMessage, raw: &[u8], arrival: u64) -> Entry {
    Entry {
        message,
        raw: Bytes::copy_from_slice(raw),
        arrival,
        state: State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> RelationMessage {
        RelationMessage {
            id: 7,
            schema: "public".to_owned(),
            name: name.to_owned(),
            identity: b'd',
            columns: Vec::new(),
        }
    }

    fn name(relations: &Relations) -> &str {
        &relations.message(7).unwrap().name
    }

    #[test]
    fn a_transaction_goes_by_its_own_descriptions_and_the_last_that_came_holds_for_all() {
        let mut relations = Relations::default();
        relations.hear(message("old"), b"");
        let early = relations.next_arrival();
        relations.hear(message("new"), b"");
        let late = relations.next_arrival();

        relations.enter();
        assert!(relations.state(7).is_none());
        relations.hear_own(message("old"), b"", early);
        assert_eq!(name(&relations), "old");
        relations.leave();
        assert_eq!(name(&relations), "new");

        relations.enter();
        relations.hear_own(message("newer"), b"", late);
        relations.leave();
        assert_eq!(name(&relations), "newer");
    }

    #[test]
    fn the_descriptions_of_what_is_prepared_hold_for_all_where_none_came_later() {
        let mut relations = Relations::default();
        let early = relations.next_arrival();
        relations.hear_prepared(message("old"), b"", early);
        assert_eq!(name(&relations), "old");
        relations.learn(&message("old"), State::Ignored);
        relations.hear(message("new"), b"");
        relations.learn(&message("new"), State::Ignored);
        relations.hear_prepared(message("old"), b"", early);
        assert_eq!(name(&relations), "new");
        // What is known of a table is not asked for again.
        let late = relations.next_arrival();
        relations.hear_prepared(message("new"), b"", late);
        assert!(matches!(relations.state(7), Some(State::Ignored)));
        relations.hear_prepared(message("newer"), b"", late + 1);
        assert!(matches!(relations.state(7), Some(State::Unknown)));
    }

    #[test]
    fn another_shape_of_a_transaction_makes_the_one_for_all_be_looked_up_again() {
        let mut relations = Relations::default();
        let early = relations.next_arrival();
        relations.hear(message("new"), b"");
        relations.learn(&message("new"), State::Ignored);
        relations.enter();
        relations.hear_own(message("new"), b"", early);
        assert!(matches!(relations.state(7), Some(State::Ignored)));
        relations.hear_own(message("old"), b"", early);
        assert!(matches!(relations.state(7), Some(State::Unknown)));
        relations.learn(&message("old"), State::Ignored);
        relations.leave();
        assert_eq!(name(&relations), "new");
        assert!(matches!(relations.state(7), Some(State::Unknown)));
    }
}
