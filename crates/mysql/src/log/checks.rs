//! What capture needs of the server and of the tables, each with its remedy.

use std::collections::HashMap;

use whimbrel_connector::{Concern, Error, Findings, TableFault};
use whimbrel_core::{Engine, Table, TableName};

use super::gtid::GtidSet;
use super::place::Parsed;
use super::{relay, replica};
use crate::catalog::{self, UnloggedKey};
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, WireError};

const DOING: &str = "check the source for change capture";

/// Checks the server, and answers the tables that cannot be captured.
pub(super) async fn check(
    options: &Options,
    connection: &mut Connection,
    tables: &[Table],
) -> Result<Vec<TableFault>, Error> {
    let mut faults = left_out(connection, tables).await?;
    replica::check_privilege(options).await?;
    let keys = unlogged_keys(connection, tables).await?;
    faults.extend(
        tables
            .iter()
            .filter_map(|table| changed_unsaid(table, &keys)),
    );
    Ok(faults)
}

/// Checks that the server logs rows, and answers the tables of which the log does not tell every change.
pub(crate) async fn left_out(
    connection: &mut Connection,
    tables: &[Table],
) -> Result<Vec<TableFault>, Error> {
    let failed = |error| general(error, DOING);
    let settings = settings(connection).await.map_err(failed)?;
    let setting = |name: &str| settings.get(name).map(String::as_str);
    if let Some(concern) = no_rows(&settings) {
        let what = format!("{}; {}", concern.message, concern.remedy);
        return Err(refusal(&what));
    }
    if let Some(what) = relay::keeps_to_itself(connection, &settings).await? {
        return Err(refusal(&what));
    }
    let status = status(connection).await?;
    let image = setting("binlog_row_image").unwrap_or("FULL");
    let versioned = versioned(connection).await.map_err(failed)?;
    let faults = tables.iter().filter_map(|table| {
        fault(table, image, &status, &versioned).map(|message| TableFault {
            table: table.name.clone(),
            message,
        })
    });
    Ok(faults.collect())
}

/// Why the log holds no rows, if it holds none.
fn no_rows(settings: &HashMap<String, String>) -> Option<Concern> {
    let setting = |name: &str| settings.get(name).map(String::as_str);
    if setting("log_bin") != Some("ON") {
        return Some(Concern::new(
            "mysql-check-binlog-enabled",
            "log_bin",
            "the server writes no binary log",
            "set log_bin and a server_id, and restart it",
        ));
    }
    // Servers that know rows alone do not have the setting any more.
    setting("binlog_format")
        .is_some_and(|format| format != "ROW")
        .then(|| {
            Concern::new(
                "mysql-check-binlog-format",
                "binlog_format",
                "the binary log does not hold rows",
                "run SET GLOBAL binlog_format = 'ROW', and let writers connect again",
            )
        })
}

/// What capture lacks here, all at once, of the server and of the tables.
pub(crate) async fn findings(
    options: &Options,
    connection: &mut Connection,
    tables: &[Table],
) -> Findings {
    const PRIVILEGES: &str = "mysql-check-replication-privileges";
    const TABLES: &str = "mysql-check-binlog-holds-table";
    let mut findings = Findings::default();
    let settings = settings(connection).await;
    let rows = settings.map_err(|error| general(error, DOING));
    let rows = rows.map(|settings| Vec::from_iter(no_rows(&settings)));
    findings.note(
        &["mysql-check-binlog-enabled", "mysql-check-binlog-format"],
        rows,
    );
    let may_read = replica::check_privilege(options).await;
    findings.note(&[PRIVILEGES], lacking(PRIVILEGES, options, may_read));
    if findings.concerns.is_empty() && findings.unmade.is_empty() {
        match left_out(connection, tables).await {
            Ok(faults) => {
                let faults = faults.into_iter().map(|fault| of_table(TABLES, fault));
                findings.note(&[TABLES], Ok(faults.collect()));
            }
            Err(error) => {
                findings.cannot(TABLES, error.to_string());
                findings.note(&[PRIVILEGES], lacking(PRIVILEGES, options, Err(error)));
            }
        }
    } else {
        findings.cannot(
            TABLES,
            "the binary log cannot be read, as other checks tell",
        );
    }
    let keys = unlogged_keys(connection, tables).await;
    let unsaid = keys.map(|keys| {
        let unsaid = tables
            .iter()
            .filter_map(|table| changed_unsaid(table, &keys));
        unsaid
            .map(|fault| of_table("mysql-check-cascade-constraints", fault))
            .collect()
    });
    findings.note(&["mysql-check-cascade-constraints"], unsaid);
    findings
}

