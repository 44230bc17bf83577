//! Filters of selection rules: which rows of a table are migrated.
//!
//! How conditions on one column combine follows from what the service does with NULL: a negative condition beside `null` selects nothing,
//! and rows with NULL are left out where an inclusive, a negative and `null` condition stand together. That is so if one of the inclusive
//! conditions must hold, and none of the excluded values may be there.

use super::node::Node;
use super::{Comparison, Literal, MappingError, Predicate, ResolveError};
use crate::{ColumnType, Table};

/// What a value is compared with. Literals are the document's texts: only the column's type tells what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    AtMost(String),
    AtLeast(String),
    Equal(String),
    NotEqual(String),
    Between(String, String),
    NotBetween(String, String),
    Null,
    NotNull,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnFilter {
    pub(super) column: String,
    pub(super) conditions: Vec<(String, Condition)>,
    /// Where it stands in the document.
    pub(super) path: String,
}

/// The filters of a selection rule. A row must pass all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowFilter {
    pub(super) filters: Vec<ColumnFilter>,
}

#[derive(Clone, Copy)]
enum Operator {
    AtMost,
    AtLeast,
    Equal,
    NotEqual,
    Between,
    NotBetween,
    Null,
    NotNull,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("lte", Operator::AtMost),
    ("ste", Operator::AtMost),
    ("gte", Operator::AtLeast),
    ("eq", Operator::Equal),
    ("noteq", Operator::NotEqual),
    ("between", Operator::Between),
    ("notbetween", Operator::NotBetween),
    ("null", Operator::Null),
    ("notnull", Operator::NotNull),
];

pub(super) fn read(filters: &Node<'_>) -> Result<RowFilter, MappingError> {
    let mut read = Vec::new();
    for filter in filters.items("an array of filters")? {
        let filter = filter.object("a filter: an object")?;
        filter.member("filter-type").word(&[("source", ())])?;
        let column = filter.member("column-name").filled_text()?.to_owned();
        let list = filter.member("filter-conditions");
        let mut conditions = Vec::new();
        for condition in list.items("an array of conditions")? {
            let condition = condition.object("a condition: an object")?;
            conditions.push((condition.path().to_owned(), read_condition(&condition)?));
        }
        if conditions.is_empty() {
            return Err(list.fault("at least one condition"));
        }
        read.push(ColumnFilter {
            column,
            conditions,
            path: filter.path().to_owned(),
        });
    }
    Ok(RowFilter { filters: read })
}

fn read_condition(condition: &Node<'_>) -> Result<Condition, MappingError> {
    let literal = |member: &str| condition.member(member).literal();
    let value = || literal("value");
    let range = || Ok::<_, MappingError>((literal("start-value")?, literal("end-value")?));
    Ok(match condition.member("filter-operator").word(OPERATORS)? {
        Operator::AtMost => Condition::AtMost(value()?),
        Operator::AtLeast => Condition::AtLeast(value()?),
        Operator::Equal => Condition::Equal(value()?),
        Operator::NotEqual => Condition::NotEqual(value()?),
        Operator::Between => {
            let (start, end) = range()?;
            Condition::Between(start, end)
        }
        Operator::NotBetween => {
            let (start, end) = range()?;
            Condition::NotBetween(start, end)
        }
        Operator::Null => Condition::Null,
        Operator::NotNull => Condition::NotNull,
    })
}

impl RowFilter {
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The filter as a predicate on rows of this table.
    pub(super) fn bind(&self, rule_id: u64, table: &Table) -> Result<Predicate, ResolveError> {
        let filters = self.filters.iter();
        let bound = filters.map(|filter| filter.bind(rule_id, table));
        Ok(Predicate::All(bound.collect::<Result<_, _>>()?))
    }
}

impl ColumnFilter {
    fn bind(&self, rule_id: u64, table: &Table) -> Result<Predicate, ResolveError> {
        let column = TestedColumn::find(table, &self.column)
            .map_err(|expected| ResolveError::new(table, rule_id, &self.path, expected))?;
        let (mut inclusive, mut negative) = (Vec::new(), Vec::new());
        for (path, condition) in &self.conditions {
            let predicate = condition
                .bind(&column, table)
                .map_err(|expected| ResolveError::new(table, rule_id, path, expected))?;
            match condition {
                Condition::NotEqual(_) | Condition::NotBetween(..) => negative.push(predicate),
                _ => inclusive.push(predicate),
            }
        }
        if !inclusive.is_empty() {
            negative.push(Predicate::Any(inclusive));
        }
        Ok(Predicate::All(negative))
    }
}

impl Condition {
    fn bind(&self, column: &TestedColumn, table: &Table) -> Result<Predicate, String> {
        let compare = |comparison, text: &String| {
            let literal = Literal::read(text, column.ty(table), table.engine)
                .map_err(|expected| format!("{expected} for column {}", column.name))?;
            Ok::<_, String>(Predicate::Compare {
                column: column.clone(),
                comparison,
                literal,
            })
        };
        Ok(match self {
            Self::AtMost(value) => compare(Comparison::AtMost, value)?,
            Self::AtLeast(value) => compare(Comparison::AtLeast, value)?,
            Self::Equal(value) => compare(Comparison::Equal, value)?,
            Self::NotEqual(value) => compare(Comparison::NotEqual, value)?,
            Self::Between(start, end) => Predicate::All(vec![
                compare(Comparison::AtLeast, start)?,
                compare(Comparison::AtMost, end)?,
            ]),
            Self::NotBetween(start, end) => Predicate::Any(vec![
                compare(Comparison::Less, start)?,
                compare(Comparison::Greater, end)?,
            ]),
            Self::Null => Predicate::IsNull(column.clone()),
            Self::NotNull => Predicate::Not(Box::new(Predicate::IsNull(column.clone()))),
        })
    }
}

/// A column that predicates look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestedColumn {
    /// Its name at the source.
    pub name: String,
    /// Its place among the table's columns.
    pub column: usize,
    /// Its place in rows of loaded columns.
    pub place: usize,
}

impl TestedColumn {
    /// Finds a column that rows hold.
    pub(super) fn find(table: &Table, name: &str) -> Result<Self, String> {
        let mut place = 0;
        for (at, column) in table.columns.iter().enumerate() {
            if column.name == name && column.is_loaded() {
                return Ok(Self {
                    name: name.to_owned(),
                    column: at,
                    place,
                });
            }
            if column.name == name {
                return Err(format!(
                    "a column with values of its own: {name} is computed, and changes of the source do not tell it"
                ));
            }
            place += usize::from(column.is_loaded());
        }
        Err(format!(
            "the name of a column as the source spells it, not {name}"
        ))
    }

    pub(super) fn ty<'t>(&self, table: &'t Table) -> &'t ColumnType {
        &table.columns[self.column].ty
    }
}
