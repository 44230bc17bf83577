//! `cargo x bench rules`: what rules of table mappings cost a full load.
//!
//! The same table is loaded without rules and with one rule after the other, in turns on the same servers. What a rule costs is the time above
//! that of the load without rules, for each million rows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use whimbrel_testkit::{Engine, Server};

use super::contenders::build;
use super::machine;
use super::measure::{Measured, Usage};
use super::report;
use super::servers::{DATABASE, clear_target, numbers, sql, start, url};
use crate::run::tree;

const PATIENCE: Duration = Duration::from_mins(20);
const MILLION: f64 = 1_000_000.0;

/// What to measure and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows of the table: no more than MariaDB counts at once
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(8..=1_000_000))]
    rows: u64,
    /// Rounds of each case; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these cases: a part of their names, such as `mariadb-`
    #[arg(long = "case", value_name = "PART")]
    cases: Vec<String>,
    /// Measures this program instead of a release build of the tree
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Where to write the results; bench/RESULTS-RULES.md if not given
    #[arg(long)]
    output: Option<PathBuf>,
}

struct Case {
    name: &'static str,
    source: Engine,
    target: Engine,
}

/// Rules whose cost is measured. The first has none.
struct Ruled {
    name: &'static str,
    rules: Vec<Value>,
    usages: Vec<Usage>,
}

fn cases(parts: &[String]) -> Vec<Case> {
    use Engine::{Mariadb1011 as Mariadb, Postgres15 as Postgres};
    let case = |name, source, target| Case {
        name,
        source,
        target,
    };
    let mut cases = vec![
        case("postgres-to-postgres", Postgres, Postgres),
        case("mariadb-to-postgres", Mariadb, Postgres),
        case("postgres-to-mariadb", Postgres, Mariadb),
    ];
    cases.retain(|case| parts.is_empty() || parts.iter().any(|part| case.name.contains(part)));
    cases
}

fn schema_of(engine: Engine) -> &'static str {
    if engine.is_postgres() {
        "public"
    } else {
        DATABASE
    }
}

/// What is done to a column: what it is called in the results, the column, and the rule.
fn transformations() -> Vec<(&'static str, &'static str, Value)> {
    let mask = |action: &str| json!({ "rule-action": action });
    let added = json!({"rule-action": "add-column", "value": "sum", "expression": "$id + $a", "data-type": {"type": "int8"}});
    vec![
        (
            "rename of a column",
            "note",
            json!({"rule-action": "rename", "value": "remark"}),
        ),
        (
            "column left out",
            "b",
            json!({"rule-action": "remove-column"}),
        ),
        (
            "column of another type",
            "a",
            json!({"rule-action": "change-data-type", "data-type": {"type": "int8"}}),
        ),
        ("added column", "%", added),
        (
            "mask of digits",
            "note",
            json!({"rule-action": "data-masking-digits-mask", "value": "#"}),
        ),
        (
            "mask of random digits",
            "note",
            mask("data-masking-digits-randomize"),
        ),
        ("mask by hashes", "note", mask("data-masking-hash-mask")),
    ]
}

fn rules_of(source: Engine, rows: u64) -> Vec<Ruled> {
    let schema = schema_of(source);
    let table = json!({"schema-name": schema, "table-name": "t"});
    let selection = |filters: Value| json!({"rule-type": "selection", "rule-id": 1, "rule-action": "include", "object-locator": table, "filters": filters});
    let ruled = |name, rules| Ruled {
        name,
        rules,
        usages: Vec::new(),
    };
    let all = || selection(json!([]));
    let passed = json!([{"filter-type": "source", "column-name": "a", "filter-conditions": [{"filter-operator": "gte", "value": "0"}]}]);
    let boundaries: Vec<[String; 1]> = (1..8).map(|part| [(rows * part / 8).to_string()]).collect();
    let ranges = json!({"rule-type": "table-settings", "rule-id": 2, "object-locator": table,
        "parallel-load": {"type": "ranges", "columns": ["id"], "boundaries": boundaries}});
    let mut outcomes = vec![
        ruled("no rules", vec![all()]),
        ruled("filter that all rows pass", vec![selection(passed)]),
        ruled("eight ranges of the key", vec![all(), ranges]),
    ];
    for (name, column, action) in transformations() {
        let mut rule = json!({"rule-type": "transformation", "rule-id": 2, "rule-target": "column",
            "object-locator": {"schema-name": schema, "table-name": "t", "column-name": column}});
        for (member, value) in action.as_object().into_iter().flatten() {
            rule[member] = value.clone();
        }
        outcomes.push(ruled(name, vec![all(), rule]));
    }
    outcomes
}

