//! Exact decimals of any length, borrowed in the form in which their engine sent them.

use thiserror::Error;

use crate::digits::{append_front, four_digits, write_unsigned};

/// An exact decimal number, or one of PostgreSQL's three special ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decimal<'a> {
    /// Not a number.
    NaN,
    /// Greater than all numbers.
    Infinity,
    /// Less than all numbers.
    NegInfinity,
    /// `[-]digits[.digits]`: no exponent, no plus sign, at least one digit. The scale is the count of digits after the point.
    Text(&'a str),
    /// Groups of four decimal digits, as PostgreSQL sends them.
    Groups(DecimalDigits<'a>),
    /// A number of few digits.
    Short(ShortDecimal),
}

/// A decimal of at most 16 digits: the value is `unscaled / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortDecimal {
    unscaled: i64,
    /// Digits after the point that are shown: at most 15.
    scale: u8,
}

/// A decimal in base 10,000: the value is the sum of `group[i] * 10000^(weight - i)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalDigits<'a> {
    /// Whether the number is below zero.
    pub negative: bool,
    /// Power of 10,000 of the first group.
    pub weight: i16,
    /// Digits after the point that are shown.
    pub scale: u16,
    /// The groups, each two bytes, big-endian, below 10,000.
    pub groups: &'a [u8],
}

/// Text that is not a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("text is not a decimal number, or has more digits than a numeric can hold")]
pub struct InvalidDecimal;

impl<'a> Decimal<'a> {
    /// Checks that `text` has the form of [`Decimal::Text`].
    pub fn from_text(text: &'a str) -> Result<Self, InvalidDecimal> {
        let bytes = text.as_bytes();
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        let mut has_point = false;
        for (place, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {}
                b'.' if !has_point && place > 0 => has_point = true,
                _ => return Err(InvalidDecimal),
            }
        }
        match digits.last() {
            Some(b'0'..=b'9') => Ok(Self::Text(text)),
            _ => Err(InvalidDecimal),
        }
    }

    /// Reads short text of the form of [`Decimal::Text`], but for a zero below zero; `None` for any other.
    #[inline]
    pub fn short(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text.split_first() {
            Some((b'-', digits)) => (true, digits),
            _ => (false, text),
        };
        if digits.len() > SHORT_DIGITS + 1 {
            return None;
        }
        let mut point = None;
        let mut value = 0_i64;
        for (place, byte) in digits.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                value = value * 10 + i64::from(digit);
            } else if *byte == b'.' && point.is_none() && place > 0 {
                point = Some(place);
            } else {
                return None;
            }
        }
        let last = digits.len().checked_sub(1)?;
        let scale = match point {
            Some(point) if point < last => last - point,
            None if last < SHORT_DIGITS => 0,
            _ => return None,
        };
        if is_negative && value == 0 {
            return None;
        }
        Some(Self::Short(ShortDecimal {
            unscaled: if is_negative { -value } else { value },
            scale: u8::try_from(scale).ok()?,
        }))
    }

    /// Appends the number as text: `NaN`, `Infinity`, `-Infinity` or `[-]digits[.digits]`.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Self::NaN => out.extend_from_slice(b"NaN"),
            Self::Infinity => out.extend_from_slice(b"Infinity"),
            Self::NegInfinity => out.extend_from_slice(b"-Infinity"),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Groups(digits) => digits.write_text(out),
            Self::Short(short) => short.write_text(out),
        }
    }

    /// Appends the number in PostgreSQL's binary form: group count, weight, sign, scale and groups, 16 bits each.
    ///
    /// # Errors
    /// More digits than the form can count.
    pub fn write_groups(&self, out: &mut Vec<u8>) -> Result<(), InvalidDecimal> {
        match self {
            Self::NaN => out.extend_from_slice(&[0, 0, 0, 0, 0xC0, 0, 0, 0]),
            Self::Infinity => out.extend_from_slice(&[0, 0, 0, 0, 0xD0, 0, 0, 0]),
            Self::NegInfinity => out.extend_from_slice(&[0, 0, 0, 0, 0xF0, 0, 0, 0]),
            Self::Text(text) => write_groups_of_text(text, out)?,
            Self::Short(short) => short.write_groups(out),
            Self::Groups(digits) => {
                let count = u16::try_from(digits.groups.len() / 2).map_err(|_| InvalidDecimal)?;
                let sign: u16 = if digits.negative { 0x4000 } else { 0 };
                out.extend_from_slice(&count.to_be_bytes());
                out.extend_from_slice(&digits.weight.to_be_bytes());
                out.extend_from_slice(&sign.to_be_bytes());
                out.extend_from_slice(&digits.scale.to_be_bytes());
                out.extend_from_slice(digits.groups);
            }
        }
        Ok(())
    }
}

