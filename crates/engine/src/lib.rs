//! The run of a task, from its mappings to the last row, over connectors that it knows only by their contracts.
//!
//! A run keeps no state of its own on disk: what is loaded is recorded at the target, in the transactions that
//! wrote the rows. A resumed run reads that record and goes on; a crash needs no other care.

mod cdc;
mod control_tables;
mod error;
mod full_load;
mod progress;
mod retry;
mod shaping;
mod spec;
pub mod validate;

pub use cdc::{
    ApplyErrors, BATCH_BYTES, CdcEnd, CdcOutcome, CdcSpec, CdcStart, ChangeCounts, DdlPolicy,
    LeftOut, Reloads, RowPolicy, StopTime, forget_cdc, run_cdc,
};
pub use control_tables::{ControlTables, keep_control_tables};
pub use error::RunError;
pub use full_load::{LoadOutcome, LoadPlan, PlannedTable, plan_full_load, run_full_load};
pub use progress::{
    FollowProgress, Interruption, Progress, ProgressSnapshot, TableProgress, TableState,
};
pub use retry::RetryPolicy;
pub use shaping::{Shaping, UnboundedNumbers};
pub use spec::{FullLoadSpec, Joining, StartKind, TableErrorPolicy};
