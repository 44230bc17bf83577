//! A worker that was replaced cannot write, and the checkpoint is never apart from the rows.

use std::net::SocketAddr;

use whimbrel_connector::{
    ApplySettings, Checkpoint, Error, NetChanges, RowSet, RowVisitor, Target,
};
use whimbrel_core::{Position, Value};
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server};

use crate::changes::{Do, Rig, Row, Rows, int};
use crate::support::{ENGINES, TASK, connector, peak_kb};

const TABLE: &str =
    "create table t (id int primary key, v int); insert into t values (1, 0), (2, 0)";

fn row(id: i64, v: i64) -> Row {
    vec![int(id), int(v)]
}

fn assert_fenced(error: &Error) {
    assert!(
        matches!(error, Error::Fenced { ours, theirs } if ours < theirs),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_checkpoint_is_kept_with_the_rows() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TABLE).await;
        assert_eq!(rig.target.checkpoint(&rig.fence).await.unwrap(), None);
        rig.begin().await;
        rig.net("t", vec![], vec![row(1, 5)], vec![]).await.unwrap();
        assert_eq!(rig.target.checkpoint(&rig.fence).await.unwrap(), None);
        rig.applier
            .commit(&Checkpoint::at(Position::new("0/1 'a'")))
            .await
            .unwrap();
        let checkpoint = rig.target.checkpoint(&rig.fence).await.unwrap();
        assert_eq!(checkpoint, Some(Checkpoint::at(Position::new("0/1 'a'"))));
        // Without changes, and after a rollback.
        rig.begin().await;
        rig.applier
            .commit(&Checkpoint::at(Position::new("0/2")))
            .await
            .unwrap();
        rig.begin().await;
        rig.net("t", vec![], vec![row(1, 6)], vec![]).await.unwrap();
        rig.applier.rollback().await.unwrap();
        let error = rig
            .applier
            .commit(&Checkpoint::at(Position::new("0/3")))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Fatal(_)), "{error:?}");
        assert_eq!(rig.shown("select v from t where id = 1"), "5");
        // It outlives the claim by another worker, and goes with the task.
        let mut other = rig.pair.to.target().await.unwrap();
        let fence = other.claim(TASK).await.unwrap();
        assert_eq!(
            other.checkpoint(&fence).await.unwrap(),
            Some(Checkpoint::at(Position::new("0/2")))
        );
        other.forget(&fence).await.unwrap();
        let fence = other.claim(TASK).await.unwrap();
        assert_eq!(other.checkpoint(&fence).await.unwrap(), None);
    }
}

#[tokio::test]
async fn control_tables_without_a_checkpoint_get_one() {
    let rig = Rig::new(Engine::Postgres15, TABLE).await;
    rig.pair
        .target
        .sql("alter table awsdms_control.awsdms_task_epoch drop column checkpoint")
        .unwrap();
    let mut target = rig.pair.to.target().await.unwrap();
    let fence = target.claim(TASK).await.unwrap();
    assert!(fence.epoch > rig.fence.epoch);
    assert_eq!(target.checkpoint(&fence).await.unwrap(), None);
}

