use whimbrel_core::{
    ColumnType, Decimal, Interval, MICROS_PER_SECOND, Time, Timestamp, Value, write_text,
};

use super::encode::Refused;

/// What the server would cut or round in silence when a value goes into a column.
///
/// Values of a planned column always fit. A table that was there before the load may have narrower columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    None,
    /// Digits after the point of `numeric(p,s)`.
    Scale(i32),
    /// Digits of fractional seconds.
    SecondDigits(u32),
    /// The smallest part of an interval.
    Part(IntervalPart),
    /// Characters; trailing blanks past them carry meaning in `varchar` only.
    Chars {
        most: usize,
        is_padded: bool,
    },
    /// Characters of a column that is padded, whose values come from one that is not: trailing blanks carry meaning, and are lost.
    CharsWithoutBlanks(usize),
}

/// The part of an interval below which its column keeps nothing: `AdjustIntervalForTypmod` in `timestamp.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntervalPart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

impl IntervalPart {
    /// Reads the fields of a type, which end with the smallest: `day to minute`. Seconds are limited by their digits alone.
    fn of(fields: &str) -> Option<Self> {
        Some(match fields.rsplit(' ').next()? {
            "year" => Self::Year,
            "month" => Self::Month,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            _ => return None,
        })
    }

    fn holds(self, interval: &Interval) -> bool {
        let Interval {
            months,
            days,
            micros,
        } = *interval;
        let is_whole = |unit: i64| micros % (unit * MICROS_PER_SECOND) == 0;
        match self {
            Self::Year => months % 12 == 0 && days == 0 && micros == 0,
            Self::Month => days == 0 && micros == 0,
            Self::Day => micros == 0,
            Self::Hour => is_whole(3600),
            Self::Minute => is_whole(60),
        }
    }
}

impl Limit {
    /// Reads the limit from a type as `format_type` prints it.
    pub(crate) fn of(native: &str) -> Self {
        if native.contains("[]") {
            return Self::None;
        }
        let Some((base, rest)) = native.split_once('(') else {
            let fields = native.strip_prefix("interval ");
            return fields
                .and_then(IntervalPart::of)
                .map_or(Self::None, Self::Part);
        };
        let arguments = rest.split(')').next().unwrap_or_default();
        match base.split(' ').next().unwrap_or_default() {
            "numeric" => {
                let scale = arguments.split_once(',').map_or("0", |(_, scale)| scale);
                scale.trim().parse().map_or(Self::None, Self::Scale)
            }
            "timestamp" | "time" | "interval" => {
                arguments.parse().map_or(Self::None, Self::SecondDigits)
            }
            "character" | "varchar" | "bpchar" => {
                let is_padded = !base.contains("var");
                arguments
                    .parse()
                    .map_or(Self::None, |most| Self::Chars { most, is_padded })
            }
            _ => Self::None,
        }
    }

    /// The limit for values of a column of this type.
    pub(crate) fn for_source(self, ty: &ColumnType) -> Self {
        match self {
            Self::Chars {
                most,
                is_padded: true,
            } if !matches!(ty, ColumnType::Char { .. }) => Self::CharsWithoutBlanks(most),
            other => other,
        }
    }

    /// Refuses a value that would not arrive as it is.
    #[inline]
    pub(crate) fn check(self, value: &Value<'_>) -> Result<(), Refused> {
        match self {
            Self::None => Ok(()),
            Self::Scale(scale) => check_scale(value, scale),
            Self::SecondDigits(digits) => check_seconds(value, digits),
            Self::Part(part) => check_part(value, part),
            Self::CharsWithoutBlanks(most) => match value {
                Value::Text(text) | Value::Json(text) if text.ends_with(' ') => Err(BLANKS),
                Value::Text(text) | Value::Json(text) => check_chars(text, most, true),
                _ => Ok(()),
            },
            Self::Chars { most, is_padded } => match value {
                Value::Text(text) | Value::Json(text) => check_chars(text, most, is_padded),
                _ => Ok(()),
            },
        }
    }
}

const PAST_SCALE: Refused = "it has more digits after the point than the column";

