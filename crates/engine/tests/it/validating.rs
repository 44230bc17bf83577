//! Tasks that compare what they have loaded, while their source moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::control_tables::{ControlValue, VALIDATION_FAILURES};
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, MemoryDatabase, When};
use whimbrel_core::TableName;
use whimbrel_engine::{
    CdcOutcome, CdcSpec, Delays, Progress, TableValidation, ValidationSpec,
    ValidationState as State, Validator, run_cdc,
};

use crate::cdc::{caught_up, cdc, pair};
use crate::support::{Pair, connector, name, spec};
use crate::workload::Workload;

const DELAY: Duration = Duration::from_mins(5);

fn wanted(delays: Option<Delays>) -> ValidationSpec {
    ValidationSpec {
        load: spec(),
        control_schema: None,
        reader_count: 2,
        keys_per_look: 7,
        failures_max: 10_000,
        table_failures_max: 1000,
        delays,
        first_look_after: Duration::ZERO,
        touched: Arc::default(),
        known: BTreeMap::new(),
        requests: Arc::default(),
    }
}

fn delays(failure: Duration) -> Delays {
    Delays {
        failure,
        suspend: Duration::from_mins(30),
    }
}

fn validation(progress: &Progress, table: &str) -> TableValidation {
    let validations = progress.snapshot().validations;
    validations.get(&name(table)).cloned().unwrap_or_default()
}

fn state(progress: &Progress, table: &str) -> State {
    validation(progress, table).state
}

/// Keys and kinds of what was written down.
fn written(target: &MemoryDatabase) -> Vec<(String, String)> {
    let text = |value: &ControlValue| match value {
        ControlValue::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let rows = target.control_rows(&VALIDATION_FAILURES);
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| (text(&row[5]), text(&row[6])))
        .collect();
    rows.sort();
    rows
}

/// Puts another note beside an id at the target, by somebody else's hand.
fn spoil(target: &MemoryDatabase, table: &str, id: i64, note: &str) {
    let mut spoilt = target.get(&name(table)).unwrap();
    let row = spoilt.rows.iter_mut().find(|row| row[0] == Cell::Int(id));
    row.unwrap()[1] = Cell::Text(note.to_owned());
    target.put(spoilt);
}

/// A pair whose tables are loaded.
async fn loaded() -> (Pair, Arc<Progress>) {
    let pair = pair();
    let progress = Arc::new(Progress::new());
    pair.run(&spec(), &Faults::none(), &progress).await.unwrap();
    (pair, progress)
}

fn validator(
    pair: &Pair,
    faults: &Faults,
    spec: ValidationSpec,
    progress: &Arc<Progress>,
) -> Validator {
    let source = connector(&pair.source, faults);
    let target = connector(&pair.target, faults);
    Validator::new(&source, &target, spec, progress)
}

#[tokio::test(start_paused = true)]
async fn a_full_load_compares_every_table() {
    let (pair, progress) = loaded().await;
    spoil(&pair.target, "orders", 11, "other");
    let mut items = pair.target.get(&name("items")).unwrap();
    items.rows.retain(|row| row[0] != Cell::Int(3));
    items.rows.push(vec![Cell::Int(777), Cell::Null]);
    pair.target.put(items);
    let requests = wanted(None);
    let asked = Arc::clone(&requests.requests);
    let mut validator = validator(&pair, &Faults::none(), requests, &progress);
    validator.settle().await;
    let states = ["orders", "items", "empty", "events"].map(|table| state(&progress, table));
    assert_eq!(
        states,
        [
            State::MismatchedRecords,
            State::MismatchedRecords,
            State::Validated,
            State::NoPrimaryKey
        ]
    );
    assert_eq!(validation(&progress, "items").failed, 2);
    let row = |key: &str, kind: &str| (format!("{{\"key\": [\"{key}\"]}}"), kind.to_owned());
    assert_eq!(
        written(&pair.target),
        [
            row("11", "RECORD_DIFF"),
            row("3", "MISSING_TARGET"),
            row("777", "MISSING_SOURCE")
        ]
    );

    // Put right, and asked for again.
    pair.target.put(pair.source.get(&name("items")).unwrap());
    asked.ask([name("items")]);
    validator.settle().await;
    assert_eq!(state(&progress, "items"), State::Validated);
    assert_eq!(validation(&progress, "items").request_count, 1);
    assert_eq!(written(&pair.target), [row("11", "RECORD_DIFF")]);
}

