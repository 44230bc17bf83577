//! What converted views read: they are made where that is what it was planned to be.

use serde_json::json;
use tempfile::NamedTempFile;
use whimbrel_testkit::Engine;

use super::views::{CONVERTED, columns, has, lists, rows};
use crate::ends::Ends;

const KEPT: [&str; 4] = ["--objects", CONVERTED, "--prepare", "truncate"];

/// A table that was there compares texts in its own way, and gives numbers other types.
#[test]
fn a_view_of_a_kept_table_goes_by_what_that_is() {
    for target in [Engine::Mysql97, Engine::Mariadb1011] {
        let ends = Ends::between(Engine::Postgres15, target, "views_kept");
        ends.source
            .sql(
                "create type mood as enum ('a', 'b'); create table t (id int primary key, w varchar(9), n int, m mood);
                 insert into t values (1, 'a', 1, 'a'), (2, 'A', 2, 'b');
                 create view loose as select id from t where w = 'a'; create view plain as select id, n + 1 as m from t; create view shown as select w from t;
                 create view labels as select id from t where m::text = 'A'; create view grouped as select id, n, count(*) as c from t group by id",
            )
            .unwrap();
        ends.target
            .sql("create table t (id bigint, w text character set utf8mb4 collate utf8mb4_general_ci, n bigint, m enum('b', 'a') character set latin1)")
            .unwrap();
        let out = ends.run_well("migrate", &KEPT).out;
        let waits = "of another type or collation here than";
        for (name, column) in [("loose", "w"), ("shown", "w"), ("labels", "m")] {
            let told = out
                .lines()
                .find(|line| line.contains(&format!("public.{name}: ")));
            let told = told.unwrap_or_else(|| panic!("{name} is not told in\n{out}"));
            has(told, &format!("its column {column} of "));
            has(told, waits);
            assert_eq!(columns(&ends.target, name), "");
        }
        assert_eq!(rows(&ends.target, "plain"), ["1\t2", "2\t3"]);
        // No key tells MySQL that one row is in each group; it would refuse to show what it made.
        let is_made = !columns(&ends.target, "grouped").is_empty();
        assert_eq!(is_made, target == Engine::Mariadb1011);
        if is_made {
            assert_eq!(rows(&ends.target, "grouped"), ["1\t1\t1", "2\t2\t1"]);
        }
    }
}

#[test]
fn a_view_of_a_kept_table_of_postgres_goes_by_what_that_is() {
    let ends = Ends::between(Engine::Mysql97, Engine::Postgres15, "views_kept");
    ends.source
        .sql(
            "create table t (id int primary key, w varchar(9) character set utf8mb4 collate utf8mb4_0900_bin); insert into t values (1, 'a'), (2, 'A');
             create table p (id int primary key, n int); insert into p values (1, 1);
             create view loose as select id from t where w = 'a'; create view plain as select id + 1 as m from t; create view parents as select count(*) c from p",
        )
        .unwrap();
    ends.target
        .sql(
            "create collation loosely (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             create table t (id bigint primary key, w text collate loosely); create table p (id int, n int); create table c () inherits (p)",
        )
        .unwrap();
    let out = ends.run_well("migrate", &KEPT).out;
    has(
        &out,
        "its column w of public.t is of another type or collation here than",
    );
    has(&out, "others inherit from it");
    assert_eq!(columns(&ends.target, "loose"), "");
    assert_eq!(columns(&ends.target, "parents"), "");
    assert_eq!(rows(&ends.target, "plain"), ["2", "3"]);
}

const LAYERS: &str = "create table t (id int primary key, n int); insert into t values (1, 5), (2, null);
    create view base as select id, n from t where n is not null; create view above as select id from base; create view beside as select id from t;";

