//! The PostgreSQL connector against real servers.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail like the tests themselves"
)]

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
