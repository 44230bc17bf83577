use whimbrel_model as model;
use whimbrel_store::{ReplicationInstance, SubnetGroup};

use crate::address;
use crate::arn::ArnKind;
use crate::context::Context;
use crate::operations::{from_json_object, subnet_groups, timestamp};

/// The instance as the API answers it.
pub(super) fn to_wire(
    context: &Context,
    instance: &ReplicationInstance,
    group: &SubnetGroup,
) -> model::ReplicationInstance {
    let (pending, applying) = (&instance.pending, &instance.applying);
    let address = address::outbound().to_string();
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
        instance_create_time: Some(timestamp(instance.created_at)),
        vpc_security_groups: Some(security_groups.collect()),
        availability_zone: Some(instance.availability_zone.clone()),
        replication_subnet_group: Some(subnet_groups::to_wire(group)),
        preferred_maintenance_window: Some(instance.preferred_maintenance_window.clone()),
        pending_modified_values: Some(model::ReplicationPendingModifiedValues {
            replication_instance_class: applying.class.clone().or(pending.class.clone()),
            allocated_storage: applying
                .allocated_storage_gb
                .or(pending.allocated_storage_gb),
            multi_az: applying.multi_az.or(pending.multi_az),
            engine_version: applying
                .engine_version
                .clone()
                .or(pending.engine_version.clone()),
            network_type: applying
                .network_type
                .clone()
                .or(pending.network_type.clone()),
        }),
        multi_az: Some(instance.multi_az),
        engine_version: Some(instance.engine_version.clone()),
        auto_minor_version_upgrade: Some(instance.auto_minor_version_upgrade),
        kms_key_id: Some(instance.kms_key_id.clone()),
        replication_instance_arn: Some(context.home.arn(ArnKind::Instance, instance.id.as_str())),
        replication_instance_private_ip_address: Some(address.clone()),
        // What a router makes of the address is not known here.
        replication_instance_public_ip_addresses: Some(Vec::new()),
        replication_instance_private_ip_addresses: Some(vec![address]),
        publicly_accessible: Some(instance.publicly_accessible),
        secondary_availability_zone: instance.secondary_availability_zone.clone(),
        dns_name_servers: instance.dns_name_servers.clone(),
        network_type: Some(instance.network_type.clone()),
        kerberos_authentication_settings: instance.kerberos.as_ref().and_then(from_json_object),
        ..Default::default()
    }
}
