//! Values as the text that LOAD DATA reads.
//!
//! Cells end with a tab, rows with a line feed, NULL is `\N`. Inside cells, backslash, tab, line feed and zero are escaped, so
//! that a bare line feed always ends a row.

use whimbrel_core::digits::{append_front, four_digits, two_digits, write_unsigned};
use whimbrel_core::{
    Bits, CivilDate, ColumnType, DAYS_1970_TO_2000, Date, Decimal, MICROS_PER_DAY,
    MICROS_PER_SECOND, Time, Timestamp, Value, json_repeats_names, write_text,
};

use super::exact::{decimal_fits_double, json_numbers_fit};
use super::slot::{Slot, SlotKind};

/// The longest duration of TIME: 838:59:59.
const TIME_MICROS_MAX: i64 = (839 * 3600 - 1) * MICROS_PER_SECOND + 999_999;

/// A cell from this size on is given the room that it needs at once: growing by doubling would hold it several times.
const LONG_CELL_BYTES: usize = 1024 * 1024;
/// Room for the cells after it, for the same reason.
const ROW_REST_BYTES: usize = 64 * 1024;

const MISMATCH: &str = "the column is of another kind";
const NOT_FINITE: &str = "the column's type has no infinities and no NaN";
const OUT_OF_CALENDAR: &str = "the column's type holds the years 0 to 9999";
const TOO_PRECISE: &str = "the column holds fewer digits of fractional seconds";
const FRACTION: &str = "the column holds no fractions";
const ROUNDED: &str = "the column would round it";

/// Appends a cell, without the tab that ends it.
///
/// # Errors
/// Why the column cannot hold the value.
#[inline]
pub(crate) fn encode_cell(
    value: &Value<'_>,
    slot: &Slot,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    match (&slot.kind, value) {
        (_, Value::Null) if slot.nullable => out.extend_from_slice(b"\\N"),
        (_, Value::Null) => return Err("the column does not take NULL"),
        (_, Value::NotSent) => return Err("the source did not send it"),
        (SlotKind::Text, Value::Text(text)) => match slot.source_type {
            ColumnType::Char { .. } => escape(without_end_spaces(text), out),
            _ => escape(text.as_bytes(), out),
        },
        (SlotKind::Int | SlotKind::Decimal, Value::Int(number)) => put_int(*number, out),
        (SlotKind::Int | SlotKind::Decimal, Value::UInt(number)) => write_unsigned(*number, out),
        (SlotKind::Int | SlotKind::Decimal, Value::Bool(flag)) => out.push(b'0' + u8::from(*flag)),
        (SlotKind::Decimal, Value::Decimal(number)) => put_decimal(number, out)?,
        (SlotKind::Int, Value::Decimal(number)) => put_whole_decimal(number, out)?,
        (SlotKind::Int, Value::Bits(bits)) => write_unsigned(bits_number(bits)?, out),
        (SlotKind::Float32 | SlotKind::Float64, _) => {
            put_float(value, slot.kind == SlotKind::Float32, out)?;
        }
        (SlotKind::Bit(length), _) => put_bits(value, *length, out)?,
        (SlotKind::Char, Value::Text(text)) => put_char(text, &slot.source_type, out)?,
        (SlotKind::Enum(labels), Value::Text(text)) => put_label(text, labels, out)?,
        (SlotKind::Set(labels), Value::Text(text)) => put_labels(text, labels, out)?,
        (SlotKind::Bytes, _) => escape(bytes_of(value)?, out),
        (SlotKind::Binary(length), _) => {
            let bytes = bytes_of(value)?;
            if bytes.len() < *length as usize {
                return Err("the column would fill it up with zeros");
            }
            escape(bytes, out);
        }
        (SlotKind::Date, Value::Date(date)) => put_date(*date, out)?,
        (SlotKind::DateTime(digits), Value::Timestamp(at) | Value::TimestampTz(at)) => {
            put_timestamp(*at, *digits, out)?;
        }
        (SlotKind::DateTime(_), Value::Date(date)) => {
            put_date(*date, out)?;
            out.extend_from_slice(b" 00:00:00");
        }
        (SlotKind::Time(digits), Value::Time(time)) => put_time(*time, *digits, out)?,
        (SlotKind::Year, Value::Int(year)) => put_year(*year, out)?,
        (SlotKind::JsonText, Value::Json(text) | Value::Text(text)) => {
            escape(text.as_bytes(), out);
        }
        (SlotKind::JsonBinary, Value::Json(text) | Value::Text(text)) => {
            check_document(text, slot)?;
            escape(text.as_bytes(), out);
        }
        (SlotKind::Uuid, Value::Uuid(_)) => write_text(value, out),
        (SlotKind::Uuid | SlotKind::Native, Value::Text(text)) => escape(text.as_bytes(), out),
        (SlotKind::Geometry, Value::Bytes(bytes)) => escape(bytes, out),
        (SlotKind::Text | SlotKind::Char, _) => put_as_text(value, out),
        _ => return Err(MISMATCH),
    }
    Ok(())
}

