//! What a task that follows its source can be told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use whimbrel_connector::{ApplySettings, PrepareMode, RunningWait, StartPoint};
use whimbrel_core::TableName;

use crate::{Escalation, FullLoadSpec, Touched};

/// Bytes of changes that may wait for the target.
pub const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Changes that may wait for the target.
pub const BATCH_CHANGES: usize = 40_000;

/// What becomes of a row or a change that cannot be applied, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowPolicy {
    /// It is left out.
    Ignore,
    /// It is left out and written down at the target, in `awsdms_apply_exceptions`.
    Report,
    /// It is written down, and its table is followed no more.
    SuspendTable,
    /// The task ends; nothing of its batch is applied.
    StopTask,
}

/// What becomes of changes that cannot be applied, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyErrors {
    /// Inserts that the target refuses.
    pub insert: RowPolicy,
    /// Updates that the target refuses.
    pub update: RowPolicy,
    /// Deletes that the target refuses.
    pub delete: RowPolicy,
    /// Updates of rows that are not there.
    pub missing_update: RowPolicy,
    /// Deletes of rows that are not there.
    pub missing_delete: RowPolicy,
    /// An insert whose row is there already replaces that row. Where it cannot, `insert` holds.
    pub overwrites: bool,
    /// An update whose row is not there inserts it, if the log has all of it. Where it cannot, `missing_update` holds. Nothing is applied in sets then, which do not
    /// tell which rows were not there.
    pub inserts_missing: bool,
    /// When many changes of a table were left out.
    pub escalation: Option<Escalation>,
}

impl Default for ApplyErrors {
    /// Nothing is left out that the target refuses.
    fn default() -> Self {
        Self {
            insert: RowPolicy::StopTask,
            update: RowPolicy::StopTask,
            delete: RowPolicy::StopTask,
            missing_update: RowPolicy::Report,
            missing_delete: RowPolicy::Report,
            overwrites: false,
            inserts_missing: false,
            escalation: None,
        }
    }
}

/// Whether a run begins anew or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CdcStart {
    /// Anew: what an earlier run left is removed.
    Fresh {
        /// Changes are applied from here on; from the log's end when not given.
        from: Option<StartPoint>,
    },
    /// From the checkpoint at the target; an unfinished full load is finished first.
    Resume,
}

/// When a run that follows its source ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CdcEnd {
    /// Never.
    Never,
    /// When the full load is done; changes since stay for a resume.
    AfterLoad,
    /// When the changes made during the full load are applied too.
    AfterCachedChanges,
}

/// A time at which a run ends, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopTime {
    /// Before the first transaction that the source committed later than this.
    Commit(i64),
    /// When this machine's clock passes it, whether anything is committed or not.
    Server(i64),
}

/// Everything a task that follows its source can be told.
#[derive(Clone, Debug)]
pub struct CdcSpec {
    /// The full load. Its start kind is not used: `start` says.
    pub load: FullLoadSpec,
    /// Whether the rows that are there are loaded first. Without a load they are at the target already, and no table is touched.
    pub loads: bool,
    /// How to begin.
    pub start: CdcStart,
    /// When to end.
    pub end: CdcEnd,
    /// Ends by time as well.
    pub stop_at: Option<StopTime>,
    /// What a change does that cannot be applied.
    pub on_apply_error: ApplyErrors,
    /// What changes of definitions do.
    pub on_ddl: DdlPolicy,
    /// Tables that are to be loaded again while the others are followed.
    pub reloads: Arc<Reloads>,
    /// How long transactions that run at the source are waited for when the task begins; as the source has it when not given.
    pub running_wait: Option<RunningWait>,
    /// For the connection that applies.
    pub apply: ApplySettings,
    /// How long changes are gathered before they are applied; not at all when not given.
    pub batch_wait: Option<Duration>,
    /// While more keep coming they are gathered longer, up to this; no longer than `batch_wait` when not given.
    pub batch_wait_max: Option<Duration>,
    /// So many changes are enough not to wait for more.
    pub batch_changes_min: Option<usize>,
    /// Large batches are folded to the net change of each key and applied in sets. Otherwise each change is applied in the order of the log.
    pub folds: bool,
    /// Each transaction of the source is one of the target.
    pub is_one_at_a_time: bool,
    /// Bytes of changes that may wait for the target.
    pub batch_bytes_max: usize,
    /// Changes that may wait for the target.
    pub batch_changes_max: usize,
    /// Keeps which rows have changed, for a task that validates.
    pub touched: Option<Arc<Touched>>,
}

impl CdcSpec {
    /// Whether tables may be loaded again for what the log does not tell: only a task that makes its tables may make one anew.
    pub(super) fn may_reload(&self) -> bool {
        self.on_ddl.alters && self.loads && self.load.prepare == PrepareMode::DropAndCreate
    }

    /// A full load with these settings, followed by the changes since.
    pub fn new(load: FullLoadSpec) -> Self {
        Self {
            load,
            loads: true,
            start: CdcStart::Fresh { from: None },
            end: CdcEnd::Never,
            stop_at: None,
            on_apply_error: ApplyErrors::default(),
            batch_wait: None,
            batch_wait_max: None,
            batch_changes_min: None,
            folds: true,
            is_one_at_a_time: false,
            on_ddl: DdlPolicy::default(),
            reloads: Arc::default(),
            running_wait: None,
            apply: ApplySettings::default(),
            batch_bytes_max: BATCH_BYTES,
            batch_changes_max: BATCH_CHANGES,
            touched: None,
        }
    }
}

/// Which changes of definitions at the source are made at the target too (`ChangeProcessingDdlHandlingPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DdlPolicy {
    /// A table that is dropped is dropped there. Otherwise it stays as it is.
    pub drops: bool,
    /// What becomes of a table that is emptied.
    pub on_truncate: OnTruncate,
    /// A table that is altered is altered there. Otherwise its changes are followed no more.
    pub alters: bool,
}

/// What an emptied table of the source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTruncate {
    /// It is emptied at the target.
    Truncate,
    /// Its rows stay there.
    Keep,
    /// The task ends with an error, once all that comes before it is applied.
    Fail,
}

impl Default for DdlPolicy {
    /// All of them, as the API has it.
    fn default() -> Self {
        Self {
            drops: true,
            on_truncate: OnTruncate::Truncate,
            alters: true,
        }
    }
}

/// Tables that somebody wants loaded or compared again while the task runs. They wait here until the run takes them.
#[derive(Debug, Default)]
pub struct Reloads {
    tables: Mutex<BTreeSet<TableName>>,
    added: Notify,
}

impl Reloads {
    /// Asks for tables, by their names at the source.
    pub fn ask(&self, tables: impl IntoIterator<Item = TableName>) {
        let mut waiting = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(tables);
        drop(waiting);
        self.added.notify_one();
    }

    /// Takes what is asked for.
    pub fn take(&self) -> BTreeSet<TableName> {
        let mut waiting = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        let waiting = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_empty()
    }

    /// Waits until something was asked for since the last wait.
    pub async fn asked(&self) {
        self.added.notified().await;
    }
}
