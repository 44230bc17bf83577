//! Makes the checks of assessment runs.
//!
//! ```text
//!  starting ──► running ──► passed, warning, failed, error-executing      the run ends, and its task leaves `testing`, in one transaction
//!      └───────────┴──────► cancelling
//! ```
//!
//! Why a crash needs no care. A task is `testing` from the transaction that makes its run to the one that ends it, so whoever starts next finds the run unended
//! and makes it again: checks only read, and the files of its results are the same ones, put in place of what is there. A run is told as ended only once its
//! files are on disk. What ends it looks whether it has ended already, so that a late answer changes nothing. A cancelled run without work under way ends at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_core::mapping::TableMappings;
use whimbrel_core::settings::TaskSettings;
use whimbrel_engine::assess::{Assessment, Assessments as Made, Outcome, Severity};
use whimbrel_store::{
    AssessmentRun, AssessmentRunId, AssessmentRunStatus, EpochMs, IndividualAssessment,
    IndividualStatus, InstanceStatus, ReplicationInstance, ReplicationTask, Resource as _,
    StoreError, TagSet,
};

use super::tasks::following;
use super::{FAILED_PASS_WAIT, PassError, Reconciler, UnderWay, chain};
use crate::arn::ArnKind;
use crate::assessment_results;
use crate::context::Context;
use crate::data_plane::{RunMode, TaskSpec};
use crate::endpoint_config::EndpointConfigError;
use crate::operations::assessed_values;
use crate::task_lifecycle;

/// How many findings the message of a run tells: the rest is in its results.
const FINDINGS_TOLD_MAX: usize = 5;

pub(crate) struct Assessments {
    context: Arc<Context>,
    under_way: UnderWay<AssessmentRunId>,
    cancels: Mutex<HashMap<AssessmentRunId, CancellationToken>>,
}

/// How the work of a run ended.
enum Ended {
    Made(Box<Made>),
    /// Nothing could be made.
    Impossible(String),
    Cancelled,
}

impl Assessments {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            under_way: UnderWay::default(),
            cancels: Mutex::default(),
        }
    }

    fn cancels(&self) -> MutexGuard<'_, HashMap<AssessmentRunId, CancellationToken>> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, run: &AssessmentRun) -> Result<(), PassError> {
        match run.status {
            AssessmentRunStatus::Deleting => Ok(remove(&self.context, run).await?),
            _ if run.ended_at.is_some() => Ok(()),
            AssessmentRunStatus::Cancelling => {
                if let Some(cancel) = self.cancels().remove(&run.id) {
                    cancel.cancel();
                }
                // Where work is under way, it ends the run.
                match self.under_way.begin(run.id.clone()) {
                    Some(_guard) => Ok(conclude(&self.context, &run.id, &Ended::Cancelled).await?),
                    None => Ok(()),
                }
            }
            _ => self.start(run).await,
        }
    }

    async fn start(&self, run: &AssessmentRun) -> Result<(), PassError> {
        let store = &self.context.store;
        let Some(task) = store.find::<ReplicationTask>(run.task_id.as_str()).await? else {
            return Ok(());
        };
        let instance = store
            .find::<ReplicationInstance>(task.instance_id.as_str())
            .await?;
        // A run that was asked for waits out a reboot.
        if instance.is_none_or(|instance| instance.status != InstanceStatus::Available) {
            return Ok(());
        }
        let Some(guard) = self.under_way.begin(run.id.clone()) else {
            return Ok(());
        };
        let cancel = CancellationToken::new();
        self.cancels().insert(run.id.clone(), cancel.clone());
        let (context, id) = (Arc::clone(&self.context), run.id.clone());
        self.context.runs.spawn(async move {
            if let Err(error) = work(&context, &id, &cancel).await {
                warn!(assessment_run = %id, error = %chain(&error), "an assessment could not go on and is made again");
                tokio::select! {
                    () = context.runs.ending().cancelled() => {}
                    () = tokio::time::sleep(FAILED_PASS_WAIT) => {}
                }
            }
            drop(guard);
            // One that was cancelled after its work had ended is looked at again.
            context.wake();
        });
        Ok(())
    }
}

