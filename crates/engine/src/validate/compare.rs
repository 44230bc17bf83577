use std::collections::HashMap;

use whimbrel_connector::{Error, KeyCell};
use whimbrel_core::{RowHash, RowHasher, Value, write_text};

use super::buckets::Buckets;
use super::layout::Layout;
use super::scan::{RowSink, scan};
use super::{
    Difference, DifferenceKind, End, ROWS_COMPARED_MAX, TableReport, ValidateSpec, Verdict,
};
use crate::RunError;

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
    let sums = |side| SumSink {
        row: RowView::new(layout, side),
        buckets: Buckets::new(),
    };
    let (at_source, at_target) = tokio::join!(
        scan(
            &*source.snapshot,
            &layout.source,
            layout.shape.as_deref(),
            reader_count,
            || sums(Side::Source)
        ),
        scan(
            &*target.snapshot,
            &layout.target,
            None,
            reader_count,
            || sums(Side::Target)
        ),
    );
    let at_source = merged(at_source.map_err(RunError::Source)?);
    let at_target = merged(at_target.map_err(RunError::Target)?);
    let (mut rows, mut next_bucket) = (Vec::new(), None);
    if at_source != at_target {
        let (differing, next) = at_source.differing(&at_target, ROWS_COMPARED_MAX, from_bucket);
        rows = find_differences(source, target, layout, reader_count, &differing).await?;
        next_bucket = next;
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

async fn find_differences(
    source: &End,
    target: &End,
    layout: &Layout,
    reader_count: usize,
    differing: &[bool],
) -> Result<Vec<DifferingRow>, RunError> {
    let keep = |side| KeepSink {
        row: RowView::new(layout, side),
        differing,
        rows: HashMap::new(),
    };
    let (at_source, at_target) = tokio::join!(
        scan(
            &*source.snapshot,
            &layout.source,
            layout.shape.as_deref(),
            reader_count,
            || keep(Side::Source)
        ),
        scan(
            &*target.snapshot,
            &layout.target,
            None,
            reader_count,
            || keep(Side::Target)
        ),
    );
    let at_source = kept(at_source.map_err(RunError::Source)?);
    let at_target = kept(at_target.map_err(RunError::Target)?);
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

/// Compares the rows of one key: usually one at each end; several where the key repeats (a table without one).
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

    fn key_text(&mut self, row: &[Value<'_>]) -> String {
        if !self.layout.has_key {
            return format!("row with hash {:032x}", self.row_hash(row).0);
        }
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
}

impl RowSink for SumSink<'_> {
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), Error> {
        if self.row.stays_alone(row) {
            return Ok(());
        }
        let hash = self.row.row_hash(row);
        let key = if self.row.layout.has_key {
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
