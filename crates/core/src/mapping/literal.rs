//! Literals of rules, in the type of the column that they are compared with.
//!
//! Values are ordered as their source orders them, text by its UTF-8 bytes: a row must pass a filter in the log if and only if it passes in
//! the load, and no other order of texts is the same everywhere.

use std::cmp::Ordering;

use super::number::Number;
use crate::{CivilDate, ColumnType, Date, Engine, MICROS_PER_SECOND, Timestamp, Value};

/// A literal in a column's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Of a boolean column.
    Bool(bool),
    /// Of a column of whole or decimal numbers.
    Number(Number),
    /// Of a column of single precision in PostgreSQL, which compares in that precision.
    Float32(f32),
    /// Of a column of floating-point numbers.
    Float64(f64),
    /// Of a column of text.
    Text(String),
    /// Of a blank-padded column; without spaces at the end.
    Padded(String),
    /// Of a column of dates.
    Date(Day),
    /// Of a column of times of day: microseconds.
    Time(i64),
    /// Of a column of dates with times, those of instants in UTC; with the microseconds of the day.
    Timestamp(Day, i64),
    /// Of a column of UUIDs.
    Uuid([u8; 16]),
}

/// A date in the order of dates, zero dates among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Day {
    /// Before all dates.
    NegInfinity,
    /// Year, month and day.
    Civil(i32, u8, u8),
    /// After all dates.
    Infinity,
}