impl DecimalDigits<'_> {
    fn group(&self, index: i32) -> u16 {
        usize::try_from(index)
            .ok()
            .and_then(|i| self.groups.get(i * 2..i * 2 + 2))
            .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let digits = |index| four_digits(self.group(index).into());
        let weight = i32::from(self.weight);
        if weight < 0 {
            out.push(b'0');
        } else {
            append_number(digits(0), out);
        }
        for index in 1..=weight {
            append_front(&digits(index), 4, out);
        }
        if self.scale > 0 {
            out.push(b'.');
            let mut left = usize::from(self.scale);
            let mut index = weight + 1;
            while left > 0 {
                let count = left.min(4);
                append_front(&digits(index), count, out);
                left -= count;
                index += 1;
            }
        }
    }
}

/// Appends the digits without leading zeros; the last always stays.
fn append_number(digits: [u8; 4], out: &mut Vec<u8>) {
    let zeros = digits[..3].iter().take_while(|&&digit| digit == b'0');
    let skipped = zeros.count();
    let shown = u32::from_be_bytes(digits) << (8 * skipped);
    append_front(&shown.to_be_bytes(), 4 - skipped, out);
}

fn write_groups_of_text(text: &str, out: &mut Vec<u8>) -> Result<(), InvalidDecimal> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let unsigned = unsigned.as_bytes();
    let point = unsigned.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
        None => (unsigned, &[][..]),
    };
    if whole.len() <= SHORT_DIGITS && fraction.len() <= SHORT_DIGITS {
        let scale = u8::try_from(fraction.len()).map_err(|_| InvalidDecimal)?;
        write_short_groups(negative, number(whole)?, number(fraction)?, scale, out);
        return Ok(());
    }
    let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
    let whole = &whole[zeros..];
    let scale = u16::try_from(fraction.len()).map_err(|_| InvalidDecimal)?;
    let start = out.len();
    out.extend_from_slice(&[0; 8]);

    let whole_groups = whole.len().div_ceil(4);
    let mut weight = i32::try_from(whole_groups).map_err(|_| InvalidDecimal)? - 1;
    let first_length = whole.len() - whole_groups.saturating_sub(1) * 4;
    let (first, rest) = whole.split_at(first_length.min(whole.len()));
    let mut started = false;
    let groups = std::iter::once(first)
        .filter(|group| !group.is_empty())
        .chain(rest.chunks(4))
        .map(|group| group_value(group, group.len()))
        .chain(fraction.chunks(4).map(|group| group_value(group, 4)));
    for group in groups {
        let group = group?;
        if !started && group == 0 {
            weight -= 1;
            continue;
        }
        started = true;
        out.extend_from_slice(&group.to_be_bytes());
    }
    let first_group = start + 8;
    while out.len() > first_group && out[out.len() - 2..] == [0, 0] {
        out.truncate(out.len() - 2);
    }
    let count = (out.len() - first_group) / 2;
    let is_zero = count == 0;
    let count = u16::try_from(count).map_err(|_| InvalidDecimal)?;
    let weight = if is_zero {
        0
    } else {
        i16::try_from(weight).map_err(|_| InvalidDecimal)?
    };
    let sign: u16 = if negative && !is_zero { 0x4000 } else { 0 };
    let fields = [
        count.to_be_bytes(),
        weight.to_be_bytes(),
        sign.to_be_bytes(),
        scale.to_be_bytes(),
    ];
    for (field, at) in fields.iter().zip((start..).step_by(2)) {
        out[at..at + 2].copy_from_slice(field);
    }
    Ok(())
}

/// As many digits as fit four groups.
const SHORT_DIGITS: usize = 16;

