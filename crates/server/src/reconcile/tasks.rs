//! Starts, stops and settles tasks. Which step follows which: [`crate::task_lifecycle`].

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tracing::info;
use whimbrel_core::TableName;
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::TaskSettings;
use whimbrel_store::{
    EpochMs, InstanceStatus, MigrationType, ReplicationInstance, ReplicationTask, Resource as _,
    StoreError, TableState, TableStatistics, TaskId, TaskStatus,
};

use super::{PassError, Reconciler, chain};
use crate::cdc_points;
use crate::context::Context;
use crate::data_plane::{EndpointConfig, Following, RunEnd, RunMode, TaskSpec};
use crate::endpoint_config::EndpointConfigError;
use crate::events::task_event;
use crate::run_events;
use crate::task_lifecycle::{self, BegunRun};
use crate::task_statistics::{self, RunStart};

pub(crate) struct Tasks(pub(crate) Arc<Context>);

impl Tasks {
    async fn instance_is_available(&self, task: &ReplicationTask) -> Result<bool, StoreError> {
        let instance = self
            .0
            .store
            .find::<ReplicationInstance>(task.instance_id.as_str())
            .await?;
        Ok(instance.is_some_and(|instance| {
            matches!(
                instance.status,
                InstanceStatus::Available | InstanceStatus::Modifying
            )
        }))
    }

    /// `creating`, `modifying` and `moving` end here.
    async fn settle(&self, id: &TaskId) -> Result<(), StoreError> {
        let mut transaction = self.0.store.begin().await?;
        let Some(mut task) = transaction.find::<ReplicationTask>(id.as_str()).await? else {
            return Ok(());
        };
        let before = task.status;
        if before == TaskStatus::Moving {
            let destination = match &task.move_to {
                Some(destination) => {
                    transaction
                        .find::<ReplicationInstance>(destination.as_str())
                        .await?
                }
                None => None,
            };
            match destination {
                Some(instance) => {
                    task.instance_id = instance.id.clone();
                    task.move_to = None;
                    task_lifecycle::settle(&mut task);
                }
                None => task_lifecycle::fail_move(&mut task),
            }
        } else if !task_lifecycle::settle(&mut task) {
            return Ok(());
        }
        transaction.replace(&task).await?;
        let event = match before {
            TaskStatus::Creating => Some(("creation", "The replication task has been created.")),
            TaskStatus::Modifying => Some((
                "configuration change",
                "The replication task has been modified.",
            )),
            TaskStatus::Moving => Some((
                "configuration change",
                "The replication task has been moved.",
            )),
            _ => None,
        };
        if let Some((category, text)) = event {
            transaction
                .create(&task_event(&task, category, text))
                .await?;
        }
        transaction.commit().await
    }

    /// Claims the task under a new epoch and starts its run.
    async fn begin(&self, task: &ReplicationTask) -> Result<(), PassError> {
        let id = &task.id;
        let ends = match self.ends(task).await {
            Err(SpecError::Later(error)) => return Err(error),
            ends => ends,
        };
        let mut transaction = self.0.store.begin().await?;
        let Some(mut task) = transaction.find::<ReplicationTask>(id.as_str()).await? else {
            return Ok(());
        };
        let Some(begun) = task_lifecycle::begin_run(&mut task) else {
            return Ok(());
        };
        let ends = ends.and_then(|ends| {
            let places = ends.each_ref().map(EndpointConfig::place);
            task_lifecycle::meet_ends(&mut task, places, begun)
                .map_err(|refusal| SpecError::Never(refusal.to_owned()))?;
            Ok(ends)
        });
        if !begun.resumes {
            transaction
                .delete_children(TableStatistics::KIND, id.as_str())
                .await?;
        }
        let task = transaction.replace(&task).await?;
        if !begun.was_running {
            let start_type = task.run.as_ref().map_or("", |run| run.start_type.as_str());
            let text = format!(
                "The replication task has started with taskType: {}, startType: {start_type}",
                task.migration_type
            );
            transaction
                .create(&task_event(&task, "state change", &text))
                .await?;
        }
        transaction.commit().await?;
        info!(task_id = %task.id, epoch = task.epoch, ?begun, "run begins");
        let spec = match ends {
            Ok(ends) => self.spec(&task, ends, begun).await,
            Err(error) => Err(error),
        };
        match spec {
            Ok(spec) => {
                let start = RunStart {
                    epoch: task.epoch,
                    at: EpochMs::now(),
                    elapsed_ms: task.statistics.elapsed_ms,
                    resumes: begun.resumes,
                    loads: task.migration_type != MigrationType::Cdc,
                };
                let handle = self.0.data_plane.start_task(spec);
                self.0.runs.watch(&self.0, &task, start, handle);
                Ok(())
            }
            Err(SpecError::Later(error)) => Err(error),
            Err(SpecError::Never(message)) => {
                let end = RunEnd::Failed {
                    message,
                    is_recoverable: false,
                };
                Ok(self.end_without_run(&task.id, &end).await?)
            }
        }
    }

