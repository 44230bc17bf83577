use std::fmt;

use thiserror::Error;

/// Why table mappings were refused. The texts are the service's where it has one; behind it stand the place in the document and what
/// was expected there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MappingError {
    /// Longer than the service takes.
    #[error(
        "Invalid Table Mappings document. It has {bytes} bytes, at most {bytes_max} are allowed"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// Not JSON at all.
    #[error("Invalid Table Mappings document. Invalid json: {0}")]
    NotJson(String),
    /// JSON without an array `rules`.
    #[error("Valid Table mappings is required ($.rules: expected an array of rules)")]
    NoRules,
    /// A rule without an id, or of a type or an action that does not exist.
    #[error("Invalid table mappings document. {}{place}", of_rule(*.rule_id))]
    InvalidDocument {
        /// The rule's id, if it has one.
        rule_id: Option<u64>,
        /// Where in the document.
        place: Place,
    },
    /// Two rules with one id.
    #[error("Error in mapping rules. Duplicate ruleid {rule_id} ({place})")]
    DuplicateRuleId {
        /// The id.
        rule_id: u64,
        /// Where the second one is.
        place: Place,
    },
    /// No selection rule.
    #[error("Error in mapping rules. At least one selection rule is required.")]
    NoSelectionRule,
    /// A rule that fails a check of its own.
    #[error(
        "Error in mapping rules. Rule with ruleId = {rule_id} failed validation. {reason} ({place})"
    )]
    Rule {
        /// The rule's id.
        rule_id: u64,
        /// What is wrong.
        reason: String,
        /// Where in the document, and what was expected.
        place: Place,
    },
}

fn of_rule(rule_id: Option<u64>) -> String {
    rule_id.map_or_else(String::new, |id| format!("Rule with ruleId = {id}: "))
}

/// A place in the document, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As in `$.rules[2].filters[0].column-name`.
    pub path: String,
    /// What would have been right.
    pub expected: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.path, self.expected)
    }
}
