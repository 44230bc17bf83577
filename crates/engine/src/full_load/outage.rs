//! Waiting for a target that is away, without giving up what an attempt has: its view of the source, and the chunks that it has loaded of it.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};
use whimbrel_connector::{Error, LoadRecord, Target};
use whimbrel_core::TableName;

use super::coordinator::Shared;
use crate::retry::Headway;
use crate::{Progress, RetryPolicy, RunError};

/// How often a run has tried again without getting further, by new attempts and within one.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    number: u32,
    headway: Headway,
}

impl Retries {
    /// The number of the next retry, from 1; `None` where the policy allows no more. `keeps_chunks`: it goes on with the chunks that are loaded.
    pub(super) fn next(
        &self,
        progress: &Progress,
        policy: &RetryPolicy,
        keeps_chunks: bool,
    ) -> Option<u32> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.headway.grew(progress, keeps_chunks) {
            counted.number = 0;
        }
        counted.number += 1;
        (counted.number <= policy.retries_max).then_some(counted.number)
    }
}

impl Shared {
    /// How many outages of the target are over. Whoever asks it for something notes the number before, for [`Self::outlast`].
    pub(super) fn outages(&self) -> u64 {
        self.outages_over.load(Ordering::Acquire)
    }

    /// Waits until the target answers again, as the policy for retries says. `met` is what came of a call after `seen` outages: if
    /// another is over since then, nothing is waited for.
    ///
    /// # Errors
    /// What the target was met with last, once the policy allows no more; at once what no retry mends.
    pub(super) async fn outlast(&self, met: RunError, seen: u64) -> Result<(), RunError> {
        // All wait for the same: one of them asks.
        let _turn = self.outage.lock().await;
        if self.outages() != seen {
            return Ok(());
        }
        let mut met = met;
        loop {
            let policy = &self.spec.retry;
            let Some(number) = self.retries.next(&self.progress, policy, true) else {
                return Err(met);
            };
            let wait = self.progress.interrupted(&met, number, policy);
            warn!(task = self.fence.task, error = %met, retry_number = number, wait_ms = wait.as_millis(), "the target is waited for; the source's snapshot is kept");
            tokio::time::sleep(wait).await;
            self.forget_idle_targets().await;
            match self.ask_for_life().await.map_err(RunError::Target) {
                Ok(()) => break,
                Err(again) if again.may_pass() => met = again,
                Err(other) => return Err(other),
            }
        }
        info!(task = self.fence.task, "the target answers again");
        self.outages_over.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Sees that the target answers, and that the task is still ours there.
    async fn ask_for_life(&self) -> Result<(), Error> {
        let mut target = self.target_connector.target().await?;
        target.check(&self.fence).await?;
        self.give_back(target).await;
        Ok(())
    }

    /// What the target has recorded of a table, once it tells.
    ///
    /// # Errors
    /// Those of [`Self::outlast`].
    pub(super) async fn record(&self, table: &TableName) -> Result<Option<LoadRecord>, RunError> {
        loop {
            let seen = self.outages();
            let records = async {
                // An idle connection may have been lost with that of a chunk.
                let mut target = self.target_connector.target().await?;
                target.load_records(&self.fence).await
            };
            match records.await.map_err(RunError::Target) {
                Err(met) if met.may_pass() => self.outlast(met, seen).await?,
                records => {
                    let mut records = records?.into_iter();
                    return Ok(records.find(|record| record.table == *table));
                }
            }
        }
    }

    /// Outlasts what the holder of a connection of its own has met, and connects it anew.
    ///
    /// # Errors
    /// Those of [`Self::outlast`].
    pub(super) async fn renew(
        &self,
        target: &mut Box<dyn Target>,
        met: RunError,
        seen: u64,
    ) -> Result<(), RunError> {
        let (mut met, mut seen) = (met, seen);
        loop {
            self.outlast(met, seen).await?;
            seen = self.outages();
            let connected = self.target_connector.target().await;
            match connected.map_err(RunError::Target) {
                Ok(connected) => {
                    *target = connected;
                    target.keep_references(self.keeps_references);
                    return Ok(());
                }
                Err(again) if again.may_pass() => met = again,
                Err(other) => return Err(other),
            }
        }
    }
}
