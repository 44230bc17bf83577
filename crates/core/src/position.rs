use std::fmt;

use serde::{Deserialize, Serialize};

/// What [`Position::recovery_checkpoint`] begins with.
pub const RECOVERY_PREFIX: &str = "checkpoint:V1#";

/// A place in a source's log, in the source's own notation: an LSN, a GTID set, `file:offset`.
///
/// Opaque outside the connector that made it. Two positions are not ordered here: GTID sets are only partly ordered.
#[derive(Clone, Debug, PartialEq, Hash, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(String);

impl Position {
    /// Wraps the connector's notation.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The connector's notation.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the API and the table `awsdms_txn_state` tell it (`RecoveryCheckpoint`), and as it may be given back in `CdcStartPosition`.
    pub fn recovery_checkpoint(&self) -> String {
        format!("{RECOVERY_PREFIX}{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
