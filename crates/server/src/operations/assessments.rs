//! Assessments of tasks.
//!
//! Starting one writes the run and puts its task into `testing` in one transaction; [`crate::reconcile`] makes the checks, and ends both in one again.

mod input;
mod listing;
mod results;
mod wire;

pub(super) use input::applicable;
pub(super) use listing::{describe_individual, describe_runs};
pub(super) use results::describe_results;

use whimbrel_engine::assess::{CHECKS, TYPE_CHECKS, Values, When};
use whimbrel_model as model;
use whimbrel_store::{
    AssessmentRun, AssessmentRunId, AssessmentRunStatus, EpochMs, IndividualAssessment,
    IndividualStatus, ReplicationInstance, ReplicationTask, ResultLocation, StoreError, Stored,
    Transaction,
};

use self::input::{AskedRun, engines_of};
use self::wire::{IsLatest, to_wire};
use super::{instances, tags, tasks};
use crate::arn::{ArnKind, random_id};
use crate::context::Context;
use crate::fault::{self, Fault, invalid_state};
use crate::task_lifecycle;

/// The bucket of assessments for which nobody names one.
const OWN_BUCKET: &str = "whimbrel-assessments";

pub(super) async fn start_run(
    context: &Context,
    mut message: model::StartReplicationTaskAssessmentRunMessage,
) -> Result<model::StartReplicationTaskAssessmentRunResponse, Fault> {
    let given_tags = message.tags.take();
    let mut transaction = context.store.begin().await?;
    let mut task = tasks::find(context, &mut *transaction, &message.replication_task_arn).await?;
    let engines = engines_of(&mut *transaction, &task).await?;
    let asked = AskedRun::parse(message, engines, task.migration_type)?;
    let run = AssessmentRun {
        name: asked.name,
        location: asked.location,
        individual: pending(&asked.checks),
        ..new_run(&task)
    };
    begin(&mut *transaction, &mut task).await?;
    if let Err(error) = transaction.create(&run).await {
        let what = ("Replication Task Assessment Run", ArnKind::AssessmentRun);
        return Err(fault::taken(context, &mut *transaction, error, what, &run).await);
    }
    let arn = context.home.arn(ArnKind::AssessmentRun, run.id.as_str());
    tags::create(&mut *transaction, &arn, given_tags).await?;
    transaction.commit().await?;
    Ok(model::StartReplicationTaskAssessmentRunResponse {
        replication_task_assessment_run: Some(to_wire(context, &run, IsLatest::Yes)),
    })
}

/// The older assessment, of types alone. It shows no run: its results are told by DescribeReplicationTaskAssessmentResults.
pub(super) async fn start_of_types(
    context: &Context,
    message: model::StartReplicationTaskAssessmentMessage,
) -> Result<model::StartReplicationTaskAssessmentResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut task = tasks::find(context, &mut *transaction, &message.replication_task_arn).await?;
    engines_of(&mut *transaction, &task).await?;
    tasks::check_connections(&mut *transaction, &task).await?;
    let run = new_run(&task);
    let run = AssessmentRun {
        // A name that the user gives has no slash.
        name: format!("types/{}", run.id),
        is_of_types: true,
        location: ResultLocation {
            folder: Some(task.identifier.clone()),
            ..run.location
        },
        individual: pending(&TYPE_CHECKS),
        ..run
    };
    begin(&mut *transaction, &mut task).await?;
    transaction.create(&run).await?;
    transaction.commit().await?;
    Ok(model::StartReplicationTaskAssessmentResponse {
        replication_task: Some(tasks::to_wire(context, &task, true)),
    })
}

fn new_run(task: &ReplicationTask) -> AssessmentRun {
    AssessmentRun {
        id: AssessmentRunId(random_id()),
        task_id: task.id.clone(),
        name: String::new(),
        is_of_types: false,
        location: ResultLocation {
            role_arn: String::new(),
            bucket: OWN_BUCKET.to_owned(),
            folder: None,
            encryption_mode: None,
            kms_key_arn: None,
        },
        status: AssessmentRunStatus::Starting,
        individual: Vec::new(),
        last_failure_message: None,
        created_at: EpochMs::now(),
        ended_at: None,
    }
}

