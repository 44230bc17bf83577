use serde::{Deserialize, Serialize};

use super::wire::{id_type, wire_enum};
use super::{EndpointId, InstanceId, Resource};

id_type! {
    /// Instance and endpoint of a connection as one text.
    ConnectionId
}

impl ConnectionId {
    /// The connection between this instance and this endpoint.
    pub fn of(instance: &InstanceId, endpoint: &EndpointId) -> Self {
        Self(format!("{instance}/{endpoint}"))
    }
}

wire_enum! {
    /// How far the last test of a connection got.
    pub enum ConnectionStatus {
        /// Set by TestConnection; stays until the instance's worker has an answer, across restarts.
        Testing = "testing",
        /// Set by the worker when the database answered.
        Successful = "successful",
        /// Set by the worker when it did not, with the failure message.
        Failed = "failed",
        /// Set by DeleteConnection, DeleteEndpoint and DeleteReplicationInstance; the reconciler then removes the connection.
        Deleting = "deleting",
    }
}

/// Whether a replication instance can reach an endpoint's database: made by the first test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Instance and endpoint as one text.
    pub id: ConnectionId,
    /// The instance whose worker tests.
    pub instance_id: InstanceId,
    /// The endpoint whose database is tested.
    pub endpoint_id: EndpointId,
    /// The state of the last test.
    pub status: ConnectionStatus,
    /// What went wrong in the last test, and what to do.
    pub last_failure_message: Option<String>,
    /// New and random with every request to test, so that the answer to another request cannot be taken for that of this one.
    pub attempt: i64,
    /// [`Endpoint::revision`](super::Endpoint::revision) when the test was asked for: a success is worth nothing for other settings.
    pub endpoint_revision: i64,
}

impl Resource for Connection {
    const KIND: &'static str = "connection";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        self.id.as_str()
    }

    fn parent(&self) -> &str {
        self.endpoint_id.as_str()
    }
}
