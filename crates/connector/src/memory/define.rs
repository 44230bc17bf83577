//! Changing the definition of a table in memory.

use whimbrel_core::Column;

use super::apply::Open;
use super::{Cell, MemoryTable, State};
use crate::{ColumnChange, Definition, Error, TargetTable};

/// Does to the open transaction what is not done already.
pub(super) fn define(state: &State, open: &mut Open, definition: &Definition) -> Result<(), Error> {
    match definition {
        Definition::Drop { table } => {
            open.put(table.name.clone(), None);
            Ok(())
        }
        Definition::Alter {
            before,
            after,
            columns,
        } => {
            let is_renamed = before.name != after.name;
            if is_renamed && let Ok(there) = open.table(state, before).map(|table| table.clone()) {
                open.put(before.name.clone(), None);
                open.put(after.name.clone(), Some(there));
            }
            let table = open.table(state, after)?;
            table.table.name = after.name.clone();
            for change in columns {
                alter(table, before, after, *change);
            }
            Ok(())
        }
    }
}

fn alter(table: &mut MemoryTable, before: &TargetTable, after: &TargetTable, change: ColumnChange) {
    let find = |table: &MemoryTable, name: &str| {
        let columns = &table.table.columns;
        columns.iter().position(|column| column.name == name)
    };
    match change {
        ColumnChange::Add { after: place } => {
            let planned = &after.columns[place];
            if find(table, &planned.name).is_none() {
                table.table.columns.push(Column {
                    name: planned.name.clone(),
                    ty: planned.source_type.clone(),
                    native: planned.native.clone(),
                    nullable: planned.nullable,
                    generation: whimbrel_core::Generation::None,
                    id: None,
                    default: None,
                });
                table.rows.iter_mut().for_each(|row| row.push(Cell::Null));
            }
        }
        ColumnChange::Drop { before: place } => {
            if let Some(at) = find(table, &before.columns[place].name) {
                table.table.columns.remove(at);
                table.rows.iter_mut().for_each(|row| {
                    row.remove(at);
                });
                table.table.primary_key.retain(|&key| key != at);
                for key in &mut table.table.primary_key {
                    *key -= usize::from(*key > at);
                }
            }
        }
        ColumnChange::Rename {
            before: from,
            after: to,
        } => {
            if let Some(at) = find(table, &before.columns[from].name) {
                table.table.columns[at]
                    .name
                    .clone_from(&after.columns[to].name);
            }
        }
        ColumnChange::Nullable { after: place } => {
            if let Some(at) = find(table, &after.columns[place].name) {
                table.table.columns[at].nullable = after.columns[place].nullable;
            }
        }
    }
}
