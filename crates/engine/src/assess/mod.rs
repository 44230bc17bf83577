//! What a user should know before a task runs: nothing here writes.
//!
//! Sources of findings, none of which knows the others: the plan that a run would make (tables, types, objects), what either end tells of itself
//! ([`Connector::concerns`]), and the values of the rows. [`CHECKS`] names all checks there are, with what their findings come to.
//!
//! Nothing passes by silence: a check has passed where whoever makes it says that it was made and found nothing. One of which nobody says so could not be
//! made, and is told with the reason.

mod checks;
mod needs;
mod plan;
mod types;
mod values;

use std::sync::Arc;

use whimbrel_connector::{
    Assessed, Concern, ConnectError, Connector, Findings, PrepareMode, Source, Target,
};
use whimbrel_core::{Engine, Table, TableName};

pub use checks::{CHECKS, Check, Place, Severity, Values, When};
pub use types::{ColumnFinding, Support};
pub use values::{ALL as ALL_VALUES, SAMPLED};

use crate::{FullLoadSpec, LoadPlan, RunError, plan_full_load, plan_objects};

/// The checks that ask of the types of columns alone.
pub const TYPE_CHECKS: [&str; 3] = [types::UNSUPPORTED, "table-not-migratable", "types-changed"];

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made and found nothing.
    Passed,
    /// It found something.
    Found(Severity),
    /// It could not be made, or not of all that it asks of.
    Unmade,
    /// This server has no way to answer it.
    Skipped,
}