/// What the user lacks; other errors stay errors.
fn lacking(
    check: &'static str,
    options: &Options,
    outcome: Result<(), Error>,
) -> Result<Vec<Concern>, Error> {
    match outcome {
        Ok(()) => Ok(Vec::new()),
        Err(error) => fatal(check, options, error).map(|concern| vec![concern]),
    }
}

fn of_table(check: &'static str, fault: TableFault) -> Concern {
    Concern::new(
        check,
        fault.table.to_string(),
        fault.message,
        "as the message says; or load the table without following changes",
    )
}

/// What a user lacks, in the words of the refusal; other errors stay errors.
fn fatal(check: &'static str, options: &Options, error: Error) -> Result<Concern, Error> {
    match error {
        Error::Fatal(message) => Ok(Concern::new(
            check,
            &*options.user,
            message,
            "grant the user REPLICATION SLAVE and REPLICATION CLIENT (MariaDB: also BINLOG MONITOR) ON *.*",
        )),
        error => Err(error),
    }
}

/// Whether the log tells every column of rows before an update, unless a session says otherwise for itself.
pub(super) async fn tells_old_rows(connection: &mut Connection) -> Result<bool, Error> {
    let settings = settings(connection).await;
    let settings = settings.map_err(|error| general(error, DOING))?;
    let image = settings.get("binlog_row_image");
    Ok(image.is_none_or(|image| image == "FULL"))
}

async fn unlogged_keys(
    connection: &mut Connection,
    tables: &[Table],
) -> Result<Vec<UnloggedKey>, Error> {
    let names = tables.iter().map(|table| &table.name).collect();
    let keys = catalog::unlogged_keys(connection, Some(&names)).await;
    keys.map_err(|error| general(error, DOING))
}

/// Why the log does not tell every change of a table; `None` when it does.
pub(super) async fn unsaid(
    connection: &mut Connection,
    table: &Table,
) -> Result<Option<String>, Error> {
    let keys = unlogged_keys(connection, std::slice::from_ref(table)).await?;
    Ok(changed_unsaid(table, &keys).map(|fault| fault.message))
}

/// Refuses a table whose rows change without an event.
fn changed_unsaid(table: &Table, keys: &[UnloggedKey]) -> Option<TableFault> {
    let key = keys.iter().find(|key| key.table == table.name)?;
    let refused = |message| TableFault {
        table: table.name.clone(),
        message,
    };
    if !key.is_seen {
        return Some(refused(format!(
            "it has a foreign key to {}, and the user may not see whether that changes rows of it (CASCADE, SET NULL), which the server would not write to its log; GRANT SELECT, REFERENCES ON {} \
             to the user",
            key.cause,
            quote::table(&table.name)
        )));
    }
    Some(refused(format!(
        "when rows of {} are deleted or change their key, its foreign key changes rows of it (CASCADE, SET NULL), and the server does not write those \
             changes to its log; let the application make them and drop the action, or load the table without changes",
        key.cause
    )))
}

fn refusal(what: &str) -> Error {
    Error::Fatal(format!("cannot capture changes from the source: {what}"))
}

async fn settings(connection: &mut Connection) -> Result<HashMap<String, String>, WireError> {
    let sql = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('log_bin', 'binlog_format', 'binlog_row_image', 'log_slave_updates', 'log_replica_updates', 'wsrep_on')";
    let rows = connection.rows(sql).await?;
    let pairs = rows.iter().map(|row| {
        (
            row.text(0).to_ascii_lowercase(),
            row.text(1).to_ascii_uppercase(),
        )
    });
    Ok(pairs.collect())
}

/// The databases that the log is limited to, and those that it leaves out.
struct Status {
    only: Vec<String>,
    without: Vec<String>,
}

/// Whether the log is limited to some databases. Of a definition, the database counts then in which it was run, not that of its table.
pub(crate) async fn is_limited(connection: &mut Connection) -> Result<bool, Error> {
    let status = status(connection).await?;
    Ok(!status.only.is_empty() || !status.without.is_empty())
}

