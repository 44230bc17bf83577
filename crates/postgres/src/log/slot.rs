//! The replication slot: it makes the server keep its log for the task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use whimbrel_connector::{Error, RunningWait};

use super::place::Lsn;
use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// How long to wait for the transactions that run at the source, without which no slot can be made.
pub(super) const RUNNING_WAIT: RunningWait = RunningWait {
    limit: Duration::from_mins(10),
    fails: false,
};
/// How long to wait until a slot is free for us.
const FREE_WAIT: Duration = Duration::from_secs(30);
/// How long a reader of ours that is gone may take to be noticed, before the server is told to end it.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// `two_phase` came with version 14 and `invalidation_reason` with version 17; read as JSON, older servers simply lack it.
const STATE: &str = "
select s.plugin, s.database = current_database(), s.confirmed_flush_lsn, s.wal_status,
       coalesce(to_jsonb(s)->>'invalidation_reason', case when to_jsonb(s)->>'conflicting' = 'true' then 'conflict with recovery' end),
       s.active_pid, coalesce(to_jsonb(s)->>'two_phase', 'false') = 'true'
from pg_replication_slots s where s.slot_name = ";

/// Who keeps the source from making a slot.
const RUNNING: &str = "
select string_agg(who, ', ') from (
  select 'process ' || pid || ' of user ' || coalesce(usename, '?') || coalesce(' since ' || date_trunc('second', xact_start), '') as who, xact_start as since
  from pg_stat_activity where (backend_xid is not null or wait_event = 'SyncRep') and pid <> pg_backend_pid()
  union all select 'prepared transaction ' || gid || ' since ' || date_trunc('second', prepared), prepared from pg_prepared_xacts
  order by since nulls last limit 5) w";

/// A slot as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The log is kept from here on; `None` while the slot is being made.
    confirmed: Option<Lsn>,
    /// Why it can never be read again.
    lost: Option<String>,
    /// Whether it was made for `pgoutput` in this database.
    is_ours: bool,
    reader: Option<i32>,
    /// Whether rows are sent when their transaction is prepared, and never again.
    pub(super) is_two_phase: bool,
}

impl Slot {
    pub(super) async fn find(
        connection: &mut Connection,
        name: &str,
    ) -> Result<Option<Self>, Error> {
        let sql = format!("{STATE}{}", quote::literal(name));
        let rows = connection
            .query(&sql)
            .await
            .map_err(|error| general(error, "read the replication slot of the task"))?;
        Ok(rows.first().map(Self::of_row))
    }

    fn of_row(row: &TextRow) -> Self {
        let text = |place: usize| row.get(place).and_then(Option::as_deref);
        let reason = text(4).map(str::to_owned);
        let is_lost = text(3) == Some("lost");
        Self {
            confirmed: text(2).and_then(Lsn::parse),
            lost: reason
                .or_else(|| is_lost.then(|| "the log it stands for was removed".to_owned())),
            is_ours: text(0) == Some("pgoutput") && text(1) == Some("t"),
            reader: text(5).and_then(|pid| pid.parse().ok()),
            is_two_phase: text(6) == Some("t"),
        }
    }

    /// Checks that the log can be read from it; answers from where on.
    pub(super) fn check(&self, name: &str) -> Result<Lsn, Error> {
        if !self.is_ours {
            return Err(Error::Fatal(format!(
                "replication slot {name} was made for another purpose or database; drop it, or give the task another name"
            )));
        }
        let confirmed = self.confirmed.unwrap_or_default();
        match &self.lost {
            Some(reason) => Err(Error::Fatal(format!(
                "replication slot {name} is lost ({reason}): the changes since {confirmed} are no longer all in the source's log; remove what the task left at the source, load the tables again, and raise max_slot_wal_keep_size (and idle_replication_slot_timeout, from version 18 on) at the source so that it does not happen again"
            ))),
            None => self.confirmed.ok_or_else(|| {
                Error::Transient(format!(
                    "replication slot {name} is still being made by another process"
                ))
            }),
        }
    }
}

/// Checks that a log kept from `confirmed` on reaches back to a position.
pub(super) fn check_reach(name: &str, confirmed: Lsn, from: Lsn) -> Result<(), Error> {
    if from >= confirmed {
        return Ok(());
    }
    Err(Error::Fatal(format!(
        "the changes between {from} and {confirmed} are missing: the target has everything up to the former, and replication slot {name} keeps the source's log from the latter on; load the tables again"
    )))
}

/// The gap when there is no slot at all.
pub(super) fn missing(name: &str, from: Lsn, end: Lsn) -> Error {
    Error::Fatal(format!(
        "replication slot {name} is not there, so the changes between {from} and {end} are not kept by the source: it was dropped, or the source is now another server; load the tables again"
    ))
}

