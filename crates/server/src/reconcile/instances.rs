//! Brings instances to rest: an instance is the worker of this process, so there is nothing to wait for but its runs. And begins the
//! changes that waited for a maintenance window once it is open.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::info;
use whimbrel_store::{
    EpochMs, InstanceStatus, PendingModification, ReplicationInstance, Resource as _, StoreError,
    Stored,
};

use super::{PassError, Reconciler};
use crate::context::Context;
use crate::events::instance_event;
use crate::operations::{pending, standby_zone};

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

impl Instances {
    /// Begins what waits for the window, if it is open and the instance still is as it was seen.
    async fn begin_in_window(&self, seen: &Stored<ReplicationInstance>) -> Result<(), StoreError> {
        if seen.pending == PendingModification::default() {
            return Ok(());
        }
        let mut changed = seen.clone();
        if !pending::begin_in_window(&mut changed, EpochMs::now()) {
            return Ok(());
        }
        let mut transaction = self.0.store.begin().await?;
        match transaction.replace(&changed).await {
            Ok(_) => transaction.commit().await,
            // Somebody else changed it; the next pass looks again.
            Err(StoreError::VersionConflict { .. } | StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn settle(
        &self,
        seen: &Stored<ReplicationInstance>,
        category: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.store.begin().await?;
        let stored = transaction
            .find::<ReplicationInstance>(seen.id.as_str())
            .await?;
        let Some(mut stored) = stored.filter(|stored| stored.version == seen.version) else {
            return Ok(());
        };
        let standby = standby_zone(&self.0, &mut *transaction, &stored).await?;
        pending::apply(&mut stored, standby);
        stored.status = InstanceStatus::Available;
        transaction.replace(&stored).await?;
        transaction
            .create(&instance_event(&stored, category, text))
            .await?;
        transaction.commit().await?;
        info!(instance = %stored.id, "instance is available");
        Ok(())
    }
}

#[async_trait]
impl Reconciler for Instances {
    fn name(&self) -> &'static str {
        "instances"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[ReplicationInstance::KIND]
    }

    async fn pass(&self) -> Result<(), PassError> {
        for instance in self.0.store.list::<ReplicationInstance>().await? {
            if instance.status == InstanceStatus::Available {
                self.begin_in_window(&instance).await?;
            } else if instance.status == InstanceStatus::Rebooting
                && self.0.runs.stop_all_on(&instance.id)
            {
                // The end of each run wakes the next pass.
            } else if let Some((category, text)) = message(instance.status) {
                self.settle(&instance, category, text).await?;
            }
        }
        Ok(())
    }
}
