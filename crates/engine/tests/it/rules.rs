//! Rules of the mappings: what they make of columns and which rows they choose is the same in loads, changes and comparisons.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryChange, MemoryDatabase, Row, When};
use whimbrel_core::TableName;
use whimbrel_core::mapping::TableMappings;
use whimbrel_engine::validate::{ValidateSpec, Verdict, validate};
use whimbrel_engine::{CdcOutcome, CdcSpec, CdcStart, RunError, Shaping, TableState};

use crate::support::{Pair, connector, name, table};
use crate::{cdc, definitions};

/// Rows by the names of their columns.
type Named = BTreeMap<String, Cell>;

const EVERYTHING: &str = r#"{"rule-type":"selection","rule-id":1,"rule-action":"include","object-locator":{"schema-name":"%","table-name":"%"}}"#;

pub(crate) fn mappings(rules: &[String]) -> TableMappings {
    let rules = [&[EVERYTHING.to_owned()], rules].concat();
    TableMappings::parse(&format!(r#"{{"rules":[{}]}}"#, rules.join(","))).unwrap()
}

pub(crate) fn of_columns(id: u32, table: &str, column: &str, rest: &str) -> String {
    format!(
        r#"{{"rule-type":"transformation","rule-id":{id},"rule-target":"column",{rest},
        "object-locator":{{"schema-name":"shop","table-name":"{table}","column-name":"{column}"}}}}"#
    )
}

pub(crate) fn filter(id: u32, table: &str, column: &str, conditions: &str) -> String {
    format!(
        r#"{{"rule-type":"selection","rule-id":{id},"rule-action":"include","object-locator":{{"schema-name":"shop","table-name":"{table}"}},
        "filters":[{{"filter-type":"source","column-name":"{column}","filter-conditions":[{conditions}]}}]}}"#
    )
}

pub(crate) fn spec(mappings: &TableMappings) -> CdcSpec {
    let mut spec = cdc::cdc();
    spec.load.mappings = mappings.clone();
    spec
}

fn resumed(mappings: &TableMappings) -> CdcSpec {
    CdcSpec {
        start: CdcStart::Resume,
        ..spec(mappings)
    }
}

fn named(database: &MemoryDatabase, table: &TableName) -> Option<Vec<Named>> {
    definitions::rows(database, table)
}

async fn compares_equal(pair: &Pair, mappings: &TableMappings) -> bool {
    let spec = ValidateSpec {
        mappings: mappings.clone(),
        target_schema: None,
        shaping: Shaping::default(),
        subtask_count: 2,
        differences_max: 1,
    };
    let (source, target) = (
        connector(&pair.source, &Faults::none()),
        connector(&pair.target, &Faults::none()),
    );
    let stop = CancellationToken::new();
    let reports = validate(&source, &target, &spec, &stop, &mut |_, _, _| {}).await;
    let mut reports = reports.unwrap().into_iter();
    reports.all(|report| report.verdict == Verdict::Equal)
}

/// The rules of the tests below, and what they make of the rows of a table.
struct Case {
    mappings: TableMappings,
    expected: fn(&str, Vec<Named>, i64) -> Vec<Named>,
    /// Rows of `orders` from here on pass the filter too. Keys move up: where a log tells old rows by their keys alone, a row that comes in so
    /// may lack what did not change, and its table is suspended.
    orders_from: i64,
}

fn number(row: &Named, column: &str) -> i64 {
    match &row[column] {
        Cell::Int(number) => *number,
        other => panic!("{other:?}"),
    }
}

