//! Replication instances: where tasks run and connections are made from. Each is the worker in this process.

mod check;
pub(crate) mod pending;
pub(crate) mod window;
mod wire;

use tracing::info;
use whimbrel_model as model;
use whimbrel_store::{
    EpochMs, InstanceId, InstanceStatus, PendingModification, ReplicationInstance, ReplicationTask,
    Stored, Transaction, UpgradeOptIn,
};

use self::check::{
    check_upgrade, checked_class, checked_network, checked_storage, checked_version,
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
    let zone = message.availability_zone.clone();
    let mut instance = instance_from_create(context, message)?;
    let mut transaction = context.store.begin().await?;
    let group =
        subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
    subnet_groups::place(context, &group, zone, &mut instance)?;
    let used = transaction.list::<ReplicationInstance>().await?;
    quota::check(Quota::Instances, used.len())?;
    check_storage_beside(&mut *transaction, &instance, instance.allocated_storage_gb).await?;
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
        // Told by the subnet group.
        availability_zone: String::new(),
        secondary_availability_zone: None,
        subnet_group: message.replication_subnet_group_identifier.map_or_else(
            || DEFAULT_GROUP.to_owned(),
            |name| name.to_ascii_lowercase(),
        ),
        vpc_security_group_ids: message.vpc_security_group_ids.unwrap_or_default(),
        preferred_maintenance_window: match message.preferred_maintenance_window {
            Some(window) => window::checked(&window)?,
            None => window::random(),
        },
        kms_key_id: identifier::kms_key(message.kms_key_id)?
            .unwrap_or_else(|| context.default_kms_key()),
        dns_name_servers: message.dns_name_servers,
        network_type: checked_network(message.network_type.as_deref())?,
        kerberos: message
            .kerberos_authentication_settings
            .as_ref()
            .map(super::json_object),
        pending: PendingModification::default(),
        applying: PendingModification::default(),
        upgrade_opt_in: UpgradeOptIn::default(),
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
    // One state of the store for instances and their groups.
    let mut transaction = context.store.view().await?;
    let mut instances = transaction.list::<ReplicationInstance>().await?;
    instances.retain(|instance| matches(context, &filters, instance));
    if instances.is_empty() && !filters.is_empty() {
        return Err(fault::not_found(
            "No Replication Instances found matching provided filters".to_owned(),
        ));
    }
    let (instances, marker) = page.cut(instances);
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
    filters.match_item(|name| {
        vec![match name {
            "replication-instance-id" => instance.identifier.as_str(),
            "replication-instance-arn" => arn.as_str(),
            "replication-instance-class" => instance.class.as_str(),
            _ => instance.engine_version.as_str(),
        }]
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
    check_available(&instance)?;
    let before = instance.clone();
    let applies_at_once = message.apply_immediately.unwrap_or(false);
    let asked = asked_of(&message)?;
    if let Some(version) = &asked.engine_version {
        let allows_major = message.allow_major_version_upgrade.unwrap_or(false);
        check_upgrade(&instance.engine_version, version, allows_major)?;
    }
    if let Some(gb) = asked.allocated_storage_gb {
        check_storage_beside(&mut *transaction, &instance, gb).await?;
    }
    pending::add(&mut instance, asked);
    change_at_once(&mut instance, message)?;
    let is_begun = applies_at_once && pending::begin_all(&mut instance);
    if !is_begun && instance.value == before.value {
        return Err(invalid_combination(
            "No modifications were requested".to_owned(),
        ));
    }
    let group =
        subnet_groups::of_instance(context, &mut *transaction, &instance.subnet_group).await?;
    let stored = replace(context, &mut *transaction, &instance).await?;
    transaction.commit().await?;
    Ok(model::ModifyReplicationInstanceResponse {
        replication_instance: Some(to_wire(context, &stored, &group)),
    })
}

/// What waits for the window unless it applies at once.
fn asked_of(
    message: &model::ModifyReplicationInstanceMessage,
) -> Result<PendingModification, Fault> {
    let class = message.replication_instance_class.as_deref();
    let version = message.engine_version.as_deref();
    let network = message.network_type.as_deref();
    Ok(PendingModification {
        class: class.map(checked_class).transpose()?,
        allocated_storage_gb: message.allocated_storage.map(checked_storage).transpose()?,
        multi_az: message.multi_az,
        engine_version: version.map(checked_version).transpose()?,
        network_type: network
            .map(|network| checked_network(Some(network)))
            .transpose()?,
    })
}

/// What never waits.
fn change_at_once(
    instance: &mut ReplicationInstance,
    message: model::ModifyReplicationInstanceMessage,
) -> Result<(), Fault> {
    if let Some(identifier) = message.replication_instance_identifier {
        instance.identifier = identifier::instance_identifier(&identifier)?;
    }
    if let Some(window) = message.preferred_maintenance_window {
        instance.preferred_maintenance_window = window::checked(&window)?;
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
    Ok(())
}

/// Refuses storage that would, beside that of the other instances, be more than the account may have.
async fn check_storage_beside(
    transaction: &mut dyn Transaction,
    instance: &ReplicationInstance,
    gb: i32,
) -> Result<(), Fault> {
    let all = transaction.list::<ReplicationInstance>().await?;
    let others = all.iter().filter(|other| other.id != instance.id);
    let used: i64 = others
        .map(|other| i64::from(other.allocated_storage_gb))
        .sum();
    quota::check_storage(used + i64::from(gb))
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
    check_available(&instance)?;
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
