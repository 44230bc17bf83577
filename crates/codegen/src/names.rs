//! From wire names to Rust names.

const KEYWORDS: &[&str] = &[
    "type", "match", "ref", "self", "use", "where", "move", "in", "mod", "virtual",
];

/// `ReplicationInstanceArn` → `replication_instance_arn`; runs of capitals stay together: `VpcID` → `vpc_id`, `S3Settings` → `s3_settings`.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, &c) in chars.iter().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            let after_lower = !chars[index - 1].is_ascii_uppercase();
            let before_lower = chars.get(index + 1).is_some_and(char::is_ascii_lowercase);
            if after_lower || before_lower {
                snake.push('_');
            }
        }
        snake.push(c.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&snake.as_str()) {
        format!("r#{snake}")
    } else {
        snake
    }
}

/// `ReplicationInstanceArn` → `REPLICATION_INSTANCE_ARN`.
pub(crate) fn constant_case(name: &str) -> String {
    snake_case(name).trim_start_matches("r#").to_uppercase()
}

/// Shape names as Rust types; the first letter may be lower case on the wire.
pub(crate) fn type_name(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + chars.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        for (wire, rust) in [
            ("ReplicationInstanceArn", "replication_instance_arn"),
            ("MultiAZ", "multi_az"),
            ("S3Settings", "s3_settings"),
            ("IBMDb2Settings", "ibm_db2_settings"),
            ("KmsKeyId", "kms_key_id"),
            ("VpcId", "vpc_id"),
            ("message", "message"),
            ("Type", "r#type"),
        ] {
            assert_eq!(snake_case(wire), rust);
        }
    }
}
