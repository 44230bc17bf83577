//! The place in the binary log.

use whimbrel_core::{Engine, Position};

use crate::quote;
use crate::wire::{Connection, WireError};

/// Stands for a server that writes no log, or does not let us see it: a full load needs none.
const NO_LOG: &str = "none";

/// The place up to which transactions have been written to the log, as `file:offset;gtid-set`. The GTID set is left out when
/// it is empty.
pub(crate) async fn current(connection: &mut Connection) -> Result<Position, WireError> {
    let (file, offset, gtids) = match connection.engine() {
        Engine::MariaDb => {
            let Some(place) = mariadb_place(connection).await? else {
                return Ok(Position::new(NO_LOG));
            };
            place
        }
        Engine::MySql | Engine::Postgres => {
            // The statement was renamed in 8.2, and its old name removed in 8.4.
            let row = match connection.row("SHOW BINARY LOG STATUS").await {
                Err(WireError::Server(error)) if error.code == 1064 => {
                    connection.row("SHOW MASTER STATUS").await
                }
                other => other,
            };
            let Some(row) = allowed(row)? else {
                return Ok(Position::new(NO_LOG));
            };
            (
                row.text(0).to_owned(),
                row.text(1).to_owned(),
                row.text(4).to_owned(),
            )
        }
    };
    Ok(written(&file, &offset, &gtids))
}

/// How often a MariaDB server is asked before it is asked for what takes it longer.
const STEADY_ATTEMPTS: usize = 3;

/// File, offset and GTID set of a MariaDB server, which tells them by two statements: whatever commits in between must not be in the one
/// and not in the other.
async fn mariadb_place(
    connection: &mut Connection,
) -> Result<Option<(String, String, String)>, WireError> {
    for _ in 0..STEADY_ATTEMPTS {
        let Some(before) = mariadb_offset(connection).await? else {
            return Ok(None);
        };
        let gtids = text(connection, "SELECT @@global.gtid_binlog_pos").await?;
        if mariadb_offset(connection).await?.as_ref() == Some(&before) {
            return Ok(Some((before.0, before.1, gtids)));
        }
    }
    let Some((file, offset)) = mariadb_offset(connection).await? else {
        return Ok(None);
    };
    // The server reads the file up to there.
    let gtids = binlog_gtid_pos(connection, &file, &offset).await?;
    Ok(Some((file, offset, gtids)))
}

async fn mariadb_offset(
    connection: &mut Connection,
) -> Result<Option<(String, String)>, WireError> {
    let row = allowed(connection.row("SHOW MASTER STATUS").await)?;
    Ok(row.map(|row| (row.text(0).to_owned(), row.text(1).to_owned())))
}

/// The GTID set of a MariaDB server at a place in its log.
pub(super) async fn binlog_gtid_pos(
    connection: &mut Connection,
    file: &str,
    offset: &str,
) -> Result<String, WireError> {
    let offset: u64 = offset.parse().map_err(|_| {
        WireError::protocol(format!("a place in its log that is no number: {offset}"))
    })?;
    let sql = format!("SELECT binlog_gtid_pos({}, {offset})", quote::literal(file));
    text(connection, &sql).await
}

async fn text(connection: &mut Connection, sql: &str) -> Result<String, WireError> {
    let row = connection.row(sql).await?;
    Ok(row.map(|row| row.text(0).to_owned()).unwrap_or_default())
}

/// A position in our notation.
pub(crate) fn written(file: &str, offset: &str, gtids: &str) -> Position {
    let gtids: String = gtids.split_whitespace().collect();
    let separator = if gtids.is_empty() { "" } else { ";" };
    Position::new(format!("{file}:{offset}{separator}{gtids}"))
}

/// Stands before the position of a view that may hold transactions past it.
const INEXACT: &str = "before ";

/// The position of a view that was opened without a lock.
pub(super) fn inexact(position: &Position) -> Position {
    Position::new(format!("{INEXACT}{position}"))
}

/// Whether a view holds exactly the transactions up to its position.
pub(crate) fn is_exact(position: &Position) -> bool {
    !position.as_str().starts_with(INEXACT)
}

/// Whether the position is a place in a log.
pub(super) fn is_known(position: &Position) -> bool {
    position.as_str() != NO_LOG
}

/// A user who may not see the log gets no position.
fn allowed<T>(row: Result<Option<T>, WireError>) -> Result<Option<T>, WireError> {
    match row {
        Err(WireError::Server(error)) if error.is_denied() => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_hold_file_offset_and_gtids() {
        assert_eq!(
            written("binlog.000002", "157", "").as_str(),
            "binlog.000002:157"
        );
        assert_eq!(
            written("b.1", "4", "u:1-5,\nv:1").as_str(),
            "b.1:4;u:1-5,v:1"
        );
    }
}
