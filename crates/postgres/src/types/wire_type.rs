/// How a column of a target table takes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Numeric,
    Float4,
    Float8,
    /// text, varchar, char: their binary form is the text.
    Text,
    Bytea,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Json,
    Jsonb,
    Uuid,
    Bit,
    /// Any other: written as text, which the type's own input function reads.
    Other,
}

impl WireType {
    /// Reads the type from its SQL as `format_type` prints it or as `native_type` makes it.
    pub(crate) fn of(native: &str) -> Self {
        let with_time_zone = native.ends_with("with time zone");
        let base = native.split(['(', ' ']).next().unwrap_or(native);
        if native.contains("[]") {
            return Self::Other;
        }
        match base {
            "boolean" => Self::Bool,
            "smallint" => Self::Int2,
            "integer" => Self::Int4,
            "bigint" => Self::Int8,
            "oid" => Self::Oid,
            "numeric" => Self::Numeric,
            "real" => Self::Float4,
            "double" => Self::Float8,
            "text" | "varchar" | "character" | "bpchar" => Self::Text,
            "bytea" => Self::Bytea,
            "date" => Self::Date,
            "time" if with_time_zone => Self::TimeTz,
            "time" => Self::Time,
            "timestamp" if with_time_zone => Self::TimestampTz,
            "timestamp" => Self::Timestamp,
            "interval" => Self::Interval,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "uuid" => Self::Uuid,
            "bit" => Self::Bit,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_from_their_sql() {
        for (native, expected) in [
            ("numeric(12,2)", WireType::Numeric),
            ("character varying(25)", WireType::Text),
            ("character(1)", WireType::Text),
            ("timestamp(3) without time zone", WireType::Timestamp),
            ("timestamp with time zone", WireType::TimestampTz),
            ("time(0) with time zone", WireType::TimeTz),
            ("double precision", WireType::Float8),
            ("bit varying(9)", WireType::Bit),
            ("integer[]", WireType::Other),
            ("public.mood", WireType::Other),
            ("text COLLATE pg_catalog.\"C\"", WireType::Text),
            ("\"char\"", WireType::Other),
        ] {
            assert_eq!(WireType::of(native), expected, "{native}");
        }
    }
}
