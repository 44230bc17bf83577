//! A server that rows, and perhaps changes, are read from.

use whimbrel_connector::{Concern, Error, Findings, KEY_CHECKS, without_key};
use whimbrel_core::{Table, TableName};

use super::{names, query, text};
use crate::log::{refused_tables, requirements};
use crate::quote;
use crate::wire::Connection;

/// A snapshot's slot waits for transactions that began before it.
const TRANSACTION_AGE: &str = "10 minutes";
/// Below this a reader that waits for its target is cut off.
const SENDER_TIMEOUT_MS: u64 = 10_000;
/// Below a quarter of the server's default, ordinary transactions are larger.
const DECODING_KIB_MIN: u64 = 16 * 1024;

pub(super) async fn look(
    connection: &mut Connection,
    tables: &[Table],
    is_followed: bool,
    findings: &mut Findings,
) {
    findings.note(
        &[
            "postgres-check-select-object-privileges",
            "postgres-check-row-security",
        ],
        rights(connection, tables).await,
    );
    findings.note(&KEY_CHECKS, keys(connection, tables, is_followed).await);
    if !is_followed {
        return;
    }
    findings.note(
        &[
            "postgres-check-source-standby",
            "postgres-check-wallevel",
            "postgres-check-replication-slots-count",
            "postgres-check-maxwalsenders",
            "postgres-check-replication-privileges",
        ],
        requirements::concerns(connection, true).await,
    );
    findings.note(
        &["postgres-check-replica-identity"],
        identities(connection, tables).await,
    );
    findings.note(
        &[
            "postgres-check-maxslot-wal-keep-size",
            "source-disk-room",
            "postgres-check-walsenderstimeout",
            "postgres-check-for-logical-decoding-work-mem",
        ],
        settings(connection).await,
    );
    findings.note(
        &[
            "postgres-check-longrunningtxn",
            "postgres-check-preparedtxn",
        ],
        running(connection).await,
    );
    findings.note(
        &["postgres-check-ddl-event-trigger"],
        event_trigger(connection).await,
    );
}

async fn identities(connection: &mut Connection, tables: &[Table]) -> Result<Vec<Concern>, Error> {
    let refused = refused_tables(connection, tables).await?;
    let concerns = refused.into_iter().map(|fault| {
        Concern::new(
            "postgres-check-replica-identity",
            fault.table.to_string(),
            fault.message,
            "as the message says; or load the table without following changes",
        )
    });
    Ok(concerns.collect())
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
    let sql = format!(
        "select n.nspname, c.relname, exists (
           select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
           and i.indpred is null and i.indexprs is null and not exists (
             select from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
             join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
             where k.place <= i.indnkeyatts and not a.attnotnull))
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where (n.nspname::text, c.relname::text) in ({}) and c.relkind in ('r', 'p', 'f') order by 1, 2",
        names(without.iter().map(|table| &table.name))
    );
    let rows = query(connection, &sql).await?;
    let concerns = rows.iter().filter_map(|row| {
        let name = TableName::new(text(row, 0), text(row, 1));
        let table = without.iter().find(|table| table.name == name)?;
        without_key(table, text(row, 2) == "t", is_followed)
    });
    Ok(concerns.collect())
}

/// Tables that the user may not read, or of which policies hide rows from it.
async fn rights(connection: &mut Connection, tables: &[Table]) -> Result<Vec<Concern>, Error> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select n.nspname, c.relname, current_user,
           has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'), row_security_active(c.oid)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where (n.nspname::text, c.relname::text) in ({}) and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1, 2",
        names(tables.iter().map(|table| &table.name))
    );
    let mut concerns = Vec::new();
    for row in query(connection, &sql).await? {
        let name = format!("{}.{}", text(&row, 0), text(&row, 1));
        let table = format!(
            "{}.{}",
            quote::identifier(text(&row, 0)),
            quote::identifier(text(&row, 1))
        );
        let user = text(&row, 2);
        let quoted = quote::identifier(user);
        if text(&row, 3) != "t" {
            concerns.push(Concern::new(
                "postgres-check-select-object-privileges",
                &name,
                format!("user {user} may not read the table"),
                format!(
                    "run GRANT USAGE ON SCHEMA {} TO {quoted} and GRANT SELECT ON {table} TO {quoted}",
                    quote::identifier(text(&row, 0))
                ),
            ));
        }
        if text(&row, 4) == "t" {
            concerns.push(Concern::new(
                "postgres-check-row-security",
                &name,
                format!("policies of the table hide rows from user {user}, so that the server refuses to let it read the table whole"),
                format!("run ALTER ROLE {quoted} BYPASSRLS"),
            ));
        }
    }
    Ok(concerns)
}

