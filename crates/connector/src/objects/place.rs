use std::collections::HashMap;

use whimbrel_core::TableName;
use whimbrel_core::objects::{ForeignKey, ObjectKind, ObjectSelection};

use super::{ObjectPlan, ObjectStatement, ObjectStep, Unconverted};
use crate::TargetTable;

/// Where the source's tables are at the target.
#[derive(Debug)]
pub struct Places<'a> {
    by_source: HashMap<&'a TableName, &'a TargetTable>,
}

impl<'a> Places<'a> {
    /// The tables of a task.
    pub fn new(tables: &'a [TargetTable]) -> Self {
        Self {
            by_source: tables
                .iter()
                .map(|table| (&table.source.name, table))
                .collect(),
        }
    }

    /// Where a table is, if it is one of the task's.
    pub fn table(&self, source: &TableName) -> Option<&'a TargetTable> {
        self.by_source.get(source).copied()
    }
}

/// The name that a column of the source has at the target; `None` when it is not there. Columns that the source computes are there on the same engine
/// only.
pub fn column_at_target<'a>(
    table: &'a TargetTable,
    name: &str,
    is_same_engine: bool,
) -> Option<&'a str> {
    let found = table
        .column_of(name)
        .and_then(|place| table.columns.get(place));
    if let Some(target) = found {
        return Some(&target.name);
    }
    let mut computed = table
        .model()
        .columns
        .iter()
        .filter(|column| !column.is_loaded() && is_same_engine);
    computed
        .find(|column| column.name == name)
        .map(|column| column.name.as_str())
}

/// Whether some column has another name at the target or is not there, so that texts of the source which name columns do not hold there.
pub fn renames_columns(table: &TargetTable) -> bool {
    let mut columns = table.source.loaded_columns();
    columns.any(|column| column_at_target(table, &column.name, true) != Some(&column.name))
}

/// Why a constraint on columns of the source may not hold for what arrives of them: their values arrive as others.
///
/// # Errors
/// Says which.
pub fn keeps_values<'n>(
    table: &TargetTable,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<(), String> {
    let mut names = names.into_iter();
    match names.find(|name| table.columns_changed().any(|changed| changed == *name)) {
        Some(name) => Err(format!(
            "the values of its column {name} arrive as others, by a rule or a setting of the task"
        )),
        None => Ok(()),
    }
}

/// The same for a text of the source's SQL, which may name any column.
///
/// # Errors
/// Says which.
pub fn keeps_values_of_text(table: &TargetTable, text: &str) -> Result<(), String> {
    let text = text.to_lowercase();
    keeps_values(
        table,
        table
            .columns_changed()
            .filter(|name| text.contains(&name.to_lowercase())),
    )
}

/// Whether the rows that arrive hold to a foreign key as those of the source do.
///
/// # Errors
/// Says why that is not known.
pub fn keeps_key(
    table: &TargetTable,
    referenced: &TargetTable,
    key: &ForeignKey,
) -> Result<(), String> {
    keeps_values(table, key.columns.iter().map(String::as_str))?;
    keeps_values(
        referenced,
        key.referenced_columns.iter().map(String::as_str),
    )?;
    if referenced.leaves_out_rows() {
        return Err(format!(
            "a filter leaves rows of {} out, to which others may refer",
            referenced.source.name
        ));
    }
    Ok(())
}

/// Why an object is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason, as the end of a sentence.
    pub reason: String,
    /// A statement to begin from.
    pub statement: Option<String>,
}

impl Refused {
    /// A reason alone.
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            statement: None,
        }
    }

    /// A reason with a statement to begin from.
    pub fn with_statement(reason: impl Into<String>, statement: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            statement: Some(statement.into()),
        }
    }
}

/// Gathers a plan, leaving out what is not wanted.
#[derive(Debug)]
pub struct ObjectPlanner<'a> {
    wanted: &'a ObjectSelection,
    plan: ObjectPlan,
}

impl<'a> ObjectPlanner<'a> {
    /// A plan of these kinds of objects.
    pub fn new(wanted: &'a ObjectSelection) -> Self {
        Self {
            wanted,
            plan: ObjectPlan::default(),
        }
    }

    /// Whether objects of a kind are wanted.
    pub fn wants(&self, kind: ObjectKind) -> bool {
        self.wanted.has(kind)
    }

    /// Whether views are made as they were converted from the SQL of another engine.
    pub fn converts_views(&self) -> bool {
        self.wanted.converts_views()
    }

    /// Whether what has a text of its own is listed, because nobody has said anything of it.
    pub fn lists_scripts(&self) -> bool {
        self.wanted.is_of_tables()
    }

    /// Adds an object of a table, or why it is not made.
    pub fn add(
        &mut self,
        kind: ObjectKind,
        table: &TableName,
        name: &str,
        made: Result<Vec<ObjectStatement>, Refused>,
    ) -> Option<&mut ObjectStep> {
        if !self.wants(kind) {
            return None;
        }
        let name = if name.is_empty() {
            table.to_string()
        } else {
            format!("{table}.{name}")
        };
        match made {
            Ok(statements) => {
                self.plan.steps.push(ObjectStep {
                    kind,
                    table: Some(table.clone()),
                    name,
                    statements,
                    needs: Vec::new(),
                    rests_on: Vec::new(),
                    waits_for_end: kind != ObjectKind::Index,
                    note: None,
                    script: None,
                    original: None,
                });
                self.plan.steps.last_mut()
            }
            Err(refused) => {
                self.list(kind.singular(), name, refused);
                None
            }
        }
    }

    /// Adds an object that belongs to no table.
    pub fn add_free(
        &mut self,
        kind: ObjectKind,
        name: String,
        statements: Vec<ObjectStatement>,
    ) -> Option<&mut ObjectStep> {
        if !self.wants(kind) {
            return None;
        }
        self.plan.steps.push(ObjectStep {
            kind,
            table: None,
            name,
            statements,
            needs: Vec::new(),
            rests_on: Vec::new(),
            waits_for_end: true,
            note: None,
            script: None,
            original: None,
        });
        self.plan.steps.last_mut()
    }

    /// Adds an object that is made by its text.
    pub(super) fn add_script(&mut self, step: ObjectStep) {
        self.plan.steps.push(step);
    }

    /// Lists an object that is not made.
    pub fn list(&mut self, what: &str, name: String, refused: Refused) {
        self.plan.unconverted.push(Unconverted {
            what: what.to_owned(),
            name,
            reason: refused.reason,
            statement: refused.statement,
        });
    }

    /// The plan, in the order in which kinds are made.
    pub fn finish(mut self) -> ObjectPlan {
        let place = |kind: ObjectKind| ObjectKind::ALL.iter().position(|known| *known == kind);
        self.plan.steps.sort_by_key(|step| {
            let script = step.script.as_ref();
            place(script.map_or(step.kind, |script| script.behind))
        });
        self.plan
    }
}
