//! Where to cut a range of key values in two.
//!
//! Values are put on an axis: numbers, dates and times on the line of integers, texts and bytes by their first bytes that
//! differ. A cut in bytes need not lie between its neighbours by the rules of a collation; the planner asks the server
//! whether it does, so that a bad cut costs a question and never a row.

use whimbrel_core::{CivilDate, Column, ColumnType};

use super::range::{KeyValue, TextForm};

/// Digits of decimals that fit the axis.
const DECIMAL_DIGITS_MAX: u32 = 36;
/// Bytes past the common beginning that a cut looks at.
const CUT_BYTES: usize = 8;

const MICROS_OF_DAY: i128 = 86_400_000_000;
const MICROS_OF_SECOND: i128 = 1_000_000;

/// The line on which a column's values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Whole numbers.
    Integer,
    /// Decimals with so many digits after the point.
    Scaled(u32),
    Date,
    /// Microseconds since 2000-01-01.
    Timestamp,
    /// UUIDs, in the order in which MariaDB keeps them.
    Uuid,
    /// Bytes.
    Bytes,
    /// Text whose letters and digits are those of ASCII.
    Text,
}

impl Axis {
    /// The axis of a key column, if it has one.
    pub(super) fn of(column: &Column) -> Option<Self> {
        match &column.ty {
            ColumnType::Int { .. } | ColumnType::Year | ColumnType::Bit { .. } => {
                Some(Self::Integer)
            }
            ColumnType::Decimal {
                precision: Some((precision, scale)),
                ..
            } if *precision <= DECIMAL_DIGITS_MAX => u32::try_from(*scale).ok().map(Self::Scaled),
            ColumnType::Date => Some(Self::Date),
            ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. } => Some(Self::Timestamp),
            ColumnType::Uuid => Some(Self::Uuid),
            ColumnType::Binary { .. } | ColumnType::Varbinary { .. } => Some(Self::Bytes),
            ColumnType::Char { .. } | ColumnType::Varchar { .. } => {
                let form = TextForm::of(column)?;
                let is_ascii_like =
                    ["utf8", "utf8mb3", "utf8mb4", "latin1", "ascii"].contains(&form.charset);
                is_ascii_like.then_some(Self::Text)
            }
            _ => None,
        }
    }

    /// What to select so that [`Self::value`] understands it. `name` is quoted.
    pub(super) fn expression(self, name: &str) -> String {
        match self {
            Self::Integer => format!("{name} + 0"),
            Self::Bytes | Self::Text => format!("hex({name})"),
            Self::Scaled(_) | Self::Date | Self::Timestamp | Self::Uuid => name.to_owned(),
        }
    }

    /// The value that the server answered.
    pub(super) fn value(self, text: &str) -> KeyValue {
        match self {
            Self::Integer | Self::Scaled(_) => KeyValue::Number(text.to_owned()),
            Self::Date | Self::Timestamp | Self::Uuid => KeyValue::Plain(text.to_owned()),
            Self::Bytes | Self::Text => KeyValue::Hex(text.to_owned()),
        }
    }

    /// Whether a value is of the kind that this axis has.
    pub(super) fn takes(self, value: &KeyValue) -> bool {
        match value {
            KeyValue::Number(_) => matches!(self, Self::Integer | Self::Scaled(_)),
            KeyValue::Plain(_) => matches!(self, Self::Date | Self::Timestamp | Self::Uuid),
            KeyValue::Hex(_) => matches!(self, Self::Bytes | Self::Text),
        }
    }

    /// Whether every cut lies where the axis says, so that the server need not be asked.
    pub(super) fn is_exact(self) -> bool {
        matches!(
            self,
            Self::Integer | Self::Scaled(_) | Self::Date | Self::Timestamp
        )
    }

    /// Values that should lie between two, the best first. On an exact axis they do: above the lower and at most the upper one.
    pub(super) fn between(self, low: &KeyValue, high: &KeyValue) -> Vec<KeyValue> {
        if let (Self::Text, KeyValue::Hex(low), KeyValue::Hex(high)) = (self, low, high) {
            let forms = [Letters::Lower, Letters::Upper, Letters::AsTheyAre];
            return forms
                .iter()
                .filter_map(|form| cut_text(low, high, *form))
                .collect();
        }
        self.middle(low, high).into_iter().collect()
    }

    fn middle(self, low: &KeyValue, high: &KeyValue) -> Option<KeyValue> {
        match (self, low, high) {
            (Self::Bytes, KeyValue::Hex(low), KeyValue::Hex(high)) => {
                let cut = cut_bytes(&from_hex(low)?, &from_hex(high)?)?;
                Some(KeyValue::Hex(to_hex(&cut)))
            }
            (Self::Uuid, KeyValue::Plain(low), KeyValue::Plain(high)) => {
                cut_uuid(low, high).map(KeyValue::Plain)
            }
            _ => {
                let (low, high) = (self.number(low)?, self.number(high)?);
                let middle = low.checked_add((high.checked_sub(low)?) / 2)?;
                let cut = if middle > low { middle } else { high };
                let cut = match self {
                    Self::Timestamp => round_micros(cut, low, high),
                    _ => cut,
                };
                (cut > low).then(|| self.with_number(cut)).flatten()
            }
        }
    }

    /// The value right before, on the axis of whole numbers.
    pub(super) fn before(self, value: &KeyValue) -> Option<KeyValue> {
        match self {
            Self::Integer => self.with_number(self.number(value)?.checked_sub(1)?),
            _ => None,
        }
    }

    fn number(self, value: &KeyValue) -> Option<i128> {
        match (self, value) {
            (Self::Integer, KeyValue::Number(text)) => text.parse().ok(),
            (Self::Scaled(scale), KeyValue::Number(text)) => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                let padded = format!("{whole}{fraction:0<width$}", width = scale as usize);
                padded.parse().ok()
            }
            (Self::Date, KeyValue::Plain(text)) => date_days(text).map(i128::from),
            (Self::Timestamp, KeyValue::Plain(text)) => {
                let (date, clock) = text.split_once(' ')?;
                Some(i128::from(date_days(date)?) * MICROS_OF_DAY + clock_micros(clock)?)
            }
            _ => None,
        }
    }

    fn with_number(self, number: i128) -> Option<KeyValue> {
        Some(match self {
            Self::Integer | Self::Scaled(0) => KeyValue::Number(number.to_string()),
            Self::Scaled(scale) => {
                let sign = if number < 0 { "-" } else { "" };
                let unit = 10_u128.checked_pow(scale)?;
                let digits = number.unsigned_abs();
                KeyValue::Number(format!(
                    "{sign}{}.{:0width$}",
                    digits / unit,
                    digits % unit,
                    width = scale as usize
                ))
            }
            Self::Date => KeyValue::Plain(date_text(i32::try_from(number).ok()?)),
            Self::Timestamp => {
                let days = i32::try_from(number.div_euclid(MICROS_OF_DAY)).ok()?;
                let micros = number.rem_euclid(MICROS_OF_DAY);
                KeyValue::Plain(format!("{} {}", date_text(days), clock_text(micros)))
            }
            Self::Uuid | Self::Bytes | Self::Text => return None,
        })
    }
}

