//! Tables that are loaded while others are followed.

use whimbrel_testkit::{Engine, Server};

use super::process::Following;
use crate::ends::{Ends, wait_until};

/// A table that came to be while nobody followed has to wait for a transaction that runs at the source. The others are followed meanwhile, and what
/// becomes of the task in that time does not matter.
#[test]
fn tables_that_are_followed_wait_for_none_that_is_not_loaded() {
    // The transaction would be waited for by every other test on the server.
    let source = Server::private(Engine::Postgres15).unwrap();
    let target = Server::get(Engine::Postgres18).unwrap();
    let ends = Ends::on(&source, &target, "joining");
    ends.source
        .sql("create table a (id int primary key); insert into a values (1)")
        .unwrap();
    let options = ["--follow", "--json"];
    let again = ["--follow", "--json", "--resume"];
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    following.interrupt();
    ends.source
        .sql("create table b (id int primary key); insert into b values (1)")
        .unwrap();
    ends.source
        .sql("begin; insert into b values (2); prepare transaction 'open'")
        .unwrap();

    let mut following = Following::start(&ends, &again);
    ends.source.sql("insert into a values (2)").unwrap();
    following.wait_until("the other table goes on", |_| ends.arrived("a") == 2);
    following.kill();
    let mut following = Following::start(&ends, &again);
    ends.source.sql("insert into a values (3)").unwrap();
    following.wait_until("the other table goes on", |_| ends.arrived("a") == 3);
    assert_eq!(ends.arrived("b"), 0);

    ends.source.sql("commit prepared 'open'").unwrap();
    following.wait_until("the table is loaded", |_| ends.arrived("b") == 2);
    ends.source.sql("insert into b values (3)").unwrap();
    following.wait_until("the table is followed", |_| ends.arrived("b") == 3);
    following.check_nothing_left_out();
    following.interrupt();
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    ends.run_well("validate", &[]);
    ends.run_well("forget", &[]);
}

fn publication(ends: &Ends) -> String {
    let name = ends.source.sql("select pubname from pg_publication");
    name.unwrap().trim().to_owned()
}

/// What somebody does to the publication, and what is to follow while the table is not told.
fn meddle(ends: &Ends, what: &str, behind: &str) {
    let sql = what.replace("$p", &publication(ends));
    ends.source.sql(&format!("{sql}; {behind}")).unwrap();
}

const MEDDLED: [&str; 3] = [
    "alter publication $p drop table a",
    "alter publication $p set table a where (id < 0), b",
    "alter publication $p set (publish = 'delete')",
];

fn followed(options: &[&str]) -> (Ends, Following) {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "unpublished");
    ends.source
        .sql(
            "create table a (id int primary key); insert into a values (1);
             create table b (id int primary key)",
        )
        .unwrap();
    let mut following = Following::start(&ends, options);
    following.wait_until_caught_up();
    (ends, following)
}

/// Nothing in the log says that changes are missing in it.
#[test]
fn a_table_that_somebody_takes_out_of_the_publication_is_loaded_again() {
    let (ends, mut following) = followed(&["--follow", "--json"]);
    for (id, what) in (2..).zip(MEDDLED) {
        let change = format!("insert into a values ({id}); insert into b values ({id})");
        meddle(&ends, what, &change);
        following.wait_until("the row is there", |_| ends.arrived("a") == id);
        following.wait_until("that of the other is there", |_| {
            ends.arrived("b") == id - 1
        });
    }
    following.check_nothing_left_out();
    following.interrupt();
    let back = "alter publication $p add table a";
    let out = MEDDLED[0];
    for (id, what) in [
        (5, out.to_owned()),
        (6, format!("{out}; insert into a values (60); {back}")),
    ] {
        meddle(&ends, &what, &format!("insert into b values ({id})"));
        ends.source
            .sql(&format!("insert into a values ({id})"))
            .unwrap();
        ends.run_well("migrate", &["--until-caught-up", "--resume"]);
        ends.run_well("validate", &[]);
    }
    ends.run_well("forget", &[]);
}

/// A load that finds the publication altered puts it right, and with that goes what the tables that are followed lack.
#[test]
fn what_a_load_puts_right_in_the_publication_is_read_again_for_all_tables() {
    let (ends, mut following) = followed(&["--follow", "--json"]);
    let lost =
        "insert into a values (2); create table c (id int primary key); insert into c values (1)";
    meddle(&ends, MEDDLED[2], lost);
    following.wait_until("the new table is there", |_| ends.arrived("c") == 1);
    following.wait_until("the row is there", |_| ends.arrived("a") == 2);
    following.kill();
    let lost =
        "insert into a values (3); create table d (id int primary key); insert into d values (1)";
    meddle(&ends, MEDDLED[2], lost);
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    ends.run_well("validate", &[]);
    // Somebody else puts it right.
    let all = "alter publication $p set (publish = 'insert, update, delete, truncate')";
    meddle(&ends, MEDDLED[2], "insert into a values (4)");
    meddle(&ends, all, "insert into b values (1)");
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    ends.run_well("validate", &[]);
    ends.run_well("forget", &[]);
}

/// It came to be while nobody followed, and loaded it would be without its changes.
#[test]
fn a_table_whose_rows_cannot_be_told_apart_is_not_loaded_by_a_resume() {
    let (ends, mut following) = followed(&["--follow", "--json"]);
    following.interrupt();
    ends.source
        .sql("create table bad (n int); insert into bad values (1); insert into a values (2)")
        .unwrap();
    for id in 2..4 {
        let options = ["--until-caught-up", "--resume", "--json"];
        let said = ends.run("migrate", &options);
        assert!(said.out.contains("REPLICA IDENTITY FULL"), "{said:?}");
        let is_loaded = r#""table":"public.bad","state":"completed""#;
        assert!(!said.out.contains(is_loaded), "{said:?}");
        assert_eq!(ends.arrived("a"), id, "{said:?}");
        let is_there = ends.target.sql("select to_regclass('bad') is not null");
        assert_eq!(is_there.unwrap(), "f\n", "{said:?}");
        let next = format!("insert into a values ({})", id + 1);
        ends.source.sql(&next).unwrap();
    }
    ends.run_well("forget", &[]);
}

#[test]
fn a_table_that_cannot_be_loaded_again_by_itself_is_in_error_with_the_remedy() {
    let options = ["--follow", "--json", "--prepare", "truncate"];
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "unpublished");
    let tables = "create table a (id int primary key); create table b (id int primary key)";
    ends.source.sql(tables).unwrap();
    ends.target.sql(tables).unwrap();
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    following.interrupt();
    meddle(&ends, MEDDLED[0], "insert into a values (1)");
    let mut following = Following::start(&ends, &[&options[..], &["--resume"]].concat());
    ends.source.sql("insert into b values (1)").unwrap();
    following.wait_until("the other goes on", |_| ends.arrived("b") == 1);
    following.wait_until("the table is in error", |it| {
        let is_it = |event: &serde_json::Value| {
            let message = event["message"].as_str().unwrap_or_default();
            event["table"] == "public.a"
                && event["state"] == "error"
                && message.contains("publication")
                && message.contains("load the table again")
        };
        it.events().iter().any(is_it)
    });
    following.interrupt();
    ends.run_well("forget", &[]);
    wait_until(|| {
        ends.source
            .sql("select pubname from pg_publication")
            .unwrap()
            .is_empty()
    });
}
