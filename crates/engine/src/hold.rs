//! The task at the target, as a run holds it over its attempts.
//!
//! A run that fails and tries again claims its task anew. Whoever took the task over meanwhile must not lose it to that: so what one attempt
//! has claimed, the next claims again only if nobody else has, in one step at the target ([`Target::claim_again`]).

use std::sync::{Mutex, PoisonError};

use tracing::debug;
use whimbrel_connector::{Connector, Target, TaskFence};

use crate::RunError;

/// What a run has claimed last.
#[derive(Debug)]
pub(crate) struct Hold(Mutex<Option<TaskFence>>);

impl Hold {
    /// `held`: what was claimed for the run before it began.
    pub(crate) const fn new(held: Option<TaskFence>) -> Self {
        Self(Mutex::new(held))
    }

    /// Takes the task: from whoever has it the first time, and later only from ourselves.
    pub(crate) async fn claim(
        &self,
        target: &mut dyn Target,
        task: &str,
    ) -> Result<TaskFence, RunError> {
        let claimed = match self.fence() {
            Some(held) => target.claim_again(&held).await,
            None => target.claim(task).await,
        };
        let fence = claimed.map_err(RunError::Target)?;
        self.set(Some(fence.clone()));
        Ok(fence)
    }

    /// Removes what the target has of the task, which is then nobody's: when nothing has begun.
    pub(crate) async fn forget(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
    ) -> Result<(), RunError> {
        let forgotten = target.forget(fence).await;
        forgotten.map_err(RunError::Target)?;
        self.set(None);
        Ok(())
    }

    /// What was claimed last, if anything.
    pub(crate) fn fence(&self) -> Option<TaskFence> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// That another worker has taken the task over, if so. Then that is why an attempt failed, whatever it saw of it: a slot that is not its
    /// own any more, a session that was ended.
    pub(crate) async fn taken_over(&self, target: &dyn Connector) -> Option<RunError> {
        let fence = self.fence()?;
        let checked = match target.target().await {
            Ok(mut target) => target.check(&fence).await,
            Err(error) => Err(error),
        };
        match checked {
            Err(error) if error.is_taken_over() => Some(RunError::Target(error)),
            Err(error) => {
                debug!(task = fence.task, %error, "the target does not say whose the task is");
                None
            }
            Ok(()) => None,
        }
    }

    fn set(&self, fence: Option<TaskFence>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fence;
    }
}
