use std::collections::HashSet;

use whimbrel_connector::{Error, KeyPolicy, PrepareMode, TargetTable, TaskFence};
use whimbrel_core::{ChunkBounds, Column, Engine, Position, TableName};

use super::control::{self, Held};
use super::kept_keys::{self, InTheWay};
use super::kept_objects;
use super::run;
use crate::errors::of_table;
use crate::quote::{self, identifier, literal};
use crate::wire::Connection;

/// Memory for building a key: sorts of a few million rows stay in memory, and any server can spare it.
const KEY_MEMORY: &str = "SET LOCAL maintenance_work_mem = '256MB'";

/// The statements that a load would run, in order.
pub(super) fn preview(table: &TargetTable, mode: PrepareMode, major_version: u32) -> Vec<String> {
    let mut statements = vec![create_schema(table)];
    let name = quote::table(&table.name);
    match mode {
        PrepareMode::DropAndCreate => {
            statements.push(format!("DROP TABLE IF EXISTS {name}"));
            statements.push(create_table(table, major_version));
        }
        PrepareMode::Truncate => {
            statements.push(create_table(table, major_version).replacen(
                "CREATE TABLE",
                "CREATE TABLE IF NOT EXISTS",
                1,
            ));
            statements.push(format!("TRUNCATE {name}"));
        }
        PrepareMode::DoNothing => {
            statements.push(create_table(table, major_version).replacen(
                "CREATE TABLE",
                "CREATE TABLE IF NOT EXISTS",
                1,
            ));
        }
    }
    statements.extend(add_key(table));
    statements
}

fn create_schema(table: &TargetTable) -> String {
    format!(
        "CREATE SCHEMA IF NOT EXISTS {}",
        identifier(&table.name.schema)
    )
}

/// Types come from the source's catalog or our own mapping; both are SQL already. Between servers of this engine the columns that
/// the server computes are made as well, in their places.
fn create_table(table: &TargetTable, major_version: u32) -> String {
    let mut planned = table.columns.iter();
    let mut columns = Vec::new();
    for column in &table.model().columns {
        if column.is_loaded() {
            columns.extend(planned.next().map(|column| {
                let not_null = if column.nullable { "" } else { " NOT NULL" };
                format!("{} {}{not_null}", identifier(&column.name), column.native)
            }));
        } else if table.source.engine == Engine::Postgres {
            columns.push(computed_column(column, major_version));
        }
    }
    let list = if columns.is_empty() {
        String::new()
    } else {
        format!("\n  {}\n", columns.join(",\n  "))
    };
    format!("CREATE TABLE {} ({list})", quote::table(&table.name))
}

/// Servers before 18 compute on writing only.
fn computed_column(column: &Column, major_version: u32) -> String {
    let native = match column.native.strip_suffix(" VIRTUAL") {
        Some(stored) if major_version < 18 => format!("{stored} STORED"),
        _ => column.native.clone(),
    };
    let not_null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {native}{not_null}", identifier(&column.name))
}

fn add_key(table: &TargetTable) -> Option<String> {
    if table.primary_key.is_empty() || table.keys == KeyPolicy::None {
        return None;
    }
    let columns: Vec<String> = table
        .primary_key
        .iter()
        .map(|&column| identifier(&table.columns[column].name))
        .collect();
    Some(format!(
        "ALTER TABLE {} ADD PRIMARY KEY ({})",
        quote::table(&table.name),
        columns.join(", ")
    ))
}

/// What is to be prepared, and how.
pub(super) struct Preparation<'a> {
    pub(super) fence: &'a TaskFence,
    pub(super) table: &'a TargetTable,
    pub(super) mode: PrepareMode,
    /// Tables that are loaded by the same task.
    pub(super) planned: &'a HashSet<TableName>,
    /// Foreign keys to a table that is dropped stay, which is an error then.
    pub(super) keeps_references: bool,
}

