//! The control tables: the epoch of each task, and the record of its load.

use std::borrow::Cow;
use std::collections::BTreeMap;

use whimbrel_connector::{
    ApplySettings, Checkpoint, ChunkCommit, ChunkRecord, Error, FollowState, LoadRecord, Mutation,
    TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Position, Table, TableName};

use crate::errors::general;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, ServerError, TextRow, WireError};

pub(super) const SCHEMA: &str = "awsdms_control";

/// Other tasks may create or drop the same objects at the same moment; the second of two then simply tries again.
const DDL_TRIES_MAX: u32 = 10;

const CREATE: &str = "
BEGIN;
SELECT pg_advisory_xact_lock(7021853190145);
CREATE SCHEMA IF NOT EXISTS awsdms_control;
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_task_epoch (
  task_name varchar(128) PRIMARY KEY, epoch bigint NOT NULL, checkpoint text);
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_load_table (
  task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL,
  planned_at text NOT NULL, is_finished boolean NOT NULL, follow_state text,
  PRIMARY KEY (task_name, table_owner, table_name));
DO 'BEGIN IF NOT EXISTS (SELECT FROM pg_attribute WHERE attname = ''checkpoint''
    AND attrelid = ''awsdms_control.awsdms_task_epoch''::regclass)
  THEN ALTER TABLE awsdms_control.awsdms_task_epoch ADD COLUMN checkpoint text; END IF;
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attname = ''follow_state''
    AND attrelid = ''awsdms_control.awsdms_load_table''::regclass)
  THEN ALTER TABLE awsdms_control.awsdms_load_table ADD COLUMN follow_state text; END IF; END';
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_load_chunk (
  task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL,
  chunk integer NOT NULL, chunk_range text NOT NULL, row_estimate bigint NOT NULL, row_count bigint, byte_count bigint,
  PRIMARY KEY (task_name, table_owner, table_name, chunk));
COMMIT";

/// The epoch never falls back, even after the task was forgotten: it is at least the clock.
const CLAIM: &str = "
INSERT INTO awsdms_control.awsdms_task_epoch AS e (task_name, epoch)
VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (task_name) DO UPDATE SET epoch = greatest(e.epoch + 1, excluded.epoch)
RETURNING epoch";

pub(super) async fn claim(connection: &mut Connection, task: &str) -> Result<TaskFence, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let claimed = match connection.query(CREATE).await {
            Ok(_) => connection.query_with(CLAIM, &[Some(task)]).await,
            Err(error) => Err(error),
        };
        let error = match claimed {
            Ok(rows) => {
                let epoch = number(rows.first(), 0)?;
                return Ok(TaskFence {
                    task: task.to_owned(),
                    epoch,
                });
            }
            Err(error) => error,
        };
        if let WireError::Server(_) = error {
            connection
                .query("ROLLBACK")
                .await
                .map_err(|e| general(e, "claim the task"))?;
        }
        // Somebody dropped the tables between the two statements.
        let is_race =
            matches!(&error, WireError::Server(e) if matches!(e.code.as_str(), "42P01" | "3F000"));
        if !is_race || tries == DDL_TRIES_MAX {
            return Err(general(
                error,
                "make the control tables and claim the task at the target",
            ));
        }
    }
}

/// For how long a task that is ours stays ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// For no longer than it takes to answer: to fail early.
    Now,
    /// Until the open transaction ends. A worker that takes the task over waits for that, so this is asked last, when only the
    /// commit is left: a worker that stops in the middle of its rows must not keep others from taking over.
    UntilCommit,
}

/// Stands for the epoch of a task that has none: later than every epoch.
const NOBODY: i64 = i64::MAX;

/// Checks that the task is still ours.
pub(super) async fn check_fence(
    connection: &mut Connection,
    fence: &TaskFence,
    until: Held,
) -> Result<(), Error> {
    let lock = match until {
        Held::Now => "",
        Held::UntilCommit => " FOR SHARE",
    };
    let sql =
        format!("SELECT epoch FROM awsdms_control.awsdms_task_epoch WHERE task_name = $1{lock}");
    let rows = match connection.query_with(&sql, &[Some(&fence.task)]).await {
        Ok(rows) => rows,
        // Without its control tables the task was forgotten: whoever did that owned it.
        Err(WireError::Server(error)) if matches!(error.code.as_str(), "42P01" | "3F000") => {
            Vec::new()
        }
        Err(error) => return Err(general(error, "check the task's epoch at the target")),
    };
    let theirs = if rows.is_empty() {
        NOBODY
    } else {
        number(rows.first(), 0)?
    };
    if theirs == fence.epoch || Mutation::NoEpochCheck.is_on() {
        Ok(())
    } else {
        Err(Error::Fenced {
            ours: fence.epoch,
            theirs,
        })
    }
}

