//! What a user should know before a task runs: nothing here writes.
//!
//! Three sources of findings, none of which knows the others: the plan that a run would make (tables, types, objects), and what either end tells of itself
//! ([`Connector::concerns`]). [`CHECKS`] names all checks there are, with what their findings come to.

mod checks;
mod plan;

use std::sync::Arc;

use whimbrel_connector::{Assessed, Concern, Connector};
use whimbrel_core::{Engine, Table, TableName};

pub use checks::{CHECKS, Check, Place, Severity};

use crate::{FullLoadSpec, RunError, plan_full_load, plan_objects};

/// A check that was made.
#[derive(Debug)]
pub struct Assessment {
    /// The check.
    pub check: &'static Check,
    /// What it found; empty: all is well.
    pub findings: Vec<Concern>,
}

impl Assessment {
    /// What it comes to; `None`: it passed.
    pub fn severity(&self) -> Option<Severity> {
        (!self.findings.is_empty()).then_some(self.check.severity)
    }
}

/// Makes all checks that apply to a task. Writes nothing, and tries nothing twice.
///
/// # Errors
/// When an end cannot be reached, or does not answer what it is asked.
pub async fn assess(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &FullLoadSpec,
) -> Result<Vec<Assessment>, RunError> {
    let engines = engines(source, target).await?;
    let (from, to) = tokio::join!(source.source(), target.target());
    let mut from = from.map_err(RunError::Source)?;
    let mut to = to.map_err(RunError::Target)?;
    let spec = FullLoadSpec {
        fails_without_tables: false,
        ..spec.clone()
    };
    let planned = plan_full_load(&mut *from, &mut *to, &spec).await?;
    let mut found = plan::concerns(&planned);
    let tables: Vec<Table> = planned
        .tables
        .iter()
        .map(|table| table.source.clone())
        .collect();
    found.extend(
        source
            .concerns(Assessed::Source {
                tables: &tables,
                is_followed: spec.is_followed,
            })
            .await
            .map_err(RunError::Source)?,
    );
    let names: Vec<TableName> = planned
        .tables
        .iter()
        .filter_map(|table| Some(table.target.as_ref().ok()?.name.clone()))
        .collect();
    found.extend(
        target
            .concerns(Assessed::Target {
                tables: &names,
                is_followed: spec.is_followed,
            })
            .await
            .map_err(RunError::Target)?,
    );
    let unread = source.unread_logs().await.map_err(RunError::Source)?;
    found.extend(unread.into_iter().map(plan::unread));
    let objects = plan_objects(&mut *from, &mut *to, &spec).await?;
    found.extend(objects.unconverted.into_iter().map(plan::unconverted));
    Ok(by_check(found, engines, spec.is_followed))
}

/// The engines that answer, which may be others than those that addresses name.
async fn engines(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
) -> Result<(Engine, Engine), RunError> {
    let (source, target) = tokio::join!(source.check(), target.check());
    let source = source.map_err(|error| RunError::Source(error.into()))?;
    let target = target.map_err(|error| RunError::Target(error.into()))?;
    Ok((source.engine, target.engine))
}

/// Sorts what was found under the checks that apply. A check that found something has been made, whatever it applies to.
fn by_check(
    found: Vec<Concern>,
    (source, target): (Engine, Engine),
    is_followed: bool,
) -> Vec<Assessment> {
    let mut assessments: Vec<Assessment> = CHECKS
        .iter()
        .map(|check| Assessment {
            check,
            findings: Vec::new(),
        })
        .collect();
    for concern in found {
        let of_check = assessments
            .iter_mut()
            .find(|assessment| assessment.check.name == concern.check);
        let Some(assessment) = of_check else {
            debug_assert!(false, "no check is called {}", concern.check);
            tracing::error!(check = concern.check, message = %concern.message, "a finding of a check that is not in the table");
            continue;
        };
        assessment.findings.push(concern);
    }
    assessments.retain(|assessment| {
        !assessment.findings.is_empty() || assessment.check.applies(source, target, is_followed)
    });
    assessments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        for check in CHECKS {
            let same = CHECKS.iter().filter(|other| other.name == check.name);
            assert_eq!(same.count(), 1, "{}", check.name);
        }
    }

    #[test]
    fn a_check_of_changes_is_made_for_tasks_that_follow_them() {
        let wal = Check::of_name("postgres-check-wallevel").unwrap();
        assert!(wal.applies(Engine::Postgres, Engine::MySql, true));
        assert!(!wal.applies(Engine::Postgres, Engine::MySql, false));
        assert!(!wal.applies(Engine::MySql, Engine::Postgres, true));
    }

    #[test]
    fn checks_without_findings_have_passed() {
        let found = vec![Concern::new("types-changed", "s.t", "m", "r")];
        let made = by_check(found, (Engine::Postgres, Engine::MariaDb), false);
        let with = made.iter().filter(|made| made.severity().is_some());
        assert_eq!(
            with.map(|made| made.check.name).collect::<Vec<_>>(),
            ["types-changed"]
        );
        assert!(
            made.iter()
                .any(|made| made.check.name == "mysql-check-target-localinfile-set")
        );
        assert!(
            !made
                .iter()
                .any(|made| made.check.name == "mysql-check-binlog-format")
        );
    }
}