impl Preparation<'_> {
    /// Prepares a table and records its chunks, in one transaction. Answers whether the table is empty by our doing and may be
    /// emptied again together with its only chunk.
    pub(super) async fn run(
        &self,
        connection: &mut Connection,
        planned_at: &Position,
        chunks: &[ChunkBounds],
    ) -> Result<bool, Error> {
        let Self { fence, table, .. } = *self;
        let source = &table.source.name;
        run(connection, source, "begin to prepare", "BEGIN").await?;
        control::check_fence(connection, fence, Held::Now).await?;
        if !schema_exists(connection, table).await? {
            let create = create_schema(table);
            run(connection, source, "create the schema of", &create).await?;
        }
        let existing = existing(connection, table).await?;
        let name = quote::table(&table.name);
        let create = create_table(table, connection.major_version());
        let (sql, is_empty) = match (self.mode, existing) {
            // Whoever leaves tables as they are may share them: another task may write into this one before our chunk comes.
            (PrepareMode::DoNothing, Existing::Nothing) => (create, false),
            (_, Existing::Nothing) => (create, true),
            (PrepareMode::DropAndCreate, _) => {
                let names = (source, &table.name);
                kept_keys::drop_notes(connection, fence, names).await?;
                kept_objects::drop_notes(connection, fence, &table.name).await?;
                if !self.keeps_references {
                    let which = InTheWay::OfOthers;
                    kept_keys::put_aside(connection, fence, names, self.planned, which).await?;
                }
                (format!("DROP TABLE {name}; {create}"), true)
            }
            (PrepareMode::Truncate, _) => {
                let names = (source, &table.name);
                let which = InTheWay::All;
                kept_keys::put_aside(connection, fence, names, self.planned, which).await?;
                // Tables that inherit from it may be loaded already; the rows of a partitioned table are those of its partitions.
                let only = match existing {
                    Existing::Partitioned => "",
                    _ => "ONLY ",
                };
                let truncate = format!("TRUNCATE {only}{name}");
                (truncate, existing == Existing::Table)
            }
            (PrepareMode::DoNothing, _) => (String::new(), false),
        };
        if !sql.is_empty() {
            run(connection, source, "prepare the target", &sql).await?;
        }
        control::record_table(connection, fence, &table.source, planned_at, chunks)
            .await
            .map_err(|error| of_table(error, source, "record the chunks of"))?;
        control::check_fence(connection, fence, Held::UntilCommit).await?;
        run(connection, source, "commit the preparation of", "COMMIT").await?;
        Ok(is_empty)
    }
}

/// Asked first, because even IF NOT EXISTS needs the right to create.
async fn schema_exists(connection: &mut Connection, table: &TargetTable) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_namespace WHERE nspname = {}",
        literal(&table.name.schema)
    );
    let rows = connection.query(&sql).await;
    let rows =
        rows.map_err(|error| of_table(error, &table.source.name, "look for the schema of"))?;
    Ok(!rows.is_empty())
}

/// What stands at the target's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Nothing,
    Table,
    /// COPY cannot freeze rows on their way to partitions.
    Partitioned,
}

async fn existing(connection: &mut Connection, table: &TargetTable) -> Result<Existing, Error> {
    let sql = format!(
        "SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = {} AND c.relname = {}",
        literal(&table.name.schema),
        literal(&table.name.name)
    );
    let rows = connection
        .query(&sql)
        .await
        .map_err(|error| of_table(error, &table.source.name, "look for the target table of"))?;
    match rows.into_iter().flatten().flatten().next().as_deref() {
        None => Ok(Existing::Nothing),
        Some("r") => Ok(Existing::Table),
        Some("p") => Ok(Existing::Partitioned),
        Some(_) => Err(Error::table(
            &table.source.name,
            format!(
                "{} exists at the target and is no table; drop or rename it",
                table.name
            ),
        )),
    }
}

/// Builds the key, if it is not there yet, and marks the table finished.
pub(super) async fn finish(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TargetTable,
) -> Result<(), Error> {
    let source = &table.source.name;
    run(connection, source, "begin to finish", "BEGIN").await?;
    control::check_fence(connection, fence, Held::Now).await?;
    let is_loaded = control::is_loaded(connection, fence, source).await;
    if !is_loaded.map_err(|error| of_table(error, source, "read the record of"))? {
        return Err(Error::record_lost(source));
    }
    if let Some(add_key) = add_key(table)
        && !has_key(connection, table).await?
    {
        run(connection, source, "build the key of", KEY_MEMORY).await?;
        run(connection, source, "build the primary key of", &add_key)
            .await
            .map_err(|error| key_to_table(error, table))?;
    }
    control::record_finished(connection, fence, source)
        .await
        .map_err(|error| of_table(error, source, "record the end of"))?;
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    run(connection, source, "commit the end of", "COMMIT").await
}

async fn has_key(connection: &mut Connection, table: &TargetTable) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_index WHERE indisprimary AND indrelid = {}::regclass",
        literal(&quote::table(&table.name))
    );
    let rows = connection.query(&sql).await;
    let rows = rows.map_err(|error| of_table(error, &table.source.name, "look for the key of"))?;
    Ok(!rows.is_empty())
}

/// A duplicate found by building the key is no row of an open chunk, but a table whose source changed during the load. Anything else is
/// wrong with the key itself.
fn key_to_table(error: Error, table: &TargetTable) -> Error {
    match error {
        Error::Row(refusal) => Error::table(
            &table.source.name,
            format!(
                "the primary key cannot be built{}: {}; load the table again",
                refusal
                    .key
                    .map(|key| format!(", key {key} is there twice"))
                    .unwrap_or_default(),
                refusal.reason
            ),
        ),
        Error::Table(mut fault) => {
            fault.message.push_str(
                "; if the table cannot have the key, load it without (whimbrel migrate --no-keys)",
            );
            Error::Table(fault)
        }
        other => other,
    }
}
