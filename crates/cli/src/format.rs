//! Numbers, sizes and times for people.

use std::time::Duration;

/// A whole number with its thousands parted: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// About how many, in three digits: `12.3M`.
pub(crate) fn rough_count(number: f64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T"])
}

/// A size: `12.3 MiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(number: u64) -> String {
    rough_bytes(number as f64)
}

/// A size that is known about.
pub(crate) fn rough_bytes(number: f64) -> String {
    scaled(number, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let mut value = number.max(0.0);
    let mut unit = 0;
    // What would be printed as 1000 or more belongs to the next unit.
    while unit + 1 < units.len() && value >= 999.5 {
        value /= step;
        unit += 1;
    }
    let digits = match unit {
        0 => 0,
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", units[unit])
}

/// A time: `0.42 s`, `12.3 s`, `2 m 05 s`, `3 h 07 m`, `2 d 04 h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", time.as_secs_f64()),
        10..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// A time that is known about, in whole seconds where it is short.
pub(crate) fn rough_duration(time: Duration) -> String {
    if time.as_secs() < 60 {
        format!("{} s", time.as_secs())
    } else {
        duration(time)
    }
}

/// A number of things: `1 table`, `2 tables`.
pub(crate) fn things(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number as u64))
}

/// Reads a size: `1048576`, `64MiB`, `1.5 GB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("{text} is no size; write it as 128MiB, 500MB or 1GiB");
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    if !number.contains('.') {
        let number: u64 = number.parse().map_err(|_| wrong())?;
        return number.checked_mul(factor).ok_or_else(wrong);
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size with a fraction is one that a person estimates; the cast saturates"
    )]
    Ok((number * factor as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_part_their_thousands() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), expected);
        }
    }

    #[test]
    fn rough_numbers_have_three_digits() {
        for (number, expected) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (12_345.0, "12.3k"),
            (999_900.0, "1.00M"),
            (4.2e15, "4200T"),
        ] {
            assert_eq!(rough_count(number), expected);
        }
    }

    #[test]
    fn sizes_use_binary_units() {
        for (number, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1023, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (128 << 20, "128 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn times_show_two_units_at_most() {
        for (millis, expected) in [
            (420, "0.42 s"),
            (12_340, "12.3 s"),
            (125_000, "2 m 05 s"),
            (11_220_000, "3 h 07 m"),
            (187_200_000, "2 d 04 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn sizes_are_read_in_either_kind_of_unit() {
        for (text, expected) in [
            ("4096", 4096),
            ("128MiB", 128 << 20),
            ("1 gb", 1_000_000_000),
            ("1.5k", 1536),
        ] {
            assert_eq!(parse_bytes(text), Ok(expected));
        }
        for text in ["", "MiB", "12 parsecs", "1.2.3k", "99999999999999999999G"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