#[tokio::test(start_paused = true)]
async fn tables_that_differ_too_much_or_cannot_be_compared_say_so() {
    let (pair, progress) = loaded().await;
    let mut orders = pair.target.get(&name("orders")).unwrap();
    orders.rows.clear();
    pair.target.put(orders);
    pair.target.drop_table(&name("items"));
    let spec = ValidationSpec {
        table_failures_max: 20,
        ..wanted(None)
    };
    validator(&pair, &Faults::none(), spec, &progress)
        .settle()
        .await;
    let orders = validation(&progress, "orders");
    assert_eq!((orders.state, orders.pending), (State::TableError, 0));
    assert!((21..=28).contains(&orders.failed), "{orders:?}");
    assert!(orders.details.unwrap().contains("TableFailureMaxCount"));
    let items = validation(&progress, "items");
    assert_eq!(items.state, State::Error);
    assert!(items.details.unwrap().contains("the target has no table"));
    assert_eq!(state(&progress, "empty"), State::Validated);
}

#[tokio::test(start_paused = true)]
async fn the_bound_of_the_task_ends_what_is_under_way() {
    let (pair, progress) = loaded().await;
    for table in ["orders", "items"] {
        let mut empty = pair.target.get(&name(table)).unwrap();
        empty.rows.clear();
        pair.target.put(empty);
    }
    let spec = ValidationSpec {
        failures_max: 10,
        ..wanted(None)
    };
    validator(&pair, &Faults::none(), spec, &progress)
        .settle()
        .await;
    let ended = ["orders", "items"].map(|table| validation(&progress, table));
    assert!(
        ended.iter().all(|table| table.state == State::Error),
        "{ended:?}"
    );
    let details = ended[0].details.as_ref().unwrap();
    assert!(details.contains("FailureMaxCount"), "{details}");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_found_out_is_not_asked_again() {
    let (pair, progress) = loaded().await;
    let known = |state| TableValidation {
        state,
        failed: 5,
        ..TableValidation::default()
    };
    let known = BTreeMap::from([
        (name("orders"), known(State::MismatchedRecords)),
        (name("items"), known(State::PendingRecords)),
    ]);
    let spec = ValidationSpec {
        known,
        ..wanted(None)
    };
    validator(&pair, &Faults::none(), spec, &progress)
        .settle()
        .await;
    let orders = validation(&progress, "orders");
    assert_eq!((orders.state, orders.failed), (State::MismatchedRecords, 5));
    assert_eq!(validation(&progress, "items").failed, 0);
    assert_eq!(state(&progress, "items"), State::Validated);
}

/// Every call fails once; what is said is the same.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_at_any_call_changes_no_result() {
    let calls = [
        Call::Connect,
        Call::Tables,
        Call::Snapshot,
        Call::Plan,
        Call::Open,
        Call::Next,
        Call::Lookup,
        Call::WriteControl,
    ];
    let mut struck = 0;
    for call in calls {
        for when in [When::Before, When::After] {
            for nth in 1..20 {
                let (pair, progress) = loaded().await;
                spoil(&pair.target, "orders", 11, "other");
                let faults = Faults::at(call, nth, when, 1);
                let mut wanted = wanted(None);
                wanted.load.retry.retries_max = 3;
                validator(&pair, &faults, wanted, &progress).settle().await;
                let place = format!("{call:?} {nth} {when:?}");
                assert_eq!(
                    state(&progress, "orders"),
                    State::MismatchedRecords,
                    "{place}"
                );
                assert_eq!(state(&progress, "items"), State::Validated, "{place}");
                assert_eq!(written(&pair.target).len(), 1, "{place}");
                if faults.struck() == 0 {
                    break;
                }
                struck += 1;
            }
        }
    }
    assert!(struck > 30, "only {struck} faults struck");
}

/// A run that follows its source and validates, while `work` goes on.
async fn following(
    pair: &Pair,
    failure: Duration,
    work: impl AsyncFnOnce(&Arc<Progress>, &ValidationSpec),
) {
    let wanted = wanted(Some(delays(failure)));
    let spec = CdcSpec {
        touched: Some(Arc::clone(&wanted.touched)),
        ..cdc()
    };
    let work = async |progress: &Arc<Progress>| work(progress, &wanted).await;
    run_beside(pair, &spec, wanted.clone(), work).await;
}

