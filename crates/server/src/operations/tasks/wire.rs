use whimbrel_model as model;
use whimbrel_store::{ReplicationTask, TaskStatistics};

use crate::arn::ArnKind;
use crate::context::Context;
use crate::operations::timestamp;

/// The task as the API answers it.
pub(in crate::operations) fn to_wire(
    context: &Context,
    task: &ReplicationTask,
    with_settings: bool,
) -> model::ReplicationTask {
    let home = &context.home;
    model::ReplicationTask {
        replication_task_identifier: Some(task.identifier.clone()),
        source_endpoint_arn: Some(home.arn(ArnKind::Endpoint, task.source_endpoint_id.as_str())),
        target_endpoint_arn: Some(home.arn(ArnKind::Endpoint, task.target_endpoint_id.as_str())),
        replication_instance_arn: Some(home.arn(ArnKind::Instance, task.instance_id.as_str())),
        migration_type: Some(task.migration_type.as_str().into()),
        table_mappings: Some(task.table_mappings.clone()),
        replication_task_settings: with_settings.then(|| task.settings.to_json()),
        status: Some(task.status.to_string()),
        last_failure_message: task.last_failure_message.clone(),
        stop_reason: task.stop_reason.map(|reason| reason.to_string()),
        replication_task_creation_date: Some(timestamp(task.created_at)),
        replication_task_start_date: task.statistics.started_at.map(timestamp),
        cdc_start_position: task.cdc_start_position.clone(),
        cdc_stop_position: task.cdc_stop_position.clone(),
        recovery_checkpoint: task.recovery_checkpoint.clone(),
        replication_task_arn: Some(home.arn(ArnKind::Task, task.id.as_str())),
        replication_task_stats: task
            .ever_started
            .then(|| statistics_to_wire(&task.statistics)),
        task_data: task.task_data.clone(),
        target_replication_instance_arn: task
            .move_to
            .as_ref()
            .map(|id| home.arn(ArnKind::Instance, id.as_str())),
    }
}

fn statistics_to_wire(figures: &TaskStatistics) -> model::ReplicationTaskStats {
    model::ReplicationTaskStats {
        full_load_progress_percent: Some(figures.full_load_progress_percent),
        elapsed_time_millis: Some(figures.elapsed_ms),
        tables_loaded: Some(figures.tables_loaded),
        tables_loading: Some(figures.tables_loading),
        tables_queued: Some(figures.tables_queued),
        tables_errored: Some(figures.tables_errored),
        fresh_start_date: figures.fresh_started_at.map(timestamp),
        start_date: figures.started_at.map(timestamp),
        stop_date: figures.stopped_at.map(timestamp),
        full_load_start_date: figures.full_load_started_at.map(timestamp),
        full_load_finish_date: figures.full_load_finished_at.map(timestamp),
    }
}
