//! Whether a changed row lies in a chunk that is finished.
//!
//! The answer is "no" only where that is certain. Keys are compared here as the server compares them, so only those of whole numbers are: of
//! texts the collation decides, of moments the time zone, and what a decimal or a year is compared as is the server's affair. Of all others, of
//! chunks that are partitions, and of a row whose key the log does not tell (an image that leaves it out), nothing is known, and every change
//! counts as one in a finished chunk.
//!
//! Both images of a row count: a row that went out of a finished range is at the target still, and one that came into it is not there.

use whimbrel_connector::{ChangeRows, Error, FinishedChunk, LogEvent, RowAt};
use whimbrel_core::{ColumnType, Table, Value};

use super::range::{KeyRange, KeyValue};

/// The ranges of chunks that are finished.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FinishedRanges {
    /// Where the values of the key's columns are in a row of loaded columns.
    places: Vec<usize>,
    ranges: Vec<Range>,
}

/// Keys that begin with some values, the next one from a least one on and below another.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    equal: Vec<i128>,
    from: Option<i128>,
    to: Option<i128>,
}

impl FinishedRanges {
    /// `None` where rows cannot be told apart by them.
    pub(super) fn new(table: &Table, chunks: &[FinishedChunk]) -> Option<Self> {
        let mut columns: Vec<String> = Vec::new();
        let mut ranges: Vec<Range> = Vec::new();
        for chunk in chunks {
            let range = KeyRange::from_bounds(&chunk.bounds)?;
            let is_of_key = range.partition.is_none()
                && range.equal.len() + 1 == range.columns.len()
                && range.condition(table).is_some();
            let known = columns.len().min(range.columns.len());
            if !is_of_key || columns[..known] != range.columns[..known] {
                return None;
            }
            if range.columns.len() > known {
                columns.clone_from(&range.columns);
            }
            join(&mut ranges, Range::new(&range)?);
        }
        let places = columns.iter().map(|name| whole_number(table, name));
        Some(Self {
            places: places.collect::<Option<_>>()?,
            ranges,
        })
    }

    /// Whether a change of a row is, or may be, one of a finished chunk.
    pub(super) fn may_hold(&self, event: &LogEvent, rows: &dyn ChangeRows) -> bool {
        let is_outside = match event {
            LogEvent::Insert { after: row, .. } | LogEvent::Delete { before: row, .. } => self
                .key(rows, *row, None)
                .is_some_and(|key| !self.holds(&key)),
            LogEvent::Update {
                before: Some(before),
                after,
                ..
            } => self.moved(rows, *before, *after).is_some_and(|keys| {
                let mut keys = keys.iter();
                !keys.any(|key| self.holds(key))
            }),
            _ => false,
        };
        !is_outside
    }

    /// The keys of a row before and after an update.
    fn moved(&self, rows: &dyn ChangeRows, before: RowAt, after: RowAt) -> Option<[Vec<i128>; 2]> {
        let before = self.key(rows, before, None)?;
        let after = self.key(rows, after, Some(&before))?;
        Some([before, after])
    }

    /// The key of a row; `None` where nobody knows it. Cells that an update does not tell are those of the old row.
    fn key(&self, rows: &dyn ChangeRows, row: RowAt, old: Option<&[i128]>) -> Option<Vec<i128>> {
        let mut key = None;
        let decoded: Result<(), Error> = rows.decode(row, &mut |values| {
            key = self.key_of(values, old);
            Ok(())
        });
        decoded.ok()?;
        key
    }

