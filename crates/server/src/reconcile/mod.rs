//! Reconcilers: each reads intended and actual state of one concern and closes the gap.
//!
//! They take no input, so it does not matter what was missed: whatever a killed process left undone is found by the first pass of the
//! next one. A pass runs when the store changed, and on a timer; what fails is tried again by a later pass. A run writes its figures into the
//! store every second, so that with many runs something always changes: passes that only the store wakes keep a distance.

mod assessments;
mod connections;
mod deletions;
mod instances;
mod schema_refresh;
mod tasks;

use assessments::Assessments;
use connections::Connections;
use deletions::Deletions;
use instances::Instances;
use schema_refresh::SchemaRefreshes;
use tasks::Tasks;

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, warn};
use whimbrel_connector::in_background;
use whimbrel_store::Changes;

use crate::context::Context;
use crate::endpoint_config::EndpointConfigError;

/// How long a pass waits for a change before it looks anyway.
const PASS_INTERVAL: Duration = Duration::from_secs(15);
/// How long after the beginning of a pass a change in the store begins the next one.
const PASSES_APART: Duration = Duration::from_millis(200);
/// How long after a failed pass the next one comes, whatever changes.
const FAILED_PASS_WAIT: Duration = Duration::from_secs(1);

/// Why a pass gave up. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    #[error(transparent)]
    Store(#[from] whimbrel_store::StoreError),
    #[error(transparent)]
    Endpoint(#[from] EndpointConfigError),
}

#[async_trait]
pub(crate) trait Reconciler: Send + Sync {
    /// Its name in the log.
    fn name(&self) -> &'static str;

    /// The kinds of resources that it looks at: a change of another kind does not wake it.
    fn kinds(&self) -> &'static [&'static str];

    /// Looks once and does what is to be done. Idempotent. Long work is started, not awaited.
    async fn pass(&self) -> Result<(), PassError>;
}

/// All reconcilers over one context.
pub(crate) fn all(context: &Arc<Context>) -> [Arc<dyn Reconciler>; 6] {
    [
        Arc::new(Instances(Arc::clone(context))),
        Arc::new(Connections::new(Arc::clone(context))),
        Arc::new(SchemaRefreshes::new(Arc::clone(context))),
        Arc::new(Tasks(Arc::clone(context))),
        Arc::new(Assessments::new(Arc::clone(context))),
        Arc::new(Deletions::new(Arc::clone(context))),
    ]
}

/// Runs passes until `shutdown`.
pub(crate) async fn run(
    reconciler: Arc<dyn Reconciler>,
    context: Arc<Context>,
    shutdown: CancellationToken,
) {
    let span = tracing::info_span!("reconciler", name = reconciler.name());
    let kinds = reconciler.kinds();
    let passes = async {
        let mut changes = context.store.watch();
        let mut wakes = context.wake.subscribe();
        loop {
            // Marked before the pass looks: a change that comes while it does is looked at again.
            let seen = changes.borrow_and_update().of(kinds);
            wakes.mark_unchanged();
            let next_at = Instant::now() + PASSES_APART;
            let wait = match reconciler.pass().await {
                Ok(()) => PASS_INTERVAL,
                Err(error) => {
                    warn!(error = %chain(&error), "a pass failed and is tried again");
                    tokio::time::sleep(FAILED_PASS_WAIT).await;
                    continue;
                }
            };
            tokio::select! {
                () = changed(&mut changes, kinds, seen, next_at) => {}
                _ = wakes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = passes.instrument(span) => {}
    }
}

async fn changed(
    changes: &mut watch::Receiver<Changes>,
    kinds: &[&str],
    seen: u64,
    not_before: Instant,
) {
    drop(changes.wait_for(|changes| changes.of(kinds) != seen).await);
    tokio::time::sleep_until(not_before).await;
}

/// Runs passes until `shutdown`, and goes on when one panics: a fault in one concern must not stop it for good.
pub(crate) async fn supervise(
    reconciler: Arc<dyn Reconciler>,
    context: Arc<Context>,
    shutdown: CancellationToken,
) {
    while !shutdown.is_cancelled() {
        let passes = run(
            Arc::clone(&reconciler),
            Arc::clone(&context),
            shutdown.clone(),
        );
        if let Err(error) = in_background("reconcile", passes).await {
            error!(name = reconciler.name(), %error, "a reconciler ended abnormally and is started again");
            tokio::time::sleep(FAILED_PASS_WAIT).await;
        }
    }
}

/// The work that a reconciler has under way, each piece once, by what tells it from the others.
pub(crate) struct UnderWay<K: Eq + Hash>(Arc<Mutex<HashSet<K>>>);

impl<K: Eq + Hash> Default for UnderWay<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> UnderWay<K> {
    /// Notes a piece of work; `None` when it is under way already. It is over when the guard is dropped, by a panic too.
    pub(crate) fn begin(&self, key: K) -> Option<UnderWayGuard<K>> {
        let is_new = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone());
        is_new.then(|| UnderWayGuard {
            all: Arc::clone(&self.0),
            key,
        })
    }
}

/// One piece of work under way.
pub(crate) struct UnderWayGuard<K: Eq + Hash> {
    all: Arc<Mutex<HashSet<K>>>,
    key: K,
}

impl<K: Eq + Hash> Drop for UnderWayGuard<K> {
    fn drop(&mut self) {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

/// The error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use whimbrel_store::{ReplicationTask, Resource as _, TaskStatus};

    use super::*;
    use crate::task_lifecycle::tests::task;

    struct Counting(Arc<AtomicU32>);

    #[async_trait]
    impl Reconciler for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn kinds(&self) -> &'static [&'static str] {
            &[ReplicationTask::KIND]
        }

        async fn pass(&self) -> Result<(), PassError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_that_always_changes_does_not_keep_a_reconciler_busy() {
        let context = Context::of_test();
        let count = Arc::new(AtomicU32::new(0));
        let passes = run(
            Arc::new(Counting(Arc::clone(&count))),
            Arc::clone(&context),
            CancellationToken::new(),
        );
        let begun_at = Instant::now();
        let writes = async {
            for number in 0..50 {
                let mut next = task(TaskStatus::Running);
                next.id.0 = number.to_string();
                next.identifier = number.to_string();
                context.store.create(&next).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let of_changes = count.load(Ordering::Relaxed);
            let periods = begun_at.elapsed().as_millis() / PASSES_APART.as_millis();
            assert!(
                u128::from(of_changes) <= periods + 1,
                "{of_changes} passes in {periods} periods"
            );
            // What is not in the store is looked at without delay.
            let woken_at = Instant::now();
            for number in 1..=5 {
                context.wake();
                while count.load(Ordering::Relaxed) < of_changes + number {
                    tokio::task::yield_now().await;
                }
            }
            assert!(
                woken_at.elapsed() < PASSES_APART * 2,
                "{:?}",
                woken_at.elapsed()
            );
        };
        tokio::select! {
            () = passes => panic!("the reconciler ends by itself"),
            () = writes => {}
        }
    }
}
