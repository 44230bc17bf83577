//! Validation: a task that compares the tables it has loaded, and goes on to look at what differed.
//!
//! ```text
//!  table loaded ──► compared by buckets ──► equal: Validated
//!                         └──► keys of rows that differ ──► looked at again ──► equal │ failed │ suspended
//! ```
//!
//! Why what it says is true, while the source moves. The two ends are never read at one moment: so a difference that a comparison finds is a
//! reason to look again, and no more ([`pending`]). The source is read first, then everything is waited for that was
//! committed until then, then the target is read; so a row that is still another at the target, while the source's stood still, is one that
//! changes have not brought over. Equality needs no such care: it was seen.
//!
//! Rows that the log tells of after the comparison began are looked at in the same way ([`touched`]): so `Validated` means that every row was
//! equal since the last change of it that was applied.
//!
//! Nothing is read under a lock, no row is written, and what is said of a table is dropped when the table was loaded again meanwhile.
//! The validator keeps nothing on disk: what was said is kept by the caller, and a run that goes on compares anew what had no result yet. Memory
//! is bounded by the rows that one comparison names ([`crate::validate::ROWS_COMPARED_MAX`]): while more are to be looked at, no further table is
//! compared, and what the log tells of waits, bounded by itself.

mod failures;
mod look;
mod pending;
mod round;
mod state;
mod tables;
mod touched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use whimbrel_connector::{Connector, Target};
use whimbrel_core::TableName;

use crate::{FullLoadSpec, Progress, Reloads, RunError};
use look::Eyes;
pub use pending::Delays;
pub use state::{TableValidation, ValidationState};
use tables::{Entry, Stage};
pub use touched::Touched;

/// How often the run is asked what it has done, where it does not say so itself.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The run that goes on beside is not held up by a wait, and what it waited for itself is there again soon.
const RETRY_WAIT_MAX: Duration = Duration::from_mins(1);
/// What a full load waits for a row that is changing at its source: nobody follows it.
const MOVING_ROW_WAIT: Duration = Duration::from_secs(5);

/// What a task wants of its validation.
#[derive(Clone, Debug)]
pub struct ValidationSpec {
    /// The load that is validated: which tables under which names, what was wanted to be different, retries.
    pub load: FullLoadSpec,
    /// Where the table is that users read; where the service has it when not given.
    pub control_schema: Option<String>,
    /// Chunks read at once from each end.
    pub reader_count: usize,
    /// Rows that are looked at with one statement, 1..=1000.
    pub keys_per_look: usize,
    /// More rows that differ suspend the validation of the task.
    pub failures_max: u64,
    /// More rows of one table that differ end its validation.
    pub table_failures_max: u64,
    /// How long rows may differ, in a task that follows changes.
    pub delays: Option<Delays>,
    /// How long a row that changed is left alone before it is looked at.
    pub first_look_after: Duration,
    /// Rows that the log tells of, in such a task.
    pub touched: Arc<Touched>,
    /// What earlier runs found out. Of a task that follows changes it is not used: nobody has looked at what came since.
    pub known: BTreeMap<TableName, TableValidation>,
    /// Tables that are to be compared again.
    pub requests: Arc<Reloads>,
}

impl ValidationSpec {
    fn delays(&self) -> Delays {
        self.delays.unwrap_or(Delays {
            failure: Duration::ZERO,
            suspend: MOVING_ROW_WAIT,
        })
    }

    fn follows(&self) -> bool {
        self.delays.is_some()
    }
}

/// Compares the tables of one run.
pub struct Validator {
    source: Arc<dyn Connector>,
    target: Arc<dyn Connector>,
    spec: ValidationSpec,
    progress: Arc<Progress>,
    tables: BTreeMap<TableName, Entry>,
    /// At most so many rows, of tables that were described.
    sizes: BTreeMap<TableName, u64>,
    /// Asked for, and not in `tables` yet.
    asked: BTreeSet<TableName>,
    eyes: Option<Eyes>,
    /// Writes what users read.
    writer: Option<Box<dyn Target>>,
}

/// What a step did.
enum Step {
    Worked,
    /// Nothing is to be done before `until`, unless the run or a user changes something.
    Rests {
        until: Option<Instant>,
        is_done: bool,
    },
}

