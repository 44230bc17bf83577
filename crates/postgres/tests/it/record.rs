//! The record of a load lives with the rows, and a worker that was replaced cannot write.

use std::net::SocketAddr;

use whimbrel_connector::{
    Error, Loader, PrepareMode, RawFormat, Snapshot, Target, TargetTable, TaskFence,
};
use whimbrel_core::{ChunkBounds, ChunkId, Table};
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server, Stop};

use crate::support::{Chunk, ENGINES, How, Pair, TASK, all_tables, connector, raw_format};

const BIG: &str = "create table big (id int primary key, filler text);
    insert into big select i, repeat('x', 100) from generate_series(1, 40000) i; analyze big";

/// A table that is prepared and partly loaded.
struct Started {
    pair: Pair,
    table: Table,
    snapshot: Box<dyn Snapshot>,
    target: Box<dyn Target>,
    fence: TaskFence,
    planned: TargetTable,
    chunks: Vec<ChunkBounds>,
    raw: Option<RawFormat>,
    how: How,
}

impl Started {
    async fn new(engine: Engine, how: How) -> Self {
        let pair = Pair::on(engine, "record");
        pair.source.sql(BIG).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let mut target = pair.to.target().await.unwrap();
        let table = all_tables(&mut *source).await.unwrap().remove(0);
        let fence = target.claim(TASK).await.unwrap();
        let snapshot = source.snapshot(4).await.unwrap();
        let planned = target
            .plan_table(&table, table.name.clone(), how.keys)
            .unwrap();
        let chunks = snapshot.plan(&table, how.chunk_bytes).await.unwrap();
        target
            .prepare(&fence, &planned, how.mode, snapshot.position(), &chunks)
            .await
            .unwrap();
        let raw = raw_format(&*snapshot, &mut *target, &planned, how)
            .await
            .unwrap();
        Self {
            pair,
            table,
            snapshot,
            target,
            fence,
            planned,
            chunks,
            raw,
            how,
        }
    }

    fn chunk(&self, index: usize) -> Chunk<'_> {
        Chunk {
            table: &self.planned,
            id: ChunkId(u32::try_from(index).unwrap()),
            bounds: &self.chunks[index],
            is_only: self.chunks.len() == 1,
            raw: self.raw,
            how: self.how,
        }
    }

    async fn load(&self, loader: &mut dyn Loader, index: usize) -> Result<u64, Error> {
        let mut reader = self.snapshot.reader().await.unwrap();
        self.chunk(index).load(&mut *reader, loader).await
    }

    /// Opens a chunk and writes a block of it.
    async fn half(&self, loader: &mut dyn Loader, index: usize) {
        let mut reader = self.snapshot.reader().await.unwrap();
        self.chunk(index).begin(&mut *reader, loader).await.unwrap();
        let block = reader.next().await.unwrap().unwrap();
        loader.write(&*block).await.unwrap();
    }

    fn target_count(&self) -> u64 {
        self.pair
            .target
            .sql("select count(*) from big")
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }
}

const CHUNKED: How = How {
    chunk_bytes: 512 << 10,
    ..How::RAW
};

#[tokio::test]
async fn the_record_tells_exactly_which_chunks_the_table_holds() {
    for engine in ENGINES {
        for how in [
            CHUNKED,
            How {
                is_raw: false,
                ..CHUNKED
            },
        ] {
            let mut load = Started::new(engine, how).await;
            let mut loader = load.target.loader(&load.fence).await.unwrap();
            let count = load.load(&mut *loader, 1).await.unwrap();
            let count = count + load.load(&mut *loader, 3).await.unwrap();
            load.half(&mut *loader, 0).await;
            drop(loader);
            let mut again = load.pair.to.target().await.unwrap();
            let records = again.load_records(&load.fence).await.unwrap();
            assert_eq!(records.len(), 1);
            assert_eq!(records[0].table, load.table.name);
            assert_eq!(
                records[0].planned_at.as_ref(),
                Some(load.snapshot.position())
            );
            assert!(!records[0].is_finished);
            let bounds: Vec<_> = records[0]
                .chunks
                .iter()
                .map(|chunk| chunk.bounds.clone())
                .collect();
            assert_eq!(bounds, load.chunks);
            let done: Vec<_> = records[0]
                .chunks
                .iter()
                .filter(|chunk| chunk.done.is_some())
                .collect();
            assert_eq!(
                done.iter().map(|chunk| chunk.id.0).collect::<Vec<_>>(),
                [1, 3]
            );
            let recorded: u64 = done
                .iter()
                .filter_map(|chunk| chunk.done)
                .map(|done| done.row_count)
                .sum();
            assert_eq!((recorded, load.target_count()), (count, count));
        }
    }
}

#[tokio::test]
async fn a_load_goes_on_where_it_was_cut() {
    let mut load = Started::new(Engine::Postgres15, CHUNKED).await;
    let mut loader = load.target.loader(&load.fence).await.unwrap();
    load.load(&mut *loader, 0).await.unwrap();
    drop(loader);
    let mut target = load.pair.to.target().await.unwrap();
    let fence = target.claim(TASK).await.unwrap();
    assert!(fence.epoch > load.fence.epoch);
    let records = target.load_records(&fence).await.unwrap();
    let mut loader = target.loader(&fence).await.unwrap();
    for chunk in records[0]
        .chunks
        .iter()
        .filter(|chunk| chunk.done.is_none())
    {
        load.load(&mut *loader, chunk.id.0 as usize).await.unwrap();
    }
    drop(loader);
    target.finish(&fence, &load.planned).await.unwrap();
    assert!(target.load_records(&fence).await.unwrap()[0].is_finished);
    load.pair.same_table("big");
    target.forget(&fence).await.unwrap();
    assert!(
        target
            .load_records(&fence)
            .await
            .unwrap_or_default()
            .is_empty()
    );
}

