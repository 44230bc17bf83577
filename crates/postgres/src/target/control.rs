//! The control tables: the epoch of each task, and the record of its load.

use std::borrow::Cow;
use std::collections::BTreeMap;

use whimbrel_connector::{
    ApplySettings, Checkpoint, ChunkCommit, ChunkRecord, Error, FollowState, KeyNotRestored,
    LoadRecord, Mutation, NOBODY, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Position, Table, TableName};

use super::{kept_keys, kept_objects};
use crate::errors::general;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, ServerError, TextRow, WireError};

pub(super) const SCHEMA: &str = "awsdms_control";

/// Other tasks may create or drop the same objects at the same moment; the second of two then simply tries again.
const DDL_TRIES_MAX: u32 = 10;

const CREATE: &str = "
BEGIN;
SET LOCAL lock_timeout = '60s';
SELECT pg_advisory_xact_lock(7021853190145);
CREATE SCHEMA IF NOT EXISTS awsdms_control;
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_task_epoch (
  task_name varchar(128) PRIMARY KEY, epoch bigint NOT NULL, checkpoint text, holder text);
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_load_table (
  task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL,
  planned_at text NOT NULL, is_finished boolean NOT NULL, follow_state text,
  PRIMARY KEY (task_name, table_owner, table_name));
DO 'BEGIN IF NOT EXISTS (SELECT FROM pg_attribute WHERE attname = ''checkpoint''
    AND attrelid = ''awsdms_control.awsdms_task_epoch''::regclass)
  THEN ALTER TABLE awsdms_control.awsdms_task_epoch ADD COLUMN checkpoint text; END IF;
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attname = ''holder''
    AND attrelid = ''awsdms_control.awsdms_task_epoch''::regclass)
  THEN ALTER TABLE awsdms_control.awsdms_task_epoch ADD COLUMN holder text; END IF;
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attname = ''follow_state''
    AND attrelid = ''awsdms_control.awsdms_load_table''::regclass)
  THEN ALTER TABLE awsdms_control.awsdms_load_table ADD COLUMN follow_state text; END IF; END';
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_load_chunk (
  task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL,
  chunk integer NOT NULL, chunk_range text NOT NULL, row_estimate bigint NOT NULL, row_count bigint, byte_count bigint,
  PRIMARY KEY (task_name, table_owner, table_name, chunk));
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_fed_table (
  table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL,
  PRIMARY KEY (table_owner, table_name));
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_shared_table (
  table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL,
  PRIMARY KEY (table_owner, table_name, task_name));
$kept_keys
$kept_objects
COMMIT";

/// The epoch never falls back, even after the task was forgotten: it is at least the clock.
const CLAIM: &str = "
INSERT INTO awsdms_control.awsdms_task_epoch AS e (task_name, epoch, holder)
VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, gen_random_uuid()::text)
ON CONFLICT (task_name) DO UPDATE SET epoch = greatest(e.epoch + 1, excluded.epoch), holder = excluded.holder
RETURNING epoch, holder";

/// Takes the task anew, unless another holder has it in a later epoch.
/// Parameters: task, the epoch that was held, its holder.
const CLAIM_AGAIN: &str = "
UPDATE awsdms_control.awsdms_task_epoch
SET epoch = greatest(epoch + 1, $2::bigint + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), holder = $3::text
WHERE task_name = $1 AND (epoch <= $2::bigint OR holder = $3::text)
RETURNING epoch, holder";

pub(super) async fn claim(connection: &mut Connection, task: &str) -> Result<TaskFence, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let create = CREATE
            .replace("$kept_keys", kept_keys::CREATE)
            .replace("$kept_objects", kept_objects::CREATE);
        let claimed = match connection.query(&create).await {
            Ok(_) => connection.query_with(CLAIM, &[Some(task)]).await,
            Err(error) => Err(error),
        };
        let error = match claimed {
            Ok(rows) => return fence(task, &rows),
            Err(error) => error,
        };
        if let WireError::Server(_) = error {
            connection
                .query("ROLLBACK")
                .await
                .map_err(|e| general(e, "claim the task"))?;
        }
        if is_locked(&error) {
            return Err(Error::Transient(
                "another session has held the lock of the control tables in awsdms_control at the target for a minute; if it stands \
                 still, end it with pg_terminate_backend (pg_blocking_pids tells which)"
                    .to_owned(),
            ));
        }
        // Somebody dropped the tables between the two statements.
        if !is_missing(&error) || tries == DDL_TRIES_MAX {
            return Err(general(
                error,
                "make the control tables and claim the task at the target",
            ));
        }
    }
}

