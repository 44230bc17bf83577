use whimbrel_connector::Error;
use whimbrel_core::{Decimal, Value};

/// What becomes of the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellShape {
    Keep,
    /// Text and byte strings end after so many bytes, text at the end of a character.
    Cut {
        bytes_max: usize,
    },
    /// `true` or `false`.
    BooleanText,
    /// All digits of a number.
    NumberText,
    /// A number with so many digits behind the point at most.
    Rounded {
        scale: usize,
    },
}

impl CellShape {
    /// For people who read a plan.
    pub(super) fn note(self) -> Option<String> {
        Some(match self {
            Self::Keep => return None,
            Self::Cut { bytes_max } => {
                format!("values of more than {bytes_max} bytes are cut, as LobMaxSize says")
            }
            Self::BooleanText => {
                "booleans become the texts true and false, as MapBooleanAsBoolean says".to_owned()
            }
            Self::NumberText => {
                "numbers become texts, as MapUnboundedNumericAsString says".to_owned()
            }
            Self::Rounded { scale } => format!(
                "numbers are rounded to {scale} digits behind the point, as MapUnboundedNumericAsString says"
            ),
        })
    }

    /// Whether numbers need text to be made.
    pub(super) fn makes_text(self) -> bool {
        matches!(self, Self::NumberText | Self::Rounded { .. })
    }

    /// Appends the text of a number, if it is needed. Answers whether digits were lost.
    pub(super) fn write(self, number: &Decimal<'_>, out: &mut String) -> Option<bool> {
        let scale = match self {
            Self::NumberText => None,
            Self::Rounded { scale } => Some(scale),
            Self::Keep | Self::Cut { .. } | Self::BooleanText => return None,
        };
        let mut text = Vec::new();
        number.write_text(&mut text);
        let text = String::from_utf8_lossy(&text);
        let rounded = scale.and_then(|scale| rounded(&text, scale));
        out.push_str(rounded.as_deref().unwrap_or(&text));
        Some(rounded.is_some_and(|rounded| !is_same_number(&rounded, &text)))
    }

    /// The cell's value, for which [`Self::write`] may have made `text`; and whether it lost something.
    pub(super) fn value<'v>(
        self,
        value: &Value<'v>,
        text: Option<&'v str>,
    ) -> Result<(Value<'v>, bool), Error> {
        Ok(match (self, *value) {
            (Self::BooleanText, Value::Bool(flag)) => {
                (Value::Text(if flag { "true" } else { "false" }), false)
            }
            (Self::NumberText, Value::Decimal(_)) => (Value::Text(made(text)?), false),
            (Self::Rounded { .. }, Value::Decimal(_)) => {
                let text = made(text)?;
                // What is no number of digits stays what it is: NaN, the infinities.
                let number = Decimal::from_text(text).map_or(*value, Value::Decimal);
                (number, false)
            }
            (Self::Cut { bytes_max }, Value::Text(text)) => {
                let short = &text[..text.floor_char_boundary(bytes_max)];
                (Value::Text(short), short.len() < text.len())
            }
            (Self::Cut { bytes_max }, Value::Bytes(bytes)) => {
                let short = &bytes[..bytes.len().min(bytes_max)];
                (Value::Bytes(short), short.len() < bytes.len())
            }
            (_, other) => (other, false),
        })
    }
}

fn made(text: Option<&str>) -> Result<&str, Error> {
    text.ok_or_else(|| Error::Fatal("a number was not written as text".to_owned()))
}

/// A number with so many digits behind the point, the last one rounded half away from zero as PostgreSQL does. `None` when it has no more
/// than that.
fn rounded(text: &str, scale: usize) -> Option<String> {
    let (whole, fraction) = text.split_once('.')?;
    if fraction.len() <= scale || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (sign, whole) = match whole.strip_prefix('-') {
        Some(whole) => ("-", whole),
        None => ("", whole),
    };
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes().take(scale)).collect();
    let rounds_up = fraction.as_bytes()[scale] >= b'5';
    if rounds_up {
        let mut place = digits.len();
        loop {
            if place == 0 {
                digits.insert(0, b'1');
                break;
            }
            place -= 1;
            if digits[place] == b'9' {
                digits[place] = b'0';
            } else {
                digits[place] += 1;
                break;
            }
        }
    }
    let point = digits.len() - scale;
    let (whole, fraction) = digits.split_at(point);
    let whole = String::from_utf8_lossy(whole);
    let fraction = String::from_utf8_lossy(fraction);
    let sign = if digits.iter().all(|&digit| digit == b'0') {
        ""
    } else {
        sign
    };
    Some(format!("{sign}{whole}.{fraction}"))
}

/// Whether only zeros at the end are different.
fn is_same_number(rounded: &str, text: &str) -> bool {
    text.strip_prefix(rounded)
        .is_some_and(|rest| rest.bytes().all(|digit| digit == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, bytes_max: usize) -> (String, bool) {
        let value = CellShape::Cut { bytes_max }.value(&Value::Text(text), None);
        match value.unwrap() {
            (Value::Text(text), is_cut) => (text.to_owned(), is_cut),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_is_cut_at_the_end_of_a_character() {
        assert_eq!(cut("abc", 3), ("abc".to_owned(), false));
        assert_eq!(cut("abcd", 3), ("abc".to_owned(), true));
        assert_eq!(cut("aé𝄞", 2), ("a".to_owned(), true));
        assert_eq!(cut("aé𝄞", 6), ("aé".to_owned(), true));
        assert_eq!(cut("aé𝄞", 7), ("aé𝄞".to_owned(), false));
        assert_eq!(cut("", 1), (String::new(), false));
    }

    #[test]
    fn bytes_are_cut_and_nothing_else_is() {
        let shape = CellShape::Cut { bytes_max: 2 };
        let cut = shape.value(&Value::Bytes(&[1, 0, 3]), None).unwrap();
        assert_eq!(cut, (Value::Bytes(&[1, 0]), true));
        for other in [
            Value::Null,
            Value::NotSent,
            Value::Int(12345),
            Value::Json("{}  "),
        ] {
            assert_eq!(shape.value(&other, None).unwrap(), (other, false));
        }
    }

    #[test]
    fn numbers_are_rounded_half_away_from_zero() {
        let shape = CellShape::Rounded { scale: 2 };
        for (text, expected, loses) in [
            ("1.005", "1.01", true),
            ("-1.005", "-1.01", true),
            ("1.0049", "1.00", true),
            ("9.999", "10.00", true),
            ("-0.001", "0.00", true),
            ("1.2500", "1.25", false),
            ("1.2", "1.2", false),
            ("12", "12", false),
        ] {
            let mut out = String::new();
            let number = Decimal::Text(text);
            assert_eq!(shape.write(&number, &mut out), Some(loses), "{text}");
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        assert_eq!(shape.write(&Decimal::NaN, &mut out), Some(false));
        let value = Value::Decimal(Decimal::NaN);
        assert_eq!(shape.value(&value, Some(&out)).unwrap(), (value, false));
    }
}
