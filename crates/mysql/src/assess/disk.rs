//! How much room the target's disk has, where the server can tell.

use whimbrel_connector::{Concern, Error, Findings};
use whimbrel_core::Engine;

use super::rows;
use crate::wire::Connection;

const ROOM: &str = "target-disk-room";
const BYTES_PER_KIB: u64 = 1024;
const BYTES_PER_MB: u64 = 1_000_000;

pub(super) async fn look(connection: &mut Connection, needed_bytes: u64, findings: &mut Findings) {
    let needed = format!(
        "the tables take about {} MB at the source: see that the target has that, as much again for indexes and its log, and some more",
        needed_bytes.div_ceil(BYTES_PER_MB)
    );
    if connection.engine() != Engine::MariaDb {
        findings.skip(
            ROOM,
            format!("MySQL does not tell how much room its disk has; {needed}"),
        );
        return;
    }
    match room(connection).await {
        Ok(Some(room)) => findings.note(&[ROOM], Ok(Vec::from_iter(short(room, needed_bytes)))),
        Ok(None) => findings.skip(
            ROOM,
            format!("MariaDB tells how much room its disk has only with the plugin DISKS (INSTALL SONAME 'disks') and to users with the privilege FILE; {needed}"),
        ),
        Err(error) => findings.note(&[ROOM], Err(error)),
    }
}

fn short(room: u64, needed_bytes: u64) -> Option<Concern> {
    (room < needed_bytes).then(|| {
        Concern::new(
            ROOM,
            "datadir",
            format!(
                "the target's disk has room for {} MB, and the tables take about {} MB at the source",
                room / BYTES_PER_MB,
                needed_bytes.div_ceil(BYTES_PER_MB)
            ),
            "give the target a larger disk, or load fewer tables",
        )
    })
}

/// Free bytes of the disk that holds the server's data; `None` where it has no such view. Without the privilege, the view is empty.
async fn room(connection: &mut Connection) -> Result<Option<u64>, Error> {
    let sql = "SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'DISKS' AND plugin_status = 'ACTIVE'";
    if rows(connection, sql).await?.is_empty() {
        return Ok(None);
    }
    // The disk whose path is the longest beginning of the data's.
    let sql = "SELECT available FROM information_schema.disks WHERE @@datadir LIKE CONCAT(path, '%') ORDER BY LENGTH(path) DESC LIMIT 1";
    let found = rows(connection, sql).await?;
    let kib: Option<u64> = found.first().and_then(|row| row.number(0));
    Ok(kib.map(|kib| kib.saturating_mul(BYTES_PER_KIB)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_disk_is_too_small_when_the_tables_alone_fill_it() {
        assert!(super::short(99, 100).is_some());
        assert!(super::short(100, 100).is_none());
    }
}
