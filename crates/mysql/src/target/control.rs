//! The control tables: the epoch of each task, the record of its load, and the checkpoint of its changes.
//!
//! Whoever makes or drops the tables holds a named lock of the server, so that nobody finds them gone between a look and a
//! write. Everybody else who writes has a row in the table of epochs, which keeps the tables from being dropped.

use std::collections::BTreeMap;

use whimbrel_connector::{
    ApplyException, ApplySettings, Checkpoint, ChunkCommit, ChunkRecord, Error, FollowState,
    LoadRecord, Mutation, NOBODY, RecordChange, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Engine, Position, Table, TableName};

use super::{fed, kept_objects};
use crate::catalog::{CONTROL_DATABASE as DATABASE, storage_engine};
use crate::errors::general;
use crate::quote::{self, literal};
use crate::wire::{Connection, MyError, TextRow, WireError};

/// The table of checkpoints, and its name in earlier versions, which a table for users has by now.
const CHECKPOINTS: &str = "awsdms_checkpoint";
const OLD_CHECKPOINTS: &str = "awsdms_txn_state";
/// How long to wait for others who make or drop the control tables, in seconds.
const LOCK_SECONDS: u32 = 60;
/// How long to wait for a control table that is to be dropped, in seconds: the least that a server takes.
const DROP_WAIT_SECONDS: u32 = 1;
/// The server's code for a lock that was not had in time.
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Chunks recorded per statement: far below `max_allowed_packet`, few round trips.
const CHUNKS_PER_STATEMENT: usize = 200;

fn tables(engine: Engine) -> [String; 7] {
    // The collation compares names as the API does, by their characters alone.
    let collation = match engine {
        Engine::MariaDb => "utf8mb4_nopad_bin",
        Engine::MySql | Engine::Postgres => "utf8mb4_0900_bin",
    };
    let end = format!("ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}");
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.awsdms_task_epoch (\
             task_name varchar(128) NOT NULL PRIMARY KEY, epoch bigint NOT NULL, holder varchar(36) NULL) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.awsdms_load_table (\
             task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, \
             planned_at mediumtext NOT NULL, is_finished tinyint(1) NOT NULL, follow_state longtext NULL, \
             PRIMARY KEY (task_name, table_owner, table_name)) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.awsdms_load_chunk (\
             task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, \
             chunk int unsigned NOT NULL, chunk_range mediumtext NOT NULL, row_estimate bigint unsigned NOT NULL, \
             row_count bigint unsigned NULL, byte_count bigint unsigned NULL, \
             PRIMARY KEY (task_name, table_owner, table_name, chunk)) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.awsdms_checkpoint (\
             task_name varchar(128) NOT NULL PRIMARY KEY, epoch bigint NOT NULL, \
             state_time datetime(6) NOT NULL, checkpoint mediumtext NOT NULL) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.awsdms_fed_table (\
             table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL, \
             PRIMARY KEY (table_owner, table_name)) {end}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.awsdms_shared_table (\
             table_owner varchar(128) NOT NULL, table_name varchar(128) NOT NULL, task_name varchar(128) NOT NULL, \
             PRIMARY KEY (table_owner, table_name, task_name)) {end}"
        ),
        kept_objects::create(&end),
    ]
}

/// Takes the lock under which control tables come and go.
pub(super) async fn lock(connection: &mut Connection) -> Result<(), Error> {
    let sql = format!("SELECT get_lock('{DATABASE}', {LOCK_SECONDS})");
    let row = connection
        .row(&sql)
        .await
        .map_err(|error| general(error, "lock the control tables"))?;
    if row.is_some_and(|row| row.text(0) == "1") {
        return Ok(());
    }
    Err(Error::Transient(
        "the control tables of the target are locked by another task".to_owned(),
    ))
}

pub(super) async fn unlock(connection: &mut Connection) -> Result<(), Error> {
    let sql = format!("SELECT release_lock('{DATABASE}')");
    connection
        .row(&sql)
        .await
        .map(drop)
        .map_err(|error| general(error, "unlock the control tables"))
}

