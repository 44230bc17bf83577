//! The run of a task, from its mappings to the last row, over connectors that it knows only by their contracts.
//!
//! A run keeps no state of its own on disk: what is loaded is recorded at the target, in the transactions that
//! wrote the rows. A resumed run reads that record and goes on; a crash needs no other care.

pub mod assess;
mod cdc;
mod control_tables;
mod data_errors;
mod error;
mod exceptions;
mod feeding;
mod full_load;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod hold;
mod objects;
mod progress;
mod retry;
mod shaping;
mod spec;
mod stall_watch;
pub mod validate;
mod validation;

pub use cdc::{
    ApplyErrors, BATCH_BYTES, BATCH_CHANGES, CdcEnd, CdcOutcome, CdcSpec, CdcStart, ChangeCounts,
    DdlPolicy, Forgotten, LeftOut, OnTruncate, Reloads, RowPolicy, StopTime, forget_cdc,
    release_log, run_cdc,
};
pub use control_tables::{ControlTables, keep_control_tables};
pub use data_errors::{DataErrors, Escalation};
pub use error::RunError;
pub use full_load::{
    LoadOutcome, LoadPlan, PlannedTable, RepeatedLoad, Split, are_one_database,
    check_ends_are_apart, plan_full_load, run_full_load,
};
pub use objects::{ObjectProgress, ObjectResult, ObjectState, plan_objects};
pub use progress::{
    Alarm, FollowProgress, Interruption, Progress, ProgressSnapshot, TableProgress, TableState,
};
pub use retry::RetryPolicy;
pub use shaping::{OnCut, Shaping, UnboundedNumbers};
pub use spec::{FullLoadSpec, Joining, LoadExceptions, StartKind, TableErrorPolicy};
pub use validation::{
    Delays, TableValidation, Touched, ValidationSpec, ValidationState, Validator,
};
