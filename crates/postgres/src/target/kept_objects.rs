//! What stands in the way of tables that are dropped, or would act on rows that are written: it is put aside, and made again as it was.
//!
//! ```text
//!  BEGIN … note how it is made, DROP VIEW … COMMIT        end of the load:  BEGIN … CREATE VIEW, owner, privileges, comments, remove the note … COMMIT
//! ```
//!
//! As with foreign keys, an object goes in the transaction that notes it, and its note goes in the one that makes it again, so no crash loses it. While one is noted, the
//! source's of its name is not made: it would take the place of what the target had.

use tracing::{info, warn};
use whimbrel_connector::{Error, KeyNotRestored, TaskFence};
use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, ObjectSelection};

use super::control::{self, Held, text};
use crate::catalog::resting_on;
use crate::errors::general;
use crate::wire::{Connection, WireError};

/// Part of the control tables. The table is named where an object is part of one, and goes with it.
pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_kept_object (
  task_name varchar(128) NOT NULL, is_there text NOT NULL, kind text NOT NULL, object_name text NOT NULL, table_owner text, table_name text,
  place bigint GENERATED ALWAYS AS IDENTITY, definition text NOT NULL, PRIMARY KEY (task_name, is_there));";

/// The server's codes for what others rest on, for what is of another kind, and for what the user may not do.
const STAYS: [&str; 3] = ["2BP01", "42809", "42501"];

/// How messages about it begin.
const DOING: &str = "put aside what rests on tables that are made anew";

/// Something to put aside.
pub(super) struct Aside<'a> {
    pub(super) kind: ObjectKind,
    pub(super) name: &'a str,
    /// The table that it is part of.
    pub(super) table: Option<&'a TableName>,
    /// A query that gives a row when it is there.
    pub(super) exists: &'a str,
    pub(super) undo: &'a str,
    pub(super) definition: &'a str,
}

/// Puts the views and routines aside that rest on tables which are about to be dropped. Those that cannot go stay, and their table says so.
pub(super) async fn clear_way(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[TableName],
    wanted: &ObjectSelection,
) -> Result<(), Error> {
    let resting = resting_on(connection, tables).await;
    let resting = resting.map_err(|error| general(error, DOING))?;
    // Those that others rest on go last.
    for object in resting
        .iter()
        .rev()
        .filter(|object| wanted.has(object.kind))
    {
        let aside = Aside {
            kind: object.kind,
            name: &object.name,
            table: None,
            exists: &object.exists,
            undo: &object.undo,
            definition: &object.definition,
        };
        put_aside(connection, fence, &aside).await?;
    }
    Ok(())
}

/// Notes how an object is made, and drops it. `false`: it stays.
pub(super) async fn put_aside(
    connection: &mut Connection,
    fence: &TaskFence,
    aside: &Aside<'_>,
) -> Result<bool, Error> {
    let gone = put_aside_within(connection, fence, aside).await;
    if matches!(gone, Ok(true)) {
        info!(
            task = fence.task,
            object = aside.name,
            "it stands aside until the rows are there, and is made again as it was"
        );
        return Ok(true);
    }
    let ended = connection.query("ROLLBACK").await;
    let gone = gone?;
    ended.map_err(|error| general(error, "roll back"))?;
    Ok(gone)
}