fn check_scale(value: &Value<'_>, scale: i32) -> Result<(), Refused> {
    match value {
        Value::Decimal(Decimal::Short(short)) if i32::from(short.scale()) <= scale => Ok(()),
        Value::Decimal(Decimal::Groups(digits)) if i32::from(digits.scale) <= scale => Ok(()),
        Value::Decimal(Decimal::NaN | Decimal::Infinity | Decimal::NegInfinity) => Ok(()),
        Value::Int(_) | Value::UInt(_) if scale >= 0 => Ok(()),
        Value::Decimal(Decimal::Text(text)) => {
            if has_digits_past(text.as_bytes(), scale) {
                Err(PAST_SCALE)
            } else {
                Ok(())
            }
        }
        Value::Decimal(_) | Value::Int(_) | Value::UInt(_) => {
            let mut text = Vec::new();
            write_text(value, &mut text);
            if has_digits_past(&text, scale) {
                Err(PAST_SCALE)
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

/// Whether a decimal's text has a digit other than zero past `scale` places after the point; a negative scale counts
/// places before it.
fn has_digits_past(text: &[u8], scale: i32) -> bool {
    let point = text
        .iter()
        .position(|&byte| byte == b'.')
        .unwrap_or(text.len());
    let kept = if scale >= 0 {
        point + 1 + usize::try_from(scale).unwrap_or(0)
    } else {
        point.saturating_sub(usize::try_from(-i64::from(scale)).unwrap_or(0))
    };
    text.get(kept..)
        .unwrap_or_default()
        .iter()
        .any(|byte| matches!(byte, b'1'..=b'9'))
}

fn check_seconds(value: &Value<'_>, digits: u32) -> Result<(), Refused> {
    let micros = match value {
        Value::Timestamp(Timestamp::Micros(micros))
        | Value::TimestampTz(Timestamp::Micros(micros))
        | Value::Time(Time { micros })
        | Value::TimeTz(Time { micros }, _)
        | Value::Interval(Interval { micros, .. }) => *micros,
        _ => return Ok(()),
    };
    let is_infinite = matches!(value, Value::Interval(interval) if is_infinite(interval));
    let unit = 10_i64.pow(6_u32.saturating_sub(digits));
    if micros % unit == 0 || is_infinite {
        Ok(())
    } else {
        Err("it has more digits of fractional seconds than the column")
    }
}

const BLANKS: Refused = "the column would drop its trailing spaces";

fn check_part(value: &Value<'_>, part: IntervalPart) -> Result<(), Refused> {
    match value {
        Value::Interval(interval) if !is_infinite(interval) && !part.holds(interval) => {
            Err("it has parts that are smaller than the column keeps")
        }
        _ => Ok(()),
    }
}

/// The infinite intervals have every part at its limit.
fn is_infinite(interval: &Interval) -> bool {
    *interval == Interval::INFINITY || *interval == Interval::NEG_INFINITY
}

/// A text of which the column would hold a part.
pub(crate) const TOO_LONG: Refused = "it is longer than the column";

fn check_chars(text: &str, most: usize, is_padded: bool) -> Result<(), Refused> {
    if text.len() <= most {
        return Ok(());
    }
    let text = if is_padded {
        text.trim_end_matches(' ')
    } else {
        text
    };
    if text.chars().count() <= most {
        Ok(())
    } else {
        Err(TOO_LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(native: &str, value: Value<'_>) -> bool {
        Limit::of(native).check(&value).is_ok()
    }

    #[test]
    fn decimals_fit_when_nothing_but_zeros_is_cut() {
        let decimal = |text| Value::Decimal(Decimal::Text(text));
        assert!(fits("numeric(9,2)", decimal("1.2300")));
        assert!(!fits("numeric(9,2)", decimal("1.234")));
        assert!(!fits("numeric(9)", decimal("-0.1")));
        assert!(fits("numeric", decimal("1.234")));
        assert!(fits("numeric(3,-2)", decimal("12300.00")));
        assert!(!fits("numeric(3,-2)", Value::Int(12_310)));
        assert!(!fits("numeric(2,5)", decimal("0.000999")));
        assert!(fits("numeric(9,2)", Value::Decimal(Decimal::NaN)));
    }

    #[test]
    fn times_fit_by_their_digits() {
        let at = |micros| Value::Timestamp(Timestamp::Micros(micros));
        assert!(fits("timestamp(3) without time zone", at(5_000)));
        assert!(!fits("timestamp(3) without time zone", at(-5_001)));
        assert!(!fits(
            "time(0) without time zone",
            Value::Time(Time { micros: 1 })
        ));
        assert!(fits("timestamp without time zone", at(1)));
        assert!(fits("interval(0)", Value::Interval(Interval::INFINITY)));
    }

    #[test]
    fn texts_fit_by_characters() {
        assert!(fits("character varying(2)", Value::Text("𝄞𝄞")));
        assert!(!fits("character varying(2)", Value::Text("a  ")));
        assert!(fits("character(2)", Value::Text("a    ")));
        assert!(!fits("character(2)", Value::Text("abc")));
        assert!(fits("character varying(2)[]", Value::Text("{abc}")));
        let text = ColumnType::Text { bytes_max: None };
        let from_text = Limit::of("character(3)").for_source(&text);
        assert!(from_text.check(&Value::Text("ab")).is_ok());
        assert!(from_text.check(&Value::Text("ab ")).is_err());
        assert!(from_text.check(&Value::Text("abcd")).is_err());
        let from_char = Limit::of("character(3)").for_source(&ColumnType::Char { length: 9 });
        assert!(from_char.check(&Value::Text("ab       ")).is_ok());
    }

    #[test]
    fn intervals_fit_by_their_parts() {
        const HOUR: i64 = 3600 * MICROS_PER_SECOND;
        let of = |months, days, micros| {
            Value::Interval(Interval {
                months,
                days,
                micros,
            })
        };
        for (native, least, too_small) in [
            ("interval year", of(-24, 0, 0), of(25, 0, 0)),
            ("interval month", of(25, 0, 0), of(25, 1, 0)),
            ("interval year to month", of(25, 0, 0), of(25, 0, 1)),
            ("interval day", of(1, 2, 0), of(0, 2, HOUR)),
            (
                "interval day to hour",
                of(1, 2, -3 * HOUR),
                of(0, 0, HOUR / 60),
            ),
            (
                "interval day to minute",
                of(1, 2, HOUR / 60),
                of(0, 0, HOUR / 61),
            ),
            ("interval minute", of(1, 2, -HOUR / 60), of(0, 0, 1)),
            ("interval day to second(3)", of(1, 2, 1000), of(0, 0, 1)),
        ] {
            assert!(fits(native, least), "{native}");
            assert!(!fits(native, too_small), "{native}");
            assert!(
                fits(native, Value::Interval(Interval::INFINITY)),
                "{native}"
            );
        }
        assert!(fits("interval hour to second", of(1, 2, 1)));
        assert!(fits("interval day[]", of(1, 2, 1)));
    }
}
