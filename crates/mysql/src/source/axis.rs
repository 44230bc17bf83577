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
    /// 128 bits in hexadecimal.
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

    /// Whether every cut lies where the axis says, so that the server need not be asked.
    pub(super) fn is_exact(self) -> bool {
        matches!(
            self,
            Self::Integer | Self::Scaled(_) | Self::Date | Self::Timestamp
        )
    }

    /// A value between two, above the lower one and at most the upper one; `None` when there is none to be found.
    pub(super) fn between(self, low: &KeyValue, high: &KeyValue) -> Option<KeyValue> {
        match (self, low, high) {
            (Self::Bytes | Self::Text, KeyValue::Hex(low), KeyValue::Hex(high)) => {
                let cut = cut_bytes(&from_hex(low)?, &from_hex(high)?, self == Self::Text)?;
                Some(KeyValue::Hex(to_hex(&cut)))
            }
            _ => {
                let (low, high) = (self.number(low)?, self.number(high)?);
                let middle = low.checked_add((high.checked_sub(low)?) / 2)?;
                let cut = if middle > low { middle } else { high };
                (cut > low).then(|| self.from_number(cut)).flatten()
            }
        }
    }

    /// The value right after, on the axis of whole numbers.
    pub(super) fn next(self, value: &KeyValue) -> Option<KeyValue> {
        match self {
            Self::Integer => self.from_number(self.number(value)?.checked_add(1)?),
            _ => None,
        }
    }

    /// The value right before, on the axis of whole numbers.
    pub(super) fn before(self, value: &KeyValue) -> Option<KeyValue> {
        match self {
            Self::Integer => self.from_number(self.number(value)?.checked_sub(1)?),
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
                Some(i128::from(date_days(date)?) * 86_400_000_000 + clock_micros(clock)?)
            }
            (Self::Uuid, KeyValue::Plain(text)) => {
                i128::from_str_radix(&text.replace('-', ""), 16).ok()
            }
            _ => None,
        }
    }

    fn from_number(self, number: i128) -> Option<KeyValue> {
        Some(match self {
            Self::Integer => KeyValue::Number(number.to_string()),
            Self::Scaled(0) => KeyValue::Number(number.to_string()),
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
                let days = i32::try_from(number.div_euclid(86_400_000_000)).ok()?;
                let seconds = number.rem_euclid(86_400_000_000) / 1_000_000;
                KeyValue::Plain(format!(
                    "{} {:02}:{:02}:{:02}",
                    date_text(days),
                    seconds / 3600,
                    seconds / 60 % 60,
                    seconds % 60
                ))
            }
            Self::Uuid => {
                let hex = format!("{:032x}", u128::try_from(number).ok()?);
                KeyValue::Plain(format!(
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                ))
            }
            Self::Bytes | Self::Text => return None,
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

/// The middle of two strings of bytes: their common beginning, then the mean of what follows.
fn cut_bytes(low: &[u8], high: &[u8], is_text: bool) -> Option<Vec<u8>> {
    let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    let number = |bytes: &[u8]| {
        (0..CUT_BYTES).fold(0_u128, |number, i| {
            number << 8 | u128::from(bytes.get(common + i).copied().unwrap_or(0))
        })
    };
    let middle = u128::midpoint(number(low), number(high));
    let mut cut = high.get(..common)?.to_vec();
    let bytes = middle.to_be_bytes();
    let tail = &bytes[bytes.len() - CUT_BYTES..];
    let end = if is_text {
        tail.len()
    } else {
        tail.iter().rposition(|&byte| byte != 0)? + 1
    };
    cut.extend(
        tail[..end]
            .iter()
            .map(|&byte| if is_text { letter_near(byte) } else { byte }),
    );
    (cut != low).then_some(cut)
}

/// Cuts in text are made of letters and digits, which every collation orders and none ignores.
fn letter_near(byte: u8) -> u8 {
    match byte {
        0..=b'0' => b'0',
        b':'..=b'@' => b'A',
        b'['..=b'`' => b'a',
        b'{'..=255 => b'z',
        other => other,
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(axis: Axis, low: &str, high: &str) -> Option<KeyValue> {
        axis.between(&axis.value(low), &axis.value(high))
    }

    fn plain(text: &str) -> Option<KeyValue> {
        Some(KeyValue::Plain(text.to_owned()))
    }

    fn number(text: &str) -> Option<KeyValue> {
        Some(KeyValue::Number(text.to_owned()))
    }

    #[test]
    fn cuts_lie_in_the_middle() {
        assert_eq!(between(Axis::Integer, "1", "101"), number("51"));
        assert_eq!(
            between(
                Axis::Integer,
                "-9223372036854775808",
                "18446744073709551615"
            ),
            number("4611686018427387903")
        );
        assert_eq!(between(Axis::Integer, "7", "8"), number("8"));
        assert_eq!(between(Axis::Integer, "7", "7"), None);
        assert_eq!(between(Axis::Scaled(2), "-1.50", "2.00"), number("0.25"));
        assert_eq!(
            between(Axis::Date, "2020-01-01", "2020-01-31"),
            plain("2020-01-16")
        );
        assert_eq!(between(Axis::Date, "0000-00-00", "2020-01-31"), None);
        assert_eq!(
            between(
                Axis::Timestamp,
                "2020-01-01 00:00:00.000000",
                "2020-01-02 00:00:00.5"
            ),
            plain("2020-01-01 12:00:00")
        );
        assert_eq!(
            between(
                Axis::Uuid,
                "00000000-0000-0000-0000-000000000000",
                "40000000-0000-0000-0000-000000000000"
            ),
            plain("20000000-0000-0000-0000-000000000000")
        );
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

    #[test]
    fn only_whole_numbers_have_a_next() {
        assert_eq!(
            Axis::Integer.next(&KeyValue::Number("9".to_owned())),
            number("10")
        );
        assert_eq!(
            Axis::Date.next(&KeyValue::Plain("2020-01-01".to_owned())),
            None
        );
    }
}
