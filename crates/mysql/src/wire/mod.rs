//! The client side of the MySQL protocol, as far as a migration needs it, for MySQL and MariaDB alike.
//!
//! Why our own: rows stay in the packets in which they came, so that a row costs no allocation and no copy of its own, and
//! LOAD DATA takes its rows from a stream. Packet formats:
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/PAGE_PROTOCOL.html>.
//!
//! A server may ask for a file of ours only in answer to a LOAD DATA LOCAL that we sent; any other request ends the
//! connection, and connections that never load do not even offer it.

mod auth;
mod connection;
mod dump;
mod error;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod handshake;
mod packet;
mod parts;
mod rows;
mod sign_in;
mod stream;

pub(crate) use connection::{Answer, Connection, Done, Purpose, Statement};
pub(crate) use error::{MyError, WireError};
pub(crate) use packet::{Malformed, Reader};
pub(crate) use parts::{RowPart, RowsOrPart};
pub(crate) use rows::{ResultColumn, RowPackets, TextRow};
pub(crate) use sign_in::StartError;
