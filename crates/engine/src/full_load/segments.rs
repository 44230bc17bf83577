//! How a table is split where its user says in which segments it is loaded.
//!
//! The chunks of a load by ranges are the whole table over and over, of which each takes the rows between two boundaries. So that a resume can
//! tell whose rows a chunk holds, the record names the range by its number, and all ranges by their hash.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use whimbrel_connector::{Error, RawRows, RowBlock, RowVisitor, Snapshot, Source};
use whimbrel_core::mapping::{Predicate, Segments};
use whimbrel_core::{ChunkBounds, Table, Value};

use crate::FullLoadSpec;
use crate::shaping::refused;

/// How recorded chunks begin that are ranges of a table's user.
const MARK: &str = "segment ";
/// Why a row of which everything can be read is in no range.
const OF_ANOTHER_TYPE: &str = "a range of the table mappings looks at a column whose values are not of the type that the catalog gives it; load the table by ranges of another column";
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
///
/// A row that cannot be read is in the range that it has by the cells that can be, and where these do not tell, in every range that gets it: it is
/// told more than once then, and never overlooked.
pub(super) struct PartBlock {
    block: Box<dyn RowBlock>,
    /// Their places in the block.
    places: Vec<usize>,
}

impl PartBlock {
    pub(super) fn new(
        block: Box<dyn RowBlock>,
        rows: &Predicate,
        table: &Table,
    ) -> Result<Self, Error> {
        let mut places = Vec::with_capacity(block.row_count());
        let mut at = 0;
        loop {
            let unreadable = read(&*block, &mut at, &mut |place, row| {
                let selected = rows.selects(row);
                if selected.ok_or_else(|| Error::table(&table.name, OF_ANOTHER_TYPE))? {
                    places.push(place);
                }
                Ok(())
            })?;
            let Some(unreadable) = unreadable else { break };
            let place = at - 1;
            let mut is_elsewhere = false;
            let looked = block.readable(place, &mut |row| {
                is_elsewhere = rows.selects(row) == Some(false);
                Ok(())
            });
            // What it is to be refused for is what kept it from being read.
            looked.map_err(|_| unreadable)?;
            if !is_elsewhere {
                places.push(place);
            }
        }
        Ok(Self { block, places })
    }
}

/// Takes a row and its place in the block.
type PlacedVisitor<'v> = dyn FnMut(usize, &[Value<'_>]) -> Result<(), Error> + Send + 'v;

/// Reads rows of a block from a place on, up to one that cannot be read, which is answered; `at` is behind what was read.
///
/// # Errors
/// The visitor's, and those of the block that are of no row.
fn read(
    block: &dyn RowBlock,
    at: &mut usize,
    visit: &mut PlacedVisitor<'_>,
) -> Result<Option<Error>, Error> {
    if *at >= block.row_count() {
        return Ok(None);
    }
    let mut is_visitors = false;
    let decoded = block.decode_from(*at, &mut |row| {
        let place = *at;
        *at += 1;
        let visited = visit(place, row);
        is_visitors = visited.is_err();
        visited
    });
    match decoded {
        Err(Error::Row(refusal)) if !is_visitors => {
            *at += 1;
            Ok(Some(Error::Row(refusal)))
        }
        other => other.map(|()| None),
    }
}

impl RowBlock for PartBlock {
    fn row_count(&self) -> usize {
        self.places.len()
    }

    fn byte_count(&self) -> usize {
        self.block.byte_count()
    }

