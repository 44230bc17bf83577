use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
                // A lost answer alone may be found out: the record tells that a commit went through. That the record stays is no error.
                let may_end_well = when == When::After || call == Call::Forget;
                assert!(first.is_err() || may_end_well, "{place}: {first:?}");
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

/// Rows that are gone with their record are never called loaded.
#[tokio::test(start_paused = true)]
async fn a_target_that_lost_the_whole_task_says_so() {
    let retry = RetryPolicy::default();
    for call in [Call::Begin, Call::Write, Call::Commit, Call::Finish] {
        for nth in 1..40 {
            let pair = Pair::new();
            let target = pair.target.clone();
            let faults = Faults::meanwhile(call, nth, move || target.put_back_wholly());
            let spec = FullLoadSpec { retry, ..spec() };
            let outcome = pair.run(&spec, &faults, &Arc::default()).await;
            if faults.count(call) < nth {
                assert_eq!(outcome.unwrap(), FINISHED, "{call:?} {nth}");
                break;
            }
            let error = outcome.unwrap_err().to_string();
            assert!(
                error.contains("no record of the task"),
                "{call:?} {nth}: {error}"
            );
            let anew = pair.run(&spec, &Faults::none(), &Arc::default()).await;
            assert_eq!(anew.unwrap(), FINISHED);
            pair.assert_equal();
        }
    }
}

/// What each attempt loads and the next throws away is no progress.
#[tokio::test(start_paused = true)]
async fn a_load_that_begins_again_each_time_gives_up() {
    let pair = Pair::new();
    let faults = Faults::in_turn(Call::Open, 6, 20);
    let spec = FullLoadSpec {
        is_followed: true,
        retry: RetryPolicy::default(),
        ..spec()
    };
    let progress = Arc::default();
    let run = pair.run(&spec, &faults, &progress);
    let ended = tokio::time::timeout(Duration::from_hours(24 * 30), run).await;
    let error = ended.expect("it does not go on for ever").unwrap_err();
    assert!(error.is_transient(), "{error}");
    let retried = progress.snapshot().interruption.unwrap();
    assert_eq!(retried.retry_number, RetryPolicy::default().retries_max);
}

/// A view of the source is worth more than a connection to the target: a source that is in use is no more what it was.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_away_costs_neither_the_snapshot_nor_what_is_loaded() {
    for (call, nth) in [
        (Call::Begin, 5),
        (Call::Write, 20),
        (Call::Commit, 8),
        (Call::Prepare, 2),
        (Call::Finish, 1),
        (Call::LoadRecords, 1),
    ] {
        for is_followed in [false, true] {
            let pair = Pair::new();
            let faults = Faults::at(call, nth, When::Before, 40);
            let retry = RetryPolicy {
                // The record is asked for once in each try.
                retries_max: 50,
                ..RetryPolicy::default()
            };
            let spec = FullLoadSpec {
                is_followed,
                retry,
                ..spec()
            };
            let progress = Arc::new(Progress::new());
            let (rows, source) = (table("orders", 95).rows, pair.source.clone());
            let (watched, is_away) = (Arc::clone(&progress), Arc::new(AtomicBool::new(false)));
            let away = Arc::clone(&is_away);
            let meanwhile = tokio::spawn(async move {
                while watched.snapshot().interruption.is_none() {
                    watched.changed().await;
                }
                away.store(true, Ordering::Relaxed);
                source.put(table("orders", 99));
            });
            let outcome = pair.run(&spec, &faults, &progress).await;
            meanwhile.await.unwrap();
            assert_eq!(outcome.unwrap(), FINISHED, "{call:?}");
            assert!(is_away.load(Ordering::Relaxed), "{call:?}");
            assert_eq!(faults.count(Call::Snapshot), 1, "{call:?}");
            assert_eq!(pair.target.rows(&name("orders")), Some(rows), "{call:?}");
            assert_eq!(pair.target.commits_of_one_chunk_max(), 1, "{call:?}");
        }
    }
}