impl ShortDecimal {
    /// How many digits after the point are shown.
    pub fn scale(self) -> u8 {
        self.scale
    }

    fn write_groups(self, out: &mut Vec<u8>) {
        let scale = u16::from(self.scale);
        let fraction_groups = scale.div_ceil(4);
        let missing = usize::from(fraction_groups * 4 - scale);
        // Of at most 16 digits, and three more.
        let mut rest = self.unscaled.unsigned_abs() * [1, 10, 100, 1000][missing & 3];
        let mut group_count = 0_i16;
        let mut form = [0_u8; 8 + 2 * 5];
        let mut at = form.len();
        while rest > 0 {
            let group = (rest % 10_000) as u16;
            rest /= 10_000;
            group_count += 1;
            // The last groups are left out where they are zero.
            if group > 0 || at < form.len() {
                at -= 2;
                form[at..at + 2].copy_from_slice(&group.to_be_bytes());
            }
        }
        let written = u16::try_from((form.len() - at) / 2).unwrap_or(0);
        let weight = if written == 0 {
            0
        } else {
            group_count - fraction_groups.cast_signed() - 1
        };
        let sign: u16 = if self.unscaled < 0 { 0x4000 } else { 0 };
        at -= 8;
        let head = [written, weight.cast_unsigned(), sign, scale];
        for (place, field) in form[at..at + 8].as_chunks_mut::<2>().0.iter_mut().zip(head) {
            *place = field.to_be_bytes();
        }
        out.extend_from_slice(&form[at..]);
    }

    fn write_text(self, out: &mut Vec<u8>) {
        if self.unscaled < 0 {
            out.push(b'-');
        }
        let unscaled = self.unscaled.unsigned_abs();
        let scale = u32::from(self.scale);
        if scale == 0 {
            write_unsigned(unscaled, out);
            return;
        }
        let power = 10_u64.pow(scale);
        write_unsigned(unscaled / power, out);
        // The digit before the fraction, which keeps its zeros, becomes the point.
        let point = out.len();
        write_unsigned(unscaled % power + power, out);
        out[point] = b'.';
    }
}

/// Without looking at groups one by one: up to four groups on each side of the point.
fn write_short_groups(negative: bool, whole: u64, fraction: u64, scale: u8, out: &mut Vec<u8>) {
    let mut groups = [0_u16; 8];
    split_groups(whole, &mut groups[..4]);
    let fraction_groups = usize::from(scale.div_ceil(4)).min(4);
    let missing = (4 - scale % 4) % 4;
    let shift = [1, 10, 100, 1000][usize::from(missing)];
    split_groups(fraction * shift, &mut groups[4..4 + fraction_groups]);
    let first = groups.iter().position(|&group| group != 0);
    let last = groups.iter().rposition(|&group| group != 0);
    let (first, end) = match (first, last) {
        (Some(first), Some(last)) => (first, last + 1),
        _ => (3, 3),
    };
    let is_zero = first == end;
    let sign: u16 = if negative && !is_zero { 0x4000 } else { 0 };
    let weight = 3_u16.wrapping_sub(u16::try_from(first).unwrap_or(0));
    let mut form = [0_u8; 24];
    let head = [
        u16::try_from(end - first).unwrap_or(0),
        weight,
        sign,
        u16::from(scale),
    ];
    let fields = head.iter().chain(&groups[first..end]);
    for (place, field) in form.as_chunks_mut::<2>().0.iter_mut().zip(fields) {
        *place = field.to_be_bytes();
    }
    out.extend_from_slice(&form[..8 + (end - first) * 2]);
}

/// The value of up to 16 digits.
fn number(digits: &[u8]) -> Result<u64, InvalidDecimal> {
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(InvalidDecimal);
        }
        value = value * 10 + u64::from(digit);
    }
    Ok(value)
}

/// Splits a number into groups of four digits, the last group last.
fn split_groups(mut value: u64, groups: &mut [u16]) {
    for group in groups.iter_mut().rev() {
        *group = u16::try_from(value % 10_000).unwrap_or(0);
        value /= 10_000;
    }
}

