//! What of a server stands in the way of a task, before it runs. All of it only reads.

mod kept;
mod source;
mod target;

use whimbrel_connector::{Assessed, Concern, Error, Findings};

use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, TextRow};

const DOING: &str = "assess the server";
const VERSION_MIN: i64 = 150_000;

/// Everything that is found, by check. Checks of one query are made together.
pub(crate) async fn findings(connection: &mut Connection, asked: Assessed<'_>) -> Findings {
    let mut findings = Findings::default();
    findings.note(&["postgres-check-dbversion"], version(connection).await);
    match asked {
        Assessed::Source {
            tables,
            is_followed,
        } => source::look(connection, tables, is_followed, &mut findings).await,
        Assessed::Target {
            tables,
            is_followed,
            keeps_tables,
            needed_bytes,
        } => {
            target::look(connection, tables, is_followed, &mut findings).await;
            kept::look(
                connection,
                tables,
                (is_followed, keeps_tables),
                &mut findings,
            )
            .await;
            findings.skip(
                "target-disk-room",
                format!(
                    "PostgreSQL does not tell how much room its disk has; the tables take about {} MB at the source: see that the target has that, as much again for indexes and its log, and some more",
                    needed_bytes.div_ceil(1_000_000)
                ),
            );
        }
    }
    findings
}

async fn version(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql = "select current_setting('server_version_num'), current_setting('server_version')";
    let rows = query(connection, sql).await?;
    let is_old = |row: &&TextRow| {
        text(row, 0)
            .parse()
            .is_ok_and(|number: i64| number < VERSION_MIN)
    };
    let old = rows.iter().find(is_old);
    Ok(Vec::from_iter(old.map(|row| {
        Concern::new(
            "postgres-check-dbversion",
            "server_version",
            format!(
                "the server is PostgreSQL {}; tests go back to 15",
                text(row, 1)
            ),
            "upgrade the server, or try the migration on a copy first",
        )
    })))
}

async fn query(connection: &mut Connection, sql: &str) -> Result<Vec<TextRow>, Error> {
    let rows = connection.query(sql).await;
    rows.map_err(|error| general(error, DOING))
}

fn text(row: &TextRow, place: usize) -> &str {
    row.get(place)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}

/// Names as a list of rows: `('s', 't'), …`.
fn names<'a>(tables: impl IntoIterator<Item = &'a whimbrel_core::TableName>) -> String {
    let pairs = tables.into_iter().map(|table| {
        let (schema, name) = (quote::literal(&table.schema), quote::literal(&table.name));
        format!("({schema}, {name})")
    });
    pairs.collect::<Vec<_>>().join(", ")
}
