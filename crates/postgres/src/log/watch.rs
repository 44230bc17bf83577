//! Looks after a replication slot: one that is not read fills the source's disk, or is given up by the source.

use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::kept_log::{percent, size_in_words};
use whimbrel_connector::{Error, KeptLog, LogWatch, UnreadLog};
use whimbrel_core::Position;

use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::TextRow;

/// A standby, which has no end of its own, answers with what it has received. `safe_wal_size` is NULL where there is no limit.
const END: &str =
    "(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end)";

const DOING: &str = "look at the log that the source keeps";

/// Looks after one slot.
pub(crate) struct SlotWatch {
    pub(super) options: Arc<Options>,
    pub(super) slot: String,
}

#[async_trait]
impl LogWatch for SlotWatch {
    /// The slot knows from where on the log is needed.
    async fn look(&mut self, _needed_from: &Position) -> Result<Option<KeptLog>, Error> {
        let mut connection = connect(&self.options).await?;
        let sql = format!(
            "SELECT wal_status, safe_wal_size, pg_wal_lsn_diff({END}, restart_lsn), pg_wal_lsn_diff({END}, confirmed_flush_lsn)
             FROM pg_replication_slots WHERE slot_name = {}",
            quote::literal(&self.slot)
        );
        let rows = connection.query(&sql).await;
        let rows = rows.map_err(|error| general(error, DOING))?;
        Ok(rows
            .first()
            .and_then(Retained::of_row)
            .map(|retained| retained.told(&self.slot, self.options.kept_log_max)))
    }
}

/// What a slot retains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retained {
    /// Bytes up to the log's end.
    bytes: u64,
    /// Of these, bytes that the task has not confirmed; the others are kept for transactions that are still open.
    unconfirmed: u64,
    /// So many more may be written; negative when the slot may be given up at any moment, `None` without a limit.
    safe: Option<i64>,
    /// It may be given up at the next checkpoint of the server.
    is_unreserved: bool,
}

impl Retained {
    /// `None` when the slot keeps nothing: it is being made, or lost.
    fn of_row(row: &TextRow) -> Option<Self> {
        let text = |place: usize| row.get(place).and_then(Option::as_deref);
        let bytes = |place: usize| -> Option<u64> {
            let bytes: i64 = text(place)?.parse().ok()?;
            Some(u64::try_from(bytes).unwrap_or(0))
        };
        Some(Self {
            bytes: bytes(2)?,
            unconfirmed: bytes(3).unwrap_or(0),
            safe: text(1).and_then(|safe| safe.parse().ok()),
            is_unreserved: text(0) == Some("unreserved"),
        })
    }

    fn told(self, slot: &str, unlimited_max: u64) -> KeptLog {
        let kept = size_in_words(self.bytes);
        let (percent, message) = match self.safe {
            Some(_) if self.is_unreserved => (
                100,
                format!(
                    "replication slot {slot} keeps {kept} of the log, more than the source lets it (max_slot_wal_keep_size): the source gives it up at its next checkpoint, and the tables then have to be loaded again"
                ),
            ),
            Some(safe) => {
                let safe = u64::try_from(safe).unwrap_or(0);
                let most = self.bytes.saturating_add(safe);
                let message = format!(
                    "replication slot {slot} keeps {kept} of the log, and the source gives it up at {} (max_slot_wal_keep_size): the tables then have to be loaded again",
                    size_in_words(most)
                );
                (percent(self.bytes, most), message)
            }
            None => (
                percent(self.bytes, unlimited_max),
                format!(
                    "replication slot {slot} keeps {kept} of the log, which grows until the source's disk is full"
                ),
            ),
        };
        KeptLog {
            percent,
            message,
            remedy: self.remedy().to_owned(),
        }
    }

    fn remedy(self) -> &'static str {
        if self.unconfirmed < self.bytes / 2 {
            return "end the oldest transaction that is open at the source, for which the log is kept (pg_stat_activity by xact_start, and pg_prepared_xacts)";
        }
        if self.safe.is_some() {
            "see why the target takes the changes so slowly, or not at all; raise max_slot_wal_keep_size at the source if its disk has room"
        } else {
            "see why the target takes the changes so slowly, or not at all; give the source's disk more room, or end the task so that the log can go"
        }
    }
}

/// Slots of tasks of ours that nobody reads. They are told of whatever they keep: it only grows.
pub(crate) async fn unread(options: &Options) -> Result<Vec<UnreadLog>, Error> {
    let mut connection = connect(options).await?;
    // Of any database, since the disk is one for all.
    let sql = format!(
        "SELECT slot_name, database, pg_wal_lsn_diff({END}, restart_lsn) FROM pg_replication_slots
         WHERE NOT active AND restart_lsn IS NOT NULL AND starts_with(slot_name, 'whimbrel_') ORDER BY slot_name"
    );
    let rows = connection.query(&sql).await;
    let rows = rows.map_err(|error| general(error, DOING))?;
    Ok(rows.iter().filter_map(unread_of_row).collect())
}

fn unread_of_row(row: &TextRow) -> Option<UnreadLog> {
    let text = |place: usize| row.get(place).and_then(Option::as_deref);
    let slot = text(0)?;
    let bytes: i64 = text(2)?.parse().ok()?;
    let kept = size_in_words(u64::try_from(bytes).unwrap_or(0));
    Some(UnreadLog {
        message: format!(
            "replication slot {slot} of database {} keeps {kept} of the log, and its task does not run: the log grows until the task goes on or is ended",
            text(1)?
        ),
        remedy: format!(
            "go on with the task, or end it (whimbrel forget; in the service, delete the task); if there is no such task any more: SELECT pg_drop_replication_slot('{slot}')"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: &str = "s";

    fn told(cells: [Option<&str>; 4]) -> Option<KeptLog> {
        let row: TextRow = cells.map(|cell| cell.map(str::to_owned)).to_vec();
        Retained::of_row(&row).map(|retained| retained.told(SLOT, 1000))
    }

    #[test]
    fn what_is_kept_is_measured_against_the_limit_there_is() {
        let limited = told([
            Some("extended"),
            Some("2097152"),
            Some("6291456"),
            Some("6291456"),
        ]);
        let limited = limited.unwrap();
        assert_eq!(limited.percent, 75);
        assert!(
            limited.message.contains("6 MiB") && limited.message.contains("at 8 MiB"),
            "{limited:?}"
        );
        let unlimited = told([Some("reserved"), None, Some("500"), Some("500")]).unwrap();
        assert_eq!(unlimited.percent, 50);
        assert!(unlimited.message.contains("disk is full"), "{unlimited:?}");
        let late = told([Some("unreserved"), Some("-20"), Some("500"), Some("500")]).unwrap();
        assert_eq!(late.percent, 100);
        assert!(late.message.contains("next checkpoint"), "{late:?}");
    }

    #[test]
    fn a_log_that_an_open_transaction_keeps_has_a_remedy_of_its_own() {
        let open = told([Some("reserved"), None, Some("900"), Some("10")]).unwrap();
        assert!(open.remedy.contains("oldest transaction"), "{open:?}");
    }

    #[test]
    fn a_slot_that_keeps_nothing_is_no_reason_to_worry() {
        assert_eq!(told([Some("lost"), None, None, None]), None);
        let ahead = told([Some("reserved"), None, Some("-8"), Some("-8")]).unwrap();
        assert_eq!(ahead.percent, 0);
    }
}
