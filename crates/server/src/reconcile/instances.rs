//! Brings instances to rest: an instance is the worker of this process, so there is nothing to wait for but its runs.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::info;
use whimbrel_store::{InstanceStatus, ReplicationInstance};

use super::{PassError, Reconciler};
use crate::context::Context;
use crate::events::instance_event;
use crate::operations::apply_pending;

pub(crate) struct Instances(pub(crate) Arc<Context>);

/// The event that tells of the step from this status to `available`.
fn message(from: InstanceStatus) -> Option<(&'static str, &'static str)> {
    match from {
        InstanceStatus::Creating => {
            Some(("creation", "The replication instance has been created."))
        }
        InstanceStatus::Modifying => Some((
            "configuration change",
            "The replication instance has been modified.",
        )),
        InstanceStatus::Upgrading => {
            Some(("maintenance", "The replication instance has been upgraded."))
        }
        InstanceStatus::Rebooting => Some((
            "configuration change",
            "The replication instance has been rebooted.",
        )),
        InstanceStatus::Available | InstanceStatus::Deleting | InstanceStatus::Failed => None,
    }
}

#[async_trait]
impl Reconciler for Instances {
    fn name(&self) -> &'static str {
        "instances"
    }

    async fn pass(&self) -> Result<(), PassError> {
        for instance in self.0.store.list::<ReplicationInstance>().await? {
            let Some((category, text)) = message(instance.status) else {
                continue;
            };
            if instance.status == InstanceStatus::Rebooting && self.0.runs.stop_all_on(&instance.id)
            {
                continue;
            }
            let mut transaction = self.0.store.begin().await?;
            let Some(mut stored) = transaction
                .find::<ReplicationInstance>(instance.id.as_str())
                .await?
            else {
                continue;
            };
            if stored.version != instance.version {
                continue;
            }
            if matches!(
                stored.status,
                InstanceStatus::Modifying | InstanceStatus::Upgrading
            ) {
                apply_pending(&mut stored);
            }
            stored.status = InstanceStatus::Available;
            transaction.replace(&stored).await?;
            transaction
                .create(&instance_event(&stored, category, text))
                .await?;
            transaction.commit().await?;
            info!(instance = %stored.id, "instance is available");
        }
        Ok(())
    }
}
