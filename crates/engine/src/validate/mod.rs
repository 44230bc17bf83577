//! Compares every row of the selected tables at both ends, and names by key what differs.
//!
//! Neither end sorts: each row is hashed in a form that engines agree on ([`whimbrel_core::RowHasher`]) and added to one of many
//! buckets, chosen by its key. Equal sums and counts in every bucket mean equal tables. Where buckets differ, their rows
//! alone are read again under the same snapshots and compared by key. Memory is bounded by the number of buckets, by
//! [`ROWS_COMPARED_MAX`] and by the bytes that those rows take, whatever the size of the tables. Tables without a key are compared as multisets of
//! rows, of which their hashes alone are held.

mod buckets;
mod compare;
mod layout;
mod scan;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::{Connector, Error, Snapshot, Source};
use whimbrel_core::mapping::{TableMappings, Unmatched};
use whimbrel_core::{Table, TableName};

use crate::full_load::Found;
use crate::progress::MISSING;
use crate::shaping::Shaper;
use crate::{RunError, Shaping};
use compare::compare_table;
pub(crate) use compare::{Compared, RowView, Side, compare};
pub(crate) use layout::Layout;

/// Rows of differing buckets that are held at once and compared by key; further buckets are only counted.
pub const ROWS_COMPARED_MAX: u64 = 100_000;

/// Of a pattern.
const UNFOUND: &str = "no table of the source matches";

/// What to compare.
#[derive(Clone, Debug)]
pub struct ValidateSpec {
    /// Which tables, under which names at the target.
    pub mappings: TableMappings,
    /// The one schema of all tables at the target, if so.
    pub target_schema: Option<String>,
    /// What was wanted to be different at the target.
    pub shaping: Shaping,
    /// Chunks read at once from each end.
    pub subtask_count: usize,
    /// The most differences named for a table; the rest is counted.
    pub differences_max: usize,
}

/// What became of one table's comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// The table at the source.
    pub source: TableName,
    /// The table at the target.
    pub target: TableName,
    /// Rows at the source.
    pub source_row_count: u64,
    /// Rows at the target.
    pub target_row_count: u64,
    /// The outcome.
    pub verdict: Verdict,
    /// Columns that the source computes and the target does not have: they are no part of the comparison.
    pub not_compared: Vec<String>,
}

/// The outcome of a table's comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both ends hold the same rows.
    Equal,
    /// They do not.
    Different {
        /// The first differences by key.
        differences: Vec<Difference>,
        /// Whether there are more than those.
        has_more: bool,
    },
    /// They could not be compared; the text says why.
    NotComparable(String),
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key as `(a, b)`; for a table without one, the row's hash.
    pub key: String,
    /// What is different.
    pub kind: DifferenceKind,
}

/// How a row differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Only at the source.
    MissingAtTarget,
    /// Only at the target.
    ExtraAtTarget,
    /// At both, with other values in these columns.
    Changed {
        /// Their names, as rules give them.
        columns: Vec<String>,
    },
}

/// One end of a comparison: a snapshot and its tables.
pub(crate) struct End {
    pub(crate) snapshot: Box<dyn Snapshot>,
    pub(crate) tables: Vec<Table>,
}

/// Told of each table as it is done: its index, how many there are, and the report.
pub type ReportSink<'a> = dyn FnMut(usize, usize, &TableReport) + Send + 'a;