/// The bytes of a long cell whose text is these bytes, escaped: they may be written in pieces, behind [`check_plain`]. `None` for all others.
pub(crate) fn plain<'v>(value: &'v Value<'_>, slot: &Slot) -> Option<&'v [u8]> {
    match (&slot.kind, value) {
        (SlotKind::Text, Value::Text(text))
            if !matches!(slot.source_type, ColumnType::Char { .. }) =>
        {
            Some(text.as_bytes())
        }
        (SlotKind::JsonText | SlotKind::JsonBinary, Value::Json(text) | Value::Text(text))
        | (SlotKind::Native, Value::Text(text)) => Some(text.as_bytes()),
        (SlotKind::Bytes, _) => bytes_of(value).ok(),
        (SlotKind::Geometry, Value::Bytes(bytes)) => Some(bytes),
        _ => None,
    }
}

/// Whether the column holds a value that is [`plain`].
pub(crate) fn check_plain(value: &Value<'_>, slot: &Slot) -> Result<(), &'static str> {
    match (&slot.kind, value) {
        (SlotKind::JsonBinary, Value::Json(text) | Value::Text(text)) => check_document(text, slot),
        _ => Ok(()),
    }
}

fn check_document(text: &str, slot: &Slot) -> Result<(), &'static str> {
    if !json_numbers_fit(text) {
        return Err("it holds a number that the column would round");
    }
    // The binary form of PostgreSQL, as that of MySQL, repeats none.
    if slot.source_type != (ColumnType::Json { binary: true }) && json_repeats_names(text) {
        return Err("it has a name more than once, of which the column would keep one");
    }
    Ok(())
}

/// Appends bytes, escaping those that would end a cell or a row.
#[inline]
pub(crate) fn escape(mut bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() >= LONG_CELL_BYTES {
        let specials = bytes.iter().filter(|&&byte| is_special(byte)).count();
        out.reserve_exact(bytes.len() + specials + ROW_REST_BYTES);
    }
    while let Some(at) = next_special(bytes) {
        out.extend_from_slice(&bytes[..at]);
        let escaped = match bytes[at] {
            b'\t' => b't',
            b'\n' => b'n',
            0 => b'0',
            other => other,
        };
        out.extend_from_slice(&[b'\\', escaped]);
        bytes = &bytes[at + 1..];
    }
    out.extend_from_slice(bytes);
}

/// Most cells are short: plain loops beat a call into a search routine, and the compiler makes one comparison of a block.
#[inline]
fn next_special(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 16;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let has_special = |block: &[u8; BLOCK]| {
        let specials = block.iter().map(|&byte| is_special(byte));
        specials.fold(false, |found, is_special| found | is_special)
    };
    let found = blocks.iter().position(has_special);
    let start = found.map_or(bytes.len() - rest.len(), |index| index * BLOCK);
    let at = bytes[start..].iter().position(|&byte| is_special(byte))?;
    Some(start + at)
}

#[inline]
fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'\t' | b'\n' | 0)
}

/// Undoes [`escape`].
pub(crate) fn unescape(cell: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.len());
    let mut bytes = cell.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'0') => 0,
                Some(&other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
    out
}

fn put_as_text(value: &Value<'_>, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    write_text(value, &mut text);
    escape(&text, out);
}

fn put_int(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_unsigned(number.unsigned_abs(), out);
}