fn renamed_and_left_out() -> Case {
    let rules = [
        of_columns(
            2,
            "orders",
            "id",
            r#""rule-action":"rename","value":"number""#,
        ),
        of_columns(
            3,
            "orders",
            "%",
            r#""rule-action":"add-prefix","value":"x_""#,
        ),
        of_columns(4, "items", "note", r#""rule-action":"remove-column""#),
        of_columns(5, "events", "no%", r#""rule-action":"include-column""#),
        of_columns(6, "empty", "%", r#""rule-action":"convert-uppercase""#),
    ];
    Case {
        mappings: mappings(&rules),
        orders_from: i64::MAX,
        expected: |table, rows, _| {
            let renamed = |name: String| match (table, name.as_str()) {
                ("orders", "id") => Some("number".to_owned()),
                ("orders", "note") => Some("x_note".to_owned()),
                ("items", "note") | ("events", "id") => None,
                ("empty", _) => Some(name.to_uppercase()),
                _ => Some(name),
            };
            let row = |row: Named| {
                let cells = row.into_iter();
                cells
                    .filter_map(|(name, cell)| Some((renamed(name)?, cell)))
                    .collect()
            };
            rows.into_iter().map(row).collect()
        },
    }
}

fn filtered(tells_old_rows: bool) -> Case {
    let orders_from = if tells_old_rows { 1010 } else { i64::MAX };
    let of_orders = format!(
        r#"{{"filter-operator":"between","start-value":"20","end-value":"60"}},{{"filter-operator":"gte","value":"{orders_from}"}}"#
    );
    let rules = [
        filter(2, "orders", "id", &of_orders),
        filter(
            3,
            "items",
            "note",
            r#"{"filter-operator":"lte","value":"note 4"},{"filter-operator":"noteq","value":"note 2"}"#,
        ),
        filter(4, "events", "note", r#"{"filter-operator":"notnull"}"#),
        of_columns(
            5,
            "items",
            "note",
            r#""rule-action":"rename","value":"remark""#,
        ),
    ];
    Case {
        mappings: mappings(&rules),
        orders_from,
        expected: |table, mut rows, orders_from| {
            rows.retain(|row| match table {
                "orders" => {
                    let id = number(row, "id");
                    (20..=60).contains(&id) || id >= orders_from
                }
                "items" => match &row["note"] {
                    Cell::Text(note) => note.as_str() <= "note 4" && note != "note 2",
                    _ => false,
                },
                "events" => row["note"] != Cell::Null,
                _ => true,
            });
            if table == "items" {
                for row in &mut rows {
                    let note = row.remove("note").unwrap();
                    row.insert("remark".to_owned(), note);
                }
            }
            rows
        },
    }
}

async fn assert_as_ruled(pair: &Pair, case: &Case, place: &str) {
    for table in ["orders", "items", "empty", "events"] {
        let there = named(&pair.source, &name(table));
        let mut expected = there.map(|rows| (case.expected)(table, rows, case.orders_from));
        if let Some(rows) = &mut expected {
            rows.sort();
        }
        let arrived = named(&pair.target, &name(table));
        assert_eq!(arrived, expected, "{place}: {table}");
    }
    assert!(compares_equal(pair, &case.mappings).await, "{place}");
}

/// A source whose log tells old rows whole, or by their keys alone.
fn pair(tells_old_rows: bool) -> Pair {
    let pair = cdc::pair();
    let source = pair.source.clone();
    Pair {
        source: if tells_old_rows {
            source.telling_old_rows()
        } else {
            source
        },
        ..pair
    }
}

fn hidden(cell: Cell) -> Cell {
    match cell {
        Cell::Text(text) => Cell::Text(text.replace(|c: char| c.is_ascii_digit(), "#")),
        other => other,
    }
}

fn masked() -> Case {
    let rules = [
        of_columns(
            2,
            "orders",
            "note",
            r##""rule-action":"data-masking-digits-mask","value":"#""##,
        ),
        of_columns(
            3,
            "events",
            "%te",
            r##""rule-action":"data-masking-digits-mask","value":"#""##,
        ),
        of_columns(
            4,
            "events",
            "note",
            r#""rule-action":"rename","value":"told""#,
        ),
    ];
    Case {
        mappings: mappings(&rules),
        orders_from: i64::MAX,
        expected: |table, mut rows, _| {
            for row in &mut rows {
                let note = row.remove("note").unwrap();
                match table {
                    "orders" => row.insert("note".to_owned(), hidden(note)),
                    "events" => row.insert("told".to_owned(), hidden(note)),
                    _ => row.insert("note".to_owned(), note),
                };
            }
            rows
        },
    }
}

/// The cases, each with whether the log tells old rows whole.
fn cases() -> [(Case, bool); 4] {
    [
        (renamed_and_left_out(), false),
        (filtered(false), false),
        (filtered(true), true),
        (masked(), false),
    ]
}

#[tokio::test(start_paused = true)]
async fn loads_changes_and_comparisons_follow_one_set_of_rules() {
    for (case, tells_old_rows) in cases() {
        for seed in 0..60 {
            let pair = pair(tells_old_rows);
            let changes_max = if seed % 2 == 0 { 4 } else { 300 };
            let outcome = cdc::follow(&pair, &spec(&case.mappings), &Faults::none(), async |_| {
                cdc::work(&pair, seed, 40, changes_max).await;
            })
            .await;
            assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
            assert_as_ruled(&pair, &case, &format!("seed {seed}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_anywhere_is_completed_under_the_same_rules() {
    for (case, tells_old_rows) in cases() {
        for call in Call::ALL.into_iter().chain(Call::OF_CDC) {
            for nth in [1, 2, 5, 11] {
                let pair = pair(tells_old_rows);
                let faults = Faults::at(call, nth, When::After, 1000);
                let mut once = spec(&case.mappings);
                once.load.retry.retries_max = 0;
                let changes_max = if nth == 5 { 200 } else { 6 };
                let first = cdc::follow(&pair, &once, &faults, async |_| {
                    cdc::work(&pair, u64::from(nth), 30, changes_max).await;
                })
                .await;
                let again = resumed(&case.mappings);
                let resumed = cdc::follow(&pair, &again, &Faults::none(), async |_| {}).await;
                let outcome = match resumed {
                    Err(RunError::NothingToResume) => {
                        let anew = spec(&case.mappings);
                        cdc::follow(&pair, &anew, &Faults::none(), async |_| {}).await
                    }
                    other => other,
                };
                let place = format!("{call:?} {nth} {first:?}");
                assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{place}");
                assert_as_ruled(&pair, &case, &place).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn definitions_change_under_rules() {
    let rules = [
        of_columns(2, "%", "note", r#""rule-action":"remove-column""#),
        of_columns(3, "%", "%", r#""rule-action":"add-suffix","value":"_s""#),
        filter(
            4,
            "orders",
            "id",
            r#"{"filter-operator":"between","start-value":"10","end-value":"5900"}"#,
        ),
    ];
    let mappings = mappings(&rules);
    for seed in 0..150 {
        let pair = definitions::pair(seed % 2 == 0);
        let outcome = cdc::follow(&pair, &spec(&mappings), &Faults::none(), async |progress| {
            definitions::work(&pair, seed % 3, 12).await;
            cdc::caught_up(&pair, progress).await;
            definitions::work(&pair, seed + 1000, 12).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        for table in ["orders", "items", "further", "renamed"] {
            let wanted = named(&pair.source, &name(table)).map(|mut rows| {
                rows.retain(|row| table != "orders" || (10..=5900).contains(&number(row, "id")));
                let row = |row: Named| -> Named {
                    let cells = row.into_iter().filter(|(name, _)| name != "note");
                    cells.map(|(name, cell)| (name + "_s", cell)).collect()
                };
                let mut rows: Vec<Named> = rows.into_iter().map(row).collect();
                rows.sort();
                rows
            });
            let arrived = named(&pair.target, &name(table));
            assert_eq!(arrived, wanted, "seed {seed}: {table}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_does_not_go_on_under_other_rules_than_those_of_the_loaded_rows() {
    let one = filtered(true).mappings;
    for other in [mappings(&[]), renamed_and_left_out().mappings] {
        let pair = pair(true);
        let outcome = cdc::follow(&pair, &spec(&one), &Faults::none(), async |_| {}).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let outcome = cdc::follow(&pair, &resumed(&other), &Faults::none(), async |_| {}).await;
        assert!(
            matches!(&outcome, Err(RunError::Table(why)) if why.contains("other rules")),
            "{outcome:?}"
        );
        let outcome = cdc::follow(&pair, &resumed(&one), &Faults::none(), async |_| {}).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    }
}

/// A table whose log tells of old rows the key, and not the long text that did not change.
pub(crate) fn wide(rows: &[(i64, &str, &str)]) -> (MemoryDatabase, Vec<Row>) {
    let mut wide = table("wide", 0);
    let mut column = wide.table.columns[1].clone();
    "body".clone_into(&mut column.name);
    wide.table.columns.push(column);
    let text = |text: &str| Cell::Text(text.to_owned());
    let rows: Vec<Row> = rows
        .iter()
        .map(|(id, note, body)| vec![Cell::Int(*id), text(note), text(body)])
        .collect();
    wide.rows.clone_from(&rows);
    let source = MemoryDatabase::new();
    source.put(wide);
    source.put(table("orders", 5));
    (source, rows)
}

fn update(before: &Row, note: &str, not_sent: Vec<usize>) -> MemoryChange {
    let mut after = before.clone();
    after[1] = Cell::Text(note.to_owned());
    MemoryChange::Update {
        table: name("wide"),
        before: before.clone(),
        after,
        not_sent,
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_log_does_not_tell_is_taken_from_the_old_row_or_suspends_the_table() {
    let of_wide = filter(
        2,
        "wide",
        "note",
        r#"{"filter-operator":"eq","value":"in"}"#,
    );
    let mappings = mappings(&[of_wide]);
    for tells_old_rows in [true, false] {
        let (source, rows) = wide(&[
            (1, "out", "long 1"),
            (2, "in", "long 2"),
            (3, "in", "long 3"),
        ]);
        let pair = Pair {
            source: if tells_old_rows {
                source.telling_old_rows()
            } else {
                source
            },
            target: MemoryDatabase::new(),
        };
        let mut state = None;
        let outcome = cdc::follow(&pair, &spec(&mappings), &Faults::none(), async |progress| {
            cdc::caught_up(&pair, progress).await;
            // It goes out, which the key alone tells enough for.
            pair.source.transact(vec![update(&rows[1], "out", vec![2])]);
            cdc::caught_up(&pair, progress).await;
            assert_eq!(pair.target.rows(&name("wide")).unwrap(), [rows[2].clone()]);
            // It comes in, with a text that is not told.
            pair.source.transact(vec![update(&rows[0], "in", vec![2])]);
            let insert = MemoryChange::Insert(name("orders"), vec![Cell::Int(77), Cell::Null]);
            pair.source.transact(vec![insert]);
            cdc::caught_up(&pair, progress).await;
            state = Some(progress.snapshot().tables[&name("wide")].clone());
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 6);
        let state = state.unwrap();
        if tells_old_rows {
            let kept = pair.source.rows(&name("wide")).unwrap();
            let kept: Vec<Row> = kept
                .into_iter()
                .filter(|row| row[1] == Cell::Text("in".to_owned()))
                .collect();
            assert_eq!(pair.target.rows(&name("wide")).unwrap(), kept);
            assert_eq!(kept.len(), 2);
        } else {
            assert_eq!(state.state, TableState::Error);
            assert!(
                state
                    .message
                    .as_ref()
                    .is_some_and(|why| why.contains("REPLICA IDENTITY FULL")),
                "{state:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_rules_break_is_loaded_and_not_followed() {
    let rule = of_columns(2, "orders", "id", r#""rule-action":"remove-column""#);
    let mappings = mappings(&[rule]);
    let pair = Pair::new();
    let outcome = cdc::follow(&pair, &spec(&mappings), &Faults::none(), async |_| {}).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("a column of its key"), "{error}");
    assert_eq!(pair.target.rows(&name("orders")), None);
    let mut load = crate::support::spec();
    load.mappings = mappings.clone();
    let progress = std::sync::Arc::default();
    pair.run(&load, &Faults::none(), &progress).await.unwrap();
    assert!(compares_equal(&pair, &mappings).await);
    assert_eq!(pair.target.rows(&name("orders")).unwrap().len(), 95);
}

#[tokio::test(start_paused = true)]
async fn a_column_that_gets_a_masked_name_is_masked_in_all_rows() {
    let rule = of_columns(
        2,
        "orders",
        "secret",
        r##""rule-action":"data-masking-digits-mask","value":"#""##,
    );
    let mappings = mappings(&[rule]);
    let pair = definitions::pair(true);
    let outcome = cdc::follow(&pair, &spec(&mappings), &Faults::none(), async |progress| {
        cdc::caught_up(&pair, progress).await;
        let mut orders = pair.source.get(&name("orders")).unwrap().table;
        orders.columns[1].name = "secret".to_owned();
        let alter = MemoryChange::Alter(name("orders"), Box::new(orders));
        pair.source.transact(vec![alter]);
        cdc::caught_up(&pair, progress).await;
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    let rows = named(&pair.target, &name("orders")).unwrap();
    assert_eq!(rows.len(), 30);
    assert!(
        rows.iter()
            .all(|row| hidden(row["secret"].clone()) == row["secret"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_rule_makes_tells_rows_apart() {
    let key = |id: u32, table: &str, columns: &str| {
        format!(
            r#"{{"rule-type":"transformation","rule-id":{id},"rule-target":"table","rule-action":"define-primary-key",
            "object-locator":{{"schema-name":"shop","table-name":"{table}"}},"primary-key-def":{{"columns":[{columns}]}}}}"#
        )
    };
    let source = MemoryDatabase::new();
    let mut plain = table("plain", 10);
    plain.table.primary_key = Vec::new();
    plain.has_key = false;
    let rows = plain.rows.clone();
    source.put(plain);
    let pair = Pair {
        source,
        target: MemoryDatabase::new(),
    };
    let of_plain = mappings(&[key(2, "plain", r#""id""#)]);
    let outcome = cdc::follow(&pair, &spec(&of_plain), &Faults::none(), async |progress| {
        cdc::caught_up(&pair, progress).await;
        let mut after = rows[3].clone();
        after[1] = Cell::Text("other".to_owned());
        let update = MemoryChange::Update {
            table: name("plain"),
            before: rows[3].clone(),
            after,
            not_sent: Vec::new(),
        };
        let delete = MemoryChange::Delete(name("plain"), rows[4].clone());
        let insert = MemoryChange::Insert(name("plain"), vec![Cell::Int(50), Cell::Null]);
        pair.source.transact(vec![update, delete, insert]);
    })
    .await;
    assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    assert_eq!(
        pair.target.rows(&name("plain")),
        pair.source.rows(&name("plain"))
    );
    assert_eq!(
        pair.target.get(&name("plain")).unwrap().table.primary_key,
        [0]
    );
    assert!(compares_equal(&pair, &of_plain).await);

    let pair = Pair::new();
    let other = mappings(&[key(2, "orders", r#""note""#)]);
    let outcome = cdc::follow(&pair, &spec(&other), &Faults::none(), async |_| {}).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("a key of other columns"), "{error}");
}
