//! The PostgreSQL connector against real servers.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail like the tests themselves"
)]

mod apply;
mod apply_fence;
mod apply_tables;
mod apply_types;
mod changes;
mod connection;
mod keys;
mod partitions;
mod prepare;
mod record;
mod refusals;
mod snapshots;
mod support;
mod types;
mod user_types;
