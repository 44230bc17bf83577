//! How a stream is asked for.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::{ColumnType, Table};

use super::Heeded;
use super::place::Lsn;
use crate::quote;

/// How a stream is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Of the protocol.
    version: u32,
    pub(super) is_binary: bool,
    /// Whether transactions are sent while they run.
    is_streaming: bool,
}

impl Form {
    /// Each version of the protocol came with a version of the server.
    pub(super) fn new(
        server_version: u32,
        tables: &[Arc<Table>],
        wishes: Heeded,
        takes_open: bool,
    ) -> Self {
        let version = match server_version {
            ..14 => 1,
            14 => 2,
            15 => 3,
            16.. => 4,
        };
        Self {
            version,
            is_binary: !wishes.text && !tables.iter().any(|table| has_text_only(table)),
            is_streaming: version >= 3 && takes_open && !wishes.whole,
        }
    }
}

/// The time after which the server gives up a reader that is silent, in milliseconds.
pub(super) const TIMEOUT: &str =
    "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'";

pub(super) fn timeout_of(rows: &[Vec<Option<String>>]) -> Option<Duration> {
    let setting = rows.iter().flatten().flatten().next()?;
    let limit = setting.parse().ok().filter(|&limit| limit > 0);
    limit.map(Duration::from_millis)
}

/// Names consist of letters, digits and underscores alone.
pub(super) fn start_sql(slot: &str, name: &str, from: Lsn, form: Form) -> String {
    let slot = quote::identifier(slot);
    let Form {
        version, is_binary, ..
    } = form;
    let streaming = if form.is_streaming {
        ", streaming 'on'"
    } else {
        ""
    };
    format!(
        "START_REPLICATION SLOT {slot} LOGICAL {from} (proto_version '{version}', publication_names '{name}', binary '{is_binary}', messages 'true'{streaming})"
    )
}

/// Whether a column has a type whose binary form we do not read.
fn has_text_only(table: &Table) -> bool {
    table
        .loaded_columns()
        .any(|column| matches!(column.ty, ColumnType::Native { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_timeout_may_be_off() {
        let rows = |setting: &str| vec![vec![Some(setting.to_owned())]];
        assert_eq!(timeout_of(&rows("2000")), Some(Duration::from_secs(2)));
        assert_eq!(timeout_of(&rows("0")), None);
        assert_eq!(timeout_of(&[]), None);
    }
}