async fn remove(context: &Context, run: &AssessmentRun) -> Result<(), StoreError> {
    let mut transaction = context.store.begin().await?;
    let arn = context.home.arn(ArnKind::AssessmentRun, run.id.as_str());
    transaction.delete(TagSet::KIND, &arn).await?;
    transaction
        .delete(AssessmentRun::KIND, run.id.as_str())
        .await?;
    transaction.commit().await?;
    info!(assessment_run = %run.id, "assessment run deleted");
    Ok(())
}

/// Makes the checks of a run, unless it is cancelled or the process ends meanwhile.
async fn work(
    context: &Context,
    id: &AssessmentRunId,
    cancel: &CancellationToken,
) -> Result<(), PassError> {
    let Some((task, run)) = begin(context, id).await? else {
        return Ok(());
    };
    info!(assessment_run = %id, task_id = %task.id, "assessment begins");
    let ended = tokio::select! {
        // The next process makes the run again.
        () = context.runs.ending().cancelled() => return Ok(()),
        () = cancel.cancelled() => Ended::Cancelled,
        ended = make(context, &task, &run) => ended?,
    };
    if let Ended::Made(made) = &ended {
        let files =
            assessment_results::files(&task, &run, &wanted(&run, &made.checks), &made.columns);
        if let Err(error) = assessment_results::write(&context.results, &run, files).await {
            let message =
                format!("the results could not be written into the service's data folder: {error}");
            return Ok(conclude(context, id, &Ended::Impossible(message)).await?);
        }
    }
    Ok(conclude(context, id, &ended).await?)
}

/// Notes that the run is under way; `None` when there is nothing to do any more.
async fn begin(
    context: &Context,
    id: &AssessmentRunId,
) -> Result<Option<(ReplicationTask, AssessmentRun)>, StoreError> {
    let now = EpochMs::now();
    let mut transaction = context.store.begin().await?;
    let Some(mut run) = transaction.find::<AssessmentRun>(id.as_str()).await? else {
        return Ok(None);
    };
    let task = transaction
        .find::<ReplicationTask>(run.task_id.as_str())
        .await?;
    let is_wanted = matches!(
        run.status,
        AssessmentRunStatus::Starting | AssessmentRunStatus::Running
    );
    let Some(task) = task.filter(|_| is_wanted) else {
        return Ok(None);
    };
    run.status = AssessmentRunStatus::Running;
    for one in &mut run.individual {
        one.status = IndividualStatus::Running;
        one.started_at = Some(now);
    }
    let run = transaction.replace(&run).await?;
    transaction.commit().await?;
    Ok(Some((task.value, run.value)))
}

/// # Errors
/// The store's: the run is made again later.
async fn make(
    context: &Context,
    task: &ReplicationTask,
    run: &AssessmentRun,
) -> Result<Ended, PassError> {
    let spec = match spec(context, task).await {
        Ok(spec) => spec,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => return Ok(Ended::Impossible(chain(&error))),
    };
    let Some(spec) = spec else {
        let message = "the task's table mappings cannot be read".to_owned();
        return Ok(Ended::Impossible(message));
    };
    Ok(
        match context.data_plane.assess(&spec, assessed_values(run)).await {
            Ok(made) => Ended::Made(Box::new(made)),
            Err(failure) => Ended::Impossible(failure.to_string()),
        },
    )
}

/// The task as a run of it would be told; `None`: its mappings are none, though they were checked when they were given.
async fn spec(
    context: &Context,
    task: &ReplicationTask,
) -> Result<Option<TaskSpec>, EndpointConfigError> {
    let source = context.endpoint_config(&task.source_endpoint_id).await?;
    let target = context.endpoint_config(&task.target_endpoint_id).await?;
    let Ok(mappings) = TableMappings::parse(&task.table_mappings) else {
        return Ok(None);
    };
    Ok(Some(TaskSpec {
        task: task.id.to_string(),
        source,
        target,
        mappings,
        settings: TaskSettings::of(&task.settings),
        mode: RunMode::Fresh,
        following: following(task),
        validated: std::collections::BTreeMap::new(),
    }))
}

/// Those of the checks that the run is to tell of.
fn wanted<'a>(run: &AssessmentRun, checks: &'a [Assessment]) -> Vec<&'a Assessment> {
    let is_wanted = |one: &&Assessment| {
        let mut names = run.individual.iter();
        names.any(|wanted| wanted.name == one.check.name)
    };
    checks.iter().filter(is_wanted).collect()
}

