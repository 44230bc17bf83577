use whimbrel_core::{ChunkId, TableName};

use super::rig::{self, How, Rig};
use super::{Change, End, Fixture, Harness, fixture};
use crate::memory::Cell;
use crate::{ChunkRecord, Error, KeyPolicy, PrepareMode, Source, TargetTable};

const MODES: [PrepareMode; 3] = [
    PrepareMode::DoNothing,
    PrepareMode::DropAndCreate,
    PrepareMode::Truncate,
];

/// A table at the target with rows and columns that the source's table does not have.
fn standing() -> Fixture {
    let mut fixture = fixture::one_row();
    let mut extra = fixture.columns[1];
    extra.name = "extra";
    fixture.columns.push(extra);
    fixture.rows = [8, 9]
        .map(|id| vec![Cell::Int(id), Cell::Null, Cell::Text("kept".into())])
        .to_vec();
    fixture
}

/// Loads the one row over the table that stands at the target.
async fn load_over(harness: &dyn Harness, mode: PrepareMode) -> Vec<crate::memory::Row> {
    rig::make(harness, &[fixture::one_row()]);
    harness.change(End::Target, &standing().made());
    let mut rig = Rig::prepared(harness, "one_row", How::WHOLE.mode(mode)).await;
    rig.load_all().await.unwrap();
    rig::rows_at_target(harness, "one_row").await
}

fn new_row() -> crate::memory::Row {
    fixture::one_row().rows.remove(0)
}

/// `DropAndCreate` leaves the source's columns and rows alone.
pub async fn drop_and_create_leaves_the_new_table_alone(harness: &dyn Harness) {
    let rows = load_over(harness, PrepareMode::DropAndCreate).await;
    assert_eq!(rows, [new_row()]);
}

/// `Truncate` keeps the table with its columns, and none of its rows.
pub async fn truncate_keeps_the_table_and_no_rows(harness: &dyn Harness) {
    let rows = load_over(harness, PrepareMode::Truncate).await;
    assert_eq!(rows, [[new_row(), vec![Cell::Null]].concat()]);
}

/// `DoNothing` keeps the table and its rows.
pub async fn do_nothing_keeps_the_table_and_its_rows(harness: &dyn Harness) {
    let rows = load_over(harness, PrepareMode::DoNothing).await;
    let mut expected = standing().rows;
    expected.insert(0, [new_row(), vec![Cell::Null]].concat());
    assert_eq!(rows, expected);
}

/// `DoNothing` keeps what others write into a table that it has made, until its only chunk comes and afterwards.
pub async fn do_nothing_keeps_rows_that_come_before_its_own(harness: &dyn Harness) {
    rig::make(harness, &[fixture::one_row()]);
    let how = How::WHOLE.mode(PrepareMode::DoNothing);
    let mut rig = Rig::prepared(harness, "one_row", how).await;
    let mut expected = fixture::later_rows();
    harness.change(End::Target, &[Change::Insert("one_row", &expected)]);
    rig.load_all().await.unwrap();
    expected.push(new_row());
    expected.sort();
    assert_eq!(rig::rows_at_target(harness, "one_row").await, expected);
}

/// Every mode makes the table that is missing, and its schema.
pub async fn every_mode_makes_what_is_missing(harness: &dyn Harness) {
    rig::make(harness, &[fixture::one_row()]);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, "one_row").await;
    let schema = format!("{}_New's", harness.schema(End::Target));
    for mode in MODES {
        let to = TableName::new(schema.clone(), "New 'table'");
        let mut rig = Rig::of_table(
            harness,
            &mut *source,
            &table,
            to.clone(),
            How::WHOLE.mode(mode),
        )
        .await;
        rig.prepare().await.unwrap();
        rig.load_all().await.unwrap();
        let mut at_target = harness.connector(End::Target).source().await.unwrap();
        let found = at_target.tables(&|name| *name == to).await.unwrap();
        let snapshot = at_target.snapshot(1).await.unwrap();
        let rows = rig::read(&*snapshot, &found[0]).await.unwrap();
        drop(snapshot);
        harness.change(End::Target, &[Change::DropSchema(&schema)]);
        assert_eq!(rows, [new_row()], "{mode:?}");
    }
}

