//! Segments of a table that load in parallel.

use std::cmp::Ordering;

use super::filter::TestedColumn;
use super::table_settings::Ranges;
use super::{Comparison, Literal, ParallelLoad, Predicate, is_lob};
use crate::{ColumnType, Table};

/// In which segments a table is loaded, resolved for the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Segments {
    /// Each partition is one.
    Partitions,
    /// Each subpartition is one.
    Subpartitions,
    /// These partitions are one each, and no others are loaded.
    PartitionList {
        /// Names of partitions.
        partitions: Vec<String>,
        /// Names of subpartitions.
        subpartitions: Vec<String>,
    },
    /// Ranges.
    Ranges {
        /// Each segment's condition. No row is in two of them.
        segments: Vec<Predicate>,
        /// The rows of no segment, which the service does not load: those with NULL in a column of the ranges, as far as that matters.
        unloaded: Predicate,
    },
}

/// Resolves a table's segments; the error says what was expected, with the place within the rule.
pub(super) fn resolve(
    load: &ParallelLoad,
    table: &Table,
) -> Result<Option<Segments>, (String, String)> {
    Ok(match load {
        ParallelLoad::None => None,
        ParallelLoad::Partitions => Some(Segments::Partitions),
        ParallelLoad::Subpartitions => Some(Segments::Subpartitions),
        ParallelLoad::PartitionList {
            partitions,
            subpartitions,
        } => Some(Segments::PartitionList {
            partitions: partitions.clone(),
            subpartitions: subpartitions.clone(),
        }),
        ParallelLoad::Ranges(ranges) => Some(of_ranges(ranges, table)?),
    })
}

fn of_ranges(ranges: &Ranges, table: &Table) -> Result<Segments, (String, String)> {
    let mut columns = Vec::new();
    for (place, name) in ranges.columns.iter().enumerate() {
        let fault = |expected| (format!("columns[{place}]"), expected);
        let column = TestedColumn::find(table, name).map_err(fault)?;
        let ty = column.ty(table);
        let is_rangeless = is_lob(ty) || matches!(ty, ColumnType::Float32 | ColumnType::Float64);
        // Long texts are ordered like short ones.
        if is_rangeless && !matches!(ty, ColumnType::Text { .. }) {
            return Err(fault(format!(
                "a column that is no floating-point number and no large object, unlike {name}"
            )));
        }
        columns.push(column);
    }
    let mut boundaries: Vec<Vec<Literal>> = Vec::new();
    for (place, texts) in ranges.boundaries.iter().enumerate() {
        let mut boundary = Vec::new();
        for (part, (text, column)) in texts.iter().zip(&columns).enumerate() {
            let literal = Literal::read(text, column.ty(table), table.engine);
            boundary.push(literal.map_err(|expected| {
                let expected = format!("{expected} for column {}", column.name);
                (format!("boundaries[{place}][{part}]"), expected)
            })?);
        }
        if boundaries
            .last()
            .is_some_and(|last| !is_below(last, &boundary))
        {
            return Err((
                format!("boundaries[{place}]"),
                "a boundary above the one before it: rows would be loaded twice".to_owned(),
            ));
        }
        boundaries.push(boundary);
    }
    let below: Vec<Predicate> = boundaries
        .iter()
        .map(|boundary| below(&columns, boundary))
        .collect();
    Ok(segments_between(&below))
}

fn is_below(one: &[Literal], other: &[Literal]) -> bool {
    let mut orders = one
        .iter()
        .zip(other)
        .map(|(one, other)| one.order_to(other));
    orders
        .find(|order| *order != Some(Ordering::Equal))
        .flatten()
        == Some(Ordering::Less)
}

/// `(C1 < b1) OR (C1 = b1 AND C2 < b2) OR …`
fn below(columns: &[TestedColumn], boundary: &[Literal]) -> Predicate {
    let compare = |place: usize, comparison| Predicate::Compare {
        column: columns[place].clone(),
        comparison,
        literal: boundary[place].clone(),
    };
    let steps = (0..columns.len()).map(|last| {
        let equal = (0..last).map(|place| compare(place, Comparison::Equal));
        Predicate::All(equal.chain([compare(last, Comparison::Less)]).collect())
    });
    Predicate::Any(steps.collect())
}

fn segments_between(below: &[Predicate]) -> Segments {
    let not = |predicate: &Predicate| Predicate::Not(Box::new(predicate.clone()));
    let mut segments = Vec::new();
    let mut last: Option<&Predicate> = None;
    for predicate in below {
        segments.push(match last {
            None => predicate.clone(),
            Some(last) => Predicate::All(vec![not(last), predicate.clone()]),
        });
        last = Some(predicate);
    }
    segments.extend(last.map(not));
    let unloaded = segments
        .iter()
        .map(|segment| Predicate::Not(Box::new(Predicate::IsTrue(Box::new(segment.clone())))));
    Segments::Ranges {
        unloaded: Predicate::All(unloaded.collect()),
        segments,
    }
}
