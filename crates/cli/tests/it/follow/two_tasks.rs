//! Two commands that would write into one table.

use whimbrel_testkit::Engine;

use super::process::Following;
use crate::ends::Ends;
use crate::{Said, run, run_well};

/// The words of a command that goes to the target itself, whose other address the ends have.
fn to_itself<'a>(
    ends: &'a Ends,
    target: &'a str,
    command: &'a str,
    options: &[&'a str],
) -> Vec<&'a str> {
    let mut words = ends.words(command, options);
    words[2] = target;
    words
}

fn assert_refused(said: &Said, words: &[&str]) {
    assert_eq!(said.exit_code, Some(2), "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "{word}: {said:?}");
    }
}

async fn refused(from: Engine, to: Engine) {
    let mut ends = Ends::between(from, to, "two_tasks");
    let target = ends.target_url.clone();
    // Another address of the same server.
    let _proxy = ends.break_target().await;
    ends.source
        .sql("create table t (id int primary key); insert into t values (1)")
        .unwrap();
    let mut first = Following::start(&ends, &["--follow", "--json"]);
    first.wait_until_caught_up();
    let task = first.task();

    let follow = to_itself(&ends, &target, "migrate", &["--follow"]);
    let words = [
        "would write into",
        "t at the target",
        &task,
        "whimbrel forget SOURCE TARGET --task",
    ];
    assert_refused(&run(&follow), &words);
    let load = to_itself(&ends, &target, "migrate", &[]);
    assert_refused(&run(&load), &words);
    // Nothing was done to the first one, nor to its rows, and nothing is left of the second.
    ends.source.sql("insert into t values (2)").unwrap();
    first.wait_until("its change arrived", |_| ends.arrived("t") == 2);
    if from.is_postgres() {
        let slots = "select count(*) from pg_replication_slots where database = current_database()";
        assert_eq!(ends.source.sql(slots).unwrap(), "1\n");
    }

    // Stopped, it still has its tables.
    first.interrupt();
    assert_refused(&run(&load), &words);
    run_well(&to_itself(&ends, &target, "forget", &["--task", &task]));
    run_well(&to_itself(
        &ends,
        &target,
        "migrate",
        &["--until-caught-up"],
    ));
    // And now the first one is refused.
    let said = ends.run("migrate", &["--follow"]);
    assert_refused(&said, &["would write into", &task]);
    run_well(&to_itself(&ends, &target, "forget", &[]));
    ends.run_well("migrate", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_command_is_refused_from_postgres_to_postgres() {
    refused(Engine::Postgres15, Engine::Postgres18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_command_is_refused_from_mariadb_to_mysql() {
    refused(Engine::Mariadb1011, Engine::Mysql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_command_is_refused_from_mysql_to_mariadb() {
    refused(Engine::Mysql97, Engine::Mariadb1011).await;
}

/// Tenants of two servers in one table, each with keys of its own.
fn shared(from: [Engine; 2], to: Engine) {
    let first = Ends::between(from[0], to, "shard");
    let mut second = Ends::between(from[1], to, "shard");
    second.target_url.clone_from(&first.target_url);
    let rows = |ends: &Ends, ids: &str| {
        ends.source
            .sql(&format!("insert into t (id) values {ids}"))
            .unwrap();
    };
    for (ends, ids) in [(&first, "(1), (2)"), (&second, "(101)")] {
        ends.source
            .sql("create table t (id int primary key, v varchar(9))")
            .unwrap();
        rows(ends, ids);
    }
    let shared = [
        "--follow",
        "--json",
        "--shared-target-tables",
        "--prepare",
        "do-nothing",
    ];
    let mut ours = Following::start(&first, &shared);
    ours.wait_until_caught_up();
    let said = second.run("migrate", &["--follow"]);
    assert_refused(&said, &["would write into", "--shared-target-tables"]);
    let removing = ["--follow", "--shared-target-tables"];
    let said = second.run("migrate", &removing);
    assert_refused(&said, &["must not be dropped or emptied", "do-nothing"]);

    let mut theirs = Following::start(&second, &shared);
    theirs.wait_until_caught_up();
    rows(&first, "(3)");
    rows(&second, "(102), (103)");
    theirs.wait_until("all arrived", |_| first.arrived("t") == 6);
    ours.interrupt();
    theirs.interrupt();
    for ends in [&first, &second] {
        ends.run_well("forget", &[]);
    }
}

#[test]
fn commands_that_say_so_share_a_table_of_postgres() {
    shared([Engine::Postgres15, Engine::Mysql97], Engine::Postgres18);
}

#[test]
fn commands_that_say_so_share_a_table_of_mariadb() {
    shared([Engine::Mariadb1011, Engine::Mysql97], Engine::Mariadb1011);
}
