//! `cargo x bench full-load`: TPC-H tables between servers of one machine.
//!
//! Runs of different contenders take turns, and each is compared with the floor of the same turn: what else
//! the machine does changes from minute to minute, so numbers of different turns, and even more of
//! different days, do not compare.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use whimbrel_testkit::Engine;

use super::contenders::{Contender, Programs};
use super::measure::Usage;
use super::report;
use super::servers::{Role, Servers, clear_target, count_rows, version};
use super::tpch::{TABLES, Table};
use crate::run::tree;

/// Far beyond the slowest tool at scale 1.
const PATIENCE: Duration = Duration::from_mins(20);

/// A tool this many times slower than the floor takes one turn: more would tell nothing new and take the morning.
const SLOW_FACTOR: f64 = 2.5;

/// What to measure and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TPC-H scale factor: 1 is 8.7 million rows, about a gigabyte
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Turns of each contender; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these cases: a part of their names, such as `mariadb-` or `-all`
    #[arg(long = "case", value_name = "PART")]
    cases: Vec<String>,
    /// Only these contenders
    #[arg(long = "only", value_enum, value_name = "NAME")]
    contenders: Vec<Contender>,
    /// Install the tools to compare with: pgcopydb and pgloader from Debian, apitap, ingestr and sling
    /// from PyPI into the cache folder. Without it those take part that are there.
    #[arg(long)]
    with_peers: bool,
    /// Where to write the results; bench/RESULTS.md if not given
    #[arg(long)]
    output: Option<PathBuf>,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) source: Engine,
    pub(crate) target: Engine,
    pub(crate) tables: Vec<&'static Table>,
    /// Whether the primary keys are built too, and are in the time.
    pub(crate) keys: bool,
}

/// How a contender did in a case.
#[derive(Debug)]
pub(crate) struct Score {
    pub(crate) contender: Contender,
    /// One per turn, in order.
    pub(crate) usages: Vec<Usage>,
    /// Why it takes no turns any more.
    pub(crate) failure: Option<String>,
}

/// A case with the scores of all who took part.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) row_count: u64,
    pub(crate) scores: Vec<Score>,
}

/// Measures, prints, and writes the results.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "there must be one round at least");
    let cases = cases(&args.cases);
    ensure!(
        !cases.is_empty(),
        "no case has any of {:?} in its name",
        args.cases
    );
    let contenders = if args.contenders.is_empty() {
        Contender::value_variants().to_vec()
    } else {
        args.contenders.clone()
    };
    let programs = Programs::find(&contenders, args.with_peers)?;
    let mut servers = Servers::new(args.scale);
    let names = case_names();
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| tree().join("bench/RESULTS.md"));
    for case in cases {
        let mut versions = Vec::new();
        for (engine, role) in [(case.source, Role::Source), (case.target, Role::Target)] {
            servers.start(engine, role)?;
            if versions.iter().all(|(known, _)| *known != engine) {
                versions.push((engine, version(servers.get(engine, role)?)?));
            }
        }
        let outcome = measure(case, args.rounds, &contenders, &programs, &servers);
        let measured = report::circumstances(args.rounds, args.scale, &versions);
        println!("{}", report::section(&outcome, &measured));
        // After each case, so that a run that is broken off has not measured for nothing.
        let before = std::fs::read_to_string(&output).unwrap_or_default();
        report::write(
            &output,
            &report::updated(&before, &names, &outcome, &measured),
        )?;
        println!("written to {}", output.display());
    }
    Ok(())
}

fn case_names() -> Vec<&'static str> {
    cases(&[]).iter().map(|case| case.name).collect()
}

fn cases(parts: &[String]) -> Vec<Case> {
    use Engine::{Mariadb1011 as Mariadb, Mysql97 as Mysql, Postgres15 as Postgres};
    let all = || TABLES.iter().collect::<Vec<_>>();
    let lineitem = || vec![&TABLES[0]];
    let case = |name, source, target, tables, keys| Case {
        name,
        source,
        target,
        tables,
        keys,
    };
    let cases = vec![
        case("postgres-to-postgres-all", Postgres, Postgres, all(), true),
        case(
            "postgres-to-postgres-all-without-keys",
            Postgres,
            Postgres,
            all(),
            false,
        ),
        case(
            "postgres-to-postgres-lineitem",
            Postgres,
            Postgres,
            lineitem(),
            false,
        ),
        case(
            "mariadb-to-postgres-lineitem",
            Mariadb,
            Postgres,
            lineitem(),
            false,
        ),
        case(
            "mysql-to-postgres-lineitem",
            Mysql,
            Postgres,
            lineitem(),
            false,
        ),
        case(
            "postgres-to-mariadb-lineitem",
            Postgres,
            Mariadb,
            lineitem(),
            true,
        ),
        case(
            "postgres-to-mysql-lineitem",
            Postgres,
            Mysql,
            lineitem(),
            true,
        ),
    ];
    let wanted = |case: &Case| parts.is_empty() || parts.iter().any(|p| case.name.contains(p));
    cases.into_iter().filter(wanted).collect()
}

fn measure(
    case: Case,
    rounds: usize,
    contenders: &[Contender],
    programs: &Programs,
    servers: &Servers,
) -> Outcome {
    let row_count = servers.row_count(&case.tables);
    let new = |contender: &Contender| Score {
        contender: *contender,
        usages: Vec::new(),
        failure: None,
    };
    let mut scores: Vec<Score> = contenders.iter().map(new).collect();
    for round in 1..=rounds {
        let floor_s = scores
            .iter()
            .find(|score| score.contender == Contender::Floor)
            .and_then(|score| score.usages.first())
            .map(|usage| usage.wall_s);
        for score in &mut scores {
            if score.failure.is_some() || is_slow(score, floor_s) {
                continue;
            }
            match turn(&case, score.contender, programs, servers, row_count) {
                Ok(Some(usage)) => {
                    eprintln!(
                        "{} round {round}: {:?} {:.2} s",
                        case.name, score.contender, usage.wall_s
                    );
                    score.usages.push(usage);
                }
                // Not there, or not made for this case: it does not show in the results.
                Ok(None) => break_off(score, String::new()),
                Err(error) => {
                    eprintln!(
                        "{} round {round}: {:?} failed: {error:#}",
                        case.name, score.contender
                    );
                    break_off(score, format!("{error:#}"));
                }
            }
        }
    }
    scores.retain(|score| score.failure.as_deref() != Some(""));
    Outcome {
        case,
        row_count,
        scores,
    }
}

fn is_slow(score: &Score, floor_s: Option<f64>) -> bool {
    match (score.usages.first(), floor_s) {
        (Some(first), Some(floor_s)) => first.wall_s > SLOW_FACTOR * floor_s,
        _ => false,
    }
}

fn break_off(score: &mut Score, why: String) {
    score.failure = Some(why);
    score.usages.clear();
}

/// One run into an empty target, checked to have brought every row.
fn turn(
    case: &Case,
    contender: Contender,
    programs: &Programs,
    servers: &Servers,
    row_count: u64,
) -> Result<Option<Usage>> {
    let source = servers.get(case.source, Role::Source)?;
    let target = servers.get(case.target, Role::Target)?;
    let folder = tempfile::tempdir()?;
    let command = programs.command(contender, case, source, target, folder.path())?;
    let Some(command) = command else {
        return Ok(None);
    };
    clear_target(target)?;
    let usage = command.run(folder.path(), PATIENCE)?;
    let arrived = count_rows(target, &case.tables)?;
    if arrived != row_count {
        bail!("{arrived} of {row_count} rows arrived");
    }
    Ok(Some(usage))
}
