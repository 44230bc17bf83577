//! What an altered table takes at the target: a change of its definition, or its rows loaded again.
//!
//! The log tells no rows when a definition changes, so only what gives no row another value is done in place: columns that come
//! empty, that go, that get another name. Whatever may have given rows new values (another type, a default, a new key) is exact only
//! when the rows are read again.

use std::collections::HashMap;

use whimbrel_connector::{ColumnChange, TargetTable};
use whimbrel_core::{Column, Engine, Generation};

/// What an altered table takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reshape {
    /// Changes of columns, none perhaps, that give no row another value.
    InPlace(Vec<ColumnChange>),
    /// The rows must be read again, for this reason.
    Reload(String),
}

/// Compares a table as its changes were applied with what it is now. Both are planned for the same target.
pub(super) fn reshape(before: &TargetTable, after: &TargetTable) -> Reshape {
    let old: Vec<&Column> = before.model().loaded_columns().collect();
    let new: Vec<&Column> = after.model().loaded_columns().collect();
    let mut changes = Vec::new();
    // Where each old column is now.
    let mut moved = HashMap::new();
    let mut added = Vec::new();
    for (place, column) in new.iter().enumerate() {
        let Some(was) = old.iter().position(|old| is_same_column(old, column)) else {
            added.push(place);
            continue;
        };
        moved.insert(was, place);
        let native = (&before.columns[was].native, &after.columns[place].native);
        if old[was].native != column.native
            || old[was].generation != column.generation
            || native.0 != native.1
        {
            return reload(column, "has another type than before");
        }
        if old[was].name != column.name {
            if old.iter().any(|old| old.name == column.name) {
                return reload(column, "has the name that another column had");
            }
            changes.push(ColumnChange::Rename {
                before: was,
                after: place,
            });
        }
        if old[was].nullable != column.nullable {
            if !column.nullable && after.source.engine != Engine::Postgres {
                return reload(column, "takes no NULL any more");
            }
            changes.push(ColumnChange::Nullable { after: place });
        }
    }
    let gone = (0..old.len()).filter(|was| !moved.contains_key(was));
    let gone: Vec<ColumnChange> = gone.map(|before| ColumnChange::Drop { before }).collect();
    for &place in &added {
        let was_left_out = before
            .source
            .loaded_columns()
            .any(|old| is_same_column(old, new[place]));
        if was_left_out {
            return reload(
                new[place],
                "was left out by a rule under its name of before",
            );
        }
        if !comes_empty(new[place]) {
            return reload(new[place], "is new and its rows may have values");
        }
    }
    let key = before.primary_key.iter().map(|was| moved.get(was).copied());
    if key.collect::<Option<Vec<usize>>>().as_ref() != Some(&after.primary_key) {
        return Reshape::Reload("its key has changed".to_owned());
    }
    if computed(before) != computed(after) {
        return Reshape::Reload("a computed column has changed".to_owned());
    }
    let added = added.into_iter().map(|after| ColumnChange::Add { after });
    // What goes makes room for what comes under its name.
    Reshape::InPlace(gone.into_iter().chain(changes).chain(added).collect())
}

fn reload(column: &Column, why: &str) -> Reshape {
    Reshape::Reload(format!("column {} {why}", column.name))
}

/// By the source's own number for it, whatever its name; by name where there is none.
pub(super) fn is_same_column(old: &Column, new: &Column) -> bool {
    match (old.id, new.id) {
        (Some(old), Some(new)) => old == new,
        _ => old.name == new.name,
    }
}

/// Whether it is NULL in all rows that were there. Nothing is known of the defaults of a column that only the log describes.
fn comes_empty(column: &Column) -> bool {
    column.nullable
        && column.default.is_none()
        && column.generation == Generation::None
        && column.id.is_some()
}

/// The columns that the target computes as the source does.
fn computed(table: &TargetTable) -> Vec<(&str, &str)> {
    let columns = table
        .model()
        .columns
        .iter()
        .filter(|column| !column.is_loaded());
    columns
        .map(|column| (column.name.as_str(), column.native.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase};
    use whimbrel_connector::{Connector as _, KeyPolicy};
    use whimbrel_core::{ColumnType, Table, TableName};

    use super::*;

    fn column(id: u32, name: &str) -> Column {
        Column {
            name: name.to_owned(),
            ty: ColumnType::Text { bytes_max: None },
            native: "text".to_owned(),
            nullable: true,
            generation: Generation::None,
            id: Some(id),
            default: None,
        }
    }

    async fn planned(columns: Vec<Column>, primary_key: Vec<usize>) -> TargetTable {
        let table = Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns,
            primary_key,
            id: Some(7),
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        };
        let target = MemoryConnector::new(MemoryDatabase::new(), Faults::none());
        let target = target.target().await.unwrap();
        target
            .plan_table(&table, table.name.clone(), KeyPolicy::Best)
            .unwrap()
    }

    fn is_reload(reshape: &Reshape, why: &str) -> bool {
        matches!(reshape, Reshape::Reload(reason) if reason.contains(why))
    }

    #[tokio::test]
    async fn columns_that_come_empty_go_or_are_renamed_take_no_reload() {
        let before = planned(
            vec![column(1, "id"), column(2, "a"), column(3, "b")],
            vec![0],
        )
        .await;
        let after = planned(
            vec![column(4, "a"), column(1, "id"), column(3, "c")],
            vec![1],
        )
        .await;
        assert_eq!(
            reshape(&before, &after),
            Reshape::InPlace(vec![
                ColumnChange::Drop { before: 1 },
                ColumnChange::Rename {
                    before: 2,
                    after: 2
                },
                ColumnChange::Add { after: 0 },
            ])
        );
        assert_eq!(reshape(&before, &before), Reshape::InPlace(Vec::new()));
    }

    #[tokio::test]
    async fn what_may_have_changed_rows_takes_a_reload() {
        let before = planned(
            vec![column(1, "id"), column(2, "a"), column(3, "b")],
            vec![0],
        )
        .await;
        let with = |change: fn(&mut Vec<Column>)| {
            let mut columns = vec![column(1, "id"), column(2, "a"), column(3, "b")];
            change(&mut columns);
            planned(columns, vec![0])
        };
        let typed = with(|columns| columns[1].native = "integer".to_owned()).await;
        assert!(is_reload(&reshape(&before, &typed), "another type"));
        let filled = with(|columns| {
            columns.push(Column {
                default: Some("5".to_owned()),
                ..column(4, "new")
            });
        });
        assert!(is_reload(
            &reshape(&before, &filled.await),
            "may have values"
        ));
        let unknown = with(|columns| {
            columns.push(Column {
                id: None,
                ..column(4, "new")
            });
        });
        assert!(is_reload(
            &reshape(&before, &unknown.await),
            "may have values"
        ));
        let swapped = with(|columns| {
            columns[1].name = "b".to_owned();
            columns[2].name = "a".to_owned();
        });
        assert!(is_reload(
            &reshape(&before, &swapped.await),
            "another column had"
        ));
        let key = planned(before.source.columns.clone(), vec![1]).await;
        assert!(is_reload(&reshape(&before, &key), "key"));
    }
}
