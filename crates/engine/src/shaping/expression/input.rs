//! What an expression names behind a `$`.

use whimbrel_core::mapping::{Conversion, Converted};
use whimbrel_core::{
    ColumnType, DAYS_1970_TO_2000, Date, Decimal, MICROS_PER_DAY, Table, TableName, Timestamp,
    Value, clock, write_text,
};

use super::sandbox::Argument;
use super::usage::Usage;
use crate::shaping::event::{Event, Operation};

/// One of an expression's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Column {
        name: String,
        /// In rows of the source.
        place: usize,
        usage: Usage,
        /// Its type has no fractions, so that a division is one of whole numbers.
        is_whole: bool,
        /// Spaces at the end of its values are none of their characters.
        is_padded: bool,
    },
    /// What is known of the row's change.
    Header(Header),
    /// A name that all rows of the table share.
    Name(String),
}

/// What is known of a row's change: `$AR_H_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    StreamPosition,
    Timestamp,
    Operation,
    User,
    ChangeSequence,
}

impl Header {
    /// Whether it is known once the commit of the change's transaction is.
    pub(super) fn is_of_commit(self) -> bool {
        matches!(
            self,
            Self::StreamPosition | Self::Timestamp | Self::ChangeSequence
        )
    }
}

impl Input {
    /// What a name behind a `$` means, of which that is taken.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn of(
        name: &str,
        usage: Usage,
        table: &Table,
        target: &TableName,
    ) -> Result<Self, String> {
        Ok(match name {
            "AR_H_STREAM_POSITION" => Self::Header(Header::StreamPosition),
            // A log tells when a transaction was committed, and not when each of its rows was written.
            "AR_H_TIMESTAMP" | "AR_H_COMMIT_TIMESTAMP" => Self::Header(Header::Timestamp),
            "AR_H_OPERATION" => Self::Header(Header::Operation),
            "AR_H_USER" => Self::Header(Header::User),
            "AR_H_CHANGE_SEQ" => Self::Header(Header::ChangeSequence),
            "AR_M_SOURCE_SCHEMA" => Self::Name(table.name.schema.clone()),
            "AR_M_SOURCE_TABLE_NAME" => Self::Name(table.name.name.clone()),
            "AR_M_MODIFIED_SCHEMA" => Self::Name(target.schema.clone()),
            "AR_M_MODIFIED_TABLE_NAME" => Self::Name(target.name.clone()),
            _ => {
                let mut loaded = table.loaded_columns();
                let place = loaded.position(|column| column.name == name);
                let place = place.ok_or_else(|| {
                    format!("a column of the table or a variable that a new column can have: ${name} is none")
                })?;
                let ty = table.loaded_columns().nth(place).map(|column| &column.ty);
                Self::Column {
                    name: name.to_owned(),
                    place,
                    usage,
                    is_whole: match ty {
                        Some(ColumnType::Decimal { precision, .. }) => {
                            precision.is_some_and(|(_, scale)| scale <= 0)
                        }
                        _ => matches!(ty, Some(ColumnType::Int { .. })),
                    },
                    is_padded: matches!(ty, Some(ColumnType::Char { .. })),
                }
            }
        })
    }

    pub(super) fn place(&self) -> Option<usize> {
        match self {
            Self::Column { place, .. } => Some(*place),
            Self::Header(_) | Self::Name(_) => None,
        }
    }

    /// Whether the row does not tell it.
    pub(super) fn is_not_sent(&self, row: &[Value<'_>]) -> bool {
        let place = self.place();
        place.is_some_and(|place| row.get(place).is_none_or(|cell| *cell == Value::NotSent))
    }

    /// Its value, in the types that SQLite has.
    pub(super) fn value<'v>(
        &'v self,
        event: Event<'v>,
        row: &[Value<'v>],
    ) -> Result<Argument<'v>, String> {
        match self {
            Self::Name(name) => Ok(Argument::Text(name.as_str().into())),
            Self::Header(header) => header.value(event),
            Self::Column {
                name,
                place,
                usage,
                is_whole,
                is_padded,
            } => {
                let value = row.get(*place).unwrap_or(&Value::Null);
                let value = match value {
                    Value::Text(text) if *is_padded => &Value::Text(text.trim_end_matches(' ')),
                    value => value,
                };
                argument(value, *usage, *is_whole).ok_or_else(|| {
                    format!("column {name} has a number that is compared or computed with and that SQLite has not: one of too many digits, NaN or an infinity; CAST(${name} AS TEXT) is its text")
                })
            }
        }
    }
}

