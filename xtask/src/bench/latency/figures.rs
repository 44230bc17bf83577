//! From notes to figures.

use std::time::{Duration, Instant};

use super::load::{Commit, Notes, Sight};

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// What one load showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// From the answer of the commit at the source to the first look that showed it at the target.
    pub(super) latency: Spread,
    /// From sending the statement to the answer of its commit, at the source.
    pub(super) commit: Spread,
    /// From one look at the target to the next.
    pub(super) looks: Spread,
    /// Transactions per second that the source reached.
    pub(super) rate: f64,
}

/// The figures of a load without its first `warm_up` transactions of each writer.
pub(super) fn figures(notes: &Notes, warm_up: usize) -> Figures {
    let counted: Vec<&[Commit]> = notes
        .commits
        .iter()
        .map(|commits| commits.get(warm_up..).unwrap_or_default())
        .collect();
    let mut latencies = Vec::new();
    for (writer, commits) in notes.commits.iter().enumerate() {
        let all = latencies_ms(commits, &notes.sights, writer, notes.first);
        latencies.extend(all.into_iter().skip(warm_up));
    }
    let every = || counted.iter().copied().flatten();
    let commits = every().map(|commit| ms(commit.done - commit.sent));
    let looks = notes.intervals.iter().copied().map(ms);
    Figures {
        latency: spread(latencies),
        commit: spread(commits.collect()),
        looks: spread(looks.collect()),
        rate: rate(every().map(|commit| commit.sent).collect()),
    }
}

/// From each commit of a writer to the first look that showed it; below zero where it was seen before its writer had
/// the answer. A commit that was never seen has no latency; the observer ends when it has seen all.
fn latencies_ms(commits: &[Commit], sights: &[Sight], writer: usize, first: u64) -> Vec<f64> {
    let mut sights = sights.iter().peekable();
    let mut latencies = Vec::new();
    for (number, commit) in (first..).zip(commits) {
        while sights
            .next_if(|sight| sight.numbers[writer] < number)
            .is_some()
        {}
        let Some(sight) = sights.peek() else {
            break;
        };
        let late = ms(sight.at.saturating_duration_since(commit.done));
        let early = ms(commit.done.saturating_duration_since(sight.at));
        latencies.push(late - early);
    }
    latencies
}

/// How many were sent in a second, from the first to the last.
fn rate(mut sent: Vec<Instant>) -> f64 {
    sent.sort();
    let (Some(first), Some(last)) = (sent.first(), sent.last()) else {
        return 0.0;
    };
    let count = crate::bench::report::as_f64(u64::try_from(sent.len() - 1).unwrap_or(0));
    count / (*last - *first).as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Each percentile is a value that was measured: the smallest that so many percent do not exceed.
fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100);
        values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    Spread {
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max: at(100),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_is_visible_at_the_first_look_that_shows_its_number_or_a_higher_one() {
        let zero = Instant::now() + Duration::from_secs(1);
        let after = |ms: u64| zero + Duration::from_millis(ms);
        let commit = |ms| Commit {
            sent: zero,
            done: after(ms),
        };
        let sight = |ms, numbers: &[u64]| Sight {
            at: after(ms),
            numbers: numbers.to_vec(),
        };
        let sights = [
            sight(0, &[0, 9]),
            sight(5, &[7, 9]),
            sight(8, &[7, 20]),
            sight(12, &[9, 20]),
        ];
        let commits = [commit(1), commit(6), commit(10), commit(11)];
        let latencies = latencies_ms(&commits, &sights, 0, 6);
        let rounded: Vec<f64> = latencies.iter().map(|latency| latency.round()).collect();
        assert_eq!(rounded, [4.0, -1.0, 2.0, 1.0]);
    }

    #[test]
    fn percentiles_are_measured_values() {
        let spread = spread((1..=200).rev().map(f64::from).collect());
        let expected = Spread {
            p50: 100.0,
            p90: 180.0,
            p99: 198.0,
            max: 200.0,
        };
        assert_eq!(spread, expected);
    }

    #[test]
    fn rate_counts_the_gaps() {
        let zero = Instant::now();
        let sent = (0..=4).map(|i| zero + Duration::from_millis(250 * i));
        assert!((rate(sent.collect()) - 4.0).abs() < 1e-9);
        assert!(rate(Vec::new()).abs() < 1e-9);
    }
}
