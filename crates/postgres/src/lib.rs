//! PostgreSQL 15 and later as source and target.

mod assess;
mod catalog;
mod connect;
mod connector;
mod errors;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod log;
mod options;
mod quote;
mod source;
mod target;
mod types;
mod wire;

pub use connector::PostgresConnector;
pub use options::Options;
