//! Rows and checkpoint appear together or not at all, and only for the worker that owns the task.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use whimbrel_connector::{ApplySettings, Checkpoint, Error, KeyPolicy};
use whimbrel_core::{Position, TableName};
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server, ServerOptions};

use crate::apply_support::{Applying, Cell, Change, Row, row};
use crate::support::{ENGINES, Pair, connector};

const PLAIN: &str = "create table t (id int primary key, n varchar(40), x int)";

fn fenced(error: &Error) {
    assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
}

async fn checkpoint(it: &mut Applying) -> Option<String> {
    let position = it.target.checkpoint(&it.fence).await.unwrap();
    position.map(|at| at.position.as_str().to_owned())
}

#[tokio::test]
async fn the_checkpoint_appears_with_the_rows_and_goes_with_the_task() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "checkpoint"), PLAIN).await;
        assert_eq!(checkpoint(&mut it).await, None);
        for at in ["place; 'quoted' \\", "next"] {
            it.begin().await;
            it.single(vec![Change::Insert(row![
                i64::try_from(at.len()).unwrap(),
                "a",
                1
            ])])
            .await
            .unwrap();
            let before = checkpoint(&mut it).await;
            assert_ne!(before.as_deref(), Some(at));
            it.applier
                .commit(&Checkpoint::at(Position::new(at)))
                .await
                .unwrap();
            assert_eq!(checkpoint(&mut it).await.as_deref(), Some(at));
        }
        // Given up, begun anew: neither row nor checkpoint.
        it.begin().await;
        it.net(vec![], vec![], vec![row![100, "a", 1]])
            .await
            .unwrap();
        it.begin().await;
        it.net(vec![], vec![], vec![row![101, "a", 1]])
            .await
            .unwrap();
        it.applier.rollback().await.unwrap();
        it.applier.rollback().await.unwrap();
        assert_eq!(it.ask("select count(*) from t"), "2");
        assert_eq!(checkpoint(&mut it).await.as_deref(), Some("next"));
        // A later run of the task finds it.
        it.fence = it.target.claim(&it.pair.task).await.unwrap();
        assert_eq!(checkpoint(&mut it).await.as_deref(), Some("next"));
        it.target.forget(&it.fence).await.unwrap();
        it.fence = it.target.claim(&it.pair.task).await.unwrap();
        assert_eq!(checkpoint(&mut it).await, None);
        it.target.forget(&it.fence).await.unwrap();
    }
}

#[tokio::test]
async fn an_older_epoch_can_neither_begin_nor_commit() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "fence"), PLAIN).await;
        it.begin().await;
        it.single(vec![Change::Insert(row![1, "zombie", 1])])
            .await
            .unwrap();

        // Taken by somebody who ends no connections.
        it.ask(&format!(
                "update awsdms_control.awsdms_task_epoch set epoch = epoch + 1, holder = 'another' where task_name = '{}'",
                it.pair.task
            ));
        fenced(
            &it.applier
                .commit(&Checkpoint::at(Position::new("zombie")))
                .await
                .unwrap_err(),
        );
        fenced(&it.applier.begin().await.unwrap_err());
        let settings = ApplySettings::default();
        let applier = it.target.applier(&it.fence, &settings).await;
        fenced(&applier.err().unwrap());
        fenced(&it.target.checkpoint(&it.fence).await.unwrap_err());
        assert_eq!(it.ask("select count(*) from t"), "0");

        // The old worker stops here, with its rows locked. Nobody has to wait for it, neither to claim nor to write the same rows.
        let mut new = it.pair.to.target().await.unwrap();
        let fence = new.claim(&it.pair.task).await.unwrap();
        it.applier = new
            .applier(&fence, &ApplySettings::default())
            .await
            .unwrap();
        it.begin().await;
        it.single(vec![Change::Insert(row![1, "paused", 1])])
            .await
            .unwrap();
        let paused = std::mem::replace(
            &mut it.applier,
            new.applier(&fence, &ApplySettings::default())
                .await
                .unwrap(),
        );
        let began = Instant::now();
        it.begin().await;
        it.single(vec![Change::Insert(row![1, "new", 1])])
            .await
            .unwrap();
        it.commit().await;
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "nobody was waited for"
        );
        assert_eq!(it.ask("select * from t"), "1,new,1");
        let mut paused = paused;
        let error = paused
            .commit(&Checkpoint::at(Position::new("paused")))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
        assert_eq!(
            new.checkpoint(&fence).await.unwrap(),
            Some(Checkpoint::at(Position::new("here")))
        );

        // A task that was forgotten is nobody's.
        it.begin().await;
        new.forget(&fence).await.unwrap();
        fenced(
            &it.applier
                .commit(&Checkpoint::at(Position::new("late")))
                .await
                .unwrap_err(),
        );
    }
}

