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
    /// An earlier run has followed the source, and this one would go on without the changes since.
    #[error(
        "an earlier run of this task has followed its source: going on as a full load alone would call tables complete that lack the changes made since; \
         go on as a task that follows, or load afresh"
    )]
    WasFollowed,
    /// Both ends are one database, and this table would be read and written at once.
    #[error(
        "source and target are the same database, and {0} would be read and written at once; name another target, or other names there \
         with TargetSchema or renaming rules"
    )]
    SameDatabase(whimbrel_core::TableName),
    /// Another task feeds a table with changes into which the task would write.
    #[error(
        "task {task} would write into {} at the target, which task {} feeds with changes{}", fed.table, fed.task, and_more(*.more_count)
    )]
    FedByAnother {
        /// The task that is refused.
        task: String,
        /// The first table, and the task that feeds it.
        fed: whimbrel_connector::FedTable,
        /// So many more tables are fed by others.
        more_count: usize,
    },
    /// Tables into which other tasks write too were to be removed or emptied.
    #[error(
        "tables that other tasks write into as well (SharedTargetTables) must not be dropped or emptied before a load; let the load leave them as they are \
         (TargetTablePrepMode DO_NOTHING, --prepare do-nothing)"
    )]
    SharedAndPrepared,
    /// A table could not be loaded and the error policy says to stop.
    #[error("{0}")]
    Table(String),
}

fn and_more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", and so is one more of its tables".to_owned(),
        count => format!(", and so are {count} more of its tables"),
    }
}

impl RunError {
    /// Whether an end could not be connected to.
    pub(crate) fn is_of_connecting(&self) -> bool {
        use whimbrel_connector::Error;
        matches!(
            self,
            Self::Source(Error::Connect(_)) | Self::Target(Error::Connect(_))
        )
    }

    /// Whether a new attempt, with new connections and a new snapshot, may succeed.
    pub fn is_transient(&self) -> bool {
        use whimbrel_connector::Error;
        let (Self::Source(error) | Self::Target(error)) = self else {
            return false;
        };
        match error {
            Error::Fenced { .. } => error.is_put_back(),
            other => may_pass(other),
        }
    }

    /// Whether the same call on a new connection may succeed, and nothing else has to be done anew.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Source(error) | Self::Target(error) => may_pass(error),
            _ => false,
        }
    }
}

/// Whether the same call on a new connection may succeed.
pub(crate) fn may_pass(error: &whimbrel_connector::Error) -> bool {
    use whimbrel_connector::{ConnectErrorKind as Kind, Error};
    match error {
        Error::Transient(_) | Error::Busy(_) => true,
        Error::Connect(error) => match error.kind {
            // Name servers are away for a moment too, and a system does not tell that from a name that nobody has.
            Kind::NameNotResolved
            | Kind::PortClosed
            | Kind::TimedOut
            | Kind::TooManyConnections
            | Kind::Other => true,
            Kind::TlsRefused
            | Kind::CertificateNotTrusted
            | Kind::WrongPassword
            | Kind::NotAllowed
            | Kind::UnknownDatabase
            | Kind::MissingPrivilege
            | Kind::InvalidSettings => false,
        },
        Error::Fenced { .. } | Error::Row(_) | Error::Table(_) | Error::Fatal(_) => false,
    }
}
