//! Looks whether the target stands still, throughout the run. A server that waits for room on its disk refuses nothing: what it was asked for
//! last is not answered, for hours if need be, and is done once there is room. So the task waits with it, and tells why.
//!
//! Nothing is decided here. What was sent before the wait is committed by the server or not, as after any other commit whose answer is late;
//! the looks write nothing, and whether one fails is all the same to the task.
//!
//! The target is asked only while nothing moves although something is to be done, so that a run that gets on makes no connection for this.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use whimbrel_connector::{Background, Connector, Error, Stall, StallWatch, in_background};

use crate::{Progress, ProgressSnapshot};

/// As long as nothing moved before the target is asked, and between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A look that takes longer is given up.
const LOOK_MAX: Duration = Duration::from_secs(10);

const OVER: &str = "the target's server no longer waits for room on its disk";

/// Dropped, it ends.
pub(crate) struct StallWatcher {
    watching: Option<Background<()>>,
    progress: Arc<Progress>,
}

impl StallWatcher {
    /// Watches the target of a run, if nothing does so yet: loads are parts of runs that are watched.
    pub(crate) fn start(target: &Arc<dyn Connector>, task: &str, progress: &Arc<Progress>) -> Self {
        let watch = target.stall_watch();
        let watching = watch.filter(|_| progress.begin_watch()).map(|watch| {
            let (task, progress) = (task.to_owned(), Arc::clone(progress));
            in_background("stall watch", look_after(watch, task, progress))
        });
        Self {
            watching,
            progress: Arc::clone(progress),
        }
    }
}

impl Drop for StallWatcher {
    fn drop(&mut self) {
        if self.watching.is_some() {
            self.progress.end_watch();
        }
    }
}

/// What moves when a run gets on.
#[derive(PartialEq, Eq)]
struct Movement {
    rows: u64,
    chunks: u64,
    changes: u64,
    transactions: u64,
    objects: usize,
}

impl Movement {
    fn of(snapshot: &ProgressSnapshot) -> Self {
        let follow = snapshot.follow.as_ref();
        Self {
            rows: snapshot.row_count(),
            chunks: snapshot.chunks_done(),
            changes: snapshot.change_count(),
            transactions: follow.map_or(0, |follow| follow.transaction_count),
            objects: snapshot.objects.as_ref().map_or(0, |o| o.results.len()),
        }
    }
}

/// Whether the run has nothing to do but to wait for changes.
fn is_idle(snapshot: &ProgressSnapshot) -> bool {
    let follow = snapshot.follow.as_ref();
    follow.is_some_and(|follow| follow.oldest_waiting_us.is_none() && !follow.is_loading)
}

async fn look_after(mut watch: Box<dyn StallWatch>, task: String, progress: Arc<Progress>) {
    let mut is_on = false;
    let mut before = Movement::of(&progress.snapshot());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let snapshot = progress.snapshot();
        let now = Movement::of(&snapshot);
        let moves = now != before || is_idle(&snapshot);
        before = now;
        if moves && !is_on {
            continue;
        }
        let no_answer = || Error::Transient("no answer".to_owned());
        let looked = tokio::time::timeout(LOOK_MAX, watch.look()).await;
        match looked.unwrap_or_else(|_| Err(no_answer())) {
            Ok(stall) => is_on = told(stall, is_on, &task, &progress),
            Err(error) => debug!(task, %error, "the target cannot be asked what it waits for"),
        }
    }
}

/// Tells what has changed. Answers whether the alarm is on.
fn told(stall: Option<Stall>, is_on: bool, task: &str, progress: &Progress) -> bool {
    match stall {
        Some(Stall { message, remedy }) if !is_on => {
            warn!(task, remedy, "{message}");
            progress.target_alarm(message, Some(remedy));
            true
        }
        None if is_on => {
            info!(task, "{OVER}");
            progress.target_alarm(OVER.to_owned(), None);
            false
        }
        _ => is_on,
    }
}
