//! Snapshots taken while others commit: each transaction is in the view or past it, as its rows are there or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use whimbrel_connector::{
    LogEvent, ReadFormat, ReadRequest, Snapshot, SnapshotView, TransactionMark,
};
use whimbrel_core::{Table, Value};

use crate::log_support::Captured;
use crate::support::ENGINES;

/// Each call commits `count` transactions of some rows, some of them through savepoints.
const WORK: &str = "
    create table t (id bigint primary key generated always as identity, writer int);
    create procedure work(writer int, count int) language plpgsql as $$
    begin
      for i in 1..count loop
        insert into t (writer) values (writer);
        if i % 3 = 0 then
          begin
            insert into t (writer) values (writer);
            insert into t (writer) values (-writer);
            if i % 2 = 0 then perform 1 / 0; end if;
          exception when division_by_zero then null;
          end;
        end if;
        commit;
        perform pg_sleep(0.001);
      end loop;
    end $$";
const WRITERS: usize = 4;
const SNAPSHOTS: usize = 20;

pub(crate) async fn ids(snapshot: &dyn Snapshot, table: &Table) -> BTreeSet<i64> {
    let mut reader = snapshot.reader().await.unwrap();
    let mut ids = BTreeSet::new();
    for bounds in &snapshot.plan(table, 1 << 40).await.unwrap() {
        let request = ReadRequest {
            table,
            bounds,
            filter: None,
            format: ReadFormat::Decoded,
            block_bytes: 1 << 16,
        };
        reader.open(request).await.unwrap();
        while let Some(block) = reader.next().await.unwrap() {
            block
                .decode(&mut |values| {
                    assert!(ids.insert(id(values)));
                    Ok(())
                })
                .unwrap();
        }
    }
    ids
}

fn id(values: &[Value<'_>]) -> i64 {
    match values[0] {
        Value::Int(id) => id,
        other => panic!("{other:?}"),
    }
}

/// The ids that each transaction inserted.
async fn transactions(log: &mut Captured) -> Vec<(TransactionMark, Vec<i64>)> {
    let end = log.log.end().await.unwrap();
    let mut reader = log.open().await;
    let mut all: Vec<(TransactionMark, Vec<i64>)> = Vec::new();
    loop {
        let block = reader.block().await.unwrap();
        for event in &block.events {
            match event {
                LogEvent::Begin { mark, .. } => all.push((*mark, Vec::new())),
                LogEvent::Insert { after, .. } => {
                    let ids = &mut all.last_mut().unwrap().1;
                    block
                        .rows
                        .decode(*after, &mut |values| {
                            ids.push(id(values));
                            Ok(())
                        })
                        .unwrap();
                }
                LogEvent::Commit { place, .. } | LogEvent::Idle { place, .. }
                    if reader.stream.has_reached(&**place, &end) =>
                {
                    return all;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_holds_exactly_the_transactions_whose_rows_the_snapshot_has() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, WORK).await;
        let database = &log.database;
        let mut views: Vec<(Box<dyn SnapshotView>, BTreeSet<i64>)> = Vec::new();
        let mut source = log.connector.source().await.unwrap();
        let tables = crate::support::all_tables(&mut *source).await.unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 1..=WRITERS {
                // Half of them do not wait for the disk, so that they are visible before they are in the log that is read.
                let commit = if writer % 2 == 0 { "off" } else { "on" };
                let sql = format!("set synchronous_commit = {commit}; call work({writer}, 100)");
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        database.sql(&sql).unwrap();
                    }
                });
            }
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let begun = Instant::now();
                    let sizes = |views: &[(Box<dyn SnapshotView>, BTreeSet<i64>)]| {
                        let sizes = views.iter().map(|(_, seen)| seen.len());
                        sizes.collect::<BTreeSet<_>>().len()
                    };
                    // Writers may begin late, and get on slowly.
                    while sizes(&views) <= SNAPSHOTS / 2 || views.len() < SNAPSHOTS {
                        assert!(begun.elapsed() < Duration::from_mins(2), "rows come");
                        let snapshot = source.snapshot(1).await.unwrap();
                        let view = log.log.view(snapshot.position()).unwrap();
                        views.push((view, ids(&*snapshot, &tables[0]).await));
                    }
                });
            });
            is_over.store(true, Ordering::Relaxed);
        });
        let all = transactions(&mut log).await;
        let told: usize = all.iter().map(|(_, ids)| ids.len()).sum();
        let rows = log.database.sql("select count(*) from t").unwrap();
        assert_eq!(told.to_string(), rows.trim());
        let by_id: BTreeMap<i64, TransactionMark> = all
            .iter()
            .flat_map(|(mark, ids)| ids.iter().map(|id| (*id, *mark)))
            .collect();
        assert_eq!(by_id.len(), told, "no row twice");
        let mut sizes = BTreeSet::new();
        for (view, seen) in &views {
            let held = by_id.iter().filter(|(_, mark)| view.holds(**mark));
            let held: BTreeSet<i64> = held.map(|(id, _)| *id).collect();
            assert_eq!(&held, seen, "{view:?}");
            sizes.insert(seen.len());
        }
        assert!(
            sizes.len() > SNAPSHOTS / 2,
            "snapshots were taken meanwhile: {sizes:?}"
        );
    }
}

#[tokio::test]
async fn a_transaction_that_is_open_while_a_table_joins_is_waited_for() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, "create table t (id int primary key)").await;
        let name = log.database.name().to_owned();
        log.database
            .sql(&format!("create table u (id int primary key); begin; insert into u values (1); prepare transaction '{name}'"))
            .unwrap();
        log.tables = crate::log_support::tables(&*log.connector).await;
        let tables = log.tables.clone();
        let mut preparing = log
            .connector
            .change_log(crate::support::TASK)
            .await
            .unwrap();
        let preparing = tokio::spawn(async move { preparing.prepare(&tables).await });
        log.eventually(
            "select count(*) from pg_publication_rel where prrelid = 'u'::regclass",
            |answer| answer == "1",
        )
        .await;
        assert!(!preparing.is_finished());
        log.database
            .sql(&format!(
                "insert into t values (5); commit prepared '{name}'; insert into u values (2)"
            ))
            .unwrap();
        preparing.await.unwrap().unwrap();
        // What was waited for is in every view from now on, whether or not the log tells it.
        let mut source = log.connector.source().await.unwrap();
        let tables = crate::support::all_tables(&mut *source).await.unwrap();
        let snapshot = source.snapshot(1).await.unwrap();
        assert_eq!(ids_of(&*snapshot, &tables[1]).await, [1, 2]);
    }
}

async fn ids_of(snapshot: &dyn Snapshot, table: &Table) -> Vec<i64> {
    ids(snapshot, table).await.into_iter().collect()
}
