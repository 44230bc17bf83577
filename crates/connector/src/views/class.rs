//! What is known of a value's type: as much as decides whether an operation means the same on both engines.

use whimbrel_core::{Column, ColumnType};

use crate::TargetColumn;
use crate::expression::Dialect;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Null,
    /// A condition. To MySQL that is a number.
    Bool,
    /// Whole numbers of at most so many bits with their sign; 65 are those of a MySQL that counts from 0, and no type of PostgreSQL but `numeric`.
    Int {
        bits: u8,
        /// Whether MySQL calculates with it as what has no sign.
        is_unsigned: bool,
    },
    Decimal(Digits),
    Float32,
    Float64,
    Text(Agrees),
    Date,
    Timestamp,
    Uuid,
    /// A label of PostgreSQL's.
    Enum,
    /// Equal values are equal on both; nothing else is known of it here. Which type it is, of those of the migration: others have another idea of equality.
    Plain(usize),
    /// Not even that.
    Opaque,
}

/// Of a decimal number, all of them and those behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) precision: u32,
    pub(super) scale: u32,
    /// Whether every value has just as many behind the point, at both ends, so that its text is the same.
    pub(super) are_fixed: bool,
}

impl Digits {
    /// Those of a value with as many behind the point as its type has; `None`: more than MySQL keeps, which rounds then.
    pub(super) fn fixed(precision: u32, scale: u32) -> Option<Self> {
        let digits = Self {
            precision: precision.max(scale),
            scale,
            are_fixed: true,
        };
        digits.within()
    }

    /// MySQL keeps 65 digits, 30 of them behind the point.
    pub(super) fn within(self) -> Option<Self> {
        (self.precision <= 65 && self.scale <= 30).then_some(self)
    }

    /// Before the point.
    pub(super) fn whole(self) -> u32 {
        self.precision.saturating_sub(self.scale)
    }

    /// Of what holds the values of both, and so many digits more before the point.
    pub(super) fn with(self, other: Self, more: u32) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let digits = Self {
            precision: self.whole().max(other.whole()) + more + scale,
            scale,
            are_fixed: self.are_fixed && other.are_fixed,
        };
        digits.within()
    }
}

/// Which texts are one to comparisons of the source and of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agrees {
    /// Those of the same characters, at both.
    Exactly,
    /// The source's or the target's collation has it otherwise.
    Loosely,
    /// A constant takes the rules of what it is compared with.
    AsOther,
}

impl Agrees {
    /// Of what is made of two.
    pub(super) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Loosely, _) | (_, Self::Loosely) => Self::Loosely,
            (Self::Exactly, _) | (_, Self::Exactly) => Self::Exactly,
            (Self::AsOther, Self::AsOther) => Self::AsOther,
        }
    }
}

/// Types that are equal to themselves alone.
#[derive(Debug, Default)]
pub(super) struct Natives {
    known: Vec<(String, String)>,
}

impl Natives {
    /// The number of a type at both ends.
    fn number(&mut self, column: &Column, target: &TargetColumn) -> usize {
        let pair = (column.native.clone(), target.native.clone());
        let place = self.known.iter().position(|known| *known == pair);
        place.unwrap_or_else(|| {
            self.known.push(pair);
            self.known.len() - 1
        })
    }
}

impl Class {
    /// A whole number of so many bits with its sign.
    pub(super) fn int(bits: u8) -> Self {
        Self::Int {
            bits,
            is_unsigned: false,
        }
    }

