//! A migration's run: the load alone, or the load and the changes since.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::{ApplySettings, Connector};
use whimbrel_engine::{
    CdcEnd, CdcOutcome, CdcSpec, CdcStart, FullLoadSpec, LoadOutcome, Progress, RunError, run_cdc,
    run_full_load,
};

use crate::args::MigrateArgs;

/// What follows the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing.
    LoadOnly,
    /// Changes.
    Follow { start: CdcStart, end: CdcEnd },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It came to its end.
    Done,
    /// Interrupted while loading.
    Stopped,
    /// Interrupted while following. `is_its_end`: it has no other; otherwise changes are missing that were asked for.
    FollowingStopped { is_its_end: bool },
}

impl Mode {
    pub(super) fn of(args: &MigrateArgs) -> Self {
        if !args.follows() {
            return Self::LoadOnly;
        }
        Self::Follow {
            start: if args.resume {
                CdcStart::Resume
            } else {
                CdcStart::Fresh { from: None }
            },
            end: if args.until_caught_up {
                CdcEnd::AfterCachedChanges
            } else {
                CdcEnd::Never
            },
        }
    }
}

/// Runs it.
pub(super) async fn run(
    source: &Arc<dyn Connector>,
    target: &Arc<dyn Connector>,
    load: FullLoadSpec,
    mode: Mode,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Outcome, RunError> {
    let (start, end) = match mode {
        Mode::LoadOnly => {
            let outcome = run_full_load(source, target, &load, progress, stop).await?;
            return Ok(match outcome {
                LoadOutcome::Finished { .. } => Outcome::Done,
                LoadOutcome::Stopped => Outcome::Stopped,
            });
        }
        Mode::Follow { start, end } => (start, end),
    };
    let is_its_end = end == CdcEnd::Never;
    let spec = CdcSpec {
        start,
        end,
        apply: ApplySettings {
            // With what else the command keeps there, out of the user's own schemas.
            control_schema: Some("awsdms_control".to_owned()),
            put_aside: load.objects.clone(),
            ..ApplySettings::default()
        },
        ..CdcSpec::new(load)
    };
    let outcome = run_cdc(source, target, &spec, progress, stop).await?;
    let snapshot = progress.snapshot();
    Ok(match outcome {
        CdcOutcome::Stopped if snapshot.follow.is_some() => {
            Outcome::FollowingStopped { is_its_end }
        }
        CdcOutcome::Stopped => Outcome::Stopped,
        CdcOutcome::Loaded
        | CdcOutcome::CaughtUp
        | CdcOutcome::CommitTime
        | CdcOutcome::ServerTime => Outcome::Done,
    })
}
