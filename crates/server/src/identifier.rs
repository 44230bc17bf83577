//! The rules of names that users choose.

use crate::fault::{Fault, invalid_value, key_not_accessible};

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

/// The name of a key of AWS KMS in one of its forms: an id, an alias, or the ARN of either. Whether there is such a key is not asked: secrets are
/// sealed with the key of the service.
pub(crate) fn kms_key(given: Option<String>) -> Result<Option<String>, Fault> {
    let Some(text) = given else { return Ok(None) };
    let resource = match text.strip_prefix("arn:") {
        Some(rest) => {
            let mut parts = rest.splitn(5, ':').skip(1);
            let is_of_kms = parts.next() == Some("kms");
            let resource = parts.nth(2).filter(|_| is_of_kms).unwrap_or_default();
            resource.strip_prefix("key/").unwrap_or(resource)
        }
        None => &text,
    };
    let is_id = |id: &str| {
        id.len() >= 32
            && id
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    let is_known = match resource.strip_prefix("alias/") {
        Some(alias) => !alias.is_empty(),
        None => is_id(resource.strip_prefix("mrk-").unwrap_or(resource)),
    };
    if is_known {
        return Ok(Some(text));
    }
    Err(key_not_accessible(format!(
        "The KMS key \"{text}\" is not accessible: KmsKeyId takes the id of a key, alias/NAME, or the ARN of either."
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
    fn keys_have_the_forms_of_kms() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        for good in [
            id,
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "alias/aws/dms",
            &format!("arn:aws:kms:us-east-1:123456789012:key/{id}"),
            "arn:aws-cn:kms:cn-north-1:123456789012:alias/mine",
        ] {
            let kept = kms_key(Some(good.to_owned())).unwrap();
            assert_eq!(kept.as_deref(), Some(good));
        }
        assert_eq!(kms_key(None).unwrap(), None);
        for bad in [
            "",
            "nonsense",
            "alias/",
            "arn:aws:s3:::bucket",
            "arn:",
            "arn:aws:kms:r:a:key/x",
        ] {
            assert!(kms_key(Some(bad.to_owned())).is_err(), "{bad}");
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
