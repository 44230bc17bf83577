//! Dates and times as storage engines and the binary log pack them.
//!
//! Those with microseconds (since MySQL 5.6) are big-endian numbers shifted so that they are never negative, then the
//! fraction in as few bytes as its digits need. MariaDB has forms of its own for columns made with
//! `mysql56_temporal_format` off.

use whimbrel_core::{
    CivilDate, DAYS_1970_TO_2000, Date, MICROS_PER_DAY, MICROS_PER_SECOND, Time, Timestamp, Value,
    write_text,
};

/// Bytes of the fraction for each count of digits; also of MariaDB's own form of instants.
const FRACTION_BYTES: [usize; 7] = [0, 1, 1, 2, 2, 3, 3];
/// Microseconds per unit of a fraction of so many bytes.
const FRACTION_MICROS: [i64; 4] = [0, 10_000, 100, 1];
/// Seconds from 1970 to 2000.
const SECONDS_1970_TO_2000: i64 = 946_684_800;
/// Microseconds of each unit of MariaDB's own forms, by digits of the fraction.
const DIGIT_MICROS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
/// Bytes of MariaDB's own forms, by digits of the fraction.
const MARIA_TIME_BYTES: [usize; 7] = [3, 4, 4, 5, 5, 5, 6];
const MARIA_DATETIME_BYTES: [usize; 7] = [5, 6, 6, 7, 7, 7, 8];

/// How a column of dates or times is packed; the digits are those of its fraction, 0 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeForm {
    Date,
    /// `TIME2` and so on.
    Time(u8),
    DateTime(u8),
    Instant(u8),
    /// Before MySQL 5.6, without fractions.
    OldTime,
    OldDateTime,
    OldInstant,
    /// MariaDB's own, with fractions.
    MariaTime(u8),
    MariaDateTime(u8),
    MariaInstant(u8),
}

/// A cell of a column of dates or times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Date(Date),
    Time(Time),
    DateTime(Timestamp),
    Instant(Timestamp),
}

fn digits(count: u8) -> usize {
    usize::from(count.min(6))
}

impl TimeForm {
    /// Bytes of a cell.
    pub(super) fn byte_count(self) -> usize {
        match self {
            Self::Date | Self::OldTime => 3,
            Self::Time(count) => 3 + FRACTION_BYTES[digits(count)],
            Self::DateTime(count) => 5 + FRACTION_BYTES[digits(count)],
            Self::Instant(count) | Self::MariaInstant(count) => 4 + FRACTION_BYTES[digits(count)],
            Self::OldDateTime => 8,
            Self::OldInstant => 4,
            Self::MariaTime(count) => MARIA_TIME_BYTES[digits(count)],
            Self::MariaDateTime(count) => MARIA_DATETIME_BYTES[digits(count)],
        }
    }

    /// Reads a cell of [`Self::byte_count`] bytes. `None` when it holds no time.
    pub(super) fn read(self, cell: &[u8]) -> Option<Moment> {
        let big = |bytes: &[u8]| -> i64 {
            bytes
                .iter()
                .fold(0, |number, &byte| number << 8 | i64::from(byte))
        };
        let little = |bytes: &[u8]| -> i64 {
            bytes
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | i64::from(byte))
        };
        Some(match self {
            Self::Date => {
                let packed = little(cell);
                Moment::Date(date(packed >> 9, packed >> 5 & 15, packed & 31)?)
            }
            Self::Time(count) => Moment::Time(time(big(cell), digits(count))?),
            Self::DateTime(count) => Moment::DateTime(date_time(cell, digits(count))?),
            Self::Instant(count) => {
                let (seconds, fraction) = cell.split_at_checked(4)?;
                let micros = big(fraction) * FRACTION_MICROS[FRACTION_BYTES[digits(count)]];
                Moment::Instant(instant(big(seconds), micros)?)
            }
            Self::OldTime => {
                // Signed, as the digits hhmmss.
                let packed = little(cell) << 40 >> 40;
                let [hours, minutes, seconds] = clock_digits(packed.abs());
                let micros = clock(hours, minutes, seconds, 0)?;
                Moment::Time(signed_time(packed < 0, micros))
            }
            Self::OldDateTime => {
                let packed = little(cell);
                let [year, month, day] = date_digits(packed / 1_000_000);
                let [hours, minutes, seconds] = clock_digits(packed % 1_000_000);
                let micros = day_clock(hours, minutes, seconds, 0)?;
                Moment::DateTime(timestamp(year, month, day, micros)?)
            }
            Self::OldInstant => Moment::Instant(instant(little(cell), 0)?),
            Self::MariaTime(count) => Moment::Time(maria_time(big(cell), digits(count))?),
            Self::MariaDateTime(count) => {
                Moment::DateTime(maria_date_time(big(cell), digits(count))?)
            }
            Self::MariaInstant(count) => {
                let (seconds, fraction) = cell.split_at_checked(4)?;
                Moment::Instant(instant(
                    big(seconds),
                    big(fraction) * DIGIT_MICROS[digits(count)],
                )?)
            }
        })
    }
}

