//! Subnet groups: kept for clients that manage them; Whimbrel has no networks of its own.

use whimbrel_model as model;
use whimbrel_store::{
    EpochMs, ReplicationInstance, Resource as _, StoreError, Stored, Subnet, SubnetGroup,
    SubnetGroupId, TagSet, Transaction,
};

use super::tags;
use crate::arn::ArnKind;
use crate::context::Context;
use crate::fault::{self, Fault, invalid_state, invalid_value};
use crate::identifier;
use crate::listing::{PageRequest, USUAL_PAGE};
use crate::quota::{self, Quota};

/// The group of instances that name none. It always exists and is never listed.
pub(super) const DEFAULT_GROUP: &str = "default";
const VPC: &str = "vpc-00000000000000000";
const ZONES: [&str; 3] = ["a", "b", "c"];
/// Zones that the subnets of a group must cover.
const ZONES_MIN: usize = 2;

/// The zones of the region.
pub(super) fn zones(region: &str) -> [String; 3] {
    ZONES.map(|zone| format!("{region}{zone}"))
}

/// The subnets of a group. Those `in_use` are among them: they stay where they are, and first in their zones.
fn subnets(context: &Context, ids: &[String], in_use: Vec<Subnet>) -> Result<Vec<Subnet>, Fault> {
    if ids.is_empty() {
        return Err(invalid_value(
            "SubnetIds must name at least one subnet".to_owned(),
        ));
    }
    quota::check_subnets(ids.len())?;
    if ids.iter().any(|id| id.trim().is_empty()) {
        return Err(fault::invalid_subnet(
            "A subnet identifier must not be empty".to_owned(),
        ));
    }
    let mut subnets = in_use;
    let zones = zones(&context.home.region);
    for id in ids {
        if subnets.iter().all(|subnet| subnet.id != *id) {
            // Taken to be spread over the zones evenly, so that any two subnets cover two zones.
            let count = |zone: &&String| {
                let there = |subnet: &&Subnet| subnet.availability_zone == **zone;
                subnets.iter().filter(there).count()
            };
            let emptiest = zones.iter().min_by_key(count);
            subnets.push(Subnet {
                id: id.clone(),
                availability_zone: emptiest.cloned().unwrap_or_default(),
            });
        }
    }
    if subnets.len() < ZONES_MIN {
        return Err(fault::too_few_zones(format!(
            "The replication subnet group does not cover enough Availability Zones. SubnetIds must name at least {ZONES_MIN} subnets \
             in different zones."
        )));
    }
    Ok(subnets)
}

/// Says in which zones of its group an instance lies: in `asked` where that is given, else in the first, and its standby in another.
///
/// # Errors
/// The group has no subnet there.
pub(super) fn place(
    context: &Context,
    group: &SubnetGroup,
    asked: Option<String>,
    instance: &mut ReplicationInstance,
) -> Result<(), Fault> {
    let zones = zones(&context.home.region);
    let covered = zones.iter().filter(|zone| {
        let mut subnets = group.subnets.iter();
        subnets.any(|subnet| subnet.availability_zone == **zone)
    });
    let mut covered = covered.cloned();
    instance.availability_zone = match asked {
        None => covered.next().unwrap_or_default(),
        Some(zone) if !zones.contains(&zone) => {
            return Err(invalid_value(format!(
                "Invalid AvailabilityZone {zone}. Valid values: {}",
                zones.join(", ")
            )));
        }
        Some(zone) if covered.any(|known| known == zone) => zone,
        Some(zone) => {
            return Err(fault::too_few_zones(format!(
                "The replication subnet group {} has no subnet in the Availability Zone {zone}.",
                group.id
            )));
        }
    };
    instance.secondary_availability_zone = covered.next().filter(|_| instance.multi_az);
    Ok(())
}

