use std::time::Duration;

use crate::{Progress, TableState};

/// How often and how long apart a run is tried again after a fault of the environment.
///
/// The waits double from `wait_first` up to `wait_max`. A run that got further than ever before begins to count anew: the databases work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first; 0 means none.
    pub retries_max: u32,
    /// Wait before the first retry.
    pub wait_first: Duration,
    /// Longest wait.
    pub wait_max: Duration,
}

impl RetryPolicy {
    /// The wait before retry `number`, from 1.
    pub fn wait(&self, number: u32) -> Duration {
        let factor = 1_u32
            .checked_shl(number.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.wait_first.saturating_mul(factor).min(self.wait_max)
    }
}

/// How far a load ever got. What is loaded only to be dropped by the next attempt takes a run nowhere: a full disk that each attempt fills
/// again would otherwise be met for ever.
#[derive(Debug, Default)]
pub(crate) struct Headway {
    completed_max: usize,
    chunks_max: u64,
}

impl Headway {
    /// Whether more is done than ever before: tables, or chunks where the next attempt goes on with those of this one.
    pub(crate) fn grew(&mut self, progress: &Progress, keeps_chunks: bool) -> bool {
        let snapshot = progress.snapshot();
        let completed = snapshot.count(TableState::Completed);
        let chunks = if keeps_chunks {
            snapshot.chunks_done()
        } else {
            0
        };
        let grew = completed > self.completed_max || chunks > self.chunks_max;
        self.completed_max = self.completed_max.max(completed);
        self.chunks_max = self.chunks_max.max(chunks);
        grew
    }
}

impl Default for RetryPolicy {
    /// The API's defaults for a running task: nine tries, 5 s first, doubling, 1800 s at most.
    fn default() -> Self {
        Self {
            retries_max: 9,
            wait_first: Duration::from_secs(5),
            wait_max: Duration::from_mins(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound() {
        let policy = RetryPolicy::default();
        let seconds: Vec<u64> = [1, 2, 3, 9, 10, 40]
            .map(|n| policy.wait(n).as_secs())
            .to_vec();
        assert_eq!(seconds, [5, 10, 20, 1280, 1800, 1800]);
    }
}
