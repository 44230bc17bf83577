//! Tables that are asked for again while a full load runs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::memory::{Call, Faults, When};
use whimbrel_core::mapping::TableMappings;
use whimbrel_engine::{
    FullLoadSpec, LoadOutcome, Progress, RepeatedLoad, RetryPolicy, RunError, TableState,
};

use crate::support::{Pair, connector, name, spec, table};

const FINISHED: LoadOutcome = LoadOutcome::Finished { tables_errored: 0 };

async fn run(
    pair: &Pair,
    faults: &Faults,
    tables: &[&str],
    progress: &Arc<Progress>,
) -> Result<LoadOutcome, RunError> {
    let spec = FullLoadSpec {
        keeps_record: true,
        retry: RetryPolicy::default(),
        ..spec()
    };
    let source = connector(&pair.source, faults);
    let target = connector(&pair.target, faults);
    let stop = CancellationToken::new();
    let load = RepeatedLoad::new(&source, &target, &spec, progress, &stop);
    load.load().await?;
    load.load_again(tables.iter().map(|table| name(table)).collect())
        .await
}

#[tokio::test]
async fn a_table_is_loaded_again_and_the_others_are_left_alone() {
    let (pair, progress) = (Pair::new(), Arc::default());
    let source = pair.source.clone();
    // Between the two loads.
    let faults = Faults::meanwhile(Call::Unrecord, 1, move || {
        source.put(table("orders", 120));
        source.put(table("items", 60));
    });
    let outcome = run(&pair, &faults, &["orders"], &progress).await;
    assert_eq!(outcome.unwrap(), FINISHED);
    assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 120);
    assert_eq!(pair.target.rows(&name("items")).unwrap().len(), 42);
    let tables = progress.snapshot().tables;
    assert_eq!(tables[&name("orders")].reload_count, 1);
    assert_eq!(tables[&name("items")].reload_count, 0);
    let is_complete = |table: &whimbrel_engine::TableProgress| table.state == TableState::Completed;
    assert!(tables.values().all(is_complete));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_gone_by_then_is_told_as_gone() {
    let (pair, progress) = (Pair::new(), Arc::default());
    let source = pair.source.clone();
    let faults = Faults::meanwhile(Call::Unrecord, 1, move || {
        source.drop_table(&name("orders"));
    });
    let outcome = run(&pair, &faults, &["orders"], &progress).await;
    assert_eq!(outcome.unwrap(), FINISHED);
    let tables = progress.snapshot().tables;
    assert_eq!(tables[&name("orders")].state, TableState::Dropped);
    assert_eq!(tables[&name("orders")].reload_count, 1);
    assert_eq!(tables[&name("items")].state, TableState::Completed);
}

/// Whoever asked waits until it is heard, whatever comes of it.
#[tokio::test(start_paused = true)]
async fn a_table_that_was_never_there_is_asked_for_again() {
    let (pair, progress) = (Pair::new(), Arc::default());
    let spec = FullLoadSpec {
        keeps_record: true,
        mappings: TableMappings::of_patterns(
            &["%", "late"].map(|table| ("shop".to_owned(), table.to_owned())),
            &[],
        ),
        ..spec()
    };
    let source = connector(&pair.source, &Faults::none());
    let target = connector(&pair.target, &Faults::none());
    let stop = CancellationToken::new();
    let load = RepeatedLoad::new(&source, &target, &spec, &progress, &stop);
    load.load().await.unwrap();
    let late = || progress.snapshot().tables[&name("late")].clone();
    assert_eq!(late().state, TableState::Missing);
    assert_eq!(late().reload_answer_count, 0);
    load.load_again([name("late")].into()).await.unwrap();
    assert_eq!(late().state, TableState::Missing);
    assert_eq!(late().reload_answer_count, 1);
    pair.source.put(table("late", 7));
    load.load_again([name("late")].into()).await.unwrap();
    assert_eq!(late().state, TableState::Completed);
    assert_eq!((late().reload_answer_count, late().reload_count), (2, 0));
    assert_eq!(pair.target.rows(&name("late")).unwrap().len(), 7);
}

