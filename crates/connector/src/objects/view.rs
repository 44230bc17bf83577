//! Views in the SQL of another engine: made where they are converted, or listed.
//!
//! Nothing is recorded of them, and a run may be killed between any two statements: a view is made by one statement, which is whole or not at all, and a later run
//! finds it by its name and looks whether it is the same. PostgreSQL tells by making it over in a transaction that is rolled back, MySQL and MariaDB by a view beside it
//! that is dropped again; a run that is killed there leaves that one, which the next look replaces. What is not the same is never replaced.
//!
//! What was decided by the plan is looked at again when the view is made, because the plan does not know the target's tables:
//!
//! - the columns that it names have the types and collations by which it was converted, and its tables no rows but their own: a table that was there before may have others;
//! - the tables that it reads are loaded, and the views are made by this run or found to be the same: what has their names else is something else.

use whimbrel_core::Engine;
use whimbrel_core::objects::{Likeness, Requirement, ScriptTime, Scripted};

use super::{ObjectPlanner, ObjectStatement, ObjectStep, Refused, Script};
use crate::expression::Dialect;
use crate::views::{Converted, Views};

/// How a target takes texts in another SQL.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    /// Whose.
    pub engine: Engine,
    /// How it makes a view that was converted.
    pub view: fn(&Converted) -> MadeView,
}

/// How a view is made that was converted.
#[derive(Debug)]
pub struct MadeView {
    /// The query that gives a row when one of its name is there.
    pub exists: String,
    /// A statement that shows, before the view is made, that the server can answer its query, where it takes others for views too.
    pub proof: Option<String>,
    /// How to tell whether that is the same.
    pub likeness: Likeness,
    /// What its tables must be.
    pub requires: Vec<Requirement>,
    /// Settings in which its text means what it means.
    pub session: Vec<String>,
}

/// Plans a view in the SQL of another engine, where nothing of it is known to mean something else here and that is asked for; else it is listed.
pub(super) fn plan_view(
    planner: &mut ObjectPlanner<'_>,
    views: &mut Views,
    script: &Scripted,
    foreign: Foreign,
) {
    let text = script.text();
    // An account of MySQL is nobody here. An owner of PostgreSQL's that is needed sees rows that others do not.
    let needed = script
        .requires
        .first()
        .filter(|_| foreign.engine == Engine::Postgres);
    let needed = needed.map(|needed| &needed.lacking);
    let converted = match (
        needed.or(script.foreign_bar.as_ref()),
        &script.statements[..],
    ) {
        (None, [only]) => views.convert(&only.sql, script.schema.as_deref()),
        (None, _) => Err("it has defaults or indexes of its own".to_owned()),
        (Some(why), _) => Err(why.clone()),
    };
    // Those that read it have to know of it even where views are not wanted.
    if !planner.wants(script.kind) {
        return;
    }
    let engine = named(foreign.engine);
    let refused = match converted {
        Ok(view) if view.differs.is_empty() && planner.converts_views() => {
            planner.add_script(converted_step(script, &view, foreign));
            return;
        }
        Ok(view) if view.differs.is_empty() => Refused::with_statement(
            format!(
                "it was converted from the SQL of {engine}, and is to be reviewed: run the statement and compare its rows; with converted-views among --objects such views are made"
            ),
            view.statement(),
        ),
        Ok(view) => Refused::with_statement(
            format!(
                "it was converted from the SQL of {engine}, and may show other rows here: {}; if that is right, run the statement",
                view.differs.join("; ")
            ),
            view.statement(),
        ),
        Err(why) => Refused::with_statement(
            format!(
                "its text is in the SQL of {engine}, and is not converted: {why}; write it anew and test it"
            ),
            text,
        ),
    };
    planner.list(&script.what, script.name.clone(), refused);
}

fn converted_step(script: &Scripted, view: &Converted, foreign: Foreign) -> ObjectStep {
    let made = (foreign.view)(view);
    let mut note = format!(
        "review: it was converted from the SQL of {}: compare its rows with the source's",
        named(foreign.engine)
    );
    for more in &view.notes {
        note = format!("{note}; {more}");
    }
    ObjectStep {
        kind: script.kind,
        table: None,
        name: script.name.clone(),
        statements: made
            .proof
            .into_iter()
            .chain([view.statement()])
            .map(|sql| ObjectStatement::unless(sql, &made.exists))
            .collect(),
        needs: view.reads.tables.keys().cloned().collect(),
        rests_on: view.reads.views.iter().map(ToString::to_string).collect(),
        waits_for_end: true,
        note: Some(note),
        script: Some(Box::new(Script {
            enter: None,
            session: made.session,
            requires: made.requires,
            likeness: Some(made.likeness),
            undo: None,
            when: ScriptTime::Ended,
            behind: script.kind,
            may_be_refused: true,
        })),
        original: Some(script.text()),
    }
}

pub(super) fn dialect(engine: Engine) -> Dialect {
    match engine {
        Engine::Postgres => Dialect::Postgres,
        Engine::MySql | Engine::MariaDb => Dialect::MySql,
    }
}

pub(super) fn named(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::MySql => "MySQL",
        Engine::MariaDb => "MariaDB",
    }
}
