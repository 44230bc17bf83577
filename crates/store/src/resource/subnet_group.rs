use serde::{Deserialize, Serialize};

use super::Resource;
use super::wire::id_type;
use crate::EpochMs;

id_type! {
    /// The identifier of a subnet group in lower case, which is also the last part of its ARN.
    SubnetGroupId
}

/// One subnet of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// As given.
    pub id: String,
    /// The zone it is taken to stand in.
    pub availability_zone: String,
}

/// A named set of subnets. Whimbrel has no networks of its own: groups are kept so that clients find what they wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubnetGroup {
    /// The identifier in lower case.
    pub id: SubnetGroupId,
    /// As given.
    pub description: String,
    /// The network that the subnets are taken to belong to.
    pub vpc_id: String,
    /// The subnets in the order given.
    pub subnets: Vec<Subnet>,
    /// When it was made.
    pub created_at: EpochMs,
}

impl Resource for SubnetGroup {
    const KIND: &'static str = "subnet-group";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        self.id.as_str()
    }
}