#[tokio::test]
async fn an_older_epoch_is_refused_before_it_writes_and_when_it_commits() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TABLE).await;
        // Claimed between the rows and their commit.
        rig.begin().await;
        rig.net("t", vec![], vec![row(1, 1)], vec![]).await.unwrap();
        rig.single(vec![("t", Do::Set(row(2, 1)))]).await.unwrap();
        // By somebody who ends no sessions.
        let take =
            "update awsdms_control.awsdms_task_epoch set epoch = epoch + 1, holder = 'another'";
        rig.pair.target.sql(take).unwrap();
        let error = rig
            .applier
            .commit(&Checkpoint::at(Position::new("old")))
            .await
            .unwrap_err();
        assert_fenced(&error);
        // Claimed before anything.
        for _ in 0..2 {
            rig.begin().await;
            assert_fenced(
                &rig.net("t", vec![], vec![row(1, 1)], vec![row(7, 7)])
                    .await
                    .unwrap_err(),
            );
            rig.begin().await;
            assert_fenced(
                &rig.single(vec![("t", Do::Set(row(2, 1)))])
                    .await
                    .unwrap_err(),
            );
            rig.begin().await;
            assert_fenced(
                &rig.applier
                    .commit(&Checkpoint::at(Position::new("old")))
                    .await
                    .unwrap_err(),
            );
        }
        assert_fenced(
            &rig.target
                .applier(&rig.fence, &ApplySettings::default())
                .await
                .err()
                .unwrap(),
        );
        assert_eq!(rig.shown("select * from t order by id"), "1\t0\n2\t0");
        let mut successor = rig.pair.to.target().await.unwrap();
        let fence = successor.claim(TASK).await.unwrap();
        assert_eq!(successor.checkpoint(&fence).await.unwrap(), None);
        // A task that was forgotten belongs to nobody.
        let mut applier = successor
            .applier(&fence, &ApplySettings::default())
            .await
            .unwrap();
        successor.forget(&fence).await.unwrap();
        applier.begin().await.unwrap();
        let error = applier
            .commit(&Checkpoint::at(Position::new("gone")))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Fenced {
                    theirs: i64::MAX,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_worker_that_stopped_in_the_middle_keeps_nobody_waiting() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TABLE).await;
        rig.begin().await;
        rig.net("t", vec![], vec![row(1, 1)], vec![row(3, 3)])
            .await
            .unwrap();
        let mut successor = rig.pair.to.target().await.unwrap();
        let fence = successor.claim(TASK).await.unwrap();
        let applier = successor
            .applier(&fence, &ApplySettings::default())
            .await
            .unwrap();
        let mut old = std::mem::replace(&mut rig.applier, applier);
        rig.begin().await;
        let counts = rig
            .single(vec![
                ("t", Do::Set(row(1, 2))),
                ("t", Do::Insert(row(3, 4))),
            ])
            .await
            .unwrap();
        assert_eq!(counts, [1, 1]);
        rig.commit().await;
        let error = old
            .commit(&Checkpoint::at(Position::new("old")))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
        let error = old.begin().await.unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
        assert_eq!(rig.shown("select * from t order by id"), "1\t2\n2\t0\n3\t4");
    }
}

