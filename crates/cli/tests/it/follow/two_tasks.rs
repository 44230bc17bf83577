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