impl Literal {
    /// Reads a literal.
    ///
    /// # Errors
    /// What was expected, as in `a date (YYYY-MM-DD)`.
    pub fn read(text: &str, ty: &ColumnType, engine: Engine) -> Result<Self, &'static str> {
        match ty {
            ColumnType::Bool => match text {
                "true" | "t" | "1" => Ok(Self::Bool(true)),
                "false" | "f" | "0" => Ok(Self::Bool(false)),
                _ => Err("true or false"),
            },
            ColumnType::Int { .. } | ColumnType::Year | ColumnType::Decimal { .. } => {
                let number = Number::read(text).ok_or("a number (digits, a point and digits)")?;
                Ok(Self::Number(number))
            }
            ColumnType::Float32 if engine == Engine::Postgres => {
                let number = text.parse().map_err(|_| "a number")?;
                Ok(Self::Float32(number))
            }
            ColumnType::Float32 | ColumnType::Float64 => {
                let number: f64 = text.parse().map_err(|_| "a number")?;
                let exists = engine == Engine::Postgres || number.is_finite();
                exists.then_some(Self::Float64(number)).ok_or("a number")
            }
            ColumnType::Varchar { .. }
            | ColumnType::Text { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Set { .. } => Ok(Self::Text(text.to_owned())),
            ColumnType::Char { .. } => Ok(Self::Padded(text.trim_end_matches(' ').to_owned())),
            ColumnType::Date => read_day(text, engine)
                .map(Self::Date)
                .ok_or("a date (YYYY-MM-DD)"),
            ColumnType::Time { .. } => read_time(text, engine)
                .map(Self::Time)
                .ok_or("a time (HH:MM:SS.SSS)"),
            ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. } => read_timestamp(
                text, engine,
            )
            .map(|(day, micros)| Self::Timestamp(day, micros))
            .ok_or(
                "a date and time (YYYY-MM-DD HH:MM:SS.SSS), in UTC where the column holds instants",
            ),
            ColumnType::Uuid => read_uuid(text).map(Self::Uuid).ok_or("a UUID"),
            ColumnType::Binary { .. }
            | ColumnType::Varbinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Bit { .. }
            | ColumnType::TimeTz { .. }
            | ColumnType::Interval
            | ColumnType::Json { .. }
            | ColumnType::Native { .. }
            | ColumnType::Geometry { .. } => {
                Err("null or notnull: values of this type are not compared with literals, as")
            }
        }
    }

    /// How a value stands to the literal; `None` when it is of another kind.
    pub fn order_of(&self, value: &Value<'_>) -> Option<Ordering> {
        match (self, value) {
            (Self::Bool(literal), Value::Bool(value)) => Some(value.cmp(literal)),
            (Self::Number(literal), Value::Int(_) | Value::UInt(_) | Value::Decimal(_)) => {
                literal.order_of(value)
            }
            (Self::Float32(literal), Value::Float32(value)) => {
                Some(float_order(f64::from(*value), f64::from(*literal)))
            }
            (Self::Float64(literal), Value::Float32(value)) => {
                Some(float_order(f64::from(*value), *literal))
            }
            (Self::Float64(literal), Value::Float64(value)) => Some(float_order(*value, *literal)),
            (Self::Text(literal), Value::Text(value)) => {
                Some(value.as_bytes().cmp(literal.as_bytes()))
            }
            (Self::Padded(literal), Value::Text(value)) => {
                let value = value.trim_end_matches(' ');
                Some(value.as_bytes().cmp(literal.as_bytes()))
            }
            (Self::Date(literal), Value::Date(value)) => Some(day_of(*value).cmp(literal)),
            (Self::Time(literal), Value::Time(value)) => Some(value.micros.cmp(literal)),
            (Self::Timestamp(day, micros), Value::Timestamp(value) | Value::TimestampTz(value)) => {
                Some(moment_of(*value).cmp(&(*day, *micros)))
            }
            (Self::Uuid(literal), Value::Uuid(value)) => Some(value.cmp(literal)),
            _ => None,
        }
    }

    /// How it stands to another literal of the same column.
    pub(super) fn order_to(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => {
                let one = one.to_string();
                other.order_of(&Value::Decimal(crate::Decimal::Text(&one)))
            }
            (Self::Float32(one), Self::Float32(other)) => {
                Some(float_order(f64::from(*one), f64::from(*other)))
            }
            (Self::Float64(one), Self::Float64(other)) => Some(float_order(*one, *other)),
            (Self::Text(one), Self::Text(other)) | (Self::Padded(one), Self::Padded(other)) => {
                Some(one.as_bytes().cmp(other.as_bytes()))
            }
            (Self::Date(one), Self::Date(other)) => Some(one.cmp(other)),
            (Self::Time(one), Self::Time(other)) => Some(one.cmp(other)),
            (Self::Timestamp(day, micros), Self::Timestamp(other_day, other_micros)) => {
                Some((day, micros).cmp(&(other_day, other_micros)))
            }
            (Self::Uuid(one), Self::Uuid(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }

    /// The literal's canonical text.
    pub fn text(&self) -> String {
        match self {
            Self::Bool(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Float32(number) => float_text(f64::from(*number), &format!("{number:e}")),
            Self::Float64(number) => float_text(*number, &format!("{number:e}")),
            Self::Text(text) | Self::Padded(text) => text.clone(),
            Self::Time(micros) => time_text(*micros),
            Self::Timestamp(day @ Day::Civil(..), micros) => {
                let date = day_text(*day);
                format!("{date} {}", time_text(*micros))
            }
            Self::Date(day) | Self::Timestamp(day, _) => day_text(*day),
            Self::Uuid(bytes) => {
                let mut out = Vec::new();
                crate::write_text(&Value::Uuid(*bytes), &mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
        }
    }
}

/// PostgreSQL's order: NaN is equal to itself and after all numbers. The others have none.
fn float_order(value: f64, literal: f64) -> Ordering {
    value
        .partial_cmp(&literal)
        .unwrap_or_else(|| value.is_nan().cmp(&literal.is_nan()))
}

fn float_text(number: f64, scientific: &str) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned()
    } else {
        scientific.to_owned()
    }
}

fn civil(days: i32) -> Day {
    let date = CivilDate::from_days(days);
    Day::Civil(date.year, date.month, date.day)
}

fn day_of(date: Date) -> Day {
    match date {
        Date::NegInfinity => Day::NegInfinity,
        Date::Infinity => Day::Infinity,
        Date::Days(days) => civil(days),
        Date::Zero { year, month, day } => Day::Civil(i32::from(year), month, day),
    }
}

fn moment_of(timestamp: Timestamp) -> (Day, i64) {
    match timestamp {
        Timestamp::NegInfinity => (Day::NegInfinity, 0),
        Timestamp::Infinity => (Day::Infinity, 0),
        Timestamp::Zero {
            year,
            month,
            day,
            micros,
        } => (Day::Civil(i32::from(year), month, day), micros),
        Timestamp::Micros(micros) => {
            let day = crate::MICROS_PER_DAY;
            let days = i32::try_from(micros.div_euclid(day))
                .expect("64 bits of microseconds are fewer than 2^31 days");
            (civil(days), micros.rem_euclid(day))
        }
    }
}

fn number<T: std::str::FromStr>(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<T> {
    let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn read_day(text: &str, engine: Engine) -> Option<Day> {
    if engine == Engine::Postgres {
        match text {
            "infinity" => return Some(Day::Infinity),
            "-infinity" => return Some(Day::NegInfinity),
            _ => {}
        }
    }
    let mut parts = text.split('-');
    let year: i32 = number(parts.next()?, 4..=6)?;
    let month: u8 = number(parts.next()?, 2..=2)?;
    let day: u8 = number(parts.next()?, 2..=2)?;
    if parts.next().is_some() {
        return None;
    }
    let exists = year > 0 && CivilDate { year, month, day }.to_days().is_some();
    let is_zero_date = engine != Engine::Postgres && year <= 9999 && month <= 12 && day <= 31;
    (exists || is_zero_date).then_some(Day::Civil(year, month, day))
}

fn read_time(text: &str, engine: Engine) -> Option<i64> {
    let (is_negative, clock) = match text.strip_prefix('-') {
        Some(clock) if engine != Engine::Postgres => (true, clock),
        Some(_) => return None,
        None => (false, text),
    };
    let hours_max = if engine == Engine::Postgres { 24 } else { 838 };
    let micros = read_clock(clock, hours_max)?;
    let day_end = 24 * 3600 * MICROS_PER_SECOND;
    let exists = engine != Engine::Postgres || micros <= day_end;
    exists.then_some(if is_negative { -micros } else { micros })
}

fn read_clock(text: &str, hours_max: i64) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let hours: i64 = number(parts.next()?, 1..=3)?;
    let minutes: i64 = number(parts.next()?, 2..=2)?;
    let seconds: i64 = number(parts.next()?, 2..=2)?;
    let micros: i64 =
        number::<i64>(fraction, 1..=6)? * 10_i64.pow(6 - u32::try_from(fraction.len()).ok()?);
    let exists = hours <= hours_max && minutes < 60 && seconds < 60 && parts.next().is_none();
    exists.then_some(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
}

fn read_timestamp(text: &str, engine: Engine) -> Option<(Day, i64)> {
    let Some((day, clock)) = text.split_once([' ', 'T']) else {
        return Some((read_day(text, engine)?, 0));
    };
    let day = read_day(day, engine)?;
    matches!(day, Day::Civil(..)).then_some(())?;
    Some((day, read_clock(clock, 23)?))
}

/// A date, with a time perhaps, as values have it; infinities and dates that are none are left to engines.
pub(super) fn read_moment(text: &str) -> Option<Timestamp> {
    let (day, micros) = read_timestamp(text.trim_matches(' '), Engine::Postgres)?;
    let midnight = match day {
        Day::NegInfinity => return Some(Timestamp::NegInfinity),
        Day::Infinity => return Some(Timestamp::Infinity),
        Day::Civil(year, month, day) => CivilDate { year, month, day }.to_days()?,
    };
    let midnight = i64::from(midnight).checked_mul(crate::MICROS_PER_DAY)?;
    Some(Timestamp::Micros(midnight.checked_add(micros)?))
}

/// A time of day or a duration, in microseconds.
pub(super) fn read_time_of_any(text: &str) -> Option<i64> {
    read_time(text.trim_matches(' '), Engine::MySql)
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let mut digits = Vec::with_capacity(32);
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            b'-' if matches!(place, 8 | 13 | 18 | 23) && bytes.len() == 36 => {}
            byte => digits.push(char::from(*byte).to_digit(16)?),
        }
    }
    if digits.len() != 32 {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] << 4 | pair[1]).ok()?;
    }
    Some(uuid)
}

fn day_text(day: Day) -> String {
    match day {
        Day::NegInfinity => "-infinity".to_owned(),
        Day::Infinity => "infinity".to_owned(),
        Day::Civil(year, month, day) if year > 0 => format!("{year:04}-{month:02}-{day:02}"),
        // Year 0 exists in zero dates alone, which are never before Christ.
        Day::Civil(year, month, day) => format!("{:04}-{month:02}-{day:02}", year.unsigned_abs()),
    }
}

fn time_text(micros: i64) -> String {
    let mut out = Vec::new();
    crate::write_text(&Value::Time(crate::Time { micros }), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
