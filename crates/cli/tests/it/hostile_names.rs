//! Names and keys that would do something to a terminal or a script if they got there as they are.

use whimbrel_testkit::{Engine, Server, TestDatabase};

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
