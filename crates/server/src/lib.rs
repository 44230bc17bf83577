//! The service: operation handlers, reconcilers, and what starts and stops them.

mod address;
mod arn;
mod assessment_results;
mod cdc_points;
mod connectors;
mod context;
mod data_plane;
mod endpoint_config;
mod engine_catalog;
mod events;
mod fault;
mod forgetting;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod identifier;
mod keys;
mod listing;
mod operations;
mod pem;
mod quota;
mod reconcile;
mod run_events;
mod runs;
mod serve;
mod task_lifecycle;
mod task_statistics;

pub use connectors::make_connector;
pub use data_plane::{
    Clearance, ConnectionFailure, DataPlane, EndpointConfig, EngineDataPlane, MakeConnector,
    Requests, RunEnd, RunMode, RunProgress, TableProgress, TaskHandle, TaskSpec,
    ValidationProgress,
};
pub use keys::{ADMINISTRATOR, KeyPair, create_key, list_keys, remove_key, secret_of};
pub use serve::{RunningServer, ServeConfig, ServeError, serve};
