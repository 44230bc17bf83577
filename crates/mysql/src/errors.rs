//! Errors of the wire as errors of the contract, which say what can be done next.

use whimbrel_connector::Error;
use whimbrel_core::TableName;

use crate::wire::{MyError, WireError};

/// The error of an exchange that concerns no single table. `doing` says what was tried: `read the catalog`.
pub(crate) fn general(error: WireError, doing: &str) -> Error {
    match error {
        WireError::Server(error) if error.is_transient() => passing(doing, &error),
        WireError::Server(error) if error.is_denied() => Error::Fatal(format!(
            "cannot {doing}: {error}; grant the user this privilege"
        )),
        WireError::Server(error) => Error::Fatal(format!("cannot {doing}: {error}")),
        WireError::Protocol(_) => Error::Fatal(format!("cannot {doing}: {error}")),
        WireError::Io(_) | WireError::Closed | WireError::Silent(_) | WireError::Unusable => {
            transient(doing, &error)
        }
    }
}

/// The error of an exchange that concerns one table.
pub(crate) fn of_table(error: WireError, table: &TableName, doing: &str) -> Error {
    match error {
        WireError::Server(error) if error.is_transient() => {
            named(table, doing, &format!("{error}{}", remedy(&error)))
        }
        WireError::Server(error) => {
            Error::table(table, format!("cannot {doing}: {error}{}", remedy(&error)))
        }
        WireError::Protocol(_) => general(error, doing),
        other => named(table, doing, &other),
    }
}

/// A fault that passes, with the table that it was met at.
fn named(table: &TableName, doing: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Transient(format!("table {table}: cannot {doing}: {error}"))
}

fn transient(doing: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Transient(format!("cannot {doing}: {error}"))
}

/// What the server is in for now.
fn passing(doing: &str, error: &MyError) -> Error {
    transient(doing, &format!("{error}{}", remedy(error)))
}

fn remedy(error: &MyError) -> &'static str {
    match error.code {
        _ if error.is_disk_full() => "; make room on the disk of that server",
        1040 | 1203 | 1226 => "; close other connections, or raise the server's limit of them",
        1290 | 1836 => "; the server takes no writes: let the endpoint lead to one that does",
        1044 | 1142 | 1143 | 1227 => "; grant the user this privilege",
        1146 | 1051 => {
            "; it was dropped or renamed since it was described: exclude it, or start its load again"
        }
        1054 | 1412 => "; it was altered since it was described: start the load again",
        1148 | 3948 | 4166 => "; the server forbids LOAD DATA LOCAL: set local_infile = 1 there",
        _ => "",
    }
}
