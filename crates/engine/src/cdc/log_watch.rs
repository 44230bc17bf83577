//! Looks after the log that the source keeps for the task, throughout the run: while tables are loaded, while changes are followed, and while
//! the task waits to be tried again. Whatever happens to a look, the task goes on.
//!
//! A log that comes near its limit is told of once, and once more when it is far from it again: between the two limits lies what is told
//! neither way, so that a log which grows and shrinks around one of them is no flood of words.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use whimbrel_connector::{Background, Connector, Error, KeptLog, LogWatch, in_background};

use crate::Progress;

/// Often enough for a log that fills within minutes, and seldom enough that nobody notices the connections.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A look that takes longer is given up.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// The alarm begins here: half of the time that there was is left to do something.
const BEGINS_PERCENT: u8 = 50;
/// The alarm is over below this.
const OVER_PERCENT: u8 = 40;

const OVER: &str = "the source no longer keeps more of its log for the task than it can spare";

/// Dropped, it ends.
pub(super) struct LogWatcher {
    _watching: Option<Background<()>>,
}

impl LogWatcher {
    pub(super) fn start(source: &Arc<dyn Connector>, task: &str, progress: &Arc<Progress>) -> Self {
        let watch = source.log_watch(task);
        let progress = Arc::clone(progress);
        let task = task.to_owned();
        let watching =
            watch.map(|watch| in_background("log watch", look_after(watch, task, progress)));
        Self {
            _watching: watching,
        }
    }
}

async fn look_after(mut watch: Box<dyn LogWatch>, task: String, progress: Arc<Progress>) {
    let mut is_on = false;
    let mut has_failed = false;
    loop {
        // Before the run has a checkpoint nothing is needed.
        if let Some(from) = progress.log_needed_from() {
            let no_answer = || Error::Transient("no answer".to_owned());
            let looked = tokio::time::timeout(LOOK_MAX, watch.look(&from)).await;
            match looked.unwrap_or_else(|_| Err(no_answer())) {
                Ok(kept) => {
                    has_failed = false;
                    is_on = told(kept, is_on, &task, &progress);
                }
                // One that goes on failing is told of once.
                Err(error) if has_failed => {
                    debug!(task, %error, "the log that the source keeps cannot be looked at");
                }
                Err(error) => {
                    info!(task, %error, "the log that the source keeps cannot be looked at; it is tried again in its time");
                    has_failed = true;
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells what has changed. Answers whether the alarm is on.
fn told(kept: Option<KeptLog>, is_on: bool, task: &str, progress: &Progress) -> bool {
    let percent = kept.as_ref().map_or(0, |kept| kept.percent);
    match kept {
        Some(kept) if !is_on && percent >= BEGINS_PERCENT => {
            let KeptLog {
                message, remedy, ..
            } = kept;
            warn!(task, percent, remedy, "{message}");
            progress.log_alarm(message, Some(remedy));
            true
        }
        _ if is_on && percent < OVER_PERCENT => {
            info!(task, percent, "{OVER}");
            progress.log_alarm(OVER.to_owned(), None);
            false
        }
        _ => is_on,
    }
}
