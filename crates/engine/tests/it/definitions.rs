//! Definitions that change at the source while it is followed: whatever fails and whenever, source and target end up equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use whimbrel_connector::PrepareMode;
use whimbrel_connector::memory::{
    Call, Cell, Faults, MemoryChange, MemoryDatabase, MemoryTable, Row, When,
};
use whimbrel_core::{Column, ColumnType, Generation, Table, TableName};
use whimbrel_engine::{
    CdcOutcome, CdcSpec, CdcStart, DdlPolicy, OnTruncate, Progress, RowPolicy, RunError, TableState,
};

use crate::cdc::{caught_up, cdc, follow};
use crate::support::{Pair, name, table};

/// Tables whose columns are numbered, as a source that can tell has them.
pub(crate) fn pair(defines_in_transaction: bool) -> Pair {
    let source = MemoryDatabase::new();
    for (id, rows) in [("orders", 30), ("items", 12)] {
        let mut made = table(id, rows);
        number(&mut made.table, u32::try_from(rows).unwrap());
        source.put(made);
    }
    let target = MemoryDatabase::new();
    Pair {
        source,
        target: if defines_in_transaction {
            target.defining_in_transactions()
        } else {
            target
        },
    }
}

fn number(table: &mut Table, id: u32) {
    table.id = Some(id);
    for (place, column) in (1..).zip(&mut table.columns) {
        column.id = Some(place);
    }
}

/// Rows by the names of their columns, which may be in another order at the target.
pub(crate) fn rows(
    database: &MemoryDatabase,
    table: &TableName,
) -> Option<Vec<BTreeMap<String, Cell>>> {
    let MemoryTable { table, rows, .. } = database.get(table)?;
    let named = |row: Row| {
        let columns = table.columns.iter().map(|column| column.name.clone());
        columns.zip(row).collect()
    };
    let mut rows: Vec<BTreeMap<String, Cell>> = rows.into_iter().map(named).collect();
    rows.sort();
    Some(rows)
}

fn assert_equal(pair: &Pair, place: &str) {
    for known in Definer::NAMES {
        let known = name(known);
        assert_eq!(
            rows(&pair.target, &known),
            rows(&pair.source, &known),
            "{place}: {known}"
        );
    }
}

/// Makes transactions of rows and of definitions.
struct Definer {
    random: StdRng,
    database: MemoryDatabase,
    next: u32,
}

impl Definer {
    const NAMES: [&'static str; 4] = ["orders", "items", "further", "renamed"];

    fn new(seed: u64, database: &MemoryDatabase) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            database: database.clone(),
            // No other gives the same.
            next: 5000 + u32::try_from(seed).unwrap() * 1000,
        }
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// One transaction, of rows before, between and after two definitions that change.
    fn transaction(&mut self, defines: bool) {
        // What the transaction sees: its own changes included.
        let seen = MemoryDatabase::new();
        for known in Self::NAMES {
            if let Some(table) = self.database.get(&name(known)) {
                seen.put(table);
            }
        }
        let mut changes = Vec::new();
        for step in 0..self.random.random_range(3..12) {
            let change = if matches!(step, 2 | 6) && defines {
                self.definition(&seen)
            } else {
                self.row(&seen)
            };
            if let Some(change) = change {
                seen.transact(vec![change.clone()]);
                changes.push(change);
            }
        }
        self.database.transact(changes);
    }

    fn any(&mut self, seen: &MemoryDatabase) -> Option<MemoryTable> {
        let known = Self::NAMES[self.random.random_range(0..Self::NAMES.len())];
        seen.get(&name(known))
    }

