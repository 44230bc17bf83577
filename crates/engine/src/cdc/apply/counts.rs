//! What batches did to the rows of tables.

use std::collections::BTreeMap;

use whimbrel_connector::SingleKind;
use whimbrel_core::TableName;

use super::super::batch::Batch;
use super::super::fold::{NetKind, Step};

/// What batches did to the rows of one table. What was left out is in no other count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Changes of the table's definition, truncations among them.
    pub ddls: u64,
    /// Changes that were left out, because the target refused them or has no such row.
    pub left_out: LeftOut,
}

/// Changes that were captured and not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Inserts.
    pub inserts: u64,
    /// Updates.
    pub updates: u64,
    /// Deletes.
    pub deletes: u64,
}

impl ChangeCounts {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.inserts += other.inserts;
        self.updates += other.updates;
        self.deletes += other.deletes;
        self.ddls += other.ddls;
        self.left_out.inserts += other.left_out.inserts;
        self.left_out.updates += other.left_out.updates;
        self.left_out.deletes += other.left_out.deletes;
    }

    /// What was captured, applied or not.
    #[must_use]
    pub fn captured(&self) -> Self {
        Self {
            inserts: self.inserts + self.left_out.inserts,
            updates: self.updates + self.left_out.updates,
            deletes: self.deletes + self.left_out.deletes,
            ddls: self.ddls,
            left_out: LeftOut::default(),
        }
    }

    pub(super) fn leave_out_many(&mut self, kind: NetKind, count: u64) {
        let (applied, left_out) = match kind {
            NetKind::Update => (&mut self.updates, &mut self.left_out.updates),
            NetKind::Delete | NetKind::Insert => (&mut self.deletes, &mut self.left_out.deletes),
        };
        *applied = applied.saturating_sub(count);
        *left_out += count;
    }

    /// So many were counted of rows that were not there, and need not be.
    pub(super) fn take_back(&mut self, kind: NetKind, count: u64) {
        let counted = match kind {
            NetKind::Update => &mut self.updates,
            NetKind::Delete | NetKind::Insert => &mut self.deletes,
        };
        *counted = counted.saturating_sub(count);
    }

    pub(super) fn take_back_one(&mut self, kind: SingleKind) {
        match kind {
            SingleKind::Update { .. } => self.take_back(NetKind::Update, 1),
            SingleKind::Delete { .. } => self.take_back(NetKind::Delete, 1),
            SingleKind::Insert { .. } | SingleKind::Truncate => {}
        }
    }

    /// One that was counted was not applied.
    pub(super) fn leave_out(&mut self, kind: SingleKind) {
        let (applied, left_out) = match kind {
            SingleKind::Insert { .. } => (&mut self.inserts, &mut self.left_out.inserts),
            SingleKind::Update { .. } => (&mut self.updates, &mut self.left_out.updates),
            SingleKind::Delete { .. } => (&mut self.deletes, &mut self.left_out.deletes),
            SingleKind::Truncate => return,
        };
        *applied = applied.saturating_sub(1);
        *left_out += 1;
    }
}

/// What a batch did, by table.
pub(super) struct Counts<'b> {
    pub(super) batch: &'b Batch,
    pub(super) by_table: BTreeMap<TableName, ChangeCounts>,
}

impl<'b> Counts<'b> {
    /// What a batch does, if all of it is applied.
    pub(super) fn of_batch(batch: &'b Batch) -> Self {
        let mut counts = Self {
            batch,
            by_table: BTreeMap::new(),
        };
        counts.count_all();
        counts
    }

    pub(super) fn of(&mut self, name: &TableName) -> &mut ChangeCounts {
        if !self.by_table.contains_key(name) {
            self.by_table.insert(name.clone(), ChangeCounts::default());
        }
        self.by_table
            .get_mut(name)
            .expect("it was just made sure of")
    }

    /// Counts what the log says happened.
    fn count_all(&mut self) {
        let batch = self.batch;
        let mut by_index = vec![ChangeCounts::default(); batch.tables.len()];
        for change in &batch.changes {
            let counts = &mut by_index[change.table as usize];
            match change.kind {
                SingleKind::Insert { .. } => counts.inserts += 1,
                SingleKind::Update { .. } => counts.updates += 1,
                SingleKind::Delete { .. } => counts.deletes += 1,
                SingleKind::Truncate => counts.ddls += 1,
            }
        }
        for (table, counts) in batch.tables.iter().zip(&by_index) {
            if *counts != ChangeCounts::default() {
                self.of(&table.name).add(counts);
            }
        }
    }

    /// Nothing of a step was applied.
    pub(super) fn leave_out_step(&mut self, name: &TableName, step: &Step) {
        let changes = match step {
            Step::Net(net) => &net.changes,
            Step::InOrder(changes) => changes,
        };
        for &index in changes {
            let kind = self.batch.changes[index as usize].kind;
            self.of(name).leave_out(kind);
        }
    }
}