/// Of a followed one the log tells.
#[tokio::test(start_paused = true)]
async fn a_table_whose_name_another_takes_is_in_error_unless_it_is_followed() {
    for is_followed in [false, true] {
        let pair = Pair::new();
        let mut other = table("orders", 3);
        other.table.id = Some(77);
        let source = pair.source.clone();
        let faults = Faults::meanwhile(Call::Next, 1, move || source.put(other));
        let spec = FullLoadSpec {
            is_followed,
            ..spec()
        };
        let progress = Arc::new(Progress::new());
        pair.run(&spec, &faults, &progress).await.unwrap();
        let tables = progress.snapshot().tables;
        let in_error = tables
            .iter()
            .filter(|(_, table)| table.state == TableState::Error);
        let in_error: Vec<_> = in_error.map(|(name, _)| name.clone()).collect();
        let expected = if is_followed {
            Vec::new()
        } else {
            vec![name("orders")]
        };
        assert_eq!(in_error, expected);
    }
}

/// A disk that stays full is not met for ever, and neither is a target that does not come back.
#[tokio::test(start_paused = true)]
async fn a_target_that_stays_away_ends_the_load() {
    let pair = Pair::new();
    let faults = Faults::at(Call::Commit, 8, When::Before, u32::MAX - 8);
    let retry = RetryPolicy::default();
    let spec = FullLoadSpec { retry, ..spec() };
    let progress = Arc::default();
    let run = pair.run(&spec, &faults, &progress);
    let ended = tokio::time::timeout(Duration::from_hours(24), run).await;
    let error = ended.expect("it does not go on for ever").unwrap_err();
    assert!(error.to_string().contains("Commit"), "{error}");
    let retried = progress.snapshot().interruption.unwrap();
    assert_eq!((retried.number, retried.retry_number), (9, 9));
}

