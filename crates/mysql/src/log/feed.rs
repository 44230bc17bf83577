//! The log's bytes from the socket to the decoder.
//!
//! A task of its own owns the connection and reads ahead into a queue that holds a bounded number of bytes. While the queue is
//! full it does not read: the server then waits, which its session was told to endure, and its heartbeats wait with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use whimbrel_connector::{Background, Error, in_background};

use super::event::{
    CHECKSUM_BYTES, HEADER_BYTES, Header, describes_checksums, has_valid_checksum, kind,
};
use super::inflate::Payload;
use crate::errors::general;
use crate::wire::{Connection, Malformed, RowPackets, WireError};

/// Bytes that are read ahead: a tenth of a second at the speed at which servers send.
const AHEAD_BYTES: u32 = 8 << 20;
/// Bytes that are handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// A server with nothing to tell gives a sign of life this often.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);
/// A server that has sent no byte for so long is gone, unless its own limit for such a silence (`replica_net_timeout`, of which this is the
/// default) is another one.
const SILENCE: Duration = Duration::from_mins(1);
/// Bounds of that limit: some signs of life may be late, and nobody waits for ever.
const SILENCE_BOUNDS: [Duration; 2] = [Duration::from_secs(6), Duration::from_mins(10)];

/// How long a server may be silent, by what it waits for others itself, in seconds.
pub(super) fn silence_max(of_server_s: Option<u64>) -> Duration {
    let [min, max] = SILENCE_BOUNDS;
    of_server_s.map_or(SILENCE, |limit| Duration::from_secs(limit).clamp(min, max))
}

pub(super) const DOING: &str = "read the source's binary log";

/// Packets and their share of the bound.
struct Chunk {
    packets: RowPackets,
    share: OwnedSemaphorePermit,
}

/// Reads a log that a connection has begun to send.
struct Feed {
    chunks: mpsc::UnboundedReceiver<Result<Chunk, WireError>>,
    _reader: Background<()>,
}

impl Feed {
    fn new(mut connection: Connection) -> Self {
        let (sender, chunks) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(AHEAD_BYTES as usize));
        let reader = in_background("read the log", async move {
            loop {
                let arrived = match connection.arrived(CHUNK_BYTES).await {
                    Ok(Some(packets)) => Ok(packets),
                    Ok(None) => Err(WireError::Closed),
                    Err(error) => Err(error),
                };
                let packets = match arrived {
                    Ok(packets) => packets,
                    Err(error) => {
                        // Nobody listens any more: nothing to tell.
                        sender.send(Err(error)).ok();
                        return;
                    }
                };
                let bytes = u32::try_from(packets.byte_count()).unwrap_or(u32::MAX);
                let share = Arc::clone(&room).acquire_many_owned(bytes.min(AHEAD_BYTES));
                let Ok(share) = share.await else { return };
                if sender.send(Ok(Chunk { packets, share })).is_err() {
                    return;
                }
            }
        });
        Self {
            chunks,
            _reader: reader,
        }
    }
}

/// An event in its bytes.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) header: Header,
    pub(super) buffer: Bytes,
    /// Where its body begins and ends in the buffer.
    pub(super) start: usize,
    pub(super) end: usize,
    /// It lies in a compressed transaction, and has no place of its own.
    pub(super) is_inner: bool,
}

impl Event {
    pub(super) fn body(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

/// The events of a log in order, those of compressed transactions among them.
pub(super) struct Input {
    feed: Option<Feed>,
    /// The chunk that is being read, its place in it, and whether it is one event without the headers of packets.
    chunk: Bytes,
    at: usize,
    is_long: bool,
    has_checksums: bool,
    payload: Option<Payload>,
    piece: Bytes,
    piece_at: usize,
    /// Encrypted logs are deciphered by the server; when it does not, checksums fail.
    saw_encryption: bool,
}

impl Input {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            feed: Some(Feed::new(connection)),
            ..Self::empty()
        }
    }

    fn empty() -> Self {
        Self {
            feed: None,
            chunk: Bytes::new(),
            at: 0,
            is_long: false,
            has_checksums: false,
            payload: None,
            piece: Bytes::new(),
            piece_at: 0,
            saw_encryption: false,
        }
    }

    /// The events of these packets alone.
    #[cfg(feature = "fuzz")]
    pub(super) fn of(packets: RowPackets) -> Self {
        let mut input = Self::empty();
        input.put(packets);
        input
    }

