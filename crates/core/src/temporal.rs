//! Dates and times as engines hold them, counted from 2000-01-01 in the proleptic Gregorian calendar.
//!
//! That origin is PostgreSQL's: its whole range fits 64 bits of microseconds only from there.

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1970-01-01 to 2000-01-01.
pub const DAYS_1970_TO_2000: i32 = 10_957;

/// Days of a year that begins in March, before each month from January on.
const DAYS_BEFORE_MONTH: [i64; 12] = [306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275];

/// A calendar date. Year 0 is 1 BC, year -1 is 2 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilDate {
    /// Astronomical year.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl CivilDate {
    /// The date that lies `days` after 2000-01-01.
    ///
    /// Counts in 400-year eras from 0000-03-01, where the leap day is the last day of a year. Within an era, divisions are
    /// multiplications, after "Euclidean affine functions and their application to calendar algorithms" (Neri and Schneider, 2022).
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each remainder is bounded by its divisor"
    )]
    #[inline]
    pub fn from_days(days: i32) -> Self {
        const DAYS_OF_ERA: i64 = 146_097;
        /// 2^32 / 1461 (four years), rounded up, for quarters of days.
        const YEARS: u64 = 2_939_745;
        let shifted = i64::from(days) + 730_425;
        let era = shifted.div_euclid(DAYS_OF_ERA);
        let quarters = shifted.rem_euclid(DAYS_OF_ERA) as u32 * 4 + 3;
        let century = quarters / DAYS_OF_ERA as u32;
        let years = YEARS * u64::from((quarters % DAYS_OF_ERA as u32) | 3);
        let year_of_era = century * 100 + (years >> 32) as u32;
        let day_of_year = years as u32 / YEARS as u32 / 4;
        // Months, from March on, in the upper half.
        let months = day_of_year * 2141 + 197_913;
        let is_next_year = day_of_year >= 306;
        let month = (months >> 16) as u8 - if is_next_year { 12 } else { 0 };
        let day = ((months & 0xFFFF) / 2141 + 1) as u8;
        let year = i64::from(year_of_era) + era * 400 + i64::from(is_next_year);
        Self {
            year: year as i32,
            month,
            day,
        }
    }

    /// Days after 2000-01-01. `None` when month or day are out of range.
    pub fn to_days(self) -> Option<i32> {
        if !(1..=12).contains(&self.month) || self.day == 0 || self.day > self.days_in_month() {
            return None;
        }
        // The year begins in March, so that its leap day is its last.
        let is_before_march = self.month <= 2;
        let days_before = DAYS_BEFORE_MONTH[usize::from(self.month - 1)] + i64::from(self.day);
        let year = i64::from(self.year) - i64::from(is_before_march);
        let centuries = year.div_euclid(100);
        let leap_days = year.div_euclid(4) - centuries + centuries.div_euclid(4);
        let days = year * 365 + leap_days + days_before - 730_426;
        i32::try_from(days).ok()
    }

    fn days_in_month(self) -> u8 {
        match self.month {
            2 if self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// A date as a column may hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Date {
    /// Before all dates (PostgreSQL).
    NegInfinity,
    /// Days after 2000-01-01.
    Days(i32),
    /// After all dates (PostgreSQL).
    Infinity,
    /// A `MySQL` date that is none: month or day is zero, or the day does not exist in the month.
    Zero {
        /// 0 to 9999.
        year: u16,
        /// 0 to 12.
        month: u8,
        /// 0 to 31.
        day: u8,
    },
}

/// A date and time as a column may hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// Before all times (PostgreSQL).
    NegInfinity,
    /// Microseconds after 2000-01-01 00:00:00.
    Micros(i64),
    /// After all times (PostgreSQL).
    Infinity,
    /// A `MySQL` date that is none, with its time of day.
    Zero {
        /// 0 to 9999.
        year: u16,
        /// 0 to 12.
        month: u8,
        /// 0 to 31.
        day: u8,
        /// Microseconds since midnight.
        micros: i64,
    },
}

/// Microseconds since midnight; from `MySQL` a signed duration of up to 838:59:59.999999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Microseconds, negative only from `MySQL`.
    pub micros: i64,
}

/// A PostgreSQL interval: three parts that do not convert into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl Interval {
    /// PostgreSQL 17 writes an infinite interval with every part at its maximum.
    pub const INFINITY: Self = Self {
        months: i32::MAX,
        days: i32::MAX,
        micros: i64::MAX,
    };
    /// The negative of [`Self::INFINITY`], with every part at its minimum.
    pub const NEG_INFINITY: Self = Self {
        months: i32::MIN,
        days: i32::MIN,
        micros: i64::MIN,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_round_trip_through_days() {
        for days in (-2_451_545..2_147_483_000)
            .step_by(99_991)
            .chain(-800_000..800_000)
        {
            let date = CivilDate::from_days(days);
            assert_eq!(date.to_days(), Some(days), "{date:?}");
        }
    }

    #[test]
    fn known_dates_have_their_day_numbers() {
        let cases = [
            ((2000, 1, 1), 0),
            ((1970, 1, 1), -10_957),
            ((2024, 2, 29), 8_825),
        ];
        for ((year, month, day), days) in cases {
            assert_eq!(CivilDate { year, month, day }.to_days(), Some(days));
        }
        assert_eq!(CivilDate::from_days(-2_451_545).year, -4713);
    }

    #[test]
    fn impossible_dates_have_no_day_number() {
        for (year, month, day) in [(2023, 2, 29), (1900, 2, 29), (2020, 0, 1), (2020, 4, 31)] {
            assert_eq!(CivilDate { year, month, day }.to_days(), None);
        }
    }
}
