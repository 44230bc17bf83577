//! JSON bodies, read strictly: a name given twice could mean one thing to a check and another to the handler.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a body: one JSON object, without repeated names. An empty body counts as `{}`.
pub(crate) fn parse(body: &[u8]) -> Result<Value, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_slice::<Strict>(body) {
        Ok(Strict(object @ Value::Object(_))) => Ok(object),
        Ok(_) => Err("The request must be a JSON object.".to_owned()),
        Err(error) => Err(format!("The request is not JSON: {error}.")),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(flag)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(number.into())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(number.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Strict, E> {
        Number::from_f64(number)
            .map(|number| Strict(Value::Number(number)))
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Strict(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if object.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format!(
                    "the name {name:?} is given twice"
                )));
            }
        }
        Ok(Strict(Value::Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_bodies_are_refused() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let deep = format!("{{\"a\":{deep}}}");
        for body in [
            "{",
            "[]",
            "1",
            "null",
            "{\"a\":1,\"a\":2}",
            "{\"a\":{\"b\":1,\"b\":1}}",
            "{\"a\":1}x",
            "{\"a\":\"\\ud800\"}",
            "{'a':1}",
            "{\"a\":1e999}",
            deep.as_str(),
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(parse(b"{\"a\":\"\xFF\"}").is_err());
    }

    #[test]
    fn empty_bodies_are_empty_objects() {
        assert_eq!(parse(b" \n"), Ok(Value::Object(Map::new())));
        assert_eq!(parse(b"{\"a\":[1,2.5,null,\"x\"]}").unwrap()["a"][1], 2.5);
    }
}
