//! How much of everything one account may have: the service's own numbers, so that what fits there fits here.

use whimbrel_store::ReplicationInstance;

use crate::fault::{Fault, quota_exceeded, storage_quota_exceeded};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quota {
    Instances,
    SubnetGroups,
    Endpoints,
    Certificates,
    Tasks,
}

pub(crate) const STORAGE_GB_MAX: i64 = 30_000;
const SUBNETS_MAX: usize = 60;

impl Quota {
    pub(crate) const ALL: [Self; 5] = [
        Self::Instances,
        Self::SubnetGroups,
        Self::Endpoints,
        Self::Certificates,
        Self::Tasks,
    ];

    /// The name in DescribeAccountAttributes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instances => "ReplicationInstances",
            Self::SubnetGroups => "ReplicationSubnetGroups",
            Self::Endpoints => "Endpoints",
            Self::Certificates => "Certificates",
            Self::Tasks => "ReplicationTasks",
        }
    }

    pub(crate) fn max(self) -> usize {
        match self {
            Self::Instances | Self::SubnetGroups => 60,
            Self::Endpoints => 1000,
            Self::Certificates => 100,
            Self::Tasks => 600,
        }
    }
}

/// Refuses one more when all are used.
pub(crate) fn check(quota: Quota, used: usize) -> Result<(), Fault> {
    if used < quota.max() {
        return Ok(());
    }
    Err(quota_exceeded(format!(
        "The quota for {} is exceeded: {} of {} are used",
        quota.name(),
        used,
        quota.max()
    )))
}

/// What one instance may have of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceQuota {
    /// Endpoints that it is connected to.
    Endpoints,
    /// Tasks on it, those that are moving there included.
    Tasks,
}

impl InstanceQuota {
    fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Tasks => "replication tasks",
        }
    }

    fn max(self) -> usize {
        match self {
            Self::Endpoints => 100,
            Self::Tasks => 200,
        }
    }
}

/// Refuses one more on an instance when all are used.
pub(crate) fn check_on_instance(
    quota: InstanceQuota,
    instance: &ReplicationInstance,
    used: usize,
) -> Result<(), Fault> {
    if used < quota.max() {
        return Ok(());
    }
    Err(quota_exceeded(format!(
        "The quota for {} per replication instance is exceeded: {} has {used}, {} are allowed. Use another replication instance",
        quota.name(),
        instance.identifier,
        quota.max()
    )))
}

/// Refuses instances whose storage sums up to more than the account may have.
pub(crate) fn check_storage(gb: i64) -> Result<(), Fault> {
    if gb <= STORAGE_GB_MAX {
        return Ok(());
    }
    Err(storage_quota_exceeded(format!(
        "The storage quota is exceeded: {gb} GB would be allocated, {STORAGE_GB_MAX} GB are allowed"
    )))
}

/// Refuses a group with too many subnets.
pub(crate) fn check_subnets(count: usize) -> Result<(), Fault> {
    if count <= SUBNETS_MAX {
        return Ok(());
    }
    Err(quota_exceeded(format!(
        "A replication subnet group may have at most {SUBNETS_MAX} subnets, not {count}"
    )))
}
