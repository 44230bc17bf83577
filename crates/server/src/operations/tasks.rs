//! Replication tasks. Which call is allowed when: [`crate::task_lifecycle`].

mod modify;
mod points;
mod wire;

pub(super) use modify::modify;

use std::collections::BTreeSet;

use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::{SettingsDocument, TaskSettings};
use whimbrel_model as model;
use whimbrel_store::{
    Connection, ConnectionId, ConnectionStatus, Endpoint, EndpointId, EndpointRole, EndpointStatus,
    EpochMs, InstanceId, MigrationType, ReplicationInstance, ReplicationTask, StartType, Stored,
    TaskId, TaskStatistics, TaskStatus, Transaction,
};

use self::points::{Points, check_start_time};
pub(super) use self::wire::to_wire;
use super::{endpoints, instances, tags};
use crate::arn::{ArnKind, random_id};
use crate::context::Context;
use crate::engine_catalog;
use crate::events::task_event;
use crate::fault::{self, Fault, invalid_combination, invalid_state, invalid_value};
use crate::identifier;
use crate::listing::{Filters, PageRequest, USUAL_PAGE};
use crate::quota::{self, InstanceQuota, Quota};
use crate::task_lifecycle::{self, Refusal};

pub(super) async fn create(
    context: &Context,
    mut message: model::CreateReplicationTaskMessage,
) -> Result<model::CreateReplicationTaskResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let source = end(
        context,
        &mut *transaction,
        &message.source_endpoint_arn,
        EndpointRole::Source,
    )
    .await?;
    let target = end(
        context,
        &mut *transaction,
        &message.target_endpoint_arn,
        EndpointRole::Target,
    )
    .await?;
    let instance = instances::find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    instances::check_available(&instance)?;
    let given_tags = message.tags.take();
    let ends = (source.id.clone(), target.id.clone());
    let task = task_from_create(ends, instance.id.clone(), message)?;
    let tasks = transaction.list::<ReplicationTask>().await?;
    quota::check(Quota::Tasks, tasks.len())?;
    check_room(&instance, &tasks)?;
    let arn = context.home.arn(ArnKind::Task, task.id.as_str());
    if let Err(error) = transaction.create(&task).await {
        return Err(fault::taken(
            context,
            &mut *transaction,
            error,
            ("Replication Task", ArnKind::Task),
            &task,
        )
        .await);
    }
    tags::create(&mut *transaction, &arn, given_tags).await?;
    transaction.commit().await?;
    Ok(model::CreateReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}

fn task_from_create(
    (source_endpoint_id, target_endpoint_id): (EndpointId, EndpointId),
    instance_id: InstanceId,
    message: model::CreateReplicationTaskMessage,
) -> Result<ReplicationTask, Fault> {
    let points = Points::parse(
        message.cdc_start_time.map(super::epoch_ms),
        message.cdc_start_position,
        message.cdc_stop_position,
    )?;
    let id = match &message.resource_identifier {
        Some(text) => identifier::resource_identifier(text)?,
        None => random_id(),
    };
    let mut task = ReplicationTask {
        id: TaskId(id),
        identifier: identifier::task_identifier(&message.replication_task_identifier)?,
        source_endpoint_id,
        target_endpoint_id,
        instance_id,
        move_to: None,
        migration_type: migration_type(message.migration_type.as_str())?,
        table_mappings: checked_mappings(message.table_mappings)?,
        settings: SettingsDocument::for_create(message.replication_task_settings.as_deref())
            .map_err(bad_settings)?,
        status: TaskStatus::Creating,
        resting_status: TaskStatus::Ready,
        run: None,
        epoch: 0,
        ever_started: false,
        started_as: None,
        is_cleared: false,
        is_loaded: false,
        ran_between: None,
        stop_reason: None,
        last_failure_message: None,
        cdc_start_time: None,
        cdc_start_position: None,
        cdc_stop_position: None,
        recovery_checkpoint: None,
        reloads: BTreeSet::new(),
        revalidations: BTreeSet::new(),
        task_data: message.task_data,
        created_at: EpochMs::now(),
        statistics: TaskStatistics::default(),
    };
    points.apply(&mut task)?;
    Ok(task)
}

/// Refuses one more task on an instance that has all it may have.
fn check_room(
    instance: &ReplicationInstance,
    tasks: &[Stored<ReplicationTask>],
) -> Result<(), Fault> {
    let is_there = |task: &&Stored<ReplicationTask>| {
        task.instance_id == instance.id || task.move_to.as_ref() == Some(&instance.id)
    };
    let used = tasks.iter().filter(is_there).count();
    quota::check_on_instance(InstanceQuota::Tasks, instance, used)
}