fn date_days(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    CivilDate { year, month, day }.to_days()
}

fn date_text(days: i32) -> String {
    let CivilDate { year, month, day } = CivilDate::from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

fn clock_micros(text: &str) -> Option<i128> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':').map(str::parse::<i128>);
    let (hours, minutes, seconds) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let micros: i128 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some((hours * 3600 + minutes * 60 + seconds) * 1_000_000 + micros)
}

/// A time of day, with as many digits after the second as it needs.
fn clock_text(micros: i128) -> String {
    let (seconds, fraction) = (micros / MICROS_OF_SECOND, micros % MICROS_OF_SECOND);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let clock = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction == 0 {
        return clock;
    }
    let digits = format!("{fraction:06}");
    format!("{clock}.{}", digits.trim_end_matches('0'))
}

/// The moment beside `cut` with the fewest digits after the second that is above `low` and at most `high`. It has no more digits than
/// these two, so that the column can hold it.
fn round_micros(cut: i128, low: i128, high: i128) -> i128 {
    let units = (0..6).map(|digits| MICROS_OF_SECOND / 10_i128.pow(digits));
    let near = units.flat_map(|unit| {
        let below = cut.div_euclid(unit) * unit;
        [below, below + unit]
    });
    near.into_iter()
        .find(|&moment| moment > low && moment <= high)
        .unwrap_or(cut)
}

