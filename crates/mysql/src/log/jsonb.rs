//! JSON documents in the binary form of MySQL, as the text that the server gives for them.
//!
//! A document is a tree of values that point to each other by offsets: small ones of two bytes, large ones of four. Layout:
//! `sql-common/json_binary.h` of MySQL 9.7. Offsets from outside may point anywhere, so depth and the bytes written are
//! bounded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::numbers::{write_decimal, write_double};
use super::times::{JsonTime, write_json_time};
use crate::wire::Reader;

/// The server allows 100 levels.
const DEPTH_MAX: usize = 128;
/// A document is at most 1 GiB; values that overlap could make text without end.
const TEXT_BYTES_MAX: usize = 2 << 30;
/// More than any value has for each of its bytes: a character that is escaped has six.
const TEXT_PER_BYTE: usize = 16;
/// More than one value of fixed length has.
const SHORT_TEXT_BYTES: usize = 64;

/// A document that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadJson;

mod kind {
    pub(super) const SMALL_OBJECT: u8 = 0;
    pub(super) const LARGE_OBJECT: u8 = 1;
    pub(super) const SMALL_ARRAY: u8 = 2;
    pub(super) const LARGE_ARRAY: u8 = 3;
    pub(super) const LITERAL: u8 = 4;
    pub(super) const INT16: u8 = 5;
    pub(super) const UINT16: u8 = 6;
    pub(super) const INT32: u8 = 7;
    pub(super) const UINT32: u8 = 8;
    pub(super) const INT64: u8 = 9;
    pub(super) const UINT64: u8 = 10;
    pub(super) const DOUBLE: u8 = 11;
    pub(super) const STRING: u8 = 12;
    pub(super) const OPAQUE: u8 = 15;
}

/// A value of a document, its parts still in the binary form.
pub(super) enum Node<'a> {
    Object(Container<'a>),
    Array(Container<'a>),
    /// Kind and bytes.
    Scalar(u8, &'a [u8]),
}

/// An object or an array.
pub(super) struct Container<'a> {
    /// From the count on; offsets are relative to it.
    bytes: &'a [u8],
    is_large: bool,
    is_object: bool,
    count: usize,
}

impl<'a> Node<'a> {
    /// The root of a document. An empty one stands for null.
    pub(super) fn root(document: &'a [u8]) -> Result<Self, BadJson> {
        match document.split_first() {
            None => Ok(Self::Scalar(kind::LITERAL, &[0])),
            Some((&kind, bytes)) => Self::new(kind, bytes),
        }
    }

    fn new(kind: u8, bytes: &'a [u8]) -> Result<Self, BadJson> {
        match kind {
            kind::SMALL_OBJECT => Container::new(bytes, false, true).map(Self::Object),
            kind::LARGE_OBJECT => Container::new(bytes, true, true).map(Self::Object),
            kind::SMALL_ARRAY => Container::new(bytes, false, false).map(Self::Array),
            kind::LARGE_ARRAY => Container::new(bytes, true, false).map(Self::Array),
            _ => Ok(Self::Scalar(kind, bytes)),
        }
    }
}

impl<'a> Container<'a> {
    fn new(bytes: &'a [u8], is_large: bool, is_object: bool) -> Result<Self, BadJson> {
        let mut container = Self {
            bytes,
            is_large,
            is_object,
            count: 0,
        };
        container.count = container.number(0)?;
        let size = container.number(container.width())?;
        container.bytes = bytes.get(..size).ok_or(BadJson)?;
        // The entries must lie within, which bounds the count.
        if container.value_entry(container.count)? > size {
            return Err(BadJson);
        }
        Ok(container)
    }

    fn width(&self) -> usize {
        if self.is_large { 4 } else { 2 }
    }

    fn number(&self, at: usize) -> Result<usize, BadJson> {
        let mut reader = Reader::new(self.bytes.get(at..).ok_or(BadJson)?);
        if self.is_large {
            reader.u32().map(|number| number as usize)
        } else {
            reader.u16().map(usize::from)
        }
        .map_err(|_| BadJson)
    }

    /// Where the entry of a value begins: behind the count, the size and the entries of all keys.
    fn value_entry(&self, index: usize) -> Result<usize, BadJson> {
        let keys = if self.is_object {
            self.count.checked_mul(self.width() + 2).ok_or(BadJson)?
        } else {
            0
        };
        let before = index.checked_mul(1 + self.width()).ok_or(BadJson)?;
        Ok(2 * self.width() + keys + before)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The key of a member of an object.
    pub(super) fn key(&self, index: usize) -> Result<&'a [u8], BadJson> {
        let entry = 2 * self.width() + index * (self.width() + 2);
        let offset = self.number(entry)?;
        let length = self
            .bytes
            .get(entry + self.width()..)
            .and_then(|rest| rest.first_chunk::<2>())
            .ok_or(BadJson)?;
        let end = offset + usize::from(u16::from_le_bytes(*length));
        self.bytes.get(offset..end).ok_or(BadJson)
    }

    /// A member's value. Short ones lie in the entry itself.
    pub(super) fn value(&self, index: usize) -> Result<Node<'a>, BadJson> {
        let entry = self.value_entry(index)?;
        let kind = *self.bytes.get(entry).ok_or(BadJson)?;
        let is_inline = match kind {
            kind::LITERAL | kind::INT16 | kind::UINT16 => true,
            kind::INT32 | kind::UINT32 => self.is_large,
            _ => false,
        };
        let at = if is_inline {
            entry + 1
        } else {
            self.number(entry + 1)?
        };
        Node::new(kind, self.bytes.get(at..).ok_or(BadJson)?)
    }
}

