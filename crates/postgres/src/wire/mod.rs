//! PostgreSQL's frontend/backend protocol 3.0, as far as a migration needs it.
//!
//! Why our own: during COPY the rows pass from socket to socket as the blocks in which they were read, framing included, so
//! that a row costs no allocation and no copy of its own. Sign-in cryptography comes from `postgres-protocol`.
//! Message formats: <https://www.postgresql.org/docs/18/protocol-message-formats.html>.

mod connection;
mod copy;
mod end_point;
mod error;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod parts;
mod pipeline;
mod replication;
mod sign_in;
mod stream;

pub(crate) use connection::{Connection, Purpose, StartError, TextRow};
pub(crate) use copy::CopyBlock;
pub(crate) use error::{ServerError, WireError};
pub(crate) use pipeline::{Answers, Begun, FORMAT_BINARY, FORMAT_TEXT, Pipeline};
pub(crate) use replication::Replication;
