//! Two tasks that would write into one table.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::memory::{Cell, Faults, MemoryChange};
use whimbrel_connector::{Feeding, PrepareMode};
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

/// Tables of a source of their own, and our target.
fn theirs(pair: &Pair, tables: &[&str]) -> Pair {
    let source = whimbrel_connector::memory::MemoryDatabase::new();
    for name in tables {
        source.put(table(name, 3));
    }
    Pair {
        source,
        target: pair.target.clone(),
    }
}

fn renamed(pair: &Pair, from: &str, to: &str) -> MemoryChange {
    let table = whimbrel_core::Table {
        name: name(to),
        ..pair.source.get(&name(from)).unwrap().table
    };
    MemoryChange::Alter(name(from), Box::new(table))
}

#[tokio::test(start_paused = true)]
async fn a_table_that_gets_another_name_is_fed_under_that_one() {
    for defines_in_transaction in [false, true] {
        let mut pair = pair();
        if defines_in_transaction {
            pair.target = pair.target.defining_in_transactions();
        }
        let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            pair.source
                .transact(vec![renamed(&pair, "orders", "moved")]);
            caught_up(&pair, progress).await;
            let error = begun(&theirs(&pair, &["moved"]), &other()).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("shop.moved"), "{error}");
            // The name that it had is free.
            begun(&theirs(&pair, &["orders"]), &other()).await.unwrap();
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let moved = name("moved");
        assert_eq!(pair.target.rows(&moved), pair.source.rows(&moved));
        assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_gets_the_name_of_one_that_another_task_feeds_is_followed_no_more() {
    for defines_in_transaction in [false, true] {
        let mut pair = pair();
        if defines_in_transaction {
            pair.target = pair.target.defining_in_transactions();
        }
        begun(&theirs(&pair, &["moved"]), &other()).await.unwrap();
        // Who feeds it has not made it yet.
        pair.target.drop_table(&name("moved"));
        let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            pair.source
                .transact(vec![renamed(&pair, "orders", "moved")]);
            caught_up(&pair, progress).await;
            let orders = progress.snapshot().tables[&name("orders")].clone();
            assert_eq!(orders.state, TableState::Error);
            let message = orders.message.unwrap();
            assert!(
                message.contains("task another task feeds shop.moved"),
                "{message}"
            );
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_eq!(pair.target.rows(&name("moved")), None);
    }
}

fn sharing(spec: CdcSpec) -> CdcSpec {
    CdcSpec {
        load: FullLoadSpec {
            feeding: Feeding::Together,
            prepare: PrepareMode::DoNothing,
            ..spec.load.clone()
        },
        ..spec
    }
}

fn row(id: i64) -> Vec<Cell> {
    vec![Cell::Int(id), Cell::Null]
}

#[tokio::test(start_paused = true)]
async fn tasks_that_share_their_tables_write_into_one_each_its_own_rows() {
    let pair = pair();
    let shard = theirs(&pair, &[]);
    let mut orders = table("orders", 0);
    orders.rows.extend((5000..5003).map(row));
    shard.source.put(orders);
    let removes = CdcSpec {
        load: FullLoadSpec {
            prepare: PrepareMode::Truncate,
            ..sharing(cdc()).load
        },
        ..cdc()
    };
    let error = begun(&pair, &removes).await.unwrap_err();
    assert!(matches!(error, RunError::SharedAndPrepared), "{error}");
    assert_eq!(pair.source.confirmed("task"), None, "no log is kept for it");

    begun(&pair, &sharing(cdc())).await.unwrap();
    begun(&shard, &sharing(other())).await.unwrap();
    let at_target = || pair.target.rows(&name("orders")).unwrap();
    assert_eq!(at_target().len(), 98);
    // Who does not share is kept out, and a table that goes at one source has rows of the other.
    let alone = CdcSpec {
        load: FullLoadSpec {
            task: "alone".to_owned(),
            ..cdc().load
        },
        ..cdc()
    };
    let error = begun(&shard, &alone).await.unwrap_err();
    assert!(matches!(error, RunError::FedByAnother { .. }), "{error}");
    for (ends, spec, change) in [
        (
            &pair,
            cdc(),
            MemoryChange::Insert(name("orders"), row(1000)),
        ),
        (
            &shard,
            other(),
            MemoryChange::Insert(name("orders"), row(5003)),
        ),
        (&pair, cdc(), MemoryChange::Drop(name("orders"))),
    ] {
        let resumed = CdcSpec {
            start: CdcStart::Resume,
            ..sharing(spec)
        };
        let outcome = follow(ends, &resumed, &Faults::none(), async |progress| {
            caught_up(ends, progress).await;
            ends.source.transact(vec![change]);
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    }
    assert_eq!(at_target().len(), 100);

    // What one source empties is emptied by hand: nobody could tell whose rows go.
    let resumed = CdcSpec {
        start: CdcStart::Resume,
        ..sharing(other())
    };
    let outcome = follow(&shard, &resumed, &Faults::none(), async |progress| {
        caught_up(&shard, progress).await;
        shard
            .source
            .transact(vec![MemoryChange::Truncate(name("orders"))]);
        caught_up(&shard, progress).await;
        let orders = progress.snapshot().tables[&name("orders")].clone();
        assert_eq!(orders.state, TableState::Error);
        assert!(orders.message.unwrap().contains("was truncated"));
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(at_target().len(), 100);
}
