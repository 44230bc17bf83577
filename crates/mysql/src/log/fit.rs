//! Which codec a column has: that of its type in the catalog, if the log announces the same.

use whimbrel_core::{Column, ColumnType, Engine};

use super::charset::Charsets;
use super::codec::{Codec, Packing};
use super::numbers::decimal_bytes;
use super::table_map::{LoggedColumn, logged};
use super::times::TimeForm;

/// The codec; `None` when the log announces something else.
///
/// # Errors
/// Why no codec can be had for such a column at all.
pub(super) fn fit(
    column: &Column,
    now: &LoggedColumn,
    engine: Engine,
    charsets: &Charsets,
) -> Result<Option<Codec>, String> {
    match &column.ty {
        ColumnType::Int { bits, unsigned } => Ok(integer(*bits, *unsigned, now)),
        ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Decimal { .. }
        | ColumnType::Year
        | ColumnType::Bit { .. } => Ok(number(column, now)),
        ColumnType::Date
        | ColumnType::Time { .. }
        | ColumnType::Timestamp { .. }
        | ColumnType::TimestampTz { .. } => Ok(time_form(&column.ty, now).map(Codec::Time)),
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => {
            text_codec(column, now, charsets)
        }
        _ => Ok(other(column, now, engine)),
    }
}

fn integer(bits: u8, unsigned: bool, now: &LoggedColumn) -> Option<Codec> {
    let bytes = match (bits, now.kind) {
        (8, logged::TINY) => 1,
        (16, logged::SHORT) => 2,
        (24, logged::INT24) => 3,
        (32, logged::LONG) => 4,
        (64, logged::LONGLONG) => 8,
        _ => return None,
    };
    let is_same = now.unsigned.is_none_or(|now| now == unsigned);
    let codec = if unsigned {
        Codec::UInt(bytes)
    } else {
        Codec::Int(bytes)
    };
    is_same.then_some(codec)
}

fn number(column: &Column, now: &LoggedColumn) -> Option<Codec> {
    let kind = now.kind;
    match &column.ty {
        ColumnType::Float32 => (kind == logged::FLOAT).then_some(Codec::Float32),
        ColumnType::Float64 => (kind == logged::DOUBLE).then_some(Codec::Float64),
        ColumnType::Decimal { precision, .. } => {
            let described = precision.map(|(digits, scale)| (i64::from(digits), i64::from(scale)));
            let [digits, scale] = now.bytes();
            let is_same = described == Some((digits.into(), scale.into()));
            (kind == logged::NEWDECIMAL && is_same).then(|| Codec::Decimal {
                precision: digits,
                scale,
                bytes: u8::try_from(decimal_bytes(digits, scale)).unwrap_or(u8::MAX),
                pads: column.native.contains("zerofill"),
            })
        }
        ColumnType::Year => (kind == logged::YEAR).then_some(Codec::Year),
        ColumnType::Bit {
            length: Some(length),
            ..
        } => {
            let [odd, whole] = now.bytes();
            let bits = u16::from(whole) * 8 + u16::from(odd);
            (kind == logged::BIT && u32::from(bits) == *length).then_some(Codec::Bits(bits))
        }
        _ => None,
    }
}

