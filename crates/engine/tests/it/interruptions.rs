//! What ends a load before its time: stops, errors, and what waits for ever at either end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::KeyNotRestored;
use whimbrel_connector::memory::{Call, Faults, When};
use whimbrel_core::objects::ObjectKind;
use whimbrel_engine::{
    CdcEnd, CdcOutcome, CdcSpec, CdcStart, FullLoadSpec, LoadOutcome, Progress, RetryPolicy,
    RunError, run_cdc,
};

use crate::cdc;
use crate::support::{Pair, connector, resumed, spec};

const FINISHED: LoadOutcome = LoadOutcome::Finished { tables_errored: 0 };

/// By the clock of the test, which stands still while anybody works.
const NEVER: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_what_others_have_locked() {
    for call in [
        Call::Tables,
        Call::Claim,
        Call::Clear,
        Call::Snapshot,
        Call::Prepare,
        // Whether anything is lost, at the end.
        Call::LoadRecords,
    ] {
        let (pair, stop) = (Pair::new(), CancellationToken::new());
        let stops = stop.clone();
        let faults = Faults::none().and_hung(call, 1, move || stops.cancel());
        let spec = spec();
        let progress = Arc::default();
        let run = pair.run_until(&spec, &faults, &progress, &stop);
        let ended = tokio::time::timeout(NEVER, run).await;
        let outcome = ended.unwrap_or_else(|_| panic!("{call:?}: it waits for ever"));
        assert_eq!(outcome.unwrap(), LoadOutcome::Stopped, "{call:?}");
        let resumed = pair.run(&resumed(&spec), &Faults::none(), &progress).await;
        assert_eq!(resumed.unwrap(), FINISHED, "{call:?}");
        pair.assert_equal();
    }
}

/// Everything is loaded then, and the record that stays is in nobody's way.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_the_record_to_be_removed() {
    let (pair, stop) = (Pair::new(), CancellationToken::new());
    let stops = stop.clone();
    let faults = Faults::none().and_hung(Call::Forget, 1, move || stops.cancel());
    let (spec, progress) = (spec(), Arc::default());
    let run = pair.run_until(&spec, &faults, &progress, &stop);
    let ended = tokio::time::timeout(NEVER, run).await;
    assert_eq!(ended.expect("it waits for ever").unwrap(), FINISHED);
    assert!(stop.is_cancelled());
    pair.assert_equal();
}

