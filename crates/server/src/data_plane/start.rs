//! Where a run starts: from nothing, or from what its own start has left at the target. The argument: [`Clearance`].

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use whimbrel_connector::{Connector, Error, Target, TaskFence};
use whimbrel_engine::{FullLoadSpec, Progress, RunError, check_ends_are_apart, release_log};

use super::{Clearance, RunMode};

/// Where a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing of it is at the target.
    Begin,
    /// What is at the target is of this start.
    GoOn,
}

/// Where a run starts, and what was claimed to find out.
pub(super) struct Started {
    pub(super) start: Start,
    pub(super) held: Option<TaskFence>,
}

/// What it takes to find out.
pub(super) struct Starting<'a> {
    pub(super) source: &'a Arc<dyn Connector>,
    pub(super) target: &'a Arc<dyn Connector>,
    pub(super) load: &'a FullLoadSpec,
    pub(super) task: &'a str,
    pub(super) mode: &'a RunMode,
    pub(super) follows: bool,
    pub(super) progress: &'a Progress,
    pub(super) clearance: &'a Clearance,
}

impl Starting<'_> {
    /// Clears the target for a fresh start and has that written down; or looks what is there to go on from. Tries again after faults of
    /// the environment, as the run itself does. `None`: stopped.
    pub(super) async fn start(
        &self,
        stop: &CancellationToken,
    ) -> Result<Option<Started>, RunError> {
        tokio::select! {
            () = stop.cancelled() => Ok(None),
            started = self.start_unless_stopped() => started.map(Some),
        }
    }

    async fn start_unless_stopped(&self) -> Result<Started, RunError> {
        let mut retry_number = 0;
        let mut held = None;
        let start = loop {
            let error = match self.look(&mut held).await {
                Ok(start) => break start,
                Err(error) => error,
            };
            retry_number += 1;
            let retry = &self.load.retry;
            if !error.is_transient() || retry_number > retry.retries_max {
                return Err(error);
            }
            let wait = self.progress.interrupted(&error, retry_number, retry);
            warn!(task = self.task, %error, retry_number, wait_ms = wait.as_millis(), "the task cannot start and tries again");
            tokio::time::sleep(wait).await;
        };
        if *self.mode == RunMode::Fresh {
            self.clearance.wait_until_recorded().await;
        }
        Ok(Started { start, held })
    }

    /// `held`: what an earlier try has claimed. Another worker that has taken the task since does not lose it to this one.
    async fn look(&self, held: &mut Option<TaskFence>) -> Result<Start, RunError> {
        // Before anything is claimed or cleared.
        check_ends_are_apart(self.source, self.target, self.load).await?;
        match self.mode {
            RunMode::Fresh => self.cleared(held).await,
            RunMode::Resume {
                may_begin: true, ..
            } if self.follows => self.found(held).await.map_err(RunError::Target),
            RunMode::Resume { .. } => Ok(Start::GoOn),
        }
    }

    async fn cleared(&self, held: &mut Option<TaskFence>) -> Result<Start, RunError> {
        let target = self.target.target().await;
        let mut target = target.map_err(RunError::Target)?;
        let fence = self.claim(&mut *target, held).await;
        let fence = fence.map_err(RunError::Target)?;
        let checkpoint = target.has_checkpoint(self.task).await;
        // The task may have followed its source before its type was modified.
        if !self.follows && checkpoint.map_err(RunError::Target)? {
            let released = release_log(self.source, self.task).await;
            released.map_err(RunError::Source)?;
        }
        target.clear(&fence).await.map_err(RunError::Target)?;
        Ok(Start::Begin)
    }

    async fn found(&self, held: &mut Option<TaskFence>) -> Result<Start, Error> {
        let mut target = self.target.target().await?;
        self.claim(&mut *target, held).await?;
        Ok(if target.has_checkpoint(self.task).await? {
            Start::GoOn
        } else {
            Start::Begin
        })
    }

    async fn claim(
        &self,
        target: &mut dyn Target,
        held: &mut Option<TaskFence>,
    ) -> Result<TaskFence, Error> {
        let fence = match held {
            Some(held) => target.claim_again(held).await?,
            None => target.claim(self.task).await?,
        };
        *held = Some(fence.clone());
        Ok(fence)
    }
}
