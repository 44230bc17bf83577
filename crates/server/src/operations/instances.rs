//! Replication instances: where tasks run and connections are made from. Each is the worker in this process.

mod check;
mod wire;

use tracing::info;
use whimbrel_model as model;
use whimbrel_store::{
    EpochMs, InstanceId, InstanceStatus, PendingModification, ReplicationInstance, ReplicationTask,
    Stored, Transaction,
};

use self::check::{
    checked_class, checked_network, checked_storage, checked_version, checked_window, random_window,
};
use self::wire::to_wire;
use super::catalog::NEWEST_ENGINE_VERSION;
use super::subnet_groups::{self, DEFAULT_GROUP};
use super::tags;
use crate::arn::{ArnKind, random_id};
use crate::context::Context;
use crate::events::instance_event;
use crate::fault::{self, Fault, invalid_combination, invalid_state};
use crate::identifier;
use crate::listing::{Filters, PageRequest, USUAL_PAGE};
use crate::quota::{self, Quota};

const DEFAULT_STORAGE_GB: i32 = 50;

pub(super) async fn create(
    context: &Context,
    mut message: model::CreateReplicationInstanceMessage,
) -> Result<model::CreateReplicationInstanceResponse, Fault> {
    let given_tags = message.tags.take();
    let instance = instance_from_create(context, message)?;
    let mut transaction = context.store.begin().await?;
    let group =
        subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
    let used = transaction.list::<ReplicationInstance>().await?;
    quota::check(Quota::Instances, used.len())?;
    let storage = used
        .iter()
        .map(|other| i64::from(other.allocated_storage_gb))
        .sum::<i64>();
    quota::check_storage(storage + i64::from(instance.allocated_storage_gb))?;
    let arn = context.home.arn(ArnKind::Instance, instance.id.as_str());
    if let Err(error) = transaction.create(&instance).await {
        return Err(fault::taken(
            context,
            &mut *transaction,
            error,
            ("Replication Instance", ArnKind::Instance),
            &instance,
        )
        .await);
    }
    tags::create(&mut *transaction, &arn, given_tags).await?;
    transaction
        .create(&instance_event(
            &instance,
            "creation",
            "The replication instance is being created.",
        ))
        .await?;
    transaction.commit().await?;
    info!(instance = %instance.id, identifier = instance.identifier, "instance is being created");
    Ok(model::CreateReplicationInstanceResponse {
        replication_instance: Some(to_wire(context, &instance, &group)),
    })
}

