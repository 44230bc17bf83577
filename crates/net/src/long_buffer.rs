//! Memory of its own for a message of many megabytes.
//!
//! What one thread allocates and another frees, the allocator keeps for the first: of rows that follow one another, each would take more. This goes
//! back to the system where it is dropped.

use std::io;

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a message as they come. Room that is not filled takes no memory.
#[derive(Debug)]
pub struct LongBuffer {
    memory: MmapMut,
    length: usize,
}

impl LongBuffer {
    /// Room for so many bytes.
    ///
    /// # Errors
    /// When the system has no room in the process's addresses.
    pub fn with_room(bytes: usize) -> io::Result<Self> {
        let memory = MmapOptions::new()
            .len(bytes.max(1))
            .no_reserve_swap()
            .map_anon()?;
        Ok(Self { memory, length: 0 })
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
        let end = self.length + bytes.len();
        let room = self.memory.get_mut(self.length..end);
        room.ok_or(io::ErrorKind::OutOfMemory)?
            .copy_from_slice(bytes);
        self.length = end;
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
        let room = self.memory.get_mut(self.length..self.length + count);
        let read = from.read(room.ok_or(io::ErrorKind::OutOfMemory)?).await?;
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
}
