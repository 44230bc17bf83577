//! Where a load and the changes meet: what lies between them is lost in silence if they do not fit.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, MemoryTable, Row, When};
use whimbrel_core::clock::now_us;
use whimbrel_core::{Column, ColumnType, Generation, Table};
use whimbrel_engine::{
    CdcEnd, CdcOutcome, CdcSpec, CdcStart, OnTruncate, Progress, StopTime, TableState,
};

use crate::cdc::{caught_up, cdc, follow};
use crate::definitions::{pair, rows};
use crate::support::{Pair, name, table};

pub(crate) fn row(id: i64) -> Row {
    vec![Cell::Int(id), Cell::Text(format!("note {id}"))]
}

pub(crate) fn insert(table: &str, id: i64) -> MemoryChange {
    MemoryChange::Insert(name(table), row(id))
}

fn numbered(table_name: &str, row_count: i64, id: u32) -> Table {
    let mut made = table(table_name, row_count).table;
    made.id = Some(id);
    for (place, column) in (1..).zip(&mut made.columns) {
        column.id = Some(place);
    }
    made
}

pub(crate) fn longer(table: &Table) -> Table {
    let mut longer = table.clone();
    longer.columns.push(Column {
        name: "further".to_owned(),
        ty: ColumnType::Text { bytes_max: None },
        native: "any".to_owned(),
        nullable: true,
        generation: Generation::None,
        id: Some(900),
        default: None,
    });
    longer
}

pub(crate) fn resumed() -> CdcSpec {
    CdcSpec {
        start: CdcStart::Resume,
        ..cdc()
    }
}

pub(crate) fn assert_equal(pair: &Pair, tables: &[&str], place: &str) {
    for table in tables {
        let table = name(table);
        let (target, source) = (rows(&pair.target, &table), rows(&pair.source, &table));
        assert_eq!(target, source, "{place}: {table}");
    }
}

pub(crate) fn state(progress: &Progress, table: &str) -> Option<TableState> {
    let tables = progress.snapshot().tables;
    tables.get(&name(table)).map(|entry| entry.state)
}

