//! A connection that streams a log: CopyData flows both ways until one side ends it.

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::connection::unexpected;
use super::stream::{HEADER_BYTES, Message, Stream, message_length};
use super::{Connection, ServerError, WireError};

/// Payload of a keepalive: type, end of the log, clock, whether an answer is wanted.
const KEEPALIVE_BYTES: usize = 18;

/// What the messages read so far say of the stream itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The furthest place of the log that was named.
    pub(crate) received: u64,
    /// The server waits for a word from us.
    pub(crate) wants_reply: bool,
}

/// A connection in the middle of `START_REPLICATION`.
pub(crate) struct Replication {
    stream: Stream,
    heard: Heard,
    /// Bytes of whole CopyData messages at the start of the inbox.
    ready: usize,
    /// A message of another type follows them.
    is_blocked: bool,
}

impl Connection {
    /// Begins to stream.
    ///
    /// After an error of the server the connection is spent like after any other.
    pub(crate) async fn start_replication(mut self, sql: &str) -> Result<Replication, WireError> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.stream.write(&out).await?;
        self.stream.flush().await?;
        loop {
            let Message { kind, body } = self.stream.message().await?;
            match kind {
                b'W' => {
                    return Ok(Replication {
                        stream: self.stream,
                        heard: Heard::default(),
                        ready: 0,
                        is_blocked: false,
                    });
                }
                b'N' | b'S' => {}
                b'E' => return Err(WireError::server(&body)),
                other => return Err(unexpected(other, "the start of replication")),
            }
        }
    }
}

impl Replication {
    /// Looks at what was read, until about `bytes_max` of whole messages are ready; answers how many bytes are.
    pub(crate) fn look(&mut self, bytes_max: usize) -> Result<usize, WireError> {
        while self.ready < bytes_max && !self.is_blocked {
            let rest = &self.stream.inbox()[self.ready..];
            let Some(length) = message_length(rest)? else {
                break;
            };
            if rest[0] != b'd' {
                self.is_blocked = true;
            } else if let Some(payload) = rest.get(HEADER_BYTES..length) {
                self.heard.hear(payload);
                self.ready += length;
            } else {
                break;
            }
        }
        Ok(self.ready)
    }

    /// Whether reading on is in vain, because a message of another type must be taken first.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Takes the messages that are ready, framing included.
    pub(crate) fn take_ready(&mut self) -> Bytes {
        let bytes = self.stream.take(self.ready);
        self.ready = 0;
        bytes
    }

    /// Takes the message that blocks: a notice of the server, or the end. Nothing may be ready before it.
    pub(crate) async fn take_other(&mut self) -> Result<Option<ServerError>, WireError> {
        let Message { kind, body } = self.stream.message().await?;
        self.is_blocked = false;
        match kind {
            b'N' => Ok(Some(ServerError::parse(&body))),
            b'S' => Ok(None),
            b'E' => Err(WireError::server(&body)),
            b'c' | b'C' => Err(WireError::Closed),
            other => Err(unexpected(other, "replication")),
        }
    }

    /// Waits for more bytes; answers how many came. Dropping the call loses nothing.
    pub(crate) async fn read(&mut self) -> Result<usize, WireError> {
        self.stream.fill_on().await
    }

    /// What was heard so far; the wish for a reply is told once.
    pub(crate) fn heard(&mut self) -> Heard {
        let heard = self.heard;
        self.heard.wants_reply = false;
        heard
    }

    /// Sends a message to the server.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        frontend::CopyData::new(payload)?.write(&mut out);
        self.stream.write(&out).await?;
        self.stream.flush().await
    }
}

impl Heard {
    fn hear(&mut self, payload: &[u8]) {
        let Some((&kind, rest)) = payload.split_first() else {
            return;
        };
        // Both a keepalive and the head of a change begin with a place of the log.
        if let (b'k' | b'w', Some(place)) = (kind, rest.first_chunk::<8>()) {
            self.received = self.received.max(u64::from_be_bytes(*place));
        }
        if kind == b'k' && payload.len() == KEEPALIVE_BYTES {
            self.wants_reply |= payload[KEEPALIVE_BYTES - 1] != 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalives_tell_the_end_of_the_log_and_whether_they_want_a_reply() {
        let mut heard = Heard::default();
        let mut keepalive = [0; KEEPALIVE_BYTES];
        keepalive[0] = b'k';
        keepalive[8] = 9;
        heard.hear(&keepalive);
        let expected = Heard {
            received: 9,
            wants_reply: false,
        };
        assert_eq!(heard, expected);
        keepalive[8] = 7;
        keepalive[17] = 1;
        heard.hear(&keepalive);
        let expected = Heard {
            received: 9,
            wants_reply: true,
        };
        assert_eq!(heard, expected);
        heard.hear(b"");
        heard.hear(b"k");
        assert_eq!(heard, expected);
    }
}