/// Rows of a transaction that is to be cut.
const TRANSACTION: i64 = 300;

#[tokio::test]
async fn a_cut_connection_leaves_rows_and_checkpoint_or_neither() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "cut"), PLAIN).await;
        let server = Server::get(engine).unwrap();
        let address: SocketAddr = format!("{}:{}", server.host, server.port).parse().unwrap();
        let proxy = FaultProxy::start(address).await.unwrap();
        let direct = it.pair.target.url();
        let url = direct.replace(&address.to_string(), &proxy.address().to_string());
        assert_ne!(url, direct);
        let through = connector(&url);
        let mut target = through.target().await.unwrap();
        let (mut done, mut undone) = (0, 0);
        // Cuts ever later, until a whole transaction passes.
        for bytes in (0..).step_by(40) {
            let mut applier = target
                .applier(&it.fence, &ApplySettings::default())
                .await
                .unwrap();
            std::mem::swap(&mut it.applier, &mut applier);
            drop(applier);
            proxy.set(Fault::CutAfter { bytes });
            let base = i64::try_from(bytes).unwrap() * 1000;
            let position = Position::new(format!("{bytes}"));
            let inserts: Vec<Row> = (0..TRANSACTION).map(|n| row![base + n, "x", 1]).collect();
            let ended = async {
                it.applier.begin().await?;
                it.net(vec![], vec![], inserts).await?;
                let update = row![base, Cell::NOT_SENT, 2];
                it.single(vec![Change::Update(None, update)]).await?;
                it.applier.commit(&Checkpoint::at(position.clone())).await
            }
            .await;
            proxy.set(Fault::None);
            let is_whole = ended.is_ok();
            if let Err(error) = ended {
                assert!(
                    matches!(error, Error::Transient(_)),
                    "{engine} {bytes}: {error:?}"
                );
                target = through.target().await.unwrap();
            }
            // The server may still be at the last statement: whoever goes on waits for it like this.
            drop(std::mem::replace(
                &mut it.applier,
                it.target
                    .applier(&it.fence, &ApplySettings::default())
                    .await
                    .unwrap(),
            ));
            let rows = it.ask(&format!(
                "select count(*) from t where id between {base} and {base} + 999"
            ));
            let has_checkpoint =
                it.target.checkpoint(&it.fence).await.unwrap() == Some(Checkpoint::at(position));
            match rows.as_str() {
                "0" => {
                    assert!(!has_checkpoint && !is_whole, "{engine} {bytes}");
                    undone += 1;
                }
                "300" => {
                    assert!(has_checkpoint, "{engine} {bytes}");
                    done += 1;
                }
                other => panic!("{engine} {bytes}: {other} rows"),
            }
            if is_whole {
                break;
            }
        }
        assert!(undone > 5 && done > 0, "{engine}: {undone} {done}");
    }
}

#[tokio::test]
async fn a_deadlock_ends_the_transaction_and_nothing_is_written_outside_of_one() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "deadlock"), PLAIN).await;
        it.pair
            .target
            .sql("insert into t values (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)")
            .unwrap();
        // Another task on another table of the same database, which meets the first over its rows.
        let task = format!("other {}", it.pair.task);
        let other_fence = it.target.claim(&task).await.unwrap();
        let applier = it
            .target
            .applier(&other_fence, &ApplySettings::default())
            .await
            .unwrap();
        let mut other = Applying {
            applier,
            target: it.pair.to.target().await.unwrap(),
            fence: other_fence.clone(),
            table: it.table.clone(),
            pair: Pair::on(engine, "deadlock_other"),
        };
        it.begin().await;
        other.begin().await;
        let touch = |id: i64, x: i64| Change::Update(None, row![id, Cell::NOT_SENT, x]);
        it.single(vec![touch(1, 1)]).await.unwrap();
        other.single(vec![touch(2, 2)]).await.unwrap();
        // Whichever loses has a change to 3 left in its script, which must not be made outside of the transaction.
        let (first, second) = tokio::join!(
            it.single(vec![touch(2, 1), touch(3, 1)]),
            other.single(vec![touch(1, 2), touch(3, 2)])
        );
        let (winner, loser, error) = match (first, second) {
            (Ok(_), Err(error)) => (&mut it, &mut other, error),
            (Err(error), Ok(_)) => (&mut other, &mut it, error),
            both => panic!("{engine}: {both:?}"),
        };
        assert!(matches!(error, Error::Transient(_)), "{error:?}");
        let error = loser.single(vec![touch(3, 9)]).await.unwrap_err();
        assert!(
            error.to_string().contains("without an open transaction"),
            "{error}"
        );
        winner.commit().await;
        let x = winner.fence.epoch == other_fence.epoch;
        let x = if x { 2 } else { 1 };
        assert_eq!(
            it.ask("select * from t order by id"),
            format!("1,a,{x} 2,b,{x} 3,c,{x}")
        );
        it.target.forget(&other_fence).await.unwrap();
    }
}