    /// Source and target of the task.
    async fn ends(&self, task: &ReplicationTask) -> Result<[EndpointConfig; 2], SpecError> {
        let source = self.0.endpoint_config(&task.source_endpoint_id).await?;
        let target = self.0.endpoint_config(&task.target_endpoint_id).await?;
        Ok([source, target])
    }

    async fn spec(
        &self,
        task: &ReplicationTask,
        [source, target]: [EndpointConfig; 2],
        begun: BegunRun,
    ) -> Result<TaskSpec, SpecError> {
        let mut validated = BTreeMap::new();
        let mode = if begun.resumes {
            let tables = self
                .0
                .store
                .list_children::<TableStatistics>(task.id.as_str())
                .await;
            let tables = tables.map_err(|error| SpecError::Later(error.into()))?;
            validated.extend(tables.iter().map(|table| {
                let name = TableName::new(table.schema.clone(), table.table.clone());
                (name, table.validation.clone())
            }));
            let completed = tables
                .into_iter()
                .filter(|table| task.is_loaded && table.state == TableState::Completed)
                .map(|table| TableName::new(table.schema.clone(), table.table.clone()));
            RunMode::Resume {
                completed: completed.collect(),
                may_begin: task.recovery_checkpoint.is_none(),
            }
        } else {
            RunMode::Fresh
        };
        Ok(TaskSpec {
            task: task.id.to_string(),
            source,
            target,
            mappings: TableMappings::parse(&task.table_mappings)
                .map_err(|error| SpecError::Never(error.to_string()))?,
            settings: TaskSettings::of(&task.settings),
            mode,
            following: following(task),
            validated,
        })
    }

    /// The end of a run that this process does not have: it could not be started, or was stopped while no process ran.
    async fn end_without_run(&self, id: &TaskId, end: &RunEnd) -> Result<(), StoreError> {
        let now = EpochMs::now();
        let mut transaction = self.0.store.begin().await?;
        let Some(mut task) = transaction.find::<ReplicationTask>(id.as_str()).await? else {
            return Ok(());
        };
        if !task_lifecycle::is_active(task.status) || !task_lifecycle::end_run(&mut task, end, now)
        {
            return Ok(());
        }
        let mut tables = transaction
            .list_children::<TableStatistics>(id.as_str())
            .await?;
        for table in &mut tables {
            let name = TableName::new(table.schema.clone(), table.table.clone());
            let is_loading = match table.state {
                TableState::FullLoad => true,
                // What is asked for still waits for the next run.
                TableState::Reloading => !task.reloads.contains(&name),
                _ => false,
            };
            if is_loading {
                table.state = TableState::Cancelled;
                table.updated_at = now;
                transaction.replace(table).await?;
            }
        }
        let states = tables.iter().map(|table| match table.state {
            TableState::Reloading => TableState::BeforeLoad,
            state => state,
        });
        let states: Vec<TableState> = states.collect();
        task_statistics::count_tables(&mut task.statistics, &states);
        run_events::conclude(&mut *transaction, &mut task, end).await?;
        transaction.replace(&task).await?;
        transaction.commit().await
    }
}

/// What a task that follows its source is to do.
pub(super) fn following(task: &ReplicationTask) -> Option<Following> {
    let loads = match task.migration_type {
        MigrationType::FullLoad => return None,
        MigrationType::FullLoadAndCdc => true,
        MigrationType::Cdc => false,
    };
    Some(Following {
        loads,
        start: cdc_points::start(task.cdc_start_time, task.cdc_start_position.as_deref()),
        stop_at: task.cdc_stop_position.as_deref().and_then(cdc_points::stop),
    })
}

enum SpecError {
    /// The store failed; a later pass tries again.
    Later(PassError),
    /// The task cannot run as it stands.
    Never(String),
}

impl From<EndpointConfigError> for SpecError {
    fn from(error: EndpointConfigError) -> Self {
        if error.is_transient() {
            Self::Later(error.into())
        } else {
            Self::Never(chain(&error))
        }
    }
}

#[async_trait]
impl Reconciler for Tasks {
    fn name(&self) -> &'static str {
        "tasks"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[ReplicationTask::KIND, ReplicationInstance::KIND]
    }

    async fn pass(&self) -> Result<(), PassError> {
        for task in self.0.store.list::<ReplicationTask>().await? {
            match task.status {
                TaskStatus::Creating | TaskStatus::Modifying | TaskStatus::Moving => {
                    self.settle(&task.id).await?;
                }
                TaskStatus::Starting | TaskStatus::Running => {
                    if !self.0.runs.contains(&task.id) && self.instance_is_available(&task).await? {
                        self.begin(&task).await?;
                    }
                    self.0.runs.ask(&task);
                }
                TaskStatus::Stopping => {
                    if !self.0.runs.stop(&task.id) {
                        self.end_without_run(&task.id, &RunEnd::Stopped).await?;
                    }
                }
                TaskStatus::Deleting => {
                    self.0.runs.stop(&task.id);
                }
                TaskStatus::Ready
                | TaskStatus::Stopped
                | TaskStatus::Failed
                | TaskStatus::FailedMove
                | TaskStatus::Testing => {}
            }
        }
        Ok(())
    }
}