impl Validator {
    /// A validator that has seen no table.
    pub fn new(
        source: &Arc<dyn Connector>,
        target: &Arc<dyn Connector>,
        spec: ValidationSpec,
        progress: &Arc<Progress>,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            target: Arc::clone(target),
            spec,
            progress: Arc::clone(progress),
            tables: BTreeMap::new(),
            sizes: BTreeMap::new(),
            asked: BTreeSet::new(),
            eyes: None,
            writer: None,
        }
    }

    /// Compares what is loaded, until something can be said of every table.
    ///
    /// # Cancel safety
    /// A call that was dropped is taken up by the next one; a comparison that was under way begins anew.
    pub async fn settle(&mut self) {
        self.work(true).await;
    }

    /// Compares tables as they are loaded, and looks again at what differs, until it is stopped.
    pub async fn keep_up(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work(false) => {}
        }
    }

    async fn work(&mut self, ends: bool) {
        let mut retry_number = 0;
        loop {
            let wait = match self.step().await {
                Ok(Step::Worked) => {
                    retry_number = 0;
                    continue;
                }
                Ok(Step::Rests { is_done: true, .. }) if ends => return,
                Ok(Step::Rests { until, .. }) => {
                    let soon = Instant::now() + ASK_EVERY;
                    until.map_or(soon, |until| until.min(soon))
                }
                Err(error) => {
                    retry_number += 1;
                    Instant::now() + self.after(&error, retry_number)
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(wait) => {}
                () = self.progress.changed(), if retry_number == 0 => {}
                () = self.spec.requests.asked(), if retry_number == 0 => {}
            }
        }
    }

    /// How long to wait after an error. Where it does not pass, the tables that were under way are given up.
    fn after(&mut self, error: &RunError, retry_number: u32) -> Duration {
        self.eyes = None;
        self.writer = None;
        let task = &self.spec.load.task;
        let retry = &self.spec.load.retry;
        // While a task follows its source, the run itself says when a fault has lasted too long.
        let may_retry = self.spec.follows() || retry_number <= retry.retries_max;
        if error.is_transient() && may_retry {
            let wait = retry.wait(retry_number).min(RETRY_WAIT_MAX);
            warn!(task, %error, retry_number, wait_ms = wait.as_millis(), "the validation is interrupted and tried again");
            return wait;
        }
        warn!(task, %error, "tables cannot be validated");
        let reason = format!("{error}; ask for the table again with ReloadTables validate-only");
        for entry in self.tables.values_mut() {
            if entry.is_under_way() {
                entry.end(ValidationState::Error, Some(reason.clone()));
            }
            // What was to be written of it is not tried for ever.
            entry.is_written = true;
        }
        self.show();
        ASK_EVERY
    }

    /// Does the next piece of work.
    async fn step(&mut self) -> Result<Step, RunError> {
        self.take_requests();
        self.see();
        // Before the log fills the room: tables that wait get their turn whatever it tells.
        let compares = self.may_compare();
        if self.has_room() {
            self.take_touched();
        }
        self.hold_bounds();
        self.show();
        if self.write_failures().await? {
            return Ok(Step::Worked);
        }
        if compares && self.compare_waiting().await? {
            return Ok(Step::Worked);
        }
        let now = Instant::now();
        if let Some(table) = self.due(now) {
            self.look_at(&table).await?;
            self.show();
            return Ok(Step::Worked);
        }
        Ok(Step::Rests {
            until: self.next_due(),
            is_done: self
                .tables
                .values()
                .all(|entry| matches!(entry.stage, Stage::Done)),
        })
    }

    /// A table can be compared when its changes are applied as well as its rows are loaded, and there is room for rows that differ.
    fn may_compare(&self) -> bool {
        if !self.has_room() {
            return false;
        }
        if !self.spec.follows() {
            return true;
        }
        let applied = self.progress.applied_to();
        applied.is_some_and(|(_, is_loading)| !is_loading)
    }

    fn show(&self) {
        let shown = self
            .tables
            .iter()
            .map(|(name, entry)| (name.clone(), entry.shown()));
        self.progress.show_validations(&shown.collect());
    }
}
