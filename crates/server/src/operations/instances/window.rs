//! Maintenance windows: `ddd:hh:mm-ddd:hh:mm` in UTC, every week.

use rand::Rng as _;
use whimbrel_store::EpochMs;

use crate::fault::{Fault, invalid_value};

const WEEK: u32 = 7 * 24 * 60;
/// The shortest window, and the length of one that nobody chose.
const MINUTES_MIN: u32 = 30;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MS_PER_MINUTE: i64 = 60_000;
/// 1970 began on a Thursday, three days after the start of its week.
const EPOCH_MINUTE: i64 = 3 * 24 * 60;

/// Minutes since the start of the week of `ddd:hh:mm`.
fn minute_of_week(text: &str) -> Option<u32> {
    let (day, time) = text.split_once(':')?;
    let (hour, minute) = time.split_once(':')?;
    let day = u32::try_from(DAYS.iter().position(|known| *known == day)?).ok()?;
    let number = |text: &str, below: u32| {
        text.parse::<u32>()
            .ok()
            .filter(|number| text.len() == 2 && *number < below)
    };
    Some((day * 24 + number(hour, 24)?) * 60 + number(minute, 60)?)
}

/// First and last minute of a window in lower case.
fn ends(window: &str) -> Option<(u32, u32)> {
    let (from, to) = window.split_once('-')?;
    Some((minute_of_week(from)?, minute_of_week(to)?))
}

/// The window as it is kept: in lower case.
pub(super) fn checked(window: &str) -> Result<String, Fault> {
    let lower = window.to_ascii_lowercase();
    match ends(&lower) {
        Some((from, to)) if (to + WEEK - from) % WEEK >= MINUTES_MIN => Ok(lower),
        _ => Err(invalid_value(format!(
            "Invalid PreferredMaintenanceWindow {window}. It must be ddd:hh:mm-ddd:hh:mm with at least {MINUTES_MIN} minutes"
        ))),
    }
}

/// The window of the least length from this minute of the week on.
pub(crate) fn from_minute(from: u32) -> String {
    let text = |minute: u32| {
        let minute = minute % WEEK;
        let day = DAYS[usize::try_from(minute / (24 * 60)).unwrap_or_default()];
        format!("{day}:{:02}:{:02}", minute / 60 % 24, minute % 60)
    };
    format!("{}-{}", text(from), text(from + MINUTES_MIN))
}

pub(super) fn random() -> String {
    from_minute(rand::rng().random_range(0..WEEK / MINUTES_MIN) * MINUTES_MIN)
}

/// The minute of the week at a moment.
pub(crate) fn minute_at(at: EpochMs) -> u32 {
    let minute = (at.0.div_euclid(MS_PER_MINUTE) + EPOCH_MINUTE).rem_euclid(i64::from(WEEK));
    u32::try_from(minute).unwrap_or_default()
}

/// Whether the window is open.
pub(crate) fn is_open(window: &str, now: EpochMs) -> bool {
    ends(window).is_some_and(|(from, to)| {
        let length = (to + WEEK - from) % WEEK;
        (minute_at(now) + WEEK - from) % WEEK < length
    })
}

/// When the window opens next; now, when it is open.
pub(crate) fn next(window: &str, now: EpochMs) -> Option<EpochMs> {
    if is_open(window, now) {
        return Some(now);
    }
    let (from, _) = ends(window)?;
    let wait = i64::from((from + WEEK - minute_at(now)) % WEEK);
    let this_minute = now.0.div_euclid(MS_PER_MINUTE);
    Some(EpochMs((this_minute + wait) * MS_PER_MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-15, a Sunday, at 23:50 UTC.
    const SUNDAY_LATE: EpochMs = EpochMs(1_773_618_600_000);
    const HOUR_MS: i64 = 60 * MS_PER_MINUTE;

    #[test]
    fn windows_are_checked() {
        for good in ["sun:23:45-mon:00:15", "Mon:01:00-mon:02:00"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mon:1:00-mon:02:00",
            "mon:01:00-mon:01:29",
            "xyz:01:00-mon:02:00",
            "mon:25:00-mon:26:00",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        for _ in 0..100 {
            let window = random();
            assert_eq!(checked(&window).unwrap(), window);
        }
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_its_last_also_across_the_end_of_the_week() {
        let window = "sun:23:45-mon:00:15";
        for (minutes, open) in [(-6, false), (-5, true), (0, true), (24, true), (25, false)] {
            let now = SUNDAY_LATE.plus_ms(minutes * MS_PER_MINUTE);
            assert_eq!(is_open(window, now), open, "{minutes}");
        }
        assert!(!is_open("mon:01:00-mon:02:00", SUNDAY_LATE));
        assert!(is_open(&from_minute(minute_at(SUNDAY_LATE)), SUNDAY_LATE));
    }

    #[test]
    fn the_next_window_is_the_first_that_opens() {
        let at = |window| next(window, SUNDAY_LATE).unwrap();
        assert_eq!(at("sun:23:45-mon:00:15"), SUNDAY_LATE);
        assert_eq!(at("mon:00:50-mon:02:00"), SUNDAY_LATE.plus_ms(HOUR_MS));
        let week = 7 * 24 * HOUR_MS;
        assert_eq!(
            at("sun:22:50-sun:23:50"),
            SUNDAY_LATE.plus_ms(week - HOUR_MS)
        );
    }
}
