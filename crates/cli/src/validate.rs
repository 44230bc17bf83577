//! `whimbrel validate`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use whimbrel_core::{shown_key, visible};
use whimbrel_engine::validate::{
    Difference, DifferenceKind, TableReport, ValidateSpec, Verdict, validate,
};

use crate::address::{Address, End};
use crate::args::ValidateArgs;
use crate::endpoint::connector;
use crate::failure::{Exit, Failure};
use crate::format;
use crate::interrupt;
use crate::logging::Screen;
use crate::output::{print, print_failed, print_json};
use crate::selection::Selection;

/// Runs the command.
pub(crate) async fn run(args: &ValidateArgs, screen: &Screen) -> Result<Exit, Failure> {
    let compared = compare(args, screen).await;
    if let Err(failure) = &compared
        && args.json
    {
        print_failed(failure);
    }
    compared
}

async fn compare(args: &ValidateArgs, screen: &Screen) -> Result<Exit, Failure> {
    let passwords = &args.passwords;
    let source_file = passwords.source_password_file.as_deref();
    let target_file = passwords.target_password_file.as_deref();
    let source_address = Address::resolve(&args.source_url, End::Source, source_file)?;
    let target_address = Address::resolve(&args.target_url, End::Target, target_file)?;
    let selection = Selection::of(&args.tables, &source_address, &target_address)?;
    let spec = ValidateSpec {
        mappings: selection.mappings,
        target_schema: selection.target_schema,
        shaping: args.shape.shaping(),
        subtask_count: args.job_count(),
        differences_max: args.differences as usize,
    };
    let source = connector(&source_address)?;
    let target = connector(&target_address)?;
    let stop = interrupt::watch(screen, "\nstopping; Ctrl-C again ends at once\n")?;
    let began = Instant::now();
    let spinner = spinner(args, screen);
    let mut report = |index: usize, count: usize, table: &TableReport| {
        spinner.suspend(|| {
            if args.json {
                print_json(&as_json(table));
            } else {
                print(&as_text(table));
            }
        });
        spinner.set_message(format!("{} of {count} tables compared", index + 1));
    };
    let compared = tokio::select! {
        // A connection that is being made does not hear of the stop.
        () = async { stop.cancelled().await; tokio::time::sleep(Duration::from_secs(2)).await } => Ok(Vec::new()),
        compared = validate(&source, &target, &spec, &stop, &mut report) => compared,
    };
    spinner.finish_and_clear();
    let reports = match compared {
        Err(_) | Ok(_) if stop.is_cancelled() => {
            return Err(Failure::new(Exit::Interrupted, "interrupted")
                .with_help("tables without a line were not compared; run the command again"));
        }
        compared => compared?,
    };
    let exit = exit(&reports);
    if args.json {
        print_json(&finished(&reports, exit, began.elapsed()));
    } else {
        print(&closing_line(&reports, began.elapsed()));
    }
    Ok(exit)
}

fn spinner(args: &ValidateArgs, screen: &Screen) -> ProgressBar {
    if args.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
        .expect("the template is fixed and well-formed");
    let spinner = screen
        .bars()
        .add(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style));
    spinner.set_message("comparing");
    spinner.enable_steady_tick(Duration::from_millis(250));
    spinner
}

fn exit(reports: &[TableReport]) -> Exit {
    if reports.iter().all(|table| table.verdict == Verdict::Equal) {
        Exit::Done
    } else {
        Exit::Incomplete
    }
}

fn name(table: &TableReport) -> String {
    let name = if table.source == table.target {
        table.source.to_string()
    } else {
        format!("{} → {}", table.source, table.target)
    };
    visible(&name).into_owned()
}

fn as_text(table: &TableReport) -> String {
    let mut text = verdict_text(table);
    if !table.not_compared.is_empty() {
        let columns = table.not_compared.join(", ");
        writeln!(text, "           not compared, because the source computes them and the target does not have them: {columns}")
            .expect("a String takes everything");
    }
    text
}

fn verdict_text(table: &TableReport) -> String {
    let name = name(table);
    match &table.verdict {
        Verdict::Equal => format!(
            "equal      {name}: {} rows\n",
            format::count(table.source_row_count)
        ),
        Verdict::NotComparable(reason) => format!("error      {name}: {reason}\n"),
        Verdict::Different {
            differences,
            has_more,
        } => {
            let mut text = format!(
                "different  {name}: {} rows at the source, {} at the target\n",
                format::count(table.source_row_count),
                format::count(table.target_row_count)
            );
            for difference in differences {
                writeln!(text, "           {}", difference_text(difference))
                    .expect("a String takes everything");
            }
            if *has_more {
                text.push_str("           and more\n");
            }
            text
        }
    }
}

