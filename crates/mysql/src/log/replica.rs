//! Asking a server for its log, in the manner of a replica.

use rand::Rng;
use whimbrel_connector::Error;
use whimbrel_core::Engine;

use super::feed::{DOING, HEARTBEAT, Input, silence_max};
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, WireError};

/// The head of every file: four bytes, then the first event.
pub(super) const FIRST_OFFSET: u32 = 4;
/// Attempts at a number that no other replica has.
const ID_ATTEMPTS: usize = 10;

/// Begins to read the log at a place.
///
/// The command holds 32 bits of an offset. Of a file that a huge transaction has made longer, all is read, and the caller
/// passes over what lies before the place.
pub(super) async fn dump(options: &Options, file: &str, offset: u64) -> Result<Input, Error> {
    let failed = |error| general(error, DOING);
    let mut connection = connect(options, Purpose::Read).await?;
    introduce(&mut connection).await.map_err(failed)?;
    let id = free_id(&mut connection).await.map_err(failed)?;
    register(&mut connection, id).await?;
    let offset = u32::try_from(offset).unwrap_or(FIRST_OFFSET);
    let limit = own_limit(&mut connection).await.map_err(failed)?;
    connection
        .begin_dump(id, (file, offset), silence_max(limit))
        .await
        .map_err(failed)?;
    Ok(Input::new(connection))
}

/// Where [`dump`] begins for a place.
pub(super) fn first_offset(offset: u64) -> u64 {
    u32::try_from(offset).unwrap_or(FIRST_OFFSET).into()
}

/// Says what this replica understands: checksums, and on MariaDB every event there is.
async fn introduce(connection: &mut Connection) -> Result<(), WireError> {
    let nanoseconds = HEARTBEAT.as_nanos();
    let heartbeat = format!(
        "SET @master_heartbeat_period = {nanoseconds}, @source_heartbeat_period = {nanoseconds}"
    );
    // A random name of its own: by the same name, or without one by the same number, a server ends the earlier reader.
    let name = "SET @slave_uuid = uuid(), @replica_uuid = @slave_uuid";
    let checksums = "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'";
    for statement in [heartbeat.as_str(), name, checksums] {
        connection.execute(statement).await?;
    }
    if connection.engine() == Engine::MariaDb {
        connection
            .execute("SET @mariadb_slave_capability = 4")
            .await?;
    }
    Ok(())
}

/// The seconds after which the server as a replica takes a silent source for gone.
async fn own_limit(connection: &mut Connection) -> Result<Option<u64>, WireError> {
    // MySQL renamed it in 8.0.26, MariaDB has the old name alone.
    let sql =
        "SHOW GLOBAL VARIABLES WHERE variable_name IN ('slave_net_timeout', 'replica_net_timeout')";
    let row = connection.row(sql).await?;
    Ok(row.and_then(|row| row.number(1)))
}

/// A random number that no replica has that the server knows of.
async fn free_id(connection: &mut Connection) -> Result<u32, WireError> {
    let known = match connection.engine() {
        Engine::MariaDb => connection.rows("SHOW SLAVE HOSTS").await,
        Engine::MySql | Engine::Postgres => connection.rows("SHOW REPLICAS").await,
    };
    let known: Vec<u32> = match known {
        Ok(rows) => rows.iter().filter_map(|row| row.number(0)).collect(),
        // Who may not ask relies on chance.
        Err(WireError::Server(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    for _ in 0..ID_ATTEMPTS {
        let id = rand::rng().random_range(1 << 30..u32::MAX);
        if !known.contains(&id) {
            return Ok(id);
        }
    }
    Err(WireError::protocol(
        "replicas with every number that was tried",
    ))
}

/// Registers, which the server allows only to users who may read the log.
async fn register(connection: &mut Connection, id: u32) -> Result<(), Error> {
    match connection.register_replica(id).await {
        Ok(()) => Ok(()),
        Err(WireError::Server(error)) if error.is_denied() => Err(Error::Fatal(format!(
            "cannot {DOING}: {error}; grant the user REPLICATION SLAVE ON *.*"
        ))),
        Err(error) => Err(general(error, DOING)),
    }
}

/// Whether the user may read the log, found out by registering once.
pub(super) async fn check_privilege(options: &Options) -> Result<(), Error> {
    let mut connection = connect(options, Purpose::Read).await?;
    let failed = |error| general(error, DOING);
    introduce(&mut connection).await.map_err(failed)?;
    let id = free_id(&mut connection).await.map_err(failed)?;
    register(&mut connection, id).await?;
    // The answer is known; a failed farewell changes nothing.
    connection.quit().await.ok();
    Ok(())
}
