//! Random values, as text that SQL of either family reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use whimbrel_testkit::Engine;

use crate::random::Random;

/// What is easily lost on the way: quotes, escapes, separators, control characters, long and short encodings.
const PIECES: &[&str] = &[
    "a",
    "Z",
    "0",
    " ",
    "  ",
    "'",
    "\"",
    "\\",
    "\\N",
    "\\.",
    "\\t",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\u{1}",
    "\u{8}",
    "\u{c}",
    "\u{1f}",
    "\u{7f}",
    "\u{80}",
    "ö",
    "e\u{301}",
    "€",
    "\u{feff}",
    "\u{fffd}",
    "𝄞",
    "🎵",
    "\u{10ffff}",
    "%",
    "_",
    ",",
    ";",
    "{",
    "}",
    "(",
    ")",
    "NULL",
    "--",
    "$",
    "\u{200d}",
];

/// Up to `pieces_max` pieces and at most `chars_max` characters.
pub(super) fn text(random: &mut Random, pieces_max: usize, chars_max: usize) -> String {
    let count = random.below(pieces_max + 1);
    let text: String = (0..count).map(|_| random.pick(PIECES)).collect();
    text.chars().take(chars_max).collect()
}

/// Up to `bytes_max` bytes; now and then all of them in a row.
pub(super) fn bytes(random: &mut Random, bytes_max: usize) -> Vec<u8> {
    if bytes_max >= 256 && random.one_in(8) {
        return (0..=255).collect();
    }
    let count = random.below(bytes_max + 1);
    (0..count).map(|_| random.bits().to_le_bytes()[0]).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// A number of the range, one of its ends or next to zero.
pub(super) fn int(random: &mut Random, least: i128, most: i128) -> i128 {
    match random.below(6) {
        0 => least,
        1 => most,
        2 => random.of(-2..=2).clamp(least, most),
        _ => random.of(least..=most),
    }
}

/// A decimal number with at most so many digits before and after the point.
pub(super) fn decimal(random: &mut Random, before_max: usize, after_max: usize) -> String {
    let is_extreme = random.one_in(5);
    let (before, after) = if is_extreme {
        (before_max, after_max)
    } else {
        (random.below(before_max + 1), random.below(after_max + 1))
    };
    let mut digits = |count: usize| -> String {
        let digit = |_| {
            if is_extreme {
                "9".to_owned()
            } else {
                random.below(10).to_string()
            }
        };
        (0..count).map(digit).collect()
    };
    let (before, after) = (digits(before), digits(after));
    let sign = random.pick(&["", "-"]);
    match after.as_str() {
        "" => format!("{sign}0{before}"),
        after => format!("{sign}0{before}.{after}"),
    }
}

/// MariaDB keeps no sign of a zero.
fn zero(to: Engine) -> String {
    if to.is_mariadb() { "0e0" } else { "-0e0" }.to_owned()
}

pub(super) fn double(random: &mut Random, to: Engine) -> String {
    let value = f64::from_bits(random.bits());
    match random.below(8) {
        0 => zero(to),
        1 => "5e-324".to_owned(),
        2 => "-1.7976931348623157e308".to_owned(),
        3 => "0.1e0".to_owned(),
        _ if value.is_finite() => format!("{value:e}"),
        _ => "9007199254740993e0".to_owned(),
    }
}

pub(super) fn single(random: &mut Random, to: Engine) -> String {
    let value = f32::from_bits(u32::try_from(random.bits() >> 32).unwrap());
    match random.below(8) {
        0 => zero(to),
        1 => "1.17549435e-38".to_owned(),
        2 => "-3.4028234e38".to_owned(),
        3 => "16777216e0".to_owned(),
        _ if value.is_normal() => format!("{value:e}"),
        _ => "0.1e0".to_owned(),
    }
}

/// A UUID of the random kind: MariaDB takes no others than those of the standard.
pub(super) fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high & 0xffff,
        (high >> 16) & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

pub(super) fn zeros_and_ones(random: &mut Random, count: usize) -> String {
    (0..count).map(|_| random.pick(&["0", "1"])).collect()
}

/// A time of day, in microseconds, its ends included.
pub(super) fn day_us(random: &mut Random) -> i128 {
    int(random, 0, 86_399_999_999)
}

/// `HH:MM:SS.ffffff` of microseconds; hours may be any.
pub(super) fn clock(us: i128) -> String {
    let (sign, us) = (if us < 0 { "-" } else { "" }, us.abs());
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    format!(
        "{sign}{:02}:{:02}:{:02}.{us:06}",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// A document in the form that PostgreSQL's `jsonb` and MySQL both print: keys in order of length, then of bytes.
pub(super) fn json(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 6 } else { 8 }) {
        0 => "null".to_owned(),
        1 => random.pick(&["true", "false"]).to_owned(),
        2 => int(random, i128::from(i64::MIN), i128::from(u64::MAX)).to_string(),
        3 => random.pick(&["0.5", "-12.25", "3.75", "0.1"]).to_owned(),
        4 | 5 => json_text(&text(random, 6, 20)),
        6 => {
            let items: Vec<_> = (0..random.below(4))
                .map(|_| json(random, depth - 1))
                .collect();
            format!("[{}]", items.join(", "))
        }
        _ => {
            let mut members = BTreeMap::new();
            for _ in 0..random.below(4) {
                let key = text(random, 3, 9);
                members.insert((key.len(), key), json(random, depth - 1));
            }
            let member = |((_, key), value): (&(usize, String), &String)| {
                format!("{}: {value}", json_text(key))
            };
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn json_text(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            c if c < ' ' => write!(json, "\\u{:04x}", u32::from(c)).unwrap(),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