/// The position up to which changes have been applied.
pub(super) async fn checkpoint(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Option<Checkpoint>, Error> {
    let sql = "SELECT checkpoint FROM awsdms_control.awsdms_task_epoch WHERE task_name = $1";
    let rows = connection
        .query_with(sql, &[Some(&fence.task)])
        .await
        .map_err(|error| general(error, "read the checkpoint at the target"))?;
    let checkpoint = rows.into_iter().flatten().flatten().next();
    let checkpoint = checkpoint.as_deref();
    checkpoint
        .map(|text| Checkpoint::parse(text, &fence.task))
        .transpose()
}

/// Fails when the task is not ours: the statements sent behind it are then passed over.
/// Parameters: task, epoch.
pub(super) const REQUIRE_FENCE: &str = "
SELECT 1 / count(*) FROM awsdms_control.awsdms_task_epoch WHERE task_name = $1::text AND epoch = $2::bigint";

/// Writes the checkpoint into the open transaction and keeps the task ours until it ends; fails like [`REQUIRE_FENCE`].
/// Parameters: task, epoch, checkpoint.
pub(super) const WRITE_CHECKPOINT: &str = "
WITH ours AS (UPDATE awsdms_control.awsdms_task_epoch SET checkpoint = $3::text
  WHERE task_name = $1::text AND epoch = $2::bigint RETURNING epoch)
SELECT 1 / count(*) FROM ours";

/// A statement with the check of the epoch. Tests can have it left out, to show that they miss it.
pub(super) fn with_epoch_check(sql: &str) -> Cow<'_, str> {
    if Mutation::NoEpochCheck.is_on() {
        return sql.replace("epoch = $2", "0 < $2").into();
    }
    sql.into()
}

/// Whether a failure of [`REQUIRE_FENCE`] or [`WRITE_CHECKPOINT`] says that the task is not ours: nothing was there to count, or
/// the table is gone.
pub(super) fn says_not_ours(error: &ServerError) -> bool {
    matches!(error.code.as_str(), "22012" | "42P01" | "3F000")
}

/// Makes the table of refused changes, which all tasks of the target share, and answers its name in SQL. Where the service has it: in
/// schema `public`, unless told otherwise.
pub(super) async fn make_exceptions(
    connection: &mut Connection,
    settings: &ApplySettings,
) -> Result<String, Error> {
    let home = settings.control_schema.as_deref().unwrap_or("public");
    let doing = |error| general(error, "make awsdms_apply_exceptions at the target");
    match make_exceptions_in(connection, home).await {
        Ok(name) => Ok(name),
        Err(WireError::Server(error)) if error.code == "42501" && home != SCHEMA => {
            tracing::warn!(
                "awsdms_apply_exceptions is in schema {SCHEMA}, because the user may not make tables in {home}"
            );
            connection.query("ROLLBACK").await.map_err(doing)?;
            make_exceptions_in(connection, SCHEMA).await.map_err(doing)
        }
        Err(error) => Err(doing(error)),
    }
}