fn put_decimal(number: &Decimal<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match number {
        Decimal::NaN | Decimal::Infinity | Decimal::NegInfinity => Err(NOT_FINITE),
        Decimal::Text(_) | Decimal::Groups(_) | Decimal::Short(_) => {
            number.write_text(out);
            Ok(())
        }
    }
}

fn put_whole_decimal(number: &Decimal<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let start = out.len();
    put_decimal(number, out)?;
    if let Some(point) = out[start..].iter().position(|&byte| byte == b'.') {
        let has_fraction = out[start + point + 1..].iter().any(|&byte| byte != b'0');
        out.truncate(start + point);
        if has_fraction {
            return Err(FRACTION);
        }
    }
    Ok(())
}

/// The shortest digits that read back to the same double. A single is written as the double it equals: its own shortest
/// digits, read as a double and then rounded, might meet another single.
fn put_float(value: &Value<'_>, is_single: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let number = match value {
        Value::Float32(number) => f64::from(*number),
        Value::Float64(number) => *number,
        Value::Int(_) | Value::UInt(_) | Value::Decimal(_) => {
            let mut text = Vec::new();
            write_text(value, &mut text);
            let text = std::str::from_utf8(&text).map_err(|_| MISMATCH)?;
            let number = text.parse::<f64>().map_err(|_| NOT_FINITE)?;
            if number.is_finite() && !decimal_fits_double(text) {
                return Err(ROUNDED);
            }
            number
        }
        _ => return Err(MISMATCH),
    };
    if !number.is_finite() {
        return Err(NOT_FINITE);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what would be lost is looked for"
    )]
    let is_exact = f64::from(number as f32).to_bits() == number.to_bits();
    if is_single && !is_exact {
        return Err(ROUNDED);
    }
    out.extend_from_slice(format!("{number:e}").as_bytes());
    Ok(())
}

/// A bit string as the number that the servers take it for.
fn bits_number(bits: &Bits<'_>) -> Result<u64, &'static str> {
    if bits.length > 64 {
        return Err("the column holds fewer bits");
    }
    Ok(bits
        .iter()
        .fold(0, |number, bit| number << 1 | u64::from(bit)))
}

/// Big-endian bytes, as long as the column's.
fn put_bits(value: &Value<'_>, length: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let number = match value {
        Value::Bits(bits) if bits.length > length => return Err("the column holds fewer bits"),
        Value::Bits(bits) => bits_number(bits)?,
        Value::Bool(flag) => u64::from(*flag),
        Value::UInt(number) => *number,
        Value::Int(number) => {
            u64::try_from(*number).map_err(|_| "the column holds no negative numbers")?
        }
        _ => return Err(MISMATCH),
    };
    if length < 64 && number >> length != 0 {
        return Err("the column holds fewer bits");
    }
    let bytes = number.to_be_bytes();
    escape(
        &bytes[8 - (length.clamp(1, 64).div_ceil(8) as usize)..],
        out,
    );
    Ok(())
}

fn put_char(text: &str, source: &ColumnType, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let trimmed = without_end_spaces(text);
    if trimmed.len() != text.len() && !matches!(source, ColumnType::Char { .. }) {
        return Err("the column would drop its trailing spaces");
    }
    escape(trimmed, out);
    Ok(())
}

fn without_end_spaces(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    let last = bytes.iter().rposition(|&byte| byte != b' ');
    last.map_or(&[], |last| &bytes[..=last])
}

/// The server itself writes index 0 only where its SQL mode is not strict, and with a warning that a value was lost.
const EMPTY_LABEL: &str = "it is empty, which is none of the column's labels: MySQL and MariaDB keep it (index 0) in place of a value that was none; give such rows a label or NULL at the source, or leave them out by a filter";

fn put_label(text: &str, labels: &[String], out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !labels.iter().any(|label| label == text) {
        if text.is_empty() {
            return Err(EMPTY_LABEL);
        }
        return Err("it is none of the column's labels");
    }
    escape(text.as_bytes(), out);
    Ok(())
}

fn put_labels(text: &str, labels: &[String], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut parts = text.split(',').filter(|_| !text.is_empty());
    if !parts.all(|part| labels.iter().any(|label| label == part)) {
        return Err("it holds something that is none of the column's labels");
    }
    escape(text.as_bytes(), out);
    Ok(())
}