    /// Waits for more of the log. Cancel safe.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        let received = match &mut self.feed {
            Some(feed) => feed.chunks.recv().await,
            None => None,
        };
        let chunk = received
            .unwrap_or(Err(WireError::Closed))
            .map_err(read_error)?;
        self.put(chunk.packets);
        drop(chunk.share);
        Ok(())
    }

    fn put(&mut self, packets: RowPackets) {
        (self.chunk, self.is_long) = match packets {
            RowPackets::Packets { bytes, .. } => (bytes, false),
            RowPackets::LongRow(bytes) => (bytes, true),
        };
        self.at = 0;
    }

    /// The next event; `None` when more of the log must come first.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Error> {
        if let Some(event) = self.next_inner()? {
            return Ok(Some(event));
        }
        let Some((start, end)) = self.packet()? else {
            return Ok(None);
        };
        let whole = self.chunk.slice(start..end);
        let header =
            Header::parse(&whole).map_err(|Malformed| bad("an event that is too short"))?;
        if header.bytes as usize != whole.len() {
            return Err(bad("an event of another size than it says"));
        }
        let checksum_bytes = self.check(&header, &whole)?;
        let event = Event {
            header,
            buffer: self.chunk.clone(),
            start: start + HEADER_BYTES,
            end: (end - checksum_bytes).max(start + HEADER_BYTES),
            is_inner: false,
        };
        match header.kind {
            kind::MARIA_START_ENCRYPTION => self.saw_encryption = true,
            kind::TRANSACTION_PAYLOAD => {
                let body = self.chunk.slice(event.start..event.end);
                self.payload = Some(Payload::new(&body).map_err(bad)?);
            }
            _ => {}
        }
        Ok(Some(event))
    }

    /// Takes a packet: where its event lies.
    fn packet(&mut self) -> Result<Option<(usize, usize)>, Error> {
        const PACKET_HEADER_BYTES: usize = 4;
        if self.at >= self.chunk.len() {
            self.chunk = Bytes::new();
            self.at = 0;
            return Ok(None);
        }
        let (start, end) = if self.is_long {
            (0, self.chunk.len())
        } else {
            let rest = &self.chunk[self.at..];
            let length = match rest {
                [a, b, c, _, ..] => u32::from_le_bytes([*a, *b, *c, 0]) as usize,
                _ => return Err(bad("a packet that is cut short")),
            };
            let start = self.at + PACKET_HEADER_BYTES;
            (start, start + length)
        };
        self.at = end;
        match self.chunk.get(start..end) {
            // A zero in front says that an event follows.
            Some([0, ..]) => Ok(Some((start + 1, end))),
            _ => Err(bad("a packet that holds no event")),
        }
    }

    /// Verifies the checksum and answers how many bytes it has.
    fn check(&mut self, header: &Header, event: &[u8]) -> Result<usize, Error> {
        if header.kind == kind::FORMAT_DESCRIPTION {
            let body = event.get(HEADER_BYTES..).unwrap_or_default();
            self.has_checksums = describes_checksums(body).map_err(|what| bad(&what))?;
            return Ok(CHECKSUM_BYTES);
        }
        // Events made up for us come before a description of the format too, and may have one or not.
        let may_lack = header.is_artificial()
            || matches!(
                header.kind,
                kind::ROTATE | kind::HEARTBEAT | kind::HEARTBEAT_V2
            );
        if may_lack {
            let has_one = event.len() >= HEADER_BYTES + CHECKSUM_BYTES && has_valid_checksum(event);
            return Ok(if has_one { CHECKSUM_BYTES } else { 0 });
        }
        if !self.has_checksums {
            return Ok(0);
        }
        if event.len() >= HEADER_BYTES + CHECKSUM_BYTES && has_valid_checksum(event) {
            return Ok(CHECKSUM_BYTES);
        }
        Err(bad(if self.saw_encryption {
            "an event that is encrypted: set encrypt_binlog = OFF, and begin a new log by FLUSH BINARY LOGS"
        } else {
            "an event whose checksum is wrong: its bytes were damaged on their way or on the source's disk"
        }))
    }

    fn next_inner(&mut self) -> Result<Option<Event>, Error> {
        let Some(payload) = &mut self.payload else {
            return Ok(None);
        };
        if self.piece_at >= self.piece.len() {
            self.piece_at = 0;
            let Some(piece) = payload.next().map_err(bad)? else {
                self.piece = Bytes::new();
                self.payload = None;
                return Ok(None);
            };
            self.piece = piece;
        }
        let rest = &self.piece[self.piece_at..];
        let header = Header::parse(rest).map_err(|Malformed| bad("an event that is too short"))?;
        let bytes = header.bytes as usize;
        if bytes < HEADER_BYTES || bytes > rest.len() {
            return Err(bad("an event of another size than it says"));
        }
        let start = self.piece_at + HEADER_BYTES;
        self.piece_at += bytes;
        Ok(Some(Event {
            header,
            buffer: self.piece.clone(),
            start,
            end: self.piece_at,
            is_inner: true,
        }))
    }
}

/// Something in the log that is not understood: nothing is skipped.
pub(super) fn bad(what: &str) -> Error {
    Error::Fatal(format!("cannot {DOING}: it holds {what}"))
}

/// The codes with which servers refuse to send a log, and what to do.
fn read_error(error: WireError) -> Error {
    match error {
        WireError::Server(error) if error.code == 1236 => Error::Fatal(format!(
            "cannot {DOING}: {error}; the log that the task needs next is no longer there, or is damaged. Load the tables again, and keep the log longer (binlog_expire_logs_seconds)"
        )),
        WireError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Error::Transient(format!(
                "cannot {DOING}: the source has sent nothing for a long while, not even a sign of life; the connection is given up"
            ))
        }
        other => general(other, DOING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(packets: RowPackets) -> Result<usize, Error> {
        let mut input = Input::empty();
        input.put(packets);
        let mut count = 0;
        while input.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), is_long: bool) {
            let bytes = Bytes::from(bytes);
            let packets = if is_long {
                RowPackets::LongRow(bytes)
            } else {
                RowPackets::Packets { bytes, row_count: 1 }
            };
            drain(packets).ok();
        }
    }

    #[test]
    fn a_server_may_be_silent_as_long_as_it_bears_itself_within_bounds() {
        let seconds = |limit| silence_max(limit).as_secs();
        assert_eq!(seconds(None), 60);
        assert_eq!(seconds(Some(60)), 60);
        assert_eq!(seconds(Some(1)), 6);
        assert_eq!(seconds(Some(u64::MAX)), 600);
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let mut event = vec![0; 20];
        event[10] = 19;
        let packet = [&[20, 0, 0, 0][..], &event].concat();
        let whole = |bytes: Vec<u8>| RowPackets::Packets {
            bytes: bytes.into(),
            row_count: 1,
        };
        assert_eq!(drain(whole(packet.clone())).unwrap(), 1);
        assert!(drain(whole(packet[..20].to_vec())).is_err());
        let mut other = packet;
        other[14] = 20;
        assert!(drain(whole(other)).is_err());
    }
}
