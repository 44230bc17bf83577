//! `whimbrel assess`: each check finds what it is for, and is quiet where nothing is wrong.

mod page;
mod rights;
mod settings;
mod values;

use serde_json::Value;
use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::{Said, run};

fn database(engine: Engine) -> TestDatabase {
    Server::get(engine).unwrap().database("assess").unwrap()
}

/// What the assessment of a migration found, and its exit code.
struct Assessed {
    said: Said,
}

impl Assessed {
    fn of(source: &str, target: &str, options: &[&str]) -> Self {
        let said = run(&[&["assess", source, target, "--json"], options].concat());
        assert!(matches!(said.exit_code, Some(0 | 1)), "{said:?}");
        for secret in ["whimbrel-test-password", "a-secret"] {
            assert!(!said.out.contains(secret), "{said:?}");
        }
        Self { said }
    }

    fn check(&self, name: &str) -> Value {
        let events = self.said.events();
        let check = events.into_iter().find(|event| event["name"] == name);
        check.unwrap_or_else(|| panic!("check {name} was not made: {:?}", self.said))
    }

    /// That the check was made and found something, in these words, with a remedy.
    fn finds(&self, name: &str, result: &str, words: &[&str]) {
        let check = self.check(name);
        assert_eq!(check["result"], result, "{check}");
        let text = check.to_string();
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        for finding in check["findings"].as_array().unwrap() {
            assert!(!finding["help"].as_str().unwrap().is_empty(), "{check}");
        }
    }

    /// That the checks were made and found nothing.
    fn is_quiet(&self, names: &[&str]) {
        for name in names {
            let check = self.check(name);
            assert_eq!(check["result"], "passed", "{check}");
        }
    }
}

const OF_TABLES: [&str; 6] = [
    "all-check-source-selection-rules",
    "table-not-migratable",
    "source-tables-outside-snapshot",
    "table-with-no-primary-key-or-unique-constraint",
    "table-with-lob-but-without-primary-key-or-unique-constraint",
    "unsupported-objects",
];

const PLAIN: &str = "create table plain (id int primary key, note varchar(40));";

#[test]
fn plain_tables_pass_between_all_engines() {
    for (from, to) in [
        (Engine::Postgres15, Engine::Mariadb1011),
        (Engine::Postgres18, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres18),
        (Engine::Mysql97, Engine::Postgres15),
    ] {
        let (source, target) = (database(from), database(to));
        source.sql(PLAIN).unwrap();
        let assessed = Assessed::of(&source.url(), &target.url(), &["--follow"]);
        assert_eq!(assessed.said.exit_code, Some(0), "{:?}", assessed.said);
        assessed.is_quiet(&OF_TABLES);
    }
}

#[test]
fn columns_that_are_invisible_are_told() {
    for engine in [Engine::Mysql97, Engine::Mariadb1011] {
        let (source, target) = (database(engine), database(engine));
        source
            .sql("create table t (id int primary key, seen int, hidden int invisible default 3)")
            .unwrap();
        let assessed = Assessed::of(&source.url(), &target.url(), &[]);
        let told = ["column hidden: it is INVISIBLE at the source"];
        assessed.finds("types-changed", "note", &told);
        assert!(!assessed.said.out.contains("column seen:"));
        let said = run(&["migrate", "--json", &source.url(), &target.url()]);
        assert_eq!(said.exit_code, Some(0), "{said:?}");
        assert!(said.out.contains(told[0]), "{said:?}");
    }
}

#[test]
fn tables_of_postgres_that_a_mariadb_takes_in_part_are_told() {
    let (source, target) = (database(Engine::Postgres15), database(Engine::Mariadb1011));
    source
        .sql(
            "create table no_key (a int); create table no_key_large (a text);
             create table typed (id int primary key, n numeric, at timestamptz);
             create index part on typed (n) where id > 3;",
        )
        .unwrap();
    let ends = (source.url(), target.url());
    let assessed = Assessed::of(&ends.0, &ends.1, &[]);
    assessed.finds(OF_TABLES[3], "warning", &["public.no_key\""]);
    assessed.finds(OF_TABLES[4], "warning", &["public.no_key_large"]);
    assessed.finds("types-changed", "note", &["public.typed"]);
    assessed.finds("unsupported-objects", "warning", &["part"]);
    // Warnings do not fail, and what is of changes alone was not asked.
    assert_eq!(assessed.said.exit_code, Some(0));
    assert!(!assessed.said.out.contains("postgres-check-wallevel"));
    let text = run(&["assess", &ends.0, &ends.1]).out;
    assert!(text.contains("warning: unsupported-objects\n  "), "{text}");
    assert!(text.contains("\n    help: "), "{text}");
    assert!(text.contains(" 0 failed, "), "{text}");
    // Nothing was written.
    assert_eq!(target.sql("show tables").unwrap(), "");
}

#[test]
fn tables_of_mariadb_that_cannot_be_followed_are_told() {
    let (source, target) = (database(Engine::Mariadb1011), database(Engine::Postgres15));
    source
        .sql(
            "create table parent (id int primary key) engine = InnoDB;
             create table child (id int primary key, p int, foreign key (p) references parent (id) on delete cascade) engine = InnoDB;
             create table loose (id int primary key) engine = MyISAM;
             create table versioned (id int primary key) with system versioning;",
        )
        .unwrap();
    let assessed = Assessed::of(&source.url(), &target.url(), &["--follow"]);
    assessed.finds("mysql-check-cascade-constraints", "failure", &["child"]);
    assessed.finds("mysql-check-binlog-holds-table", "failure", &["versioned"]);
    assessed.finds(OF_TABLES[2], "warning", &["loose"]);
    assessed.finds("table-not-migratable", "failure", &["loose"]);
    assert_eq!(assessed.said.exit_code, Some(1));
    // A load alone has none of these faults but that nobody may write into the table of MyISAM.
    let assessed = Assessed::of(&source.url(), &target.url(), &[]);
    assert_eq!(assessed.said.exit_code, Some(0), "{:?}", assessed.said);
}

#[test]
fn rules_that_select_nothing_fail_and_a_wrong_address_is_no_finding() {
    let (source, target) = (database(Engine::Mysql97), database(Engine::Postgres15));
    source.sql(PLAIN).unwrap();
    let assessed = Assessed::of(&source.url(), &target.url(), &["--tables", "no.such"]);
    assessed.finds(OF_TABLES[0], "failure", &["no table of the source matches"]);
    assert_eq!(assessed.said.exit_code, Some(1));
    let said = run(&["assess", "mysql://me@127.0.0.1:1/x", &target.url()]);
    assert_eq!(said.exit_code, Some(3), "{said:?}");
    let said = run(&["assess", &source.url()]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
}
