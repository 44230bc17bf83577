//! Room for what is made of a row's cells, before values borrow it.

use std::ops::Range;

use whimbrel_core::mapping::Converted;
use whimbrel_core::{Decimal, Value};

/// Texts and bytes that were made of one row. Kept between rows, so that its memory is asked for once.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) text: String,
    bytes: Vec<u8>,
    /// Its rows were made before, and what they lose was counted.
    pub(super) is_another_look: bool,
}

/// A cell on its way: the source's own value, or where its text or bytes were made.
#[derive(Clone, Debug)]
pub(super) enum Cell<'v> {
    AsItIs(Value<'v>),
    Text(Range<usize>),
    Decimal(Range<usize>),
    Bytes(Range<usize>),
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
    }

    /// What a conversion made; texts were appended from `begin` on.
    pub(super) fn converted<'v>(&self, begin: usize, converted: Converted<'v>) -> Cell<'v> {
        let made = begin..self.text.len();
        match converted {
            Converted::Value(value) => Cell::AsItIs(value),
            Converted::Text => Cell::Text(made),
            Converted::Decimal => Cell::Decimal(made),
        }
    }

    /// Keeps a value whose bytes go away.
    pub(super) fn kept(&mut self, value: &Value<'_>) -> Option<Cell<'static>> {
        let begin = self.text.len();
        Some(Cell::AsItIs(match *value {
            Value::Text(text) => {
                self.text.push_str(text);
                return Some(Cell::Text(begin..self.text.len()));
            }
            Value::Bytes(bytes) => {
                let begin = self.bytes.len();
                self.bytes.extend_from_slice(bytes);
                return Some(Cell::Bytes(begin..self.bytes.len()));
            }
            Value::Decimal(number) => {
                let mut text = Vec::new();
                number.write_text(&mut text);
                self.text.push_str(std::str::from_utf8(&text).ok()?);
                return Some(Cell::Decimal(begin..self.text.len()));
            }
            Value::Null => Value::Null,
            Value::NotSent => Value::NotSent,
            Value::Bool(flag) => Value::Bool(flag),
            Value::Int(number) => Value::Int(number),
            Value::UInt(number) => Value::UInt(number),
            Value::Float32(number) => Value::Float32(number),
            Value::Float64(number) => Value::Float64(number),
            Value::Date(date) => Value::Date(date),
            Value::Time(time) => Value::Time(time),
            Value::Timestamp(moment) => Value::Timestamp(moment),
            // No rule can name another type.
            _ => return None,
        }))
    }
}

impl Cell<'_> {
    /// The value, once nothing more is made.
    pub(super) fn value<'s>(&'s self, scratch: &'s Scratch) -> Value<'s> {
        match self {
            Self::AsItIs(value) => *value,
            Self::Text(range) => Value::Text(&scratch.text[range.clone()]),
            Self::Bytes(range) => Value::Bytes(&scratch.bytes[range.clone()]),
            Self::Decimal(range) => match &scratch.text[range.clone()] {
                "NaN" => Value::Decimal(Decimal::NaN),
                "Infinity" => Value::Decimal(Decimal::Infinity),
                "-Infinity" => Value::Decimal(Decimal::NegInfinity),
                digits => Value::Decimal(Decimal::Text(digits)),
            },
        }
    }
}
