//! `cargo x bench latency`: how soon a commit at the source is visible at the target.
//!
//! One row per transaction, at a steady rate that everybody can keep up with. `load.rs` says how a commit is seen.

mod figures;
mod follower;
mod load;
mod results;
mod session;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use whimbrel_testkit::{Engine, Server};

use self::figures::{Figures, figures};
use self::follower::{Contender, Ends};
use self::load::{Observer, Pace, WRITERS, Writers, prepare_source};
use super::contenders::build;
use super::report;
use super::servers::{sql, start, version};
use crate::run::tree;

/// Transactions of the first seconds do not count: plans are cached and buffers filled in them.
const WARM_UP_S: u64 = 2;

/// What to measure and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Transactions per second at the source
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seconds of each load that count
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Rounds of each case; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these cases: a part of their names, such as `mariadb-`
    #[arg(long = "case", value_name = "PART")]
    cases: Vec<String>,
    /// Where to write the results; bench/RESULTS-LATENCY.md if not given
    #[arg(long)]
    output: Option<PathBuf>,
}

/// One thing to do.
#[derive(Debug)]
struct Case {
    name: &'static str,
    source: Engine,
    target: Engine,
}

/// How a contender did in a case, one entry per round.
#[derive(Debug)]
struct Score {
    contender: Contender,
    rounds: Vec<Figures>,
}

/// What a case showed.
#[derive(Debug)]
struct Outcome {
    case: Case,
    /// The servers and how they keep what they commit, in a line each.
    servers: [String; 2],
    scores: Vec<Score>,
}

fn cases(parts: &[String]) -> Vec<Case> {
    use Engine::{Mariadb1011 as Mariadb, Mysql97 as Mysql, Postgres15 as Postgres};
    let case = |name, source| Case {
        name,
        source,
        target: Postgres,
    };
    let mut cases = vec![
        case("postgres-to-postgres", Postgres),
        case("mariadb-to-postgres", Mariadb),
        case("mysql-to-postgres", Mysql),
    ];
    cases.retain(|case| parts.is_empty() || parts.iter().any(|part| case.name.contains(part)));
    cases
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
    let whimbrel = build()?;
    let mut text = results::head(args);
    for case in cases {
        let outcome = measure(case, args, &whimbrel)?;
        let section = results::section(&outcome);
        println!("{section}");
        text.push_str(&section);
    }
    let default = tree().join("bench/RESULTS-LATENCY.md");
    let output = args.output.clone().unwrap_or(default);
    report::write(&output, &text)?;
    println!("written to {}", output.display());
    Ok(())
}

fn measure(case: Case, args: &Args, whimbrel: &Path) -> Result<Outcome> {
    let (source, target) = (start(case.source)?, start(case.target)?);
    let folder = tempfile::tempdir()?;
    prepare_source(&source)?;
    let contenders = Contender::between(&source, &target);
    let ends = Ends {
        source: &source,
        target: &target,
        whimbrel,
        folder: folder.path(),
    };
    ends.prepare(&contenders)?;
    let mut writers = Writers::open(&source)?;
    let new = |contender: &Contender| Score {
        contender: *contender,
        rounds: Vec::new(),
    };
    let mut scores: Vec<Score> = contenders.iter().map(new).collect();
    for round in 1..=args.rounds {
        for score in &mut scores {
            let name = score.contender.name();
            let figures = turn(&ends, score.contender, &mut writers, args)
                .with_context(|| format!("{} round {round}: {name}", case.name))?;
            eprintln!(
                "{} round {round}: {name} {:.1} ms",
                case.name, figures.latency.p50
            );
            score.rounds.push(figures);
        }
    }
    Ok(Outcome {
        case,
        servers: [durability(&source)?, durability(&target)?],
        scores,
    })
}

/// One load while the contender follows.
fn turn(
    ends: &Ends<'_>,
    contender: Contender,
    writers: &mut Writers,
    args: &Args,
) -> Result<Figures> {
    let mut follower = ends.follow(contender)?;
    let (database, table) = ends.place(contender);
    let mut observer = Observer::open(ends.target, database, &table)?;
    let pace = |count| Pace {
        rate: args.rate,
        count,
    };
    // A first commit of each writer tells when the contender has caught up.
    writers
        .run(pace(1), &mut observer)
        .with_context(|| format!("wait for it to catch up; {}", follower.says()))?;
    let per_writer = |seconds: u64| (u64::from(args.rate) * seconds).div_ceil(WRITERS);
    let warm_up = per_writer(WARM_UP_S);
    let notes = writers
        .run(pace(warm_up + per_writer(args.seconds)), &mut observer)
        .with_context(|| format!("observe it; {}", follower.says()))?;
    drop(observer);
    follower.stop()?;
    Ok(figures(&notes, usize::try_from(warm_up)?))
}

/// The server's version and what it does before it answers a commit.
fn durability(server: &Server) -> Result<String> {
    let settings = if server.engine.is_postgres() {
        "select string_agg(name || '=' || setting, ', ' order by name) from pg_settings \
         where name in ('fsync', 'full_page_writes', 'synchronous_commit')"
    } else {
        "select concat('innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit, ', sync_binlog=', @@sync_binlog)"
    };
    let settings = sql(server, settings)?;
    let (name, version) = (server.engine.scheme(), version(server)?);
    Ok(format!("{name} {version}, {}", settings.trim()))
}
