//! Triggers that would act on rows which are written: they are put aside, and made again as they were.
//!
//! The server commits a DROP by itself, so the note comes first: who breaks off in between finds the trigger both noted and there, and leaves it. While one is noted, the
//! source's of its name is not made: it would take the place of what the target had.

use tracing::{info, warn};
use whimbrel_connector::{Error, KeyNotRestored, TaskFence};
use whimbrel_core::TableName;
use whimbrel_core::objects::ObjectKind;

use super::control::{self, Held};
use super::objects::{DEFAULT_WAITS, LOCK_WAIT_TIMEOUT, SHORT_WAITS, run_with, set_waits};
use crate::catalog::{CONTROL_DATABASE as DATABASE, shown_text};
use crate::errors::general;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

pub(super) const NAME: &str = "awsdms_kept_object";

/// Part of the control tables.
pub(super) fn create(end: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {DATABASE}.{NAME} (\
         task_name varchar(128) NOT NULL, table_owner varchar(128) NOT NULL, trigger_name varchar(128) NOT NULL, table_name varchar(128) NOT NULL, \
         place int unsigned NOT NULL, settings mediumtext NOT NULL, definition longtext NOT NULL, \
         PRIMARY KEY (task_name, table_owner, trigger_name)) {end}"
    )
}

/// Notes a trigger of the session's database. `false`: nobody may see how it is made.
pub(super) async fn note(
    connection: &mut Connection,
    fence: &TaskFence,
    shown: &str,
    name: &str,
) -> Result<bool, Error> {
    let failed = |error| general(error, "note a trigger that is put aside");
    let text = shown_text(connection, shown).await.map_err(failed)?;
    let Some(text) = text else {
        return Ok(false);
    };
    let place = format!(
        "SELECT event_object_table, action_order FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name = {}",
        literal(name)
    );
    let Some(place) = connection.row(&place).await.map_err(failed)? else {
        return Ok(false);
    };
    let sql = format!(
        "REPLACE INTO {DATABASE}.{NAME} VALUES ({}, database(), {}, {}, {}, {}, {})",
        literal(&fence.task),
        literal(name),
        literal(place.text(0)),
        place.number::<u32>(1).unwrap_or_default(),
        literal(&text.session.join("\n")),
        literal(&text.create)
    );
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(failed)?;
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.execute(&sql).await.map_err(failed)?;
    connection.execute("COMMIT").await.map_err(failed)?;
    info!(
        task = fence.task,
        trigger = name,
        "it is noted as it is, and stands aside until the rows are there"
    );
    Ok(true)
}

/// The task that has noted a trigger of the session's database, and that database.
pub(super) async fn noted_by(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<(String, String)>, Error> {
    let sql = format!(
        "SELECT task_name, table_owner FROM {DATABASE}.{NAME} WHERE table_owner = database() AND trigger_name = {} LIMIT 1",
        literal(name)
    );
    let found = connection.row(&sql).await;
    found
        .map(|row| row.map(|row| (row.text(0).to_owned(), row.text(1).to_owned())))
        .map_err(|error| general(error, "look for triggers that were put aside"))
}

/// Whether a trigger is noted that was put aside for the task.
pub(super) async fn is_any_noted(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM {DATABASE}.{NAME} WHERE task_name = {} LIMIT 1",
        literal(&fence.task)
    );
    let found = connection.row(&sql).await;
    found
        .map(|row| row.is_some())
        .map_err(|error| general(error, "look for triggers that were put aside"))
}

/// What a user runs who gives up a trigger.
pub(super) fn remove_sql(database: &str, name: &str) -> String {
    format!(
        "DELETE FROM {DATABASE}.{NAME} WHERE table_owner = {} AND trigger_name = {}",
        literal(database),
        literal(name)
    )
}

/// A table that is dropped takes its triggers along.
pub(super) fn drop_notes(fence: &TaskFence, target: &TableName) -> String {
    format!(
        "DELETE FROM {DATABASE}.{NAME} WHERE task_name = {} AND table_owner = {} AND table_name = {}",
        literal(&fence.task),
        literal(&target.schema),
        literal(&target.name)
    )
}

/// Makes again what was put aside, in the order in which it acts. What the server refuses, and what others have locked for a minute, stays noted, and is answered.
pub(super) async fn restore(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    set_waits(connection, SHORT_WAITS).await?;
    let restored = restore_all(connection, fence).await;
    if connection.is_ready() {
        set_waits(connection, DEFAULT_WAITS).await?;
    }
    restored
}

async fn restore_all(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    let failed = |error| general(error, "read the triggers that were put aside");
    let sql = format!(
        "SELECT table_owner, trigger_name, settings, definition FROM {DATABASE}.{NAME} WHERE task_name = {} ORDER BY table_owner, table_name, place, trigger_name",
        literal(&fence.task)
    );
    let mut refused = Vec::new();
    for row in connection.rows(&sql).await.map_err(failed)? {
        let (database, name) = (row.text(0), row.text(1));
        let Err(reason) = restore_one(connection, fence, &row).await? else {
            continue;
        };
        warn!(
            task = fence.task,
            trigger = name,
            error = reason,
            "a trigger that was put aside is not there again"
        );
        refused.push(KeyNotRestored {
            is_failure: true,
            kind: ObjectKind::Trigger,
            name: format!("{database}.{name}"),
            reason: format!(
                "{reason}; if it is not wanted any more: {}; else repeat with: {}",
                remove_sql(database, name),
                row.text(3)
            ),
        });
    }
    Ok(refused)
}

/// The inner error is the server's refusal.
async fn restore_one(
    connection: &mut Connection,
    fence: &TaskFence,
    row: &TextRow,
) -> Result<Result<(), String>, Error> {
    let failed = |error| general(error, "make a trigger again that was put aside");
    let (database, name, definition) = (row.text(0), row.text(1), row.text(3));
    control::check_fence(connection, fence, Held::Now).await?;
    let there = format!(
        "SELECT 1 FROM information_schema.triggers WHERE trigger_schema = {} AND trigger_name = {}",
        literal(database),
        literal(name)
    );
    let enter = format!("USE {}", identifier(database));
    if connection.row(&there).await.map_err(failed)?.is_some() {
        connection.execute(&enter).await.map_err(failed)?;
        let shown = format!("SHOW CREATE TRIGGER {}", identifier(name));
        let own = shown_text(connection, &shown).await.map_err(failed)?;
        if own.is_none_or(|own| own.create != definition) {
            return Ok(Err(
                "another of that name was made meanwhile, with another text, and stays".to_owned(),
            ));
        }
    } else {
        let made = match connection.execute(&enter).await {
            Ok(_) => {
                let session: Vec<String> = row.text(2).lines().map(str::to_owned).collect();
                run_with(connection, (&session, false), definition).await
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(()) => {}
            Err(WireError::Server(error))
                if !error.is_transient() || error.code == LOCK_WAIT_TIMEOUT =>
            {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let sql = format!(
        "DELETE FROM {DATABASE}.{NAME} WHERE task_name = {} AND table_owner = {} AND trigger_name = {}",
        literal(&fence.task),
        literal(database),
        literal(name)
    );
    connection.execute(&sql).await.map_err(failed)?;
    Ok(Ok(()))
}
