//! Maintenance of instances, and the logs of their tasks.
//!
//! A new version comes with a new binary, so the service itself never has maintenance to announce; what waits for an instance's window is
//! what its user asked for.

use whimbrel_model as model;
use whimbrel_store::{EpochMs, ReplicationInstance, ReplicationTask, Stored, UpgradeOptIn};

use super::instances::{self, window};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::fault::{self, Fault, invalid_value};
use crate::listing::{PageRequest, USUAL_PAGE};

const IMMEDIATE: &str = "immediate";
const NEXT_MAINTENANCE: &str = "next-maintenance";
const UNDO: &str = "undo-opt-in";
const OPT_INS: [&str; 3] = [IMMEDIATE, NEXT_MAINTENANCE, UNDO];
const DB_UPGRADE: &str = "db-upgrade";

/// The changes of an instance that wait for its window, as one action.
fn pending(
    context: &Context,
    instance: &ReplicationInstance,
) -> Option<model::ResourcePendingMaintenanceActions> {
    let version = instance.pending.engine_version.as_ref()?;
    let is_opted_in = instance.upgrade_opt_in == UpgradeOptIn::NextMaintenance;
    let window = &instance.preferred_maintenance_window;
    let applies_at = window::next(window, EpochMs::now()).filter(|_| is_opted_in);
    let action = model::PendingMaintenanceAction {
        action: Some(DB_UPGRADE.to_owned()),
        opt_in_status: is_opted_in.then(|| NEXT_MAINTENANCE.to_owned()),
        current_apply_date: applies_at.map(super::timestamp),
        description: Some(format!("Upgrade to engine version {version}")),
        ..Default::default()
    };
    Some(model::ResourcePendingMaintenanceActions {
        resource_identifier: Some(context.home.arn(ArnKind::Instance, instance.id.as_str())),
        pending_maintenance_action_details: Some(vec![action]),
    })
}

pub(super) async fn describe_pending(
    context: &Context,
    message: model::DescribePendingMaintenanceActionsMessage,
) -> Result<model::DescribePendingMaintenanceActionsResponse, Fault> {
    let filters = super::filters(
        message.filters,
        &["replication-instance-arn", "replication-instance-id"],
    )?;
    let page = PageRequest::parse(
        "pending maintenance",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut transaction = context.store.view().await?;
    let mut found = match &message.replication_instance_arn {
        Some(arn) => vec![instances::find(context, &mut *transaction, arn).await?],
        None => transaction.list::<ReplicationInstance>().await?,
    };
    found.retain(|instance| {
        let arn = context.home.arn(ArnKind::Instance, instance.id.as_str());
        filters.match_item(|name| {
            vec![if name == "replication-instance-arn" {
                arn.as_str()
            } else {
                instance.identifier.as_str()
            }]
        })
    });
    let actions = found
        .into_iter()
        .filter_map(|instance| Some((instance.seq, pending(context, &instance)?)))
        .collect();
    let (actions, marker) = page.cut_numbered(actions);
    Ok(model::DescribePendingMaintenanceActionsResponse {
        pending_maintenance_actions: Some(actions),
        marker,
    })
}

pub(super) async fn apply_pending(
    context: &Context,
    message: model::ApplyPendingMaintenanceActionMessage,
) -> Result<model::ApplyPendingMaintenanceActionResponse, Fault> {
    if !OPT_INS.contains(&message.opt_in_type.as_str()) {
        return Err(invalid_value(format!(
            "Invalid OptInType {}. Valid values: {}",
            message.opt_in_type,
            OPT_INS.join(", ")
        )));
    }
    let mut transaction = context.store.begin().await?;
    let mut instance = instances::find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    let waits = instance.pending.engine_version.is_some() && message.apply_action == DB_UPGRADE;
    if !waits {
        return Err(fault::not_found(format!(
            "No pending maintenance action {} found for the replication instance {}.",
            message.apply_action, instance.identifier
        )));
    }
    let opt_in = message.opt_in_type.as_str();
    instance.upgrade_opt_in = if opt_in == UNDO {
        UpgradeOptIn::Undone
    } else {
        UpgradeOptIn::NextMaintenance
    };
    let mut actions = pending(context, &instance);
    if opt_in == IMMEDIATE {
        instances::check_available(&instance)?;
        instances::pending::begin_upgrade(&mut instance);
        let now = super::timestamp(EpochMs::now());
        for action in details_of(&mut actions) {
            action.opt_in_status = Some(IMMEDIATE.to_owned());
            action.current_apply_date = Some(now);
        }
    }
    transaction.replace(&instance).await?;
    transaction.commit().await?;
    Ok(model::ApplyPendingMaintenanceActionResponse {
        resource_pending_maintenance_actions: actions,
    })
}

fn details_of(
    actions: &mut Option<model::ResourcePendingMaintenanceActions>,
) -> impl Iterator<Item = &mut model::PendingMaintenanceAction> {
    let details = actions
        .iter_mut()
        .filter_map(|actions| actions.pending_maintenance_action_details.as_mut());
    details.flatten()
}

/// Runs write to the log of the process; tasks have no logs of their own, so their sizes are 0.
pub(super) async fn describe_task_logs(
    context: &Context,
    message: model::DescribeReplicationInstanceTaskLogsMessage,
) -> Result<model::DescribeReplicationInstanceTaskLogsResponse, Fault> {
    let mut transaction = context.store.view().await?;
    let instance = instances::find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    let page = PageRequest::parse(
        format!("task logs of {}", instance.id),
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut tasks: Vec<Stored<ReplicationTask>> = transaction.list().await?;
    tasks.retain(|task| task.instance_id == instance.id && task.ever_started);
    let (tasks, marker) = page.cut(tasks);
    let logs = tasks.iter().map(|task| model::ReplicationInstanceTaskLog {
        replication_task_name: Some(task.identifier.clone()),
        replication_task_arn: Some(context.home.arn(ArnKind::Task, task.id.as_str())),
        replication_instance_task_log_size: Some(0),
    });
    Ok(model::DescribeReplicationInstanceTaskLogsResponse {
        replication_instance_arn: Some(message.replication_instance_arn),
        replication_instance_task_logs: Some(logs.collect()),
        marker,
    })
}
