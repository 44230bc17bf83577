//! The contract between the engine of a task and the databases: what a source and a target promise.
//!
//! ```text
//!  Source ── tables, type definitions ──► engine ──► Target: plan, prepare, finish
//!    └─ Snapshot (one consistent view, many readers)    └─ Loader (one per running chunk)
//!         └─ ChunkReader ── RowBlock, RowBlock, … ────────►  write, write, … commit
//! ```
//!
//! Rows travel as [`RowBlock`]s: containers in the wire format in which the source sent them. A target either takes
//! that format as it is ([`RawFormat`]), or asks the block to decode its rows into borrowed [`whimbrel_core::Value`]s.

mod assess;
mod background;
mod bounds;
mod changes;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod control_tables;
mod endpoint;
mod error;
pub mod expression;
pub mod failpoint;
mod follow;
pub mod kept_log;
mod lookup;
pub mod memory;
mod mutation;
pub mod objects;
mod pieces;
mod rows;
mod source;
mod stall;
mod target;
pub mod views;

pub use assess::{Assessed, Concern, Findings, KEY_CHECKS, Unmade, without_key};
pub use background::{Background, in_background};
pub use bounds::{Bounds, Measured, Misfit, PROBE_CELLS, Probe, Without};
pub use changes::{
    AppliedCount, Applier, ChangeBlock, ChangeLog, ChangeRows, ChangeStream, LogEvent, LogPlace,
    LogStart, NetChanges, RowAt, RowSet, RunningWait, SingleChange, SingleKind, SnapshotView,
    StartPoint, TableId, TransactionMark,
};
pub use endpoint::{Connector, ServerInfo};
pub use error::{
    ConnectError, ConnectErrorKind, Error, NOBODY, RefusalKind, RowRefusal, TableFault,
};
pub use follow::{
    ApplyException, ApplySettings, Begun, Checkpoint, ColumnChange, Definition, FollowState,
    RecordChange,
};
pub use kept_log::{KeptLog, LogWatch, UnreadLog};
pub use lookup::{KeyCell, KeyLookup};
pub use mutation::Mutation;
pub use pieces::{LongCells, Piece, PieceVisitor, RowCursor};
pub use rows::{RawFormat, RawRows, RowBlock, RowVisitor};
pub use source::{
    ChunkReader, FinishedChunk, ReadFormat, ReadRequest, RecordedPlan, Snapshot, Source,
    TypeDefinition,
};
pub use stall::{Stall, StallWatch};
pub use target::{
    ChunkCommit, ChunkLoad, ChunkRecord, FedTable, Feeding, KeyNotRestored, KeyPolicy, LoadRecord,
    Loader, PrepareMode, RefusedType, ShapedTable, Target, TargetColumn, TargetTable, TaskFence,
};
