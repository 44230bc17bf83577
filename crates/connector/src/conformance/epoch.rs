use super::rig::{self, How, Rig, assert_fenced, assert_replaced};
use super::{End, Harness, fixture};
use whimbrel_core::{Position, TableName};

use crate::{Error, FedTable, Feeding, PrepareMode, TaskFence};

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
    let committed = loader.commit().await;
    assert_replaced(committed, harness, &old.fence, "commit").await;
    let begun = loader.begin(old.chunk(2)).await;
    assert_replaced(begun, harness, &old.fence, "begin").await;
    drop(loader);
    // What it does on the connection that claimed, and on new ones.
    for _ in 0..2 {
        let prepared = old.prepare().await;
        assert_replaced(prepared, harness, &old.fence, "prepare").await;
        let finished = old.target.finish(&old.fence, &old.planned).await;
        assert_replaced(finished, harness, &old.fence, "finish").await;
        let forgotten = old.target.forget(&old.fence).await;
        assert_replaced(forgotten, harness, &old.fence, "forget").await;
        let begun = match old.target.loader(&old.fence).await {
            Ok(mut loader) => loader.begin(old.chunk(1)).await,
            Err(error) => Err(error),
        };
        assert_replaced(begun, harness, &old.fence, "a new loader").await;
        old.target = harness.connector(End::Target).target().await.unwrap();
    }

    let records = successor.load_records(&fence).await.unwrap();
    assert_eq!(records, [before]);
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, old.rows_at_source(&old.chunks[..1]).await);
    let mut loader = successor.loader(&fence).await.unwrap();
    old.load(&mut *loader, 1).await.unwrap();
}

/// A worker that tries again takes its task from nobody but itself.
pub async fn a_task_is_claimed_again_by_its_holder_only(harness: &dyn Harness) {
    let task = rig::task(harness);
    // Each try has connections of its own; those of before may be ended.
    let connect = async || harness.connector(End::Target).target().await.unwrap();
    let first = connect().await.claim(&task).await.unwrap();
    let second = connect().await.claim_again(&first).await.unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(second.holder, first.holder);
    connect().await.check(&second).await.unwrap();
    // The answer to the last claim may be lost.
    connect().await.check(&first).await.unwrap();
    let third = connect().await.claim_again(&first).await.unwrap();
    assert!(third.epoch > second.epoch);

    let other = connect().await.claim(&task).await.unwrap();
    assert_ne!(other.holder, third.holder);
    let again = connect().await.claim_again(&third).await;
    assert_fenced(again, "claim again");
    assert_fenced(connect().await.check(&third).await, "check");
    connect().await.check(&other).await.unwrap();

    // An epoch of before our claim is that of a target that was put back.
    let held = TaskFence {
        epoch: other.epoch + 1_000_000_000,
        ..third
    };
    let checked = connect().await.check(&held).await;
    assert!(checked.unwrap_err().is_put_back());
    let last = connect().await.claim_again(&held).await.unwrap();
    assert!(last.epoch > held.epoch);

    connect().await.forget(&last).await.unwrap();
    let checked = connect().await.check(&last).await;
    assert_fenced(checked, "check of a forgotten task");
    let again = connect().await.claim_again(&last).await;
    assert_fenced(again, "claim again of a forgotten task");
}

/// Rows that a worker has open keep nobody from preparing their table, once its task is another's.
pub async fn what_a_replaced_worker_has_open_is_ended(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut old = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = old.loader().await;
    old.write(&mut *loader, 1).await.unwrap();
    let mut successor = harness.connector(End::Target).target().await.unwrap();
    let fence = successor.claim_again(&old.fence).await.unwrap();
    let (mode, at) = (PrepareMode::DropAndCreate, old.snapshot.position());
    let prepared = successor.prepare(&fence, &old.planned, mode, at, &old.chunks);
    prepared.await.unwrap();
    drop(loader);
    old.fence = fence;
    old.target = successor;
    old.load_all().await.unwrap();
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, old.rows_at_source(&old.chunks).await);
}

