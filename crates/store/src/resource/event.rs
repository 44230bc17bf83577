use serde::{Deserialize, Serialize};

use super::Resource;
use super::wire::wire_enum;
use crate::EpochMs;

wire_enum! {
    /// What kind of resource an event tells of.
    pub enum EventSource {
        /// A replication instance.
        Instance = "replication-instance",
        /// A replication task.
        Task = "replication-task",
    }
}

/// Something that happened to an instance or a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// A random id.
    pub id: String,
    /// The identifier of the instance or task.
    pub source_identifier: String,
    /// Which of the two it is.
    pub source: EventSource,
    /// What happened.
    pub message: String,
    /// The categories it belongs to, such as `state change`.
    pub categories: Vec<String>,
    /// When it happened.
    pub at: EpochMs,
}

impl Resource for Event {
    const KIND: &'static str = "event";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.id
    }
}
