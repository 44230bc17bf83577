use thiserror::Error;

/// Why a run ended before its work was done.
#[derive(Debug, Error)]
pub enum RunError {
    /// The source could not be reached or read.
    #[error("source: {0}")]
    Source(#[source] whimbrel_connector::Error),
    /// The target could not be reached or written.
    #[error("target: {0}")]
    Target(#[source] whimbrel_connector::Error),
    /// The mappings select no table of the source.
    #[error(
        "the table mappings match no table of the source; check schema and table names, which are case-sensitive"
    )]
    NoTables,
    /// A resume found no record of an earlier run at the target.
    #[error(
        "there is nothing to resume: the target has no record of an unfinished load of this task; start it afresh"
    )]
    NothingToResume,
    /// A table could not be loaded and the error policy says to stop.
    #[error("{0}")]
    Table(String),
}

impl RunError {
    /// Whether a new attempt, with new connections and a new snapshot, may succeed.
    pub fn is_transient(&self) -> bool {
        use whimbrel_connector::{ConnectErrorKind as Kind, Error};
        let (Self::Source(error) | Self::Target(error)) = self else {
            return false;
        };
        match error {
            Error::Transient(_) => true,
            Error::Connect(error) => match error.kind {
                Kind::PortClosed | Kind::TimedOut | Kind::TooManyConnections | Kind::Other => true,
                Kind::NameNotResolved
                | Kind::TlsRefused
                | Kind::CertificateNotTrusted
                | Kind::WrongPassword
                | Kind::NotAllowed
                | Kind::UnknownDatabase
                | Kind::MissingPrivilege
                | Kind::InvalidSettings => false,
            },
            Error::Row(_) | Error::Table(_) | Error::Fenced { .. } | Error::Fatal(_) => false,
        }
    }
}
