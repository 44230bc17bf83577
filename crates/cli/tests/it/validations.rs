use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::{run, run_well};

#[test]
fn planted_differences_are_named_by_key() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let source = server.database("cli_source").unwrap();
    let target = server.database("cli_target").unwrap();
    source
        .sql("create table t (id int primary key, a text, b int); insert into t select i, 'x' || i, i from generate_series(1, 1000) i;
              create table same (id int primary key); insert into same values (1)")
        .unwrap();
    let ends = ["validate", &source.url(), &target.url()];
    run_well(&["migrate", ends[1], ends[2]]);
    run_well(&ends);
    target
        .sql("delete from t where id = 7; update t set a = null where id = 500; insert into t values (2000, 'y', 1)")
        .unwrap();
    let said = run(&ends);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    for words in [
        "equal      public.same: 1 rows",
        "different  public.t: 1,000 rows at the source, 1,000 at the target",
        "(7): missing at the target",
        "(500): other a",
        "(2000): only at the target",
        "1 equal, 1 different",
    ] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    let said = run(&[&ends[..], &["--json", "--differences", "1"]].concat());
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let events = said.events();
    let different = events
        .iter()
        .find(|event| event["verdict"] == "different")
        .unwrap();
    assert_eq!(different["differences"].as_array().unwrap().len(), 1);
    assert_eq!(different["has_more"], true);
    assert_eq!(said.event("finished")["exit_code"], 1);
}

#[test]
fn a_table_that_the_target_lacks_is_no_success() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let source = server.database("cli_source").unwrap();
    let target = server.database("cli_target").unwrap();
    source.sql("create table t (id int)").unwrap();
    let said = run(&["validate", &source.url(), &target.url()]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert!(
        said.out
            .contains("error      public.t: the target has no such table"),
        "{said:?}"
    );
}

/// Three tables at two ends, of which the second cannot be read as soon as `spoil` has been at work at either end.
fn others_are_compared(engine: Engine, spoil: &str, words: &str) {
    let server = Server::get(engine).unwrap();
    let source = server.database("cli_source").unwrap();
    let target = server.database("cli_target").unwrap();
    for end in [&source, &target] {
        end.sql("create table a (id int primary key); create table b (id int primary key); create table c (id int primary key);
                 insert into a values (1); insert into b values (1); insert into c values (1)")
            .unwrap();
    }
    target.sql("insert into c values (2)").unwrap();
    for (end, name) in [(&source, "source"), (&target, "target")] {
        end.sql(&spoil.replace("DATABASE", end.name())).unwrap();
        let user = if engine.is_postgres() { end.name() } else { "" };
        let url = |of: &TestDatabase| {
            if of.name() == user {
                of.url_as(user, "pw")
            } else {
                of.url()
            }
        };
        let said = run(&["validate", &url(&source), &url(&target)]);
        assert_eq!(said.exit_code, Some(1), "{said:?}");
        for words in [
            "equal      ",
            "different  ",
            "(2): only at the target",
            &format!(".b: at the {name}: "),
            words,
            "1 equal, 1 different, 1 not comparable",
        ] {
            assert!(said.out.contains(words), "{words}: {said:?}");
        }
        if engine.is_postgres() {
            end.sql(&format!("drop owned by {user}; drop role {user}"))
                .unwrap();
        } else {
            end.sql("drop table b; create table b (id int primary key); insert into b values (1)")
                .unwrap();
        }
    }
}

#[test]
fn a_table_that_may_not_be_read_does_not_hide_the_others() {
    let spoil = "create role DATABASE login password 'pw'; grant select on a, c to DATABASE";
    others_are_compared(Engine::Postgres15, spoil, "permission denied");
}

#[test]
fn a_table_that_has_lost_its_rows_does_not_hide_the_others() {
    let spoil = "alter table b discard tablespace";
    others_are_compared(Engine::Mariadb1011, spoil, "cannot read rows");
    others_are_compared(Engine::Mysql97, spoil, "cannot read rows");
}