/// What is asked for is said by name, and the mappings may be others by then.
#[tokio::test(start_paused = true)]
async fn a_table_that_the_mappings_select_no_more_is_not_told_as_gone() {
    let (pair, progress) = (Pair::new(), Arc::default());
    let spec = FullLoadSpec {
        keeps_record: true,
        mappings: TableMappings::of_patterns(
            &[("%".to_owned(), "%".to_owned())],
            &[("%".to_owned(), "orders".to_owned())],
        ),
        ..spec()
    };
    let source = connector(&pair.source, &Faults::none());
    let target = connector(&pair.target, &Faults::none());
    let stop = CancellationToken::new();
    let load = RepeatedLoad::new(&source, &target, &spec, &progress, &stop);
    load.load().await.unwrap();
    let asked = ["orders", "items"].map(name);
    load.load_again(asked.into()).await.unwrap();
    let tables = progress.snapshot().tables;
    let orders = &tables[&name("orders")];
    assert_eq!(orders.state, TableState::Error);
    let why = orders.message.as_ref().unwrap();
    assert!(why.contains("mappings do not select"), "{why}");
    assert_eq!(tables[&name("items")].state, TableState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_at_any_call_is_mended() {
    let mut struck = 0;
    for call in Call::ALL.into_iter().chain([Call::Unrecord]) {
        for when in [When::Before, When::After] {
            for nth in 1..60 {
                let (pair, progress) = (Pair::new(), Arc::default());
                let faults = Faults::at(call, nth, when, 1);
                let outcome = run(&pair, &faults, &["orders"], &progress).await;
                let place = format!("{call:?} {nth} {when:?}");
                assert_eq!(outcome.unwrap(), FINISHED, "{place}");
                pair.assert_equal();
                let tables = progress.snapshot().tables;
                assert_eq!(tables[&name("orders")].reload_count, 1, "{place}");
                assert_eq!(tables[&name("items")].reload_count, 0, "{place}");
                if faults.struck() == 0 {
                    break;
                }
                struck += 1;
            }
        }
    }
    assert!(struck > 200, "only {struck} faults struck");
}

/// What the target has lost of the other tables meanwhile is loaded again, too.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_put_back_during_a_reload_gets_everything_again() {
    let mut struck = 0;
    for call in [Call::Begin, Call::Write, Call::Commit, Call::Finish] {
        let loaded = Faults::none();
        Pair::new()
            .run(&spec(), &loaded, &Arc::default())
            .await
            .unwrap();
        let first = loaded.count(call) + 1;
        for nth in first..first + 20 {
            let (pair, progress) = (Pair::new(), Arc::default());
            let target = pair.target.clone();
            let faults =
                Faults::meanwhile(call, nth, move || target.put_back()).and_lost(call, nth);
            let outcome = run(&pair, &faults, &["orders"], &progress).await;
            assert_eq!(outcome.unwrap(), FINISHED, "{call:?} {nth}");
            pair.assert_equal();
            let tables = progress.snapshot().tables;
            assert_eq!(tables[&name("items")].reload_count, 0, "{call:?} {nth}");
            struck += faults.struck();
        }
    }
    assert!(struck > 30, "only {struck} faults struck");
}

/// A table that came later has no right to the place of one that is there.
#[tokio::test]
async fn a_table_that_would_take_the_place_of_another_is_refused() {
    let (pair, progress) = (Pair::new(), Arc::default());
    pair.source.drop_table(&name("items"));
    let into_one = r#"{"rules": [
        {"rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
         "object-locator": {"schema-name": "shop", "table-name": "%"}},
        {"rule-type": "transformation", "rule-id": "2", "rule-name": "2", "rule-action": "rename", "rule-target": "table",
         "object-locator": {"schema-name": "shop", "table-name": "items"}, "value": "orders"}]}"#;
    let spec = FullLoadSpec {
        mappings: TableMappings::parse(into_one).unwrap(),
        keeps_record: true,
        ..spec()
    };
    let source = connector(&pair.source, &Faults::none());
    let target = connector(&pair.target, &Faults::none());
    let stop = CancellationToken::new();
    let load = RepeatedLoad::new(&source, &target, &spec, &progress, &stop);
    assert_eq!(load.load().await.unwrap(), FINISHED);
    pair.source.put(table("items", 42));
    let outcome = load.load_again([name("items")].into()).await.unwrap();
    assert_eq!(outcome, LoadOutcome::Finished { tables_errored: 1 });
    let tables = progress.snapshot().tables;
    let why = tables[&name("items")].message.clone().unwrap();
    assert!(why.contains("would also receive"), "{why}");
    assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 95);
}
