//! Segments of a table that load in parallel.

use std::cmp::Ordering;

use super::filter::TestedColumn;
use super::resolve::ResolveError;
use super::table_settings::Ranges;
use super::{Comparison, Literal, ParallelLoad, Predicate, TableMappings, is_lob};
use crate::{ColumnType, Partition, Table};

/// In which segments a table is loaded, resolved for the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Segments {
    /// The whole table is one.
    Whole,
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
        /// The rows of no segment: those with NULL in a column of the ranges, as far as that matters. `None`: there can be none.
        rest: Option<Predicate>,
    },
}

impl Segments {
    /// What each chunk of a load by ranges holds: every row is in exactly one of them. Empty where partitions are the segments.
    pub fn ranges(&self) -> Vec<&Predicate> {
        match self {
            Self::Ranges { segments, rest } => segments.iter().chain(rest).collect(),
            Self::Whole | Self::Partitions | Self::Subpartitions | Self::PartitionList { .. } => {
                Vec::new()
            }
        }
    }

    /// The partitions that each are a segment, of those that a table has; a part of one in their stead where it is the segment. Empty where the
    /// whole table is one.
    pub fn of_partitions<'p>(&self, there: &'p [Partition]) -> Vec<&'p Partition> {
        let has_parts = |one: &Partition| there.iter().any(|part| part.is_of(one));
        let is_segment = |one: &&Partition| match self {
            Self::Whole | Self::Ranges { .. } => false,
            Self::Partitions => one.parent.is_none(),
            Self::Subpartitions => !has_parts(one),
            Self::PartitionList {
                partitions,
                subpartitions,
            } => {
                let names = if one.parent.is_none() {
                    partitions
                } else {
                    subpartitions
                };
                names.contains(&one.name)
            }
        };
        there.iter().filter(is_segment).collect()
    }

    /// As [`Self::of_partitions`], of which there must be some, and all that are listed.
    ///
    /// `must_be_all`: together they held every row when the list was checked.
    ///
    /// # Errors
    /// What is not there any more, or came since.
    pub fn found_partitions<'p>(
        &self,
        there: &'p [Partition],
        must_be_all: bool,
    ) -> Result<Vec<&'p Partition>, String> {
        if must_be_all && self.leaves_rows_out(there) {
            return Err(
                "a partition came to it that the list does not name; add it, and start the load again"
                    .to_owned(),
            );
        }
        let found = self.of_partitions(there);
        let expected = match self {
            Self::PartitionList {
                partitions,
                subpartitions,
            } => partitions.len() + subpartitions.len(),
            Self::Whole | Self::Partitions | Self::Subpartitions | Self::Ranges { .. } => 1,
        };
        if found.len() < expected {
            return Err("partitions of it are gone; start the load again".to_owned());
        }
        Ok(found)
    }

    /// Whether rows are left out, because the partitions that they are in are not listed.
    pub fn leaves_rows_out(&self, there: &[Partition]) -> bool {
        if !matches!(self, Self::PartitionList { .. }) {
            return false;
        }
        let segments = self.of_partitions(there);
        let is_covered = |leaf: &Partition| {
            let mut within = Some(leaf);
            while let Some(one) = within {
                if segments.contains(&one) {
                    return true;
                }
                within = there.iter().find(|parent| one.is_of(parent));
            }
            false
        };
        let has_parts = |one: &Partition| there.iter().any(|part| part.is_of(one));
        there.iter().any(|one| !has_parts(one) && !is_covered(one))
    }
}

impl TableMappings {
    /// In which segments a table is loaded; `None`: as the engine likes.
    ///
    /// # Errors
    /// Ranges that do not fit the table.
    pub fn segments(&self, table: &Table) -> Result<Option<Segments>, ResolveError> {
        let rule = self.settings.iter().find(|rule| rule.table == table.name);
        let Some((rule, load)) = rule.and_then(|rule| Some((rule, rule.parallel_load.as_ref()?)))
        else {
            return Ok(None);
        };
        let resolved = resolve(load, table).map_err(|(within, expected)| {
            let path = format!("{}.parallel-load.{within}", rule.path);
            ResolveError::new(table, rule.id, &path, expected)
        });
        resolved.map(Some)
    }

