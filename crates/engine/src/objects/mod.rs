//! The objects of tables, made once their rows are there.
//!
//! ```text
//!  before tables: extensions, types, routines
//!  behind rows:   plan ──► indexes (in parallel) ──► foreign keys, checks, numbers, defaults, views, triggers, privileges, comments (in turn) ──► statistics (in parallel)
//! ```
//!
//! Why it can break off anywhere. Each statement stands beside a query that tells whether it is needed, so the phase keeps no record: what is there is passed
//! over, what is not is made. The record of the load stays until the phase is over, so a resume finds it, sees that all tables are loaded, and comes here.
//!
//! What waits while changes are followed. Between two commits of an applier a target may hold states that the source never showed in one statement, so what
//! constrains rows (unique indexes, keys, checks) waits until nothing follows, and so do the numbers that come next, which grow until then. Indexes that
//! constrain nothing are made right after the load: the applier and its readers need them.

mod before;
mod build;
mod progress;
mod worker;

pub(crate) use before::{Groundwork, OpenTable};
pub(crate) use build::{Building, Built, Stage};
pub use progress::{ObjectProgress, ObjectResult, ObjectState};

use whimbrel_connector::objects::ObjectPlan;
use whimbrel_connector::{Source, Target, TargetTable};
use whimbrel_core::objects::{ObjectKind, Scripted};

use crate::{FullLoadSpec, RunError, plan_full_load};

/// Under this name is logged what the results of a run tell too: whoever shows them leaves it out of the log.
const TOLD: &str = "whimbrel_engine::objects::told";

/// Plans the objects of all tables of a task. Writes nothing.
///
/// # Errors
/// When the source's catalog cannot be read.
pub async fn plan_objects(
    source: &mut dyn Source,
    target: &mut dyn Target,
    spec: &FullLoadSpec,
) -> Result<ObjectPlan, RunError> {
    if spec.objects.is_empty() {
        return Ok(ObjectPlan::default());
    }
    // Objects of tables that join others refer to those others.
    let all = FullLoadSpec {
        joining: None,
        fails_without_tables: false,
        ..spec.clone()
    };
    let plan = plan_full_load(source, target, &all).await?;
    let (views, tables): (Vec<_>, Vec<_>) = plan.tables.into_iter().partition(|one| one.is_view);
    let tables: Vec<TargetTable> = tables
        .into_iter()
        .filter_map(|table| table.target.ok())
        .collect();
    let sources: Vec<_> = tables.iter().map(|table| table.source.clone()).collect();
    let mut objects = source.objects(&sources).await.map_err(RunError::Source)?;
    // What a view shows lies in a table of its name, where it could be loaded at all.
    let views: Vec<_> = views
        .into_iter()
        .filter(|view| view.target.is_ok())
        .collect();
    let is_loaded = |script: &Scripted| {
        views.iter().any(|view| {
            let name = &view.source.name;
            script.table.as_ref() == Some(name)
                || script.kind == ObjectKind::View && script.name == name.to_string()
        })
    };
    objects.scripts.retain(|script| !is_loaded(script));
    Ok(target.plan_objects(&objects, &tables, &spec.objects))
}
