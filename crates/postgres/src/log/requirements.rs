//! What a server must have before its changes can be captured. All that is missing is said at once.

use whimbrel_connector::{Concern, Error};

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
    let missing = concerns(connection, needs_slot).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing
        .iter()
        .map(|concern| format!("{}: {}", concern.message, concern.remedy))
        .collect();
    Err(Error::Fatal(format!(
        "changes cannot be captured from this source: {}",
        missing.join("; ")
    )))
}

/// All that is missing.
pub(crate) async fn concerns(
    connection: &mut Connection,
    needs_slot: bool,
) -> Result<Vec<Concern>, Error> {
    let rows = connection
        .query(STATE)
        .await
        .map_err(|error| general(error, "check whether changes can be captured"))?;
    match rows.first() {
        Some(row) => Ok(missing(row, needs_slot)),
        None => Err(Error::Fatal(
            "the source does not tell its settings".to_owned(),
        )),
    }
}

fn missing(row: &TextRow, needs_slot: bool) -> Vec<Concern> {
    let text = |place: usize| {
        row.get(place)
            .and_then(Option::as_deref)
            .unwrap_or_default()
    };
    let number = |place: usize| text(place).parse().unwrap_or(0_i64);
    let mut missing = Vec::new();
    if text(1) == "t" {
        missing.push(Concern::new(
            "postgres-check-source-standby",
            "pg_is_in_recovery",
            "it is a standby, whose snapshots do not tell which transactions they hold",
            "give the primary server as the source",
        ));
    } else if text(0) != "logical" {
        missing.push(Concern::new(
            "postgres-check-wallevel",
            "wal_level",
            format!("wal_level is {}", text(0)),
            "run ALTER SYSTEM SET wal_level = 'logical' and restart the server (hosted servers: set the parameter rds.logical_replication or its like to on)",
        ));
    }
    if needs_slot && number(2) >= number(3) {
        missing.push(Concern::new(
            "postgres-check-replication-slots-count",
            "max_replication_slots",
            format!("all {} replication slots are in use", number(3)),
            "raise max_replication_slots and restart the server, or drop slots that nobody uses",
        ));
    }
    // A reader of ours that was cut off may still be there, and makes room for the next.
    if needs_slot && number(4) >= number(5) {
        missing.push(Concern::new(
            "postgres-check-maxwalsenders",
            "max_wal_senders",
            format!("all {} WAL senders are in use", number(5)),
            "raise max_wal_senders and restart the server",
        ));
    }
    if text(7) != "t" {
        missing.push(Concern::new(
            "postgres-check-replication-privileges",
            text(6),
            format!("user {} lacks the right to replicate", text(6)),
            format!(
                "run ALTER ROLE {} REPLICATION",
                crate::quote::identifier(text(6))
            ),
        ));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(cells: [&str; 8], needs_slot: bool) -> String {
        let row = cells.map(|cell| Some(cell.to_owned())).to_vec();
        let missing = missing(&row, needs_slot);
        let lines = missing
            .iter()
            .map(|concern| format!("{}: {}", concern.message, concern.remedy));
        lines.collect::<Vec<_>>().join("; ")
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
