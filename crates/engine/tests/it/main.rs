//! The engine over databases in memory: every call of the contracts is made to fail.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may panic, and what it begins ends with it"
)]

mod apart;
mod apply_modes;
mod cdc;
mod control_tables;
mod data_errors;
mod definitions;
mod events;
mod feeding;
mod full_load;
mod interruptions;
mod latency;
mod log_watch;
mod lost;
mod parts;
mod reloads;
mod rules;
mod seam;
mod shaping;
mod stalls;
mod support;
mod told_names;
mod validating;
mod validation;
mod workload;
