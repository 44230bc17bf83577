use whimbrel_core::settings::{SettingsDocument, TablePrepMode, TaskSettings};
use whimbrel_model as model;
use whimbrel_store::{ReplicationTask, Stored, TaskStatus, Transaction};

use super::points::Points;
use super::wire::to_wire;
use super::{bad_settings, checked_mappings, find, migration_type};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::fault::{self, Fault, invalid_state};
use crate::identifier;
use crate::operations::epoch_ms;
use crate::task_lifecycle;

const ONLY_SEVERITIES: &str = "Replication Task, excluding logging severity task settings, cannot be modified while it is running state";

pub(in crate::operations) async fn modify(
    context: &Context,
    message: model::ModifyReplicationTaskMessage,
) -> Result<model::ModifyReplicationTaskResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = find(context, &mut *transaction, &message.replication_task_arn).await?;
    let settings = match &message.replication_task_settings {
        Some(sent) => Some(task.settings.for_modify(sent).map_err(bad_settings)?),
        None => None,
    };
    if task.status == TaskStatus::Running {
        return modify_running(context, transaction, task, settings, &message).await;
    }
    task_lifecycle::modify(&mut task).map_err(|_| {
        invalid_state(format!(
            "Replication Task cannot be modified, invalid state {}. It must be at rest: stop it first",
            task.status
        ))
    })?;
    let points = Points::parse(
        message.cdc_start_time.map(epoch_ms),
        message.cdc_start_position,
        message.cdc_stop_position,
    )?;
    if let Some(identifier) = message.replication_task_identifier {
        task.identifier = identifier::task_identifier(&identifier)?;
    }
    if let Some(migration) = message.migration_type {
        task.migration_type = migration_type(migration.as_str())?;
    }
    points.apply(&mut task)?;
    if let Some(mappings) = message.table_mappings {
        task.table_mappings = checked_mappings(mappings)?;
    }
    if let Some(settings) = settings {
        check_reloads(&task, &settings)?;
        task.settings = settings;
    }
    if message.task_data.is_some() {
        task.task_data = message.task_data;
    }
    let task = match transaction.replace(&task).await {
        Ok(stored) => stored,
        Err(error) => {
            return Err(fault::taken(
                context,
                &mut *transaction,
                error,
                ("Replication Task", ArnKind::Task),
                &task.value,
            )
            .await);
        }
    };
    transaction.commit().await?;
    Ok(model::ModifyReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}

fn check_reloads(task: &ReplicationTask, settings: &SettingsDocument) -> Result<(), Fault> {
    let prepare = TaskSettings::of(settings).prepare;
    if !task.reloads.is_empty() && prepare == TablePrepMode::DoNothing {
        return Err(invalid_state(
            "TargetTablePrepMode cannot become DO_NOTHING while tables wait to be loaded again: the rows that are there would stay beside those of the \
             reload. Resume the task until they are loaded"
                .to_owned(),
        ));
    }
    Ok(())
}

/// While a task runs, only log severities may change, and they do so at once.
async fn modify_running(
    context: &Context,
    mut transaction: Box<dyn Transaction>,
    mut task: Stored<ReplicationTask>,
    settings: Option<SettingsDocument>,
    message: &model::ModifyReplicationTaskMessage,
) -> Result<model::ModifyReplicationTaskResponse, Fault> {
    let asks_for_more = message.replication_task_identifier.is_some()
        || message.migration_type.is_some()
        || message.table_mappings.is_some()
        || message.cdc_start_time.is_some()
        || message.cdc_start_position.is_some()
        || message.cdc_stop_position.is_some()
        || message.task_data.is_some();
    let settings = settings.filter(|_| !asks_for_more);
    let settings = settings.and_then(|settings| task.settings.with_severities_of(&settings));
    task.settings = settings.ok_or_else(|| invalid_state(ONLY_SEVERITIES.to_owned()))?;
    let task = transaction.replace(&task).await?;
    transaction.commit().await?;
    Ok(model::ModifyReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}
