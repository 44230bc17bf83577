//! Tables that are loaded while others are followed.

use whimbrel_testkit::{Engine, Server};

use super::process::Following;
use crate::ends::Ends;

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
