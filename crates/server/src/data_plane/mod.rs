//! What the control plane asks of the databases: the border behind which connections are made and rows move.

mod assessing;
mod engine;
#[cfg(test)]
mod fake;
mod handle;
#[cfg(test)]
mod settings_page;
mod start;
#[cfg(test)]
mod tests;
mod validation;

pub use engine::{EngineDataPlane, MakeConnector};
#[cfg(test)]
pub(crate) use fake::{FakeDataPlane, FakeRun};
pub use handle::{Clearance, Requests, TaskHandle};

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value};
use whimbrel_connector::StartPoint;
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::TaskSettings;
use whimbrel_core::{Engine, Secret, TableName};
use whimbrel_engine::assess::{Assessments, Values};
use whimbrel_engine::{Alarm, Interruption, StopTime};
use whimbrel_store::{
    ChangeCounts, EndpointRole, EpochMs, SslMode, StopReason, TableState, TableValidation,
};

use crate::engine_catalog::{MULTIPLE_DATABASES, connects_to, is_same_word, switched};

/// One endpoint with everything that is needed to connect, secrets opened.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The name that the user gave, for messages.
    pub identifier: String,
    /// Source or target.
    pub role: EndpointRole,
    /// The engine by its API name.
    pub engine_name: String,
    /// Host name or address.
    pub server_name: String,
    /// Its port.
    pub port: u16,
    /// Who signs in.
    pub username: String,
    /// The password, if one was given.
    pub password: Option<Secret>,
    /// The database to connect to.
    pub database_name: Option<String>,
    /// Protection of the connection.
    pub ssl_mode: SslMode,
    /// The authorities to trust in PEM, if not those of the system.
    pub ca_pem: Option<String>,
    /// Extra connection attributes, names in lower case.
    pub attributes: BTreeMap<String, String>,
    /// The engine's own settings as given over the API, secrets left out.
    pub settings: Map<String, Value>,
}

impl EndpointConfig {
    /// A setting as text: from the engine's own settings, or else from the extra connection attributes.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let text = match self.settings.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => self.attributes.get(&name.to_ascii_lowercase()).cloned(),
            Some(other) => Some(other.to_string()),
        };
        text.filter(|text| !text.trim().is_empty())
    }

    /// A setting that switches something on or off; `None` where it is not given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        switched(&self.setting(name)?)
    }

    /// What tells its database from others, whoever connects to it and in whatever way.
    pub(crate) fn place(&self) -> String {
        let server = self.server_name.to_ascii_lowercase();
        let database = self.database_name.as_deref().unwrap_or_default();
        format!("{server}:{}/{database}", self.port)
    }

    /// The one database of a `MySQL` target that takes the tables of all schemas: asked for by `TargetDbType`, or by naming a database
    /// without saying anything else.
    pub(crate) fn single_database(&self) -> Option<String> {
        let is_mysql = matches!(
            connects_to(&self.engine_name),
            Some(Engine::MySql | Engine::MariaDb)
        );
        let takes_many = self
            .setting("TargetDbType")
            .is_some_and(|kind| is_same_word(&kind, MULTIPLE_DATABASES));
        self.database_name
            .clone()
            .filter(|_| is_mysql && !takes_many)
    }
}

/// A connection that could not be made: the words for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct ConnectionFailure {
    /// What went wrong, without secrets.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Whether a run begins anew or goes on. What decides it: [`Clearance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// What earlier starts recorded at the target is let go of first, and then all is done from the beginning.
    Fresh,
    /// What is recorded at the target is of this start. A load goes on from it; where nothing is, it begins.
    Resume {
        /// Tables that are complete and whose record the target has let go of.
        completed: Vec<TableName>,
        /// Whether following may not have begun yet. If it has, a target without a checkpoint is an error, because changes would be lost.
        may_begin: bool,
    },
}

/// What a task does that follows its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// Whether the rows that are there are loaded first.
    pub loads: bool,
    /// Where changes begin; the log's end when not given.
    pub start: Option<StartPoint>,
    /// When to end, if ever.
    pub stop_at: Option<StopTime>,
}

