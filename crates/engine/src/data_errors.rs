//! What becomes of rows that cannot be read or held, where a user wants them left out rather than their table put into error.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use whimbrel_connector::RefusalKind;
use whimbrel_core::TableName;

use crate::RowPolicy;

/// What becomes of rows that are refused. By default nothing is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataErrors {
    /// Rows with a value that cannot be read or held, and in a load also those that a constraint of the target refuses.
    pub refused: Option<RowPolicy>,
    /// Rows with a value that is too long for its column.
    pub too_long: Option<RowPolicy>,
    /// When there are many in a table.
    pub escalation: Option<Escalation>,
}

/// What becomes of a table when many of its rows were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// So many are too many.
    pub count: NonZeroU64,
    /// What is done then, if it is more than is done of the row itself.
    pub then: RowPolicy,
}

impl DataErrors {
    /// What becomes of a row of a load; `None`: nothing is said of it.
    pub(crate) fn of_row(&self, kind: RefusalKind) -> Option<RowPolicy> {
        match kind {
            RefusalKind::Value | RefusalKind::Constraint => self.refused,
            RefusalKind::TooLong => self.too_long,
        }
    }

    /// What becomes of a change; of one that a constraint refuses others decide.
    pub(crate) fn of_change(&self, kind: RefusalKind) -> Option<RowPolicy> {
        match kind {
            RefusalKind::Constraint => None,
            kind => self.of_row(kind),
        }
    }
}

impl RowPolicy {
    /// Whether a row is left out, and its table goes on without it.
    pub(crate) fn leaves_out(self) -> bool {
        matches!(self, Self::Ignore | Self::Report)
    }

    /// What becomes of the table after `count` rows.
    pub(crate) fn escalated(self, escalation: Option<Escalation>, count: u64) -> Self {
        let reached = escalation.filter(|escalation| count >= escalation.count.get());
        reached.map_or(self, |escalation| self.max(escalation.then))
    }
}

/// Why changes were left out, as far as users count them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// A value cannot be read or held.
    Data,
    /// Anything else: a row is missing, or there already.
    Apply,
}

type Counts = HashMap<(TableName, Class), u64>;

/// Changes that were left out since the run began, by table. What a batch adds counts for good once that is committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    committed: Arc<Mutex<Counts>>,
    pending: Counts,
}

impl Tally {
    /// A tally of another batch: what was pending is forgotten.
    pub(crate) fn renewed(&self) -> Self {
        Self {
            committed: Arc::clone(&self.committed),
            pending: Counts::new(),
        }
    }

    /// Adds changes; answers how many of the table there are now.
    pub(crate) fn add(&mut self, table: &TableName, class: Class, count: u64) -> u64 {
        let key = (table.clone(), class);
        let pending = self.pending.entry(key.clone()).or_default();
        *pending += count;
        let committed = self.committed.lock();
        let committed = committed.unwrap_or_else(PoisonError::into_inner);
        *pending + committed.get(&key).copied().unwrap_or_default()
    }

    /// What was added is durable.
    pub(crate) fn commit(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let committed = self.committed.lock();
        let mut committed = committed.unwrap_or_else(PoisonError::into_inner);
        for (key, count) in self.pending.drain() {
            *committed.entry(key).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_adds_counts_once_it_is_committed() {
        let table = TableName::new("s", "t");
        let all = Tally::default();
        let mut lost = all.renewed();
        assert_eq!(lost.add(&table, Class::Data, 2), 2);
        let mut kept = all.renewed();
        assert_eq!(kept.add(&table, Class::Data, 2), 2);
        kept.commit();
        assert_eq!(kept.add(&table, Class::Data, 1), 3);
        assert_eq!(all.renewed().add(&table, Class::Apply, 1), 1);
        assert_eq!(all.renewed().add(&table, Class::Data, 1), 3);
    }

    #[test]
    fn many_rows_do_not_soften_what_becomes_of_one() {
        let escalation = Some(Escalation {
            count: NonZeroU64::new(2).unwrap(),
            then: RowPolicy::SuspendTable,
        });
        let after = |policy: RowPolicy, count| policy.escalated(escalation, count);
        assert_eq!(after(RowPolicy::Ignore, 1), RowPolicy::Ignore);
        assert_eq!(after(RowPolicy::Ignore, 2), RowPolicy::SuspendTable);
        assert_eq!(after(RowPolicy::StopTask, 2), RowPolicy::StopTask);
    }
}