/// All rows of a table are at the target and its key cannot be built. Nobody has the log kept for it then, and the others go on.
#[tokio::test(start_paused = true)]
async fn a_table_whose_key_was_mended_later_lacks_nothing_of_what_came_meanwhile() {
    for end in [CdcEnd::Never, CdcEnd::AfterCachedChanges] {
        let pair = pair(true);
        let target = pair.target.clone();
        let doubled = move || {
            let mut table = target.get(&name("further")).unwrap();
            table.rows.push(table.rows[0].clone());
            target.put(table);
        };
        // The other two are finished first.
        let faults = Faults::meanwhile(Call::Finish, 3, doubled);
        let outcome = follow(&pair, &cdc(), &faults, async |progress| {
            caught_up(&pair, progress).await;
            let made = numbered("further", 0, 77);
            let made = MemoryChange::Create(Box::new(made));
            pair.source.transact(vec![made, insert("further", 1)]);
            while state(progress, "further") != Some(TableState::Error) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for id in 2..6 {
                pair.source
                    .transact(vec![insert("further", id), insert("orders", 1000 + id)]);
            }
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_eq!(pair.target.rows(&name("further")).unwrap().len(), 2);
        let mut mended = pair.target.get(&name("further")).unwrap();
        mended.rows.pop();
        pair.target.put(mended);
        let again = CdcSpec {
            end: end.clone(),
            ..resumed()
        };
        let outcome = follow(&pair, &again, &Faults::none(), async |_| {
            if end != CdcEnd::Never {
                std::future::pending::<()>().await;
            }
        })
        .await;
        outcome.unwrap();
        assert_equal(&pair, &["orders", "items", "further"], &format!("{end:?}"));
    }
}

/// A first load that failed for a table stays whole: what it has committed is of the log from where it began, and is gone on with.
#[tokio::test(start_paused = true)]
async fn a_table_whose_rows_are_all_there_is_gone_on_with_while_the_log_is_kept_for_it() {
    let pair = pair(true);
    // Ends at the key of the last table, behind all rows.
    let faults = Faults::at(Call::Finish, 2, When::Before, 1000);
    let mut once = cdc();
    once.load.retry.retries_max = 0;
    let first = follow(&pair, &once, &faults, async |_| {}).await;
    first.unwrap_err();
    let faults = Faults::none();
    let outcome = follow(&pair, &resumed(), &faults, async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(faults.count(Call::Prepare), 0);
    assert_equal(&pair, &["orders", "items"], "gone on with");
}

/// The target has a part of a transaction, with its count of changes, when a table that is in the count is to leave.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_loaded_again_leaves_no_part_of_a_transaction_with_a_wrong_count() {
    let mut struck = 0;
    for call in Call::OF_CDC {
        for when in [When::Before, When::After] {
            for (nth, count) in (1..12).flat_map(|nth| [(nth, 2), (nth, 3)]) {
                let pair = pair(false);
                let spec = cdc();
                let orders = pair.source.get(&name("orders")).unwrap().table;
                let altered = longer(&orders);
                let mut behind = row(501);
                behind.push(Cell::Text("behind".to_owned()));
                let transaction = vec![
                    insert("items", 500),
                    insert("items", 501),
                    insert("orders", 500),
                    MemoryChange::Alter(name("orders"), Box::new(altered)),
                    MemoryChange::Insert(name("orders"), behind),
                    insert("items", 502),
                ];
                let faults = Faults::at(call, nth, when, count);
                let place = format!("{call:?} {nth} {when:?} {count}");
                let asked = Arc::clone(&spec.reloads);
                let outcome = follow(&pair, &spec, &faults, async |progress| {
                    caught_up(&pair, progress).await;
                    pair.source.transact(transaction);
                    // Asked while an attempt is over and the next has not begun.
                    while faults.struck() == 0 && !is_at_end(&pair, progress) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    asked.ask([name("items")]);
                    while faults.struck() < count && !is_at_end(&pair, progress) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    pair.source.transact(vec![insert("orders", 503).longer()]);
                })
                .await;
                assert!(
                    matches!(outcome, Ok(CdcOutcome::Stopped)),
                    "{place}: {outcome:?}"
                );
                assert_equal(&pair, &["orders", "items"], &place);
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 100, "only {struck} faults struck");
}

/// The rows of a table with one column more.
pub(crate) trait Longer {
    fn longer(self) -> Self;
}

impl Longer for MemoryChange {
    fn longer(self) -> Self {
        match self {
            Self::Insert(table, mut row) => {
                row.push(Cell::Null);
                Self::Insert(table, row)
            }
            other => other,
        }
    }
}

fn is_at_end(pair: &Pair, progress: &Progress) -> bool {
    let checkpoint = progress.snapshot().follow.and_then(|cdc| cdc.checkpoint);
    checkpoint == Some(format!("memory:{}", pair.source.log_end()))
}

/// Its changes are in the count of the part that the target has, and it is another one by now when that part comes again.
#[tokio::test(start_paused = true)]
async fn a_table_that_was_made_anew_leaves_no_part_of_a_transaction_with_a_wrong_count() {
    let mut struck = 0;
    for call in Call::OF_CDC {
        for when in [When::Before, When::After] {
            for nth in 1..20 {
                let pair = pair(false);
                let orders = pair.source.get(&name("orders")).unwrap().table;
                let mut behind = row(501);
                behind.push(Cell::Text("behind".to_owned()));
                let transaction = vec![
                    insert("items", 500),
                    insert("items", 501),
                    insert("orders", 500),
                    MemoryChange::Alter(name("orders"), Box::new(longer(&orders))),
                    MemoryChange::Insert(name("orders"), behind),
                    insert("orders", 502).longer(),
                    insert("items", 502),
                ];
                let faults = Faults::at(call, nth, when, 1);
                let place = format!("{call:?} {nth} {when:?}");
                let outcome = follow(&pair, &cdc(), &faults, async |progress| {
                    caught_up(&pair, progress).await;
                    pair.source.transact(transaction);
                    pair.source.transact(vec![
                        MemoryChange::Drop(name("items")),
                        MemoryChange::Create(Box::new(numbered("items", 0, 78))),
                        insert("items", 600),
                    ]);
                    pair.source.transact(vec![insert("orders", 503).longer()]);
                })
                .await;
                assert!(
                    matches!(outcome, Ok(CdcOutcome::Stopped)),
                    "{place}: {outcome:?}"
                );
                assert_equal(&pair, &["orders", "items"], &place);
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 50, "only {struck} faults struck");
}

/// Far enough that a load in memory has begun by then.
const UNTIL_STOP_US: i64 = 1_500_000;

/// Runs with a time to stop that comes while a table is loaded again.
async fn stopped_while_loading(
    stop_at: impl Fn(i64) -> StopTime,
) -> (Pair, Result<CdcOutcome, whimbrel_engine::RunError>) {
    let pair = pair(true);
    let at_us = now_us() + UNTIL_STOP_US;
    let spec = CdcSpec {
        stop_at: Some(stop_at(at_us)),
        ..cdc()
    };
    let source = pair.source.clone();
    // The clock of a commit is that of the machine. The time passes while the third table is planned, and its load has to begin once more.
    let meanwhile = move || {
        while now_us() <= at_us {
            std::hint::spin_loop();
        }
        source.transact(vec![insert("orders", 700)]);
        source.transact(vec![insert("items", 700)]);
    };
    let faults = Faults::meanwhile(Call::Plan, 3, meanwhile).and_lost(Call::Plan, 3);
    let asked = Arc::clone(&spec.reloads);
    let outcome = follow(&pair, &spec, &faults, async |progress| {
        caught_up(&pair, progress).await;
        asked.ask([name("items")]);
        pair.source.transact(vec![insert("items", 600)]);
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(faults.struck(), 1, "the table is loaded again");
    (pair, outcome)
}

/// The end is a success, so that what was to be loaded again is there.
#[tokio::test(start_paused = true)]
async fn a_run_with_a_time_to_stop_waits_for_tables_that_are_loaded_again() {
    let (pair, outcome) = stopped_while_loading(StopTime::Server).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::ServerTime);
    let mut items = pair.source.rows(&name("items")).unwrap();
    items.retain(|known| *known != row(700));
    let mut arrived = pair.target.rows(&name("items")).unwrap();
    arrived.retain(|known| *known != row(700));
    assert_eq!(arrived, items);
    let (pair, outcome) = stopped_while_loading(StopTime::Commit).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::CommitTime);
    let items = pair.target.rows(&name("items")).unwrap();
    assert!(items.contains(&row(600)), "{items:?}");
    let orders = pair.target.rows(&name("orders")).unwrap();
    assert!(!orders.contains(&row(700)), "it was committed later");
}

/// A transaction in whose middle a definition changes.
fn defining(pair: &Pair) -> Vec<MemoryChange> {
    let orders = pair.source.get(&name("orders")).unwrap().table;
    let mut behind = row(501);
    behind.push(Cell::Text("behind".to_owned()));
    vec![
        insert("items", 500),
        insert("orders", 500),
        MemoryChange::Alter(name("orders"), Box::new(longer(&orders))),
        MemoryChange::Insert(name("orders"), behind),
        insert("items", 501),
    ]
}

/// A target that commits definitions by themselves has nothing of it.
#[tokio::test(start_paused = true)]
async fn nothing_is_defined_behind_the_time_to_stop() {
    let pair = pair(false);
    let before = (
        pair.source.get(&name("orders")),
        pair.source.get(&name("items")),
    );
    let limit_us = now_us();
    let spec = CdcSpec {
        stop_at: Some(StopTime::Commit(limit_us)),
        ..cdc()
    };
    let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        while now_us() <= limit_us {
            std::hint::spin_loop();
        }
        pair.source.transact(defining(&pair));
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::CommitTime);
    for (table, before) in [("orders", before.0), ("items", before.1)] {
        let (at, before) = (pair.target.get(&name(table)).unwrap(), before.unwrap());
        assert_eq!(
            at.table.columns.len(),
            before.table.columns.len(),
            "{table}"
        );
        assert_eq!(at.rows.len(), before.rows.len(), "{table}");
    }
}

/// Three tables exchange their names in one transaction, with rows between.
fn exchanging(pair: &Pair) -> Vec<MemoryChange> {
    let ring = [
        ("orders", "aside"),
        ("items", "orders"),
        ("further", "items"),
        ("aside", "further"),
    ];
    let shape = |table: &str| {
        let before = if table == "aside" { "orders" } else { table };
        pair.source.get(&name(before)).unwrap().table
    };
    let mut changes = Vec::new();
    for (id, (from, to)) in (900..).zip(ring) {
        let renamed = Table {
            name: name(to),
            ..shape(from)
        };
        changes.push(MemoryChange::Alter(name(from), Box::new(renamed)));
        changes.push(insert(to, id));
    }
    changes
}

/// A target that commits definitions by themselves is told which were begun.
#[tokio::test(start_paused = true)]
async fn names_that_are_exchanged_are_right_wherever_the_task_is_cut() {
    let mut struck = 0;
    for call in Call::OF_CDC {
        for (nth, when) in (1..12).flat_map(|nth| [(nth, When::Before), (nth, When::After)]) {
            let place = format!("{call:?} {nth} {when:?}");
            let pair = pair(false);
            pair.source.put(MemoryTable {
                table: numbered("further", 7, 77),
                ..table("further", 7)
            });
            let mut once = cdc();
            once.load.retry.retries_max = 0;
            let none = Faults::none();
            let first = follow(&pair, &once, &none, async |_| {}).await;
            assert_eq!(first.unwrap(), CdcOutcome::Stopped);
            let faults = Faults::at(call, nth, when, 1);
            let mut cut = resumed();
            cut.load.retry.retries_max = 0;
            let ended = follow(&pair, &cut, &faults, async |_| {
                pair.source.transact(exchanging(&pair));
            })
            .await;
            struck += faults.struck();
            let loads = Faults::none();
            let last = follow(&pair, &resumed(), &loads, async |_| {}).await;
            assert_eq!(last.unwrap(), CdcOutcome::Stopped, "{place}: {ended:?}");
            assert_eq!(
                loads.count(Call::Prepare),
                0,
                "{place}: nothing is loaded again"
            );
            assert_equal(&pair, &["orders", "items", "further", "aside"], &place);
        }
    }
    assert!(struck > 20, "only {struck} faults struck");
}

/// The target has a part of a transaction, and the source tells a place in front of it: where it is, for long, or an empty transaction that it had left out.
#[tokio::test(start_paused = true)]
async fn a_place_in_front_of_a_part_does_not_take_its_place() {
    for is_empty_one in [false, true] {
        let pair = pair(false);
        // What comes twice shows where there is no key.
        let mut events = MemoryTable {
            table: numbered("events", 0, 77),
            ..table("events", 0)
        };
        events.table.primary_key.clear();
        pair.source.put(events);
        let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {}).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let mut once = resumed();
        once.load.retry.retries_max = 0;
        let faults = Faults::at(Call::Define, 1, When::After, 1);
        let cut = follow(&pair, &once, &faults, async |_| {
            let mut changes = vec![insert("events", 1)];
            changes.extend(defining(&pair));
            pair.source.transact(changes);
        })
        .await;
        cut.unwrap_err();
        assert_eq!(faults.struck(), 1);
        if is_empty_one {
            pair.source.tell_empty_before_last();
        }
        // Three tables, and the place.
        pair.source.tell_in_pieces(1, 4);
        // Where the place was written down, what comes next would write the part down again.
        let faults = Faults::at(Call::ApplyCommit, 2, When::Before, 1);
        let cut = follow(&pair, &once, &faults, async |_| {
            tokio::time::sleep(Duration::from_mins(1)).await;
            pair.source.tell_in_pieces(1, usize::MAX);
        })
        .await;
        cut.unwrap_err();
        assert_eq!(faults.struck(), 1);
        let outcome = follow(&pair, &resumed(), &Faults::none(), async |_| {}).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_equal(&pair, &["orders", "items", "events"], "after both");
    }
}

/// Behind the wanted end comes a transaction that begins with a definition, and is not whole yet when all up to the end is applied.
#[tokio::test(start_paused = true)]
async fn a_run_that_ends_leaves_no_part_of_a_transaction_that_defines_first() {
    let pair = pair(false);
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    pair.source.transact(vec![insert("items", 400)]);
    let orders = pair.source.get(&name("orders")).unwrap().table;
    let behind = vec![
        MemoryChange::Alter(name("orders"), Box::new(longer(&orders))),
        insert("items", 500),
        insert("items", 501),
    ];
    let source = pair.source.clone();
    let faults = Faults::meanwhile(Call::StreamNext, 1, move || source.transact(behind));
    pair.source.tell_in_pieces(1, usize::MAX);
    let spec = CdcSpec {
        end: CdcEnd::AfterCachedChanges,
        ..resumed()
    };
    let outcome = follow(&pair, &spec, &faults, async |_| {
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::CaughtUp);
    assert_eq!(faults.count(Call::Define), 1, "it was begun");
    assert_equal(&pair, &["orders", "items"], "at the end");
}

/// Right in front of a transaction that is larger than a batch comes one of which nothing is applied.
#[tokio::test(start_paused = true)]
async fn a_part_is_written_down_right_behind_what_came_before_it() {
    let pair = pair(false);
    let mut events = MemoryTable {
        table: numbered("events", 0, 77),
        ..table("events", 0)
    };
    events.table.primary_key.clear();
    pair.source.put(events);
    let mut spec = cdc();
    spec.on_ddl.on_truncate = OnTruncate::Keep;
    spec.batch_changes_max = 2;
    spec.load.retry.retries_max = 0;
    let outcome = follow(&pair, &spec, &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    spec.start = CdcStart::Resume;
    let mut changes: Vec<_> = (1..7).map(|id| insert("events", id)).collect();
    changes.extend(defining(&pair));
    // Both are in the log when it is opened, so that nothing is written between them for long.
    let nothing = MemoryChange::Truncate(name("events"));
    pair.source.transact(vec![nothing]);
    pair.source.transact(changes);
    // A batch is full before the definition comes.
    pair.source.tell_in_pieces(1, usize::MAX);
    let faults = Faults::at(Call::Define, 1, When::After, 1);
    let cut = follow(&pair, &spec, &faults, async |_| {}).await;
    cut.unwrap_err();
    assert_eq!(faults.struck(), 1);
    let outcome = follow(&pair, &spec, &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_equal(&pair, &["orders", "items", "events"], "after the cut");
}

/// A part of a transaction is at the target, and the resume is to end before that transaction.
#[tokio::test(start_paused = true)]
async fn a_part_becomes_whole_though_the_task_is_to_end_before_it() {
    let pair = pair(false);
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let limit_us = now_us();
    while now_us() <= limit_us {
        std::hint::spin_loop();
    }
    let mut once = resumed();
    once.load.retry.retries_max = 0;
    let faults = Faults::at(Call::Define, 1, When::After, 1);
    let cut = follow(&pair, &once, &faults, async |_| {
        pair.source.transact(defining(&pair));
    })
    .await;
    cut.unwrap_err();
    let whole = pair.source.get(&name("items")).unwrap();
    pair.source.transact(vec![insert("items", 600)]);
    let spec = CdcSpec {
        stop_at: Some(StopTime::Commit(limit_us)),
        ..resumed()
    };
    let outcome = follow(&pair, &spec, &Faults::none(), async |_| {
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::CommitTime);
    assert_equal(&pair, &["orders"], "whole");
    let items = pair.target.get(&name("items")).unwrap();
    assert_eq!(items.rows.len(), whole.rows.len(), "and nothing behind it");
}
