//! Exact numbers of rules, of any length.

use std::cmp::Ordering;
use std::fmt;

use crate::{Decimal, Value};

/// A number without an exponent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Never of zero.
    is_negative: bool,
    /// Without zeros in front; empty below one.
    whole: String,
    /// Without zeros at the end.
    fraction: String,
    /// Where it is a whole number that fits.
    small: Option<i64>,
}

impl Number {
    /// Reads `[+-]digits[.digits]`.
    pub fn read(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let (whole, fraction) = normal(whole, fraction);
        let is_negative = is_negative && !(whole.is_empty() && fraction.is_empty());
        let sign = if is_negative { "-" } else { "" };
        let small = if fraction.is_empty() {
            format!("{sign}0{whole}").parse().ok()
        } else {
            None
        };
        Some(Self {
            is_negative,
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
            small,
        })
    }

    /// How a value stands to the number; `None` when it is no number.
    pub(super) fn order_of(&self, value: &Value<'_>) -> Option<Ordering> {
        if let (Value::Int(value), Some(small)) = (value, self.small) {
            return Some(value.cmp(&small));
        }
        match value {
            Value::Decimal(Decimal::NaN | Decimal::Infinity) => return Some(Ordering::Greater),
            Value::Decimal(Decimal::NegInfinity) => return Some(Ordering::Less),
            Value::Int(_) | Value::UInt(_) | Value::Decimal(_) => {}
            _ => return None,
        }
        let mut text = Vec::new();
        crate::write_text(value, &mut text);
        let text = std::str::from_utf8(&text).ok()?;
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = normal(whole, fraction);
        let is_negative = is_negative && !(whole.is_empty() && fraction.is_empty());
        let by_size = whole
            .len()
            .cmp(&self.whole.len())
            .then_with(|| whole.cmp(&self.whole))
            .then_with(|| fraction.cmp(self.fraction.as_str()));
        Some(match (is_negative, self.is_negative) {
            (false, false) => by_size,
            (true, true) => by_size.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        })
    }
}

fn normal<'a>(whole: &'a str, fraction: &'a str) -> (&'a str, &'a str) {
    (
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    )
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            &self.whole
        };
        write!(f, "{sign}{whole}")?;
        if !self.fraction.is_empty() {
            write!(f, ".{}", self.fraction)?;
        }
        Ok(())
    }
}