impl Outcome {
    /// Its name in results: `passed`, `failure`, `warning`, `note`, `error`, `skipped`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Found(severity) => severity.name(),
            Self::Unmade => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// A check that applies.
#[derive(Debug)]
pub struct Assessment {
    /// The check.
    pub check: &'static Check,
    /// What it found.
    pub findings: Vec<Concern>,
    /// Why it could not be made, of each part that could not.
    pub unmade: Vec<String>,
    /// Why this server cannot answer it.
    pub skipped: Option<String>,
}

impl Assessment {
    /// What it comes to. What was found is told, though other parts could not be looked at.
    pub fn outcome(&self) -> Outcome {
        if !self.findings.is_empty() && self.check.severity == Severity::Failure {
            Outcome::Found(Severity::Failure)
        } else if !self.unmade.is_empty() {
            Outcome::Unmade
        } else if !self.findings.is_empty() {
            Outcome::Found(self.check.severity)
        } else if self.skipped.is_some() {
            Outcome::Skipped
        } else {
            Outcome::Passed
        }
    }
}

/// All that was found out about a task.
#[derive(Debug)]
pub struct Assessments {
    /// The checks that apply, in the order of [`CHECKS`].
    pub checks: Vec<Assessment>,
    /// Columns whose types the target does not have, or not as they are.
    pub columns: Vec<ColumnFinding>,
    /// Why an end could not be connected to.
    pub unreachable: Option<RunError>,
}

/// Why checks of an end, or of the tables, could not be made.
struct Obstacles {
    /// The engines of both ends, as far as these have told.
    engines: (Engine, Engine),
    source: Option<String>,
    target: Option<String>,
    tables: Option<String>,
}

/// Whether tables that are at the target stay there.
fn keeps_tables(spec: &FullLoadSpec) -> bool {
    spec.prepare != PrepareMode::DropAndCreate
}

/// Makes all checks that apply to a task. Writes nothing, and tries nothing twice.
pub async fn assess(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    spec: &FullLoadSpec,
    values: Values,
) -> Assessments {
    let spec = FullLoadSpec {
        fails_without_tables: false,
        ..spec.clone()
    };
    let (from, to) = tokio::join!(source.check(), target.check());
    let engine_of = |connector: &Arc<dyn Connector>, info: &Result<_, ConnectError>| {
        info.as_ref().map_or_else(
            |_| connector.engine(),
            |info: &whimbrel_connector::ServerInfo| info.engine,
        )
    };
    let engines = (engine_of(source, &from), engine_of(target, &to));
    let mut obstacles = Obstacles {
        engines,
        source: from.as_ref().err().map(ToString::to_string),
        target: to.as_ref().err().map(ToString::to_string),
        tables: None,
    };
    let unreachable = [
        from.err().map(|error| RunError::Source(error.into())),
        to.err().map(|error| RunError::Target(error.into())),
    ];
    let mut findings = Findings::default();
    let mut columns = Vec::new();
    let mut plan = None;
    if obstacles.source.is_none() && obstacles.target.is_none() {
        match of_plan((source, target), &spec, values, &mut findings).await {
            Ok((found, planned)) => {
                columns = found;
                plan = Some(planned);
            }
            Err(error) => obstacles.tables = Some(error.to_string()),
        }
    }
    if obstacles.source.is_none() {
        of_source(
            source,
            plan.as_ref(),
            &spec,
            (&mut findings, &mut obstacles),
        )
        .await;
    }
    if obstacles.target.is_none() {
        of_target(
            target,
            plan.as_ref(),
            &spec,
            (&mut findings, &mut obstacles),
        )
        .await;
    }
    Assessments {
        checks: by_check(findings, &obstacles, |check| {
            check.applies(engines, spec.is_followed, values)
        }),
        columns,
        unreachable: unreachable.into_iter().flatten().next(),
    }
}

/// Plans the run, and looks at what it would do.
async fn of_plan(
    (source, target): (&Arc<dyn Connector>, &Arc<dyn Connector>),
    spec: &FullLoadSpec,
    values: Values,
    findings: &mut Findings,
) -> Result<(Vec<ColumnFinding>, LoadPlan), RunError> {
    let (from, to) = tokio::join!(source.source(), target.target());
    let mut from = from.map_err(RunError::Source)?;
    let mut to = to.map_err(RunError::Target)?;
    let planned = plan_full_load(&mut *from, &mut *to, spec).await?;
    findings.note(plan::CHECKED, Ok(plan::concerns(&planned, to.engine())));
    let columns = types::look(&planned, spec, &*to);
    findings.note(&[types::UNSUPPORTED], Ok(types::concerns(&columns)));
    of_objects((&mut *from, &mut *to), spec, findings).await;
    findings.merge(values::look((&mut *from, &mut *to), (&planned, spec), values).await);
    Ok((columns, planned))
}

async fn of_objects(
    (source, target): (&mut dyn Source, &mut dyn Target),
    spec: &FullLoadSpec,
    findings: &mut Findings,
) {
    const OBJECTS: &str = "unsupported-objects";
    match plan_objects(source, target, spec).await {
        Ok(objects) => {
            let unconverted = objects.unconverted.into_iter().map(plan::unconverted);
            findings.note(&[OBJECTS], Ok(unconverted.collect()));
        }
        Err(error) => findings.cannot(OBJECTS, error.to_string()),
    }
}

async fn of_source(
    source: &Arc<dyn Connector>,
    plan: Option<&LoadPlan>,
    spec: &FullLoadSpec,
    (findings, obstacles): (&mut Findings, &mut Obstacles),
) {
    let tables: Vec<Table> = plan
        .into_iter()
        .flat_map(|plan| plan.tables.iter().map(|table| table.source.clone()))
        .collect();
    let asked = Assessed::Source {
        tables: &tables,
        is_followed: spec.is_followed,
    };
    match source.concerns(asked).await {
        Ok(found) => findings.merge(found),
        Err(error) => obstacles.source = Some(error.to_string()),
    }
    let unread = source.unread_logs().await;
    let unread = unread.map(|logs| logs.into_iter().map(plan::unread).collect());
    findings.note(&["source-log-unread"], unread);
}

async fn of_target(
    target: &Arc<dyn Connector>,
    plan: Option<&LoadPlan>,
    spec: &FullLoadSpec,
    (findings, obstacles): (&mut Findings, &mut Obstacles),
) {
    let made = plan.into_iter().flat_map(|plan| &plan.tables);
    let made: Vec<_> = made
        .filter_map(|table| Some((&table.source, table.target.as_ref().ok()?)))
        .collect();
    let names: Vec<TableName> = made.iter().map(|(_, to)| to.name.clone()).collect();
    let bytes = made.iter().filter_map(|(from, _)| from.byte_estimate);
    let asked = Assessed::Target {
        tables: &names,
        is_followed: spec.is_followed,
        keeps_tables: keeps_tables(spec),
        needed_bytes: bytes.fold(0, u64::saturating_add),
    };
    match target.concerns(asked).await {
        Ok(found) => findings.merge(found),
        Err(error) => obstacles.target = Some(error.to_string()),
    }
}

impl Obstacles {
    /// Why a check of which nobody says that it was made was not.
    fn of(&self, check: &Check) -> String {
        let at_end = match check.place {
            Place::Source => &self.source,
            Place::Target => &self.target,
            Place::Either => &None,
        };
        let reasons = [at_end, &self.tables, &self.source, &self.target];
        let reason = reasons.into_iter().flatten().next().cloned();
        reason.unwrap_or_else(|| "nothing here makes it".to_owned())
    }

