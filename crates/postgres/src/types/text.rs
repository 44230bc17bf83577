//! Cells in text form, as output functions write them under the settings of our sessions: ISO dates, intervals in the default
//! style, hexadecimal bytes, UTC.

use whimbrel_core::{
    Bits, CivilDate, ColumnType, Date, Decimal, Interval, MICROS_PER_DAY, MICROS_PER_SECOND, Time,
    Timestamp, Value,
};

/// How many bytes of scratch space [`decode_text`] takes for a cell.
pub(crate) fn scratch_bytes(ty: &ColumnType, text: &[u8]) -> usize {
    match ty {
        ColumnType::Blob { .. } => text.len().saturating_sub(2) / 2,
        ColumnType::Bit { .. } => text.len().div_ceil(8),
        _ => 0,
    }
}

/// Reads one cell of text; what is not text itself is put into `scratch`, which has the bytes that [`scratch_bytes`] says. The
/// error says what is wrong.
pub(crate) fn decode_text<'a>(
    ty: &ColumnType,
    bytes: &'a [u8],
    scratch: &'a mut [u8],
) -> Result<Value<'a>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| super::decode::NOT_TEXT)?;
    Ok(match ty {
        ColumnType::Bool => match text {
            "t" => Value::Bool(true),
            "f" => Value::Bool(false),
            _ => return Err("neither true nor false"),
        },
        ColumnType::Int {
            unsigned: false, ..
        } => Value::Int(text.parse().map_err(|_| NO_NUMBER)?),
        ColumnType::Int { unsigned: true, .. } => Value::UInt(text.parse().map_err(|_| NO_NUMBER)?),
        ColumnType::Decimal { .. } => Value::Decimal(match text {
            "NaN" => Decimal::NaN,
            "Infinity" => Decimal::Infinity,
            "-Infinity" => Decimal::NegInfinity,
            _ => Decimal::from_text(text).map_err(|_| NO_NUMBER)?,
        }),
        ColumnType::Float32 => Value::Float32(text.parse().map_err(|_| NO_NUMBER)?),
        ColumnType::Float64 => Value::Float64(text.parse().map_err(|_| NO_NUMBER)?),
        ColumnType::Char { .. }
        | ColumnType::Varchar { .. }
        | ColumnType::Text { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Native { .. } => Value::Text(text),
        ColumnType::Blob { .. } => Value::Bytes(hexadecimal(text, scratch)?),
        ColumnType::Bit { .. } => Value::Bits(bits(text, scratch)?),
        ColumnType::Date => Value::Date(date(text)?),
        ColumnType::Time { .. } => Value::Time(Time {
            micros: clock(text)?,
        }),
        ColumnType::TimeTz { .. } => {
            let sign = text.rfind(['+', '-']).ok_or(NO_TIME)?;
            let (time, zone) = text.split_at(sign);
            let micros = clock(time)?;
            Value::TimeTz(Time { micros }, offset(zone)?)
        }
        ColumnType::Timestamp { .. } => Value::Timestamp(timestamp(text, "")?),
        ColumnType::TimestampTz { .. } => Value::TimestampTz(timestamp(text, "+00")?),
        ColumnType::Interval => Value::Interval(interval(text)?),
        ColumnType::Json { .. } => Value::Json(text),
        ColumnType::Uuid => Value::Uuid(uuid(text)?),
        ColumnType::Binary { .. }
        | ColumnType::Varbinary { .. }
        | ColumnType::Year
        | ColumnType::Set { .. }
        | ColumnType::Geometry { .. } => return Err("not a type of PostgreSQL"),
    })
}

const NO_NUMBER: &str = "no number of its type";
const NO_TIME: &str = "no date or time";

fn hex_digit(byte: u8) -> Result<u8, &'static str> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err("no hexadecimal digits"),
    }
}

fn hexadecimal<'a>(text: &str, scratch: &'a mut [u8]) -> Result<&'a [u8], &'static str> {
    let digits = text.strip_prefix("\\x").ok_or("no hexadecimal digits")?;
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return Err("an odd number of hexadecimal digits");
    };
    let out = scratch.get_mut(..pairs.len()).ok_or("wrong length")?;
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Ok(out)
}

fn bits<'a>(text: &str, scratch: &'a mut [u8]) -> Result<Bits<'a>, &'static str> {
    let length = u32::try_from(text.len()).map_err(|_| "wrong length")?;
    let out = scratch
        .get_mut(..text.len().div_ceil(8))
        .ok_or("wrong length")?;
    out.fill(0);
    for (place, digit) in text.bytes().enumerate() {
        match digit {
            b'0' => {}
            b'1' => out[place / 8] |= 0x80 >> (place % 8),
            _ => return Err("a bit that is neither 0 nor 1"),
        }
    }
    Ok(Bits { bytes: out, length })
}

