//! The connector against real servers: MariaDB 10.11 and MySQL 9.7.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail like the tests themselves, and what a test begins ends with it"
)]

mod apply;
mod apply_atomic;
mod apply_keys;
mod apply_support;
mod apply_types;
mod changed;
mod chunks;
mod conformance;
mod connection;
mod fed;
mod hostile;
mod load;
mod log_definitions;
mod log_forms;
mod log_history;
mod log_places;
mod log_starts;
mod log_support;
mod log_transactions;
mod log_types;
mod log_watch;
mod long_rows;
mod lookups;
mod prefix_keys;
mod records;
mod snapshot;
mod support;
mod types;
mod unversioned;