/// A foreign key that cannot be made again before the source's objects are made.
fn refused_key() -> Vec<KeyNotRestored> {
    vec![KeyNotRestored {
        is_failure: false,
        kind: ObjectKind::ForeignKey,
        name: "s.t.key".to_owned(),
        reason: "as planned".to_owned(),
    }]
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_foreign_keys_that_come_back() {
    for nth in [1, 2] {
        let (pair, stop) = (Pair::new(), CancellationToken::new());
        pair.target.refuse_keys(refused_key());
        let stops = stop.clone();
        let faults = Faults::none().and_hung(Call::RestoreKeys, nth, move || stops.cancel());
        let (spec, progress) = (spec(), Arc::default());
        let run = pair.run_until(&spec, &faults, &progress, &stop);
        let ended = tokio::time::timeout(NEVER, run).await;
        let outcome = ended.unwrap_or_else(|_| panic!("{nth}: it waits for ever"));
        assert_eq!(outcome.unwrap(), LoadOutcome::Stopped, "{nth}");
        assert!(stop.is_cancelled(), "{nth}: it is not asked for");
        pair.target.refuse_keys(Vec::new());
        let resumed = pair.run(&resumed(&spec), &Faults::none(), &progress).await;
        assert_eq!(resumed.unwrap(), FINISHED, "{nth}");
        pair.assert_equal();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_a_task_that_follows_does_not_wait_for_foreign_keys_either() {
    for nth in [1, 2] {
        let (pair, stop) = (cdc::pair(), CancellationToken::new());
        pair.target.refuse_keys(refused_key());
        let stops = stop.clone();
        let faults = Faults::none().and_hung(Call::RestoreKeys, nth, move || stops.cancel());
        let spec = CdcSpec {
            end: CdcEnd::AfterCachedChanges,
            ..cdc::cdc()
        };
        let outcome = followed(&pair, &spec, &faults, &stop).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{nth}");
        assert_eq!(faults.count(Call::RestoreKeys), nth - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_target_that_is_away() {
    let (pair, stop) = (Pair::new(), CancellationToken::new());
    let faults = Faults::at(Call::Commit, 3, When::Before, 1000);
    let retry = RetryPolicy::default();
    let (spec, progress) = (FullLoadSpec { retry, ..spec() }, Arc::new(Progress::new()));
    let stops = async {
        while progress.snapshot().interruption.is_none() {
            progress.changed().await;
        }
        stop.cancel();
        tokio::time::Instant::now()
    };
    let run = pair.run_until(&spec, &faults, &progress, &stop);
    let (outcome, stopped_at) = tokio::join!(run, stops);
    assert_eq!(outcome.unwrap(), LoadOutcome::Stopped);
    assert!(stopped_at.elapsed() < retry.wait_first);
    let resumed = pair.run(&resumed(&spec), &Faults::none(), &progress).await;
    assert_eq!(resumed.unwrap(), FINISHED);
    pair.assert_equal();
}

#[tokio::test(start_paused = true)]
async fn an_error_does_not_wait_for_what_others_have_locked() {
    let pair = Pair::new();
    let faults = Faults::at(Call::Commit, 1, When::Before, 100).and_hung(Call::Prepare, 3, || {});
    let spec = spec();
    let progress = Arc::default();
    let run = pair.run(&spec, &faults, &progress);
    let ended = tokio::time::timeout(NEVER, run).await;
    let error = ended.expect("it does not wait for ever").unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// The queue is full, and nobody is left to empty it.
#[tokio::test(start_paused = true)]
async fn a_load_whose_subtasks_end_abnormally_ends() {
    let pair = Pair::new();
    let faults = Faults::meanwhile(Call::Begin, 1, || panic!("as planned"));
    let spec = FullLoadSpec {
        subtask_count: 1,
        // Each row a chunk: more than wait at once.
        chunk_bytes: 1,
        ..spec()
    };
    let progress = Arc::default();
    let run = pair.run(&spec, &faults, &progress);
    let ended = tokio::time::timeout(NEVER, run).await;
    let error = ended.expect("it does not wait for ever").unwrap_err();
    assert!(error.to_string().contains("ended abnormally"), "{error}");
}

#[tokio::test]
async fn an_error_at_the_moment_of_a_stop_is_told() {
    let (pair, stop) = (Pair::new(), CancellationToken::new());
    let (stops, target) = (stop.clone(), pair.target.clone());
    let faults = Faults::meanwhile(Call::Commit, 4, move || {
        target.take_over("task");
        stops.cancel();
    });
    let ended = pair
        .run_until(&spec(), &faults, &Arc::default(), &stop)
        .await;
    let error = ended.unwrap_err();
    assert!(matches!(error, RunError::Target(_)), "{error}");
    assert!(error.to_string().contains("taken over"), "{error}");
}

/// A lost connection is no more than what a resume goes on after.
#[tokio::test]
async fn a_lost_connection_at_the_moment_of_a_stop_is_a_stop() {
    let (pair, stop) = (Pair::new(), CancellationToken::new());
    let stops = stop.clone();
    let faults = Faults::meanwhile(Call::Tables, 1, move || stops.cancel());
    let faults = faults.and_lost(Call::Tables, 1);
    let ended = pair
        .run_until(&spec(), &faults, &Arc::default(), &stop)
        .await;
    assert_eq!(ended.unwrap(), LoadOutcome::Stopped);
}

/// A chunk whose commit was not answered is asked for on a new connection.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_connection() {
    let mut hung = 0;
    for nth in 1..30 {
        let (pair, stop) = (Pair::new(), CancellationToken::new());
        let stops = stop.clone();
        let faults = Faults::at(Call::Commit, 2, When::After, 1);
        let faults = faults.and_hung(Call::Connect, nth, move || stops.cancel());
        let progress = Arc::default();
        let spec = spec();
        let run = pair.run_until(&spec, &faults, &progress, &stop);
        let ended = tokio::time::timeout(NEVER, run).await;
        let outcome = ended.unwrap_or_else(|_| panic!("{nth}: it waits for ever"));
        if stop.is_cancelled() {
            hung += 1;
            assert_eq!(outcome.unwrap(), LoadOutcome::Stopped, "{nth}");
        } else {
            assert_eq!(outcome.unwrap(), FINISHED, "{nth}");
        }
    }
    assert!(hung >= 4, "{hung}");
}

/// Runs a task that follows its source until it ends, within seconds of its stop by the clock of the test. At the latest it is stopped once
/// it has caught up.
async fn followed(
    pair: &Pair,
    spec: &CdcSpec,
    faults: &Faults,
    stop: &CancellationToken,
) -> Result<CdcOutcome, RunError> {
    const SECONDS: Duration = Duration::from_secs(10);
    let progress = Arc::new(Progress::new());
    let source = connector(&pair.source, faults);
    let target = connector(&pair.target, faults);
    let run = run_cdc(&source, &target, spec, &progress, stop);
    let stops = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = cdc::caught_up(pair, &progress) => stop.cancel(),
        }
        tokio::time::sleep(SECONDS).await;
    };
    tokio::select! {
        ended = run => ended,
        () = stops => panic!("it does not end within seconds: {faults:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_a_task_that_follows_waits_for_nothing_either() {
    let calls = [
        (Call::Tables, 2),
        (Call::Claim, 1),
        (Call::Clear, 1),
        (Call::LogPrepare, 2),
        (Call::LogOpen, 1),
        (Call::ApplyCommit, 2),
        (Call::Connect, 3),
    ];
    let calls = calls
        .into_iter()
        .flat_map(|(call, last)| (1..=last).map(move |nth| (call, nth)));
    for (call, nth) in calls {
        let (pair, stop) = (cdc::pair(), CancellationToken::new());
        let (stops, is_hung) = (stop.clone(), Arc::new(AtomicBool::new(false)));
        let hangs = Arc::clone(&is_hung);
        let faults = Faults::none().and_hung(call, nth, move || {
            hangs.store(true, Ordering::Relaxed);
            stops.cancel();
        });
        let outcome = followed(&pair, &cdc::cdc(), &faults, &stop).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{call:?} {nth}");
        assert!(
            is_hung.load(Ordering::Relaxed),
            "{call:?} {nth} is not made"
        );
        let resumed = CdcSpec {
            start: CdcStart::Resume,
            ..cdc::cdc()
        };
        let none = Faults::none();
        let outcome = match cdc::follow(&pair, &resumed, &none, async |_| {}).await {
            Err(RunError::NothingToResume) => {
                cdc::follow(&pair, &cdc::cdc(), &none, async |_| {}).await
            }
            other => other,
        };
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{call:?} {nth}");
        cdc::assert_equal(&pair, &format!("{call:?} {nth}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_at_the_moment_of_a_stop_is_told_of_a_task_that_follows() {
    for nth in [1, 2] {
        let (pair, stop) = (cdc::pair(), CancellationToken::new());
        let (stops, target) = (stop.clone(), pair.target.clone());
        let faults = Faults::meanwhile(Call::ApplyCommit, nth, move || {
            target.take_over("task");
            stops.cancel();
        });
        let error = followed(&pair, &cdc::cdc(), &faults, &stop).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("taken over"), "{nth}: {error}");
    }
    let (pair, stop) = (cdc::pair(), CancellationToken::new());
    let stops = stop.clone();
    let faults = Faults::meanwhile(Call::LogOpen, 1, move || stops.cancel());
    let faults = faults.and_lost(Call::LogOpen, 1);
    let ended = followed(&pair, &cdc::cdc(), &faults, &stop).await;
    assert_eq!(ended.unwrap(), CdcOutcome::Stopped);
}

/// What was claimed before the run began is no more than any other claim: whoever took the task since keeps it.
#[tokio::test]
async fn a_run_does_not_take_from_others_what_its_caller_had_claimed() {
    let pair = Pair::new();
    let mut target = connector(&pair.target, &Faults::none())
        .target()
        .await
        .unwrap();
    let held = Some(target.claim("task").await.unwrap());
    pair.target.take_over("task");
    let spec = FullLoadSpec { held, ..spec() };
    let ended = pair.run(&spec, &Faults::none(), &Arc::default()).await;
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("taken over"), "{error}");
    let held = Some(target.claim("task").await.unwrap());
    let spec = FullLoadSpec { held, ..spec };
    let ended = pair.run(&spec, &Faults::none(), &Arc::default()).await;
    assert_eq!(ended.unwrap(), FINISHED);
}
