use std::path::PathBuf;

use thiserror::Error;

/// What went wrong in the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the data directory open.
    #[error("the data directory {} is in use by another whimbrel process{}; stop it, or choose another directory with --data-dir", .path.display(), .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if it said so.
        pid: Option<u32>,
    },
    /// There is no store in the directory, and none is to be made.
    #[error("there is no store in the data directory {}", .0.display())]
    Missing(PathBuf),
    /// A file of the data directory could not be read or written.
    #[error("could not {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database refused a statement.
    #[error("the store could not {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A view was to be committed.
    #[error("a view of the store is for reading and cannot be committed")]
    View,
    /// The store was written by a later version of Whimbrel.
    #[error(
        "the store has schema version {found}, this whimbrel knows {known} at most; start a newer whimbrel on it"
    )]
    TooNew {
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A resource of this kind with this id or name is there already.
    #[error("a {kind} with the id or name \"{name}\" exists already")]
    AlreadyExists {
        /// The kind of the resource.
        kind: &'static str,
        /// Its name, or the id that clashed.
        name: String,
    },
    /// The resource is gone.
    #[error("no {kind} with the id \"{id}\"")]
    NotFound {
        /// The kind of the resource.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// Somebody else changed the resource since it was read.
    #[error("the {kind} \"{id}\" was changed by somebody else since it was read; read it again")]
    VersionConflict {
        /// The kind of the resource.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// A document cannot be written as or read from JSON.
    #[error("the document of the {kind} \"{id}\" does not fit its type")]
    Document {
        /// The kind of the resource.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Where it does not fit.
        #[source]
        source: serde_json::Error,
    },
}
