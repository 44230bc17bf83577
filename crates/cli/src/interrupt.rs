//! Ctrl-C and SIGTERM: the first stops cleanly, the second ends at once.

use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};
use crate::logging::Screen;

/// How long the notice may take.
const NOTICE_TIME: Duration = Duration::from_millis(200);

/// Cancels the answer at the first signal, after printing `notice`.
pub(crate) fn watch(screen: &Screen, notice: &'static str) -> Result<CancellationToken, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("signals cannot be listened to: {error}"),
            )
        })
    };
    let mut interrupts = listen(SignalKind::interrupt())?;
    let mut terminations = listen(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let (token, screen) = (stop.clone(), screen.clone());
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the process")]
    tokio::spawn(async move {
        either(&mut interrupts, &mut terminations).await;
        // Whoever reads the standard error may have stopped, which must keep neither signal from being heard.
        let told = tokio::task::spawn_blocking(move || screen.print(notice));
        drop(tokio::time::timeout(NOTICE_TIME, told).await);
        token.cancel();
        either(&mut interrupts, &mut terminations).await;
        process::exit(i32::from(Exit::Interrupted.code()));
    });
    Ok(stop)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