#[tokio::test]
async fn many_rows_take_bounded_memory() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "many"), PLAIN).await;
        it.begin().await;
        let text = "x".repeat(40);
        let rows: Vec<Row> = (0..200_000).map(|id| row![id, text.as_str(), id]).collect();
        it.net(vec![], vec![], rows).await.unwrap();
        let before = peak_kib();
        let updates: Vec<Row> = (0..200_000)
            .map(|id| row![id, text.as_str(), -id])
            .collect();
        let made = peak_kib();
        let applied = it.net(vec![], updates, vec![]).await.unwrap();
        let grown = peak_kib() - before.max(made);
        assert_eq!(applied.updated, 200_000);
        it.commit().await;
        assert!(grown < 40 * 1024, "{engine}: {grown} KiB");
        assert_eq!(
            it.ask("select count(*), sum(id = -x) from t"),
            "200000,200000"
        );
    }
}

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A server of its own with these settings, and an empty table there to apply to.
async fn strict(engine: Engine, settings: &[(&str, &str)]) -> (Applying, Server) {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let options = ServerOptions {
        settings,
        ..ServerOptions::default()
    };
    let server = Server::private_with(engine, options).unwrap();
    let source = server.database("strict_source").unwrap();
    let target = server.database("strict_target").unwrap();
    let (from, to) = (connector(&source.url()), connector(&target.url()));
    source.sql(PLAIN).unwrap();
    target.sql(PLAIN).unwrap();
    let mut source_end = from.source().await.unwrap();
    let named = |name: &TableName| name.schema == source.name();
    let table = source_end.tables(&named).await.unwrap().remove(0);
    let target_end = to.target().await.unwrap();
    let name = TableName::new(target.name(), "t");
    let table = target_end
        .plan_table(&table, name, KeyPolicy::Best)
        .unwrap();
    let pair = Pair {
        source,
        target,
        from,
        to,
        task: "strict".to_owned(),
    };
    (Applying::to(pair, table).await, server)
}

#[tokio::test]
async fn strict_servers_take_the_same_changes() {
    let mysql = [
        ("gtid-mode", "ON"),
        ("enforce-gtid-consistency", "ON"),
        ("sql-require-primary-key", "ON"),
        ("local-infile", "0"),
    ];
    let mariadb = [
        ("gtid-strict-mode", "1"),
        ("binlog-format", "MIXED"),
        ("sql-safe-updates", "1"),
        ("local-infile", "0"),
    ];
    for (engine, settings) in [(Engine::Mysql97, mysql), (Engine::Mariadb1011, mariadb)] {
        // With LOAD DATA and without.
        for settings in [&settings[..3], &settings[..]] {
            let (mut it, _server) = strict(engine, settings).await;
            it.begin().await;
            let inserts = (0..400).map(|id| row![id, "a", id]).collect();
            it.net(vec![], vec![], inserts).await.unwrap();
            let deletes = (0..200).map(|id| row![id, "", 0]).collect();
            let updates = (200..400).map(|id| row![id, "b", 0]).collect();
            let applied = it.net(deletes, updates, vec![]).await.unwrap();
            assert_eq!((applied.deleted, applied.updated), (200, 200));
            it.commit().await;
            let rows = it.ask("select count(*), sum(n = 'b') from t");
            assert_eq!(rows, "200,200", "{engine}");
        }
    }
}
