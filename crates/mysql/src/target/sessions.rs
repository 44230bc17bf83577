//! The connections of a task to the target, and how those of older workers are ended.
//!
//! A worker that stops in the middle of a transaction keeps its rows and tables locked for as long as its connection lives, which a
//! successor would wait for in vain; and one that stops before a statement that commits by itself would still run it once it wakes. So each
//! connection that changes anything takes a lock of the server named after its task, before it asks whether the task is its own, and the
//! server gives the lock back when the connection ends. Whoever takes the task ends the holders of these locks. The holder is found
//! through the lock, so no other connection can be meant, even after a restart of the server.

use std::time::Duration;

use sha1::{Digest, Sha1};
use tokio::time::Instant;
use whimbrel_connector::{Error, Mutation, TaskFence};

use super::control::{self, Held};
use crate::errors::general;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

/// How long to wait for ended connections to give their locks back. A large transaction takes its time to roll back, but its rows are
/// waited for later just as well.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Locks that the connections of a task share, more than it has: 49 subtasks, each with a loader and one that finishes tables, and some.
const LOCKS: u32 = 160;
/// The server's code for a connection that is not there.
const NO_SUCH_THREAD: u16 = 1094;
const DOING: &str = "end the connections of an earlier worker";

/// The name of one of a task's locks. At most 64 characters are allowed, and case does not tell names apart.
fn lock(task: &str, which: impl std::fmt::Display) -> String {
    let digest = Sha1::digest(task.as_bytes());
    let digest = digest
        .iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    literal(&format!("whimbrel_{digest}_{which}"))
}

/// Takes one of the locks by which a successor finds the connection.
pub(super) async fn mark(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    let failed = |error| general(error, "make a connection ready to write");
    // Connections are numbered by the server one after another, so most find theirs free.
    let first = connection.id();
    for number in 0..LOCKS {
        let name = lock(&fence.task, first.wrapping_add(number) % LOCKS);
        let sql = format!("SELECT get_lock({name}, 0)");
        let taken = connection.row(&sql).await.map_err(failed)?;
        if taken.is_some_and(|row| row.text(0) == "1") {
            return Ok(());
        }
    }
    Err(Error::Transient(format!(
        "task {} has more connections at the target than are told apart: those of an earlier worker are still ending",
        fence.task
    )))
}

/// Takes the place of an applier of the same worker, whose connection was lost and which the server may still wait for.
pub(super) async fn replace_applier(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<(), Error> {
    let failed = |error| general(error, "take the place of an earlier applier");
    let name = lock(&fence.task, "apply");
    let holder = connection
        .row(&format!("SELECT is_used_lock({name})"))
        .await;
    let holder = holder.map_err(failed)?.and_then(|row| row.number(0));
    if let Some(id) = holder.filter(|_| !Mutation::NoEpochCheck.is_on()) {
        kill(connection, &fence.task, id).await?;
    }
    let seconds = PATIENCE.as_secs();
    let taken = connection
        .row(&format!("SELECT get_lock({name}, {seconds})"))
        .await;
    if taken.map_err(failed)?.is_none_or(|row| row.text(0) != "1") {
        tracing::warn!(task = %fence.task, "an earlier applier's connection is still ending: its rows may have to be waited for");
    }
    Ok(())
}

/// Ends all connections of a task but this one, for whoever takes it from whatever worker has it: one that stands still in the middle of a
/// commit keeps the task itself locked.
pub(super) async fn end_all(connection: &mut Connection, task: &str) -> Result<(), Error> {
    end(connection, task, None).await
}

/// Ends the connections of older workers of the task. One that is late itself, and not the owner any more, ends nothing.
pub(super) async fn end_older(connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
    end(connection, &fence.task, Some(fence)).await
}

async fn end(
    connection: &mut Connection,
    task: &str,
    owner: Option<&TaskFence>,
) -> Result<(), Error> {
    if Mutation::NoEpochCheck.is_on() {
        return Ok(());
    }
    let began = Instant::now();
    let mut asked = Vec::new();
    loop {
        let holders = holders(connection, task)
            .await
            .map_err(|error| general(error, DOING))?;
        if holders.is_empty() {
            return Ok(());
        }
        for id in holders {
            if asked.contains(&id) {
                continue;
            }
            if let Some(fence) = owner {
                control::check_fence(connection, fence, Held::Now).await?;
            }
            kill(connection, task, id).await?;
            asked.push(id);
        }
        if began.elapsed() > PATIENCE {
            tracing::warn!(
                task,
                "connections of an earlier worker are still ending: their rows may have to be waited for"
            );
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The connections that hold locks of the task, without this one.
async fn holders(connection: &mut Connection, task: &str) -> Result<Vec<u64>, WireError> {
    let holders: Vec<String> = (0..LOCKS)
        .map(|number| format!("is_used_lock({})", lock(task, number)))
        .collect();
    // What the server itself calls this connection: something between may have told another number.
    let sql = format!("SELECT connection_id(), {}", holders.join(", "));
    let Some(row) = connection.row(&sql).await? else {
        return Ok(Vec::new());
    };
    let own = row.number::<u64>(0);
    let ids = (1..=LOCKS as usize).filter_map(|place| row.number(place));
    let mut ids: Vec<u64> = ids.filter(|id| Some(*id) != own).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

async fn kill(connection: &mut Connection, task: &str, id: u64) -> Result<(), Error> {
    tracing::info!(
        task,
        connection = id,
        "ending the connection of an earlier worker"
    );
    match connection.execute(&format!("KILL {id}")).await {
        Ok(_) => Ok(()),
        Err(WireError::Server(error)) if error.code == NO_SUCH_THREAD => Ok(()),
        // It would run what it was about to run once its worker wakes.
        Err(WireError::Server(error)) => Err(Error::Fatal(format!(
            "connection {id} of an earlier worker of the task is still at the target, and this user may not end it ({error}): end it there by KILL {id},              or grant CONNECTION_ADMIN (MySQL) or CONNECTION ADMIN (MariaDB), and start again"
        ))),
        Err(error) => Err(general(error, DOING)),
    }
}
