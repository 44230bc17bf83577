//! What servers compress in their logs: columns and events of MariaDB by zlib, transactions of MySQL by zstd.
//!
//! Sizes that the log declares are checked: an event or a transaction that does not inflate to exactly its size is an error,
//! never an empty one.

use std::io::{Cursor, Read};

use bytes::{Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::StreamingDecoder;

use super::codec::Packing;
use super::event::{HEADER_BYTES, Header};
use crate::wire::{Malformed, Reader};

/// The largest event of a server.
const EVENT_BYTES_MAX: usize = 1 << 30;
/// Bytes of a transaction that are inflated at a time.
const STEP_BYTES: usize = 64 << 10;
/// Bytes of events that make one piece of a transaction.
const PIECE_BYTES: usize = 256 << 10;

/// Inflates a stream of zlib that must give exactly `size` bytes.
fn zlib(packed: &[u8], size: usize, has_header: bool, out: &mut Vec<u8>) -> Option<()> {
    if size > EVENT_BYTES_MAX {
        return None;
    }
    // A declared size is only believed as far as bytes could grow to it.
    out.reserve(size.min(packed.len().saturating_mul(1100)));
    let start = out.len();
    let mut state = Decompress::new(has_header);
    loop {
        let read = usize::try_from(state.total_in()).ok()?;
        let before = (state.total_in(), out.len());
        if out.len() == out.capacity() {
            out.reserve(STEP_BYTES);
        }
        let status = state
            .decompress_vec(packed.get(read..)?, out, FlushDecompress::None)
            .ok()?;
        if status == Status::StreamEnd {
            return (out.len() - start == size).then_some(());
        }
        if out.len() - start > size || before == (state.total_in(), out.len()) {
            return None;
        }
    }
}

/// The value of a cell of a column: a byte that tells how it is packed, the size, and the packed bytes; the empty value is
/// empty. (`Field_longstr::compress` of MariaDB 10.11.)
pub(super) fn column<'a>(
    cell: &'a [u8],
    packing: Packing,
    plain: &'a mut Vec<u8>,
) -> Result<&'a [u8], &'static str> {
    const BAD: &str = "a compressed value that does not inflate to its size";
    const ZLIB: u8 = 8;
    if packing == Packing::Plain || cell.is_empty() {
        return Ok(cell);
    }
    let (&head, rest) = cell.split_first().ok_or(BAD)?;
    if head == 0 {
        return Ok(rest);
    }
    if head >> 4 != ZLIB {
        return Err("a value compressed by an unknown method");
    }
    let (size, packed) = rest.split_at_checked(usize::from(head & 7)).ok_or(BAD)?;
    let size = big_endian(size).ok_or(BAD)?;
    zlib(packed, size, head & 8 == 0, plain).ok_or(BAD)?;
    Ok(plain)
}

/// The compressed part of an event of MariaDB: a byte with the count of bytes of the size, the size, and zlib.
pub(super) fn event_part(packed: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (&head, rest) = packed.split_first()?;
    let is_zlib = head & 0xF0 == 0x80;
    let (size, packed) = rest.split_at_checked(usize::from(head & 7))?;
    is_zlib.then_some(())?;
    zlib(packed, big_endian(size)?, true, out)
}

fn big_endian(bytes: &[u8]) -> Option<usize> {
    let wide = bytes.iter().try_fold(0_usize, |number, &byte| {
        number
            .checked_mul(256)
            .map(|number| number | usize::from(byte))
    });
    wide.filter(|&size| size <= EVENT_BYTES_MAX)
}

/// A compressed transaction, inflated piece by piece.
pub(super) struct Payload {
    source: Inflater,
    /// Bytes that are still to come.
    left: u64,
    /// Inflated bytes that no piece has taken yet.
    ahead: BytesMut,
}

enum Inflater {
    Plain(Cursor<Bytes>),
    // Boxed, because it holds a window of many kilobytes.
    Zstd(Box<StreamingDecoder<Cursor<Bytes>, ruzstd::decoding::FrameDecoder>>),
}

const PAYLOAD_BAD: &str = "a compressed transaction that cannot be read";

