//! What is known of a value's type: as much as decides whether an operation means the same on both engines.

use whimbrel_core::{Column, ColumnType};

use crate::TargetColumn;
use crate::expression::Dialect;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Null,
    /// A condition. To MySQL that is a number.
    Bool,
    /// Whole numbers of at most so many bits with their sign; sums have more than any type.
    Int(u8),
    Decimal {
        precision: u32,
        scale: u32,
    },
    Float32,
    Float64,
    Text(Agrees),
    Date,
    Timestamp,
    Uuid,
    /// A label of PostgreSQL's.
    Enum,
    /// Equal values are equal on both; nothing else is known of it here.
    Plain,
    /// Not even that.
    Opaque,
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

impl Class {
    /// Of a column at both ends.
    pub(super) fn of(column: &Column, target: &TargetColumn, source: Dialect) -> Self {
        if column.ty != target.source_type {
            // A rule gives it another type.
            return Self::Opaque;
        }
        let is_postgres = source == Dialect::Postgres;
        match &column.ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int { .. } if column.native.contains("zerofill") => Self::Plain,
            ColumnType::Int { bits, unsigned } => Self::Int(bits + u8::from(*unsigned)),
            ColumnType::Decimal {
                precision: Some((precision, scale)),
                ..
            } => match u32::try_from(*scale) {
                Ok(scale) if !column.native.contains("zerofill") => Self::Decimal {
                    precision: *precision,
                    scale,
                },
                _ => Self::Plain,
            },
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            // Trailing spaces are no part of it to PostgreSQL.
            ColumnType::Char { .. } if is_postgres => Self::Plain,
            ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => {
                Self::Text(agreement(column, target, source))
            }
            ColumnType::Date => Self::Date,
            ColumnType::Timestamp { .. } => Self::Timestamp,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Enum { .. } if is_postgres => Self::Enum,
            ColumnType::Enum { .. }
            | ColumnType::Decimal { .. }
            | ColumnType::Binary { .. }
            | ColumnType::Varbinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Time { .. }
            | ColumnType::TimestampTz { .. }
            | ColumnType::Year => Self::Plain,
            _ => Self::Opaque,
        }
    }

    /// As a decimal number: digits in all and behind the point.
    pub(super) fn digits(self) -> Option<(u32, u32)> {
        match self {
            Self::Int(bits) => Some((
                match bits {
                    0..=9 => 3,
                    10..=17 => 5,
                    18..=25 => 8,
                    26..=33 => 10,
                    34..=64 => 19,
                    65 => 20,
                    _ => 65,
                },
                0,
            )),
            Self::Decimal { precision, scale } => Some((precision, scale)),
            _ => None,
        }
    }

    pub(super) fn is_number(self) -> bool {
        self.digits().is_some() || matches!(self, Self::Float32 | Self::Float64)
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
            Self::Int(_) | Self::Decimal { .. } | Self::Float32 | Self::Float64 => "a number",
            Self::Text(_) => "a text",
            Self::Date => "a date",
            Self::Timestamp => "a time",
            Self::Uuid => "a UUID",
            Self::Enum => "a label",
            Self::Plain | Self::Opaque => "a value of another type",
        }
    }
}

/// PostgreSQL compares characters. MySQL and MariaDB do where the collation is binary and does not pad with spaces.
fn agreement(column: &Column, target: &TargetColumn, source: Dialect) -> Agrees {
    let is_exact = |native: &str| {
        native.ends_with(" COLLATE utf8mb4_0900_bin") || native.ends_with("_nopad_bin")
    };
    let agrees = match source {
        // A collation of its own may be one that is not deterministic.
        Dialect::Postgres => !column.native.contains("COLLATE") && is_exact(&target.native),
        Dialect::MySql => is_exact(&column.native),
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
        (Class::Int(one), Class::Int(other)) => Some(Class::Int(one.max(other))),
        (Class::Text(one), Class::Text(other)) => Some(Class::Text(one.with(other))),
        (Class::Opaque, _) | (_, Class::Opaque) => None,
        (one, other) if one == other => Some(one),
        (one, other) => {
            let (one, other) = (one.digits()?, other.digits()?);
            let scale = one.1.max(other.1);
            let whole = one
                .0
                .saturating_sub(one.1)
                .max(other.0.saturating_sub(other.1));
            Some(Class::Decimal {
                precision: whole + scale,
                scale,
            })
        }
    }
}
