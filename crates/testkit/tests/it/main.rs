//! Tests of the servers themselves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod databases;
mod lifetime;
mod tls;