pub(super) async fn claim(connection: &mut Connection, task: &str) -> Result<TaskFence, Error> {
    lock(connection).await?;
    let claimed = match rename_checkpoints(connection).await {
        Ok(()) => claim_locked(connection, task).await.map_err(|error| {
            general(
                error,
                "make the control tables and claim the task at the target",
            )
        }),
        Err(error) => Err(error),
    };
    if connection.is_ready() {
        unlock(connection).await?;
    }
    claimed
}

async fn claim_locked(connection: &mut Connection, task: &str) -> Result<TaskFence, WireError> {
    // Asked first, because even IF NOT EXISTS needs the right to create.
    let exists =
        format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = '{DATABASE}'");
    if connection.row(&exists).await?.is_none() {
        connection
            .execute(&format!("CREATE DATABASE IF NOT EXISTS {DATABASE}"))
            .await?;
    }
    for sql in tables(connection.engine()) {
        connection.execute(&sql).await?;
    }
    add_holder(connection).await?;
    connection.execute("START TRANSACTION").await?;
    let clock = clock(connection).await?;
    let name = literal(task);
    // The epoch never falls back, even after the task was forgotten: it is at least the clock.
    connection
        .execute(&format!(
            "INSERT INTO {DATABASE}.awsdms_task_epoch (task_name, epoch, holder) VALUES ({name}, {clock}, uuid()) \
             ON DUPLICATE KEY UPDATE epoch = greatest(epoch + 1, {clock}), holder = uuid()"
        ))
        .await?;
    let row = connection.row(&holder_of(task, "")).await?;
    connection.execute("COMMIT").await?;
    let row = row.ok_or_else(|| WireError::protocol("no epoch after it was written"))?;
    Ok(TaskFence {
        task: task.to_owned(),
        epoch: row
            .number(0)
            .ok_or_else(|| WireError::protocol("an epoch that is no number"))?,
        holder: row.text(1).to_owned(),
    })
}

/// Gives the checkpoints of an earlier version the name that they have now: users may have a table of the other name, with other columns.
/// Where an earlier version ran once more behind this one, both are there: the old one goes if nothing is in it, and nobody guesses which holds.
async fn rename_checkpoints(connection: &mut Connection) -> Result<(), Error> {
    let doing = |error| {
        general(
            error,
            "give the checkpoints of an earlier version their name",
        )
    };
    let are_there = |table: &str| {
        format!(
            "SELECT 1 FROM information_schema.columns \
             WHERE table_schema = '{DATABASE}' AND table_name = '{table}' AND column_name = 'epoch'"
        )
    };
    let mut is_there = async |table: &str| {
        let row = connection.row(&are_there(table)).await;
        row.map(|row| row.is_some()).map_err(doing)
    };
    let (is_old_there, is_new_there) = (
        is_there(OLD_CHECKPOINTS).await?,
        is_there(CHECKPOINTS).await?,
    );
    if !is_old_there {
        return Ok(());
    }
    let old = format!("{DATABASE}.{OLD_CHECKPOINTS}");
    if !is_new_there {
        let rename = format!("RENAME TABLE {old} TO {DATABASE}.{CHECKPOINTS}");
        return connection.execute(&rename).await.map(drop).map_err(doing);
    }
    let any = format!("SELECT 1 FROM {old} LIMIT 1");
    let any = connection.row(&any).await.map_err(doing)?;
    if any.is_some() {
        return Err(Error::Fatal(format!(
            "{old} and {DATABASE}.{CHECKPOINTS} both hold checkpoints, because an earlier version ran behind this one; drop the one that no task goes on from"
        )));
    }
    let dropped = connection.execute(&format!("DROP TABLE {old}")).await;
    dropped.map(drop).map_err(doing)
}

