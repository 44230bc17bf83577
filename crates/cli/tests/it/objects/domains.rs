//! What columns have by their domains: made with them, whatever they rest on, and by the columns themselves on engines that have none.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

/// Domains rest on functions, and functions on domains.
#[test]
fn domains_rest_on_functions_and_functions_on_domains() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "domains");
    ends.source
        .sql(
            "create function is_email(v text) returns bool immutable language sql as 'select v ~ ''@''';
             create domain email as text check (public.is_email(value)); create function domain_of(v email) returns text immutable language sql as 'select split_part(v, ''@'', 2)';
             create domain at_example as email check (public.domain_of(value) = 'example.org');
             create schema own; create type own.mood as enum ('sad', 'ok'); create domain own.feeling as own.mood default 'ok';
             create table t (id int primary key, a email, b at_example, c own.feeling); insert into t values (1, 'a@b.c', 'a@example.org', 'sad')",
        )
        .unwrap();
    ends.run_well("migrate", &[]);
    assert_eq!(ends.arrived("t"), 1);
    ends.target.sql("insert into t (id) values (2)").unwrap();
    let felt = ends.target.sql("select c from t where id = 2").unwrap();
    assert_eq!(felt, "ok\n");
    for refused in ["a) values (3, 'x')", "b) values (3, 'a@b.c')"] {
        let insert = format!("insert into t (id, {refused}");
        assert!(ends.source.sql(&insert).is_err(), "{insert}");
        assert!(ends.target.sql(&insert).is_err(), "{insert}");
    }
}

/// Without its function, which is not wanted, a domain cannot be made: its table says so, and the others are loaded.
#[test]
fn a_domain_that_cannot_be_made_leaves_only_its_tables_out() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "domain_refused");
    ends.source
        .sql(
            "create function is_email(v text) returns bool immutable language sql as 'select v ~ ''@'''; create domain email as text check (public.is_email(value));
             create table t (id int primary key, a email); create table other (id int primary key); insert into t values (1, 'a@b.c'); insert into other values (1), (2)",
        )
        .unwrap();
    let said = ends.run("migrate", &["--objects", "tables"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let arrived = (ends.arrived("t"), ends.arrived("other"));
    assert_eq!(arrived, (0, 2), "{said:?}");
    for words in [
        "domain public.email",
        "is_email(text) does not exist",
        "type \"public.email\" does not exist",
    ] {
        assert!(said.out.contains(words), "{words} is not in\n{}", said.out);
    }
    let again = ends.run_well("migrate", &["--resume"]);
    assert_eq!(ends.arrived("t"), 1, "{again:?}");
    assert!(!again.out.contains("domain public.email"), "{again:?}");
}

fn columns_have_what_their_domains_say(target: Engine) {
    let ends = Ends::between(Engine::Postgres15, target, "domains_across");
    ends.source
        .sql(
            "create domain counted as int constraint not_below check (value >= 0);
             create domain few as counted default 7 not null constraint \"few's\" check (value < 10 and value <> 5);
             create domain word as text constraint plain check (value ~ '^[a-z]+$'); create domain stamp as text default lower('X');
             create table t (id int primary key, n few, m few default 3, w word, s stamp, o counted not null default 1); insert into t (id) values (1)",
        )
        .unwrap();
    let said = ends.run_well("migrate", &[]);
    for name in ["check public.t.w_plain", "default public.t.s"] {
        let line = format!("not made: {name}: ");
        assert!(said.out.contains(&line), "{line} is not in\n{}", said.out);
    }
    for (row, is_taken) in [
        ("(id) values (2)", true),
        ("(id, n) values (3, null)", false),
        ("(id, n) values (4, 10)", false),
        ("(id, n) values (5, 5)", false),
        ("(id, n) values (6, -1)", false),
        ("(id, o) values (7, -1)", false),
        ("(id, o) values (8, 100)", true),
    ] {
        let insert = format!("insert into t {row}");
        assert_eq!(ends.source.sql(&insert).is_ok(), is_taken, "{row}");
        assert_eq!(ends.target.sql(&insert).is_ok(), is_taken, "{row}");
    }
    let given = ends.target.sql("select n, m, o from t where id = 2");
    assert_eq!(given.unwrap(), "7\t3\t1\n");
}

#[test]
fn columns_have_what_their_domains_say_in_mysql() {
    columns_have_what_their_domains_say(Engine::Mysql97);
}

#[test]
fn columns_have_what_their_domains_say_in_mariadb() {
    columns_have_what_their_domains_say(Engine::Mariadb1011);
}
