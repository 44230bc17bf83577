use whimbrel_connector::{Error, KeyPolicy, PrepareMode, TargetColumn, TargetTable, TaskFence};
use whimbrel_core::{ChunkBounds, Engine, Position};

use super::control::{self, Held};
use super::fed::folds_case;
use super::kept_objects;
use super::run;
use crate::catalog;
use crate::errors::of_table;
use crate::quote;
use crate::wire::{Connection, WireError};

/// The server's code for a key where there is one already.
const MULTIPLE_PRIMARY_KEY: u16 = 1068;

/// The statements that a load would run, in order.
pub(super) fn preview(table: &TargetTable, mode: PrepareMode, engine: Engine) -> Vec<String> {
    let mut statements = vec![create_database(table)];
    let name = quote::table(&table.name);
    let create = create_table(table, engine);
    let create_missing = create.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
    match mode {
        PrepareMode::DropAndCreate => {
            statements.push(format!("DROP TABLE IF EXISTS {name}"));
            statements.push(create);
        }
        PrepareMode::Truncate => {
            statements.push(create_missing);
            statements.push(format!("TRUNCATE TABLE {name}"));
        }
        PrepareMode::DoNothing => statements.push(create_missing),
    }
    statements.extend(add_key(table));
    statements
}

fn create_database(table: &TargetTable) -> String {
    format!(
        "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4",
        quote::identifier(&table.name.schema)
    )
}

/// The key's columns, each with what belongs to the key of longer values: between servers of this family it is made as it was.
fn key_columns(table: &TargetTable) -> String {
    let parts = table.primary_key.iter().enumerate();
    let parts: Vec<String> = parts
        .filter_map(|(place, &column)| {
            let name = quote::identifier(&table.columns.get(column)?.name);
            Some(match table.model().key_prefix(place) {
                Some(length) => format!("{name}({length})"),
                None => name,
            })
        })
        .collect();
    parts.join(", ")
}

/// InnoDB keeps rows in the order of the key: made with the table, the key costs nothing when rows come in its order.
///
/// Types come from the source's catalog or our own mapping; both are SQL already. Between servers of the same engine the columns
/// that the server computes are made as well, in their places.
fn create_table(table: &TargetTable, engine: Engine) -> String {
    let mut planned = table.columns.iter();
    let mut lines = Vec::new();
    for column in &table.model().columns {
        if column.is_loaded() {
            lines.extend(planned.next().map(planned_column));
        } else if table.source.engine == engine {
            lines.push(format!(
                "  {} {}",
                quote::identifier(&column.name),
                column.native
            ));
        }
    }
    if table.keys == KeyPolicy::Best && !table.primary_key.is_empty() {
        lines.push(format!("  PRIMARY KEY ({})", key_columns(table)));
    }
    format!(
        "CREATE TABLE {} (\n{}\n) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4",
        quote::table(&table.name),
        lines.join(",\n")
    )
}

pub(super) fn planned_column(column: &TargetColumn) -> String {
    // Left out, some servers take TIMESTAMP for NOT NULL.
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    format!(
        "  {} {} {null}",
        quote::identifier(&column.name),
        column.native
    )
}

fn add_key(table: &TargetTable) -> Option<String> {
    let is_later = table.keys == KeyPolicy::AfterLoad && !table.primary_key.is_empty();
    is_later.then(|| {
        format!(
            "ALTER TABLE {} ADD PRIMARY KEY ({})",
            quote::table(&table.name),
            key_columns(table)
        )
    })
}

