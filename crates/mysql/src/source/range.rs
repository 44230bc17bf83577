//! Ranges of keys, as chunks record them.
//!
//! A range fixes the first columns of the key to a value each, and the next one to an interval, half open:
//! `a = 5 AND b >= 10 AND b < 20`. The record is JSON and comes back from the target, where others may write: so it holds
//! values in forms that are checked and quoted here, never SQL.

use serde::{Deserialize, Serialize};
use whimbrel_core::{ChunkBounds, Column, Table};

use super::axis::Axis;
use crate::quote;

/// A value of a key column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyValue {
    /// Digits, perhaps with a sign and a point.
    Number(String),
    /// A date, a time, a UUID: digits, letters up to f, and `-`, `:`, `.` and blanks.
    Plain(String),
    /// Bytes in hexadecimal: a binary value, or text in the column's own character set.
    Hex(String),
}

/// The rows whose keys lie in a range. All rows, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRange {
    /// The partition, or the part of one, that holds the rows; all of the table's without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<String>,
    /// The unique index whose columns the range speaks of; those of the primary key without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<String>,
    /// The columns that the range speaks of, in the order of the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// Values of all but the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) equal: Vec<KeyValue>,
    /// The least value of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<KeyValue>,
    /// A value that all values of the last one are greater than, instead of `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) above: Option<KeyValue>,
    /// The first value beyond the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<KeyValue>,
}

impl KeyRange {
    pub(super) fn from_bounds(bounds: &ChunkBounds) -> Option<Self> {
        serde_json::from_str(&bounds.range).ok()
    }

    pub(super) fn to_bounds(&self, row_estimate: u64) -> ChunkBounds {
        let range = serde_json::to_string(self).expect("text and lists of text are always JSON");
        ChunkBounds {
            range,
            row_estimate,
        }
    }

    /// The column that a place of the range speaks of. That of another index than the primary key must only be there and never be
    /// NULL, as every range of it is about every row; the index is for speed.
    fn column<'t>(&self, table: &'t Table, place: usize) -> Option<&'t Column> {
        let name = self.columns.get(place)?;
        let column = match &self.index {
            None => table.columns.get(*table.primary_key.get(place)?)?,
            Some(_) => table.columns.iter().find(|column| column.name == *name)?,
        };
        let is_whole = self.index.is_some() || table.key_prefix(place).is_none();
        (column.name == *name && !column.nullable && is_whole).then_some(column)
    }

    /// How to read the rows in the order of the key: the index to force, and the columns to order by. The primary key's order is the
    /// one in which the target's own is built fastest.
    ///
    /// Where a filter chooses among all keys, the server may find its rows by an index of its own choice.
    pub(super) fn reading_order(
        &self,
        table: &Table,
        is_filtered: bool,
    ) -> (Option<String>, Vec<String>) {
        if is_filtered && self.columns.is_empty() {
            return (None, Vec::new());
        }
        if let Some(index) = &self.index {
            return (Some(index.clone()), Vec::new());
        }
        if table.primary_key.is_empty() || table.has_prefix_key() {
            return (None, Vec::new());
        }
        let key = table.primary_key.iter();
        let key = key.filter_map(|&column| table.columns.get(column));
        let names = key.map(|column| column.name.clone()).collect();
        (Some("PRIMARY".to_owned()), names)
    }

    /// Whether it is about rows of every key.
    fn has_all_keys(&self) -> bool {
        let of_partition = Self {
            partition: self.partition.clone(),
            ..Self::default()
        };
        *self == of_partition
    }

    /// The condition in SQL, empty for all rows; `None` when the table's key begins with other columns.
    pub(super) fn condition(&self, table: &Table) -> Option<String> {
        if self.columns.is_empty() {
            return self.has_all_keys().then(String::new);
        }
        if self.equal.len() + 1 != self.columns.len() {
            return None;
        }
        let mut parts = Vec::new();
        for (index, name) in self.columns.iter().enumerate() {
            let column = self.column(table, index)?;
            let mut part = |operator: &str, value: &KeyValue| {
                let literal = value.literal(column)?;
                parts.push(format!("{} {operator} {literal}", quote::identifier(name)));
                Some(())
            };
            if let Some(value) = self.equal.get(index) {
                part("=", value)?;
                continue;
            }
            for (operator, bound) in [(">=", &self.from), (">", &self.above), ("<", &self.to)] {
                if let Some(value) = bound {
                    part(operator, value)?;
                }
            }
        }
        Some(parts.join(" AND "))
    }
}

