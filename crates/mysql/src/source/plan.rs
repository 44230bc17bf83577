//! Splitting a table into ranges of its primary key, or of another unique one, without reading it.
//!
//! Starting from the least and the greatest key, a range that holds too many rows is cut in two. How many rows it holds, the
//! server estimates by looking at the two ends of the range in the index (`EXPLAIN`), which costs two descents whatever the
//! size of the table. A cut that leaves most rows on one side is followed by a look at the least and the greatest key there,
//! so that gaps are skipped. Where one value of a key column alone has too many rows, the next column of the key is cut.
//!
//! Why every row lies in exactly one chunk: the first range is open below and the last one above, a cut `m` turns `[a, b)`
//! into `[a, m)` and `[m, b)` with `a < m < b`, and the rows of one value `v` are those below `v`, at `v` and above. Neither
//! estimates nor the rows that happen to be there matter for it. For texts the server confirms `a < m < b` by the column's own
//! collation.

use whimbrel_core::{ChunkBounds, Column, Engine, Table};

use super::axis::Axis;
use super::range::{KeyRange, KeyValue};
use crate::catalog::{self, RangeKey};
use crate::quote;
use crate::wire::{Connection, WireError};

/// Chunks of a table; a larger one gets larger chunks.
const CHUNKS_MAX: u64 = 4096;
/// Questions to the server per chunk that is wanted, and for a start: enough for keys with large gaps, and a bound.
const QUESTIONS_PER_CHUNK: u64 = 6;
const QUESTIONS_MIN: u64 = 100;

/// Plans the chunks of a table, about `chunk_bytes` each.
pub(super) async fn plan_table(
    connection: &mut Connection,
    table: &Table,
    chunk_bytes: u64,
) -> Result<Vec<ChunkBounds>, WireError> {
    let rows = table.row_estimate.unwrap_or(0);
    let bytes = table.byte_estimate.unwrap_or(0);
    let whole = vec![KeyRange::default().to_bounds(rows)];
    if table.outside_snapshot.is_some() {
        // Ranges would be read at a moment each. A statement locks such a table, so one alone sees one state of it.
        return Ok(whole);
    }
    let chunk_count = (bytes / chunk_bytes.max(1)).min(CHUNKS_MAX).min(rows);
    if chunk_count < 2 {
        return Ok(whole);
    }
    let Some(key) = catalog::range_key(connection, table).await? else {
        return Ok(whole);
    };
    let mut planner = Planner {
        connection,
        table,
        key,
        rows_per_chunk: rows.div_ceil(chunk_count),
        questions_left: QUESTIONS_MIN + chunk_count * QUESTIONS_PER_CHUNK,
        done: Vec::new(),
    };
    let start = Level {
        columns: Vec::new(),
        equal: Vec::new(),
    };
    Box::pin(planner.split_level(start, rows)).await?;
    let ranges = merge(planner.done, planner.rows_per_chunk);
    if ranges.is_empty() {
        return Ok(whole);
    }
    Ok(ranges
        .iter()
        .map(|(range, rows)| range.to_bounds(*rows))
        .collect())
}

/// The rows with these values in the first columns of the key.
#[derive(Clone, Debug)]
struct Level {
    /// Names of the fixed columns.
    columns: Vec<String>,
    /// Their values.
    equal: Vec<KeyValue>,
}

/// A range with the values between which it can be cut, both inclusive.
#[derive(Clone, Debug)]
struct Piece {
    from: Option<KeyValue>,
    to: Option<KeyValue>,
    low: KeyValue,
    high: KeyValue,
    rows: u64,
    /// Whether rows with these very values were seen.
    is_sharp: bool,
}

struct Planner<'a> {
    connection: &'a mut Connection,
    table: &'a Table,
    key: RangeKey,
    rows_per_chunk: u64,
    questions_left: u64,
    done: Vec<(KeyRange, u64)>,
}

