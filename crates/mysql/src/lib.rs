//! MySQL 8.0 and later and MariaDB 10.11 and later as source and target.
//!
//! The two share their protocol and most of their SQL; where they differ, the code asks the connection which of them answers.

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

pub use connector::MysqlConnector;
pub use options::Options;
