//! How the cells of one column lie in a row of the log, and what values they are.

use std::sync::Arc;

use whimbrel_core::{Bits, Column, Decimal, Engine, Value};

use super::charset::{Charset, Charsets};
use super::fit::fit;
use super::inflate;
use super::jsonb;
use super::numbers::write_decimal;
use super::table_map::LoggedColumn;
use super::times::{Moment, TimeForm};
use crate::types::NOT_TEXT;

/// How the cells of one column are read.
#[derive(Clone, Debug)]
pub(super) enum Codec {
    /// An integer of so many bytes, little-endian.
    Int(u8),
    UInt(u8),
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: u8,
        bytes: u8,
        /// Zeros in front are part of the text (ZEROFILL).
        pads: bool,
    },
    Year,
    Time(TimeForm),
    /// A bit string of so many bits, its last bit lowest.
    Bits(u16),
    /// The number of a label in so many bytes.
    Enum(u8, Arc<[String]>),
    /// A bit for each label in so many bytes.
    Set(u8, Arc<[String]>),
    /// Length in so many bytes, then text.
    Text(u8, Charset, Packing),
    /// The same, of a document in JSON.
    JsonText(u8, Packing),
    /// Length in so many bytes, then bytes.
    Bytes(u8, Packing),
    /// Length in one or two bytes, then bytes whose last zeros are left out.
    FixedBytes(u8, u32),
    /// Length in so many bytes, then a document in binary form.
    Jsonb(u8),
    Uuid,
    Inet4,
    Inet6,
}

/// Whether cells are compressed one by one, as columns of MariaDB may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Compressed,
}

const BAD_LENGTH: &str = "a value that ends too early";

impl Codec {
    /// The codec of a column, as the catalog describes it and the log now announces it.
    ///
    /// # Errors
    /// What the log announces instead.
    pub(super) fn new(
        column: &Column,
        now: &LoggedColumn,
        engine: Engine,
        charsets: &Charsets,
    ) -> Result<Self, String> {
        let found = fit(column, now, engine, charsets)?;
        found.ok_or_else(|| format!("{} where the catalog has {}", now.name(), column.native))
    }

    /// Bytes of a cell at the front of `rest`, if it is whole.
    #[inline]
    pub(super) fn extent(&self, rest: &[u8]) -> Option<usize> {
        let bytes = match self {
            Self::Int(bytes) | Self::UInt(bytes) | Self::Enum(bytes, _) | Self::Set(bytes, _) => {
                usize::from(*bytes)
            }
            Self::Decimal { bytes, .. } => usize::from(*bytes),
            Self::Float32 => 4,
            Self::Float64 => 8,
            Self::Year => 1,
            Self::Time(form) => form.byte_count(),
            Self::Bits(bits) => usize::from(bits.div_ceil(8)),
            Self::Text(prefix, ..)
            | Self::JsonText(prefix, _)
            | Self::Bytes(prefix, _)
            | Self::FixedBytes(prefix, _)
            | Self::Jsonb(prefix) => return counted(*prefix, rest),
            Self::Uuid | Self::Inet4 | Self::Inet6 => return counted(1, rest),
        };
        (rest.len() >= bytes).then_some(bytes)
    }

    fn prefix(&self) -> usize {
        match self {
            Self::Text(prefix, ..)
            | Self::JsonText(prefix, _)
            | Self::Bytes(prefix, _)
            | Self::FixedBytes(prefix, _)
            | Self::Jsonb(prefix) => usize::from(*prefix),
            Self::Uuid | Self::Inet4 | Self::Inet6 => 1,
            _ => 0,
        }
    }

