//! What was captured and waits to be applied.

use std::sync::Arc;

use whimbrel_connector::{ChangeRows, LogPlace, RowAt, SingleChange, SingleKind};

use super::tables::StreamTable;
use crate::shaping::{Shaped, ShapedRows};

/// A row version and the block it lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub(super) block: u32,
    pub(super) row: RowAt,
}

/// A captured change: of which table, and in which block its rows lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// Index into the batch's tables.
    pub(super) table: u32,
    /// Index into the batch's blocks.
    pub(super) block: u32,
    pub(super) kind: SingleKind,
}

/// Where a batch of whole transactions ends.
#[derive(Clone, Debug)]
pub(super) struct BatchEnd {
    pub(super) place: Arc<dyn LogPlace>,
    /// By the source's clock, in microseconds since 1970.
    pub(super) committed_at_us: i64,
    /// By ours.
    pub(super) received_at_us: i64,
}

/// Changes in the order of the log, to be applied in one transaction of the target.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) tables: Vec<Arc<StreamTable>>,
    pub(super) blocks: Vec<Arc<dyn ChangeRows>>,
    pub(super) changes: Vec<Change>,
    /// `None`: a piece of a transaction that goes on; the target's transaction stays open.
    pub(super) end: Option<BatchEnd>,
    /// Source transactions that end in it.
    pub(super) transaction_count: u64,
}

impl Batch {
    pub(super) fn table(&self, change: &Change) -> &StreamTable {
        &self.tables[change.table as usize]
    }

    /// Bytes of its rows, and of what lies between them.
    pub(super) fn byte_count(&self) -> u64 {
        self.blocks
            .iter()
            .map(|block| block.byte_count() as u64)
            .sum()
    }

    /// A change as the applier takes it.
    pub(super) fn single(&self, index: u32) -> SingleChange<'_> {
        let change = &self.changes[index as usize];
        SingleChange {
            table: &self.table(change).target,
            kind: change.kind,
            rows: &*self.blocks[change.block as usize],
        }
    }
}

/// Gathers blocks into batches.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// Whole transactions that wait.
    complete: Vec<Change>,
    end: Option<BatchEnd>,
    transaction_count: u64,
    /// Of the transaction whose commit has not come yet.
    open: Vec<Change>,
    blocks: Vec<Arc<dyn ChangeRows>>,
    byte_count: usize,
    /// The block that is being read.
    current: Option<Arc<dyn ChangeRows>>,
    /// Where its rows are kept, once there is a change of ours in it: those of one table in their own shape, or all others as they came.
    kept: Vec<(Option<u32>, u32)>,
}

impl Collector {
    /// Takes the rows of the changes that follow.
    pub(super) fn begin_block(&mut self, rows: Arc<dyn ChangeRows>) {
        self.current = Some(rows);
        self.kept.clear();
    }

    /// Takes a change whose rows lie in the block that was begun last.
    pub(super) fn push(&mut self, table: u32, kind: SingleKind, shape: Option<&Arc<Shaped>>) {
        let block = self.keep(shape.map(|shape| (table, shape)));
        self.open.push(Change { table, block, kind });
    }

    /// Keeps the rows of the block that is being read, for one table in its shape or for all that have none. Answers where they are.
    fn keep(&mut self, shape: Option<(u32, &Arc<Shaped>)>) -> u32 {
        let of = shape.map(|(table, _)| table);
        if let Some((_, block)) = self.kept.iter().find(|(kept, _)| *kept == of) {
            return *block;
        }
        let block = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        if let Some(rows) = &self.current {
            let counts_bytes = self.kept.is_empty();
            if counts_bytes {
                self.byte_count += rows.byte_count();
            }
            let rows = Arc::clone(rows);
            self.blocks.push(match shape {
                None => rows,
                Some((_, shape)) => Arc::new(ShapedRows {
                    rows,
                    shape: Arc::clone(shape),
                    counts_bytes,
                }),
            });
            self.kept.push((of, block));
        }
        block
    }

    /// The open transaction is complete. One without changes of ours only moves the end on.
    pub(super) fn commit(&mut self, end: BatchEnd) {
        self.transaction_count += u64::from(!self.open.is_empty());
        self.complete.append(&mut self.open);
        self.end = Some(end);
    }

    /// Nothing of ours came up to a place between transactions.
    pub(super) fn idle(&mut self, place: Arc<dyn LogPlace>) {
        let (committed_at_us, received_at_us) = self
            .end
            .as_ref()
            .map_or((0, 0), |end| (end.committed_at_us, end.received_at_us));
        self.end = Some(BatchEnd {
            place,
            committed_at_us,
            received_at_us,
        });
    }

    /// Leaves the transaction out whose commit has not come.
    pub(super) fn drop_open(&mut self) {
        self.open.clear();
    }

    /// Bytes and changes that wait.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.byte_count, self.complete.len() + self.open.len())
    }

    /// Whether transactions with changes of ours wait.
    pub(super) fn has_changes(&self) -> bool {
        !self.complete.is_empty()
    }

    /// The place up to which everything is complete, if it moved on since the last batch.
    pub(super) fn end(&self) -> Option<&BatchEnd> {
        self.end.as_ref()
    }

    /// Hands over the transactions that are complete.
    pub(super) fn take_complete(&mut self, tables: &[Arc<StreamTable>]) -> Batch {
        let first_open = self.open.iter().map(|change| change.block as usize).min();
        self.kept.clear();
        let kept = first_open.map_or_else(Vec::new, |first| self.blocks[first..].to_vec());
        let shift = u32::try_from(first_open.unwrap_or(0)).unwrap_or(u32::MAX);
        for change in &mut self.open {
            change.block -= shift;
        }
        self.byte_count = kept.iter().map(|block| block.byte_count()).sum();
        Batch {
            tables: tables.to_vec(),
            blocks: std::mem::replace(&mut self.blocks, kept),
            changes: std::mem::take(&mut self.complete),
            end: self.end.take(),
            transaction_count: std::mem::take(&mut self.transaction_count),
        }
    }

    /// Hands over what there is of a transaction that goes on. Only when nothing complete waits.
    pub(super) fn take_piece(&mut self, tables: &[Arc<StreamTable>]) -> Batch {
        self.byte_count = 0;
        self.kept.clear();
        Batch {
            tables: tables.to_vec(),
            blocks: std::mem::take(&mut self.blocks),
            changes: std::mem::take(&mut self.open),
            end: None,
            transaction_count: 0,
        }
    }
}
