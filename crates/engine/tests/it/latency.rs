//! How far a run says that it is behind.

use std::time::Duration;

use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange};
use whimbrel_engine::{CdcOutcome, CdcSpec, FollowProgress, Progress};

use crate::cdc::{caught_up, cdc, follow, pair};
use crate::rules::{filter, mappings, spec};
use crate::support::name;

/// Waits until the run says so.
async fn until(progress: &Progress, what: &str, is_so: impl Fn(&FollowProgress) -> bool) {
    for _ in 0..20_000 {
        if progress.snapshot().follow.is_some_and(|cdc| is_so(&cdc)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never {what}: {:?}", progress.snapshot().follow);
}

fn inserts(ids: std::ops::Range<i64>) -> Vec<MemoryChange> {
    let insert = |id| MemoryChange::Insert(name("items"), vec![Cell::Int(id), Cell::Null]);
    ids.map(insert).collect()
}

/// A transaction of which a part has come and no more does. The target gets that part at once, or waits for the rest.
#[tokio::test(start_paused = true)]
async fn a_transaction_in_pieces_counts_from_its_commit_on_and_nobody_is_caught_up() {
    for changes_max in [1, 1000] {
        let pair = pair();
        let spec = CdcSpec {
            batch_changes_max: changes_max,
            ..cdc()
        };
        let faults = Faults::none();
        let outcome = follow(&pair, &spec, &faults, async |progress| {
            caught_up(&pair, progress).await;
            until(progress, "caught up", |cdc| cdc.is_caught_up).await;
            let applied = faults.count(Call::Apply);
            pair.source.tell_in_pieces(3, 2);
            pair.source.transact(inserts(1000..1020));
            until(progress, "reading", |cdc| cdc.reading_us.is_some()).await;
            if changes_max == 1 {
                // The pieces that came are at the target, and nothing but the transaction's end is waited for.
                for _ in 0..100 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                assert!(faults.count(Call::Apply) > applied);
            }
            let behind = progress.snapshot().follow.unwrap();
            assert!(!behind.is_caught_up, "{behind:?}");
            assert_eq!(behind.oldest_waiting_us, behind.reading_us);
            let long_ago = FollowProgress {
                oldest_waiting_us: behind.oldest_waiting_us.map(|at| at - 7_000_000),
                reading_us: behind.reading_us.map(|at| at - 7_000_000),
                ..behind
            };
            assert!(long_ago.source_latency_now_ms() >= 7000);
            assert!(long_ago.target_latency_now_ms() >= 7000);
            pair.source.tell_in_pieces(3, usize::MAX);
            caught_up(&pair, progress).await;
            until(progress, "caught up", |cdc| cdc.is_caught_up).await;
            let done = progress.snapshot().follow.unwrap();
            assert_eq!((done.oldest_waiting_us, done.reading_us), (None, None));
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let items = name("items");
        assert_eq!(pair.target.rows(&items), pair.source.rows(&items));
    }
}

/// What was received whole waits as long as the target has not committed it, though the log's end is reached.
#[tokio::test(start_paused = true)]
async fn a_run_is_not_caught_up_before_the_target_has_what_was_received() {
    let pair = pair();
    let gathering = CdcSpec {
        batch_wait: Some(Duration::from_mins(1)),
        ..cdc()
    };
    let outcome = follow(&pair, &gathering, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        until(progress, "caught up", |cdc| cdc.is_caught_up).await;
        let received = progress.snapshot().follow.unwrap().received_at_us;
        pair.source.transact(inserts(1000..1001));
        until(progress, "received", |cdc| cdc.received_at_us != received).await;
        let waiting = progress.snapshot().follow.unwrap();
        assert_eq!(waiting.waiting_count, 1);
        assert!(!waiting.is_caught_up, "{waiting:?}");
        until(progress, "caught up", |cdc| cdc.is_caught_up).await;
        let items = name("items");
        assert_eq!(pair.target.rows(&items), pair.source.rows(&items));
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_leaves_out_waits_for_nobody() {
    let pair = pair();
    let few = filter(
        2,
        "items",
        "id",
        r#"{"filter-operator":"lte","value":"500"}"#,
    );
    let filtered = spec(&mappings(&[few]));
    let outcome = follow(&pair, &filtered, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        until(progress, "caught up", |cdc| cdc.is_caught_up).await;
        let before = progress.snapshot().follow.unwrap();
        pair.source.transact(inserts(1000..1003));
        until(progress, "received", |cdc| {
            cdc.received_at_us != before.received_at_us
        })
        .await;
        let after = progress.snapshot().follow.unwrap();
        assert_eq!(after.oldest_waiting_us, None);
        assert_eq!(after.transaction_count, before.transaction_count);
        // While it is read, too.
        pair.source.tell_in_pieces(3, 2);
        pair.source.transact(inserts(2000..2020));
        until(progress, "reading", |cdc| cdc.reading_us.is_some()).await;
        let reading = progress.snapshot().follow.unwrap();
        assert_eq!(reading.oldest_waiting_us, None);
        assert!(!reading.is_caught_up);
        pair.source.tell_in_pieces(3, usize::MAX);
        until(progress, "caught up", |cdc| cdc.is_caught_up).await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
}
