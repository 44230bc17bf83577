use std::collections::HashMap;

use whimbrel_connector::Error;
use whimbrel_core::{RowHash, RowHasher, Value, write_text};

use super::buckets::Buckets;
use super::layout::Layout;
use super::scan::{RowSink, scan};
use super::{
    Difference, DifferenceKind, End, ROWS_COMPARED_MAX, TableReport, ValidateSpec, Verdict,
};
use crate::RunError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// Compares one table.
pub(super) async fn compare_table(
    source: &End,
    target: &End,
    layout: Layout,
    spec: &ValidateSpec,
) -> Result<TableReport, RunError> {
    let sums = |side| SumSink {
        row: RowView::new(&layout, side),
        buckets: Buckets::new(),
    };
    let (at_source, at_target) = tokio::join!(
        scan(
            &*source.snapshot,
            &layout.source,
            layout.shape.as_deref(),
            spec.subtask_count,
            || sums(Side::Source)
        ),
        scan(
            &*target.snapshot,
            &layout.target,
            None,
            spec.subtask_count,
            || sums(Side::Target)
        ),
    );
    let at_source = merged(at_source.map_err(RunError::Source)?);
    let at_target = merged(at_target.map_err(RunError::Target)?);
    let verdict = if at_source == at_target {
        Verdict::Equal
    } else {
        let (differing, is_all) = at_source.differing(&at_target, ROWS_COMPARED_MAX);
        let mut differences = find_differences(source, target, &layout, spec, &differing).await?;
        let has_more = !is_all || differences.len() > spec.differences_max;
        differences.truncate(spec.differences_max);
        Verdict::Different {
            differences,
            has_more,
        }
    };
    Ok(TableReport {
        source: layout.source.name.clone(),
        target: layout.target.name.clone(),
        source_row_count: at_source.row_count(),
        target_row_count: at_target.row_count(),
        verdict,
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
    spec: &ValidateSpec,
    differing: &[bool],
) -> Result<Vec<Difference>, RunError> {
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
            spec.subtask_count,
            || keep(Side::Source)
        ),
        scan(
            &*target.snapshot,
            &layout.target,
            None,
            spec.subtask_count,
            || keep(Side::Target)
        ),
    );
    let at_source = kept(at_source.map_err(RunError::Source)?);
    let at_target = kept(at_target.map_err(RunError::Target)?);
    let mut differences = Vec::new();
    for (key, rows) in &at_source {
        match at_target.get(key) {
            Some(others) => compare_rows(rows, others, layout, &mut differences),
            None => differences.extend(
                rows.iter()
                    .map(|row| row.only(DifferenceKind::MissingAtTarget)),
            ),
        }
    }
    for (key, rows) in &at_target {
        if !at_source.contains_key(key) {
            differences.extend(
                rows.iter()
                    .map(|row| row.only(DifferenceKind::ExtraAtTarget)),
            );
        }
    }
    differences.sort_by(|a, b| a.key.cmp(&b.key));
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
    rows: &[KeptRow],
    others: &[KeptRow],
    layout: &Layout,
    differences: &mut Vec<Difference>,
) {
    for (row, other) in rows.iter().zip(others) {
        if row.cells != other.cells {
            let changed = layout
                .columns
                .iter()
                .zip(row.cells.iter().zip(&other.cells))
                .filter(|(_, (here, there))| here != there);
            let columns = changed.map(|((name, _), _)| name.clone()).collect();
            differences.push(row.only(DifferenceKind::Changed { columns }));
        }
    }
    let missing = rows.iter().skip(others.len());
    differences.extend(missing.map(|row| row.only(DifferenceKind::MissingAtTarget)));
    let extra = others.iter().skip(rows.len());
    differences.extend(extra.map(|row| row.only(DifferenceKind::ExtraAtTarget)));
}

/// A row of a differing bucket.
struct KeptRow {
    key: String,
    cells: Vec<RowHash>,
}

impl KeptRow {
    fn only(&self, kind: DifferenceKind) -> Difference {
        Difference {
            key: self.key.clone(),
            kind,
        }
    }
}

/// Looks at an end's rows in the source's column order.
struct RowView<'a> {
    layout: &'a Layout,
    side: Side,
    hasher: RowHasher,
}

impl<'a> RowView<'a> {
    fn new(layout: &'a Layout, side: Side) -> Self {
        Self {
            layout,
            side,
            hasher: RowHasher::new(),
        }
    }

    fn place(layout: &Layout, side: Side, column: usize) -> usize {
        match side {
            Side::Source => column,
            Side::Target => layout.target_places[column],
        }
    }

    fn hash(&mut self, row: &[Value<'_>], columns: impl Iterator<Item = usize>) -> RowHash {
        let (layout, side) = (self.layout, self.side);
        self.hasher.hash(columns.map(|column| {
            (
                &row[Self::place(layout, side, column)],
                &layout.columns[column].1,
            )
        }))
    }

    fn key_hash(&mut self, row: &[Value<'_>]) -> RowHash {
        self.hash(row, self.layout.key.iter().copied())
    }

    fn row_hash(&mut self, row: &[Value<'_>]) -> RowHash {
        self.hash(row, 0..self.layout.columns.len())
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
        let key = self.row.key_hash(row);
        if !self.differing[Buckets::bucket_of(key)] {
            return Ok(());
        }
        let cells = (0..self.row.layout.columns.len())
            .map(|column| self.row.hash(row, std::iter::once(column)))
            .collect();
        let kept = KeptRow {
            key: self.row.key_text(row),
            cells,
        };
        self.rows.entry(key).or_default().push(kept);
        Ok(())
    }
}
