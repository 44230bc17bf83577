//! A server that rows, and perhaps changes, are read from.

use whimbrel_connector::{Concern, Error};
use whimbrel_core::Table;

use super::{DOING, rows};
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, WireError};

/// Less than a day is gone over a night without anybody at work.
const LOG_SECONDS_MIN: u64 = 24 * 60 * 60;

pub(super) async fn concerns(
    options: &Options,
    connection: &mut Connection,
    tables: &[Table],
    is_followed: bool,
) -> Result<Vec<Concern>, Error> {
    let mut concerns = rights(options, connection, tables).await?;
    if is_followed {
        concerns.extend(crate::log::concerns(options, connection, tables).await?);
        concerns.extend(settings(connection).await?);
    }
    Ok(concerns)
}

/// Tables that the user sees and may not read. The server alone knows what its roles and patterns come to, so it is asked.
async fn rights(
    options: &Options,
    connection: &mut Connection,
    tables: &[Table],
) -> Result<Vec<Concern>, Error> {
    let mut concerns = Vec::new();
    for table in tables {
        let quoted = quote::table(&table.name);
        match connection
            .rows(&format!("SELECT * FROM {quoted} LIMIT 0"))
            .await
        {
            Ok(_) => {}
            Err(WireError::Server(error)) if !error.is_transient() => {
                let remedy = if error.is_denied() {
                    format!("grant user {} SELECT ON {quoted}", options.user)
                } else {
                    format!("mend it until SELECT * FROM {quoted} answers, or leave it out")
                };
                concerns.push(Concern::new(
                    "mysql-check-select-privileges",
                    table.name.to_string(),
                    error.to_string(),
                    remedy,
                ));
            }
            Err(error) => return Err(general(error, DOING)),
        }
    }
    Ok(concerns)
}

async fn settings(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('binlog_expire_logs_seconds', 'server_id', 'binlog_row_image')";
    let mut concerns = Vec::new();
    for row in rows(connection, sql).await? {
        let name = row.text(0).to_ascii_lowercase();
        let number: Option<u64> = row.number(1);
        match (&*name, number) {
            ("binlog_expire_logs_seconds", Some(seconds @ 1..LOG_SECONDS_MIN)) => {
                concerns.push(Concern::new(
                    "mysql-check-expire-logs-days",
                    name,
                    format!("the server drops its binary log after {seconds} seconds, whether a task has read it or not"),
                    "run SET GLOBAL binlog_expire_logs_seconds = 604800, or more than the load and the longest stop take",
                ));
            }
            ("binlog_expire_logs_seconds", Some(0)) => concerns.push(Concern::new(
                "source-disk-room",
                name,
                "the server never drops its binary log by itself, and its disk may fill up",
                "watch the disk of the source, or set binlog_expire_logs_seconds",
            )),
            ("server_id", Some(0)) => concerns.push(Concern::new(
                "mysql-check-server-id",
                name,
                "a server whose server_id is 0 lets nobody read its log",
                "set server_id to a number that no other server of the replication has",
            )),
            ("binlog_row_image", _) if !row.text(1).eq_ignore_ascii_case("FULL") => {
                concerns.push(Concern::new(
                    "mysql-check-binlog-image",
                    name,
                    format!("the log holds rows as {} alone: tables without a key cannot be followed, nor rules that need rows before an update", row.text(1)),
                    "run SET GLOBAL binlog_row_image = 'FULL', and let writers connect again",
                ));
            }
            _ => {}
        }
    }
    Ok(concerns)
}
