//! `whimbrel assess`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use whimbrel_core::visible;
use whimbrel_engine::FullLoadSpec;
use whimbrel_engine::assess::{Assessment, Outcome, Severity, Values, assess};

use crate::address::{Address, End};
use crate::args::AssessArgs;
use crate::endpoint::connector;
use crate::failure::{Exit, Failure};
use crate::interrupt;
use crate::logging::Screen;
use crate::output::{print, print_failed, print_json};
use crate::selection::Selection;

/// Runs the command.
pub(crate) async fn run(args: &AssessArgs, screen: &Screen) -> Result<Exit, Failure> {
    let made = make(args, screen).await;
    if let Err(failure) = &made
        && args.json
    {
        print_failed(failure);
    }
    made
}

async fn make(args: &AssessArgs, screen: &Screen) -> Result<Exit, Failure> {
    let source_file = args.passwords.source_password_file.as_deref();
    let target_file = args.passwords.target_password_file.as_deref();
    let source_address = Address::resolve(&args.source_url, End::Source, source_file)?;
    let target_address = Address::resolve(&args.target_url, End::Target, target_file)?;
    let selection = Selection::of(&args.tables, &source_address, &target_address)?;
    let mut spec = FullLoadSpec::new(selection.task, selection.mappings);
    spec.target_schema = selection.target_schema;
    spec.shaping = args.shape.shaping();
    spec.objects = args.objects.clone();
    spec.is_followed = args.follow;
    spec.prepare = args.prepare.into();
    let values = Values {
        sampled: args.sample,
        all: args.full,
    };
    let source = connector(&source_address)?;
    let target = connector(&target_address)?;
    let stop = interrupt::watch(screen, "\nstopping; Ctrl-C again ends at once\n")?;
    let made = tokio::select! {
        () = stop.cancelled() => {
            return Err(Failure::new(Exit::Interrupted, "interrupted")
                .with_help("nothing was changed; run the command again"));
        }
        made = assess(&source, &target, &spec, values) => made,
    };
    if let Some(error) = made.unreachable {
        return Err(error.into());
    }
    let made = made.checks;
    let stands_in_the_way =
        count(&made, Outcome::Found(Severity::Failure)) + count(&made, Outcome::Unmade);
    let exit = if stands_in_the_way == 0 {
        Exit::Done
    } else {
        Exit::Incomplete
    };
    if args.json {
        for one in &made {
            print_json(&as_json(one));
        }
        print_json(&finished(&made, exit));
    } else {
        print(&as_text(&made));
    }
    Ok(exit)
}

fn count(made: &[Assessment], outcome: Outcome) -> usize {
    made.iter().filter(|one| one.outcome() == outcome).count()
}

/// The outcomes with something to tell, the worst first.
const TOLD: [Outcome; 5] = [
    Outcome::Found(Severity::Failure),
    Outcome::Unmade,
    Outcome::Found(Severity::Warning),
    Outcome::Found(Severity::Note),
    Outcome::Skipped,
];

/// The findings with the worst first, and a line about all checks.
fn as_text(made: &[Assessment]) -> String {
    let mut text = String::new();
    for outcome in TOLD {
        for one in made.iter().filter(|one| one.outcome() == outcome) {
            tell(&mut text, one).expect("a String takes everything");
        }
    }
    let of = |outcome| count(made, outcome);
    writeln!(
        text,
        "{} checks: {} passed, {} failed, {} could not be made, {} with warnings, {} with notes, {} skipped",
        made.len(),
        of(Outcome::Passed),
        of(Outcome::Found(Severity::Failure)),
        of(Outcome::Unmade),
        of(Outcome::Found(Severity::Warning)),
        of(Outcome::Found(Severity::Note)),
        of(Outcome::Skipped),
    )
    .expect("a String takes everything");
    text
}

fn tell(text: &mut String, one: &Assessment) -> std::fmt::Result {
    writeln!(text, "{}: {}", one.outcome().name(), one.check.name)?;
    for finding in &one.findings {
        let (object, message) = (visible(&finding.object), &finding.message);
        write!(
            text,
            "  {object}: {message}\n    help: {}\n",
            finding.remedy
        )?;
    }
    for reason in &one.unmade {
        writeln!(text, "  cannot be checked: {reason}")?;
    }
    if let Some(reason) = &one.skipped {
        writeln!(text, "  not checked: {reason}")?;
    }
    Ok(())
}

fn as_json(one: &Assessment) -> Value {
    let findings = one.findings.iter().map(|finding| {
        json!({ "object": finding.object, "message": finding.message, "help": finding.remedy })
    });
    json!({
        "event": "check",
        "name": one.check.name,
        "title": one.check.title,
        "result": one.outcome().name(),
        "findings": findings.collect::<Vec<_>>(),
        "cannot_be_checked": one.unmade,
        "skipped_because": one.skipped,
    })
}

fn finished(made: &[Assessment], exit: Exit) -> Value {
    let of = |outcome| count(made, outcome);
    json!({
        "event": "finished",
        "exit_code": exit.code(),
        "checks": {
            "total": made.len(),
            "passed": of(Outcome::Passed),
            "failure": of(Outcome::Found(Severity::Failure)),
            "error": of(Outcome::Unmade),
            "warning": of(Outcome::Found(Severity::Warning)),
            "note": of(Outcome::Found(Severity::Note)),
            "skipped": of(Outcome::Skipped),
        },
    })
}