/// Measures, prints, and writes the results.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cases = cases(&args.cases);
    ensure!(
        !cases.is_empty(),
        "no case has any of {:?} in its name",
        args.cases
    );
    let whimbrel = match &args.program {
        // It is run in another folder.
        Some(program) => std::path::absolute(program).context("find the program")?,
        None => build()?,
    };
    let mut text = head(args);
    for case in cases {
        let outcomes = measure(&case, args, &whimbrel)?;
        let section = section(&case, &outcomes, args.rows);
        println!("{section}");
        text.push_str(&section);
    }
    let default = tree().join("bench/RESULTS-RULES.md");
    let output = args.output.clone().unwrap_or(default);
    report::write(&output, &text)?;
    println!("written to {}", output.display());
    Ok(())
}

fn measure(case: &Case, args: &Args, whimbrel: &Path) -> Result<Vec<Ruled>> {
    let (source, target) = (start(case.source)?, start(case.target)?);
    sql(&source, &setup(case.source, args.rows))?;
    let folder = tempfile::tempdir()?;
    let mut outcomes = rules_of(case.source, args.rows);
    for round in 1..=args.rounds {
        for ruled in &mut outcomes {
            let file = folder.path().join("mappings.json");
            std::fs::write(&file, json!({ "rules": ruled.rules }).to_string())
                .context("write the mappings")?;
            clear_target(&target)?;
            let usage = load((&source, &target), case, (whimbrel, &file), folder.path())?;
            eprintln!(
                "{} round {round}: {} {:.2} s",
                case.name, ruled.name, usage.wall_s
            );
            check_count(&target, case.target, args.rows)?;
            ruled.usages.push(usage);
        }
    }
    Ok(outcomes)
}

/// The table that is loaded.
fn setup(engine: Engine, rows: u64) -> String {
    let (depth, numbers) = numbers(engine, rows);
    let analyze = if engine.is_postgres() {
        "analyze t"
    } else {
        "analyze table t"
    };
    format!(
        "create table t (id bigint primary key, a int not null, b numeric(12, 2), c timestamp(6) null, note varchar(100)); \
         {depth} insert into t select i, i, i / 7, '2026-01-01 00:00:00', concat('a note of row ', i) from {numbers}; {analyze};"
    )
}

fn load(
    (source, target): (&Server, &Server),
    case: &Case,
    (whimbrel, mappings): (&Path, &Path),
    folder: &Path,
) -> Result<Usage> {
    let program = whimbrel.display().to_string();
    let mappings = mappings.display().to_string();
    let from = url(source, case.source.scheme(), "");
    let to = url(target, case.target.scheme(), "");
    let words = [
        program.as_str(),
        "migrate",
        &from,
        &to,
        "--mappings",
        &mappings,
        "--target-schema",
        schema_of(case.target),
        "--progress",
        "off",
    ];
    Measured::program(&words).run(folder, PATIENCE)
}

fn check_count(target: &Server, engine: Engine, rows: u64) -> Result<()> {
    let query = format!("select count(*) from {}.t", schema_of(engine));
    let found = sql(target, &query)?;
    ensure!(
        found.trim() == rows.to_string(),
        "{} rows arrived, not {rows}",
        found.trim()
    );
    Ok(())
}

fn head(args: &Args) -> String {
    format!(
        "# Rules, measured\n\n\
         Written by `cargo x bench rules`; run it to get the numbers of your machine.\n\n\
         - Machine: {}.\n\
         - A table `t (id bigint primary key, a int, b numeric(12, 2), c timestamp(6), note varchar(100))` of {} rows is loaded without rules, and with \
           one rule after the other.\n\
         - Medians of {} rounds, in turns on the same servers on the same machine, with `fsync` and its like on. What a rule costs is the time above that of \
           the load without rules, for each million rows; what is below zero is noise.\n",
        machine::description(),
        args.rows,
        args.rounds
    )
}

fn section(case: &Case, outcomes: &[Ruled], rows: u64) -> String {
    let mut text = format!(
        "\n## {}\n\n| rule | wall, s | rows/s | times no rules | costs, s per million rows | processor, s | peak, MB | rounds, s |\n|---|---:|---:|---:|---:|---:|---:|---|\n",
        case.name
    );
    let rows = report::as_f64(rows);
    let without_s = outcomes
        .first()
        .map_or(0.0, |first| median(&first.usages, |usage| usage.wall_s));
    for ruled in outcomes {
        let wall_s = median(&ruled.usages, |usage| usage.wall_s);
        let rounds: Vec<String> = ruled
            .usages
            .iter()
            .map(|usage| format!("{:.1}", usage.wall_s))
            .collect();
        let line = format!(
            "| {} | {wall_s:.1} | {:.0} | {:.2} | {:.2} | {:.1} | {:.0} | {} |\n",
            ruled.name,
            rows / wall_s,
            wall_s / without_s,
            (wall_s - without_s) / rows * MILLION,
            median(&ruled.usages, |usage| usage.cpu_s),
            median(&ruled.usages, |usage| usage.peak_mb),
            rounds.join(" "),
        );
        text.push_str(&line);
    }
    text
}

fn median(usages: &[Usage], of: fn(&Usage) -> f64) -> f64 {
    report::median(usages.iter().map(of).collect())
}
