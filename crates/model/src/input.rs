//! From the JSON of a request to its type, with faults that name the member.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::shape::{Member, Shape};
use crate::{Fault, FaultCode, Operation};

/// In seconds since 1970.
const YEARS_1_TO_9999: std::ops::Range<f64> = -62_135_596_800.0..253_402_300_800.0;

/// Checks a request against the model and parses it.
///
/// # Errors
/// A `SerializationException` for a value of another JSON type, an `InvalidParameterValueException` for a missing required member, a value
/// that is not among the allowed ones, or a text or list out of its bounds.
pub fn parse_input<T: DeserializeOwned>(operation: Operation, body: Value) -> Result<T, Fault> {
    let body = if body.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        body
    };
    let body = checked(body, operation.input(), "")?;
    serde_json::from_value(body).map_err(|error| {
        Fault::new(
            FaultCode::Serialization,
            format!("The request cannot be read: {error}"),
        )
    })
}

/// Gives the value back without members that are null, which count as not given.
fn checked(value: Value, shape: &Shape, path: &str) -> Result<Value, Fault> {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(given)) => structure(given, members, path),
        (Shape::List { member, min }, Value::Array(items)) => {
            if items.len() < *min {
                return Err(Fault::invalid_value(format!(
                    "The parameter {path} must have at least {min} elements, not {}.",
                    items.len()
                )));
            }
            let items = items.into_iter().enumerate();
            let items =
                items.map(|(index, item)| checked(item, member, &format!("{path}[{index}]")));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        (Shape::Text { values, length_max }, Value::String(text)) => {
            check_text(&text, values, *length_max, path)?;
            Ok(Value::String(text))
        }
        (Shape::Boolean, flag @ Value::Bool(_)) => Ok(flag),
        (Shape::Blob, Value::String(text)) => match BASE64.decode(&text) {
            Ok(_) => Ok(Value::String(text)),
            Err(_) => Err(wrong_type(path, expected(shape))),
        },
        (Shape::Integer, Value::Number(number)) => match number.as_i64() {
            Some(whole) if i32::try_from(whole).is_ok() => Ok(Value::Number(number)),
            _ => Err(wrong_type(path, "a whole number of 32 bits")),
        },
        (Shape::Long, Value::Number(number)) => match number.as_i64() {
            Some(_) => Ok(Value::Number(number)),
            None => Err(wrong_type(path, "a whole number")),
        },
        (Shape::Timestamp, Value::Number(number)) => match number.as_f64() {
            // Clients cannot read a moment of another year when it is answered.
            Some(seconds) if YEARS_1_TO_9999.contains(&seconds) => Ok(Value::Number(number)),
            _ => Err(wrong_type(path, expected(shape))),
        },
        (Shape::Number, number @ Value::Number(_)) => Ok(number),
        (shape, _) => Err(wrong_type(path, expected(shape))),
    }
}

fn structure(
    mut given: serde_json::Map<String, Value>,
    members: &[Member],
    path: &str,
) -> Result<Value, Fault> {
    given.retain(|_, value| !value.is_null());
    for member in members {
        let path = if path.is_empty() {
            member.name.to_owned()
        } else {
            format!("{path}.{}", member.name)
        };
        match given.get_mut(member.name) {
            Some(value) => *value = checked(value.take(), member.shape, &path)?,
            None if member.is_required => {
                return Err(Fault::invalid_value(format!(
                    "The parameter {path} must be provided and must not be blank."
                )));
            }
            None => {}
        }
    }
    Ok(Value::Object(given))
}

fn check_text(
    text: &str,
    values: &[&str],
    length_max: Option<usize>,
    path: &str,
) -> Result<(), Fault> {
    if !values.is_empty() && !values.contains(&text) {
        return Err(Fault::invalid_value(format!(
            "The value of the parameter {path} is not allowed. Allowed values: {}.",
            values.join(", ")
        )));
    }
    match length_max {
        Some(most) if text.chars().count() > most => Err(Fault::invalid_value(format!(
            "The parameter {path} must not have more than {most} characters."
        ))),
        _ => Ok(()),
    }
}

