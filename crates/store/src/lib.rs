//! Durable state of the control plane behind one trait, with an in-memory and an SQLite implementation.
//!
//! Everything is a *resource*: a document with a kind, an id, a name and a version ([`Resource`]). Whatever belongs together is
//! written in one [`Transaction`]: after a crash either all of it is there or nothing.
//!
//! ```text
//!  handlers ── begin, write intended state, commit ──► Store ──► watch() wakes ──► reconcilers
//! ```
//!
//! Secrets enter a document only sealed by the [`Vault`]; the store file never holds one in the clear.

mod changes;
mod data_dir;
mod embedded;
mod error;
mod memory;
mod page;
mod record;
mod resource;
mod sqlite;
mod store;
mod time;
mod vault;

pub use changes::Changes;
pub use data_dir::DataDir;
pub use embedded::Embedded;
pub use error::StoreError;
pub use memory::MemoryStore;
pub use page::{InvalidPageToken, NameToken, PageToken};
pub use record::{Draft, Record};
pub use resource::*;
pub use sqlite::SqliteStore;
pub use store::{Store, Stored, Transaction};
pub use time::EpochMs;
pub use vault::{KeySource, SealedSecret, SecretContext, Vault, VaultError};
pub use whimbrel_core::Secret;
