use whimbrel_core::{Date, Decimal, Interval, Timestamp, Value, json_repeats_names, write_text};

use super::WireType;
use super::decode::TIME_MICROS_MAX;

/// Earliest and latest day of `date`: 4713-01-01 BC (Julian day 0 is somewhat earlier) to 5874897-12-31.
const DAYS_MIN: i32 = -2_451_545;
const DAYS_MAX: i32 = 2_145_031_948;
/// Earliest and one past the latest microsecond of `timestamp`: `MIN_TIMESTAMP` and `END_TIMESTAMP` of `timestamp.h`.
const MICROS_MIN: i64 = -211_813_488_000_000_000;
const MICROS_END: i64 = 9_223_371_331_200_000_000;

/// Why a value cannot be written; a column's and a table's name are added by the caller.
pub(crate) type Refused = &'static str;

/// Appends a cell of `COPY BINARY`: its length and its bytes.
pub(crate) fn encode_binary(
    value: &Value<'_>,
    ty: WireType,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    match (ty, value) {
        (_, Value::Null) => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        // What most columns hold, without going back for the length.
        (WireType::Int8, Value::Int(number)) => put_sized(number.to_be_bytes(), out),
        (WireType::Int4, Value::Int(number)) => {
            let number = i32::try_from(*number).map_err(|_| OUT_OF_RANGE)?;
            put_sized(number.to_be_bytes(), out);
        }
        (WireType::Date, Value::Date(date)) => put_sized(date_days(*date)?.to_be_bytes(), out),
        (WireType::Text, Value::Text(text)) => {
            let text = without_nul(text)?;
            let length = i32::try_from(text.len()).map_err(|_| TOO_LARGE)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        _ => {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            write_binary(value, ty, out)?;
            let length = i32::try_from(out.len() - start - 4).map_err(|_| TOO_LARGE)?;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

pub(crate) const TOO_LARGE: Refused = "longer than 1 GiB";

/// Appends bytes with their length before them.
#[inline]
fn put_sized<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) {
    let length = i32::try_from(N).unwrap_or(i32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn write_binary(value: &Value<'_>, ty: WireType, out: &mut Vec<u8>) -> Result<(), Refused> {
    match (ty, value) {
        (_, Value::NotSent) => return Err(NOT_SENT),
        (WireType::Bool, Value::Bool(flag)) => out.push(u8::from(*flag)),
        (WireType::Int2, _) => {
            let number = i16::try_from(integer(value)?).map_err(|_| OUT_OF_RANGE)?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        (WireType::Int4, _) => {
            let number = i32::try_from(integer(value)?).map_err(|_| OUT_OF_RANGE)?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        (WireType::Int8, _) => {
            let number = i64::try_from(integer(value)?).map_err(|_| OUT_OF_RANGE)?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        (WireType::Oid, _) => {
            let number = u32::try_from(integer(value)?).map_err(|_| OUT_OF_RANGE)?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        (WireType::Numeric, Value::Decimal(decimal)) => {
            decimal
                .write_groups(out)
                .map_err(|_| "more digits than numeric can hold")?;
        }
        (WireType::Numeric, _) => {
            let mut buffer = [0; 40];
            let text = integer_text(integer(value)?, &mut buffer);
            Decimal::Text(text)
                .write_groups(out)
                .map_err(|_| OUT_OF_RANGE)?;
        }
        (WireType::Float4, Value::Float32(number)) => out.extend_from_slice(&number.to_be_bytes()),
        (WireType::Float8, Value::Float64(number)) => out.extend_from_slice(&number.to_be_bytes()),
        (WireType::Text, Value::Bytes(_)) => return Err("bytes are not text"),
        (WireType::Text, _) => write_checked_text(value, out)?,
        (WireType::Json, Value::Json(text) | Value::Text(text)) => {
            check_plain(value, ty)?;
            out.extend_from_slice(text.as_bytes());
        }
        (WireType::Jsonb, Value::Json(text) | Value::Text(text)) => {
            check_plain(value, ty)?;
            out.push(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
        }
        (WireType::Bytea, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
        (WireType::Uuid, Value::Uuid(bytes)) => out.extend_from_slice(bytes),
        (WireType::Bit, Value::Bits(bits)) => {
            let length = i32::try_from(bits.length).map_err(|_| OUT_OF_RANGE)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bits.bytes);
        }
        _ => return write_temporal(value, ty, out),
    }
    Ok(())
}

/// Stands before a document in the binary form of `jsonb`.
pub(crate) const JSONB_VERSION: u8 = 1;

/// The bytes of a value whose binary form is the value itself (behind [`JSONB_VERSION`] in a `jsonb`), or whose text, where the column takes no other
/// form: of any length, so that they may be written in pieces, behind [`check_plain`]. `None` for all others.
pub(crate) fn plain<'v>(value: &'v Value<'_>, ty: WireType) -> Option<&'v [u8]> {
    match (ty, value) {
        (
            WireType::Text | WireType::Json | WireType::Jsonb | WireType::Other,
            Value::Text(text) | Value::Json(text),
        ) => Some(text.as_bytes()),
        (WireType::Bytea, Value::Bytes(bytes)) => Some(bytes),
        _ => None,
    }
}

/// Whether the column holds a value that is [`plain`].
pub(crate) fn check_plain(value: &Value<'_>, ty: WireType) -> Result<(), Refused> {
    let (Value::Text(text) | Value::Json(text)) = value else {
        return Ok(());
    };
    if ty == WireType::Jsonb {
        if names_nul(text) {
            return Err(
                "PostgreSQL's jsonb cannot hold the character NUL, \\u0000; create the column as json",
            );
        }
        if json_repeats_names(text) {
            return Err(
                "it has a name more than once, of which the column would keep one; create the column as json",
            );
        }
    }
    without_nul(text).map(drop)
}

const NOT_SENT: Refused = "the source did not send it";
const OUT_OF_RANGE: Refused = "it is out of the column's range";
const ZERO_DATE: Refused =
    "PostgreSQL has no date with a zero or impossible month or day; map it to NULL at the source";

fn write_temporal(value: &Value<'_>, ty: WireType, out: &mut Vec<u8>) -> Result<(), Refused> {
    match (ty, value) {
        (WireType::Date, Value::Date(date)) => {
            out.extend_from_slice(&date_days(*date)?.to_be_bytes());
        }
        (WireType::Time, Value::Time(time)) => {
            out.extend_from_slice(&time_of_day(time.micros)?.to_be_bytes());
        }
        (WireType::TimeTz, Value::TimeTz(time, east)) => {
            out.extend_from_slice(&time_of_day(time.micros)?.to_be_bytes());
            out.extend_from_slice(&(-east).to_be_bytes());
        }
        (WireType::Interval, Value::Time(time)) => {
            write_interval(
                Interval {
                    months: 0,
                    days: 0,
                    micros: time.micros,
                },
                out,
            );
        }
        (WireType::Interval, Value::Interval(interval)) => write_interval(*interval, out),
        (
            WireType::Timestamp | WireType::TimestampTz,
            Value::Timestamp(timestamp) | Value::TimestampTz(timestamp),
        ) => out.extend_from_slice(&timestamp_micros(*timestamp)?.to_be_bytes()),
        _ => return Err("the column has a type of another kind"),
    }
    Ok(())
}

fn write_interval(interval: Interval, out: &mut Vec<u8>) {
    out.extend_from_slice(&interval.micros.to_be_bytes());
    out.extend_from_slice(&interval.days.to_be_bytes());
    out.extend_from_slice(&interval.months.to_be_bytes());
}

fn integer(value: &Value<'_>) -> Result<i128, Refused> {
    match value {
        Value::Int(number) => Ok(i128::from(*number)),
        Value::UInt(number) => Ok(i128::from(*number)),
        Value::Bool(flag) => Ok(i128::from(*flag)),
        _ => Err("the column has a type of another kind"),
    }
}

fn integer_text(number: i128, buffer: &mut [u8; 40]) -> &str {
    let mut at = buffer.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    std::str::from_utf8(&buffer[at..]).unwrap_or("0")
}

fn without_nul(text: &str) -> Result<&str, Refused> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Ok(text),
        Some(_) => Err("PostgreSQL text cannot hold the character NUL"),
    }
}

/// Whether a document has the escape `\u0000` in it. A backslash before it that is itself escaped makes it plain text.
fn names_nul(json: &str) -> bool {
    let json = json.as_bytes();
    memchr::memmem::find_iter(json, b"\\u0000").any(|at| {
        let backslashes = json[..at].iter().rev().take_while(|byte| **byte == b'\\');
        backslashes.count() % 2 == 0
    })
}

fn write_checked_text(value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    if let Value::Text(text) | Value::Json(text) = value {
        without_nul(text)?;
    }
    write_text(value, out);
    Ok(())
}

fn date_days(date: Date) -> Result<i32, Refused> {
    match date {
        Date::Infinity => Ok(i32::MAX),
        Date::NegInfinity => Ok(i32::MIN),
        Date::Days(days) if (DAYS_MIN..=DAYS_MAX).contains(&days) => Ok(days),
        Date::Days(_) => Err(OUT_OF_RANGE),
        Date::Zero { .. } => Err(ZERO_DATE),
    }
}

fn timestamp_micros(timestamp: Timestamp) -> Result<i64, Refused> {
    match timestamp {
        Timestamp::Infinity => Ok(i64::MAX),
        Timestamp::NegInfinity => Ok(i64::MIN),
        Timestamp::Micros(micros) if (MICROS_MIN..MICROS_END).contains(&micros) => Ok(micros),
        Timestamp::Micros(_) => Err(OUT_OF_RANGE),
        Timestamp::Zero { .. } => Err(ZERO_DATE),
    }
}

fn time_of_day(micros: i64) -> Result<i64, Refused> {
    if (0..=TIME_MICROS_MAX).contains(&micros) {
        Ok(micros)
    } else {
        Err("PostgreSQL's time is a time of day, 00:00 to 24:00; create the column as interval")
    }
}

/// Appends a cell of `COPY` text: escaped, without the delimiter after it.
pub(crate) fn encode_text(
    value: &Value<'_>,
    ty: WireType,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if matches!(value, Value::Null) {
        out.extend_from_slice(b"\\N");
        return Ok(());
    }
    check_for_text(value, ty, scratch)?;
    scratch.clear();
    write_checked_text(value, scratch)?;
    escape(scratch, out);
    Ok(())
}

/// Appends bytes of a cell of `COPY` text. Pieces escaped one after another are the whole escaped.
pub(crate) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.push(byte),
        }
    }
}

/// Appends a bound parameter in text form: its length and its text.
pub(crate) fn encode_text_parameter(
    value: &Value<'_>,
    ty: WireType,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if matches!(value, Value::Null) {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    check_for_text(value, ty, scratch)?;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write_checked_text(value, out)?;
    let length = i32::try_from(out.len() - start - 4).map_err(|_| TOO_LARGE)?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Input functions read more than they should: what text would change in silence is refused here, by the rules of the binary
/// form.
fn check_for_text(value: &Value<'_>, ty: WireType, scratch: &mut Vec<u8>) -> Result<(), Refused> {
    if ty == WireType::Other {
        return match value {
            Value::NotSent => Err(NOT_SENT),
            _ => Ok(()),
        };
    }
    scratch.clear();
    write_binary(value, ty, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::decode_cell;
    use whimbrel_core::{Bits, CivilDate, ColumnType, Time};

    fn binary(value: Value<'_>, ty: WireType) -> Result<Vec<u8>, Refused> {
        let mut out = Vec::new();
        encode_binary(&value, ty, &mut out).map(|()| out)
    }

    fn text(value: Value<'_>, ty: WireType) -> Result<String, Refused> {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        encode_text(&value, ty, &mut scratch, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let bytes = [0_u8, 255, 10, 92];
        let cases = [
            (
                Value::Int(-5),
                WireType::Int8,
                ColumnType::Int {
                    bits: 64,
                    unsigned: false,
                },
            ),
            (Value::Float64(-0.0), WireType::Float8, ColumnType::Float64),
            (
                Value::Text("a\tb\\"),
                WireType::Text,
                ColumnType::Text { bytes_max: None },
            ),
            (
                Value::Bytes(&bytes),
                WireType::Bytea,
                ColumnType::Blob { bytes_max: None },
            ),
            (
                Value::Date(Date::NegInfinity),
                WireType::Date,
                ColumnType::Date,
            ),
            (
                Value::TimeTz(Time { micros: 5 }, -3600),
                WireType::TimeTz,
                ColumnType::TimeTz { precision: 6 },
            ),
            (
                Value::Timestamp(Timestamp::Micros(-1)),
                WireType::Timestamp,
                ColumnType::Timestamp { precision: 6 },
            ),
            (
                Value::Interval(Interval {
                    months: 1,
                    days: -2,
                    micros: 3,
                }),
                WireType::Interval,
                ColumnType::Interval,
            ),
            (
                Value::Json("{}"),
                WireType::Jsonb,
                ColumnType::Json { binary: true },
            ),
            (Value::Uuid([7; 16]), WireType::Uuid, ColumnType::Uuid),
            (
                Value::Bits(Bits {
                    bytes: &bytes[1..2],
                    length: 7,
                }),
                WireType::Bit,
                ColumnType::Bit {
                    length: None,
                    varying: true,
                },
            ),
        ];
        for (value, wire, ty) in cases {
            let cell = binary(value, wire).unwrap();
            assert_eq!(decode_cell(&ty, &cell[4..]), Ok(value));
        }
    }

    #[test]
    fn unsigned_maxima_become_numeric() {
        let cell = binary(Value::UInt(u64::MAX), WireType::Numeric).unwrap();
        let decoded = decode_cell(
            &ColumnType::Decimal {
                precision: None,
                unsigned: false,
            },
            &cell[4..],
        );
        let Ok(Value::Decimal(decimal)) = decoded else {
            panic!("{decoded:?}")
        };
        let mut out = Vec::new();
        decimal.write_text(&mut out);
        assert_eq!(out, b"18446744073709551615");
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        for (value, ty) in [
            (Value::Int(40_000), WireType::Int2),
            (Value::UInt(u64::MAX), WireType::Int8),
            (Value::Text("a\0b"), WireType::Text),
            (Value::Json("\"\0\""), WireType::Jsonb),
            (Value::Json(r#"{"a": "\\\u0000"}"#), WireType::Jsonb),
            (Value::Json(r#"{"a":1,"a":2}"#), WireType::Jsonb),
            (Value::Text(r#"{"a":1,"a":2}"#), WireType::Jsonb),
            (
                Value::Date(Date::Zero {
                    year: 0,
                    month: 0,
                    day: 0,
                }),
                WireType::Date,
            ),
            (
                Value::Timestamp(Timestamp::Micros(i64::MAX - 1)),
                WireType::Timestamp,
            ),
            (Value::Time(Time { micros: -1 }), WireType::Time),
            (Value::Float64(1.0), WireType::Numeric),
            (Value::NotSent, WireType::Text),
        ] {
            assert!(binary(value, ty).is_err(), "{value:?}");
        }
        for (value, ty) in [
            (Value::Json(r#""\\u0000""#), WireType::Jsonb),
            (Value::Json(r#""\u0000""#), WireType::Json),
        ] {
            assert!(binary(value, ty).is_ok(), "{value:?}");
        }
        assert!(
            text(
                Value::Date(Date::Zero {
                    year: 2020,
                    month: 0,
                    day: 1
                }),
                WireType::Date
            )
            .is_err()
        );
        assert!(text(Value::NotSent, WireType::Other).is_err());
    }

    #[test]
    fn text_cells_are_escaped() {
        assert_eq!(
            text(Value::Text("a\tb\nc\\d\r"), WireType::Text).unwrap(),
            r"a\tb\nc\\d\r"
        );
        assert_eq!(text(Value::Null, WireType::Other).unwrap(), r"\N");
        assert_eq!(
            text(Value::Bytes(&[0, 255]), WireType::Bytea).unwrap(),
            r"\\x00ff"
        );
    }

    #[test]
    fn the_range_of_dates_is_that_of_the_server() {
        let is_held = |year, month, day| {
            let days = CivilDate { year, month, day }.to_days().unwrap();
            date_days(Date::Days(days)).is_ok()
        };
        assert!(is_held(-4712, 1, 1) && is_held(5_874_897, 12, 31));
        assert!(!is_held(5_874_898, 1, 1));
    }
}