fn uuid(text: &str) -> Result<[u8; 16], &'static str> {
    let mut out = [0; 16];
    let mut digits = text.bytes().filter(|&byte| byte != b'-');
    for byte in &mut out {
        let (Some(high), Some(low)) = (digits.next(), digits.next()) else {
            return Err("no UUID");
        };
        *byte = hex_digit(high)? << 4 | hex_digit(low)?;
    }
    if digits.next().is_some() {
        return Err("no UUID");
    }
    Ok(out)
}

fn unsigned<T: std::str::FromStr>(digits: &str) -> Result<T, &'static str> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NO_TIME);
    }
    digits.parse().map_err(|_| NO_TIME)
}

/// Days of `YYYY-MM-DD`, without an era.
fn days(text: &str, is_bc: bool) -> Result<i32, &'static str> {
    let mut parts = text.splitn(3, '-');
    let mut part = || parts.next().ok_or(NO_TIME);
    let year: i32 = unsigned(part()?)?;
    let (month, day) = (unsigned(part()?)?, unsigned(part()?)?);
    let year = if is_bc { 1 - year } else { year };
    CivilDate { year, month, day }.to_days().ok_or(NO_TIME)
}

/// Cuts the era off the end.
fn era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC")
        .map_or((text, false), |text| (text, true))
}

fn date(text: &str) -> Result<Date, &'static str> {
    Ok(match text {
        "infinity" => Date::Infinity,
        "-infinity" => Date::NegInfinity,
        _ => {
            let (text, is_bc) = era(text);
            Date::Days(days(text, is_bc)?)
        }
    })
}

/// Microseconds of `HH:MM:SS[.ffffff]`; hours may have any number of digits.
fn clock(text: &str) -> Result<i64, &'static str> {
    let mut parts = text.splitn(3, ':');
    let mut part = || parts.next().ok_or(NO_TIME);
    let hours: i64 = unsigned(part()?)?;
    let minutes: i64 = unsigned(part()?)?;
    let (seconds, fraction) = match part()?.split_once('.') {
        Some((seconds, fraction)) => (seconds, fraction),
        None => (text.rsplit(':').next().unwrap_or_default(), ""),
    };
    let seconds: i64 = unsigned(seconds)?;
    let fraction: i64 = match fraction.len() {
        0 => 0,
        digits @ 1..=6 => {
            let scale = 10_i64.pow(6 - u32::try_from(digits).map_err(|_| NO_TIME)?);
            unsigned::<i64>(fraction)? * scale
        }
        _ => return Err(NO_TIME),
    };
    hours
        .checked_mul(3600)
        .and_then(|hours| hours.checked_add(minutes * 60 + seconds))
        .and_then(|seconds| seconds.checked_mul(MICROS_PER_SECOND))
        .and_then(|micros| micros.checked_add(fraction))
        .ok_or(NO_TIME)
}

/// Seconds east of UTC of `+HH[:MM[:SS]]`.
fn offset(text: &str) -> Result<i32, &'static str> {
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return Err(NO_TIME),
    };
    let mut seconds = 0;
    for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
        seconds += i32::from(unsigned::<u8>(part)?) * unit;
    }
    Ok(sign * seconds)
}

fn timestamp(text: &str, zone: &str) -> Result<Timestamp, &'static str> {
    Ok(match text {
        "infinity" => Timestamp::Infinity,
        "-infinity" => Timestamp::NegInfinity,
        _ => {
            let (text, is_bc) = era(text);
            let text = text.strip_suffix(zone).ok_or(NO_TIME)?;
            let (date, time) = text.split_once(' ').ok_or(NO_TIME)?;
            i64::from(days(date, is_bc)?)
                .checked_mul(MICROS_PER_DAY)
                .and_then(|micros| micros.checked_add(clock(time).ok()?))
                .map(Timestamp::Micros)
                .ok_or(NO_TIME)?
        }
    })
}

/// `1 year 2 mons -3 days +04:05:06.7`, any part of which may be left out.
fn interval(text: &str) -> Result<Interval, &'static str> {
    match text {
        "infinity" => return Ok(Interval::INFINITY),
        "-infinity" => return Ok(Interval::NEG_INFINITY),
        _ => {}
    }
    let mut interval = Interval {
        months: 0,
        days: 0,
        micros: 0,
    };
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (is_negative, time) = match word.split_at_checked(1) {
                Some(("-", time)) => (true, time),
                Some(("+", time)) => (false, time),
                _ => (false, word),
            };
            let micros = interval_clock(time)?;
            interval.micros = if is_negative {
                micros
            } else {
                micros.checked_neg().ok_or(NO_TIME)?
            };
            continue;
        }
        let count: i32 = word.parse().map_err(|_| NO_TIME)?;
        match words.next().unwrap_or_default() {
            "year" | "years" => {
                let months = count.checked_mul(12).ok_or(NO_TIME)?;
                interval.months = interval.months.checked_add(months).ok_or(NO_TIME)?;
            }
            "mon" | "mons" => {
                interval.months = interval.months.checked_add(count).ok_or(NO_TIME)?;
            }
            "day" | "days" => interval.days = count,
            _ => return Err(NO_TIME),
        }
    }
    Ok(interval)
}

