use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::{run, run_well};

const TABLES: &str = "
    create table orders (id int primary key, note varchar(40), price decimal(12,3));
    insert into orders values (1, 'first', 1.500), (2, null, -0.001), (3, '', 123456789.125);
    create table log (line varchar(40));
    insert into log values ('a'), ('a'), (null);
";

fn database(engine: Engine, hint: &str) -> TestDatabase {
    Server::get(engine).unwrap().database(hint).unwrap()
}

fn source(engine: Engine) -> TestDatabase {
    let database = database(engine, "cli_source");
    database.sql(TABLES).unwrap();
    database
}

/// Migrates and validates; answers the rows that the target then has in `orders`.
fn there_and_compared(source: &TestDatabase, target: &TestDatabase, options: &[&str]) {
    let (from, to) = (source.url(), target.url());
    let said = run_well(&[&["migrate", &from, &to], options].concat());
    assert!(
        said.out.contains("orders") && said.out.contains("done"),
        "{said:?}"
    );
    assert!(said.err.contains("orders: done, 3 rows"), "{said:?}");
    let said = run_well(&[&["validate", &from, &to], options].concat());
    assert!(
        said.out.contains("2 tables compared: 2 equal; 6 rows"),
        "{said:?}"
    );
}

#[test]
fn postgres_to_postgres_keeps_schemas() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Postgres15, "cli_t"),
    );
    there_and_compared(&source, &target, &[]);
    let rows = target
        .sql("select * from public.orders order by id")
        .unwrap();
    assert_eq!(
        rows,
        "1\tfirst\t1.500\n2\tNULL\t-0.001\n3\t\t123456789.125\n"
    );
}

#[test]
fn mariadb_to_postgres_makes_a_schema_of_the_database() {
    let (source, target) = (
        source(Engine::Mariadb1011),
        database(Engine::Postgres15, "cli_t"),
    );
    there_and_compared(&source, &target, &[]);
    let count = format!("select count(*) from {}.orders", source.name());
    assert_eq!(target.sql(&count).unwrap(), "3\n");
    let rename = format!("{}=public", source.name());
    there_and_compared(&source, &target, &["--rename-schema", &rename]);
    assert_eq!(
        target.sql("select count(*) from public.log").unwrap(),
        "3\n"
    );
}

#[test]
fn postgres_to_mariadb_fills_the_database_of_the_url() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Mariadb1011, "cli_t"),
    );
    there_and_compared(&source, &target, &[]);
    let rows = target.sql("select * from orders order by id").unwrap();
    assert_eq!(
        rows,
        "1\tfirst\t1.500\n2\tNULL\t-0.001\n3\t\t123456789.125\n"
    );
}

#[test]
fn events_tell_every_table_and_the_end() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Postgres15, "cli_t"),
    );
    let said = run_well(&[
        "migrate",
        &source.url(),
        &target.url(),
        "--json",
        "--exclude",
        "%.log",
    ]);
    assert_eq!(said.err, "");
    let start = said.event("start");
    assert_eq!(start["tables"][0]["table"], "public.orders");
    assert!(start["task"].as_str().unwrap().starts_with("whimbrel-"));
    let events = said.events();
    let completed = events
        .iter()
        .find(|event| event["event"] == "table" && event["state"] == "completed")
        .unwrap();
    assert_eq!(
        (&completed["table"], &completed["rows"]),
        (&"public.orders".into(), &3.into())
    );
    let finished = events.last().unwrap();
    assert_eq!(finished["event"], "finished");
    assert_eq!(
        (&finished["outcome"], &finished["exit_code"]),
        (&"complete".into(), &0.into())
    );
    assert!(!said.out.contains("whimbrel-test-password"), "{said:?}");
}

#[test]
fn a_dry_run_prints_a_script_and_changes_nothing() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Postgres15, "cli_t"),
    );
    let said = run_well(&["migrate", &source.url(), &target.url(), "--dry-run"]);
    assert!(said.out.contains("-- public.orders"), "{said:?}");
    assert!(!said.out.contains("whimbrel-test-password"), "{said:?}");
    let tables = "select count(*) from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema')";
    assert_eq!(target.sql(tables).unwrap(), "0\n");
    target.sql(&said.out).unwrap();
    assert_eq!(target.sql(tables).unwrap(), "2\n");
    let said = run_well(&[
        "migrate",
        &source.url(),
        &target.url(),
        "--dry-run",
        "--json",
    ]);
    assert_eq!(said.event("plan")["tables"].as_array().unwrap().len(), 2);
}

