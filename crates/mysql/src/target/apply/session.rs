//! The connection of an applier, and its predecessor's.
//!
//! A worker that stops in the middle of a transaction keeps its rows locked for as long as its connection lives, which a
//! successor would wait for in vain. So each applier takes a lock of the server named after its task, which the server gives
//! back when the connection ends. Whoever finds it taken has passed the fence, so the holder is older, or a connection of its own
//! that it has lost: it ends that connection, and with it the transaction. The holder is found through the lock, so no
//! other connection can be meant, even after a restart of the server.

use sha1::{Digest, Sha1};
use whimbrel_connector::{Error, TaskFence};
use whimbrel_core::Engine;

use super::super::control::{self, Held};
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::quote::literal;
use crate::wire::{Connection, Purpose, WireError};

/// How long to wait for an ended connection to give its lock back, in seconds. A large transaction takes its time to roll back,
/// but its rows are waited for later just as well.
const LOCK_SECONDS: u32 = 10;
/// What a packet holds besides the text of a statement, and some more.
const PACKET_SPARE: usize = 1024;
/// Taken for the longest packet of a server that does not say.
const PACKET_BYTES: usize = 1 << 20;

/// A connection made ready for applying.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Whether the server takes LOAD DATA LOCAL.
    pub(super) can_load: bool,
    /// The longest text that the server takes as one packet.
    pub(super) text_bytes_max: usize,
}

impl Session {
    pub(super) async fn start(options: &Options, fence: &TaskFence) -> Result<Self, Error> {
        let mut connection = connect(options, Purpose::Write).await?;
        control::check_fence(&mut connection, fence, Held::Now).await?;
        replace_predecessor(&mut connection, fence)
            .await
            .map_err(|error| general(error, "take the place of an earlier worker"))?;
        let doing = |error| general(error, "make a session ready to apply changes");
        let (can_load, packet_bytes) = fix(&mut connection).await.map_err(doing)?;
        Ok(Self {
            connection,
            can_load,
            text_bytes_max: packet_bytes.saturating_sub(PACKET_SPARE),
        })
    }
}

/// Fixes what `connect` does not; answers whether LOAD DATA is allowed, and the longest packet.
async fn fix(connection: &mut Connection) -> Result<(bool, usize), WireError> {
    connection.allow_scripts().await?;
    connection
        .execute("SET SESSION sql_safe_updates = 0, SESSION sql_big_selects = 1")
        .await?;
    if connection.engine() == Engine::MariaDb {
        // A replica then need not know our temporary tables, nor find the same row by LIMIT. Needs a privilege.
        let wish = "SET SESSION binlog_format = ROW";
        match connection.execute(wish).await {
            Ok(_) | Err(WireError::Server(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let row = connection
        .row("SELECT @@local_infile, @@max_allowed_packet")
        .await?
        .unwrap_or_default();
    let packet_bytes = row.number(1).unwrap_or(PACKET_BYTES);
    Ok((row.text(0) == "1", packet_bytes))
}

/// The name of the task's lock. At most 64 characters are allowed, and case does not tell names apart.
fn lock_name(task: &str) -> String {
    let digest = Sha1::digest(task.as_bytes());
    digest
        .iter()
        .fold("whimbrel_apply_".to_owned(), |name, byte| {
            format!("{name}{byte:02x}")
        })
}

async fn replace_predecessor(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<(), WireError> {
    let name = literal(&lock_name(&fence.task));
    let holder = connection
        .row(&format!("SELECT is_used_lock({name})"))
        .await?;
    if let Some(id) = holder.and_then(|row| row.number::<u64>(0)) {
        tracing::info!(task = %fence.task, connection = id, "ending the connection of an earlier worker");
        match connection.execute(&format!("KILL {id}")).await {
            Ok(_) => {}
            // It ended by itself, or belongs to another user: then its rows may have to be waited for.
            Err(WireError::Server(error)) => {
                tracing::warn!(task = %fence.task, connection = id, %error, "the connection of an earlier worker was not ended");
            }
            Err(error) => return Err(error),
        }
    }
    let taken = connection
        .row(&format!("SELECT get_lock({name}, {LOCK_SECONDS})"))
        .await?;
    if taken.is_none_or(|row| row.text(0) != "1") {
        tracing::warn!(task = %fence.task, "an earlier worker's connection lives on: its rows may have to be waited for");
    }
    Ok(())
}
