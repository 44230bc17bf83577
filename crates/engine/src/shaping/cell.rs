//! What becomes of single cells.

use std::sync::OnceLock;

use whimbrel_connector::Error;
use whimbrel_core::mapping::{Conversion, ConversionError, Mask, MaskSecret};
use whimbrel_core::{ColumnType, Decimal, Value};

use super::scratch::{Cell, Scratch};

/// What becomes of the cells of a column: they are made others, then hidden, then cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CellShape {
    pub(super) make: Make,
    /// How they are hidden.
    pub(super) mask: Option<Mask>,
    /// Bits of the whole numbers that are, which fit their type hidden too; 0 for other types.
    pub(super) bits: u8,
    /// Characters of them may have been replaced, before anything else was made of the row.
    pub(super) has_others: bool,
    /// Text and byte strings end after so many bytes, text at the end of a character.
    pub(super) bytes_max: Option<usize>,
}

/// What is made of a cell's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Make {
    #[default]
    Same,
    /// A value of another type, as a rule says.
    Converted(Conversion),
    /// `true` or `false`.
    BooleanText,
    /// All digits of a number.
    NumberText,
    /// A number with so many digits behind the point at most.
    Rounded { scale: usize },
}

/// Why there is no cell.
#[derive(Debug)]
pub(super) enum NoCell {
    /// The column cannot hold the value.
    Refused(ConversionError),
    /// It is longer than the settings let it be.
    TooLong,
    /// The expression gives none, for this reason.
    NoValue(String),
    /// The expression asks for the commit of a transaction whose end has not come.
    NotYet,
    Failed(Error),
}

/// Decides the random digits of this process. Nobody keeps it: no digits can be found from what they stand for, and a process that goes on
/// with a task makes others. So nothing may be looked for by them, and nothing compares them.
fn secret() -> &'static MaskSecret {
    static SECRET: OnceLock<MaskSecret> = OnceLock::new();
    SECRET.get_or_init(|| MaskSecret::new(rand::random()))
}

impl CellShape {
    /// Whether cells arrive as they are.
    pub(super) fn is_same(self) -> bool {
        self == Self::default()
    }

    /// The same, but for characters that become others wherever they are.
    pub(super) fn is_same_but_for_characters(self) -> bool {
        let has_others = false;
        Self { has_others, ..self }.is_same()
    }

    /// For people who read a plan.
    pub(super) fn notes(self) -> impl Iterator<Item = String> {
        let made = match self.make {
            // Rules say so themselves.
            Make::Same | Make::Converted(_) => None,
            Make::BooleanText => Some(
                "booleans become the texts true and false, as MapBooleanAsBoolean says".to_owned(),
            ),
            Make::NumberText => {
                Some("numbers become texts, as MapUnboundedNumericAsString says".to_owned())
            }
            Make::Rounded { scale } => Some(format!(
                "numbers are rounded to {scale} digits behind the point, as MapUnboundedNumericAsString says"
            )),
        };
        let cut = self.bytes_max.map(|bytes_max| {
            format!("values of more than {bytes_max} bytes are cut, as LobMaxSize says")
        });
        made.into_iter().chain(cut)
    }

    /// The cell that a value becomes, and whether it lost something.
    pub(super) fn cell<'v>(
        self,
        value: &Value<'v>,
        scratch: &mut Scratch,
    ) -> Result<(Cell<'v>, Loss), NoCell> {
        let (made, is_rounded) = self.made(value, scratch)?;
        let hidden = match self.mask {
            None => made,
            Some(mask) => masked(mask, self.bits, &made, scratch)?,
        };
        let (cell, is_cut) = match self.bytes_max {
            None => (hidden, false),
            Some(bytes_max) => cut(hidden, bytes_max, scratch),
        };
        Ok((cell, Loss { is_rounded, is_cut }))
    }

    fn made<'v>(
        self,
        value: &Value<'v>,
        scratch: &mut Scratch,
    ) -> Result<(Cell<'v>, bool), NoCell> {
        let begin = scratch.text.len();
        Ok(match (self.make, *value) {
            (Make::Converted(conversion), _) => {
                let converted = conversion
                    .convert(value, &mut scratch.text)
                    .map_err(NoCell::Refused)?;
                (scratch.converted(begin, converted), false)
            }
            (Make::BooleanText, Value::Bool(flag)) => {
                let text = Value::Text(if flag { "true" } else { "false" });
                (Cell::AsItIs(text), false)
            }
            (Make::NumberText, Value::Decimal(number)) => {
                write_number(&number, None, &mut scratch.text);
                (Cell::Text(begin..scratch.text.len()), false)
            }
            (
                Make::Rounded { .. },
                Value::Decimal(Decimal::NaN | Decimal::Infinity | Decimal::NegInfinity),
            ) => (Cell::AsItIs(*value), false),
            (Make::Rounded { scale }, Value::Decimal(number)) => {
                let loses = write_number(&number, Some(scale), &mut scratch.text);
                (Cell::Decimal(begin..scratch.text.len()), loses)
            }
            _ => (Cell::AsItIs(*value), false),
        })
    }
}

/// What a value lost on its way, as settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) is_rounded: bool,
    pub(super) is_cut: bool,
}

/// Appends a number. Answers whether digits were lost.
fn write_number(number: &Decimal<'_>, scale: Option<usize>, out: &mut String) -> bool {
    let mut text = Vec::new();
    number.write_text(&mut text);
    let text = String::from_utf8_lossy(&text);
    let rounded = scale.and_then(|scale| rounded(&text, scale));
    out.push_str(rounded.as_deref().unwrap_or(&text));
    rounded.is_some_and(|rounded| !is_same_number(&rounded, &text))
}

