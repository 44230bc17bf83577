use std::collections::{BTreeMap, HashMap};

use whimbrel_connector::{Error, KeyCell};
use whimbrel_core::{RowHash, RowHasher, Value, write_text};

use super::buckets::Buckets;
use super::layout::Layout;
use super::scan::{RowSink, scan};
use super::{
    Difference, DifferenceKind, End, ROWS_COMPARED_MAX, TableReport, ValidateSpec, Verdict,
};
use crate::RunError;

/// Memory for the rows of both ends that are compared by key at once. The rows of one bucket are compared whatever they take.
const BYTES_COMPARED_MAX: u64 = 64 << 20;
/// What such a row takes beside the hashes of its cells and its key.
const KEPT_ROW_BYTES: u64 = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

/// What a comparison of a table found.
pub(crate) struct Compared {
    pub(crate) source_row_count: u64,
    pub(crate) target_row_count: u64,
    /// Rows that differ, sorted by key.
    pub(crate) rows: Vec<DifferingRow>,
    /// Further buckets differ whose rows were not looked at, from this one on.
    pub(crate) next_bucket: Option<usize>,
}

/// A row that differs.
pub(crate) struct DifferingRow {
    pub(crate) difference: Difference,
    /// What tells it from other rows, whatever engine it is read from.
    pub(crate) key_hash: RowHash,
    /// By which it can be looked at again. `None`: it cannot.
    pub(crate) key: Option<Vec<KeyCell>>,
}

/// Compares one table, for a report.
pub(super) async fn compare_table(
    source: &End,
    target: &End,
    layout: Layout,
    spec: &ValidateSpec,
) -> Result<TableReport, RunError> {
    let compared = compare(source, target, &layout, spec.subtask_count, 0).await?;
    let mut differences: Vec<Difference> = compared
        .rows
        .into_iter()
        .map(|row| row.difference)
        .collect();
    let has_more = compared.next_bucket.is_some() || differences.len() > spec.differences_max;
    let verdict = if differences.is_empty() {
        Verdict::Equal
    } else {
        differences.truncate(spec.differences_max);
        Verdict::Different {
            differences,
            has_more,
        }
    };
    Ok(TableReport {
        source: layout.source.name.clone(),
        target: layout.target.name.clone(),
        source_row_count: compared.source_row_count,
        target_row_count: compared.target_row_count,
        verdict,
        not_compared: layout.not_at_target,
    })
}

/// Compares one table; of buckets that differ, those from `from_bucket` on are looked into.
pub(crate) async fn compare(
    source: &End,
    target: &End,
    layout: &Layout,
    reader_count: usize,
    from_bucket: usize,
) -> Result<Compared, RunError> {
    let ends = [source, target];
    let sums = scan_ends(ends, layout, reader_count, |side| SumSink {
        row: RowView::new(layout, side),
        buckets: Buckets::new(),
        key_bytes: 0,
    });
    let [at_source, at_target] = sums.await?;
    let sinks = at_source.iter().chain(&at_target);
    let key_bytes = sinks.map(|sink| sink.key_bytes).sum::<u64>();
    let (at_source, at_target) = (merged(at_source), merged(at_target));
    let (mut rows, mut next_bucket) = (Vec::new(), None);
    if at_source != at_target {
        let row_count = at_source.row_count() + at_target.row_count();
        let rows_max = rows_max(layout, key_bytes / row_count.max(1));
        let (differing, next) = at_source.differing(&at_target, rows_max, from_bucket);
        next_bucket = next;
        if layout.has_key {
            rows = find_differences(ends, layout, reader_count, &differing).await?;
        } else {
            let (found, cut) = find_surplus(ends, layout, reader_count, &differing).await?;
            rows = found;
            next_bucket = cut.or(next);
        }
    }
    Ok(Compared {
        source_row_count: at_source.row_count(),
        target_row_count: at_target.row_count(),
        rows,
        next_bucket,
    })
}

fn merged(sinks: Vec<SumSink<'_>>) -> Buckets {
    let mut sinks = sinks.into_iter();
    let mut all = sinks.next().map_or_else(Buckets::new, |sink| sink.buckets);
    sinks.for_each(|sink| all.merge(&sink.buckets));
    all
}

