//! The PostgreSQL connector against real servers.

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