    fn key_of(&self, values: &[Value<'_>], old: Option<&[i128]>) -> Option<Vec<i128>> {
        let cells = self.places.iter().enumerate();
        let cells = cells.map(|(index, &place)| match values.get(place)? {
            Value::Int(number) => Some(i128::from(*number)),
            Value::UInt(number) => Some(i128::from(*number)),
            Value::NotSent => old?.get(index).copied(),
            _ => None,
        });
        cells.collect()
    }

    fn holds(&self, key: &[i128]) -> bool {
        self.ranges.iter().any(|range| range.holds(key))
    }
}

impl Range {
    /// `None` where a value is no whole number.
    fn new(range: &KeyRange) -> Option<Self> {
        let equal = range.equal.iter().map(number).collect::<Option<_>>()?;
        let bound = |value: &Option<KeyValue>| match value {
            Some(value) => number(value).map(Some),
            None => Some(None),
        };
        let from = match (bound(&range.from)?, bound(&range.above)?) {
            (from, None) => from,
            (None, Some(above)) => Some(above.checked_add(1)?),
            (Some(from), Some(above)) => Some(from.max(above.checked_add(1)?)),
        };
        Some(Self {
            equal,
            from,
            to: bound(&range.to)?,
        })
    }

    fn holds(&self, key: &[i128]) -> bool {
        let Some((equal, rest)) = key.split_at_checked(self.equal.len()) else {
            return true;
        };
        let Some(next) = rest.first() else {
            return true;
        };
        *equal == *self.equal
            && self.from.is_none_or(|from| *next >= from)
            && self.to.is_none_or(|to| *next < to)
    }
}

/// Adds a range, to the one before it where both are one: so that a row is compared with few.
fn join(ranges: &mut Vec<Range>, next: Range) {
    if let Some(last) = ranges.last_mut()
        && last.equal == next.equal
        && last.to.is_some()
        && last.to == next.from
    {
        last.to = next.to;
    } else {
        ranges.push(next);
    }
}

fn number(value: &KeyValue) -> Option<i128> {
    match value {
        KeyValue::Number(text) => text.parse().ok(),
        KeyValue::Plain(_) | KeyValue::Hex(_) => None,
    }
}

/// The place of a column of whole numbers in a row of loaded columns.
fn whole_number(table: &Table, name: &str) -> Option<usize> {
    let mut loaded = table.loaded_columns().enumerate();
    let (place, column) = loaded.find(|(_, column)| column.name == name)?;
    matches!(column.ty, ColumnType::Int { .. }).then_some(place)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{ChunkBounds, Column, Engine, Generation, TableName};

    use super::*;

    /// Gives one row whatever is asked for, or an error.
    #[derive(Debug)]
    struct OneRow(Option<Vec<Value<'static>>>);

    impl ChangeRows for OneRow {
        fn byte_count(&self) -> usize {
            0
        }

        fn decode(
            &self,
            _: RowAt,
            visit: &mut whimbrel_connector::RowVisitor<'_>,
        ) -> Result<(), Error> {
            match &self.0 {
                Some(row) => visit(row),
                None => Err(Error::Fatal("no row".to_owned())),
            }
        }
    }

    fn table() -> Table {
        let column = |name: &str, ty| Column {
            name: name.to_owned(),
            ty,
            native: "as it is".to_owned(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        };
        let int = |unsigned| ColumnType::Int { bits: 64, unsigned };
        let computed = Column {
            generation: Generation::Computed,
            ..column("computed", int(false))
        };
        Table {
            engine: Engine::MySql,
            name: TableName::new("s", "t"),
            columns: vec![
                computed,
                column("a", int(false)),
                column("b", int(true)),
                column("day", ColumnType::Date),
            ],
            primary_key: vec![1, 2, 3],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    fn finished(ranges: &[&str]) -> Option<FinishedRanges> {
        let chunks: Vec<FinishedChunk> = ranges
            .iter()
            .map(|range| FinishedChunk {
                bounds: ChunkBounds {
                    range: (*range).to_owned(),
                    row_estimate: 0,
                },
                filter: None,
                row_count: 0,
            })
            .collect();
        FinishedRanges::new(&table(), &chunks)
    }

    const AT: RowAt = RowAt {
        shape: 0,
        offset: 0,
        is_whole: true,
    };

    fn insert() -> LogEvent {
        LogEvent::Insert {
            table: whimbrel_connector::TableId(0),
            after: AT,
        }
    }

    fn may_hold(finished: &FinishedRanges, a: Value<'static>, b: Value<'static>) -> bool {
        let row = OneRow(Some(vec![a, b, Value::Null]));
        finished.may_hold(&insert(), &row)
    }

    #[test]
    fn rows_lie_in_ranges_of_whole_numbers_as_the_server_has_them() {
        let finished = finished(&[
            r#"{"columns":["a"],"to":{"number":"-5"}}"#,
            r#"{"columns":["a"],"from":{"number":"-5"},"to":{"number":"7"}}"#,
            r#"{"columns":["a","b"],"equal":[{"number":"7"}],"to":{"number":"18446744073709551615"}}"#,
            r#"{"columns":["a"],"above":{"number":"7"},"to":{"number":"9"}}"#,
        ])
        .unwrap();
        assert_eq!(finished.ranges.len(), 3, "{finished:?}");
        let holds = |a, b| may_hold(&finished, Value::Int(a), Value::UInt(b));
        assert!(holds(i64::MIN, 0) && holds(-5, 0) && holds(6, 0));
        assert!(holds(7, u64::MAX - 1) && !holds(7, u64::MAX));
        assert!(holds(8, 0) && !holds(9, 0) && !holds(i64::MAX, u64::MAX));
    }

    #[test]
    fn what_is_not_known_counts_as_a_change() {
        let range = r#"{"columns":["a"],"from":{"number":"0"},"to":{"number":"5"}}"#;
        let finished = finished(&[range]).unwrap();
        assert!(!may_hold(&finished, Value::Int(5), Value::UInt(0)));
        assert!(may_hold(&finished, Value::NotSent, Value::UInt(0)));
        assert!(may_hold(&finished, Value::Null, Value::UInt(0)));
        assert!(may_hold(&finished, Value::Text("9"), Value::UInt(0)));
        assert!(finished.may_hold(&insert(), &OneRow(None)));
        let truncate = LogEvent::Truncate {
            table: whimbrel_connector::TableId(0),
        };
        let outside = OneRow(Some(vec![Value::Int(9), Value::UInt(0), Value::Null]));
        assert!(finished.may_hold(&truncate, &outside));
        assert!(!finished.may_hold(&insert(), &outside));
    }

    #[test]
    fn cells_that_an_update_does_not_tell_are_the_old_ones() {
        let range = r#"{"columns":["a","b"],"equal":[{"number":"1"}],"to":{"number":"5"}}"#;
        let finished = finished(&[range]).unwrap();
        let key = |values: &[Value<'_>]| finished.key_of(values, Some(&[1, 7]));
        assert_eq!(key(&[Value::NotSent, Value::UInt(3)]), Some(vec![1, 3]));
        assert_eq!(key(&[Value::Int(2), Value::NotSent]), Some(vec![2, 7]));
        assert_eq!(
            finished.key_of(&[Value::NotSent, Value::UInt(3)], None),
            None
        );
    }

    #[test]
    fn other_keys_and_other_chunks_are_not_compared() {
        for ranges in [
            &["{}"][..],
            &[r#"{"partition":"p"}"#],
            &["no range"],
            &[
                r#"{"columns":["a","b","day"],"equal":[{"number":"1"},{"number":"2"}],"to":{"plain":"2020-01-01"}}"#,
            ],
            &[r#"{"columns":["b"],"to":{"number":"5"}}"#],
            &[r#"{"columns":["a"],"to":{"number":"5.5"}}"#],
            // Of another index than the first.
            &[
                r#"{"columns":["a"],"to":{"number":"5"}}"#,
                r#"{"index":"u","columns":["b"],"to":{"number":"5"}}"#,
            ],
        ] {
            assert_eq!(finished(ranges), None, "{ranges:?}");
        }
    }
}