fn date_digits(number: i64) -> [i64; 3] {
    [number / 10_000, number / 100 % 100, number % 100]
}

fn clock_digits(number: i64) -> [i64; 3] {
    [number / 10_000, number / 100 % 100, number % 100]
}

/// Microseconds of a duration.
fn clock(hours: i64, minutes: i64, seconds: i64, micros: i64) -> Option<i64> {
    let fits = (0..1024).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds)
        && (0..MICROS_PER_SECOND).contains(&micros);
    fits.then(|| ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
}

/// Microseconds since midnight.
fn day_clock(hours: i64, minutes: i64, seconds: i64, micros: i64) -> Option<i64> {
    clock(hours, minutes, seconds, micros).filter(|&micros| micros < MICROS_PER_DAY)
}

fn signed_time(is_negative: bool, micros: i64) -> Time {
    Time {
        micros: if is_negative { -micros } else { micros },
    }
}

fn parts(year: i64, month: i64, day: i64) -> Option<(u16, u8, u8, Option<i32>)> {
    let year = u16::try_from(year).ok().filter(|&year| year <= 9999)?;
    let month = u8::try_from(month).ok().filter(|&month| month <= 12)?;
    let day = u8::try_from(day).ok().filter(|&day| day <= 31)?;
    let civil = CivilDate {
        year: i32::from(year),
        month,
        day,
    };
    Some((year, month, day, civil.to_days()))
}

fn date(year: i64, month: i64, day: i64) -> Option<Date> {
    let (year, month, day, days) = parts(year, month, day)?;
    Some(days.map_or(Date::Zero { year, month, day }, Date::Days))
}

fn timestamp(year: i64, month: i64, day: i64, micros: i64) -> Option<Timestamp> {
    let (year, month, day, days) = parts(year, month, day)?;
    Some(match days {
        Some(days) => Timestamp::Micros(i64::from(days) * MICROS_PER_DAY + micros),
        None => Timestamp::Zero {
            year,
            month,
            day,
            micros,
        },
    })
}

/// Second 0 of 1970 stands for the zero date.
fn instant(seconds: i64, micros: i64) -> Option<Timestamp> {
    if !(0..MICROS_PER_SECOND).contains(&micros) {
        return None;
    }
    if seconds == 0 && micros == 0 {
        return timestamp(0, 0, 0, 0);
    }
    Some(Timestamp::Micros(
        (seconds - SECONDS_1970_TO_2000) * MICROS_PER_SECOND + micros,
    ))
}