/// The most bytes of text that a document can have. Its values lie beside each other; where they overlap, a few bytes could name the same ones again
/// and again, and stand for a text that no memory holds.
pub(super) fn text_bytes_max(document: &[u8]) -> usize {
    let most = document.len().saturating_mul(TEXT_PER_BYTE);
    most.saturating_add(SHORT_TEXT_BYTES).min(TEXT_BYTES_MAX)
}

/// Appends a document as text.
pub(super) fn write_text(document: &[u8], out: &mut Vec<u8>) -> Result<(), BadJson> {
    let end = out.len().saturating_add(text_bytes_max(document));
    write_node(&Node::root(document)?, DEPTH_MAX, end, out)
}

fn write_node(node: &Node<'_>, depth: usize, end: usize, out: &mut Vec<u8>) -> Result<(), BadJson> {
    if depth == 0 || out.len() > end {
        return Err(BadJson);
    }
    let (container, is_object) = match node {
        Node::Scalar(kind, bytes) => return write_scalar(*kind, bytes, out),
        Node::Object(container) => (container, true),
        Node::Array(container) => (container, false),
    };
    out.push(if is_object { b'{' } else { b'[' });
    for index in 0..container.len() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        if is_object {
            write_string(container.key(index)?, out)?;
            out.extend_from_slice(b": ");
        }
        write_node(&container.value(index)?, depth - 1, end, out)?;
    }
    out.push(if is_object { b'}' } else { b']' });
    Ok(())
}

