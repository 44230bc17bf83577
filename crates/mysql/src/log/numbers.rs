//! Numbers as storage engines and the binary log pack them.

/// Bytes that so many digits take, groups of nine in four bytes.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Digits of a whole group.
const GROUP_DIGITS: usize = 9;

/// The most digits: 65 of columns, and whole groups of up to 81 of the numbers in documents. More are malformed.
const DECIMAL_DIGITS_MAX: u8 = 81;

/// Bytes of a packed DECIMAL.
pub(super) fn decimal_bytes(precision: u8, scale: u8) -> usize {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let part = |digits: usize| digits / GROUP_DIGITS * 4 + GROUP_BYTES[digits % GROUP_DIGITS];
    part(precision.saturating_sub(scale)) + part(scale)
}

/// Appends a packed DECIMAL as text: all its digits after the point, and before it those that count, or all (`pads`).
///
/// Groups of nine digits lie in four bytes each, with the odd digits in as few bytes as hold them at both ends. The highest
/// bit is the sign, set when the number is not negative; of negative numbers all bits are turned over.
///
/// `None` when the bytes are too few or hold more digits than they can.
pub(super) fn write_decimal(
    packed: &[u8],
    precision: u8,
    scale: u8,
    pads: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    if precision > DECIMAL_DIGITS_MAX || scale > precision {
        return None;
    }
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let whole = precision - scale;
    let is_negative = packed.first()? & 0x80 == 0;
    let mut groups = Groups {
        rest: packed,
        is_first: true,
        is_negative,
    };
    if is_negative {
        out.push(b'-');
    }
    let start = out.len();
    groups.write(whole % GROUP_DIGITS, out)?;
    for _ in 0..whole / GROUP_DIGITS {
        groups.write(GROUP_DIGITS, out)?;
    }
    if !pads {
        let zeros = out[start..]
            .iter()
            .take_while(|&&byte| byte == b'0')
            .count();
        out.drain(start..start + zeros);
    }
    if out.len() == start {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        for _ in 0..scale / GROUP_DIGITS {
            groups.write(GROUP_DIGITS, out)?;
        }
        groups.write(scale % GROUP_DIGITS, out)?;
    }
    Some(())
}

struct Groups<'a> {
    rest: &'a [u8],
    is_first: bool,
    is_negative: bool,
}

impl Groups<'_> {
    fn write(&mut self, digits: usize, out: &mut Vec<u8>) -> Option<()> {
        let count = GROUP_BYTES[digits];
        if count == 0 {
            return Some(());
        }
        let (group, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        let flip = if self.is_negative { 0xFF } else { 0 };
        let mut number: u32 = 0;
        for &byte in group {
            let sign = if std::mem::take(&mut self.is_first) {
                0x80
            } else {
                0
            };
            number = number << 8 | u32::from(byte ^ sign ^ flip);
        }
        let limit = 10_u32.pow(u32::try_from(digits).ok()?);
        if number >= limit {
            return None;
        }
        let mut place = limit / 10;
        while place > 0 {
            out.push(b'0' + u8::try_from(number / place % 10).ok()?);
            place /= 10;
        }
        Some(())
    }
}

/// The fewest digits that give the number back, as `-1.25e-7`. Where two are as near, the even one: so the servers do it, and
/// so Rust does it only when it is told how many digits there are.
fn shortest(number: f64) -> String {
    /// With fewer digits there are never two.
    const DIGITS_MIN: usize = 15;
    let text = format!("{number:e}");
    let mantissa = text.split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits < DIGITS_MIN {
        return text;
    }
    let even = format!("{number:.*e}", digits - 1);
    if even.parse() == Ok(number) {
        even
    } else {
        text
    }
}

/// Appends a double as the servers write it: the fewest digits that give it back, with an exponent only for the very large
/// and the very small. (`my_gcvt` of both servers.)
pub(super) fn write_double(number: f64, out: &mut Vec<u8>) {
    /// Beyond so many digits before the point, or zeros after it, an exponent is written.
    const PLAIN_DIGITS_MAX: i32 = 15;
    if number == 0.0 {
        out.extend_from_slice(if number.is_sign_negative() {
            b"-0"
        } else {
            b"0"
        });
        return;
    }
    let text = shortest(number);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The point stands before the first digit times ten to this power.
    let point = exponent + 1;
    out.extend_from_slice(sign.as_bytes());
    let is_plain = point > -PLAIN_DIGITS_MAX && (point <= PLAIN_DIGITS_MAX || count > point);
    if !is_plain {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(format!("e{exponent}").as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend((point..0).map(|_| b'0'));
        out.extend_from_slice(&digits);
    } else {
        for (index, &digit) in (0..).zip(&digits) {
            if index == point {
                out.push(b'.');
            }
            out.push(digit);
        }
        out.extend((count..point).map(|_| b'0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(packed: &[u8], precision: u8, scale: u8) -> Option<String> {
        let mut out = Vec::new();
        write_decimal(packed, precision, scale, false, &mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn decimals_of_either_sign_are_read() {
        // 1234567890.1234 as decimal(14,4): the example of the servers' own source.
        let packed = [0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2];
        assert_eq!(decimal(&packed, 14, 4).unwrap(), "1234567890.1234");
        let negative: Vec<u8> = packed.iter().map(|byte| !byte).collect();
        assert_eq!(decimal(&negative, 14, 4).unwrap(), "-1234567890.1234");
        assert_eq!(decimal(&[0x80], 2, 0).unwrap(), "0");
        assert_eq!(decimal(&[0x80 | 5], 1, 1).unwrap(), "0.5");
        assert_eq!(decimal_bytes(14, 4), 7);
        assert_eq!(decimal_bytes(65, 30), 30);
    }

    #[test]
    fn impossible_decimals_are_refused() {
        assert_eq!(decimal(&[], 1, 0), None);
        assert_eq!(decimal(&[0xFF], 1, 0), None);
        assert_eq!(decimal(&[0x80], 14, 4), None);
        assert_eq!(decimal(&[0x80; 40], 82, 0), None);
        assert_eq!(decimal(&[0x80; 40], 2, 3), None);
    }

    #[test]
    fn doubles_are_written_as_the_servers_do() {
        let text = |number| {
            let mut out = Vec::new();
            write_double(number, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (number, expected) in [
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1e15, "1e15"),
            (1e14, "100000000000000"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1e300, "1e300"),
            (1.5e-300, "1.5e-300"),
            (0.000_012_5, "0.0000125"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (8_230_342_649_137_921.0 / 4.0, "2057585662284480.2"),
            (-0.0, "-0"),
        ] {
            assert_eq!(text(number), expected);
        }
    }
}