/// Settings that lose, or end, what is read from the log.
async fn settings(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql = "select name, setting from pg_settings where name in ('max_slot_wal_keep_size', 'wal_sender_timeout', 'logical_decoding_work_mem')";
    let mut concerns = Vec::new();
    for row in query(connection, sql).await? {
        let value = text(&row, 1);
        match text(&row, 0) {
            "max_slot_wal_keep_size" if value != "-1" => concerns.push(Concern::new(
                "postgres-check-maxslot-wal-keep-size",
                "max_slot_wal_keep_size",
                format!("the server drops the log that a slot keeps beyond {value} MB, and with it the changes that were not read yet"),
                "see that it holds all changes of the load and of the longest stop, or set it to -1 and watch the disk",
            )),
            "max_slot_wal_keep_size" => concerns.push(Concern::new(
                "source-disk-room",
                "max_slot_wal_keep_size",
                "the server keeps its whole log for a task that does not run, until its disk is full",
                "watch the disk of the source, run whimbrel forget for a migration that is over, or set max_slot_wal_keep_size",
            )),
            // The setting is in KiB.
            "logical_decoding_work_mem" if value.parse().is_ok_and(|kib: u64| kib < DECODING_KIB_MIN) => {
                concerns.push(Concern::new(
                    "postgres-check-for-logical-decoding-work-mem",
                    "logical_decoding_work_mem",
                    format!("the server keeps {value} kB of a transaction in memory while it reads its log, and sends or spills what is larger in many small parts"),
                    "set logical_decoding_work_mem to 64MB, which is its default, or more",
                ));
            }
            "wal_sender_timeout" => {
                let is_short = value.parse().is_ok_and(|ms: u64| ms > 0 && ms < SENDER_TIMEOUT_MS);
                if is_short {
                    concerns.push(Concern::new(
                        "postgres-check-walsenderstimeout",
                        "wal_sender_timeout",
                        format!("the server ends a reader of its log that is silent for {value} ms"),
                        "set wal_sender_timeout to 10s or more",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(concerns)
}

/// Transactions that the beginning of a task waits for.
async fn running(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql = format!(
        "select 'long', pid::text, date_trunc('second', now() - xact_start)::text from pg_stat_activity
           where backend_type = 'client backend' and xact_start < now() - interval '{TRANSACTION_AGE}'
         union all
         select 'prepared', gid, date_trunc('second', now() - prepared)::text from pg_prepared_xacts where database = current_database()"
    );
    let rows = query(connection, &sql).await?;
    let concerns = rows.iter().map(|row| {
        let (object, age) = (text(row, 1), text(row, 2));
        if text(row, 0) == "long" {
            Concern::new(
                "postgres-check-longrunningtxn",
                format!("session {object}"),
                format!("its transaction runs for {age}; a task that follows changes begins when it has ended"),
                format!("let it end, or run SELECT pg_terminate_backend({object})"),
            )
        } else {
            Concern::new(
                "postgres-check-preparedtxn",
                format!("transaction {object}"),
                format!("it is prepared for {age} and neither committed nor rolled back; a task that follows changes begins when it is"),
                format!("run COMMIT PREPARED or ROLLBACK PREPARED {}", quote::literal(object)),
            )
        }
    });
    Ok(concerns.collect())
}

/// Who may make the event triggers by which the log tells definitions.
async fn event_trigger(connection: &mut Connection) -> Result<Vec<Concern>, Error> {
    let sql = "select current_user, current_setting('is_superuser')";
    let rows = query(connection, sql).await?;
    let user = rows.iter().find(|row| text(row, 1) != "on");
    Ok(Vec::from_iter(user.map(|row| {
        Concern::new(
            "postgres-check-ddl-event-trigger",
            text(row, 0),
            "the user cannot make event triggers, so that definitions which change are seen at the next row of their table alone",
            "let a superuser follow the changes, or alter no tables meanwhile",
        )
    })))
}
