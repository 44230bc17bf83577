//! What is done before tables are made and filled: what they rest on is made, and what would stand in their way, or act on their rows, stands aside.

use std::time::Duration;

use tracing::{debug, error, info, warn};
use whimbrel_connector::objects::{Aside, ObjectPlan, ObjectStep};
use whimbrel_connector::{
    Error, PrepareMode, RefusedType, Source, Target, TaskFence, TypeDefinition,
};
use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, ScriptTime};

use super::{ObjectResult, ObjectState, TOLD, plan_objects};
use crate::{FullLoadSpec, Progress, RunError};

/// A table that is to be loaded: its name at either end, where it has one.
pub(crate) struct OpenTable<'a> {
    pub(crate) source: &'a TableName,
    pub(crate) target: Option<&'a TableName>,
}

/// The objects of a task, before its tables are there.
pub(crate) struct Groundwork {
    plan: ObjectPlan,
}

impl Groundwork {
    /// Plans them. Where the source's catalogs cannot be read, there is nothing to do: the phase behind the load says so.
    pub(crate) async fn plan(
        source: &mut dyn Source,
        target: &mut dyn Target,
        spec: &FullLoadSpec,
    ) -> Result<Self, RunError> {
        match plan_objects(source, target, spec).await {
            Ok(plan) => Ok(Self { plan }),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                debug!(task = spec.task, %error, "objects are not planned before the load");
                Ok(Self {
                    plan: ObjectPlan::default(),
                })
            }
        }
    }

    /// Makes the types of columns, and what tables or these types rest on.
    ///
    /// A domain may rest on a function, and a function on a domain: what is refused is tried again as long as there are more types each time. A type that is
    /// not made is told, and leaves the tables in error that have it.
    pub(crate) async fn lay_all(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
        (types, progress): (&[TypeDefinition], &Progress),
    ) -> Result<(), RunError> {
        progress.forget_objects(|name| types.iter().any(|known| known.name == name));
        self.lay(target, fence, ScriptTime::BeforeTypes).await?;
        let refused = target.create_types(types).await;
        let mut refused = refused.map_err(RunError::Target)?;
        loop {
            self.lay(target, fence, ScriptTime::BeforeTables).await?;
            let open: Vec<TypeDefinition> = refused.into_iter().map(|one| one.definition).collect();
            if open.is_empty() {
                return Ok(());
            }
            let again = target.create_types(&open).await;
            refused = again.map_err(RunError::Target)?;
            if refused.len() == open.len() {
                break;
            }
        }
        for one in refused {
            tell_refused(fence, progress, one);
        }
        Ok(())
    }

    /// Makes what tables or their types rest on. What the server refuses is tried again behind the load, and told then.
    async fn lay(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
        when: ScriptTime,
    ) -> Result<(), RunError> {
        let due = |step: &&ObjectStep| {
            step.script
                .as_ref()
                .is_some_and(|script| script.when == when)
        };
        for step in self.plan.steps.iter().filter(due) {
            match target.make_object(fence, step).await {
                Ok(outcome) => debug!(
                    task = fence.task,
                    object = step.name,
                    ?outcome,
                    "made before tables"
                ),
                Err(error @ (Error::Connect(_) | Error::Fenced { .. })) => {
                    return Err(RunError::Target(error));
                }
                // A file that a function needs is missing, for one. A connection that is lost tells the next call.
                Err(
                    error @ (Error::Transient(_)
                    | Error::Busy(_)
                    | Error::Table(_)
                    | Error::Row(_)
                    | Error::Fatal(_)),
                ) => {
                    debug!(task = fence.task, object = step.name, %error, "not made before tables");
                }
            }
        }
        Ok(())
    }

    /// Clears the way for the tables that are to be loaded.
    pub(crate) async fn clear(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
        (spec, progress): (&FullLoadSpec, &Progress),
        open: &[OpenTable<'_>],
    ) -> Result<(), RunError> {
        let joins_later = spec
            .joining
            .as_ref()
            .is_some_and(|joining| joining.is_later);
        // While changes follow, what rests on a table keeps it.
        let stays = spec.is_followed && joins_later;
        let drops = spec.prepare == PrepareMode::DropAndCreate;
        let dropped: Vec<TableName> = open
            .iter()
            .filter_map(|table| table.target)
            .cloned()
            .collect();
        if drops && !stays && !dropped.is_empty() {
            match target.clear_way(fence, &dropped, &spec.objects).await {
                Ok(()) => {}
                Err(error) if stops(&error) => return Err(RunError::Target(error)),
                // Where something is in the way, the table says so.
                Err(error) => warn!(
                    task = fence.task,
                    %error,
                    "it cannot be said what rests on the tables that are made anew, and it stays"
                ),
            }
        }
        let concerns =
            |table: &TableName| spec.is_followed || open.iter().any(|open| open.source == table);
        stand_aside(target, fence, (&self.plan, progress), concerns).await
    }
}

/// Whether an error is about the target as a whole, and not about one of its objects.
fn stops(error: &Error) -> bool {
    match error {
        Error::Connect(_) | Error::Fenced { .. } | Error::Transient(_) | Error::Busy(_) => true,
        Error::Table(_) | Error::Row(_) | Error::Fatal(_) => false,
    }
}

/// Takes triggers away that would act on rows which acted on them at the source. They are made again when no more rows come. One that stays may alter or add rows, so
/// the end of the run tells of it.
pub(super) async fn stand_aside(
    target: &mut dyn Target,
    fence: &TaskFence,
    (plan, progress): (&ObjectPlan, &Progress),
    concerns: impl Fn(&TableName) -> bool,
) -> Result<(), RunError> {
    for step in plan
        .steps
        .iter()
        .filter(|step| step.kind == ObjectKind::Trigger)
    {
        if step.table.as_ref().is_some_and(&concerns) {
            match target.unmake_object(fence, step).await {
                Ok(Aside::Gone) => info!(
                    task = fence.task,
                    object = step.name,
                    "the object stands aside until the rows are there"
                ),
                Ok(Aside::Absent) => {}
                Ok(Aside::Stays(why)) => tell_acting(fence, progress, step, &why),
                Err(error) if stops(&error) => return Err(RunError::Target(error)),
                Err(error) => tell_acting(fence, progress, step, &error.to_string()),
            }
        }
    }
    Ok(())
}

fn tell_refused(fence: &TaskFence, progress: &Progress, refused: RefusedType) {
    let name = refused.definition.name;
    error!(
        target: TOLD,
        task = fence.task,
        object = name,
        error = refused.reason,
        "the type cannot be made"
    );
    progress.object_ends(ObjectResult {
        kind: ObjectKind::Type,
        name,
        state: ObjectState::Failed(format!(
            "{}; without it tables that have it are not made: make it by hand, and load them",
            refused.reason
        )),
        note: None,
        review: None,
        elapsed: Duration::ZERO,
    });
}

fn tell_acting(fence: &TaskFence, progress: &Progress, step: &ObjectStep, why: &str) {
    warn!(
        task = fence.task,
        object = step.name,
        why,
        "the object stays, and acts on rows that are written"
    );
    let name = format!("{} at the target", step.name);
    progress.forget_objects(|known| known == name);
    progress.object_ends(ObjectResult {
        kind: step.kind,
        name,
        state: ObjectState::Kept,
        note: Some(format!(
            "it stayed, and acted on the rows that were written, which may differ from the source's by it: {why}; then load its table again"
        )),
        review: None,
        elapsed: Duration::ZERO,
    });
}