/// A task that begins anew keeps its epoch and nothing else.
pub async fn a_cleared_task_is_as_if_just_begun(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = rig.loader().await;
    rig.load(&mut *loader, 0).await.unwrap();
    for _ in 0..2 {
        rig.target.clear(&rig.fence).await.unwrap();
        assert_eq!(rig.target.load_records(&rig.fence).await.unwrap(), []);
        rig.target.check(&rig.fence).await.unwrap();
    }
    let lost = rig.load(&mut *loader, 1).await;
    assert!(matches!(lost, Err(Error::Transient(_))), "{lost:?}");
    drop(loader);
    let old = rig.fence.clone();
    let mut successor = harness.connector(End::Target).target().await.unwrap();
    let fence = successor.claim(&old.task).await.unwrap();
    let mut late = harness.connector(End::Target).target().await.unwrap();
    assert_fenced(late.clear(&old).await, "clear");
    successor.clear(&fence).await.unwrap();
}

/// Records are removed table by table, by the owner of the task alone.
pub async fn unrecorded_tables_are_as_if_never_prepared(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = rig.loader().await;
    rig.load(&mut *loader, 0).await.unwrap();
    let (name, other) = (
        rig.planned.source.name.clone(),
        TableName::new("no", "such"),
    );
    rig.target.unrecord(&rig.fence, &[&other]).await.unwrap();
    assert_eq!(rig.record(harness).await.table, name);
    rig.target.unrecord(&rig.fence, &[&name]).await.unwrap();
    rig.target.unrecord(&rig.fence, &[&name]).await.unwrap();
    assert_eq!(rig.target.load_records(&rig.fence).await.unwrap(), []);
    let old = rig.fence.clone();
    rig.fence = rig.target.claim(&old.task).await.unwrap();
    let refused = rig.target.unrecord(&old, &[&name]).await;
    assert_fenced(refused, "unrecord");
    assert_fenced(rig.target.load_records(&old).await, "load records");
}

/// A plan is put under a later snapshot with all that is done of it, by the owner of the task alone.
pub async fn a_rebased_plan_keeps_what_is_done(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = rig.loader().await;
    let done = rig.load(&mut *loader, 0).await.unwrap();
    let name = rig.planned.source.name.clone();
    let (later, latest) = (Position::new("later 'place'"), Position::new("latest"));
    for _ in 0..2 {
        let rebased = rig.target.rebase(&rig.fence, &name, &later).await;
        rebased.unwrap();
    }
    let none = TableName::new("no", "such");
    let rebased = rig.target.rebase(&rig.fence, &none, &latest).await;
    rebased.unwrap();
    let record = rig.record(harness).await;
    assert_eq!(record.planned_at.as_ref(), Some(&later));
    let bounds = record.chunks.iter().map(|chunk| &chunk.bounds);
    assert!(bounds.eq(&rig.chunks), "{record:?}");
    assert_eq!(record.chunks[0].done, Some(done));
    assert!(record.chunks[1..].iter().all(|chunk| chunk.done.is_none()));
    let second = rig.load(&mut *loader, 1).await.unwrap();
    assert_eq!(rig.record(harness).await.chunks[1].done, Some(second));
    drop(loader);
    let old = rig.fence.clone();
    rig.fence = rig.target.claim(&old.task).await.unwrap();
    let refused = rig.target.rebase(&old, &name, &latest).await;
    assert_fenced(refused, "rebase");
    let record = rig.record(harness).await;
    assert_eq!(record.planned_at.as_ref(), Some(&later));
}