/// A duration: the bits of hours (10), minutes (6) and seconds (6) above those of the fraction, all shifted by half the range.
///
/// Below zero the whole number, fraction included, is the negative of the duration: -00:00:01.5 with one byte of fraction is
/// -(1 << 8 | 50). To read the seconds apart from the fraction without that is off by a second.
fn time(packed: i64, digits: usize) -> Option<Time> {
    let fraction_bytes = FRACTION_BYTES[digits];
    let fraction_bits = 8 * u32::try_from(fraction_bytes).ok()?;
    let shifted = packed - (0x80_0000_i64 << fraction_bits);
    let magnitude = shifted.abs();
    let whole = magnitude >> fraction_bits;
    let fraction = magnitude & ((1 << fraction_bits) - 1);
    let micros = fraction * FRACTION_MICROS[fraction_bytes];
    let micros = clock(whole >> 12 & 0x3FF, whole >> 6 & 0x3F, whole & 0x3F, micros)?;
    Some(signed_time(shifted < 0, micros))
}

/// The date (year times 13 plus month in 17 bits, day in 5) above the time of day (17 bits), shifted, then the fraction.
fn date_time(cell: &[u8], digits: usize) -> Option<Timestamp> {
    let (whole, fraction) = cell.split_at_checked(5)?;
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_i64, |number, &byte| number << 8 | i64::from(byte))
    };
    let packed = number(whole) - 0x80_0000_0000;
    let micros = number(fraction) * FRACTION_MICROS[FRACTION_BYTES[digits]];
    unpack_date_time(packed, micros)
}

/// The form of `TIME_to_longlong_datetime_packed` without its fraction.
fn unpack_date_time(packed: i64, micros: i64) -> Option<Timestamp> {
    if packed < 0 {
        return None;
    }
    let (date, clock) = (packed >> 17, packed & 0x1_FFFF);
    let months = date >> 5;
    let micros = day_clock(clock >> 12, clock >> 6 & 0x3F, clock & 0x3F, micros)?;
    timestamp(months / 13, months % 13, date & 31, micros)
}

/// MariaDB's own duration: microseconds, as if days had 24 hours, shifted by half the range, in units of the last digit.
fn maria_time(packed: i64, digits: usize) -> Option<Time> {
    // 838:59:59.999999 and its negative are the ends of the range; the shift is the former plus one, rounded up to a unit.
    const RANGE_MICROS: i64 = (838 * 3600 + 59 * 60 + 59) * MICROS_PER_SECOND + 999_999;
    let unit = DIGIT_MICROS[digits];
    let zero = (RANGE_MICROS + 1 + unit - 1) / unit;
    let micros = packed.checked_sub(zero)?.checked_mul(unit)?;
    let is_in = (-RANGE_MICROS..=RANGE_MICROS).contains(&micros);
    is_in.then_some(Time { micros })
}

/// MariaDB's own date and time: mixed radix of year, month (13), day (32), hour (24), minute (60), second (60), fraction.
fn maria_date_time(packed: i64, digits: usize) -> Option<Timestamp> {
    let unit = DIGIT_MICROS[digits];
    let per_second = MICROS_PER_SECOND / unit;
    let (packed, fraction) = (packed / per_second, packed % per_second);
    let (packed, seconds) = (packed / 60, packed % 60);
    let (packed, minutes) = (packed / 60, packed % 60);
    let (packed, hours) = (packed / 24, packed % 24);
    let (packed, day) = (packed / 32, packed % 32);
    let (year, month) = (packed / 13, packed % 13);
    let micros = day_clock(hours, minutes, seconds, fraction * unit)?;
    timestamp(year, month, day, micros)
}