/// Preparing twice leaves what once left: an empty table whose chunks are all open, even when some had been loaded.
pub async fn preparing_may_be_repeated(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    for mode in [PrepareMode::DropAndCreate, PrepareMode::Truncate] {
        let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED.mode(mode)).await;
        let fresh = rig.record(harness).await;
        let expected = (0..).zip(&rig.chunks).map(|(id, bounds)| ChunkRecord {
            id: ChunkId(id),
            bounds: bounds.clone(),
            done: None,
        });
        assert!(fresh.chunks.iter().cloned().eq(expected), "{fresh:?}");
        assert!(!fresh.is_finished);
        assert_eq!(fresh.planned_at.as_ref(), Some(rig.snapshot.position()));
        rig.prepare().await.unwrap();
        assert_eq!(rig.record(harness).await, fresh);
        rig.load_all().await.unwrap();
        assert!(rig.record(harness).await.is_finished);
        rig.prepare().await.unwrap();
        assert_eq!(rig.record(harness).await, fresh, "{mode:?}");
        rig.load_all().await.unwrap();
        let rows = rig::rows_at_target(harness, "many_rows").await;
        assert_eq!(rows, fixture::many_rows().sorted(), "{mode:?}");
    }
}

/// The names of the columns of a key at the target.
async fn key_of(harness: &dyn Harness, target: &mut dyn Source, table: &str) -> Vec<String> {
    let table = rig::table(harness, End::Target, target, table).await;
    let key = table.primary_key.iter();
    key.map(|&i| table.columns[i].name.clone()).collect()
}

/// A key is made in the order of its columns, when the policy says so. Finishing may be repeated.
pub async fn keys_are_made_as_the_policy_says(harness: &dyn Harness) {
    rig::make(harness, &[fixture::composite_key(), fixture::odd_names()]);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    let to = rig::name(harness, End::Target, "odd");
    let mut rig = Rig::of_table(harness, &mut *source, &tables[0], to, How::WHOLE).await;
    let mut target = harness.connector(End::Target).source().await.unwrap();
    for (table, fixture) in tables
        .iter()
        .zip([fixture::odd_names(), fixture::composite_key()])
    {
        for keys in [KeyPolicy::Best, KeyPolicy::AfterLoad, KeyPolicy::None] {
            rig.turn_to(harness, table, How::WHOLE.keys(keys)).await;
            if keys != KeyPolicy::Best {
                let early = key_of(harness, &mut *target, fixture.name).await;
                assert_eq!(early, [""; 0], "{keys:?}");
            }
            rig.load_all().await.unwrap();
            let expected = if keys == KeyPolicy::None {
                &[]
            } else {
                fixture.key
            };
            for _ in 0..2 {
                let made = key_of(harness, &mut *target, fixture.name).await;
                assert_eq!(made, expected, "{keys:?}");
                rig.target.finish(&rig.fence, &rig.planned).await.unwrap();
            }
            assert!(rig.record(harness).await.is_finished);
        }
    }
}

fn names_the_table(error: &Error, table: &TargetTable) -> bool {
    match error {
        Error::Table(fault) => fault.table == table.source.name,
        Error::Row(refusal) => refusal.table == table.source.name,
        _ => false,
    }
}

/// Rows that violate the key are refused at the commit or the end, by an error that names the source's table, and the
/// load does not count as finished.
pub async fn duplicate_keys_are_refused(harness: &dyn Harness) {
    rig::make(harness, &[fixture::duplicates()]);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let mut table = rig::table(harness, End::Source, &mut *source, "duplicates").await;
    table.primary_key = vec![0];
    let to = rig::name(harness, End::Target, "duplicates");
    for keys in [KeyPolicy::Best, KeyPolicy::AfterLoad] {
        // Without a key at the source the description is not what is there, but for the key it is.
        let mut rig = Rig::of_table(
            harness,
            &mut *source,
            &table,
            to.clone(),
            How::WHOLE.keys(keys),
        )
        .await;
        rig.prepare().await.unwrap();
        let error = rig.load_all().await.err().unwrap();
        assert!(names_the_table(&error, &rig.planned), "{keys:?}: {error:?}");
        assert!(!rig.record(harness).await.is_finished);
    }
}

/// A dry run says something of the table for every mode, and changes nothing.
pub async fn a_preview_changes_nothing(harness: &dyn Harness) {
    rig::make(harness, &[fixture::one_row()]);
    let rig = Rig::planned(harness, "one_row", How::WHOLE).await;
    for mode in MODES {
        let statements = rig.target.preview(&rig.planned, mode);
        assert!(
            statements.iter().any(|sql| sql.contains("one_row")),
            "{mode:?}: {statements:?}"
        );
    }
    let mut source = harness.connector(End::Target).source().await.unwrap();
    let there = rig::tables(harness, End::Target, &mut *source).await;
    assert_eq!(there, []);
}
