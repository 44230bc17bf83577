//! How following begins, changes hands and ends.

use nix::sys::signal::Signal;
use whimbrel_testkit::{Engine, Server, ServerOptions};

use super::process::Following;
use super::torture::Arena;
use crate::Said;
use crate::ends::{Ends, wait_until};
use crate::random::Random;

/// What the command's control tables hold at the target. What was left out stays for whoever asks.
fn control_rows(ends: &Ends, task: &str) -> String {
    let tables = "select table_name from information_schema.tables where table_schema = 'awsdms_control' and table_name <> 'awsdms_apply_exceptions'";
    let tables = ends.target.sql(tables).unwrap();
    let rows = tables.lines().map(|table| {
        // Other tasks of a shared server keep theirs there too; the name of a task is in its `start` event.
        let sql = format!("select * from awsdms_control.{table} where task_name = '{task}'");
        ends.target.sql(&sql).unwrap()
    });
    rows.collect()
}

/// Slots and publications of the source's database.
fn held(ends: &Ends) -> String {
    ends.source
        .sql(
            "select slot_name from pg_replication_slots where database = current_database();
             select pubname from pg_publication",
        )
        .unwrap()
}

fn assert_refused(said: &Said, words: &[&str]) {
    assert!(!matches!(said.exit_code, Some(0)), "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "{word}: {said:?}");
    }
}

async fn arena(from: Engine, to: Engine, hint: &str) -> Arena {
    Arena::new(Ends::between(from, to, hint), Random::announced()).await
}

