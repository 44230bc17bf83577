//! Masks: what stands at the target in place of values that are not to be seen there.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{ColumnType, Decimal, Value, ValueKind};

/// How the values of a column are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Each digit becomes this character.
    Digits(char),
    /// Each digit becomes a random one.
    RandomDigits,
    /// The value becomes its SHA-256 in 64 upper-case hexadecimal digits, without salt.
    Hash,
}

/// Characters of a hash.
pub(super) const HASH_LENGTH: u32 = 64;

/// A value that a mask does not hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a {kind} cannot be masked: hashes and digits are made of text, random digits of text and exact numbers"
)]
pub struct MaskError {
    kind: ValueKind,
}

/// Decides the random digits of a task.
///
/// A value gets the same digits wherever it comes again under one secret, so that a change meets its row, and a batch that is applied twice
/// leaves the rows of once. Without the secret the digits tell nothing of the value but their count.
#[derive(Clone, Copy)]
pub struct MaskSecret([u8; 32]);

impl std::fmt::Debug for MaskSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskSecret")
    }
}

impl MaskSecret {
    /// Takes random bytes that the task keeps.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Mask {
    /// Whether it hides values of this type. What it does not hide must be refused before any row is read.
    pub fn hides(self, ty: &ColumnType) -> bool {
        match ty {
            ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => true,
            ColumnType::Int { .. } | ColumnType::Decimal { .. } => self == Self::RandomDigits,
            _ => false,
        }
    }

    /// The type that the column needs at the target.
    pub fn masked_type(self, ty: &ColumnType) -> ColumnType {
        match (self, ty) {
            (Self::Hash, ColumnType::Char { length }) if *length < HASH_LENGTH => {
                ColumnType::Char {
                    length: HASH_LENGTH,
                }
            }
            (
                Self::Hash,
                ColumnType::Varchar {
                    length: Some(length),
                },
            ) if *length < HASH_LENGTH => ColumnType::Varchar {
                length: Some(HASH_LENGTH),
            },
            _ => ty.clone(),
        }
    }

    /// The value in its place, which may be written to `scratch`. NULL stays NULL, and what was not sent stays so.
    ///
    /// # Errors
    /// The value is of a kind that the mask does not hide.
    pub fn apply<'s>(
        self,
        value: &Value<'_>,
        ty: &ColumnType,
        secret: &MaskSecret,
        scratch: &'s mut String,
    ) -> Result<Value<'s>, MaskError> {
        scratch.clear();
        match (self, value) {
            (_, Value::Null) => Ok(Value::Null),
            (_, Value::NotSent) => Ok(Value::NotSent),
            (Self::Hash, Value::Text(text)) => {
                hash(text, scratch);
                Ok(Value::Text(scratch))
            }
            (Self::Digits(mask), Value::Text(text)) => {
                let masked = text
                    .chars()
                    .map(|c| if c.is_ascii_digit() { mask } else { c });
                scratch.extend(masked);
                Ok(Value::Text(scratch))
            }
            (Self::RandomDigits, Value::Text(text)) => {
                randomize(text, secret, 0, scratch);
                Ok(Value::Text(scratch))
            }
            (Self::RandomDigits, Value::Int(number)) => {
                Ok(Value::Int(random_int(*number, ty, secret, scratch)))
            }
            (Self::RandomDigits, Value::UInt(number)) => {
                Ok(Value::UInt(random_uint(*number, ty, secret, scratch)))
            }
            (Self::RandomDigits, Value::Decimal(number)) => random_decimal(number, secret, scratch),
            (_, value) => Err(MaskError { kind: value.kind() }),
        }
    }
}

fn hash(text: &str, out: &mut String) {
    for byte in Sha256::digest(text.as_bytes()) {
        write!(out, "{byte:02X}").expect("writing to a string cannot fail");
    }
}

/// Digits that follow from the secret and a value.
struct RandomDigits<'a> {
    secret: &'a MaskSecret,
    text: &'a str,
    attempt: u32,
    block: [u8; 32],
    block_count: u32,
    used: usize,
}

