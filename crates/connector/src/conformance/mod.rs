//! The conformance suite: what every connector must do, as one function per behaviour.
//!
//! The checks rest on the documentation of the traits alone, so they hold for a database in memory as well as for a server. A
//! connector says by a [`Harness`] how to put tables into its databases, and [`crate::conformance_tests`] makes a test of each
//! check. Tables are read back through the connector's own source: first the checks of snapshots and chunks show that it
//! reads what is there, then those of loads rest on it.
//!
//! Every check begins with two databases that hold nothing, and fails by a panic.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "checks fail like tests"
)]

mod catalog;
mod chunks;
mod epoch;
mod fixture;
mod list;
mod load;
mod lookup;
mod plan;
mod prepare;
mod record;
mod rig;
mod snapshot;
mod sql;

use crate::Connector;
use crate::memory::Row;

pub use catalog::*;
pub use chunks::*;
pub use epoch::*;
pub use fixture::{Fixture, FixtureColumn, Kind};
pub use load::*;
pub use lookup::*;
pub use plan::*;
pub use prepare::*;
pub use record::*;
pub use snapshot::*;
pub use sql::Dialect;

/// One of the two databases of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The database that is read.
    Source,
    /// The database that is written.
    Target,
}

/// A change that a check makes to a database behind the connector's back. Committed when it was made.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Makes the table, without its rows.
    Create(&'a Fixture),
    /// Adds rows to a table, and lets the server take note of its new size.
    Insert(&'a str, &'a [Row]),
    /// Deletes the rows of a table one by one.
    Delete(&'a str),
    /// Drops a table.
    Drop(&'a str),
    /// Makes a view of this name of a table. An engine without views does nothing.
    View(&'a str, &'a str),
    /// Drops a schema with its tables.
    DropSchema(&'a str),
}

/// Two empty databases of an engine, made for one check.
pub trait Harness: Send + Sync {
    /// The endpoint of a database.
    fn connector(&self, end: End) -> &dyn Connector;

    /// The schema in which the changes make their tables. No other check has a schema of this name at the same target.
    fn schema(&self, end: End) -> &str;

    /// Schemas of the engine itself and of the connector's records, which are never offered.
    fn system_schemas(&self) -> &[&str];

    /// Makes changes in order. Panics when one fails.
    fn change(&self, end: End, changes: &[Change<'_>]);

    /// Makes a table at the source, with at least a row, whose columns have types that the target must be given first, and
    /// answers its name. `None` when the engine has no such types.
    fn make_typed_table(&self) -> Option<&str>;
}
