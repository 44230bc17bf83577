//! Replication instances: where tasks run and connections are made from. Each is the worker in this process.

use rand::Rng as _;
use tracing::info;
use whimbrel_model as model;
use whimbrel_store::{
    EpochMs, InstanceId, InstanceStatus, PendingModification, ReplicationInstance, ReplicationTask,
    SubnetGroup, Transaction,
};

use super::catalog::{ENGINE_VERSIONS, NEWEST_ENGINE_VERSION};
use super::subnet_groups::{self, DEFAULT_GROUP};
use super::tags;
use crate::arn::{ArnKind, random_id};
use crate::context::Context;
use crate::events::instance_event;
use crate::fault::{self, Fault, invalid_combination, invalid_state, invalid_value};
use crate::identifier;
use crate::listing::{Filters, PageRequest, USUAL_PAGE};
use crate::quota::{self, Quota};

const DEFAULT_STORAGE_GB: i32 = 50;
const STORAGE_GB_MIN: i32 = 5;
const STORAGE_GB_MAX: i32 = 6144;
const CLASS_LENGTH_MAX: usize = 30;
const DEFAULT_NETWORK: &str = "IPV4";
const MINUTES_PER_WEEK: u32 = 7 * 24 * 60;
const WINDOW_MINUTES: u32 = 30;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

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
    let stored = transaction.create(&instance).await;
    stored
        .map_err(|error| fault::taken(error, "Replication Instance", &instance.identifier, &arn))?;
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
    let arn = context.home.arn(ArnKind::Instance, instance.id.as_str());
    let stored = transaction.replace(&instance).await;
    let stored = stored
        .map_err(|error| fault::taken(error, "Replication Instance", &instance.identifier, &arn))?;
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

fn checked_class(class: &str) -> Result<String, Fault> {
    let is_class = class.len() <= CLASS_LENGTH_MAX
        && class.split('.').count() == 3
        && class.starts_with("dms.");
    if !is_class || class.split('.').any(str::is_empty) {
        return Err(invalid_value(format!(
            "Invalid replication instance class: {class}. Classes look like dms.t3.medium"
        )));
    }
    Ok(class.to_owned())
}

fn checked_storage(gb: i32) -> Result<i32, Fault> {
    if (STORAGE_GB_MIN..=STORAGE_GB_MAX).contains(&gb) {
        return Ok(gb);
    }
    Err(invalid_value(format!(
        "Invalid AllocatedStorage {gb}. It must be between {STORAGE_GB_MIN} and {STORAGE_GB_MAX} GB"
    )))
}

fn checked_version(version: &str) -> Result<String, Fault> {
    if ENGINE_VERSIONS.iter().any(|known| known.version == version) {
        return Ok(version.to_owned());
    }
    Err(invalid_value(format!(
        "No replication engine found with version: {version}"
    )))
}

fn checked_network(network: Option<&str>) -> Result<String, Fault> {
    match network {
        None => Ok(DEFAULT_NETWORK.to_owned()),
        Some(network) if network.eq_ignore_ascii_case(DEFAULT_NETWORK) => {
            Ok(DEFAULT_NETWORK.to_owned())
        }
        Some(network)
            if ["DUAL", "IPV6"]
                .iter()
                .any(|known| network.eq_ignore_ascii_case(known)) =>
        {
            Err(invalid_combination(format!(
                "The subnet group does not support the network type {network}"
            )))
        }
        Some(network) => Err(invalid_value(format!(
            "Invalid NetworkType {network}. Valid values: IPV4, IPV6, DUAL"
        ))),
    }
}

/// Minutes since the start of the week of `ddd:hh:mm`.
fn minute_of_week(text: &str) -> Option<u32> {
    let (day, time) = text.split_once(':')?;
    let (hour, minute) = time.split_once(':')?;
    let day = u32::try_from(DAYS.iter().position(|known| *known == day)?).ok()?;
    let number = |text: &str, below: u32| {
        text.parse::<u32>()
            .ok()
            .filter(|number| text.len() == 2 && *number < below)
    };
    Some((day * 24 + number(hour, 24)?) * 60 + number(minute, 60)?)
}