impl Planner<'_> {
    fn range(
        &self,
        level: &Level,
        column: &Column,
        from: Option<KeyValue>,
        to: Option<KeyValue>,
    ) -> KeyRange {
        let mut columns = level.columns.clone();
        columns.push(column.name.clone());
        KeyRange {
            partition: None,
            index: self.key.index.clone(),
            columns,
            equal: level.equal.clone(),
            from,
            above: None,
            to,
        }
    }

    /// Splits the rows of a level by the next column of the key, in order.
    async fn split_level(&mut self, level: Level, rows: u64) -> Result<(), WireError> {
        let Some(column) = self.key.columns.get(level.columns.len()).cloned() else {
            return Ok(());
        };
        let whole = self.range(&level, &column, None, None);
        let ends = match Axis::of(&column) {
            Some(axis) => self
                .ends(&whole, &column, axis)
                .await?
                .map(|ends| (axis, ends)),
            None => None,
        };
        let Some((axis, (low, high))) = ends else {
            self.done.push((whole, rows));
            return Ok(());
        };
        let mut pieces = vec![Piece {
            from: None,
            to: None,
            low,
            high,
            rows,
            is_sharp: true,
        }];
        while let Some(mut piece) = pieces.pop() {
            let is_small = piece.rows <= self.rows_per_chunk + self.rows_per_chunk / 2;
            if is_small || self.questions_left == 0 {
                let range = self.range(&level, &column, piece.from, piece.to);
                self.done.push((range, piece.rows));
                continue;
            }
            let mut halves = self.cut(&level, &column, axis, &piece).await?;
            let is_lopsided = halves
                .as_ref()
                .is_none_or(|halves| halves.iter().any(|half| half.rows < piece.rows / 8));
            if is_lopsided && !piece.is_sharp {
                let range = self.range(&level, &column, piece.from.clone(), piece.to.clone());
                if let Some((low, high)) = self.ends(&range, &column, axis).await? {
                    piece = Piece {
                        low,
                        high,
                        is_sharp: true,
                        ..piece
                    };
                    halves = self.cut(&level, &column, axis, &piece).await?;
                }
            }
            match halves {
                Some([left, right]) => pieces.extend([right, left]),
                None => self.descend(&level, &column, piece).await?,
            }
        }
        Ok(())
    }

    /// Cuts a piece in two and estimates both.
    async fn cut(
        &mut self,
        level: &Level,
        column: &Column,
        axis: Axis,
        piece: &Piece,
    ) -> Result<Option<[Piece; 2]>, WireError> {
        let mut found = None;
        for middle in axis.between(&piece.low, &piece.high) {
            if axis.is_exact() || self.lies_between(column, piece, &middle).await? {
                found = Some(middle);
                break;
            }
        }
        let Some(middle) = found else { return Ok(None) };
        let left = self.range(level, column, piece.from.clone(), Some(middle.clone()));
        let right = self.range(level, column, Some(middle.clone()), piece.to.clone());
        let (left_rows, right_rows) = (self.estimate(&left).await?, self.estimate(&right).await?);
        Ok(Some([
            Piece {
                from: left.from,
                to: left.to,
                low: piece.low.clone(),
                // The middle itself lies on the right. On the line of whole numbers the step matters.
                high: axis.before(&middle).unwrap_or_else(|| middle.clone()),
                rows: left_rows,
                is_sharp: false,
            },
            Piece {
                from: right.from,
                to: right.to,
                low: middle,
                high: piece.high.clone(),
                rows: right_rows,
                is_sharp: false,
            },
        ]))
    }

    /// A piece that cannot be cut. If all its rows have one value, they are split by the next column of the key.
    async fn descend(
        &mut self,
        level: &Level,
        column: &Column,
        piece: Piece,
    ) -> Result<(), WireError> {
        let has_next_column = self.key.columns.len() > level.columns.len() + 1;
        if !has_next_column || piece.low != piece.high {
            let range = self.range(level, column, piece.from, piece.to);
            self.done.push((range, piece.rows));
            return Ok(());
        }
        let value = piece.low;
        if piece.from.as_ref() != Some(&value) {
            let below = self.range(level, column, piece.from, Some(value.clone()));
            self.done.push((below, 0));
        }
        let mut inner = level.clone();
        inner.columns.push(column.name.clone());
        inner.equal.push(value.clone());
        Box::pin(self.split_level(inner, piece.rows)).await?;
        let above = KeyRange {
            above: Some(value),
            ..self.range(level, column, None, piece.to)
        };
        self.done.push((above, 0));
        Ok(())
    }

    fn ask(&mut self) {
        self.questions_left = self.questions_left.saturating_sub(1);
    }

    /// The least and the greatest value of the column in a range; `None` when there are no rows.
    async fn ends(
        &mut self,
        range: &KeyRange,
        column: &Column,
        axis: Axis,
    ) -> Result<Option<(KeyValue, KeyValue)>, WireError> {
        let mut ends = Vec::new();
        for direction in ["", " DESC"] {
            self.ask();
            let sql = format!(
                "SELECT {} FROM {}{} ORDER BY {} LIMIT 1",
                axis.expression(&quote::identifier(&column.name)),
                self.indexed(),
                self.filter(range),
                self.order(direction)
            );
            if let Some(row) = self.connection.row(&sql).await? {
                ends.extend(row.get(0).map(|text| axis.value(text)));
            }
        }
        let mut ends = ends.into_iter();
        Ok(ends.next().zip(ends.next()))
    }

    /// The table, to be looked at by the key.
    fn indexed(&self) -> String {
        let index = self.key.index.as_deref().unwrap_or("PRIMARY");
        format!(
            "{} FORCE INDEX ({})",
            quote::table(&self.table.name),
            quote::identifier(index)
        )
    }

    /// The key's columns with a direction each.
    fn order(&self, direction: &str) -> String {
        let key = self.key.columns.iter();
        let order: Vec<String> = key
            .map(|column| format!("{}{direction}", quote::identifier(&column.name)))
            .collect();
        order.join(", ")
    }

    fn filter(&self, range: &KeyRange) -> String {
        match range.condition(self.table) {
            Some(condition) if !condition.is_empty() => format!(" WHERE {condition}"),
            _ => String::new(),
        }
    }

    /// Whether a cut lies between the ends of a piece by the column's own rules of comparison.
    async fn lies_between(
        &mut self,
        column: &Column,
        piece: &Piece,
        middle: &KeyValue,
    ) -> Result<bool, WireError> {
        let sides = [middle, &piece.low, &piece.high].map(|value| value.literal(column));
        let [Some(middle), Some(low), Some(high)] = sides else {
            return Ok(false);
        };
        self.ask();
        // UUIDs are compared as text here but as themselves in the index, so they are cast.
        let cast = |literal: String| match column.ty {
            whimbrel_core::ColumnType::Uuid => format!("CAST({literal} AS UUID)"),
            _ => literal,
        };
        let (middle, low, high) = (cast(middle), cast(low), cast(high));
        let sql = format!("SELECT {low} < {middle} AND {middle} < {high}");
        Ok(self
            .connection
            .row(&sql)
            .await?
            .is_some_and(|row| row.text(0) == "1"))
    }

    /// About how many rows lie in a range, by the server's look at the index.
    async fn estimate(&mut self, range: &KeyRange) -> Result<u64, WireError> {
        self.ask();
        let (explain, rows_at) = match self.connection.engine() {
            Engine::MariaDb => ("EXPLAIN", 8),
            Engine::MySql | Engine::Postgres => ("EXPLAIN FORMAT=TRADITIONAL", 9),
        };
        // Forced, so that the answer is about the range and not about the whole table; and distinct, which rows are by their
        // key anyhow, because MySQL looks at the index for a forced one only when something like that is asked for.
        let sql = format!(
            "{explain} SELECT DISTINCT {} FROM {}{}",
            self.order(""),
            self.indexed(),
            self.filter(range)
        );
        // No number: the server has seen that there are no rows.
        Ok(self
            .connection
            .row(&sql)
            .await?
            .and_then(|row| row.number(rows_at))
            .unwrap_or(0))
    }
}