/// Ends a run and puts its task back to where it was.
async fn conclude(
    context: &Context,
    id: &AssessmentRunId,
    ended: &Ended,
) -> Result<(), StoreError> {
    let mut transaction = context.store.begin().await?;
    let Some(mut run) = transaction.find::<AssessmentRun>(id.as_str()).await? else {
        return Ok(());
    };
    if run.ended_at.is_some() {
        return Ok(());
    }
    match ended {
        Ended::Made(made) => tell(&mut run, &made.checks),
        Ended::Impossible(message) => {
            set_all(&mut run.individual, IndividualStatus::Error);
            run.last_failure_message = Some(message.clone());
        }
        Ended::Cancelled => set_all(&mut run.individual, IndividualStatus::Cancelled),
    }
    if run.status != AssessmentRunStatus::Cancelling {
        run.status = status(&run.individual);
    }
    run.ended_at = Some(EpochMs::now());
    let task = transaction
        .find::<ReplicationTask>(run.task_id.as_str())
        .await?;
    if let Some(mut task) = task {
        task_lifecycle::end_assessment(&mut task);
        transaction.replace(&task).await?;
    }
    info!(assessment_run = %id, status = %run.status, "assessment ended");
    transaction.replace(&run).await?;
    transaction.commit().await
}

fn set_all(individual: &mut [IndividualAssessment], status: IndividualStatus) {
    for one in individual {
        one.status = status;
    }
}

/// Writes down what each check came to, and what the first of those found that failed or could not be made.
fn tell(run: &mut AssessmentRun, checks: &[Assessment]) {
    let mut failures = Vec::new();
    for one in &mut run.individual {
        let Some(made) = checks.iter().find(|made| made.check.name == one.name) else {
            // The server turned out to be of another engine than the endpoint says.
            one.status = IndividualStatus::Skipped;
            continue;
        };
        one.status = match made.outcome() {
            Outcome::Passed | Outcome::Found(Severity::Note) => IndividualStatus::Passed,
            Outcome::Found(Severity::Warning) => IndividualStatus::Warning,
            Outcome::Found(Severity::Failure) => IndividualStatus::Failed,
            Outcome::Unmade => IndividualStatus::Error,
            Outcome::Skipped => IndividualStatus::Skipped,
        };
        if matches!(
            one.status,
            IndividualStatus::Failed | IndividualStatus::Error
        ) {
            let name = made.check.name;
            let found = made.findings.iter().map(|found| {
                format!(
                    "{name}: {}: {}; {}",
                    found.object, found.message, found.remedy
                )
            });
            failures.extend(found);
            let unmade = made.unmade.iter();
            failures.extend(unmade.map(|reason| format!("{name}: cannot be checked: {reason}")));
        }
    }
    let more = failures.len().saturating_sub(FINDINGS_TOLD_MAX);
    failures.truncate(FINDINGS_TOLD_MAX);
    if more > 0 {
        failures.push(format!("and {more} more, in the results of the run"));
    }
    run.last_failure_message = (!failures.is_empty()).then(|| failures.join("; "));
}

/// What a run comes to: the worst of its checks.
fn status(individual: &[IndividualAssessment]) -> AssessmentRunStatus {
    let any = |status| individual.iter().any(|one| one.status == status);
    if any(IndividualStatus::Failed) {
        AssessmentRunStatus::Failed
    } else if any(IndividualStatus::Error) {
        AssessmentRunStatus::ErrorExecuting
    } else if any(IndividualStatus::Warning) {
        AssessmentRunStatus::Warning
    } else {
        AssessmentRunStatus::Passed
    }
}

#[async_trait]
impl Reconciler for Assessments {
    fn name(&self) -> &'static str {
        "assessments"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[AssessmentRun::KIND, ReplicationInstance::KIND]
    }

    async fn pass(&self) -> Result<(), PassError> {
        let runs = self.context.store.list::<AssessmentRun>().await?;
        let is_under_way = |id: &AssessmentRunId| {
            let mut runs = runs.iter();
            runs.any(|run| run.id == *id && run.ended_at.is_none())
        };
        self.cancels().retain(|id, _| is_under_way(id));
        for run in runs {
            self.look(&run.value).await?;
        }
        Ok(())
    }
}
