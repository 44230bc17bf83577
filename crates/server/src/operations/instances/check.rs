//! The rules of what instances may be made of.

use rand::Rng as _;

use crate::fault::{Fault, invalid_combination, invalid_value};
use crate::operations::catalog::ENGINE_VERSIONS;

const STORAGE_GB_MIN: i32 = 5;
const STORAGE_GB_MAX: i32 = 6144;
const CLASS_LENGTH_MAX: usize = 30;
const DEFAULT_NETWORK: &str = "IPV4";
const MINUTES_PER_WEEK: u32 = 7 * 24 * 60;
const WINDOW_MINUTES: u32 = 30;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) fn checked_class(class: &str) -> Result<String, Fault> {
    let is_class = class.len() <= CLASS_LENGTH_MAX
        && class.split('.').count() == 3
        && class.starts_with("dms.");
    if !is_class || class.split('.').any(str::is_empty) {
        return Err(invalid_value(format!(
            "Invalid replication instance class: {class}. Classes look like dms.t3.medium"
        )));
    }
    Ok(class.to_owned())
}

pub(super) fn checked_storage(gb: i32) -> Result<i32, Fault> {
    if (STORAGE_GB_MIN..=STORAGE_GB_MAX).contains(&gb) {
        return Ok(gb);
    }
    Err(invalid_value(format!(
        "Invalid AllocatedStorage {gb}. It must be between {STORAGE_GB_MIN} and {STORAGE_GB_MAX} GB"
    )))
}

pub(super) fn checked_version(version: &str) -> Result<String, Fault> {
    if ENGINE_VERSIONS.iter().any(|known| known.version == version) {
        return Ok(version.to_owned());
    }
    Err(invalid_value(format!(
        "No replication engine found with version: {version}"
    )))
}

pub(super) fn checked_network(network: Option<&str>) -> Result<String, Fault> {
    match network {
        None => Ok(DEFAULT_NETWORK.to_owned()),
        Some(network) if network.eq_ignore_ascii_case(DEFAULT_NETWORK) => {
            Ok(DEFAULT_NETWORK.to_owned())
        }
        Some(network)
            if ["DUAL", "IPV6"]
                .iter()
                .any(|known| network.eq_ignore_ascii_case(known)) =>
        {
            Err(invalid_combination(format!(
                "The subnet group does not support the network type {network}"
            )))
        }
        Some(network) => Err(invalid_value(format!(
            "Invalid NetworkType {network}. Valid values: IPV4, IPV6, DUAL"
        ))),
    }
}

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

pub(super) fn checked_window(window: &str) -> Result<String, Fault> {
    let lower = window.to_ascii_lowercase();
    let ends = lower
        .split_once('-')
        .and_then(|(from, to)| Some((minute_of_week(from)?, minute_of_week(to)?)));
    match ends {
        Some((from, to)) if (to + MINUTES_PER_WEEK - from) % MINUTES_PER_WEEK >= WINDOW_MINUTES => {
            Ok(lower)
        }
        _ => Err(invalid_value(format!(
            "Invalid PreferredMaintenanceWindow {window}. It must be ddd:hh:mm-ddd:hh:mm with at least {WINDOW_MINUTES} minutes"
        ))),
    }
}

pub(super) fn random_window() -> String {
    let from = rand::rng().random_range(0..MINUTES_PER_WEEK / WINDOW_MINUTES) * WINDOW_MINUTES;
    let text = |minute: u32| {
        let minute = minute % MINUTES_PER_WEEK;
        let day = DAYS[usize::try_from(minute / (24 * 60)).unwrap_or_default()];
        format!("{day}:{:02}:{:02}", minute / 60 % 24, minute % 60)
    };
    format!("{}-{}", text(from), text(from + WINDOW_MINUTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_windows_are_checked() {
        for good in ["sun:23:45-mon:00:15", "Mon:01:00-mon:02:00"] {
            assert!(checked_window(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mon:1:00-mon:02:00",
            "mon:01:00-mon:01:29",
            "xyz:01:00-mon:02:00",
            "mon:25:00-mon:26:00",
        ] {
            assert!(checked_window(bad).is_err(), "{bad}");
        }
        for _ in 0..100 {
            let window = random_window();
            assert_eq!(checked_window(&window).unwrap(), window);
        }
    }
}
