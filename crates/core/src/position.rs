use std::fmt;

use serde::{Deserialize, Serialize};

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
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
