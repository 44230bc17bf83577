use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel_connector::{ChangeRows, Error, RawRows, RowAt, RowBlock, RowVisitor};
use whimbrel_core::Value;

use super::{ChangeOrigin, Event, Operation, Scratch, Shaped, Wanted};

/// A block of a load of which the rows that are wanted get another shape as they are decoded.
pub(crate) struct ShapedBlock {
    block: Box<dyn RowBlock>,
    shape: Arc<Shaped>,
    /// For each row whether it is wanted; `None`: all are.
    wanted: Option<Vec<bool>>,
    row_count: usize,
    /// What its values lose is told of once, however often they are looked at.
    was_decoded: AtomicBool,
}

impl ShapedBlock {
    /// Looks at each row whether it is wanted.
    pub(crate) fn new(block: Box<dyn RowBlock>, shape: Arc<Shaped>) -> Result<Self, Error> {
        let mut row_count = block.row_count();
        let mut wanted = None;
        if shape.filter().is_some() {
            let mut rows = Vec::with_capacity(row_count);
            let decoded = block.decode(&mut |row| {
                rows.push(is_wanted(&shape, row)?);
                Ok(())
            });
            decoded.map_err(|error| shape.without_hidden_key(error))?;
            row_count = rows.iter().filter(|&&is_wanted| is_wanted).count();
            wanted = Some(rows);
        }
        Ok(Self {
            block,
            shape,
            wanted,
            row_count,
            was_decoded: AtomicBool::new(false),
        })
    }
}

/// Whether a row of a load is wanted, in which every cell is told.
pub(crate) fn is_wanted(shape: &Shaped, row: &[Value<'_>]) -> Result<bool, Error> {
    match shape.wants(row) {
        Wanted::Yes => Ok(true),
        Wanted::No => Ok(false),
        Wanted::Unknown => Err(Error::table(
            &shape.table().name,
            "a filter of the table mappings looks at a column whose values are not of the type that the catalog gives it; exclude the table, or filter by another column",
        )),
    }
}

impl RowBlock for ShapedBlock {
    fn row_count(&self) -> usize {
        self.row_count
    }

    fn byte_count(&self) -> usize {
        self.block.byte_count()
    }

    /// Rows that pass through are in nobody's hands.
    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn is_repeatable(&self) -> bool {
        self.block.is_repeatable() && self.shape.is_repeatable()
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut scratch = Scratch::default();
        scratch.is_another_look = self.was_decoded.swap(true, Ordering::Relaxed);
        let mut place = 0;
        let decoded = self.block.decode(&mut |row| {
            let wanted = self.wanted.as_ref();
            let is_wanted = wanted.is_none_or(|rows| rows.get(place) == Some(&true));
            place += 1;
            if is_wanted {
                self.shape.row(row, &mut scratch, visit)
            } else {
                Ok(())
            }
        });
        decoded.map_err(|error| self.shape.without_hidden_key(error))
    }
}

/// The rows of one table in a block of the log.
#[derive(Debug)]
pub(crate) struct ShapedRows {
    pub(crate) rows: Arc<dyn ChangeRows>,
    pub(crate) shape: Arc<Shaped>,
    /// Whether the block's bytes are counted here, and not where its other rows are.
    pub(crate) counts_bytes: bool,
}

impl ChangeRows for ShapedRows {
    fn byte_count(&self) -> usize {
        if self.counts_bytes {
            self.rows.byte_count()
        } else {
            0
        }
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut scratch = Scratch::default();
        let decoded = self
            .rows
            .decode(row, &mut |row| self.shape.row(row, &mut scratch, visit));
        decoded.map_err(|error| self.shape.without_hidden_key(error))
    }

    fn decode_old(
        &self,
        row: RowAt,
        key: &[usize],
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let mut scratch = Scratch::default();
        let key = self.shape.source_places(key);
        let decoded = self.rows.decode_old(row, &key, &mut |row| {
            self.shape.row(row, &mut scratch, visit)
        });
        decoded.map_err(|error| self.shape.without_hidden_key(error))
    }
}

/// One row whose cells lie in two versions of it: what the newer one does not tell is as it was. Every row of it is this one.
#[derive(Debug)]
pub(crate) struct MergedRow {
    pub(crate) rows: Arc<dyn ChangeRows>,
    pub(crate) older: RowAt,
    pub(crate) newer: RowAt,
}

impl ChangeRows for MergedRow {
    /// They are counted where the versions are.
    fn byte_count(&self) -> usize {
        0
    }

    fn decode(&self, _: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.rows.decode(self.newer, &mut |newer| {
            self.rows
                .decode(self.older, &mut |older| visit(&filled(newer, older)))
        })
    }
}

/// A row whose cells that were not sent are those of an older version.
pub(crate) fn filled<'v>(newer: &[Value<'v>], older: &[Value<'v>]) -> Vec<Value<'v>> {
    let cells = newer.iter().zip(older);
    cells
        .map(|(new, old)| match new {
            Value::NotSent => *old,
            sent => *sent,
        })
        .collect()
}

/// The rows of one change of a table whose columns are made of more than a row's cells.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) rows: Arc<dyn ChangeRows>,
    pub(crate) shape: Arc<Shaped>,
    pub(crate) operation: Operation,
    /// The row that arrives; the other one that is asked for is its old version.
    pub(crate) arrives: RowAt,
    /// What it was, as far as the log tells: its cells stand in for those that were not sent.
    pub(crate) older: Option<RowAt>,
    pub(crate) change: ChangeOrigin,
}

impl ChangeRows for EventRow {
    /// What it takes itself: the block is counted where its other rows are.
    fn byte_count(&self) -> usize {
        size_of::<Self>()
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let decoded = self.decode_shown(row, None, visit);
        decoded.map_err(|error| self.shape.without_hidden_key(error))
    }

    fn decode_old(
        &self,
        row: RowAt,
        key: &[usize],
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let decoded = self.decode_shown(row, Some(key), visit);
        decoded.map_err(|error| self.shape.without_hidden_key(error))
    }
}

impl EventRow {
    /// The row, with errors that tell its key as the source has it. `key`: the places of what is needed of an old row, if that is not all.
    fn decode_shown(
        &self,
        row: RowAt,
        key: Option<&[usize]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let mut scratch = Scratch::default();
        let arrives = (self.arrives.shape, self.arrives.offset) == (row.shape, row.offset);
        if !arrives {
            let key = self.shape.source_places(key.unwrap_or_default());
            return self.rows.decode_old(row, &key, &mut |old| {
                self.shape.old_row(old, &mut scratch, visit)
            });
        }
        let event = Event {
            operation: self.operation,
            before: None,
            change: Some(&self.change),
        };
        let Some(older) = self.older else {
            return self.rows.decode(row, &mut |row| {
                self.shape.row_of(event, row, &mut scratch, visit)
            });
        };
        self.rows.decode(row, &mut |newer| {
            self.rows.decode(older, &mut |older| {
                let event = Event {
                    before: Some(older),
                    ..event
                };
                let whole = filled(newer, older);
                self.shape.row_of(event, &whole, &mut scratch, visit)
            })
        })
    }
}
