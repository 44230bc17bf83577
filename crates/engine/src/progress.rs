//! What a run has done so far, for whoever watches: bars, statistics, reconcilers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use whimbrel_connector::LoadRecord;
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::{Position, TableName};

use crate::cdc::latency_ms;
use crate::validation::TableValidation;
use crate::{ChangeCounts, ObjectProgress, RetryPolicy, RunError};

#[cfg(test)]
mod tests;

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
    /// A rule names it, and there was no such table at the source when the run began, or none that the user may see.
    Missing,
}

/// Of a table that is [`TableState::Missing`].
pub(crate) const MISSING: &str = "no such table is at the source, or the user may not see it; correct the rule that names it (names are case-sensitive; views are selected by table-type view; partitions are loaded with their table; foreign and temporary tables and those of extensions are not loaded), or grant the user SELECT on it";

/// The parts of a table in which [`TableProgress::parts_read`] counts.
const PARTS: u128 = 1_000_000;

/// What a row takes at the source until the first rows tell: it only weighs tables of unknown row counts against each other and others.
const ROW_BYTES_ASSUMED: u128 = 100;

const NOT_SELECTED: &str = "the table mappings do not select the table any more: its rows at the target stay as they are; add a rule that selects it to load it";

impl TableState {
    /// Whether nothing more happens to the table in this load.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Error | Self::Dropped | Self::Missing
        )
    }

    /// The state's text in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeLoad => "Before load",
            Self::FullLoad => "Full load",
            Self::Completed => "Table completed",
            Self::Cancelled => "Table cancelled",
            Self::Error => "Table error",
            Self::Dropped | Self::Missing => "Table does not exist",
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
    /// Rows that this run left out of the load, because the target refused them.
    pub error_row_count: u64,
    /// About how many rows there are in all; 0 when unknown.
    pub row_estimate: u64,
    /// About how many bytes they take at the source; 0 when unknown.
    pub byte_estimate: u64,
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
    /// Columns of the source that are not created at the target, because it cannot compute them.
    pub not_created: Vec<String>,
    /// Changes applied in this run.
    pub changes: ChangeCounts,
    /// How often it was loaded again while others were followed.
    pub reload_count: u32,
    /// How often a wish to have it loaded again was heard, whatever came of it.
    pub reload_answer_count: u32,
    /// How old its last change was when it was received, and when it was visible at the target, in milliseconds.
    pub latencies_ms: Option<(u64, u64)>,
}

/// A table of a load that begins.
pub(crate) struct Listed {
    pub(crate) name: TableName,
    pub(crate) row_estimate: u64,
    pub(crate) byte_estimate: u64,
    /// What the target records of it.
    pub(crate) record: Option<LoadRecord>,
    /// Nothing is left to do.
    pub(crate) is_completed: bool,
    /// See [`TableProgress::not_created`].
    pub(crate) not_created: Vec<String>,
}

impl Listed {
    fn entry(&self, before: Option<TableProgress>) -> TableProgress {
        let shown = before.filter(|before| before.state == TableState::Completed);
        let mut entry = match shown {
            // It knows when it was loaded, which no record does.
            Some(shown) if self.is_completed => shown,
            _ => TableProgress {
                byte_estimate: self.byte_estimate,
                ..TableProgress::new(self.row_estimate)
            },
        };
        if let Some(record) = &self.record {
            entry.show(record);
        }
        if self.is_completed {
            entry.state = TableState::Completed;
        }
        entry.not_created.clone_from(&self.not_created);
        entry
    }
}

impl TableProgress {
    /// Its load begins once more. What breaks off and begins anew is the same load; what was missing had none before.
    fn begin_again(&mut self, before: TableState) {
        if before.is_over() {
            self.reload_answer_count += 1;
            self.reload_count += u32::from(before != TableState::Missing);
        }
    }

    /// Shows what is committed of a table.
    pub(crate) fn show(&mut self, record: &LoadRecord) {
        let done = record.chunks.iter().filter_map(|chunk| chunk.done);
        self.row_count = done.clone().map(|commit| commit.row_count).sum();
        self.byte_count = done.clone().map(|commit| commit.byte_count).sum();
        self.chunk_count = u32::try_from(record.chunks.len()).unwrap_or(u32::MAX);
        self.chunks_done = u32::try_from(done.count()).unwrap_or(u32::MAX);
    }