fn bytes_of<'a>(value: &'a Value<'_>) -> Result<&'a [u8], &'static str> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Text(text) | Value::Json(text) => Ok(text.as_bytes()),
        Value::Uuid(bytes) => Ok(bytes),
        _ => Err(MISMATCH),
    }
}

fn put_date(date: Date, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (year, month, day) = match date {
        Date::Infinity | Date::NegInfinity => return Err(NOT_FINITE),
        Date::Zero { year, month, day } => (i32::from(year), month, day),
        Date::Days(days) => {
            let CivilDate { year, month, day } = CivilDate::from_days(days);
            (year, month, day)
        }
    };
    let year = u32::try_from(year)
        .ok()
        .filter(|year| *year <= 9999)
        .ok_or(OUT_OF_CALENDAR)?;
    let [y1, y2, y3, y4] = four_digits(year);
    let ([m1, m2], [d1, d2]) = (two_digits(month.into()), two_digits(day.into()));
    out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
    Ok(())
}

/// A clock's time, or a duration in hours, with the digits that the column keeps.
fn put_clock(micros: u64, digits: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let per_second = MICROS_PER_SECOND.unsigned_abs();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a duration of TIME has few seconds, and there are fewer microseconds than a million"
    )]
    let (seconds, fraction) = ((micros / per_second) as u32, (micros % per_second) as u32);
    let (hours, minutes) = (seconds / 3600, two_digits(seconds / 60 % 60));
    if hours > 99 {
        out.push(b'0' + (hours / 100 % 10) as u8);
    }
    let ([h1, h2], [m1, m2], [s1, s2]) = (two_digits(hours), minutes, two_digits(seconds % 60));
    out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
    let shown = digits.min(6);
    if fraction % 10_u32.pow(6 - u32::from(shown)) != 0 {
        return Err(TOO_PRECISE);
    }
    if fraction != 0 {
        let ([f1, f2], [f3, f4, f5, f6]) = (two_digits(fraction / 10_000), four_digits(fraction));
        append_front(&[b'.', f1, f2, f3, f4, f5, f6], 1 + usize::from(shown), out);
    }
    Ok(())
}

fn put_timestamp(at: Timestamp, digits: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (date, micros) = match at {
        Timestamp::Infinity | Timestamp::NegInfinity => return Err(NOT_FINITE),
        Timestamp::Zero {
            year,
            month,
            day,
            micros,
        } => (Date::Zero { year, month, day }, micros),
        Timestamp::Micros(micros) => {
            let days =
                i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| OUT_OF_CALENDAR)?;
            (Date::Days(days), micros.rem_euclid(MICROS_PER_DAY))
        }
    };
    put_date(date, out)?;
    out.push(b' ');
    put_clock(micros.unsigned_abs(), digits, out)
}

fn put_time(time: Time, digits: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !(-TIME_MICROS_MAX..=TIME_MICROS_MAX).contains(&time.micros) {
        return Err("the column holds -838:59:59 to 838:59:59");
    }
    if time.micros < 0 {
        out.push(b'-');
    }
    put_clock(time.micros.unsigned_abs(), digits, out)
}

/// Four digits: the servers take shorter ones for years of this century.
fn put_year(year: i64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match u32::try_from(year) {
        Ok(year @ (0 | 1901..=2155)) => {
            out.extend_from_slice(&four_digits(year));
            Ok(())
        }
        _ => Err("the column holds 0 and the years 1901 to 2155"),
    }
}