/// How many rows are compared by key at once, whose keys are as long on average: those of wide tables are fewer.
fn rows_max(layout: &Layout, key_bytes: u64) -> u64 {
    if !layout.has_key {
        return ROWS_COMPARED_MAX;
    }
    let hashes = (layout.columns.len() * size_of::<RowHash>()) as u64;
    // The key is held as text and as cells.
    let row_bytes = KEPT_ROW_BYTES + hashes + 2 * key_bytes;
    (BYTES_COMPARED_MAX / row_bytes).clamp(1, ROWS_COMPARED_MAX)
}

/// Reads all rows of both ends, each reader into a sink of its own.
async fn scan_ends<S: RowSink>(
    [source, target]: [&End; 2],
    layout: &Layout,
    reader_count: usize,
    make_sink: impl Fn(Side) -> S + Send + Sync,
) -> Result<[Vec<S>; 2], RunError> {
    let (at_source, at_target) = tokio::join!(
        scan(
            &*source.snapshot,
            &layout.source,
            layout.shape.as_deref(),
            reader_count,
            || make_sink(Side::Source)
        ),
        scan(
            &*target.snapshot,
            &layout.target,
            None,
            reader_count,
            || make_sink(Side::Target)
        ),
    );
    let at_source = at_source.map_err(RunError::Source)?;
    Ok([at_source, at_target.map_err(RunError::Target)?])
}

async fn find_differences(
    ends: [&End; 2],
    layout: &Layout,
    reader_count: usize,
    differing: &[bool],
) -> Result<Vec<DifferingRow>, RunError> {
    let kept_rows = scan_ends(ends, layout, reader_count, |side| KeepSink {
        row: RowView::new(layout, side),
        differing,
        rows: HashMap::new(),
    });
    let [at_source, at_target] = kept_rows.await?.map(kept);
    let mut differences = Vec::new();
    for (key, rows) in &at_source {
        match at_target.get(key) {
            Some(others) => compare_rows(*key, (rows, others), layout, &mut differences),
            None => differences.extend(
                rows.iter()
                    .map(|row| row.only(*key, DifferenceKind::MissingAtTarget)),
            ),
        }
    }
    for (key, rows) in &at_target {
        if !at_source.contains_key(key) {
            differences.extend(
                rows.iter()
                    .map(|row| row.only(*key, DifferenceKind::ExtraAtTarget)),
            );
        }
    }
    differences.sort_by(|a, b| a.difference.key.cmp(&b.difference.key));
    Ok(differences)
}

type KeptRows = HashMap<RowHash, Vec<KeptRow>>;

fn kept(sinks: Vec<KeepSink<'_>>) -> KeptRows {
    let mut all = KeptRows::new();
    for (key, rows) in sinks.into_iter().flat_map(|sink| sink.rows) {
        all.entry(key).or_default().extend(rows);
    }
    all
}

/// Rows that one end has more often than the other, of a table without a key. Of a row nothing is held but its hash, however often it is there.
async fn find_surplus(
    ends: [&End; 2],
    layout: &Layout,
    reader_count: usize,
    differing: &[bool],
) -> Result<(Vec<DifferingRow>, Option<usize>), RunError> {
    let counted = scan_ends(ends, layout, reader_count, |side| CountSink {
        row: RowView::new(layout, side),
        differing,
        counts: HashMap::new(),
    });
    let mut counts: BTreeMap<RowHash, [u64; 2]> = BTreeMap::new();
    for (side, sinks) in counted.await?.into_iter().enumerate() {
        for (hash, count) in sinks.into_iter().flat_map(|sink| sink.counts) {
            counts.entry(hash).or_default()[side] += count;
        }
    }
    Ok(surplus(&counts))
}

/// The rows that are left over, as many as are compared at once, and the bucket of those that were left out.
fn surplus(counts: &BTreeMap<RowHash, [u64; 2]>) -> (Vec<DifferingRow>, Option<usize>) {
    let mut rows = Vec::new();
    for (&hash, &[at_source, at_target]) in counts {
        let kind = if at_source > at_target {
            DifferenceKind::MissingAtTarget
        } else {
            DifferenceKind::ExtraAtTarget
        };
        for _ in 0..at_source.abs_diff(at_target) {
            if rows.len() as u64 == ROWS_COMPARED_MAX {
                return (rows, Some(Buckets::bucket_of(hash)));
            }
            rows.push(DifferingRow {
                difference: Difference {
                    key: nameless(hash),
                    kind: kind.clone(),
                },
                key_hash: hash,
                key: None,
            });
        }
    }
    (rows, None)
}

/// What stands for the key of a row without one.
fn nameless(hash: RowHash) -> String {
    format!("row with hash {:032x}", hash.0)
}

