//! Task settings: the JSON document of the API, its defaults, checks and echo, and the typed view that a run uses.
//!
//! The service merges what the user sends over its defaults and always answers the whole document, in its own order. One table
//! (`layout`) holds order, defaults and ranges, so these cannot drift apart. Members that the table does not know are ignored,
//! as the service does, and not echoed.

mod document;
mod error;
mod layout;
mod typed;

pub use document::SettingsDocument;
pub use error::SettingsError;
pub use typed::{
    ApplyMode, CachedChanges, ControlTableSettings, DataErrorSettings, DdlHandling, ErrorPolicy,
    EscalationSettings, OpenTransactions, RecoverableErrors, TablePrepMode, TargetTables,
    TaskSettings, TruncateHandling, ValidationSettings,
};

#[cfg(test)]
mod tests;