    /// About how many rows there are in all, at least those that came. Where the catalog does not tell (PostgreSQL, of a table that was never
    /// analysed), they are to the rows that came as the table is to the part of it that is read.
    fn row_count_expected(&self) -> u128 {
        let row_count = u128::from(self.row_count);
        let by_size = || {
            let unread = u128::from(self.byte_estimate) / ROW_BYTES_ASSUMED;
            row_count
                .saturating_mul(PARTS)
                .checked_div(self.parts_read())
                .filter(|_| row_count > 0)
                .unwrap_or(unread)
        };
        let expected = match self.row_estimate {
            0 => by_size(),
            estimate => u128::from(estimate),
        };
        expected.max(row_count).max(1)
    }

    /// How much of the table is read, in [`PARTS`]: by bytes, or by the chunks that are done where they tell more. Rows take more room at a server than
    /// on their way.
    fn parts_read(&self) -> u128 {
        let parts = |done, all| {
            (u128::from(done) * PARTS)
                .checked_div(u128::from(all))
                .unwrap_or(0)
        };
        let by_bytes = parts(self.byte_count, self.byte_estimate);
        let by_chunks = parts(self.chunks_done.into(), self.chunk_count.into());
        by_bytes.max(by_chunks).min(PARTS)
    }

    fn new(row_estimate: u64) -> Self {
        Self {
            state: TableState::BeforeLoad,
            row_count: 0,
            error_row_count: 0,
            byte_count: 0,
            row_estimate,
            byte_estimate: 0,
            chunk_count: 0,
            chunks_done: 0,
            started_at: None,
            ended_at: None,
            message: None,
            not_created: Vec::new(),
            changes: ChangeCounts::default(),
            reload_count: 0,
            reload_answer_count: 0,
            latencies_ms: None,
        }
    }
}

/// How far a run is that follows its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowProgress {
    /// The position up to which changes are applied.
    pub checkpoint: Option<String>,
    /// From where another task can go on: before the checkpoint while tables are being loaded whose changes behind this place are not applied.
    pub recovery: Option<String>,
    /// Source transactions applied in this run.
    pub transaction_count: u64,
    /// Age of the last transaction when it was received, in milliseconds.
    pub source_latency_ms: u64,
    /// Age of the last transaction when it was visible at the target, in milliseconds.
    pub target_latency_ms: u64,
    /// The end of the log was reached, nothing came since, and all before is at the target.
    pub is_caught_up: bool,
    /// Tables are being loaded that are to be followed too.
    pub is_loading: bool,
    /// When the source committed the transaction that was received last, and the one that was applied last: microseconds since 1970 by its
    /// clock.
    pub received_at_us: Option<i64>,
    /// See `received_at_us`.
    pub applied_at_us: Option<i64>,
    /// When the source committed the oldest transaction that was received, in part or whole, and is not applied.
    pub oldest_waiting_us: Option<i64>,
    /// When it committed the transaction that is being received, where the log tells so before its end.
    pub reading_us: Option<i64>,
    /// Changes that wait for the target.
    pub waiting_count: u64,
    /// Bytes of changes that were applied in this run.
    pub byte_count: u64,
}

impl FollowProgress {
    /// How far reading is behind the source now, in milliseconds: the age of what is being received, and at least that of what came last.
    pub fn source_latency_now_ms(&self) -> u64 {
        let reading_ms = self.reading_us.map_or(0, latency_ms);
        reading_ms.max(self.source_latency_ms)
    }

    /// How far the target is behind the source now, in milliseconds: the age of what waits for it, and at least that of what it was given last.
    pub fn target_latency_now_ms(&self) -> u64 {
        let waiting_ms = self.oldest_waiting_us.map_or(0, latency_ms);
        waiting_ms.max(self.target_latency_ms)
    }
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

/// That the log which the source keeps for the task came near its limit, or that the target waits for room; or that this is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Grows by one each time that something is told: who sees it skip numbers has missed some.
    pub number: u64,
    /// What is the matter and what becomes of it; or that all is well again.
    pub message: String,
    /// What to do; `None`: it is over.
    pub remedy: Option<String>,
}

impl Alarm {
    fn raise(place: &mut Option<Self>, message: String, remedy: Option<String>) {
        let before = place.as_ref().map_or(0, |last| last.number);
        *place = Some(Self {
            number: before + 1,
            message,
            remedy,
        });
    }
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
    /// Set once objects are made.
    pub objects: Option<ObjectProgress>,
    /// The last interruption.
    pub interruption: Option<Interruption>,
    /// What was last told of the log that the source keeps; `None`: nothing was.
    pub log_alarm: Option<Alarm>,
    /// What was last told of what the target waits for; `None`: nothing was.
    pub target_alarm: Option<Alarm>,
    /// How far the comparison of each table is, where the task compares.
    pub validations: BTreeMap<TableName, TableValidation>,
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

    /// Rows of all tables that this run left out of the load.
    pub fn error_row_count(&self) -> u64 {
        self.tables
            .values()
            .map(|table| table.error_row_count)
            .sum()
    }

