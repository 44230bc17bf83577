//! The PostgreSQL connector against real servers.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests fail like the tests themselves, and what a test begins ends with it"
)]

mod apply;
mod apply_fence;
mod apply_plans;
mod apply_speed;
mod apply_tables;
mod apply_types;
mod apply_undo;
mod changes;
mod conformance;
mod connection;
mod keys;
mod log;
mod log_failover;
mod log_faults;
mod log_history;
mod log_identity;
mod log_members;
mod log_model;
mod log_open;
mod log_open_support;
mod log_shapes;
mod log_speed;
mod log_spool;
mod log_support;
mod log_two_phase;
mod log_types;
mod log_views;
mod log_waits;
mod log_watch;
mod partitions;
mod prepare;
mod record;
mod refusals;
mod snapshots;
mod statements;
mod support;
mod types;
mod user_types;