/// The lengths of a UUID's five parts in hexadecimal digits.
const UUID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];

/// The middle of two UUIDs. MariaDB compares those of versions 1 to 5 by their parts from the last to the first, and others
/// as they are written.
fn cut_uuid(low: &str, high: &str) -> Option<String> {
    let is_swapped = |text: &str| matches!(text.as_bytes().get(14), Some(b'1'..=b'5'));
    let swapped = is_swapped(low);
    let number = |text: &str| {
        let mut parts: Vec<&str> = text.split('-').collect();
        if swapped {
            parts.reverse();
        }
        u128::from_str_radix(&parts.concat(), 16).ok()
    };
    if is_swapped(high) != swapped {
        return None;
    }
    let mut rest = format!("{:032x}", u128::midpoint(number(low)?, number(high)?));
    let mut lengths = UUID_PARTS;
    if swapped {
        lengths.reverse();
    }
    let mut parts: Vec<String> = Vec::new();
    for length in lengths {
        let tail = rest.split_off(length);
        parts.push(std::mem::replace(&mut rest, tail));
    }
    if swapped {
        parts.reverse();
    }
    // Only with its version and variant in place does the server take it for a UUID.
    parts[2].replace_range(..1, low.get(14..15)?);
    parts[3].replace_range(..1, "8");
    Some(parts.join("-"))
}

/// The middle of two strings of bytes: their common beginning, then the mean of what follows.
fn cut_bytes(low: &[u8], high: &[u8]) -> Option<Vec<u8>> {
    let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    let number = |bytes: &[u8]| {
        (0..CUT_BYTES).fold(0_u128, |number, i| {
            number << 8 | u128::from(bytes.get(common + i).copied().unwrap_or(0))
        })
    };
    let middle = u128::midpoint(number(low), number(high)).to_be_bytes();
    let tail = &middle[middle.len() - CUT_BYTES..];
    let end = tail.iter().rposition(|&byte| byte != 0)? + 1;
    let cut = [high.get(..common)?, &tail[..end]].concat();
    (cut != low).then_some(cut)
}

/// How a cut in text spells letters. Collations differ in how they order the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    Lower,
    Upper,
    /// Upper case before lower case, as in ASCII.
    AsTheyAre,
}

impl Letters {
    /// The letters and digits from which cuts are made, in order: every collation orders them, and none ignores any.
    fn alphabet(self) -> &'static [u8] {
        match self {
            Self::Lower => b"0123456789abcdefghijklmnopqrstuvwxyz",
            Self::Upper => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            Self::AsTheyAre => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        }
    }

    /// The place in the alphabet of a byte, or of the next one that is in it.
    fn rank(self, byte: u8) -> u128 {
        let byte = match self {
            Self::Lower => byte.to_ascii_lowercase(),
            Self::Upper => byte.to_ascii_uppercase(),
            Self::AsTheyAre => byte,
        };
        let alphabet = self.alphabet();
        alphabet
            .iter()
            .position(|&letter| letter >= byte)
            .unwrap_or(alphabet.len() - 1) as u128
    }
}