async fn put_aside_within(
    connection: &mut Connection,
    fence: &TaskFence,
    aside: &Aside<'_>,
) -> Result<bool, Error> {
    let failed = |error| general(error, DOING);
    connection.query("BEGIN").await.map_err(failed)?;
    control::check_fence(connection, fence, Held::Now).await?;
    // What is there now counts, and not what an earlier run has noted under its name.
    let note = "INSERT INTO awsdms_control.awsdms_kept_object (task_name, is_there, kind, object_name, table_owner, table_name, definition)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (task_name, is_there) DO UPDATE SET definition = excluded.definition, place = DEFAULT";
    let cells = [
        Some(fence.task.as_str()),
        Some(aside.exists),
        Some(aside.kind.as_str()),
        Some(aside.name),
        aside.table.map(|table| table.schema.as_str()),
        aside.table.map(|table| table.name.as_str()),
        Some(aside.definition),
    ];
    connection.query_with(note, &cells).await.map_err(failed)?;
    match connection.query(aside.undo).await {
        Ok(_) => {}
        Err(WireError::Server(error)) if STAYS.contains(&error.code.as_str()) => {
            warn!(object = aside.name, %error, "the object stays");
            return Ok(false);
        }
        Err(error) => return Err(failed(error)),
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map_err(failed)?;
    Ok(true)
}

/// Whether an object that has this query is noted by the task.
pub(super) async fn is_aside(
    connection: &mut Connection,
    fence: &TaskFence,
    exists: &str,
) -> Result<bool, Error> {
    let sql =
        "SELECT 1 FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 AND is_there = $2";
    let found = connection
        .query_with(sql, &[Some(&fence.task), Some(exists)])
        .await;
    found
        .map(|rows| !rows.is_empty())
        .map_err(|error| general(error, "look for what was put aside"))
}

/// A table that is dropped takes what is part of it along.
pub(super) async fn drop_notes(
    connection: &mut Connection,
    fence: &TaskFence,
    target: &TableName,
) -> Result<(), Error> {
    let sql = "DELETE FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 AND table_owner = $2 AND table_name = $3";
    let cells = [&fence.task, &target.schema, &target.name].map(|cell| Some(cell.as_str()));
    let dropped = connection.query_with(sql, &cells).await;
    dropped
        .map(drop)
        .map_err(|error| general(error, "remove what was noted of a table that is dropped"))
}

/// Makes again what was put aside, the last first: others may rest on it. What the server refuses stays noted, and is answered.
pub(super) async fn restore(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    let sql = "SELECT is_there, kind, object_name, definition FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 ORDER BY place DESC";
    let rows = connection.query_with(sql, &[Some(&fence.task)]).await;
    let rows = rows.map_err(|error| general(error, "read what was put aside"))?;
    let mut refused = Vec::new();
    for row in rows {
        let (exists, kind) = (text(&row, 0)?, text(&row, 1)?);
        let (name, definition) = (text(&row, 2)?, text(&row, 3)?);
        let Err(reason) = restore_one(connection, fence, exists, definition).await? else {
            continue;
        };
        warn!(
            task = fence.task,
            object = name,
            error = reason,
            "what was put aside is not whole again"
        );
        let known = ObjectKind::ALL.into_iter();
        let kind = known.into_iter().find(|known| known.as_str() == kind);
        refused.push(KeyNotRestored {
            kind: kind.unwrap_or(ObjectKind::View),
            name: name.to_owned(),
            reason: format!(
                "{reason}; if it is not wanted any more: DELETE FROM awsdms_control.awsdms_kept_object WHERE object_name = {}; else repeat with: {definition}",
                crate::quote::literal(name)
            ),
        });
    }
    Ok(refused)
}

/// All of it in one transaction. The inner error is the server's refusal.
async fn restore_one(
    connection: &mut Connection,
    fence: &TaskFence,
    exists: &str,
    definition: &str,
) -> Result<Result<(), String>, Error> {
    let failed = |error| general(error, "make again what was put aside");
    connection.query("BEGIN").await.map_err(failed)?;
    let made = restore_within(connection, fence, exists, definition).await;
    let refusal = match made {
        Ok(()) => {
            connection.query("COMMIT").await.map_err(failed)?;
            return Ok(Ok(()));
        }
        Err(WireError::Server(error)) if !error.is_transient() => error.to_string(),
        Err(error) => return Err(failed(error)),
    };
    connection.query("ROLLBACK").await.map_err(failed)?;
    Ok(Err(refusal))
}

async fn restore_within(
    connection: &mut Connection,
    fence: &TaskFence,
    exists: &str,
    definition: &str,
) -> Result<(), WireError> {
    if connection.query(exists).await?.is_empty() {
        connection
            .query("SET LOCAL check_function_bodies = off")
            .await?;
        connection.query(definition).await?;
    }
    let sql =
        "DELETE FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 AND is_there = $2";
    let cells = [Some(fence.task.as_str()), Some(exists)];
    connection.query_with(sql, &cells).await.map(drop)
}
