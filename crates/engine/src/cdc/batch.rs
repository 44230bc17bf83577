//! What was captured and waits to be applied.

use std::sync::{Arc, OnceLock};

use whimbrel_connector::{ChangeRows, LogPlace, RowAt, SingleChange, SingleKind};

use super::filtering::Wish;
use super::tables::StreamTable;
use crate::shaping::{ChangeOrigin, CommitPoint, EventRow, MergedRow, Shaped, ShapedRows};

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
    /// Its row may not be there, which is in order.
    pub(super) may_miss: bool,
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
    /// Where the source transactions end that end in it: how many changes there are up to each. Those without changes of ours are not among them.
    pub(super) ends: Vec<u32>,
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

    /// Source transactions with changes of ours that end in it.
    pub(super) fn transaction_count(&self) -> u64 {
        self.ends.len() as u64
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
    /// Where each of them ends.
    ends: Vec<u32>,
    /// Of the transaction whose commit has not come yet.
    open: Vec<Change>,
    blocks: Vec<Arc<dyn ChangeRows>>,
    byte_count: usize,
    /// The block that is being read.
    current: Option<Arc<dyn ChangeRows>>,
    /// The commit of the open transaction, for those of its rows that ask for it.
    commit: Option<Arc<OnceLock<CommitPoint>>>,
    /// Changes that were taken, so far.
    change_count: u64,
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
    pub(super) fn push(&mut self, table: u32, wish: Wish, shape: Option<&Arc<Shaped>>) {
        let Wish { kind, may_miss, .. } = wish;
        self.change_count += 1;
        if let Some(shape) = shape.filter(|shape| shape.asks_for_events()) {
            let block = self.keep_event(wish, shape);
            self.open.push(Change {
                table,
                block,
                kind,
                may_miss,
            });
            return;
        }
        let mut block = self.keep(shape.map(|shape| (table, shape)));
        if let (Some(older), SingleKind::Insert { after: newer }) = (wish.filled_from, kind) {
            block = self.keep_merged(older, newer, shape).unwrap_or(block);
        }
        self.open.push(Change {
            table,
            block,
            kind,
            may_miss,
        });
    }

    /// Keeps the rows of one change with what is known of it.
    fn keep_event(&mut self, wish: Wish, shape: &Arc<Shaped>) -> u32 {
        // Here its bytes are counted.
        let whole_block = self.keep(None);
        let Some(rows) = self.current.clone() else {
            return whole_block;
        };
        let no_row = RowAt {
            shape: u32::MAX,
            offset: u32::MAX,
            is_whole: false,
        };
        let (arrives, older, operation) =
            wish.arriving()
                .unwrap_or((no_row, None, crate::shaping::Operation::Delete));
        let event = EventRow {
            rows,
            shape: Arc::clone(shape),
            operation,
            arrives,
            older,
            change: ChangeOrigin {
                number: self.change_count,
                commit: Arc::clone(self.commit.get_or_insert_default()),
            },
        };
        self.byte_count += event.byte_count();
        let block = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.blocks.push(Arc::new(event));
        block
    }

    /// Keeps a row that lies in two versions, both in the block that is being read, whose bytes are counted already.
    fn keep_merged(
        &mut self,
        older: RowAt,
        newer: RowAt,
        shape: Option<&Arc<Shaped>>,
    ) -> Option<u32> {
        let rows = Arc::clone(self.current.as_ref()?);
        let merged = Arc::new(MergedRow { rows, older, newer });
        let block = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.blocks.push(match shape {
            None => merged,
            Some(shape) => Arc::new(ShapedRows {
                rows: merged,
                shape: Arc::clone(shape),
                counts_bytes: false,
            }),
        });
        Some(block)
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
        if let Some(commit) = self.commit.take() {
            // Set by nobody else, and once.
            commit.get_or_init(|| CommitPoint {
                position: end.place.position().as_str().to_owned(),
                committed_at_us: end.committed_at_us,
            });
        }
        if !self.open.is_empty() {
            self.complete.append(&mut self.open);
            let end = u32::try_from(self.complete.len()).unwrap_or(u32::MAX);
            self.ends.push(end);
        }
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
        self.commit = None;
        self.open.clear();
    }

    /// Bytes and changes that wait.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.byte_count, self.complete.len() + self.open.len())
    }

    /// Whether changes of ours wait whose transaction goes on.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
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
            ends: std::mem::take(&mut self.ends),
        }
    }

    /// Hands over what there is of a transaction that goes on. Only when nothing complete waits.
    pub(super) fn take_piece(&mut self, tables: &[Arc<StreamTable>]) -> Batch {
        self.byte_count = 0;
        self.kept.clear();
        // The place before the transaction must not be committed with a part of it.
        self.end = None;
        Batch {
            tables: tables.to_vec(),
            blocks: std::mem::take(&mut self.blocks),
            changes: std::mem::take(&mut self.open),
            end: None,
            ends: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::Position;

    use super::*;

    #[derive(Debug)]
    struct Before;

    impl LogPlace for Before {
        fn position(&self) -> Position {
            Position::new("before")
        }
    }

    #[test]
    fn a_part_of_a_transaction_is_not_committed_under_the_place_before_it() {
        let mut collector = Collector::default();
        collector.idle(Arc::new(Before));
        assert!(collector.end().is_some());
        assert!(collector.take_piece(&[]).end.is_none());
        assert!(collector.end().is_none());
        assert!(collector.take_complete(&[]).end.is_none());
    }
}
