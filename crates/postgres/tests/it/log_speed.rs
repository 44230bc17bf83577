//! How fast changes are captured, beside `pg_recvlogical` on the same server. Run by hand, in a release build:
//! `cargo test --release -p whimbrel-postgres --test it log_speed -- --ignored --nocapture`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use whimbrel_connector::LogEvent;
use whimbrel_core::Position;
use whimbrel_testkit::{Engine, Server};

use crate::log_support::Captured;
use crate::support::ENGINES;

const CHANGES: u32 = 1_000_000;
/// What is captured: a name, the table, the changes.
const CASES: [(&str, &str, &str); 3] = [
    ("transactions of four rows", TABLE, WORK),
    (
        "the same, read as text for the sake of a column",
        TEXT_TABLE,
        WORK,
    ),
    ("transactions of 1,000 rows", TABLE, LARGE_WORK),
];
const TABLE: &str = "create table t (id bigint primary key, a int, b text, c numeric(12,2), d timestamptz default now())";
const TEXT_TABLE: &str = "create table t (id bigint primary key, a int, b text, c numeric(12,2), d timestamptz default now(), e int[])";
/// Two inserts, an update, an insert.
const WORK: &str = "
    do $$ begin for i in 1..250000 loop
      insert into t values (i * 3, i, 'some text of a row', i), (i * 3 + 1, i, 'some text of a row', i);
      update t set a = a + 1, b = 'another text of the row' where id = i * 3;
      insert into t values (i * 3 + 2, i, 'some text of a row', i); commit;
    end loop; end $$";
const LARGE_WORK: &str = "
    do $$ begin for i in 1..1000 loop
      insert into t select i * 500 + n, i, 'some text of a row', i from generate_series(1, 500) n;
      update t set a = a + 1, b = 'another text of the row' where id > i * 500 and id <= i * 500 + 500; commit;
    end loop; end $$";

/// CPU time of all threads of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn print(what: &str, wall: Duration, own: Option<Duration>) {
    let own = own.map_or(String::new(), |own| {
        format!(
            ", {:.2} us own CPU a change",
            own.as_secs_f64() * 1e6 / f64::from(CHANGES)
        )
    });
    let speed = f64::from(CHANGES) / wall.as_secs_f64();
    println!("{what:<32} {speed:>9.0} changes/s{own}");
}

/// Reads everything and gives it away; `true`: each row is decoded.
async fn capture(log: &mut Captured, end: &Position, is_decoded: bool) {
    let before = cpu();
    let begun = Instant::now();
    let mut reader = log.open().await;
    let (mut changes, mut cells) = (0, 0);
    'stream: loop {
        let block = reader.block().await.unwrap();
        for event in &block.events {
            match event {
                LogEvent::Insert { after, .. } | LogEvent::Update { after, .. } => {
                    changes += 1;
                    if is_decoded {
                        let mut count = |values: &[whimbrel_core::Value<'_>]| {
                            cells += values.len();
                            Ok(())
                        };
                        block.rows.decode(*after, &mut count).unwrap();
                    }
                }
                LogEvent::Commit { place, .. } if reader.stream.has_reached(&**place, end) => {
                    break 'stream;
                }
                _ => {}
            }
        }
    }
    let wall = begun.elapsed();
    assert_eq!(changes, CHANGES);
    let what = if is_decoded {
        "captured and decoded"
    } else {
        "captured"
    };
    print(what, wall, Some(cpu().saturating_sub(before)));
}

/// The server's own client, to nothing.
fn floor(engine: Engine, log: &Captured, end: &Position) {
    let server = Server::get(engine).unwrap();
    let name = log.database.name();
    let publication = log
        .database
        .sql("select pubname from pg_publication")
        .unwrap();
    let slot = format!("floor_{name}");
    // A slot of its own, from the same place on.
    let copy = format!(
        "select pg_copy_logical_replication_slot(slot_name, '{slot}') from pg_replication_slots where slot_name = '{}'",
        publication.trim()
    );
    log.database.sql(&copy).unwrap();
    let begun = Instant::now();
    let status = Command::new("pg_recvlogical")
        .env("PGPASSWORD", &server.password)
        .args([
            "-h",
            &server.host,
            "-p",
            &server.port.to_string(),
            "-U",
            &server.user,
            "-d",
            name,
        ])
        .args(["--slot", &slot, "--start", "-o", "proto_version=1", "-o"])
        .arg(format!("publication_names={}", publication.trim()))
        .args(["-f", "/dev/null", "--endpos", end.as_str(), "--no-loop"])
        .stderr(Stdio::inherit())
        .status()
        .unwrap();
    assert!(status.success());
    print("pg_recvlogical to nothing", begun.elapsed(), None);
    log.database
        .sql(&format!("select pg_drop_replication_slot('{slot}')"))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of some minutes"]
async fn capture_beside_the_servers_own_client() {
    for engine in ENGINES {
        for (what, table, work) in CASES {
            println!("{engine}: {what}");
            let mut log = Captured::of(engine, table).await;
            log.database.sql(work).unwrap();
            let end = log.log.end().await.unwrap();
            floor(engine, &log, &end);
            capture(&mut log, &end, false).await;
            capture(&mut log, &end, true).await;
        }
    }
}
