//! Replication instances.

use whimbrel_store::ReplicationInstance;

/// Puts the pending changes of an instance into force.
pub(crate) fn apply_pending(instance: &mut ReplicationInstance) {
    let pending = std::mem::take(&mut instance.pending);
    if let Some(class) = pending.class {
        instance.class = class;
    }
    if let Some(storage) = pending.allocated_storage_gb {
        instance.allocated_storage_gb = storage;
    }
    if let Some(multi_az) = pending.multi_az {
        instance.multi_az = multi_az;
    }
    if let Some(version) = pending.engine_version {
        instance.engine_version = version;
    }
    if let Some(network_type) = pending.network_type {
        instance.network_type = network_type;
    }
}
