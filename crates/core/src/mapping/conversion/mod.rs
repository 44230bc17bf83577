//! Values in another type than their own, for rules that give a column one.
//!
//! A value is converted if the new type holds it exactly, and refused if not: nothing is rounded or cut. A floating-point number stands for
//! the shortest decimal number that reads back to it, as servers print it; an instant for its date and time in UTC.

mod number;
mod text;

#[cfg(test)]
mod tests;

use thiserror::Error;

use super::literal::{read_moment, read_time_of_any};
use crate::{
    ColumnType, Date, MICROS_PER_DAY, Time, Timestamp, Value, ValueKind, write_text as write_value,
};

/// Makes values of one type those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    to: Kind,
    /// Blanks at the end of the text are padding.
    is_padded: bool,
    /// Numbers have no type of their own, so that their digits tell which they are.
    is_by_digits: bool,
}

/// What is made. These are the types that rules can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int { bits: u8, unsigned: bool },
    Decimal { precision: Option<(u32, i32)> },
    Float32,
    Float64,
    Text { chars_max: Option<u32> },
    Bytes { bytes_max: Option<u32> },
    Date,
    Time { precision: u8 },
    Timestamp { precision: u8 },
}

/// A value in its new type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Converted<'v> {
    /// This one.
    Value(Value<'v>),
    /// The text that was appended.
    Text,
    /// The decimal number whose text was appended.
    Decimal,
}

/// A value that the new type does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the new type of the column cannot hold this {kind}: {why}")]
pub struct ConversionError {
    /// What it is.
    pub kind: ValueKind,
    /// Why, as the end of a sentence.
    pub why: &'static str,
}

const NO_SUCH: &str = "there is no conversion of such values";

impl Conversion {
    /// From one type to another; `None` where no value of the one has a counterpart in the other.
    pub fn between(from: &ColumnType, to: &ColumnType) -> Option<Self> {
        let kind = Kind::of(to)?;
        let takes = match kind {
            Kind::Bool => is_number(from) || is_text(from) || *from == ColumnType::Bool,
            Kind::Int { .. } => {
                is_number(from)
                    || is_text(from)
                    || matches!(from, ColumnType::Bool | ColumnType::Bit { .. })
            }
            Kind::Decimal { .. } | Kind::Float32 | Kind::Float64 => {
                is_number(from) || is_text(from) || *from == ColumnType::Bool
            }
            Kind::Text { .. } => !is_bytes(from),
            Kind::Bytes { .. } => is_bytes(from) || is_text(from) || is_document(from),
            Kind::Date | Kind::Timestamp { .. } => {
                is_text(from)
                    || matches!(
                        from,
                        ColumnType::Date
                            | ColumnType::Timestamp { .. }
                            | ColumnType::TimestampTz { .. }
                    )
            }
            Kind::Time { .. } => is_text(from) || matches!(from, ColumnType::Time { .. }),
        };
        takes.then_some(Self {
            to: kind,
            is_padded: matches!(from, ColumnType::Char { .. }),
            is_by_digits: false,
        })
    }

    /// Of values whose type is told by themselves alone.
    pub fn to(ty: &ColumnType) -> Option<Self> {
        let to = Kind::of(ty)?;
        Some(Self {
            to,
            is_padded: false,
            is_by_digits: true,
        })
    }

    /// The value in its new type; a text that has to be made for it is appended to `out`. NULL stays NULL, and what was not sent stays so.
    ///
    /// # Errors
    /// The new type does not hold the value.
    pub fn convert<'v>(
        self,
        value: &Value<'v>,
        out: &mut String,
    ) -> Result<Converted<'v>, ConversionError> {
        if matches!(value, Value::Null | Value::NotSent) {
            return Ok(Converted::Value(*value));
        }
        let made = match self.to {
            Kind::Bool => number::to_bool(value).map(Converted::Value),
            Kind::Int { bits, unsigned } => {
                number::to_int(value, bits, unsigned).map(Converted::Value)
            }
            Kind::Decimal { precision } => number::to_decimal(value, precision, out),
            Kind::Float32 => number::to_float32(value, self.is_by_digits).map(Converted::Value),
            Kind::Float64 => number::to_float64(value).map(Converted::Value),
            Kind::Text { chars_max } => text::to_text(value, chars_max, self.is_padded, out),
            Kind::Bytes { bytes_max } => text::to_bytes(value, bytes_max).map(Converted::Value),
            Kind::Date => to_date(value).map(Converted::Value),
            Kind::Time { precision } => to_time(value, precision).map(Converted::Value),
            Kind::Timestamp { precision } => to_timestamp(value, precision).map(Converted::Value),
        };
        made.map_err(|why| ConversionError {
            kind: value.kind(),
            why,
        })
    }

    /// Whether every value of the one type is a value of the other as it is.
    pub fn keeps_all(from: &ColumnType, to: &ColumnType) -> bool {
        use ColumnType as T;
        let fits = |length: Option<u32>, max: Option<u32>| match (length, max) {
            (_, None) => true,
            (Some(length), Some(max)) => length <= max,
            (None, Some(_)) => false,
        };
        match (from, to) {
            (
                T::Int { bits, unsigned },
                T::Int {
                    bits: more,
                    unsigned: still,
                },
            ) => unsigned == still && bits <= more,
            (
                T::Decimal {
                    precision: Some((digits, scale)),
                    ..
                },
                T::Decimal {
                    precision: Some((more, finer)),
                    unsigned: false,
                },
            ) => {
                let whole = |digits: u32, scale: i32| i64::from(digits) - i64::from(scale);
                *scale >= 0 && scale <= finer && whole(*digits, *scale) <= whole(*more, *finer)
            }
            (T::Varchar { length }, T::Varchar { length: max }) => fits(*length, *max),
            (T::Varchar { .. } | T::Text { .. }, T::Text { bytes_max: None })
            | (T::Varbinary { .. } | T::Blob { .. }, T::Blob { bytes_max: None }) => true,
            (T::Varbinary { length }, T::Varbinary { length: max }) => length <= max,
            (T::Time { precision }, T::Time { precision: finer })
            | (T::Timestamp { precision }, T::Timestamp { precision: finer }) => precision <= finer,
            _ => from == to,
        }
    }
}

