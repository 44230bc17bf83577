use thiserror::Error;

/// Why table mappings were refused. The texts are the service's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MappingError {
    /// Not JSON at all.
    #[error("Invalid Table Mappings document. Invalid json: {0}")]
    NotJson(String),
    /// JSON without an array `rules`.
    #[error("Valid Table mappings is required")]
    NoRules,
    /// A rule type or action that does not exist, or a member of the wrong type.
    #[error("Invalid table mappings document. {0}")]
    InvalidDocument(String),
    /// Two rules with one id.
    #[error("Error in mapping rules. Duplicate ruleid {0}")]
    DuplicateRuleId(u64),
    /// No selection rule.
    #[error("Error in mapping rules. At least one selection rule is required.")]
    NoSelectionRule,
    /// A rule that fails a check of its own.
    #[error("Error in mapping rules. Rule with ruleId = {rule_id} failed validation. {reason}")]
    Rule {
        /// The rule's id.
        rule_id: u64,
        /// What is wrong, and what was expected.
        reason: String,
    },
}
