//! Servers that are replicas themselves, and keep what they apply out of their own log: whoever reads that sees a part of what happens.

use std::collections::HashMap;

use whimbrel_connector::Error;
use whimbrel_core::Engine;

use super::feed::DOING;
use crate::errors::general;
use crate::wire::{Connection, WireError};

const REMEDY: &str = "set log_slave_updates (log_replica_updates) and restart it, or take the rows from the server that it follows";

/// Why the server's log lacks rows that come from others, if it does. `settings` are those of the server, in capitals.
pub(super) async fn keeps_to_itself(
    connection: &mut Connection,
    settings: &HashMap<String, String>,
) -> Result<Option<String>, Error> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set == value);
    if !is("log_slave_updates", "OFF") && !is("log_replica_updates", "OFF") {
        return Ok(None);
    }
    if is("wsrep_on", "ON") {
        return Ok(Some(format!(
            "what other nodes of the cluster write is not in the server's log; {REMEDY}"
        )));
    }
    let follows = follows(connection).await;
    let follows = follows.map_err(|error| general(error, DOING))?;
    let reset = match connection.engine() {
        Engine::MariaDb => "RESET SLAVE ALL",
        Engine::MySql | Engine::Postgres => "RESET REPLICA ALL",
    };
    Ok(follows.then(|| {
        format!(
            "the server is a replica, and what it applies is not in its log; {REMEDY}, or run {reset} where it follows nobody any more"
        )
    }))
}

/// Whether the server is set up as a replica. Who may not ask learns at least whether one is at work.
async fn follows(connection: &mut Connection) -> Result<bool, WireError> {
    let (sql, running) = match connection.engine() {
        Engine::MariaDb => ("SHOW ALL SLAVES STATUS", "Slaves_running"),
        Engine::MySql | Engine::Postgres => ("SHOW REPLICA STATUS", "Replica_running"),
    };
    match connection.rows(sql).await {
        Ok(rows) => Ok(!rows.is_empty()),
        Err(WireError::Server(error)) if error.is_denied() => {
            let sql = format!("SHOW GLOBAL STATUS LIKE '{running}'");
            let row = connection.row(&sql).await?;
            Ok(row.is_some_and(|row| !matches!(row.text(1), "0" | "OFF")))
        }
        Err(error) => Err(error),
    }
}