fn wrong_type(path: &str, expected: &str) -> Fault {
    let what = if path.is_empty() {
        "The request".to_owned()
    } else {
        format!("The parameter {path}")
    };
    Fault::new(
        FaultCode::Serialization,
        format!("{what} must be {expected}."),
    )
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Structure(_) => "an object",
        Shape::List { .. } => "a list",
        Shape::Text { .. } => "text",
        Shape::Boolean => "true or false",
        Shape::Integer | Shape::Long | Shape::Number => "a number",
        Shape::Timestamp => "a number of seconds since 1970, in the years 1 to 9999",
        Shape::Blob => "base64 text",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{CreateEndpointMessage, DescribeConnectionsMessage, ImportCertificateMessage};

    fn refused<T: DeserializeOwned + std::fmt::Debug>(
        operation: Operation,
        body: Value,
    ) -> (&'static str, String) {
        let fault = parse_input::<T>(operation, body).unwrap_err();
        (fault.code.as_str(), fault.message)
    }

    #[test]
    fn nulls_and_unknown_members_count_as_not_given() {
        let body = json!({"Filters": null, "MaxRecords": 20, "Colour": "red"});
        let input: DescribeConnectionsMessage =
            parse_input(Operation::DescribeConnections, body).unwrap();
        assert_eq!((input.filters, input.max_records), (None, Some(20)));
        assert!(
            parse_input::<DescribeConnectionsMessage>(Operation::DescribeConnections, Value::Null)
                .is_ok()
        );
    }

    #[test]
    fn faults_name_the_member() {
        let (code, message) = refused::<CreateEndpointMessage>(
            Operation::CreateEndpoint,
            json!({"EndpointIdentifier": "a"}),
        );
        assert_eq!(code, "InvalidParameterValueException");
        assert!(
            message.contains("EndpointType must be provided"),
            "{message}"
        );
        let body =
            json!({"EndpointIdentifier": "a", "EndpointType": "sideways", "EngineName": "mysql"});
        let (code, message) = refused::<CreateEndpointMessage>(Operation::CreateEndpoint, body);
        assert_eq!(code, "InvalidParameterValueException");
        assert!(message.contains("source, target"), "{message}");
        let body = json!({"Filters": [{"Name": "endpoint-arn", "Values": "x"}]});
        let (code, message) =
            refused::<DescribeConnectionsMessage>(Operation::DescribeConnections, body);
        assert_eq!(
            (code, message.as_str()),
            (
                "SerializationException",
                "The parameter Filters[0].Values must be a list."
            )
        );
    }

    #[test]
    fn blobs_are_base64_and_a_wallet_does_not_print() {
        let operation = Operation::ImportCertificate;
        for wrong in ["no base64!", "YQ", "YQ==\n"] {
            let body = json!({"CertificateIdentifier": "a", "CertificateWallet": wrong});
            assert_eq!(
                refused::<ImportCertificateMessage>(operation, body),
                (
                    "SerializationException",
                    "The parameter CertificateWallet must be base64 text.".to_owned()
                )
            );
        }
        let body = json!({"CertificateIdentifier": "a", "CertificateWallet": "Y2FuYXJ5"});
        let input: ImportCertificateMessage = parse_input(operation, body).unwrap();
        assert!(!format!("{input:?}").contains("Y2FuYXJ5"));
    }

    #[test]
    fn passwords_do_not_print() {
        let body = json!({"EndpointIdentifier": "a", "EndpointType": "source", "EngineName": "mysql", "Password": "canary"});
        let input: CreateEndpointMessage = parse_input(Operation::CreateEndpoint, body).unwrap();
        assert!(!format!("{input:?}").contains("canary"));
    }
}