#[test]
fn a_table_in_error_leaves_the_others_and_exits_with_1() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Postgres15, "cli_t"),
    );
    target
        .sql("create table orders (id int primary key, note varchar(2), price decimal(12,3))")
        .unwrap();
    let ends = [
        "migrate",
        &source.url(),
        &target.url(),
        "--prepare",
        "truncate",
    ];
    let said = run(&ends);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert!(said.out.contains("error: public.orders: "), "{said:?}");
    assert!(
        said.err
            .contains("error: 1 table could not be migrated\n  help: "),
        "{said:?}"
    );
    assert_eq!(target.sql("select count(*) from log").unwrap(), "3\n");
    // The cause mended, a resume loads that table alone.
    target
        .sql("alter table orders alter note type varchar(40); insert into log values ('kept')")
        .unwrap();
    run_well(&[&ends[..], &["--resume"]].concat());
    assert_eq!(target.sql("select count(*) from orders").unwrap(), "3\n");
    assert_eq!(target.sql("select count(*) from log").unwrap(), "4\n");
}

#[test]
fn a_migration_of_which_no_table_could_be_made_is_resumed() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Postgres15, "cli_t"),
    );
    // A view of that name cannot be emptied.
    target
        .sql("create view orders as select 1 as id; create view log as select 1 as id")
        .unwrap();
    let ends = [
        "migrate",
        &source.url(),
        &target.url(),
        "--prepare",
        "truncate",
    ];
    let said = run(&ends);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert!(
        said.err.contains("error: 2 tables could not be migrated"),
        "{said:?}"
    );
    target.sql("drop view orders; drop view log").unwrap();
    run_well(&[&ends[..], &["--resume"]].concat());
    assert_eq!(target.sql("select count(*) from orders").unwrap(), "3\n");
    assert_eq!(target.sql("select count(*) from log").unwrap(), "3\n");
}

#[test]
fn a_database_is_not_written_into_while_it_is_read_whatever_it_is_called() {
    for engine in [Engine::Postgres15, Engine::Mariadb1011, Engine::Mysql97] {
        let source = source(engine);
        let url = source.url();
        let other_name = url.replace("127.0.0.1", "[::ffff:127.0.0.1]");
        let said = run(&["migrate", &url, &other_name]);
        assert_eq!(said.exit_code, Some(2), "{said:?}");
        assert!(said.err.contains("read and written at once"), "{said:?}");
        assert_eq!(source.sql("select count(*) from orders").unwrap(), "3\n");
    }
}

#[test]
fn arguments_that_cannot_be_meant_exit_with_2() {
    let source = source(Engine::Postgres15);
    let url = source.url();
    let target = database(Engine::Postgres15, "cli_t");
    for (arguments, words) in [
        (
            vec!["migrate", &url, &target.url(), "--tables", "nowhere.%"],
            "no table",
        ),
        (
            vec!["migrate", &url, &target.url(), "--resume"],
            "nothing to resume",
        ),
        (vec!["migrate", &url, &url], "read and written at once"),
        (
            vec!["validate", &url, &target.url(), "--tables", "x"],
            "SCHEMA.TABLE",
        ),
        (vec!["migrate", &url], "required"),
        (vec!["migrate", &url, &url, &url], "unexpected"),
        (vec!["migrate", "oracle://a:b@c", &url], "not known"),
    ] {
        let said = run(&arguments);
        assert_eq!(said.exit_code, Some(2), "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
        assert!(!said.err.contains("whimbrel-test-password"), "{said:?}");
    }
    assert_eq!(source.sql("select count(*) from orders").unwrap(), "3\n");
}

#[test]
fn only_the_tables_that_are_asked_for_are_taken() {
    let (source, target) = (
        source(Engine::Postgres15),
        database(Engine::Postgres15, "cli_t"),
    );
    let options = [
        "--tables",
        "public.%",
        "--exclude",
        "public.l%",
        "--target-schema",
        "new",
    ];
    run_well(
        &[
            &["migrate", &source.url(), &target.url(), "--no-keys"],
            &options[..],
        ]
        .concat(),
    );
    let tables = "select table_schema, table_name from information_schema.tables where table_schema in ('public', 'new')";
    assert_eq!(target.sql(tables).unwrap(), "new\torders\n");
    let keys = "select count(*) from pg_index where indrelid = 'new.orders'::regclass";
    assert_eq!(target.sql(keys).unwrap(), "0\n");
}