/// Waits for something to be said of a table, half an hour on the paused clock, and sees what is said until then.
async fn until(progress: &Progress, is_so: impl Fn(&BTreeMap<TableName, TableValidation>) -> bool) {
    for _ in 0..20_000 {
        if is_so(&progress.snapshot().validations) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {:?}", progress.snapshot().validations);
}

fn all_validated(validations: &BTreeMap<TableName, TableValidation>) -> bool {
    let with_keys = ["orders", "items", "empty"].map(name);
    let state = |table| validations.get(table).map(|table| table.state);
    with_keys
        .iter()
        .all(|table| state(table) == Some(State::Validated))
}

/// Without any delay: whatever the validator sees while changes are on their way must not be taken for a failure.
#[tokio::test(start_paused = true)]
async fn differences_of_time_are_never_failures() {
    for seed in 0..40 {
        let pair = pair();
        following(&pair, Duration::ZERO, async |progress, _| {
            let mut workload = Workload::new(seed, &pair.source);
            for round in 0..6 {
                for _ in 0..12 {
                    workload.transaction(30);
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(Duration::from_millis(300 * round)).await;
                let validations = progress.snapshot().validations;
                let failed = validations.values().find(|table| table.failed > 0);
                assert_eq!(failed, None, "seed {seed}, round {round}");
            }
            caught_up(&pair, progress).await;
            until(progress, all_validated).await;
        })
        .await;
        assert_eq!(written(&pair.target), [], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lasting_difference_is_a_failure_after_its_delay_and_heals_when_asked_again() {
    let pair = pair();
    following(&pair, DELAY, async |progress, wanted| {
        until(progress, all_validated).await;
        spoil(&pair.target, "orders", 11, "other");
        wanted.requests.ask([name("orders")]);
        let is_pending = |validations: &BTreeMap<TableName, TableValidation>| {
            let orders = &validations[&name("orders")];
            orders.state == State::PendingRecords && orders.pending == 1
        };
        until(progress, is_pending).await;
        tokio::time::sleep(DELAY.mul_f32(0.9)).await;
        assert_eq!(state(progress, "orders"), State::PendingRecords);
        until(progress, |all| {
            all[&name("orders")].state == State::MismatchedRecords
        })
        .await;
        let key = ("{\"key\": [\"11\"]}".to_owned(), "RECORD_DIFF".to_owned());
        assert_eq!(written(&pair.target), [key]);

        pair.target.put(pair.source.get(&name("orders")).unwrap());
        wanted.requests.ask([name("orders")]);
        until(progress, |all| {
            all[&name("orders")].request_count == 2 && all_validated(all)
        })
        .await;
        assert_eq!(written(&pair.target), []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_change_after_the_comparison_are_looked_at() {
    let pair = pair();
    following(&pair, Duration::ZERO, async |progress, _| {
        until(progress, all_validated).await;
        // Lost at the target by somebody's hand: the update meets no row, and is written down.
        let mut orders = pair.target.get(&name("orders")).unwrap();
        orders.rows.retain(|row| row[0] != Cell::Int(20));
        pair.target.put(orders);
        let rows = pair.source.rows(&name("orders")).unwrap();
        let before = rows
            .into_iter()
            .find(|row| row[0] == Cell::Int(20))
            .unwrap();
        let after = vec![Cell::Int(20), Cell::Text("changed".to_owned())];
        pair.source.transact(vec![MemoryChange::Update {
            table: name("orders"),
            before,
            after: after.clone(),
            not_sent: Vec::new(),
        }]);
        until(progress, |all| {
            all[&name("orders")].state == State::MismatchedRecords
        })
        .await;
        let key = (
            "{\"key\": [\"20\"]}".to_owned(),
            "MISSING_TARGET".to_owned(),
        );
        assert_eq!(written(&pair.target), [key]);
        // And gone at the source as well: the failure is none any more.
        pair.source
            .transact(vec![MemoryChange::Delete(name("orders"), after)]);
        until(progress, all_validated).await;
        assert_eq!(written(&pair.target), []);
    })
    .await;
}

/// A server may hand a commit to who reads its log before it shows it to who reads its tables.
#[tokio::test(start_paused = true)]
async fn a_row_that_is_equal_before_its_change_is_applied_is_looked_at_when_it_is() {
    let pair = pair();
    let wanted = wanted(Some(delays(Duration::ZERO)));
    let cdc = CdcSpec {
        // Until somebody wants to know, nothing is applied.
        batch_wait: Some(Duration::from_hours(10)),
        touched: Some(Arc::clone(&wanted.touched)),
        ..cdc()
    };
    let work = async |progress: &Arc<Progress>| {
        until(progress, all_validated).await;
        let shown = pair.source.get(&name("orders")).unwrap();
        let before = shown.rows.iter().find(|row| row[0] == Cell::Int(20));
        let after = vec![Cell::Int(20), Cell::Text("not shown yet".to_owned())];
        pair.source.transact(vec![MemoryChange::Update {
            table: name("orders"),
            before: before.unwrap().clone(),
            after,
            not_sent: Vec::new(),
        }]);
        pair.source.put(shown);
        until(progress, |all| {
            all[&name("orders")].state == State::MismatchedRecords
        })
        .await;
    };
    run_beside(&pair, &cdc, wanted, work).await;
    let key = ("{\"key\": [\"20\"]}".to_owned(), "RECORD_DIFF".to_owned());
    assert_eq!(written(&pair.target), [key]);
}

/// A lock on the definition of a table that was read lasts as long as the snapshot.
#[tokio::test(start_paused = true)]
async fn large_tables_are_read_under_snapshots_of_their_own() {
    for (row_estimate, snapshots) in [(Some(10), 1), (Some(90_000), 4), (None, 4)] {
        let (pair, progress) = loaded().await;
        for table in ["orders", "items", "empty", "events"] {
            let mut large = pair.source.get(&name(table)).unwrap();
            large.table.row_estimate = row_estimate;
            pair.source.put(large);
        }
        let faults = Faults::none();
        validator(&pair, &faults, wanted(None), &progress)
            .settle()
            .await;
        assert_eq!(state(&progress, "items"), State::Validated);
        // One at each end.
        assert_eq!(
            faults.count(Call::Snapshot),
            2 * snapshots,
            "{row_estimate:?}"
        );
    }
}

/// Everything that is asked of the table fails while it lasts.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_altered_while_it_is_compared_is_compared_again_later() {
    let pair = pair();
    let wanted = wanted(Some(delays(Duration::ZERO)));
    let cdc = CdcSpec {
        touched: Some(Arc::clone(&wanted.touched)),
        ..cdc()
    };
    let work = async |progress: &Arc<Progress>| {
        until(progress, all_validated).await;
        let whole = pair.target.get(&name("orders")).unwrap();
        let mut altered = whole.clone();
        altered.table.columns.pop();
        altered.rows.iter_mut().for_each(|row| {
            row.pop();
        });
        pair.target.put(altered);
        wanted.requests.ask([name("orders")]);
        tokio::time::sleep(Duration::from_secs(12)).await;
        let orders = validation(progress, "orders");
        assert_eq!(orders.state, State::PreparingTable);
        pair.target.put(whole);
        until(progress, all_validated).await;
    };
    run_beside(&pair, &cdc, wanted.clone(), work).await;
}

/// A run that validates beside `work`.
async fn run_beside(
    pair: &Pair,
    cdc: &CdcSpec,
    wanted: ValidationSpec,
    work: impl AsyncFnOnce(&Arc<Progress>),
) {
    let progress = Arc::new(Progress::new());
    let (source, target) = (
        connector(&pair.source, &Faults::none()),
        connector(&pair.target, &Faults::none()),
    );
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let validator = Validator::new(&source, &target, wanted, &progress);
    let validating = tokio::spawn(validator.keep_up(ended.clone()));
    let run = run_cdc(&source, &target, cdc, &progress, &stop);
    let watch = async {
        work(&progress).await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(run, watch);
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    ended.cancel();
    validating.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_loaded_again_is_compared_again() {
    let pair = pair();
    let spec = wanted(Some(delays(Duration::ZERO)));
    let progress = Arc::new(Progress::new());
    let cdc = CdcSpec {
        touched: Some(Arc::clone(&spec.touched)),
        ..cdc()
    };
    let (source, target) = (
        connector(&pair.source, &Faults::none()),
        connector(&pair.target, &Faults::none()),
    );
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let asked = Arc::clone(&spec.requests);
    let validator = Validator::new(&source, &target, spec, &progress);
    let validating = tokio::spawn(validator.keep_up(ended.clone()));
    let run = run_cdc(&source, &target, &cdc, &progress, &stop);
    let watch = async {
        until(&progress, all_validated).await;
        spoil(&pair.target, "orders", 11, "other");
        asked.ask([name("orders")]);
        until(&progress, |all| {
            all[&name("orders")].state == State::MismatchedRecords
        })
        .await;
        cdc.reloads.ask([name("orders")]);
        until(&progress, |all| {
            all[&name("orders")].reload_count == 1 && all_validated(all)
        })
        .await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(run, watch);
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    ended.cancel();
    validating.await.unwrap();
    assert_eq!(written(&pair.target), []);
}