fn pending(checks: &[&'static str]) -> Vec<IndividualAssessment> {
    let pending = checks.iter().map(|&name| IndividualAssessment {
        id: random_id(),
        name: name.to_owned(),
        status: IndividualStatus::Pending,
        started_at: None,
    });
    pending.collect()
}

/// Puts the task into `testing`, if its state and its instance allow it.
async fn begin(
    transaction: &mut dyn Transaction,
    task: &mut Stored<ReplicationTask>,
) -> Result<(), Fault> {
    let instance = transaction
        .find::<ReplicationInstance>(task.instance_id.as_str())
        .await?;
    let instance = instance
        .ok_or_else(|| invalid_state("The replication instance of the task is gone".to_owned()))?;
    instances::check_available(&instance)?;
    let status = task.status;
    task_lifecycle::start_assessment(task).map_err(|_| {
        invalid_state(format!(
            "Replication Task cannot be assessed, invalid state {status}. It must be ready, stopped or failed"
        ))
    })?;
    *task = transaction.replace(task).await?;
    Ok(())
}

pub(super) async fn cancel(
    context: &Context,
    message: model::CancelReplicationTaskAssessmentRunMessage,
) -> Result<model::CancelReplicationTaskAssessmentRunResponse, Fault> {
    let arn = &message.replication_task_assessment_run_arn;
    let mut transaction = context.store.begin().await?;
    let mut run = find(context, &mut *transaction, arn).await?;
    if run.ended_at.is_some() || run.status == AssessmentRunStatus::Cancelling {
        return Err(wrong_status("cancelled", &run));
    }
    run.status = AssessmentRunStatus::Cancelling;
    let run = transaction.replace(&run).await?;
    let is_latest = wire::is_latest(&mut *transaction, &run).await?;
    transaction.commit().await?;
    Ok(model::CancelReplicationTaskAssessmentRunResponse {
        replication_task_assessment_run: Some(to_wire(context, &run, is_latest)),
    })
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteReplicationTaskAssessmentRunMessage,
) -> Result<model::DeleteReplicationTaskAssessmentRunResponse, Fault> {
    let arn = &message.replication_task_assessment_run_arn;
    let mut transaction = context.store.begin().await?;
    let mut run = find(context, &mut *transaction, arn).await?;
    if run.ended_at.is_none() || run.status == AssessmentRunStatus::Deleting {
        return Err(wrong_status("deleted", &run));
    }
    run.status = AssessmentRunStatus::Deleting;
    let run = transaction.replace(&run).await?;
    let is_latest = wire::is_latest(&mut *transaction, &run).await?;
    transaction.commit().await?;
    Ok(model::DeleteReplicationTaskAssessmentRunResponse {
        replication_task_assessment_run: Some(to_wire(context, &run, is_latest)),
    })
}

fn wrong_status(done: &str, run: &AssessmentRun) -> Fault {
    invalid_state(format!(
        "Replication Task Assessment Run {} cannot be {done}, invalid state {}",
        run.name, run.status
    ))
}

/// The run that an ARN names.
async fn find(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
) -> Result<Stored<AssessmentRun>, Fault> {
    let found = match context.home.id_in(ArnKind::AssessmentRun, arn) {
        Some(id) => transaction.find::<AssessmentRun>(id).await?,
        None => None,
    };
    let shown = found.filter(|run| !run.is_of_types);
    shown.ok_or_else(|| {
        fault::not_found(format!("Replication Task Assessment Run {arn} not found."))
    })
}

/// The runs of a task, or of all, that the API shows.
async fn shown(
    transaction: &mut dyn Transaction,
) -> Result<Vec<Stored<AssessmentRun>>, StoreError> {
    let mut runs = transaction.list::<AssessmentRun>().await?;
    runs.retain(|run| !run.is_of_types);
    Ok(runs)
}

/// What the checks of a run read of the rows.
pub(crate) fn values(run: &AssessmentRun) -> Values {
    let has = |wanted: When| {
        let mut checks = CHECKS.iter().filter(|check| check.when == wanted);
        checks.any(|check| run.individual.iter().any(|one| one.name == check.name))
    };
    Values {
        sampled: has(When::Sampled).then_some(SAMPLE_ROWS),
        all: has(When::Full),
    }
}

/// Rows of each table whose values are looked at by default: enough for most mistakes, and read within a second.
const SAMPLE_ROWS: u64 = 10_000;
