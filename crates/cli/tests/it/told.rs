//! What a run tells: each thing once, and nothing that is not so.

use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::{run, run_well};

fn database(engine: Engine, hint: &str) -> TestDatabase {
    let server = Server::get(engine).unwrap();
    server.database(hint).unwrap()
}

const COME_BACK: &str = "put aside at the target come back";

#[test]
fn an_enum_with_the_empty_label_is_named_as_such_and_nothing_is_said_to_be_put_aside() {
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let (source, target) = (database(engine, "told_s"), database(engine, "told_t"));
        source
            .sql("create table t (id int primary key, e enum('a','b')); set sql_mode = ''; insert into t values (1, 'a'), (2, 'nonsense')")
            .unwrap();
        let said = run(&[
            "migrate",
            &source.url(),
            &target.url(),
            "--prepare",
            "drop-and-create",
        ]);
        assert_eq!(said.exit_code, Some(1), "{said:?}");
        assert!(
            said.out
                .contains("key (2), column e: the target cannot hold this text: it is empty"),
            "{said:?}"
        );
        assert!(
            said.out.contains("(index 0)") && said.out.contains("at the source"),
            "{said:?}"
        );
        assert!(!said.err.contains(COME_BACK), "{said:?}");
    }
}

#[test]
fn what_was_put_aside_is_told_where_tables_are_in_error() {
    let (source, target) = (
        database(Engine::Postgres15, "told_s"),
        database(Engine::Postgres15, "told_t"),
    );
    let tables = "create table parent (id int primary key); create table child (id int primary key, note varchar(40), parent int references parent)";
    source
        .sql(&format!("{tables}; insert into child values (1, 'long')"))
        .unwrap();
    target.sql(&tables.replace("40", "2")).unwrap();
    let ends = [source.url(), target.url()];
    let words = ["migrate", &ends[0], &ends[1], "--prepare", "truncate"];
    let said = run(&words);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert!(said.err.contains(COME_BACK), "{said:?}");
    // The table as good as gone, nothing stays away.
    let keys = "select count(*) from pg_constraint where contype = 'f'";
    assert_eq!(target.sql(keys).unwrap(), "0\n");
    run_well(&["forget", &ends[0], &ends[1]]);
    assert_eq!(target.sql(keys).unwrap(), "1\n");
}

#[test]
fn an_object_that_is_not_made_is_told_once() {
    let (source, target) = (
        database(Engine::Mariadb1011, "told_s"),
        database(Engine::Postgres15, "told_t"),
    );
    source
        .sql("create table t (id int primary key); create view seen as select id from t; create trigger acts before insert on t for each row set new.id = 1")
        .unwrap();
    for progress in ["lines", "off"] {
        let words = [
            "migrate",
            &source.url(),
            &target.url(),
            "--prepare",
            "drop-and-create",
            "--progress",
            progress,
        ];
        let said = run_well(&words);
        let told = |text: &str| text.matches("acts").count();
        assert!(said.out.contains("not made: trigger"), "{said:?}");
        assert_eq!(told(&said.err), 0, "{said:?}");
        // Who wants the log has it.
        let said = run_well(&[&words[..], &["--log-level", "warn"]].concat());
        assert!(said.err.contains("the object is not made"), "{said:?}");
    }
}

#[test]
fn a_level_of_the_log_that_is_none_is_refused() {
    let said = run(&[
        "check",
        "postgres://a@localhost/b",
        "--log-level",
        "nonsense",
    ]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
    assert!(
        said.err
            .contains("--log-level nonsense is not understood: nonsense is no level")
            && said
                .err
                .contains("use off, error, warn, info, debug or trace"),
        "{said:?}"
    );
}

#[test]
fn types_of_tables_that_are_not_migrated_are_not_listed() {
    let (source, target) = (
        database(Engine::Postgres15, "told_s"),
        database(Engine::Postgres15, "told_t"),
    );
    source
        .sql(
            "create type of_others as enum ('a'); create domain domain_of_others as int check (value > 0);
             create type used_by_nobody as enum ('a'); create type of_a_routine as enum ('a'); create type part as enum ('a');
             create type whole as (p part); create function f(of_a_routine) returns int language sql as 'select 1';
             create table mine (id int primary key, w whole);
             create table others (id int primary key, o of_others default 'a', d domain_of_others, many of_others[], r of_a_routine, p part,
               check (o > 'a'::of_others or d = 1::domain_of_others))",
        )
        .unwrap();
    let ends = [source.url(), target.url()];
    let words = ["migrate", &ends[0], &ends[1], "--tables", "public.mine"];
    let listed = run_well(&[&words[..], &["--objects", "tables"]].concat());
    let lists = |name: &str| listed.out.contains(&format!(" public.{name}: "));
    assert!(!listed.out.contains("of_others"), "{listed:?}");
    assert!(
        lists("used_by_nobody") && lists("of_a_routine"),
        "{listed:?}"
    );
    // Nor are they made.
    let said = run_well(&words);
    for (name, is_there) in [
        ("of_others", "f"),
        ("domain_of_others", "f"),
        ("used_by_nobody", "t"),
        ("of_a_routine", "t"),
        ("part", "t"),
    ] {
        let found = target.sql(&format!("select to_regtype('{name}') is not null"));
        assert_eq!(found.unwrap(), format!("{is_there}\n"), "{name}: {said:?}");
    }
}