/// Nothing of a value is lost on its way: what SQLite has no type for is text. `None`: it is to be a number, and SQLite has none for it.
fn argument<'v>(value: &Value<'v>, usage: Usage, is_whole: bool) -> Option<Argument<'v>> {
    Some(match *value {
        Value::Null | Value::NotSent => Argument::Null,
        Value::Bool(flag) => Argument::Integer(i64::from(flag)),
        Value::Int(number) => Argument::Integer(number),
        Value::Float32(number) if !number.is_nan() => Argument::Real(of_same_digits(number)),
        Value::Float64(number) if !number.is_nan() => Argument::Real(number),
        Value::UInt(number) if i64::try_from(number).is_ok() => {
            Argument::Integer(number.cast_signed())
        }
        // SQLite makes NULL of what is no number.
        Value::UInt(_) | Value::Decimal(_) | Value::Float32(_) | Value::Float64(_)
            if usage == Usage::Number =>
        {
            return number(value, is_whole);
        }
        Value::Text(text) | Value::Json(text) | Value::Decimal(Decimal::Text(text)) => {
            Argument::Text(text.into())
        }
        Value::Bytes(bytes) => Argument::Blob(bytes),
        // In UTC, in the form that SQLite's functions read.
        Value::TimestampTz(moment) => Argument::Text(in_text(&Value::Timestamp(moment)).into()),
        ref other => Argument::Text(in_text(other).into()),
    })
}

/// The number whose shortest digits are those of a shorter one: 0.1 is 0.1, and not what four bytes hold in its place.
fn of_same_digits(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// The number of SQLite that is this one: the floating-point number whose shortest digits are its own, or a whole one. Which of them is
/// tried first follows from the column's type: 10.00 / 4 is 2.5, as 10.01 / 4 is 2.5025.
fn number(value: &Value<'_>, is_whole: bool) -> Option<Argument<'static>> {
    const WHOLE: ColumnType = ColumnType::Int {
        bits: 64,
        unsigned: false,
    };
    let converted = |ty: &ColumnType| {
        let converted = Conversion::to(ty)?.convert(value, &mut String::new()).ok();
        match converted? {
            Converted::Value(Value::Int(number)) => Some(Argument::Integer(number)),
            Converted::Value(Value::Float64(number)) if number.is_finite() => {
                Some(Argument::Real(number))
            }
            _ => None,
        }
    };
    let (first, second) = if is_whole {
        (WHOLE, ColumnType::Float64)
    } else {
        (ColumnType::Float64, WHOLE)
    };
    converted(&first).or_else(|| converted(&second))
}

fn in_text(value: &Value<'_>) -> String {
    let mut text = Vec::new();
    write_text(value, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

impl Header {
    fn value(self, event: Event<'_>) -> Result<Argument<'_>, String> {
        let text = |text: String| Ok(Argument::Text(text.into()));
        match self {
            Self::Operation => Ok(Argument::Text(event.operation.name().into())),
            // PostgreSQL, MySQL and MariaDB do not tell it.
            Self::User => Ok(Argument::Text("".into())),
            Self::Timestamp if event.operation == Operation::Load => {
                text(date_and_time(clock::now_us()))
            }
            Self::StreamPosition | Self::ChangeSequence if event.operation == Operation::Load => {
                Ok(Argument::Text("".into()))
            }
            Self::Timestamp | Self::StreamPosition | Self::ChangeSequence => {
                let change = event.change.ok_or("the log does not tell of the row")?;
                let commit = change.commit.get().ok_or(
                    "its transaction is larger than a batch, and its commit is not known yet",
                )?;
                match self {
                    Self::StreamPosition => Ok(Argument::Text(commit.position.as_str().into())),
                    Self::ChangeSequence => text(sequence(commit.committed_at_us, change.number)),
                    _ => text(date_and_time(commit.committed_at_us)),
                }
            }
        }
    }
}

fn date_and_time(us_since_1970: i64) -> String {
    let to_2000 = i64::from(DAYS_1970_TO_2000) * MICROS_PER_DAY;
    let moment = Timestamp::Micros(us_since_1970.saturating_sub(to_2000));
    in_text(&Value::Timestamp(moment))
}

/// 16 digits of the time of the commit (YYYYMMDDhhmmssff), and 19 that count.
fn sequence(committed_at_us: i64, number: u64) -> String {
    let to_2000 = i64::from(DAYS_1970_TO_2000) * MICROS_PER_DAY;
    let moment = committed_at_us.saturating_sub(to_2000);
    let days = i32::try_from(moment.div_euclid(MICROS_PER_DAY)).unwrap_or(0);
    let day = in_text(&Value::Date(Date::Days(days))).replace('-', "");
    let hundredths = moment.rem_euclid(MICROS_PER_DAY) / 10_000;
    let (seconds, hundredths) = (hundredths / 100, hundredths % 100);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{day}{hours:02}{minutes:02}{seconds:02}{hundredths:02}{number:019}")
}
