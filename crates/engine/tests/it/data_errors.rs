//! Rows that a target refuses: what becomes of them as the task's policies say.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use whimbrel_connector::PrepareMode;
use whimbrel_connector::control_tables::{ControlValue, LOAD_EXCEPTIONS};
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryTable, When};
use whimbrel_engine::{
    DataErrors, Escalation, FullLoadSpec, LoadExceptions, LoadOutcome, Progress, RowPolicy,
    TableState,
};

use crate::support::{Pair, name, spec, table};

/// Rows of `orders` that are in the way at the target: the first, one in the middle, two in a row, and the last.
const IN_THE_WAY: [i64; 5] = [0, 33, 60, 61, 94];

fn pair() -> Pair {
    let pair = Pair::new();
    let rows = IN_THE_WAY.map(|id| vec![Cell::Int(id), Cell::Text("in the way".to_owned())]);
    pair.target.put(MemoryTable {
        rows: rows.to_vec(),
        ..table("orders", 0)
    });
    pair
}

fn keeping(policy: Option<RowPolicy>) -> FullLoadSpec {
    FullLoadSpec {
        prepare: PrepareMode::DoNothing,
        data_errors: DataErrors {
            refused: policy,
            ..DataErrors::default()
        },
        load_exceptions: Some(LoadExceptions { home: None }),
        ..spec()
    }
}

fn assert_left_out(pair: &Pair, place: &str) {
    let mut expected = pair.source.rows(&name("orders")).unwrap();
    for row in &mut expected {
        if IN_THE_WAY.iter().any(|id| row[0] == Cell::Int(*id)) {
            row[1] = Cell::Text("in the way".to_owned());
        }
    }
    assert_eq!(
        pair.target.rows(&name("orders")).unwrap(),
        expected,
        "{place}"
    );
    let items = name("items");
    assert_eq!(
        pair.target.rows(&items),
        pair.source.rows(&items),
        "{place}"
    );
}

fn written(pair: &Pair) -> Vec<String> {
    let rows = pair.target.control_rows(&LOAD_EXCEPTIONS);
    let mut statements: Vec<String> = rows
        .into_iter()
        .map(|row| match &row[4] {
            ControlValue::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    statements.sort();
    statements
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_refused_are_left_out_and_told_and_all_others_arrive() {
    for block_bytes in [16, 64, 4096] {
        let pair = pair();
        let progress = Arc::new(Progress::new());
        let spec = FullLoadSpec {
            block_bytes,
            ..keeping(Some(RowPolicy::Report))
        };
        let outcome = pair.run(&spec, &Faults::none(), &progress).await.unwrap();
        assert_eq!(outcome, LoadOutcome::Finished { tables_errored: 0 });
        assert_left_out(&pair, &format!("blocks of {block_bytes}"));
        let snapshot = progress.snapshot();
        let orders = &snapshot.tables[&name("orders")];
        assert_eq!((orders.row_count, orders.error_row_count), (90, 5));
        assert_eq!(snapshot.error_row_count(), 5);
        assert_eq!(
            written(&pair),
            [
                "INSERT INTO shop.orders (id, note) VALUES ('0', NULL)",
                "INSERT INTO shop.orders (id, note) VALUES ('33', 'note 33')",
                "INSERT INTO shop.orders (id, note) VALUES ('60', 'note 60')",
                "INSERT INTO shop.orders (id, note) VALUES ('61', 'note 61')",
                "INSERT INTO shop.orders (id, note) VALUES ('94', 'note 94')",
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_refused_row_puts_its_table_into_error() {
    for policy in [None, Some(RowPolicy::SuspendTable)] {
        let pair = pair();
        let progress = Arc::new(Progress::new());
        let outcome = pair.run(&keeping(policy), &Faults::none(), &progress).await;
        assert_eq!(
            outcome.unwrap(),
            LoadOutcome::Finished { tables_errored: 1 }
        );
        let snapshot = progress.snapshot();
        assert_eq!(snapshot.tables[&name("orders")].state, TableState::Error);
        assert_eq!(snapshot.error_row_count(), 0);
        assert_eq!(snapshot.tables[&name("items")].state, TableState::Completed);
        assert!(written(&pair).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_row_ends_the_task_where_the_policy_says_so() {
    let pair = pair();
    let progress = Arc::new(Progress::new());
    let spec = keeping(Some(RowPolicy::StopTask));
    let error = pair
        .run(&spec, &Faults::none(), &progress)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("shop.orders"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn many_rows_escalate() {
    let escalated = |count, then| {
        let mut spec = keeping(Some(RowPolicy::Ignore));
        let count = NonZeroU64::new(count).unwrap();
        spec.data_errors.escalation = Some(Escalation { count, then });
        spec
    };
    let run = async |spec: FullLoadSpec| {
        let progress = Arc::new(Progress::new());
        let outcome = pair().run(&spec, &Faults::none(), &progress).await;
        outcome.map_err(|error| error.to_string())
    };
    let whole = Ok(LoadOutcome::Finished { tables_errored: 0 });
    assert_eq!(run(escalated(6, RowPolicy::SuspendTable)).await, whole);
    let errored = Ok(LoadOutcome::Finished { tables_errored: 1 });
    assert_eq!(run(escalated(5, RowPolicy::SuspendTable)).await, errored);
    let stopped = run(escalated(3, RowPolicy::StopTask)).await;
    assert!(stopped.unwrap_err().contains("shop.orders"));
}

#[tokio::test(start_paused = true)]
async fn tables_in_error_end_the_task_when_there_are_as_many_as_the_user_says() {
    for (most, ends) in [(1, true), (2, false)] {
        let spec = FullLoadSpec {
            tables_in_error_max: NonZeroU32::new(most),
            ..keeping(None)
        };
        let progress = Arc::new(Progress::new());
        let outcome = pair().run(&spec, &Faults::none(), &progress).await;
        assert_eq!(outcome.is_err(), ends, "{outcome:?}");
    }
}

/// Every call of a load that leaves rows out fails once, before and after its effect.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_leaves_out_no_other_row() {
    let mut struck = 0;
    for call in [
        Call::Connect,
        Call::Begin,
        Call::Write,
        Call::Commit,
        Call::WriteControl,
    ] {
        for when in [When::Before, When::After] {
            for nth in 1..60 {
                let pair = pair();
                let faults = Faults::at(call, nth, when, 1);
                let mut spec = keeping(Some(RowPolicy::Report));
                spec.retry.retries_max = 3;
                let progress = Arc::new(Progress::new());
                let outcome = pair.run(&spec, &faults, &progress).await;
                let place = format!("{call:?} {nth} {when:?}");
                outcome.unwrap_or_else(|error| panic!("{place}: {error}"));
                assert_left_out(&pair, &place);
                let mut told = written(&pair);
                told.dedup();
                assert_eq!(told.len(), IN_THE_WAY.len(), "{place}");
                if faults.struck() == 0 {
                    break;
                }
                struck += 1;
            }
        }
    }
    assert!(struck > 20, "{struck}");
}