/// One run of a task.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// The task's name at the target: the last part of its ARN.
    pub task: String,
    /// Where rows come from.
    pub source: EndpointConfig,
    /// Where rows go.
    pub target: EndpointConfig,
    /// Which tables, under which names.
    pub mappings: TableMappings,
    /// The task's settings.
    pub settings: TaskSettings,
    /// Afresh, or on.
    pub mode: RunMode,
    /// For tasks that follow changes.
    pub following: Option<Following>,
    /// What earlier runs found out when they compared tables.
    pub validated: BTreeMap<TableName, TableValidation>,
}

/// How far one table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProgress {
    /// Its state.
    pub state: TableState,
    /// Rows loaded.
    pub rows: i64,
    /// Rows that this run left out of the load.
    pub error_rows: i64,
    /// When its load began.
    pub started_at: Option<EpochMs>,
    /// When it was complete or in error.
    pub ended_at: Option<EpochMs>,
    /// Why it is in error.
    pub message: Option<String>,
    /// Columns that are not created at the target, because it cannot compute them.
    pub not_created: Vec<String>,
    /// Changes applied in this run.
    pub applied: ChangeCounts,
    /// Changes captured in this run: those applied, and those that the target refused or that met no row.
    pub captured: ChangeCounts,
    /// How often it was loaded again in this run.
    pub reload_count: u32,
    /// How often this run heard that it is to be loaded again, whatever came of it.
    pub reload_answer_count: u32,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Its tables by their names at the source.
    pub tables: BTreeMap<TableName, TableProgress>,
    /// 0 to 100.
    pub percent: u8,
    /// Whether the target has let go of what earlier starts recorded: from now on a run that takes over may resume.
    pub is_cleared: bool,
    /// The position up to which changes are applied.
    pub checkpoint: Option<String>,
    /// The last fault after which the run was tried again.
    pub interruption: Option<Interruption>,
    /// What was last told of the log that the source keeps for the task.
    pub log_alarm: Option<Alarm>,
    /// What was last told of what the target waits for.
    pub target_alarm: Option<Alarm>,
    /// How far the comparison of the tables is; `None` for a task that does not compare.
    pub validations: Option<BTreeMap<TableName, ValidationProgress>>,
}

/// How far the comparison of one table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationProgress {
    /// What is known of it.
    pub known: TableValidation,
    /// Requests for a comparison that this run has heard of.
    pub request_count: u32,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// What was to be done is done.
    Finished(StopReason),
    /// It was asked to stop.
    Stopped,
    /// It failed, retries used up.
    Failed {
        /// What went wrong, for the user.
        message: String,
        /// Whether it was an error of the surroundings.
        is_recoverable: bool,
    },
}

/// The databases, as far as the control plane knows them.
#[async_trait]
pub trait DataPlane: Send + Sync {
    /// Makes a real connection, signs in, and asks for something trivial. Repeatable; leaves nothing behind.
    ///
    /// May take long: the caller bounds it. Dropping the future closes the connection.
    async fn test_connection(&self, endpoint: &EndpointConfig) -> Result<(), ConnectionFailure>;

    /// The user schemas of the endpoint's database (`MySQL`: databases), sorted.
    async fn list_schemas(
        &self,
        endpoint: &EndpointConfig,
    ) -> Result<Vec<String>, ConnectionFailure>;

    /// Whether the target has a checkpoint of this task: it has followed its source. Repeatable.
    ///
    /// May take long, as the next two: the caller bounds it.
    async fn has_followed(
        &self,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<bool, ConnectionFailure>;

    /// Removes what a task that follows its source made there for it. Repeatable.
    async fn forget_at_source(
        &self,
        source: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure>;

    /// Removes what runs of this task have recorded at the target beside the tables that they loaded. Repeatable.
    async fn forget_at_target(
        &self,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure>;

    /// Makes all checks of a task that apply, and writes nothing at either end. Repeatable.
    ///
    /// May take as long as reading all rows. Dropping the future closes the connections.
    async fn assess(
        &self,
        spec: &TaskSpec,
        values: Values,
    ) -> Result<Assessments, ConnectionFailure>;

    /// Starts a run and returns at once. What cannot be started ends at once with its failure.
    fn start_task(&self, spec: TaskSpec) -> TaskHandle;
}
