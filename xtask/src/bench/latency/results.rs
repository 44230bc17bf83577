//! The text of `bench/RESULTS-LATENCY.md`.

use super::figures::{Figures, Spread};
use super::load::{ROWS, WRITERS};
use super::{Args, Outcome, WARM_UP_S};
use crate::bench::{machine, report};

/// What was measured and how.
pub(super) fn head(args: &Args) -> String {
    format!(
        "# From commit to visible, measured\n\n\
         Written by `cargo x bench latency`; run it to get the numbers of your machine.\n\n\
         - Machine: {}. Servers, tools, writers and observer share it.\n\
         - {WRITERS} connections together commit {} transactions per second at the source for {} s, each an update of one of {ROWS} \
           rows, after {WARM_UP_S} s that do not count.\n\
         - A latency is the time from the answer of a commit at the source to the answer of the first query at the target that shows \
           it, on one monotonic clock. The target is asked again and again, with a short pause, so a latency is too long by up to one \
           \"look\": the time from one such answer to the next, in the table. Answers come through the engines' own clients, which adds some \
           tens of microseconds to both.\n\
         - Values are milliseconds, medians of the rounds ({}); the maximum is that of all rounds. Contenders take turns on the same \
           servers. \"Commit\" is what a commit takes at the source itself.\n\
         - What is durable: the settings of the servers stand with each case; with these a source sends what is on its disk, not \
           before. Whimbrel commits at the target with `synchronous_commit=on`, always. A subscription of PostgreSQL commits \
           with `off` unless told otherwise; both are measured.\n",
        machine::description(),
        args.rate,
        args.seconds,
        args.rounds
    )
}

/// The table of one case.
pub(super) fn section(outcome: &Outcome) -> String {
    let [source, target] = &outcome.servers;
    let mut text = format!(
        "\n## {}\n\nSource: {source}. Target: {target}.\n\n\
         | tool | p50 | p90 | p99 | max | transactions/s | commit, p50 | look, p50 | look, p99 |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        outcome.case.name
    );
    for score in &outcome.scores {
        let of =
            |value: fn(&Figures) -> f64| report::median(score.rounds.iter().map(value).collect());
        let latency = Spread {
            p50: of(|round| round.latency.p50),
            p90: of(|round| round.latency.p90),
            p99: of(|round| round.latency.p99),
            max: score
                .rounds
                .iter()
                .map(|round| round.latency.max)
                .fold(f64::NEG_INFINITY, f64::max),
        };
        let line = format!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} | {:.1} |\n",
            score.contender.name(),
            latency.p50,
            latency.p90,
            latency.p99,
            latency.max,
            of(|round| round.rate),
            of(|round| round.commit.p50),
            of(|round| round.looks.p50),
            of(|round| round.looks.p99),
        );
        text.push_str(&line);
    }
    text
}
