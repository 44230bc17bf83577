//! Changes of an instance that wait for its maintenance window, and how they come into force.
//!
//! `pending` ── the window opens, or the user wants it at once ──► `applying` ── reconciler ──► in force

use whimbrel_store::{
    EpochMs, InstanceStatus, PendingModification, ReplicationInstance, UpgradeOptIn,
};

use super::window;

/// What differs from the present state waits; what was waiting and is asked back no longer does.
pub(super) fn add(instance: &mut ReplicationInstance, asked: PendingModification) {
    fn add<T: PartialEq>(pending: &mut Option<T>, asked: Option<T>, present: &T) {
        if let Some(asked) = asked {
            *pending = Some(asked).filter(|asked| asked != present);
        }
    }
    if asked.engine_version.is_some() {
        instance.upgrade_opt_in = UpgradeOptIn::NextMaintenance;
    }
    let pending = &mut instance.pending;
    add(&mut pending.class, asked.class, &instance.class);
    add(
        &mut pending.allocated_storage_gb,
        asked.allocated_storage_gb,
        &instance.allocated_storage_gb,
    );
    add(&mut pending.multi_az, asked.multi_az, &instance.multi_az);
    add(
        &mut pending.engine_version,
        asked.engine_version,
        &instance.engine_version,
    );
    add(
        &mut pending.network_type,
        asked.network_type,
        &instance.network_type,
    );
}

/// Begins to apply all that waits; `false` when nothing does.
pub(super) fn begin_all(instance: &mut ReplicationInstance) -> bool {
    let waiting = std::mem::take(&mut instance.pending);
    begin(instance, waiting)
}

/// Begins to apply the upgrade that waits, and nothing else.
pub(crate) fn begin_upgrade(instance: &mut ReplicationInstance) -> bool {
    let upgrade = PendingModification {
        engine_version: instance.pending.engine_version.take(),
        ..PendingModification::default()
    };
    begin(instance, upgrade)
}

/// Begins to apply what waits for the window if that is open; an upgrade that was opted out of waits on.
pub(crate) fn begin_in_window(instance: &mut ReplicationInstance, now: EpochMs) -> bool {
    if !window::is_open(&instance.preferred_maintenance_window, now) {
        return false;
    }
    let mut waiting = std::mem::take(&mut instance.pending);
    if instance.upgrade_opt_in == UpgradeOptIn::Undone {
        instance.pending.engine_version = waiting.engine_version.take();
    }
    begin(instance, waiting)
}

fn begin(instance: &mut ReplicationInstance, changes: PendingModification) -> bool {
    if changes == PendingModification::default() {
        return false;
    }
    instance.status = if changes.engine_version.is_some() {
        instance.upgrade_opt_in = UpgradeOptIn::NextMaintenance;
        InstanceStatus::Upgrading
    } else {
        InstanceStatus::Modifying
    };
    instance.applying = changes;
    true
}

/// Puts the changes that are being applied into force; `standby`: the zone of a standby, should the instance get one.
pub(crate) fn apply(instance: &mut ReplicationInstance, standby: Option<String>) {
    let changes = std::mem::take(&mut instance.applying);
    if let Some(class) = changes.class {
        instance.class = class;
    }
    if let Some(storage) = changes.allocated_storage_gb {
        instance.allocated_storage_gb = storage;
    }
    if let Some(multi_az) = changes.multi_az {
        instance.multi_az = multi_az;
        instance.secondary_availability_zone = standby.filter(|_| multi_az);
    }
    if let Some(version) = changes.engine_version {
        instance.engine_version = version;
    }
    if let Some(network_type) = changes.network_type {
        instance.network_type = network_type;
    }
}