/// Adds what tables of earlier versions lack.
async fn add_holder(connection: &mut Connection) -> Result<(), WireError> {
    let exists = format!(
        "SELECT 1 FROM information_schema.columns \
         WHERE table_schema = '{DATABASE}' AND table_name = 'awsdms_task_epoch' AND column_name = 'holder'"
    );
    if connection.row(&exists).await?.is_none() {
        let add =
            format!("ALTER TABLE {DATABASE}.awsdms_task_epoch ADD COLUMN holder varchar(36) NULL");
        connection.execute(&add).await?;
    }
    Ok(())
}

fn holder_of(task: &str, lock: &str) -> String {
    format!(
        "SELECT epoch, holder FROM {DATABASE}.awsdms_task_epoch WHERE task_name = {}{lock}",
        literal(task)
    )
}

/// Takes the task anew for a worker that held it, unless another has taken it since.
pub(super) async fn claim_again(
    connection: &mut Connection,
    held: &TaskFence,
) -> Result<TaskFence, Error> {
    let doing = |error| general(error, "claim the task again at the target");
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(doing)?;
    let theirs = match compare_holder(connection, held, " FOR UPDATE").await {
        Ok(epoch) => epoch,
        Err(Error::Fenced { theirs, .. }) if theirs <= held.epoch => held.epoch,
        Err(error) => return Err(error),
    };
    let epoch = clock(connection).await.map_err(doing)?.max(theirs + 1);
    let sql = format!(
        "UPDATE {DATABASE}.awsdms_task_epoch SET epoch = {epoch}, holder = {} WHERE task_name = {}",
        literal(&held.holder),
        literal(&held.task)
    );
    connection.execute(&sql).await.map_err(doing)?;
    connection.execute("COMMIT").await.map_err(doing)?;
    Ok(TaskFence {
        epoch,
        ..held.clone()
    })
}

/// Checks that the task is still its holder's.
pub(super) async fn check_holder(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<(), Error> {
    compare_holder(connection, fence, "").await.map(drop)
}

/// The task's epoch, if its holder has it.
async fn compare_holder(
    connection: &mut Connection,
    fence: &TaskFence,
    lock: &str,
) -> Result<i64, Error> {
    let row = match connection.row(&holder_of(&fence.task, lock)).await {
        Ok(row) => row,
        Err(WireError::Server(error)) if error.is_missing() => None,
        Err(error) => return Err(general(error, "check the task's epoch at the target")),
    };
    let is_ours = row.as_ref().is_some_and(|row| row.text(1) == fence.holder);
    let theirs = row.and_then(|row| row.number(0)).unwrap_or(NOBODY);
    if is_ours && theirs >= fence.epoch || Mutation::NoEpochCheck.is_on() {
        return Ok(theirs);
    }
    Err(Error::Fenced {
        ours: fence.epoch,
        theirs,
    })
}

/// The server's clock in microseconds since 1970.
async fn clock(connection: &mut Connection) -> Result<i64, WireError> {
    let clock = connection
        .row("SELECT CAST(unix_timestamp(sysdate(6)) * 1000000 AS SIGNED)")
        .await?;
    Ok(clock.and_then(|row| row.number(0)).unwrap_or(0))
}

pub(super) fn epoch_of(task: &str, lock: &str) -> String {
    format!(
        "SELECT epoch FROM {DATABASE}.awsdms_task_epoch WHERE task_name = {}{lock}",
        literal(task)
    )
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
        // Understood by both flavours, unlike FOR SHARE.
        Held::UntilCommit => " LOCK IN SHARE MODE",
    };
    let row = match connection.row(&epoch_of(&fence.task, lock)).await {
        Ok(row) => row,
        // Without its control tables the task was forgotten: whoever did that owned it.
        Err(WireError::Server(error)) if error.is_missing() => None,
        Err(error) => return Err(general(error, "check the task's epoch at the target")),
    };
    compare(fence, row.as_ref())
}

