//! `whimbrel migrate`.

mod dry_run;
mod follow;
mod planned_objects;
mod survey;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use whimbrel_connector::{Connector, Feeding, KeyPolicy, in_background};
use whimbrel_core::TableName;
use whimbrel_engine::{
    FullLoadSpec, Progress, ProgressSnapshot, RetryPolicy, RunError, StartKind, TableErrorPolicy,
    TableState,
};

use crate::address::{Address, End};
use crate::args::{MigrateArgs, Prepare};
use crate::endpoint::connector;
use crate::failure::{Exit, Failure};
use crate::interrupt;
use crate::logging::Screen;
use crate::output::{print, print_json};
use crate::progress::{TableFacts, Watcher, finished, summary};
use crate::selection::Selection;
use follow::Outcome;
use survey::Survey;

/// Soon enough for who waits at the terminal.
const RETRY_WAIT_FIRST: Duration = Duration::from_secs(1);
const RETRY_WAIT_MAX: Duration = Duration::from_mins(1);

const INTERRUPTED: &str = "\nstopping: open chunks are rolled back; Ctrl-C again ends at once\n";
const BEGIN_HELP: &str = "no table was begun; run the same command again";

const FOLLOW_HELP: &str = "the same command with --resume goes on after the last change that was applied; the source keeps its log until \
    then, so run whimbrel forget with the same URLs and tables when you will not go on";

/// What is printed of a migration besides its tables.
struct Heading {
    source: String,
    target: String,
    task: String,
    prepare: &'static str,
    jobs: usize,
}

/// A migration that is ready to run.
struct Migration {
    source_address: Address,
    target_address: Address,
    source: Arc<dyn Connector>,
    target: Arc<dyn Connector>,
    spec: FullLoadSpec,
    heading: Heading,
}

/// Runs the command.
pub(crate) async fn run(args: &MigrateArgs, screen: &Screen) -> Result<Exit, Failure> {
    let ended = migrate(args, screen).await;
    if let Err(failure) = &ended
        && args.json
    {
        // Who reads events hears of the end in any case.
        finished(
            failure.exit,
            &ProgressSnapshot::default(),
            Duration::ZERO,
            Some(failure),
        );
    }
    ended
}

async fn migrate(args: &MigrateArgs, screen: &Screen) -> Result<Exit, Failure> {
    let migration = Migration::of(args)?;
    let stop = interrupt::watch(screen, INTERRUPTED)?;
    let survey = Survey::take(&migration.source, &migration.target, &migration.spec);
    let mut survey = tokio::select! {
        () = stop.cancelled() => return Err(interrupted_early()),
        survey = survey => survey?,
    };
    let source = (&migration.source_address, &migration.source);
    let target = (&migration.target_address, &migration.target);
    tokio::select! {
        () = stop.cancelled() => return Err(interrupted_early()),
        apart = survey.check_ends_are_apart(source, target) => apart?,
    }
    if args.dry_run {
        let dry_run = dry_run::run(&mut survey, &migration.spec, &migration.heading, args.json);
        return tokio::select! {
            () = stop.cancelled() => Err(interrupted_early()),
            exit = dry_run => exit,
        };
    }
    if args.json {
        print_json(&start_event(&migration.heading, &survey));
    }
    let facts = survey.facts();
    drop(survey);
    migration.load(args, facts, screen, stop).await
}

/// Nothing was written yet.
fn interrupted_early() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted").with_help(BEGIN_HELP)
}

impl Migration {
    fn of(args: &MigrateArgs) -> Result<Self, Failure> {
        let passwords = &args.passwords;
        let source_file = passwords.source_password_file.as_deref();
        let target_file = passwords.target_password_file.as_deref();
        let source_address = Address::resolve(&args.source_url, End::Source, source_file)?;
        let target_address = Address::resolve(&args.target_url, End::Target, target_file)?;
        let selection = Selection::of(&args.tables, &source_address, &target_address)?;
        let heading = Heading {
            source: source_address.to_string(),
            target: target_address.to_string(),
            task: selection.task.clone(),
            prepare: prepare_name(args.prepare),
            jobs: args.job_count(),
        };
        Ok(Self {
            source: connector(&source_address)?,
            target: connector(&target_address)?,
            spec: spec(args, selection),
            source_address,
            target_address,
            heading,
        })
    }

    /// Runs the load and shows it, up to its last words.
    async fn load(
        self,
        args: &MigrateArgs,
        mut facts: BTreeMap<TableName, TableFacts>,
        screen: &Screen,
        stop: CancellationToken,
    ) -> Result<Exit, Failure> {
        let progress = Arc::new(Progress::new());
        let mode = follow::Mode::of(args);
        let mut watcher = Watcher::new(args, screen);
        let began = Instant::now();
        let load = {
            let progress = Arc::clone(&progress);
            in_background("load", async move {
                follow::run(
                    &self.source,
                    &self.target,
                    self.spec,
                    mode,
                    &progress,
                    &stop,
                )
                .await
            })
        };
        tokio::pin!(load);
        let mut ticks = tokio::time::interval(Watcher::PERIOD);
        let ended = loop {
            tokio::select! {
                ended = &mut load => break ended,
                _ = ticks.tick() => watcher.look(&progress, began.elapsed()),
            }
        };
        watcher.look(&progress, began.elapsed());
        watcher.close();
        for (name, facts) in &mut facts {
            facts.rows_before = watcher.rows_before(name);
        }
        let ended = ended.map_err(|error| {
            Failure::new(Exit::Failed, format!("the load ended abnormally: {error}"))
        })?;
        Ok(conclude(
            args,
            ended,
            &progress,
            &facts,
            began.elapsed(),
            screen,
        ))
    }
}

