use serde::{Deserialize, Serialize};

/// The number of a chunk within its table's plan, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChunkId(pub u32);

/// Which rows of a table a chunk holds, in the notation of the source connector that planned it.
///
/// The chunks of one plan cover every row of the snapshot exactly once. The text is stored with the
/// load's record at the target, so that a resumed load reads the same ranges again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkBounds {
    /// The range, opaque outside the source connector. Free of secrets; at most 60,000 bytes.
    pub range: String,
    /// About how many rows the chunk holds, 0 when unknown. For progress only.
    pub row_estimate: u64,
}
