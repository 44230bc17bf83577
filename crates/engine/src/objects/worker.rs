use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tracing::{error, info, warn};
use whimbrel_connector::objects::{ObjectOutcome, ObjectStep};
use whimbrel_connector::{Connector, Error, Target, TaskFence};
use whimbrel_core::TableName;
use whimbrel_core::objects::ObjectKind;

use super::{ObjectResult, ObjectState, TOLD};
use crate::{Progress, RunError};

/// Steps that one worker makes one after another.
pub(super) type Group = Vec<ObjectStep>;

/// Tables that the target's user may not change: that is told once for each.
pub(super) type Denied = Arc<std::sync::Mutex<BTreeSet<TableName>>>;

/// Makes groups of objects over a connection of its own.
pub(super) struct Worker {
    pub(super) connector: Arc<dyn Connector>,
    pub(super) fence: TaskFence,
    pub(super) progress: Arc<Progress>,
    pub(super) queue: Arc<Mutex<VecDeque<Group>>>,
    pub(super) denied: Denied,
    /// Faults that are met by another attempt of the run, in all.
    pub(super) faults_max: u32,
}

impl Worker {
    pub(super) async fn run(self) -> Result<(), RunError> {
        let mut target: Option<Box<dyn Target>> = None;
        loop {
            let group = self.queue.lock().await.pop_front();
            let Some(group) = group else { return Ok(()) };
            for steps in group.chunk_by(is_joinable) {
                let mut connected = match target.take() {
                    Some(target) => target,
                    None => self.connector.target().await.map_err(RunError::Target)?,
                };
                if !self.make_together(&mut connected, steps).await? {
                    for step in steps {
                        connected = self.make(connected, step).await?;
                    }
                }
                target = Some(connected);
            }
        }
    }

    /// Whether the target's user was refused another object of the same table.
    fn is_denied(&self, step: &ObjectStep) -> bool {
        // What is made by a text may need another right, and is told by itself.
        let table = step.table.as_ref().filter(|_| step.script.is_none());
        table.is_some_and(|table| self.denied().contains(table))
    }

    fn deny(&self, step: &ObjectStep) {
        self.denied().extend(step.table.clone());
    }

    fn denied(&self) -> MutexGuard<'_, BTreeSet<TableName>> {
        let denied = self.denied.lock();
        denied.unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one object and gives the connection back.
    async fn make(
        &self,
        mut target: Box<dyn Target>,
        step: &ObjectStep,
    ) -> Result<Box<dyn Target>, RunError> {
        let began = Instant::now();
        if self.is_denied(step) {
            self.progress.object_is_passed_over();
            return Ok(target);
        }
        if let Some(lacking) = self.progress.lacking(&step.rests_on) {
            let why = format!("it rests on {lacking}, which is not made; it is made once that is");
            self.tell(step, (ObjectState::Waits(why), None), began.elapsed());
            return Ok(target);
        }
        self.progress.object_begins(&step.name);
        let mut note = step.note.clone();
        let state = match target.make_object(&self.fence, step).await {
            Ok(ObjectOutcome::Made) => ObjectState::Made,
            Ok(ObjectOutcome::Replaced(what)) => {
                note = Some(note.map_or(what.clone(), |note| format!("{note}; {what}")));
                ObjectState::Made
            }
            Ok(ObjectOutcome::Kept) => ObjectState::Kept,
            Ok(ObjectOutcome::Lacks(what)) => ObjectState::Waits(what),
            Ok(ObjectOutcome::Denied(why)) if step.script.is_some() => {
                ObjectState::Waits(format!("{why}; make the objects again as a user who may"))
            }
            Ok(ObjectOutcome::Denied(why)) => {
                self.deny(step);
                ObjectState::Waits(format!(
                    "{why}; this and all that is missing besides of its table is made by a user who may: make the objects again as one, or make that user the owner"
                ))
            }
            Err(Error::Table(fault)) if step.script.is_some() => ObjectState::Waits(fault.message),
            Err(error @ (Error::Row(_) | Error::Fatal(_))) if step.script.is_some() => {
                ObjectState::Waits(error.to_string())
            }
            Err(Error::Table(fault)) => ObjectState::Failed(fault.message),
            Err(error @ (Error::Row(_) | Error::Fatal(_))) => {
                ObjectState::Failed(error.to_string())
            }
            Err(Error::Transient(why)) if self.progress.object_faults() > self.faults_max => {
                target = self.connector.target().await.map_err(RunError::Target)?;
                let why = lasting(&why, step);
                // What a text makes is no failure of the rows, whatever keeps it from being made.
                match step.script {
                    Some(_) => ObjectState::Waits(why),
                    None => ObjectState::Failed(why),
                }
            }
            Err(
                error @ (Error::Connect(_)
                | Error::Transient(_)
                | Error::Busy(_)
                | Error::Fenced { .. }),
            ) => {
                return Err(RunError::Target(error));
            }
        };
        self.tell(step, (state, note), began.elapsed());
        Ok(target)
    }

