//! Tables that users read.

use whimbrel_connector::Error;
use whimbrel_connector::control_tables::{ControlDialect, ControlWrite};
use whimbrel_core::TableName;

use crate::catalog::{CONTROL_DATABASE as DATABASE, storage_engine};
use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, WireError};

const DIALECT: ControlDialect = ControlDialect {
    identifier: quote::identifier,
    literal: quote::literal,
    time: "datetime(6)",
    key: "PRIMARY KEY",
    options: " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
};

pub(super) async fn write(
    connection: &mut Connection,
    home: Option<&str>,
    write: &ControlWrite,
) -> Result<(), Error> {
    let name = write.table.name;
    let written = write_in(connection, home.unwrap_or(DATABASE), write).await;
    if written.is_err() && connection.is_ready() {
        let doing = |error| general(error, "roll back at the target");
        connection.execute("ROLLBACK").await.map_err(doing)?;
    }
    written.map_err(|error| general(error, &format!("write {name} at the target")))
}

async fn write_in(
    connection: &mut Connection,
    database: &str,
    write: &ControlWrite,
) -> Result<(), WireError> {
    let table = TableName::new(database, write.table.name);
    // Asked first, because even IF NOT EXISTS needs the right to create.
    if storage_engine(connection, &table).await?.is_none() {
        let make = format!(
            "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4",
            quote::identifier(database)
        );
        connection.execute(&make).await?;
        let create = write.table.create(database, &DIALECT);
        connection.execute(&create).await?;
    }
    connection.execute("START TRANSACTION").await?;
    for statement in write.statements(database, &DIALECT) {
        connection.execute(&statement).await?;
    }
    connection.execute("COMMIT").await.map(drop)
}
