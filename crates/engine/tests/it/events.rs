//! Columns that tell of a row's change, and rows that stay with a flag.

use whimbrel_connector::memory::{Cell, Faults, MemoryChange, MemoryDatabase, Row};
use whimbrel_engine::CdcOutcome;

use crate::cdc;
use crate::rules::{filter, mappings, of_columns, spec, wide};
use crate::support::{Pair, name};

fn flag(id: u32) -> String {
    format!(
        r#"{{"rule-type":"transformation","rule-id":{id},"rule-target":"column","rule-action":"add-column","value":"op",
        "expression":"operation_indicator('D','U','I')","data-type":{{"type":"string","length":1}},
        "object-locator":{{"schema-name":"shop","table-name":"wide"}}}}"#
    )
}

fn before_images(id: u32, of: &str) -> String {
    let rest = format!(
        r#""rule-action":"add-before-image-columns","before-image-def":{{"column-prefix":"BI_","column-suffix":"","column-filter":"{of}"}}"#
    );
    of_columns(id, "wide", "%", &rest)
}

fn pair(rows: &[(i64, &str, &str)], tells_old_rows: bool) -> (Pair, Vec<Row>) {
    let (source, rows) = wide(rows);
    let source = if tells_old_rows {
        source.telling_old_rows()
    } else {
        source
    };
    let target = MemoryDatabase::new();
    (Pair { source, target }, rows)
}

fn update(before: &Row, id: i64, note: &str, not_sent: Vec<usize>) -> MemoryChange {
    let mut after = before.clone();
    after[0] = Cell::Int(id);
    after[1] = text(note);
    MemoryChange::Update {
        table: name("wide"),
        before: before.clone(),
        after,
        not_sent,
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// The rows of the target by their keys.
fn arrived(pair: &Pair) -> Vec<Row> {
    let mut rows = pair.target.rows(&name("wide")).unwrap();
    rows.sort_by_key(|row| format!("{:?}", row[0]));
    rows
}

#[tokio::test(start_paused = true)]
async fn a_row_that_gets_the_key_of_one_that_has_gone_takes_its_place() {
    let mappings = mappings(&[flag(2)]);
    for (tells_old_rows, at_once, not_sent) in [
        (true, true, vec![]),
        (true, false, vec![]),
        (true, false, vec![2]),
        (false, true, vec![]),
        (false, false, vec![]),
        (false, false, vec![2]),
    ] {
        let case = format!("{tells_old_rows} {at_once} {not_sent:?}");
        let (pair, rows) = pair(
            &[(1, "a", "A"), (2, "b", "B"), (3, "c", "C")],
            tells_old_rows,
        );
        let outcome = cdc::follow(&pair, &spec(&mappings), &Faults::none(), async |progress| {
            cdc::caught_up(&pair, progress).await;
            let goes = MemoryChange::Delete(name("wide"), rows[1].clone());
            let moves = update(&rows[0], 2, "a", not_sent.clone());
            if at_once {
                pair.source.transact(vec![goes, moves]);
            } else {
                pair.source.transact(vec![goes]);
                cdc::caught_up(&pair, progress).await;
                let flagged = vec![Cell::Int(2), text("b"), text("B"), text("D")];
                assert_eq!(arrived(&pair)[1], flagged, "{case}");
                pair.source.transact(vec![moves]);
            }
            cdc::caught_up(&pair, progress).await;
            // To a key that no row has had.
            pair.source
                .transact(vec![update(&rows[2], 4, "d", not_sent.clone())]);
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped, "{case}");
        let expected = [
            vec![Cell::Int(2), text("a"), text("A"), text("U")],
            vec![Cell::Int(4), text("d"), text("C"), text("U")],
        ];
        assert_eq!(arrived(&pair), expected, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_by_which_a_row_passes_the_filter_is_an_update_all_the_same() {
    for (tells_old_rows, images) in [(true, "all"), (false, "pk-only")] {
        let of_wide = filter(
            2,
            "wide",
            "note",
            r#"{"filter-operator":"eq","value":"in"}"#,
        );
        let mappings = mappings(&[of_wide, flag(3), before_images(4, images)]);
        let (pair, rows) = pair(&[(1, "out", "A"), (2, "out", "B")], tells_old_rows);
        let outcome = cdc::follow(&pair, &spec(&mappings), &Faults::none(), async |progress| {
            cdc::caught_up(&pair, progress).await;
            assert_eq!(arrived(&pair), [] as [Row; 0]);
            pair.source.transact(vec![
                update(&rows[0], 1, "in", vec![]),
                update(&rows[1], 3, "in", vec![]),
            ]);
        })
        .await;
        assert_eq!(outcome.unwrap(), CdcOutcome::Stopped);
        let expected = |id: i64, was: i64, body: &str| {
            let mut row = vec![Cell::Int(id), text("in"), text(body), Cell::Int(was)];
            if tells_old_rows {
                row.extend([text("out"), text(body)]);
            }
            row.push(text("U"));
            row
        };
        assert_eq!(arrived(&pair), [expected(1, 1, "A"), expected(3, 2, "B")]);
    }
}
