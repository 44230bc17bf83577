use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use whimbrel_testkit::{Engine, Server};

use crate::ends::{settle, wait_until};
use crate::{run_well, whimbrel};

/// A trigger makes each row of the target slow, so that the interruption falls between chunks and not after them.
const SLOW_TARGET: &str = "
    create table t (id int primary key, a text);
    create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.001); return new; end $$;
    create trigger slow before insert on t for each row execute function slow();
";

#[test]
fn an_interrupted_migration_goes_on_where_it_was() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let source = server.database("cli_source").unwrap();
    let target = server.database("cli_target").unwrap();
    source
        .sql("create table t (id int primary key, a text); insert into t select i, repeat('x', 200) from generate_series(1, 20000) i; analyze t")
        .unwrap();
    settle(&source, "t");
    target.sql(SLOW_TARGET).unwrap();
    let (from, to) = (source.url(), target.url());
    let words = [
        "migrate",
        &from,
        &to,
        "--prepare",
        "do-nothing",
        "--chunk-size",
        "64KiB",
        "--json",
    ];

    let mut migration = whimbrel(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(migration.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> {
        let line = events.next()?.unwrap();
        Some(serde_json::from_str(&line).unwrap())
    };
    while next().expect("it ends too early")["running"][0]["chunks_done"].as_u64() < Some(2) {}
    let pid = Pid::from_raw(i32::try_from(migration.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let finished = std::iter::from_fn(next).last().unwrap();
    assert_eq!(
        (&finished["outcome"], &finished["exit_code"]),
        (&"interrupted".into(), &130.into())
    );
    let mut err = String::new();
    migration
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(
        err.contains("stopping") && err.contains("--resume"),
        "{err}"
    );
    assert_eq!(migration.wait().unwrap().code(), Some(130));

    // Rows of finished chunks are marked: a chunk that is loaded again would lose the marks.
    let count = |condition: &str| -> u64 {
        let count = target
            .sql(&format!("select count(*) from t where {condition}"))
            .unwrap();
        count.trim().parse().unwrap()
    };
    let kept = count("true");
    assert!((1..20_000).contains(&kept), "{kept}");
    target
        .sql("drop trigger slow on t; update t set a = 'kept'")
        .unwrap();
    let said = run_well(&[&words[..], &["--resume"]].concat());
    assert_eq!(said.event("finished")["rows"], 20_000);
    assert_eq!((count("true"), count("a = 'kept'")), (20_000, kept));
    assert_eq!(
        target.sql("select count(distinct id) from t").unwrap(),
        "20000\n"
    );
}

/// A reader's transaction keeps a table from being dropped for as long as it likes.
#[test]
fn an_interrupted_migration_does_not_wait_for_a_lock() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let source = server.database("cli_source").unwrap();
    let target = server.database("cli_t").unwrap();
    let table = "create table t (id int primary key)";
    source.sql(table).unwrap();
    target.sql(table).unwrap();
    let sessions = |condition: &str| {
        target
            .sql(&format!(
                "select count(*) from pg_stat_activity where datname = current_database() and {condition}"
            ))
            .unwrap()
    };
    let (from, to) = (source.url(), target.url());
    std::thread::scope(|scope| {
        // Ended at the end of the test.
        scope.spawn(|| {
            target
                .sql("begin; select * from t; select pg_sleep(120)")
                .is_err()
        });
        wait_until(|| sessions("query like '%pg_sleep(120)%' and wait_event = 'PgSleep'") == "1\n");
        let mut migration = whimbrel(&["migrate", &from, &to])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until(|| {
            assert!(migration.try_wait().unwrap().is_none(), "it did not wait");
            sessions("query ilike 'drop%' and wait_event_type = 'Lock'") == "1\n"
        });
        let pid = Pid::from_raw(i32::try_from(migration.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        let said = migration.wait_with_output().unwrap();
        let still_locked = sessions("wait_event = 'PgSleep'");
        target
            .sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()")
            .unwrap();
        assert_eq!(said.status.code(), Some(130), "{said:?}");
        assert_eq!(still_locked, "1\n");
    });
    run_well(&["migrate", &from, &to, "--resume"]);
}
