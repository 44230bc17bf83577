//! Whether the catalog is ahead of the log.
//!
//! The catalog tells what a table is now; the log is read where it was some time ago. After a definition was met in the log, the
//! catalog's answer is that of this place only if no later statement has altered the table again. So the rest of the log, up to its end
//! after the catalog was asked, is looked through for one. That costs nothing where the stream is at the end, as it mostly is.

use whimbrel_connector::Error;
use whimbrel_core::TableName;

use super::assembler::statement_of;
use super::event::kind;
use super::place::{Parsed, Place};
use super::statement::{OtherTable, Statement};
use super::walk::Walk;
use crate::errors::general;
use crate::options::Options;
use crate::source;
use crate::wire::Connection;

/// Whether a statement between `from` and the log's end defines the table again. Asked after the catalog was.
pub(super) async fn is_defined_again(
    options: &Options,
    connection: &mut Connection,
    from: &Place,
    table: &TableName,
) -> Result<bool, Error> {
    let doing = "look whether a table was altered again";
    let end = source::current_position(connection)
        .await
        .map_err(|error| general(error, doing))?;
    let end = Parsed::without_ids(&end)?;
    if (from.file.number, from.offset) >= (end.file.number, end.offset) {
        return Ok(false);
    }
    let mut walk = Walk::open(options, from.file.clone(), from.offset).await?;
    loop {
        let event = walk.next().await?;
        if matches!(
            event.header.kind,
            kind::QUERY | kind::MARIA_QUERY_COMPRESSED
        ) && let Some((statement, _)) = statement_of(&event)?
            && defines(&statement, table)
        {
            return Ok(true);
        }
        if walk.has_reached(&end.file, end.offset) {
            return Ok(false);
        }
    }
}

/// Names are compared without regard to case: one too many only costs a table's load.
pub(super) fn defines(statement: &Statement, table: &TableName) -> bool {
    let is_it = |other: &TableName| {
        other.schema.to_lowercase() == table.schema.to_lowercase()
            && other.name.to_lowercase() == table.name.to_lowercase()
    };
    match statement {
        Statement::Alter(alteration) => {
            let other = alteration.other.as_ref().map(OtherTable::name);
            let named = [
                Some(&alteration.table),
                alteration.renamed_to.as_ref(),
                other,
            ];
            named.into_iter().flatten().any(is_it)
        }
        Statement::Rename(pairs) => pairs.iter().any(|(from, to)| is_it(from) || is_it(to)),
        Statement::Drop(tables) => tables.iter().any(is_it),
        Statement::Create { table, .. } => is_it(table),
        Statement::DropDatabase(name) => name.to_lowercase() == table.schema.to_lowercase(),
        _ => false,
    }
}
