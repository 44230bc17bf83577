//! Rows in another shape: loads, changes and comparisons agree on it.

use tokio_util::sync::CancellationToken;
use whimbrel_connector::memory::{Call, Cell, Faults, MemoryDatabase, Row, When};
use whimbrel_core::mapping::TableMappings;
use whimbrel_engine::validate::{ValidateSpec, Verdict, validate};
use whimbrel_engine::{CdcOutcome, CdcSpec, CdcStart, RunError, Shaping};

use crate::support::{Pair, connector, name};
use crate::{cdc, definitions};

/// Shorter than most texts of the workload.
const BYTES_MAX: usize = 3;

fn cutting() -> Shaping {
    Shaping {
        lob_bytes_max: Some(BYTES_MAX),
        ..Shaping::default()
    }
}

fn spec() -> CdcSpec {
    let mut spec = cdc::cdc();
    spec.load.shaping = cutting();
    spec
}

fn cut(cell: Cell) -> Cell {
    match cell {
        Cell::Text(text) => Cell::Text(text.chars().take(BYTES_MAX).collect()),
        other => other,
    }
}

fn cut_rows(database: &MemoryDatabase, table: &str) -> Option<Vec<Row>> {
    let rows = database.rows(&name(table))?;
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|row| row.into_iter().map(cut).collect())
        .collect();
    rows.sort();
    Some(rows)
}

/// Answers whether any value was long enough to be cut.
async fn assert_cut(pair: &Pair, place: &str) -> bool {
    let mut is_anything_cut = false;
    for table in ["orders", "items", "empty", "events"] {
        let mut arrived = pair.target.rows(&name(table));
        if let Some(rows) = &mut arrived {
            rows.sort();
        }
        assert_eq!(arrived, cut_rows(&pair.source, table), "{place}: {table}");
        is_anything_cut |= cut_rows(&pair.source, table) != pair.source.rows(&name(table));
    }
    assert!(compares_equal(pair, cutting()).await, "{place}");
    let is_whole = compares_equal(pair, Shaping::default()).await;
    assert_eq!(is_whole, !is_anything_cut, "{place}");
    is_anything_cut
}

async fn compares_equal(pair: &Pair, shaping: Shaping) -> bool {
    let spec = ValidateSpec {
        mappings: TableMappings::of_patterns(&[("%".to_owned(), "%".to_owned())], &[]),
        target_schema: None,
        shaping,
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

#[tokio::test(start_paused = true)]
async fn loads_changes_and_comparisons_give_rows_one_shape() {
    let mut cut_count = 0;
    for seed in 0..40 {
        let pair = cdc::pair();
        let changes_max = if seed % 2 == 0 { 4 } else { 300 };
        let outcome = cdc::follow(&pair, &spec(), &Faults::none(), async |_| {
            cdc::work(&pair, seed, 40, changes_max).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        cut_count += u32::from(assert_cut(&pair, &format!("seed {seed}")).await);
    }
    assert!(cut_count > 30, "{cut_count}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_anywhere_is_completed_in_the_same_shape() {
    for call in Call::ALL.into_iter().chain(Call::OF_CDC) {
        for nth in [1, 2, 5] {
            let pair = cdc::pair();
            let faults = Faults::at(call, nth, When::After, 1000);
            let mut once = spec();
            once.load.retry.retries_max = 0;
            let first = cdc::follow(&pair, &once, &faults, async |_| {
                cdc::work(&pair, u64::from(nth), 30, 6).await;
            })
            .await;
            let again = CdcSpec {
                start: CdcStart::Resume,
                ..spec()
            };
            let resumed = cdc::follow(&pair, &again, &Faults::none(), async |_| {}).await;
            let outcome = match resumed {
                Err(RunError::NothingToResume) => {
                    cdc::follow(&pair, &spec(), &Faults::none(), async |_| {}).await
                }
                other => other,
            };
            let place = format!("{call:?} {nth} {first:?}");
            assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{place}");
            assert_cut(&pair, &place).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_does_not_go_on_in_another_shape_than_that_of_the_loaded_rows() {
    for (first, then) in [(spec(), cdc::cdc()), (cdc::cdc(), spec())] {
        let pair = cdc::pair();
        let outcome = cdc::follow(&pair, &first, &Faults::none(), async |_| {}).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let resumed = |spec: CdcSpec| CdcSpec {
            start: CdcStart::Resume,
            ..spec
        };
        let outcome = cdc::follow(&pair, &resumed(then), &Faults::none(), async |_| {}).await;
        assert!(
            matches!(&outcome, Err(RunError::Table(why)) if why.contains("other settings")),
            "{outcome:?}"
        );
        let outcome = cdc::follow(&pair, &resumed(first), &Faults::none(), async |_| {}).await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn definitions_change_and_the_shape_with_them() {
    for seed in 0..100 {
        let pair = definitions::pair(seed % 2 == 0);
        let outcome = cdc::follow(&pair, &spec(), &Faults::none(), async |progress| {
            definitions::work(&pair, seed, 12).await;
            cdc::caught_up(&pair, progress).await;
            definitions::work(&pair, seed + 1000, 12).await;
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        for table in ["orders", "items", "further", "renamed"] {
            let table = name(table);
            let wanted = definitions::rows(&pair.source, &table).map(|rows| {
                let cut = |row: std::collections::BTreeMap<String, Cell>| {
                    let cells = row.into_iter().map(|(name, cell)| (name, cut(cell)));
                    cells.collect()
                };
                let mut rows: Vec<std::collections::BTreeMap<String, Cell>> =
                    rows.into_iter().map(cut).collect();
                rows.sort();
                rows
            });
            let arrived = definitions::rows(&pair.target, &table);
            assert_eq!(arrived, wanted, "seed {seed}: {table}");
        }
    }
}