/// Takes the task anew for a worker that held it, unless another has taken it since.
pub(super) async fn claim_again(
    connection: &mut Connection,
    held: &TaskFence,
) -> Result<TaskFence, Error> {
    let epoch = held.epoch.to_string();
    let parameters = [&held.task, &epoch, &held.holder].map(|text| Some(text.as_str()));
    match connection.query_with(CLAIM_AGAIN, &parameters).await {
        Ok(rows) if rows.is_empty() => Err(not_ours(connection, held).await),
        Ok(rows) => fence(&held.task, &rows),
        Err(error) if is_missing(&error) => Err(forgotten(held)),
        Err(error) => Err(general(error, "claim the task again at the target")),
    }
}

/// Why a task could not be claimed again.
async fn not_ours(connection: &mut Connection, held: &TaskFence) -> Error {
    match check_holder(connection, held).await {
        Err(error) => error,
        Ok(()) => Error::Transient("the task's epoch changed while it was claimed".to_owned()),
    }
}

/// Checks that the task is still its holder's.
pub(super) async fn check_holder(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<(), Error> {
    let sql = "SELECT epoch, holder FROM awsdms_control.awsdms_task_epoch WHERE task_name = $1";
    let rows = match connection.query_with(sql, &[Some(&fence.task)]).await {
        Ok(rows) => rows,
        Err(error) if is_missing(&error) => Vec::new(),
        Err(error) => return Err(general(error, "check the task's epoch at the target")),
    };
    let Some(row) = rows.first() else {
        return Err(forgotten(fence));
    };
    let theirs = number(Some(row), 0)?;
    let is_ours = row.get(1).and_then(Option::as_deref) == Some(fence.holder.as_str());
    if is_ours && theirs >= fence.epoch || Mutation::NoEpochCheck.is_on() {
        return Ok(());
    }
    Err(Error::Fenced {
        ours: fence.epoch,
        theirs,
    })
}

fn fence(task: &str, rows: &[TextRow]) -> Result<TaskFence, Error> {
    Ok(TaskFence {
        task: task.to_owned(),
        epoch: number(rows.first(), 0)?,
        holder: text(
            rows.first()
                .ok_or_else(|| Error::Fatal("the claim of the task gave no row".to_owned()))?,
            1,
        )?
        .to_owned(),
    })
}

/// Whether the control tables are not there.
pub(super) fn is_missing(error: &WireError) -> bool {
    matches!(error, WireError::Server(e) if matches!(e.code.as_str(), "42P01" | "3F000"))
}

fn lacks_column(error: &WireError) -> bool {
    matches!(error, WireError::Server(e) if e.code == "42703")
}

fn is_locked(error: &WireError) -> bool {
    matches!(error, WireError::Server(e) if e.code == "55P03")
}

/// Without its row or the control tables a task was forgotten: whoever did that owned it.
fn forgotten(held: &TaskFence) -> Error {
    Error::Fenced {
        ours: held.epoch,
        theirs: NOBODY,
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
        Err(error) if is_missing(&error) => Vec::new(),
        Err(error) => return Err(general(error, "check the task's epoch at the target")),
    };
    if rows.is_empty() {
        return Err(forgotten(fence));
    }
    let theirs = number(rows.first(), 0)?;
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

/// Whether there is one, whoever holds the task. No task has one without its control table, or in one of an older version.
pub(super) async fn has_checkpoint(connection: &mut Connection, task: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM awsdms_control.awsdms_task_epoch \
               WHERE task_name = $1 AND checkpoint IS NOT NULL";
    match connection.query_with(sql, &[Some(task)]).await {
        Ok(rows) => Ok(!rows.is_empty()),
        Err(error) if is_missing(&error) || lacks_column(&error) => Ok(false),
        Err(error) => Err(general(
            error,
            "look for the task's checkpoint at the target",
        )),
    }
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

/// A statement with the check of the epoch and the checkpoint. Tests can have either left out, to show that they miss it.
pub(super) fn with_mutations(sql: &str) -> Cow<'_, str> {
    if Mutation::NoEpochCheck.is_on() {
        return sql.replace("epoch = $2", "0 < $2").into();
    }
    if Mutation::FirstCheckpointStays.is_on() {
        return sql
            .replace("= $3::text", "= coalesce(checkpoint, $3::text)")
            .into();
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
        "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7021853190145); {make_schema}
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

/// Removes all that is recorded of the task but the task itself.
pub(super) async fn clear(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let cleared = clear_in_transaction(connection, fence).await;
    if cleared.is_err() {
        connection
            .query("ROLLBACK")
            .await
            .map_err(|error| general(error, "take the removal of records back"))?;
    }
    cleared
}

async fn clear_in_transaction(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let doing = |error| general(error, "remove the record of the load");
    connection.query("BEGIN").await.map_err(doing)?;
    for sql in [
        "DELETE FROM awsdms_control.awsdms_load_chunk WHERE task_name = $1",
        "DELETE FROM awsdms_control.awsdms_load_table WHERE task_name = $1",
        "DELETE FROM awsdms_control.awsdms_fed_table WHERE task_name = $1",
        "DELETE FROM awsdms_control.awsdms_shared_table WHERE task_name = $1",
    ] {
        let removed = connection.query_with(sql, &[Some(&fence.task)]).await;
        removed.map_err(doing)?;
    }
    check_fence(connection, fence, Held::UntilCommit).await?;
    let sql = "UPDATE awsdms_control.awsdms_task_epoch SET checkpoint = NULL WHERE task_name = $1";
    let removed = connection.query_with(sql, &[Some(&fence.task)]).await;
    removed.map_err(doing)?;
    connection.query("COMMIT").await.map(drop).map_err(doing)
}

/// Removes the records of some tables.
pub(super) async fn unrecord(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[&TableName],
) -> Result<(), Error> {
    let removed = unrecord_in_transaction(connection, fence, tables).await;
    if removed.is_err() {
        connection
            .query("ROLLBACK")
            .await
            .map_err(|error| general(error, "take the removal of records back"))?;
    }
    removed
}

async fn unrecord_in_transaction(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[&TableName],
) -> Result<(), Error> {
    let doing = |error| general(error, "remove records of the load at the target");
    connection.query("BEGIN").await.map_err(doing)?;
    for table in tables {
        let removed = unrecord_table(connection, fence, table).await;
        removed.map_err(doing)?;
    }
    check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map(drop).map_err(doing)
}

/// Notes that a table's finished chunks hold what they gave under a later snapshot, too.
pub(super) async fn rebase(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
    planned_at: &Position,
) -> Result<(), Error> {
    let noted = rebase_in_transaction(connection, fence, table, planned_at).await;
    if noted.is_err() {
        connection
            .query("ROLLBACK")
            .await
            .map_err(|error| general(error, "take a note of the load back"))?;
    }
    noted
}

async fn rebase_in_transaction(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
    planned_at: &Position,
) -> Result<(), Error> {
    let doing = |error| general(error, "note under which snapshot the load goes on");
    connection.query("BEGIN").await.map_err(doing)?;
    let sql = "UPDATE awsdms_control.awsdms_load_table SET planned_at = $4
               WHERE task_name = $1 AND table_owner = $2 AND table_name = $3";
    let [task, owner, name] = key_of(fence, table);
    let noted = connection
        .query_with(sql, &[task, owner, name, Some(planned_at.as_str())])
        .await;
    noted.map_err(doing)?;
    check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map(drop).map_err(doing)
}

/// Removes a table's record within the open transaction.
async fn unrecord_table(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
) -> Result<(), WireError> {
    for sql in [
        "DELETE FROM awsdms_control.awsdms_load_chunk WHERE task_name = $1 AND table_owner = $2 AND table_name = $3",
        "DELETE FROM awsdms_control.awsdms_load_table WHERE task_name = $1 AND table_owner = $2 AND table_name = $3",
    ] {
        connection.query_with(sql, &key_of(fence, table)).await?;
    }
    Ok(())
}

fn key_of<'a>(fence: &'a TaskFence, table: &'a TableName) -> [Option<&'a str>; 3] {
    [&fence.task, &table.schema, &table.name].map(|text| Some(text.as_str()))
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
    unrecord_table(connection, fence, table).await?;
    let key = key_of(fence, table);
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
pub(super) async fn forget(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    let refused = restore_keys(connection, fence).await?;
    let forgotten = forget_in_transaction(connection, fence).await;
    if forgotten.is_err() {
        connection
            .query("ROLLBACK")
            .await
            .map_err(|error| general(error, "roll back"))?;
    }
    forgotten.map(|()| refused)
}

/// Drops the control tables if neither a task nor anything that was put aside is left in them. Asked once more when they are locked:
/// another task may have been claimed since.
/// A worker that was replaced may still hold them in an open transaction. Nobody waits for it: whoever forgets a task next drops them.
const DROP_UNUSED: &str = "DO 'BEGIN
  IF EXISTS (SELECT FROM awsdms_control.awsdms_task_epoch) OR EXISTS (SELECT FROM awsdms_control.awsdms_kept_key)
    OR EXISTS (SELECT FROM awsdms_control.awsdms_kept_object) THEN RETURN; END IF;
  LOCK TABLE awsdms_control.awsdms_load_chunk, awsdms_control.awsdms_load_table, awsdms_control.awsdms_kept_key, awsdms_control.awsdms_kept_object,
    awsdms_control.awsdms_fed_table, awsdms_control.awsdms_shared_table, awsdms_control.awsdms_task_epoch NOWAIT;
  IF EXISTS (SELECT FROM awsdms_control.awsdms_task_epoch) OR EXISTS (SELECT FROM awsdms_control.awsdms_kept_key)
    OR EXISTS (SELECT FROM awsdms_control.awsdms_kept_object) THEN RETURN; END IF;
  DROP TABLE awsdms_control.awsdms_load_chunk, awsdms_control.awsdms_load_table, awsdms_control.awsdms_kept_key, awsdms_control.awsdms_kept_object,
    awsdms_control.awsdms_fed_table, awsdms_control.awsdms_shared_table, awsdms_control.awsdms_task_epoch;
  BEGIN DROP SCHEMA awsdms_control; EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END;
EXCEPTION WHEN lock_not_available THEN NULL; END'";

/// Foreign keys that were put aside come back before nobody knows of them. Those that the server refuses stay noted.
async fn restore_keys(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    match check_fence(connection, fence, Held::Now).await {
        // It was forgotten already.
        Err(Error::Fenced { theirs: NOBODY, .. }) => return Ok(Vec::new()),
        checked => checked?,
    }
    // A task is not kept from being forgotten by whoever has its tables locked.
    let failed = |error| general(error, "limit the wait for locks");
    let limit = "SET lock_timeout = '60s'";
    connection.query(limit).await.map_err(failed)?;
    let restored = restore_all(connection, fence).await;
    connection
        .query("SET lock_timeout = 0")
        .await
        .map_err(failed)?;
    restored
}

/// Makes again whatever was put aside. A foreign key may need what another object is part of, and no object needs a key.
pub(super) async fn restore_all(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    let mut refused = kept_objects::restore(connection, fence).await?;
    refused.extend(kept_keys::restore(connection, fence).await?);
    Ok(refused)
}

/// Whether anything that was put aside for the task is still noted.
pub(super) async fn has_put_aside(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM awsdms_control.awsdms_kept_key WHERE task_name = $1)
      OR EXISTS (SELECT FROM awsdms_control.awsdms_kept_object WHERE task_name = $1)";
    let rows = connection.query_with(sql, &[Some(&fence.task)]).await;
    let rows = rows.map_err(|error| general(error, "look for what was put aside"))?;
    Ok(rows.first().and_then(|row| cell(row, 0)) == Some("t"))
}

async fn forget_in_transaction(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<(), Error> {
    let failed = |error| general(error, "remove the record of the load");
    connection.query("BEGIN").await.map_err(failed)?;
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
        "awsdms_fed_table",
        "awsdms_shared_table",
        "awsdms_task_epoch",
    ] {
        let sql = format!("DELETE FROM {SCHEMA}.{table} WHERE task_name = $1");
        connection
            .query_with(&sql, &[Some(&fence.task)])
            .await
            .map_err(failed)?;
    }
    // In one request up to the commit: a worker that stands still must not have the lock that all tasks take.
    let end = format!(
        "SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7021853190145); {DROP_UNUSED}; COMMIT"
    );
    connection.query(&end).await.map(drop).map_err(failed)
}

pub(super) fn cell(row: &TextRow, column: usize) -> Option<&str> {
    row.get(column).and_then(Option::as_deref)
}

pub(super) fn text(row: &TextRow, column: usize) -> Result<&str, Error> {
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