pub(super) async fn create(
    context: &Context,
    message: model::CreateReplicationSubnetGroupMessage,
) -> Result<model::CreateReplicationSubnetGroupResponse, Fault> {
    let group = SubnetGroup {
        id: SubnetGroupId(identifier::subnet_group_identifier(
            &message.replication_subnet_group_identifier,
        )?),
        description: message.replication_subnet_group_description,
        vpc_id: VPC.to_owned(),
        subnets: subnets(context, &message.subnet_ids, Vec::new())?,
        created_at: EpochMs::now(),
    };
    let arn = context.home.arn(ArnKind::SubnetGroup, group.id.as_str());
    let mut transaction = context.store.begin().await?;
    quota::check(
        Quota::SubnetGroups,
        transaction.list::<SubnetGroup>().await?.len(),
    )?;
    if let Err(error) = transaction.create(&group).await {
        return Err(fault::taken(
            context,
            &mut *transaction,
            error,
            ("Replication Subnet Group", ArnKind::SubnetGroup),
            &group,
        )
        .await);
    }
    tags::create(&mut *transaction, &arn, message.tags).await?;
    transaction.commit().await?;
    Ok(model::CreateReplicationSubnetGroupResponse {
        replication_subnet_group: Some(to_wire(&group)),
    })
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeReplicationSubnetGroupsMessage,
) -> Result<model::DescribeReplicationSubnetGroupsResponse, Fault> {
    let filters = super::filters(message.filters, &["replication-subnet-group-id"])?;
    let page = PageRequest::parse(
        "subnet groups",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut groups = context.store.list::<SubnetGroup>().await?;
    if let Some(ids) = filters.values("replication-subnet-group-id") {
        groups.retain(|group| {
            ids.iter()
                .any(|id| id.eq_ignore_ascii_case(group.id.as_str()))
        });
        if groups.is_empty() {
            return Err(fault::not_found(
                "No Replication Subnet Groups found matching provided filters".to_owned(),
            ));
        }
    }
    let (groups, marker) = page.cut(groups);
    let groups = groups.iter().map(to_wire).collect();
    Ok(model::DescribeReplicationSubnetGroupsResponse {
        marker,
        replication_subnet_groups: Some(groups),
    })
}

pub(super) async fn modify(
    context: &Context,
    message: model::ModifyReplicationSubnetGroupMessage,
) -> Result<model::ModifyReplicationSubnetGroupResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut group = find(
        &mut *transaction,
        &message.replication_subnet_group_identifier,
    )
    .await?;
    let instances = transaction.list::<ReplicationInstance>().await?;
    let in_use = in_use(&group, instances.iter().map(|stored| &stored.value));
    let gone = in_use
        .iter()
        .find(|(subnet, _)| !message.subnet_ids.contains(&subnet.id));
    if let Some((subnet, instance)) = gone {
        return Err(fault::subnet_in_use(format!(
            "The subnet {} is in use by the replication instance {}. Keep it in the group, or delete the instance first.",
            subnet.id, instance.identifier
        )));
    }
    let in_use = in_use.into_iter().map(|(subnet, _)| subnet.clone());
    let subnets = subnets(context, &message.subnet_ids, in_use.collect())?;
    group.subnets = subnets;
    if let Some(description) = message.replication_subnet_group_description {
        group.description = description;
    }
    let stored = transaction.replace(&group).await?;
    transaction.commit().await?;
    Ok(model::ModifyReplicationSubnetGroupResponse {
        replication_subnet_group: Some(to_wire(&stored)),
    })
}

