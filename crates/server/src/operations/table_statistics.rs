//! The figures of a task's tables, and their reload.

use std::ops::RangeInclusive;

use whimbrel_core::TableName;
use whimbrel_core::settings::{TablePrepMode, TaskSettings};
use whimbrel_model as model;
use whimbrel_store::{
    EpochMs, MigrationType, TableState, TableStatistics, TableValidation, TaskStatus,
    ValidationState,
};

use super::tasks;
use crate::arn::ArnKind;
use crate::context::Context;
use crate::fault::{Fault, invalid_state, invalid_value};
use crate::listing::PageRequest;

const PAGE: RangeInclusive<i32> = 20..=500;
const RELOADED_TABLES_MAX: usize = 10;

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeTableStatisticsMessage,
) -> Result<model::DescribeTableStatisticsResponse, Fault> {
    let filters = super::filters(
        message.filters,
        &["schema-name", "table-name", "table-state"],
    )?;
    let mut transaction = context.store.view().await?;
    let task = tasks::find(context, &mut *transaction, &message.replication_task_arn).await?;
    let page = PageRequest::parse(
        format!("table statistics of {}", task.id),
        message.max_records,
        message.marker.as_deref(),
        PAGE,
    )?;
    let mut tables = transaction
        .list_children::<TableStatistics>(task.id.as_str())
        .await?;
    drop(transaction);
    tables.retain(|table| {
        filters.match_item(|name| match name {
            "schema-name" => vec![table.schema.as_str()],
            "table-name" => vec![table.table.as_str()],
            _ => vec![table.state.as_str()],
        })
    });
    let (tables, marker) = page.cut(tables);
    Ok(model::DescribeTableStatisticsResponse {
        replication_task_arn: Some(context.home.arn(ArnKind::Task, task.id.as_str())),
        table_statistics: Some(tables.iter().map(to_wire).collect()),
        marker,
    })
}

pub(super) async fn reload(
    context: &Context,
    message: model::ReloadTablesMessage,
) -> Result<model::ReloadTablesResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = tasks::find(context, &mut *transaction, &message.replication_task_arn).await?;
    if task.status != TaskStatus::Running {
        return Err(invalid_state(format!(
            "Tables can be reloaded only while the replication task is running, it is {}",
            task.status
        )));
    }
    if message.tables_to_reload.is_empty() || message.tables_to_reload.len() > RELOADED_TABLES_MAX {
        return Err(invalid_value(format!(
            "TablesToReload must name 1 to {RELOADED_TABLES_MAX} tables"
        )));
    }
    let option = ReloadOption::parse(message.reload_option.as_deref())?;
    let validates = TaskSettings::of(&task.settings).validation.is_some();
    if option == ReloadOption::ValidateOnly && !validates {
        return Err(invalid_state(
            "ReloadOption validate-only needs a replication task with ValidationSettings.EnableValidation: switch it on while the task \
             is stopped, or compare both ends with whimbrel validate"
                .to_owned(),
        ));
    }
    if option == ReloadOption::DataReload && task.migration_type == MigrationType::Cdc {
        return Err(invalid_state(
            "Tables of a task of migration type cdc cannot be reloaded".to_owned(),
        ));
    }
    let keeps_rows = TaskSettings::of(&task.settings).prepare == TablePrepMode::DoNothing;
    if option == ReloadOption::DataReload && keeps_rows {
        return Err(invalid_state(
            "Tables cannot be reloaded with TargetTablePrepMode DO_NOTHING: the rows that are there would stay beside those of the reload. Stop the task, set \
             TRUNCATE_BEFORE_LOAD or DROP_AND_CREATE, and resume it"
                .to_owned(),
        ));
    }
    let now = EpochMs::now();
    for table in message.tables_to_reload {
        let name = TableName::new(table.schema_name, table.table_name);
        let id = TableStatistics::id_of(&task.id, &name.schema, &name.name);
        let Some(mut figures) = transaction.find::<TableStatistics>(&id).await? else {
            return Err(invalid_value(format!("Table {name} is none of the task's")));
        };
        figures.updated_at = now;
        match option {
            ReloadOption::DataReload => {
                figures.state = TableState::Reloading;
                if validates {
                    figures.validation = TableValidation::of(ValidationState::PendingValidation);
                }
                task.reloads.insert(name);
            }
            ReloadOption::ValidateOnly => {
                figures.validation.state = ValidationState::PendingRevalidation;
                task.revalidations.insert(name);
            }
        }
        transaction.replace(&figures).await?;
    }
    // The reconciler hands them to the run.
    let task = transaction.replace(&task).await?;
    transaction.commit().await?;
    Ok(model::ReloadTablesResponse {
        replication_task_arn: Some(context.home.arn(ArnKind::Task, task.id.as_str())),
    })
}

/// What ReloadTables is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadOption {
    /// Rows are loaded again, and compared if the task compares.
    DataReload,
    /// Rows are compared again.
    ValidateOnly,
}

impl ReloadOption {
    fn parse(text: Option<&str>) -> Result<Self, Fault> {
        match text {
            None | Some("data-reload") => Ok(Self::DataReload),
            Some("validate-only") => Ok(Self::ValidateOnly),
            Some(text) => Err(invalid_value(format!(
                "Invalid ReloadOption {text}. Valid values: data-reload, validate-only"
            ))),
        }
    }
}

fn to_wire(table: &TableStatistics) -> model::TableStatistics {
    model::TableStatistics {
        schema_name: Some(table.schema.clone()),
        table_name: Some(table.table.clone()),
        inserts: Some(table.captured.inserts),
        deletes: Some(table.captured.deletes),
        updates: Some(table.captured.updates),
        ddls: Some(table.captured.ddls),
        applied_inserts: Some(table.applied.inserts),
        applied_deletes: Some(table.applied.deletes),
        applied_updates: Some(table.applied.updates),
        applied_ddls: Some(table.applied.ddls),
        full_load_rows: Some(table.full_load_rows),
        full_load_condtnl_chk_failed_rows: Some(0),
        full_load_error_rows: Some(table.full_load_error_rows),
        full_load_start_time: table.full_load_started_at.map(super::timestamp),
        full_load_end_time: table.full_load_ended_at.map(super::timestamp),
        full_load_reloaded: Some(table.full_load_reloaded),
        last_update_time: Some(super::timestamp(table.updated_at)),
        table_state: Some(table.state.to_string()),
        validation_pending_records: Some(table.validation.pending),
        validation_failed_records: Some(table.validation.failed),
        validation_suspended_records: Some(table.validation.suspended),
        validation_state: Some(table.validation.state.to_string()),
        validation_state_details: table.validation.details.clone(),
        ..Default::default()
    }
}
