//! Ctrl-C and SIGTERM: the first stops cleanly, the second ends at once.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};
use crate::logging::Screen;

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
        screen.print(notice);
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
