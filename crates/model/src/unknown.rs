use serde_json::Value;

use crate::Operation;
use crate::shape::Shape;

/// Names told at most: a request may hold any number.
const NAMES_MAX: usize = 10;
/// Characters of a name that are told.
const NAME_CHARS_MAX: usize = 64;

/// The members of a request that the operation does not have, by their path. They are passed over, as the service does; whoever misspelt
/// one finds it in the log.
pub fn unknown_members(operation: Operation, body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(body, operation.input(), "", &mut found);
    found
}

fn collect(value: &Value, shape: &Shape, path: &str, found: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(given)) => {
            for (name, value) in given {
                if found.len() == NAMES_MAX {
                    return;
                }
                let name: String = name.chars().take(NAME_CHARS_MAX).collect();
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                match members.iter().find(|member| member.name == name) {
                    Some(member) => collect(value, member.shape, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Shape::List { member, .. }, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, member, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_members_are_named_by_their_path() {
        let body = json!({
            "MaxRecords": 20, "Colour": "red",
            "Filters": [{"Name": "endpoint-arn", "Values": ["x"]}, {"name": "x", "Values": []}],
        });
        assert_eq!(
            unknown_members(Operation::DescribeConnections, &body),
            ["Colour", "Filters[1].name"]
        );
        let many: serde_json::Map<String, Value> = (0..100)
            .map(|number| (format!("{number}{}", "x".repeat(1000)), Value::Null))
            .collect();
        let named = unknown_members(Operation::DescribeConnections, &Value::Object(many));
        assert_eq!(named.len(), NAMES_MAX);
        assert!(named.iter().all(|name| name.len() == NAME_CHARS_MAX));
    }

    #[test]
    fn what_has_another_type_has_no_unknown_members() {
        let body = json!({"Filters": {"Name": "x"}, "Marker": {"a": 1}});
        let named = unknown_members(Operation::DescribeConnections, &body);
        assert_eq!(named, Vec::<String>::new());
    }
}
