//! Long rows are not held whole: they are handed over in parts, as they come.
//!
//! A part is some of a row's bytes, whatever the packets in which the server sent them. Nothing is taken before all of a part is there, so that a
//! dropped call loses nothing; where the server's packets end a row is the end of its last part, which says so.

use bytes::Bytes;

use super::connection::{Connection, State};
use super::rows::{Front, front};
use super::stream::{HEADER_BYTES, PART_BYTES_MAX, part_length};
use super::{RowPackets, WireError};

/// What comes next of a result.
#[derive(Debug)]
pub(crate) enum RowsOrPart {
    Rows(RowPackets),
    Part(RowPart),
}

/// Some bytes of a row.
#[derive(Debug)]
pub(crate) struct RowPart {
    pub(crate) bytes: Bytes,
    pub(crate) begins: bool,
    pub(crate) ends: bool,
}

/// What is left of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowLeft {
    /// Bytes of the packet that is being read.
    in_packet: usize,
    /// Whether another packet goes on with the row.
    goes_on: bool,
}

impl RowLeft {
    fn of(header: [u8; HEADER_BYTES]) -> Self {
        let in_packet = part_length(header);
        Self {
            in_packet,
            goes_on: in_packet == PART_BYTES_MAX,
        }
    }
}

impl Connection {
    /// As [`Self::block`], but of a row longer than `block_bytes` comes a part.
    pub(crate) async fn block_in_parts(
        &mut self,
        block_bytes: usize,
    ) -> Result<Option<RowsOrPart>, WireError> {
        if let Some(left) = self.row_left {
            return self.part(left, false, block_bytes).await.map(Some);
        }
        if self.state == State::Rows && self.is_long_row_next(block_bytes).await? {
            let left = RowLeft::of(self.header_at(0).await?);
            return self.part(left, true, block_bytes).await.map(Some);
        }
        let rows = self.block(block_bytes).await?;
        Ok(rows.map(RowsOrPart::Rows))
    }

    /// Whether a row comes next that is longer than a block, be it there already or not: what comes in parts is not left to chance.
    async fn is_long_row_next(&mut self, block_bytes: usize) -> Result<bool, WireError> {
        loop {
            match front(self.stream.inbox()) {
                Front::LongRow => return Ok(true),
                Front::Unfinished(bytes) => match self.stream.inbox().get(HEADER_BYTES) {
                    // Rows of the binary protocol begin with a zero.
                    Some(first) => return Ok(*first == 0 && bytes > block_bytes),
                    None => self.fill().await?,
                },
                Front::Row(bytes) => return Ok(bytes > block_bytes),
                Front::Last => return Ok(false),
            }
        }
    }

    /// The next part of a row. Where the row begins, the header of its first packet is still in the inbox.
    async fn part(
        &mut self,
        mut left: RowLeft,
        begins: bool,
        block_bytes: usize,
    ) -> Result<RowsOrPart, WireError> {
        let needs_header = begins || left.in_packet == 0;
        if needs_header && !begins {
            left = RowLeft::of(self.header_at(0).await?);
        }
        let head = if needs_header { HEADER_BYTES } else { 0 };
        let count = left.in_packet.min(block_bytes.max(1));
        self.fill_to(head + count).await?;
        let ends_packet = count == left.in_packet;
        // Behind full packets alone stands an empty one: no part of its own, but the word that the row is over.
        let is_empty_next =
            ends_packet && left.goes_on && part_length(self.header_at(head + count).await?) == 0;
        if needs_header {
            self.pass_header().await?;
        }
        let bytes = self.stream.take(count);
        if is_empty_next {
            self.pass_header().await?;
        }
        left.in_packet -= count;
        let ends = ends_packet && (!left.goes_on || is_empty_next);
        self.row_left = (!ends).then_some(left);
        Ok(RowsOrPart::Part(RowPart {
            bytes,
            begins,
            ends,
        }))
    }

    /// The header at a place of the inbox. Cancel safe.
    async fn header_at(&mut self, place: usize) -> Result<[u8; HEADER_BYTES], WireError> {
        self.fill_to(place + HEADER_BYTES).await?;
        let header = self.stream.inbox()[place..].first_chunk();
        Ok(*header.expect("so many bytes were waited for"))
    }

    /// Takes a header that is in the inbox, so that it does not wait.
    async fn pass_header(&mut self) -> Result<(), WireError> {
        let header = self.header_at(0).await?;
        self.stream.pass_header(header);
        Ok(())
    }
}
