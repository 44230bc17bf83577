//! Medians, ratios and the text of `bench/RESULTS.md`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use whimbrel_testkit::Engine;

use super::contenders::Contender;
use super::full_load::{Outcome, Score};
use super::machine;
use super::measure::Usage;

/// What the figures of every case have in common.
const ABOUT: &str = "# Full load, measured

Written by `cargo x bench full-load`, case by case; run it to get the numbers of your machine, or `--case PART` to get those of some cases anew.

- Servers run on the same machine as the tools, with `fsync` and its like on, buffers of 1 to 2 GB and the binary log on. Data: TPC-H.
- Each number is the median of the rounds. In a round every contender has one turn, into an emptied target, and every row is counted afterwards. The ratio is the median \
of the ratios to the floor of the same round. A tool that takes more than two and a half times as long as the floor has one turn only. Only numbers of one table compare: \
neighbours on the machine move the same item by up to half from one hour to the next.
- The floor is the engines' own clients in a pipe, see `xtask/src/bench/floors.rs`. Processor time and memory are those of the tool, without the servers; memory is that of its \
largest process.
";

/// What stands before the name of a case.
const HEADING: &str = "\n## ";

/// The document with the section of one case made anew, and those of the others as they were, in the order of `cases`.
pub(crate) fn updated(before: &str, cases: &[&str], outcome: &Outcome, measured: &str) -> String {
    let name_of = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let known: HashMap<String, &str> = before
        .split(HEADING)
        .skip(1)
        .map(|section| (name_of(section), section.trim_end()))
        .collect();
    let mut text = ABOUT.to_owned();
    for case in cases {
        if *case == outcome.case.name {
            text.push('\n');
            text.push_str(&section(outcome, measured));
        } else if let Some(section) = known.get(*case) {
            text.push_str(HEADING);
            text.push_str(section);
            text.push('\n');
        }
    }
    text
}

/// When, where and how a case was measured.
pub(crate) fn circumstances(rounds: usize, scale: f64, versions: &[(Engine, String)]) -> String {
    let versions: Vec<String> = versions
        .iter()
        .map(|(engine, version)| format!("{} {version}", engine.scheme()))
        .collect();
    format!(
        "Measured on {} in {rounds} rounds at scale {scale}: {}; {}",
        machine::date(),
        versions.join(", "),
        machine::description(),
    )
}

/// The table of one case.
pub(crate) fn section(outcome: &Outcome, measured: &str) -> String {
    let case = &outcome.case;
    let keys = if case.keys {
        "with primary keys"
    } else {
        "without keys"
    };
    let rows = thousands(outcome.row_count);
    let mut text = format!(
        "## {}\n\n{rows} rows, {keys}. {measured}.\n\n\
         | tool | wall, s | of the floor | processor, s | µs a row | peak, MB | rounds, s |\n\
         |---|---:|---:|---:|---:|---:|---|\n",
        case.name
    );
    let floor = outcome
        .scores
        .iter()
        .find(|score| score.contender == Contender::Floor);
    for score in &outcome.scores {
        text.push_str(&row(score, floor, outcome.row_count));
    }
    text
}