/// Appends a value that has no members.
pub(super) fn write_scalar(kind: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadJson> {
    let mut reader = Reader::new(bytes);
    let bad = |_| BadJson;
    match kind {
        kind::LITERAL => out.extend_from_slice(match reader.u8().map_err(bad)? {
            0 => b"null",
            1 => b"true",
            2 => b"false",
            _ => return Err(BadJson),
        }),
        kind::INT16 => {
            write_integer(i16::from_le_bytes(reader.array().map_err(bad)?), out);
        }
        kind::UINT16 => write_integer(reader.u16().map_err(bad)?, out),
        kind::INT32 => {
            write_integer(i32::from_le_bytes(reader.array().map_err(bad)?), out);
        }
        kind::UINT32 => write_integer(reader.u32().map_err(bad)?, out),
        kind::INT64 => {
            write_integer(i64::from_le_bytes(reader.array().map_err(bad)?), out);
        }
        kind::UINT64 => write_integer(reader.u64().map_err(bad)?, out),
        kind::DOUBLE => {
            let start = out.len();
            write_double(f64::from_le_bytes(reader.array().map_err(bad)?), out);
            // Told from an integer by its point.
            if !out[start..].iter().any(|byte| matches!(byte, b'.' | b'e')) {
                out.extend_from_slice(b".0");
            }
        }
        kind::STRING => {
            let length = length(&mut reader)?;
            write_string(reader.bytes(length).map_err(bad)?, out)?;
        }
        kind::OPAQUE => {
            let ty = reader.u8().map_err(bad)?;
            let length = length(&mut reader)?;
            write_opaque(ty, reader.bytes(length).map_err(bad)?, out)?;
        }
        _ => return Err(BadJson),
    }
    Ok(())
}

fn write_integer(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// A length in groups of seven bits, the lowest first.
fn length(reader: &mut Reader<'_>) -> Result<usize, BadJson> {
    let mut length = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = reader.u8().map_err(|_| BadJson)?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(BadJson)
}

pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) -> Result<(), BadJson> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = std::str::from_utf8(text).map_err(|_| BadJson)?;
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    Ok(())
}

/// A value of SQL in a document.
fn write_opaque(ty: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadJson> {
    const TIMESTAMP: u8 = 7;
    const DATE: u8 = 10;
    const TIME: u8 = 11;
    const DATETIME: u8 = 12;
    const NEWDECIMAL: u8 = 246;
    const LINE_BYTES: usize = 76;
    let time = match ty {
        NEWDECIMAL => {
            let (&[precision, scale], packed) = bytes.split_first_chunk::<2>().ok_or(BadJson)?;
            return write_decimal(packed, precision, scale, false, out).ok_or(BadJson);
        }
        DATE => JsonTime::Date,
        TIME => JsonTime::Time,
        DATETIME | TIMESTAMP => JsonTime::DateTime,
        _ => {
            out.extend_from_slice(format!("\"base64:type{ty}:").as_bytes());
            // The server breaks lines, and a line's end is escaped in a text.
            for (index, line) in STANDARD
                .encode(bytes)
                .as_bytes()
                .chunks(LINE_BYTES)
                .enumerate()
            {
                out.extend_from_slice(if index > 0 { b"\\n" } else { b"" });
                out.extend_from_slice(line);
            }
            out.push(b'"');
            return Ok(());
        }
    };
    let packed = bytes.first_chunk::<8>().ok_or(BadJson)?;
    write_json_time(time, i64::from_le_bytes(*packed), out).ok_or(BadJson)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(document: &[u8]) -> Result<String, BadJson> {
        let mut out = Vec::new();
        write_text(document, &mut out)?;
        String::from_utf8(out).map_err(|_| BadJson)
    }

    #[test]
    fn documents_are_written_as_the_server_does() {
        assert_eq!(text(&[]).unwrap(), "null");
        // {"a": 1, "bb": [true, "x"]}
        let array = [2, 0, 12, 0, 4, 1, 0, 12, 10, 0, 1, b'x'];
        let object = [
            &[0, 2, 0, 33, 0, 18, 0, 1, 0, 19, 0, 2, 0, 5, 1, 0, 2, 21, 0][..],
            b"abb",
            &array,
        ]
        .concat();
        assert_eq!(text(&object).unwrap(), r#"{"a": 1, "bb": [true, "x"]}"#);
        assert_eq!(text(&[4, 3]), Err(BadJson));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            write_text(&bytes, &mut out).ok();
        }
    }
}