    /// Whether something that a check asks of could not be looked at, whatever others say that they made of it.
    fn hide_from(&self, check: &Check) -> bool {
        let (source, target) = self.engines;
        let asks = |engine| check.place == Place::Either && check.engines.contains(&engine);
        let hides_tables = self.source.is_some() || self.target.is_some() || self.tables.is_some();
        check.is_of_tables && hides_tables
            || self.source.is_some() && asks(source)
            || self.target.is_some() && asks(target)
    }
}

/// Sorts what was found under the checks that apply. A check that found something has been made, whatever it applies to.
fn by_check(
    findings: Findings,
    obstacles: &Obstacles,
    applies: impl Fn(&Check) -> bool,
) -> Vec<Assessment> {
    let mut assessments: Vec<Assessment> = CHECKS
        .iter()
        .map(|check| Assessment {
            check,
            findings: Vec::new(),
            unmade: Vec::new(),
            skipped: None,
        })
        .collect();
    let place_of = |name: &str| {
        let place = CHECKS.iter().position(|check| check.name == name);
        if place.is_none() {
            debug_assert!(false, "no check is called {name}");
            tracing::error!(
                check = name,
                "a finding of a check that is not in the table"
            );
        }
        place
    };
    for concern in findings.concerns {
        if let Some(place) = place_of(concern.check) {
            assessments[place].findings.push(concern);
        }
    }
    for unmade in findings.unmade {
        if let Some(place) = place_of(unmade.check) {
            assessments[place].unmade.push(unmade.reason);
        }
    }
    for skipped in findings.skipped {
        if let Some(place) = place_of(skipped.check) {
            assessments[place].skipped = Some(skipped.reason);
        }
    }
    assessments.retain(|one| !one.findings.is_empty() || applies(one.check));
    for one in &mut assessments {
        let is_told = one.skipped.is_some() || findings.made.contains(&one.check.name);
        if one.unmade.is_empty() && (obstacles.hide_from(one.check) || !is_told) {
            one.unmade.push(obstacles.of(one.check));
        }
    }
    assessments
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Values = Values {
        sampled: None,
        all: false,
    };

    const ENGINES: (Engine, Engine) = (Engine::Postgres, Engine::MariaDb);

    fn sorted(findings: Findings, source: Option<&str>) -> Vec<Assessment> {
        let obstacles = Obstacles {
            engines: ENGINES,
            source: source.map(str::to_owned),
            target: None,
            tables: None,
        };
        by_check(findings, &obstacles, |check| {
            check.applies(ENGINES, false, NOTHING)
        })
    }

    fn outcome(made: &[Assessment], name: &str) -> Outcome {
        let one = made.iter().find(|one| one.check.name == name);
        one.unwrap_or_else(|| panic!("{name}")).outcome()
    }

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
        let (from, to) = (Engine::Postgres, Engine::MySql);
        assert!(wal.applies((from, to), true, NOTHING));
        assert!(!wal.applies((from, to), false, NOTHING));
        assert!(!wal.applies((to, from), true, NOTHING));
        let values = Check::of_name("values-not-fitting").unwrap();
        assert!(!values.applies((from, to), true, NOTHING));
        let all = Values {
            all: true,
            ..NOTHING
        };
        assert!(values.applies((from, to), false, all));
    }

    #[test]
    fn checks_that_were_made_and_found_nothing_have_passed_and_no_others() {
        let mut findings = Findings::default();
        let note = Concern::new("types-changed", "s.t", "m", "r");
        findings.note(
            &["types-changed", "all-check-target-read-replica"],
            Ok(vec![note]),
        );
        findings.cannot("postgres-check-select-object-privileges", "no answer");
        findings.skip("target-disk-room", "it does not tell");
        let made = sorted(findings, None);
        assert_eq!(
            outcome(&made, "types-changed"),
            Outcome::Found(Severity::Note)
        );
        assert_eq!(
            outcome(&made, "all-check-target-read-replica"),
            Outcome::Passed
        );
        assert_eq!(
            outcome(&made, "postgres-check-select-object-privileges"),
            Outcome::Unmade
        );
        assert_eq!(outcome(&made, "target-disk-room"), Outcome::Skipped);
        assert_eq!(
            outcome(&made, "mysql-check-target-localinfile-set"),
            Outcome::Unmade
        );
        assert!(
            !made
                .iter()
                .any(|made| made.check.name == "mysql-check-binlog-format")
        );
    }

    #[test]
    fn a_check_of_tables_cannot_pass_where_the_tables_are_not_known() {
        let mut findings = Findings::default();
        let checks = [
            "mysql-check-target-privileges",
            "mysql-check-target-localinfile-set",
            "mysql-check-supported-version",
        ];
        findings.note(&checks, Ok(Vec::new()));
        let made = sorted(findings, Some("nobody answers"));
        assert_eq!(outcome(&made, checks[0]), Outcome::Unmade);
        assert_eq!(outcome(&made, checks[1]), Outcome::Passed);
        assert_eq!(outcome(&made, checks[2]), Outcome::Passed);
        assert_eq!(outcome(&made, "postgres-check-dbversion"), Outcome::Unmade);
        let one = made.iter().find(|one| one.check.name == checks[0]).unwrap();
        assert_eq!(one.unmade, ["nobody answers"]);
    }
}
