//! A server that rows, and perhaps changes, are written to.

use std::collections::BTreeSet;

use whimbrel_connector::{Concern, Error};
use whimbrel_core::TableName;

use super::{names, query, text};
use crate::quote;
use crate::wire::Connection;

pub(super) async fn concerns(
    connection: &mut Connection,
    tables: &[TableName],
    is_followed: bool,
) -> Result<Vec<Concern>, Error> {
    let mut concerns = server(connection, is_followed).await?;
    if !tables.is_empty() {
        concerns.extend(schemas(connection, tables).await?);
        concerns.extend(owners(connection, tables).await?);
    }
    Ok(concerns)
}

async fn server(connection: &mut Connection, is_followed: bool) -> Result<Vec<Concern>, Error> {
    // Older servers let nobody but superusers set it.
    let may_set = if connection.major_version() < 15 {
        "false"
    } else {
        "has_parameter_privilege('session_replication_role', 'set')"
    };
    let sql = format!(
        "select pg_is_in_recovery(), current_user, current_setting('is_superuser') = 'on' or {may_set}"
    );
    let rows = query(connection, &sql).await?;
    let mut concerns = Vec::new();
    for row in &rows {
        if text(row, 0) == "t" {
            concerns.push(Concern::new(
                "all-check-target-read-replica",
                "pg_is_in_recovery",
                "the target is a standby, which takes no writes",
                "give the primary server as the target, or promote the standby",
            ));
        }
        if is_followed && text(row, 2) != "t" {
            concerns.push(Concern::new(
                "postgres-check-session-replication-role",
                text(row, 1),
                "triggers and foreign keys of the target act on applied changes, because the user may not set session_replication_role",
                format!(
                    "run GRANT SET ON PARAMETER session_replication_role TO {}",
                    quote::identifier(text(row, 1))
                ),
            ));
        }
    }
    Ok(concerns)
}

/// Schemas in which the user may not make tables.
async fn schemas(connection: &mut Connection, tables: &[TableName]) -> Result<Vec<Concern>, Error> {
    let schemas: BTreeSet<&str> = tables.iter().map(|table| &*table.schema).collect();
    let values: Vec<String> = schemas
        .iter()
        .map(|schema| format!("({})", quote::literal(schema)))
        .collect();
    let sql = format!(
        "select w.name, n.oid is not null, current_user, current_database() from (values {}) as w(name) left join pg_namespace n on n.nspname = w.name
         where not case when n.oid is null then has_database_privilege(current_database(), 'create') else has_schema_privilege(n.oid, 'create') end order by 1",
        values.join(", ")
    );
    let rows = query(connection, &sql).await?;
    let concerns = rows.iter().map(|row| {
        let (schema, user) = (text(row, 0), text(row, 2));
        let (what, on) = if text(row, 1) == "t" {
            (
                "make tables in schema",
                format!("SCHEMA {}", quote::identifier(schema)),
            )
        } else {
            (
                "make schema",
                format!("DATABASE {}", quote::identifier(text(row, 3))),
            )
        };
        Concern::new(
            "postgres-check-target-privileges",
            schema,
            format!("user {user} may not {what} {schema}"),
            format!("run GRANT CREATE ON {on} TO {}", quote::identifier(user)),
        )
    });
    Ok(concerns.collect())
}

/// Tables of others, which the user can neither drop nor alter.
async fn owners(connection: &mut Connection, tables: &[TableName]) -> Result<Vec<Concern>, Error> {
    let sql = format!(
        "select n.nspname, c.relname, pg_get_userbyid(c.relowner), current_user from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where (n.nspname::text, c.relname::text) in ({}) and not pg_has_role(c.relowner, 'usage') order by 1, 2",
        names(tables)
    );
    let rows = query(connection, &sql).await?;
    let concerns = rows.iter().map(|row| {
        let (owner, user) = (text(row, 2), text(row, 3));
        Concern::new(
            "postgres-check-target-privileges",
            format!("{}.{}", text(row, 0), text(row, 1)),
            format!("the table is there and belongs to {owner}, so that user {user} can neither drop nor alter it"),
            format!("run GRANT {} TO {}", quote::identifier(owner), quote::identifier(user)),
        )
    });
    Ok(concerns.collect())
}
