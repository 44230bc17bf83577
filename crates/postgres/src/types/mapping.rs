use whimbrel_core::ColumnType;

/// The longest `varchar(n)` and `char(n)`.
const VARCHAR_LENGTH_MAX: u32 = 10_485_760;

/// The PostgreSQL type that holds what a column of another engine can hold. `docs/types.md` lists it.
pub(crate) fn native_type(ty: &ColumnType) -> String {
    match ty {
        ColumnType::Bool => "boolean".to_owned(),
        ColumnType::Int { bits: 8, .. }
        | ColumnType::Int {
            bits: 16,
            unsigned: false,
        }
        | ColumnType::Year => "smallint".to_owned(),
        ColumnType::Int { bits: 16 | 24, .. }
        | ColumnType::Int {
            bits: 32,
            unsigned: false,
        } => "integer".to_owned(),
        ColumnType::Int {
            bits: 32,
            unsigned: true,
        }
        | ColumnType::Int {
            unsigned: false, ..
        } => "bigint".to_owned(),
        ColumnType::Int { unsigned: true, .. } => "numeric(20,0)".to_owned(),
        ColumnType::Decimal {
            precision: Some((precision, scale)),
            ..
        } => {
            format!("numeric({precision},{scale})")
        }
        ColumnType::Decimal {
            precision: None, ..
        } => "numeric".to_owned(),
        ColumnType::Float32 => "real".to_owned(),
        ColumnType::Float64 => "double precision".to_owned(),
        ColumnType::Char { length }
        | ColumnType::Varchar {
            length: Some(length),
        } if (1..=VARCHAR_LENGTH_MAX).contains(length) => {
            format!("character varying({length})")
        }
        ColumnType::Char { .. }
        | ColumnType::Varchar { .. }
        | ColumnType::Text { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Set { .. } => "text".to_owned(),
        ColumnType::Binary { .. }
        | ColumnType::Varbinary { .. }
        | ColumnType::Blob { .. }
        | ColumnType::Geometry { .. } => "bytea".to_owned(),
        ColumnType::Bit {
            length: Some(length),
            varying: false,
        } => format!("bit({length})"),
        ColumnType::Bit {
            length: Some(length),
            varying: true,
        } => format!("bit varying({length})"),
        ColumnType::Bit { length: None, .. } => "bit varying".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Time { precision } => format!("time({precision}) without time zone"),
        ColumnType::TimeTz { precision } => format!("time({precision}) with time zone"),
        ColumnType::Timestamp { precision } => format!("timestamp({precision}) without time zone"),
        ColumnType::TimestampTz { precision } => format!("timestamp({precision}) with time zone"),
        ColumnType::Interval => "interval".to_owned(),
        ColumnType::Json { binary: true } => "jsonb".to_owned(),
        ColumnType::Json { binary: false } => "json".to_owned(),
        ColumnType::Uuid => "uuid".to_owned(),
        ColumnType::Native { kind } => match kind.as_str() {
            "inet4" | "inet6" => "inet".to_owned(),
            _ => "text".to_owned(),
        },
    }
}

/// What a user should know of a column that comes from another engine.
pub(crate) fn notes(ty: &ColumnType) -> Option<&'static str> {
    match ty {
        ColumnType::Enum { .. } | ColumnType::Set { .. } => {
            Some("its labels are kept as text; add a check constraint to keep others out")
        }
        ColumnType::Time { .. } => Some(
            "durations outside 00:00 to 24:00 are refused; create the column as interval to hold them",
        ),
        ColumnType::Geometry { .. } => Some(
            "geometries are kept as bytes: four bytes of SRID, then the well-known binary form",
        ),
        _ => None,
    }
}

/// What is refused of the values that a column of another engine can hold: said once of a table, not of each column.
pub(crate) fn refusal(ty: &ColumnType) -> Option<&'static str> {
    match ty {
        ColumnType::Date | ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. } => {
            Some("dates that are none (0000-00-00, 2023-02-31) are refused")
        }
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => {
            Some("texts with the character NUL are refused")
        }
        ColumnType::Json { binary: true } => {
            Some("documents with the character NUL (\\u0000) are refused")
        }
        _ => None,
    }
}