    /// Bytes of all tables.
    pub fn byte_count(&self) -> u64 {
        self.tables.values().map(|table| table.byte_count).sum()
    }

    /// Chunks that the target has, of all tables.
    pub(crate) fn chunks_done(&self) -> u64 {
        let chunks = self
            .tables
            .values()
            .map(|table| u64::from(table.chunks_done));
        chunks.sum()
    }

    /// Changes of all tables that were applied.
    pub fn change_count(&self) -> u64 {
        let changes = self.tables.values().map(|table| &table.changes);
        changes.map(|c| c.inserts + c.updates + c.deletes).sum()
    }

    /// 0 to 100: by rows, whose number is taken from the size of the table where it is not estimated; a table of unknown size counts as a row until its
    /// rows come. 100 only when no table is left to load, and 0 only when nothing is done.
    pub fn percent(&self) -> u8 {
        if !self.tables.is_empty() && self.tables.values().all(|table| table.state.is_over()) {
            return 100;
        }
        let (mut done, mut all) = (0_u128, 0_u128);
        for table in self.tables.values() {
            let expected = table.row_count_expected();
            all += expected;
            done += if table.state.is_over() {
                expected
            } else {
                u128::from(table.row_count)
            };
        }
        let percent = (done * 100).checked_div(all).unwrap_or(0);
        let least = u128::from(done > 0);
        u8::try_from(percent.clamp(least, 99)).unwrap_or(99)
    }
}

/// The progress of a run, shared between it and its watchers.
#[derive(Debug, Default)]
pub struct Progress {
    inner: Mutex<ProgressSnapshot>,
    /// The task needs the source's log from here on.
    log_needed_from: Mutex<Option<Position>>,
    changed: Notify,
    /// Somebody waits for the checkpoint to move although nothing is to be applied.
    is_checkpoint_wanted: AtomicBool,
    checkpoint_wanted: Notify,
    is_target_watched: AtomicBool,
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

