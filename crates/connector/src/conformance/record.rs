use super::rig::{self, How, Rig};
use super::{End, Harness, fixture};
use crate::Error;

/// Checks that neither rows nor record are left of chunk 0, while it was chunk 1 that was committed.
async fn only_chunk_1_is_there(harness: &dyn Harness, rig: &Rig) {
    let record = rig.record(harness).await;
    let done: Vec<u32> = record
        .chunks
        .iter()
        .filter(|chunk| chunk.done.is_some())
        .map(|chunk| chunk.id.0)
        .collect();
    assert_eq!(done, [1]);
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, rig.rows_at_source(&rig.chunks[1..2]).await);
}

async fn with_chunk_1_loaded(harness: &dyn Harness) -> Rig {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    assert!(rig.chunks.len() > 2, "{} chunks", rig.chunks.len());
    let mut loader = rig.loader().await;
    rig.load(&mut *loader, 1).await.unwrap();
    rig
}

/// A table is not finished while the target has no record of one of its chunks, and is once it has.
pub async fn a_table_is_finished_when_every_chunk_is_recorded(harness: &dyn Harness) {
    let mut rig = with_chunk_1_loaded(harness).await;
    let too_early = rig.target.finish(&rig.fence, &rig.planned).await;
    assert!(
        matches!(too_early, Err(Error::Transient(_))),
        "{too_early:?}"
    );
    only_chunk_1_is_there(harness, &rig).await;
    assert!(!rig.record(harness).await.is_finished);
    let mut loader = rig.loader().await;
    for chunk in (0..rig.chunks.len()).filter(|chunk| *chunk != 1) {
        rig.load(&mut *loader, chunk).await.unwrap();
    }
    rig.target.finish(&rig.fence, &rig.planned).await.unwrap();
    assert!(rig.record(harness).await.is_finished);
}

/// A chunk that is rolled back leaves neither rows nor record; the loader goes on.
pub async fn a_chunk_rolled_back_leaves_nothing(harness: &dyn Harness) {
    let mut rig = with_chunk_1_loaded(harness).await;
    let mut loader = rig.loader().await;
    rig.write(&mut *loader, 0).await.unwrap();
    loader.rollback().await.unwrap();
    loader.rollback().await.unwrap();
    only_chunk_1_is_there(harness, &rig).await;
    rig.load(&mut *loader, 0).await.unwrap();
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, rig.rows_at_source(&rig.chunks[..2]).await);
}

/// A loader that is dropped leaves nothing of its open chunk, and another loads it.
pub async fn a_dropped_loader_leaves_nothing(harness: &dyn Harness) {
    let mut rig = with_chunk_1_loaded(harness).await;
    let mut loader = rig.loader().await;
    rig.write(&mut *loader, 0).await.unwrap();
    drop(loader);
    only_chunk_1_is_there(harness, &rig).await;
    let mut loader = rig.loader().await;
    rig.load(&mut *loader, 0).await.unwrap();
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, rig.rows_at_source(&rig.chunks[..2]).await);
}

/// Beginning anew gives the open chunk up: of the same chunk the rows come once, of another nothing stays.
pub async fn beginning_anew_gives_the_open_chunk_up(harness: &dyn Harness) {
    let mut rig = with_chunk_1_loaded(harness).await;
    let mut loader = rig.loader().await;
    rig.write(&mut *loader, 0).await.unwrap();
    rig.write(&mut *loader, 2).await.unwrap();
    rig.load(&mut *loader, 2).await.unwrap();
    let record = rig.record(harness).await;
    assert!(record.chunks[0].done.is_none() && record.chunks[2].done.is_some());
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, rig.rows_at_source(&rig.chunks[1..3]).await);
}

/// Before the commit nobody sees a chunk's record; after it both rows and record are there for everybody.
pub async fn rows_and_record_appear_together(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    for how in [How::WHOLE, How::CHUNKED] {
        let mut rig = Rig::prepared(harness, "many_rows", how).await;
        let mut loader = rig.loader().await;
        rig.write(&mut *loader, 0).await.unwrap();
        assert_eq!(rig.record(harness).await.chunks[0].done, None);
        let commit = loader.commit().await.unwrap();
        // The loader still lives: what it committed does not wait for its end.
        assert_eq!(rig.record(harness).await.chunks[0].done, Some(commit));
        let rows = rig::rows_at_target(harness, "many_rows").await;
        assert_eq!(rows, rig.rows_at_source(&rig.chunks[..1]).await);
        assert_eq!(commit.row_count, rows.len() as u64);
        assert!(commit.byte_count > 230 * commit.row_count, "{commit:?}");
    }
}

/// The record names position, chunks and commits exactly, and a chunk that is done is not loaded twice.
pub async fn the_record_tells_what_was_committed(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let last = rig.chunks.len() - 1;
    let mut loader = rig.loader().await;
    let mut commits = vec![None; rig.chunks.len()];
    for index in [last, 0] {
        commits[index] = Some(rig.load(&mut *loader, index).await.unwrap());
    }
    let again = rig.load(&mut *loader, 0).await;
    assert!(again.is_err(), "a chunk was loaded twice");
    drop(loader);

    // Another worker takes over and finds the same.
    let mut target = harness.connector(End::Target).target().await.unwrap();
    rig.fence = target.claim(&rig.fence.task).await.unwrap();
    let record = rig.record(harness).await;
    assert_eq!(record.planned_at.as_ref(), Some(rig.snapshot.position()));
    let follow = record.follow.clone().unwrap();
    assert_eq!(follow.shape, rig.planned.source);
    assert!(!follow.has_joined && follow.suspended.is_none());
    assert!(!record.is_finished);
    let chunks = record
        .chunks
        .iter()
        .map(|chunk| (&chunk.bounds, chunk.done));
    assert!(
        chunks.eq(rig.chunks.iter().zip(commits.clone())),
        "{record:?}"
    );
    assert!(
        (0..)
            .zip(&record.chunks)
            .all(|(id, chunk)| chunk.id.0 == id)
    );

    let mut loader = target.loader(&rig.fence).await.unwrap();
    for (index, commit) in commits.iter_mut().enumerate().take(last).skip(1) {
        *commit = Some(rig.load(&mut *loader, index).await.unwrap());
    }
    drop(loader);
    target.finish(&rig.fence, &rig.planned).await.unwrap();
    let record = rig.record(harness).await;
    assert!(record.is_finished);
    assert!(record.chunks.iter().map(|chunk| chunk.done).eq(commits));
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, fixture::many_rows().sorted());
}

/// Records come in order of the source tables' names, one for each table.
pub async fn records_come_in_order_of_name(harness: &dyn Harness) {
    let fixtures = [fixture::one_row(), fixture::empty(), fixture::odd_names()];
    rig::make(harness, &fixtures);
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let mut tables = rig::tables(harness, End::Source, &mut *source).await;
    let to = rig::name(harness, End::Target, "one_row");
    let mut rig = Rig::of_table(harness, &mut *source, &tables[2], to, How::WHOLE).await;
    tables.reverse();
    for table in &tables {
        rig.turn_to(harness, table, How::WHOLE).await;
    }
    tables.reverse();
    let records = rig.target.load_records(&rig.fence).await.unwrap();
    let names = records.iter().map(|record| &record.table);
    assert!(
        names.eq(tables.iter().map(|table| &table.name)),
        "{records:?}"
    );
}
