//! Tables whose changes are gone by the time they are to join.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_connector::memory::{Call, Faults, MemoryTable, When};
use whimbrel_engine::{CdcOutcome, Progress, RowPolicy, RunError, TableErrorPolicy, TableState};

use crate::cdc::{caught_up, cdc, follow, pair};
use crate::seam::{insert, row, state};
use crate::support::{Pair, name};

/// Once a load was interrupted so often, the others go on meanwhile, so that they need less of the log.
async fn others_go_on(pair: &Pair, faults: &Faults, struck: u32, progress: &Progress) {
    while faults.struck() < struck {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    pair.source
        .transact(vec![insert("events", 88_000 + i64::from(struck))]);
    let end = format!("memory:{}", pair.source.log_end());
    let checkpoint = || progress.snapshot().follow.and_then(|cdc| cdc.checkpoint);
    while checkpoint().as_ref() != Some(&end) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A row policy leaves one table in error, which is no reason to end the task, then or later.
#[tokio::test(start_paused = true)]
async fn a_table_in_error_of_before_does_not_end_the_task_when_another_one_joins() {
    let pair = pair();
    let mut spec = cdc();
    spec.load.on_table_error = TableErrorPolicy::StopTask;
    spec.on_apply_error.insert = RowPolicy::SuspendTable;
    let reloads = Arc::clone(&spec.reloads);
    let faults = Faults::at(Call::Snapshot, 2, When::Before, 1);
    let outcome = follow(&pair, &spec, &faults, async |progress| {
        caught_up(&pair, progress).await;
        let orders = pair.target.get(&name("orders")).unwrap();
        let mut rows = orders.rows.clone();
        rows.push(row(600));
        pair.target.put(MemoryTable { rows, ..orders });
        pair.source.transact(vec![insert("orders", 600)]);
        caught_up(&pair, progress).await;
        assert_eq!(state(progress, "orders"), Some(TableState::Error));
        reloads.ask([name("items")]);
        others_go_on(&pair, &faults, 1, progress).await;
        while progress.snapshot().tables[&name("items")].reload_count == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        caught_up(&pair, progress).await;
        pair.source.transact(vec![insert("items", 700)]);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(
        pair.target.rows(&name("items")),
        pair.source.rows(&name("items"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_changes_were_purged_ends_the_task_where_the_policy_says_so() {
    let pair = pair();
    let mut spec = cdc();
    spec.load.on_table_error = TableErrorPolicy::StopTask;
    // It may not make a table anew.
    spec.on_ddl.alters = false;
    let reloads = Arc::clone(&spec.reloads);
    let faults = Faults::at(Call::Snapshot, 2, When::Before, 1);
    let outcome = follow(&pair, &spec, &faults, async |progress| {
        caught_up(&pair, progress).await;
        reloads.ask([name("orders")]);
        others_go_on(&pair, &faults, 1, progress).await;
        pair.source.purge_log();
        std::future::pending::<()>().await;
    })
    .await;
    assert!(
        matches!(&outcome, Err(RunError::Table(why)) if why.contains("shop.orders") && why.contains("are gone")),
        "{outcome:?}"
    );
}

/// A source that purges its log faster than a table loads would have it loaded for ever.
#[tokio::test(start_paused = true)]
async fn a_table_whose_changes_are_purged_again_is_in_error_and_can_be_asked_for() {
    let pair = pair();
    let spec = cdc();
    let reloads = Arc::clone(&spec.reloads);
    let faults = Faults::in_turn(Call::Snapshot, 1, 1);
    let outcome = follow(&pair, &spec, &faults, async |progress| {
        caught_up(&pair, progress).await;
        reloads.ask([name("orders")]);
        for struck in 1..3 {
            others_go_on(&pair, &faults, struck, progress).await;
            pair.source.purge_log();
        }
        caught_up(&pair, progress).await;
        let orders = progress.snapshot().tables[&name("orders")].clone();
        assert_eq!(orders.state, TableState::Error);
        let message = orders.message.unwrap();
        assert!(message.contains("keep its log for longer"), "{message}");
        let before = orders.reload_count;
        reloads.ask([name("orders")]);
        while progress.snapshot().tables[&name("orders")].reload_count == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        caught_up(&pair, progress).await;
        pair.source.transact(vec![insert("orders", 900)]);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(
        pair.target.rows(&name("orders")),
        pair.source.rows(&name("orders"))
    );
}