/// Joins neighbours that are small together: gaps in the key leave many almost empty ranges.
fn merge(ranges: Vec<(KeyRange, u64)>, rows_per_chunk: u64) -> Vec<(KeyRange, u64)> {
    let mut merged: Vec<(KeyRange, u64)> = Vec::new();
    for (range, rows) in ranges {
        if let Some((last, last_rows)) = merged.last_mut()
            && *last_rows + rows <= rows_per_chunk
            && last.columns == range.columns
            && last.equal == range.equal
            && last.to.is_some()
            && range.above.is_none()
            && last.to == range.from
        {
            last.to = range.to;
            *last_rows += rows;
        } else {
            merged.push((range, rows));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: Option<&str>, to: Option<&str>) -> KeyRange {
        let value = |text: &str| KeyValue::Number(text.to_owned());
        KeyRange {
            partition: None,
            index: None,
            columns: vec!["a".to_owned()],
            equal: Vec::new(),
            from: from.map(value),
            above: None,
            to: to.map(value),
        }
    }

    #[test]
    fn small_neighbours_are_joined_without_a_gap() {
        let ranges = vec![
            (range(None, Some("5")), 90),
            (range(Some("5"), Some("9")), 5),
            (range(Some("9"), Some("20")), 50),
            (range(Some("20"), None), 40),
        ];
        assert_eq!(
            merge(ranges, 100),
            vec![(range(None, Some("9")), 95), (range(Some("9"), None), 90)]
        );
    }
}
