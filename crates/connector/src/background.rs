//! Work that goes on beside what waits for it.

use std::future::Future;

pub use tokio_util::task::AbortOnDropHandle as Background;
use tracing::Instrument as _;

/// Starts `work`, which the log calls `name`. The answer waits for its end.
///
/// Dropped, the answer ends the work where that next waits: nothing goes on that nobody holds. A panic of the work is an error of the answer.
#[expect(
    clippy::disallowed_methods,
    reason = "all other places begin work through this one"
)]
pub fn in_background<F>(name: &'static str, work: F) -> Background<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let span = tracing::info_span!("work", name);
    Background::new(tokio::spawn(work.instrument(span)))
}
