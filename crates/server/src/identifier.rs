//! The rules of names that users choose.

use crate::fault::{Fault, invalid_value};

/// Letters, digits and hyphens; a letter first, no hyphen last, no two in a row.
fn is_identifier(text: &str, length_max: usize) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.len() <= length_max
        && bytes.last() != Some(&b'-')
        && !text.contains("--")
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// The longest name of an endpoint or certificate; the service names no bound, this is its bound for other names.
const LENGTH_MAX: usize = 255;
const INSTANCE_LENGTH_MAX: usize = 63;
const RESOURCE_IDENTIFIER_LENGTH_MAX: usize = 31;

fn checked(member: &str, text: &str, length_max: usize) -> Result<(), Fault> {
    if is_identifier(text, length_max) {
        return Ok(());
    }
    Err(invalid_value(format!(
        "The parameter {member} is not a valid identifier: \"{text}\". Identifiers must begin with a letter; must contain only ASCII \
         letters, digits, and hyphens; must not end with a hyphen or contain two consecutive hyphens; and have at most {length_max} characters."
    )))
}

/// The name of an instance, as it is kept: in lower case.
pub(crate) fn instance_identifier(text: &str) -> Result<String, Fault> {
    checked("ReplicationInstanceIdentifier", text, INSTANCE_LENGTH_MAX)?;
    Ok(text.to_ascii_lowercase())
}

pub(crate) fn endpoint_identifier(text: &str) -> Result<String, Fault> {
    checked("EndpointIdentifier", text, LENGTH_MAX)?;
    Ok(text.to_owned())
}

pub(crate) fn certificate_identifier(text: &str) -> Result<String, Fault> {
    checked("CertificateIdentifier", text, LENGTH_MAX)?;
    Ok(text.to_owned())
}

pub(crate) fn task_identifier(text: &str) -> Result<String, Fault> {
    checked("ReplicationTaskIdentifier", text, LENGTH_MAX)?;
    Ok(text.to_owned())
}

/// What the user wants as the last part of the ARN.
pub(crate) fn resource_identifier(text: &str) -> Result<String, Fault> {
    checked("ResourceIdentifier", text, RESOURCE_IDENTIFIER_LENGTH_MAX)?;
    Ok(text.to_owned())
}

/// The name of a subnet group, as it is kept: in lower case.
pub(crate) fn subnet_group_identifier(text: &str) -> Result<String, Fault> {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let lower = text.to_ascii_lowercase();
    if text.is_empty()
        || text.len() > LENGTH_MAX
        || !text.as_bytes().iter().all(is_allowed)
        || lower == "default"
    {
        return Err(invalid_value(format!(
            "The parameter ReplicationSubnetGroupIdentifier is not a valid identifier: \"{text}\". It must have 1 to {LENGTH_MAX} letters, \
             digits, periods, underscores or hyphens, and must not be \"default\"."
        )));
    }
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_service_s_rules() {
        for good in ["a", "A1", "a-b-c", &"x".repeat(63)] {
            assert_eq!(
                instance_identifier(good).unwrap(),
                good.to_lowercase(),
                "{good}"
            );
        }
        for bad in [
            "",
            "1a",
            "-a",
            "a-",
            "a--b",
            "a_b",
            "a b",
            "ä",
            &"x".repeat(64),
        ] {
            assert!(instance_identifier(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn subnet_groups_may_have_periods_and_underscores_but_not_the_default_name() {
        assert_eq!(
            subnet_group_identifier("My.Group_1-x").unwrap(),
            "my.group_1-x"
        );
        for bad in [
            "",
            "Default",
            "default",
            "a/b",
            "a b",
            "ä",
            &"x".repeat(256),
        ] {
            assert!(subnet_group_identifier(bad).is_err(), "{bad}");
        }
    }
}
