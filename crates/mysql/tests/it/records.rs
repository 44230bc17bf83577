//! The record of a load at the target, and its fence.

use whimbrel_connector::control_tables::{ControlWrite, TXN_STATE};
use whimbrel_connector::{Checkpoint, Error, LoadRecord, Target, TargetTable, TaskFence};
use whimbrel_core::{ChunkBounds, ChunkId, Position};
use whimbrel_testkit::Server;

use crate::support::{Chunk, ENGINES, How, Pair, connector};

const SETUP: &str =
    "create table t (id int primary key, n int); insert into t values (1, 1), (2, 2), (3, 3)";

fn bounds(range: &str) -> ChunkBounds {
    ChunkBounds {
        range: range.to_owned(),
        row_estimate: 2,
    }
}

fn halves() -> [ChunkBounds; 2] {
    [
        bounds(r#"{"columns":["id"],"to":{"number":"2"}}"#),
        bounds(r#"{"columns":["id"],"from":{"number":"2"}}"#),
    ]
}

#[tokio::test]
async fn rows_and_record_of_a_chunk_appear_together_or_not_at_all() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "record");
        pair.source.sql(SETUP).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let table = pair.tables(&mut *source).await.unwrap().remove(0);
        let snapshot = source.snapshot(1).await.unwrap();
        let mut target = pair.to.target().await.unwrap();
        let fence = target.claim(&pair.task).await.unwrap();
        let planned = target
            .plan_table(&table, pair.target_name(&table), How::PLAIN.keys)
            .unwrap();
        let chunks = halves();
        let at = Position::new("place; 'quoted'");
        // Twice, because every step may be repeated.
        for _ in 0..2 {
            target
                .prepare(&fence, &planned, How::PLAIN.mode, &at, &chunks)
                .await
                .unwrap();
        }
        let mut reader = snapshot.reader().await.unwrap();
        let mut loader = target.loader(&fence).await.unwrap();
        let chunk = |id: u32| Chunk {
            table: &planned,
            id: ChunkId(id),
            bounds: &chunks[id as usize],
            is_only: false,
            how: How::PLAIN,
        };
        // Given up, begun anew, dropped: none leaves a row.
        chunk(0).begin(&mut *reader, &mut *loader).await.unwrap();
        let block = reader.next().await.unwrap().unwrap();
        loader.write(&*block).await.unwrap();
        loader.rollback().await.unwrap();
        chunk(0).begin(&mut *reader, &mut *loader).await.unwrap();
        loader.write(&*block).await.unwrap();
        assert_eq!(chunk(1).load(&mut *reader, &mut *loader).await.unwrap(), 2);
        let mut dropped = target.loader(&fence).await.unwrap();
        chunk(0).begin(&mut *reader, &mut *dropped).await.unwrap();
        dropped.write(&*block).await.unwrap();
        drop(dropped);
        assert_eq!(
            pair.target.sql("select id from t order by id").unwrap(),
            "2\n3\n",
            "{engine}"
        );
        let records: Vec<LoadRecord> = target.load_records(&fence).await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(
            (&records[0].table, &records[0].planned_at),
            (&table.name, &Some(at))
        );
        let done: Vec<_> = records[0]
            .chunks
            .iter()
            .map(|chunk| chunk.done.map(|done| done.row_count))
            .collect();
        assert_eq!(done, [None, Some(2)]);
        assert_eq!(records[0].chunks[0].bounds, chunks[0]);
        // A chunk that is done is not loaded again.
        chunk(1).begin(&mut *reader, &mut *loader).await.unwrap();
        assert!(loader.commit().await.is_err());
        assert_eq!(chunk(0).load(&mut *reader, &mut *loader).await.unwrap(), 1);
        for _ in 0..2 {
            target.finish(&fence, &planned).await.unwrap();
        }
        assert!(target.load_records(&fence).await.unwrap()[0].is_finished);
        pair.same("select * from t order by id");
        target.forget(&fence).await.unwrap();
    }
}

#[tokio::test]
async fn no_record_outlives_the_table_it_tells_of() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "record");
        pair.source.sql(SETUP).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let table = pair.tables(&mut *source).await.unwrap().remove(0);
        let mut target = pair.to.target().await.unwrap();
        let fence = target.claim(&pair.task).await.unwrap();
        let planned = target
            .plan_table(&table, pair.target_name(&table), How::PLAIN.keys)
            .unwrap();
        let at = Position::new("place");
        let mode = whimbrel_connector::PrepareMode::DropAndCreate;
        let chunks = [bounds("{}")];
        target
            .prepare(&fence, &planned, mode, &at, &chunks)
            .await
            .unwrap();
        // The table is dropped, and then cannot be created.
        let mut broken = planned.clone();
        broken.columns[1].native = "nosuchtype".to_owned();
        target
            .prepare(&fence, &broken, mode, &at, &chunks)
            .await
            .unwrap_err();
        assert!(target.load_records(&fence).await.unwrap().is_empty());
        target.forget(&fence).await.unwrap();
    }
}

fn refused(error: &Error) {
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
}

async fn refuses_everything(
    old: &mut dyn Target,
    fence: &TaskFence,
    planned: &TargetTable,
    position: &Position,
) {
    let chunks = [bounds("{}")];
    let prepared = old
        .prepare(fence, planned, How::PLAIN.mode, position, &chunks)
        .await;
    refused(&prepared.unwrap_err());
    refused(&old.finish(fence, planned).await.unwrap_err());
    refused(&old.loader(fence).await.err().unwrap());
    refused(&old.forget(fence).await.unwrap_err());
}

