use tokio_util::sync::CancellationToken;
use whimbrel_connector::memory::{Cell, Faults, MemoryDatabase};
use whimbrel_core::mapping::TableMappings;
use whimbrel_engine::Shaping;
use whimbrel_engine::validate::{
    Difference, DifferenceKind, TableReport, ValidateSpec, Verdict, validate,
};

use crate::support::{connector, table};

async fn compare(source: &MemoryDatabase, target: &MemoryDatabase, most: usize) -> TableReport {
    let spec = ValidateSpec {
        mappings: TableMappings::of_patterns(&[("%".to_owned(), "%".to_owned())], &[]),
        target_schema: None,
        shaping: Shaping::default(),
        subtask_count: 2,
        differences_max: most,
    };
    let (source, target) = (
        connector(source, &Faults::none()),
        connector(target, &Faults::none()),
    );
    let mut reports = validate(
        &source,
        &target,
        &spec,
        &CancellationToken::new(),
        &mut |_, _, _| {},
    )
    .await
    .unwrap();
    reports.remove(0)
}

fn pair(rows: i64) -> (MemoryDatabase, MemoryDatabase) {
    let (source, target) = (MemoryDatabase::new(), MemoryDatabase::new());
    source.put(table("t", rows));
    let mut copy = table("t", rows);
    copy.rows.reverse();
    target.put(copy);
    (source, target)
}

#[tokio::test]
async fn equal_tables_are_equal_in_any_order() {
    let (source, target) = pair(500);
    let report = compare(&source, &target, 10).await;
    assert_eq!(
        (
            report.verdict,
            report.source_row_count,
            report.target_row_count
        ),
        (Verdict::Equal, 500, 500)
    );
}

#[tokio::test]
async fn each_difference_is_named_by_key_and_column() {
    let (source, target) = pair(50);
    let mut copy = table("t", 50);
    copy.rows.remove(3);
    copy.rows.push(vec![Cell::Int(77), Cell::Null]);
    copy.rows[10][1] = Cell::Text("other".to_owned());
    target.put(copy);
    let Verdict::Different {
        differences,
        has_more,
    } = compare(&source, &target, 10).await.verdict
    else {
        panic!("they differ")
    };
    let difference = |key: &str, kind| Difference {
        key: key.to_owned(),
        kind,
    };
    let changed = DifferenceKind::Changed {
        columns: vec!["note".to_owned()],
    };
    assert!(!has_more);
    assert_eq!(
        differences,
        [
            difference("(11)", changed),
            difference("(3)", DifferenceKind::MissingAtTarget),
            difference("(77)", DifferenceKind::ExtraAtTarget),
        ]
    );
}

#[tokio::test]
async fn named_differences_are_bounded() {
    let (source, target) = pair(300);
    target.put(table("t", 0));
    let Verdict::Different {
        differences,
        has_more,
    } = compare(&source, &target, 5).await.verdict
    else {
        panic!("they differ")
    };
    assert!(has_more && differences.len() == 5);
}

#[tokio::test]
async fn tables_without_a_key_are_compared_as_multisets() {
    let (source, target) = (MemoryDatabase::new(), MemoryDatabase::new());
    for (database, copies) in [(&source, 3), (&target, 2)] {
        let mut keyless = table("t", 5);
        keyless.table.primary_key.clear();
        keyless
            .rows
            .extend(std::iter::repeat_n(vec![Cell::Int(9), Cell::Null], copies));
        database.put(keyless);
    }
    let Verdict::Different { differences, .. } = compare(&source, &target, 5).await.verdict else {
        panic!("they differ")
    };
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].kind, DifferenceKind::MissingAtTarget);
}

#[tokio::test]
async fn a_table_or_column_that_is_not_there_cannot_be_compared() {
    let (source, target) = pair(5);
    let mut narrow = table("t", 5);
    narrow.table.columns.pop();
    narrow.rows.iter_mut().for_each(|row| row.truncate(1));
    target.put(narrow);
    let report = compare(&source, &target, 5).await;
    assert!(matches!(report.verdict, Verdict::NotComparable(reason) if reason.contains("note")));
}
