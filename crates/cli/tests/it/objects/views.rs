//! Views between engines: where they are made, they show the source's rows.

use serde_json::Value;
use whimbrel_testkit::{Engine, TestDatabase};

use crate::ends::Ends;

const OF_MYSQL: [&str; 16] = [
    "customer_list",
    "totals",
    "on_view",
    "calculated",
    "subs",
    "derived",
    "united",
    "united2",
    "grouped_by_key",
    "exactly",
    "invokers",
    "binds",
    "floats",
    "digits",
    "wide",
    "labels",
];
const OF_POSTGRES: [&str; 17] = [
    "customer_list",
    "totals",
    "on_view",
    "calculated",
    "subs",
    "derived",
    "united",
    "united2",
    "texts",
    "texts2",
    "texts2b",
    "keyed",
    "uids",
    "quoted",
    "binds",
    "digits",
    "of_child",
];
/// What asks for converted views besides all else.
pub(super) const CONVERTED: &str = "all,converted-views";

/// Those that may show other rows, with why.
const DIFFERENT: [(&str, &str); 4] = [
    ("averaged", "averages have other digits here; it divides"),
    ("gathered", "group_concat_max_len"),
    ("shouting", "letters beyond ASCII"),
    ("limited", "LIMIT takes some of the rows"),
];

fn filled(source: Engine, target: Engine, hint: &str) -> Ends {
    let ends = Ends::between(source, target, hint);
    let sql = match source {
        Engine::Mysql97 => {
            include_str!("views_mysql.sql").replace("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
        }
        _ if source.is_postgres() => include_str!("views_postgres.sql").to_owned(),
        _ => include_str!("views_mysql.sql").to_owned(),
    };
    ends.source.sql(&sql).unwrap();
    ends
}

fn quoted(database: &TestDatabase, name: &str) -> String {
    if database.engine().is_postgres() {
        format!("\"{name}\"")
    } else {
        format!("`{name}`")
    }
}

/// All rows of a view, in one order, with conditions as the numbers that they are to MySQL.
pub(super) fn rows(database: &TestDatabase, view: &str) -> Vec<String> {
    let sql = format!("select * from {}", quoted(database, view));
    let rows = database.sql(&sql).unwrap();
    let cell = |cell: &str| match cell {
        "t" => "1".to_owned(),
        "f" => "0".to_owned(),
        "\\N" => "NULL".to_owned(),
        other => other.replace("\\\\", "\\"),
    };
    let row = |row: &str| row.split('\t').map(cell).collect::<Vec<_>>().join("\t");
    let mut rows: Vec<String> = rows.lines().map(row).collect();
    rows.sort();
    rows
}

pub(super) fn columns(database: &TestDatabase, view: &str) -> String {
    let place = if database.engine().is_postgres() {
        "current_schema()"
    } else {
        "database()"
    };
    let sql = format!(
        "select column_name from information_schema.columns where table_schema = {place} and table_name = '{view}' order by ordinal_position"
    );
    // The client of MySQL escapes what it prints.
    database.sql(&sql).unwrap().replace("\\\\", "\\")
}

/// Every view has its columns and rows at both ends.
fn agree(ends: &Ends, views: &[&str]) {
    for view in views {
        assert_eq!(
            columns(&ends.source, view),
            columns(&ends.target, view),
            "{view}"
        );
        let there = rows(&ends.source, view);
        assert!(!there.is_empty(), "{view}");
        assert_eq!(there, rows(&ends.target, view), "{view}");
    }
}

pub(super) fn has(text: &str, wanted: &str) {
    assert!(text.contains(wanted), "{wanted} is not in\n{text}");
}

pub(super) fn lists(out: &str, schema: &str, name: &str, why: &str) {
    let begin = format!("not made: view {schema}.{name}: ");
    let line = out.lines().find(|line| line.starts_with(&begin));
    let line = line.unwrap_or_else(|| panic!("{name} is not listed in\n{out}"));
    has(line, why);
}

fn from_mysql(source: Engine, target: Engine) {
    let ends = filled(source, target, "views");
    let rehearsed = ends.run_well("migrate", &["--objects", CONVERTED, "--dry-run"]);
    has(&rehearsed.out, "review: it was converted from the SQL of");
    assert_eq!(columns(&ends.target, "totals"), "");
    let out = ends.run_well("migrate", &["--objects", CONVERTED]).out;
    agree(&ends, &OF_MYSQL);
    let schema = ends.source.sql("select database()").unwrap();
    let schema = schema.trim();
    has(
        &out,
        &format!("note: view {schema}.totals: review: it was converted from the SQL of"),
    );
    has(&out, "      CREATE VIEW \"public\".\"totals\" (");
    for (name, why) in DIFFERENT {
        lists(&out, schema, name, why);
    }
    has(
        &out,
        "    CREATE VIEW \"public\".\"shouting\" (\"u\") AS SELECT upper(",
    );
    lists(
        &out,
        schema,
        "loose",
        "may show other rows here: it compares, groups or counts texts",
    );
    lists(&out, schema, "on_loose", "it reads the view");
    lists(&out, schema, "had", "HAVING without a group");
    lists(&out, schema, "mixed", "a value of another type into one");
    lists(&out, schema, "by_label", "a value of another type");
    lists(&out, schema, "calls", "it calls concat_ws, a function of a");
    lists(&out, schema, "checked", "its text has WITH");
    lists(&out, schema, "dated", "its text has INTERVAL");
    // PostgreSQL takes no column that a group does not decide.
    lists(
        &out,
        schema,
        "store_sales",
        "must appear in the GROUP BY clause",
    );
}

#[test]
fn views_of_mariadb_show_the_same_rows_in_postgres() {
    from_mysql(Engine::Mariadb1011, Engine::Postgres15);
}

#[test]
fn views_of_mysql_show_the_same_rows_in_postgres() {
    from_mysql(Engine::Mysql97, Engine::Postgres18);
}

fn from_postgres(source: Engine, target: Engine) {
    let ends = filled(source, target, "views");
    let out = ends.run_well("migrate", &["--objects", CONVERTED]).out;
    agree(&ends, &OF_POSTGRES);
    for (name, why) in &DIFFERENT[..3] {
        lists(&out, "public", name, why);
    }
    lists(&out, "public", "ordered", "may show other rows here");
    lists(&out, "public", "windowed", "its text has OVER");
    lists(&out, "public", "userdate", "its text has CURRENT_DATE");
    lists(&out, "public", "on_shouting", "it reads the view");
    lists(&out, "public", "half_years", "it divides");
    lists(&out, "public", "mixed_digits", "digits behind the point");
    lists(&out, "public", "counted", "by a constant");
    lists(&out, "public", "of_parent", "with the rows of tables that");
    lists(&out, "public", "on_parent", "it reads public.of_parent");
    lists(&out, "public", "callers", "row-level security");
    lists(&out, "public", "of_words", "groups or counts texts");
    lists(&out, "public", "calls", "it calls f, a function of a");
    has(&out, "not made: materialized view public.kept: ");
    let shown = ends.target.sql("show create view invokers").unwrap();
    has(&shown, "SQL SECURITY INVOKER");
}

#[test]
fn views_of_postgres_show_the_same_rows_in_mariadb() {
    from_postgres(Engine::Postgres18, Engine::Mariadb1011);
}

#[test]
fn views_of_postgres_show_the_same_rows_in_mysql() {
    from_postgres(Engine::Postgres15, Engine::Mysql97);
}

/// These take each other's texts.
fn within_the_family(source: Engine, target: Engine) {
    let ends = Ends::between(source, target, "views");
    // A collation that both have.
    let sql = include_str!("views_mysql.sql").replace("utf8mb4_nopad_bin", "utf8mb4_bin");
    ends.source.sql(&sql).unwrap();
    ends.run_well("migrate", &[]);
    agree(&ends, &OF_MYSQL);
    agree(&ends, &["averaged", "gathered", "shouting", "limited"]);
}

#[test]
fn views_of_mysql_show_the_same_rows_in_mariadb() {
    within_the_family(Engine::Mysql97, Engine::Mariadb1011);
}

#[test]
fn views_of_mariadb_show_the_same_rows_in_mysql() {
    within_the_family(Engine::Mariadb1011, Engine::Mysql97);
}

const TWO: &str = "create table t (id int primary key, n int); insert into t values (1, 5), (2, null);
    create view one as select id, n from t where n is not null; create view two as select id from t;";

/// A view of the target that has the name stays, and what was made before counts as made.
fn names_are_taken(source: Engine, target: Engine) {
    let ends = Ends::between(source, target, "taken");
    ends.source.sql(TWO).unwrap();
    ends.target
        .sql("create view two as select 1 as own")
        .unwrap();
    let out = ends.run_well("migrate", &["--objects", CONVERTED]).out;
    has(&out, "another of that name is there");
    assert_eq!(rows(&ends.target, "two"), ["1"]);
    assert_eq!(rows(&ends.target, "one"), ["1\t5"]);
    let again = ends
        .run_well(
            "migrate",
            &["--objects", CONVERTED, "--prepare", "truncate", "--json"],
        )
        .out;
    let last: Value = again
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| {
            event["object"]
                .as_str()
                .is_some_and(|name| name.rsplit('.').next() == Some("one"))
        })
        .unwrap_or_else(|| panic!("{again}"));
    assert_eq!(last["state"], "kept", "{last}");
    has(last["review"]["original"].as_str().unwrap(), "t");
    has(last["review"]["converted"].as_str().unwrap(), "VIEW");
    assert_eq!(columns(&ends.target, "awsdms_seen"), "");
}