/// Compares the fence with the answer to [`epoch_of`]. Without a row the task was forgotten: whoever did that owned it.
pub(super) fn compare(fence: &TaskFence, row: Option<&TextRow>) -> Result<(), Error> {
    let theirs = row.and_then(|row| row.number(0)).unwrap_or(NOBODY);
    if theirs == fence.epoch || Mutation::NoEpochCheck.is_on() {
        Ok(())
    } else {
        Err(Error::Fenced {
            ours: fence.epoch,
            theirs,
        })
    }
}

/// A condition on the rows of one table's load.
fn of_load(fence: &TaskFence, table: &TableName) -> String {
    format!(
        "task_name = {} AND table_owner = {} AND table_name = {}",
        literal(&fence.task),
        literal(&table.schema),
        literal(&table.name)
    )
}

pub(super) async fn load_records(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<LoadRecord>, Error> {
    let sql = format!(
        "SELECT t.table_owner, t.table_name, t.planned_at, t.is_finished, \
         c.chunk, c.chunk_range, c.row_estimate, c.row_count, c.byte_count, t.follow_state \
         FROM {DATABASE}.awsdms_load_table t \
         LEFT JOIN {DATABASE}.awsdms_load_chunk c USING (task_name, table_owner, table_name) \
         WHERE t.task_name = {} ORDER BY t.table_owner, t.table_name, c.chunk",
        literal(&fence.task)
    );
    let rows = connection
        .rows(&sql)
        .await
        .map_err(|error| general(error, "read the record of the load"))?;
    let mut records: BTreeMap<TableName, LoadRecord> = BTreeMap::new();
    for row in &rows {
        let table = TableName::new(row.text(0), row.text(1));
        let follow = row.get(9).map(FollowState::parse).transpose()?;
        let record = records.entry(table.clone()).or_insert_with(|| LoadRecord {
            table,
            planned_at: Some(row.text(2))
                .filter(|position| !position.is_empty())
                .map(Position::new),
            chunks: Vec::new(),
            is_finished: row.text(3) == "1",
            follow,
        });
        if row.get(4).is_some() {
            record.chunks.push(chunk_record(row)?);
        }
    }
    Ok(records.into_values().collect())
}

fn chunk_record(row: &TextRow) -> Result<ChunkRecord, Error> {
    let broken = || {
        Error::Fatal("the control tables of the target hold no number where one belongs".to_owned())
    };
    let done = match row.get(7) {
        Some(_) => Some(ChunkCommit {
            row_count: row.number(7).ok_or_else(broken)?,
            byte_count: row.number(8).ok_or_else(broken)?,
        }),
        None => None,
    };
    Ok(ChunkRecord {
        id: ChunkId(row.number(4).ok_or_else(broken)?),
        bounds: ChunkBounds {
            range: row.text(5).to_owned(),
            row_estimate: row.number(6).ok_or_else(broken)?,
        },
        done,
    })
}

/// Removes the record of a table in the open transaction.
pub(super) async fn unrecord_table(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
) -> Result<(), WireError> {
    for name in ["awsdms_load_chunk", "awsdms_load_table"] {
        let sql = format!(
            "DELETE FROM {DATABASE}.{name} WHERE {}",
            of_load(fence, table)
        );
        connection.execute(&sql).await?;
    }
    Ok(())
}

/// Removes all that is recorded of the task but the task itself.
pub(super) async fn clear(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let doing = |error| general(error, "remove the record of the load");
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(doing)?;
    let names = [
        "awsdms_load_chunk",
        "awsdms_load_table",
        "awsdms_checkpoint",
        "awsdms_fed_table",
        "awsdms_shared_table",
    ];
    for name in names {
        let sql = format!(
            "DELETE FROM {DATABASE}.{name} WHERE task_name = {}",
            literal(&fence.task)
        );
        connection.execute(&sql).await.map_err(doing)?;
    }
    check_fence(connection, fence, Held::UntilCommit).await?;
    connection.execute("COMMIT").await.map(drop).map_err(doing)
}

/// Removes the records of some tables.
pub(super) async fn unrecord(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[&TableName],
) -> Result<(), Error> {
    let doing = |error| general(error, "remove records of the load at the target");
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(doing)?;
    for table in tables {
        unrecord_table(connection, fence, table)
            .await
            .map_err(doing)?;
    }
    check_fence(connection, fence, Held::UntilCommit).await?;
    connection.execute("COMMIT").await.map(drop).map_err(doing)
}

/// Notes that a table's finished chunks hold what they gave under a later snapshot, too.
pub(super) async fn rebase(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
    planned_at: &Position,
) -> Result<(), Error> {
    let doing = |error| general(error, "note under which snapshot the load goes on");
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(doing)?;
    let sql = format!(
        "UPDATE {DATABASE}.awsdms_load_table SET planned_at = {} WHERE {}",
        literal(planned_at.as_str()),
        of_load(fence, table)
    );
    connection.execute(&sql).await.map_err(doing)?;
    check_fence(connection, fence, Held::UntilCommit).await?;
    connection.execute("COMMIT").await.map(drop).map_err(doing)
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
    let key = [&fence.task, &table.schema, &table.name]
        .map(|text| literal(text))
        .join(", ");
    let planned_at = literal(planned_at.as_str());
    let follow = literal(&FollowState::loaded(shape.clone()).to_text());
    let sql = format!(
        "INSERT INTO {DATABASE}.awsdms_load_table VALUES ({key}, {planned_at}, 0, {follow})"
    );
    connection.execute(&sql).await?;
    let numbered: Vec<(usize, &ChunkBounds)> = chunks.iter().enumerate().collect();
    for some in numbered.chunks(CHUNKS_PER_STATEMENT) {
        let rows: Vec<String> = some
            .iter()
            .map(|(id, chunk)| {
                format!(
                    "({key}, {id}, {}, {}, NULL, NULL)",
                    literal(&chunk.range),
                    chunk.row_estimate
                )
            })
            .collect();
        let sql = format!(
            "INSERT INTO {DATABASE}.awsdms_load_chunk VALUES {}",
            rows.join(", ")
        );
        connection.execute(&sql).await?;
    }
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
    let ChunkCommit {
        row_count,
        byte_count,
    } = commit;
    let sql = format!(
        "UPDATE {DATABASE}.awsdms_load_chunk SET row_count = {row_count}, byte_count = {byte_count} \
         WHERE {} AND chunk = {} AND row_count IS NULL",
        of_load(fence, table),
        chunk.0
    );
    Ok(connection.execute(&sql).await?.affected_rows == 1)
}

/// Whether every chunk of a table is done, as far as the target knows now.
pub(super) async fn is_loaded(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
) -> Result<bool, WireError> {
    let of_load = of_load(fence, table);
    let sql = format!(
        "SELECT 1 FROM {DATABASE}.awsdms_load_table WHERE {of_load} AND NOT EXISTS \
         (SELECT 1 FROM {DATABASE}.awsdms_load_chunk WHERE {of_load} AND row_count IS NULL)"
    );
    Ok(connection.row(&sql).await?.is_some())
}

/// Marks a table finished within the open transaction.
pub(super) async fn record_finished(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
) -> Result<(), WireError> {
    let sql = format!(
        "UPDATE {DATABASE}.awsdms_load_table SET is_finished = 1 WHERE {}",
        of_load(fence, table)
    );
    connection.execute(&sql).await.map(drop)
}

/// The statement that writes the checkpoint, and fails when the task is not ours any more.
///
/// The condition on the epoch is part of the statement, so that it can be sent together with the COMMIT: a task of another
/// epoch gives NULL, which the column does not take, and the server runs nothing of a script after a statement that failed.
/// The epoch stays locked until the COMMIT, which follows at once whatever becomes of this process.
pub(super) fn write_checkpoint(fence: &TaskFence, checkpoint: &Checkpoint) -> String {
    let TaskFence { task, epoch, .. } = fence;
    let position = literal(&checkpoint.to_text(task));
    let is_ours = if Mutation::NoEpochCheck.is_on() {
        "TRUE".to_owned()
    } else {
        format!("epoch = {epoch}")
    };
    format!(
        "INSERT INTO {DATABASE}.awsdms_checkpoint (task_name, epoch, state_time, checkpoint) VALUES ({}, \
         ({} AND {is_ours} LOCK IN SHARE MODE), sysdate(6), {position}) \
         ON DUPLICATE KEY UPDATE epoch = {epoch}, state_time = sysdate(6), checkpoint = {position}",
        literal(task),
        epoch_of(task, "")
    )
}

/// Whether [`write_checkpoint`] failed because the task is not ours any more.
pub(super) fn is_fenced(error: &MyError) -> bool {
    const BAD_NULL: u16 = 1048;
    error.code == BAD_NULL || error.is_missing()
}

/// Statements that write down what becomes of a table.
pub(super) fn record_sql(fence: &TaskFence, change: &RecordChange) -> Vec<String> {
    match change {
        RecordChange::Put { table, state } => {
            let key = [&fence.task, &table.schema, &table.name]
                .map(|text| literal(text))
                .join(", ");
            let state = literal(&state.to_text());
            vec![format!(
                "INSERT INTO {DATABASE}.awsdms_load_table VALUES ({key}, '', 1, {state}) \
                 ON DUPLICATE KEY UPDATE follow_state = {state}"
            )]
        }
        RecordChange::Remove { table } => ["awsdms_load_chunk", "awsdms_load_table"]
            .map(|name| {
                format!(
                    "DELETE FROM {DATABASE}.{name} WHERE {}",
                    of_load(fence, table)
                )
            })
            .into(),
        RecordChange::Unfed { table, now } => fed::unfed_sql(&fence.task, table, now.as_ref()),
    }
}

/// Makes the table of refused changes, which all tasks of the target share, and answers its name in SQL. The key is for servers that
/// demand one; who reads all columns does not see it.
pub(super) async fn make_exceptions(
    connection: &mut Connection,
    settings: &ApplySettings,
) -> Result<String, Error> {
    let failed = |error| general(error, "make awsdms_apply_exceptions at the target");
    let database = settings.control_schema.as_deref().unwrap_or(DATABASE);
    let table = TableName::new(database, "awsdms_apply_exceptions");
    let name = quote::table(&table);
    // Asked first, because even IF NOT EXISTS needs the right to create.
    let there = storage_engine(connection, &table).await.map_err(failed)?;
    if there.is_some() {
        return Ok(name);
    }
    let database = format!(
        "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4",
        quote::identifier(database)
    );
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {name} (TASK_NAME varchar(128) NOT NULL, TABLE_OWNER varchar(128) NOT NULL, \
         TABLE_NAME varchar(128) NOT NULL, ERROR_TIME datetime(6) NOT NULL, STATEMENT longtext NOT NULL, ERROR longtext NOT NULL, \
         WHIMBREL_ROW bigint unsigned NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY) \
         ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"
    );
    for sql in [database, create] {
        connection.execute(&sql).await.map_err(failed)?;
    }
    Ok(name)
}

