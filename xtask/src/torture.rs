//! `cargo x torture`: the tests of change capture, again and again with other seeds.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use whimbrel_testkit::{Engine, SERVERS_VARIABLE, State};

use crate::run::{cargo, status};

/// When this process dies, its servers stop so many seconds later.
const UNUSED_MAX_S: u32 = 5;

/// How long, and where to begin.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each round runs every pair of engines with one seed; the first round with a failure is the last. \
    `--minutes 0 --seed S` repeats the round of a seed, `WHIMBREL_SEED=S` that of a single test."
)]
pub(crate) struct Args {
    /// Begins no round after so many minutes
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// The seed of the first round; it grows by one with each
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only tests whose names contain this, such as `from_mysql`
    #[arg(long, default_value = "follow::")]
    only: String,
    /// Faults of each pair of engines in a round: so many that the seed chooses, `all`, or those whose names begin so, such as
    /// `kill:cdc` (docs/faults.md has the names)
    #[arg(long, default_value = "6")]
    faults: String,
}

/// Runs rounds until the time is over or a test fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("whimbrel-torture-")
        .tempdir()?;
    let state = || State::at(folder.path(), UNUSED_MAX_S);
    let servers = state()?.servers(&Engine::usual())?;
    let list = folder.path().join("servers.json");
    servers.write(&list)?;
    let tally = folder.path().join("tally");
    let rounds = rounds(args, &list, &tally);
    for engine in Engine::all() {
        state()?.stop(engine)?;
    }
    print!(
        "{}",
        counted(&std::fs::read_to_string(tally).unwrap_or_default())
    );
    println!("{} rounds passed", rounds?);
    Ok(())
}

/// How often each fault struck. A line is the number of its row and its name.
fn counted(tally: &str) -> String {
    let mut counts: BTreeMap<(u8, &str), u32> = BTreeMap::new();
    for line in tally.lines() {
        let (row, fault) = line.split_once(' ').unwrap_or(("0", line));
        *counts.entry((row.parse().unwrap_or(0), fault)).or_default() += 1;
    }
    let lines = counts
        .iter()
        .map(|((row, fault), count)| format!("row {row:>2}: {fault}, {count} times\n"));
    lines.collect()
}

fn rounds(args: &Args, servers: &Path, tally: &Path) -> Result<u64> {
    let began = Instant::now();
    let time = Duration::from_secs(60 * args.minutes);
    let mut count = 0;
    while count == 0 || began.elapsed() < time {
        let seed = args.seed + count;
        eprintln!("round {}, seed {seed}", count + 1);
        let mut round = cargo(&["nextest", "run", "--package", "whimbrel-cli", "--locked"]);
        round
            .args(["--no-fail-fast", "--status-level", "fail"])
            .args(["--profile", "torture"])
            .arg(&args.only)
            .env("WHIMBREL_SEED", seed.to_string())
            .env("WHIMBREL_FAULT_CASES", &args.faults)
            .env("WHIMBREL_TALLY", tally)
            .env(SERVERS_VARIABLE, servers);
        if !status(&mut round)?.success() {
            bail!("the round with seed {seed} failed");
        }
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_in_the_order_of_their_rows() {
        let tally = "11 answer-lost cdc\n1 kill load\n11 answer-lost cdc\n";
        assert_eq!(
            counted(tally),
            "row  1: kill load, 1 times\nrow 11: answer-lost cdc, 2 times\n"
        );
    }
}
