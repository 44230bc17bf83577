//! What is told of tables that get another name while they are followed.

use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, When};
use whimbrel_core::Table;
use whimbrel_engine::{CdcOutcome, TableState};

use crate::cdc::{caught_up, cdc, follow};
use crate::definitions::{column, pair, rows};
use crate::support::name;

fn renamed(table: &Table, to: &str) -> Table {
    Table {
        name: name(to),
        ..table.clone()
    }
}

/// Wherever the transaction is cut, and whether the target takes definitions back with it or has a part of it then.
#[tokio::test(start_paused = true)]
async fn changes_and_definitions_count_once_and_for_the_name_that_the_table_has() {
    let (orders, now) = (name("orders"), name("renamed"));
    let text = |text: &str| Cell::Text(text.to_owned());
    let mut struck = 0;
    for call in Call::OF_CDC {
        for (when, nth) in (1..20).flat_map(|nth| [(When::Before, nth), (When::After, nth)]) {
            for is_atomic in [true, false] {
                let pair = pair(is_atomic);
                let table = renamed(&pair.source.get(&orders).unwrap().table, "renamed");
                let mut longer = table.clone();
                longer.columns.push(column(902));
                let transaction = vec![
                    MemoryChange::Insert(orders.clone(), vec![Cell::Int(500), text("a")]),
                    MemoryChange::Alter(orders.clone(), Box::new(table)),
                    MemoryChange::Insert(now.clone(), vec![Cell::Int(501), text("b")]),
                    MemoryChange::Alter(now.clone(), Box::new(longer)),
                    MemoryChange::Insert(now.clone(), vec![Cell::Int(502), text("c"), text("d")]),
                ];
                let place = format!("{call:?} {nth} {when:?} {is_atomic}");
                let faults = Faults::at(call, nth, when, 1);
                let outcome = follow(&pair, &cdc(), &faults, async |progress| {
                    caught_up(&pair, progress).await;
                    let loaded = progress.snapshot().tables[&orders].row_count;
                    pair.source.transact(transaction);
                    caught_up(&pair, progress).await;
                    let told = progress.snapshot();
                    let (gone, entry) = (&told.tables[&orders], &told.tables[&now]);
                    assert_eq!(gone.state, TableState::Dropped, "{place}");
                    assert_eq!(entry.state, TableState::Completed, "{place}");
                    assert_eq!((entry.row_count, gone.row_count), (loaded, 0), "{place}");
                    // Of a commit whose answer is lost nobody knows what it did.
                    if (call, when) != (Call::ApplyCommit, When::After) {
                        let counts = (entry.changes.inserts, entry.changes.ddls);
                        assert_eq!(counts, (3, 2), "{place}");
                        assert_eq!(told.change_count(), 3, "{place}");
                    }
                })
                .await;
                assert!(
                    matches!(outcome, Ok(CdcOutcome::Stopped)),
                    "{place}: {outcome:?}"
                );
                assert_eq!(
                    rows(&pair.target, &now),
                    rows(&pair.source, &now),
                    "{place}"
                );
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 60, "only {struck} faults struck");
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_the_target_refuses_does_not_count_and_names_no_table() {
    for is_atomic in [true, false] {
        let pair = pair(is_atomic);
        let (orders, now) = (name("orders"), name("renamed"));
        let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            pair.target.drop_table(&orders);
            let table = renamed(&pair.source.get(&orders).unwrap().table, "renamed");
            pair.source
                .transact(vec![MemoryChange::Alter(orders.clone(), Box::new(table))]);
            caught_up(&pair, progress).await;
            let told = progress.snapshot().tables;
            assert_eq!(told[&orders].state, TableState::Error);
            assert_eq!(told[&orders].changes.ddls, 0);
            assert!(!told.contains_key(&now), "{told:?}");
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    }
}
