//! Removes what is `deleting`, each with all that belongs to it in one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::{info, warn};
use whimbrel_store::{
    AssessmentRun, Connection, Endpoint, EndpointStatus, EpochMs, Event, InstanceStatus, Record,
    ReplicationInstance, ReplicationTask, Resource, SchemaRefresh, StoreError, Stored,
    TableStatistics, TagSet, TaskId, TaskStatus,
};

use super::{PassError, Reconciler, UnderWay, chain};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::events::{instance_event, task_event};
use crate::forgetting;
use crate::operations::EVENTS_KEPT_MS;

/// More than this go in several passes. Events do not wake this reconciler: those that come are not old, and its timer is often enough.
const EVENTS_REMOVED_AT_ONCE: usize = 200;

pub(crate) struct Deletions {
    context: Arc<Context>,
    tasks: UnderWay<TaskId>,
}

/// Removes a task, and first what it has left at its ends. One that a pass has seen may have gone since, and another one have its id.
async fn remove_task(context: &Context, task: &Stored<ReplicationTask>) -> Result<(), PassError> {
    let found = context.store.find(task.id.as_str()).await?;
    if !is_still(task, found.as_ref()) {
        return Ok(());
    }
    // A task that no run has claimed has left nothing.
    let remains = if task.epoch == 0 {
        Vec::new()
    } else {
        forgetting::forget_at_ends(context, task).await?
    };
    Ok(remove_records(context, task, &remains).await?)
}

fn is_still(task: &Stored<ReplicationTask>, found: Option<&Stored<ReplicationTask>>) -> bool {
    found.is_some_and(|found| found.seq == task.seq && found.status == TaskStatus::Deleting)
}

/// `remains`: what the task has left at its ends, of which nobody else would know.
async fn remove_records(
    context: &Context,
    task: &Stored<ReplicationTask>,
    remains: &[String],
) -> Result<(), StoreError> {
    let mut transaction = context.store.begin().await?;
    let found = transaction.find(task.id.as_str()).await?;
    if !is_still(task, found.as_ref()) {
        return Ok(());
    }
    transaction
        .delete_children(TableStatistics::KIND, task.id.as_str())
        .await?;
    for run in transaction
        .list_children::<AssessmentRun>(task.id.as_str())
        .await?
    {
        let arn = context.home.arn(ArnKind::AssessmentRun, run.id.as_str());
        transaction.delete(TagSet::KIND, &arn).await?;
        transaction
            .delete(AssessmentRun::KIND, run.id.as_str())
            .await?;
    }
    transaction
        .delete(
            TagSet::KIND,
            &context.home.arn(ArnKind::Task, task.id.as_str()),
        )
        .await?;
    transaction
        .delete(ReplicationTask::KIND, task.id.as_str())
        .await?;
    if !remains.is_empty() {
        transaction.create(&not_cleaned_up(task, remains)).await?;
    }
    let text = "The replication task has been deleted.";
    transaction
        .create(&task_event(task, "deletion", text))
        .await?;
    transaction.commit().await?;
    info!(task_id = %task.id, "task deleted");
    Ok(())
}

fn not_cleaned_up(task: &ReplicationTask, remains: &[String]) -> Event {
    let text = format!(
        "The clean up of the data of the deleted replication task failed: {}. What to do: whimbrel forget SOURCE TARGET --task {}, when both can be reached",
        remains.join("; "),
        task.id
    );
    task_event(task, "failure", &text)
}

