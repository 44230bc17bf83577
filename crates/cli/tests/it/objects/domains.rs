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
