//! What the account may have and what the service offers: quotas, classes, versions, engines.

#![allow(clippy::unused_async, reason = "handlers have one form")]

use std::ops::RangeInclusive;

use whimbrel_model as model;
use whimbrel_store::{
    Certificate, Endpoint, EndpointRole, EpochMs, ReplicationInstance, ReplicationTask,
    Resource as _, SubnetGroup,
};

use super::{endpoints, subnet_groups};
use crate::context::Context;
use crate::engine_catalog::{self, Setting, SettingType};
use crate::fault::{Fault, invalid_value};
use crate::listing::{PageRequest, USUAL_PAGE};
use crate::quota::{Quota, STORAGE_GB_MAX};

/// A version that an instance can report. It names what clients may rely on; the program is the same.
pub(super) struct KnownVersion {
    pub(super) version: &'static str,
    launched_at: EpochMs,
}

pub(super) const NEWEST_ENGINE_VERSION: &str = "3.6.1";
/// Oldest first. Launch dates in milliseconds since 1970.
pub(super) const ENGINE_VERSIONS: &[KnownVersion] = &[
    KnownVersion {
        version: "3.5.3",
        launched_at: EpochMs(1_718_236_800_000),
    },
    KnownVersion {
        version: "3.5.4",
        launched_at: EpochMs(1_731_628_800_000),
    },
    KnownVersion {
        version: "3.6.0",
        launched_at: EpochMs(1_746_057_600_000),
    },
    KnownVersion {
        version: "3.6.1",
        launched_at: EpochMs(1_749_686_400_000),
    },
];

const CLASSES: &[&str] = &[
    "dms.t3.micro",
    "dms.t3.small",
    "dms.t3.medium",
    "dms.t3.large",
    "dms.c5.large",
    "dms.c5.xlarge",
    "dms.c5.2xlarge",
    "dms.c5.4xlarge",
    "dms.r5.large",
    "dms.r5.xlarge",
    "dms.r5.2xlarge",
    "dms.r5.4xlarge",
    "dms.c6i.large",
    "dms.c6i.xlarge",
    "dms.r6i.large",
    "dms.r6i.xlarge",
];
/// For lists without documented bounds.
const ANY_PAGE: RangeInclusive<i32> = 1..=i32::MAX;

pub(super) async fn account_attributes(
    context: &Context,
    _: model::DescribeAccountAttributesMessage,
) -> Result<model::DescribeAccountAttributesResponse, Fault> {
    let store = &context.store;
    let instances = store.list::<ReplicationInstance>().await?;
    let mut quotas = Vec::new();
    for quota in Quota::ALL {
        let kind = match quota {
            Quota::Instances => ReplicationInstance::KIND,
            Quota::SubnetGroups => SubnetGroup::KIND,
            Quota::Endpoints => Endpoint::KIND,
            Quota::Certificates => Certificate::KIND,
            Quota::Tasks => ReplicationTask::KIND,
        };
        let used = store.page(kind, None, 0, usize::MAX).await?.len();
        quotas.push((quota.name(), used as u64, quota.max() as u64));
    }
    let storage: u64 = instances
        .iter()
        .map(|instance| u64::from(instance.allocated_storage_gb.unsigned_abs()))
        .sum();
    quotas.push(("AllocatedStorage", storage, STORAGE_GB_MAX.unsigned_abs()));
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let quotas = quotas
        .into_iter()
        .map(|(name, used, max)| model::AccountQuota {
            account_quota_name: Some(name.to_owned()),
            used: Some(number(used)),
            max: Some(number(max)),
        });
    Ok(model::DescribeAccountAttributesResponse {
        account_quotas: Some(quotas.collect()),
        unique_account_identifier: Some(format!(
            "{}-{}",
            context.home.region, context.home.account_id
        )),
    })
}

