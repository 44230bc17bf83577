//! A target that commits each definition by itself has a part of a transaction for a while: who is told what of it, and which changes are in its count.

use std::sync::Arc;

use whimbrel_connector::LoadRecord;
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, MemoryDatabase, When};
use whimbrel_core::Table;
use whimbrel_engine::{CdcEnd, CdcOutcome, CdcSpec, RowPolicy, TableState};

use crate::cdc::{caught_up, cdc, follow};
use crate::definitions::pair;
use crate::seam::{Longer as _, assert_equal, insert, longer, resumed, state};
use crate::support::{Pair, connector, name};

/// A row of the target alone, which is in the way of one of the source.
fn put_in_the_way(target: &MemoryDatabase, table: &str, id: i64) {
    let mut table = target.get(&name(table)).unwrap();
    table
        .rows
        .push(vec![Cell::Int(id), Cell::Text("target".to_owned())]);
    target.put(table);
}

fn take_out_of_the_way(target: &MemoryDatabase, table: &str, id: i64) {
    let mut table = target.get(&name(table)).unwrap();
    table.rows.retain(|row| row[0] != Cell::Int(id));
    target.put(table);
}

fn suspending() -> CdcSpec {
    let mut spec = cdc();
    spec.on_apply_error.insert = RowPolicy::SuspendTable;
    spec
}

fn altering(pair: &Pair, table: &str) -> MemoryChange {
    let altered = longer(&pair.source.get(&name(table)).unwrap().table);
    MemoryChange::Alter(name(table), Box::new(altered))
}

fn renaming(pair: &Pair, table: &str, from: &str, to: &str) -> MemoryChange {
    let renamed = Table {
        name: name(to),
        ..pair.source.get(&name(table)).unwrap().table
    };
    MemoryChange::Alter(name(from), Box::new(renamed))
}

async fn record_of(target: &MemoryDatabase, table: &str) -> LoadRecord {
    let mut target = connector(target, &Faults::none()).target().await.unwrap();
    let fence = target.claim("task").await.unwrap();
    let records = target.load_records(&fence).await.unwrap();
    let mut records = records.into_iter();
    records.find(|record| record.table == name(table)).unwrap()
}