async fn make_exceptions_in(connection: &mut Connection, home: &str) -> Result<String, WireError> {
    let schema = identifier(home);
    let name = format!("{schema}.awsdms_apply_exceptions");
    // Asked first, because even IF NOT EXISTS needs the right to create.
    let exists = format!(
        "SELECT to_regclass({}), to_regnamespace({})",
        literal(&name),
        literal(&schema)
    );
    let rows = connection.query(&exists).await?;
    let is_there = |column: usize| rows.first().is_some_and(|row| cell(row, column).is_some());
    if is_there(0) {
        return Ok(name);
    }
    let make_schema = if is_there(1) {
        String::new()
    } else {
        format!("CREATE SCHEMA IF NOT EXISTS {schema};")
    };
    let sql = format!(
        "BEGIN; SELECT pg_advisory_xact_lock(7021853190145); {make_schema}
         CREATE TABLE IF NOT EXISTS {name} (\"TASK_NAME\" varchar(128) NOT NULL, \"TABLE_OWNER\" varchar(128) NOT NULL,
           \"TABLE_NAME\" varchar(128) NOT NULL, \"ERROR_TIME\" timestamp NOT NULL, \"STATEMENT\" text NOT NULL, \"ERROR\" text NOT NULL);
         COMMIT"
    );
    connection.query(&sql).await?;
    Ok(name)
}

pub(super) async fn load_records(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<LoadRecord>, Error> {
    let sql = "SELECT t.table_owner, t.table_name, t.planned_at, t.is_finished,
                      c.chunk, c.chunk_range, c.row_estimate, c.row_count, c.byte_count, t.follow_state
               FROM awsdms_control.awsdms_load_table t
               LEFT JOIN awsdms_control.awsdms_load_chunk c USING (task_name, table_owner, table_name)
               WHERE t.task_name = $1 ORDER BY t.table_owner, t.table_name, c.chunk";
    let rows = connection
        .query_with(sql, &[Some(&fence.task)])
        .await
        .map_err(|error| general(error, "read the record of the load"))?;
    let mut records: BTreeMap<TableName, LoadRecord> = BTreeMap::new();
    for row in &rows {
        let table = TableName::new(text(row, 0)?, text(row, 1)?);
        let record = match records.entry(table) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let table = entry.key().clone();
                entry.insert(LoadRecord {
                    table,
                    planned_at: Some(text(row, 2)?)
                        .filter(|position| !position.is_empty())
                        .map(Position::new),
                    chunks: Vec::new(),
                    is_finished: text(row, 3)? == "t",
                    follow: cell(row, 9).map(FollowState::parse).transpose()?,
                })
            }
        };
        if cell(row, 4).is_some() {
            record.chunks.push(chunk_record(row)?);
        }
    }
    Ok(records.into_values().collect())
}

fn chunk_record(row: &TextRow) -> Result<ChunkRecord, Error> {
    let done = match row.get(7) {
        Some(Some(_)) => Some(ChunkCommit {
            row_count: number(Some(row), 7)?,
            byte_count: number(Some(row), 8)?,
        }),
        _ => None,
    };
    Ok(ChunkRecord {
        id: ChunkId(number(Some(row), 4)?),
        bounds: ChunkBounds {
            range: text(row, 5)?.to_owned(),
            row_estimate: number(Some(row), 6)?,
        },
        done,
    })
}

/// Writes the record of a prepared table into the open transaction.
pub(super) async fn record_table(
    connection: &mut Connection,
    fence: &TaskFence,
    shape: &Table,
    planned_at: &Position,
    chunks: &[ChunkBounds],
) -> Result<(), WireError> {
    let table = &shape.name;
    let key = [
        Some(fence.task.as_str()),
        Some(table.schema.as_str()),
        Some(table.name.as_str()),
    ];
    for sql in [
        "DELETE FROM awsdms_control.awsdms_load_chunk WHERE task_name = $1 AND table_owner = $2 AND table_name = $3",
        "DELETE FROM awsdms_control.awsdms_load_table WHERE task_name = $1 AND table_owner = $2 AND table_name = $3",
    ] {
        connection.query_with(sql, &key).await?;
    }
    let sql = "INSERT INTO awsdms_control.awsdms_load_table
               (task_name, table_owner, table_name, planned_at, is_finished, follow_state) VALUES ($1, $2, $3, $4, false, $5)";
    let follow = FollowState::loaded(shape.clone()).to_text();
    let values = [Some(planned_at.as_str()), Some(follow.as_str())];
    connection
        .query_with(sql, &[key[0], key[1], key[2], values[0], values[1]])
        .await?;
    let list: Vec<serde_json::Value> = (0_u32..)
        .zip(chunks)
        .map(|(id, chunk)| serde_json::json!([id, chunk.range, chunk.row_estimate]))
        .collect();
    let list = serde_json::Value::from(list).to_string();
    let sql = "INSERT INTO awsdms_control.awsdms_load_chunk
               SELECT $1, $2, $3, (e->>0)::integer, e->>1, (e->>2)::bigint FROM json_array_elements($4::json) e";
    connection
        .query_with(sql, &[key[0], key[1], key[2], Some(&list)])
        .await?;
    Ok(())
}

/// Marks a chunk done within the open transaction. `false` when it was done already or is not recorded.
pub(super) async fn record_chunk(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
    chunk: ChunkId,
    commit: ChunkCommit,
) -> Result<bool, WireError> {
    let sql = "UPDATE awsdms_control.awsdms_load_chunk SET row_count = $5::bigint, byte_count = $6::bigint
               WHERE task_name = $1 AND table_owner = $2 AND table_name = $3 AND chunk = $4::integer AND row_count IS NULL
               RETURNING chunk";
    let (id, rows, bytes) = (
        chunk.0.to_string(),
        commit.row_count.to_string(),
        commit.byte_count.to_string(),
    );
    let parameters = [&fence.task, &table.schema, &table.name, &id, &rows, &bytes];
    let updated = connection
        .query_with(sql, &parameters.map(|p| Some(p.as_str())))
        .await?;
    Ok(updated.len() == 1)
}