/// What is loaded is shown as loaded while the rest is tried again.
#[tokio::test(start_paused = true)]
async fn a_completed_table_keeps_its_figures_when_the_run_is_tried_again() {
    let pair = Pair::new();
    let progress = Arc::new(Progress::new());
    // The attempt fails at the last table.
    let faults = Faults::at(Call::Finish, 3, When::Before, 20);
    let watched = Arc::clone(&progress);
    let seen = tokio::spawn(async move {
        let mut figures = Vec::new();
        loop {
            let snapshot = watched.snapshot();
            let tables = snapshot.tables.values();
            let done = tables.filter(|table| table.state == TableState::Completed);
            let rows: u64 = done.clone().map(|table| table.row_count).sum();
            let ended = done.clone().all(|table| table.ended_at.is_some());
            figures.push((done.count(), rows, snapshot.percent(), ended));
            if snapshot.percent() == 100 {
                return figures;
            }
            // By the clock of the test, which stands still while anybody works.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let retry = RetryPolicy::default();
    let spec = FullLoadSpec { retry, ..spec() };
    let outcome = pair.run(&spec, &faults, &progress).await;
    assert_eq!(outcome.unwrap(), FINISHED);
    assert!(progress.snapshot().interruption.is_some());
    let figures = seen.await.unwrap();
    let falls = figures
        .windows(2)
        .find(|two| two[1].0 < two[0].0 || two[1].1 < two[0].1 || two[1].2 < two[0].2);
    assert_eq!(falls, None);
    assert!(figures.iter().all(|(.., ended)| *ended));
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
    let stops = stop.clone();
    let faults = Faults::meanwhile(Call::Commit, 4, move || stops.cancel());
    let stopped = pair.run_until(&spec(), &faults, &progress, &stop).await;
    assert_eq!(stopped.unwrap(), LoadOutcome::Stopped);
    let then = progress.snapshot();
    assert_eq!(then.count(TableState::FullLoad), 0);
    assert!(then.count(TableState::Cancelled) > 0);
    let resumed = pair
        .run(&resumed(&spec()), &Faults::none(), &progress)
        .await;
    assert_eq!(resumed.unwrap(), FINISHED);
    pair.assert_equal();
    assert_eq!(pair.target.commits_of_one_chunk_max(), 1);
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

/// A task that has begun is there to be resumed, though none of its tables is.
#[tokio::test]
async fn a_load_of_which_no_table_could_be_prepared_is_resumed() {
    let document = r#"{"rules":[
        {"rule-type":"selection","rule-id":"1","rule-name":"1","object-locator":{"schema-name":"shop","table-name":"%"},"rule-action":"include"},
        {"rule-type":"transformation","rule-id":"2","rule-target":"table","object-locator":{"schema-name":"shop","table-name":"%"},"rule-action":"rename","value":"all"}]}"#;
    let pair = Pair::new();
    let refused = FullLoadSpec {
        mappings: TableMappings::parse(document).unwrap(),
        ..spec()
    };
    let outcome = pair.run(&refused, &Faults::none(), &Arc::default()).await;
    assert_eq!(
        outcome.unwrap(),
        LoadOutcome::Finished { tables_errored: 3 }
    );
    let start = StartKind::Resume {
        completed: HashSet::new(),
        needs_record: true,
    };
    let mended = FullLoadSpec { start, ..spec() };
    let outcome = pair.run(&mended, &Faults::none(), &Arc::default()).await;
    assert_eq!(outcome.unwrap(), FINISHED);
    pair.assert_equal();
}

#[tokio::test]
async fn a_worker_that_was_replaced_stops_and_changes_nothing() {
    let pair = Pair::new();
    let target = pair.target.clone();
    let rows = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&rows);
    let faults = Faults::meanwhile(Call::Commit, 4, move || {
        target.take_over("task");
        *seen.lock().unwrap() = Some(target.rows(&name("orders")));
    });
    let retry = RetryPolicy::default();
    let spec = FullLoadSpec { retry, ..spec() };
    let error = pair.run(&spec, &faults, &Arc::default()).await.unwrap_err();
    assert!(error.to_string().contains("taken over"), "{error}");
    let rows = rows.lock().unwrap().take();
    assert_eq!(rows, Some(pair.target.rows(&name("orders"))));
}

/// Tables begin by their order, however many subtasks there are: those without one come last.
#[tokio::test]
async fn tables_of_a_higher_order_begin_first() {
    for (first, second) in [("orders", "items"), ("items", "empty"), ("empty", "orders")] {
        let rule = |id: u32, table: &str, order: u32| {
            format!(
                r#"{{"rule-type":"selection","rule-id":{id},"rule-action":"include","load-order":{order},
                "object-locator":{{"schema-name":"shop","table-name":"{table}"}}}}"#
            )
        };
        let rules = [
            rule(1, second, 3),
            rule(2, first, 4),
            r#"{"rule-type":"selection","rule-id":3,"rule-action":"include","object-locator":{"schema-name":"%","table-name":"%"}}"#.to_owned(),
        ];
        let mappings = format!(r#"{{"rules":[{}]}}"#, rules.join(","));
        let mappings = TableMappings::parse(&mappings).unwrap();
        for subtask_count in [1, 3] {
            let (pair, progress) = (Pair::new(), Arc::new(Progress::new()));
            let spec = FullLoadSpec {
                mappings: mappings.clone(),
                subtask_count,
                ..spec()
            };
            pair.run(&spec, &Faults::none(), &progress).await.unwrap();
            pair.assert_equal();
            let seen = progress.snapshot();
            let began = |table: &str| seen.tables[&name(table)].started_at.unwrap();
            let others = ["orders", "items", "empty"];
            let mut last = others
                .iter()
                .filter(|other| ![first, second].contains(other));
            let last = last.next().unwrap();
            assert!(
                began(first) < began(second) && began(second) < began(last),
                "{first} {second}"
            );
        }
    }
}
