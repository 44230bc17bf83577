//! The one text form of each value, used where a target keeps as text what its engine has no type for.
//!
//! Dates and times follow PostgreSQL's ISO style, intervals its default style, so that the text reads back there.

use crate::{CivilDate, Date, Interval, MICROS_PER_DAY, MICROS_PER_SECOND, Time, Timestamp, Value};

/// Appends the text form of a value. NULL and values not sent append nothing.
pub fn write_text(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::NotSent => {}
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => push(out, *number),
        Value::UInt(number) => push(out, *number),
        Value::Float32(number) => write_float(f64::from(*number), &format!("{number:e}"), out),
        Value::Float64(number) => write_float(*number, &format!("{number:e}"), out),
        Value::Decimal(decimal) => decimal.write_text(out),
        Value::Text(text) | Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => {
            out.extend_from_slice(b"\\x");
            out.extend(bytes.iter().flat_map(|&byte| hex_pair(byte)));
        }
        Value::Bits(bits) => out.extend(bits.iter().map(|bit| if bit { b'1' } else { b'0' })),
        Value::Date(date) => write_date(*date, out),
        Value::Time(time) => write_time(*time, out),
        Value::TimeTz(time, offset_seconds) => {
            write_time(*time, out);
            write_offset(*offset_seconds, out);
        }
        Value::Timestamp(timestamp) => write_timestamp(*timestamp, "", out),
        Value::TimestampTz(timestamp) => write_timestamp(*timestamp, "+00", out),
        Value::Interval(interval) => write_interval(*interval, out),
        Value::Uuid(bytes) => write_uuid(bytes, out),
    }
}

fn push(out: &mut Vec<u8>, item: impl std::fmt::Display) {
    use std::io::Write;
    write!(out, "{item}").expect("writing to a vector cannot fail");
}

fn hex_pair(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
}

/// Shortest digits that read back to the same bits; `scientific` is the number in Rust's `{:e}` form.
fn write_float(number: f64, scientific: &str, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
    } else {
        out.extend_from_slice(
            scientific
                .strip_suffix("e0")
                .unwrap_or(scientific)
                .as_bytes(),
        );
    }
}

fn write_civil(date: CivilDate, out: &mut Vec<u8>) {
    let year = if date.year > 0 {
        date.year
    } else {
        1 - date.year
    };
    push(
        out,
        format_args!("{year:04}-{:02}-{:02}", date.month, date.day),
    );
}

