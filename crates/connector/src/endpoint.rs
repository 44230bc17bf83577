use async_trait::async_trait;
use whimbrel_core::Engine;

use crate::{
    Assessed, ChangeLog, ConnectError, Error, Findings, LogWatch, Source, StallWatch, Target,
    UnreadLog,
};

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The engine that answered (a `mysql://` endpoint may turn out to be MariaDB).
    pub engine: Engine,
    /// Its version as it prints it.
    pub version: String,
    /// Whether the connection is encrypted, and how: `TLSv1.3`; `None` for plain.
    pub tls: Option<String>,
    /// What tells this server (PostgreSQL: this database of it) from every other, whatever name it was reached by; `None` when it
    /// does not say.
    pub identity: Option<String>,
}

/// The settings of one endpoint, checked but not connected: what makes sources and targets.
///
/// Cheap to keep; holds the password in a redacting type. Every call makes connections of its own.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The engine that the settings name.
    fn engine(&self) -> Engine;

    /// Host, port and database for messages: never the password.
    fn describe(&self) -> String;

    /// Signs in with the endpoint's TLS mode and certificate and runs a trivial query: a connection test.
    ///
    /// # Errors
    /// The kind names what went wrong, the remedy what to do. Returns within the connect time limit.
    async fn check(&self) -> Result<ServerInfo, ConnectError>;

    /// The names of the user schemas (`MySQL`: databases), sorted, system schemas left out.
    async fn schemas(&self) -> Result<Vec<String>, Error>;

    /// Connects in the role of a source.
    async fn source(&self) -> Result<Box<dyn Source>, Error>;

    /// Connects in the role of a target.
    async fn target(&self) -> Result<Box<dyn Target>, Error>;

    /// Connects to the log of a source, for the task of this name: at most 128 characters, unique among all tasks that read it.
    ///
    /// # Errors
    /// [`Error::Fatal`] when changes cannot be captured from this engine.
    async fn change_log(&self, _task: &str) -> Result<Box<dyn ChangeLog>, Error> {
        Err(Error::Fatal(format!(
            "changes cannot be captured from {}; run the task as a full load",
            self.describe()
        )))
    }

    /// What looks after the log that a source keeps for the task of this name. Connects nothing yet; `None` where nothing is kept.
    fn log_watch(&self, _task: &str) -> Option<Box<dyn LogWatch>> {
        None
    }

    /// What looks whether this target stands still. Connects nothing yet; `None` where a server refuses what it cannot do.
    fn stall_watch(&self) -> Option<Box<dyn StallWatch>> {
        None
    }

    /// Log that this source keeps for tasks of ours which do not read it now.
    ///
    /// # Errors
    /// Whatever keeps the source from answering.
    async fn unread_logs(&self) -> Result<Vec<UnreadLog>, Error> {
        Ok(Vec::new())
    }

    /// What of this end, in the role that it will have, stands in the way of a task or will harm it: settings, privileges, what runs there. Writes nothing.
    /// Everything is told at once: a check is named as made, or as one that could not be made, with the reason.
    ///
    /// # Errors
    /// The end cannot be connected to.
    async fn concerns(&self, _asked: Assessed<'_>) -> Result<Findings, Error> {
        Ok(Findings::default())
    }
}