    /// The bytes of a value, without its length.
    #[inline]
    pub(super) fn content<'a>(&self, cell: &'a [u8]) -> &'a [u8] {
        cell.get(self.prefix()..).unwrap_or_default()
    }

    /// Whether some values must be written out before they can be borrowed.
    pub(super) fn may_make(&self) -> bool {
        match self {
            Self::Text(_, charset, packing) => {
                !matches!(charset, Charset::Utf8) || *packing == Packing::Compressed
            }
            Self::JsonText(_, packing) | Self::Bytes(_, packing) => *packing == Packing::Compressed,
            Self::Decimal { .. }
            | Self::Bits(_)
            | Self::Set(..)
            | Self::FixedBytes(..)
            | Self::Jsonb(_)
            | Self::Inet4
            | Self::Inet6 => true,
            _ => false,
        }
    }

    /// Writes a value out, if it cannot be borrowed from its cell.
    pub(super) fn make(&self, content: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Text(_, charset, packing) => {
                let mut plain = Vec::new();
                let content = inflate::column(content, *packing, &mut plain)?;
                if *packing == Packing::Plain && charset.is_same(content) {
                    return Ok(());
                }
                charset.write(content, out).map_err(|_| NOT_TEXT)
            }
            Self::JsonText(_, Packing::Compressed) | Self::Bytes(_, Packing::Compressed) => {
                let mut plain = Vec::new();
                out.extend_from_slice(inflate::column(content, Packing::Compressed, &mut plain)?);
                Ok(())
            }
            Self::Decimal {
                precision,
                scale,
                pads,
                ..
            } => write_decimal(content, *precision, *scale, *pads, out)
                .ok_or("a decimal that is not one"),
            Self::Bits(bits) => {
                let number = number(content) << (64 - u32::from((*bits).clamp(1, 64)));
                out.extend_from_slice(&number.to_be_bytes()[..content.len().min(8)]);
                Ok(())
            }
            Self::Set(_, labels) => write_labels(content, labels, out),
            Self::FixedBytes(_, length) => {
                let length = *length as usize;
                if content.len() < length {
                    out.extend_from_slice(content);
                    out.resize(out.len() + length - content.len(), 0);
                }
                Ok(())
            }
            Self::Jsonb(_) => jsonb::write_text(content, out)
                .map_err(|_| "a document in JSON that cannot be read"),
            Self::Inet4 => {
                let [a, b, c, d] = padded(content)?;
                out.extend_from_slice(format!("{a}.{b}.{c}.{d}").as_bytes());
                Ok(())
            }
            Self::Inet6 => {
                write_inet6(padded(content)?, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The value of a cell; `made` is what [`Self::make`] has written.
    #[inline]
    pub(super) fn value<'a>(
        &'a self,
        content: &'a [u8],
        made: &'a [u8],
    ) -> Result<Value<'a>, &'static str> {
        let either = if made.is_empty() { content } else { made };
        Ok(match self {
            Self::Int(bytes) => Value::Int(signed(content, *bytes)),
            Self::UInt(_) => Value::UInt(little(content)),
            Self::Float32 => Value::Float32(f32::from_le_bytes(
                *content.first_chunk().ok_or(BAD_LENGTH)?,
            )),
            Self::Float64 => Value::Float64(f64::from_le_bytes(
                *content.first_chunk().ok_or(BAD_LENGTH)?,
            )),
            Self::Decimal { .. } => {
                let text = text(made)?;
                let short = Decimal::short(text.as_bytes());
                Value::Decimal(short.unwrap_or(Decimal::Text(text)))
            }
            Self::Year => match content.first().ok_or(BAD_LENGTH)? {
                0 => Value::Int(0),
                &year => Value::Int(1900 + i64::from(year)),
            },
            Self::Time(form) => match form.read(content).ok_or("a time that is not one")? {
                Moment::Date(date) => Value::Date(date),
                Moment::Time(time) => Value::Time(time),
                Moment::DateTime(at) => Value::Timestamp(at),
                Moment::Instant(at) => Value::TimestampTz(at),
            },
            Self::Bits(bits) => Value::Bits(Bits {
                bytes: made,
                length: u32::from(*bits),
            }),
            Self::Enum(_, labels) => Value::Text(label(content, labels)?),
            Self::Set(..) | Self::Inet4 | Self::Inet6 | Self::Text(_, _, Packing::Compressed) => {
                Value::Text(text(made)?)
            }
            Self::Text(..) => Value::Text(text(either)?),
            Self::JsonText(_, Packing::Compressed) | Self::Jsonb(_) => Value::Json(text(made)?),
            Self::JsonText(..) => Value::Json(text(content)?),
            Self::Bytes(_, Packing::Compressed) => Value::Bytes(made),
            Self::Bytes(..) => Value::Bytes(content),
            Self::FixedBytes(..) => Value::Bytes(either),
            Self::Uuid => Value::Uuid(padded(content)?),
        })
    }
}

/// Bytes of a length of so many bytes and of what it counts, if they are all there.
#[inline]
fn counted(prefix: u8, rest: &[u8]) -> Option<usize> {
    let prefix = usize::from(prefix);
    let length = usize::try_from(little(rest.get(..prefix)?)).ok()?;
    let bytes = prefix.checked_add(length)?;
    (rest.len() >= bytes).then_some(bytes)
}

#[inline]
fn little(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(wide)
}

#[inline]
fn signed(bytes: &[u8], count: u8) -> i64 {
    let unused = 64 - 8 * u32::from(count.clamp(1, 8));
    (little(bytes) << unused).cast_signed() >> unused
}

fn number(big_endian: &[u8]) -> u64 {
    big_endian
        .iter()
        .take(8)
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[inline]
fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| NOT_TEXT)
}