    fn row(&mut self, seen: &MemoryDatabase) -> Option<MemoryChange> {
        let MemoryTable { table, rows, .. } = self.any(seen)?;
        let key = table.primary_key[0];
        let cells = |definer: &mut Self, id: Cell| -> Row {
            let cell = |place: usize| {
                if place == key {
                    id.clone()
                } else {
                    Cell::Text(format!("note {}", definer.id()))
                }
            };
            (0..table.columns.len()).map(cell).collect()
        };
        let dice = self.random.random_range(0..10);
        if rows.is_empty() || dice < 5 {
            let id = Cell::Int(i64::from(self.id()));
            let row = cells(self, id);
            return Some(MemoryChange::Insert(table.name, row));
        }
        let before = rows[self.random.random_range(0..rows.len())].clone();
        if dice < 7 {
            return Some(MemoryChange::Delete(table.name, before));
        }
        let after = cells(self, before[key].clone());
        Some(MemoryChange::Update {
            table: table.name,
            before,
            after,
            not_sent: Vec::new(),
        })
    }

    fn definition(&mut self, seen: &MemoryDatabase) -> Option<MemoryChange> {
        let id = self.id();
        if self.random.random_range(0..8) == 0 {
            let further = name(Self::NAMES[self.random.random_range(2..4)]);
            if seen.get(&further).is_some() {
                return Some(MemoryChange::Drop(further));
            }
            let mut made = table(&further.name, 0).table;
            number(&mut made, id);
            return Some(MemoryChange::Create(Box::new(made)));
        }
        let mut table = self.any(seen)?.table;
        let known = table.name.clone();
        let others: Vec<usize> = (0..table.columns.len())
            .filter(|place| !table.primary_key.contains(place))
            .collect();
        match self.random.random_range(0..6) {
            0 if !others.is_empty() => {
                let gone = others[self.random.random_range(0..others.len())];
                table.columns.remove(gone);
                table.primary_key[0] -= usize::from(table.primary_key[0] > gone);
            }
            1 if !others.is_empty() => {
                table.columns[others[0]].name = format!("c{id}");
            }
            2 => table.columns.push(Column {
                default: Some("filled".to_owned()),
                ..column(id)
            }),
            3 if seen.get(&name("renamed")).is_none() => table.name = name("renamed"),
            4 => {
                table.columns.insert(0, column(id));
                table.primary_key[0] += 1;
            }
            _ => table.columns.push(column(id)),
        }
        Some(MemoryChange::Alter(known, Box::new(table)))
    }
}

pub(crate) fn column(id: u32) -> Column {
    Column {
        name: format!("c{id}"),
        ty: ColumnType::Text { bytes_max: None },
        native: "any".to_owned(),
        nullable: true,
        generation: Generation::None,
        id: Some(id),
        default: None,
    }
}