/// Writes the document, in a folder made if missing.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context("make the folder of the results")?;
    }
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// The line of a tool's words that tells most: the first of an error, or the last that is no prompt.
fn cause(failure: &str) -> String {
    let lines = || {
        failure
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let is_error = |line: &&str| {
        let line = line.to_lowercase();
        ["error", "fatal"].iter().any(|word| line.contains(word))
    };
    let last = || lines().rfind(|line| !line.ends_with('>'));
    let line = lines().find(is_error).or_else(last).unwrap_or_default();
    line.replace('|', "\\|")
}

fn row(score: &Score, floor: Option<&Score>, row_count: u64) -> String {
    let name = format!("{:?}", score.contender).to_lowercase();
    if let Some(failure) = &score.failure {
        return format!("| {name} | failed: {} | | | | | |\n", cause(failure));
    }
    let of = |value: fn(&Usage) -> f64| median(score.usages.iter().map(value).collect());
    let cpu_s = of(|usage| usage.cpu_s);
    let ratio = floor.and_then(|floor| ratio(score, floor));
    let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    let rounds: Vec<String> = score
        .usages
        .iter()
        .map(|usage| format!("{:.1}", usage.wall_s))
        .collect();
    format!(
        "| {name} | {:.1} | {ratio} | {cpu_s:.1} | {:.2} | {:.0} | {} |\n",
        of(|usage| usage.wall_s),
        cpu_s * 1e6 / as_f64(row_count),
        of(|usage| usage.peak_mb),
        rounds.join(" "),
    )
}

/// The median of the ratios of turns in the same round.
fn ratio(score: &Score, floor: &Score) -> Option<f64> {
    let pairs = score.usages.iter().zip(&floor.usages);
    let ratios: Vec<f64> = pairs
        .map(|(own, floor)| own.wall_s / floor.wall_s)
        .collect();
    (!ratios.is_empty()).then(|| median(ratios))
}

/// The middle value, or the mean of the two in the middle; zero of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Counts of rows are far below what a double holds exactly.
pub(crate) fn as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::full_load::Case;

    fn score(contender: Contender, walls_s: &[f64]) -> Score {
        let usage = |wall_s: &f64| Usage {
            wall_s: *wall_s,
            cpu_s: 1.0,
            peak_mb: 10.0,
        };
        Score {
            contender,
            usages: walls_s.iter().map(usage).collect(),
            failure: None,
        }
    }

    fn outcome(name: &'static str, wall_s: f64) -> Outcome {
        Outcome {
            case: Case {
                name,
                source: Engine::Postgres15,
                target: Engine::Postgres15,
                tables: Vec::new(),
                keys: false,
            },
            row_count: 1_000_000,
            scores: vec![score(Contender::Floor, &[wall_s])],
        }
    }

    #[test]
    fn a_case_that_is_measured_anew_leaves_the_others_as_they_were() {
        let cases = ["one", "two", "three"];
        let of = |before: &str, name, wall_s| {
            updated(before, &cases, &outcome(name, wall_s), "Measured today")
        };
        let first = of("", "three", 3.0);
        let second = of(&first, "one", 1.0);
        let third = of(&second, "three", 4.0);
        let shown = |text: &str| -> Vec<String> {
            let lines = text.lines();
            let lines = lines.filter(|line| line.starts_with("## ") || line.starts_with("| floor"));
            lines.map(|line| line.chars().take(13).collect()).collect()
        };
        assert_eq!(shown(&first), ["## three", "| floor | 3.0"]);
        assert_eq!(
            shown(&third),
            ["## one", "| floor | 1.0", "## three", "| floor | 4.0"]
        );
        // What is written again is the same to the last character.
        assert_eq!(of(&third, "three", 4.0), third);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let floor = score(Contender::Floor, &[10.0, 20.0, 10.0]);
        let slow = score(Contender::Sling, &[20.0, 40.0, 30.0]);
        assert!((ratio(&slow, &floor).unwrap() - 2.0).abs() < 1e-9);
        let row = row(&slow, Some(&floor), 1_000_000);
        assert_eq!(
            row,
            "| sling | 30.0 | 2.00 | 1.0 | 1.00 | 10 | 20.0 40.0 30.0 |\n"
        );
    }

    #[test]
    fn failure_shows_its_last_line_and_no_numbers() {
        let mut failed = score(Contender::Pgloader, &[]);
        failed.failure = Some("trying\nno | login".to_owned());
        assert_eq!(
            row(&failed, None, 1),
            "| pgloader | failed: no \\| login | | | | | |\n"
        );
    }

    #[test]
    fn median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).abs() < 1e-9);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(thousands(8_661_245), "8,661,245");
        assert_eq!(thousands(25), "25");
    }
}
