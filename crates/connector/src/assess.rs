//! What an end says of itself, before a task runs, that a user should mend or know.

use whimbrel_core::{Column, ColumnType, Table, TableName};

use crate::Error;

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
        /// Whether tables that are there are kept, with what belongs to them.
        keeps_tables: bool,
        /// About how many bytes will be written, as the source's catalog has it.
        needed_bytes: u64,
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

/// A check that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    /// Its name.
    pub check: &'static str,
    /// Why.
    pub reason: String,
}

/// The checks that were made, what they found, and those that could not be made. A check of which nobody says that it was made has not passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was found.
    pub concerns: Vec<Concern>,
    /// The checks that were made.
    pub made: Vec<&'static str>,
    /// Those that could not be, or not of all that they ask of.
    pub unmade: Vec<Unmade>,
    /// Those that this server has no way to answer, whatever its users may do.
    pub skipped: Vec<Unmade>,
}

impl Findings {
    /// Notes what became of checks that are made together.
    pub fn note(&mut self, checks: &[&'static str], outcome: Result<Vec<Concern>, Error>) {
        match outcome {
            Ok(concerns) => {
                self.made.extend(checks);
                self.concerns.extend(concerns);
            }
            Err(error) => {
                for check in checks {
                    self.cannot(check, error.to_string());
                }
            }
        }
    }

    /// Notes a check that could not be made.
    pub fn cannot(&mut self, check: &'static str, reason: impl Into<String>) {
        self.unmade.push(Unmade {
            check,
            reason: reason.into(),
        });
    }

    /// Notes a check that this server cannot answer.
    pub fn skip(&mut self, check: &'static str, reason: impl Into<String>) {
        self.skipped.push(Unmade {
            check,
            reason: reason.into(),
        });
    }

    /// Takes over what others have found.
    pub fn merge(&mut self, others: Self) {
        self.concerns.extend(others.concerns);
        self.made.extend(others.made);
        self.unmade.extend(others.unmade);
        self.skipped.extend(others.skipped);
    }
}

/// The checks of keys, which [`without_key`] answers.
pub const KEY_CHECKS: [&str; 3] = [
    "table-with-no-primary-key-or-unique-constraint",
    "table-with-lob-but-without-primary-key-or-unique-constraint",
    "changes-without-primary-key",
];

/// What is to be said of a table without a primary key. `has_unique`: whether it has a unique key that is made of whole values and takes no NULL.
pub fn without_key(table: &Table, has_unique: bool, is_followed: bool) -> Option<Concern> {
    let [plain, large, changes] = KEY_CHECKS;
    let name = table.name.to_string();
    if !has_unique {
        let has_large = table.loaded_columns().any(is_large);
        return Some(Concern::new(
            if has_large { large } else { plain },
            name,
            "the table has no primary key, nor a unique one without NULL: its rows are told apart by all their columns, which is slow where changes are followed or rows compared",
            "give the table a primary key",
        ));
    }
    is_followed.then(|| {
        Concern::new(
            changes,
            name,
            "the table has a unique key and no primary key: the target looks for the rows that change by all their columns, which is slow",
            "make the unique key the primary one",
        )
    })
}

fn is_large(column: &Column) -> bool {
    matches!(
        column.ty,
        ColumnType::Text { .. } | ColumnType::Blob { .. } | ColumnType::Json { .. }
    )
}
