//! What a target makes of a source's objects: a list of steps, each of which can be repeated, and a list of what it cannot make.

mod names;
mod place;
mod script;
mod view;

pub use names::NamePool;
pub use place::{
    ObjectPlanner, Places, Refused, column_at_target, keeps_key, keeps_values,
    keeps_values_of_text, renames_columns,
};
pub use script::{Script, Taking, another_is_there, own_stands_aside, plan_scripts};
pub use view::{Foreign, MadeView};

use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, ScriptTime};

/// A statement of a step, in the SQL of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStatement {
    /// What is run.
    pub sql: String,
    /// A query that gives a row when the statement is not needed, because what it makes is there; `None`: it is run every time.
    pub unless: Option<String>,
    /// What is added to a column, by a server whose statements say all of a column anew: `sql` is then written when it is run, from the column as it is
    /// there.
    pub column: Option<ColumnAdditions>,
}

/// What a column is to have besides. What it has of these already stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnAdditions {
    /// The column at the target.
    pub name: String,
    /// Its table there.
    pub table: TableName,
    /// The value in rows that give none, in the target's SQL.
    pub default: Option<String>,
    /// What it gets when a row is updated.
    pub on_update: Option<String>,
    /// Whether the server numbers it.
    pub is_numbered: bool,
    /// Its comment.
    pub comment: Option<String>,
}

impl ColumnAdditions {
    /// Nothing yet.
    pub fn to(table: &TableName, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            table: table.clone(),
            default: None,
            on_update: None,
            is_numbered: false,
            comment: None,
        }
    }
}

impl ObjectStatement {
    /// A statement that is run every time.
    pub fn always(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            unless: None,
            column: None,
        }
    }

    /// A statement that is run unless the query gives a row.
    pub fn unless(sql: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            unless: Some(query.into()),
            column: None,
        }
    }

    /// A statement that adds to a column; `sql` is how it reads where the column is as planned.
    pub fn of_column(sql: impl Into<String>, column: ColumnAdditions) -> Self {
        Self {
            sql: sql.into(),
            unless: None,
            column: Some(column),
        }
    }
}

/// One object to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStep {
    /// What it is.
    pub kind: ObjectKind,
    /// The source's table that it belongs to, if it belongs to one.
    pub table: Option<TableName>,
    /// Its name, with the table's in front, for messages.
    pub name: String,
    /// Its statements, in order.
    pub statements: Vec<ObjectStatement>,
    /// Other tables of the source that must be loaded.
    pub needs: Vec<TableName>,
    /// The names of steps before it that must have been made, or found as they are wanted.
    pub rests_on: Vec<String>,
    /// Whether it stands in the way of changes that are still to be applied: it is made when no more follow.
    pub waits_for_end: bool,
    /// What a user should know of how it differs from the source's.
    pub note: Option<String>,
    /// What it needs besides, where it is made by the source's own text.
    pub script: Option<Box<Script>>,
    /// The text at the source of what was converted from the SQL of another engine: a person is to look at both.
    pub original: Option<String>,
}

/// What was converted from the SQL of another engine, for a person who compares both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The text at the source.
    pub original: String,
    /// The statement here.
    pub converted: String,
}

impl ObjectStep {
    /// What a person is to look at, where it was converted from the SQL of another engine.
    pub fn review(&self) -> Option<Review> {
        Some(Review {
            original: self.original.clone()?,
            converted: self.statements.last()?.sql.clone(),
        })
    }

    /// Whether it is made before tables are.
    pub fn is_before_tables(&self) -> bool {
        let script = self.script.as_ref();
        script.is_some_and(|script| script.when <= ScriptTime::BeforeTables)
    }

    /// Whether its text is that of a server which differs from the target in parts.
    pub fn may_be_refused(&self) -> bool {
        let script = self.script.as_ref();
        script.is_some_and(|script| script.may_be_refused)
    }
}

/// An object that is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconverted {
    /// What it is.
    pub what: String,
    /// Its name, with the table's in front.
    pub name: String,
    /// Why it is not made.
    pub reason: String,
    /// A statement to begin from, in the SQL of the target as far as that is possible.
    pub statement: Option<String>,
}

/// What becomes of a source's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPlan {
    /// Those that are made, in an order in which they can be.
    pub steps: Vec<ObjectStep>,
    /// Those that are not.
    pub unconverted: Vec<Unconverted>,
    /// Whether the indexes of one table are made one after another, because the server makes them so anyway.
    pub is_serial_by_table: bool,
}

/// What became of an object that has to stand aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// None is there that would act.
    Absent,
    /// It is on record and gone.
    Gone,
    /// It stays and acts on the rows that are written: why, and what to do.
    Stays(String),
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectOutcome {
    /// It was made.
    Made,
    /// It was there.
    Kept,
    /// It was made in the place of one of its name that the target had, and that could not be made again: how that was made.
    Replaced(String),
    /// It rests on something that the target does not have, such as a function: what, and the statement to repeat.
    Lacks(String),
    /// The target's user may not change the table: in the server's words.
    Denied(String),
}
