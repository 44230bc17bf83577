//! What the control plane keeps: one module per kind of resource.

mod access_key;
mod assessment_run;
mod certificate;
mod connection;
mod endpoint;
mod event;
mod instance;
mod schema_refresh;
mod subnet_group;
mod table_statistics;
mod tag;
mod task;
mod wire;

pub use access_key::{AccessKey, AccessKeyId};
pub use assessment_run::{
    AssessmentRun, AssessmentRunId, AssessmentRunStatus, IndividualAssessment, IndividualStatus,
    ResultLocation,
};
pub use certificate::{Certificate, CertificateId, CertificateMaterial};
pub use connection::{Connection, ConnectionId, ConnectionStatus};
pub use endpoint::{Endpoint, EndpointId, EndpointRole, EndpointStatus, SslMode};
pub use event::{Event, EventSource};
pub use instance::{
    InstanceId, InstanceStatus, PendingModification, ReplicationInstance, UpgradeOptIn,
};
pub use schema_refresh::{SchemaRefresh, SchemaRefreshStatus};
pub use subnet_group::{Subnet, SubnetGroup, SubnetGroupId};
pub use table_statistics::{
    ChangeCounts, TableState, TableStatistics, TableValidation, ValidationState,
};
pub use tag::{Tag, TagSet};
pub use task::{
    MigrationType, ReplicationTask, StartType, StopReason, TaskId, TaskRun, TaskStatistics,
    TaskStatus,
};
pub use wire::UnknownWireName;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A typed document of the store.
pub trait Resource: Serialize + DeserializeOwned + Send + Sync {
    /// The name of the kind. Stored with every row: never change it.
    const KIND: &'static str;

    /// The id, unique among the kind and fixed for life.
    fn id(&self) -> &str;

    /// The name, unique among the kind.
    fn name(&self) -> &str;

    /// The id of the resource that this one belongs to, or empty.
    #[allow(
        clippy::unnecessary_literal_bound,
        reason = "implementations answer a text of their own"
    )]
    fn parent(&self) -> &str {
        ""
    }
}