fn difference_text(difference: &Difference) -> String {
    let key = shown_key(&difference.key);
    match &difference.kind {
        DifferenceKind::MissingAtTarget => format!("{key}: missing at the target"),
        DifferenceKind::ExtraAtTarget => format!("{key}: only at the target"),
        DifferenceKind::Changed { columns } => {
            format!("{key}: other {}", visible(&columns.join(", ")))
        }
    }
}

fn closing_line(reports: &[TableReport], elapsed: Duration) -> String {
    let rows: u64 = reports.iter().map(|table| table.source_row_count).sum();
    let [equal, different, errors] = verdict_counts(reports);
    let mut text = format!("{equal} equal");
    if different > 0 {
        write!(text, ", {different} different").expect("a String takes everything");
    }
    if errors > 0 {
        write!(text, ", {errors} not comparable").expect("a String takes everything");
    }
    format!(
        "{} compared: {text}; {} rows in {}\n",
        format::things(reports.len(), "table"),
        format::count(rows),
        format::duration(elapsed)
    )
}

fn verdict_counts(reports: &[TableReport]) -> [usize; 3] {
    let count =
        |is: fn(&Verdict) -> bool| reports.iter().filter(|table| is(&table.verdict)).count();
    [
        count(|verdict| matches!(verdict, Verdict::Equal)),
        count(|verdict| matches!(verdict, Verdict::Different { .. })),
        count(|verdict| matches!(verdict, Verdict::NotComparable(_))),
    ]
}

fn as_json(table: &TableReport) -> Value {
    let (verdict, differences, has_more, reason) = match &table.verdict {
        Verdict::Equal => ("equal", Vec::new(), false, None),
        Verdict::NotComparable(reason) => ("not_comparable", Vec::new(), false, Some(reason)),
        Verdict::Different {
            differences,
            has_more,
        } => {
            let differences = differences.iter().map(difference_json).collect();
            ("different", differences, *has_more, None)
        }
    };
    json!({
        "event": "table",
        "table": table.source.to_string(),
        "target": table.target.to_string(),
        "verdict": verdict,
        "source_rows": table.source_row_count,
        "target_rows": table.target_row_count,
        "differences": differences,
        "has_more": has_more,
        "reason": reason,
        "not_compared": table.not_compared,
    })
}

fn difference_json(difference: &Difference) -> Value {
    let (kind, columns) = match &difference.kind {
        DifferenceKind::MissingAtTarget => ("missing_at_target", None),
        DifferenceKind::ExtraAtTarget => ("extra_at_target", None),
        DifferenceKind::Changed { columns } => ("changed", Some(columns)),
    };
    json!({ "key": difference.key, "kind": kind, "columns": columns })
}

fn finished(reports: &[TableReport], exit: Exit, elapsed: Duration) -> Value {
    let [equal, different, errors] = verdict_counts(reports);
    json!({
        "event": "finished",
        "exit_code": exit.code(),
        "tables": { "total": reports.len(), "equal": equal, "different": different, "not_comparable": errors },
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use whimbrel_core::TableName;

    use super::*;

    #[test]
    fn a_different_table_names_its_rows_and_decides_the_exit_code() {
        let table = TableReport {
            source: TableName::new("a", "t"),
            target: TableName::new("b", "t"),
            source_row_count: 1200,
            target_row_count: 1199,
            verdict: Verdict::Different {
                differences: vec![
                    Difference {
                        key: "(1)".to_owned(),
                        kind: DifferenceKind::MissingAtTarget,
                    },
                    Difference {
                        key: "(2)".to_owned(),
                        kind: DifferenceKind::Changed {
                            columns: vec!["x".to_owned(), "y".to_owned()],
                        },
                    },
                ],
                has_more: true,
            },
            not_compared: vec!["sum".to_owned(), "both".to_owned()],
        };
        assert_eq!(
            as_text(&table),
            "different  a.t → b.t: 1,200 rows at the source, 1,199 at the target\n           \
             (1): missing at the target\n           (2): other x, y\n           and more\n           \
             not compared, because the source computes them and the target does not have them: sum, both\n"
        );
        assert_eq!(exit(std::slice::from_ref(&table)), Exit::Incomplete);
        assert_eq!(exit(&[]), Exit::Done);
    }
}