/// Appends a time that a JSON document holds, in the text form of the server, quotes included: always six digits of
/// fraction.
pub(super) fn write_json_time(kind: JsonTime, packed: i64, out: &mut Vec<u8>) -> Option<()> {
    let magnitude = packed.abs();
    let micros = magnitude & 0xFF_FFFF;
    let whole = magnitude >> 24;
    let text = if kind == JsonTime::Time {
        let sign = if packed < 0 { "-" } else { "" };
        format!(
            "\"{sign}{:02}:{:02}:{:02}.{micros:06}\"",
            whole >> 12 & 0x3FF,
            whole >> 6 & 0x3F,
            whole & 0x3F
        )
    } else {
        let (date, clock) = (whole >> 17, whole & 0x1_FFFF);
        let months = date >> 5;
        let day = format!("{:04}-{:02}-{:02}", months / 13, months % 13, date & 31);
        if kind == JsonTime::Date {
            format!("\"{day}\"")
        } else {
            format!(
                "\"{day} {:02}:{:02}:{:02}.{micros:06}\"",
                clock >> 12,
                clock >> 6 & 0x3F,
                clock & 0x3F
            )
        }
    };
    if micros >= MICROS_PER_SECOND {
        return None;
    }
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// The kinds of times that a JSON document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonTime {
    Date,
    Time,
    DateTime,
}

/// Seconds since 1970 as people read them.
pub(super) fn moment(seconds: u64) -> String {
    let since_1970 = i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(MICROS_PER_SECOND);
    let micros = since_1970.saturating_sub(i64::from(DAYS_1970_TO_2000) * MICROS_PER_DAY);
    let mut text = Vec::new();
    write_text(&Value::TimestampTz(Timestamp::Micros(micros)), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs as the servers do: the negative of the whole number.
    fn packed_time(micros: i64, digits: u8) -> Vec<u8> {
        let magnitude = micros.abs();
        let (seconds, fraction) = (magnitude / MICROS_PER_SECOND, magnitude % MICROS_PER_SECOND);
        let whole = (seconds / 3600) << 12 | (seconds / 60 % 60) << 6 | (seconds % 60);
        let bytes = FRACTION_BYTES[usize::from(digits)];
        let bits = 8 * bytes;
        let per_unit = FRACTION_MICROS[bytes].max(1);
        let number = whole << bits | if bytes == 0 { 0 } else { fraction / per_unit };
        let signed = if micros < 0 { -number } else { number };
        let shifted = signed + (0x80_0000_i64 << bits);
        shifted.to_be_bytes()[8 - 3 - bytes..].to_vec()
    }

    #[test]
    fn negative_durations_with_fractions_keep_their_value() {
        for digits in 0..=6 {
            let unit = 10_i64.pow(6 - u32::from(digits));
            for micros in [
                -40_403_440_000_i64,
                -1,
                1,
                -MICROS_PER_SECOND - 500_000,
                3_020_399_999_999,
                -3_020_399_999_999,
                0,
            ] {
                let micros = micros / unit * unit;
                let cell = packed_time(micros, digits);
                let form = TimeForm::Time(digits);
                assert_eq!(cell.len(), form.byte_count());
                assert_eq!(
                    form.read(&cell),
                    Some(Moment::Time(Time { micros })),
                    "{digits}"
                );
            }
        }
    }

    #[test]
    fn zero_dates_and_the_zero_instant_are_kept() {
        let zero = Timestamp::Zero {
            year: 0,
            month: 0,
            day: 0,
            micros: 0,
        };
        assert_eq!(
            TimeForm::Instant(6).read(&[0; 7]),
            Some(Moment::Instant(zero))
        );
        assert_eq!(
            TimeForm::DateTime(0).read(&[0x80, 0, 0, 0, 0]),
            Some(Moment::DateTime(zero))
        );
        let no_day = 2020 << 9 | 3 << 5;
        assert_eq!(
            TimeForm::Date.read(&i32::to_le_bytes(no_day)[..3]),
            Some(Moment::Date(Date::Zero {
                year: 2020,
                month: 3,
                day: 0
            }))
        );
    }

    #[test]
    fn impossible_times_are_refused() {
        assert_eq!(TimeForm::DateTime(0).read(&[0, 0, 0, 0, 0]), None);
        assert_eq!(TimeForm::DateTime(0).read(&[0xFF; 5]), None);
        assert_eq!(TimeForm::Time(0).read(&[0x80, 0, 0x3F]), None);
        assert_eq!(
            TimeForm::Instant(6).read(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF]),
            None
        );
    }
}