impl RandomDigits<'_> {
    fn next(&mut self) -> u8 {
        loop {
            if self.used == self.block.len() {
                self.refill();
            }
            let byte = self.block[self.used];
            self.used += 1;
            // 250 is the largest multiple of ten below 256: every digit is as likely as any other.
            if byte < 250 {
                return byte % 10;
            }
        }
    }

    fn refill(&mut self) {
        let mut hasher = Sha256::new();
        hasher.update(self.secret.0);
        hasher.update(self.attempt.to_be_bytes());
        hasher.update(self.block_count.to_be_bytes());
        hasher.update(self.text.as_bytes());
        self.block = hasher.finalize().into();
        self.block_count = self.block_count.wrapping_add(1);
        self.used = 0;
    }
}

fn randomize(text: &str, secret: &MaskSecret, attempt: u32, out: &mut String) {
    let mut digits = RandomDigits {
        secret,
        text,
        attempt,
        block: [0; 32],
        block_count: 0,
        used: 32,
    };
    out.extend(text.chars().map(|c| {
        if c.is_ascii_digit() {
            char::from(b'0' + digits.next())
        } else {
            c
        }
    }));
}

/// Attempts to find digits that the type holds, before a leading zero makes any fit.
const ATTEMPTS: u32 = 16;

fn random_int(number: i64, ty: &ColumnType, secret: &MaskSecret, scratch: &mut String) -> i64 {
    let bits = int_bits(ty);
    let (least, most) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    let text = number.to_string();
    draw(&text, secret, scratch, |digits| {
        digits
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
    })
}

fn random_uint(number: u64, ty: &ColumnType, secret: &MaskSecret, scratch: &mut String) -> u64 {
    let most = u64::MAX >> (64 - int_bits(ty));
    let text = number.to_string();
    draw(&text, secret, scratch, |digits| {
        digits.parse().ok().filter(|number| *number <= most)
    })
}

fn int_bits(ty: &ColumnType) -> u32 {
    match ty {
        ColumnType::Int { bits, .. } => u32::from(*bits).clamp(8, 64),
        _ => 64,
    }
}

fn draw<T: Default>(
    text: &str,
    secret: &MaskSecret,
    scratch: &mut String,
    fits: impl Fn(&str) -> Option<T>,
) -> T {
    for attempt in 0..ATTEMPTS {
        scratch.clear();
        randomize(text, secret, attempt, scratch);
        if let Some(number) = fits(scratch) {
            return number;
        }
    }
    let first = usize::from(scratch.starts_with('-'));
    scratch.replace_range(first..=first, "0");
    fits(scratch).unwrap_or_default()
}

