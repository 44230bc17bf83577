//! Names and keys that would do something to a terminal or a script if they got there as they are.

use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::run_well;

fn database(hint: &str) -> TestDatabase {
    let server = Server::get(Engine::Postgres15).unwrap();
    server.database(hint).unwrap()
}

#[test]
fn the_script_of_a_dry_run_runs_nothing_that_a_name_says() {
    let (source, target) = (database("hostile_s"), database("hostile_t"));
    for end in ["\r", "\n", "\r\n", "\u{2028}"] {
        source
            .sql(&format!(
                "create table \"zz{end}drop table victim; --\" (id int primary key, \"c{end}drop table victim; --\" interval);
                 create index \"i{end}drop table victim; --\" on \"zz{end}drop table victim; --\" (\"c{end}drop table victim; --\");"
            ))
            .unwrap();
    }
    target.sql("create table victim (id int)").unwrap();
    let said = run_well(&["migrate", &source.url(), &target.url(), "--dry-run"]);
    target.sql(&said.out).unwrap();
    let made = "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relname like E'zz_%drop table victim; --'";
    assert_eq!(target.sql(made).unwrap(), "4\n", "{said:?}");
    assert_eq!(target.sql("select count(*) from victim").unwrap(), "0\n");
}