impl Deletions {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            tasks: UnderWay::default(),
        }
    }

    fn start_removal(&self, task: Stored<ReplicationTask>) {
        let Some(guard) = self.tasks.begin(task.id.clone()) else {
            return;
        };
        let context = Arc::clone(&self.context);
        self.context.runs.spawn(async move {
            if let Err(error) = remove_task(&context, &task).await {
                warn!(task_id = %task.id, error = %chain(&error), "a task could not be deleted and is tried again");
            }
            drop(guard);
        });
    }

    async fn remove_endpoint(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let mut transaction = self.context.store.begin().await?;
        transaction
            .delete_children(Connection::KIND, endpoint.id.as_str())
            .await?;
        transaction
            .delete(SchemaRefresh::KIND, endpoint.id.as_str())
            .await?;
        transaction
            .delete(
                TagSet::KIND,
                &self
                    .context
                    .home
                    .arn(ArnKind::Endpoint, endpoint.id.as_str()),
            )
            .await?;
        transaction
            .delete(Endpoint::KIND, endpoint.id.as_str())
            .await?;
        transaction.commit().await?;
        info!(endpoint = %endpoint.id, "endpoint deleted");
        Ok(())
    }

    async fn remove_instance(&self, instance: &ReplicationInstance) -> Result<(), StoreError> {
        let mut transaction = self.context.store.begin().await?;
        for connection in transaction.list::<Connection>().await? {
            if connection.instance_id == instance.id {
                transaction
                    .delete(Connection::KIND, connection.id.as_str())
                    .await?;
            }
        }
        transaction
            .delete(
                TagSet::KIND,
                &self
                    .context
                    .home
                    .arn(ArnKind::Instance, instance.id.as_str()),
            )
            .await?;
        if transaction
            .delete(ReplicationInstance::KIND, instance.id.as_str())
            .await?
        {
            transaction
                .create(&instance_event(
                    instance,
                    "deletion",
                    "The replication instance has been deleted.",
                ))
                .await?;
        }
        transaction.commit().await?;
        info!(instance = %instance.id, "instance deleted");
        Ok(())
    }

    /// Events older than the service keeps them.
    async fn remove_old_events(&self) -> Result<(), StoreError> {
        let oldest = EpochMs::now().plus_ms(-EVENTS_KEPT_MS);
        // They stand in the order in which they happened, so only the first ones need a look.
        let batch = self
            .context
            .store
            .page(Event::KIND, None, 0, EVENTS_REMOVED_AT_ONCE)
            .await?;
        let at = |record: &Record| record.doc.get("at").and_then(serde_json::Value::as_i64);
        let old: Vec<&Record> = batch
            .iter()
            .take_while(|record| at(record).is_some_and(|at| at < oldest.0))
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let mut transaction = self.context.store.begin().await?;
        for event in old {
            transaction.delete(Event::KIND, &event.id).await?;
        }
        transaction.commit().await
    }
}

#[async_trait]
impl Reconciler for Deletions {
    fn name(&self) -> &'static str {
        "deletions"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[
            ReplicationTask::KIND,
            Endpoint::KIND,
            ReplicationInstance::KIND,
        ]
    }

    async fn pass(&self) -> Result<(), PassError> {
        let store = &self.context.store;
        for task in store.list::<ReplicationTask>().await? {
            if task.status == TaskStatus::Deleting && !self.context.runs.contains(&task.id) {
                self.start_removal(task);
            }
        }
        for endpoint in store.list::<Endpoint>().await? {
            if endpoint.status == EndpointStatus::Deleting {
                self.remove_endpoint(&endpoint).await?;
            }
        }
        for instance in store.list::<ReplicationInstance>().await? {
            if instance.status == InstanceStatus::Deleting {
                self.remove_instance(&instance).await?;
            }
        }
        self.remove_old_events().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task_lifecycle::tests::task;

    #[tokio::test]
    async fn a_removal_that_comes_late_leaves_the_next_task_of_the_same_id() {
        let context = Context::of_test();
        let store = &context.store;
        let listed = store.create(&task(TaskStatus::Deleting)).await.unwrap();
        remove_task(&context, &listed).await.unwrap();
        for status in [TaskStatus::Ready, TaskStatus::Deleting] {
            let next = store.create(&task(status)).await.unwrap();
            remove_task(&context, &listed).await.unwrap();
            remove_records(&context, &listed, &[]).await.unwrap();
            let found = store.find::<ReplicationTask>(next.id.as_str());
            assert_eq!(found.await.unwrap().as_ref(), Some(&next));
            let mut transaction = store.begin().await.unwrap();
            transaction
                .delete(ReplicationTask::KIND, next.id.as_str())
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
    }
}
