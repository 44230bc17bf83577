//! What runs of a task have left at its ends beside the tables, and how it is removed: when a load has ended without errors, and when the
//! task is deleted. What is the matter with one end is no matter of the other.

use std::time::Duration;

use tracing::warn;
use whimbrel_core::Engine;
use whimbrel_store::{EndpointId, MigrationType, ReplicationTask};

use crate::connectors::time_limit;
use crate::context::Context;
use crate::data_plane::{ConnectionFailure, EndpointConfig};
use crate::endpoint_config::EndpointConfigError;
use crate::engine_catalog::connects_to;
use crate::reconcile::chain;

/// How long an end may take, and what connecting to it may take beside it. One that is gone must not keep a task from going.
const FORGET_TIMEOUT: Duration = Duration::from_secs(30);

/// Lets both ends remove what runs of the task have left there. Answers what remains: why, and what to do.
///
/// # Errors
/// The store failed, so nothing was tried.
pub(crate) async fn forget_at_ends(
    context: &Context,
    task: &ReplicationTask,
) -> Result<Vec<String>, EndpointConfigError> {
    let source = end(context, &task.source_endpoint_id).await?;
    let mut target = end(context, &task.target_endpoint_id).await?;
    let mut is_followed = follows(task);
    if !is_followed && let Ok(end) = &target {
        // It may have followed before its type was modified.
        let asked = context.data_plane.has_followed(end, task.id.as_str());
        match within_time(end, asked).await {
            Ok(has_followed) => is_followed = has_followed,
            // It would not answer more either, and a source from which nothing is to be removed is none the worse for being asked.
            Err(reason) => {
                target = Err(reason);
                is_followed = true;
            }
        }
    }
    // Other engines keep nothing for those who read their log.
    is_followed &= source.as_ref().map_or(true, keeps_for_readers);
    let (data_plane, id) = (&context.data_plane, task.id.as_str());
    let at_source = async {
        let source = source?;
        within_time(&source, data_plane.forget_at_source(&source, id)).await
    };
    let at_source = async { if is_followed { at_source.await } else { Ok(()) } };
    let at_target = async {
        let target = target?;
        within_time(&target, data_plane.forget_at_target(&target, id)).await
    };
    let (at_source, at_target) = tokio::join!(at_source, at_target);
    let of_source = at_source.err().map(|reason| of_source(task, &reason));
    let of_target = at_target.err().map(|reason| of_target(&reason));
    let remains: Vec<String> = of_source.into_iter().chain(of_target).collect();
    for reason in &remains {
        warn!(task_id = %task.id, reason, "what the task has left at an end remains there");
    }
    Ok(remains)
}

/// What an end is connected to by, or why it cannot be connected to.
async fn end(
    context: &Context,
    id: &EndpointId,
) -> Result<Result<EndpointConfig, String>, EndpointConfigError> {
    match context.endpoint_config(id).await {
        Err(error) if error.is_transient() => Err(error),
        found => Ok(found.map_err(|error| chain(&error))),
    }
}

/// Whether the task follows its source, or did by its last start.
fn follows(task: &ReplicationTask) -> bool {
    let types = [Some(task.migration_type), task.started_as];
    let follows = |of: MigrationType| of != MigrationType::FullLoad;
    types.into_iter().flatten().any(follows)
}

fn keeps_for_readers(source: &EndpointConfig) -> bool {
    connects_to(&source.engine_name) == Some(Engine::Postgres)
}

async fn within_time<T>(
    end: &EndpointConfig,
    call: impl Future<Output = Result<T, ConnectionFailure>>,
) -> Result<T, String> {
    let limit = time_limit(FORGET_TIMEOUT, end);
    match tokio::time::timeout(limit, call).await {
        Ok(done) => done.map_err(|failure| failure.message),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

fn of_source(task: &ReplicationTask, reason: &str) -> String {
    // As far as the names are the task's: the rest depends on the database.
    let readable = task.id.as_str().chars().take(32);
    let name = readable.map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '_',
    });
    // The target may not have been there to tell.
    let condition = if follows(task) {
        "The"
    } else {
        "If the task has ever followed its source, the"
    };
    format!(
        "at the source: {reason}. {condition} replication slot and the publication remain there whose names begin with whimbrel_{}, and have PostgreSQL \
         keep its log for ever",
        name.collect::<String>()
    )
}

fn of_target(reason: &str) -> String {
    format!("at the target: {reason}. What the task has recorded in awsdms_control remains there")
}
