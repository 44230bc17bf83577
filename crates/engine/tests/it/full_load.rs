use std::collections::HashSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::PrepareMode;
use whimbrel_connector::memory::{Call, Cell, Faults, When};
use whimbrel_core::mapping::TableMappings;
use whimbrel_engine::{
    FullLoadSpec, LoadOutcome, Progress, RetryPolicy, RunError, StartKind, TableErrorPolicy,
    TableState,
};

use crate::support::{Pair, name, resumed, spec, table};

const FINISHED: LoadOutcome = LoadOutcome::Finished { tables_errored: 0 };

#[tokio::test]
async fn all_tables_arrive_and_no_record_stays() {
    let (pair, progress) = (Pair::new(), Arc::new(Progress::new()));
    assert_eq!(
        pair.run(&spec(), &Faults::none(), &progress).await.unwrap(),
        FINISHED
    );
    pair.assert_equal();
    assert!(pair.target.has_no_records());
    let seen = progress.snapshot();
    assert_eq!(
        (
            seen.percent(),
            seen.row_count(),
            seen.count(TableState::Completed)
        ),
        (100, 137, 3)
    );
    assert_eq!(seen.tables[&name("orders")].chunk_count, 10);
}

/// Fails every call of every kind once, before and after its effect; then resumes.
#[tokio::test(start_paused = true)]
async fn a_load_that_fails_anywhere_is_completed_by_a_resume() {
    let mut struck = 0;
    for call in Call::ALL {
        for when in [When::Before, When::After] {
            for nth in 1..60 {
                let pair = Pair::new();
                // More failures in a row than a chunk is tried, so that the attempt fails.
                let faults = Faults::at(call, nth, when, 100);
                let first = pair.run(&spec(), &faults, &Arc::default()).await;
                if faults.struck() == 0 {
                    break;
                }
                struck += 1;
                let place = format!("{call:?} {nth} {when:?}");
                // A lost answer alone may be found out: the record tells that a commit went through.
                assert!(first.is_err() || when == When::After, "{place}: {first:?}");
                let second = pair
                    .run(&resumed(&spec()), &Faults::none(), &Arc::default())
                    .await;
                assert_eq!(second.unwrap(), FINISHED, "{place}");
                pair.assert_equal();
                assert_eq!(pair.target.commits_of_one_chunk_max(), 1, "{place}");
            }
        }
    }
    assert!(struck > 200, "only {struck} faults struck");
}

/// A target that loses all that it had confirmed gets it again, at whatever call its connections break.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_put_back_gets_everything_again() {
    let mut struck = 0;
    let retry = RetryPolicy::default();
    for call in [
        Call::Begin,
        Call::Write,
        Call::Commit,
        Call::Finish,
        Call::Forget,
    ] {
        for nth in 1..40 {
            let pair = Pair::new();
            let target = pair.target.clone();
            let faults =
                Faults::meanwhile(call, nth, move || target.put_back()).and_lost(call, nth);
            let spec = FullLoadSpec { retry, ..spec() };
            let outcome = pair.run(&spec, &faults, &Arc::default()).await;
            assert_eq!(outcome.unwrap(), FINISHED, "{call:?} {nth}");
            pair.assert_equal();
            struck += faults.struck();
        }
    }
    assert!(struck > 30, "only {struck} faults struck");
}

