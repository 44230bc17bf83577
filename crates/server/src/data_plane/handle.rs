use std::sync::Arc;

use tokio::sync::{SetOnce, oneshot};
use tokio_util::sync::CancellationToken;
use whimbrel_engine::Reloads;

use super::{RunEnd, RunProgress};

/// How a fresh start and its records are told from earlier ones, whenever the process is killed.
///
/// ```text
///  run:            target lets go of all records ── waits ──────────────► writes its own records and rows
///  control plane:                                   writes `is_cleared` ─┘
/// ```
///
/// Killed before the write, nothing of this start is at the target: the next process starts afresh as well and lets go again. Killed after
/// it, whatever is recorded there is of this start: the next process goes on from it, down to the last chunk that was committed.
#[derive(Debug, Default)]
pub struct Clearance {
    cleared: SetOnce<()>,
    recorded: SetOnce<()>,
}

impl Clearance {
    /// For the run, once the target has let go: waits until that is written down. Only then may the run record anything.
    pub async fn wait_until_recorded(&self) {
        // Set already when the run comes here again, which changes nothing.
        self.cleared.set(()).ok();
        self.recorded.wait().await;
    }

    /// Whether the target has let go.
    pub fn is_cleared(&self) -> bool {
        self.cleared.initialized()
    }
}

/// A run under way. Dropped, it lets the run go on unwatched: [`TaskHandle::stop`] ends it.
pub struct TaskHandle {
    progress: Arc<dyn Fn() -> RunProgress + Send + Sync>,
    clearance: Arc<Clearance>,
    requests: Requests,
    stop: CancellationToken,
    end: oneshot::Receiver<RunEnd>,
}

/// What users ask of a run while it goes on.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Tables that are to be loaded again.
    pub reloads: Arc<Reloads>,
    /// Tables that are to be compared again.
    pub revalidations: Arc<Reloads>,
}

impl TaskHandle {
    /// A handle on a run that ends by sending its end, soon after `stop` is cancelled at the latest.
    pub fn new(
        progress: Arc<dyn Fn() -> RunProgress + Send + Sync>,
        clearance: Arc<Clearance>,
        requests: Requests,
        stop: CancellationToken,
        end: oneshot::Receiver<RunEnd>,
    ) -> Self {
        Self {
            progress,
            clearance,
            requests,
            stop,
            end,
        }
    }

    /// How far it is now.
    pub fn progress(&self) -> RunProgress {
        (self.progress)()
    }

    /// Where tables are asked for that are to be loaded or compared again.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What ends the run early when cancelled.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits until the run needs its clearing written down; the progress then says so too.
    pub fn cleared(&self) -> impl Future<Output = ()> + Send + use<> {
        let clearance = Arc::clone(&self.clearance);
        async move {
            clearance.cleared.wait().await;
        }
    }

    /// The clearing is written down: lets the run go on. May be repeated.
    pub fn recorded(&self) {
        self.clearance.recorded.set(()).ok();
    }

    /// Waits for the end. To be polled again after a dropped call, but not after an answer.
    pub async fn ended(&mut self) -> RunEnd {
        (&mut self.end).await.unwrap_or_else(|_| RunEnd::Failed {
            message: "the run ended without saying how; this is a fault of whimbrel, see its log"
                .to_owned(),
            is_recoverable: false,
        })
    }
}
