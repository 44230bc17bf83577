use serde::{Deserialize, Serialize};
use whimbrel_connector::Error;
use whimbrel_core::{ChunkBounds, TableName};

use crate::catalog::{Relation, TableDetail};

/// Bytes of a page in every build of the server that is packaged.
const PAGE_BYTES: u64 = 8192;

/// The pages of one relation that a chunk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkRange {
    /// The leaf of a partitioned table; `None` for the table itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<TableName>,
    /// First page.
    pub(super) from: u64,
    /// First page past the chunk; `None` takes all the rest.
    pub(super) to: Option<u64>,
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

/// Splits every relation of a table into ranges of about `chunk_bytes`, oversized values included.
///
/// The last range has no end: pages added since the sizes were read can hold rows of the snapshot.
pub(super) fn plan(detail: &TableDetail, chunk_bytes: u64) -> Vec<ChunkBounds> {
    let mut chunks = Vec::new();
    for relation in &detail.relations {
        let partition = detail.is_partitioned.then(|| relation.name.clone());
        chunks.extend(plan_relation(partition.as_ref(), relation, chunk_bytes));
    }
    if chunks.is_empty() {
        // A partitioned table without partitions holds nothing, and a plan is never empty.
        chunks.push(bounds(
            &ChunkRange {
                partition: None,
                from: 0,
                to: Some(0),
            },
            0,
        ));
    }
    chunks
}

fn plan_relation(
    partition: Option<&TableName>,
    relation: &Relation,
    chunk_bytes: u64,
) -> Vec<ChunkBounds> {
    let pages = relation.main_bytes.div_ceil(PAGE_BYTES);
    let count = relation
        .all_bytes
        .div_ceil(chunk_bytes.max(1))
        .clamp(1, pages.max(1));
    (0..count)
        .map(|index| {
            let range = ChunkRange {
                partition: partition.cloned(),
                from: pages * index / count,
                to: (index + 1 < count).then(|| pages * (index + 1) / count),
            };
            bounds(&range, relation.row_estimate / count)
        })
        .collect()
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
    use super::*;

    fn relation(main_bytes: u64, all_bytes: u64) -> Relation {
        Relation {
            name: TableName::new("s", "t"),
            main_bytes,
            all_bytes,
            row_estimate: 100,
        }
    }

    #[test]
    fn ranges_follow_each_other_and_the_last_is_open() {
        for (main, all, chunk) in [
            (0, 0, 10),
            (8192, 99_999_999, 10),
            (81_920_000, 81_920_000, 8_000_000),
        ] {
            let ranges: Vec<ChunkRange> = plan_relation(None, &relation(main, all), chunk)
                .iter()
                .map(|bounds| ChunkRange::parse(bounds).unwrap())
                .collect();
            assert_eq!(ranges[0].from, 0);
            assert!(
                ranges
                    .windows(2)
                    .all(|pair| pair[0].to == Some(pair[1].from))
            );
            assert_eq!(ranges.last().unwrap().to, None);
        }
        assert_eq!(
            plan_relation(None, &relation(81_920_000, 81_920_000), 8_000_000).len(),
            11
        );
    }
}
