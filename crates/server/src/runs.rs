//! The runs of this process: at most one per task, each with a watcher that writes its figures down.
//!
//! A watcher writes the last figures and the new status in one transaction and only then takes its run off the list. So while a run
//! is on the list the task is not claimed again, and once it is off, the store says how it ended.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use whimbrel_core::{Position, TableName};
use whimbrel_store::{
    ChangeCounts, EpochMs, InstanceId, ReplicationTask, StoreError, Stored, TableState,
    TableStatistics, TaskId, Transaction, ValidationState,
};

use crate::context::Context;
use crate::data_plane::{Requests, RunEnd, RunProgress, TaskHandle, ValidationProgress};
use crate::forgetting;
use crate::reconcile::chain;
use crate::run_events;
use crate::task_lifecycle;
use crate::task_statistics::{self, Known, RunStart};

/// How often figures are written while a run goes on: what users see is at most this old.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// A store that refuses a write (disk full) is asked again this much later; the run goes on meanwhile.
const STORE_RETRY_WAIT: Duration = Duration::from_secs(1);

struct Run {
    instance_id: InstanceId,
    stop: CancellationToken,
    requests: Requests,
    /// Tables whose load was asked for already, and has not begun.
    asked: BTreeSet<TableName>,
    /// The same of comparisons.
    asked_to_compare: BTreeSet<TableName>,
    /// The version of the task that was written when the run last answered: older ones still ask for what is answered.
    answered_in: i64,
}

/// What a run has heard of since its figures were last written.
#[derive(Debug, Default)]
struct Answers {
    reloads: Vec<TableName>,
    revalidations: Vec<TableName>,
}

/// The runs of this process and whatever else it has under way.
#[derive(Default)]
pub(crate) struct Runs {
    by_task: Mutex<HashMap<TaskId, Run>>,
    under_way: TaskTracker,
    /// Told when the process ends, to what else may take long.
    ending: CancellationToken,
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Run>> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn contains(&self, task: &TaskId) -> bool {
        self.lock().contains_key(task)
    }

    /// Asks a run to stop; `false` when there is none.
    pub(crate) fn stop(&self, task: &TaskId) -> bool {
        self.lock()
            .get(task)
            .inspect(|run| run.stop.cancel())
            .is_some()
    }

    /// Asks a run to load and to compare tables again, each once until it has begun with it.
    pub(crate) fn ask(&self, task: &Stored<ReplicationTask>) {
        let mut runs = self.lock();
        let run = runs.get_mut(&task.id);
        let Some(run) = run.filter(|run| task.version >= run.answered_in) else {
            return;
        };
        let reloads = (&task.reloads, &mut run.asked, &run.requests.reloads);
        let revalidations = (
            &task.revalidations,
            &mut run.asked_to_compare,
            &run.requests.revalidations,
        );
        for (wanted, asked, requests) in [reloads, revalidations] {
            let new: Vec<TableName> = wanted.difference(asked).cloned().collect();
            asked.extend(new.iter().cloned());
            if !new.is_empty() {
                requests.ask(new);
            }
        }
    }

    /// What a run has answered may be asked of it again, now that the task is written without it.
    fn answered(&self, task: &Stored<ReplicationTask>, answers: &Answers) {
        if let Some(run) = self.lock().get_mut(&task.id) {
            run.asked.retain(|table| !answers.reloads.contains(table));
            run.asked_to_compare
                .retain(|table| !answers.revalidations.contains(table));
            run.answered_in = task.version;
        }
    }

    /// Asks all runs of an instance to stop; `false` when there are none.
    pub(crate) fn stop_all_on(&self, instance: &InstanceId) -> bool {
        let runs = self.lock();
        let mut on_instance = runs
            .values()
            .filter(|run| run.instance_id == *instance)
            .peekable();
        let any = on_instance.peek().is_some();
        on_instance.for_each(|run| run.stop.cancel());
        any
    }

    /// Cancelled once the process ends.
    pub(crate) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Asks all runs to stop.
    pub(crate) fn stop_all(&self) {
        self.ending.cancel();
        self.lock().values().for_each(|run| run.stop.cancel());
    }

