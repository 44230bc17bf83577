//! Cells of every type, read and written.

use whimbrel_connector::RowVisitor;
use whimbrel_core::{Column, ColumnType, Generation, Value};

use super::{
    CatalogType, Limit, WireType, bounds, check_plain, decode_text, encode_binary, encode_text,
    encode_text_parameter, native_type, plain, scratch_bytes,
};

/// Those of built-in types, and one of none.
const OIDS: &[u32] = &[
    16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266,
    1560, 1562, 1700, 2950, 3802, 600,
];

const WIRE_TYPES: &[WireType] = &[
    WireType::Bool,
    WireType::Int2,
    WireType::Int4,
    WireType::Int8,
    WireType::Oid,
    WireType::Numeric,
    WireType::Float4,
    WireType::Float8,
    WireType::Text,
    WireType::Bytea,
    WireType::Date,
    WireType::Time,
    WireType::TimeTz,
    WireType::Timestamp,
    WireType::TimestampTz,
    WireType::Interval,
    WireType::Json,
    WireType::Jsonb,
    WireType::Uuid,
    WireType::Bit,
    WireType::Other,
];

/// Types whose limits are checked.
const LIMITED: &[&str] = &[
    "numeric(9,2)",
    "numeric(5,-3)",
    "timestamp(3) without time zone",
    "time(0) with time zone",
    "interval(6)",
    "character(3)",
    "character varying(2)",
    "varchar(0)",
];

/// Every type that a source's columns have.
pub(crate) fn column_types() -> Vec<ColumnType> {
    OIDS.iter().map(|&oid| column_type(oid, -1)).collect()
}

/// The type by what the catalog says of it.
pub(crate) fn column_type(oid: u32, modifier: i32) -> ColumnType {
    let told = CatalogType {
        oid,
        modifier,
        name: "any",
        labels: None,
    };
    told.column_type()
}

/// A column that has no name of a type.
pub(crate) fn column(ty: ColumnType) -> Column {
    Column {
        name: "c".to_owned(),
        ty,
        native: String::new(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    }
}

/// See [`crate::fuzz::text_cells`].
pub(crate) fn text_cells(data: &[u8], visit: &mut RowVisitor<'_>) {
    for ty in column_types() {
        let mut scratch = vec![0; scratch_bytes(&ty, data)];
        if let Ok(value) = decode_text(&ty, data, &mut scratch) {
            visit(&[value]).ok();
        }
    }
}

/// Types as the catalog writes them.
pub(crate) fn words(data: &[u8]) {
    if let Some((head, name)) = data.split_first_chunk::<8>() {
        let (oid, modifier) = head.split_at(4);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |all, &byte| all << 8 | u32::from(byte))
        };
        let oid = number(oid);
        let known = OIDS[oid as usize % OIDS.len()];
        for oid in [oid, known] {
            native_type(&column_type(oid, number(modifier).cast_signed()));
        }
        text_type(&String::from_utf8_lossy(name));
    }
    text_type(&String::from_utf8_lossy(data));
}

fn text_type(native: &str) {
    WireType::of(native);
    bounds(native);
    let limit = Limit::of(native);
    for value in [Value::Int(i64::MIN), Value::Text("é   "), Value::Bool(true)] {
        limit.check(&value).ok();
    }
}

/// See [`crate::fuzz::write`].
pub(crate) fn write(value: &Value<'_>) {
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    for &ty in WIRE_TYPES {
        out.clear();
        encode_binary(value, ty, &mut out).ok();
        encode_text(value, ty, &mut scratch, &mut out).ok();
        encode_text_parameter(value, ty, &mut scratch, &mut out).ok();
        if plain(value, ty).is_some() {
            check_plain(value, ty).ok();
        }
    }
    for native in LIMITED {
        Limit::of(native).check(value).ok();
    }
}
