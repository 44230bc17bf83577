//! The commands that make a server send its binary log.
//!
//! What it sends then looks like a result without end: packets that begin with a zero byte and hold one event each, until a
//! packet that ends it or tells an error.
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/page_protocol_replication.html>

use std::time::Duration;

use super::connection::{Command, Connection, State};
use super::rows::{Front, front};
use super::stream::READ_BYTES;
use super::{RowPackets, WireError};

impl Connection {
    /// Tells the server that a replica of this id reads its log. It needs the privilege REPLICATION SLAVE.
    pub(crate) async fn register_replica(&mut self, server_id: u32) -> Result<(), WireError> {
        let mut body = Vec::with_capacity(18);
        body.extend_from_slice(&server_id.to_le_bytes());
        // No host name, user or password are told; nor a port, a rank or the source's id.
        body.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
        self.command(Command::RegisterReplica, &body).await?;
        self.packet().await?;
        self.state = State::Ready;
        Ok(())
    }

    /// Asks for the log from a place on; its events are then taken by [`Self::arrived`]. A server that sends no byte for `silence_max` while
    /// it is listened to is given up, with an error of [`std::io::ErrorKind::TimedOut`].
    pub(crate) async fn begin_dump(
        &mut self,
        server_id: u32,
        (file, offset): (&str, u32),
        silence_max: Duration,
    ) -> Result<(), WireError> {
        let mut body = Vec::with_capacity(10 + file.len());
        body.extend_from_slice(&offset.to_le_bytes());
        // No flags: the server waits at the end of the log for more.
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&server_id.to_le_bytes());
        body.extend_from_slice(file.as_bytes());
        self.command(Command::BinlogDump, &body).await?;
        self.state = State::Rows;
        self.stream.give_up_after(silence_max);
        Ok(())
    }

    /// The packets that have arrived, at least one and about `bytes_max` bytes at most, or `None` when the server ends the
    /// log. Waits only while there is none at all. Cancel safe.
    pub(crate) async fn arrived(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<RowPackets>, WireError> {
        if self.state != State::Rows {
            return Err(WireError::Unusable);
        }
        let (mut scanned, mut count) = (0, 0);
        loop {
            match front(&self.stream.inbox()[scanned..]) {
                Front::Row(bytes) if count == 0 || scanned + bytes <= bytes_max => {
                    scanned += bytes;
                    count += 1;
                }
                _ if count > 0 => break,
                Front::Unfinished(bytes) => {
                    self.stream.reserve(bytes.max(READ_BYTES));
                    self.stream.fill().await?;
                }
                Front::LongRow => return self.long_row().await.map(Some),
                Front::Row(_) | Front::Last => return self.end_rows().await,
            }
        }
        Ok(Some(RowPackets::Packets {
            bytes: self.stream.take(scanned),
            row_count: count,
        }))
    }
}
