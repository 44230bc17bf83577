//! Which rows a chunk holds: pages of a relation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use whimbrel_connector::{Error, FinishedChunk};
use whimbrel_core::{ChunkBounds, Column, TableName};

use super::filter::Conditions;
use crate::catalog::Relation;

/// Bytes of a page in every build of the server that is packaged.
const PAGE_BYTES: u64 = 8192;

/// The pages of one relation that a chunk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkRange {
    /// The leaf of a partitioned table; `None` for the table itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<TableName>,
    /// The relation's file; `None` without a relation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<u32>,
    /// First page.
    pub(super) from: u64,
    /// First page past the chunk; `None` takes all the rest.
    pub(super) to: Option<u64>,
    /// Stands for all relations of the table and their files, and for its columns: what must still be so when a chunk is read or its load is
    /// resumed.
    pub(super) tree: u64,
}

impl ChunkRange {
    pub(super) fn parse(bounds: &ChunkBounds) -> Result<Self, Error> {
        serde_json::from_str(&bounds.range).map_err(|error| {
            Error::Fatal(format!(
                "the recorded chunk {:?} is not one of PostgreSQL: {error}; start the load afresh",
                bounds.range
            ))
        })
    }

    /// Whether it is all of its relation, so that no condition is needed.
    pub(super) fn is_whole(&self) -> bool {
        self.from == 0 && self.to.is_none()
    }

    /// The condition on `ctid` of the rows in the range.
    pub(super) fn condition(&self) -> String {
        match self.to {
            Some(to) => format!(
                "ctid >= '({},0)'::tid AND ctid < '({to},0)'::tid",
                self.from
            ),
            None => format!("ctid >= '({},0)'::tid", self.from),
        }
    }
}

/// The conditions on the rows of those of the chunks that are of a partition, or of the table itself: one for each run of chunks beside each
/// other, of which the server reads these pages and no others. `None` where what was wanted of a chunk cannot be told exactly.
pub(super) fn runs(
    chunks: &[FinishedChunk],
    partition: Option<&TableName>,
    conditions: &Conditions<'_>,
) -> Result<Option<Vec<String>>, Error> {
    // By what was wanted of their rows.
    let mut ranges: BTreeMap<Option<String>, Vec<ChunkRange>> = BTreeMap::new();
    for chunk in chunks {
        let range = ChunkRange::parse(&chunk.bounds)?;
        if range.partition.as_ref() != partition {
            continue;
        }
        let filter = match &chunk.filter {
            None => None,
            Some(filter) => match conditions.exactly(filter) {
                None => return Ok(None),
                exact => exact,
            },
        };
        ranges.entry(filter).or_default().push(range);
    }
    let runs = ranges.into_iter().flat_map(|(filter, ranges)| {
        let runs = joined(ranges).into_iter();
        runs.map(move |range| match &filter {
            None => range.condition(),
            Some(filter) => format!("{} AND {filter}", range.condition()),
        })
    });
    Ok(Some(runs.collect()))
}

/// The ranges, those beside each other as one.
fn joined(mut ranges: Vec<ChunkRange>) -> Vec<ChunkRange> {
    ranges.sort_unstable_by_key(|range| range.from);
    ranges.dedup_by(|next, before| {
        let is_next = before.to == Some(next.from);
        if is_next {
            before.to = next.to;
        }
        is_next
    });
    ranges
}

/// A number for a table's columns, its relations and their files (FNV-1a): it changes when a column changes, a partition comes or
/// goes, or a file is replaced.
pub(super) fn tree(columns: &[Column], relations: &[Relation]) -> u64 {
    let mut ids: Vec<(u32, u32)> = relations.iter().map(|r| (r.oid, r.file)).collect();
    ids.sort_unstable();
    let of_columns = columns
        .iter()
        .flat_map(|column| [column.name.as_bytes(), &[0], column.native.as_bytes(), &[0]].concat());
    ids.iter()
        .flat_map(|(oid, file)| oid.to_be_bytes().into_iter().chain(file.to_be_bytes()))
        .chain(of_columns)
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
}

/// Splits every relation of a table into ranges of about `chunk_bytes`, oversized values included.
///
/// The last range has no end: pages added since the sizes were read can hold rows of the snapshot.
pub(super) fn plan(
    columns: &[Column],
    relations: &[Relation],
    is_partitioned: bool,
    chunk_bytes: u64,
) -> Vec<ChunkBounds> {
    let tree = tree(columns, relations);
    let mut chunks: Vec<ChunkBounds> = relations
        .iter()
        .flat_map(|relation| plan_relation(relation, is_partitioned, tree, chunk_bytes))
        .collect();
    if chunks.is_empty() {
        // A partitioned table without partitions holds nothing, and a plan is never empty.
        chunks.push(whole(columns));
    }
    chunks
}

