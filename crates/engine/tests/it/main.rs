//! The engine over databases in memory: every call of the contracts is made to fail.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cdc;
mod control_tables;
mod definitions;
mod full_load;
mod shaping;
mod support;
mod validation;
mod workload;
