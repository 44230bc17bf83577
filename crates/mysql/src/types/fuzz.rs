//! Cells of every type, read and written.

use whimbrel_core::{Column, ColumnType, Generation, Value};

use super::{CatalogType, Slot, SlotKind, bounds, check_plain, encode_cell, plain, unescape};

/// Types as the catalog writes them: `DATA_TYPE`, `COLUMN_TYPE`, and the type's number in the protocol.
const TYPES: &[(&str, &str, u8)] = &[
    ("int", "int", 3),
    ("tinyint", "tinyint", 1),
    ("tinyint", "tinyint unsigned", 1),
    ("smallint", "smallint", 2),
    ("smallint", "smallint unsigned", 2),
    ("mediumint", "mediumint", 9),
    ("mediumint", "mediumint unsigned", 9),
    ("int", "int unsigned", 3),
    ("bigint", "bigint", 8),
    ("bigint", "bigint unsigned", 8),
    ("float", "float", 4),
    ("double", "double", 5),
    ("decimal", "decimal(20,6)", 246),
    ("bit", "bit(12)", 16),
    ("date", "date", 10),
    ("time", "time(6)", 11),
    ("datetime", "datetime(6)", 12),
    ("timestamp", "timestamp(6)", 7),
    ("year", "year", 13),
    ("char", "char(20)", 254),
    ("varchar", "varchar(20)", 253),
    ("text", "text", 252),
    ("binary", "binary(20)", 254),
    ("varbinary", "varbinary(20)", 253),
    ("blob", "blob", 252),
    ("enum", "enum('a','b''c')", 254),
    ("set", "set('a','b')", 254),
    ("json", "json", 245),
    ("geometry", "geometry", 255),
];

/// A column of every type, with the number that announces it.
pub(crate) fn columns() -> Vec<(Column, u8)> {
    let columns = TYPES.iter().enumerate();
    columns
        .map(|(index, &(name, full, kind))| (column(&format!("c{index}"), &told(name, full)), kind))
        .collect()
}

fn told(name: &str, full: &str) -> CatalogType {
    let arguments = full.split_once('(').map_or("", |(_, rest)| rest);
    let mut numbers = arguments
        .split([',', ')'])
        .map(|digits| digits.parse::<u32>().ok());
    let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
    let is_text = matches!(name, "char" | "varchar" | "text" | "enum" | "set");
    CatalogType {
        name: name.to_owned(),
        full: full.to_owned(),
        length: Some(first.map_or(65_535, u64::from)),
        precision: first,
        scale: second.and_then(|scale| i32::try_from(scale).ok()),
        fraction_digits: first.and_then(|digits| u8::try_from(digits).ok()),
        charset: is_text.then(|| "utf8mb4".to_owned()),
        collation: is_text.then(|| "utf8mb4_bin".to_owned()),
        srid: None,
        is_json_text: false,
    }
}

fn column(name: &str, told: &CatalogType) -> Column {
    Column {
        name: name.to_owned(),
        ty: told.column_type(),
        native: told.native(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    }
}

/// Types as a catalog could write them.
pub(crate) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let name = text.split(['(', ' ']).next().unwrap_or_default();
    let column = column("c", &told(name, &text));
    bounds(&column.native);
    let cell = unescape(data);
    assert!(cell.len() <= data.len());
}

/// See [`crate::fuzz::write`].
pub(crate) fn write(value: &Value<'_>) {
    let mut kinds = vec![
        SlotKind::Int,
        SlotKind::Decimal,
        SlotKind::Float32,
        SlotKind::Float64,
        SlotKind::Bit(12),
        SlotKind::Bit(64),
        SlotKind::Char,
        SlotKind::Text,
        SlotKind::Enum(vec!["a".to_owned()]),
        SlotKind::Set(vec!["a".to_owned(), "b".to_owned()]),
        SlotKind::Bytes,
        SlotKind::Binary(4),
        SlotKind::Date,
        SlotKind::Year,
        SlotKind::JsonText,
        SlotKind::JsonBinary,
        SlotKind::Uuid,
        SlotKind::Native,
        SlotKind::Geometry,
    ];
    for digits in [0, 3, 6] {
        kinds.extend([SlotKind::Time(digits), SlotKind::DateTime(digits)]);
    }
    let mut out = Vec::new();
    for kind in kinds {
        let slot = Slot::for_test(kind, ColumnType::Text { bytes_max: None });
        out.clear();
        let written = encode_cell(value, &slot, &mut out);
        if let Some(bytes) = plain(value, &slot)
            && written.is_ok()
        {
            assert!(check_plain(value, &slot).is_ok());
            assert_eq!(unescape(&out), bytes, "{:?}", slot.kind);
        }
    }
}
