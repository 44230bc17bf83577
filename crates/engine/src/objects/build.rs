use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_connector::objects::{ObjectPlan, ObjectStep, Unconverted};
use whimbrel_connector::{Connector, Error, KeyNotRestored, TaskFence};
use whimbrel_core::TableName;
use whimbrel_core::objects::ObjectKind;

use super::before::stand_aside;
use super::worker::{Denied, Group, Worker};
use super::{ObjectResult, ObjectState, TOLD, plan_objects};
use crate::{FullLoadSpec, Progress, RunError};

/// What stands for all objects where nobody knows which there are.
const UNPLANNED: &str = "and all other objects";
/// Faults while objects are made that are met by another attempt of the run, at most.
const FAULTS_MAX: u32 = 5;
/// How the names of what the target had before end.
const OF_TARGET: &str = " of the target";

/// When objects are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Tables were loaded.
    Loaded,
    /// A task that follows its source goes on; an earlier run may have broken off in this phase.
    Resumed,
    /// No more changes follow.
    Ended,
}

/// How the phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// Every object was dealt with.
    All,
    /// It was asked to stop.
    Stopped,
}

/// What the phase works with.
pub(crate) struct Building<'a> {
    pub(crate) source: &'a Arc<dyn Connector>,
    pub(crate) target: &'a Arc<dyn Connector>,
    pub(crate) spec: &'a FullLoadSpec,
    pub(crate) fence: &'a TaskFence,
    pub(crate) progress: &'a Arc<Progress>,
    pub(crate) stop: &'a CancellationToken,
}

