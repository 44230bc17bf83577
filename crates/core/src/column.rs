use serde::{Deserialize, Serialize};

/// What a column can hold, in the terms that engines share. It fixes which [`crate::Value`] a source gives.
///
/// Lengths are in characters for text, in bytes for binary, in bits for bit strings; precisions of times
/// are digits of fractional seconds (0 to 6). NULL is possible in every type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// `Value::Bool`.
    Bool,
    /// `Value::Int`, or `Value::UInt` when unsigned. `bits` is 8, 16, 24, 32 or 64.
    Int {
        /// Width in bits.
        bits: u8,
        /// Whether negative numbers are excluded.
        unsigned: bool,
    },
    /// `Value::Decimal`. `None` means unbounded.
    Decimal {
        /// Digits in all, and digits after the point (may be negative in PostgreSQL).
        precision: Option<(u32, i32)>,
        /// `MySQL` only: negative numbers are excluded.
        unsigned: bool,
    },
    /// `Value::Float32`.
    Float32,
    /// `Value::Float64`.
    Float64,
    /// `Value::Text`; blank-padded by definition: trailing spaces carry no meaning.
    Char {
        /// Length in characters.
        length: u32,
    },
    /// `Value::Text`. `None` means without a declared limit.
    Varchar {
        /// Longest length in characters.
        length: Option<u32>,
    },
    /// `Value::Text` without a character limit. `bytes_max` is the engine's own limit, if it has one below 1 GiB.
    Text {
        /// Longest length in bytes.
        bytes_max: Option<u64>,
    },
    /// `Value::Bytes`, zero-padded to its length.
    Binary {
        /// Length in bytes.
        length: u32,
    },
    /// `Value::Bytes`.
    Varbinary {
        /// Longest length in bytes.
        length: u32,
    },
    /// `Value::Bytes`. `bytes_max` as in `Text`.
    Blob {
        /// Longest length in bytes.
        bytes_max: Option<u64>,
    },
    /// `Value::Bits`.
    Bit {
        /// Length in bits; `None` means without limit (varying only).
        length: Option<u32>,
        /// Whether shorter strings are kept as they are.
        varying: bool,
    },
    /// `Value::Date`.
    Date,
    /// `Value::Time`. `MySQL` allows -838:59:59 to 838:59:59, PostgreSQL 00:00 to 24:00.
    Time {
        /// Digits of fractional seconds.
        precision: u8,
    },
    /// `Value::TimeTz`.
    TimeTz {
        /// Digits of fractional seconds.
        precision: u8,
    },
    /// `Value::Timestamp`: a wall-clock date and time without zone (`timestamp`, `DATETIME`).
    Timestamp {
        /// Digits of fractional seconds.
        precision: u8,
    },
    /// `Value::TimestampTz`: an instant (`timestamptz`, `MySQL` `TIMESTAMP`), always handed over in UTC.
    TimestampTz {
        /// Digits of fractional seconds.
        precision: u8,
    },
    /// `Value::Int`: a `MySQL` `YEAR`, 0 or 1901 to 2155.
    Year,
    /// `Value::Interval`.
    Interval,
    /// `Value::Json`. `binary` types normalise white space and key order, others keep the text.
    Json {
        /// Whether the engine normalises the document.
        binary: bool,
    },
    /// `Value::Uuid`.
    Uuid,
    /// `Value::Text`: one of the labels.
    Enum {
        /// The labels in the engine's order.
        labels: Vec<String>,
    },
    /// `Value::Text`: labels joined by commas in the engine's order (`MySQL` `SET`).
    Set {
        /// The labels in the engine's order.
        labels: Vec<String>,
    },
    /// `Value::Text`: any other type, as the canonical text of its engine (arrays, ranges, network addresses, ...).
    ///
    /// `kind` names the type without modifiers, for messages and mapping choices: `integer[]`, `inet`, `hstore`.
    Native {
        /// Name of the type.
        kind: String,
    },
    /// `Value::Bytes`: a geometry as the well-known binary form, preceded by its SRID as four little-endian bytes.
    Geometry {
        /// The subtype's name, `geometry` when any.
        kind: String,
    },
}

impl ColumnType {
    /// The type in the terms that engines share, for people: `whole numbers of 32 bits`, `texts of up to 9 characters`. Types that no rule names are `texts`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Bool => "booleans".to_owned(),
            Self::Int { bits, unsigned } => {
                let sign = if *unsigned { "unsigned " } else { "" };
                format!("{sign}whole numbers of {bits} bits")
            }
            Self::Decimal {
                precision: Some((digits, scale)),
                ..
            } => format!("decimal numbers of {digits} digits, {scale} of them behind the point"),
            Self::Decimal { .. } => "decimal numbers".to_owned(),
            Self::Float32 => "floating-point numbers of 32 bits".to_owned(),
            Self::Float64 => "floating-point numbers of 64 bits".to_owned(),
            Self::Char { length }
            | Self::Varchar {
                length: Some(length),
            } => format!("texts of up to {length} characters"),
            Self::Binary { length } | Self::Varbinary { length } => {
                format!("byte strings of up to {length} bytes")
            }
            Self::Blob { .. } => "byte strings".to_owned(),
            Self::Date => "dates".to_owned(),
            Self::Time { precision } => format!("times with {precision} digits of a second"),
            Self::Timestamp { precision } => {
                format!("dates with times with {precision} digits of a second")
            }
            Self::TimestampTz { precision } => {
                format!("instants with {precision} digits of a second")
            }
            _ => "texts".to_owned(),
        }
    }
}

/// Whether the server computes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// An ordinary column.
    None,
    /// Computed from other columns: never written by a load.
    Computed,
    /// Given a number when left out (identity, AUTO_INCREMENT): always written by a load.
    Identity,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name as the catalog spells it.
    pub name: String,
    /// What it can hold.
    pub ty: ColumnType,
    /// The exact type in the SQL of its engine, with length, precision and collation where they belong to it:
    /// `numeric(12,2)`, `enum('a','b')`, `public.mood[]`. Used as it is by a target of the same engine.
    pub native: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Who gives its value.
    pub generation: Generation,
    /// The number by which the source knows the column under every name that it gets; `None` where nobody knows one.
    #[serde(default)]
    pub id: Option<u32>,
    /// What a row gets that gives no value, as an expression in the SQL of the engine; `None`: NULL.
    #[serde(default)]
    pub default: Option<String>,
}

impl Column {
    /// Whether a load reads and writes this column.
    pub fn is_loaded(&self) -> bool {
        self.generation != Generation::Computed
    }
}