fn instance_from_create(
    context: &Context,
    message: model::CreateReplicationInstanceMessage,
) -> Result<ReplicationInstance, Fault> {
    let multi_az = message.multi_az.unwrap_or(false);
    if multi_az && message.availability_zone.is_some() {
        return Err(invalid_combination(
            "AvailabilityZone cannot be given when MultiAZ is true".to_owned(),
        ));
    }
    let id = match &message.resource_identifier {
        Some(text) => identifier::resource_identifier(text)?,
        None => random_id(),
    };
    let region = &context.home.region;
    Ok(ReplicationInstance {
        id: InstanceId(id),
        identifier: identifier::instance_identifier(&message.replication_instance_identifier)?,
        class: checked_class(&message.replication_instance_class)?,
        status: InstanceStatus::Creating,
        allocated_storage_gb: checked_storage(
            message.allocated_storage.unwrap_or(DEFAULT_STORAGE_GB),
        )?,
        engine_version: checked_version(
            message
                .engine_version
                .as_deref()
                .unwrap_or(NEWEST_ENGINE_VERSION),
        )?,
        auto_minor_version_upgrade: message.auto_minor_version_upgrade.unwrap_or(true),
        publicly_accessible: message.publicly_accessible.unwrap_or(true),
        multi_az,
        availability_zone: message
            .availability_zone
            .unwrap_or_else(|| format!("{region}a")),
        secondary_availability_zone: multi_az.then(|| format!("{region}b")),
        subnet_group: message.replication_subnet_group_identifier.map_or_else(
            || DEFAULT_GROUP.to_owned(),
            |name| name.to_ascii_lowercase(),
        ),
        vpc_security_group_ids: message.vpc_security_group_ids.unwrap_or_default(),
        preferred_maintenance_window: match message.preferred_maintenance_window {
            Some(window) => checked_window(&window)?,
            None => random_window(),
        },
        kms_key_id: message
            .kms_key_id
            .unwrap_or_else(|| context.default_kms_key()),
        dns_name_servers: message.dns_name_servers,
        network_type: checked_network(message.network_type.as_deref())?,
        kerberos: message
            .kerberos_authentication_settings
            .as_ref()
            .map(super::json_object),
        pending: PendingModification::default(),
        created_at: EpochMs::now(),
    })
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeReplicationInstancesMessage,
) -> Result<model::DescribeReplicationInstancesResponse, Fault> {
    let known = [
        "replication-instance-arn",
        "replication-instance-id",
        "replication-instance-class",
        "engine-version",
    ];
    let filters = super::filters(message.filters, &known)?;
    let page = PageRequest::parse(
        "instances",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut instances = context.store.list::<ReplicationInstance>().await?;
    instances.retain(|instance| matches(context, &filters, instance));
    if instances.is_empty() && !filters.is_empty() {
        return Err(fault::not_found(
            "No Replication Instances found matching provided filters".to_owned(),
        ));
    }
    let (instances, marker) = page.cut(instances);
    let mut transaction = context.store.begin().await?;
    let mut wire = Vec::with_capacity(instances.len());
    for instance in instances {
        let group =
            subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
        wire.push(to_wire(context, &instance, &group));
    }
    Ok(model::DescribeReplicationInstancesResponse {
        marker,
        replication_instances: Some(wire),
    })
}

fn matches(context: &Context, filters: &Filters, instance: &ReplicationInstance) -> bool {
    let arn = context.home.arn(ArnKind::Instance, instance.id.as_str());
    // Identifiers are kept in lower case, and found in any.
    let ids = filters.values("replication-instance-id");
    let id_matches = ids.is_none_or(|ids| {
        ids.iter()
            .any(|id| id.eq_ignore_ascii_case(&instance.identifier))
    });
    id_matches
        && filters
            .without("replication-instance-id")
            .match_item(|name| match name {
                "replication-instance-arn" => vec![arn.as_str()],
                "replication-instance-class" => vec![instance.class.as_str()],
                _ => vec![instance.engine_version.as_str()],
            })
}

async fn replace(
    context: &Context,
    transaction: &mut dyn Transaction,
    instance: &Stored<ReplicationInstance>,
) -> Result<Stored<ReplicationInstance>, Fault> {
    match transaction.replace(instance).await {
        Ok(stored) => Ok(stored),
        Err(error) => {
            let what = ("Replication Instance", ArnKind::Instance);
            Err(fault::taken(context, transaction, error, what, &instance.value).await)
        }
    }
}

pub(super) async fn modify(
    context: &Context,
    message: model::ModifyReplicationInstanceMessage,
) -> Result<model::ModifyReplicationInstanceResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut instance = find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    if instance.status != InstanceStatus::Available {
        return Err(not_available(&instance));
    }
    let before = instance.clone();
    let pending = PendingModification {
        class: message
            .replication_instance_class
            .map(|class| checked_class(&class))
            .transpose()?,
        allocated_storage_gb: message.allocated_storage.map(checked_storage).transpose()?,
        multi_az: message.multi_az,
        engine_version: message
            .engine_version
            .map(|version| checked_version(&version))
            .transpose()?,
        network_type: message
            .network_type
            .map(|network| checked_network(Some(&network)))
            .transpose()?,
    };
    add_pending(&mut instance, pending);
    if let Some(identifier) = message.replication_instance_identifier {
        instance.identifier = identifier::instance_identifier(&identifier)?;
    }
    if let Some(window) = message.preferred_maintenance_window {
        instance.preferred_maintenance_window = checked_window(&window)?;
    }
    if let Some(upgrades) = message.auto_minor_version_upgrade {
        instance.auto_minor_version_upgrade = upgrades;
    }
    if let Some(groups) = message.vpc_security_group_ids {
        instance.vpc_security_group_ids = groups;
    }
    if let Some(kerberos) = &message.kerberos_authentication_settings {
        instance.kerberos = Some(super::json_object(kerberos));
    }
    if instance.value == before.value {
        return Err(invalid_combination(
            "No modifications were requested".to_owned(),
        ));
    }
    if message.apply_immediately.unwrap_or(false)
        && instance.pending != PendingModification::default()
    {
        let upgrades = instance.pending.engine_version.is_some();
        instance.status = if upgrades {
            InstanceStatus::Upgrading
        } else {
            InstanceStatus::Modifying
        };
    }
    let group =
        subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
    let stored = replace(context, &mut *transaction, &instance).await?;
    transaction.commit().await?;
    Ok(model::ModifyReplicationInstanceResponse {
        replication_instance: Some(to_wire(context, &stored, &group)),
    })
}

