//! Subnet groups: kept for clients that manage them; Whimbrel has no networks of its own.

use whimbrel_model as model;
use whimbrel_store::{
    EpochMs, ReplicationInstance, Resource as _, Stored, Subnet, SubnetGroup, SubnetGroupId,
    TagSet, Transaction,
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

fn subnets(context: &Context, ids: &[String]) -> Result<Vec<Subnet>, Fault> {
    if ids.is_empty() {
        return Err(invalid_value(
            "SubnetIds must name at least one subnet".to_owned(),
        ));
    }
    quota::check_subnets(ids.len())?;
    let mut subnets: Vec<Subnet> = Vec::new();
    for id in ids {
        if id.trim().is_empty() {
            return Err(fault::invalid_subnet(
                "A subnet identifier must not be empty".to_owned(),
            ));
        }
        if subnets.iter().all(|subnet| subnet.id != *id) {
            // Taken to be spread over the zones in turn, so that any two subnets cover two zones.
            let zone = ZONES[subnets.len() % ZONES.len()];
            subnets.push(Subnet {
                id: id.clone(),
                availability_zone: format!("{}{zone}", context.home.region),
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
        subnets: subnets(context, &message.subnet_ids)?,
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
    let subnets = subnets(context, &message.subnet_ids)?;
    let mut transaction = context.store.begin().await?;
    let mut group = find(
        &mut *transaction,
        &message.replication_subnet_group_identifier,
    )
    .await?;
    let instances = transaction.list::<ReplicationInstance>().await?;
    for instance in instances
        .iter()
        .filter(|instance| instance.subnet_group == group.id.as_str())
    {
        check_kept(&group, instance, &subnets)?;
    }
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

/// An instance lies in the first subnet of each of its zones, which its group has to keep.
fn check_kept(
    group: &SubnetGroup,
    instance: &ReplicationInstance,
    kept: &[Subnet],
) -> Result<(), Fault> {
    let zones = [
        Some(&instance.availability_zone),
        instance.secondary_availability_zone.as_ref(),
    ];
    let mut used = zones.into_iter().flatten().filter_map(|zone| {
        let mut subnets = group.subnets.iter();
        subnets.find(|subnet| subnet.availability_zone == *zone)
    });
    match used.find(|used| kept.iter().all(|subnet| subnet.id != used.id)) {
        None => Ok(()),
        Some(used) => Err(fault::subnet_in_use(format!(
            "The subnet {} is in use by the replication instance {}. Keep it in the group, or delete the instance first.",
            used.id, instance.identifier
        ))),
    }
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
                &["subnet-default-a".to_owned(), "subnet-default-b".to_owned()],
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
