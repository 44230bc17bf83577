//! Both implementations of the store against one list of promises, and what only the embedded one has to keep.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test, in helpers too, and what a test begins ends with it"
)]

mod contract;
mod embedded;
mod secrets;