    /// Lists the tables of a load, and no others but those that are missing. Those that an earlier attempt has completed stay as they are.
    pub(crate) fn begin(&self, tables: Vec<Listed>) {
        let mut inner = self.lock();
        let mut before = std::mem::take(&mut inner.tables);
        for table in tables {
            let old = before.remove(&table.name);
            inner.tables.insert(table.name.clone(), table.entry(old));
        }
        before.retain(|_, table| table.state == TableState::Missing);
        inner.tables.append(&mut before);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Lists tables that are loaded beside those of the run, for the first time or, `again`, once more. What was applied to them still counts.
    pub(crate) fn begin_beside(&self, tables: Vec<Listed>, again: bool) {
        let mut inner = self.lock();
        for table in tables {
            let old = inner.tables.remove(&table.name);
            let mut entry = table.entry(old.clone());
            if let Some(old) = old {
                entry.changes = old.changes;
                entry.reload_count = old.reload_count;
                entry.reload_answer_count = old.reload_answer_count;
                if again {
                    entry.begin_again(old.state);
                }
            }
            inner.tables.insert(table.name, entry);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Tables that were to be loaded, perhaps `again`, and are not at the source any more; or that the mappings do not select any more, which
    /// says nothing of the source.
    pub(crate) fn gone(&self, tables: &BTreeSet<TableName>, again: bool, mappings: &TableMappings) {
        let mut inner = self.lock();
        for name in tables {
            let before = inner.tables.get(name).map(|old| old.state);
            let before = before.unwrap_or(TableState::Completed);
            let entry = inner.tables.entry(name.clone());
            let entry = entry.or_insert_with(|| TableProgress::new(0));
            let is_selected = mappings.selects_any(name);
            if again && is_selected {
                entry.begin_again(before);
            } else if again {
                entry.reload_answer_count += 1;
            }
            if before == TableState::Missing {
                continue;
            }
            if is_selected {
                entry.state = TableState::Dropped;
                entry.message = None;
            } else {
                entry.state = TableState::Error;
                entry.message = Some(NOT_SELECTED.to_owned());
            }
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// A table is known by another name from now on, with all that is told of it. Answers what was told of another table of that name.
    pub(crate) fn rename(&self, before: &TableName, after: &TableName) -> Option<TableProgress> {
        let mut inner = self.lock();
        let gone = TableProgress {
            state: TableState::Dropped,
            ..TableProgress::new(0)
        };
        let mut stood = None;
        if let Some(entry) = inner.tables.get_mut(before) {
            let entry = std::mem::replace(entry, gone);
            stood = inner.tables.insert(after.clone(), entry);
        }
        drop(inner);
        self.changed.notify_waiters();
        stood
    }

    /// Takes a renaming back: what stood under the later name stands there again.
    pub(crate) fn unrename(
        &self,
        before: &TableName,
        after: &TableName,
        stood: Option<TableProgress>,
    ) {
        let mut inner = self.lock();
        let entry = match stood {
            Some(stood) => inner.tables.insert(after.clone(), stood),
            None => inner.tables.remove(after),
        };
        if let Some(entry) = entry {
            inner.tables.insert(before.clone(), entry);
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

    /// A table cannot be loaded yet, and why. One that is not listed has not been begun.
    pub(crate) fn waits(&self, name: &TableName, why: &str) {
        let mut inner = self.lock();
        let entry = inner.tables.entry(name.clone());
        let entry = entry.or_insert_with(|| TableProgress::new(0));
        entry.message = Some(format!("not loaded yet: {why}"));
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Lists tables that are named and not there.
    pub(crate) fn miss(&self, tables: &BTreeSet<TableName>) {
        let mut inner = self.lock();
        for name in tables {
            let missing = || TableProgress {
                state: TableState::Missing,
                message: Some(MISSING.to_owned()),
                ..TableProgress::new(0)
            };
            inner.tables.entry(name.clone()).or_insert_with(missing);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Lists tables that are to be loaded later; one that is listed stays as it is.
    pub(crate) fn expect(&self, tables: impl IntoIterator<Item = TableName>) {
        let mut inner = self.lock();
        for name in tables {
            let entry = inner.tables.entry(name);
            entry.or_insert_with(|| TableProgress::new(0));
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

    /// Tells that the source's log came near its limit, with what to do; or that it is far from it again.
    pub(crate) fn log_alarm(&self, message: String, remedy: Option<String>) {
        let mut inner = self.lock();
        Alarm::raise(&mut inner.log_alarm, message, remedy);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Tells that the target waits for something, with what to do; or that it does no longer.
    pub(crate) fn target_alarm(&self, message: String, remedy: Option<String>) {
        let mut inner = self.lock();
        Alarm::raise(&mut inner.target_alarm, message, remedy);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Whether nobody watches the target yet; the caller does from now on.
    pub(crate) fn begin_watch(&self) -> bool {
        !self.is_target_watched.swap(true, Ordering::AcqRel)
    }

    /// Nobody watches the target any more.
    pub(crate) fn end_watch(&self) {
        self.is_target_watched.store(false, Ordering::Release);
    }

    /// The task needs the source's log from this position on.
    pub(crate) fn need_log(&self, from: &Position) {
        *self.log_needed() = Some(from.clone());
    }

    /// From where on the task needs the source's log; `None` before it has begun.
    pub(crate) fn log_needed_from(&self) -> Option<Position> {
        self.log_needed().clone()
    }

    fn log_needed(&self) -> MutexGuard<'_, Option<Position>> {
        self.log_needed_from
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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

    /// The checkpoint of a run that follows its source, and whether tables are being loaded that it does not speak of.
    pub(crate) fn applied_to(&self) -> Option<(String, bool)> {
        let inner = self.lock();
        let follow = inner.follow.as_ref()?;
        Some((follow.checkpoint.clone()?, follow.is_loading))
    }

    /// Shows how far the comparison of the tables is, and wakes the watchers.
    pub(crate) fn show_validations(&self, validations: &BTreeMap<TableName, TableValidation>) {
        let mut inner = self.lock();
        if inner.validations == *validations {
            return;
        }
        inner.validations.clone_from(validations);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Says whether somebody waits for the checkpoint to come to the end of the log, so that it is written at once.
    pub(crate) fn want_checkpoint(&self, is_wanted: bool) {
        self.is_checkpoint_wanted
            .store(is_wanted, Ordering::Relaxed);
        if is_wanted {
            self.checkpoint_wanted.notify_one();
        }
    }

    /// Whether somebody waits for the checkpoint.
    pub(crate) fn is_checkpoint_wanted(&self) -> bool {
        self.is_checkpoint_wanted.load(Ordering::Relaxed)
    }

    /// Waits until somebody begins to wait for the checkpoint.
    pub(crate) async fn checkpoint_wanted(&self) {
        self.checkpoint_wanted.notified().await;
    }

    /// Changes how far the making of objects is, without waking anybody.
    pub(crate) fn objects(&self, change: impl FnOnce(&mut ObjectProgress)) {
        change(self.lock().objects.get_or_insert_default());
    }

    /// Whether all rows of a table are there.
    pub(crate) fn is_loaded(&self, table: &TableName) -> bool {
        let tables = &self.lock().tables;
        let state = tables.get(table).map(|table| table.state);
        state == Some(TableState::Completed)
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
