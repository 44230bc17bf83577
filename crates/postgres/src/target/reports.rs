//! Tables that users read.

use whimbrel_connector::Error;
use whimbrel_connector::control_tables::{ControlDialect, ControlTable, ControlWrite};

use super::control::{SCHEMA, cell};
use crate::errors::general;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, WireError};

const DIALECT: ControlDialect = ControlDialect {
    identifier,
    literal,
    time: "timestamp",
    key: "UNIQUE",
    options: "",
};

/// Where the service has them.
const HOME: &str = "public";

pub(super) async fn write(
    connection: &mut Connection,
    home: Option<&str>,
    write: &ControlWrite,
) -> Result<(), Error> {
    let name = write.table.name;
    let doing = |error| general(error, &format!("write {name} at the target"));
    let home = home.unwrap_or(HOME);
    let schema = match ensure(connection, home, write.table).await {
        // As the table of refused changes does.
        Err(WireError::Server(error)) if error.code == "42501" && home != SCHEMA => {
            connection.query("ROLLBACK").await.map_err(doing)?;
            ensure(connection, SCHEMA, write.table)
                .await
                .map_err(doing)?;
            SCHEMA
        }
        other => other.map(|()| home).map_err(doing)?,
    };
    let statements = write.statements(schema, &DIALECT).join("; ");
    let sql = format!("BEGIN; {statements}; COMMIT");
    connection.query(&sql).await.map(drop).map_err(doing)
}

async fn ensure(
    connection: &mut Connection,
    schema: &str,
    table: &ControlTable,
) -> Result<(), WireError> {
    // Asked first, because even IF NOT EXISTS needs the right to create.
    let exists = format!(
        "SELECT to_regclass({}), to_regnamespace({})",
        literal(&table.name_in(schema, &DIALECT)),
        literal(&identifier(schema))
    );
    let rows = connection.query(&exists).await?;
    let is_there = |column: usize| rows.first().is_some_and(|row| cell(row, column).is_some());
    if is_there(0) {
        return Ok(());
    }
    let make_schema = if is_there(1) {
        String::new()
    } else {
        format!("CREATE SCHEMA IF NOT EXISTS {};", identifier(schema))
    };
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7021853190145); {make_schema} {}; COMMIT",
        table.create(schema, &DIALECT)
    );
    connection.query(&sql).await.map(drop)
}
