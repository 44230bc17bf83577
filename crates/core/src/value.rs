use std::fmt;

use crate::{Date, Decimal, Interval, Time, Timestamp};

/// One cell on its way between two engines, borrowed from the block of rows it came in.
///
/// Which variant a column gives is fixed by its [`crate::ColumnType`]; any column may also give `Null`.
/// Nothing is rounded, trimmed or converted on the way in: what a target cannot hold it refuses by error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// The source did not say (unchanged TOAST, absent before image). Never given by a full load.
    NotSent,
    /// True or false.
    Bool(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    UInt(u64),
    /// Single precision, bit for bit.
    Float32(f32),
    /// Double precision, bit for bit.
    Float64(f64),
    /// An exact number of any length, or NaN, or an infinity.
    Decimal(Decimal<'a>),
    /// Text in UTF-8.
    Text(&'a str),
    /// Any bytes.
    Bytes(&'a [u8]),
    /// A bit string.
    Bits(Bits<'a>),
    /// A date, an infinity, or a zero date.
    Date(Date),
    /// A time of day or, from `MySQL`, a signed duration.
    Time(Time),
    /// A time of day and its offset east of UTC in seconds.
    TimeTz(Time, i32),
    /// A wall-clock date and time.
    Timestamp(Timestamp),
    /// An instant, in UTC.
    TimestampTz(Timestamp),
    /// A PostgreSQL interval.
    Interval(Interval),
    /// A JSON document as text.
    Json(&'a str),
    /// A UUID, in network order.
    Uuid([u8; 16]),
}

/// A bit string: the first bit is the highest bit of the first byte; unused low bits of the last byte are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits<'a> {
    /// `ceil(length / 8)` bytes.
    pub bytes: &'a [u8],
    /// How many bits there are.
    pub length: u32,
}

impl Bits<'_> {
    /// The bits in order; bits past the given bytes read as zero.
    pub fn iter(&self) -> impl Iterator<Item = bool> {
        (0..self.length as usize).map(|i| {
            self.bytes
                .get(i / 8)
                .is_some_and(|byte| byte & (0x80 >> (i % 8)) != 0)
        })
    }
}

impl Value<'_> {
    /// Whether both are the same in the same form: `1.0` and `1.00` are not, nor are zeros of two signs.
    pub fn is_identical(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float32(one), Self::Float32(other)) => one.to_bits() == other.to_bits(),
            (Self::Float64(one), Self::Float64(other)) => one.to_bits() == other.to_bits(),
            (one, other) => one == other,
        }
    }

    /// The kind of value this is, for error messages: values themselves are never printed.
    pub fn kind(&self) -> ValueKind {
        ValueKind(match self {
            Self::Null => "null",
            Self::NotSent => "value not sent",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::UInt(_) => "integer",
            Self::Float32(_) | Self::Float64(_) => "floating-point number",
            Self::Decimal(Decimal::NaN) => "not-a-number decimal",
            Self::Decimal(Decimal::Infinity | Decimal::NegInfinity) => "infinite decimal",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "binary",
            Self::Bits(_) => "bit string",
            Self::Date(Date::Zero { .. })
            | Self::Timestamp(Timestamp::Zero { .. })
            | Self::TimestampTz(Timestamp::Zero { .. }) => "zero date",
            Self::Date(Date::Infinity | Date::NegInfinity) => "infinite date",
            Self::Date(_) => "date",
            Self::Time(_) | Self::TimeTz(..) => "time",
            Self::Timestamp(Timestamp::Infinity | Timestamp::NegInfinity)
            | Self::TimestampTz(Timestamp::Infinity | Timestamp::NegInfinity) => {
                "infinite timestamp"
            }
            Self::Timestamp(_) | Self::TimestampTz(_) => "timestamp",
            Self::Interval(_) => "interval",
            Self::Json(_) => "JSON document",
            Self::Uuid(_) => "UUID",
        })
    }
}

/// What a value is, without saying which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueKind(&'static str);

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
