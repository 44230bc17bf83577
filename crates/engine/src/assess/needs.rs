//! Which bounds of a target's column values of a source's can lie beyond at all.

use whimbrel_connector::{Bounds, Without};
use whimbrel_core::ColumnType;

/// Bytes of the longest character in UTF-8.
const CHAR_BYTES: u64 = 4;

/// What of the bounds is worth a question, for a column of this type.
pub(super) fn needed(ty: &ColumnType, bounds: &Bounds) -> Bounds {
    let none = Bounds::default();
    match ty {
        ColumnType::Char { length } => of_text(Some(u64::from(*length)), None, bounds),
        ColumnType::Varchar { length } => of_text(length.map(u64::from), None, bounds),
        ColumnType::Text { bytes_max } => of_text(*bytes_max, *bytes_max, bounds),
        ColumnType::Json { .. } | ColumnType::Native { .. } => of_text(None, None, bounds),
        ColumnType::Binary { length } | ColumnType::Varbinary { length } => {
            of_bytes(Some(u64::from(*length)), bounds)
        }
        ColumnType::Blob { bytes_max } => of_bytes(*bytes_max, bounds),
        ColumnType::Int { bits, unsigned } => Bounds {
            numbers: bounds
                .numbers
                .clone()
                .filter(|(least, greatest)| !holds_int((*bits, *unsigned), least, greatest)),
            ..none
        },
        ColumnType::Decimal { precision, .. } => of_decimal(*precision, bounds),
        ColumnType::Float32 | ColumnType::Float64 => Bounds {
            numbers: bounds.numbers.clone(),
            without: Without {
                infinite: bounds.without.infinite,
                ..Without::default()
            },
            ..none
        },
        ColumnType::Date | ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. } => {
            Bounds {
                years: bounds.years,
                without: Without {
                    durations: false,
                    ..bounds.without
                },
                ..none
            }
        }
        ColumnType::Time { .. } => Bounds {
            without: Without {
                durations: bounds.without.durations,
                ..Without::default()
            },
            ..none
        },
        ColumnType::Bool
        | ColumnType::Bit { .. }
        | ColumnType::TimeTz { .. }
        | ColumnType::Year
        | ColumnType::Interval
        | ColumnType::Uuid
        | ColumnType::Enum { .. }
        | ColumnType::Set { .. }
        | ColumnType::Geometry { .. } => none,
    }
}

fn of_text(chars: Option<u64>, bytes: Option<u64>, bounds: &Bounds) -> Bounds {
    let bytes = bytes.or(chars.map(|chars| chars.saturating_mul(CHAR_BYTES)));
    let is_beyond = |most: Option<u64>, limit: &u64| most.is_none_or(|most| most > *limit);
    Bounds {
        chars_max: bounds.chars_max.filter(|limit| is_beyond(chars, limit)),
        bytes_max: bounds.bytes_max.filter(|limit| is_beyond(bytes, limit)),
        without: Without {
            nul: bounds.without.nul,
            ..Without::default()
        },
        ..Bounds::default()
    }
}

fn of_bytes(bytes: Option<u64>, bounds: &Bounds) -> Bounds {
    Bounds {
        bytes_max: bounds
            .bytes_max
            .filter(|limit| bytes.is_none_or(|most| most > *limit)),
        ..Bounds::default()
    }
}

fn of_decimal(precision: Option<(u32, i32)>, bounds: &Bounds) -> Bounds {
    let whole_digits = |number: &str| {
        let whole = number.split('.').next().unwrap_or_default();
        i64::try_from(whole.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i64::MAX)
    };
    // A bound of nines holds every number of as many digits; any other is asked for.
    let is_nines = |number: &str| number.bytes().all(|byte| matches!(byte, b'9' | b'.'));
    let fits = |greatest: &str| {
        precision.is_some_and(|(digits, scale)| {
            is_nines(greatest) && i64::from(digits) - i64::from(scale) <= whole_digits(greatest)
        })
    };
    Bounds {
        numbers: bounds
            .numbers
            .clone()
            .filter(|(least, greatest)| !fits(greatest) || !least.starts_with('-')),
        scale_max: bounds.scale_max.filter(|limit| {
            precision.is_none_or(|(_, scale)| i64::from(scale) > i64::from(*limit))
        }),
        without: Without {
            infinite: bounds.without.infinite,
            ..Without::default()
        },
        ..Bounds::default()
    }
}

/// Whether every whole number of so many bits lies within.
fn holds_int((bits, unsigned): (u8, bool), least: &str, greatest: &str) -> bool {
    let whole = |number: &str| {
        number
            .split('.')
            .next()
            .and_then(|whole| whole.parse().ok())
    };
    let (Some(least), Some(greatest)) = (whole(least), whole(greatest)) else {
        return false;
    };
    let span = 1_i128 << bits.min(64);
    let (from, to) = if unsigned {
        (0, span - 1)
    } else {
        (-(span / 2), span / 2 - 1)
    };
    least <= from && to <= greatest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(least: &str, greatest: &str) -> Bounds {
        Bounds {
            numbers: Some((least.to_owned(), greatest.to_owned())),
            scale_max: Some(2),
            ..Bounds::default()
        }
    }

    #[test]
    fn what_always_fits_is_not_asked_for() {
        let int = |bits| ColumnType::Int {
            bits,
            unsigned: false,
        };
        let small = numbers("-32768", "32767");
        assert!(needed(&int(16), &small).is_none());
        assert!(needed(&int(32), &small).numbers.is_some());
        let text = Bounds {
            chars_max: Some(10),
            ..Bounds::default()
        };
        let varchar = |length| ColumnType::Varchar { length };
        assert!(needed(&varchar(Some(10)), &text).is_none());
        assert!(needed(&varchar(Some(11)), &text).chars_max.is_some());
        assert!(needed(&varchar(None), &text).chars_max.is_some());
        assert!(needed(&int(64), &text).is_none());
    }

    #[test]
    fn decimals_of_fewer_digits_fit() {
        let decimal = |precision| ColumnType::Decimal {
            precision,
            unsigned: false,
        };
        let bounds = numbers("-999.99", "999.99");
        assert!(needed(&decimal(Some((5, 2))), &bounds).is_none());
        assert!(needed(&decimal(Some((6, 2))), &bounds).numbers.is_some());
        assert!(needed(&decimal(Some((4, 3))), &bounds).scale_max.is_some());
        assert!(needed(&decimal(None), &bounds).numbers.is_some());
        let unsigned = numbers("0", "999.99");
        assert!(needed(&decimal(Some((5, 2))), &unsigned).numbers.is_some());
    }
}