pub(super) async fn orderable_instances(
    context: &Context,
    message: model::DescribeOrderableReplicationInstancesMessage,
) -> Result<model::DescribeOrderableReplicationInstancesResponse, Fault> {
    let page = PageRequest::parse(
        "orderable instances",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let zones = subnet_groups::zones(&context.home.region);
    let all = ENGINE_VERSIONS
        .iter()
        .flat_map(|version| CLASSES.iter().map(move |class| (version, class)));
    let all = all.map(|(version, class)| model::OrderableReplicationInstance {
        engine_version: Some(version.version.to_owned()),
        replication_instance_class: Some((*class).to_owned()),
        storage_type: Some("gp2".to_owned()),
        min_allocated_storage: Some(5),
        max_allocated_storage: Some(6144),
        default_allocated_storage: Some(50),
        included_allocated_storage: Some(50),
        availability_zones: Some(zones.to_vec()),
        release_status: Some("prod".into()),
    });
    let (instances, marker) = page.cut_fixed(all);
    Ok(model::DescribeOrderableReplicationInstancesResponse {
        orderable_replication_instances: Some(instances),
        marker,
    })
}

pub(super) async fn engine_versions(
    _: &Context,
    message: model::DescribeEngineVersionsMessage,
) -> Result<model::DescribeEngineVersionsResponse, Fault> {
    let page = PageRequest::parse(
        "engine versions",
        message.max_records,
        message.marker.as_deref(),
        ANY_PAGE,
    )?;
    let later = |version: &str| -> Vec<String> {
        let later = ENGINE_VERSIONS
            .iter()
            .map(|known| known.version)
            .filter(|known| *known > version);
        later.map(str::to_owned).collect()
    };
    let all = ENGINE_VERSIONS
        .iter()
        .rev()
        .map(|known| model::EngineVersion {
            version: Some(known.version.to_owned()),
            lifecycle: Some("available".to_owned()),
            release_status: Some("prod".into()),
            launch_date: Some(super::timestamp(known.launched_at)),
            available_upgrades: Some(later(known.version)),
            ..Default::default()
        });
    let (versions, marker) = page.cut_fixed(all);
    Ok(model::DescribeEngineVersionsResponse {
        engine_versions: Some(versions),
        marker,
    })
}

pub(super) async fn endpoint_types(
    _: &Context,
    message: model::DescribeEndpointTypesMessage,
) -> Result<model::DescribeEndpointTypesResponse, Fault> {
    let filters = super::filters(message.filters, &["engine-name", "endpoint-type"])?;
    let page = PageRequest::parse(
        "endpoint types",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let roles = [EndpointRole::Source, EndpointRole::Target];
    let all = engine_catalog::supported().flat_map(|engine| roles.map(|role| (engine, role)));
    let all = all.filter(|((name, _), role)| {
        filters.match_item(|filter| {
            vec![if filter == "engine-name" {
                name
            } else {
                role.as_str()
            }]
        })
    });
    let all = all.map(|((name, display), role)| model::SupportedEndpointType {
        engine_name: Some(name.to_owned()),
        supports_cdc: Some(true),
        endpoint_type: Some(role.as_str().into()),
        replication_instance_engine_minimum_version: Some(ENGINE_VERSIONS[0].version.to_owned()),
        engine_display_name: Some(display.to_owned()),
    });
    let (types, marker) = page.cut_fixed(all);
    Ok(model::DescribeEndpointTypesResponse {
        marker,
        supported_endpoint_types: Some(types),
    })
}

pub(super) async fn endpoint_settings(
    _: &Context,
    message: model::DescribeEndpointSettingsMessage,
) -> Result<model::DescribeEndpointSettingsResponse, Fault> {
    let name = endpoints::check_engine_name(&message.engine_name)?;
    let Some(engine) = engine_catalog::connects_to(&name) else {
        return Err(invalid_value(format!(
            "The engine {name} is not supported by this version"
        )));
    };
    let page = PageRequest::parse(
        "endpoint settings",
        message.max_records,
        message.marker.as_deref(),
        ANY_PAGE,
    )?;
    let (settings, marker) =
        page.cut_fixed(engine_catalog::settings(engine).iter().map(setting_to_wire));
    Ok(model::DescribeEndpointSettingsResponse {
        marker,
        endpoint_settings: Some(settings),
    })
}

fn setting_to_wire(setting: &Setting) -> model::EndpointSetting {
    let (kind, values, min, max) = match setting.kind {
        SettingType::Text => ("string", None, None, None),
        SettingType::Bool => ("boolean", None, None, None),
        SettingType::Int(min, max) => ("integer", None, Some(min), Some(max)),
        SettingType::OneOf(values) => (
            "enum",
            Some(values.iter().map(|&value| value.to_owned()).collect()),
            None,
            None,
        ),
    };
    model::EndpointSetting {
        name: Some(setting.name.to_owned()),
        r#type: Some(kind.into()),
        enum_values: values,
        sensitive: Some(false),
        units: setting.units.map(str::to_owned),
        applicability: setting.role.map(|role| role.to_string()),
        int_value_min: min,
        int_value_max: max,
        default_value: setting.default.map(str::to_owned),
    }
}