/// A chunk that the record does not have as open is given up, and the record says what became of it.
pub async fn a_chunk_whose_record_is_gone_leaves_nothing(harness: &dyn Harness) {
    rig::make(harness, &[fixture::many_rows()]);
    let mut rig = Rig::prepared(harness, "many_rows", How::CHUNKED).await;
    let mut loader = rig.loader().await;
    rig.load(&mut *loader, 0).await.unwrap();
    // Committed by a connection whose answer was lost.
    rig.write(&mut *loader, 0).await.unwrap();
    let doubled = loader.commit().await;
    let is_refused = matches!(doubled, Err(Error::Transient(_) | Error::Row(_)));
    assert!(is_refused, "{doubled:?}");
    drop(loader);
    let mut loader = rig.loader().await;
    rig.write(&mut *loader, 1).await.unwrap();
    let name = rig.planned.source.name.clone();
    let mut other = harness.connector(End::Target).target().await.unwrap();
    other.unrecord(&rig.fence, &[&name]).await.unwrap();
    let lost = loader.commit().await;
    assert!(matches!(lost, Err(Error::Transient(_))), "{lost:?}");
    drop(loader);
    let rows = rig::rows_at_target(harness, "many_rows").await;
    assert_eq!(rows, rig.rows_at_source(&rig.chunks[..1]).await);
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

/// A table of the target is fed by one task at a time. It is free once that task feeds others, is cleared, or is forgotten.
pub async fn a_table_is_fed_by_one_task(harness: &dyn Harness) {
    let task = rig::task(harness);
    let another = format!("{task} %");
    let schema = harness.schema(End::Target);
    let [a, b, c] = ["a", "b", "c"].map(|name| TableName::new(schema, name));
    let mut first = harness.connector(End::Target).target().await.unwrap();
    let mut second = harness.connector(End::Target).target().await.unwrap();
    let ours = first.claim(&task).await.unwrap();
    let theirs = second.claim(&another).await.unwrap();
    let wanted = [b.clone(), c.clone()];
    for _ in 0..2 {
        let fed = first
            .feed(&ours, &[a.clone(), b.clone()], Feeding::Alone)
            .await;
        assert_eq!(fed.unwrap(), []);
    }
    let taken = [FedTable {
        table: b.clone(),
        task: task.clone(),
    }];
    let found = second
        .fed_by_others(&another, &wanted, Feeding::Alone)
        .await;
    assert_eq!(found.unwrap(), taken);
    assert_eq!(
        second.feed(&theirs, &wanted, Feeding::Alone).await.unwrap(),
        taken
    );
    // Nothing of it was noted, not even the table that nobody feeds.
    let found = first.fed_by_others(&task, &wanted, Feeding::Alone).await;
    assert_eq!(found.unwrap(), []);

    assert_eq!(
        first
            .feed(&ours, std::slice::from_ref(&a), Feeding::Alone)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        second.feed(&theirs, &wanted, Feeding::Alone).await.unwrap(),
        []
    );
    first.clear(&ours).await.unwrap();
    let all = [a, b, c];
    assert_eq!(
        second.feed(&theirs, &all, Feeding::Alone).await.unwrap(),
        []
    );
    let found = first.fed_by_others(&task, &all, Feeding::Alone).await;
    assert_eq!(found.unwrap().len(), 3);
    second.forget(&theirs).await.unwrap();
    assert_eq!(first.feed(&ours, &all, Feeding::Alone).await.unwrap(), []);
    first.forget(&ours).await.unwrap();
}

/// Tasks that say so feed a table together, and keep those out that do not.
pub async fn a_table_is_fed_by_tasks_together(harness: &dyn Harness) {
    use Feeding::{Alone, Together};
    let task = rig::task(harness);
    let another = format!("{task} %");
    let schema = harness.schema(End::Target);
    let [a, b, c] = ["a", "b", "c"].map(|name| TableName::new(schema, name));
    let mut first = harness.connector(End::Target).target().await.unwrap();
    let mut second = harness.connector(End::Target).target().await.unwrap();
    let ours = first.claim(&task).await.unwrap();
    let theirs = second.claim(&another).await.unwrap();
    let (two, later) = ([a.clone(), b.clone()], [b.clone(), c.clone()]);
    assert_eq!(first.feed(&ours, &two, Together).await.unwrap(), []);
    assert_eq!(second.feed(&theirs, &later, Together).await.unwrap(), []);
    let taken = |task: &str| {
        [FedTable {
            table: b.clone(),
            task: task.to_owned(),
        }]
    };
    let found = first.fed_by_others(&task, &two, Alone).await.unwrap();
    assert_eq!(found, taken(&another));
    // It has what it had.
    assert_eq!(first.feed(&ours, &two, Alone).await.unwrap(), found);
    let found = second.fed_by_others(&another, &later, Alone).await;
    assert_eq!(found.unwrap(), taken(&task));

    second.clear(&theirs).await.unwrap();
    assert_eq!(first.feed(&ours, &two, Alone).await.unwrap(), []);
    let refused = second.feed(&theirs, &later, Together).await.unwrap();
    assert_eq!(refused, taken(&task));
    first.forget(&ours).await.unwrap();
    assert_eq!(second.feed(&theirs, &later, Together).await.unwrap(), []);
    second.forget(&theirs).await.unwrap();
}
