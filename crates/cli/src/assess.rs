//! `whimbrel assess`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use whimbrel_engine::FullLoadSpec;
use whimbrel_engine::assess::{Assessment, Severity, assess};

use crate::address::{Address, End};
use crate::args::AssessArgs;
use crate::endpoint::connector;
use crate::failure::{Exit, Failure};
use crate::interrupt;
use crate::logging::Screen;
use crate::output::{print, print_json};
use crate::selection::Selection;

/// Runs the command.
pub(crate) async fn run(args: &AssessArgs, screen: &Screen) -> Result<Exit, Failure> {
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
    let source = connector(&source_address)?;
    let target = connector(&target_address)?;
    let stop = interrupt::watch(screen, "\nstopping; Ctrl-C again ends at once\n")?;
    let made = tokio::select! {
        () = stop.cancelled() => return Ok(Exit::Interrupted),
        made = assess(&source, &target, &spec) => made?,
    };
    let exit = if count(&made, Some(Severity::Failure)) == 0 {
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

fn count(made: &[Assessment], severity: Option<Severity>) -> usize {
    made.iter().filter(|one| one.severity() == severity).count()
}

/// The findings with the worst first, and a line about all checks.
fn as_text(made: &[Assessment]) -> String {
    let mut text = String::new();
    for severity in [Severity::Failure, Severity::Warning, Severity::Note] {
        let of_it = made.iter().filter(|one| one.severity() == Some(severity));
        for one in of_it {
            writeln!(text, "{}: {}", severity.name(), one.check.name)
                .expect("a String takes everything");
            for finding in &one.findings {
                let (object, message) = (&finding.object, &finding.message);
                write!(
                    text,
                    "  {object}: {message}\n    help: {}\n",
                    finding.remedy
                )
                .expect("a String takes everything");
            }
        }
    }
    writeln!(
        text,
        "{} checks: {} passed, {} failed, {} with warnings, {} with notes",
        made.len(),
        count(made, None),
        count(made, Some(Severity::Failure)),
        count(made, Some(Severity::Warning)),
        count(made, Some(Severity::Note))
    )
    .expect("a String takes everything");
    text
}

fn as_json(one: &Assessment) -> Value {
    let findings = one.findings.iter().map(|finding| {
        json!({ "object": finding.object, "message": finding.message, "help": finding.remedy })
    });
    json!({
        "event": "check",
        "name": one.check.name,
        "title": one.check.title,
        "result": one.severity().map_or("passed", Severity::name),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn finished(made: &[Assessment], exit: Exit) -> Value {
    json!({
        "event": "finished",
        "exit_code": exit.code(),
        "checks": {
            "total": made.len(),
            "passed": count(made, None),
            "failure": count(made, Some(Severity::Failure)),
            "warning": count(made, Some(Severity::Warning)),
            "note": count(made, Some(Severity::Note)),
        },
    })
}
