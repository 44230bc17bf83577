//! What of a server stands in the way of a task, before it runs. All of it only reads.

mod disk;
mod kept;
mod source;
mod target;

use whimbrel_connector::{Assessed, Concern, Error, Findings};
use whimbrel_core::{Engine, TableName};

use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, Purpose, TextRow};

const DOING: &str = "assess the server";

/// Everything that is found, by check. Checks of one query are made together.
///
/// # Errors
/// The server cannot be connected to.
pub(crate) async fn findings(options: &Options, asked: Assessed<'_>) -> Result<Findings, Error> {
    let mut connection = connect(options, Purpose::Read).await?;
    let mut findings = Findings::default();
    findings.note(
        &["mysql-check-supported-version"],
        Ok(Vec::from_iter(version(&connection))),
    );
    match asked {
        Assessed::Source {
            tables,
            is_followed,
        } => {
            source::look(
                options,
                &mut connection,
                (tables, is_followed),
                &mut findings,
            )
            .await;
        }
        Assessed::Target {
            tables,
            is_followed,
            keeps_tables,
            needed_bytes,
        } => {
            target::look(&mut connection, tables, &mut findings).await;
            kept::look(
                &mut connection,
                tables,
                (is_followed, keeps_tables),
                &mut findings,
            )
            .await;
            disk::look(&mut connection, needed_bytes, &mut findings).await;
        }
    }
    // All is known; a failed farewell changes nothing.
    connection.quit().await.ok();
    Ok(findings)
}

fn version(connection: &Connection) -> Option<Concern> {
    let (name, least) = match connection.engine() {
        Engine::MariaDb => ("MariaDB", (10, 11)),
        Engine::MySql | Engine::Postgres => ("MySQL", (8, 0)),
    };
    let version = connection.version();
    let found = numbers(version)?;
    (found < least).then(|| {
        Concern::new(
            "mysql-check-supported-version",
            "version",
            format!(
                "the server is {name} {version}; tests go back to {}.{}",
                least.0, least.1
            ),
            "upgrade the server, or try the migration on a copy first",
        )
    })
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

async fn rows(connection: &mut Connection, sql: &str) -> Result<Vec<TextRow>, Error> {
    let rows = connection.rows(sql).await;
    rows.map_err(|error| general(error, DOING))
}

/// A condition that rows of the catalog are of one of these tables; `columns`: where it has their database and name.
fn is_of<'a>(columns: (&str, &str), tables: impl IntoIterator<Item = &'a TableName>) -> String {
    let pairs = tables.into_iter().map(|table| {
        let (schema, name) = (quote::literal(&table.schema), quote::literal(&table.name));
        format!("({schema}, {name})")
    });
    let pairs = pairs.collect::<Vec<_>>().join(", ");
    format!("({}, {}) IN ({pairs})", columns.0, columns.1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_have_two_numbers_in_front() {
        assert_eq!(super::numbers("10.11.6-MariaDB-1"), Some((10, 11)));
        assert_eq!(super::numbers("5.7"), Some((5, 7)));
        assert_eq!(super::numbers("none"), None);
    }
}
