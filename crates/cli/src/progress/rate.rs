//! How fast rows come in.

use std::collections::VecDeque;
use std::time::Duration;

/// Long enough to smooth the blocks, short enough to show that something stalls.
const WINDOW: Duration = Duration::from_secs(5);

/// Rows and bytes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Speed {
    /// Rows in a second.
    pub(crate) rows: f64,
    /// Bytes in a second.
    pub(crate) bytes: f64,
}

impl Speed {
    /// The time for that many rows at this speed; `None` where there is no telling.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(crate) fn time_for(self, row_count: u64) -> Option<Duration> {
        if row_count == 0 || self.rows < 1.0 {
            return None;
        }
        Duration::try_from_secs_f64(row_count as f64 / self.rows).ok()
    }
}

/// Measures the speed over the last few seconds.
///
/// Counts may shrink, when a chunk is rolled back or the run starts again: then the measurement starts again too.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    samples: VecDeque<(Duration, u64, u64)>,
}

impl Meter {
    /// Takes a measurement.
    pub(crate) fn add(&mut self, now: Duration, row_count: u64, byte_count: u64) {
        if let Some(&(_, rows, bytes)) = self.samples.back()
            && (row_count < rows || byte_count < bytes)
        {
            self.samples.clear();
        }
        self.samples.push_back((now, row_count, byte_count));
        while self
            .samples
            .get(1)
            .is_some_and(|&(time, ..)| now.saturating_sub(time) >= WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// The speed over the window.
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub(crate) fn speed(&self) -> Speed {
        let (Some(&(from, rows_from, bytes_from)), Some(&(to, rows_to, bytes_to))) =
            (self.samples.front(), self.samples.back())
        else {
            return Speed::default();
        };
        let seconds = to.saturating_sub(from).as_secs_f64();
        if seconds <= 0.0 {
            return Speed::default();
        }
        Speed {
            rows: (rows_to - rows_from) as f64 / seconds,
            bytes: (bytes_to - bytes_from) as f64 / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        assert_eq!(meter.speed(), Speed::default());
        for second in 0..20 {
            let rows = if second < 10 {
                second * 1000
            } else {
                10_000 + (second - 10) * 10
            };
            meter.add(Duration::from_secs(second), rows, rows * 2);
        }
        let speed = meter.speed();
        assert!((speed.rows - 10.0).abs() < 0.01, "{speed:?}");
        assert!((speed.bytes - 20.0).abs() < 0.01, "{speed:?}");
        assert_eq!(speed.time_for(100), Some(Duration::from_secs(10)));
        assert_eq!(speed.time_for(0), None);
    }

    #[test]
    fn counts_that_shrink_start_the_measurement_again() {
        let mut meter = Meter::default();
        meter.add(Duration::from_secs(1), 5000, 5000);
        meter.add(Duration::from_secs(2), 100, 100);
        assert_eq!(meter.speed(), Speed::default());
        meter.add(Duration::from_secs(3), 200, 300);
        assert_eq!(
            meter.speed(),
            Speed {
                rows: 100.0,
                bytes: 200.0
            }
        );
    }
}