/// Whether every chunk of a table is done, as far as the target knows now.
pub(super) async fn is_loaded(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
) -> Result<bool, WireError> {
    let sql = "SELECT 1 FROM awsdms_control.awsdms_load_table t
               WHERE task_name = $1 AND table_owner = $2 AND table_name = $3
                 AND NOT EXISTS (SELECT FROM awsdms_control.awsdms_load_chunk c
                                 WHERE (c.task_name, c.table_owner, c.table_name) = (t.task_name, t.table_owner, t.table_name)
                                   AND c.row_count IS NULL)";
    let key = [&fence.task, &table.schema, &table.name].map(|text| Some(text.as_str()));
    let found = connection.query_with(sql, &key).await?;
    Ok(!found.is_empty())
}

/// Marks a table finished within the open transaction.
pub(super) async fn record_finished(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
) -> Result<(), WireError> {
    let sql = "UPDATE awsdms_control.awsdms_load_table SET is_finished = true
               WHERE task_name = $1 AND table_owner = $2 AND table_name = $3";
    connection
        .query_with(
            sql,
            &[Some(&fence.task), Some(&table.schema), Some(&table.name)],
        )
        .await?;
    Ok(())
}

/// Removes the task's rows, and what is empty then. Names are constants, the task's name is bound.
pub(super) async fn forget(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let forgotten = forget_in_transaction(connection, fence).await;
    if forgotten.is_err() {
        connection
            .query("ROLLBACK")
            .await
            .map_err(|error| general(error, "roll back"))?;
    }
    forgotten
}

async fn forget_in_transaction(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<(), Error> {
    let failed = |error| general(error, "remove the record of the load");
    connection
        .query("BEGIN; SELECT pg_advisory_xact_lock(7021853190145)")
        .await
        .map_err(failed)?;
    match check_fence(connection, fence, Held::UntilCommit).await {
        // Nobody owns the task, so it was forgotten already: this call repeats one whose answer was lost.
        Err(Error::Fenced { theirs: NOBODY, .. }) => {
            return connection.query("ROLLBACK").await.map(drop).map_err(failed);
        }
        checked => checked?,
    }
    for table in [
        "awsdms_load_chunk",
        "awsdms_load_table",
        "awsdms_task_epoch",
    ] {
        let sql = format!("DELETE FROM {SCHEMA}.{table} WHERE task_name = $1");
        connection
            .query_with(&sql, &[Some(&fence.task)])
            .await
            .map_err(failed)?;
    }
    let rows = connection
        .query("SELECT EXISTS (SELECT FROM awsdms_control.awsdms_task_epoch)")
        .await
        .map_err(failed)?;
    let is_used = rows.iter().flatten().flatten().any(|exists| exists == "t");
    // A worker that was replaced may still hold the tables in an open transaction. Nobody waits for it: whoever forgets a task
    // next drops them.
    let drop = "DO 'BEGIN
          LOCK TABLE awsdms_control.awsdms_load_chunk, awsdms_control.awsdms_load_table, awsdms_control.awsdms_task_epoch NOWAIT;
          DROP TABLE awsdms_control.awsdms_load_chunk, awsdms_control.awsdms_load_table, awsdms_control.awsdms_task_epoch;
          BEGIN DROP SCHEMA awsdms_control; EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END;
        EXCEPTION WHEN lock_not_available THEN NULL; END';";
    let end = if is_used {
        "COMMIT".to_owned()
    } else {
        format!("{drop} COMMIT")
    };
    connection
        .query(&end)
        .await
        .map(std::mem::drop)
        .map_err(failed)
}

pub(super) fn cell(row: &TextRow, column: usize) -> Option<&str> {
    row.get(column).and_then(Option::as_deref)
}

fn text(row: &TextRow, column: usize) -> Result<&str, Error> {
    row.get(column)
        .and_then(Option::as_deref)
        .ok_or_else(|| Error::Fatal("the control tables of the target hold a NULL".to_owned()))
}

fn number<T: std::str::FromStr>(row: Option<&TextRow>, column: usize) -> Result<T, Error> {
    let row = row.ok_or_else(|| Error::Fatal("the target answered no row".to_owned()))?;
    text(row, column)?
        .parse()
        .map_err(|_| Error::Fatal("the control tables of the target hold no number".to_owned()))
}
