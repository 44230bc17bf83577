//! Whether a decimal number survives as a double.

/// Every decimal of so many digits comes back from the nearest double.
const DOUBLE_DIGITS: usize = 15;

/// Whether the decimal number, read as the nearest double and written in its shortest form, has the same digits.
pub(super) fn decimal_fits_double(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let has_exponent = text.contains(['e', 'E']);
    if digits <= DOUBLE_DIGITS && !has_exponent {
        return true;
    }
    let Ok(number) = text.parse::<f64>() else {
        return false;
    };
    number.is_finite() && normal_form(text) == normal_form(&format!("{number:e}"))
}

/// Digits without zeros at either end, and the power of ten of the first; the sign does not matter here.
fn normal_form(text: &str) -> (Vec<u8>, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mantissa = mantissa.trim_start_matches(['-', '+']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    let trailing = digits
        .iter()
        .rev()
        .take_while(|&&digit| digit == b'0')
        .count();
    if leading == digits.len() {
        return (Vec::new(), 0);
    }
    let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
    let place = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
    let power = exponent
        .saturating_add(place(whole.len()))
        .saturating_sub(place(leading));
    (digits[leading..digits.len() - trailing].to_vec(), power)
}

/// Whether every number of a JSON document is a 64-bit integer or survives as a double.
pub(super) fn json_numbers_fit(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| {
                        matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                    })
                    .count();
                if !number_fits(&text[at..at + length]) {
                    return false;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    true
}

/// The place after the string that began before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn number_fits(number: &str) -> bool {
    number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() || decimal_fits_double(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_keep_their_shortest_digits_and_no_more() {
        for fits in [
            "0.1",
            "-1.50",
            "123456789012345",
            "1e300",
            "0.30000000000000004",
            "1e22",
            "0",
            "0e99",
        ] {
            assert!(decimal_fits_double(fits), "{fits}");
        }
        for lost in [
            "0.1234567890123456789",
            "12345678901234567891",
            "1e400",
            "0.10000000000000000001",
        ] {
            assert!(!decimal_fits_double(lost), "{lost}");
        }
    }

    #[test]
    fn numbers_inside_strings_of_a_document_do_not_matter() {
        assert!(json_numbers_fit(
            r#"{"a\"1.2345678901234567891": [18446744073709551615, -1, 2.5, "9e999"]}"#
        ));
        assert!(!json_numbers_fit(r#"[1, {"x": 1.2345678901234567891}]"#));
        assert!(!json_numbers_fit("18446744073709551617"));
        assert!(json_numbers_fit(r#""unended"#));
    }
}