impl KeyValue {
    /// The value in SQL; `None` when it is not of the form that it claims, or not one for the column.
    ///
    /// Text is given in the column's own bytes and collation: then the comparison is the index's own, and nothing is
    /// converted.
    pub(super) fn literal(&self, column: &Column) -> Option<String> {
        if !Axis::of(column)?.takes(self) {
            return None;
        }
        match self {
            Self::Number(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
                let is_digits =
                    |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                (is_digits(whole) && is_digits(fraction)).then(|| text.clone())
            }
            Self::Plain(text) => {
                let is_plain = |byte: u8| {
                    byte.is_ascii_hexdigit() || matches!(byte, b'-' | b':' | b'.' | b' ')
                };
                text.bytes().all(is_plain).then(|| format!("'{text}'"))
            }
            Self::Hex(hex) => {
                let is_hex =
                    hex.len().is_multiple_of(2) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hex.then_some(())?;
                Some(match TextForm::of(column) {
                    Some(TextForm { charset, collation }) => {
                        format!("_{charset} X'{hex}' COLLATE {collation}")
                    }
                    None => format!("X'{hex}'"),
                })
            }
        }
    }
}

/// Character set and collation of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextForm<'a> {
    pub(super) charset: &'a str,
    pub(super) collation: &'a str,
}

impl<'a> TextForm<'a> {
    /// Reads them from the column's type, as the catalog wrote it.
    pub(super) fn of(column: &'a Column) -> Option<Self> {
        let (_, rest) = column.native.split_once(" CHARACTER SET ")?;
        let (charset, rest) = rest.split_once(" COLLATE ")?;
        let collation = rest.split(' ').next()?;
        let is_name = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        (is_name(charset) && is_name(collation)).then_some(Self { charset, collation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::{ColumnType, Engine, Generation, TableName};

    fn table() -> Table {
        let column = |name: &str, ty, native: &str| Column {
            name: name.to_owned(),
            ty,
            native: native.to_owned(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        };
        Table {
            engine: Engine::MySql,
            name: TableName::new("s", "t"),
            columns: vec![
                column(
                    "a",
                    ColumnType::Int {
                        bits: 64,
                        unsigned: false,
                    },
                    "bigint",
                ),
                column(
                    "b",
                    ColumnType::Varchar { length: Some(9) },
                    "varchar(9) CHARACTER SET latin1 COLLATE latin1_bin",
                ),
                column("c", ColumnType::Varbinary { length: 9 }, "varbinary(9)"),
                Column {
                    nullable: true,
                    ..column("nullable", ColumnType::Year, "year")
                },
            ],
            primary_key: vec![0, 1, 2],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    fn condition(range: &str) -> Option<String> {
        KeyRange::from_bounds(&ChunkBounds {
            range: range.to_owned(),
            row_estimate: 0,
        })?
        .condition(&table())
    }

    #[test]
    fn ranges_become_conditions_on_the_key() {
        assert_eq!(condition("{}").unwrap(), "");
        assert_eq!(condition(r#"{"partition":"p`"}"#).unwrap(), "");
        assert_eq!(
            condition(r#"{"columns":["a"],"from":{"number":"-5"},"to":{"number":"10"}}"#).unwrap(),
            "`a` >= -5 AND `a` < 10"
        );
        assert_eq!(
            condition(r#"{"columns":["a","b"],"equal":[{"number":"1"}],"from":{"hex":"61FF"}}"#)
                .unwrap(),
            "`a` = 1 AND `b` >= _latin1 X'61FF' COLLATE latin1_bin"
        );
        assert_eq!(
            condition(r#"{"index":"u","columns":["c"],"to":{"hex":"FF"}}"#).unwrap(),
            "`c` < X'FF'"
        );
        let range = KeyRange {
            columns: vec!["a".into()],
            to: Some(KeyValue::Number("7".into())),
            ..KeyRange::default()
        };
        assert_eq!(KeyRange::from_bounds(&range.to_bounds(3)), Some(range));
    }

    #[test]
    fn records_that_were_tampered_with_never_become_sql() {
        for range in [
            r#"{"columns":["a"],"from":{"number":"1 OR 1=1"}}"#,
            r#"{"columns":["a"],"from":{"plain":"1' OR '1"}}"#,
            r#"{"columns":["a","b"],"equal":[{"number":"1"}],"from":{"hex":"6' OR 1=1 -- "}}"#,
            r#"{"columns":["x"],"from":{"number":"1"}}"#,
            r#"{"columns":["a","b"],"from":{"number":"1"}}"#,
            r#"{"from":{"number":"1"}}"#,
            r#"{"columns":["a"],"where":"1=1"}"#,
            r#"{"index":"u","columns":["a"],"from":{"number":"1 OR 1=1"}}"#,
            r#"{"index":"u","columns":["nullable"],"from":{"number":"1"}}"#,
            r#"{"index":"u"}"#,
            r#"{"partition":"p","from":{"number":"1"}}"#,
            "1=1",
        ] {
            assert_eq!(condition(range), None, "{range}");
        }
    }
}