/// Prints how the load ended, and says so to the caller.
fn conclude(
    args: &MigrateArgs,
    ended: Result<Outcome, RunError>,
    progress: &Progress,
    facts: &BTreeMap<TableName, TableFacts>,
    elapsed: Duration,
    screen: &Screen,
) -> Exit {
    let snapshot = progress.snapshot();
    let has_begun = snapshot
        .tables
        .values()
        .any(|table| table.started_at.is_some());
    if !args.json && (has_begun || ended.is_ok()) {
        print(&summary(&snapshot, facts, elapsed));
    }
    let (exit, failure) = match ended {
        Ok(Outcome::Done) => incomplete(&snapshot),
        Ok(Outcome::Stopped) => {
            let help = if has_begun {
                resume_help(args)
            } else {
                BEGIN_HELP
            };
            screen.print(&format!("interrupted; {help}\n"));
            (Exit::Interrupted, None)
        }
        Ok(Outcome::FollowingStopped { is_its_end: true }) => {
            screen.print(&format!("stopped; {FOLLOW_HELP}\n"));
            incomplete(&snapshot)
        }
        Ok(Outcome::FollowingStopped { is_its_end: false }) => {
            screen.print(&format!("interrupted; {FOLLOW_HELP}\n"));
            (Exit::Interrupted, None)
        }
        Err(error) => {
            let failure = Failure::from(error);
            let failure = match &failure.help {
                Some(help) if has_begun && failure.exit == Exit::Connection => {
                    let help = format!("{help}; then {}", resume_help(args));
                    failure.with_help(help)
                }
                _ => failure,
            };
            (failure.exit, Some(failure))
        }
    };
    if args.json {
        finished(exit, &snapshot, elapsed, failure.as_ref());
    }
    if let Some(failure) = failure {
        screen.print(&failure.text());
    }
    exit
}

/// What a resume spares. Where changes follow, a table is read in one view: its changes are told apart from its rows by that.
fn resume_help(args: &MigrateArgs) -> &'static str {
    if args.follows() {
        "the same command with --resume goes on: tables that are complete are not read again, and those that were being loaded start anew"
    } else {
        "the same command with --resume goes on: finished chunks are not read again"
    }
}

/// What is left to be done at the end of a run that went through.
fn incomplete(snapshot: &ProgressSnapshot) -> (Exit, Option<Failure>) {
    let things = crate::format::things;
    let left = (
        snapshot.count(TableState::Error),
        snapshot.count(TableState::Missing),
        snapshot.objects_failed(),
    );
    let (message, help) = match left {
        (0, 0, 0) => return (Exit::Done, None),
        (0, 0, objects) => (
            format!(
                "all rows are there, but {} could not be made",
                things(objects, "object")
            ),
            "mend the cause and run the statement that is shown, or run the same command with --resume: rows and objects that are there stay as they are",
        ),
        (0, missing, _) => (
            format!(
                "{} that the selection names could not be found at the source",
                things(missing, "table")
            ),
            "correct the name, or grant the user SELECT on it; then run the command again, or one for this table alone",
        ),
        (tables, _, _) => (
            format!("{} could not be migrated", things(tables, "table")),
            "mend the cause, then run the same command with --resume: tables that are done stay as they are",
        ),
    };
    let failure = Failure::new(Exit::Incomplete, message).with_help(help);
    (Exit::Incomplete, Some(failure))
}

fn spec(args: &MigrateArgs, selection: Selection) -> FullLoadSpec {
    let mut spec = FullLoadSpec::new(selection.task, selection.mappings);
    spec.target_schema = selection.target_schema;
    spec.shaping = args.shape.shaping();
    spec.objects = args.objects.clone();
    spec.is_followed = args.follows();
    spec.prepare = args.prepare.into();
    if args.shared_target_tables {
        spec.feeding = Feeding::Together;
    }
    spec.keys = if args.no_keys {
        KeyPolicy::None
    } else {
        KeyPolicy::Best
    };
    spec.subtask_count = args.job_count();
    spec.chunk_bytes = args.chunk_size;
    spec.retry = RetryPolicy {
        retries_max: args.retries,
        wait_first: RETRY_WAIT_FIRST,
        wait_max: RETRY_WAIT_MAX,
    };
    if args.resume {
        spec.start = StartKind::Resume {
            completed: std::collections::HashSet::new(),
            needs_record: true,
        };
    }
    if args.stop_on_error {
        spec.on_table_error = TableErrorPolicy::StopTask;
    }
    spec
}

fn prepare_name(prepare: Prepare) -> &'static str {
    match prepare {
        Prepare::DropAndCreate => "drop-and-create",
        Prepare::Truncate => "truncate",
        Prepare::DoNothing => "do-nothing",
    }
}

fn start_event(heading: &Heading, survey: &Survey) -> Value {
    let tables: Vec<Value> = survey
        .plan
        .tables
        .iter()
        .map(|table| {
            let target = table.target.as_ref();
            json!({
                "table": table.source.name.to_string(),
                "target": target.ok().map(|target| target.name.to_string()),
                "row_estimate": table.source.row_estimate,
                "byte_estimate": table.source.byte_estimate,
                "notes": target.map(|target| target.notes.clone()).unwrap_or_default(),
                "error": target.err(),
            })
        })
        .collect();
    json!({
        "event": "start",
        "version": env!("CARGO_PKG_VERSION"),
        "task": heading.task,
        "source": heading.source,
        "target": heading.target,
        "prepare": heading.prepare,
        "jobs": heading.jobs,
        "tables": tables,
    })
}
