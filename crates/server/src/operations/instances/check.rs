//! The rules of what instances may be made of.

use crate::fault::{Fault, invalid_combination, invalid_value};
use crate::operations::catalog::ENGINE_VERSIONS;

const STORAGE_GB_MIN: i32 = 5;
const STORAGE_GB_MAX: i32 = 6144;
const CLASS_LENGTH_MAX: usize = 30;
const DEFAULT_NETWORK: &str = "IPV4";

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

/// Versions go up only, and from one major version to the next only where that was asked for.
pub(super) fn check_upgrade(now: &str, asked: &str, allows_major: bool) -> Result<(), Fault> {
    let place = |version: &str| {
        ENGINE_VERSIONS
            .iter()
            .position(|known| known.version == version)
    };
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if place(asked) < place(now) {
        return Err(invalid_combination(format!(
            "Cannot upgrade the replication engine from {now} to {asked}: it is an earlier version"
        )));
    }
    if major(asked) != major(now) && !allows_major {
        return Err(invalid_combination(format!(
            "Cannot upgrade the replication engine from {now} to {asked} without AllowMajorVersionUpgrade, because the major version changes"
        )));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_up_and_to_another_major_one_only_where_that_is_asked_for() {
        assert!(check_upgrade("3.5.4", "3.6.1", false).is_ok());
        assert!(check_upgrade("3.6.1", "3.6.1", false).is_ok());
        let told = |now, asked, allows| format!("{:?}", check_upgrade(now, asked, allows));
        assert!(told("3.6.1", "3.5.3", true).contains("an earlier version"));
        assert!(check_upgrade("2.4.5", "3.6.1", true).is_ok());
        assert!(told("2.4.5", "3.6.1", false).contains("without AllowMajorVersionUpgrade"));
    }
}
