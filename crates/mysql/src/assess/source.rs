//! A server that rows, and perhaps changes, are read from.

use whimbrel_connector::{Concern, Error, Findings, KEY_CHECKS, without_key};
use whimbrel_core::{Engine, Table, TableName};

use super::{DOING, is_of, rows};
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// Less than a day is gone over a night without anybody at work.
const LOG_SECONDS_MIN: u64 = 24 * 60 * 60;

/// `(tables, is_followed)`: the tables of the task, and whether changes are followed.
pub(super) async fn look(
    options: &Options,
    connection: &mut Connection,
    (tables, is_followed): (&[Table], bool),
    findings: &mut Findings,
) {
    findings.note(
        &["mysql-check-select-privileges"],
        rights(options, connection, tables).await,
    );
    findings.note(&KEY_CHECKS, keys(connection, tables, is_followed).await);
    findings.note(&["mysql-check-10k-tables"], Ok(many(tables)));
    if !is_followed {
        return;
    }
    findings.merge(crate::log::findings(options, connection, tables).await);
    findings.note(
        &[
            "mysql-check-expire-logs-days",
            "source-disk-room",
            "mysql-check-server-id",
            "mysql-check-binlog-image",
        ],
        settings(connection).await,
    );
    findings.note(&["mysql-check-source-replica"], replica(connection).await);
}

/// Tables without a primary key, and whether a unique one tells their rows apart.
async fn keys(
    connection: &mut Connection,
    tables: &[Table],
    is_followed: bool,
) -> Result<Vec<Concern>, Error> {
    let without: Vec<&Table> = tables
        .iter()
        .filter(|table| table.primary_key.is_empty())
        .collect();
    if without.is_empty() {
        return Ok(Vec::new());
    }
    let named = || without.iter().map(|table| &table.name);
    let sql = format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type <> 'VIEW' AND {} ORDER BY 1, 2",
        is_of(("table_schema", "table_name"), named())
    );
    let kept = rows(connection, &sql).await?;
    let sql = format!(
        "SELECT table_schema, table_name FROM information_schema.statistics WHERE {}
         GROUP BY table_schema, table_name, index_name
         HAVING MAX(non_unique) = 0 AND SUM(sub_part IS NOT NULL OR column_name IS NULL OR nullable = 'YES') = 0",
        is_of(("table_schema", "table_name"), named())
    );
    let unique = rows(connection, &sql).await?;
    let name = |row: &TextRow| TableName::new(row.text(0), row.text(1));
    let unique: Vec<TableName> = unique.iter().map(name).collect();
    let concerns = kept.iter().filter_map(|row| {
        let name = name(row);
        let table = without.iter().find(|table| table.name == name)?;
        without_key(table, unique.contains(&name), is_followed)
    });
    Ok(concerns.collect())
}

/// The catalog of so many tables is read slowly, and each costs a round trip of its own before it is loaded.
fn many(tables: &[Table]) -> Vec<Concern> {
    const MANY: usize = 10_000;
    let concern = (tables.len() > MANY).then(|| {
        Concern::new(
            "mysql-check-10k-tables",
            "table mappings",
            format!("the rules select {} tables", tables.len()),
            "let several tasks share them",
        )
    });
    Vec::from_iter(concern)
}

/// A replica writes what it applies into its own log only where it is told to. Asked so that a user who may follow changes may ask: MariaDB shows the
/// state of replicas to others alone, and tells up to where it has applied to everybody, also where it is a replica no more.
async fn replica(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql =
        "SHOW GLOBAL VARIABLES WHERE variable_name IN ('log_slave_updates', 'log_replica_updates')";
    let settings = rows(connection, sql).await?;
    let is_off = |row: &&TextRow| !row.text(1).eq_ignore_ascii_case("ON");
    let Some(silent) = settings.iter().find(is_off) else {
        return Ok(Vec::new());
    };
    let is_replica = match connection.engine() {
        Engine::MariaDb => {
            let applied = rows(connection, "SELECT @@global.gtid_slave_pos").await?;
            applied.iter().any(|row| !row.text(0).is_empty())
        }
        Engine::MySql | Engine::Postgres => {
            !rows(connection, "SHOW REPLICA STATUS").await?.is_empty()
        }
    };
    let name = silent.text(0);
    let concern = is_replica.then(|| {
        Concern::new(
            "mysql-check-source-replica",
            name,
            "the source is, or was, a replica, and its binary log does not hold the changes that come from its own source",
            format!("if it still is one, set {name} to ON and restart it, or give its source as the source"),
        )
    });
    Ok(Vec::from_iter(concern))
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
            Err(WireError::Server(error)) if error.is_denied() => concerns.push(Concern::new(
                "mysql-check-select-privileges",
                table.name.to_string(),
                error.to_string(),
                format!("grant user {} SELECT ON {quoted}", options.user),
            )),
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