/// Makes the slot; answers from where on it keeps the log.
///
/// The server first waits for all transactions that are running. From version 17 on a standby that is told to (`sync_replication_slots`) has the
/// slot too, so that it can be gone on with once it is promoted; where none is, that costs nothing. A standby itself makes no such slots.
/// <https://www.postgresql.org/docs/18/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS-SYNCHRONIZATION>
pub(super) async fn create(
    connection: &mut Connection,
    name: &str,
    wait: RunningWait,
) -> Result<Lsn, Error> {
    // 0 would be no limit.
    let limit = format!("SET statement_timeout = {}", wait.limit.as_millis().max(1));
    let failed = |error| explain(error, name);
    connection.query(&limit).await.map_err(failed)?;
    let failover = match connection.major_version() {
        0..=16 => "",
        _ => ", NOT pg_is_in_recovery()",
    };
    let sql = format!(
        "SELECT lsn FROM pg_create_logical_replication_slot({}, 'pgoutput', false, false{failover})",
        quote::literal(name)
    );
    let created = connection.query(&sql).await;
    connection
        .query("SET statement_timeout = 0")
        .await
        .map_err(failed)?;
    let rows = match created {
        Err(WireError::Server(error)) if error.code == "57014" => {
            return Err(still_running(connection, wait).await);
        }
        created => created.map_err(failed)?,
    };
    first_lsn(&rows)
        .ok_or_else(|| Error::Fatal(format!("replication slot {name} has no place in the log")))
}

fn explain(error: WireError, name: &str) -> Error {
    let remedy = match &error {
        WireError::Server(error) if error.code == "42501" => {
            "; run ALTER ROLE … REPLICATION for the user at the source"
        }
        WireError::Server(error) if error.code == "53400" => {
            "; raise max_replication_slots at the source, or drop slots that nobody uses"
        }
        _ => "",
    };
    match general(error, &format!("make replication slot {name}")) {
        Error::Fatal(message) => Error::Fatal(format!("{message}{remedy}")),
        Error::Transient(message) => Error::Transient(format!("{message}{remedy}")),
        other => other,
    }
}

async fn still_running(connection: &mut Connection, wait: RunningWait) -> Error {
    let who = connection.query(RUNNING).await.unwrap_or_default();
    let who = who.into_iter().flatten().flatten().next();
    let message = format!(
        "capture waits for transactions that were running at the source when it began, and they did not end within {} seconds: {}; end them",
        wait.limit.as_secs(),
        who.unwrap_or_else(|| "none is visible now".to_owned())
    );
    if wait.fails {
        Error::Fatal(message)
    } else {
        Error::Busy(message)
    }
}

/// Who commits while nobody sees it, because the commit waits for a standby: the transaction's id, or, for COMMIT PREPARED, whose transaction is
/// not that of the session, the session and its statement. Who may not see what others do takes all that run for such, and the prepared transactions, which are
/// listed until their commit is through.
const COMMITTING: &str = "
SELECT coalesce(backend_xid::text, concat(pid, '@', query_start)) FROM pg_stat_activity
WHERE datname = current_database()
  AND (wait_event = 'SyncRep' OR (state IS NULL AND backend_xid IS NOT NULL AND current_setting('synchronous_standby_names') <> ''))
UNION ALL
SELECT 'prepared ' || transaction FROM pg_prepared_xacts WHERE database = current_database() AND current_setting('synchronous_standby_names') <> ''
  AND EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state IS NULL AND backend_type = 'client backend')";

/// Those of [`COMMITTING`] that have not ended.
const STILL_COMMITTING: &str = "
SELECT (SELECT count(*) FROM pg_stat_activity
    WHERE backend_xid::text = ANY ($ids) OR ((state = 'active' OR wait_event = 'SyncRep') AND concat(pid, '@', query_start) = ANY ($ids)))
  + (SELECT count(*) FROM pg_prepared_xacts WHERE 'prepared ' || transaction = ANY ($ids))";

/// Waits until transactions are visible whose commit waits for a standby: they may be in the log, and be read from it, before.
pub(super) async fn wait_for_commits(
    connection: &mut Connection,
    wait: RunningWait,
) -> Result<(), Error> {
    let failed = |error| general(error, "wait for commits at the source");
    let rows = connection.query(COMMITTING).await.map_err(failed)?;
    let waiting: Vec<String> = rows.into_iter().flatten().flatten().collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let ids = waiting.iter().map(|who| quote::literal(who));
    let ids = ids.collect::<Vec<String>>().join(", ");
    let sql = STILL_COMMITTING.replace("$ids", &format!("ARRAY[{ids}]"));
    let deadline = Instant::now() + wait.limit;
    loop {
        let rows = connection.query(&sql).await.map_err(failed)?;
        if rows.into_iter().flatten().flatten().next().as_deref() == Some("0") {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(still_running(connection, wait).await);
        }
        sleep(POLL_EVERY).await;
    }
}

/// An id that is younger than all transactions that a wait is for; 0 before it began. Kept over waits that are given up: with a new one each
/// of them would be for what has begun since, and where long transactions overlap none would ever end.
#[derive(Debug, Default)]
pub(super) struct Since(AtomicU64);