/// Labels, documents, bytes, and types of MariaDB.
fn other(column: &Column, now: &LoggedColumn, engine: Engine) -> Option<Codec> {
    let kind = now.kind;
    match &column.ty {
        ColumnType::Enum { labels } => {
            let bytes = if labels.len() > 255 { 2 } else { 1 };
            (kind == logged::ENUM && now.meta == u16::from(bytes))
                .then(|| Codec::Enum(bytes, labels.as_slice().into()))
        }
        ColumnType::Set { labels } => {
            let bytes = match labels.len().div_ceil(8) {
                bytes @ 0..=4 => bytes.max(1),
                _ => 8,
            };
            let bytes = u8::try_from(bytes).unwrap_or(8);
            (kind == logged::SET && now.meta == u16::from(bytes))
                .then(|| Codec::Set(bytes, labels.as_slice().into()))
        }
        ColumnType::Json { binary: true } => {
            (kind == logged::JSON).then_some(Codec::Jsonb(now.prefix()))
        }
        ColumnType::Json { binary: false } => {
            now.is_blob(4).then(|| Codec::JsonText(4, now.packing()))
        }
        ColumnType::Uuid => now.is_fixed(16).then_some(Codec::Uuid),
        ColumnType::Native { kind } if kind == "inet6" => now.is_fixed(16).then_some(Codec::Inet6),
        ColumnType::Native { kind } if kind == "inet4" => now.is_fixed(4).then_some(Codec::Inet4),
        ColumnType::Geometry { .. } => {
            (kind == logged::GEOMETRY).then(|| Codec::Bytes(now.prefix(), Packing::Plain))
        }
        ColumnType::Binary { length } => now
            .is_fixed(*length)
            .then(|| Codec::FixedBytes(now.prefix(), *length)),
        ColumnType::Varbinary { length } => {
            let is_vector = column.native.starts_with("vector")
                && (kind == logged::VECTOR || engine == Engine::MariaDb);
            (is_vector || now.is_varying(*length))
                .then(|| Codec::Bytes(now.prefix(), now.packing()))
        }
        ColumnType::Blob { bytes_max } => now
            .is_blob(blob_prefix(*bytes_max))
            .then(|| Codec::Bytes(now.prefix(), now.packing())),
        _ => None,
    }
}

fn blob_prefix(bytes_max: Option<u64>) -> u8 {
    match bytes_max {
        Some(0..=0xFF) => 1,
        Some(0x100..=0xFFFF) => 2,
        Some(0x1_0000..=0xFF_FFFF) => 3,
        _ => 4,
    }
}

fn time_form(ty: &ColumnType, now: &LoggedColumn) -> Option<TimeForm> {
    let is_digits = |precision: &u8| now.meta == u16::from(*precision);
    Some(match (ty, now.kind) {
        (ColumnType::Date, logged::DATE | logged::NEWDATE) => TimeForm::Date,
        (ColumnType::Time { precision }, logged::TIME2) if is_digits(precision) => {
            TimeForm::Time(*precision)
        }
        (ColumnType::Timestamp { precision }, logged::DATETIME2) if is_digits(precision) => {
            TimeForm::DateTime(*precision)
        }
        (ColumnType::TimestampTz { precision }, logged::TIMESTAMP2) if is_digits(precision) => {
            TimeForm::Instant(*precision)
        }
        (ColumnType::Time { precision: 0 }, logged::TIME) => TimeForm::OldTime,
        (ColumnType::Timestamp { precision: 0 }, logged::DATETIME) => TimeForm::OldDateTime,
        (ColumnType::TimestampTz { precision: 0 }, logged::TIMESTAMP) => TimeForm::OldInstant,
        (ColumnType::Time { precision }, logged::TIME) => TimeForm::MariaTime(*precision),
        (ColumnType::Timestamp { precision }, logged::DATETIME) => {
            TimeForm::MariaDateTime(*precision)
        }
        (ColumnType::TimestampTz { precision }, logged::TIMESTAMP) => {
            TimeForm::MariaInstant(*precision)
        }
        _ => return None,
    })
}

fn text_codec(
    column: &Column,
    now: &LoggedColumn,
    charsets: &Charsets,
) -> Result<Option<Codec>, String> {
    let name = charset_name(column).ok_or("a text without a character set")?;
    if let Some(id) = now.collation
        && charsets.of_collation(id).is_some_and(|now| now != name)
    {
        return Ok(None);
    }
    let charset = charsets.get(name).ok_or_else(|| {
        format!(
            "the character set {name}, which cannot be converted; convert the column to utf8mb4"
        )
    })?;
    let width = charsets.width(name).unwrap_or(1);
    let fits = match &column.ty {
        ColumnType::Char { length } => now.is_fixed(length.saturating_mul(width)),
        ColumnType::Varchar {
            length: Some(length),
        } => now.is_varying(length.saturating_mul(width)),
        ColumnType::Text { bytes_max } => now.is_blob(blob_prefix(*bytes_max)),
        _ => false,
    };
    Ok(fits.then(|| Codec::Text(now.prefix(), charset, now.packing())))
}

/// The character set of a column, from its type as the catalog wrote it.
pub(super) fn charset_name(column: &Column) -> Option<&str> {
    let (_, rest) = column.native.split_once(" CHARACTER SET ")?;
    rest.split(' ').next()
}
