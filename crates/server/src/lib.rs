//! The service: operation handlers, reconcilers, and what starts and stops them.

mod arn;
mod context;
mod data_plane;
mod endpoint_config;
mod events;
mod operations;
mod reconcile;
mod runs;
mod task_lifecycle;
mod task_statistics;

pub use data_plane::{
    ConnectionFailure, DataPlane, EndpointConfig, FakeDataPlane, FakeRun, RunEnd, RunMode,
    RunProgress, TableProgress, TaskHandle, TaskSpec,
};
