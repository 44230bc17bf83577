//! What runs of a task have left at its ends beside the tables, and how it is removed: when a load has ended without errors, and when the
//! task is deleted.

use std::time::Duration;

use tracing::warn;
use whimbrel_store::{MigrationType, ReplicationTask};

use crate::connectors::time_limit;
use crate::context::Context;
use crate::reconcile::chain;

/// How long the ends may take, and what connecting to them may take beside it. One that is gone must not keep a task from going.
const FORGET_TIMEOUT: Duration = Duration::from_secs(30);

/// Lets both ends remove what runs of the task have left there. `false`: the store failed, so nothing was tried.
pub(crate) async fn forget_at_ends(context: &Context, task: &ReplicationTask) -> bool {
    let target = match context.endpoint_config(&task.target_endpoint_id).await {
        Ok(target) => target,
        Err(error) => {
            let error_text = chain(&error);
            warn!(task_id = %task.id, error = error_text, "the records of the task may remain at its target");
            return !error.is_transient();
        }
    };
    let source = match context.endpoint_config(&task.source_endpoint_id).await {
        Ok(source) => source,
        Err(error) => {
            let error_text = chain(&error);
            warn!(task_id = %task.id, error = error_text, "the source may keep its log for the task");
            return !error.is_transient();
        }
    };
    let limit = time_limit(time_limit(FORGET_TIMEOUT, &target), &source);
    let follows = task.migration_type != MigrationType::FullLoad;
    let ends = (&source, &target);
    let forgetting = context
        .data_plane
        .forget_task(ends, task.id.as_str(), follows);
    let reason = match tokio::time::timeout(limit, forgetting).await {
        Ok(Ok(())) => return true,
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => format!("no answer within {} s", limit.as_secs()),
    };
    warn!(task_id = %task.id, target = target.identifier, reason, "what the task has left at its ends remains there");
    true
}