    /// Makes several objects of one table at once. `false`: they are to be made one by one.
    async fn make_together(
        &self,
        target: &mut Box<dyn Target>,
        steps: &[ObjectStep],
    ) -> Result<bool, RunError> {
        if steps.len() < 2 || steps.iter().any(|step| self.is_denied(step)) {
            return Ok(false);
        }
        let began = Instant::now();
        self.progress.object_begins(&steps[0].name);
        let outcomes = match target.make_together(&self.fence, steps).await {
            Ok(Some(outcomes)) => outcomes,
            Ok(None) => return Ok(false),
            // It lasts: each is tried, and told, by itself.
            Err(Error::Transient(_)) if self.progress.object_faults() > self.faults_max => {
                *target = self.connector.target().await.map_err(RunError::Target)?;
                return Ok(false);
            }
            Err(error) => return Err(RunError::Target(error)),
        };
        for (step, outcome) in steps.iter().zip(outcomes) {
            let state = match outcome {
                ObjectOutcome::Made | ObjectOutcome::Replaced(_) => ObjectState::Made,
                ObjectOutcome::Kept => ObjectState::Kept,
                ObjectOutcome::Lacks(why) | ObjectOutcome::Denied(why) => ObjectState::Waits(why),
            };
            self.tell(step, (state, step.note.clone()), began.elapsed());
        }
        Ok(true)
    }

    fn tell(
        &self,
        step: &ObjectStep,
        (state, note): (ObjectState, Option<String>),
        elapsed: Duration,
    ) {
        match &state {
            ObjectState::Failed(why) => {
                error!(
                    target: TOLD,
                    task = self.fence.task,
                    object = step.name,
                    kind = step.kind.singular(),
                    error = why,
                    "the object cannot be made"
                );
            }
            ObjectState::Waits(why) => {
                warn!(
                    target: TOLD,
                    task = self.fence.task,
                    object = step.name,
                    kind = step.kind.singular(),
                    reason = why,
                    "the object is not made"
                );
            }
            ObjectState::Made | ObjectState::Kept => {
                info!(
                    task = self.fence.task,
                    object = step.name,
                    kind = step.kind.singular(),
                    elapsed_ms = elapsed.as_millis(),
                    "the object is there"
                );
            }
        }
        self.progress.object_ends(ObjectResult {
            kind: step.kind,
            name: step.name.clone(),
            state,
            note,
            review: step.review().map(Box::new),
            elapsed,
        });
    }
}

/// A fault that stays: the rows are there, and must not wait for it.
fn lasting(why: &str, step: &ObjectStep) -> String {
    let statements: Vec<&str> = step
        .statements
        .iter()
        .map(|made| made.sql.as_str())
        .collect();
    format!(
        "{why}; that lasts, so the rest goes on without it; repeat with: {}",
        statements.join("; ")
    )
}

/// Whether two steps may be made at once: those for which a server may go through the whole table.
fn is_joinable(one: &ObjectStep, other: &ObjectStep) -> bool {
    let is_costly = !matches!(one.kind, ObjectKind::Index | ObjectKind::Statistics);
    is_costly && one.kind == other.kind && one.table.is_some() && one.table == other.table
}
