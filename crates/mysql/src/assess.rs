//! What of a server stands in the way of a task, before it runs. All of it only reads.

mod source;
mod target;

use whimbrel_connector::{Assessed, Concern, Error};
use whimbrel_core::Engine;

use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, TextRow};

const DOING: &str = "assess the server";

/// Everything that is found, by check.
pub(crate) async fn concerns(
    options: &Options,
    asked: Assessed<'_>,
) -> Result<Vec<Concern>, Error> {
    let mut connection = connect(options, Purpose::Read).await?;
    let mut concerns = Vec::from_iter(version(&connection));
    concerns.extend(match asked {
        Assessed::Source {
            tables,
            is_followed,
        } => source::concerns(options, &mut connection, tables, is_followed).await?,
        Assessed::Target { tables, .. } => target::concerns(&mut connection, tables).await?,
    });
    // All is known; a failed farewell changes nothing.
    connection.quit().await.ok();
    Ok(concerns)
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

#[cfg(test)]
mod tests {
    #[test]
    fn versions_have_two_numbers_in_front() {
        assert_eq!(super::numbers("10.11.6-MariaDB-1"), Some((10, 11)));
        assert_eq!(super::numbers("5.7"), Some((5, 7)));
        assert_eq!(super::numbers("none"), None);
    }
}