    /// Rows that pass through are not looked at.
    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.decode_from(0, visit)
    }

    fn is_repeatable(&self) -> bool {
        self.block.is_repeatable()
    }

    fn decode_from(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut wanted = self.places.iter().skip(skipped).copied().peekable();
        while let Some(&first) = wanted.peek() {
            let mut at = first;
            let unreadable = read(&*self.block, &mut at, &mut |place, row| match wanted
                .next_if_eq(&place)
            {
                Some(_) => visit(row),
                None => Ok(()),
            })?;
            match unreadable {
                Some(error) if wanted.peek() == Some(&(at - 1)) => return Err(error),
                // One of another range.
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn readable(&self, at: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        match self.places.get(at) {
            Some(&place) => self.block.readable(place, visit),
            None => visit(&[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::RowRefusal;
    use whimbrel_core::mapping::{Comparison, Literal, TestedColumn};
    use whimbrel_core::{Engine, TableName};

    use super::*;

    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

    /// Rows of one digit; of those in `bad` a second cell cannot be read, and of those in `lost` the digit neither.
    struct Digits {
        bad: Vec<usize>,
        lost: Vec<usize>,
    }

    impl RowBlock for Digits {
        fn row_count(&self) -> usize {
            DIGITS.len()
        }

        fn byte_count(&self) -> usize {
            DIGITS.len()
        }

        fn raw(&self) -> Option<RawRows<'_>> {
            None
        }

        fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
            self.decode_from(0, visit)
        }

        fn decode_from(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
            for (place, digit) in DIGITS.iter().enumerate().skip(skipped) {
                if self.bad.contains(&place) || self.lost.contains(&place) {
                    let reason = format!("row {place}");
                    return Err(RowRefusal::unreadable(&table(), &[], None, reason).into());
                }
                visit(&[Value::Text(digit)])?;
            }
            Ok(())
        }

        fn readable(&self, at: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
            if self.lost.contains(&at) {
                return visit(&[Value::NotSent]);
            }
            visit(&[Value::Text(DIGITS[at])])
        }
    }

    fn table() -> Table {
        Table {
            engine: Engine::MySql,
            name: TableName::new("s", "t"),
            columns: Vec::new(),
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    /// The digits from one on, or below it.
    fn part(comparison: Comparison, digit: &str, bad: &[usize], lost: &[usize]) -> PartBlock {
        let rows = Predicate::Compare {
            column: TestedColumn {
                name: "digit".to_owned(),
                column: 0,
                place: 0,
            },
            comparison,
            literal: Literal::Text(digit.to_owned()),
        };
        let block = Digits {
            bad: bad.to_vec(),
            lost: lost.to_vec(),
        };
        PartBlock::new(Box::new(block), &rows, &table()).unwrap()
    }

    /// What is read from a row on, and the row that cannot be, if there is one.
    fn seen(part: &PartBlock, skipped: usize) -> (String, Option<String>) {
        let mut seen = String::new();
        let decoded = part.decode_from(skipped, &mut |row| {
            let [Value::Text(digit)] = row else {
                panic!("{row:?}")
            };
            seen.push_str(digit);
            Ok(())
        });
        let refused = decoded.err().map(|error| match error {
            Error::Row(refusal) => refusal.reason,
            other => panic!("{other}"),
        });
        (seen, refused)
    }

    fn told(digits: &str, refused: Option<&str>) -> (String, Option<String>) {
        (digits.to_owned(), refused.map(str::to_owned))
    }

    #[test]
    fn a_row_that_cannot_be_read_is_refused_in_its_range_alone() {
        let bad = [2, 7, 8];
        let lower = part(Comparison::Less, "5", &bad, &[]);
        assert_eq!(lower.row_count(), 5);
        assert_eq!(seen(&lower, 0), told("01", Some("row 2")));
        assert_eq!(seen(&lower, 3), told("34", None));
        let upper = part(Comparison::AtLeast, "5", &bad, &[]);
        assert_eq!(upper.row_count(), 5);
        assert_eq!(seen(&upper, 0), told("56", Some("row 7")));
        assert_eq!(seen(&upper, 3), told("", Some("row 8")));
        assert_eq!(seen(&upper, 4), told("9", None));
        assert_eq!(seen(&upper, 5), told("", None));
    }

    #[test]
    fn a_row_of_which_nothing_can_be_told_is_refused_in_every_range() {
        for (comparison, digits) in [(Comparison::Less, "01234"), (Comparison::AtLeast, "5678")] {
            let part = part(comparison, "5", &[], &[9]);
            assert_eq!(part.row_count(), digits.len() + 1);
            assert_eq!(seen(&part, 0), told(digits, Some("row 9")));
        }
    }
}