    /// Of a column at both ends.
    pub(super) fn of(
        column: &Column,
        target: &TargetColumn,
        source: Dialect,
        natives: &mut Natives,
    ) -> Self {
        if column.ty != target.source_type {
            // A rule gives it another type.
            return Self::Opaque;
        }
        let is_postgres = source == Dialect::Postgres;
        let mut plain = || Self::Plain(natives.number(column, target));
        // Numbers with zeros before them are texts to some functions.
        if column.native.contains("zerofill") {
            return plain();
        }
        match &column.ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int { bits, unsigned } => Self::Int {
                bits: bits + u8::from(*unsigned),
                is_unsigned: *unsigned,
            },
            ColumnType::Decimal {
                precision: Some((precision, scale)),
                ..
            } => {
                let scale = u32::try_from(*scale).ok();
                let digits = scale.and_then(|scale| Digits::fixed(*precision, scale));
                digits.map_or_else(plain, Self::Decimal)
            }
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            // Trailing spaces are no part of it to PostgreSQL.
            ColumnType::Char { .. } if is_postgres => plain(),
            ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => {
                Self::Text(agreement(column, target, source))
            }
            ColumnType::Date => Self::Date,
            ColumnType::Timestamp { .. } => Self::Timestamp,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Enum { .. } if is_postgres && is_exact(&target.native) => Self::Enum,
            ColumnType::Enum { .. }
            | ColumnType::Decimal { .. }
            | ColumnType::Binary { .. }
            | ColumnType::Varbinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Time { .. }
            | ColumnType::TimestampTz { .. }
            | ColumnType::Year => plain(),
            _ => Self::Opaque,
        }
    }

    /// As a decimal number.
    pub(super) fn digits(self) -> Option<Digits> {
        match self {
            Self::Int { bits, .. } => Digits::fixed(
                match bits {
                    0..=9 => 3,
                    10..=17 => 5,
                    18..=25 => 8,
                    26..=33 => 10,
                    34..=64 => 19,
                    _ => 20,
                },
                0,
            ),
            Self::Decimal(digits) => Some(digits),
            _ => None,
        }
    }

    pub(super) fn is_number(self) -> bool {
        self.digits().is_some() || self.is_float()
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    /// Whether values of it that are one at the source are one at the target; `None`: nothing is known.
    pub(super) fn agrees(self) -> Option<bool> {
        match self {
            Self::Text(agrees) => Some(agrees == Agrees::Exactly),
            Self::Opaque => None,
            _ => Some(true),
        }
    }

    pub(super) fn named(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool => "a condition",
            Self::Int { .. } | Self::Decimal(_) | Self::Float32 | Self::Float64 => "a number",
            Self::Text(_) => "a text",
            Self::Date => "a date",
            Self::Timestamp => "a time",
            Self::Uuid => "a UUID",
            Self::Enum => "a label",
            Self::Plain(_) | Self::Opaque => "a value of another type",
        }
    }
}

/// Whether a type of MySQL's compares characters: its collation is binary and does not pad with spaces, and its set has one code for each character, as some of the Far East have not.
fn is_exact(native: &str) -> bool {
    const SETS: [&str; 8] = [
        "utf8mb4", "utf8mb3", "utf8", "ucs2", "utf16", "utf32", "latin1", "ascii",
    ];
    let Some((_, collation)) = native.rsplit_once(" COLLATE ") else {
        return false;
    };
    let set = collation.strip_suffix("_nopad_bin");
    collation == "utf8mb4_0900_bin" || set.is_some_and(|set| SETS.contains(&set))
}

/// PostgreSQL compares characters, but for collations that are not deterministic: a column may have one of its own, and a domain of texts may bring it.
fn agreement(column: &Column, target: &TargetColumn, source: Dialect) -> Agrees {
    let native = column.native.as_str();
    let agrees = match source {
        Dialect::Postgres => {
            let is_plain = native == "text"
                || native.starts_with("character varying") && !native.contains("COLLATE");
            is_plain && is_exact(&target.native)
        }
        Dialect::MySql => is_exact(native),
    };
    if agrees {
        Agrees::Exactly
    } else {
        Agrees::Loosely
    }
}

/// A class that holds the values of both; `None`: there is none.
pub(super) fn common(one: Class, other: Class) -> Option<Class> {
    match (one, other) {
        (Class::Null, known) | (known, Class::Null) => Some(known),
        (
            Class::Int {
                bits: one,
                is_unsigned,
            },
            Class::Int {
                bits: other,
                is_unsigned: is_other,
            },
        ) => {
            let (bits, is_unsigned) = (one.max(other), is_unsigned && is_other);
            // No type of whole numbers holds those with a sign and those without.
            let is_decimal = bits > 64 && !is_unsigned;
            let digits = Digits::fixed(20, 0).filter(|_| is_decimal);
            Some(digits.map_or(Class::Int { bits, is_unsigned }, Class::Decimal))
        }
        (Class::Text(one), Class::Text(other)) => Some(Class::Text(one.with(other))),
        (Class::Opaque, _) | (_, Class::Opaque) => None,
        (Class::Decimal(_), _) | (_, Class::Decimal(_)) => {
            let (one, other) = (one.digits()?, other.digits()?);
            let mut digits = one.with(other, 0)?;
            // MySQL gives all of them the digits of the longest; PostgreSQL lets each keep its own.
            digits.are_fixed &= one.scale == other.scale;
            Some(Class::Decimal(digits))
        }
        (one, other) => (one == other).then_some(one),
    }
}
