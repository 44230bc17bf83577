//! Where a run starts: from nothing, or from what its own start has left at the target. The argument: [`Clearance`].

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use whimbrel_connector::{Connector, Error};
use whimbrel_engine::{Progress, RetryPolicy, RunError};

use super::{Clearance, RunMode};

/// Where a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing of it is at the target.
    Begin,
    /// What is at the target is of this start.
    GoOn,
}

/// What it takes to find out.
pub(super) struct Starting<'a> {
    pub(super) target: &'a Arc<dyn Connector>,
    pub(super) task: &'a str,
    pub(super) mode: &'a RunMode,
    pub(super) follows: bool,
    pub(super) retry: RetryPolicy,
    pub(super) progress: &'a Progress,
    pub(super) clearance: &'a Clearance,
}

impl Starting<'_> {
    /// Clears the target for a fresh start and has that written down; or looks what is there to go on from. Tries again after faults of
    /// the environment, as the run itself does. `None`: stopped.
    pub(super) async fn start(&self, stop: &CancellationToken) -> Result<Option<Start>, RunError> {
        tokio::select! {
            () = stop.cancelled() => Ok(None),
            start = self.start_unless_stopped() => start.map(Some),
        }
    }

    async fn start_unless_stopped(&self) -> Result<Start, RunError> {
        let mut retry_number = 0;
        let start = loop {
            let error = match self.look().await {
                Ok(start) => break start,
                Err(error) => RunError::Target(error),
            };
            retry_number += 1;
            if !error.is_transient() || retry_number > self.retry.retries_max {
                return Err(error);
            }
            let wait = self.progress.interrupted(&error, retry_number, &self.retry);
            warn!(task = self.task, %error, retry_number, wait_ms = wait.as_millis(), "the target does not let the task start and is asked again");
            tokio::time::sleep(wait).await;
        };
        if *self.mode == RunMode::Fresh {
            self.clearance.wait_until_recorded().await;
        }
        Ok(start)
    }

    async fn look(&self) -> Result<Start, Error> {
        match self.mode {
            RunMode::Fresh => {
                let mut target = self.target.target().await?;
                let fence = target.claim(self.task).await?;
                target.forget(&fence).await?;
                Ok(Start::Begin)
            }
            RunMode::Resume {
                may_begin: true, ..
            } if self.follows => {
                let mut target = self.target.target().await?;
                let fence = target.claim(self.task).await?;
                let checkpoint = target.checkpoint(&fence).await?;
                Ok(if checkpoint.is_some() {
                    Start::GoOn
                } else {
                    Start::Begin
                })
            }
            RunMode::Resume { .. } => Ok(Start::GoOn),
        }
    }
}