async fn taken_over(from: Engine, to: Engine) {
    let mut arena = arena(from, to, "zombie").await;
    let mut first = arena.begin();
    arena.steps(3);
    arena.wait_for_mark(&mut first);
    first.wait_until_caught_up();
    first.signal(Signal::SIGSTOP);
    arena.steps(3);
    let mut second = arena.resume();
    arena.wait_for_mark(&mut second);
    arena.steps(3);
    first.signal(Signal::SIGCONT);
    arena.steps(3);
    assert_eq!(first.wait().code(), Some(4), "{first:?}");
    assert!(first.err().contains("was taken over"), "{first:?}");
    arena.steps(3);
    arena.wait_for_mark(&mut second);
    arena.check_equal();
    second.interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_up_after_another_took_over_ends_from_postgres_to_postgres() {
    taken_over(Engine::Postgres15, Engine::Postgres18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_up_after_another_took_over_ends_from_postgres_to_mariadb() {
    taken_over(Engine::Postgres18, Engine::Mariadb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_up_after_another_took_over_ends_from_mysql_to_postgres() {
    taken_over(Engine::Mysql97, Engine::Postgres15).await;
}

async fn caught_up_and_forgotten(from: Engine, to: Engine) {
    let mut arena = arena(from, to, "caught_up").await;
    let mut following = arena.begin();
    arena.steps(5);
    arena.wait_for_mark(&mut following);
    following.interrupt();
    // A load alone would call the tables complete, and let go of the log.
    let said = arena.ends.run("migrate", &["--json", "--resume"]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
    assert_refused(&said, &["has followed its source", "--until-caught-up"]);
    assert_eq!(said.event("finished")["outcome"], "failed");
    // Nor is a migration of other tables forgotten in its place.
    let other = ["--exclude", "nothing.%"];
    let said = arena.ends.run_well("forget", &other);
    assert!(
        said.out.contains("the target knows no migration named"),
        "{said:?}"
    );
    arena.workload.may_truncate = true;
    arena.steps(10);
    let until = ["--json", "--resume", "--until-caught-up"];
    let said = arena.ends.run_well("migrate", &until);
    assert_eq!(said.event("finished")["outcome"], "complete");
    arena.check_equal();
    arena.check_valid();
    // Nothing has changed since: it ends all the same.
    arena.ends.run_well("migrate", &until);
    let start = said.event("start");
    let task = start["task"].as_str().unwrap();
    assert_ne!(control_rows(&arena.ends, task), "");
    if from.is_postgres() {
        assert_eq!(held(&arena.ends).lines().count(), 2);
    }
    arena.ends.run_well("forget", &[]);
    assert_eq!(control_rows(&arena.ends, task), "");
    if from.is_postgres() {
        assert_eq!(held(&arena.ends), "");
    }
    let said = arena.ends.run("migrate", &until);
    assert_refused(&said, &["resume"]);
    // There is nothing left to forget.
    let said = arena.ends.run_well("forget", &[]);
    assert!(
        said.out.contains("the target knows no migration named"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_caught_up_ends_and_is_forgotten_from_postgres_to_mariadb() {
    caught_up_and_forgotten(Engine::Postgres15, Engine::Mariadb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_caught_up_ends_and_is_forgotten_from_mysql_to_postgres() {
    caught_up_and_forgotten(Engine::Mysql97, Engine::Postgres18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_caught_up_ends_and_is_forgotten_from_mariadb_to_mysql() {
    caught_up_and_forgotten(Engine::Mariadb1011, Engine::Mysql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_dropped_is_an_error_that_says_so() {
    let mut arena = arena(Engine::Postgres15, Engine::Postgres15, "dropped").await;
    let mut following = arena.begin();
    arena.wait_for_mark(&mut following);
    following.interrupt();
    // The server's end of the connection may need a moment to see that it is over.
    wait_until(|| {
        let drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()";
        arena.ends.source.sql(drop).is_ok()
    });
    let said = arena.ends.run("migrate", &["--resume", "--follow"]);
    assert_refused(&said, &["replication slot", "load the tables again"]);
}

#[test]
fn a_table_whose_rows_cannot_be_told_apart_is_refused_before_anything_starts() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "identity");
    ends.source
        .sql("create table good (id int primary key); create table bad (n int); insert into bad values (1)")
        .unwrap();
    let said = ends.run("migrate", &["--follow"]);
    assert_refused(
        &said,
        &[
            "bad",
            "ALTER TABLE",
            "REPLICA IDENTITY FULL",
            "add a primary key",
        ],
    );
    assert_eq!(held(&ends), "", "{said:?}");
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(ends.target.sql(tables).unwrap(), "0\n");
    ends.source
        .sql("alter table bad replica identity full")
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    ends.run_well("forget", &[]);
}

#[test]
fn a_table_without_row_versions_is_refused_before_anything_starts() {
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let ends = Ends::between(engine, Engine::Postgres15, "myisam");
        ends.source
            .sql("create table good (id int primary key); create table bad (id int primary key) engine = MyISAM; insert into bad values (1)")
            .unwrap();
        let said = ends.run("migrate", &["--follow"]);
        assert_refused(
            &said,
            &[
                "bad",
                "MyISAM",
                "ALTER TABLE … ENGINE = InnoDB",
                "or load it",
            ],
        );
        let tables = "select count(*) from pg_tables where schemaname = 'public'";
        assert_eq!(ends.target.sql(tables).unwrap(), "0\n");
        // A load alone takes it, and says how it is read.
        let said = ends.run_well("migrate", &["--dry-run"]);
        assert!(
            said.out.contains("-- note: ") && said.out.contains("one statement"),
            "{said:?}"
        );
        ends.run_well("migrate", &[]);
        assert_eq!(ends.arrived("bad"), 1);
        ends.source.sql("alter table bad engine = InnoDB").unwrap();
        ends.run_well("migrate", &["--until-caught-up"]);
        ends.run_well("forget", &[]);
    }
}

const ASLEEP: &str =
    "from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";

/// A target with a table that somebody has locked, so that what follows cannot come to its end.
fn while_locked(ends: &Ends, run: impl FnOnce()) {
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            ends.target
                .sql("begin; lock table t in exclusive mode; select pg_sleep(600)")
        });
        let count = format!("select count(*) {ASLEEP}");
        wait_until(|| ends.target.sql(&count).unwrap() == "1\n");
        let sleeper = Sleeper(ends);
        run();
        drop(sleeper);
        holder.join().unwrap().unwrap_err();
    });
}

/// Who sleeps at the target holds the lock no longer than this is there, so that a test that fails does so at once.
struct Sleeper<'a>(&'a Ends);

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let end = format!("select pg_terminate_backend(pid) {ASLEEP}");
        self.0.target.sql(&end).ok();
    }
}

#[test]
fn what_is_interrupted_before_it_has_caught_up_is_no_success() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "behind");
    ends.source
        .sql("create table t (id int primary key); insert into t values (1)")
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    ends.source.sql("insert into t values (2)").unwrap();
    let until = ["--json", "--resume", "--until-caught-up"];
    while_locked(&ends, || {
        let mut following = Following::start(&ends, &until);
        following.wait_until("it follows", Following::is_following);
        following.signal(Signal::SIGTERM);
        let said = following.end();
        assert_eq!(said.exit_code, Some(130), "{said:?}");
        assert_eq!(said.event("finished")["outcome"], "interrupted");
        assert!(said.err.contains("--resume"), "{said:?}");
    });
    assert_eq!(ends.arrived("t"), 1);
    ends.run_well("migrate", &until);
    assert_eq!(ends.arrived("t"), 2);
    ends.run_well("forget", &[]);
}

#[test]
fn a_load_alone_over_what_was_followed_gives_up_the_log() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "alone");
    ends.source
        .sql("create table t (id int primary key); insert into t values (1)")
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    assert_eq!(held(&ends).lines().count(), 2);
    ends.source.sql("insert into t values (2)").unwrap();
    ends.run_well("migrate", &[]);
    assert_eq!((ends.arrived("t"), held(&ends)), (2, String::new()));
}

#[test]
fn following_that_ends_with_a_table_in_error_is_incomplete() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "in_error");
    ends.source
        .sql("create table t (id int primary key); create table u (id int primary key); insert into u values (1)")
        .unwrap();
    ends.target
        .sql("create table u (id int primary key, missing int not null)")
        .unwrap();
    let options = ["--json", "--follow", "--prepare", "do-nothing"];
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    following.signal(Signal::SIGINT);
    let said = following.end();
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert_eq!(said.event("finished")["outcome"], "tables_in_error");
    ends.run_well("forget", &[]);
}

