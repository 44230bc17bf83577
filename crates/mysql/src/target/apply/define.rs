//! Changing the definition of a target table.
//!
//! A statement that does so commits by itself, so it comes between transactions, and may come again after a crash: what the table
//! has already is looked up first, and only the rest is done.

use std::collections::HashSet;

use whimbrel_connector::{ColumnChange, Definition, Error, TargetTable};
use whimbrel_core::TableName;

use super::super::control::{self, Held};
use super::super::prepare::planned_column;
use super::MysqlApplier;
use crate::catalog;
use crate::errors::of_table;
use crate::quote;
use crate::wire::Connection;

const DOING: &str = "change the definition at the target";

impl MysqlApplier {
    pub(super) async fn change_definition(&mut self, definition: &Definition) -> Result<(), Error> {
        control::check_fence(&mut self.session.connection, &self.fence, Held::Now).await?;
        self.tables.clear();
        let connection = &mut self.session.connection;
        match definition {
            Definition::Drop { table } => {
                let sql = format!("DROP TABLE IF EXISTS {}", quote::table(&table.name));
                run(connection, &table.source.name, &sql).await
            }
            Definition::Alter {
                before,
                after,
                columns,
            } => {
                rename(connection, before, after).await?;
                alter(connection, before, after, columns).await
            }
        }
    }
}

async fn run(connection: &mut Connection, table: &TableName, sql: &str) -> Result<(), Error> {
    let done = connection.execute(sql).await;
    done.map(drop)
        .map_err(|error| of_table(error, table, DOING))
}

async fn rename(
    connection: &mut Connection,
    before: &TargetTable,
    after: &TargetTable,
) -> Result<(), Error> {
    if before.name == after.name {
        return Ok(());
    }
    let source = &before.source.name;
    let there = catalog::storage_engine(connection, &before.name).await;
    if there
        .map_err(|error| of_table(error, source, DOING))?
        .is_none()
    {
        let renamed = catalog::storage_engine(connection, &after.name).await;
        return match renamed.map_err(|error| of_table(error, source, DOING))? {
            Some(_) => Ok(()),
            None => Err(Error::table(
                source,
                format!(
                    "cannot {DOING}: neither {} nor {} is at the target; load the table again",
                    before.name, after.name
                ),
            )),
        };
    }
    if before.name.schema != after.name.schema {
        let schema = quote::identifier(&after.name.schema);
        let sql = format!("CREATE DATABASE IF NOT EXISTS {schema} CHARACTER SET utf8mb4");
        run(connection, source, &sql).await?;
    }
    let (from, to) = (quote::table(&before.name), quote::table(&after.name));
    run(connection, source, &format!("RENAME TABLE {from} TO {to}")).await
}

async fn alter(
    connection: &mut Connection,
    before: &TargetTable,
    after: &TargetTable,
    columns: &[ColumnChange],
) -> Result<(), Error> {
    let source = &before.source.name;
    let there = catalog::columns(connection, &after.name).await;
    let there = there.map_err(|error| of_table(error, source, DOING))?;
    let there: HashSet<String> = there
        .iter()
        .map(|column| column.name.to_lowercase())
        .collect();
    let dropped: HashSet<String> = columns
        .iter()
        .filter_map(|change| match change {
            ColumnChange::Drop { before: place } => {
                Some(before.columns[*place].name.to_lowercase())
            }
            _ => None,
        })
        .collect();
    let parts: Vec<String> = columns
        .iter()
        .filter_map(|change| part(before, after, *change, &there, &dropped))
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "ALTER TABLE {} {}",
        quote::table(&after.name),
        parts.join(", ")
    );
    run(connection, source, &sql).await
}

/// What is left to do of a change, given the columns that are there, in small letters. Types are SQL already.
fn part(
    before: &TargetTable,
    after: &TargetTable,
    change: ColumnChange,
    there: &HashSet<String>,
    dropped: &HashSet<String>,
) -> Option<String> {
    let is_there = |name: &str| there.contains(&name.to_lowercase());
    match change {
        ColumnChange::Add { after: place } => {
            let column = &after.columns[place];
            let definition = || format!("ADD COLUMN {}", planned_column(column).trim_start());
            // What goes makes room for what comes under its name.
            let goes = dropped.contains(&column.name.to_lowercase());
            (goes || !is_there(&column.name)).then(definition)
        }
        ColumnChange::Drop { before: place } => {
            let name = &before.columns[place].name;
            is_there(name).then(|| format!("DROP COLUMN {}", quote::identifier(name)))
        }
        ColumnChange::Rename {
            before: from,
            after: to,
        } => {
            let (from, to) = (&before.columns[from].name, &after.columns[to].name);
            let (old, new) = (quote::identifier(from), quote::identifier(to));
            is_there(from).then(|| format!("RENAME COLUMN {old} TO {new}"))
        }
        ColumnChange::Nullable { after: place } => {
            let column = planned_column(&after.columns[place]);
            Some(format!("MODIFY COLUMN {}", column.trim_start()))
        }
    }
}
