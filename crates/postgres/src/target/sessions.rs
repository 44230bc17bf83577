//! The sessions of a task at the target, and how those of older workers are ended.
//!
//! A worker that stops in the middle of a transaction keeps its rows and tables locked for as long as its session lives, which a successor
//! would wait for in vain. So each session that changes anything has a name of its task and epoch, before it asks whether the task is its own;
//! and whoever takes the task ends those of other workers, and with them what they had open.

use whimbrel_connector::{Error, Mutation, TaskFence};

use crate::errors::general;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

const DOING: &str = "end the sessions of older workers at the target";
/// The server's code for what a user may not do.
const NOT_ALLOWED: &str = "42501";

/// The SQL for the part of a session's name that all sessions of a task share. Names are cut at 63 bytes, so a digest stands for the task's.
fn task_part(task: &str) -> String {
    format!(
        "format('whimbrel %s ', to_hex(hashtextextended({}, 0)))",
        literal(task)
    )
}

/// Names a session, so that whoever takes the task over finds it.
pub(super) async fn name(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let sql = format!(
        "SELECT set_config('application_name', {} || {}, false)",
        task_part(&fence.task),
        fence.epoch
    );
    let named = connection.query(&sql).await;
    named
        .map(drop)
        .map_err(|error| general(error, "name a session at the target"))
}

/// Ends all sessions of a task, for whoever takes it from whatever worker has it: one that stands still in the middle of a commit keeps the
/// task itself locked.
pub(super) async fn end_all(connection: &mut Connection, task: &str) -> Result<(), Error> {
    end(connection, task, "").await
}

/// Names the session, and ends those that older workers of the task have. One that is late itself, and not the owner any more, ends nothing.
pub(super) async fn end_older(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    name(connection, fence).await?;
    let is_older = format!(
        "AND split_part(application_name, ' ', 3) <> '{epoch}'
         AND EXISTS (SELECT FROM awsdms_control.awsdms_task_epoch WHERE task_name = {task} AND epoch = {epoch})",
        epoch = fence.epoch,
        task = literal(&fence.task),
    );
    end(connection, &fence.task, &is_older).await
}

async fn end(connection: &mut Connection, task: &str, condition: &str) -> Result<(), Error> {
    if Mutation::NoEpochCheck.is_on() {
        return Ok(());
    }
    let of_task = format!(
        "datname = current_database() AND pid <> pg_backend_pid() AND starts_with(application_name, {}) {condition}",
        task_part(task)
    );
    let ended = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {of_task} AND usename = current_user"
    );
    match connection.query(&ended).await {
        Ok(_) => {}
        Err(WireError::Server(error)) if error.code == NOT_ALLOWED => {
            tracing::warn!(task, %error, "sessions of an earlier worker may live on, and what they have locked is waited for: grant EXECUTE on pg_terminate_backend");
        }
        Err(error) => return Err(general(error, DOING)),
    }
    let left = format!("SELECT pid, usename FROM pg_stat_activity WHERE {of_task}");
    let left = connection.query(&left).await;
    for session in left.map_err(|error| general(error, DOING))? {
        let text = |place: usize| session.get(place).and_then(Option::as_deref).unwrap_or("?");
        let (pid, user) = (text(0), text(1));
        tracing::warn!(
            task,
            pid,
            user,
            "a session of an earlier worker lives on, and what it has locked is waited for: end it by pg_terminate_backend"
        );
    }
    Ok(())
}