#[test]
fn a_dry_run_of_following_refuses_what_cannot_be_followed() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "dry_follow");
    ends.source
        .sql("create table good (id int primary key); create table bad (id int primary key) engine = MyISAM")
        .unwrap();
    let said = ends.run("migrate", &["--dry-run", "--follow"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert!(
        said.out.contains("-- error: ") && said.out.contains("MyISAM"),
        "{said:?}"
    );
}

fn server_with(engine: Engine, name: &str, value: &str) -> Server {
    let options = ServerOptions {
        settings: vec![(name.to_owned(), value.to_owned())],
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

fn refused_by_settings(source: &Server, words: &[&str]) {
    let ends = Ends::on(
        source,
        &Server::get(Engine::Postgres15).unwrap(),
        "settings",
    );
    ends.source
        .sql("create table t (id int primary key)")
        .unwrap();
    let said = Following::start(&ends, &["--follow"]).end();
    assert_refused(&said, words);
    // Without changes there is nothing in the way.
    ends.run_well("migrate", &[]);
}

#[test]
fn a_source_without_a_logical_log_is_refused_with_the_remedy() {
    let source = server_with(Engine::Postgres15, "wal_level", "replica");
    refused_by_settings(
        &source,
        &["wal_level is replica", "ALTER SYSTEM SET wal_level"],
    );
}

#[test]
fn a_source_whose_log_holds_statements_is_refused_with_the_remedy() {
    let source = server_with(Engine::Mariadb1011, "binlog-format", "MIXED");
    refused_by_settings(&source, &["SET GLOBAL binlog_format = 'ROW'"]);
}
