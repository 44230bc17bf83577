//! What tests with random choices begin from.

use std::time::{SystemTime, UNIX_EPOCH};

/// Gives a seed in place of the clock, to repeat a test that failed.
pub const SEED_VARIABLE: &str = "WHIMBREL_SEED";

/// The seed of a continuous integration, which tells whether a change broke something: it must not fail by a choice that it makes for the
/// first time. Every other run chooses anew, and so do the rounds of `cargo x torture`.
const CI_SEED: u64 = 1_620_100_419;

/// The seed of this run, which is told on the standard error.
///
/// # Panics
/// When the environment gives one that is no number.
#[expect(
    clippy::disallowed_methods,
    reason = "any time will do, and this crate stands alone"
)]
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) if std::env::var_os("CI").is_some() => CI_SEED,
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default();
            now.as_secs() ^ u64::from(now.subsec_nanos())
        }
    };
    eprintln!("to repeat this: {SEED_VARIABLE}={seed}");
    seed
}