/// Prepares a table and records its chunks. The record is written last, so that a table with a record is a prepared one.
///
/// Statements that change tables commit by themselves here, so the fence is looked at before, and holds only for the record.
pub(super) async fn prepare(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TargetTable,
    mode: PrepareMode,
    planned_at: &Position,
    chunks: &[ChunkBounds],
) -> Result<(), Error> {
    control::check_fence(connection, fence, Held::Now).await?;
    let source = &table.source.name;
    let failed = |error| of_table(error, source, "look for the target table");
    if !has_database(connection, &table.name.schema)
        .await
        .map_err(failed)?
    {
        run(
            connection,
            source,
            "create the database",
            &create_database(table),
        )
        .await?;
    }
    // A DDL statement commits by itself: a record that outlived the rows it tells of would pass for theirs.
    unrecord(connection, fence, table).await?;
    let kind = catalog::storage_engine(connection, &table.name)
        .await
        .map_err(failed)?;
    let name = quote::table(&table.name);
    let create = create_table(table, connection.engine());
    match (mode, kind.as_deref()) {
        (_, None) => run(connection, source, "create the table", &create).await?,
        (_, Some("VIEW" | "SYSTEM VIEW" | "SEQUENCE")) => {
            return Err(Error::table(
                source,
                format!(
                    "{} is not a table at the target; rename or drop it there",
                    table.name
                ),
            ));
        }
        (PrepareMode::DropAndCreate, Some(_)) => {
            run(
                connection,
                source,
                "drop the table",
                &format!("DROP TABLE IF EXISTS {name}"),
            )
            .await?;
            let noted = kept_objects::drop_notes(fence, &table.name);
            run(
                connection,
                source,
                "remove the noted triggers of the table",
                &noted,
            )
            .await?;
            run(connection, source, "create the table", &create).await?;
        }
        (PrepareMode::Truncate | PrepareMode::DoNothing, Some(engine)) => {
            check_kept(connection, table, engine).await?;
            if mode == PrepareMode::Truncate {
                run(
                    connection,
                    source,
                    "empty the table",
                    &format!("TRUNCATE TABLE {name}"),
                )
                .await?;
            }
        }
    }
    record(connection, fence, table, planned_at, chunks).await
}

/// Whether an existing table can take the rows.
async fn check_kept(
    connection: &mut Connection,
    table: &TargetTable,
    engine: &str,
) -> Result<(), Error> {
    check_engine(table, engine)?;
    super::layout::Layout::read(connection, table)
        .await
        .map(drop)
}

/// Whether the server has a database of this name, which may be another to it than one in other case.
async fn has_database(connection: &mut Connection, name: &str) -> Result<bool, WireError> {
    let databases = catalog::databases(connection).await?;
    if databases.iter().any(|database| database == name) {
        return Ok(true);
    }
    let is_it = |database: &String| database.to_lowercase() == name.to_lowercase();
    Ok(databases.iter().any(is_it) && folds_case(connection).await?)
}

/// Whether a table's storage engine has transactions, so that rows and what is recorded of them appear together.
pub(super) fn check_engine(table: &TargetTable, engine: &str) -> Result<(), Error> {
    if engine.eq_ignore_ascii_case("InnoDB") {
        return Ok(());
    }
    Err(Error::table(
        &table.source.name,
        format!(
            "the table {} at the target is kept by {engine}, which has no transactions; convert it by ALTER TABLE … ENGINE = InnoDB, or let it be dropped",
            table.name
        ),
    ))
}

/// Removes the record of an earlier preparation.
async fn unrecord(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TargetTable,
) -> Result<(), Error> {
    let source = &table.source.name;
    run(connection, source, "begin to record", "START TRANSACTION").await?;
    control::unrecord_table(connection, fence, source)
        .await
        .map_err(|error| of_table(error, source, "remove the old record"))?;
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    run(connection, source, "commit the record", "COMMIT").await
}

async fn record(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TargetTable,
    planned_at: &Position,
    chunks: &[ChunkBounds],
) -> Result<(), Error> {
    let source = &table.source.name;
    run(connection, source, "begin to record", "START TRANSACTION").await?;
    control::record_table(connection, fence, &table.source, planned_at, chunks)
        .await
        .map_err(|error| of_table(error, source, "record the chunks"))?;
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    run(connection, source, "commit the record", "COMMIT").await
}

