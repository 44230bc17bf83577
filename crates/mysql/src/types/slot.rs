//! How values are written for a column of the target, and what the column must not be trusted with.
//!
//! The server reports what it cannot store, but it also changes some values without a word: it rounds fractions of seconds,
//! drops trailing spaces of CHAR, pads BINARY, takes digits for the number of an ENUM's label, and puts the present time or
//! the next number in place of a NULL. Those are refused here, before the server sees them.

use whimbrel_core::{ColumnType, Engine};

use crate::catalog::CatalogColumn;
use crate::quote;

/// What a column of the target holds, as far as writing depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Int,
    Decimal,
    Float32,
    Float64,
    /// Length in bits.
    Bit(u32),
    /// Drops trailing spaces.
    Char,
    Text,
    /// Takes only these labels.
    Enum(Vec<String>),
    /// Takes only these labels, joined by commas.
    Set(Vec<String>),
    Bytes,
    /// Pads to this length.
    Binary(u32),
    Date,
    /// Digits of fractional seconds.
    Time(u8),
    /// Digits of fractional seconds.
    DateTime(u8),
    Year,
    /// Keeps documents as text.
    JsonText,
    /// Keeps numbers as 64-bit integers and double precision.
    JsonBinary,
    Uuid,
    /// Other types that are given as text.
    Native,
    Geometry,
}

/// A column of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) kind: SlotKind,
    pub(crate) nullable: bool,
    /// What the source gives.
    pub(crate) source_type: ColumnType,
    /// Whether the bytes must be declared as utf8mb4 before the column takes them, see [`load_statement`].
    is_converted: bool,
}

impl Slot {
    /// The slot for a column that exists.
    pub(crate) fn new(column: &CatalogColumn, source_type: &ColumnType, engine: Engine) -> Self {
        let kind = kind(&column.ty.column_type(), engine);
        // Bytes go as they are into columns of these character sets, which check that they are well formed.
        let is_utf8 = matches!(
            column.ty.charset.as_deref(),
            Some("utf8mb4" | "utf8mb3" | "utf8")
        );
        let is_converted = match kind {
            SlotKind::Char
            | SlotKind::Text
            | SlotKind::Enum(_)
            | SlotKind::Set(_)
            | SlotKind::JsonText => !is_utf8,
            // These take bytes of the binary character set for their own inner form, or not at all.
            SlotKind::JsonBinary | SlotKind::Uuid | SlotKind::Native => true,
            _ => false,
        };
        Self {
            name: column.name.clone(),
            kind,
            nullable: column.nullable,
            source_type: source_type.clone(),
            is_converted,
        }
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn for_test(kind: SlotKind, source_type: ColumnType) -> Self {
        Self {
            name: "c".to_owned(),
            kind,
            nullable: true,
            source_type,
            is_converted: false,
        }
    }
}

fn kind(ty: &ColumnType, engine: Engine) -> SlotKind {
    match ty {
        ColumnType::Int { .. } | ColumnType::Bool => SlotKind::Int,
        ColumnType::Decimal { .. } => SlotKind::Decimal,
        ColumnType::Float32 => SlotKind::Float32,
        ColumnType::Float64 => SlotKind::Float64,
        ColumnType::Bit { length, .. } => SlotKind::Bit(length.unwrap_or(64)),
        ColumnType::Char { .. } => SlotKind::Char,
        ColumnType::Varchar { .. } | ColumnType::Text { .. } => SlotKind::Text,
        ColumnType::Enum { labels } => SlotKind::Enum(labels.clone()),
        ColumnType::Set { labels } => SlotKind::Set(labels.clone()),
        ColumnType::Binary { length } => SlotKind::Binary(*length),
        ColumnType::Varbinary { .. } | ColumnType::Blob { .. } => SlotKind::Bytes,
        ColumnType::Date => SlotKind::Date,
        ColumnType::Time { precision } => SlotKind::Time(*precision),
        ColumnType::Timestamp { precision } | ColumnType::TimestampTz { precision } => {
            SlotKind::DateTime(*precision)
        }
        ColumnType::Year => SlotKind::Year,
        ColumnType::Json { .. } if engine == Engine::MariaDb => SlotKind::JsonText,
        ColumnType::Json { .. } => SlotKind::JsonBinary,
        ColumnType::Uuid => SlotKind::Uuid,
        ColumnType::Geometry { .. } => SlotKind::Geometry,
        ColumnType::Native { .. } | ColumnType::TimeTz { .. } | ColumnType::Interval => {
            SlotKind::Native
        }
    }
}

/// The statement that loads rows into these columns of a table.
///
/// The rows are declared to be in the binary character set: then the server splits them byte by byte, which is fastest,
/// binary columns take every byte as it is, and columns in UTF-8 take their text as it is and check that it is well formed.
/// Columns in another character set would take UTF-8 for text of their own: for them a cell goes to a variable first and
/// is declared as utf8mb4 on its way into the column, so that the server converts it.
pub(crate) fn load_statement(table: &str, slots: &[Slot]) -> String {
    let mut columns = Vec::with_capacity(slots.len());
    let mut conversions = Vec::new();
    for (index, slot) in slots.iter().enumerate() {
        let name = quote::identifier(&slot.name);
        if slot.is_converted {
            columns.push(format!("@whimbrel_{index}"));
            conversions.push(format!("{name} = CONVERT(@whimbrel_{index} USING utf8mb4)"));
        } else {
            columns.push(name);
        }
    }
    let mut sql = format!(
        "LOAD DATA LOCAL INFILE 'whimbrel' INTO TABLE {table} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' \
         LINES TERMINATED BY '\\n' STARTING BY '' ({})",
        columns.join(", ")
    );
    if !conversions.is_empty() {
        sql.push_str(" SET ");
        sql.push_str(&conversions.join(", "));
    }
    sql
}