impl Since {
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// Waits until every transaction is over that runs now, or ran when a wait began that is gone on with.
pub(super) async fn wait_for_running(
    connection: &mut Connection,
    wait: RunningWait,
    since: &Since,
) -> Result<(), Error> {
    let failed = |error| general(error, "wait for the transactions that run at the source");
    let id = |rows: Vec<TextRow>| -> Option<u64> {
        rows.into_iter().flatten().flatten().next()?.parse().ok()
    };
    // An id of its own is younger than all that run. The bound of a snapshot would not do: it lies behind the last transaction that has ended,
    // and those that run may be younger.
    if !since.has_begun() {
        let rows = connection.query("SELECT pg_current_xact_id()").await;
        let next = id(rows.map_err(failed)?).ok_or_else(|| {
            Error::Fatal("the source tells no number of its transactions".to_owned())
        })?;
        since.0.store(next, Ordering::Relaxed);
    }
    let next = since.0.load(Ordering::Relaxed);
    let deadline = Instant::now() + wait.limit;
    loop {
        let rows = connection
            .query("SELECT pg_snapshot_xmin(pg_current_snapshot())")
            .await;
        if id(rows.map_err(failed)?).is_some_and(|oldest| oldest >= next) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(still_running(connection, wait).await);
        }
        sleep(POLL_EVERY).await;
    }
}

/// Waits until nobody reads from the slot. A reader that does not go by itself is ended: it is one of ours, either of a run that was
/// cut off, or of one that another has replaced.
pub(super) async fn free(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let slot = Slot::find(connection, name).await?;
        let Some(reader) = slot.and_then(|slot| slot.reader) else {
            return Ok(());
        };
        if begun.elapsed() > FREE_WAIT {
            return Err(Error::Transient(format!(
                "replication slot {name} is being read by process {reader} of the source, which does not end"
            )));
        }
        if begun.elapsed() > GOODBYE_WAIT {
            tracing::info!(
                slot = name,
                reader,
                "another reader of the source's log is ended"
            );
            let sql = format!("SELECT pg_terminate_backend({reader})");
            connection
                .query(&sql)
                .await
                .map_err(|error| general(error, "end another reader of the source's log"))?;
        }
        sleep(POLL_EVERY).await;
    }
}

/// Drops the slot, if there is one, whoever reads from it.
pub(super) async fn drop_slot(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let sql = format!("SELECT pg_drop_replication_slot({})", quote::literal(name));
    loop {
        if Slot::find(connection, name).await?.is_none() {
            return Ok(());
        }
        free(connection, name).await?;
        match connection.query(&sql).await {
            // Another reader was faster: it is waited for again.
            Err(WireError::Server(error)) if error.code == "55006" => {}
            Err(WireError::Server(error)) if error.code == "42704" => return Ok(()),
            dropped => {
                dropped.map_err(|error| general(error, "drop the replication slot of the task"))?;
            }
        }
    }
}

/// The LSN in the first cell that holds something.
pub(super) fn first_lsn(rows: &[TextRow]) -> Option<Lsn> {
    Lsn::parse(rows.iter().flatten().flatten().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(cells: [Option<&str>; 6]) -> Slot {
        Slot::of_row(&cells.map(|cell| cell.map(str::to_owned)).to_vec())
    }

    #[test]
    fn a_gap_is_named_from_where_to_where() {
        let healthy = slot([
            Some("pgoutput"),
            Some("t"),
            Some("0/500"),
            Some("reserved"),
            None,
            Some("77"),
        ]);
        let confirmed = healthy.check("s").unwrap();
        check_reach("s", confirmed, Lsn(0x500)).unwrap();
        let error = check_reach("s", confirmed, Lsn(0x400));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("between 0/400 and 0/500"), "{error}");
        assert_eq!(healthy.reader, Some(77));
    }

    #[test]
    fn a_slot_that_is_being_made_is_waited_for() {
        let unready = slot([
            Some("pgoutput"),
            Some("t"),
            None,
            Some("reserved"),
            None,
            Some("7"),
        ]);
        assert!(matches!(unready.check("s"), Err(Error::Transient(_))));
    }

    #[test]
    fn a_lost_slot_says_why_and_what_to_do() {
        for (status, reason, expected) in [
            (Some("lost"), None, "was removed"),
            (Some("lost"), Some("idle_timeout"), "idle_timeout"),
            (Some("reserved"), Some("rows_removed"), "rows_removed"),
        ] {
            let lost = slot([
                Some("pgoutput"),
                Some("t"),
                Some("0/500"),
                status,
                reason,
                None,
            ]);
            let error = lost.check("s").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(
                error.contains("0/500") && error.contains("load the tables again"),
                "{error}"
            );
        }
        let foreign = slot([
            Some("test_decoding"),
            Some("t"),
            Some("0/1"),
            None,
            None,
            None,
        ]);
        assert!(
            foreign
                .check("s")
                .unwrap_err()
                .to_string()
                .contains("another purpose")
        );
    }
}
