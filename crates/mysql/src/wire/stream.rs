use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whimbrel_net::{Io, LongBuffer};

use super::WireError;

/// One read takes up to this much from the socket.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// What is longer shares its buffer with nothing.
const LONG_BYTES: usize = 1024 * 1024;
/// Length (three bytes) and sequence number.
pub(super) const HEADER_BYTES: usize = 4;
/// A packet of exactly this length goes on in the next one.
pub(super) const PART_BYTES_MAX: usize = 0xFF_FFFF;
/// The largest `max_allowed_packet` of a server is 1 GiB; a row of many such cells is not supported by the servers either.
const PACKET_BYTES_MAX: usize = (1 << 30) + 2 * PART_BYTES_MAX;

/// A socket with the bytes read ahead of it, and the sequence number of the next packet to write.
pub(super) struct Stream {
    io: Io,
    inbox: BytesMut,
    outbox: Vec<u8>,
    sequence: u8,
    /// How long a read may wait for the next byte.
    silence_max: Option<Duration>,
}

impl Stream {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            inbox: BytesMut::new(),
            outbox: Vec::new(),
            sequence: 0,
            silence_max: None,
        }
    }

    /// From now on, a read that waits so long for the next byte fails with [`std::io::ErrorKind::TimedOut`].
    pub(super) fn give_up_after(&mut self, silence_max: Duration) {
        self.silence_max = Some(silence_max);
    }

    /// Gives the socket back for its encryption. Bytes read ahead would have come in plain: they are refused.
    pub(super) fn into_plain(self) -> Result<(TcpStream, u8), WireError> {
        match self.io {
            Io::Plain(socket) if self.inbox.is_empty() => Ok((socket, self.sequence)),
            _ => Err(WireError::protocol("bytes before the encryption began")),
        }
    }

    /// Goes on with an encrypted socket.
    pub(super) fn encrypted(io: Io, sequence: u8) -> Self {
        Self {
            sequence,
            ..Self::new(io)
        }
    }

    /// Bytes read from the socket and not taken yet.
    pub(super) fn inbox(&self) -> &[u8] {
        &self.inbox
    }

    /// Takes the first bytes of the inbox.
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        let taken = self.inbox.split_to(count).freeze();
        if count > LONG_BYTES {
            // What has come behind it, and whoever holds that, would keep all of the buffer.
            self.inbox = BytesMut::from(&self.inbox[..]);
        }
        taken
    }

    /// Makes room so that the inbox can grow to `bytes` without moving.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.inbox.reserve(bytes.saturating_sub(self.inbox.len()));
    }

    /// Waits for more bytes and appends them to the inbox. Cancel safe.
    pub(super) async fn fill(&mut self) -> Result<(), WireError> {
        self.inbox.reserve(READ_BYTES);
        match within(self.silence_max, self.io.read_buf(&mut self.inbox)).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// The next packet, its parts joined.
    pub(super) async fn packet(&mut self) -> Result<Bytes, WireError> {
        let first = self.header().await?;
        if part_length(first) < PART_BYTES_MAX {
            return self.whole_part().await;
        }
        // How long it is nobody knows before its end.
        let mut joined = LongBuffer::with_room(PACKET_BYTES_MAX)?;
        while self.append_part(&mut joined).await? == PART_BYTES_MAX {
            if joined.len() > PACKET_BYTES_MAX - PART_BYTES_MAX {
                return Err(WireError::protocol("a packet of more than 1 GiB"));
            }
        }
        Ok(joined.freeze())
    }

    /// The header at the front of the inbox.
    pub(super) async fn header(&mut self) -> Result<[u8; HEADER_BYTES], WireError> {
        loop {
            if let Some(header) = self.inbox.first_chunk::<HEADER_BYTES>() {
                return Ok(*header);
            }
            self.fill().await?;
        }
    }

    async fn whole_part(&mut self) -> Result<Bytes, WireError> {
        let header = self.header().await?;
        let length = part_length(header);
        while self.inbox.len() < HEADER_BYTES + length {
            self.reserve(HEADER_BYTES + length + READ_BYTES);
            self.fill().await?;
        }
        self.pass_header(header);
        Ok(self.take(length))
    }

    /// Appends a part of a packet to those before it, past the inbox; answers how long it is.
    async fn append_part(&mut self, joined: &mut LongBuffer) -> Result<usize, WireError> {
        let header = self.header().await?;
        let length = part_length(header);
        self.pass_header(header);
        let here = self.inbox.len().min(length);
        joined.extend(&self.inbox.split_to(here))?;
        let end = joined.len() + length - here;
        while joined.len() < end {
            let left = end - joined.len();
            let read = joined.read_from(&mut self.io, left);
            if within(self.silence_max, read).await? == 0 {
                return Err(WireError::Closed);
            }
        }
        Ok(length)
    }

    pub(super) fn pass_header(&mut self, header: [u8; HEADER_BYTES]) {
        self.inbox.advance(HEADER_BYTES);
        self.sequence = header[3].wrapping_add(1);
    }

    /// Begins a command: its packets are numbered from 0.
    pub(super) fn restart_sequence(&mut self) {
        self.sequence = 0;
    }

    /// Sends a packet, split into parts where it is too long for one.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        self.outbox.clear();
        let mut rest = payload;
        loop {
            let part = &rest[..rest.len().min(PART_BYTES_MAX)];
            self.outbox
                .extend_from_slice(&header(part.len(), self.sequence));
            self.outbox.extend_from_slice(part);
            self.sequence = self.sequence.wrapping_add(1);
            rest = &rest[part.len()..];
            if part.len() < PART_BYTES_MAX {
                break;
            }
        }
        self.io.write_all(&self.outbox).await?;
        self.io.flush().await?;
        self.outbox.clear();
        self.outbox.shrink_to(READ_BYTES);
        Ok(())
    }
}

/// Waits for a read, but not for ever.
async fn within(
    silence_max: Option<Duration>,
    read: impl Future<Output = std::io::Result<usize>>,
) -> std::io::Result<usize> {
    match silence_max {
        None => read.await,
        Some(limit) => match timeout(limit, read).await {
            Ok(read) => read,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        },
    }
}

fn header(length: usize, sequence: u8) -> [u8; HEADER_BYTES] {
    let [a, b, c, ..] = length.to_le_bytes();
    [a, b, c, sequence]
}

/// The length of the part that a header announces, without the header.
pub(super) fn part_length(header: [u8; HEADER_BYTES]) -> usize {
    usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16
}