/// The value of up to four digits, as if filled up with zeros on the right to `width`.
fn group_value(digits: &[u8], width: usize) -> Result<u16, InvalidDecimal> {
    let mut value = 0_u16;
    for index in 0..width {
        let digit = match digits.get(index) {
            Some(byte) if byte.is_ascii_digit() => u16::from(byte - b'0'),
            Some(_) => return Err(InvalidDecimal),
            None => 0,
        };
        value = value * 10 + digit;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        let mut groups = Vec::new();
        Decimal::from_text(text)
            .unwrap()
            .write_groups(&mut groups)
            .unwrap();
        let digits = DecimalDigits {
            negative: groups[4] == 0x40,
            weight: i16::from_be_bytes([groups[2], groups[3]]),
            scale: u16::from_be_bytes([groups[6], groups[7]]),
            groups: &groups[8..],
        };
        assert_eq!(
            usize::from(u16::from_be_bytes([groups[0], groups[1]])) * 2,
            groups.len() - 8
        );
        let mut out = Vec::new();
        Decimal::Groups(digits).write_text(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_and_groups_hold_the_same_number() {
        let long = format!("-{}.{}", "123456789".repeat(30), "000987654321".repeat(20));
        for text in [
            "0",
            "0.0",
            "0.000",
            "1",
            "-1",
            "10",
            "9999",
            "10000",
            "100000000",
            "0.1",
            "0.0001",
            "0.00001",
            "-0.00000000012",
            "12345.6789",
            "1000000.0000001",
            "10000.0001",
            "99999999.99999999",
            long.as_str(),
        ] {
            assert_eq!(round_trip(text), text);
        }
    }

    #[test]
    fn every_length_on_either_side_of_the_point_is_kept() {
        let digits = "9070050003100000260004";
        for whole in 1..20 {
            for fraction in 0..20 {
                for from in 0..3 {
                    let mut text = digits[from..from + whole].to_owned();
                    if text.starts_with('0') {
                        text.replace_range(..1, "4");
                    }
                    if fraction > 0 {
                        text.push('.');
                        text.extend(digits.chars().rev().take(fraction));
                    }
                    assert_eq!(round_trip(&text), text);
                }
            }
        }
    }

    #[test]
    fn leading_zeros_and_negative_zero_are_dropped() {
        assert_eq!(round_trip("00012.50"), "12.50");
        assert_eq!(round_trip("-0.00"), "0.00");
    }

    #[test]
    fn short_numbers_are_written_like_their_text() {
        let written = |decimal: Decimal<'_>| {
            let (mut text, mut groups) = (Vec::new(), Vec::new());
            decimal.write_text(&mut text);
            decimal.write_groups(&mut groups).unwrap();
            (String::from_utf8(text).unwrap(), groups)
        };
        for text in [
            "0",
            "0.0",
            "-7",
            "10",
            "0.05",
            "-0.0001",
            "12345.678",
            "9999999999999999",
            "-9999999999999999",
            "0.000000000000001",
            "9.999999999999999",
            "123456789012345.6",
            "10000.0000",
            "100000001.0000001",
            "1000000000000000",
        ] {
            let short = Decimal::short(text.as_bytes()).unwrap();
            assert!(matches!(short, Decimal::Short(_)));
            assert_eq!(written(short), written(Decimal::Text(text)), "{text}");
        }
        let zeros = Decimal::short(b"007.10").unwrap();
        assert_eq!(written(zeros), written(Decimal::Text("7.10")));
    }

    #[test]
    fn what_is_long_or_odd_is_not_short() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "-.5",
            "1e5",
            "+1",
            "1 ",
            "NaN",
            "--1",
            "1.2.3",
            "-0",
            "-0.00",
            "12345678901234567",
            "1234567890123456.7",
        ] {
            assert_eq!(Decimal::short(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn groups_are_the_ones_postgres_sends() {
        let mut out = Vec::new();
        Decimal::Text("12345.678").write_groups(&mut out).unwrap();
        assert_eq!(out, [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1A, 0x7C]);
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "", "-", ".", "1.", ".5", "1e5", "+1", "1 ", "NaN", "--1", "1.2.3",
        ] {
            assert_eq!(Decimal::from_text(text), Err(InvalidDecimal), "{text:?}");
        }
    }
}
