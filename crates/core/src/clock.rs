//! The system's clock, asked in this one place: what needs a time that a test chooses takes it as an argument, all else asks here.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day, which may jump; how long something took is told by [`std::time::Instant`].
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Microseconds since 1970, UTC; 0 where the clock stands before that.
pub fn now_us() -> i64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
