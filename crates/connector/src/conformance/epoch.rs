use super::rig::{self, How, Rig, assert_fenced};
use super::{End, Harness, fixture};
use crate::Error;

/// Each claim's epoch is larger than all before it, on any connection and after the task was forgotten.
pub async fn epochs_only_grow(harness: &dyn Harness) {
    let task = rig::task(harness);
    let connector = harness.connector(End::Target);
    let mut last = 0;
    for _ in 0..3 {
        let mut target = connector.target().await.unwrap();
        let mut fence = target.claim(&task).await.unwrap();
        assert_eq!(fence.task, task);
        assert!(fence.epoch > last, "{} after {last}", fence.epoch);
        last = fence.epoch;
        fence = target.claim(&task).await.unwrap();
        assert!(fence.epoch > last, "{} after {last}", fence.epoch);
        last = fence.epoch;
        target.forget(&fence).await.unwrap();
    }
}

/// Once a task is taken over, the older worker is refused at every step, and what it had open leaves nothing.
pub async fn an_older_epoch_is_refused(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut old = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    assert!(old.chunks.len() > 2);
    let mut loader = old.loader().await;
    old.load(&mut *loader, 0).await.unwrap();
    let before = old.record(harness).await;
    old.write(&mut *loader, 1).await.unwrap();

    // Nobody waits for a worker that stops in the middle of its rows.
    let mut successor = harness.connector(End::Target).target().await.unwrap();
    let fence = successor.claim(&old.fence.task).await.unwrap();
    assert_fenced(loader.commit().await, "commit");
    assert_fenced(loader.begin(old.chunk(2)).await, "begin");
    drop(loader);
    assert_fenced(old.prepare().await, "prepare");
    let finished = old.target.finish(&old.fence, &old.planned).await;
    assert_fenced(finished, "finish");
    assert_fenced(old.target.forget(&old.fence).await, "forget");
    let begun = match old.target.loader(&old.fence).await {
        Ok(mut loader) => loader.begin(old.chunk(1)).await,
        Err(error) => Err(error),
    };
    assert_fenced(begun, "a new loader");

    let records = successor.load_records(&fence).await.unwrap();
    assert_eq!(records, [before]);
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, old.rows_at_source(&old.chunks[..1]).await);
    let mut loader = successor.loader(&fence).await.unwrap();
    old.load(&mut *loader, 1).await.unwrap();
}

/// A worker whose task was forgotten cannot write either.
pub async fn a_forgotten_task_cannot_write(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = rig.loader().await;
    rig.write(&mut *loader, 0).await.unwrap();
    let mut other = harness.connector(End::Target).target().await.unwrap();
    other.forget(&rig.fence).await.unwrap();
    assert_fenced(loader.commit().await, "commit");
    drop(loader);
    assert_fenced(rig.prepare().await, "prepare");
    let finished = rig.target.finish(&rig.fence, &rig.planned).await;
    assert_fenced(finished, "finish");
    assert_eq!(rig::rows_at_target(harness, "many_rows").await.len(), 0);
}

/// Forgetting removes the records for good, and may be repeated.
pub async fn forgetting_may_be_repeated(harness: &dyn Harness) {
    rig::make(harness, &[fixture::one_row()]);
    let mut rig = Rig::prepared(harness, "one_row", How::WHOLE).await;
    rig.load_all().await.unwrap();
    rig.target.forget(&rig.fence).await.unwrap();
    rig.target.forget(&rig.fence).await.unwrap();
    let mut other = harness.connector(End::Target).target().await.unwrap();
    other.forget(&rig.fence).await.unwrap();
    let fence = rig.target.claim(&rig.fence.task).await.unwrap();
    let records = rig.target.load_records(&fence).await.unwrap();
    assert_eq!(records, []);
    // The rows are none of the record's business.
    let rows = rig::rows_at_target(harness, "one_row").await;
    assert_eq!(rows, fixture::one_row().rows);
}

/// Two tasks at one target neither see nor fence nor forget each other's loads.
pub async fn tasks_do_not_disturb_each_other(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = rig.loader().await;
    rig.load(&mut *loader, 0).await.unwrap();
    rig.write(&mut *loader, 1).await.unwrap();

    let mut other = harness.connector(End::Target).target().await.unwrap();
    let fence = other.claim(&format!("{} %", rig.fence.task)).await.unwrap();
    assert_eq!(other.load_records(&fence).await.unwrap(), []);
    let mut planned = rig.planned.clone();
    planned.name.name.push_str("_copy");
    let (mode, at) = (rig.how.mode, rig.snapshot.position());
    let prepared = other.prepare(&fence, &planned, mode, at, &rig.chunks);
    prepared.await.unwrap();
    // Its chunks are not done, whatever those of the first are.
    let too_early = other.finish(&fence, &planned).await;
    assert!(matches!(too_early, Err(Error::Transient(_))));
    assert_eq!(other.load_records(&fence).await.unwrap().len(), 1);

    loader.commit().await.unwrap();
    let record = rig.record(harness).await;
    let done = record.chunks.iter().filter(|chunk| chunk.done.is_some());
    assert_eq!((done.count(), record.is_finished), (2, false));
    other.forget(&fence).await.unwrap();
    rig.load(&mut *loader, 2).await.unwrap();
    assert_eq!(rig.record(harness).await.chunks, {
        let mut chunks = record.chunks;
        chunks[2].done = rig.record(harness).await.chunks[2].done;
        assert!(chunks[2].done.is_some());
        chunks
    });
    assert_eq!(
        rig::rows_at_target(harness, "many_rows_copy").await.len(),
        0
    );
}