    /// Starts work that a shutdown waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.under_way.spawn(work);
    }

    /// Waits until nothing is under way.
    pub(crate) async fn finished(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// Puts a run on the list and watches it to its end.
    pub(crate) fn watch(
        &self,
        context: &Arc<Context>,
        task: &Stored<ReplicationTask>,
        start: RunStart,
        handle: TaskHandle,
    ) {
        let run = Run {
            instance_id: task.instance_id.clone(),
            stop: handle.stop().clone(),
            requests: handle.requests().clone(),
            asked: BTreeSet::new(),
            asked_to_compare: BTreeSet::new(),
            answered_in: task.version,
        };
        self.lock().insert(task.id.clone(), run);
        let watcher = Watcher {
            context: Arc::clone(context),
            task_id: task.id.clone(),
            start,
            written: RunProgress::default(),
            applied_before: HashMap::new(),
        };
        self.under_way.spawn(watcher.run(handle));
    }
}

/// Writes the figures of one run.
struct Watcher {
    context: Arc<Context>,
    task_id: TaskId,
    start: RunStart,
    /// What was last written, so that only what changed is written again.
    written: RunProgress,
    /// What earlier runs applied and captured, by table, as it stood when this run first told of the table.
    applied_before: HashMap<TableName, (ChangeCounts, ChangeCounts)>,
}

