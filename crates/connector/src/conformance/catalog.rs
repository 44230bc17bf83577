use std::sync::Mutex;

use whimbrel_core::TableName;

use super::rig::{self, How, Rig};
use super::{Change, End, Fixture, Harness, fixture};

/// Tables are described in order of name, with columns, NULLs and keys as they are; those not selected are left out.
pub async fn tables_are_offered_sorted_and_as_they_are(harness: &dyn Harness) {
    let mut fixtures = fixture::all();
    rig::make(harness, &fixtures);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let offered = rig::tables(harness, End::Source, &mut *source).await;
    fixtures.sort_by_key(|fixture| fixture.name);
    let names: Vec<&str> = offered.iter().map(|t| t.name.name.as_str()).collect();
    let expected: Vec<&str> = fixtures.iter().map(|fixture| fixture.name).collect();
    assert_eq!(names, expected);
    for (table, fixture) in offered.iter().zip(&fixtures) {
        let columns = table.columns.iter().map(|c| (c.name.as_str(), c.nullable));
        let expected = fixture.columns.iter().map(|c| (c.name, c.nullable));
        assert!(columns.eq(expected), "{table:?}");
        let key = table.primary_key.iter().map(|&i| &table.columns[i].name);
        assert!(key.eq(fixture.key), "{table:?}");
    }
    let one = rig::table(harness, End::Source, &mut *source, "nulls").await;
    assert!(offered.contains(&one), "alone as among others: {one:?}");
    assert!(source.tables(&|_| false).await.unwrap().is_empty());
}

/// Neither views nor tables of the engine nor the connector's own records are offered; their schemas are not either.
pub async fn views_and_system_tables_are_not_offered(harness: &dyn Harness) {
    let mut changes = Vec::new();
    let tables = [fixture::one_row(), fixture::no_key()];
    changes.extend(tables.iter().flat_map(Fixture::made));
    changes.push(Change::View("a_view", "no_key"));
    harness.change(End::Target, &changes);
    // The connector's records exist while a task is claimed.
    rig::make(harness, &[fixture::one_row()]);
    let rig = Rig::prepared(harness, "one_row", How::WHOLE).await;
    let connector = harness.connector(End::Target);
    let mut source = connector.source().await.unwrap();
    let seen: Mutex<Vec<TableName>> = Mutex::default();
    let note = |name: &TableName| {
        seen.lock().unwrap().push(name.clone());
        false
    };
    assert!(source.tables(&note).await.unwrap().is_empty());
    let seen = seen.into_inner().unwrap();
    let schema = harness.schema(End::Target);
    let mut ours: Vec<&str> = seen
        .iter()
        .filter(|name| name.schema == schema)
        .map(|name| name.name.as_str())
        .collect();
    ours.sort_unstable();
    assert_eq!(ours, ["no_key", "one_row"]);
    let schemas = connector.schemas().await.unwrap();
    assert!(schemas.is_sorted() && schemas.iter().any(|s| s == schema));
    for system in harness.system_schemas() {
        let offered = seen.iter().find(|name| name.schema == *system);
        assert!(offered.is_none(), "offered: {offered:?}");
        assert!(!schemas.iter().any(|s| s == system), "schema {system}");
    }
    drop(rig);
}

/// Types that columns need can be made at the target, and made again, and the rows then arrive.
pub async fn types_may_be_made_again(harness: &dyn Harness) {
    let Some(name) = harness.make_typed_table() else {
        // An engine without such types has none for any table, and takes an empty list.
        rig::make(harness, &fixture::all());
        let mut source = harness.connector(End::Source).source().await.unwrap();
        let tables = rig::tables(harness, End::Source, &mut *source).await;
        let types = source.type_definitions(&tables).await.unwrap();
        assert_eq!(types, []);
        let mut target = harness.connector(End::Target).target().await.unwrap();
        assert_eq!(target.create_types(&types).await.unwrap(), []);
        return;
    };
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, name).await;
    let tables = [table];
    let types = source.type_definitions(&tables).await.unwrap();
    assert!(!types.is_empty());
    let mut target = harness.connector(End::Target).target().await.unwrap();
    assert_eq!(target.create_types(&types).await.unwrap(), []);
    assert_eq!(target.create_types(&types).await.unwrap(), []);
    let mut rig = Rig::prepared(harness, name, How::WHOLE).await;
    rig.load_all().await.unwrap();
    assert_eq!(target.create_types(&types).await.unwrap(), []);
    let record = rig.record(harness).await;
    assert!(record.chunks[0].done.is_some_and(|done| done.row_count > 0));
}