#[tokio::test]
async fn a_worker_that_was_replaced_cannot_write() {
    for engine in ENGINES {
        let mut load = Started::new(engine, CHUNKED).await;
        let mut old = load.target.loader(&load.fence).await.unwrap();
        load.load(&mut *old, 0).await.unwrap();
        let before = load.target_count();
        load.half(&mut *old, 1).await;
        // Taken by somebody who ends no sessions.
        let take =
            "update awsdms_control.awsdms_task_epoch set epoch = epoch + 1, holder = 'another'";
        load.pair.target.sql(take).unwrap();
        let error = old.commit().await.unwrap_err();
        assert!(
            matches!(error, Error::Fenced { ours, theirs } if ours < theirs),
            "{error:?}"
        );
        let error = load.load(&mut *old, 2).await.unwrap_err();
        assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
        drop(old);
        let error = load
            .target
            .finish(&load.fence, &load.planned)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
        let position = load.snapshot.position().clone();
        let error = load
            .target
            .prepare(
                &load.fence,
                &load.planned,
                PrepareMode::DropAndCreate,
                &position,
                &load.chunks,
            )
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
        assert_eq!(load.target_count(), before);
        let mut successor = load.pair.to.target().await.unwrap();
        let fence = successor.claim(TASK).await.unwrap();
        let mut loader = successor.loader(&fence).await.unwrap();
        load.load(&mut *loader, 1).await.unwrap();
    }
}

#[tokio::test]
async fn tasks_do_not_disturb_each_other() {
    let mut load = Started::new(Engine::Postgres15, CHUNKED).await;
    let mut other = load.pair.to.target().await.unwrap();
    let other_fence = other.claim("another 'task'").await.unwrap();
    assert!(other.load_records(&other_fence).await.unwrap().is_empty());
    other.forget(&other_fence).await.unwrap();
    let mut loader = load.target.loader(&load.fence).await.unwrap();
    load.load(&mut *loader, 0).await.unwrap();
    assert_eq!(
        load.target.load_records(&load.fence).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_chunk_that_was_rolled_back_leaves_nothing() {
    let mut load = Started::new(Engine::Postgres15, CHUNKED).await;
    let mut loader = load.target.loader(&load.fence).await.unwrap();
    load.half(&mut *loader, 0).await;
    loader.rollback().await.unwrap();
    loader.rollback().await.unwrap();
    assert_eq!(load.target_count(), 0);
    // Beginning anew gives the open chunk up as well.
    load.half(&mut *loader, 0).await;
    let count = load.load(&mut *loader, 0).await.unwrap();
    assert_eq!(load.target_count(), count);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_is_transient_at_both_ends() {
    let pair = Pair::on(Engine::Postgres15, "cut");
    pair.source.sql(BIG).unwrap();
    let server = Server::get(Engine::Postgres15).unwrap();
    let address: SocketAddr = format!("{}:{}", server.host, server.port).parse().unwrap();
    let proxied = |url: &str, proxy: &FaultProxy| {
        url.replace(&address.to_string(), &proxy.address().to_string())
    };

    let proxy = FaultProxy::start(address).await.unwrap();
    let from = connector(&proxied(&pair.source.url(), &proxy));
    proxy.set(Fault::CutAfter { bytes: 1_000_000 });
    let error = crate::support::load(&*from, &*pair.to, How::RAW)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Transient(_)), "{error:?}");

    // At the target little comes from the server, so the cut is made by hand.
    let proxy = FaultProxy::start(address).await.unwrap();
    let to = connector(&proxied(&pair.target.url(), &proxy));
    let mut load = Started::new(Engine::Postgres15, CHUNKED).await;
    load.pair.to = to;
    let mut target = connector(&proxied(&load.pair.target.url(), &proxy))
        .target()
        .await
        .unwrap();
    let mut loader = target.loader(&load.fence).await.unwrap();
    load.half(&mut *loader, 0).await;
    proxy.cut();
    let error = loader.commit().await.unwrap_err();
    assert!(matches!(error, Error::Transient(_)), "{error:?}");
}

#[tokio::test]
async fn a_killed_target_keeps_exactly_the_recorded_chunks() {
    let server = Server::private(Engine::Postgres15).unwrap();
    let source = Server::get(Engine::Postgres15)
        .unwrap()
        .database("kill")
        .unwrap();
    source.sql(BIG).unwrap();
    let to = connector(&server.url());
    let mut load = Started::new(Engine::Postgres15, CHUNKED).await;
    load.pair.to = to;
    let mut target = load.pair.to.target().await.unwrap();
    let fence = target.claim(TASK).await.unwrap();
    let position = load.snapshot.position().clone();
    target
        .prepare(
            &fence,
            &load.planned,
            load.how.mode,
            &position,
            &load.chunks,
        )
        .await
        .unwrap();
    let mut loader = target.loader(&fence).await.unwrap();
    let count = load.load(&mut *loader, 0).await.unwrap();
    load.half(&mut *loader, 1).await;
    server.stop(Stop::Kill).unwrap();
    let error = loader.commit().await.unwrap_err();
    assert!(matches!(error, Error::Transient(_)), "{error:?}");
    server.start().unwrap();
    let mut target = load.pair.to.target().await.unwrap();
    let fence = target.claim(TASK).await.unwrap();
    let records = target.load_records(&fence).await.unwrap();
    let recorded: u64 = records[0]
        .chunks
        .iter()
        .filter_map(|chunk| chunk.done)
        .map(|done| done.row_count)
        .sum();
    let held: u64 = server
        .sql("select count(*) from big")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!((recorded, held), (count, count));
}