/// Compares the rows of one key: usually one at each end; several where a target without the key repeats it.
fn compare_rows(
    key: RowHash,
    (rows, others): (&[KeptRow], &[KeptRow]),
    layout: &Layout,
    differences: &mut Vec<DifferingRow>,
) {
    for (row, other) in rows.iter().zip(others) {
        if row.cells != other.cells {
            let changed = layout
                .columns
                .iter()
                .zip(row.cells.iter().zip(&other.cells))
                .filter(|(_, (here, there))| here != there);
            let columns = changed.map(|((name, _), _)| name.clone()).collect();
            differences.push(row.only(key, DifferenceKind::Changed { columns }));
        }
    }
    let missing = rows.iter().skip(others.len());
    differences.extend(missing.map(|row| row.only(key, DifferenceKind::MissingAtTarget)));
    let extra = others.iter().skip(rows.len());
    differences.extend(extra.map(|row| row.only(key, DifferenceKind::ExtraAtTarget)));
}

/// A row of a differing bucket.
struct KeptRow {
    key: String,
    key_cells: Option<Vec<KeyCell>>,
    cells: Vec<RowHash>,
}

impl KeptRow {
    fn only(&self, key_hash: RowHash, kind: DifferenceKind) -> DifferingRow {
        DifferingRow {
            difference: Difference {
                key: self.key.clone(),
                kind,
            },
            key_hash,
            key: self.key_cells.clone(),
        }
    }
}

/// Looks at an end's rows in the source's column order.
pub(crate) struct RowView<'a> {
    layout: &'a Layout,
    side: Side,
    hasher: RowHasher,
}

impl<'a> RowView<'a> {
    pub(crate) fn new(layout: &'a Layout, side: Side) -> Self {
        Self {
            layout,
            side,
            hasher: RowHasher::new(),
        }
    }

    /// Where a column of the layout lies in a row.
    pub(crate) fn place(layout: &Layout, side: Side, column: usize) -> usize {
        match side {
            Side::Source => layout.made_places[column],
            Side::Target => layout.target_places[column],
        }
    }

