//! What belongs to tables beside their columns and rows, in terms that engines share.
//!
//! A source describes it as its catalog has it, with the exact text of its own SQL where there is one: a target of the same engine uses that text, a
//! target of another engine what is described beside it, and lists what it cannot make.

mod counter;
mod expression;
mod index;
mod reference;
mod script;
mod selection;

pub use counter::{Counter, CounterForm, NextNumber, Sequence};
pub use expression::{BinaryOperator, Expression, Literal, SpecialValue};
pub use index::{Index, IndexMethod, IndexPart, IndexedValue};
pub use reference::{ForeignKey, ReferenceAction};
pub use script::{Again, Likeness, Requirement, ScriptStatement, ScriptTime, Scripted};
pub use selection::{ObjectKind, ObjectSelection, UnknownObjectKind};

use crate::{Engine, TableName};

/// The objects of some tables of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaObjects {
    /// One for each table that was asked for.
    pub tables: Vec<TableObjects>,
    /// Sequences that are no column's counter, in the schemas of these tables.
    pub sequences: Vec<Sequence>,
    /// What is made by its text, in an order in which that can be done: views, routines, triggers, grants.
    pub scripts: Vec<Scripted>,
    /// What the source has besides in these schemas and for these tables, and nothing here makes.
    pub others: Vec<OtherObject>,
}

impl SchemaObjects {
    /// Whose SQL the texts are; `None`: nothing is described.
    pub fn engine(&self) -> Option<Engine> {
        self.tables.first().map(|table| table.engine)
    }

    /// The same for an engine that has no domains.
    #[must_use]
    pub fn without_domains(mut self) -> Self {
        for table in &mut self.tables {
            let OfDomains { checks, defaults } = std::mem::take(&mut table.of_domains);
            table.checks.extend(checks);
            table.defaults.extend(defaults);
        }
        self
    }
}

/// The objects of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableObjects {
    /// The engine whose SQL the texts are written in.
    pub engine: Engine,
    /// The table at the source.
    pub table: TableName,
    /// All indexes but that of the primary key, in order of name.
    pub indexes: Vec<Index>,
    /// Foreign keys of this table to itself and others, in order of name.
    pub foreign_keys: Vec<ForeignKey>,
    /// Check constraints, in order of name.
    pub checks: Vec<Check>,
    /// Defaults of columns that the server does not number, in order of the columns.
    pub defaults: Vec<ColumnDefault>,
    /// Columns that the server numbers.
    pub counters: Vec<Counter>,
    /// The table's comment.
    pub comment: Option<String>,
    /// Comments of columns: name and text.
    pub column_comments: Vec<(String, String)>,
    /// What columns have by their types.
    pub of_domains: OfDomains,
}

/// What columns have that are of domains. A target that has the domains has it by them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfDomains {
    /// Their checks, on the columns; that one is not NULL among them.
    pub checks: Vec<Check>,
    /// Their defaults, of the columns that have none of their own.
    pub defaults: Vec<ColumnDefault>,
}

impl TableObjects {
    /// A table of which nothing is known yet.
    pub fn new(engine: Engine, table: TableName) -> Self {
        Self {
            engine,
            table,
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            defaults: Vec::new(),
            counters: Vec::new(),
            comment: None,
            column_comments: Vec::new(),
            of_domains: OfDomains::default(),
        }
    }
}

/// A check constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The condition in the SQL of its engine, without parentheses around it.
    pub native: String,
    /// The same, where it means the same on every engine.
    pub condition: Option<Expression>,
    /// Whether rows are held to it.
    pub is_enforced: bool,
    /// Whether the rows that were there when it was made were held to it.
    pub is_validated: bool,
}

/// The value of a column in rows that give none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefault {
    /// The column.
    pub column: String,
    /// The value in the SQL of its engine; `None` when only updates get one.
    pub native: Option<String>,
    /// The same, where it means the same on every engine.
    pub value: Option<Expression>,
    /// What the column gets when a row is updated, in the SQL of its engine.
    pub on_update: Option<String>,
}

/// Something that is known by name and text alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherObject {
    /// What it is: `aggregate`, `partitioning`.
    pub what: String,
    /// Schema and name, and what it belongs to.
    pub name: String,
    /// The statement that makes it at the source, where the catalog gives one.
    pub native: Option<String>,
    /// Whether it means nothing to servers of other engines.
    pub is_of_engine: bool,
}