/// One fault at any call is mended within the run.
#[tokio::test(start_paused = true)]
async fn a_single_lost_connection_is_mended_by_the_run_itself() {
    let retry = RetryPolicy::default();
    for call in Call::ALL {
        for when in [When::Before, When::After] {
            for nth in 1..40 {
                let (pair, faults) = (Pair::new(), Faults::at(call, nth, when, 1));
                let spec = FullLoadSpec { retry, ..spec() };
                let outcome = pair.run(&spec, &faults, &Arc::default()).await;
                let place = format!("{call:?} {nth} {when:?}");
                assert_eq!(outcome.unwrap(), FINISHED, "{place}");
                pair.assert_equal();
                assert_eq!(pair.target.commits_of_one_chunk_max(), 1, "{place}");
                if faults.struck() == 0 {
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_tried_again_tells_why_and_when() {
    // More failures in a row than a chunk is tried, so that the attempt fails.
    let (pair, faults) = (Pair::new(), Faults::at(Call::Commit, 1, When::Before, 20));
    let (retry, progress) = (RetryPolicy::default(), Arc::new(Progress::new()));
    let spec = FullLoadSpec { retry, ..spec() };
    let outcome = pair.run(&spec, &faults, &progress).await;
    assert_eq!(outcome.unwrap(), FINISHED);
    let last = progress
        .snapshot()
        .interruption
        .expect("it was interrupted");
    assert!(last.number >= 2, "{last:?}");
    assert!(last.message.starts_with("target: "), "{last:?}");
    assert_eq!(last.wait, retry.wait(last.retry_number));
    assert_eq!(last.retries_max, 9);
}

/// A run that starts afresh loads every row again, also when the first thing that happens to it is a lost connection.
#[tokio::test(start_paused = true)]
async fn a_fresh_start_never_obeys_the_record_of_an_earlier_run() {
    for call in [Call::Connect, Call::Tables, Call::Claim, Call::Forget] {
        for when in [When::Before, When::After] {
            for nth in 1..4 {
                let pair = Pair::new();
                let cut = Faults::at(Call::Commit, 12, When::Before, 100);
                pair.run(&spec(), &cut, &Arc::default()).await.unwrap_err();
                let mut changed = table("orders", 95);
                for row in &mut changed.rows {
                    row[1] = Cell::Text("changed meanwhile".to_owned());
                }
                pair.source.put(changed);
                let retry = RetryPolicy::default();
                let faults = Faults::at(call, nth, when, 1);
                let spec = FullLoadSpec { retry, ..spec() };
                let outcome = pair.run(&spec, &faults, &Arc::default()).await;
                assert_eq!(outcome.unwrap(), FINISHED, "{call:?} {nth} {when:?}");
                pair.assert_equal();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_altered_while_the_snapshot_is_opened_is_planned_anew() {
    let pair = Pair::new();
    let mut altered = table("orders", 95);
    altered.table.columns[1].name.push_str("_renamed");
    let source = pair.source.clone();
    let faults = Faults::meanwhile(Call::Snapshot, 1, move || source.put(altered));
    let retry = RetryPolicy::default();
    let spec = FullLoadSpec { retry, ..spec() };
    let outcome = pair.run(&spec, &faults, &Arc::default()).await;
    assert_eq!(outcome.unwrap(), FINISHED);
    pair.assert_equal();
    assert_eq!(faults.count(Call::Snapshot), 2);
}

/// Rows that an interrupted run has committed are in the way when the table must start again and nothing may be removed.
#[tokio::test]
async fn rows_that_are_to_be_left_alone_are_not_loaded_twice() {
    let pair = Pair::new();
    let keep = FullLoadSpec {
        prepare: PrepareMode::DoNothing,
        ..spec()
    };
    let cut = Faults::at(Call::Commit, 12, When::Before, 100);
    pair.run(&keep, &cut, &Arc::default()).await.unwrap_err();
    let held = pair.target.rows(&name("orders")).unwrap().len();
    assert!(held > 0, "some chunks were committed");
    pair.source.put(table("orders", 96));
    let progress = Arc::new(Progress::new());
    let outcome = pair.run(&resumed(&keep), &Faults::none(), &progress).await;
    assert_eq!(
        outcome.unwrap(),
        LoadOutcome::Finished { tables_errored: 1 }
    );
    let entry = &progress.snapshot().tables[&name("orders")];
    let message = entry.message.as_deref().unwrap();
    assert!(message.contains("empty the table"), "{message}");
    assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), held);
}

#[tokio::test]
async fn finished_chunks_are_not_read_again() {
    let pair = Pair::new();
    let faults = Faults::at(Call::Commit, 8, When::Before, 100);
    pair.run(&spec(), &faults, &Arc::default())
        .await
        .unwrap_err();
    let progress = Arc::new(Progress::new());
    let opens = Faults::at(Call::Open, 1000, When::Before, 1);
    pair.run(&resumed(&spec()), &opens, &progress)
        .await
        .unwrap();
    pair.assert_equal();
    // 16 chunks in all, 7 of them committed by the first run.
    assert_eq!(opens.count(Call::Open), 16 - 7);
    assert_eq!(progress.snapshot().row_count(), 137);
}

#[tokio::test]
async fn a_stopped_load_goes_on_where_it_was() {
    let (pair, stop) = (Pair::new(), CancellationToken::new());
    let progress = Arc::new(Progress::new());
    let watched = Arc::clone(&progress);
    let stopper = stop.clone();
    let watch = tokio::spawn(async move {
        while watched
            .snapshot()
            .tables
            .values()
            .all(|table| table.chunks_done == 0)
        {
            tokio::task::yield_now().await;
        }
        stopper.cancel();
    });
    let outcome = pair
        .run_until(&spec(), &Faults::none(), &progress, &stop)
        .await
        .unwrap();
    watch.await.unwrap();
    if outcome == LoadOutcome::Stopped {
        assert!(progress.snapshot().count(TableState::FullLoad) == 0);
        pair.run(&resumed(&spec()), &Faults::none(), &progress)
            .await
            .unwrap();
    }
    pair.assert_equal();
}

#[tokio::test]
async fn completed_tables_are_left_alone_by_a_resume() {
    let pair = Pair::new();
    pair.run(&spec(), &Faults::none(), &Arc::default())
        .await
        .unwrap();
    pair.source.put(table("orders", 3));
    let completed = HashSet::from([name("orders"), name("items")]);
    let start = StartKind::Resume {
        completed,
        needs_record: false,
    };
    pair.run(
        &FullLoadSpec { start, ..spec() },
        &Faults::none(),
        &Arc::default(),
    )
    .await
    .unwrap();
    assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 95);
}

#[tokio::test]
async fn a_resume_that_needs_a_record_and_finds_none_says_so() {
    let start = StartKind::Resume {
        completed: HashSet::new(),
        needs_record: true,
    };
    let spec = FullLoadSpec { start, ..spec() };
    let pair = Pair::new();
    let error = pair
        .run(&spec, &Faults::none(), &Arc::default())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::NothingToResume), "{error}");
    assert!(pair.target.has_no_records());
}

#[tokio::test]
async fn a_table_with_duplicates_is_in_error_and_the_others_arrive() {
    let (pair, progress) = (Pair::new(), Arc::new(Progress::new()));
    let mut orders = table("orders", 10);
    orders.rows.push(vec![Cell::Int(1), Cell::Null]);
    pair.source.put(orders);
    let outcome = pair.run(&spec(), &Faults::none(), &progress).await.unwrap();
    assert_eq!(outcome, LoadOutcome::Finished { tables_errored: 1 });
    let seen = progress.snapshot();
    assert_eq!(seen.tables[&name("orders")].state, TableState::Error);
    assert!(
        seen.tables[&name("orders")]
            .message
            .as_ref()
            .unwrap()
            .contains("primary key")
    );
    assert_eq!(seen.tables[&name("items")].state, TableState::Completed);
    let strict = FullLoadSpec {
        on_table_error: TableErrorPolicy::StopTask,
        ..spec()
    };
    let error = pair
        .run(&strict, &Faults::none(), &progress)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("shop.orders"), "{error}");
}

#[tokio::test]
async fn a_table_dropped_while_it_waits_is_an_error_of_that_table() {
    let mappings = TableMappings::of_patterns(&[("shop".to_owned(), "none".to_owned())], &[]);
    let pair = Pair::new();
    let spec = FullLoadSpec { mappings, ..spec() };
    let error = pair
        .run(&spec, &Faults::none(), &Arc::default())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::NoTables), "{error}");
    let quiet = FullLoadSpec {
        fails_without_tables: false,
        ..spec
    };
    assert_eq!(
        pair.run(&quiet, &Faults::none(), &Arc::default())
            .await
            .unwrap(),
        FINISHED
    );
}

#[tokio::test]
async fn two_tables_never_flow_into_one() {
    let document = r#"{"rules":[
        {"rule-type":"selection","rule-id":"1","rule-name":"1","object-locator":{"schema-name":"shop","table-name":"%"},"rule-action":"include"},
        {"rule-type":"transformation","rule-id":"2","rule-target":"table","object-locator":{"schema-name":"shop","table-name":"%"},"rule-action":"rename","value":"all"}]}"#;
    let (pair, progress) = (Pair::new(), Arc::new(Progress::new()));
    let spec = FullLoadSpec {
        mappings: TableMappings::parse(document).unwrap(),
        ..spec()
    };
    let outcome = pair.run(&spec, &Faults::none(), &progress).await.unwrap();
    assert_eq!(outcome, LoadOutcome::Finished { tables_errored: 3 });
    assert_eq!(pair.target.rows(&name("all")), None);
}

#[tokio::test]
async fn a_worker_that_was_replaced_stops_and_changes_nothing() {
    let (pair, progress) = (Pair::new(), Arc::new(Progress::new()));
    let (watched, target) = (Arc::clone(&progress), pair.target.clone());
    let usurper = tokio::spawn(async move {
        while watched
            .snapshot()
            .tables
            .values()
            .all(|table| table.chunks_done == 0)
        {
            tokio::task::yield_now().await;
        }
        target.take_over("task");
        target.rows(&name("orders")).map_or(0, |rows| rows.len())
    });
    let error = pair.run(&spec(), &Faults::none(), &progress).await;
    let rows_then = usurper.await.unwrap();
    // The run may have been over before it was replaced; then there is nothing to see.
    if let Err(error) = error {
        assert!(error.to_string().contains("taken over"), "{error}");
        let rows_now = pair
            .target
            .rows(&name("orders"))
            .map_or(0, |rows| rows.len());
        assert_eq!(rows_now, rows_then);
    }
}
