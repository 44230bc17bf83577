//! Keeps the tables at the target up to date in which users read how a task is (`ControlTablesSettings`).
//!
//! They tell of the run and are no part of it: what cannot be written is logged and tried again, and stops nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use whimbrel_connector::control_tables::{
    ControlValue, ControlWrite, HISTORY, STATUS, SUSPENDED, TXN_STATE,
};
use whimbrel_connector::{Connector, Error, Target};
use whimbrel_core::{Position, TableName, clock};

use crate::{Progress, ProgressSnapshot, TableState};

/// Rows that wait while the target takes none.
const CLOSED_MAX: usize = 100;
/// What the column of a checkpoint holds.
const RECOVERY_BYTES_MAX: usize = 1024;
/// How often they are written.
const EVERY: Duration = Duration::from_secs(5);

/// Which tables are wanted, and whose rows these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlTables {
    /// The schema; where the service has them when not given.
    pub home: Option<String>,
    /// The first column: who runs the task.
    pub server_name: String,
    /// The task's name at the target.
    pub task: String,
    /// Whether there is a row of what the task does.
    pub status: bool,
    /// Whether there are rows of what it did, and of how much time each tells.
    pub history: Option<Duration>,
    /// Whether there are rows of tables in error.
    pub suspended: bool,
    /// Whether there is a row of how far the task is, from where another may begin.
    pub recovery: bool,
}

impl ControlTables {
    fn is_wanted(&self) -> bool {
        self.status || self.suspended || self.recovery || self.history.is_some()
    }

    fn owner(&self) -> Vec<ControlValue> {
        vec![text(&self.server_name), text(&self.task)]
    }
}