/// The negative of a time, which alone has room for the longest one.
fn interval_clock(time: &str) -> Result<i64, &'static str> {
    let (hours, rest) = time.split_once(':').ok_or(NO_TIME)?;
    let hours: i64 = unsigned(hours)?;
    let below = clock(&format!("0:{rest}"))?;
    hours
        .checked_mul(-3600 * MICROS_PER_SECOND)
        .and_then(|micros| micros.checked_sub(below))
        .ok_or(NO_TIME)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::write_text;

    use super::*;

    fn read(ty: &ColumnType, text: &str) -> Result<String, &'static str> {
        let mut scratch = vec![0; scratch_bytes(ty, text.as_bytes())];
        let value = decode_text(ty, text.as_bytes(), &mut scratch)?;
        let mut out = Vec::new();
        write_text(&value, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn text_forms_read_back_as_they_were() {
        let timestamp = ColumnType::Timestamp { precision: 6 };
        let zoned = ColumnType::TimestampTz { precision: 6 };
        let bytes = ColumnType::Blob { bytes_max: None };
        let bits = ColumnType::Bit {
            length: None,
            varying: true,
        };
        for (ty, text) in [
            (&ColumnType::Date, "0044-03-15 BC"),
            (&ColumnType::Date, "5874897-12-31"),
            (&ColumnType::Date, "-infinity"),
            (&timestamp, "4713-01-01 00:00:00 BC"),
            (&timestamp, "294276-12-31 23:59:59.999999"),
            (&zoned, "2000-01-01 00:00:00.5+00"),
            (&zoned, "0044-03-15 00:00:00+00 BC"),
            (&ColumnType::Time { precision: 6 }, "24:00:00"),
            (&ColumnType::TimeTz { precision: 6 }, "24:00:00-15:59:59"),
            (
                &ColumnType::TimeTz { precision: 6 },
                "12:00:00.000001+05:30",
            ),
            (&bytes, "\\x00ff5c"),
            (&bytes, "\\x"),
            (&bits, "101010101"),
            (&bits, ""),
            (&ColumnType::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (&ColumnType::Float64, "NaN"),
        ] {
            assert_eq!(read(ty, text).as_deref(), Ok(text), "{ty:?}");
        }
    }

    #[test]
    fn intervals_are_read_part_by_part() {
        let read = |text: &str| interval(text).unwrap();
        let parts = |months, days, micros| Interval {
            months,
            days,
            micros,
        };
        assert_eq!(read("00:00:00"), parts(0, 0, 0));
        assert_eq!(
            read("-1 years -1 mons +3 days -00:00:01.5"),
            parts(-13, 3, -1_500_000)
        );
        assert_eq!(read("1 day -24:00:00"), parts(0, 1, -86_400_000_000));
        assert_eq!(read("-2562047788:00:54.775808"), parts(0, 0, i64::MIN));
        assert_eq!(read("-infinity"), Interval::NEG_INFINITY);
        assert!(interval("3 days 4").is_err());
        assert!(interval("x").is_err());
    }

    #[test]
    fn text_that_is_none_of_the_type_is_an_error() {
        let types = [
            ColumnType::Bool,
            ColumnType::Int {
                bits: 32,
                unsigned: false,
            },
            ColumnType::Decimal {
                precision: None,
                unsigned: false,
            },
            ColumnType::Blob { bytes_max: None },
            ColumnType::Bit {
                length: None,
                varying: true,
            },
            ColumnType::Date,
            ColumnType::Time { precision: 6 },
            ColumnType::TimeTz { precision: 6 },
            ColumnType::Timestamp { precision: 6 },
            ColumnType::TimestampTz { precision: 6 },
            ColumnType::Interval,
            ColumnType::Uuid,
        ];
        for ty in types {
            for text in [
                "x",
                "-",
                "2000-13-01",
                "1:2",
                "\\x0",
                "+",
                "ä",
                "99999999999999999999:00:00",
            ] {
                assert!(read(&ty, text).is_err(), "{ty:?} {text}");
            }
        }
    }
}