async fn status(connection: &mut Connection) -> Result<Status, Error> {
    let (sql, privilege) = match connection.engine() {
        Engine::MariaDb => ("SHOW MASTER STATUS", "BINLOG MONITOR"),
        Engine::MySql | Engine::Postgres => ("SHOW BINARY LOG STATUS", "REPLICATION CLIENT"),
    };
    let row = match connection.row(sql).await {
        Err(WireError::Server(error)) if error.is_denied() => {
            return Err(refusal(&format!(
                "{error}; grant the user {privilege} ON *.*"
            )));
        }
        Err(WireError::Server(error)) if error.code == 1064 => {
            connection.row("SHOW MASTER STATUS").await
        }
        other => other,
    };
    let row = row
        .map_err(|error| general(error, DOING))?
        .unwrap_or_default();
    let list = |text: &str| -> Vec<String> {
        let names = text.split(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    Ok(Status {
        only: list(row.text(2)),
        without: list(row.text(3)),
    })
}

/// Tables that keep their history in themselves, which shows in the log and not in the catalog.
async fn versioned(connection: &mut Connection) -> Result<Vec<TableName>, WireError> {
    if connection.engine() != Engine::MariaDb {
        return Ok(Vec::new());
    }
    let sql = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'SYSTEM VERSIONED'";
    let rows = connection.rows(sql).await?;
    Ok(rows
        .iter()
        .map(|row| TableName::new(row.text(0), row.text(1)))
        .collect())
}

fn fault(table: &Table, image: &str, status: &Status, versioned: &[TableName]) -> Option<String> {
    let schema = &table.name.schema;
    let is_left_out = (!status.only.is_empty() && !status.only.contains(schema))
        || status.without.contains(schema);
    if is_left_out {
        return Some(format!(
            "the binary log leaves out its database; change binlog_do_db or binlog_ignore_db so that {schema} is in it"
        ));
    }
    if table.primary_key.is_empty() && image != "FULL" {
        return Some(format!(
            "without a primary key its changes cannot be told from a log with binlog_row_image = {image}; set binlog_row_image = FULL, or give the table a primary key"
        ));
    }
    if versioned.contains(&table.name) {
        return Some(
            "the log mixes the rows of its history with its own; drop the system versioning, or load the table without changes"
                .to_owned(),
        );
    }
    None
}

/// Checks that the server's log reaches back to a place, and that it is the log the place is of.
pub(super) async fn reaches_back(connection: &mut Connection, place: &Parsed) -> Result<(), Error> {
    let failed = |error| general(error, "look for the position in the source's binary log");
    let logs = connection.rows("SHOW BINARY LOGS").await.map_err(failed)?;
    let name = &*place.file.name;
    let Some(log) = logs.iter().find(|log| log.text(0) == name) else {
        let first = logs
            .first()
            .map(|log| log.text(0).to_owned())
            .unwrap_or_default();
        let last = logs
            .last()
            .map(|log| log.text(0).to_owned())
            .unwrap_or_default();
        return Err(Error::Fatal(format!(
            "the source's binary log no longer has {name}, from which the task must go on at offset {}: it now has {first} to {last}. The changes from there on are lost to the task, whether the log was purged or reset or the server is another: load the tables again, and keep the log longer (binlog_expire_logs_seconds)",
            place.offset
        )));
    };
    let size: u64 = log.number(1).unwrap_or(0);
    if size < place.offset {
        return Err(Error::Fatal(format!(
            "the source's binary log {name} has {size} bytes, but the task must go on at offset {}: the server lost the end of its log, was restored, or is another. Load the tables again",
            place.offset
        )));
    }
    // Of MariaDB, numbers of a domain tell the order of its transactions only where it is strict; what the file is, and what the server says of
    // the ids at this place of it, proves more.
    let is_known_by_file = connection.engine() == Engine::MariaDb && place.begun.is_some();
    if let Some(ours) = place.gtids.as_ref().filter(|ours| !ours.is_empty())
        && !is_known_by_file
    {
        let theirs = executed(connection).await.map_err(failed)?;
        if !theirs.as_ref().is_some_and(|theirs| ours.is_within(theirs)) {
            return Err(Error::Fatal(format!(
                "the source has not executed all transactions that the task has read ({ours}): the server was restored from an older state, or is another. Load the tables again"
            )));
        }
    }
    if connection.engine() == Engine::MariaDb
        && let Some(ours) = place.gtids.as_ref().filter(|ours| !ours.is_empty())
    {
        let sql = format!(
            "SELECT binlog_gtid_pos({}, {})",
            quote::literal(name),
            place.offset
        );
        let row = connection.row(&sql).await.map_err(failed)?;
        let there = row.and_then(|row| GtidSet::parse(row.get(0)?, Engine::MariaDb));
        if there
            .as_ref()
            .is_some_and(|there| !there.is_empty() && there != ours)
        {
            return Err(Error::Fatal(format!(
                "the source's binary log at {name}:{} is not where the task stopped ({ours}): the log was reset, or the server is another. Load the tables again",
                place.offset
            )));
        }
    }
    Ok(())
}

/// The ids of all transactions that the server has executed.
async fn executed(connection: &mut Connection) -> Result<Option<GtidSet>, WireError> {
    let engine = connection.engine();
    let sql = match engine {
        Engine::MariaDb => "SELECT @@global.gtid_binlog_pos",
        Engine::MySql | Engine::Postgres => "SELECT @@global.gtid_executed",
    };
    let row = connection.row(sql).await?;
    Ok(row.and_then(|row| GtidSet::parse(row.text(0), engine)))
}
