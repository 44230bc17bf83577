//! Columns one by one: what the target makes of their types.

use whimbrel_connector::{Concern, KeyPolicy, Target};
use whimbrel_core::{Column, Table, TableName};

use crate::{FullLoadSpec, LoadPlan};

pub(super) const UNSUPPORTED: &str = "unsupported-data-types-in-source";

/// How far a target has a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Not at all.
    None,
    /// Some values, or in another form.
    Partial,
}

/// A column whose type the target does not have as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnFinding {
    /// Its table.
    pub table: TableName,
    /// Its name.
    pub column: String,
    /// Its type in the SQL of the source.
    pub native: String,
    /// How far the target has it.
    pub support: Support,
    /// What becomes of it, or why it cannot be.
    pub message: String,
}

/// All such columns of the plan's tables, in the shape that rules give them.
pub(super) fn look(
    plan: &LoadPlan,
    spec: &FullLoadSpec,
    target: &dyn Target,
) -> Vec<ColumnFinding> {
    let mut findings = Vec::new();
    for planned in &plan.tables {
        let source = &planned.source;
        let shape = spec.shaper().of(source);
        let shaped = shape.as_ref().ok().and_then(Option::as_ref);
        let model = shaped.map_or(source, |shaped| shaped.table());
        let found = model
            .loaded_columns()
            .filter_map(|column| one(source, column, target));
        findings.extend(found);
    }
    findings
}

/// A column by itself, as the only one of its table: so what is said is of its type.
fn one(source: &Table, column: &Column, target: &dyn Target) -> Option<ColumnFinding> {
    let alone = Table {
        columns: vec![column.clone()],
        primary_key: Vec::new(),
        key_prefixes: Vec::new(),
        notes: Vec::new(),
        ..source.clone()
    };
    let planned = target.plan_table(&alone, source.name.clone(), KeyPolicy::None);
    let (support, message) = match planned {
        Ok(planned) if planned.notes.is_empty() => return None,
        Ok(planned) => (Support::Partial, planned.notes.join("; ")),
        Err(whimbrel_connector::Error::Table(fault)) => (Support::None, fault.message),
        Err(error) => (Support::None, error.to_string()),
    };
    Some(ColumnFinding {
        table: source.name.clone(),
        column: column.name.clone(),
        native: column.native.clone(),
        support,
        message,
    })
}

pub(super) fn concerns(columns: &[ColumnFinding]) -> Vec<Concern> {
    let unsupported = columns
        .iter()
        .filter(|found| found.support == Support::None);
    let concerns = unsupported.map(|found| {
        Concern::new(
            UNSUPPORTED,
            format!("{}.{}", found.table, found.column),
            &found.message,
            "leave the column out by a transformation rule, or choose a type for it with change-data-type",
        )
    });
    concerns.collect()
}