#[tokio::test]
async fn workers_that_take_over_from_each_other_write_each_change_once() {
    let rig = Rig::new(Engine::Postgres18, TABLE).await;
    // Each adds one to a counter and to the checkpoint, until somebody takes over.
    let work = async |target: &mut Box<dyn Target>| -> Result<(), Error> {
        let fence = target.claim(TASK).await?;
        let mut applier = target.applier(&fence, &ApplySettings::default()).await?;
        for _ in 0..20 {
            let done = target
                .checkpoint(&fence)
                .await?
                .map_or(0, |p| p.position.as_str().parse::<i64>().unwrap());
            applier.begin().await?;
            let rows = Rows(vec![row(1, done + 1)]);
            let changes = NetChanges {
                table: &rig.tables["t"],
                deletes: &Rows::default(),
                updates: &rows,
                inserts: &Rows::default(),
            };
            applier.apply_net(changes).await?;
            applier
                .commit(&Checkpoint::at(Position::new((done + 1).to_string())))
                .await?;
            let shown = target.checkpoint(&fence).await?.unwrap();
            assert!(shown.position.as_str().parse::<i64>().unwrap() > done);
        }
        Ok(())
    };
    let worker = async || {
        let mut target = rig.pair.to.target().await.unwrap();
        for _ in 0..10 {
            match work(&mut target).await {
                Ok(()) | Err(Error::Fenced { .. } | Error::Transient(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::join!(worker(), worker(), worker());
    let shown = rig.shown(
        "select v, (select split_part(checkpoint, '|', 1) from awsdms_control.awsdms_task_epoch) from t where id = 1",
    );
    let (v, checkpoint) = shown.split_once('\t').unwrap();
    assert_eq!(v, checkpoint);
}

async fn cut_at(
    rig: &Rig,
    proxied: &mut Box<dyn Target>,
    proxy: &FaultProxy,
    bytes: u64,
    v: i64,
) -> Result<(), Error> {
    let mut applier = proxied
        .applier(&rig.fence, &ApplySettings::default())
        .await?;
    applier.begin().await?;
    proxy.set(Fault::CutAfter { bytes });
    let (updates, inserts) = (Rows(vec![row(1, v)]), Rows(vec![row(100 + v, v)]));
    let changes = NetChanges {
        table: &rig.tables["t"],
        deletes: &Rows::default(),
        updates: &updates,
        inserts: &inserts,
    };
    applier.apply_net(changes).await?;
    applier
        .commit(&Checkpoint::at(Position::new(v.to_string())))
        .await
}

#[tokio::test]
async fn a_cut_anywhere_leaves_rows_and_checkpoint_or_neither() {
    let mut rig = Rig::new(Engine::Postgres15, TABLE).await;
    let server = Server::get(Engine::Postgres15).unwrap();
    let address: SocketAddr = format!("{}:{}", server.host, server.port).parse().unwrap();
    let proxy = FaultProxy::start(address).await.unwrap();
    let url = rig
        .pair
        .target
        .url()
        .replace(&address.to_string(), &proxy.address().to_string());
    let mut proxied = connector(&url).target().await.unwrap();
    // How much a whole one takes tells where to cut.
    let (_, before) = proxy.passed_bytes();
    let applier = proxied
        .applier(&rig.fence, &ApplySettings::default())
        .await
        .unwrap();
    let (_, started) = proxy.passed_bytes();
    drop(applier);
    cut_at(&rig, &mut proxied, &proxy, u64::MAX, 1)
        .await
        .unwrap();
    let (_, done) = proxy.passed_bytes();
    let whole = done - started - (started - before);
    let (mut lost, mut kept, mut unknown) = (0, 0, 0);
    let mut before = 1;
    let mut v = 1;
    let early = (0..10).map(|step| step * whole / 12);
    let late = (0..20).map(|step| whole - 100 + step * 8);
    for bytes in early.chain(late) {
        v += 1;
        let result = cut_at(&rig, &mut proxied, &proxy, bytes, v).await;
        proxy.set(Fault::None);
        let done = rig
            .target
            .checkpoint(&rig.fence)
            .await
            .unwrap()
            .map_or(0, |p| p.position.as_str().parse::<i64>().unwrap());
        let shown = rig.shown("select v, (select max(id) from t where id > 100), count(*) from t where id = 1 group by v");
        let expected = format!("{done}\t{}\t1", 100 + done);
        assert_eq!(shown, expected, "cut after {bytes} bytes");
        match (result, done == v) {
            (Ok(()), true) => kept += 1,
            (Err(Error::Transient(_)), true) => unknown += 1,
            (Err(Error::Transient(_)), false) => {
                assert_eq!(done, before);
                lost += 1;
            }
            other => panic!("{other:?}"),
        }
        before = done;
        // The proxy ended every connection, also that of the target itself.
        if proxied.checkpoint(&rig.fence).await.is_err() {
            proxied = connector(&url).target().await.unwrap();
        }
    }
    println!("{lost} lost, {kept} kept, {unknown} kept with the answer lost");
    assert!(
        lost > 0 && kept > 0 && unknown > 0,
        "{lost} {kept} {unknown}"
    );
}

/// Rows that are made when they are asked for.
struct Made(std::ops::Range<i64>);

impl RowSet for Made {
    fn row_count(&self) -> usize {
        usize::try_from(self.0.end - self.0.start).unwrap()
    }

    fn visit(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let filler = "x".repeat(400);
        self.0
            .clone()
            .try_for_each(|id| visit(&[Value::Int(id), Value::Text(&filler)]))
    }
}

#[tokio::test]
async fn a_batch_of_two_hundred_thousand_rows_takes_little_memory() {
    let mut rig = Rig::new(
        Engine::Postgres15,
        "create table t (id int primary key, v text)",
    )
    .await;
    let nothing = Rows::default();
    let before = peak_kb();
    rig.begin().await;
    let count = rig
        .net_sets("t", &nothing, &nothing, &Made(0..200_000))
        .await
        .unwrap();
    assert_eq!(count.inserted, 200_000);
    let count = rig
        .net_sets(
            "t",
            &Made(0..100_000),
            &Made(100_000..200_000),
            &Made(0..100_000),
        )
        .await
        .unwrap();
    assert_eq!(
        (count.deleted, count.updated, count.inserted),
        (100_000, 100_000, 100_000)
    );
    rig.commit().await;
    let grown = peak_kb() - before;
    println!("{grown} kB more");
    assert!(grown < 40_000, "{grown} kB");
    assert_eq!(
        rig.shown("select count(*), sum(id) from t"),
        "200000\t19999900000"
    );
    // Refused far behind the first part, so that much has been sent before.
    rig.begin().await;
    let error = rig
        .net_sets("t", &nothing, &nothing, &Made(200_000 - 60_000..250_000))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Row(row) if row.key.as_deref() == Some("(140000)")),
        "{error:?}"
    );
    let error = rig
        .net("t", vec![], vec![], vec![vec![int(-1), Value::NotSent]])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Row(_)), "{error:?}");
    let count = rig
        .net_sets("t", &nothing, &nothing, &Made(200_000..200_001))
        .await
        .unwrap();
    assert_eq!(count.inserted, 1);
    rig.commit().await;
}
