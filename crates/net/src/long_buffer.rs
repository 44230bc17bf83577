//! Memory of its own for a message of many megabytes.
//!
//! What one thread allocates and another frees, the allocator keeps for the first: of rows that follow one another, each would take more. This goes
//! back to the system where it is dropped.

use std::io;

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Where the system promises no more addresses than it has memory, room is taken as it is needed, beginning with this.
const FIRST_ROOM_BYTES: usize = 32 << 20;

/// Bytes of a message as they come. Room that is not filled takes no memory.
#[derive(Debug)]
pub struct LongBuffer {
    memory: MmapMut,
    length: usize,
    /// There is never more room than this.
    limit: usize,
}

fn map(bytes: usize) -> io::Result<MmapMut> {
    MmapOptions::new()
        .len(bytes.max(1))
        .no_reserve_swap()
        .map_anon()
}

impl LongBuffer {
    /// Room for so many bytes.
    ///
    /// # Errors
    /// When the system has no room in the process's addresses.
    pub fn with_room(bytes: usize) -> io::Result<Self> {
        let memory = map(bytes).or_else(|_| map(bytes.min(FIRST_ROOM_BYTES)))?;
        Ok(Self {
            memory,
            length: 0,
            limit: bytes,
        })
    }

    /// The room behind what has come, of so many bytes.
    fn room(&mut self, count: usize) -> io::Result<&mut [u8]> {
        let end = self.length.saturating_add(count);
        if end > self.limit {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if end > self.memory.len() {
            let doubled = self.memory.len().saturating_mul(2);
            let mut larger = map(doubled.clamp(end, self.limit))?;
            larger[..self.length].copy_from_slice(&self.memory[..self.length]);
            self.memory = larger;
        }
        Ok(&mut self.memory[self.length..end])
    }

    /// Bytes that have come.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none have come.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }

    /// Reads once, up to `count` bytes; answers how many came, 0 at the end. Dropping the call loses nothing.
    ///
    /// # Errors
    /// Those of the reader, or when there is no room.
    pub async fn read_from(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        count: usize,
    ) -> io::Result<usize> {
        let read = from.read(self.room(count)?).await?;
        self.length += read;
        Ok(read)
    }

    /// The bytes, which give the memory back with their last holder.
    pub fn freeze(self) -> Bytes {
        let length = self.length;
        Bytes::from_owner(self.memory).slice(..length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_as_they_were_and_no_more_than_there_is_room() {
        let mut buffer = LongBuffer::with_room(8).unwrap();
        assert!(buffer.is_empty());
        buffer.extend(b"abc").unwrap();
        let mut rest: &[u8] = b"defgh";
        assert_eq!(buffer.read_from(&mut rest, 2).await.unwrap(), 2);
        assert_eq!(buffer.len(), 5);
        assert!(buffer.extend(b"wxyz").is_err());
        assert!(buffer.read_from(&mut rest, 4).await.is_err());
        assert_eq!(buffer.freeze(), "abcde");
    }

    #[test]
    fn room_grows_where_it_was_not_given_at_once() {
        let mut buffer = LongBuffer {
            memory: map(2).unwrap(),
            length: 0,
            limit: 9,
        };
        for bytes in [&b"a"[..], b"bcd", b"efgh", b"i"] {
            buffer.extend(bytes).unwrap();
        }
        assert!(buffer.extend(b"j").is_err());
        assert_eq!(buffer.freeze(), "abcdefghi");
    }
}
