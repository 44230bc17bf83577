//! How near a source's log is to its limit. A log that is kept for a task fills the source's disk; one that is let go of loses its changes.

use async_trait::async_trait;
use whimbrel_core::Position;

use crate::Error;

/// What a source keeps of its log for one task, measured against what it keeps at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLog {
    /// In percent of the most that is kept. At 100 the log may be gone at any moment.
    pub percent: u8,
    /// What is kept, why, and what becomes of it.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Looks at the log of one task, beside everything else that the task does: each look may make connections of its own, and one that fails
/// changes nothing.
#[async_trait]
pub trait LogWatch: Send {
    /// What is kept now; `None` where nothing is at stake. `needed_from`: the task needs the log from this position on.
    ///
    /// # Errors
    /// Whatever keeps the source from answering. The next look is not concerned.
    ///
    /// # Cancel safety
    /// A look that is dropped leaves nothing behind.
    async fn look(&mut self, needed_from: &Position) -> Result<Option<KeptLog>, Error>;
}

/// Log that a source keeps although nobody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadLog {
    /// What keeps it, and how much.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// So much of a whole, in percent; 100 of nothing.
pub fn percent(part: u64, whole: u64) -> u8 {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole));
    let percent = percent.map(|percent| percent.min(100));
    percent
        .and_then(|percent| u8::try_from(percent).ok())
        .unwrap_or(100)
}

/// A number of bytes in words: `1.5 GiB`.
pub fn size_in_words(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, "bytes");
    for larger in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        rest => format!("{}.{rest} {unit}", tenths / 10),
    }
}

/// A time in words, in the largest unit of which it has two: `36 h`.
pub fn time_in_words(seconds: u64) -> String {
    let units = [(86_400, "days"), (3600, "h"), (60, "min")];
    let fitting = units.iter().find(|(length, _)| seconds >= 2 * length);
    match fitting {
        Some((length, unit)) => format!("{} {unit}", seconds / length),
        None => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents_and_never_more_than_all() {
        let max = u64::MAX;
        for (part, whole, expected) in [(0, 9, 0), (1, 2, 50), (9, 3, 100), (0, 0, 100)] {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
        assert_eq!(percent(max - 1, max), 99);
    }

    #[test]
    fn sizes_and_times_have_units_that_fit() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (3 << 29, "1.5 GiB"),
            (5000 << 40, "5000 TiB"),
        ] {
            assert_eq!(size_in_words(bytes), expected);
        }
        for (seconds, expected) in [(119, "119 s"), (120, "2 min"), (172_800, "2 days")] {
            assert_eq!(time_in_words(seconds), expected);
        }
    }
}