/// The part has definitions alone, and the source tells an empty transaction in front of its own that it had left out.
#[tokio::test(start_paused = true)]
async fn an_empty_transaction_does_not_take_the_place_of_a_part_that_has_definitions_alone() {
    let pair = pair(false);
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let mut once = resumed();
    once.load.retry.retries_max = 0;
    let faults = Faults::at(Call::Define, 2, When::After, 1);
    let cut = follow(&pair, &once, &faults, async |_| {
        pair.source.transact(vec![
            renaming(&pair, "orders", "orders", "aside"),
            renaming(&pair, "items", "items", "orders"),
            renaming(&pair, "orders", "aside", "items"),
            insert("orders", 900),
            insert("items", 901),
        ]);
    })
    .await;
    cut.unwrap_err();
    assert_eq!(faults.struck(), 1);
    pair.source.tell_empty_before_last();
    // Two tables, where the stream is, and the empty one.
    pair.source.tell_in_pieces(1, 5);
    let outcome = follow(&pair, &resumed(), &Faults::none(), async |_| {
        tokio::time::sleep(std::time::Duration::from_mins(1)).await;
        pair.source.tell_in_pieces(1, usize::MAX);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_equal(&pair, &["orders", "items", "aside"], "after the cut");
}

/// Under its new name the table looks like one that nobody has loaded.
#[tokio::test(start_paused = true)]
async fn a_table_whose_renaming_was_cut_is_not_loaded_again() {
    for end in [CdcEnd::Never, CdcEnd::AfterCachedChanges] {
        for when in [When::Before, When::After] {
            let place = format!("{end:?} {when:?}");
            // Its tables are known by their names alone.
            let pair = Pair::new();
            let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {}).await;
            assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
            let mut once = resumed();
            once.load.retry.retries_max = 0;
            let faults = Faults::at(Call::Define, 1, when, 1);
            let cut = follow(&pair, &once, &faults, async |progress| {
                // Renamed before the stream is opened, it is a new table.
                caught_up(&pair, progress).await;
                pair.source.transact(vec![
                    insert("orders", 500),
                    renaming(&pair, "orders", "orders", "renamed"),
                    insert("renamed", 501),
                    insert("items", 500),
                ]);
            })
            .await;
            cut.unwrap_err();
            let again = CdcSpec {
                end: end.clone(),
                ..resumed()
            };
            let loads = Faults::none();
            let outcome = follow(&pair, &again, &loads, async |progress| {
                if end == CdcEnd::Never {
                    caught_up(&pair, progress).await;
                } else {
                    std::future::pending::<()>().await;
                }
            })
            .await;
            outcome.unwrap();
            assert_equal(&pair, &["orders", "renamed", "items"], &place);
            assert_eq!(loads.count(Call::Prepare), 0, "{place}");
        }
    }
}

/// Followed for a count, it is followed no longer than that.
#[tokio::test(start_paused = true)]
async fn a_table_in_error_is_followed_for_the_count_of_one_part_alone() {
    let pair = pair(false);
    let outcome = follow(&pair, &cdc(), &Faults::none(), async |_| {}).await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    put_in_the_way(&pair.target, "orders", 600);
    let mut once = resumed();
    once.on_apply_error.insert = RowPolicy::SuspendTable;
    once.load.retry.retries_max = 0;
    let faults = Faults::at(Call::Define, 1, When::After, 1);
    let cut = follow(&pair, &once, &faults, async |_| {
        pair.source.transact(vec![
            insert("orders", 600),
            altering(&pair, "items"),
            insert("items", 600).longer(),
        ]);
    })
    .await;
    cut.unwrap_err();
    let in_part = record_of(&pair.target, "orders").await.follow.unwrap();
    assert!(in_part.suspended.is_some() && in_part.suspended_in_part);
    // The first makes it whole, and the second is opened behind it.
    for _ in 0..2 {
        let outcome = follow(&pair, &resumed(), &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    }
    let whole = record_of(&pair.target, "orders").await.follow.unwrap();
    assert!(whole.suspended.is_some() && !whole.suspended_in_part);
    assert_equal(&pair, &["items"], "whole");
}

/// The transaction that left the table in error was rolled back, and what was in the way is gone when it comes again.
#[tokio::test(start_paused = true)]
async fn a_table_whose_error_was_taken_back_is_shown_as_it_is() {
    let mut taken_back = 0;
    for nth in 1..12 {
        let pair = pair(true);
        let target = pair.target.clone();
        let free = move || {
            if target.get(&name("orders")).is_some() {
                take_out_of_the_way(&target, "orders", 600);
            }
        };
        let faults =
            Faults::meanwhile(Call::ApplyCommit, nth, free).and_lost(Call::ApplyCommit, nth);
        let spec = CdcSpec {
            batch_changes_max: 2,
            ..suspending()
        };
        let mut was_in_error = false;
        let outcome = follow(&pair, &spec, &faults, async |progress| {
            caught_up(&pair, progress).await;
            let struck = faults.struck();
            put_in_the_way(&pair.target, "orders", 600);
            pair.source.tell_in_pieces(1, usize::MAX);
            let mut changes = vec![insert("orders", 600)];
            changes.extend((600..606).map(|id| insert("items", id)));
            pair.source.transact(changes);
            while faults.struck() == struck && !is_whole(&pair, progress) {
                was_in_error |= state(progress, "orders") == Some(TableState::Error);
                tokio::task::yield_now().await;
            }
            was_in_error &= faults.struck() > struck;
            caught_up(&pair, progress).await;
            let orders = progress.snapshot().tables[&name("orders")].clone();
            if pair.target.rows(&name("orders")) == pair.source.rows(&name("orders")) {
                assert_eq!(orders.state, TableState::Completed, "{nth}");
                assert_eq!(orders.message, None, "{nth}");
                taken_back += u32::from(was_in_error);
            } else {
                assert_eq!(orders.state, TableState::Error, "{nth}");
            }
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{nth}");
        assert_equal(&pair, &["items"], &format!("{nth}"));
    }
    assert!(taken_back > 0, "no error was taken back");
}

fn is_whole(pair: &Pair, progress: &whimbrel_engine::Progress) -> bool {
    let checkpoint = progress.snapshot().follow.and_then(|cdc| cdc.checkpoint);
    checkpoint == Some(format!("memory:{}", pair.source.log_end()))
}

/// How a table leaves before the transaction of which the target gets a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// Long before.
    Before,
    /// The batch that leaves it in error is written when its changes have been read.
    WhileRead,
    /// A user wants it loaded again.
    Asked,
}

/// Its changes are not told again when the part is: the stream is opened without it.
#[tokio::test(start_paused = true)]
async fn a_table_that_left_before_is_not_in_the_count_of_a_part() {
    let mut struck = 0;
    for leaves in [Leaves::Before, Leaves::WhileRead, Leaves::Asked] {
        for call in [
            Call::Define,
            Call::ApplyCommit,
            Call::ApplyBegin,
            Call::Apply,
        ] {
            for (nth, when) in (1..12).flat_map(|nth| [(nth, When::Before), (nth, When::After)]) {
                let place = format!("{leaves:?} {call:?} {nth} {when:?}");
                let pair = pair(false);
                let spec = suspending();
                let reloads = Arc::clone(&spec.reloads);
                let faults = Faults::at(call, nth, when, 1);
                let outcome = follow(&pair, &spec, &faults, async |progress| {
                    caught_up(&pair, progress).await;
                    if leaves == Leaves::Asked {
                        reloads.ask([name("orders")]);
                    } else {
                        put_in_the_way(&pair.target, "orders", 600);
                        pair.source.transact(vec![insert("orders", 600)]);
                    }
                    if leaves == Leaves::Before {
                        caught_up(&pair, progress).await;
                    }
                    let mut changes: Vec<_> = (601..604).map(|id| insert("orders", id)).collect();
                    changes.push(altering(&pair, "items"));
                    changes.extend((601..606).map(|id| insert("items", id).longer()));
                    pair.source.transact(changes);
                })
                .await;
                assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{place}");
                assert_equal(&pair, &["items"], &place);
                if leaves == Leaves::Asked {
                    assert_equal(&pair, &["orders"], &place);
                }
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 60, "only {struck} faults struck");
}

/// Its definition changes right behind what leaves it in error.
#[tokio::test(start_paused = true)]
async fn a_table_in_error_is_not_taken_up_again_by_its_definition() {
    for is_one in [false, true] {
        let pair = pair(false);
        let outcome = follow(&pair, &suspending(), &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            put_in_the_way(&pair.target, "orders", 600);
            let refused = vec![insert("orders", 600)];
            let behind = vec![
                insert("items", 600),
                altering(&pair, "orders"),
                insert("orders", 601).longer(),
                insert("items", 601),
            ];
            if is_one {
                pair.source.transact([refused, behind].concat());
            } else {
                pair.source.transact(refused);
                pair.source.transact(behind);
            }
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let again = resumed();
        let outcome = follow(&pair, &again, &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            assert_eq!(state(progress, "orders"), Some(TableState::Error));
            pair.source
                .transact(vec![insert("orders", 602).longer(), insert("items", 602)]);
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let rows = pair.target.rows(&name("orders")).unwrap();
        assert!(!rows.iter().any(|row| row[0] == Cell::Int(602)), "{rows:?}");
        assert_equal(&pair, &["items"], &format!("one transaction: {is_one}"));
    }
}
