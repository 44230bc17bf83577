//! The numbers by which the log names tables in front of their rows.

use std::collections::HashMap;
use std::sync::Arc;

use whimbrel_connector::TableId;

use super::super::layout::{Image, Layout};

/// Numbers of tables that are remembered; servers give out new ones without end.
pub(super) const MAPS_MAX: usize = 4096;

/// A number of the log for a table.
pub(super) struct Mapped {
    pub(super) body: Vec<u8>,
    /// Which captured table, and how its rows lie; `None` for others.
    pub(super) target: Option<(TableId, Arc<Layout>)>,
    pub(super) images: Vec<Arc<Image>>,
}

/// What each number stands for, as far as the log has said.
#[derive(Default)]
pub(super) struct Maps {
    known: HashMap<u64, Mapped>,
    /// The last rows ended their statement, so that no number of before is needed any more: a statement names all of its tables before its rows.
    is_between_statements: bool,
}

impl Maps {
    /// Whether a number that is said now is known to stand for just that.
    pub(super) fn says(&mut self, number: u64, body: &[u8]) -> bool {
        if std::mem::take(&mut self.is_between_statements) && self.known.len() >= MAPS_MAX {
            self.known.clear();
        }
        let known = self.known.get(&number);
        known.is_some_and(|known| known.body == body)
    }

    pub(super) fn insert(&mut self, number: u64, mapped: Mapped) {
        self.known.insert(number, mapped);
    }

    /// What rows are of, with which their statement may end.
    pub(super) fn of_rows(&mut self, number: u64, end_statement: bool) -> Option<&mut Mapped> {
        self.is_between_statements = end_statement;
        self.known.get_mut(&number)
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// A table is another one from now on, and its rows lie otherwise.
    pub(super) fn forget(&mut self, table: TableId) {
        let is_it = |mapped: &Mapped| matches!(mapped.target, Some((other, _)) if other == table);
        self.known.retain(|_, mapped| !is_it(mapped));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
