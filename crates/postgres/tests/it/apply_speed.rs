//! How fast changes are applied. Run by hand, in a release build:
//! `cargo test --release -p whimbrel-postgres --test it apply_speed -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use whimbrel_core::{Decimal, Timestamp, Value};

use crate::changes::{Do, Rig, Row, Rows, int, text};
use crate::support::ENGINES;

const TABLE: &str =
    "create table t (id bigint primary key, a int, b text, c numeric(12,2), d timestamptz)";
const FILL: &str = "insert into t select i, i, 'some text of a row', i, now() from generate_series(1, 1000000) i; vacuum analyze t";

fn row(id: i64, a: i64) -> Row {
    vec![
        int(id),
        int(a),
        text("another text of the row"),
        Value::Decimal(Decimal::Text("12345.67")),
        Value::TimestampTz(Timestamp::Micros(a)),
    ]
}

/// Keys from all over the table, each once.
fn keys(count: i64, pass: i64) -> impl Iterator<Item = i64> {
    (0..count).map(move |i| (i * 99_991 + pass * 7_919) % 1_000_000 + 1)
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// CPU time of the applier's server process so far.
fn server_cpu(rig: &Rig) -> Duration {
    let pid = rig.shown(
        "select pid from pg_stat_activity
         where datname = current_database() and application_name like 'whimbrel %'
         order by backend_start desc limit 1",
    );
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

struct Measure {
    what: String,
    changes: u32,
    wall: Duration,
    cpu: Duration,
    server_cpu: Duration,
}

impl Measure {
    fn print(&self) {
        let per = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(self.changes);
        println!(
            "{:<46} {:>6.2} us wall {:>6.2} us server CPU {:>5.2} us own CPU a change",
            self.what,
            per(self.wall),
            per(self.server_cpu),
            per(self.cpu)
        );
    }
}

async fn net(
    rig: &mut Rig,
    what: &str,
    passes: i64,
    size: i64,
    make: impl Fn(i64) -> [Vec<Row>; 3],
) {
    let mut measure = Measure {
        what: format!("{what}, batches of {size}"),
        changes: 0,
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        server_cpu: Duration::ZERO,
    };
    let mut server_start = Duration::ZERO;
    for pass in 0..passes {
        let [deletes, updates, inserts] = make(pass).map(Rows);
        if pass == 1 {
            server_start = server_cpu(rig);
        }
        let (wall, own) = (Instant::now(), cpu());
        rig.begin().await;
        let count = rig
            .net_sets("t", &deletes, &updates, &inserts)
            .await
            .unwrap();
        rig.commit().await;
        // The first pass warms up.
        if pass > 0 {
            measure.wall += wall.elapsed();
            measure.cpu += cpu().saturating_sub(own);
            measure.changes += u32::try_from(size).unwrap();
        }
        let found = count.deleted + count.updated + count.inserted;
        assert_eq!(found, u64::try_from(size).unwrap());
    }
    measure.server_cpu = server_cpu(rig).saturating_sub(server_start);
    measure.print();
}

async fn singles(rig: &mut Rig, passes: i64, size: i64) {
    let mut times = Vec::new();
    for pass in 0..passes {
        let changes = keys(size, pass)
            .map(|id| ("t", Do::Set(row(id, pass))))
            .collect();
        let start = Instant::now();
        rig.begin().await;
        rig.single(changes).await.unwrap();
        rig.commit().await;
        times.push(start.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2].as_secs_f64() * 1e6;
    let late = times[times.len() * 99 / 100].as_secs_f64() * 1e6;
    println!("transactions of {size} single updates: median {median:.0} us, p99 {late:.0} us");
}

#[tokio::test]
#[ignore = "a measurement"]
async fn apply_speed() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TABLE).await;
        rig.pair.target.sql(FILL).unwrap();
        println!("{engine:?}");
        for size in [10_000, 1_000, 100] {
            let passes = (100_000 / size).min(100) + 1;
            let rows = |pass| keys(size, pass).map(|id| row(id, pass)).collect::<Vec<_>>();
            net(&mut rig, "updates", passes, size, |pass| {
                [vec![], rows(pass), vec![]]
            })
            .await;
            let partly = |pass| {
                let mut rows = rows(pass);
                for row in &mut rows {
                    row[2] = Value::NotSent;
                }
                rows
            };
            net(
                &mut rig,
                "updates with a cell not sent",
                passes,
                size,
                |pass| [vec![], partly(pass), vec![]],
            )
            .await;
            let new = |pass: i64| {
                (0..size)
                    .map(|i| row(2_000_000 + pass * size + i, 0))
                    .collect::<Vec<_>>()
            };
            net(&mut rig, "inserts", passes, size, |pass| {
                [vec![], vec![], new(pass)]
            })
            .await;
            net(&mut rig, "deletes", passes, size, |pass| {
                [new(pass), vec![], vec![]]
            })
            .await;
            rig.pair.target.sql("vacuum t").unwrap();
        }
        singles(&mut rig, 2000, 1).await;
        singles(&mut rig, 2000, 4).await;
        singles(&mut rig, 200, 100).await;
    }
}

/// With the plans of the server, the time does not grow with the table.
#[tokio::test]
async fn a_batch_takes_no_longer_in_a_table_that_looks_empty_or_is_large() {
    for engine in ENGINES {
        let mut rig = Rig::new(
            engine,
            &format!("{TABLE}; alter table t set (autovacuum_enabled = off)"),
        )
        .await;
        let update = |pass| keys(2_000, 0).map(|id| row(id, pass)).collect::<Vec<_>>();
        rig.begin().await;
        // Planned while the table is empty.
        rig.net("t", vec![], update(0), vec![]).await.unwrap();
        rig.single(vec![("t", Do::Set(row(1, 1)))]).await.unwrap();
        rig.commit().await;
        let fill = FILL.replace("vacuum analyze t", "");
        rig.pair.target.sql(&fill).unwrap();
        let start = Instant::now();
        rig.begin().await;
        let count = rig.net("t", vec![], update(1), vec![]).await.unwrap();
        assert_eq!(count.updated, 2_000);
        let sets = keys(500, 0).map(|id| ("t", Do::Set(row(id, 2)))).collect();
        assert_eq!(rig.single(sets).await.unwrap(), vec![1; 500]);
        rig.commit().await;
        let taken = start.elapsed();
        // Seeks take milliseconds here; one scan of the table for each row would take minutes.
        assert!(taken < Duration::from_secs(40), "{taken:?}");
    }
}
