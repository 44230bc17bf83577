//! What applying needs to know of a target table.

use whimbrel_connector::{Error, TargetTable};
use whimbrel_core::TableName;

use super::super::layout::Layout;
use super::super::prepare;
use crate::catalog;
use crate::errors::of_table;
use crate::quote::{self, literal};
use crate::types::SlotKind;
use crate::wire::{Connection, TextRow, WireError};

/// A target table as it is, and the parts of statements that write it.
#[derive(Debug)]
pub(super) struct ApplyTable {
    /// The plan for which it was looked at.
    pub(super) planned: TargetTable,
    pub(super) layout: Layout,
    /// Database and table in SQL.
    pub(super) name: String,
    /// The columns in SQL.
    pub(super) columns: Vec<String>,
    /// `INSERT INTO … VALUES `.
    pub(super) insert: String,
    /// For each column, whether `=` tells any two values apart.
    pub(super) is_exact: Vec<bool>,
    /// Behind the table in a join by its key, so that rows are looked up whatever the server believes of the table: one that it takes for nearly empty is read whole for
    /// each row of a batch.
    pub(super) by_key: &'static str,
    /// Columns that the server would set to the present time by itself whenever a row changes.
    pub(super) self_updating: Vec<usize>,
}

impl ApplyTable {
    /// Looks at the table.
    ///
    /// # Errors
    /// [`Error::Table`] when it cannot be written exactly, or not in one transaction with others.
    pub(super) async fn read(
        connection: &mut Connection,
        table: &TargetTable,
    ) -> Result<Self, Error> {
        let source = &table.source.name;
        let failed = |error| of_table(error, source, "look at the target table");
        let engine = catalog::storage_engine(connection, &table.name)
            .await
            .map_err(failed)?;
        if let Some(engine) = engine {
            prepare::check_engine(table, &engine)?;
        }
        let layout = Layout::read(connection, table).await?;
        let names = self_updating(connection, &table.name)
            .await
            .map_err(failed)?;
        let self_updating = (0..layout.slots.len())
            .filter(|&i| names.contains(&layout.slots[i].name))
            .collect();
        let primary = primary_key(connection, &table.name).await;
        let primary = primary.map_err(failed)?;
        let is_in_key = |name: &String| {
            let mut key = layout.key.iter();
            key.any(|&place| layout.slots[place].name.eq_ignore_ascii_case(name))
        };
        let by_key = if !primary.is_empty() && primary.iter().all(is_in_key) {
            " FORCE INDEX (PRIMARY)"
        } else {
            ""
        };
        let columns: Vec<String> = layout
            .slots
            .iter()
            .map(|slot| quote::identifier(&slot.name))
            .collect();
        let name = quote::table(&table.name);
        Ok(Self {
            planned: table.clone(),
            insert: format!("INSERT INTO {name} ({}) VALUES ", columns.join(",")),
            name,
            columns,
            is_exact: (0..layout.slots.len())
                .map(|i| is_exact(&layout.slots[i].kind, &layout.natives[i]))
                .collect(),
            by_key,
            self_updating,
            layout,
        })
    }

    /// The key's columns within a row; empty without a key.
    pub(super) fn key(&self) -> &[usize] {
        &self.layout.key
    }
}

/// Whether `=` tells any two values of a column apart. Of texts, only under a binary collation that does not pad with spaces;
/// labels of ENUM and SET differ under their collation, or the column could not have been made.
fn is_exact(kind: &SlotKind, native: &str) -> bool {
    match kind {
        SlotKind::Char | SlotKind::Text | SlotKind::JsonText | SlotKind::JsonBinary => native
            .rsplit_once(" COLLATE ")
            .and_then(|(_, collation)| collation.split(' ').next())
            .is_some_and(|name| name == "utf8mb4_0900_bin" || name.ends_with("_nopad_bin")),
        _ => true,
    }
}

async fn self_updating(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Vec<String>, WireError> {
    let sql = format!(
        "SELECT column_name FROM information_schema.columns \
         WHERE table_schema = {} AND table_name = {} AND upper(extra) LIKE '%ON UPDATE%'",
        literal(&table.schema),
        literal(&table.name)
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
}

async fn primary_key(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Vec<String>, WireError> {
    let sql = format!(
        "SELECT column_name FROM information_schema.statistics \
         WHERE table_schema = {} AND table_name = {} AND index_name = 'PRIMARY'",
        literal(&table.schema),
        literal(&table.name)
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
}

/// Tells that triggers of the table act.
pub(super) async fn warn_of_triggers(
    connection: &mut Connection,
    table: &TargetTable,
) -> Result<(), Error> {
    let sql = format!(
        "SELECT trigger_name FROM information_schema.triggers \
         WHERE event_object_schema = {} AND event_object_table = {}",
        literal(&table.name.schema),
        literal(&table.name.name)
    );
    let rows = connection.rows(&sql).await;
    let rows = rows.map_err(|error| {
        of_table(
            error,
            &table.source.name,
            "look at the triggers of the target table",
        )
    })?;
    let names: Vec<&str> = rows.iter().map(|row: &TextRow| row.text(0)).collect();
    if !names.is_empty() {
        tracing::warn!(
            table = %table.name,
            triggers = names.join(", "),
            "triggers of the target act on applied changes: the server cannot switch them off for a session; drop them if the source's do the same"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_exact_only_under_binary_collations_without_padding() {
        let text = |collation| {
            is_exact(
                &SlotKind::Text,
                &format!("varchar(9) CHARACTER SET utf8mb4 COLLATE {collation}"),
            )
        };
        assert!(text("utf8mb4_0900_bin") && text("utf8mb4_nopad_bin"));
        assert!(!text("utf8mb4_bin") && !text("utf8mb4_general_ci") && !text("latin1_bin"));
        assert!(is_exact(&SlotKind::Int, "int"));
    }
}
