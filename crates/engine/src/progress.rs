//! What a run has done so far, for whoever watches: bars, statistics, reconcilers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use whimbrel_core::TableName;

use crate::{ChangeCounts, RetryPolicy, RunError};

/// The state of one table's load. The run sets all of them; the texts are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableState {
    /// Selected, not begun.
    BeforeLoad,
    /// Being prepared or loaded, or its keys are being built.
    FullLoad,
    /// All rows and keys are there.
    Completed,
    /// The run was stopped before the table was complete.
    Cancelled,
    /// It could not be loaded, or is followed no more; the message says why.
    Error,
    /// It is gone at the source.
    Dropped,
}

impl TableState {
    /// The state's text in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeLoad => "Before load",
            Self::FullLoad => "Full load",
            Self::Completed => "Table completed",
            Self::Cancelled => "Table cancelled",
            Self::Error => "Table error",
            Self::Dropped => "Table does not exist",
        }
    }
}

/// How far one table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProgress {
    /// Its state.
    pub state: TableState,
    /// Rows sent to the target: committed ones and those of chunks being loaded.
    pub row_count: u64,
    /// Bytes received from the source for them.
    pub byte_count: u64,
    /// About how many rows there are in all; 0 when unknown.
    pub row_estimate: u64,
    /// Chunks of the plan; 0 before it is planned.
    pub chunk_count: u32,
    /// Chunks committed.
    pub chunks_done: u32,
    /// When its load began in this run.
    pub started_at: Option<SystemTime>,
    /// When it was complete or in error.
    pub ended_at: Option<SystemTime>,
    /// Why it is in error.
    pub message: Option<String>,
    /// Changes applied in this run.
    pub changes: ChangeCounts,
    /// How often it was loaded again while others were followed.
    pub reload_count: u32,
    /// How old its last change was when it was received, and when it was visible at the target, in milliseconds.
    pub latencies_ms: Option<(u64, u64)>,
}

impl TableProgress {
    fn new(row_estimate: u64) -> Self {
        Self {
            state: TableState::BeforeLoad,
            row_count: 0,
            byte_count: 0,
            row_estimate,
            chunk_count: 0,
            chunks_done: 0,
            started_at: None,
            ended_at: None,
            message: None,
            changes: ChangeCounts::default(),
            reload_count: 0,
            latencies_ms: None,
        }
    }
}

/// How far a run is that follows its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowProgress {
    /// The position up to which changes are applied.
    pub checkpoint: Option<String>,
    /// Source transactions applied in this run.
    pub transaction_count: u64,
    /// Age of the last transaction when it was received, in milliseconds.
    pub source_latency_ms: u64,
    /// Age of the last transaction when it was visible at the target, in milliseconds.
    pub target_latency_ms: u64,
    /// The end of the log was reached, and nothing came since.
    pub is_caught_up: bool,
    /// Tables are being loaded that are to be followed too.
    pub is_loading: bool,
    /// When the source committed the transaction that was received last, and the one that was applied last: microseconds since 1970 by its
    /// clock.
    pub received_at_us: Option<i64>,
    /// See `received_at_us`.
    pub applied_at_us: Option<i64>,
    /// Changes that wait for the target.
    pub waiting_count: u64,
    /// Bytes of changes that were applied in this run.
    pub byte_count: u64,
}

/// A fault of the environment after which the run is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Grows by one with each interruption of the run: who sees it skip numbers has missed some.
    pub number: u64,
    /// What went wrong.
    pub message: String,
    /// Which try this is since the run last got on, from 1.
    pub retry_number: u32,
    /// Tries without progress after which the run fails.
    pub retries_max: u32,
    /// How long until the next try.
    pub wait: Duration,
}

/// A copy of the whole progress at one moment.
#[derive(Clone, Debug, Default)]
pub struct ProgressSnapshot {
    /// The tables by name.
    pub tables: BTreeMap<TableName, TableProgress>,
    /// The position of the snapshot that is being read.
    pub position: Option<String>,
    /// Set once the changes are followed.
    pub follow: Option<FollowProgress>,
    /// The last interruption.
    pub interruption: Option<Interruption>,
}

impl ProgressSnapshot {
    /// How many tables are in `state`.
    pub fn count(&self, state: TableState) -> usize {
        self.tables
            .values()
            .filter(|table| table.state == state)
            .count()
    }

    /// Rows of all tables.
    pub fn row_count(&self) -> u64 {
        self.tables.values().map(|table| table.row_count).sum()
    }

    /// Bytes of all tables.
    pub fn byte_count(&self) -> u64 {
        self.tables.values().map(|table| table.byte_count).sum()
    }

    /// Changes of all tables that were applied.
    pub fn change_count(&self) -> u64 {
        let changes = self.tables.values().map(|table| &table.changes);
        changes.map(|c| c.inserts + c.updates + c.deletes).sum()
    }