/// All of a table whose rows have no places of their own.
pub(super) fn whole(columns: &[Column]) -> ChunkBounds {
    let whole = ChunkRange {
        partition: None,
        file: None,
        from: 0,
        to: None,
        tree: tree(columns, &[]),
    };
    bounds(&whole, 0)
}

/// One chunk for each of these relations of a table.
pub(super) fn plan_whole(
    columns: &[Column],
    relations: &[Relation],
    wanted: &[u32],
) -> Vec<ChunkBounds> {
    let tree = tree(columns, relations);
    let wanted = relations
        .iter()
        .filter(|relation| wanted.contains(&relation.oid));
    wanted
        .flat_map(|relation| plan_relation(relation, true, tree, u64::MAX))
        .collect()
}

fn plan_relation(
    relation: &Relation,
    is_partition: bool,
    tree: u64,
    chunk_bytes: u64,
) -> impl Iterator<Item = ChunkBounds> {
    let pages = relation.main_bytes.div_ceil(PAGE_BYTES);
    let count = relation
        .all_bytes
        .div_ceil(chunk_bytes.max(1))
        .clamp(1, pages.max(1));
    (0..count).map(move |index| {
        let range = ChunkRange {
            partition: is_partition.then(|| relation.name.clone()),
            file: Some(relation.file),
            from: pages * index / count,
            to: (index + 1 < count).then(|| pages * (index + 1) / count),
            tree,
        };
        bounds(&range, relation.row_estimate / count)
    })
}

fn bounds(range: &ChunkRange, row_estimate: u64) -> ChunkBounds {
    let range = serde_json::to_string(range).expect("a range has only text and numbers");
    ChunkBounds {
        range,
        row_estimate,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{Engine, Table};

    use super::*;

    fn relation(main_bytes: u64, all_bytes: u64) -> Relation {
        Relation {
            name: TableName::new("s", "t"),
            is_foreign: false,
            oid: 5,
            file: 6,
            main_bytes,
            all_bytes,
            row_estimate: 100,
        }
    }

    fn no_columns() -> Table {
        Table {
            engine: Engine::Postgres,
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

    fn ranges(main_bytes: u64, all_bytes: u64, chunk_bytes: u64) -> Vec<ChunkRange> {
        plan(&[], &[relation(main_bytes, all_bytes)], false, chunk_bytes)
            .iter()
            .map(|bounds| ChunkRange::parse(bounds).unwrap())
            .collect()
    }

    #[test]
    fn ranges_follow_each_other_and_the_last_is_open() {
        for (main, all, chunk) in [
            (0, 0, 10),
            (8192, 99_999_999, 10),
            (81_920_000, 81_920_000, 8_000_000),
        ] {
            let ranges = ranges(main, all, chunk);
            assert_eq!(ranges[0].from, 0);
            assert!(
                ranges
                    .windows(2)
                    .all(|pair| pair[0].to == Some(pair[1].from))
            );
            assert_eq!(ranges.last().unwrap().to, None);
        }
        assert_eq!(ranges(81_920_000, 81_920_000, 8_000_000).len(), 11);
    }

    #[test]
    fn chunks_that_follow_each_other_are_one_run() {
        let chunks: Vec<FinishedChunk> =
            plan(&[], &[relation(81_920_000, 81_920_000)], false, 16_384_000)
                .into_iter()
                .map(|bounds| FinishedChunk {
                    bounds,
                    filter: None,
                    row_count: 1,
                })
                .collect();
        assert_eq!(chunks.len(), 5);
        let some = [&chunks[3..], &chunks[..2]].concat();
        let table = no_columns();
        let conditions = Conditions {
            table: &table,
            is_utf8: true,
        };
        assert_eq!(
            runs(&some, None, &conditions).unwrap().unwrap(),
            [
                "ctid >= '(0,0)'::tid AND ctid < '(4000,0)'::tid",
                "ctid >= '(6000,0)'::tid"
            ]
        );
        let other = TableName::new("s", "other");
        let of_other = runs(&some, Some(&other), &conditions).unwrap();
        assert_eq!(of_other.as_deref(), Some(&[][..]));
    }

    #[test]
    fn a_table_without_relations_is_one_chunk() {
        assert_eq!(plan(&[], &[], true, 10).len(), 1);
    }

    #[test]
    fn the_tree_changes_with_files_and_members_but_not_with_sizes() {
        let one = relation(1, 1);
        let larger = relation(500, 900);
        let anew = Relation {
            file: 7,
            ..relation(1, 1)
        };
        let tree_of = |relations: &[&Relation]| {
            let relations: Vec<_> = relations.iter().map(|&relation| relation.clone()).collect();
            tree(&[], &relations)
        };
        assert_eq!(tree_of(&[&one]), tree_of(&[&larger]));
        assert_ne!(tree_of(&[&one]), tree_of(&[&anew]));
        assert_ne!(tree_of(&[&one]), tree_of(&[&one, &anew]));
        assert_eq!(tree_of(&[&one, &anew]), tree_of(&[&anew, &one]));
    }
}
