//! Runs and their checks, listed.

use whimbrel_model as model;
use whimbrel_store::{
    AssessmentRun, IndividualAssessment, ReplicationInstance, ReplicationTask, Stored, Transaction,
};

use super::shown;
use super::wire::{is_latest_among, to_wire};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::fault::{self, Fault};
use crate::listing::{Filters, PageRequest};
use crate::operations;

const RUN: &str = "replication-task-assessment-run-arn";
const TASK: &str = "replication-task-arn";
const INSTANCE: &str = "replication-instance-arn";
const STATUS: &str = "status";

/// The most checks of one run, for the numbers of those that are listed.
const PLACES: i64 = 1000;

pub(in crate::operations) async fn describe_runs(
    context: &Context,
    message: model::DescribeReplicationTaskAssessmentRunsMessage,
) -> Result<model::DescribeReplicationTaskAssessmentRunsResponse, Fault> {
    let filters = operations::filters(message.filters, &[RUN, TASK, INSTANCE, STATUS])?;
    let page = PageRequest::parse(
        "assessment runs",
        message.max_records,
        message.marker.as_deref(),
        1..=i32::MAX,
    )?;
    let mut transaction = context.store.view().await?;
    let runs = shown(&mut *transaction).await?;
    let tasks = transaction.list::<ReplicationTask>().await?;
    let mut found = Vec::new();
    for run in &runs {
        let status = run.status.to_string();
        if matches(context, (&filters, &tasks), run, &status) {
            let wire = to_wire(context, run, is_latest_among(&runs, run));
            found.push((run.seq, wire));
        }
    }
    if found.is_empty() {
        check_filtered_exist(context, &mut *transaction, &filters).await?;
    }
    let (runs, marker) = page.cut_numbered(found);
    Ok(model::DescribeReplicationTaskAssessmentRunsResponse {
        marker,
        replication_task_assessment_runs: Some(runs),
    })
}

pub(in crate::operations) async fn describe_individual(
    context: &Context,
    message: model::DescribeReplicationTaskIndividualAssessmentsMessage,
) -> Result<model::DescribeReplicationTaskIndividualAssessmentsResponse, Fault> {
    let filters = operations::filters(message.filters, &[RUN, TASK, STATUS])?;
    let page = PageRequest::parse(
        "individual assessments",
        message.max_records,
        message.marker.as_deref(),
        1..=i32::MAX,
    )?;
    let mut transaction = context.store.view().await?;
    let runs = shown(&mut *transaction).await?;
    let mut found = Vec::new();
    for run in &runs {
        for (place, one) in (0..).zip(&run.individual) {
            if matches(context, (&filters, &[]), run, one.status.as_str()) {
                found.push((run.seq * PLACES + place + 1, individual(context, run, one)));
            }
        }
    }
    if found.is_empty() {
        check_filtered_exist(context, &mut *transaction, &filters).await?;
    }
    let (found, marker) = page.cut_numbered(found);
    Ok(
        model::DescribeReplicationTaskIndividualAssessmentsResponse {
            marker,
            replication_task_individual_assessments: Some(found),
        },
    )
}

fn matches(
    context: &Context,
    (filters, tasks): (&Filters, &[Stored<ReplicationTask>]),
    run: &AssessmentRun,
    status: &str,
) -> bool {
    let home = &context.home;
    let arn = home.arn(ArnKind::AssessmentRun, run.id.as_str());
    let task = home.arn(ArnKind::Task, run.task_id.as_str());
    let mut with_id = tasks.iter();
    let found = with_id.find(|task| task.id == run.task_id);
    let instance = found.map(|task| home.arn(ArnKind::Instance, task.instance_id.as_str()));
    filters.match_item(|name| match name {
        RUN => vec![arn.as_str()],
        TASK => vec![task.as_str()],
        INSTANCE => instance.iter().map(String::as_str).collect(),
        _ => vec![status],
    })
}

fn individual(
    context: &Context,
    run: &AssessmentRun,
    one: &IndividualAssessment,
) -> model::ReplicationTaskIndividualAssessment {
    let home = &context.home;
    model::ReplicationTaskIndividualAssessment {
        replication_task_individual_assessment_arn: Some(
            home.arn(ArnKind::IndividualAssessment, &one.id),
        ),
        replication_task_assessment_run_arn: Some(
            home.arn(ArnKind::AssessmentRun, run.id.as_str()),
        ),
        individual_assessment_name: Some(one.name.clone()),
        status: Some(one.status.to_string()),
        replication_task_individual_assessment_start_date: one
            .started_at
            .map(operations::timestamp),
    }
}

/// A task or instance without runs is an empty list; what does not exist is not found.
async fn check_filtered_exist(
    context: &Context,
    transaction: &mut dyn Transaction,
    filters: &Filters,
) -> Result<(), Fault> {
    for (filter, kind) in [
        (RUN, ArnKind::AssessmentRun),
        (TASK, ArnKind::Task),
        (INSTANCE, ArnKind::Instance),
    ] {
        let Some(arns) = filters.values(filter) else {
            continue;
        };
        let mut any = false;
        for id in arns.iter().filter_map(|arn| context.home.id_in(kind, arn)) {
            any |= match kind {
                ArnKind::AssessmentRun => {
                    let run = transaction.find::<AssessmentRun>(id).await?;
                    run.is_some_and(|run| !run.is_of_types)
                }
                ArnKind::Task => transaction.find::<ReplicationTask>(id).await?.is_some(),
                _ => transaction.find::<ReplicationInstance>(id).await?.is_some(),
            };
        }
        if !any {
            return Err(fault::not_found(
                "No assessment runs found matching provided filters".to_owned(),
            ));
        }
    }
    Ok(())
}
