//! Two tasks that would write into one table.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::memory::{Cell, Faults, MemoryChange};
use whimbrel_engine::{
    CdcOutcome, CdcSpec, CdcStart, FullLoadSpec, Progress, RunError, TableState, forget_cdc,
    run_cdc, run_full_load,
};

use crate::cdc::{caught_up, cdc, follow, pair};
use crate::support::{Pair, connector, name, table};

const OTHER: &str = "another task";

fn other() -> CdcSpec {
    let spec = cdc();
    CdcSpec {
        load: FullLoadSpec {
            task: OTHER.to_owned(),
            ..spec.load.clone()
        },
        ..spec
    }
}

async fn begun(pair: &Pair, spec: &CdcSpec) -> Result<CdcOutcome, RunError> {
    follow(pair, spec, &Faults::none(), async |_| {}).await
}

fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, RunError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, RunError::FedByAnother { .. }), "{error:?}");
    let text = error.to_string();
    for word in [
        "task another task would",
        "shop.empty",
        "which task task feeds",
        "3 more",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_a_task_feeds_takes_no_other_before_that_is_forgotten() {
    let pair = pair();
    begun(&pair, &cdc()).await.unwrap();
    let rows = pair.target.rows(&name("orders"));
    // It is stopped, and still has its tables.
    assert_refused(begun(&pair, &other()).await);
    let (source, target) = (
        connector(&pair.source, &Faults::none()),
        connector(&pair.target, &Faults::none()),
    );
    let (progress, stop) = (Arc::new(Progress::new()), CancellationToken::new());
    assert_refused(run_full_load(&source, &target, &other().load, &progress, &stop).await);
    assert_eq!(pair.target.rows(&name("orders")), rows);
    assert_eq!(pair.source.confirmed(OTHER), None, "no log is kept for it");

    let resumed = CdcSpec {
        start: CdcStart::Resume,
        ..cdc()
    };
    begun(&pair, &resumed).await.unwrap();
    forget_cdc(&source, &target, "task").await.unwrap();
    begun(&pair, &other()).await.unwrap();
    forget_cdc(&source, &target, OTHER).await.unwrap();
    assert!(pair.target.has_no_records());
}

#[tokio::test(start_paused = true)]
async fn a_new_table_that_another_task_feeds_is_in_error_and_the_others_go_on() {
    let pair = pair();
    let elsewhere = Pair::new();
    elsewhere.source.put(table("late", 3));
    for there in ["orders", "items", "empty"] {
        elsewhere.source.drop_table(&name(there));
    }
    let theirs = Pair {
        source: elsewhere.source,
        target: pair.target.clone(),
    };
    begun(&theirs, &other()).await.unwrap();
    let (source, target) = (
        connector(&pair.source, &Faults::none()),
        connector(&pair.target, &Faults::none()),
    );
    let (progress, stop) = (Arc::new(Progress::new()), CancellationToken::new());
    let spec = cdc();
    let run = run_cdc(&source, &target, &spec, &progress, &stop);
    let work = async {
        caught_up(&pair, &progress).await;
        pair.source
            .transact(vec![MemoryChange::Create(Box::new(table("late", 0).table))]);
        let late = || progress.snapshot().tables.get(&name("late")).cloned();
        while late().is_none_or(|late| late.state != TableState::Error) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let message = late().unwrap().message.unwrap();
        assert!(
            message.contains("task another task feeds shop.late"),
            "{message}"
        );
        pair.source.transact(vec![MemoryChange::Insert(
            name("orders"),
            vec![Cell::Int(1000), Cell::Null],
        )]);
        caught_up(&pair, &progress).await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(run, work);
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(
        pair.target.rows(&name("orders")),
        pair.source.rows(&name("orders"))
    );
    assert_eq!(pair.target.rows(&name("late")).unwrap().len(), 3);

    // Going on is not refused for it: it stays in error, and the others go on.
    let resumed = CdcSpec {
        start: CdcStart::Resume,
        ..cdc()
    };
    let outcome = follow(&pair, &resumed, &Faults::none(), async |progress| {
        pair.source.transact(vec![MemoryChange::Insert(
            name("orders"),
            vec![Cell::Int(1001), Cell::Null],
        )]);
        caught_up(&pair, progress).await;
        let late = progress.snapshot().tables[&name("late")].clone();
        assert_eq!(late.state, TableState::Error);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(
        pair.target.rows(&name("orders")),
        pair.source.rows(&name("orders"))
    );
    assert_eq!(pair.target.rows(&name("late")).unwrap().len(), 3);
}