    /// Checks the names of partitions that are listed for a table against those that it has, and that no row is in two of them.
    ///
    /// # Errors
    /// A name that is none, or that is listed twice.
    pub fn check_partitions(&self, table: &Table, there: &[Partition]) -> Result<(), ResolveError> {
        let rule = self.settings.iter().find(|rule| rule.table == table.name);
        let Some((rule, load)) = rule.and_then(|rule| Some((rule, rule.parallel_load.as_ref()?)))
        else {
            return Ok(());
        };
        let ParallelLoad::PartitionList {
            partitions,
            subpartitions,
        } = load
        else {
            return Ok(());
        };
        let mut listed: Vec<&Partition> = Vec::new();
        for (list, names, is_sub) in [
            ("partitions", partitions, false),
            ("subpartitions", subpartitions, true),
        ] {
            for (place, name) in names.iter().enumerate() {
                let found = find_listed(there, &listed, name, is_sub);
                listed.push(found.map_err(|expected| {
                    let path = format!("{}.parallel-load.{list}[{place}]", rule.path);
                    ResolveError::new(table, rule.id, &path, expected)
                })?);
            }
        }
        Ok(())
    }
}

/// The partition of a name, which must not hold rows of one that is listed already.
fn find_listed<'p>(
    there: &'p [Partition],
    listed: &[&Partition],
    name: &str,
    is_sub: bool,
) -> Result<&'p Partition, String> {
    let of_kind = |one: &&Partition| one.parent.is_some() == is_sub;
    let kind = if is_sub { "subpartition" } else { "partition" };
    let Some(found) = there
        .iter()
        .filter(of_kind)
        .find(|partition| partition.name == name)
    else {
        let names: Vec<&str> = there
            .iter()
            .filter(of_kind)
            .map(|partition| partition.name.as_str())
            .collect();
        return Err(if names.is_empty() {
            format!("a {kind} of the table, which has none")
        } else {
            format!("a {kind} of the table: {}", names.join(", "))
        });
    };
    let mut within = Some(found);
    while let Some(one) = within {
        if listed.contains(&one) {
            return Err(format!(
                "{kind} {name} to be listed once, and not beside one that it is a part of: its rows would be loaded twice"
            ));
        }
        within = there.iter().find(|parent| one.is_of(parent));
    }
    Ok(found)
}

/// Resolves a table's segments; the error says what was expected, with the place within the rule.
fn resolve(load: &ParallelLoad, table: &Table) -> Result<Segments, (String, String)> {
    Ok(match load {
        ParallelLoad::None => Segments::Whole,
        ParallelLoad::Partitions => Segments::Partitions,
        ParallelLoad::Subpartitions => Segments::Subpartitions,
        ParallelLoad::PartitionList {
            partitions,
            subpartitions,
        } => Segments::PartitionList {
            partitions: partitions.clone(),
            subpartitions: subpartitions.clone(),
        },
        ParallelLoad::Ranges(ranges) => of_ranges(ranges, table)?,
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
    Ok(segments_between(&columns, &below))
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

fn segments_between(columns: &[TestedColumn], below: &[Predicate]) -> Segments {
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
    let rest = rest_of(columns, &segments);
    Segments::Ranges { segments, rest }
}

/// What no segment holds. Unless a column is NULL each comparison is true or false, and so one of the segments is true. What the catalog
/// says of NULL is not asked: a constraint may not hold for older rows, and a server sees at once that a column has none.
fn rest_of(columns: &[TestedColumn], segments: &[Predicate]) -> Option<Predicate> {
    let nulls: Vec<Predicate> = columns.iter().cloned().map(Predicate::IsNull).collect();
    if nulls.is_empty() {
        return None;
    }
    if columns.len() == 1 {
        return nulls.into_iter().next();
    }
    let outside = segments
        .iter()
        .map(|segment| Predicate::Not(Box::new(Predicate::IsTrue(Box::new(segment.clone())))));
    // Said first, so that no server looks at every boundary for rows without NULL.
    let mut all = vec![Predicate::Any(nulls)];
    all.extend(outside);
    Some(Predicate::All(all))
}
