use thiserror::Error;

/// Why task settings were refused. The texts are the service's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Not a JSON object.
    #[error("Invalid task settings json")]
    NotJson,
    /// The names of logs are the service's to give.
    #[error("Task Settings CloudWatchLogGroup or CloudWatchLogStream cannot be set on create")]
    LogNamesGiven,
    /// A member of the wrong type or out of its range.
    #[error("Invalid task settings: {path} must be {allowed}, not {found}")]
    InvalidValue {
        /// Group and member.
        path: String,
        /// What is allowed.
        allowed: String,
        /// What was sent.
        found: String,
    },
    /// Two members that exclude each other.
    #[error("Invalid task settings: {first} and {second} cannot both be true")]
    Exclusive {
        /// The one.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A feature that would change what arrives at the target, and is not built.
    #[error("Invalid task settings: {path} is not supported by this version; leave it null")]
    NotSupported {
        /// Group and member.
        path: String,
    },
    /// A member that is fixed when the task is created.
    #[error("Invalid task settings: {path} cannot be changed after the task was created")]
    Immutable {
        /// Group and member.
        path: &'static str,
    },
}
