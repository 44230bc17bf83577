//! What the plan of a run tells.

use whimbrel_connector::objects::Unconverted;
use whimbrel_connector::{Concern, UnreadLog};
use whimbrel_core::{ColumnType, Table};

use crate::{LoadPlan, PlannedTable};

/// Everything that is found of tables.
pub(super) fn concerns(plan: &LoadPlan) -> Vec<Concern> {
    if plan.tables.is_empty() {
        return vec![Concern::new(
            "all-check-source-selection-rules",
            "table mappings",
            "no table of the source matches",
            "names are case-sensitive; see that the rules name tables that are there and that the user may see",
        )];
    }
    plan.tables.iter().flat_map(of_table).collect()
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
    if !table.is_view && table.source.primary_key.is_empty() {
        concerns.push(without_key(&table.source));
    }
    concerns
}

fn without_key(table: &Table) -> Concern {
    let has_large = table.loaded_columns().any(|column| is_large(&column.ty));
    let check = if has_large {
        "table-with-lob-but-without-primary-key-or-unique-constraint"
    } else {
        "table-with-no-primary-key-or-unique-constraint"
    };
    Concern::new(
        check,
        table.name.to_string(),
        "the table has no primary key: its rows are told apart by all their columns, which is slow where changes are followed or rows compared",
        "give the table a primary key",
    )
}

fn is_large(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Text { .. } | ColumnType::Blob { .. } | ColumnType::Json { .. }
    )
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