fn masked<'v>(
    mask: Mask,
    bits: u8,
    cell: &Cell<'v>,
    scratch: &mut Scratch,
) -> Result<Cell<'v>, NoCell> {
    let mut masked = String::new();
    let ty = match bits {
        0 => ColumnType::Text { bytes_max: None },
        // Values tell themselves whether they have a sign.
        bits => ColumnType::Int {
            bits,
            unsigned: false,
        },
    };
    let value = cell.value(scratch);
    match mask.apply(&value, &ty, secret(), &mut masked) {
        Ok(
            value @ (Value::Text(_)
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Decimal(Decimal::Text(_))),
        ) => scratch
            .kept(&value)
            .ok_or_else(|| NoCell::NoValue("it has no type".to_owned())),
        // What has no digits.
        Ok(_) => Ok(cell.clone()),
        Err(error) => Err(NoCell::Failed(Error::Fatal(error.to_string()))),
    }
}

fn cut<'v>(cell: Cell<'v>, bytes_max: usize, scratch: &Scratch) -> (Cell<'v>, bool) {
    match cell {
        Cell::AsItIs(Value::Text(text)) => {
            let short = &text[..text.floor_char_boundary(bytes_max)];
            (Cell::AsItIs(Value::Text(short)), short.len() < text.len())
        }
        Cell::AsItIs(Value::Bytes(bytes)) => {
            let short = &bytes[..bytes.len().min(bytes_max)];
            (Cell::AsItIs(Value::Bytes(short)), short.len() < bytes.len())
        }
        Cell::Text(range) => {
            let length = scratch.text[range.clone()].floor_char_boundary(bytes_max);
            let short = range.start..range.start + length;
            let is_cut = short.end < range.end;
            (Cell::Text(short), is_cut)
        }
        Cell::Bytes(range) => {
            let short = range.start..range.end.min(range.start.saturating_add(bytes_max));
            let is_cut = short.end < range.end;
            (Cell::Bytes(short), is_cut)
        }
        other => (other, false),
    }
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

    fn shaped(shape: CellShape, value: &Value<'_>) -> (String, Loss) {
        let mut scratch = Scratch::default();
        let (cell, loss) = shape.cell(value, &mut scratch).unwrap();
        (format!("{:?}", cell.value(&scratch)), loss)
    }

    fn making(make: Make) -> CellShape {
        CellShape {
            make,
            ..CellShape::default()
        }
    }

    fn cutting(bytes_max: usize) -> CellShape {
        CellShape {
            bytes_max: Some(bytes_max),
            ..CellShape::default()
        }
    }

    const CUT: Loss = Loss {
        is_rounded: false,
        is_cut: true,
    };

    #[test]
    fn text_is_cut_at_the_end_of_a_character() {
        for (text, bytes_max, expected, loss) in [
            ("abc", 3, "abc", Loss::default()),
            ("abcd", 3, "abc", CUT),
            ("aé𝄞", 2, "a", CUT),
            ("aé𝄞", 6, "aé", CUT),
            ("aé𝄞", 7, "aé𝄞", Loss::default()),
            ("", 1, "", Loss::default()),
        ] {
            let cut = shaped(cutting(bytes_max), &Value::Text(text));
            assert_eq!(cut, (format!("{:?}", Value::Text(expected)), loss));
        }
    }

    #[test]
    fn bytes_are_cut_and_nothing_else_is() {
        let cut = shaped(cutting(2), &Value::Bytes(&[1, 0, 3]));
        assert_eq!(cut, ("Bytes([1, 0])".to_owned(), CUT));
        for other in [
            Value::Null,
            Value::NotSent,
            Value::Int(12345),
            Value::Json("{}  "),
        ] {
            let same = (format!("{other:?}"), Loss::default());
            assert_eq!(shaped(cutting(2), &other), same);
        }
    }

    #[test]
    fn values_are_converted_then_masked_then_cut() {
        let text = ColumnType::Text { bytes_max: None };
        let to_text = Make::Converted(Conversion::to(&text).unwrap());
        let masking = |make, bytes_max| CellShape {
            make,
            mask: Some(Mask::Digits('#')),
            bits: 0,
            has_others: false,
            bytes_max,
        };
        let of = |shape, value: &Value<'_>| shaped(shape, value);
        let none = Loss::default();
        let a = Value::Text("a1é2");
        assert_eq!(
            of(masking(Make::Same, None), &a),
            ("Text(\"a#é#\")".into(), none)
        );
        assert_eq!(
            of(masking(Make::Same, Some(4)), &a),
            ("Text(\"a#é\")".into(), CUT)
        );
        let number = Value::Decimal(Decimal::Text("-12.5"));
        assert_eq!(
            of(masking(to_text, None), &number),
            ("Text(\"-##.#\")".into(), none)
        );
        assert_eq!(
            of(masking(to_text, Some(2)), &Value::Int(123)),
            ("Text(\"##\")".into(), CUT)
        );
        assert_eq!(
            of(masking(to_text, None), &Value::Null),
            ("Null".into(), none)
        );
        let unmasked = masking(Make::Same, None).cell(&Value::Int(1), &mut Scratch::default());
        assert!(unmasked.is_err());
    }

    #[test]
    fn numbers_are_rounded_half_away_from_zero() {
        let shape = making(Make::Rounded { scale: 2 });
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
            let (number, loss) = shaped(shape, &Value::Decimal(Decimal::Text(text)));
            assert_eq!(number, format!("Decimal(Text({expected:?}))"));
            assert_eq!(loss.is_rounded, loses, "{text}");
        }
        let value = Value::Decimal(Decimal::NaN);
        assert_eq!(
            shaped(shape, &value),
            ("Decimal(NaN)".to_owned(), Loss::default())
        );
    }
}
