//! Rows that pass from socket to socket are not held whole: a long CopyData message is handed over in parts, as they come.
//!
//! What a part is: a CopyData message of its own, which the protocol allows to end anywhere within a row. So whoever takes parts can stop between any
//! two of them as between rows: a load that is given up (`CopyFail`) never stands within a message, where the server would take what follows for rows.
//! What can be lost or doubled: the first part counts as the row and the others as none, so that a statement is never cut within a row, and the
//! server's own count of rows, which is that of rows it saw the end of, is compared with ours before the commit. Where either end fails between two
//! parts, the chunk is rolled back with the beginning of the row, and read again from its start over new connections.

use bytes::{Bytes, BytesMut};

use super::WireError;
use super::connection::Connection;
use super::copy::CopyBlock;
use super::stream::{HEADER_BYTES, message_length};

impl Connection {
    /// As [`Self::copy_out_block`], but of a message longer than `block_bytes` comes a part, in a message of its own. Only the first part of a
    /// row counts as a message.
    pub(crate) async fn copy_out_parts(
        &mut self,
        block_bytes: usize,
    ) -> Result<Option<CopyBlock>, WireError> {
        if self.copy_out_left > 0 {
            return self
                .part(0, self.copy_out_left, block_bytes)
                .await
                .map(Some);
        }
        match self.copy_data_ahead().await? {
            Some(length) if length > block_bytes => {
                let body = length - HEADER_BYTES;
                self.part(HEADER_BYTES, body, block_bytes).await.map(Some)
            }
            _ => self.copy_out_block(block_bytes).await,
        }
    }

    /// How long the message is that comes next, with its header, if it is CopyData. Notices before it are passed over.
    async fn copy_data_ahead(&mut self) -> Result<Option<usize>, WireError> {
        loop {
            let inbox = self.stream.inbox();
            match (message_length(inbox)?, inbox.first()) {
                (None, _) => self.stream.fill().await?,
                (Some(length), Some(b'd')) => return Ok(Some(length)),
                (Some(_), Some(b'N' | b'S')) => drop(self.stream.message().await?),
                (Some(_), _) => return Ok(None),
            }
        }
    }

    /// The next part of a message's `left` bytes, which stand behind `header` bytes. Nothing is taken before all of it is there, so that a dropped
    /// call loses nothing.
    async fn part(
        &mut self,
        header: usize,
        left: usize,
        block_bytes: usize,
    ) -> Result<CopyBlock, WireError> {
        let count = left.min(block_bytes.max(1));
        while self.stream.inbox().len() < header + count {
            self.stream.fill().await?;
        }
        let bytes = framed(&self.stream.take(header + count)[header..])?;
        self.copy_out_left = left - count;
        Ok(CopyBlock {
            bytes,
            message_count: usize::from(header > 0),
            is_part: true,
        })
    }
}

/// A payload as a CopyData message.
fn framed(payload: &[u8]) -> Result<Bytes, WireError> {
    let length = i32::try_from(payload.len() + HEADER_BYTES - 1)
        .map_err(|_| WireError::protocol("a part longer than a message"))?;
    let mut message = BytesMut::with_capacity(HEADER_BYTES + payload.len());
    message.extend_from_slice(b"d");
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(payload);
    Ok(message.freeze())
}
