//! What a server must have before its changes can be captured. All that is missing is said at once.

use whimbrel_connector::Error;

use crate::errors::general;
use crate::wire::{Connection, TextRow};

/// Settings and their use. Roles that hosted servers grant in place of the attribute REPLICATION count as well.
const STATE: &str = "
select current_setting('wal_level'), pg_is_in_recovery(),
       (select count(*) from pg_replication_slots), current_setting('max_replication_slots')::int,
       (select count(*) from pg_stat_replication), current_setting('max_wal_senders')::int,
       current_user, exists (
         select from pg_roles r where (r.rolname = current_user and (r.rolreplication or r.rolsuper))
         or (r.rolname in ('rds_replication', 'rds_superuser') and pg_has_role(r.oid, 'member')))";

/// Checks everything; `needs_slot`: whether a slot is still to be made.
pub(super) async fn check(connection: &mut Connection, needs_slot: bool) -> Result<(), Error> {
    let rows = connection
        .query(STATE)
        .await
        .map_err(|error| general(error, "check whether changes can be captured"))?;
    let missing = rows.first().map(|row| missing(row, needs_slot));
    match missing {
        Some(missing) if missing.is_empty() => Ok(()),
        Some(missing) => Err(Error::Fatal(format!(
            "changes cannot be captured from this source: {}",
            missing.join("; ")
        ))),
        None => Err(Error::Fatal(
            "the source does not tell its settings".to_owned(),
        )),
    }
}

fn missing(row: &TextRow, needs_slot: bool) -> Vec<String> {
    let text = |place: usize| {
        row.get(place)
            .and_then(Option::as_deref)
            .unwrap_or_default()
    };
    let number = |place: usize| text(place).parse().unwrap_or(0_i64);
    let mut missing = Vec::new();
    if text(1) == "t" {
        missing.push(
            "it is a standby, whose snapshots do not tell which transactions they hold: give the primary server as the source".to_owned(),
        );
    } else if text(0) != "logical" {
        missing.push(format!(
            "wal_level is {}: run ALTER SYSTEM SET wal_level = 'logical' and restart the server (hosted servers: set the parameter rds.logical_replication or its like to on)",
            text(0)
        ));
    }
    if needs_slot && number(2) >= number(3) {
        missing.push(format!(
            "all {} replication slots are in use: raise max_replication_slots and restart the server, or drop slots that nobody uses",
            number(3)
        ));
    }
    // A reader of ours that was cut off may still be there, and makes room for the next.
    if needs_slot && number(4) >= number(5) {
        missing.push(format!(
            "all {} WAL senders are in use: raise max_wal_senders and restart the server",
            number(5)
        ));
    }
    if text(7) != "t" {
        missing.push(format!(
            "user {} lacks the right to replicate: run ALTER ROLE {} REPLICATION",
            text(6),
            crate::quote::identifier(text(6))
        ));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(cells: [&str; 8], needs_slot: bool) -> String {
        let row = cells.map(|cell| Some(cell.to_owned())).to_vec();
        missing(&row, needs_slot).join("; ")
    }

    #[test]
    fn everything_that_is_missing_is_said_with_its_remedy() {
        let all = missing_of(["replica", "f", "10", "10", "5", "5", "me", "f"], true);
        for remedy in [
            "wal_level = 'logical'",
            "max_replication_slots",
            "max_wal_senders",
            "ALTER ROLE \"me\" REPLICATION",
        ] {
            assert!(all.contains(remedy), "{all}");
        }
        let kept = missing_of(["logical", "f", "10", "10", "5", "5", "me", "t"], false);
        assert_eq!(kept, "");
        let standby = missing_of(["logical", "t", "0", "10", "4", "5", "me", "t"], true);
        assert!(standby.contains("primary server"), "{standby}");
    }
}
