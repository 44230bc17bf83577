use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Resource;
use super::wire::{id_type, wire_enum};
use crate::EpochMs;

id_type! {
    /// The last part of a replication instance's ARN.
    InstanceId
}

wire_enum! {
    /// What an instance is doing.
    pub enum InstanceStatus {
        /// Set by CreateReplicationInstance; the reconciler makes it `available`.
        Creating = "creating",
        /// Set by the reconciler: tasks and tests can run.
        Available = "available",
        /// Set by ModifyReplicationInstance when the change applies at once; the reconciler applies it.
        Modifying = "modifying",
        /// As `modifying`, when the engine version changes.
        Upgrading = "upgrading",
        /// Set by RebootReplicationInstance; the reconciler restarts what ran there and makes it `available`.
        Rebooting = "rebooting",
        /// Set by DeleteReplicationInstance; the reconciler removes it once its connections are gone.
        Deleting = "deleting",
        /// Set by nothing yet: reserved for an instance whose worker cannot run.
        Failed = "failed",
    }
}

wire_enum! {
    /// What is to become of an upgrade that waits.
    #[derive(Default)]
    pub enum UpgradeOptIn {
        /// It is applied in the next maintenance window.
        #[default]
        NextMaintenance = "next-maintenance",
        /// Windows pass it over until it is opted into.
        Undone = "undo-opt-in",
    }
}

/// Changes asked for and not in force yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PendingModification {
    /// The new class.
    pub class: Option<String>,
    /// The new storage.
    pub allocated_storage_gb: Option<i32>,
    /// Whether there shall be a standby.
    pub multi_az: Option<bool>,
    /// The new engine version.
    pub engine_version: Option<String>,
    /// The new network type.
    pub network_type: Option<String>,
}

/// A replication instance: where tasks run and connections are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicationInstance {
    /// The last part of its ARN.
    pub id: InstanceId,
    /// The name that the user gave, in lower case.
    pub identifier: String,
    /// The size, as given.
    pub class: String,
    /// What it is doing.
    pub status: InstanceStatus,
    /// Gibibytes of storage, as asked for.
    pub allocated_storage_gb: i32,
    /// The engine version it reports.
    pub engine_version: String,
    /// As asked for.
    pub auto_minor_version_upgrade: bool,
    /// As asked for.
    pub publicly_accessible: bool,
    /// As asked for.
    pub multi_az: bool,
    /// The zone it stands in.
    pub availability_zone: String,
    /// The zone of the standby.
    pub secondary_availability_zone: Option<String>,
    /// The name of its subnet group.
    pub subnet_group: String,
    /// As given.
    pub vpc_security_group_ids: Vec<String>,
    /// `ddd:hh:mm-ddd:hh:mm`, UTC.
    pub preferred_maintenance_window: String,
    /// The key that storage is encrypted with.
    pub kms_key_id: String,
    /// As given.
    pub dns_name_servers: Option<String>,
    /// `IPV4` or `DUAL`.
    pub network_type: String,
    /// As given.
    pub kerberos: Option<Map<String, Value>>,
    /// Changes that wait for the maintenance window.
    pub pending: PendingModification,
    /// Changes that the reconciler puts into force now; there are some while `modifying` or `upgrading` only.
    #[serde(default)]
    pub applying: PendingModification,
    /// What becomes of an upgrade that waits.
    #[serde(default)]
    pub upgrade_opt_in: UpgradeOptIn,
    /// When it was made.
    pub created_at: EpochMs,
}

impl Resource for ReplicationInstance {
    const KIND: &'static str = "instance";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        &self.identifier
    }
}
