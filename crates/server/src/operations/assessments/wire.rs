use whimbrel_model as model;
use whimbrel_store::{AssessmentRun, IndividualStatus, StoreError, Stored, Transaction};

use crate::arn::ArnKind;
use crate::context::Context;
use crate::operations::timestamp;

/// Whether a run is the last of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsLatest {
    Yes,
    No,
}

/// Whether no other of the task came after it.
pub(super) async fn is_latest(
    transaction: &mut dyn Transaction,
    run: &Stored<AssessmentRun>,
) -> Result<IsLatest, StoreError> {
    let runs = super::shown(transaction).await?;
    Ok(is_latest_among(&runs, run))
}

pub(super) fn is_latest_among(
    runs: &[Stored<AssessmentRun>],
    run: &Stored<AssessmentRun>,
) -> IsLatest {
    let is_later =
        |other: &&Stored<AssessmentRun>| other.task_id == run.task_id && other.seq > run.seq;
    match runs.iter().find(is_later) {
        Some(_) => IsLatest::No,
        None => IsLatest::Yes,
    }
}

/// The run as the API answers it.
pub(super) fn to_wire(
    context: &Context,
    run: &AssessmentRun,
    is_latest: IsLatest,
) -> model::ReplicationTaskAssessmentRun {
    use IndividualStatus as S;
    let home = &context.home;
    let count = |wanted: &[S]| {
        let found = run
            .individual
            .iter()
            .filter(|one| wanted.contains(&one.status));
        i32::try_from(found.count()).unwrap_or(i32::MAX)
    };
    let ended = [
        S::Passed,
        S::Warning,
        S::Failed,
        S::Error,
        S::Skipped,
        S::Cancelled,
    ];
    let location = &run.location;
    model::ReplicationTaskAssessmentRun {
        replication_task_assessment_run_arn: Some(
            home.arn(ArnKind::AssessmentRun, run.id.as_str()),
        ),
        replication_task_arn: Some(home.arn(ArnKind::Task, run.task_id.as_str())),
        status: Some(run.status.to_string()),
        replication_task_assessment_run_creation_date: Some(timestamp(run.created_at)),
        assessment_progress: Some(model::ReplicationTaskAssessmentRunProgress {
            individual_assessment_count: Some(
                i32::try_from(run.individual.len()).unwrap_or(i32::MAX),
            ),
            individual_assessment_completed_count: Some(count(&ended)),
        }),
        last_failure_message: run.last_failure_message.clone(),
        service_access_role_arn: Some(location.role_arn.clone()),
        result_location_bucket: Some(location.bucket.clone()),
        result_location_folder: location.folder.clone(),
        result_encryption_mode: location.encryption_mode.clone(),
        result_kms_key_arn: location.kms_key_arn.clone(),
        assessment_run_name: Some(run.name.clone()),
        is_latest_task_assessment_run: Some(is_latest == IsLatest::Yes),
        result_statistic: Some(model::ReplicationTaskAssessmentRunResultStatistic {
            passed: Some(count(&[S::Passed])),
            failed: Some(count(&[S::Failed])),
            error: Some(count(&[S::Error])),
            warning: Some(count(&[S::Warning])),
            cancelled: Some(count(&[S::Cancelled])),
            skipped: Some(count(&[S::Skipped])),
        }),
    }
}
