//! What the catalog says of a column's type, in the terms that engines share.

use whimbrel_core::ColumnType;

/// Longer than this a text or binary type counts as one without a limit of its own.
const LIMIT_BYTES_MAX: u64 = 1 << 30;

/// The words of `information_schema.columns` for one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CatalogType {
    /// `DATA_TYPE`: the bare name of the type, lower case.
    pub(crate) name: String,
    /// `COLUMN_TYPE`: with length, labels, UNSIGNED and ZEROFILL.
    pub(crate) full: String,
    /// Characters of CHAR and VARCHAR, bytes of binary types and of texts.
    pub(crate) length: Option<u64>,
    pub(crate) precision: Option<u32>,
    pub(crate) scale: Option<i32>,
    /// Digits of fractional seconds.
    pub(crate) fraction_digits: Option<u8>,
    pub(crate) charset: Option<String>,
    pub(crate) collation: Option<String>,
    /// Spatial reference system that every value of a MySQL column has.
    pub(crate) srid: Option<u32>,
    /// A text of MariaDB that a check constraint of its own keeps valid JSON.
    pub(crate) is_json_text: bool,
}

impl CatalogType {
    pub(crate) fn is_unsigned(&self) -> bool {
        self.full.contains(" unsigned")
    }

    /// The type in the terms that engines share.
    pub(crate) fn column_type(&self) -> ColumnType {
        let unsigned = self.is_unsigned();
        let integer = |bits| ColumnType::Int { bits, unsigned };
        let length = u32::try_from(self.length.unwrap_or(0)).unwrap_or(u32::MAX);
        let bytes_max = self.length.filter(|&bytes| bytes < LIMIT_BYTES_MAX);
        let precision = self.fraction_digits.unwrap_or(0);
        if self.is_json_text {
            return ColumnType::Json { binary: false };
        }
        match self.name.as_str() {
            "tinyint" => integer(8),
            "smallint" => integer(16),
            "mediumint" => integer(24),
            "int" => integer(32),
            "bigint" => integer(64),
            "decimal" => ColumnType::Decimal {
                precision: self.precision.zip(self.scale),
                unsigned,
            },
            "float" => ColumnType::Float32,
            "double" => ColumnType::Float64,
            "bit" => ColumnType::Bit {
                length: self.precision,
                varying: false,
            },
            "char" => ColumnType::Char { length },
            "varchar" => ColumnType::Varchar {
                length: Some(length),
            },
            "tinytext" | "text" | "mediumtext" | "longtext" => ColumnType::Text { bytes_max },
            "binary" => ColumnType::Binary { length },
            "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnType::Blob { bytes_max },
            // A vector is single-precision numbers one after another; the servers' own text form rounds them.
            "varbinary" | "vector" => ColumnType::Varbinary { length },
            "date" => ColumnType::Date,
            "time" => ColumnType::Time { precision },
            "datetime" => ColumnType::Timestamp { precision },
            "timestamp" => ColumnType::TimestampTz { precision },
            "year" => ColumnType::Year,
            "json" => ColumnType::Json { binary: true },
            "uuid" => ColumnType::Uuid,
            "enum" => ColumnType::Enum {
                labels: labels(&self.full),
            },
            "set" => ColumnType::Set {
                labels: labels(&self.full),
            },
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => ColumnType::Geometry {
                kind: self.name.clone(),
            },
            _ => ColumnType::Native {
                kind: self.name.clone(),
            },
        }
    }

    /// The exact type in SQL, as a column definition of the same engine takes it.
    pub(crate) fn native(&self) -> String {
        if self.is_json_text {
            return "json".to_owned();
        }
        let mut native = self.full.clone();
        if let (Some(charset), Some(collation)) = (&self.charset, &self.collation) {
            // Behind a comment of MariaDB (`/*M!100301 COMPRESSED*/`), as it writes definitions itself: from 11 on it takes no other order.
            native = format!("{native} CHARACTER SET {charset} COLLATE {collation}");
        }
        if let Some(srid) = self.srid {
            native = format!("{native} SRID {srid}");
        }
        native
    }
}

/// The labels of `enum('a','b''c')`: quotes are doubled inside, and a few characters escaped by a backslash.
fn labels(full: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let Some((_, list)) = full.split_once('(') else {
        return labels;
    };
    let mut chars = list.chars().peekable();
    let mut label: Option<String> = None;
    while let Some(c) = chars.next() {
        match (&mut label, c) {
            (None, '\'') => label = Some(String::new()),
            (None, ')') => break,
            (None, _) => {}
            (Some(text), '\'') if chars.peek() == Some(&'\'') => {
                chars.next();
                text.push('\'');
            }
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(text), '\\') => text.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                Some('t') => '\t',
                Some('Z') => '\u{1a}',
                Some(other) => other,
                None => '\\',
            }),
            (Some(text), c) => text.push(c),
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(name: &str, full: &str) -> CatalogType {
        CatalogType {
            name: name.to_owned(),
            full: full.to_owned(),
            ..CatalogType::default()
        }
    }

    #[test]
    fn labels_keep_quotes_commas_and_escapes() {
        let full = r#"enum('a','b''c','d,e','x\\y','n\nl','"q"',' s','','(p)','ü')"#;
        assert_eq!(
            labels(full),
            [
                "a", "b'c", "d,e", r"x\y", "n\nl", r#""q""#, " s", "", "(p)", "ü"
            ]
        );
        assert!(labels("enum").is_empty());
        assert!(labels("set('unended").is_empty());
    }

    #[test]
    fn signs_and_character_sets_are_kept() {
        let unsigned = catalog("int", "int(5) unsigned zerofill");
        assert_eq!(
            unsigned.column_type(),
            ColumnType::Int {
                bits: 32,
                unsigned: true
            }
        );
        assert_eq!(unsigned.native(), "int(5) unsigned zerofill");
        let mut text = catalog("longtext", "longtext /*M!100301 COMPRESSED*/");
        text.length = Some(4_294_967_295);
        text.charset = Some("utf8mb4".to_owned());
        text.collation = Some("utf8mb4_bin".to_owned());
        assert_eq!(text.column_type(), ColumnType::Text { bytes_max: None });
        assert_eq!(
            text.native(),
            "longtext /*M!100301 COMPRESSED*/ CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        );
    }
}