    /// 0 to 100: by rows where they are estimated, by tables otherwise; 100 only when no table is left to load.
    pub fn percent(&self) -> u8 {
        let is_over = |table: &TableProgress| {
            use TableState as S;
            matches!(table.state, S::Completed | S::Error | S::Dropped)
        };
        if !self.tables.is_empty() && self.tables.values().all(is_over) {
            return 100;
        }
        let (mut done, mut all) = (0_u128, 0_u128);
        for table in self.tables.values() {
            let estimate = u128::from(table.row_estimate.max(table.row_count).max(1));
            all += estimate;
            done += if is_over(table) {
                estimate
            } else {
                u128::from(table.row_count)
            };
        }
        let percent = (done * 100).checked_div(all).unwrap_or(0);
        u8::try_from(percent.min(99)).unwrap_or(99)
    }
}

/// The progress of a run, shared between it and its watchers.
#[derive(Debug, Default)]
pub struct Progress {
    inner: Mutex<ProgressSnapshot>,
    changed: Notify,
}

impl Progress {
    /// Progress of a run that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of the present state.
    pub fn snapshot(&self) -> ProgressSnapshot {
        self.lock().clone()
    }

    /// Waits until a table changes its state. Counts alone do not wake.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn reset(&self, tables: impl Iterator<Item = (TableName, u64)>) {
        let mut inner = self.lock();
        inner.tables = tables
            .map(|(name, estimate)| (name, TableProgress::new(estimate)))
            .collect();
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Lists tables that are loaded again, or for the first time, beside those of the run. What was applied to them still counts.
    pub(crate) fn begin_again(&self, tables: impl Iterator<Item = (TableName, u64)>) {
        let mut inner = self.lock();
        for (name, estimate) in tables {
            let old = inner.tables.remove(&name);
            let reload_count = old.as_ref().map_or(0, |old| old.reload_count + 1);
            let entry = TableProgress {
                changes: old.map(|old| old.changes).unwrap_or_default(),
                reload_count,
                ..TableProgress::new(estimate)
            };
            inner.tables.insert(name, entry);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// A table is known by another name from now on.
    pub(crate) fn rename(&self, before: &TableName, after: &TableName) {
        let mut inner = self.lock();
        if let Some(entry) = inner.tables.get(before).cloned() {
            inner.tables.insert(after.clone(), entry);
        }
        if let Some(gone) = inner.tables.get_mut(before) {
            gone.state = TableState::Dropped;
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Lists tables that are not listed yet, as complete.
    pub(crate) fn add(&self, tables: impl IntoIterator<Item = TableName>) {
        let mut inner = self.lock();
        for name in tables {
            let completed = || TableProgress {
                state: TableState::Completed,
                ..TableProgress::new(0)
            };
            inner.tables.entry(name).or_insert_with(completed);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    pub(crate) fn set_position(&self, position: &str) {
        self.lock().position = Some(position.to_owned());
    }

    /// Tells that the run failed and is tried again, and gives the wait until then.
    pub fn interrupted(
        &self,
        error: &RunError,
        retry_number: u32,
        policy: &RetryPolicy,
    ) -> Duration {
        let wait = policy.wait(retry_number);
        let mut inner = self.lock();
        let before = inner.interruption.as_ref().map_or(0, |last| last.number);
        inner.interruption = Some(Interruption {
            number: before + 1,
            message: error.to_string(),
            retry_number,
            retries_max: policy.retries_max,
            wait,
        });
        drop(inner);
        self.changed.notify_waiters();
        wait
    }

    /// Changes how far the log is followed, without waking anybody but at the start.
    pub(crate) fn follow(&self, change: impl FnOnce(&mut FollowProgress)) {
        let mut inner = self.lock();
        let is_first = inner.follow.is_none();
        change(inner.follow.get_or_insert_default());
        drop(inner);
        if is_first {
            self.changed.notify_waiters();
        }
    }

    /// Changes a table's entry and wakes the watchers.
    pub(crate) fn update(&self, table: &TableName, change: impl FnOnce(&mut TableProgress)) {
        self.count(table, change);
        self.changed.notify_waiters();
    }

    /// Changes a table's counts without waking anybody.
    pub(crate) fn count(&self, table: &TableName, change: impl FnOnce(&mut TableProgress)) {
        if let Some(entry) = self.lock().tables.get_mut(table) {
            change(entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ProgressSnapshot> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_reaches_a_hundred_only_at_the_end() {
        let progress = Progress::new();
        let name = |n: &str| TableName::new("s", n);
        progress.reset([(name("a"), 10), (name("b"), 0)].into_iter());
        assert_eq!(progress.snapshot().percent(), 0);
        progress.update(&name("a"), |table| table.row_count = 5000);
        assert_eq!(progress.snapshot().percent(), 99);
        progress.update(&name("a"), |table| table.state = TableState::Completed);
        assert_eq!(progress.snapshot().percent(), 99);
        progress.update(&name("b"), |table| table.state = TableState::Error);
        assert_eq!(progress.snapshot().percent(), 100);
    }
}
