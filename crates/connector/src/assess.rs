//! What an end says of itself, before a task runs, that a user should mend or know.

use whimbrel_core::{Table, TableName};

/// The end that is looked at, in the role that it will have.
#[derive(Clone, Copy, Debug)]
pub enum Assessed<'a> {
    /// A source, and the tables of the task as it describes them.
    Source {
        /// The tables.
        tables: &'a [Table],
        /// Whether changes are followed.
        is_followed: bool,
    },
    /// A target, and the names that the tables of the task will have there.
    Target {
        /// The names.
        tables: &'a [TableName],
        /// Whether changes are followed.
        is_followed: bool,
    },
}

/// Something that stands in the way of a task, or that it will suffer from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// The name of the check that found it, one of those in `docs/assessments.md`.
    pub check: &'static str,
    /// What it is about: a table, a setting, a user.
    pub object: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Concern {
    /// A concern of a check.
    pub fn new(
        check: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check,
            object: object.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}
