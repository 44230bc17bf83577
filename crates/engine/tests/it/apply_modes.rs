//! How changes are put together into transactions of the target, and what ends a task that applies them.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, Row, When};
use whimbrel_engine::{
    ApplyErrors, CdcOutcome, CdcSpec, DdlPolicy, Escalation, LeftOut, OnTruncate, Progress,
    RowPolicy, TableState,
};

use crate::cdc::{caught_up, cdc, follow, pair};
use crate::support::{Pair, name};

fn row(id: i64) -> Row {
    vec![Cell::Int(id), Cell::Text("new".to_owned())]
}

fn insert(id: i64) -> MemoryChange {
    MemoryChange::Insert(name("items"), row(id))
}

/// So many transactions of one row, so far apart.
async fn trickle(pair: &Pair, transactions: i64, apart: Duration) {
    for id in 0..transactions {
        pair.source.transact(vec![insert(1000 + id)]);
        sleep(apart).await;
    }
}

/// Transactions of the target for what `work` does once everything else is applied.
async fn commits(spec: &CdcSpec, work: impl AsyncFnOnce(&Pair, &Progress)) -> u32 {
    let pair = pair();
    let faults = Faults::none();
    let mut before = 0;
    let outcome = follow(&pair, spec, &faults, async |progress| {
        caught_up(&pair, progress).await;
        before = faults.count(Call::ApplyCommit);
        work(&pair, progress).await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let items = name("items");
    assert_eq!(pair.target.rows(&items), pair.source.rows(&items));
    faults.count(Call::ApplyCommit) - before
}

#[tokio::test(start_paused = true)]
async fn each_transaction_is_applied_by_itself_where_that_is_wanted() {
    let burst = async |pair: &Pair, progress: &Progress| {
        for id in 0..30 {
            pair.source
                .transact(vec![insert(1000 + id), insert(2000 + id)]);
        }
        caught_up(pair, progress).await;
    };
    let together = commits(&cdc(), burst).await;
    assert!(together < 30, "{together}");
    let one_by_one = CdcSpec {
        is_one_at_a_time: true,
        folds: false,
        ..cdc()
    };
    assert_eq!(commits(&one_by_one, burst).await, 30);
    // One that is larger than a batch is still one.
    let in_pieces = CdcSpec {
        batch_changes_max: 1,
        ..one_by_one
    };
    assert_eq!(commits(&in_pieces, burst).await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_gathered_no_shorter_than_the_least_and_no_longer_than_the_longest_wait() {
    let gathering = |min, max: Option<u64>| CdcSpec {
        batch_wait: Some(Duration::from_secs(min)),
        batch_wait_max: max.map(Duration::from_secs),
        ..cdc()
    };
    // Twelve seconds in which something comes every tenth of one.
    let busy = async |pair: &Pair, progress: &Progress| {
        trickle(pair, 120, Duration::from_millis(100)).await;
        caught_up(pair, progress).await;
    };
    let short = commits(&gathering(1, None), busy).await;
    assert!((10..=13).contains(&short), "{short}");
    let long = commits(&gathering(1, Some(4)), busy).await;
    assert!((3..=4).contains(&long), "{long}");
    let whole = commits(&gathering(1, Some(60)), busy).await;
    assert_eq!(whole, 1);

    // A source that falls silent is not waited for longer than the least wait.
    let silent = async |pair: &Pair, progress: &Progress| {
        // Long enough that the checkpoint of a source without changes would be written anew.
        sleep(Duration::from_mins(1)).await;
        let begun = Instant::now();
        pair.source.transact(vec![insert(1000)]);
        caught_up(pair, progress).await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(1), "{took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    };
    assert!(commits(&gathering(1, Some(60)), silent).await > 0);
}

/// The key of what comes is there already, so often.
async fn conflicts(spec: &CdcSpec, count: i64) -> (Result<CdcOutcome, String>, Pair, TableState) {
    let pair = pair();
    let mut state = TableState::BeforeLoad;
    let outcome = follow(&pair, spec, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        let mut standing = pair.target.get(&name("items")).unwrap();
        let rows = (0..count).map(|id| vec![Cell::Int(1000 + id), Cell::Null]);
        standing.rows.extend(rows);
        pair.target.put(standing);
        trickle(&pair, count, Duration::from_secs(1)).await;
        caught_up(&pair, progress).await;
        state = progress.snapshot().tables[&name("items")].state;
    })
    .await;
    (outcome.map_err(|error| error.to_string()), pair, state)
}

#[tokio::test(start_paused = true)]
async fn many_changes_that_are_left_out_escalate() {
    let escalated = |count, then| CdcSpec {
        on_apply_error: ApplyErrors {
            insert: RowPolicy::Ignore,
            escalation: Some(Escalation {
                count: NonZeroU64::new(count).unwrap(),
                then,
            }),
            ..ApplyErrors::default()
        },
        ..cdc()
    };
    let (outcome, pair, state) = conflicts(&escalated(4, RowPolicy::SuspendTable), 3).await;
    assert_eq!(
        (outcome, state),
        (Ok(CdcOutcome::Stopped), TableState::Completed)
    );
    assert!(pair.target.exceptions().is_empty());
    let (outcome, pair, state) = conflicts(&escalated(3, RowPolicy::SuspendTable), 3).await;
    assert_eq!(
        (outcome, state),
        (Ok(CdcOutcome::Stopped), TableState::Error)
    );
    assert_eq!(pair.target.exceptions().len(), 1);
    let (outcome, ..) = conflicts(&escalated(2, RowPolicy::StopTask), 3).await;
    assert!(outcome.unwrap_err().contains("shop.items"));
    // A table that goes into error may be one too many.
    let mut spec = escalated(1, RowPolicy::SuspendTable);
    spec.load.tables_in_error_max = NonZeroU32::new(1);
    let (outcome, ..) = conflicts(&spec, 1).await;
    assert!(outcome.unwrap_err().contains("TableErrorEscalationCount"));
}

#[tokio::test(start_paused = true)]
async fn a_truncation_ends_the_task_behind_all_that_came_before_it() {
    let pair = pair();
    let spec = CdcSpec {
        on_ddl: DdlPolicy {
            on_truncate: OnTruncate::Fail,
            ..DdlPolicy::default()
        },
        ..cdc()
    };
    let mut before = None;
    let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        pair.source.transact(vec![insert(1000)]);
        before = pair.source.rows(&name("items"));
        pair.source
            .transact(vec![insert(1001), MemoryChange::Truncate(name("items"))]);
        std::future::pending::<()>().await;
    })
    .await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("shop.items was truncated"), "{error}");
    assert_eq!(pair.target.rows(&name("items")), before);
}

/// What is applied of a transaction that is cut off comes again.
#[tokio::test(start_paused = true)]
async fn changes_of_a_transaction_that_is_cut_off_are_counted_once() {
    let mut struck = 0;
    for nth in 1..12 {
        let pair = pair();
        let spec = CdcSpec {
            batch_changes_max: 10,
            ..cdc()
        };
        pair.source.tell_in_pieces(10, usize::MAX);
        let faults = Faults::at(Call::Apply, nth, When::After, 1);
        let outcome = follow(&pair, &spec, &faults, async |progress| {
            caught_up(&pair, progress).await;
            pair.source.transact((1000..1095).map(insert).collect());
            caught_up(&pair, progress).await;
            let counts = progress.snapshot().tables[&name("items")].changes;
            assert_eq!(counts.inserts, 95, "cut at call {nth}");
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        struck += faults.struck();
    }
    assert!(struck > 5, "{struck}");
}

/// Follows a transaction of changes of so many rows of `items`, which the target lacks. Answers what it has of them then, and what was left out.
async fn without_rows(
    errors: ApplyErrors,
    count: u64,
    changes: fn(&mut Vec<MemoryChange>, i64),
) -> (u64, LeftOut) {
    let pair = pair();
    let spec = CdcSpec {
        on_apply_error: errors,
        ..cdc()
    };
    let items = name("items");
    let mut left_out = LeftOut::default();
    let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        let ids = (1000..).zip(0..count).map(|(id, _)| id);
        let coming = ids.clone().map(insert);
        pair.source.transact(coming.collect());
        caught_up(&pair, progress).await;
        let mut standing = pair.target.get(&items).unwrap();
        standing.rows.retain(|row| row[0] < Cell::Int(1000));
        pair.target.put(standing);
        let mut all = Vec::new();
        ids.for_each(|id| changes(&mut all, id));
        pair.source.transact(all);
        caught_up(&pair, progress).await;
        left_out = progress.snapshot().tables[&items].changes.left_out;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let there = pair.target.rows(&items).unwrap().into_iter();
    let there = there.filter(|row| row[0] >= Cell::Int(1000));
    (there.count() as u64, left_out)
}

/// Many, and few of which nothing is written down.
fn unnamed() -> [(ApplyErrors, u64); 2] {
    let ignoring = ApplyErrors {
        missing_update: RowPolicy::Ignore,
        missing_delete: RowPolicy::Ignore,
        ..ApplyErrors::default()
    };
    [(ignoring, 100), (ApplyErrors::default(), 1200)]
}

#[tokio::test(start_paused = true)]
async fn a_row_that_goes_and_comes_again_comes_where_it_was_not_there() {
    for (errors, count) in unnamed() {
        let (there, left_out) = without_rows(errors, count, |all, id| {
            all.push(MemoryChange::Delete(name("items"), row(id)));
            all.push(insert(id));
        })
        .await;
        assert_eq!(there, count);
        assert_eq!((left_out.updates, left_out.deletes), (0, count));
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_changes_its_key_does_not_come_where_it_was_not_there() {
    for (errors, count) in unnamed() {
        let (there, left_out) = without_rows(errors, count, |all, id| {
            all.push(MemoryChange::Update {
                table: name("items"),
                before: row(id),
                after: row(id + 5000),
                not_sent: Vec::new(),
            });
        })
        .await;
        assert_eq!(there, 0);
        assert_eq!((left_out.updates, left_out.deletes), (count, 0));
    }
}