// The calendar's origin is shared with the decoder, which counts from the same day.
const _: () = assert!(DAYS_1970_TO_2000 == 10_957);

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(kind: SlotKind, source_type: ColumnType) -> Slot {
        Slot::for_test(kind, source_type)
    }

    fn text(value: Value<'_>, kind: SlotKind) -> Result<String, &'static str> {
        let mut out = Vec::new();
        encode_cell(
            &value,
            &slot(kind, ColumnType::Text { bytes_max: None }),
            &mut out,
        )?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_byte_survives_escaping() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        escape(&all, &mut out);
        assert!(!out.iter().any(|byte| matches!(byte, b'\t' | b'\n' | 0)));
        assert_eq!(unescape(&out), all);
        assert_eq!(text(Value::Text("\\N"), SlotKind::Text).unwrap(), "\\\\N");
        assert_eq!(text(Value::Null, SlotKind::Text).unwrap(), "\\N");
    }

    #[test]
    fn numbers_are_written_exactly_or_refused() {
        assert_eq!(
            text(Value::Int(i64::MIN), SlotKind::Int).unwrap(),
            "-9223372036854775808"
        );
        assert_eq!(
            text(Value::UInt(u64::MAX), SlotKind::Int).unwrap(),
            "18446744073709551615"
        );
        assert_eq!(
            text(Value::Float32(0.1), SlotKind::Float32).unwrap(),
            "1.0000000149011612e-1"
        );
        assert!(text(Value::Float64(0.1), SlotKind::Float32).is_err());
        assert!(text(Value::Float64(f64::NAN), SlotKind::Float64).is_err());
        assert!(text(Value::Decimal(Decimal::NaN), SlotKind::Decimal).is_err());
        assert_eq!(
            text(Value::Decimal(Decimal::Text("-7.00")), SlotKind::Int).unwrap(),
            "-7"
        );
        assert!(text(Value::Decimal(Decimal::Text("7.10")), SlotKind::Int).is_err());
        assert!(text(Value::Int((1 << 53) + 1), SlotKind::Float64).is_err());
    }

    #[test]
    fn fractions_of_seconds_are_never_rounded() {
        let at = |micros| Value::Timestamp(Timestamp::Micros(micros));
        assert_eq!(
            text(at(1_230_000), SlotKind::DateTime(3)).unwrap(),
            "2000-01-01 00:00:01.230"
        );
        assert_eq!(text(at(1_230_000), SlotKind::DateTime(1)), Err(TOO_PRECISE));
        assert_eq!(
            text(at(-1), SlotKind::DateTime(6)).unwrap(),
            "1999-12-31 23:59:59.999999"
        );
        assert_eq!(
            text(at(0), SlotKind::DateTime(0)).unwrap(),
            "2000-01-01 00:00:00"
        );
        let longest = Value::Time(Time {
            micros: -3_020_399_000_000,
        });
        assert_eq!(text(longest, SlotKind::Time(0)).unwrap(), "-838:59:59");
        assert!(text(Value::Date(Date::Days(-2_451_507)), SlotKind::Date).is_err());
        assert!(text(Value::Date(Date::Infinity), SlotKind::Date).is_err());
    }

    #[test]
    fn what_the_server_would_change_in_silence_is_refused() {
        let labels = vec!["1".to_owned(), "b".to_owned()];
        assert_eq!(
            text(Value::Text("1"), SlotKind::Enum(labels.clone())).unwrap(),
            "1"
        );
        assert!(text(Value::Text("2"), SlotKind::Enum(labels.clone())).is_err());
        assert_eq!(
            text(Value::Text("1,b"), SlotKind::Set(labels.clone())).unwrap(),
            "1,b"
        );
        assert_eq!(text(Value::Text(""), SlotKind::Set(labels)).unwrap(), "");
        assert!(text(Value::Text("a "), SlotKind::Char).is_err());
        assert!(text(Value::Bytes(b"ab"), SlotKind::Binary(3)).is_err());
        assert_eq!(text(Value::Int(0), SlotKind::Year).unwrap(), "0000");
        assert!(text(Value::Int(50), SlotKind::Year).is_err());
        let mut not_null = slot(SlotKind::DateTime(0), ColumnType::Date);
        not_null.nullable = false;
        assert!(encode_cell(&Value::Null, &not_null, &mut Vec::new()).is_err());
    }

    #[test]
    fn bit_strings_become_big_endian_numbers() {
        let bits = Value::Bits(Bits {
            bytes: &[0x80, 0x80],
            length: 9,
        });
        assert_eq!(text(bits, SlotKind::Bit(9)).unwrap(), "\u{1}\u{1}");
        assert_eq!(text(bits, SlotKind::Int).unwrap(), "257");
        assert!(text(bits, SlotKind::Bit(8)).is_err());
    }
}
