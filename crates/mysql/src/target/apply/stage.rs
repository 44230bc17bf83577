//! The temporary table that a set of rows goes through, and the statements that join it with the target.
//!
//! Names pass through `quote`; types are those of the target's own catalog.

use super::table::ApplyTable;
use crate::quote;
use crate::target::layout::Layout;
use crate::types::SlotKind;

/// Its name, in the target table's database.
pub(super) const NAME: &str = "whimbrel_stage";

/// Two statements: the temporary table of an earlier set goes, this one's comes.
pub(super) fn create(stage: &Layout) -> String {
    let name = quote::table(&stage.target);
    // Servers may demand a key of every table.
    let mut sql = format!(
        "DROP TEMPORARY TABLE IF EXISTS {name};CREATE TEMPORARY TABLE {name} \
         (`whimbrel row` bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY"
    );
    for (slot, native) in stage.slots.iter().zip(&stage.natives) {
        // Without attributes that concern how values are kept, and without the check that comes with MariaDB's JSON.
        let native = native.split(" /*").next().unwrap_or_default();
        let native = if slot.kind == SlotKind::JsonText && native == "json" {
            "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        } else {
            native
        };
        let name = quote::identifier(&slot.name);
        sql.extend([", ", &name, " ", native, " NULL"]);
    }
    sql.push_str(") ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4");
    sql
}

/// `stage AS s STRAIGHT_JOIN table AS t ON …`: the server reads the rows of `s` and looks each up by its key.
pub(super) fn joined(table: &ApplyTable, stage: &Layout) -> String {
    let mut sql = format!(
        "{} AS s STRAIGHT_JOIN {} AS t{} ON ",
        quote::table(&stage.target),
        table.name,
        table.by_key
    );
    for (place, &column) in table.key().iter().enumerate() {
        if place > 0 {
            sql.push_str(" AND ");
        }
        let name = &table.columns[column];
        sql.extend(["t.", name, " = s.", name]);
        if !table.is_exact[column] {
            sql.extend([
                " AND CAST(t.",
                name,
                " AS BINARY) = CAST(s.",
                name,
                " AS BINARY)",
            ]);
        }
    }
    sql
}

/// What an UPDATE of such a join sets.
pub(super) fn assignments(table: &ApplyTable, columns: &[usize]) -> String {
    let key = table.key();
    let changed = columns.iter().filter(|column| !key.contains(column));
    let mut sets: Vec<String> = changed
        .map(|&column| {
            let name = &table.columns[column];
            format!("t.{name} = s.{name}")
        })
        .collect();
    let kept = table
        .self_updating
        .iter()
        .filter(|column| !columns.contains(column));
    sets.extend(kept.map(|&column| {
        let name = &table.columns[column];
        format!("t.{name} = t.{name}")
    }));
    if sets.is_empty() {
        // Nothing changes, but the rows must be there.
        let name = &table.columns[key[0]];
        sets.push(format!("t.{name} = t.{name}"));
    }
    sets.join(", ")
}
