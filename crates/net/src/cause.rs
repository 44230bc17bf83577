use whimbrel_connector::{ConnectError, ConnectErrorKind};

/// Why a connection could not be opened, before it is said of which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The class.
    pub kind: ConnectErrorKind,
    /// What went wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Cause {
    /// A cause.
    pub fn new(kind: ConnectErrorKind, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The error for a server, as its users name it: `PostgreSQL at db.example.net:5432/shop`.
    pub fn at(self, server: &str) -> ConnectError {
        ConnectError {
            kind: self.kind,
            message: format!("cannot connect to {server}: {}", self.what),
            remedy: self.remedy,
        }
    }
}