/// The subnets of a group in which instances lie, each with one of them: the first subnet of each of an instance's zones.
fn in_use<'a>(
    group: &'a SubnetGroup,
    instances: impl Iterator<Item = &'a ReplicationInstance>,
) -> Vec<(&'a Subnet, &'a ReplicationInstance)> {
    let mut in_use: Vec<(&Subnet, &ReplicationInstance)> = Vec::new();
    for instance in instances.filter(|instance| instance.subnet_group == group.id.as_str()) {
        let zones = [
            Some(&instance.availability_zone),
            instance.secondary_availability_zone.as_ref(),
        ];
        for zone in zones.into_iter().flatten() {
            let mut subnets = group.subnets.iter();
            let subnet = subnets.find(|subnet| subnet.availability_zone == *zone);
            in_use.extend(subnet.map(|subnet| (subnet, instance)));
        }
    }
    in_use.sort_by_key(|(subnet, _)| &subnet.id);
    in_use.dedup_by_key(|(subnet, _)| &subnet.id);
    in_use
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteReplicationSubnetGroupMessage,
) -> Result<model::DeleteReplicationSubnetGroupResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let group = find(
        &mut *transaction,
        &message.replication_subnet_group_identifier,
    )
    .await?;
    let instances = transaction.list::<ReplicationInstance>().await?;
    if let Some(user) = instances
        .iter()
        .find(|instance| instance.subnet_group == group.id.as_str())
    {
        return Err(invalid_state(format!(
            "Replication Subnet Group {} is in use by the replication instance {}. Delete the instance first.",
            group.id, user.identifier
        )));
    }
    transaction
        .delete(SubnetGroup::KIND, group.id.as_str())
        .await?;
    transaction
        .delete(
            TagSet::KIND,
            &context.home.arn(ArnKind::SubnetGroup, group.id.as_str()),
        )
        .await?;
    transaction.commit().await?;
    Ok(model::DeleteReplicationSubnetGroupResponse {})
}

async fn find(
    transaction: &mut dyn Transaction,
    identifier: &str,
) -> Result<Stored<SubnetGroup>, Fault> {
    let found = transaction
        .find::<SubnetGroup>(&identifier.to_ascii_lowercase())
        .await?;
    found.ok_or_else(|| {
        fault::not_found(format!("Replication Subnet Group {identifier} not found."))
    })
}

/// Another zone than an instance's own that its group covers: that of its standby. `None`: there is none.
pub(crate) async fn standby_zone(
    context: &Context,
    transaction: &mut dyn Transaction,
    instance: &ReplicationInstance,
) -> Result<Option<String>, StoreError> {
    let name = instance.subnet_group.as_str();
    let covered: Vec<String> = if name == DEFAULT_GROUP {
        zones(&context.home.region).to_vec()
    } else {
        let group = transaction.find::<SubnetGroup>(name).await?;
        let subnets = group.into_iter().flat_map(|group| group.value.subnets);
        subnets.map(|subnet| subnet.availability_zone).collect()
    };
    let mut zones = zones(&context.home.region).into_iter();
    Ok(zones.find(|zone| *zone != instance.availability_zone && covered.contains(zone)))
}

/// The group that an instance names.
pub(super) async fn of_instance(
    context: &Context,
    transaction: &mut dyn Transaction,
    name: &str,
) -> Result<SubnetGroup, Fault> {
    if name == DEFAULT_GROUP {
        return Ok(SubnetGroup {
            id: SubnetGroupId(DEFAULT_GROUP.to_owned()),
            description: "default".to_owned(),
            vpc_id: VPC.to_owned(),
            subnets: subnets(
                context,
                &ZONES.map(|zone| format!("subnet-default-{zone}")),
                Vec::new(),
            )?,
            created_at: EpochMs(0),
        });
    }
    Ok(find(transaction, name).await?.value)
}

pub(super) fn to_wire(group: &SubnetGroup) -> model::ReplicationSubnetGroup {
    let subnets = group.subnets.iter().map(|subnet| model::Subnet {
        subnet_identifier: Some(subnet.id.clone()),
        subnet_availability_zone: Some(model::AvailabilityZone {
            name: Some(subnet.availability_zone.clone()),
        }),
        subnet_status: Some("Active".to_owned()),
    });
    model::ReplicationSubnetGroup {
        replication_subnet_group_identifier: Some(group.id.to_string()),
        replication_subnet_group_description: Some(group.description.clone()),
        vpc_id: Some(group.vpc_id.clone()),
        subnet_group_status: Some("Complete".to_owned()),
        subnets: Some(subnets.collect()),
        supported_network_types: Some(vec!["IPV4".to_owned()]),
        is_read_only: Some(false),
    }
}