/// Builds the key that waits, and marks the record finished.
pub(super) async fn finish(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TargetTable,
) -> Result<(), Error> {
    control::check_fence(connection, fence, Held::Now).await?;
    let source = &table.source.name;
    let is_loaded = control::is_loaded(connection, fence, source).await;
    if !is_loaded.map_err(|error| of_table(error, source, "read the record"))? {
        return Err(Error::record_lost(source));
    }
    if let Some(sql) = add_key(table) {
        let key = catalog::primary_key(connection, &table.name)
            .await
            .map_err(|error| of_table(error, source, "look for the key"))?;
        if key.is_empty() {
            build_key(connection, table, &sql).await?;
        }
    }
    run(connection, source, "begin to record", "START TRANSACTION").await?;
    control::record_finished(connection, fence, source)
        .await
        .map_err(|error| of_table(error, source, "record the end"))?;
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    run(connection, source, "commit the record", "COMMIT").await
}

/// Builds the key. The server may still be at it for a worker that is gone: then ours waits for that, and there is a key afterwards.
async fn build_key(
    connection: &mut Connection,
    table: &TargetTable,
    sql: &str,
) -> Result<(), Error> {
    match connection.execute(sql).await {
        Ok(_) => Ok(()),
        Err(WireError::Server(error)) if error.code == MULTIPLE_PRIMARY_KEY => Ok(()),
        Err(error) => Err(of_table(error, &table.source.name, "build the primary key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::{Column, ColumnType, Generation, Table, TableName};

    fn source_column(name: &str) -> Column {
        Column {
            name: name.to_owned(),
            ty: ColumnType::Bool,
            native: String::new(),
            nullable: true,
            generation: Generation::None,
            id: None,
            default: None,
        }
    }

    fn table(keys: KeyPolicy) -> TargetTable {
        let column = |name: &str, native: &str, nullable| TargetColumn {
            name: name.to_owned(),
            native: native.to_owned(),
            source_type: ColumnType::Bool,
            nullable,
        };
        TargetTable {
            name: TableName::new("s`x", "t"),
            source: Table {
                engine: Engine::MySql,
                name: TableName::new("s", "t"),
                columns: ["a", "b`"].map(source_column).to_vec(),
                primary_key: vec![0],
                id: None,
                key_prefixes: Vec::new(),
                row_estimate: None,
                byte_estimate: None,
                outside_snapshot: None,
                obstacle: None,
                notes: Vec::new(),
            },
            shaped: None,
            columns: vec![
                column("a", "int", false),
                column("b`", "timestamp(6)", true),
            ],
            primary_key: vec![0],
            keys,
            notes: Vec::new(),
        }
    }

    #[test]
    fn keys_of_beginnings_stay_such() {
        let mut table = table(KeyPolicy::Best);
        table.primary_key = vec![1, 0];
        table.source.key_prefixes = vec![Some(10), None];
        assert_eq!(key_columns(&table), "`b```(10), `a`");
    }

    #[test]
    fn keys_are_made_with_the_table_or_after_it() {
        let best = preview(
            &table(KeyPolicy::Best),
            PrepareMode::DropAndCreate,
            Engine::MySql,
        );
        assert_eq!(best[1], "DROP TABLE IF EXISTS `s``x`.`t`");
        assert_eq!(
            best[2],
            "CREATE TABLE `s``x`.`t` (\n  `a` int NOT NULL,\n  `b``` timestamp(6) NULL,\n  PRIMARY KEY (`a`)\n) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"
        );
        assert_eq!(best.len(), 3);
        let after = preview(
            &table(KeyPolicy::AfterLoad),
            PrepareMode::Truncate,
            Engine::MySql,
        );
        assert!(after[1].starts_with("CREATE TABLE IF NOT EXISTS") && !after[1].contains("KEY"));
        assert_eq!(after[3], "ALTER TABLE `s``x`.`t` ADD PRIMARY KEY (`a`)");
        assert_eq!(
            preview(
                &table(KeyPolicy::None),
                PrepareMode::DoNothing,
                Engine::MySql
            )
            .len(),
            2
        );
    }
}