/// Number 0 stands for the empty text of a value that was refused without an error.
fn label<'a>(content: &[u8], labels: &'a [String]) -> Result<&'a str, &'static str> {
    let index = usize::try_from(little(content)).map_err(|_| BAD_LENGTH)?;
    let Some(index) = index.checked_sub(1) else {
        return Ok("");
    };
    labels
        .get(index)
        .map(String::as_str)
        .ok_or("the number of a label that the column does not have")
}

fn write_labels(content: &[u8], labels: &[String], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mask = little(content);
    if labels.len() < 64 && mask >> labels.len() != 0 {
        return Err("a label that the column does not have");
    }
    let start = out.len();
    for (index, label) in labels.iter().enumerate().take(64) {
        if mask & 1 << index != 0 {
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(label.as_bytes());
        }
    }
    Ok(())
}

/// Zeros at the end of fixed bytes are left out of the log.
fn padded<const N: usize>(content: &[u8]) -> Result<[u8; N], &'static str> {
    let mut out = [0; N];
    out.get_mut(..content.len())
        .ok_or("an address or UUID that is too long")?
        .copy_from_slice(content);
    Ok(out)
}

/// The text of the server: the longest run of zeros (the first of equals) left out, and the last four bytes as an IPv4
/// address behind the two prefixes that announce one.
fn write_inet6(bytes: [u8; 16], out: &mut Vec<u8>) {
    let mut words = [0_u16; 8];
    for (word, pair) in words.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *word = u16::from_be_bytes(*pair);
    }
    let (mut gap, mut gap_length, mut run) = (8, 0, 0);
    for (index, &word) in words.iter().enumerate() {
        run = if word == 0 { run + 1 } else { 0 };
        if run > gap_length {
            (gap, gap_length) = (index + 1 - run, run);
        }
    }
    let mut index = 0;
    while index < 8 {
        if index == gap {
            out.extend_from_slice(if index == 0 { b"::" } else { b":" });
            index += gap_length;
            continue;
        }
        let holds_inet4 = gap == 0 && (gap_length == 6 || (gap_length == 5 && words[5] == 0xFFFF));
        if index == 6 && holds_inet4 {
            let [a, b, c, d] = [bytes[12], bytes[13], bytes[14], bytes[15]];
            out.extend_from_slice(format!("{a}.{b}.{c}.{d}").as_bytes());
            return;
        }
        out.extend_from_slice(format!("{:x}", words[index]).as_bytes());
        if index < 7 {
            out.push(b':');
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_server_does() {
        let text = |address: &str| {
            let mut out = Vec::new();
            write_inet6(
                address.parse::<std::net::Ipv6Addr>().unwrap().octets(),
                &mut out,
            );
            String::from_utf8(out).unwrap()
        };
        for address in [
            "::",
            "::1",
            "1::",
            "2001:db8::ff00:42:8329",
            "::1.2.3.4",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:7:8",
            "1:0:2::3",
        ] {
            assert_eq!(text(address), address);
        }
    }

    #[test]
    fn integers_of_every_width_keep_their_sign() {
        assert_eq!(signed(&[0xFF, 0xFF, 0xFF], 3), -1);
        assert_eq!(signed(&[0, 0, 0x80], 3), -8_388_608);
        assert_eq!(signed(&[0xFF; 8], 8), -1);
        assert_eq!(little(&[0xFF; 8]), u64::MAX);
    }

    #[test]
    fn labels_out_of_range_are_refused() {
        let labels = ["a".to_owned(), "b".to_owned()];
        assert_eq!(label(&[0], &labels), Ok(""));
        assert_eq!(label(&[2], &labels), Ok("b"));
        assert!(label(&[3], &labels).is_err());
        let mut out = Vec::new();
        write_labels(&[3], &labels, &mut out).unwrap();
        assert_eq!(out, b"a,b");
        assert!(write_labels(&[4], &labels, &mut out).is_err());
    }
}