impl Payload {
    /// Reads the head of a TRANSACTION_PAYLOAD event: fields of type, length and value, up to type 0.
    pub(super) fn new(body: &Bytes) -> Result<Self, &'static str> {
        const END: usize = 0;
        const COMPRESSION: usize = 2;
        const SIZE: usize = 3;
        let bad = |Malformed| PAYLOAD_BAD;
        let mut reader = Reader::new(body);
        let (mut compression, mut size) = (None, None);
        loop {
            let field = reader.length().map_err(bad)?.ok_or(PAYLOAD_BAD)?;
            if field == END {
                break;
            }
            let mut value = Reader::new(reader.counted().map_err(bad)?);
            match field {
                COMPRESSION => compression = value.length().map_err(bad)?,
                SIZE => size = value.length().map_err(bad)?,
                _ => {}
            }
        }
        let packed = body.slice(body.len() - reader.rest().len()..);
        let left = size.unwrap_or(packed.len()) as u64;
        let source = match compression {
            Some(0) => Inflater::Zstd(Box::new(
                StreamingDecoder::new(Cursor::new(packed)).map_err(|_| PAYLOAD_BAD)?,
            )),
            Some(255) => Inflater::Plain(Cursor::new(packed)),
            _ => return Err("a transaction compressed by an unknown method"),
        };
        Ok(Self {
            source,
            left,
            ahead: BytesMut::new(),
        })
    }

    /// The next whole events, about 256 KiB of them or a single longer one; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, &'static str> {
        let mut whole = 0;
        loop {
            while let Some(bytes) = event_bytes(&self.ahead[whole..])? {
                if whole + bytes > self.ahead.len() {
                    break;
                }
                whole += bytes;
            }
            if whole >= PIECE_BYTES || (whole > 0 && self.left == 0) {
                return Ok(Some(self.ahead.split_to(whole).freeze()));
            }
            if self.left == 0 {
                return if self.ahead.is_empty() {
                    self.end().map(|()| None)
                } else {
                    Err(PAYLOAD_BAD)
                };
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), &'static str> {
        let start = self.ahead.len();
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(STEP_BYTES);
        self.ahead.resize(start + wanted, 0);
        let read = match &mut self.source {
            Inflater::Plain(source) => source.read(&mut self.ahead[start..]),
            Inflater::Zstd(source) => source.read(&mut self.ahead[start..]),
        };
        let read = read.map_err(|_| PAYLOAD_BAD)?;
        if read == 0 {
            return Err("a compressed transaction that is shorter than it says");
        }
        self.ahead.truncate(start + read);
        self.left -= read as u64;
        Ok(())
    }

    /// Checks that nothing comes after the declared size.
    fn end(&mut self) -> Result<(), &'static str> {
        let mut byte = [0];
        let more = match &mut self.source {
            Inflater::Plain(source) => source.read(&mut byte),
            Inflater::Zstd(source) => source.read(&mut byte),
        };
        match more {
            Ok(0) => Ok(()),
            _ => Err("a compressed transaction that is longer than it says"),
        }
    }
}

/// Bytes of the event at the front, if its header is there.
fn event_bytes(ahead: &[u8]) -> Result<Option<usize>, &'static str> {
    if ahead.len() < HEADER_BYTES {
        return Ok(None);
    }
    let header = Header::parse(ahead).map_err(|Malformed| PAYLOAD_BAD)?;
    let bytes = header.bytes as usize;
    if (HEADER_BYTES..=EVENT_BYTES_MAX).contains(&bytes) {
        Ok(Some(bytes))
    } else {
        Err(PAYLOAD_BAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn sizes_that_are_not_met_are_errors() {
        let plain = b"abc".repeat(1000);
        for (size, expected) in [(3000_u16, true), (2999, false), (3001, false), (0, false)] {
            let event = [&[0x82][..], &size.to_be_bytes(), &packed(&plain)].concat();
            let mut out = Vec::new();
            assert_eq!(event_part(&event, &mut out).is_some(), expected, "{size}");
        }
        let event = [&[0x82][..], &3000_u16.to_be_bytes(), &packed(&plain)[..20]].concat();
        assert_eq!(event_part(&event, &mut Vec::new()), None);
        assert_eq!(event_part(&[], &mut Vec::new()), None);
    }

    #[test]
    fn compressed_values_are_read_and_plain_ones_kept() {
        let value = b"xyz".repeat(100);
        let cell = [&[0x82][..], &300_u16.to_be_bytes(), &packed(&value)].concat();
        let mut plain = Vec::new();
        assert_eq!(
            column(&cell, Packing::Compressed, &mut plain),
            Ok(&value[..])
        );
        assert_eq!(
            column(&[0, 1], Packing::Compressed, &mut Vec::new()),
            Ok(&[1][..])
        );
        assert_eq!(
            column(&[], Packing::Compressed, &mut Vec::new()),
            Ok(&[][..])
        );
        assert!(column(&[0x91], Packing::Compressed, &mut Vec::new()).is_err());
    }

    #[test]
    fn payloads_give_whole_events_or_an_error() {
        let event = |bytes: u32| {
            let mut event = vec![0; bytes as usize];
            event[9..13].copy_from_slice(&bytes.to_le_bytes());
            event
        };
        let events: Vec<u8> = (0..20_000).flat_map(|i| event(19 + i % 50)).collect();
        let body = |size: usize| {
            let size = u32::try_from(size).unwrap().to_le_bytes();
            [
                &[2, 3, 0xFC, 255, 0, 3, 4, 0xFD, size[0], size[1], size[2], 0][..],
                &events,
            ]
            .concat()
        };
        let mut payload = Payload::new(&body(events.len()).into()).unwrap();
        let mut total = 0;
        while let Some(piece) = payload.next().unwrap() {
            assert!(piece.len() < PIECE_BYTES + STEP_BYTES);
            total += piece.len();
        }
        assert_eq!(total, events.len());
        let mut cut = Payload::new(&body(events.len() - 1).into()).unwrap();
        let ended = loop {
            match cut.next() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(ended.is_err());
    }
}
