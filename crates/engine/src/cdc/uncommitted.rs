//! What was done of a transaction that is not whole at the target: a cut takes it back, and it comes again.
//!
//! Rows count once they are committed, and definitions once the whole transaction is: they come again also where the target has a part of it. A table that has another
//! name is shown by it from there on, because whatever becomes of the table is told of that name; the next stream finds by the checkpoint whether that holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_connector::Checkpoint;
use whimbrel_core::TableName;

use super::ChangeCounts;
use crate::{Progress, TableProgress};

#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    rows: BTreeMap<TableName, ChangeCounts>,
    /// How often the definition of each table changed.
    definitions: BTreeMap<TableName, u64>,
    /// Tables that have another name since, with that and what was told of another table of it, in their order.
    renamed: Vec<(TableName, TableName, Option<TableProgress>)>,
}

impl Uncommitted {
    pub(super) fn add(&mut self, table: TableName, counts: &ChangeCounts) {
        self.rows.entry(table).or_default().add(counts);
    }

    /// The definition of a table changed, and perhaps its name.
    pub(super) fn define(&mut self, before: TableName, after: TableName, progress: &Progress) {
        if before != after {
            let stood = progress.rename(&before, &after);
            if let Some(rows) = self.rows.remove(&before) {
                self.rows.insert(after.clone(), rows);
            }
            if let Some(count) = self.definitions.remove(&before) {
                self.definitions.insert(after.clone(), count);
            }
            self.renamed.push((before, after.clone(), stood));
        }
        *self.definitions.entry(after).or_default() += 1;
    }

    /// Shows what was done to rows: it is durable now.
    pub(super) fn show_rows(&mut self, latencies_ms: Option<(u64, u64)>, progress: &Progress) {
        for (table, counts) in std::mem::take(&mut self.rows) {
            progress.count(&table, |entry| {
                entry.changes.add(&counts);
                entry.latencies_ms = latencies_ms.or(entry.latencies_ms);
            });
        }
    }

    /// Shows what was done, all of which is durable now.
    pub(super) fn show(&mut self, latencies_ms: Option<(u64, u64)>, progress: &Progress) {
        self.show_rows(latencies_ms, progress);
        for (table, count) in std::mem::take(&mut self.definitions) {
            progress.count(&table, |entry| entry.changes.ddls += count);
        }
        self.renamed.clear();
    }

    pub(super) fn take_back(&mut self, progress: &Progress) {
        self.rows.clear();
        self.definitions.clear();
        for (before, after, stood) in std::mem::take(&mut self.renamed).into_iter().rev() {
            progress.unrename(&before, &after, stood);
        }
    }
}

/// What a stream left of a transaction when it was cut, until it is known whether the target committed that. It did not if nobody ever asks.
#[derive(Debug)]
pub(super) struct CutOff {
    progress: Arc<Progress>,
    /// With what the target had committed before.
    left: Option<(Checkpoint, Uncommitted)>,
}

impl CutOff {
    pub(super) fn new(progress: &Arc<Progress>) -> Self {
        Self {
            progress: Arc::clone(progress),
            left: None,
        }
    }

    pub(super) fn leave(&mut self, committed: Checkpoint, uncommitted: Uncommitted) {
        self.left = Some((committed, uncommitted));
    }

    /// What the target has committed is known.
    pub(super) fn settle(&mut self, checkpoint: &Checkpoint) {
        let Some((before, mut uncommitted)) = self.left.take() else {
            return;
        };
        if before.position != checkpoint.position {
            return uncommitted.show(None, &self.progress);
        }
        // What comes in front of a definition is committed with its count.
        if before.changes_applied < checkpoint.changes_applied {
            uncommitted.show_rows(None, &self.progress);
        }
        uncommitted.take_back(&self.progress);
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        if let Some((_, mut uncommitted)) = self.left.take() {
            uncommitted.take_back(&self.progress);
        }
    }
}
