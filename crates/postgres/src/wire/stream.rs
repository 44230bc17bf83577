use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use whimbrel_net::{Io, LongBuffer};

use super::WireError;

/// One read takes up to this much from the socket.
const READ_BYTES: usize = 256 * 1024;
/// What is longer has memory of its own.
pub(super) const LONG_BYTES: usize = 1024 * 1024;
/// A buffer with less room than this is left to those who hold parts of it.
const SHORT_READ_BYTES: usize = 16 * 1024;
/// While we write, only short answers come.
const ANSWER_BYTES: usize = 4 * 1024;
/// The server's own bound for a message.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Type byte and length.
pub(super) const HEADER_BYTES: usize = 5;

/// A socket with the bytes read ahead of it.
pub(super) struct Stream {
    io: Io,
    inbox: BytesMut,
}

/// A whole message: its type and its body.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

impl Stream {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            inbox: BytesMut::new(),
        }
    }

    /// What binds a sign-in to this TLS connection; `None` without TLS, or for a certificate that defines none.
    pub(super) fn tls_end_point(&self) -> Option<Vec<u8>> {
        let Io::Tls(stream) = &self.io else {
            return None;
        };
        super::end_point::end_point(stream.get_ref().1.peer_certificates()?)
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

    /// Takes the long message of which only the beginning is in the inbox. A dropped call leaves the stream in the middle of it.
    pub(super) async fn take_long(&mut self, length: usize) -> Result<Bytes, WireError> {
        let mut whole = LongBuffer::with_room(length)?;
        let here = self.inbox.len().min(length);
        whole.extend(&self.inbox.split_to(here))?;
        while whole.len() < length {
            let left = length - whole.len();
            if whole.read_from(&mut self.io, left).await? == 0 {
                return Err(WireError::Closed);
            }
        }
        Ok(whole.freeze())
    }

    /// Makes room for the message that begins after the first `skipped` bytes of the inbox, once its length is known: growing with each
    /// read would hold a long one several times.
    pub(super) fn make_room(&mut self, skipped: usize) -> Result<(), WireError> {
        if let Some(length) = message_length(self.inbox.get(skipped..).unwrap_or_default())?
            && length > READ_BYTES
        {
            let whole = skipped + length + READ_BYTES;
            self.inbox.reserve(whole.saturating_sub(self.inbox.len()));
        }
        Ok(())
    }

    /// Waits for more bytes and appends them to the inbox.
    pub(super) async fn fill(&mut self) -> Result<(), WireError> {
        self.inbox.reserve(READ_BYTES);
        match self.io.read_buf(&mut self.inbox).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Like [`Self::fill`], for bytes that may come in small portions and be held for a while: one buffer takes many of them.
    /// Answers how many came. Dropping the call loses nothing.
    pub(super) async fn fill_on(&mut self) -> Result<usize, WireError> {
        if self.inbox.capacity() - self.inbox.len() < SHORT_READ_BYTES {
            self.inbox.reserve(READ_BYTES);
        }
        match self.io.read_buf(&mut self.inbox).await? {
            0 => Err(WireError::Closed),
            count => Ok(count),
        }
    }

    /// The next message, whole.
    pub(super) async fn message(&mut self) -> Result<Message, WireError> {
        loop {
            if let Some(length) = message_length(&self.inbox)?
                && self.inbox.len() >= length
            {
                let mut body = self.take(length);
                let kind = body[0];
                body.advance(HEADER_BYTES);
                return Ok(Message { kind, body });
            }
            self.make_room(0)?;
            self.fill().await?;
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.io.write_all(bytes).await?;
        Ok(())
    }

    /// Writes and flushes, and takes what the peer sends meanwhile into the inbox: a peer that waits for us to read would never
    /// come to read what we write.
    pub(super) async fn write_ahead(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        let (io, inbox) = (&mut self.io, &mut self.inbox);
        std::future::poll_fn(|cx| {
            while !bytes.is_empty() {
                match Pin::new(&mut *io).poll_write(cx, bytes) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(WireError::Closed)),
                    Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => match poll_fill(io, inbox, cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return Poll::Pending,
                    },
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        self.flush().await
    }

    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        self.io.flush().await?;
        Ok(())
    }
}

/// Appends what the peer has sent to the inbox.
fn poll_fill(
    io: &mut Io,
    inbox: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<Result<(), WireError>> {
    inbox.reserve(ANSWER_BYTES);
    let read = std::pin::pin!(io.read_buf(inbox));
    match read.poll(cx) {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(WireError::Closed)),
        Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending => Poll::Pending,
    }
}

/// The length with header of the message that begins at `bytes`; `None` while too little is there to tell.
pub(super) fn message_length(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(WireError::protocol(format!("a message of {length} bytes")));
    }
    Ok(Some(length + 1))
}