/// What differs from the present state waits; what was waiting and is asked back no longer does.
fn add_pending(instance: &mut ReplicationInstance, asked: PendingModification) {
    fn add<T: PartialEq>(pending: &mut Option<T>, asked: Option<T>, present: &T) {
        if let Some(asked) = asked {
            *pending = Some(asked).filter(|asked| asked != present);
        }
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
        let zone = &instance.availability_zone;
        let other = |zone: &str| {
            format!(
                "{}{}",
                &zone[..zone.len() - 1],
                if zone.ends_with('b') { 'a' } else { 'b' }
            )
        };
        instance.secondary_availability_zone =
            (multi_az && zone.is_ascii() && !zone.is_empty()).then(|| other(zone));
    }
    if let Some(version) = pending.engine_version {
        instance.engine_version = version;
    }
    if let Some(network_type) = pending.network_type {
        instance.network_type = network_type;
    }
}

pub(super) async fn reboot(
    context: &Context,
    message: model::RebootReplicationInstanceMessage,
) -> Result<model::RebootReplicationInstanceResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut instance = find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    let forces = [message.force_failover, message.force_planned_failover];
    if forces == [Some(true), Some(true)] {
        return Err(invalid_combination(
            "ForceFailover and ForcePlannedFailover cannot both be true".to_owned(),
        ));
    }
    if forces.contains(&Some(true)) && !instance.multi_az {
        return Err(invalid_combination(
            "A failover needs an instance in several zones".to_owned(),
        ));
    }
    if instance.status != InstanceStatus::Available {
        return Err(not_available(&instance));
    }
    instance.status = InstanceStatus::Rebooting;
    let group =
        subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
    let stored = transaction.replace(&instance).await?;
    transaction.commit().await?;
    Ok(model::RebootReplicationInstanceResponse {
        replication_instance: Some(to_wire(context, &stored, &group)),
    })
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteReplicationInstanceMessage,
) -> Result<model::DeleteReplicationInstanceResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut instance = find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    if matches!(
        instance.status,
        InstanceStatus::Deleting | InstanceStatus::Creating
    ) {
        return Err(not_available(&instance));
    }
    let tasks = transaction.list::<ReplicationTask>().await?;
    if tasks
        .iter()
        .any(|task| task.instance_id == instance.id || task.move_to.as_ref() == Some(&instance.id))
    {
        return Err(invalid_state(format!(
            "Replication Instance {} cannot be deleted because it has replication tasks. Delete the tasks first.",
            instance.identifier
        )));
    }
    instance.status = InstanceStatus::Deleting;
    let group =
        subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
    let stored = transaction.replace(&instance).await?;
    transaction
        .create(&instance_event(
            &instance,
            "deletion",
            "The replication instance is being deleted.",
        ))
        .await?;
    transaction.commit().await?;
    Ok(model::DeleteReplicationInstanceResponse {
        replication_instance: Some(to_wire(context, &stored, &group)),
    })
}

/// The instance that an ARN names.
pub(super) async fn find(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
) -> Result<whimbrel_store::Stored<ReplicationInstance>, Fault> {
    let found = match context.home.id_in(ArnKind::Instance, arn) {
        Some(id) => transaction.find::<ReplicationInstance>(id).await?,
        None => None,
    };
    found.ok_or_else(|| fault::not_found(format!("Replication Instance {arn} not found.")))
}

fn not_available(instance: &ReplicationInstance) -> Fault {
    invalid_state(format!(
        "Replication Instance {} is not in available state, it is {}.",
        instance.identifier, instance.status
    ))
}

/// Refuses work for an instance that cannot do any.
pub(super) fn check_available(instance: &ReplicationInstance) -> Result<(), Fault> {
    if instance.status == InstanceStatus::Available {
        Ok(())
    } else {
        Err(not_available(instance))
    }
}