/// The middle of two texts, given and answered in hexadecimal.
fn cut_text(low: &str, high: &str, letters: Letters) -> Option<KeyValue> {
    let (low, high) = (from_hex(low)?, from_hex(high)?);
    let same = |a: u8, b: u8| a == b || letters != Letters::AsTheyAre && a.eq_ignore_ascii_case(&b);
    let common = low
        .iter()
        .zip(&high)
        .take_while(|(a, b)| same(**a, **b))
        .count();
    let alphabet = letters.alphabet();
    let base = alphabet.len() as u128;
    let number = |text: &[u8]| {
        (0..CUT_BYTES).fold(0_u128, |number, i| {
            number * base + text.get(common + i).map_or(0, |&byte| letters.rank(byte))
        })
    };
    let mut middle = u128::midpoint(number(&low), number(&high));
    let mut tail = [0; CUT_BYTES];
    for place in tail.iter_mut().rev() {
        *place = *alphabet.get(usize::try_from(middle % base).ok()?)?;
        middle /= base;
    }
    Some(KeyValue::Hex(to_hex(
        &[high.get(..common)?, &tail].concat(),
    )))
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes
        .iter()
        .flat_map(|&byte| [digit(byte >> 4), digit(byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(axis: Axis, low: &str, high: &str) -> Option<KeyValue> {
        axis.between(&axis.value(low), &axis.value(high))
            .into_iter()
            .next()
    }

    fn plain(text: &str) -> KeyValue {
        KeyValue::Plain(text.to_owned())
    }

    fn number(text: &str) -> KeyValue {
        KeyValue::Number(text.to_owned())
    }

    #[test]
    fn cuts_lie_in_the_middle() {
        assert_eq!(between(Axis::Integer, "1", "101"), Some(number("51")));
        assert_eq!(
            between(
                Axis::Integer,
                "-9223372036854775808",
                "18446744073709551615"
            ),
            Some(number("4611686018427387903"))
        );
        assert_eq!(between(Axis::Integer, "7", "8"), Some(number("8")));
        assert_eq!(between(Axis::Integer, "7", "7"), None);
        assert_eq!(
            between(Axis::Scaled(2), "-1.50", "2.00"),
            Some(number("0.25"))
        );
        assert_eq!(
            between(Axis::Date, "2020-01-01", "2020-01-31"),
            Some(plain("2020-01-16"))
        );
        assert_eq!(between(Axis::Date, "0000-00-00", "2020-01-31"), None);
        assert_eq!(
            between(
                Axis::Timestamp,
                "2020-01-01 00:00:00.000000",
                "2020-01-02 00:00:00.5"
            ),
            Some(plain("2020-01-01 12:00:00"))
        );
        let time_ordered = between(
            Axis::Uuid,
            "00000000-0000-7000-8000-000000000000",
            "40000000-0000-7000-8000-000000000000",
        );
        assert_eq!(
            time_ordered,
            Some(plain("20000000-0000-7000-8000-000000000000"))
        );
        let random = between(
            Axis::Uuid,
            "ffffffff-ffff-4fff-8000-000000000000",
            "00000000-0000-4000-8000-400000000000",
        );
        assert!(random.is_some_and(|cut| matches!(cut, KeyValue::Plain(text) if text.ends_with("-20007fffffff") || text.contains("-8000-2"))));
    }

    #[test]
    fn cuts_between_moments_of_one_second_make_headway() {
        let cut = |low: &str, high: &str| between(Axis::Timestamp, low, high);
        for (low, high, middle) in [
            ("12:00:00.100000", "12:00:00.900000", "12:00:00.5"),
            ("12:00:00.900", "12:00:02.000", "12:00:01"),
            ("12:00:00.5", "12:00:01.4", "12:00:01"),
            // Neighbours: no moment lies between them that the column can hold.
            ("12:00:00.001", "12:00:00.002", "12:00:00.002"),
            ("12:00:00.000001", "12:00:00.000002", "12:00:00.000002"),
            ("12:00:00.000001", "12:00:00.000003", "12:00:00.000002"),
            ("12:00:00", "12:00:01", "12:00:01"),
            ("23:59:59.999998", "23:59:59.999999", "23:59:59.999999"),
        ] {
            let [low, high, middle] =
                [low, high, middle].map(|clock| format!("1999-12-31 {clock}"));
            assert_eq!(cut(&low, &high), Some(plain(&middle)), "{low} {high}");
        }
        assert_eq!(cut("2020-01-01 12:00:00.5", "2020-01-01 12:00:00.5"), None);
    }

    #[test]
    fn cuts_in_bytes_keep_the_common_beginning() {
        assert_eq!(
            between(Axis::Bytes, "AA00", "AA80"),
            Some(KeyValue::Hex("AA40".to_owned()))
        );
        assert_eq!(between(Axis::Bytes, "AA", "AA"), None);
        let Some(KeyValue::Hex(cut)) = between(Axis::Text, "7573657230", "7573657239") else {
            panic!()
        };
        assert!(cut.starts_with("75736572"), "{cut}");
        assert_eq!(between(Axis::Bytes, "A", "B"), None);
    }
}
