use super::rig;
use super::{Change, End, Fixture, Harness, fixture};
use crate::memory::{Cell, Row};
use crate::{KeyCell, KeyLookup, Source};

/// So many keys in one statement.
const KEYS: usize = 100;

/// Every row is found by its key, whatever the key is made of, and none by a key that no row has.
pub async fn rows_are_found_by_their_keys(harness: &dyn Harness) {
    let mut fixtures = fixture::all();
    fixtures.retain(|fixture| !fixture.key.is_empty() && !fixture.rows.is_empty());
    rig::make(harness, &fixtures);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    for fixture in &fixtures {
        let mut found = Vec::new();
        for rows in fixture.rows.chunks(KEYS) {
            found.extend(look(harness, &mut *source, fixture, rows).await);
        }
        found.sort();
        assert_eq!(found, fixture.sorted(), "{}", fixture.name);
        let mut other = fixture.rows[0].clone();
        for cell in &mut other {
            if let Cell::Int(number) = cell {
                *number = 987_654_321;
            }
        }
        let found = look(harness, &mut *source, fixture, &[other]).await;
        assert_eq!(found, Vec::<Row>::new(), "{}", fixture.name);
    }
}

/// A look sees what is committed when it is made, on a connection that has looked before.
pub async fn a_look_sees_the_latest_commit(harness: &dyn Harness) {
    let fixture = fixture::one_row();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let later = fixture::later_rows();
    let before = look(harness, &mut *source, &fixture, &later).await;
    assert_eq!(before, Vec::<Row>::new());
    harness.change(End::Source, &[Change::Insert(fixture.name, &later)]);
    let mut after = look(harness, &mut *source, &fixture, &later).await;
    after.sort();
    assert_eq!(after, later);
    harness.change(End::Source, &[Change::Delete(fixture.name)]);
    let gone = look(harness, &mut *source, &fixture, &later).await;
    assert_eq!(gone, Vec::<Row>::new());
}

async fn look(
    harness: &dyn Harness,
    source: &mut dyn Source,
    fixture: &Fixture,
    rows: &[Row],
) -> Vec<Row> {
    let table = rig::table(harness, End::Source, source, fixture.name).await;
    let columns = table.key_in_row();
    let key = |row: &Row| -> Vec<KeyCell> {
        let cells = columns
            .iter()
            .map(|&place| KeyCell::of(&row[place].value()));
        cells.collect::<Option<_>>().unwrap()
    };
    let keys: Vec<Vec<KeyCell>> = rows.iter().map(key).collect();
    let lookup = KeyLookup {
        table: &table,
        columns: &columns,
        keys: &keys,
    };
    let mut found = Vec::new();
    let mut keep = |row: &[whimbrel_core::Value<'_>]| {
        found.push(row.iter().map(rig::cell).collect());
        Ok(())
    };
    source.rows_by_key(lookup, &mut keep).await.unwrap();
    found
}