/// The statement that writes down a refused change.
pub(super) fn exception_sql(fence: &TaskFence, home: &str, exception: &ApplyException) -> String {
    let ApplyException {
        table,
        statement,
        error,
    } = exception;
    let names = [&fence.task, &table.schema, &table.name].map(|text| literal(text));
    format!(
        "INSERT INTO {home} (TASK_NAME, TABLE_OWNER, TABLE_NAME, ERROR_TIME, STATEMENT, ERROR) \
         VALUES ({}, utc_timestamp(6), {}, {})",
        names.join(", "),
        literal(statement),
        literal(error)
    )
}

/// The checkpoint that was committed last.
pub(super) async fn checkpoint(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Option<Checkpoint>, Error> {
    check_fence(connection, fence, Held::Now).await?;
    let sql = format!(
        "SELECT checkpoint FROM {DATABASE}.awsdms_checkpoint WHERE task_name = {}",
        literal(&fence.task)
    );
    let row = connection
        .row(&sql)
        .await
        .map_err(|error| general(error, "read the task's checkpoint at the target"))?;
    row.map(|row| Checkpoint::parse(row.text(0), &fence.task))
        .transpose()
}

/// Whether there is one, whoever holds the task. No task has one without its control table.
pub(super) async fn has_checkpoint(connection: &mut Connection, task: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM {DATABASE}.awsdms_checkpoint WHERE task_name = {}",
        literal(task)
    );
    match connection.row(&sql).await {
        Ok(row) => Ok(row.is_some()),
        Err(WireError::Server(error)) if error.is_missing() => Ok(false),
        Err(error) => Err(general(
            error,
            "look for the task's checkpoint at the target",
        )),
    }
}

