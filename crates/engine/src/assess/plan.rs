//! What the plan of a run tells.

use std::collections::HashMap;

use whimbrel_connector::objects::Unconverted;
use whimbrel_connector::{Concern, UnreadLog};
use whimbrel_core::{Engine, TableName};

use crate::{LoadPlan, PlannedTable};

/// What [`concerns`] answers.
pub(super) const CHECKED: &[&str] = &[
    "all-check-source-selection-rules",
    "table-not-migratable",
    "types-changed",
    "source-tables-outside-snapshot",
    "postgres-check-similar-table-name",
];

/// Everything that is found of tables.
pub(super) fn concerns(plan: &LoadPlan, target: Engine) -> Vec<Concern> {
    if plan.tables.is_empty() {
        return vec![Concern::new(
            "all-check-source-selection-rules",
            "table mappings",
            "no table of the source matches",
            "names are case-sensitive; see that the rules name tables that are there and that the user may see",
        )];
    }
    let mut concerns: Vec<Concern> = plan.tables.iter().flat_map(of_table).collect();
    concerns.extend(unmatched(plan));
    concerns.extend(
        similar(plan)
            .into_iter()
            .filter(|_| target != Engine::Postgres),
    );
    concerns
}

/// A pattern that finds nothing is for the log alone: a schema may well be empty.
fn unmatched(plan: &LoadPlan) -> impl Iterator<Item = Concern> {
    plan.unmatched.names.iter().map(|name| {
        Concern::new(
            "all-check-source-selection-rules",
            name.to_string(),
            "a rule names it, and there is no such table, or the user may not see it",
            "names are case-sensitive, and views are selected by table-type view; correct the rule, or grant the user SELECT on the table",
        )
    })
}

fn of_table(table: &PlannedTable) -> Vec<Concern> {
    let name = table.source.name.to_string();
    let mut concerns = Vec::new();
    match &table.target {
        Err(why) => concerns.push(Concern::new(
            "table-not-migratable",
            &name,
            why,
            "mend what the message names, leave the column out by a transformation rule, or exclude the table",
        )),
        Ok(target) => concerns.extend(target.notes.iter().map(|note| {
            Concern::new(
                "types-changed",
                &name,
                note,
                "see docs/types.md; a transformation rule with change-data-type chooses another type",
            )
        })),
    }
    if let Some(why) = &table.source.outside_snapshot {
        concerns.push(Concern::new(
            "source-tables-outside-snapshot",
            &name,
            why,
            "let nobody write into the table while it is loaded, or change its storage engine",
        ));
    }
    concerns
}

/// Tables whose names at the target are one where upper and lower case are.
fn similar(plan: &LoadPlan) -> Vec<Concern> {
    let mut seen: HashMap<(String, String), &TableName> = HashMap::new();
    let mut concerns = Vec::new();
    for table in &plan.tables {
        let Ok(target) = &table.target else { continue };
        let name = &target.name;
        let folded = (name.schema.to_lowercase(), name.name.to_lowercase());
        if let Some(other) = seen.insert(folded, name) {
            concerns.push(Concern::new(
                "postgres-check-similar-table-name",
                name.to_string(),
                format!("its name differs from {other} in upper and lower case alone, which are one where the server's lower_case_table_names is not 0"),
                "see that the setting is 0 at the target, or rename one of them by a transformation rule",
            ));
        }
    }
    concerns
}

pub(super) fn unread(log: UnreadLog) -> Concern {
    Concern::new("source-log-unread", "source", log.message, log.remedy)
}

pub(super) fn unconverted(object: Unconverted) -> Concern {
    let remedy = match object.statement {
        Some(statement) => format!("make it by hand, beginning from: {statement}"),
        None => "make it by hand at the target, if it is needed there".to_owned(),
    };
    Concern::new(
        "unsupported-objects",
        format!("{} {}", object.what, object.name),
        object.reason,
        remedy,
    )
}
