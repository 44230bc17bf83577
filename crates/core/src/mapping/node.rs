//! A value in the document that knows where it stands.

use serde_json::Value;

use super::MappingError;
use super::error::Place;

/// A value of a rule, or the place where one could be.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    rule_id: u64,
    path: String,
    /// Null when there is none: consoles write nulls for what they leave out.
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn rule(rule_id: u64, path: String, value: &'a Value) -> Self {
        Self {
            rule_id,
            path,
            value,
        }
    }

    pub(super) fn rule_id(&self) -> u64 {
        self.rule_id
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The member of that name, or the place where it would be.
    pub(super) fn member(&self, name: &str) -> Node<'a> {
        self.at(format!("{}.{name}", self.path), self.value.get(name))
    }

    fn at(&self, path: String, value: Option<&'a Value>) -> Node<'a> {
        Node {
            rule_id: self.rule_id,
            path,
            value: value.unwrap_or(&Value::Null),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The items of an array; none where nothing is given.
    pub(super) fn items(&self, expected: &str) -> Result<Vec<Node<'a>>, MappingError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => Ok((0..)
                .zip(items)
                .map(|(place, item): (usize, _)| {
                    self.at(format!("{}[{place}]", self.path), Some(item))
                })
                .collect()),
            _ => Err(self.fault(expected)),
        }
    }

    /// That it is an object, which its members are asked for next.
    pub(super) fn object(self, expected: &str) -> Result<Node<'a>, MappingError> {
        if self.value.is_object() {
            Ok(self)
        } else {
            Err(self.fault(expected))
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, MappingError> {
        self.value.as_str().ok_or_else(|| self.fault("text"))
    }

    pub(super) fn filled_text(&self) -> Result<&'a str, MappingError> {
        match self.value.as_str() {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.fault("text that is not empty")),
        }
    }

    pub(super) fn optional_text(&self) -> Result<Option<&'a str>, MappingError> {
        if self.is_null() {
            Ok(None)
        } else {
            self.text().map(Some)
        }
    }

    /// Text, for which whole numbers are taken too: others may have lost digits on their way through JSON.
    pub(super) fn literal(&self) -> Result<String, MappingError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
            Value::Bool(flag) => Ok(flag.to_string()),
            _ => Err(self.fault("text (or a whole number)")),
        }
    }

    /// A whole number, given as one or as text.
    pub(super) fn count(&self, least: u64, most: u64) -> Result<u64, MappingError> {
        let number = match self.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.fault(format!("a whole number from {least} to {most}")))
    }

    pub(super) fn optional_count(
        &self,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, MappingError> {
        if self.is_null() {
            Ok(None)
        } else {
            self.count(least, most).map(Some)
        }
    }

    pub(super) fn optional_flag(&self) -> Result<Option<bool>, MappingError> {
        match self.value {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::String(text) if text == "true" => Ok(Some(true)),
            Value::String(text) if text == "false" => Ok(Some(false)),
            _ => Err(self.fault("true or false")),
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, MappingError> {
        self.find(words)
            .ok_or_else(|| self.fault(one_of(words.iter().map(|(word, _)| *word))))
    }

    /// One of the words that make the document what it is; the service has a text of its own for others.
    pub(super) fn ruling_word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, MappingError> {
        self.find(words)
            .ok_or_else(|| self.unreadable(one_of(words.iter().map(|(word, _)| *word))))
    }

    fn find<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.value.as_str()?;
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, what)| *what)
    }

    pub(super) fn unreadable(&self, expected: impl Into<String>) -> MappingError {
        MappingError::InvalidDocument {
            rule_id: Some(self.rule_id),
            place: self.place(expected),
        }
    }

    /// The error of a value that is not what was expected.
    pub(super) fn fault(&self, expected: impl Into<String>) -> MappingError {
        let reason = if self.is_null() {
            "A member is missing."
        } else {
            "A member is not as expected."
        };
        self.fault_saying(reason, expected)
    }

    pub(super) fn fault_saying(
        &self,
        reason: impl Into<String>,
        expected: impl Into<String>,
    ) -> MappingError {
        MappingError::Rule {
            rule_id: self.rule_id,
            reason: reason.into(),
            place: self.place(expected),
        }
    }

    fn place(&self, expected: impl Into<String>) -> Place {
        Place {
            path: self.path.clone(),
            expected: expected.into(),
        }
    }
}

/// `one of "a", "b"`.
fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    format!("one of {}", words.join(", "))
}