impl Watcher {
    async fn run(mut self, mut handle: TaskHandle) {
        let mut tick = tokio::time::interval(FIGURES_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cleared = pin!(handle.cleared());
        let mut waits_for_clearing = true;
        let end = loop {
            tokio::select! {
                end = handle.ended() => break end,
                _ = tick.tick() => self.write_on_the_way(&handle).await,
                // Once only: when the store refuses it, the ticks try again.
                () = &mut cleared, if waits_for_clearing => {
                    waits_for_clearing = false;
                    self.write_on_the_way(&handle).await;
                }
            }
        };
        info!(task_id = %self.task_id, ?end, "run ended");
        let task = loop {
            match self.write(handle.progress(), Some(&end)).await {
                Ok(task) => break task,
                Err(error) => {
                    error!(task_id = %self.task_id, error = %chain(&error), "the end of the run could not be written and is tried again");
                    tokio::time::sleep(STORE_RETRY_WAIT).await;
                }
            }
        };
        if let Some(task) = task {
            self.clean_up(&task, &end).await;
        }
        self.context.runs.lock().remove(&self.task_id);
        self.context.wake();
    }

    /// Writes what changed, and lets a run go on that waits for its clearing to be written down.
    async fn write_on_the_way(&mut self, handle: &TaskHandle) {
        let progress = handle.progress();
        if progress != self.written {
            match self.write(progress, None).await {
                Ok(Some(_)) => {}
                Ok(None) => handle.stop().cancel(),
                Err(error) => {
                    warn!(task_id = %self.task_id, error = %chain(&error), "the figures of the run could not be written");
                }
            }
        }
        if self.written.is_cleared {
            handle.recorded();
        }
    }

    /// The record of a load that ended without errors has no use once the end is written. Until it is gone the run stays on the list, so
    /// that no later run can be disturbed.
    async fn clean_up(&self, task: &ReplicationTask, end: &RunEnd) {
        // A task that goes on, because tables are to be loaded again, has use for it.
        let has_ended = task.run.is_none();
        if has_ended
            && task_lifecycle::lets_record_go(task, end)
            && let Err(error) = forgetting::forget_at_ends(&self.context, task).await
        {
            warn!(task_id = %task.id, error = %chain(&error), "what the task has left at its ends remains there until it is deleted");
        }
    }

    /// Writes what changed since the last call and, at the end, what became of the task: all in one transaction. `None`: somebody else
    /// has taken the task over, or it is gone, so nothing was written.
    async fn write(
        &mut self,
        progress: RunProgress,
        end: Option<&RunEnd>,
    ) -> Result<Option<ReplicationTask>, StoreError> {
        let now = EpochMs::now();
        let mut transaction = self.context.store.begin().await?;
        let task = transaction
            .find::<ReplicationTask>(self.task_id.as_str())
            .await?;
        let Some(mut task) = task.filter(|task| task.epoch == self.start.epoch) else {
            return Ok(None);
        };
        if let Some(interruption) = &progress.interruption
            && self.written.interruption.as_ref() != Some(interruption)
        {
            let event = run_events::interrupted(&task, interruption);
            transaction.create(&event).await?;
        }
        let alarms = [
            (&progress.log_alarm, &self.written.log_alarm),
            (&progress.target_alarm, &self.written.target_alarm),
        ];
        for (alarm, written) in alarms {
            if let Some(alarm) = alarm
                && written.as_ref() != Some(alarm)
            {
                transaction.create(&run_events::alarm(&task, alarm)).await?;
            }
        }
        let answers = self
            .write_tables(&mut *transaction, &mut task, &progress, now)
            .await?;
        task.is_cleared |= progress.is_cleared;
        if let Some(checkpoint) = &progress.checkpoint {
            task.recovery_checkpoint =
                Some(Position::new(checkpoint.as_str()).recovery_checkpoint());
        }
        task_statistics::apply_task(&mut task.statistics, &progress, self.start, now);
        if let Some(end) = end
            && task_lifecycle::end_run(&mut task, end, now)
        {
            task_statistics::finish_task(&mut task.statistics, &progress, end, now);
            run_events::conclude(&mut *transaction, &mut task, end).await?;
        }
        let task = transaction.replace(&task).await?;
        transaction.commit().await?;
        self.written = progress;
        if !(answers.reloads.is_empty() && answers.revalidations.is_empty()) {
            self.context.runs.answered(&task, &answers);
            // What was asked for again since the commit was not passed on.
            self.context.wake();
        }
        Ok(Some(task.value))
    }

    /// Writes the figures of the tables that changed, with an event for each that went into error. Gives what the run has heard of.
    async fn write_tables(
        &mut self,
        transaction: &mut dyn Transaction,
        task: &mut ReplicationTask,
        progress: &RunProgress,
        now: EpochMs,
    ) -> Result<Answers, StoreError> {
        let mut answers = Answers::default();
        for (name, table) in &progress.tables {
            let before = self.written.tables.get(name);
            let is_told = before.map_or(&[][..], |before| &before.not_created) == table.not_created;
            // Whoever asked is told why nothing comes of it, each time.
            let is_answered =
                table.reload_answer_count > before.map_or(0, |before| before.reload_answer_count);
            if is_answered {
                task.reloads.remove(name);
                answers.reloads.push(name.clone());
            }
            let validation = self.validation(progress, name);
            if validation.is_heard {
                task.revalidations.remove(name);
                answers.revalidations.push(name.clone());
            }
            if self.written.tables.get(name) == Some(table) && validation.is_same {
                continue;
            }
            let id = TableStatistics::id_of(&self.task_id, &name.schema, &name.name);
            let old = transaction
                .find::<TableStatistics>(&id)
                .await?
                .map(|stored| stored.value);
            let error_before = old.as_ref().and_then(|old| old.error.clone());
            let mut new = old.unwrap_or_else(|| {
                TableStatistics::new(&self.task_id, &name.schema, &name.name, now)
            });
            let before = *self
                .applied_before
                .entry(name.clone())
                .or_insert((new.applied, new.captured));
            task_statistics::apply_table(&mut new, table, before, now);
            if task.reloads.contains(name) {
                new.state = TableState::Reloading;
            }
            let asked = if task.reloads.contains(name) {
                Some(ValidationState::PendingValidation)
            } else {
                let is_asked = task.revalidations.contains(name);
                is_asked.then_some(ValidationState::PendingRevalidation)
            };
            task_statistics::apply_validation(&mut new, validation.known, asked, now);
            transaction.put(&new).await?;
            if !is_told && !table.not_created.is_empty() {
                let event = run_events::not_created(task, &new, &table.not_created);
                transaction.create(&event).await?;
            }
            let is_news = run_events::is_amiss(&new) && new.error != error_before;
            if is_news || (is_answered && new.error.is_some()) {
                let event = run_events::table_failed(task, &new);
                transaction.create(&event).await?;
            }
        }
        Ok(answers)
    }

    /// What the run says of the comparison of a table.
    fn validation<'p>(&self, progress: &'p RunProgress, name: &TableName) -> Validation<'p> {
        fn of<'p>(progress: &'p RunProgress, name: &TableName) -> Option<&'p ValidationProgress> {
            progress.validations.as_ref()?.get(name)
        }
        let (before, now) = (of(&self.written, name), of(progress, name));
        let heard = |progress: Option<&ValidationProgress>| {
            progress.map_or(0, |progress| progress.request_count)
        };
        let known = match &progress.validations {
            None => Known::NotWanted,
            Some(_) => now.map_or(Known::Nothing, |now| Known::So(&now.known)),
        };
        Validation {
            known,
            is_same: before == now,
            is_heard: heard(now) > heard(before),
        }
    }
}

/// What a run says of the comparison of a table.
struct Validation<'p> {
    known: Known<'p>,
    /// It has said so before.
    is_same: bool,
    /// The run has heard of a request since.
    is_heard: bool,
}

#[cfg(test)]
mod tests;