fn random_decimal<'s>(
    number: &Decimal<'_>,
    secret: &MaskSecret,
    scratch: &'s mut String,
) -> Result<Value<'s>, MaskError> {
    if matches!(
        number,
        Decimal::NaN | Decimal::Infinity | Decimal::NegInfinity
    ) {
        // They have no digits, and tell no more than that.
        return Ok(Value::Decimal(match number {
            Decimal::Infinity => Decimal::Infinity,
            Decimal::NegInfinity => Decimal::NegInfinity,
            _ => Decimal::NaN,
        }));
    }
    let mut bytes = Vec::new();
    number.write_text(&mut bytes);
    let refused = MaskError {
        kind: Value::Decimal(*number).kind(),
    };
    let text = String::from_utf8(bytes).map_err(|_| refused)?;
    randomize(&text, secret, 0, scratch);
    let first = usize::from(text.starts_with('-'));
    if text[first..].starts_with("0.") {
        // A type whose digits are all behind the point has no room for another one before it.
        scratch.replace_range(first..=first, "0");
    }
    Decimal::from_text(scratch)
        .map(Value::Decimal)
        .map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: MaskSecret = MaskSecret([7; 32]);
    const TEXT: ColumnType = ColumnType::Text { bytes_max: None };

    fn masked(mask: Mask, text: &str) -> String {
        let mut scratch = String::new();
        match mask.apply(&Value::Text(text), &TEXT, &SECRET, &mut scratch) {
            Ok(Value::Text(text)) => text.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn digits_become_the_character_and_nothing_else_does() {
        assert_eq!(masked(Mask::Digits('#'), "C6BGJ566669K"), "C#BGJ######K");
        assert_eq!(masked(Mask::Digits('*'), "é1-²"), "é*-²");
        assert_eq!(masked(Mask::Digits('*'), ""), "");
    }

    #[test]
    fn hashes_are_those_of_sha256() {
        assert_eq!(
            masked(Mask::Hash, "abc"),
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
        );
        assert_eq!(
            masked(Mask::Hash, ""),
            "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
        );
    }

    #[test]
    fn random_digits_keep_the_form_and_depend_on_the_secret_alone() {
        let text = "4111-1111-1111-1111 x 12345678901234567890123456789012345678901234567890";
        let once = masked(Mask::RandomDigits, text);
        assert_eq!(once, masked(Mask::RandomDigits, text));
        assert_ne!(once, text);
        let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(form(&once), form(text));
        let mut scratch = String::new();
        let other = MaskSecret([8; 32]);
        let other = Mask::RandomDigits.apply(&Value::Text(text), &TEXT, &other, &mut scratch);
        assert_ne!(other, Ok(Value::Text(once.as_str())));
    }

    #[test]
    fn every_digit_is_about_as_likely() {
        let mut counts = [0_u32; 10];
        for number in 0..4000 {
            for digit in masked(Mask::RandomDigits, &format!("{number:05}")).bytes() {
                counts[usize::from(digit - b'0')] += 1;
            }
        }
        assert!(
            counts.iter().all(|count| (1800..2200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn random_numbers_fit_their_type() {
        let mut scratch = String::new();
        for (bits, least, most) in [
            (8, -128, 127),
            (16, -32768, 32767),
            (64, i64::MIN, i64::MAX),
        ] {
            let ty = ColumnType::Int {
                bits,
                unsigned: false,
            };
            for number in [least, most, 0, 1, -1, most - 1] {
                let value =
                    Mask::RandomDigits.apply(&Value::Int(number), &ty, &SECRET, &mut scratch);
                let Ok(Value::Int(masked)) = value else {
                    panic!()
                };
                assert!((least..=most).contains(&masked), "{number} became {masked}");
            }
        }
        let ty = ColumnType::Int {
            bits: 64,
            unsigned: true,
        };
        for number in [0, 9, u64::MAX, u64::MAX - 1] {
            let value = Mask::RandomDigits.apply(&Value::UInt(number), &ty, &SECRET, &mut scratch);
            assert!(matches!(value, Ok(Value::UInt(_))));
        }
        let value = Value::Decimal(Decimal::Text("-12.50"));
        let value = Mask::RandomDigits.apply(&value, &TEXT, &SECRET, &mut scratch);
        let Ok(Value::Decimal(Decimal::Text(text))) = value else {
            panic!()
        };
        assert!(text.len() == 6 && text.starts_with('-') && &text[3..4] == ".");
        for number in 0..50 {
            let text = format!("-0.{number:05}");
            let value = Value::Decimal(Decimal::Text(&text));
            let value = Mask::RandomDigits.apply(&value, &TEXT, &SECRET, &mut scratch);
            let Ok(Value::Decimal(Decimal::Text(text))) = value else {
                panic!()
            };
            assert!(text.len() == 8 && text.starts_with("-0."), "{text}");
        }
    }

    #[test]
    fn null_stays_and_what_is_not_hidden_is_refused() {
        let mut scratch = String::new();
        for mask in [Mask::Hash, Mask::Digits('x'), Mask::RandomDigits] {
            for kept in [Value::Null, Value::NotSent] {
                assert_eq!(mask.apply(&kept, &TEXT, &SECRET, &mut scratch), Ok(kept));
            }
            for refused in [Value::Bytes(b"1"), Value::Float64(1.0), Value::Json("1")] {
                assert!(mask.apply(&refused, &TEXT, &SECRET, &mut scratch).is_err());
            }
        }
        assert!(
            Mask::Hash
                .apply(&Value::Int(1), &TEXT, &SECRET, &mut scratch)
                .is_err()
        );
    }
}