pub(crate) async fn work(pair: &Pair, seed: u64, transactions: u64) {
    let mut definer = Definer::new(seed, &pair.source);
    for number in 0..transactions {
        definer.transaction(number % 3 == 1);
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn definitions_of_every_kind_arrive_among_the_rows() {
    for seed in 0..300 {
        let pair = pair(seed % 2 == 0);
        let outcome = follow(&pair, &cdc(), &Faults::none(), async |progress| {
            work(&pair, seed, 12).await;
            caught_up(&pair, progress).await;
            work(&pair, seed + 1000, 12).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_equal(&pair, &format!("seed {seed}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_anywhere_loses_and_doubles_nothing_while_definitions_change() {
    let mut struck = 0;
    for call in Call::ALL.into_iter().chain(Call::OF_CDC) {
        for when in [When::Before, When::After] {
            for nth in 1..30 {
                let pair = pair(nth % 2 == 0);
                let faults = Faults::at(call, nth, when, 1);
                let place = format!("{call:?} {nth} {when:?}");
                let outcome = follow(&pair, &cdc(), &faults, async |_| {
                    work(&pair, u64::from(nth), 20).await;
                })
                .await;
                assert!(
                    matches!(outcome, Ok(CdcOutcome::Stopped)),
                    "{place}: {outcome:?}"
                );
                assert_equal(&pair, &place);
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 300, "only {struck} faults struck");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_anywhere_while_definitions_change_is_completed_by_a_resume() {
    for call in Call::ALL.into_iter().chain(Call::OF_CDC) {
        for when in [When::Before, When::After] {
            for nth in 1..20 {
                let pair = pair(nth % 2 == 0);
                let faults = Faults::at(call, nth, when, 1000);
                let mut once = cdc();
                once.load.retry.retries_max = 0;
                let place = format!("{call:?} {nth} {when:?}");
                let first = follow(&pair, &once, &faults, async |_| {
                    work(&pair, u64::from(nth), 20).await;
                })
                .await;
                work(&pair, u64::from(nth) + 500, 4).await;
                let again = CdcSpec {
                    start: CdcStart::Resume,
                    ..cdc()
                };
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
async fn tables_are_loaded_again_while_the_others_are_followed() {
    for seed in 0..60 {
        let pair = pair(seed % 2 == 0);
        let spec = cdc();
        let reloads = Arc::clone(&spec.reloads);
        let progress_seen = Arc::new(std::sync::Mutex::new(0));
        let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
            caught_up(&pair, progress).await;
            // Somebody spoils the table.
            let mut spoiled = pair.target.get(&name("orders")).unwrap();
            spoiled.rows.truncate(3);
            pair.target.put(spoiled);
            reloads.ask([name("orders")]);
            let mut definer = Definer::new(seed, &pair.source);
            for _ in 0..15 {
                definer.transaction(false);
                tokio::task::yield_now().await;
            }
            while progress.snapshot().tables[&name("orders")].reload_count == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            caught_up(&pair, progress).await;
            *progress_seen.lock().unwrap() =
                progress.snapshot().tables[&name("orders")].reload_count;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_equal(&pair, &format!("seed {seed}"));
        assert!(*progress_seen.lock().unwrap() > 0);
    }
}

/// Whoever asked waits until it is heard, whatever comes of it.
#[tokio::test(start_paused = true)]
async fn each_wish_for_a_reload_is_heard() {
    let (pair, spec) = (pair(false), cdc());
    let reloads = Arc::clone(&spec.reloads);
    let outcome = follow(&pair, &spec, &Faults::none(), async |progress| {
        caught_up(&pair, progress).await;
        let elsewhere = TableName::new("elsewhere", "t");
        let is_heard = async |table: &TableName, times| loop {
            let tables = progress.snapshot().tables;
            if tables.get(table).map(|entry| entry.reload_answer_count) == Some(times) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        };
        for times in 1..=3 {
            // Perhaps it is still being loaded.
            reloads.ask([name("orders")]);
            is_heard(&name("orders"), times).await;
            reloads.ask([elsewhere.clone()]);
            is_heard(&elsewhere, times).await;
        }
        // It is selected, and not there.
        let told = progress.snapshot().tables[&elsewhere].clone();
        assert_eq!(told.state, TableState::Dropped);
        caught_up(&pair, progress).await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_equal(&pair, "asked again and again");
}

/// Where each definition commits what is before it, a part that is committed must be found with the tables as they were at the beginning.
#[tokio::test(start_paused = true)]
async fn a_transaction_of_two_definitions_that_is_cut_loses_nothing_of_what_came_between_them() {
    let items = name("items");
    let mut struck = 0;
    for call in Call::OF_CDC {
        for when in [When::Before, When::After] {
            for nth in 1..20 {
                let pair = pair(false);
                let made = pair.source.get(&items).unwrap().table;
                let mut once = made.clone();
                once.columns.push(column(901));
                let mut twice = once.clone();
                twice.columns.push(column(902));
                let row = |id: i64, rest: &[Option<&str>]| -> Row {
                    let text = |text: &str| Cell::Text(text.to_owned());
                    let rest = rest.iter().map(|cell| cell.map_or(Cell::Null, text));
                    [Cell::Int(id)].into_iter().chain(rest).collect()
                };
                let transaction = vec![
                    MemoryChange::Insert(items.clone(), row(500, &[Some("a")])),
                    MemoryChange::Alter(items.clone(), Box::new(once)),
                    MemoryChange::Update {
                        table: items.clone(),
                        before: row(500, &[Some("a"), None]),
                        after: row(500, &[Some("a"), Some("between")]),
                        not_sent: Vec::new(),
                    },
                    MemoryChange::Alter(items.clone(), Box::new(twice)),
                    MemoryChange::Insert(
                        items.clone(),
                        row(501, &[Some("b"), None, Some("behind")]),
                    ),
                ];
                let faults = Faults::at(call, nth, when, 1);
                let place = format!("{call:?} {nth} {when:?}");
                let outcome = follow(&pair, &cdc(), &faults, async |progress| {
                    caught_up(&pair, progress).await;
                    pair.source.transact(transaction);
                })
                .await;
                assert!(
                    matches!(outcome, Ok(CdcOutcome::Stopped)),
                    "{place}: {outcome:?}"
                );
                assert_equal(&pair, &place);
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 30, "only {struck} faults struck");
}

/// The second table is asked for while the first is loaded, so that the log is read again twice from one place; and a run may end in
/// between.
#[tokio::test(start_paused = true)]
async fn tables_that_are_loaded_one_behind_another_lose_and_double_nothing() {
    for seed in 0..240_u32 {
        let pair = pair(seed % 2 == 0);
        let spec = cdc();
        let reloads = Arc::clone(&spec.reloads);
        let faults = match seed / 6 {
            0 => Faults::none(),
            nth => Faults::at(
                Call::OF_CDC[seed as usize % Call::OF_CDC.len()],
                nth,
                When::After,
                1,
            ),
        };
        let outcome = follow(&pair, &spec, &faults, async |progress| {
            caught_up(&pair, progress).await;
            let mut definer = Definer::new(seed.into(), &pair.source);
            for number in 0..40 {
                match number {
                    5 => reloads.ask([name("orders")]),
                    7 => reloads.ask([name("items")]),
                    9 if pair.source.get(&name("further")).is_none() => {
                        let mut made = table("further", 0).table;
                        self::number(&mut made, 100 + seed);
                        let made = MemoryChange::Create(Box::new(made));
                        pair.source.transact(vec![made]);
                    }
                    _ => definer.transaction(number % 8 == 0),
                }
                for _ in 0..seed % 7 {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        assert!(
            matches!(outcome, Ok(CdcOutcome::Stopped)),
            "seed {seed}: {outcome:?}"
        );
        assert_equal(&pair, &format!("seed {seed}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_leaves_out_stays_as_it_was() {
    let pair = pair(true);
    let spec = CdcSpec {
        on_ddl: DdlPolicy {
            drops: false,
            on_truncate: OnTruncate::Keep,
            alters: false,
        },
        ..cdc()
    };
    let outcome = follow(
        &pair,
        &spec,
        &Faults::none(),
        async |progress: &Progress| {
            caught_up(&pair, progress).await;
            let mut altered = pair.source.get(&name("orders")).unwrap().table;
            altered.columns.push(column(9));
            pair.source
                .transact(vec![MemoryChange::Truncate(name("items"))]);
            pair.source
                .transact(vec![MemoryChange::Alter(name("orders"), Box::new(altered))]);
            pair.source
                .transact(vec![MemoryChange::Drop(name("items"))]);
            caught_up(&pair, progress).await;
            let tables = progress.snapshot().tables;
            assert_eq!(tables[&name("items")].state, TableState::Dropped);
            let orders = &tables[&name("orders")];
            assert_eq!(orders.state, TableState::Error);
            let message = orders.message.as_deref().unwrap();
            assert!(message.contains("HandleSourceTableAltered"), "{message}");
        },
    )
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(pair.target.rows(&name("items")).unwrap().len(), 12);
    assert_eq!(
        pair.target
            .get(&name("orders"))
            .unwrap()
            .table
            .columns
            .len(),
        2
    );
}

/// A task that does not make its tables does not make them anew either.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_not_the_task_s_to_make_is_suspended_with_the_remedy() {
    let pair = pair(true);
    let mut spec = cdc();
    spec.load.prepare = PrepareMode::Truncate;
    let outcome = follow(
        &pair,
        &spec,
        &Faults::none(),
        async |progress: &Progress| {
            caught_up(&pair, progress).await;
            let mut altered = pair.source.get(&name("orders")).unwrap().table;
            altered.columns[1].native = "another".to_owned();
            pair.source
                .transact(vec![MemoryChange::Alter(name("orders"), Box::new(altered))]);
            let row = vec![Cell::Int(999), Cell::Null];
            pair.source
                .transact(vec![MemoryChange::Insert(name("items"), row)]);
            caught_up(&pair, progress).await;
            let orders = progress.snapshot().tables[&name("orders")].clone();
            assert_eq!(orders.state, TableState::Error);
            let message = orders.message.unwrap();
            assert!(
                message.contains("another type") && message.contains("load the table again"),
                "{message}"
            );
        },
    )
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(
        pair.target.rows(&name("items")),
        pair.source.rows(&name("items"))
    );
    assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 30);
}

/// The part that is committed has suspended one table, and given another a column of the name that one had which went.
#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_cut_forgets_no_suspension_and_empties_no_column() {
    let (orders, items) = (name("orders"), name("items"));
    let mut struck = 0;
    for call in Call::OF_CDC {
        for when in [When::Before, When::After] {
            for nth in 1..25 {
                let pair = pair(false);
                let made = pair.source.get(&items).unwrap().table;
                let mut renewed = made.clone();
                renewed.columns[1] = column(901);
                renewed.columns[1].name.clone_from(&made.columns[1].name);
                let mut longer = renewed.clone();
                longer.columns.push(column(902));
                let text = |text: &str| Cell::Text(text.to_owned());
                let refused = vec![Cell::Int(600), text("source")];
                let transaction = vec![
                    MemoryChange::Insert(orders.clone(), refused.clone()),
                    MemoryChange::Insert(items.clone(), vec![Cell::Int(500), text("a")]),
                    MemoryChange::Alter(items.clone(), Box::new(renewed)),
                    MemoryChange::Update {
                        table: items.clone(),
                        before: vec![Cell::Int(500), Cell::Null],
                        after: vec![Cell::Int(500), text("between")],
                        not_sent: Vec::new(),
                    },
                    MemoryChange::Alter(items.clone(), Box::new(longer)),
                    MemoryChange::Insert(
                        items.clone(),
                        vec![Cell::Int(501), text("b"), text("behind")],
                    ),
                    MemoryChange::Insert(orders.clone(), vec![Cell::Int(601), text("late")]),
                ];
                let mut spec = cdc();
                spec.on_apply_error.insert = RowPolicy::SuspendTable;
                let faults = Faults::at(call, nth, when, 1);
                let place = format!("{call:?} {nth} {when:?}");
                let outcome = follow(&pair, &spec, &faults, async |progress| {
                    caught_up(&pair, progress).await;
                    let mut in_the_way = pair.target.get(&orders).unwrap();
                    in_the_way.rows.push(vec![Cell::Int(600), text("target")]);
                    pair.target.put(in_the_way);
                    pair.source.transact(transaction);
                    caught_up(&pair, progress).await;
                    let entry = progress.snapshot().tables[&orders].clone();
                    assert_eq!(entry.state, TableState::Error, "{place}");
                })
                .await;
                assert!(
                    matches!(outcome, Ok(CdcOutcome::Stopped)),
                    "{place}: {outcome:?}"
                );
                assert_eq!(
                    rows(&pair.target, &items),
                    rows(&pair.source, &items),
                    "{place}"
                );
                let kept = pair.target.rows(&orders).unwrap();
                assert!(!kept.iter().any(|row| row[0] == Cell::Int(601)), "{place}");
                assert_eq!(pair.target.exceptions().len(), 1, "{place}");
                struck += faults.struck();
            }
        }
    }
    assert!(struck > 30, "only {struck} faults struck");
}
