//! Following changes: whatever fails and whenever, source and target end up equal.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::Error;
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, MemoryTable, When};
use whimbrel_engine::{
    ApplyErrors, CdcEnd, CdcOutcome, CdcSpec, CdcStart, FullLoadSpec, Progress, RetryPolicy,
    RowPolicy, RunError, TableErrorPolicy, TableState, run_cdc,
};

use crate::support::{Pair, connector, name, spec, table};
use crate::workload::Workload;

const TASK: &str = "task";

pub(crate) fn pair() -> Pair {
    let pair = Pair::new();
    let mut events = table("events", 20);
    events.table.primary_key = Vec::new();
    events.has_key = false;
    // Rows that are alike.
    events.rows.extend(events.rows.clone());
    pair.source.put(events);
    pair
}

pub(crate) fn cdc() -> CdcSpec {
    CdcSpec::new(FullLoadSpec {
        retry: RetryPolicy {
            retries_max: 9,
            ..spec().retry
        },
        ..spec()
    })
}

/// Waits until everything that was committed has been applied.
pub(crate) async fn caught_up(pair: &Pair, progress: &Progress) {
    // Half an hour on the paused clock.
    for _ in 0..20_000 {
        let end = format!("memory:{}", pair.source.log_end());
        let cdc = progress.snapshot().follow.filter(|cdc| !cdc.is_loading);
        let checkpoint = cdc.and_then(|cdc| cdc.checkpoint);
        if checkpoint.is_some_and(|at| at == end || at.starts_with(&format!("{end}:"))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the task does not catch up: {:?}", progress.snapshot());
}

/// Runs the task while `work` goes on, until everything is applied, and stops it.
pub(crate) async fn follow(
    pair: &Pair,
    spec: &CdcSpec,
    faults: &Faults,
    work: impl AsyncFnOnce(&Progress),
) -> Result<CdcOutcome, RunError> {
    let (source, target) = (
        connector(&pair.source, faults),
        connector(&pair.target, faults),
    );
    let stop = CancellationToken::new();
    let progress = Arc::new(Progress::new());
    let run = run_cdc(&source, &target, spec, &progress, &stop);
    let watch = async {
        work(&progress).await;
        caught_up(pair, &progress).await;
        stop.cancel();
    };
    tokio::pin!(run);
    tokio::select! {
        outcome = &mut run => outcome,
        () = watch => run.await,
    }
}

pub(crate) fn assert_equal(pair: &Pair, place: &str) {
    for table in ["orders", "items", "empty", "events"] {
        assert_eq!(
            pair.target.rows(&name(table)),
            pair.source.rows(&name(table)),
            "{place}: {table}"
        );
    }
}

/// Transactions before, during and after the load.
pub(crate) async fn work(pair: &Pair, seed: u64, transactions: u64, changes_max: usize) {
    let mut workload = Workload::new(seed, &pair.source);
    for number in 0..transactions {
        workload.transaction(changes_max);
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn changes_of_every_kind_arrive_while_tables_are_loaded() {
    for seed in 0..80 {
        let pair = pair();
        let changes_max = if seed % 2 == 0 { 4 } else { 300 };
        let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {
            work(&pair, seed, 40, changes_max).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_equal(&pair, &format!("seed {seed}"));
    }
}

#[tokio::test(start_paused = true)]
async fn transactions_larger_than_a_batch_are_applied_in_pieces() {
    for seed in 0..50 {
        let pair = pair();
        let spec = CdcSpec {
            batch_changes_max: 10,
            ..cdc()
        };
        let outcome = follow(&pair, &spec, &Faults::none(), async |_| {
            work(&pair, seed, 10, 100).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_equal(&pair, &format!("seed {seed}"));
    }
}

/// Every call fails once, before and after its effect, and the run mends it.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_at_any_call_loses_and_doubles_nothing() {
    let mut struck = 0;
    for call in Call::ALL.into_iter().chain(Call::OF_CDC) {
        for when in [When::Before, When::After] {
            for nth in 1..25 {
                let pair = pair();
                let faults = Faults::at(call, nth, when, 1);
                let place = format!("{call:?} {nth} {when:?}");
                let outcome = follow(&pair, &cdc(), &faults, async |_| {
                    work(&pair, u64::from(nth), 25, 80).await;
                })
                .await;
                assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{place}");
                assert_equal(&pair, &place);
                if faults.struck() == 0 {
                    break;
                }
                struck += 1;
            }
        }
    }
    assert!(struck > 180, "only {struck} faults struck");
}

/// What the log cannot be told in costs none of the tries that are for faults.
#[tokio::test(start_paused = true)]
async fn a_stream_that_asks_for_another_form_is_opened_again_without_a_retry() {
    let pair = pair();
    let source = pair.source.clone().told_in_form(2);
    let pair = Pair { source, ..pair };
    let faults = Faults::none();
    let mut spec = cdc();
    spec.load.retry.retries_max = 0;
    let outcome = follow(&pair, &spec, &faults, async |_| {
        work(&pair, 1, 25, 80).await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_equal(&pair, "another form");
    assert!(faults.count(Call::LogOpen) >= 3);
}

/// The run ends at any call and is resumed.
#[tokio::test(start_paused = true)]
async fn a_run_that_fails_anywhere_is_completed_by_a_resume() {
    for call in Call::ALL.into_iter().chain(Call::OF_CDC) {
        for when in [When::Before, When::After] {
            for nth in 1..12 {
                let pair = pair();
                let faults = Faults::at(call, nth, when, 1000);
                let mut once = cdc();
                once.load.retry.retries_max = 0;
                let place = format!("{call:?} {nth} {when:?}");
                let first = follow(&pair, &once, &faults, async |_| {
                    work(&pair, u64::from(nth), 20, 80).await;
                })
                .await;
                if faults.struck() == 0 {
                    break;
                }
                // A task that did not get as far as its first checkpoint begins anew.
                let mut again = cdc();
                again.start = CdcStart::Resume;
                let resumed = follow(&pair, &again, &Faults::none(), async |_| {}).await;
                let outcome = match resumed {
                    Err(RunError::NothingToResume) => {
                        follow(&pair, &cdc(), &Faults::none(), async |_| {}).await
                    }
                    other => other,
                };
                assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{place} {first:?}");
                assert_equal(&pair, &place);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_replaced_writes_nothing_more() {
    let pair = pair();
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
        work(&pair, 1, 10, 5).await;
        caught_up(&pair, progress).await;
        pair.target.take_over(TASK);
        work(&pair, 2, 10, 5).await;
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("taken over"), "{error}");
    assert_ne!(
        pair.target.rows(&name("orders")),
        pair.source.rows(&name("orders"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_ends_when_the_changes_made_during_its_load_are_applied() {
    let pair = pair();
    Workload::new(7, &pair.source).transaction(50);
    let spec = CdcSpec {
        end: CdcEnd::AfterCachedChanges,
        ..cdc()
    };
    let outcome = follow(&pair, &spec, &Faults::none(), async |_| {
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::CaughtUp);
    assert_equal(&pair, "cached changes");
}

#[tokio::test(start_paused = true)]
async fn changes_alone_are_followed_from_where_the_log_is_kept() {
    let pair = pair();
    for table in ["orders", "items", "empty", "events"] {
        let rows = pair.source.rows(&name(table)).unwrap();
        pair.target.put(MemoryTable {
            rows,
            ..table_like(table)
        });
    }
    let spec = CdcSpec {
        loads: false,
        ..cdc()
    };
    let outcome = follow(&pair, &spec, &Faults::none(), async |_| {
        while pair.source.confirmed(TASK).is_none() {
            tokio::task::yield_now().await;
        }
        work(&pair, 3, 20, 60).await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_equal(&pair, "changes only");

    // A resume has no record of a load, and must not take that for tables to be loaded.
    let strange = vec![Cell::Int(-1), Cell::Text("only at the target".to_owned())];
    let mut rows = pair.target.rows(&name("items")).unwrap();
    rows.push(strange.clone());
    pair.target.put(MemoryTable {
        rows,
        ..table_like("items")
    });
    work(&pair, 4, 20, 60).await;
    let again = CdcSpec {
        start: CdcStart::Resume,
        ..spec
    };
    let outcome = follow(&pair, &again, &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let mut rows = pair.target.rows(&name("items")).unwrap();
    let before = rows.len();
    rows.retain(|row| *row != strange);
    assert_eq!(rows.len() + 1, before, "the table was touched");
    assert_eq!(rows, pair.source.rows(&name("items")).unwrap());
}

fn table_like(named: &str) -> MemoryTable {
    let mut made = table(named, 0);
    if named == "events" {
        made.table.primary_key = Vec::new();
    }
    made
}

/// A row that somebody else put there, and rows that somebody took away.
async fn meddled_with(pair: &Pair, progress: &Progress) {
    work(pair, 5, 3, 3).await;
    caught_up(pair, progress).await;
    let mut rows = pair.target.rows(&name("items")).unwrap();
    rows.push(vec![Cell::Int(5000), Cell::Null]);
    let gone = rows.iter().position(|row| row[0] == Cell::Int(7)).unwrap();
    rows.remove(gone);
    let target = MemoryTable {
        rows,
        ..table_like("items")
    };
    pair.target.put(target);
    let row = |id| vec![Cell::Int(id), Cell::Text("new".to_owned())];
    let changes = (4900..5100)
        .map(|id| MemoryChange::Insert(name("items"), row(id)))
        .collect();
    pair.source.transact(changes);
    let before = vec![Cell::Int(7), Cell::Null];
    let after = vec![Cell::Int(7), Cell::Text("late".to_owned())];
    pair.source.transact(vec![MemoryChange::Update {
        table: name("items"),
        before,
        after,
        not_sent: Vec::new(),
    }]);
}

fn policies(refused: RowPolicy, missing: RowPolicy) -> ApplyErrors {
    ApplyErrors {
        insert: refused,
        update: refused,
        delete: refused,
        missing_update: missing,
        missing_delete: missing,
        escalation: None,
        ..ApplyErrors::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_ends_the_task_where_the_policy_says_so() {
    let pair = pair();
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
        meddled_with(&pair, progress).await;
    })
    .await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("the key is there already"), "{error}");
    assert_eq!(pair.target.exceptions(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_written_down_and_not_counted_as_applied() {
    for (policy, written) in [(RowPolicy::Report, 2), (RowPolicy::Ignore, 0)] {
        let pair = pair();
        let spec = CdcSpec {
            on_apply_error: policies(policy, policy),
            ..cdc()
        };
        let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
            meddled_with(&pair, progress).await;
            caught_up(&pair, progress).await;
            let counts = progress.snapshot().tables[&name("items")].changes;
            assert_eq!((counts.left_out.inserts, counts.left_out.updates), (1, 1));
            assert_eq!(counts.captured().inserts, counts.inserts + 1);
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let rows = pair.target.rows(&name("items")).unwrap();
        assert!(rows.contains(&vec![Cell::Int(5000), Cell::Null]));
        let source = pair.source.rows(&name("items")).unwrap();
        assert_eq!(rows.len() + 1, source.len(), "all others arrived");
        let exceptions = pair.target.exceptions();
        assert_eq!(exceptions.len(), written);
        if written > 0 {
            let [insert, update] = &exceptions[..] else {
                panic!("{exceptions:?}")
            };
            assert_eq!(
                insert.statement,
                "INSERT INTO shop.items (id, note) VALUES ('5000', 'new')"
            );
            assert!(
                insert.error.contains("the key is there already"),
                "{insert:?}"
            );
            assert_eq!(
                update.statement,
                "UPDATE shop.items SET id = '7', note = 'late' WHERE id = '7'"
            );
            assert_eq!(update.error, "the row is not there");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_table_stands_still_and_the_others_go_on() {
    let pair = pair();
    let spec = CdcSpec {
        on_apply_error: policies(RowPolicy::SuspendTable, RowPolicy::Ignore),
        ..cdc()
    };
    let late = |id| MemoryChange::Insert(name("items"), vec![Cell::Int(id), Cell::Null]);
    let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
        meddled_with(&pair, progress).await;
        caught_up(&pair, progress).await;
        let items = progress.snapshot().tables[&name("items")].clone();
        assert_eq!(items.state, TableState::Error);
        assert!(items.message.unwrap().contains("load the table again"));
        let row = vec![Cell::Int(77_000), Cell::Null];
        pair.source.transact(vec![
            late(77_000),
            MemoryChange::Insert(name("orders"), row),
        ]);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    // It stays suspended when the task goes on.
    let again = CdcSpec {
        start: CdcStart::Resume,
        ..spec
    };
    let outcome = follow(&pair, &again, &Faults::none(), async |_| {
        pair.source.transact(vec![late(77_001)]);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let rows = pair.target.rows(&name("items")).unwrap();
    assert!(!rows.iter().any(|row| row[0] >= Cell::Int(77_000)));
    assert_eq!(
        pair.target.rows(&name("orders")),
        pair.source.rows(&name("orders"))
    );
    assert_eq!(pair.target.exceptions().len(), 1);
}

/// A table that somebody dropped at the target is an error of that table alone, also within a transaction that is applied in pieces.
#[tokio::test(start_paused = true)]
async fn a_table_that_fails_as_a_whole_is_suspended_and_the_others_lose_nothing() {
    for batch_changes_max in [1000, 5] {
        let pair = pair();
        let spec = CdcSpec {
            batch_changes_max,
            ..cdc()
        };
        let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            pair.target.drop_table(&name("items"));
            for round in 0..5 {
                let changes = (0..8).flat_map(|id| {
                    let row = vec![Cell::Int(77_000 + round * 10 + id), Cell::Null];
                    let insert = |table| MemoryChange::Insert(name(table), row.clone());
                    [insert("orders"), insert("items")]
                });
                pair.source.transact(changes.collect());
            }
            caught_up(&pair, progress).await;
            let items = progress.snapshot().tables[&name("items")].clone();
            assert_eq!(items.state, TableState::Error);
            assert!(items.message.unwrap().contains("is gone"));
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_eq!(
            pair.target.rows(&name("orders")),
            pair.source.rows(&name("orders"))
        );
    }
    let pair = pair();
    let mut spec = cdc();
    spec.load.on_table_error = TableErrorPolicy::StopTask;
    let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        pair.target.drop_table(&name("items"));
        let row = vec![Cell::Int(77_000), Cell::Null];
        pair.source
            .transact(vec![MemoryChange::Insert(name("items"), row)]);
    })
    .await;
    assert!(
        matches!(&outcome, Err(RunError::Target(Error::Table(fault))) if fault.message.contains("is gone")),
        "{outcome:?}"
    );
}

/// A source that keeps its log by rules of its own may purge it while a table is loaded again. Only a task that makes its tables may make one anew.
#[tokio::test(start_paused = true)]
async fn a_table_whose_changes_were_purged_is_loaded_again_or_in_error_and_the_others_go_on() {
    for makes_tables in [true, false] {
        let pair = pair();
        let mut spec = cdc();
        spec.on_ddl.alters = makes_tables;
        let reloads = Arc::clone(&spec.reloads);
        let insert = |table, id| MemoryChange::Insert(name(table), vec![Cell::Int(id), Cell::Null]);
        // The second load is tried again, which takes its time.
        let faults = Faults::at(Call::Snapshot, 2, When::Before, 1);
        let outcome = follow(&pair, &spec, &faults, async |progress| {
            caught_up(&pair, progress).await;
            reloads.ask([name("orders")]);
            while faults.struck() == 0 {
                tokio::task::yield_now().await;
            }
            // The others go on meanwhile, so that they need less of the log.
            pair.source.transact(vec![insert("items", 88_000)]);
            let end = format!("memory:{}", pair.source.log_end());
            while progress.snapshot().follow.unwrap().checkpoint.as_ref() != Some(&end) {
                tokio::task::yield_now().await;
            }
            pair.source.purge_log();
            caught_up(&pair, progress).await;
            let orders = progress.snapshot().tables[&name("orders")].clone();
            if !makes_tables {
                assert_eq!(orders.state, TableState::Error);
                assert!(orders.message.unwrap().contains("are gone"));
            }
            pair.source
                .transact(vec![insert("items", 88_001), insert("orders", 88_002)]);
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        for table in ["items", "orders"].map(name) {
            let are_equal = pair.target.rows(&table) == pair.source.rows(&table);
            assert_eq!(are_equal, makes_tables || table == name("items"), "{table}");
        }
        // The first one, the one that was purged, and the one behind that.
        let views = faults.count(Call::Snapshot);
        assert_eq!(views, if makes_tables { 4 } else { 3 });
    }
}
