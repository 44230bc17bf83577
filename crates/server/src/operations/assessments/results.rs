//! What the last assessment of each task has found.

use whimbrel_model as model;
use whimbrel_store::{AssessmentRun, AssessmentRunStatus, ReplicationTask, Stored};

use super::OWN_BUCKET;
use crate::arn::ArnKind;
use crate::assessment_results;
use crate::context::Context;
use crate::fault::{self, Fault};
use crate::listing::{PageRequest, USUAL_PAGE};
use crate::operations;

/// The results of the last assessment that has ended, of whichever kind, for each task that has one. With the ARN of a task they come with what was found.
pub(in crate::operations) async fn describe_results(
    context: &Context,
    message: model::DescribeReplicationTaskAssessmentResultsMessage,
) -> Result<model::DescribeReplicationTaskAssessmentResultsResponse, Fault> {
    let page = PageRequest::parse(
        "assessment results",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut transaction = context.store.view().await?;
    let mut tasks = transaction.list::<ReplicationTask>().await?;
    let wanted = message.replication_task_arn.as_deref();
    if let Some(arn) = wanted {
        tasks.retain(|task| context.home.arn(ArnKind::Task, task.id.as_str()) == arn);
        if tasks.is_empty() {
            return Err(fault::not_found(format!(
                "Replication Task {arn} not found."
            )));
        }
    }
    let mut found = Vec::new();
    for task in tasks {
        let runs = transaction
            .list_children::<AssessmentRun>(task.id.as_str())
            .await?;
        let ended = runs.into_iter().filter(|run| run.ended_at.is_some());
        if let Some(run) = ended.max_by_key(|run| run.seq) {
            found.push((task.seq, (task, run)));
        }
    }
    drop(transaction);
    let (found, marker) = page.cut_numbered(found);
    let mut bucket = OWN_BUCKET.to_owned();
    let mut results = Vec::new();
    for (task, run) in found {
        if wanted.is_some() {
            bucket.clone_from(&run.location.bucket);
        }
        results.push(result(context, (&task, &run), wanted.is_some()).await);
    }
    Ok(model::DescribeReplicationTaskAssessmentResultsResponse {
        marker,
        bucket_name: Some(bucket),
        replication_task_assessment_results: Some(results),
    })
}

async fn result(
    context: &Context,
    (task, run): (&ReplicationTask, &Stored<AssessmentRun>),
    with_content: bool,
) -> model::ReplicationTaskAssessmentResult {
    let file = assessment_results::summary_file(&context.results, run);
    let told = if with_content {
        // Results that were moved away are not told; the log says why.
        assessment_results::read(&file).await
    } else {
        None
    };
    let status = match run.status {
        AssessmentRunStatus::Passed => "No issues found",
        AssessmentRunStatus::Warning | AssessmentRunStatus::Failed => "Issues found",
        AssessmentRunStatus::Cancelling => "Cancelled",
        _ => "Error",
    };
    model::ReplicationTaskAssessmentResult {
        replication_task_identifier: Some(task.identifier.clone()),
        replication_task_arn: Some(context.home.arn(ArnKind::Task, task.id.as_str())),
        replication_task_last_assessment_date: run.ended_at.map(operations::timestamp),
        assessment_status: Some(status.to_owned()),
        assessment_results_file: Some(assessment_results::key(run)),
        s3_object_url: told
            .as_ref()
            .map(|_| model::SecretText::new(format!("file://{}", file.display()))),
        assessment_results: told,
    }
}
