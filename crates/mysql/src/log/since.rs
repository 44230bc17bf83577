//! Definitions that the log has behind a place.

use std::ops::ControlFlow;

use whimbrel_connector::{Error, TableFault};
use whimbrel_core::{Table, TableName};

use super::ahead::defines;
use super::assembler::statement_of;
use super::event::kind;
use super::place::Parsed;
use super::statement::Statement;
use super::walk::Walk;
use crate::catalog;
use crate::errors::general;
use crate::options::Options;
use crate::source;
use crate::wire::Connection;

const DOING: &str = "look whether tables were altered";

/// Goes through the statements from a place up to the log's end of now, or until nothing is looked for; `each` also gets the place behind
/// the statement.
async fn statements(
    options: &Options,
    connection: &mut Connection,
    from: &Parsed,
    mut each: impl FnMut(&Statement, &str) -> ControlFlow<()> + Send,
) -> Result<(), Error> {
    let end = source::current_position(connection)
        .await
        .map_err(|error| general(error, DOING))?;
    let end = Parsed::without_ids(&end)?;
    if (from.file.number, from.offset) >= (end.file.number, end.offset) {
        return Ok(());
    }
    let mut walk = Walk::open(options, from.file.clone(), from.offset).await?;
    loop {
        let event = walk.next().await?;
        // Where the log cannot be read from the place itself, it is read from before it.
        let is_before = walk.file.number == from.file.number && walk.offset <= from.offset;
        if matches!(
            event.header.kind,
            kind::QUERY | kind::MARIA_QUERY_COMPRESSED
        ) && !is_before
            && let Some((statement, _)) = statement_of(&event)?
        {
            let behind = format!("{}:{}", walk.file.name, walk.offset);
            if each(&statement, &behind).is_break() {
                return Ok(());
            }
        }
        if walk.has_reached(&end.file, end.offset) {
            return Ok(());
        }
    }
}

/// The tables, as the catalog has them now, whose columns may have been others somewhere behind the place.
pub(super) async fn altered(
    options: &Options,
    connection: &mut Connection,
    tables: &[Table],
    from: &Parsed,
) -> Result<Vec<TableFault>, Error> {
    let mut last: Vec<Option<String>> = vec![None; tables.len()];
    statements(options, connection, from, |statement, behind| {
        for (table, last) in tables.iter().zip(&mut last) {
            if reshapes(statement, &table.name) {
                *last = Some(behind.to_owned());
            }
        }
        ControlFlow::Continue(())
    })
    .await?;
    let faults = tables.iter().zip(last).filter_map(|(table, last)| {
        let last = last?;
        let message = format!(
            "it was altered, renamed or made anew behind {}:{}, where the task is to begin, and the binary log tells rows by the order of their columns alone, so that nobody knows which columns they had before; begin at {last} or later, or load the table",
            from.file.name, from.offset
        );
        Some(TableFault {
            table: table.name.clone(),
            message,
        })
    });
    Ok(faults.collect())
}

/// Whether rows of the table before a statement may have had other columns than those behind it. Before one that made the table, without
/// replacing another, there were none.
fn reshapes(statement: &Statement, table: &TableName) -> bool {
    match statement {
        Statement::Alter(alteration) if !alteration.reshapes => false,
        Statement::Create { replaces, .. } => *replaces && defines(statement, table),
        _ => defines(statement, table),
    }
}

/// All but the key that the server makes by itself, which a setting shows or hides.
fn shown<'a>(columns: impl Iterator<Item = &'a String>) -> impl Iterator<Item = &'a String> {
    const GENERATED: &str = "my_row_id";
    columns.filter(|name| *name != GENERATED)
}

/// Tables whose columns the catalog has in another order than they had at the place, or under other names, though the log defines none of
/// them anew from there on: whoever altered them had the log switched off.
pub(super) async fn unlogged(
    options: &Options,
    connection: &mut Connection,
    tables: &[Table],
    from: &Parsed,
) -> Result<Vec<TableName>, Error> {
    let now = catalog::column_names(connection).await;
    let now = now.map_err(|error| general(error, DOING))?;
    let differs = |table: &&Table| {
        let columns = table.columns.iter();
        now.get(&table.name)
            .is_some_and(|now| !shown(columns.map(|column| &column.name)).eq(shown(now.iter())))
    };
    let mut suspects: Vec<TableName> = tables
        .iter()
        .filter(differs)
        .map(|table| table.name.clone())
        .collect();
    if !suspects.is_empty() {
        statements(options, connection, from, |statement, _| {
            suspects.retain(|table| !defines(statement, table));
            if suspects.is_empty() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await?;
    }
    Ok(suspects)
}