/// The endpoint of one side.
async fn end(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
    role: EndpointRole,
) -> Result<Stored<Endpoint>, Fault> {
    let endpoint = endpoints::find(context, transaction, arn).await?;
    if endpoint.role != role {
        return Err(invalid_value(format!(
            "ReplicationEngineType [name={}, endpointType={}] endpoint must be of type {}",
            endpoint.engine_name,
            endpoint.role.as_str().to_uppercase(),
            role.as_str().to_uppercase()
        )));
    }
    if endpoint.status == EndpointStatus::Deleting {
        return Err(invalid_state(format!(
            "Endpoint {} is being deleted.",
            endpoint.identifier
        )));
    }
    Ok(endpoint)
}

pub(super) fn migration_type(text: &str) -> Result<MigrationType, Fault> {
    text.parse().map_err(|_| {
        invalid_value(format!(
            "Invalid MigrationType {text}. Valid values: full-load, cdc, full-load-and-cdc"
        ))
    })
}

fn checked_mappings(document: String) -> Result<String, Fault> {
    match TableMappings::parse(&document) {
        Ok(_) => Ok(document),
        Err(error) => Err(invalid_value(error.to_string())),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn bad_settings(error: whimbrel_core::settings::SettingsError) -> Fault {
    invalid_value(error.to_string())
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeReplicationTasksMessage,
) -> Result<model::DescribeReplicationTasksResponse, Fault> {
    let known = [
        "replication-task-arn",
        "replication-task-id",
        "migration-type",
        "endpoint-arn",
        "replication-instance-arn",
    ];
    let filters = super::filters(message.filters, &known)?;
    let page = PageRequest::parse(
        "tasks",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut tasks = context.store.list::<ReplicationTask>().await?;
    tasks.retain(|task| matches(context, &filters, task));
    if tasks.is_empty() && !filters.is_empty() {
        return Err(fault::not_found(
            "No Tasks found matching provided filters".to_owned(),
        ));
    }
    let (tasks, marker) = page.cut(tasks);
    let with_settings = !message.without_settings.unwrap_or(false);
    let tasks = tasks
        .iter()
        .map(|task| to_wire(context, task, with_settings))
        .collect();
    Ok(model::DescribeReplicationTasksResponse {
        marker,
        replication_tasks: Some(tasks),
    })
}

fn matches(context: &Context, filters: &Filters, task: &ReplicationTask) -> bool {
    let arn = context.home.arn(ArnKind::Task, task.id.as_str());
    let source = context
        .home
        .arn(ArnKind::Endpoint, task.source_endpoint_id.as_str());
    let target = context
        .home
        .arn(ArnKind::Endpoint, task.target_endpoint_id.as_str());
    let instance = context
        .home
        .arn(ArnKind::Instance, task.instance_id.as_str());
    filters.match_item(|name| match name {
        "replication-task-arn" => vec![arn.as_str()],
        "replication-task-id" => vec![task.identifier.as_str()],
        "migration-type" => vec![task.migration_type.as_str()],
        "endpoint-arn" => vec![source.as_str(), target.as_str()],
        _ => vec![instance.as_str()],
    })
}

pub(super) async fn start(
    context: &Context,
    message: model::StartReplicationTaskMessage,
) -> Result<model::StartReplicationTaskResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = find(context, &mut *transaction, &message.replication_task_arn).await?;
    let text = message.start_replication_task_type.as_str();
    let start_type: StartType = text.parse().map_err(|_| {
        invalid_value(format!("Invalid StartReplicationTaskType {text}. Valid values: start-replication, resume-processing, reload-target"))
    })?;
    let points = Points::parse(
        message.cdc_start_time.map(super::epoch_ms),
        message.cdc_start_position,
        message.cdc_stop_position,
    )?;
    task_lifecycle::start(&mut task, start_type, EpochMs::now()).map_err(refused_start)?;
    if TaskSettings::of(&task.settings).validation_only {
        return Err(invalid_combination(
            "ValidationSettings.ValidationOnly is not supported by this version: starting the task would move data. Compare both ends \
             with whimbrel validate, or create the task without it."
                .to_owned(),
        ));
    }
    let stops_later = points.check_stop_time(&task);
    points.apply(&mut task)?;
    check_start_time(&mut *transaction, &task).await?;
    stops_later?;
    let instance = transaction
        .find::<ReplicationInstance>(task.instance_id.as_str())
        .await?;
    let instance = instance
        .ok_or_else(|| invalid_state("The replication instance of the task is gone".to_owned()))?;
    instances::check_available(&instance)?;
    check_connections(&mut *transaction, &task).await?;
    let task = transaction.replace(&task).await?;
    transaction.commit().await?;
    Ok(model::StartReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}

fn refused_start(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::WrongStatus => {
            invalid_state("Replication Task cannot be started, invalid state".to_owned())
        }
        Refusal::NotFirstStart => invalid_combination(
            "Start Type : START_REPLICATION, valid only for tasks running for the first time"
                .to_owned(),
        ),
        Refusal::FirstStart => invalid_combination(
            "Start Type : START_REPLICATION is required for tasks running for the first time"
                .to_owned(),
        ),
        Refusal::NothingToReload => invalid_combination(
            "Start Type : RELOAD_TARGET, not valid for tasks of migration type cdc".to_owned(),
        ),
        Refusal::OtherType { was, is } => {
            let start = match is {
                MigrationType::Cdc => {
                    "start-replication, with CdcStartPosition or CdcStartTime where changes are to be followed from, or without to follow from now"
                }
                MigrationType::FullLoad | MigrationType::FullLoadAndCdc => "reload-target",
            };
            invalid_combination(format!(
                "Start Type : RESUME_PROCESSING, not valid for a task that ran as {was} and is {is} now, because changes or rows would be left out. Start it with {start}; \
                 or modify its MigrationType back to {was} and resume it"
            ))
        }
    }
}

/// Both ends must have passed a test from the task's instance, with the settings that they have now.
pub(super) async fn check_connections(
    transaction: &mut dyn Transaction,
    task: &ReplicationTask,
) -> Result<(), Fault> {
    for endpoint_id in [&task.source_endpoint_id, &task.target_endpoint_id] {
        let endpoint = transaction.find::<Endpoint>(endpoint_id.as_str()).await?;
        let endpoint =
            endpoint.ok_or_else(|| invalid_state("An endpoint of the task is gone".to_owned()))?;
        if engine_catalog::connects_to(&endpoint.engine_name).is_none() {
            return Err(invalid_state(format!(
                "Test connection for the endpoint {} should be successful for starting the replication task; the engine {} is not \
                 supported by this version",
                endpoint.identifier, endpoint.engine_name
            )));
        }
        let id = ConnectionId::of(&task.instance_id, endpoint_id);
        let connection = transaction.find::<Connection>(id.as_str()).await?;
        let is_tested = connection.is_some_and(|connection| {
            connection.status == ConnectionStatus::Successful
                && connection.endpoint_revision == endpoint.revision
        });
        if !is_tested {
            return Err(invalid_state(format!(
                "Test connection for replication instance and endpoint {} should be successful for starting the replication task",
                endpoint.identifier
            )));
        }
    }
    Ok(())
}

pub(super) async fn stop(
    context: &Context,
    message: model::StopReplicationTaskMessage,
) -> Result<model::StopReplicationTaskResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = find(context, &mut *transaction, &message.replication_task_arn).await?;
    task_lifecycle::stop(&mut task).map_err(|_| {
        invalid_state("Replication Task cannot be stopped, invalid state".to_owned())
    })?;
    let task = transaction.replace(&task).await?;
    transaction.commit().await?;
    Ok(model::StopReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}

pub(super) async fn start_move(
    context: &Context,
    message: model::MoveReplicationTaskMessage,
) -> Result<model::MoveReplicationTaskResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = find(context, &mut *transaction, &message.replication_task_arn).await?;
    let instance = instances::find(
        context,
        &mut *transaction,
        &message.target_replication_instance_arn,
    )
    .await?;
    instances::check_available(&instance)?;
    if instance.id == task.instance_id {
        return Err(invalid_combination(
            "The replication task is on that replication instance already".to_owned(),
        ));
    }
    check_room(&instance, &transaction.list::<ReplicationTask>().await?)?;
    task_lifecycle::start_move(&mut task).map_err(|_| {
        invalid_state(format!(
            "Replication Task cannot be moved, invalid state {}. It must be at rest: stop it first",
            task.status
        ))
    })?;
    task.move_to = Some(instance.id.clone());
    let task = transaction.replace(&task).await?;
    transaction.commit().await?;
    Ok(model::MoveReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteReplicationTaskMessage,
) -> Result<model::DeleteReplicationTaskResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = find(context, &mut *transaction, &message.replication_task_arn).await?;
    task_lifecycle::delete(&mut task).map_err(|_| {
        invalid_state(format!(
            "Replication Task cannot be deleted, invalid state {}. It must be at rest: stop it first",
            task.status
        ))
    })?;
    let task = transaction.replace(&task).await?;
    transaction
        .create(&task_event(
            &task,
            "deletion",
            "The replication task is being deleted.",
        ))
        .await?;
    transaction.commit().await?;
    Ok(model::DeleteReplicationTaskResponse {
        replication_task: Some(to_wire(context, &task, true)),
    })
}

/// The task that an ARN names.
pub(super) async fn find(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
) -> Result<Stored<ReplicationTask>, Fault> {
    let found = match context.home.id_in(ArnKind::Task, arn) {
        Some(id) => transaction.find::<ReplicationTask>(id).await?,
        None => None,
    };
    found.ok_or_else(|| fault::not_found(format!("Replication Task {arn} not found.")))
}
