use std::collections::HashMap;
use std::sync::Arc;

use super::sql::Statement;
use crate::wire::Pipeline;

/// A set of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ColumnSet(Vec<u64>);

impl ColumnSet {
    pub(super) fn insert(&mut self, column: usize) {
        let word = column / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (column % 64);
    }

    pub(super) fn columns(&self) -> Vec<usize> {
        let bits = |(word, bits): (usize, &u64)| {
            let bits = *bits;
            (0..64)
                .filter(move |bit| bits & (1 << bit) != 0)
                .map(move |bit| word * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(bits).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum StatementKind {
    Insert,
    Update,
    Delete,
    NetDelete,
    NetUpdate,
    NetMasked,
}

/// Tells prepared statements apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StatementKey {
    /// [`Shape::number`](super::shape::Shape).
    pub(super) shape: u32,
    pub(super) kind: StatementKind,
    /// Columns that are set.
    pub(super) set: ColumnSet,
    /// Columns by which the row is found, where that is not the key.
    pub(super) find: ColumnSet,
    /// Those of them that are NULL.
    pub(super) nulls: ColumnSet,
}

/// A statement that the server knows by name.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) statement: Statement,
}

#[derive(Debug)]
struct Entry {
    prepared: Arc<Prepared>,
    used_at: u64,
}

/// The prepared statements of a session.
///
/// They outlive transactions, but a Parse behind a failed statement never happened: what a failed call prepared is forgotten.
#[derive(Debug)]
pub(super) struct Statements {
    /// The most that are kept.
    kept_max: usize,
    known: HashMap<StatementKey, Entry>,
    clock: u64,
    fresh: Vec<StatementKey>,
    /// Names to be given up at the server, until a call succeeds.
    closing: Vec<String>,
}

impl Statements {
    pub(super) fn new(kept_max: usize) -> Self {
        Self {
            kept_max: kept_max.max(1),
            known: HashMap::new(),
            clock: 0,
            fresh: Vec::new(),
            closing: Vec::new(),
        }
    }

    /// The statement for a key; prepares it in the pipeline when it is not known.
    pub(super) fn get(
        &mut self,
        key: StatementKey,
        pipeline: &mut Pipeline,
        write: impl FnOnce() -> Statement,
    ) -> Arc<Prepared> {
        self.clock += 1;
        if let Some(entry) = self.known.get_mut(&key) {
            entry.used_at = self.clock;
            return Arc::clone(&entry.prepared);
        }
        if self.known.len() >= self.kept_max {
            self.evict(pipeline);
        }
        let statement = write();
        // Names are never given twice, so that one the server still knows cannot be taken for another.
        let name = format!("awsdms_{}", self.clock);
        pipeline.parse(&name, &statement.sql, &statement.types);
        let prepared = Arc::new(Prepared { name, statement });
        self.fresh.push(key.clone());
        self.known.insert(
            key,
            Entry {
                prepared: Arc::clone(&prepared),
                used_at: self.clock,
            },
        );
        prepared
    }

    fn evict(&mut self, pipeline: &mut Pipeline) {
        let oldest = self.known.iter().min_by_key(|(_, entry)| entry.used_at);
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return;
        };
        if let Some(entry) = self.known.remove(&key) {
            pipeline.close(&entry.prepared.name);
            self.closing.push(entry.prepared.name.clone());
        }
    }

    /// Forgets the statements of a shape that is out of date.
    pub(super) fn forget(&mut self, shape: u32) {
        let gone: Vec<StatementKey> = self
            .known
            .keys()
            .filter(|key| key.shape == shape)
            .cloned()
            .collect();
        self.close(&gone);
    }

    fn close(&mut self, keys: &[StatementKey]) {
        for key in keys {
            if let Some(entry) = self.known.remove(key) {
                self.closing.push(entry.prepared.name.clone());
            }
        }
    }

    /// Begins a call: gives up at the server what was forgotten here.
    pub(super) fn begin_call(&mut self, pipeline: &mut Pipeline) {
        for name in &self.closing {
            pipeline.close(name);
        }
    }

    pub(super) fn call_done(&mut self) {
        self.fresh.clear();
        self.closing.clear();
    }

    pub(super) fn call_undone(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        self.close(&fresh);
    }
}

#[cfg(test)]
mod tests {
    /// The most that the statements of a test are kept.
    const KEPT_MAX: usize = 9;

    use super::*;

    fn key(shape: u32) -> StatementKey {
        let (set, find, nulls) = Default::default();
        StatementKey {
            shape,
            kind: StatementKind::Insert,
            set,
            find,
            nulls,
        }
    }

    fn statement() -> Statement {
        Statement {
            sql: "SELECT".to_owned(),
            parameters: Vec::new(),
            set_count: 0,
            types: Vec::new(),
        }
    }

    #[test]
    fn sets_of_columns_list_what_was_put_in() {
        let mut set = ColumnSet::default();
        for column in [3, 0, 64, 1599] {
            set.insert(column);
        }
        assert_eq!(set.columns(), [0, 3, 64, 1599]);
    }

    #[test]
    fn what_a_failed_call_prepared_is_prepared_again_under_another_name() {
        let (mut statements, mut pipeline) = (Statements::new(KEPT_MAX), Pipeline::default());
        let first = statements.get(key(1), &mut pipeline, statement);
        statements.call_done();
        let fresh = statements.get(key(2), &mut pipeline, statement);
        statements.call_undone();
        assert_eq!(
            statements.get(key(1), &mut pipeline, statement).name,
            first.name
        );
        assert_ne!(
            statements.get(key(2), &mut pipeline, statement).name,
            fresh.name
        );
        assert_eq!(statements.closing, std::slice::from_ref(&fresh.name));
        statements.call_done();
        assert!(statements.closing.is_empty());
    }

    #[test]
    fn the_statement_unused_for_longest_goes_first() {
        let (mut statements, mut pipeline) = (Statements::new(KEPT_MAX), Pipeline::default());
        let most = u32::try_from(KEPT_MAX).unwrap();
        let first = statements.get(key(0), &mut pipeline, statement);
        for shape in 1..most {
            statements.get(key(shape), &mut pipeline, statement);
        }
        statements.get(key(0), &mut pipeline, statement);
        statements.get(key(most), &mut pipeline, statement);
        assert_eq!(statements.known.len(), KEPT_MAX);
        assert_eq!(
            statements.get(key(0), &mut pipeline, statement).name,
            first.name
        );
        assert!(!statements.known.contains_key(&key(1)));
    }
}