/// Compares the selected tables, one after another, each with `subtask_count` readers at either end.
///
/// Both ends are read under one snapshot each; on moving ends the comparison is of those two moments.
///
/// # Errors
/// When an end cannot be reached or read at all. A table that cannot be read or compared is a verdict, not an error.
pub async fn validate(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &ValidateSpec,
    stop: &CancellationToken,
    report: &mut ReportSink<'_>,
) -> Result<Vec<TableReport>, RunError> {
    let (from, to) = tokio::join!(source.source(), target.source());
    let mut from = from.map_err(RunError::Source)?;
    let mut to = to.map_err(RunError::Target)?;
    let found = Found::at(&mut *from, &spec.mappings).await;
    let Found {
        mut tables,
        views,
        unmatched,
    } = found.map_err(RunError::Source)?;
    tables.extend(views);
    if tables.is_empty() {
        return Err(RunError::NoTables);
    }
    let names: Vec<TableName> = tables
        .iter()
        .map(|table| spec.target_name(&table.name))
        .collect::<Result<_, _>>()?;
    let is_wanted = |name: &TableName| names.contains(name);
    let target_tables = to.tables(&is_wanted).await.map_err(RunError::Target)?;
    let source_end = open(&mut *from, tables, spec)
        .await
        .map_err(RunError::Source)?;
    let target_end = open(&mut *to, target_tables, spec)
        .await
        .map_err(RunError::Target)?;

    let missing = missing(&unmatched, spec)?;
    let count = names.len() + missing.len();
    let mut reports = Vec::new();
    for (index, table) in source_end.tables.iter().enumerate() {
        if stop.is_cancelled() {
            break;
        }
        let name = &names[index];
        let counterpart = target_end.tables.iter().find(|table| table.name == *name);
        let done = match counterpart
            .map(|counterpart| Layout::of(table, counterpart, spec.shaper()))
        {
            Some(Ok(layout)) => {
                let compared = compare_table(&source_end, &target_end, layout, spec);
                tokio::select! {
                    () = stop.cancelled() => break,
                    compared = compared => match compared {
                        Ok(compared) => compared,
                        Err(error) => not_comparable(&table.name, name, unreadable(error)?),
                    },
                }
            }
            Some(Err(reason)) => not_comparable(&table.name, name, reason),
            None => not_comparable(&table.name, name, "the target has no such table".to_owned()),
        };
        report(index, count, &done);
        reports.push(done);
    }
    if !stop.is_cancelled() {
        for done in missing {
            report(reports.len(), count, &done);
            reports.push(done);
        }
    }
    Ok(reports)
}

/// What was asked for and is not there: whoever compares wants to know that it is, so a pattern without tables is no success either.
fn missing(unmatched: &Unmatched, spec: &ValidateSpec) -> Result<Vec<TableReport>, RunError> {
    let mut missing = Vec::new();
    for name in &unmatched.names {
        let target = spec.target_name(name)?;
        missing.push(not_comparable(name, &target, MISSING.to_owned()));
    }
    let unfound = unmatched.patterns.iter();
    missing.extend(unfound.map(|pattern| not_comparable(pattern, pattern, UNFOUND.to_owned())));
    Ok(missing)
}

async fn open(
    source: &mut dyn Source,
    tables: Vec<Table>,
    spec: &ValidateSpec,
) -> Result<End, Error> {
    let snapshot = source.snapshot(spec.subtask_count).await?;
    Ok(End { snapshot, tables })
}

/// What is wrong with one table says nothing of the others: it becomes the reason why that one cannot be compared.
pub(crate) fn unreadable(error: RunError) -> Result<String, RunError> {
    let (end, of_table) = match error {
        RunError::Source(error) => ("source", of_one_table(error).map_err(RunError::Source)?),
        RunError::Target(error) => ("target", of_one_table(error).map_err(RunError::Target)?),
        other @ (RunError::SameDatabase(_)
        | RunError::NoTables
        | RunError::NothingToResume
        | RunError::WasFollowed
        | RunError::FedByAnother { .. }
        | RunError::SharedAndPrepared
        | RunError::Table(_)) => {
            return Err(other);
        }
    };
    Ok(format!("at the {end}: {of_table}"))
}

fn of_one_table(error: Error) -> Result<String, Error> {
    match error {
        Error::Table(fault) => Ok(fault.message),
        Error::Row(refusal) => Ok(refusal.to_string()),
        other @ (Error::Connect(_)
        | Error::Transient(_)
        | Error::Busy(_)
        | Error::Fenced { .. }
        | Error::Fatal(_)) => Err(other),
    }
}

fn not_comparable(source: &TableName, target: &TableName, reason: String) -> TableReport {
    TableReport {
        source: source.clone(),
        target: target.clone(),
        source_row_count: 0,
        target_row_count: 0,
        verdict: Verdict::NotComparable(reason),
        not_compared: Vec::new(),
    }
}

impl ValidateSpec {
    fn shaper(&self) -> Shaper<'_> {
        Shaper {
            settings: &self.shaping,
            mappings: &self.mappings,
            target_schema: self.target_schema.as_deref(),
        }
    }

    fn target_name(&self, table: &TableName) -> Result<TableName, RunError> {
        let name = self.shaper().target_name(table);
        name.map_err(RunError::Source)
    }
}