/// Writes the tables until the run has ended, and then once more.
pub async fn keep_control_tables(
    target: Arc<dyn Connector>,
    tables: ControlTables,
    progress: Arc<Progress>,
    ended: CancellationToken,
) {
    if !tables.is_wanted() {
        return;
    }
    let mut keeper = Keeper {
        target,
        connection: None,
        slot: None,
        closed: Vec::new(),
        suspended: None,
        failure: String::new(),
        tables,
    };
    loop {
        let has_ended = ended.is_cancelled();
        keeper
            .keep(&progress.snapshot(), clock::now_us(), has_ended)
            .await;
        if has_ended {
            return;
        }
        tokio::select! {
            () = ended.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

struct Keeper {
    target: Arc<dyn Connector>,
    connection: Option<Box<dyn Target>>,
    tables: ControlTables,
    slot: Option<Slot>,
    /// The last rows of slices that are over, until they are written.
    closed: Vec<ControlWrite>,
    /// Tables in error, and since when, as last written.
    suspended: Option<BTreeMap<TableName, (String, i64)>>,
    /// What was logged last.
    failure: String,
}

/// A slice of time, and how far the run was when it began.
struct Slot {
    phase: &'static str,
    began_us: i64,
    before: Totals,
}

/// How far a run is.
#[derive(Clone, Default)]
struct Totals {
    records: u64,
    bytes: u64,
    latency_s: u64,
}

impl Totals {
    fn of(snapshot: &ProgressSnapshot) -> Self {
        let follow = snapshot.follow.clone().unwrap_or_default();
        Self {
            records: snapshot.row_count() + snapshot.change_count(),
            bytes: snapshot.byte_count() + follow.byte_count,
            latency_s: follow.target_latency_now_ms() / 1000,
        }
    }
}

impl Keeper {
    async fn keep(&mut self, snapshot: &ProgressSnapshot, now_us: i64, has_ended: bool) {
        let mut writes = Vec::new();
        if self.tables.status {
            writes.push(self.status(snapshot, now_us, has_ended));
        }
        writes.extend(self.recovery(snapshot, now_us));
        writes.extend(self.history(snapshot, now_us));
        let suspended = self
            .tables
            .suspended
            .then(|| self.in_error(snapshot, now_us));
        let suspended = suspended.filter(|now| self.suspended.as_ref() != Some(now));
        writes.extend(suspended.as_ref().map(|now| self.suspension(now)));
        match self.write(&writes).await {
            Ok(()) => {
                self.closed.clear();
                self.suspended = suspended.or_else(|| self.suspended.take());
            }
            Err(error) => {
                self.connection = None;
                let failure = error.to_string();
                if failure != self.failure {
                    warn!(task = self.tables.task, %error, "the control tables that users read are not up to date; they are tried again");
                    self.failure = failure;
                }
            }
        }
    }

    async fn write(&mut self, writes: &[ControlWrite]) -> Result<(), Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.target.target().await?),
        };
        for write in writes {
            connection
                .write_control(self.tables.home.as_deref(), write)
                .await?;
        }
        Ok(())
    }

    fn status(&self, snapshot: &ProgressSnapshot, now_us: i64, has_ended: bool) -> ControlWrite {
        let follow = snapshot.follow.clone().unwrap_or_default();
        let phase = if has_ended {
            "NOT RUNNING"
        } else {
            phase(snapshot)
        };
        let position = follow
            .checkpoint
            .as_deref()
            .or(snapshot.position.as_deref());
        let position = position.map(without_ids);
        let position = position.map_or(ControlValue::Null, text);
        let time = |at: Option<i64>| at.map_or(ControlValue::Null, ControlValue::Time);
        let mut row = self.tables.owner();
        row.extend([
            text(phase),
            ControlValue::Time(now_us),
            number(follow.waiting_count),
            number(0),
            memory_mb().map_or(ControlValue::Null, number),
            position.clone(),
            time(follow.received_at_us),
            position,
            time(follow.applied_at_us),
            time(follow.applied_at_us),
        ]);
        ControlWrite {
            table: &STATUS,
            replaces: self.tables.owner(),
            rows: vec![row],
        }
    }

    /// How far the target has the changes. It may lag behind: what was applied since comes again to a task that begins there.
    fn recovery(&self, snapshot: &ProgressSnapshot, now_us: i64) -> Option<ControlWrite> {
        let checkpoint = snapshot.follow.as_ref()?.recovery.as_deref()?;
        let mut told = Position::new(checkpoint).recovery_checkpoint();
        if told.len() > RECOVERY_BYTES_MAX {
            told = Position::new(without_ids(checkpoint)).recovery_checkpoint();
        }
        let mut row = self.tables.owner();
        row.extend([ControlValue::Time(now_us), text(&told)]);
        self.tables.recovery.then(|| ControlWrite {
            table: &TXN_STATE,
            replaces: self.tables.owner(),
            rows: vec![row],
        })
    }

    /// The row of this slice of time, behind the last ones of those before it.
    fn history(&mut self, snapshot: &ProgressSnapshot, now_us: i64) -> Vec<ControlWrite> {
        let Some(length) = self.tables.history else {
            return Vec::new();
        };
        let length_us = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
        let began_us = now_us - now_us.rem_euclid(length_us);
        let (phase, so_far) = (phase(snapshot), Totals::of(snapshot));
        let current = |slot: &Slot| slot.began_us == began_us && slot.phase == phase;
        if let Some(over) = self.slot.take_if(|slot| !current(slot)) {
            let last = self.slot_row(&over, length, &so_far);
            if self.closed.len() < CLOSED_MAX {
                self.closed.push(last);
            }
            self.slot = Some(Slot {
                phase,
                began_us,
                before: so_far.clone(),
            });
        }
        let slot = self.slot.take().unwrap_or_else(|| Slot {
            phase,
            began_us,
            before: so_far.clone(),
        });
        let mut writes = self.closed.clone();
        writes.push(self.slot_row(&slot, length, &so_far));
        self.slot = Some(slot);
        writes
    }

    fn slot_row(&self, slot: &Slot, length: Duration, so_far: &Totals) -> ControlWrite {
        let mut key = self.tables.owner();
        key.extend([text(slot.phase), ControlValue::Time(slot.began_us)]);
        let mut row = key.clone();
        row.extend([
            number(length.as_secs() / 60),
            number(so_far.latency_s),
            number(so_far.records.saturating_sub(slot.before.records)),
            number(so_far.bytes.saturating_sub(slot.before.bytes) >> 20),
        ]);
        ControlWrite {
            table: &HISTORY,
            replaces: key,
            rows: vec![row],
        }
    }

    fn in_error(
        &self,
        snapshot: &ProgressSnapshot,
        now_us: i64,
    ) -> BTreeMap<TableName, (String, i64)> {
        let in_error = snapshot
            .tables
            .iter()
            .filter(|(_, table)| table.state == TableState::Error);
        let since = |name: &TableName| {
            let known = self.suspended.as_ref().and_then(|known| known.get(name));
            known.map_or(now_us, |(_, since)| *since)
        };
        in_error
            .map(|(name, table)| {
                let reason = table.message.clone().unwrap_or_default();
                (name.clone(), (reason, since(name)))
            })
            .collect()
    }

    fn suspension(&self, tables: &BTreeMap<TableName, (String, i64)>) -> ControlWrite {
        let rows = tables.iter().map(|(name, (reason, since_us))| {
            let mut row = self.tables.owner();
            row.extend([
                text(&name.schema),
                text(&name.name),
                text(reason),
                ControlValue::Time(*since_us),
            ]);
            row
        });
        ControlWrite {
            table: &SUSPENDED,
            replaces: self.tables.owner(),
            rows: rows.collect(),
        }
    }
}

/// A position without the ids of transactions, which may be many.
fn without_ids(position: &str) -> &str {
    position.split(';').next().unwrap_or(position)
}

fn phase(snapshot: &ProgressSnapshot) -> &'static str {
    if snapshot.follow.is_some() {
        "CHANGE PROCESSING"
    } else {
        "FULL LOAD"
    }
}

fn text(text: &str) -> ControlValue {
    ControlValue::Text(text.to_owned())
}

fn number(number: u64) -> ControlValue {
    ControlValue::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What the whole process has in memory, where the system tells.
fn memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib >> 10)
}