/// What reads a view whose name the target has for another is not made upon that one; nor is what reads that.
#[test]
fn a_view_over_one_that_is_not_made_is_not_made() {
    for (source, target) in [
        (Engine::Mariadb1011, Engine::Postgres15),
        (Engine::Postgres15, Engine::Mysql97),
    ] {
        let ends = Ends::between(source, target, "views_over");
        ends.source.sql(LAYERS).unwrap();
        ends.source
            .sql("create view top as select id from above")
            .unwrap();
        // What a run left that was killed.
        let left = if target.is_postgres() {
            "left_over"
        } else {
            "awsdms_seen"
        };
        ends.target
            .sql(&format!(
                "create view base as select 7 as id, 8 as n; create view {left} as select 1 as one"
            ))
            .unwrap();
        let out = ends.run_well("migrate", &["--objects", CONVERTED]).out;
        has(&out, "another of that name is there");
        has(&out, ".base, which is not made");
        has(&out, ".above, which is not made");
        for name in ["above", "top", "awsdms_seen"] {
            assert_eq!(columns(&ends.target, name), "", "{name}");
        }
        assert_eq!(rows(&ends.target, "beside"), ["1", "2"]);
        // Once that one is out of the way, all are made.
        ends.target.sql("drop view base").unwrap();
        ends.run_well("migrate", &KEPT);
        for (name, shown) in [("base", "1\t5"), ("above", "1"), ("top", "1")] {
            assert_eq!(rows(&ends.target, name), [shown]);
        }
    }
}

#[test]
fn views_of_one_name_are_not_one() {
    let ends = Ends::between(Engine::Postgres15, Engine::Mysql97, "views_one_name");
    ends.source
        .sql(
            "create schema a; create schema b; create table a.t (id int primary key); create table b.u (id int primary key);
             insert into a.t values (1); insert into b.u values (2), (3);
             create view a.v as select id from a.t; create view b.v as select id from b.u; create view b.w as select id from b.v;",
        )
        .unwrap();
    let out = ends.run_well(
        "migrate",
        &[
            "--objects",
            CONVERTED,
            "--target-schema",
            ends.target.name(),
        ],
    );
    has(&out.out, "another of that name is there");
    has(&out.out, "it rests on b.v, which is not made");
    assert_eq!(rows(&ends.target, "v"), ["1"]);
    assert_eq!(columns(&ends.target, "w"), "");
}

#[test]
fn a_view_of_a_table_that_is_not_loaded_waits() {
    let ends = Ends::between(Engine::Postgres15, Engine::Mariadb1011, "views_unloaded");
    ends.source
        .sql(
            "create table bad (id int primary key, n numeric(5, 2)); insert into bad values (1, 'NaN'); create table good (id int primary key); insert into good values (1);
             create view of_bad as select id from bad; create view on_bad as select id from of_bad; create view of_good as select id from good",
        )
        .unwrap();
    let said = ends.run("migrate", &["--objects", CONVERTED]);
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    has(
        &said.out,
        "it needs the table public.bad, which is not loaded",
    );
    has(&said.out, "it rests on public.of_bad, which is not made");
    for name in ["of_bad", "on_bad"] {
        assert_eq!(columns(&ends.target, name), "");
    }
    assert_eq!(rows(&ends.target, "of_good"), ["1"]);
    ends.source.sql("update bad set n = 1").unwrap();
    ends.run_well("migrate", &["--objects", CONVERTED, "--resume"]);
    assert_eq!(rows(&ends.target, "on_bad"), ["1"]);
}

#[test]
fn a_view_of_rows_that_a_filter_leaves_out_is_listed() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "views_filter");
    ends.source.sql(LAYERS).unwrap();
    let schema = ends.source.name();
    let filter = json!([{"filter-type": "source", "column-name": "id", "filter-conditions": [{"filter-operator": "lte", "value": "1"}]}]);
    let rules = json!({"rules": [
        {"rule-type": "selection", "rule-id": "1", "rule-name": "1", "object-locator": {"schema-name": schema, "table-name": "t"}, "rule-action": "include", "filters": filter},
    ]});
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules.to_string()).unwrap();
    let words = [
        "--objects",
        CONVERTED,
        "--mappings",
        file.path().to_str().unwrap(),
    ];
    let out = ends.run_well("migrate", &words).out;
    lists(
        &out,
        schema,
        "beside",
        &format!("a filter leaves rows of {schema}.t out"),
    );
    assert_eq!(columns(&ends.target, "beside"), "");
}
