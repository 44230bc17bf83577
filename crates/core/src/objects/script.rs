use super::ObjectKind;
use crate::TableName;

/// Something that a server of the same engine makes by the source's own text: a view, a routine, a trigger, a grant.
///
/// Statements and queries are in the SQL of the source's engine. A server of another engine makes none of it, and lists the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripted {
    /// What it is.
    pub kind: ObjectKind,
    /// The same as a user says it: `materialized view`.
    pub what: String,
    /// Schema and name, and what it belongs to.
    pub name: String,
    /// The schema or database it is in; `None`: it is the database's, or all its names are in its text.
    pub schema: Option<String>,
    /// The table it belongs to.
    pub table: Option<TableName>,
    /// What makes it, in order.
    pub statements: Vec<ScriptStatement>,
    /// Settings of the session in which its text means what it means at the source.
    pub session: Vec<String>,
    /// What must be there.
    pub requires: Vec<Requirement>,
    /// How to tell whether what is there under its name, or what it is a privilege on, is the same; `None`: whatever has its name counts as the same.
    pub likeness: Option<Likeness>,
    /// What takes it away while rows are written on which it would act.
    pub undo: Option<String>,
    /// When it is made.
    pub when: ScriptTime,
    /// The kind behind which it is made, where that is not its own.
    pub behind: Option<ObjectKind>,
    /// What a user should know of how it differs from the source's.
    pub note: Option<String>,
    /// Why its text, converted to another engine's SQL, would not mean the same: what it rests on does more than its words say.
    pub foreign_bar: Option<String>,
}

impl Scripted {
    /// An object that one statement makes, when no more changes follow; the query gives a row when it is there.
    pub fn new(
        kind: ObjectKind,
        what: impl Into<String>,
        name: impl Into<String>,
        sql: impl Into<String>,
        unless: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            name: name.into(),
            schema: None,
            table: None,
            statements: vec![ScriptStatement::new(sql, unless)],
            session: Vec::new(),
            requires: Vec::new(),
            likeness: None,
            undo: None,
            when: ScriptTime::Ended,
            behind: None,
            note: None,
            foreign_bar: None,
        }
    }

    /// Its statements, as a script.
    pub fn text(&self) -> String {
        let statements: Vec<&str> = self
            .statements
            .iter()
            .map(|statement| statement.sql.trim_end())
            .collect();
        statements.join(";\n")
    }
}

/// A statement, and the query that gives a row when what it makes is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptStatement {
    /// What is run.
    pub sql: String,
    /// The query.
    pub unless: String,
}

impl ScriptStatement {
    /// Both.
    pub fn new(sql: impl Into<String>, unless: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            unless: unless.into(),
        }
    }
}

/// Something that the target must have, and a user provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// A query that gives a row when it is there.
    pub query: String,
    /// What to say when it is not: what is missing, and what to do.
    pub lacking: String,
}

/// How to tell whether a server has this very object, or another of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness {
    /// What asks a server for the text of its own.
    pub shown: String,
    /// What the source answers to that.
    pub text: String,
    /// For servers that say the same in other words: what makes the object over the one that is there, in a transaction that is rolled back, and what asks
    /// for its text then.
    pub again: Option<Again>,
    /// What asks the server for statements that its own needs beside its text, to be made again as it is.
    pub besides: Vec<String>,
}

/// See [`Likeness::again`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// The statement.
    pub sql: String,
    /// The question behind it.
    pub shown: String,
}

/// When something is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptTime {
    /// Before types and tables, which may need it.
    BeforeTypes,
    /// Before tables, behind their types.
    BeforeTables,
    /// Once rows are loaded.
    Loaded,
    /// When no more changes follow.
    Ended,
}