impl Kind {
    fn of(ty: &ColumnType) -> Option<Self> {
        Some(match *ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int { bits, unsigned } => Self::Int { bits, unsigned },
            ColumnType::Decimal { precision, .. } => Self::Decimal { precision },
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Varchar { length } => Self::Text { chars_max: length },
            ColumnType::Text { .. } => Self::Text { chars_max: None },
            ColumnType::Varbinary { length } => Self::Bytes {
                bytes_max: Some(length),
            },
            ColumnType::Blob { .. } => Self::Bytes { bytes_max: None },
            ColumnType::Date => Self::Date,
            ColumnType::Time { precision } => Self::Time { precision },
            ColumnType::Timestamp { precision } => Self::Timestamp { precision },
            _ => return None,
        })
    }
}

fn is_number(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Int { .. }
            | ColumnType::Year
            | ColumnType::Decimal { .. }
            | ColumnType::Float32
            | ColumnType::Float64
    )
}

fn is_text(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Char { .. }
            | ColumnType::Varchar { .. }
            | ColumnType::Text { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Set { .. }
            | ColumnType::Native { .. }
    )
}

fn is_document(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Json { .. })
}

fn is_bytes(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Binary { .. }
            | ColumnType::Varbinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Geometry { .. }
    )
}

fn to_date<'v>(value: &Value<'_>) -> Result<Value<'v>, &'static str> {
    const HAS_TIME: &str = "it has a time of day";
    let date = match *value {
        Value::Date(date) => date,
        Value::Timestamp(moment) | Value::TimestampTz(moment) => date_of(moment).ok_or(HAS_TIME)?,
        Value::Text(text) => {
            let moment = read_moment(text).ok_or("it is no date (YYYY-MM-DD)")?;
            date_of(moment).ok_or(HAS_TIME)?
        }
        _ => return Err(NO_SUCH),
    };
    Ok(Value::Date(date))
}

/// `None` for a time of day beside midnight.
fn date_of(moment: Timestamp) -> Option<Date> {
    match moment {
        Timestamp::NegInfinity => Some(Date::NegInfinity),
        Timestamp::Infinity => Some(Date::Infinity),
        Timestamp::Micros(micros) if micros.rem_euclid(MICROS_PER_DAY) == 0 => {
            let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
            Some(Date::Days(days))
        }
        Timestamp::Zero {
            year,
            month,
            day,
            micros: 0,
        } => Some(Date::Zero { year, month, day }),
        _ => None,
    }
}

fn to_time<'v>(value: &Value<'_>, precision: u8) -> Result<Value<'v>, &'static str> {
    let time = match *value {
        Value::Time(time) => time,
        Value::Text(text) => Time {
            micros: read_time_of_any(text).ok_or("it is no time (HH:MM:SS)")?,
        },
        _ => return Err(NO_SUCH),
    };
    check_fraction(time.micros, precision)?;
    Ok(Value::Time(time))
}

fn to_timestamp<'v>(value: &Value<'_>, precision: u8) -> Result<Value<'v>, &'static str> {
    let moment = match *value {
        Value::Timestamp(moment) | Value::TimestampTz(moment) => moment,
        Value::Date(Date::NegInfinity) => Timestamp::NegInfinity,
        Value::Date(Date::Infinity) => Timestamp::Infinity,
        Value::Date(Date::Days(days)) => Timestamp::Micros(
            i64::from(days)
                .checked_mul(MICROS_PER_DAY)
                .ok_or("it is too far away")?,
        ),
        Value::Date(Date::Zero { year, month, day }) => Timestamp::Zero {
            year,
            month,
            day,
            micros: 0,
        },
        Value::Text(text) => {
            read_moment(text).ok_or("it is no date with a time (YYYY-MM-DD HH:MM:SS)")?
        }
        _ => return Err(NO_SUCH),
    };
    if let Timestamp::Micros(micros) | Timestamp::Zero { micros, .. } = moment {
        check_fraction(micros, precision)?;
    }
    Ok(Value::Timestamp(moment))
}

fn check_fraction(micros: i64, precision: u8) -> Result<(), &'static str> {
    let unit = 10_i64.pow(6 - u32::from(precision.min(6)));
    if micros % unit == 0 {
        Ok(())
    } else {
        Err("it has more digits of a second")
    }
}
