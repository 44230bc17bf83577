//! The connection of an applier.

use whimbrel_connector::{Error, TaskFence};
use whimbrel_core::Engine;

use super::super::control::{self, Held};
use super::super::sessions;
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, WireError};

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
        sessions::mark(&mut connection, fence).await?;
        control::check_fence(&mut connection, fence, Held::Now).await?;
        sessions::replace_applier(&mut connection, fence).await?;
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