#[tokio::test]
async fn an_older_epoch_is_refused_everywhere() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "fence");
        pair.source.sql(SETUP).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let table = pair.tables(&mut *source).await.unwrap().remove(0);
        let snapshot = source.snapshot(1).await.unwrap();
        let mut old = pair.to.target().await.unwrap();
        let old_fence = old.claim(&pair.task).await.unwrap();
        let planned = old
            .plan_table(&table, pair.target_name(&table), How::PLAIN.keys)
            .unwrap();
        let chunks = [bounds("{}")];
        old.prepare(
            &old_fence,
            &planned,
            How::PLAIN.mode,
            snapshot.position(),
            &chunks,
        )
        .await
        .unwrap();
        let mut reader = snapshot.reader().await.unwrap();
        let mut loader = old.loader(&old_fence).await.unwrap();
        let chunk = Chunk {
            table: &planned,
            id: ChunkId(0),
            bounds: &chunks[0],
            is_only: true,
            how: How::PLAIN,
        };
        chunk.begin(&mut *reader, &mut *loader).await.unwrap();
        let block = reader.next().await.unwrap().unwrap();
        loader.write(&*block).await.unwrap();

        // Taken by somebody who ends no connections.
        let taken = format!(
            "update awsdms_control.awsdms_task_epoch set epoch = epoch + 1, holder = 'another' where task_name = '{}'",
            pair.task
        );
        pair.target.sql(&taken).unwrap();
        refused(&loader.commit().await.unwrap_err());
        refused(
            &loader
                .begin(whimbrel_connector::ChunkLoad {
                    table: &planned,
                    chunk: ChunkId(0),
                    is_only_chunk: true,
                    raw: None,
                    statement_rows_max: None,
                    sifts: false,
                })
                .await
                .unwrap_err(),
        );
        refuses_everything(&mut *old, &old_fence, &planned, snapshot.position()).await;
        assert_eq!(pair.target.sql("select count(*) from t").unwrap(), "0\n");

        // The old worker stops in the middle of its rows; nobody has to wait for it.
        let mut new = pair.to.target().await.unwrap();
        let fence = new.claim(&pair.task).await.unwrap();
        assert!(fence.epoch > old_fence.epoch);
        let mut loader = new.loader(&fence).await.unwrap();
        assert_eq!(chunk.load(&mut *reader, &mut *loader).await.unwrap(), 3);
        new.forget(&fence).await.unwrap();
        let again: &mut dyn Target = &mut *new;
        let later = again.claim(&pair.task).await.unwrap();
        assert!(
            later.epoch > fence.epoch,
            "epochs are never handed out twice"
        );
        again.forget(&later).await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_that_an_earlier_version_wrote_is_found() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("earlier").unwrap();
        let checkpoint = Checkpoint::at(Position::new("binlog.000001:4"));
        let text = checkpoint.to_text("task");
        database
            .sql(&format!(
                "create database awsdms_control;
                 create table awsdms_control.awsdms_txn_state (task_name varchar(128) not null primary key, epoch bigint not null,
                   state_time datetime(6) not null, checkpoint mediumtext not null);
                 insert into awsdms_control.awsdms_txn_state values ('task', 1, now(), '{text}')"
            ))
            .unwrap();
        for _ in 0..2 {
            let mut target = connector(&database.url()).target().await.unwrap();
            let fence = target.claim("task").await.unwrap();
            let found = target.checkpoint(&fence).await.unwrap();
            assert_eq!(found.as_ref(), Some(&checkpoint), "{engine}");
            // Users have theirs under the earlier name.
            let write = ControlWrite {
                table: &TXN_STATE,
                replaces: Vec::new(),
                rows: Vec::new(),
            };
            target.write_control(None, &write).await.unwrap();
        }
        let columns = "select group_concat(column_name order by ordinal_position) from information_schema.columns where table_name = 'awsdms_txn_state'";
        let columns = database.sql(columns).unwrap();
        assert_eq!(
            columns.trim(),
            "SERVER_NAME,TASK_NAME,STATE_TIME,CHECKPOINT"
        );
    }
}

/// An earlier version that runs behind this one makes its table again, and this one meets both.
#[tokio::test]
async fn checkpoints_under_both_names_are_in_the_way_only_where_both_hold_some() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("both").unwrap();
        let mut target = connector(&database.url()).target().await.unwrap();
        target.claim("task").await.unwrap();
        database
            .sql(
                "create table awsdms_control.awsdms_txn_state (task_name varchar(128) not null primary key, epoch bigint not null,
                   state_time datetime(6) not null, checkpoint mediumtext not null);
                 insert into awsdms_control.awsdms_txn_state values ('task', 1, now(), 'p')",
            )
            .unwrap();
        let mut target = connector(&database.url()).target().await.unwrap();
        let refused = target.claim("task").await.unwrap_err().to_string();
        assert!(
            refused.contains("awsdms_control.awsdms_txn_state")
                && refused.contains("awsdms_control.awsdms_checkpoint"),
            "{engine}: {refused}"
        );
        database
            .sql("delete from awsdms_control.awsdms_txn_state")
            .unwrap();
        let mut target = connector(&database.url()).target().await.unwrap();
        target.claim("task").await.unwrap();
        let there =
            "select count(*) from information_schema.tables where table_name = 'awsdms_txn_state'";
        assert_eq!(database.sql(there).unwrap().trim(), "0", "{engine}");
    }
}