fn checked_window(window: &str) -> Result<String, Fault> {
    let lower = window.to_ascii_lowercase();
    let ends = lower
        .split_once('-')
        .and_then(|(from, to)| Some((minute_of_week(from)?, minute_of_week(to)?)));
    match ends {
        Some((from, to)) if (to + MINUTES_PER_WEEK - from) % MINUTES_PER_WEEK >= WINDOW_MINUTES => {
            Ok(lower)
        }
        _ => Err(invalid_value(format!(
            "Invalid PreferredMaintenanceWindow {window}. It must be ddd:hh:mm-ddd:hh:mm with at least {WINDOW_MINUTES} minutes"
        ))),
    }
}

fn random_window() -> String {
    let from = rand::rng().random_range(0..MINUTES_PER_WEEK / WINDOW_MINUTES) * WINDOW_MINUTES;
    let text = |minute: u32| {
        let minute = minute % MINUTES_PER_WEEK;
        let day = DAYS[usize::try_from(minute / (24 * 60)).unwrap_or_default()];
        format!("{day}:{:02}:{:02}", minute / 60 % 24, minute % 60)
    };
    format!("{}-{}", text(from), text(from + WINDOW_MINUTES))
}

fn to_wire(
    context: &Context,
    instance: &ReplicationInstance,
    group: &SubnetGroup,
) -> model::ReplicationInstance {
    let pending = &instance.pending;
    let address = "127.0.0.1".to_owned();
    let public = instance.publicly_accessible.then(|| address.clone());
    let security_groups =
        instance
            .vpc_security_group_ids
            .iter()
            .map(|id| model::VpcSecurityGroupMembership {
                vpc_security_group_id: Some(id.clone()),
                status: Some("active".to_owned()),
            });
    model::ReplicationInstance {
        replication_instance_identifier: Some(instance.identifier.clone()),
        replication_instance_class: Some(instance.class.clone()),
        replication_instance_status: Some(instance.status.to_string()),
        allocated_storage: Some(instance.allocated_storage_gb),
        instance_create_time: Some(super::timestamp(instance.created_at)),
        vpc_security_groups: Some(security_groups.collect()),
        availability_zone: Some(instance.availability_zone.clone()),
        replication_subnet_group: Some(subnet_groups::to_wire(group)),
        preferred_maintenance_window: Some(instance.preferred_maintenance_window.clone()),
        pending_modified_values: Some(model::ReplicationPendingModifiedValues {
            replication_instance_class: pending.class.clone(),
            allocated_storage: pending.allocated_storage_gb,
            multi_az: pending.multi_az,
            engine_version: pending.engine_version.clone(),
            network_type: pending.network_type.clone(),
        }),
        multi_az: Some(instance.multi_az),
        engine_version: Some(instance.engine_version.clone()),
        auto_minor_version_upgrade: Some(instance.auto_minor_version_upgrade),
        kms_key_id: Some(instance.kms_key_id.clone()),
        replication_instance_arn: Some(context.home.arn(ArnKind::Instance, instance.id.as_str())),
        replication_instance_public_ip_address: public.clone(),
        replication_instance_private_ip_address: Some(address.clone()),
        replication_instance_public_ip_addresses: Some(public.into_iter().collect()),
        replication_instance_private_ip_addresses: Some(vec![address]),
        publicly_accessible: Some(instance.publicly_accessible),
        secondary_availability_zone: instance.secondary_availability_zone.clone(),
        dns_name_servers: instance.dns_name_servers.clone(),
        network_type: Some(instance.network_type.clone()),
        kerberos_authentication_settings: instance
            .kerberos
            .as_ref()
            .and_then(super::from_json_object),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_windows_are_checked() {
        for good in ["sun:23:45-mon:00:15", "Mon:01:00-mon:02:00"] {
            assert!(checked_window(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mon:1:00-mon:02:00",
            "mon:01:00-mon:01:29",
            "xyz:01:00-mon:02:00",
            "mon:25:00-mon:26:00",
        ] {
            assert!(checked_window(bad).is_err(), "{bad}");
        }
        for _ in 0..100 {
            let window = random_window();
            assert_eq!(checked_window(&window).unwrap(), window);
        }
    }
}