#[test]
fn a_view_of_the_targets_own_stays_in_postgres() {
    names_are_taken(Engine::Mariadb1011, Engine::Postgres15);
}

#[test]
fn a_view_of_the_targets_own_stays_in_mysql() {
    names_are_taken(Engine::Postgres15, Engine::Mysql97);
}

#[test]
fn a_view_of_the_targets_own_stays_in_mariadb() {
    names_are_taken(Engine::Postgres15, Engine::Mariadb1011);
}

/// Names that rules give to schemas, tables and columns are those of the view.
#[test]
fn a_view_reads_what_rules_have_renamed() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "renamed");
    ends.source.sql(TWO).unwrap();
    let schema = ends.source.sql("select database()").unwrap();
    let locator = format!(r#"{{"schema-name": "{}", "table-name": "t""#, schema.trim());
    let mappings = format!(
        r#"{{"rules": [{{"rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include", "object-locator": {locator}}}}},
        {{"rule-type": "transformation", "rule-id": "2", "rule-name": "2", "rule-action": "rename", "rule-target": "table", "object-locator": {locator}}}, "value": "A \"table\""}},
        {{"rule-type": "transformation", "rule-id": "3", "rule-name": "3", "rule-action": "rename", "rule-target": "column", "object-locator": {locator}, "column-name": "n"}}, "value": "number"}}]}}"#
    );
    let file = std::env::temp_dir().join(format!("whimbrel-{}-mappings.json", schema.trim()));
    std::fs::write(&file, mappings).unwrap();
    ends.run_well(
        "migrate",
        &["--objects", CONVERTED, "--mappings", file.to_str().unwrap()],
    );
    std::fs::remove_file(&file).unwrap();
    agree(&ends, &["one", "two"]);
}