fn write_date(date: Date, out: &mut Vec<u8>) {
    match date {
        Date::Infinity => out.extend_from_slice(b"infinity"),
        Date::NegInfinity => out.extend_from_slice(b"-infinity"),
        Date::Zero { year, month, day } => push(out, format_args!("{year:04}-{month:02}-{day:02}")),
        Date::Days(days) => {
            let date = CivilDate::from_days(days);
            write_civil(date, out);
            if date.year <= 0 {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

fn write_clock(micros: u64, out: &mut Vec<u8>) {
    let per_second = MICROS_PER_SECOND.unsigned_abs();
    let seconds = micros / per_second;
    let fraction = micros % per_second;
    push(
        out,
        format_args!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    );
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        push(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

fn write_time(time: Time, out: &mut Vec<u8>) {
    if time.micros < 0 {
        out.push(b'-');
    }
    write_clock(time.micros.unsigned_abs(), out);
}

fn write_offset(offset_seconds: i32, out: &mut Vec<u8>) {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let seconds = offset_seconds.unsigned_abs();
    push(out, format_args!("{sign}{:02}", seconds / 3600));
    if !seconds.is_multiple_of(3600) {
        push(out, format_args!(":{:02}", seconds / 60 % 60));
    }
    if !seconds.is_multiple_of(60) {
        push(out, format_args!(":{:02}", seconds % 60));
    }
}

fn write_timestamp(timestamp: Timestamp, zone: &str, out: &mut Vec<u8>) {
    match timestamp {
        Timestamp::Infinity => out.extend_from_slice(b"infinity"),
        Timestamp::NegInfinity => out.extend_from_slice(b"-infinity"),
        Timestamp::Zero {
            year,
            month,
            day,
            micros,
        } => {
            write_date(Date::Zero { year, month, day }, out);
            out.push(b' ');
            write_clock(micros.unsigned_abs(), out);
            out.extend_from_slice(zone.as_bytes());
        }
        Timestamp::Micros(micros) => {
            let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY))
                .expect("64 bits of microseconds are fewer than 2^31 days");
            let date = CivilDate::from_days(days);
            write_civil(date, out);
            out.push(b' ');
            write_clock(micros.rem_euclid(MICROS_PER_DAY).unsigned_abs(), out);
            out.extend_from_slice(zone.as_bytes());
            if date.year <= 0 {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

fn write_interval(interval: Interval, out: &mut Vec<u8>) {
    if interval == Interval::INFINITY {
        return out.extend_from_slice(b"infinity");
    }
    if interval == Interval::NEG_INFINITY {
        return out.extend_from_slice(b"-infinity");
    }
    let mut parts = IntervalParts {
        out,
        is_first: true,
        was_negative: false,
    };
    parts.unit(interval.months / 12, "year");
    parts.unit(interval.months % 12, "mon");
    parts.unit(interval.days, "day");
    parts.clock(interval.micros);
}

/// Writes the parts of an interval with the signs PostgreSQL gives them: a part after a negative one shows its plus.
struct IntervalParts<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
    was_negative: bool,
}

impl IntervalParts<'_> {
    fn separate(&mut self) {
        if !self.is_first {
            self.out.push(b' ');
        }
    }

    fn unit(&mut self, count: i32, unit: &str) {
        if count == 0 {
            return;
        }
        self.separate();
        let plus = if self.was_negative && count > 0 {
            "+"
        } else {
            ""
        };
        let plural = if count == 1 { "" } else { "s" };
        push(self.out, format_args!("{plus}{count} {unit}{plural}"));
        self.was_negative = count < 0;
        self.is_first = false;
    }

    fn clock(&mut self, micros: i64) {
        if micros == 0 && !self.is_first {
            return;
        }
        self.separate();
        if micros < 0 {
            self.out.push(b'-');
        } else if self.was_negative {
            self.out.push(b'+');
        }
        write_clock(micros.unsigned_abs(), self.out);
    }
}

fn write_uuid(bytes: &[u8; 16], out: &mut Vec<u8>) {
    for (index, &byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&hex_pair(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_text(&value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_before_christ_and_infinities_have_their_names() {
        assert_eq!(text(Value::Date(Date::Days(-2_451_507))), "4713-01-01 BC");
        assert_eq!(text(Value::Date(Date::Infinity)), "infinity");
        assert_eq!(
            text(Value::Timestamp(Timestamp::Micros(0))),
            "2000-01-01 00:00:00"
        );
        assert_eq!(
            text(Value::TimestampTz(Timestamp::Micros(-1))),
            "1999-12-31 23:59:59.999999+00"
        );
        assert_eq!(
            text(Value::Timestamp(Timestamp::Micros(i64::MAX))),
            "294277-01-09 04:00:54.775807"
        );
    }

    #[test]
    fn intervals_show_the_sign_of_each_part() {
        let interval = |months, days, micros| {
            text(Value::Interval(Interval {
                months,
                days,
                micros,
            }))
        };
        assert_eq!(interval(0, 0, 0), "00:00:00");
        assert_eq!(
            interval(14, 3, 14_706_789_000),
            "1 year 2 mons 3 days 04:05:06.789"
        );
        assert_eq!(
            interval(-13, 3, -1_000_000),
            "-1 years -1 mons +3 days -00:00:01"
        );
        assert_eq!(interval(0, -1, 1), "-1 days +00:00:00.000001");
    }

    #[test]
    fn durations_may_be_negative_and_long() {
        assert_eq!(
            text(Value::Time(Time {
                micros: -3_020_399_000_000
            })),
            "-838:59:59"
        );
        assert_eq!(
            text(Value::TimeTz(Time { micros: 0 }, -5400)),
            "00:00:00-01:30"
        );
    }

    #[test]
    fn floats_read_back_to_the_same_bits() {
        for number in [0.0, -0.0, 0.1, 1e300, 5e-324, f64::MAX, 1.0 / 3.0] {
            assert_eq!(
                text(Value::Float64(number))
                    .parse::<f64>()
                    .unwrap()
                    .to_bits(),
                number.to_bits()
            );
        }
        assert_eq!(text(Value::Float32(0.1)), "1e-1");
        assert_eq!(text(Value::Float64(f64::NEG_INFINITY)), "-Infinity");
    }
}