impl Building<'_> {
    /// Makes what is not there yet. What a server refuses is reported and stays undone; the rest is made all the same.
    pub(crate) async fn run(&self, stage: Stage) -> Result<Built, RunError> {
        if self.spec.objects.is_empty() {
            return Ok(Built::All);
        }
        let planned = tokio::select! {
            () = self.stop.cancelled() => return Ok(Built::Stopped),
            planned = self.plan() => planned,
        };
        let planned = match planned {
            Ok(planned) => planned,
            // Another attempt finds out. Tables that are followed do not wait for it.
            Err(error) if error.is_transient() && stage != Stage::Resumed => return Err(error),
            Err(error) => {
                self.tell_unplanned(stage, &error);
                return Ok(Built::All);
            }
        };
        self.progress.forget_objects(|name| name == UNPLANNED);
        if stage == Stage::Resumed {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(Built::Stopped),
                aside = self.put_aside(&planned) => aside?,
            }
        }
        let is_serial = planned.is_serial_by_table;
        let (now, later): (Vec<_>, Vec<_>) = planned
            .steps
            .into_iter()
            .partition(|step| self.is_due(step, stage));
        let waiting = later.iter().filter(|step| step.waits_for_end).count();
        if now.is_empty() && planned.unconverted.is_empty() && waiting == 0 {
            return Ok(Built::All);
        }
        self.tell_unconverted(&planned.unconverted);
        let due = now.iter().map(|step| (step.kind, step.name.as_str()));
        self.progress
            .begin_objects(&due.collect(), waiting, planned.unconverted);
        info!(
            task = self.fence.task,
            objects = now.len(),
            waiting,
            "objects of the tables are made"
        );
        let mut steps = now
            .into_iter()
            .filter(|step| !self.is_hopeless(step))
            .peekable();
        let denied = Denied::default();
        while let Some(kind) = steps.peek().map(|step| step.kind) {
            let mut of_kind = Vec::new();
            while let Some(step) = steps.next_if(|step| step.kind == kind) {
                of_kind.push(step);
            }
            let groups = group(of_kind, kind, is_serial);
            let made = tokio::select! {
                () = self.stop.cancelled() => return Ok(Built::Stopped),
                made = self.make(groups, &denied) => made,
            };
            match made {
                Ok(()) => {}
                // What follows does not wait for objects; they are made when it ends.
                Err(error) if stage == Stage::Resumed && !is_fenced(&error) => {
                    warn!(task = self.fence.task, %error, "objects of the tables wait until no more changes follow");
                    self.progress.objects_break_off();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Built::All)
    }

    /// Takes away what would act on rows that are about to be written.
    async fn put_aside(&self, planned: &ObjectPlan) -> Result<(), RunError> {
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        let about = (planned, &**self.progress);
        stand_aside(&mut *target, self.fence, about, |_| true).await
    }

    fn tell_unconverted(&self, unconverted: &[Unconverted]) {
        for left in unconverted {
            warn!(
                target: TOLD,
                task = self.fence.task,
                object = left.name,
                kind = left.what,
                reason = left.reason,
                statement = left.statement,
                "the object is not made: make it by hand if it is needed"
            );
        }
    }

    async fn plan(&self) -> Result<ObjectPlan, RunError> {
        let (source, target) = tokio::join!(self.source.source(), self.target.target());
        let mut source = source.map_err(RunError::Source)?;
        let mut target = target.map_err(RunError::Target)?;
        plan_objects(&mut *source, &mut *target, self.spec).await
    }

    /// The catalogs cannot be read. All rows are there and stay; nothing else is.
    fn tell_unplanned(&self, stage: Stage, error: &RunError) {
        warn!(task = self.fence.task, %error, "it cannot be said which objects the tables have");
        if stage == Stage::Resumed {
            // They are made when the following ends.
            return;
        }
        self.progress.object_ends(ObjectResult {
            kind: ObjectKind::Index,
            name: UNPLANNED.to_owned(),
            state: ObjectState::Failed(format!("they cannot be planned: {error}")),
            note: None,
            review: None,
            elapsed: std::time::Duration::ZERO,
        });
    }

    /// Shows what the target had and could not be made again.
    pub(crate) fn tell_keys(&self, refused: Vec<KeyNotRestored>) {
        if refused.is_empty() && self.progress.snapshot().objects.is_none() {
            return;
        }
        self.progress
            .forget_objects(|name| name.ends_with(OF_TARGET));
        for key in refused {
            self.progress.object_ends(ObjectResult {
                kind: key.kind,
                name: format!("{}{OF_TARGET}", key.name),
                state: if key.is_failure {
                    ObjectState::Failed(key.reason)
                } else {
                    ObjectState::Waits(key.reason)
                },
                note: None,
                review: None,
                elapsed: std::time::Duration::ZERO,
            });
        }
    }

    fn is_due(&self, step: &ObjectStep, stage: Stage) -> bool {
        let concerns = |tables: &BTreeSet<TableName>| {
            let mut own = step.table.iter().chain(&step.needs);
            let is_free = step.table.is_none() && step.needs.is_empty();
            is_free || own.any(|table| tables.contains(table))
        };
        let is_concerned = self
            .spec
            .joining
            .as_ref()
            .is_none_or(|joining| concerns(&joining.tables));
        match stage {
            Stage::Loaded if self.spec.is_followed => is_concerned && !step.waits_for_end,
            Stage::Loaded => is_concerned,
            Stage::Resumed => {
                let is_early = step.kind == ObjectKind::Index || step.script.is_some();
                is_early && !step.waits_for_end
            }
            Stage::Ended => true,
        }
    }

    /// Whether a table that it needs has no rows, or not all, or came after the load; then it is reported as not made.
    fn is_hopeless(&self, step: &ObjectStep) -> bool {
        let mut needed = step.table.iter().chain(&step.needs);
        let Some(lacking) = needed.find(|table| !self.progress.is_loaded(table)) else {
            return false;
        };
        warn!(target: TOLD, task = self.fence.task, object = step.name, table = %lacking, "the object is not made, because the table is not loaded");
        self.progress.object_ends(ObjectResult {
            kind: step.kind,
            name: step.name.clone(),
            state: ObjectState::Waits(format!(
                "it needs the table {lacking}, which is not loaded; it is made once that is"
            )),
            note: None,
            review: None,
            elapsed: std::time::Duration::ZERO,
        });
        true
    }

    /// How many faults of the environment are met by another attempt, before what meets one is told as not made. A load within a task that follows has no
    /// attempts of its own to count.
    fn faults_max(&self) -> u32 {
        if self.spec.is_followed {
            FAULTS_MAX
        } else {
            self.spec.retry.retries_max.min(FAULTS_MAX)
        }
    }

    /// Makes groups of steps, as many at once as the task loads chunks.
    async fn make(&self, groups: VecDeque<Group>, denied: &Denied) -> Result<(), RunError> {
        let worker_count = self.spec.subtask_count.clamp(1, groups.len().max(1));
        let queue = Arc::new(Mutex::new(groups));
        let mut workers = JoinSet::new();
        for _ in 0..worker_count {
            let worker = Worker {
                connector: Arc::clone(self.target),
                fence: self.fence.clone(),
                progress: Arc::clone(self.progress),
                queue: Arc::clone(&queue),
                faults_max: self.faults_max(),
                denied: Arc::clone(denied),
            };
            workers.spawn(worker.run());
        }
        // Workers that are still at it when the first fails are dropped with the set.
        while let Some(joined) = workers.join_next().await {
            joined.map_err(|panic| {
                RunError::Table(format!("the making of objects ended abnormally: {panic}"))
            })??;
        }
        Ok(())
    }
}

/// Only indexes and statistics of several tables get on side by side: the others lock two tables, or take no time.
fn group(steps: Vec<ObjectStep>, kind: ObjectKind, is_serial_by_table: bool) -> VecDeque<Group> {
    if !matches!(kind, ObjectKind::Index | ObjectKind::Statistics) {
        return VecDeque::from([steps]);
    }
    let mut groups: VecDeque<Group> = VecDeque::new();
    for step in steps {
        match groups.back_mut() {
            Some(last)
                if is_serial_by_table
                    && last.first().is_some_and(|first| first.table == step.table) =>
            {
                last.push(step);
            }
            _ => groups.push_back(vec![step]),
        }
    }
    groups
}

fn is_fenced(error: &RunError) -> bool {
    matches!(error, RunError::Target(Error::Fenced { .. }))
}
