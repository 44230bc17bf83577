//! Removes what is `deleting`, each with all that belongs to it in one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::info;
use whimbrel_store::{
    Connection, Endpoint, EndpointStatus, InstanceStatus, ReplicationInstance, ReplicationTask,
    Resource, SchemaRefresh, StoreError, TableStatistics, TagSet, TaskStatus,
};

use super::{PassError, Reconciler};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::events::{instance_event, task_event};

pub(crate) struct Deletions(pub(crate) Arc<Context>);

impl Deletions {
    async fn remove_task(&self, task: &ReplicationTask) -> Result<(), StoreError> {
        let mut transaction = self.0.store.begin().await?;
        transaction
            .delete_children(TableStatistics::KIND, task.id.as_str())
            .await?;
        transaction
            .delete(
                TagSet::KIND,
                &self.0.home.arn(ArnKind::Task, task.id.as_str()),
            )
            .await?;
        if transaction
            .delete(ReplicationTask::KIND, task.id.as_str())
            .await?
        {
            transaction
                .create(&task_event(
                    task,
                    "deletion",
                    "The replication task has been deleted.",
                ))
                .await?;
        }
        transaction.commit().await?;
        info!(task_id = %task.id, "task deleted");
        Ok(())
    }

    async fn remove_endpoint(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let mut transaction = self.0.store.begin().await?;
        transaction
            .delete_children(Connection::KIND, endpoint.id.as_str())
            .await?;
        transaction
            .delete(SchemaRefresh::KIND, endpoint.id.as_str())
            .await?;
        transaction
            .delete(
                TagSet::KIND,
                &self.0.home.arn(ArnKind::Endpoint, endpoint.id.as_str()),
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
        let mut transaction = self.0.store.begin().await?;
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
                &self.0.home.arn(ArnKind::Instance, instance.id.as_str()),
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
}

#[async_trait]
impl Reconciler for Deletions {
    fn name(&self) -> &'static str {
        "deletions"
    }

    async fn pass(&self) -> Result<(), PassError> {
        let store = &self.0.store;
        for task in store.list::<ReplicationTask>().await? {
            if task.status == TaskStatus::Deleting && !self.0.runs.contains(&task.id) {
                self.remove_task(&task).await?;
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
        Ok(())
    }
}
