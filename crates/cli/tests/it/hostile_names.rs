//! Names and keys that would do something to a terminal or a script if they got there as they are.

use whimbrel_testkit::{Engine, Server, ServerOptions, TestDatabase};

use crate::{run, run_well};

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

const KEYS: &str = "
    create table \"bad\x1b[31mname\nline2\" (id text primary key, note varchar(40));
    insert into \"bad\x1b[31mname\nline2\" values (E'a\\x1b[31mRED\\nline2', 'too long');
    create table long (id text primary key, note varchar(40));
    insert into long values (repeat('x', 150000), 'too long');
";

#[test]
fn keys_and_names_reach_a_terminal_visible_and_cut() {
    let (source, target) = (database("hostile_s"), database("hostile_t"));
    source.sql(KEYS).unwrap();
    target
        .sql(
            &KEYS
                .replace("varchar(40)", "varchar(2)")
                .replace("'too long'", "''"),
        )
        .unwrap();
    let ends = [source.url(), target.url()];
    let migrate = |options: &[&str]| {
        let words = ["migrate", &ends[0], &ends[1], "--prepare", "truncate"];
        run(&[&words, options].concat())
    };
    let compared = run(&["validate", &ends[0], &ends[1]]);
    let migrated = migrate(&[]);
    for said in [&compared, &migrated] {
        assert_eq!(said.exit_code, Some(1), "{said:?}");
        for text in [&said.out, &said.err] {
            assert!(!text.contains('\x1b'), "{said:?}");
            assert!(text.len() < 10_000, "{} bytes", text.len());
        }
        assert!(said.out.contains("bad\\u{1b}[31mname\\nline2"), "{said:?}");
        assert!(said.out.contains("(a\\u{1b}[31mRED\\nline2)"), "{said:?}");
        assert!(
            said.out.contains("x… and 149802 more characters"),
            "{said:?}"
        );
    }
    // Programs are told exactly.
    let compared = run(&["validate", &ends[0], &ends[1], "--json"]);
    let keys: Vec<String> = compared
        .events()
        .iter()
        .filter(|event| event["event"] == "table")
        .flat_map(|event| event["differences"].as_array().unwrap().clone())
        .map(|difference| difference["key"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        keys.contains(&"(a\x1b[31mRED\nline2)".to_owned()),
        "{keys:?}"
    );
    assert!(keys.contains(&format!("({})", "x".repeat(150_000))));
    assert!(compared.out.contains("public.bad\\u001b[31mname\\nline2"));
}

#[test]
fn tables_whose_names_differ_in_case_alone_replace_each_other_nowhere() {
    let source = database("case_s");
    source
        .sql(
            "create schema shop; create table shop.\"Orders\" (id int primary key); insert into shop.\"Orders\" values (1);
             create table shop.orders (id int primary key); insert into shop.orders values (2), (3)",
        )
        .unwrap();
    for folds in ["0", "1"] {
        let options = ServerOptions {
            settings: vec![("lower-case-table-names".to_owned(), folds.to_owned())],
            ..ServerOptions::default()
        };
        let server = Server::private_with(Engine::Mariadb1011, options).unwrap();
        // To this server it is the source's own, or another.
        server.sql("create database `Shop`").unwrap();
        let url = server.url();
        let (server_url, _) = url.rsplit_once('/').unwrap();
        let words = ["migrate", &source.url(), server_url, "--tables", "shop.%"];
        if folds == "1" {
            let said = run(&words);
            assert_eq!(said.exit_code, Some(1), "{said:?}");
            assert!(said.err.contains("differ in case alone"), "{said:?}");
            continue;
        }
        run_well(&words);
        let rows = |table: &str| server.sql(&format!("select count(*) from shop.{table}"));
        assert_eq!(
            (rows("`Orders`").unwrap(), rows("orders").unwrap()),
            ("1\n".to_owned(), "2\n".to_owned())
        );
    }
}

/// An option names one schema; a pattern of the same letters would take others with it.
#[test]
fn a_schema_is_renamed_by_exactly_its_name() {
    let (source, target) = (database("exact_s"), database("exact_t"));
    source
        .sql("create schema db_1; create schema db01; create table db_1.a (id int primary key); create table db01.b (id int primary key)")
        .unwrap();
    run_well(&[
        "migrate",
        &source.url(),
        &target.url(),
        "--rename-schema",
        "db_1=new",
    ]);
    let made =
        "select schemaname, tablename from pg_tables where tablename in ('a', 'b') order by 2";
    assert_eq!(target.sql(made).unwrap(), "new\ta\ndb01\tb\n");
}