    /// Whether the row is at the target alone, as a rule says: it has gone at the source.
    pub(crate) fn stays_alone(&self, row: &[Value<'_>]) -> bool {
        self.side == Side::Target && self.layout.is_deleted(row)
    }

    fn hash(&mut self, row: &[Value<'_>], columns: impl Iterator<Item = usize>) -> RowHash {
        let (layout, side) = (self.layout, self.side);
        self.hasher.hash(columns.map(|column| {
            let ty = match side {
                Side::Source => &layout.source_types[column],
                Side::Target => &layout.columns[column].1,
            };
            (&row[Self::place(layout, side, column)], ty)
        }))
    }

    pub(crate) fn key_hash(&mut self, row: &[Value<'_>]) -> RowHash {
        self.hash(row, self.layout.key.iter().copied())
    }

    fn row_hash(&mut self, row: &[Value<'_>]) -> RowHash {
        self.hash(row, 0..self.layout.columns.len())
    }

    /// The hash of each cell.
    pub(crate) fn cell_hashes(&mut self, row: &[Value<'_>]) -> Vec<RowHash> {
        let columns = 0..self.layout.columns.len();
        columns
            .map(|column| self.hash(row, std::iter::once(column)))
            .collect()
    }

    /// The key, for looking at the row again; `None` where it cannot be looked up.
    fn key_cells(&self, row: &[Value<'_>]) -> Option<Vec<KeyCell>> {
        let can_look = self.layout.can_be_looked_up();
        let key = self.layout.key.iter().filter(|_| can_look);
        let cells: Option<Vec<KeyCell>> = key
            .map(|&column| KeyCell::of(&row[Self::place(self.layout, self.side, column)]))
            .collect();
        cells.filter(|cells| !cells.is_empty())
    }

    /// The key of a row of the log; `None` for a row of another shape, or one whose key was not sent or cannot be looked up.
    pub(crate) fn key(&mut self, row: &[Value<'_>]) -> Option<(RowHash, Vec<KeyCell>)> {
        if row.len() != self.layout.made_width {
            return None;
        }
        let cells = self.key_cells(row)?;
        Some((self.key_hash(row), cells))
    }

    /// About how many bytes the key's cells have.
    fn key_bytes(&self, row: &[Value<'_>]) -> u64 {
        let key = self.layout.key.iter();
        let bytes = key.map(
            |&column| match &row[Self::place(self.layout, self.side, column)] {
                Value::Text(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                _ => size_of::<RowHash>(),
            },
        );
        bytes.sum::<usize>() as u64
    }

    fn key_text(&self, row: &[Value<'_>]) -> String {
        let mut text = vec![b'('];
        for (index, &column) in self.layout.key.iter().enumerate() {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            write_text(&row[Self::place(self.layout, self.side, column)], &mut text);
        }
        text.push(b')');
        String::from_utf8_lossy(&text).into_owned()
    }
}

struct SumSink<'a> {
    row: RowView<'a>,
    buckets: Buckets,
    /// The bytes of all keys.
    key_bytes: u64,
}

impl RowSink for SumSink<'_> {
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), Error> {
        if self.row.stays_alone(row) {
            return Ok(());
        }
        let hash = self.row.row_hash(row);
        let key = if self.row.layout.has_key {
            self.key_bytes += self.row.key_bytes(row);
            self.row.key_hash(row)
        } else {
            hash
        };
        self.buckets.add(key, hash);
        Ok(())
    }
}

struct KeepSink<'a> {
    row: RowView<'a>,
    differing: &'a [bool],
    rows: KeptRows,
}

impl RowSink for KeepSink<'_> {
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), Error> {
        if self.row.stays_alone(row) {
            return Ok(());
        }
        let key = self.row.key_hash(row);
        if !self.differing[Buckets::bucket_of(key)] {
            return Ok(());
        }
        let kept = KeptRow {
            key: self.row.key_text(row),
            key_cells: self.row.key_cells(row),
            cells: self.row.cell_hashes(row),
        };
        self.rows.entry(key).or_default().push(kept);
        Ok(())
    }
}

/// How often each row of differing buckets is there.
struct CountSink<'a> {
    row: RowView<'a>,
    differing: &'a [bool],
    counts: HashMap<RowHash, u64>,
}

impl RowSink for CountSink<'_> {
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), Error> {
        let hash = self.row.row_hash(row);
        if self.differing[Buckets::bucket_of(hash)] && !self.row.stays_alone(row) {
            *self.counts.entry(hash).or_default() += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::mapping::TableMappings;
    use whimbrel_core::{Column, ColumnType, Engine, Generation, Table, TableName};

    use super::*;
    use crate::shaping::Shaper;

    fn layout(column_count: usize, primary_key: Vec<usize>) -> Layout {
        let column = |number| Column {
            name: format!("c{number}"),
            ty: ColumnType::Text { bytes_max: None },
            native: "text".to_owned(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        };
        let table = Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: (0..column_count).map(column).collect(),
            primary_key,
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        };
        let shaper = Shaper {
            settings: &crate::Shaping::default(),
            mappings: &TableMappings::of_patterns(&[], &[]),
            target_schema: None,
        };
        Layout::of(&table, &table, shaper).unwrap()
    }

    #[test]
    fn fewer_rows_of_wide_tables_and_of_long_keys_are_compared_at_once() {
        assert_eq!(rows_max(&layout(10, vec![0]), 16), ROWS_COMPARED_MAX);
        for (columns, key_bytes) in [(1600, 16), (1000, 3000), (2, 3000)] {
            let rows = rows_max(&layout(columns, vec![0]), key_bytes);
            let bytes = rows * (16 * columns as u64 + 2 * key_bytes);
            assert!(bytes <= BYTES_COMPARED_MAX, "{columns}: {bytes}");
            assert!(bytes > BYTES_COMPARED_MAX / 2, "{columns}: {bytes}");
        }
        assert_eq!(rows_max(&layout(1, vec![0]), 1 << 40), 1);
    }

    #[test]
    fn a_row_that_is_left_over_many_times_is_told_as_often_as_rows_are_compared() {
        let counts = BTreeMap::from([
            (RowHash(5), [3, 3]),
            (RowHash(6), [1, 3]),
            (RowHash(7), [u64::MAX, 2]),
            (RowHash(8), [2, 1]),
        ]);
        let (rows, cut) = surplus(&counts);
        assert_eq!((rows.len() as u64, cut), (ROWS_COMPARED_MAX, Some(7)));
        let kinds = rows.iter().map(|row| (row.key_hash, &row.difference.kind));
        let kinds: Vec<_> = kinds.take(3).collect();
        let extra = (RowHash(6), &DifferenceKind::ExtraAtTarget);
        let missing = (RowHash(7), &DifferenceKind::MissingAtTarget);
        assert_eq!(kinds, [extra, extra, missing]);
    }
}
