//! A server that rows, and perhaps changes, are written to.

use std::collections::BTreeSet;

use whimbrel_connector::{Concern, Error, Findings};
use whimbrel_core::TableName;

use super::rows;
use crate::quote;
use crate::wire::Connection;

/// A row is a packet at its longest.
const PACKET_BYTES_MIN: u64 = 16 * 1024 * 1024;

const RIGHTS: &str = "mysql-check-target-privileges";

/// What making and filling tables takes.
const NEEDED: [&str; 8] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX",
];

pub(super) async fn look(
    connection: &mut Connection,
    tables: &[TableName],
    findings: &mut Findings,
) {
    findings.note(
        &[
            "mysql-check-target-localinfile-set",
            "all-check-target-read-replica",
            "mysql-check-max-allowed-packet-lob",
        ],
        settings(connection).await,
    );
    let schemas: BTreeSet<&str> = tables.iter().map(|table| &*table.schema).collect();
    if schemas.is_empty() {
        findings.note(&[RIGHTS], Ok(Vec::new()));
    }
    for schema in schemas {
        let lacking = rights(connection, schema).await;
        findings.note(&[RIGHTS], lacking.map(Vec::from_iter));
    }
}

async fn settings(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('local_infile', 'read_only', 'max_allowed_packet')";
    let mut concerns = Vec::new();
    for row in rows(connection, sql).await? {
        let name = row.text(0).to_ascii_lowercase();
        let is_on = matches!(row.text(1).to_ascii_uppercase().as_str(), "ON" | "1");
        match &*name {
            "local_infile" if !is_on => concerns.push(Concern::new(
                "mysql-check-target-localinfile-set",
                name,
                "the server forbids LOAD DATA LOCAL, by which rows are loaded",
                "run SET GLOBAL local_infile = 1",
            )),
            "read_only" if is_on => concerns.push(Concern::new(
                "all-check-target-read-replica",
                name,
                "the target is read-only",
                "give the primary server as the target, or run SET GLOBAL read_only = 0",
            )),
            "max_allowed_packet" => {
                let bytes: u64 = row.number(1).unwrap_or(u64::MAX);
                if bytes < PACKET_BYTES_MIN {
                    concerns.push(Concern::new(
                        "mysql-check-max-allowed-packet-lob",
                        name,
                        format!("the server takes no value longer than {bytes} bytes"),
                        "run SET GLOBAL max_allowed_packet = 1073741824",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(concerns)
}

/// What the user may not do in a database. What roles give it is not in these views, so a user with one active is not judged.
async fn rights(connection: &mut Connection, schema: &str) -> Result<Option<Concern>, Error> {
    let sql = format!(
        "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {GRANTEE}
         UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = {GRANTEE} AND {} LIKE table_schema
         UNION SELECT 'ROLE' FROM DUAL WHERE COALESCE(CURRENT_ROLE(), 'NONE') <> 'NONE'",
        quote::literal(schema)
    );
    let held: Vec<String> = rows(connection, &sql)
        .await?
        .iter()
        .map(|row| row.text(0).to_ascii_uppercase())
        .collect();
    let missing: Vec<&str> = NEEDED
        .into_iter()
        .filter(|needed| !held.iter().any(|held| held == needed))
        .collect();
    if missing.is_empty() || held.iter().any(|held| held == "ROLE") {
        return Ok(None);
    }
    let missing = missing.join(", ");
    Ok(Some(Concern::new(
        RIGHTS,
        schema,
        format!("the user lacks {missing} in database {schema}"),
        format!("grant it {missing} ON {}.*", quote::identifier(schema)),
    )))
}

const GRANTEE: &str = "CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";
