//! How a table is split where its user says in which segments it is loaded.
//!
//! The chunks of a load by ranges are the whole table over and over, of which each takes the rows between two boundaries. So that a resume can
//! tell whose rows a chunk holds, the record names the range by its number, and all ranges by their hash.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use whimbrel_connector::{Error, RawRows, RowBlock, RowVisitor, Snapshot, Source};
use whimbrel_core::mapping::{Predicate, Segments};
use whimbrel_core::{ChunkBounds, Table};

use crate::FullLoadSpec;
use crate::shaping::refused;

/// How recorded chunks begin that are ranges of a table's user.
const MARK: &str = "segment ";
/// So many bytes of a hash tell ranges apart.
const ID_BYTES: usize = 16;

/// How a table is split into chunks.
#[derive(Clone, Debug)]
pub enum Split {
    /// By its size.
    Bytes,
    /// Not at all.
    Whole,
    /// By partitions, and whether they hold all rows.
    Partitions(Segments, bool),
    /// By ranges of its user.
    Ranges(Ranges),
}

/// Ranges of a table. Every row is in exactly one.
#[derive(Clone, Debug)]
pub struct Ranges {
    of_rows: Vec<Predicate>,
    /// Stands for all of them.
    id: String,
}

/// A chunk as the source knows it, and which of its rows are in it.
pub(super) struct Part<'r> {
    pub(super) bounds: ChunkBounds,
    /// `None`: all.
    pub(super) rows: Option<&'r Predicate>,
}

impl Split {
    /// How the rules split a table. Whatever a rule says of parts that no snapshot covers, they are read as one: each statement sees another
    /// moment. So is a view, which need not show the same rows twice.
    ///
    /// # Errors
    /// [`Error::Table`] for a rule that does not fit the table.
    pub(crate) async fn of(
        source: &mut dyn Source,
        spec: &FullLoadSpec,
        table: &Table,
        is_view: bool,
    ) -> Result<Self, Error> {
        let segments = spec
            .mappings
            .segments(table)
            .map_err(|error| refused(&error))?;
        let Some(segments) = segments else {
            return Ok(Self::Bytes);
        };
        if matches!(segments, Segments::Ranges { .. } | Segments::Whole) {
            let ranges = segments.ranges();
            return Ok(
                if ranges.is_empty() || table.outside_snapshot.is_some() || is_view {
                    Self::Whole
                } else {
                    Self::Ranges(Ranges::new(ranges))
                },
            );
        }
        let there = source.partitions(table).await?;
        let checked = spec.mappings.check_partitions(table, &there);
        checked.map_err(|error| refused(&error))?;
        let is_partial = segments.leaves_rows_out(&there);
        if spec.is_followed && is_partial {
            return Err(Error::table(
                &table.name,
                "a rule of the table mappings (parallel-load of type partitions-list) loads some of its partitions only, and a log does not tell \
                 which partition a row is in; list all partitions, or load the table without following its changes",
            ));
        }
        let is_moving = table.outside_snapshot.is_some() && !is_partial;
        Ok(if there.is_empty() || is_moving {
            Self::Whole
        } else {
            Self::Partitions(segments, !is_partial)
        })
    }

    /// The chunks of a table.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn chunks(
        &self,
        snapshot: &dyn Snapshot,
        table: &Table,
        chunk_bytes: u64,
    ) -> Result<Vec<ChunkBounds>, Error> {
        match self {
            Self::Bytes => snapshot.plan(table, chunk_bytes).await,
            Self::Whole => snapshot.plan(table, u64::MAX).await,
            Self::Partitions(segments, hold_all) => {
                snapshot.plan_partitions(table, segments, *hold_all).await
            }
            Self::Ranges(ranges) => {
                let whole = snapshot.plan(table, u64::MAX).await?;
                Ok(ranges.chunks(&whole))
            }
        }
    }

    /// Whether rows come from the source as the ranges want them, so that nobody has to look at them.
    pub fn is_exact(&self, snapshot: &dyn Snapshot, table: &Table) -> bool {
        let Self::Ranges(ranges) = self else {
            return true;
        };
        let mut of_rows = ranges.of_rows.iter();
        of_rows.all(|rows| snapshot.filters_exactly(table, rows))
    }

    /// Reads a recorded chunk; `None` when it is of other ranges than these.
    pub(super) fn part(&self, bounds: &ChunkBounds) -> Option<Part<'_>> {
        let Some(marked) = bounds.range.strip_prefix(MARK) else {
            return Some(Part {
                bounds: bounds.clone(),
                rows: None,
            });
        };
        let Self::Ranges(ranges) = self else {
            return None;
        };
        let (place, rest) = marked.split_once(" of ")?;
        let (id, range) = rest.split_once(": ")?;
        let rows = ranges.of_rows.get(place.parse::<usize>().ok()?)?;
        (id == ranges.id).then(|| Part {
            bounds: ChunkBounds {
                range: range.to_owned(),
                row_estimate: bounds.row_estimate,
            },
            rows: Some(rows),
        })
    }
}

impl Ranges {
    fn new(ranges: Vec<&Predicate>) -> Self {
        let of_rows: Vec<Predicate> = ranges.into_iter().cloned().collect();
        let mut hasher = Sha256::new();
        for rows in &of_rows {
            hasher.update(rows.to_string());
            hasher.update([0]);
        }
        let mut id = String::new();
        for byte in &hasher.finalize()[..ID_BYTES] {
            write!(id, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Self { of_rows, id }
    }

    fn chunks(&self, whole: &[ChunkBounds]) -> Vec<ChunkBounds> {
        let count = self.of_rows.len().max(1) as u64;
        let places = 0..self.of_rows.len();
        let chunk = |place: usize, bounds: &ChunkBounds| ChunkBounds {
            range: format!("{MARK}{place} of {}: {}", self.id, bounds.range),
            row_estimate: bounds.row_estimate / count,
        };
        places
            .flat_map(|place| whole.iter().map(move |bounds| chunk(place, bounds)))
            .collect()
    }
}

/// Those rows of a block that are in a range.
pub(super) struct PartBlock {
    block: Box<dyn RowBlock>,
    is_in: Vec<bool>,
    row_count: usize,
}

impl PartBlock {
    pub(super) fn new(
        block: Box<dyn RowBlock>,
        rows: &Predicate,
        table: &Table,
    ) -> Result<Self, Error> {
        let mut is_in = Vec::with_capacity(block.row_count());
        block.decode(&mut |row| {
            let selected = rows.selects(row).ok_or_else(|| {
                Error::table(
                    &table.name,
                    "a range of the table mappings looks at a column whose values are not of the type that the catalog gives it; load the table by \
                     ranges of another column",
                )
            })?;
            is_in.push(selected);
            Ok(())
        })?;
        Ok(Self {
            block,
            row_count: is_in.iter().filter(|&&is_in| is_in).count(),
            is_in,
        })
    }
}

impl RowBlock for PartBlock {
    fn row_count(&self) -> usize {
        self.row_count
    }

    fn byte_count(&self) -> usize {
        self.block.byte_count()
    }

    /// Rows that pass through are not looked at.
    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut is_in = self.is_in.iter();
        self.block.decode(&mut |row| match is_in.next() {
            Some(true) => visit(row),
            _ => Ok(()),
        })
    }
}