/// Removes the task's rows, and the tables when no task has rows then.
pub(super) async fn forget(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    lock(connection).await?;
    let forgotten = forget_locked(connection, fence).await;
    if connection.is_ready() {
        if forgotten.is_err() {
            connection
                .execute("ROLLBACK")
                .await
                .map_err(|error| general(error, "roll back"))?;
        }
        unlock(connection).await?;
    }
    forgotten
}

async fn forget_locked(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let failed = |error| general(error, "remove the record of the load");
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(failed)?;
    match check_fence(connection, fence, Held::UntilCommit).await {
        // Nobody owns the task, so it was forgotten already: this call repeats one whose answer was lost.
        Err(Error::Fenced { theirs: NOBODY, .. }) => {
            return connection
                .execute("ROLLBACK")
                .await
                .map(drop)
                .map_err(failed);
        }
        checked => checked?,
    }
    let names = [
        "awsdms_load_chunk",
        "awsdms_load_table",
        "awsdms_checkpoint",
        "awsdms_fed_table",
        "awsdms_shared_table",
        "awsdms_task_epoch",
    ];
    for name in names {
        let sql = format!(
            "DELETE FROM {DATABASE}.{name} WHERE task_name = {}",
            literal(&fence.task)
        );
        connection.execute(&sql).await.map_err(failed)?;
    }
    connection.execute("COMMIT").await.map_err(failed)?;
    let others = format!(
        "SELECT 1 FROM {DATABASE}.awsdms_task_epoch UNION ALL SELECT 1 FROM {DATABASE}.{} LIMIT 1",
        kept_objects::NAME
    );
    if connection.row(&others).await.map_err(failed)?.is_some() {
        return Ok(());
    }
    // A worker that was replaced may still hold the tables in an open transaction. It is not waited for: whoever forgets a task
    // next drops them.
    let short_waits = format!("SET SESSION lock_wait_timeout = {DROP_WAIT_SECONDS}");
    connection.execute(&short_waits).await.map_err(failed)?;
    for name in names.into_iter().chain([kept_objects::NAME]) {
        let sql = format!("DROP TABLE IF EXISTS {DATABASE}.{name}");
        match connection.execute(&sql).await {
            Ok(_) => {}
            Err(WireError::Server(error)) if error.code == LOCK_WAIT_TIMEOUT => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let default_waits = "SET SESSION lock_wait_timeout = DEFAULT";
    connection.execute(default_waits).await.map_err(failed)?;
    let tables = format!(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = '{DATABASE}' LIMIT 1"
    );
    if connection.row(&tables).await.map_err(failed)?.is_none() {
        match connection
            .execute(&format!("DROP DATABASE IF EXISTS {DATABASE}"))
            .await
        {
            // The tables were ours, the database may be somebody's.
            Ok(_) | Err(WireError::Server(_)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}
