//! Looking at single rows again, by their keys.

use whimbrel_core::{Decimal, Table, Value, write_text};

/// A cell of a key, in a form that every engine can put into a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyCell {
    /// Digits, perhaps with a sign and a point.
    Number(String),
    /// Text, and whatever has a text form that engines read: dates, times, UUIDs.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A bit string: `0` and `1`.
    Bits(String),
}

impl KeyCell {
    /// The cell of a value. `None` for one by which some engine would not find its row again: floating-point numbers above all.
    pub fn of(value: &Value<'_>) -> Option<Self> {
        let text = || {
            let mut text = Vec::new();
            write_text(value, &mut text);
            String::from_utf8(text).ok()
        };
        match value {
            Value::Bool(flag) => Some(Self::Number(u8::from(*flag).to_string())),
            Value::Decimal(Decimal::NaN | Decimal::Infinity | Decimal::NegInfinity)
            | Value::Null
            | Value::NotSent
            | Value::Float32(_)
            | Value::Float64(_)
            | Value::Json(_) => None,
            Value::Int(_) | Value::UInt(_) | Value::Decimal(_) => text().map(Self::Number),
            Value::Bytes(bytes) => Some(Self::Bytes(bytes.to_vec())),
            Value::Bits(_) => text().map(Self::Bits),
            Value::Text(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::TimeTz(..)
            | Value::Timestamp(_)
            | Value::TimestampTz(_)
            | Value::Interval(_)
            | Value::Uuid(_) => text().map(Self::Text),
        }
    }

    /// The cell as a user reads it.
    pub fn to_text(&self) -> String {
        match self {
            Self::Number(text) | Self::Text(text) | Self::Bits(text) => text.clone(),
            Self::Bytes(bytes) => {
                let mut text = Vec::new();
                write_text(&Value::Bytes(bytes), &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
        }
    }
}

/// Which rows are looked at.
#[derive(Clone, Copy, Debug)]
pub struct KeyLookup<'a> {
    /// The table as the catalog described it.
    pub table: &'a Table,
    /// The places of the key's columns in a row of loaded columns.
    pub columns: &'a [usize],
    /// 1..=1000 keys, each of as many cells as `columns`.
    pub keys: &'a [Vec<KeyCell>],
}

impl KeyLookup<'_> {
    /// The columns of the key.
    ///
    /// # Errors
    /// [`crate::Error::Table`] when the table has not so many.
    pub fn key_columns(&self) -> Result<Vec<&whimbrel_core::Column>, crate::Error> {
        let loaded: Vec<_> = self.table.loaded_columns().collect();
        let columns = self.columns.iter().map(|&place| loaded.get(place).copied());
        let columns: Option<Vec<_>> = columns.collect();
        columns.ok_or_else(|| {
            crate::Error::table(
                &self.table.name,
                "its key has changed since it was described",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_every_engine_finds_again_are_cells_of_a_key() {
        let cell = |value| KeyCell::of(&value);
        assert_eq!(cell(Value::Bool(true)), Some(KeyCell::Number("1".into())));
        assert_eq!(cell(Value::Int(-7)), Some(KeyCell::Number("-7".into())));
        assert_eq!(cell(Value::Text("a")), Some(KeyCell::Text("a".into())));
        assert_eq!(cell(Value::Float64(1.5)), None);
        assert_eq!(cell(Value::Null), None);
        assert_eq!(KeyCell::Bytes(vec![0, 255]).to_text(), "\\x00ff");
    }
}
