//! Servers that go on leaving a table out which joined the publication while transactions ran.
//!
//! Before the releases of May 2025 (14.18, 15.13, 16.9, 17.5; from 18 on none is concerned) a reader tells what a commit changed in the catalog to itself alone,
//! and to no transaction that ran then. So what a reader remembers of the catalog goes stale:
//!
//! ```text
//!  O: writes u ────────────────────────────────► commits          decoded with the catalog of its time: u is not published, and that is remembered
//!       ALTER PUBLICATION … ADD u ► commits                       decoded before O: what was remembered is forgotten too early
//!                                                   N: writes u   decoded behind O: u is still taken for not published, and N is lost
//! ```
//!
//! That lasts until a reader decodes another change of which tables are published, in this process of the server or, where the log is read again,
//! in any. One is made on purpose ([`renew`]), once all is over that ran when the table joined, and then what runs is waited for again:
//!
//! ```text
//!  ALTER ► all that run are over ► R: CREATE PUBLICATION … ; DROP PUBLICATION … ► all that run are over ► COMMENT (see [`super::settled`]) ► views
//! ```
//!
//! Why nothing is lost of `u` then:
//!
//! - *What ran at ALTER* is over before R, so no reader decodes behind R with a catalog in which `u` is not published: what it remembers behind R is right.
//! - *What begins behind R*, and what is sent at its commit behind R, is decoded behind R.
//! - *What ran at R* may have been sent in pieces before R (from version 14 on), and `u` left out of them. It is over before any view is opened,
//!   so that every view has it.
//! - *A process that dies* anywhere before the comment leaves a wait that is due; the next one does all of this again.
//! - *R itself* changes no publication that anybody reads, so that it may come twice, and no table is unpublished by it at any moment.
//!
//! R has to name a table: readers remember which publications a table is in, and only a change of that makes them forget. ALTER PUBLICATION … SET
//! does not, nor does a publication without tables (both tried at 16.2, where all of N was lost; with R all of it came).

use std::collections::BTreeMap;

use tracing::warn;
use whimbrel_connector::Error;
use whimbrel_core::TableName;

use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, WireError};

const DOING: &str = "have the source's readers see the tables that joined";

/// Whether the server is one of those.
pub(super) async fn is_possible(connection: &mut Connection) -> Result<bool, Error> {
    let rows = connection.query("SHOW server_version_num").await;
    let rows = rows.map_err(|error| general(error, DOING))?;
    let number = rows.into_iter().flatten().flatten().next();
    let number = number.and_then(|number| number.parse().ok());
    Ok(number.and_then(update_of).is_some())
}

/// Has every reader forget which tables are published, by a publication of one of `tables` (with their quoted names) that nobody else ever sees. A
/// server that refuses this is warned of. Answers whether it is done.
pub(super) async fn renew(
    connection: &mut Connection,
    publication: &str,
    tables: &BTreeMap<TableName, String>,
) -> Result<bool, Error> {
    let Some(table) = tables.values().next() else {
        return Ok(true);
    };
    // Names of ours leave room for it.
    let name = quote::identifier(&format!("{publication}_r"));
    // One request is one transaction.
    let sql = format!("CREATE PUBLICATION {name} FOR TABLE ONLY {table}; DROP PUBLICATION {name}");
    match connection.query(&sql).await {
        Ok(_) => Ok(true),
        Err(WireError::Server(error)) if error.code == "42501" => {
            warn!(
                %error,
                remedy = "let the task's user own the tables and have CREATE on the database, or update the source to the last release of its version; compare the tables (whimbrel validate)",
                "a server of this version may leave changes out of the log of a table that joined while transactions ran, and the task's user may not mend it"
            );
            Ok(false)
        }
        // Another process of ours does the same just now; or the table, or its schema, went or got another name meanwhile.
        Err(WireError::Server(error))
            if matches!(error.code.as_str(), "42710" | "23505" | "42P01" | "3F000") =>
        {
            Err(Error::Busy(format!("{DOING}: {error}")))
        }
        Err(error) => Err(general(error, DOING)),
    }
}

/// The release in which a publication's readers see a table that joined it while a transaction ran (release notes of May 2025), for one that came before.
fn update_of(number: u32) -> Option<&'static str> {
    match (number / 10_000, number % 10_000) {
        (17, 0..5) => Some("17.5"),
        (16, 0..9) => Some("16.9"),
        (15, 0..13) => Some("15.13"),
        (14, 0..18) => Some("14.18"),
        (0..14, _) => Some("14.18 or later"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_that_lose_changes_of_tables_that_join_are_known() {
        assert_eq!(update_of(150_012), Some("15.13"));
        assert_eq!(update_of(150_013), None);
        assert_eq!(update_of(170_004), Some("17.5"));
        assert_eq!(update_of(130_023), Some("14.18 or later"));
        assert_eq!(update_of(180_000), None);
    }
}
