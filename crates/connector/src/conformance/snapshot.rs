use super::rig::{self, SMALL_CHUNK};
use super::{Change, End, Harness, fixture};

/// A view holds what was committed before it and nothing after, even when chunks are planned later. It outlives the source
/// that made it, and the next view sees the later rows.
pub async fn a_view_does_not_see_later_commits(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    drop(source);
    let before = snapshot.plan(&table, SMALL_CHUNK).await.unwrap();
    let later = fixture::later_rows();
    let changes = [
        Change::Delete(fixture.name),
        Change::Insert(fixture.name, &later),
    ];
    harness.change(End::Source, &changes);
    let after = snapshot.plan(&table, SMALL_CHUNK).await.unwrap();
    for chunks in [before, after] {
        let rows = rig::read_chunks(&*snapshot, &table, &chunks).await.unwrap();
        assert_eq!(rows, fixture.sorted());
    }
    drop(snapshot);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    assert_eq!(rig::read(&*snapshot, &table).await.unwrap(), later);
}

/// All readers of a view see the same moment, also those that are made after later commits.
pub async fn all_readers_see_the_same_moment(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(3).await.unwrap();
    let chunks = snapshot.plan(&table, SMALL_CHUNK).await.unwrap();
    let mut first = snapshot.reader().await.unwrap();
    first.open(rig::decoded(&table, &chunks[0])).await.unwrap();
    let mut started = first.next().await.unwrap().map_or(0, |b| b.row_count());
    harness.change(
        End::Source,
        &[Change::Insert(fixture.name, &fixture::later_rows())],
    );
    let (second, third) = tokio::join!(
        rig::read_chunks(&*snapshot, &table, &chunks),
        rig::read_chunks(&*snapshot, &table, &chunks)
    );
    assert_eq!(second.unwrap(), fixture.sorted());
    assert_eq!(third.unwrap(), fixture.sorted());
    while let Some(block) = first.next().await.unwrap() {
        started += block.row_count();
    }
    let again = rig::read_chunk(&mut *first, &table, &chunks[0]).await;
    assert_eq!(again.unwrap().len(), started);
}

/// A reader that is dropped, even in the middle of a chunk, makes room for another under the same view.
pub async fn a_dropped_reader_makes_room(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let table = rig::table(harness, End::Source, &mut *source, fixture.name).await;
    let snapshot = source.snapshot(1).await.unwrap();
    let chunks = snapshot.plan(&table, rig::WHOLE).await.unwrap();
    harness.change(
        End::Source,
        &[Change::Insert(fixture.name, &fixture::later_rows())],
    );
    for blocks_read in 0..3 {
        let mut reader = snapshot.reader().await.unwrap();
        reader.open(rig::decoded(&table, &chunks[0])).await.unwrap();
        for _ in 0..blocks_read {
            assert!(reader.next().await.unwrap().is_some());
        }
    }
    let rows = rig::read_chunks(&*snapshot, &table, &chunks).await.unwrap();
    assert_eq!(rows, fixture.sorted());
}
