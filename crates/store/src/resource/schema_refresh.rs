use serde::{Deserialize, Serialize};

use super::wire::wire_enum;
use super::{EndpointId, InstanceId, Resource};
use crate::EpochMs;

wire_enum! {
    /// How far the last refresh of an endpoint's schemas got.
    pub enum SchemaRefreshStatus {
        /// Set by RefreshSchemas; stays until the instance's worker has an answer, across restarts.
        Refreshing = "refreshing",
        /// Set by the worker with the new list.
        Successful = "successful",
        /// Set by the worker with the failure message; the list of the last success stays.
        Failed = "failed",
    }
}

/// The schemas of an endpoint's database as last read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaRefresh {
    /// The endpoint; there is one list for each.
    pub endpoint_id: EndpointId,
    /// The instance whose worker reads.
    pub instance_id: InstanceId,
    /// The state of the last refresh.
    pub status: SchemaRefreshStatus,
    /// When the last one ended well.
    pub refreshed_at: Option<EpochMs>,
    /// What went wrong in the last one.
    pub last_failure_message: Option<String>,
    /// The names, sorted.
    pub schemas: Vec<String>,
    /// New and random with every request, as in [`Connection::attempt`](super::Connection::attempt).
    pub attempt: i64,
}

impl Resource for SchemaRefresh {
    const KIND: &'static str = "schema-refresh";

    fn id(&self) -> &str {
        self.endpoint_id.as_str()
    }

    fn name(&self) -> &str {
        self.endpoint_id.as_str()
    }
}
