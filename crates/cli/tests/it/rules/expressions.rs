//! Columns that are added, whose values are made by expressions.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, of_column};

/// Adds a column to every table.
pub(super) fn added(
    id: u32,
    schema: &str,
    name: &str,
    expression: &str,
    data_type: &Value,
) -> Value {
    let rest = json!({"rule-action": "add-column", "value": name, "expression": expression, "data-type": data_type});
    let mut rule = of_column(id, schema, "%", &rest);
    let locator = rule["object-locator"].as_object_mut().unwrap();
    locator.remove("column-name");
    rule
}

fn string(length: u32) -> Value {
    json!({"type": "string", "length": length})
}

const PAIRS: [(Engine, Engine); 4] = [
    (Engine::Postgres18, Engine::Mysql97),
    (Engine::Mariadb1011, Engine::Postgres15),
    (Engine::Mysql97, Engine::Postgres18),
    (Engine::Postgres15, Engine::Mariadb1011),
];

fn rules(schema: &str) -> Vec<Value> {
    vec![
        added(
            2,
            schema,
            "full_name",
            "$first || ' ' || $last",
            &string(50),
        ),
        added(
            3,
            schema,
            "class",
            "CASE WHEN $n >= 10 THEN 'many' WHEN $n IS NULL THEN 'none' ELSE 'few' END",
            &string(9),
        ),
        added(4, schema, "hash", "hash_sha256($first)", &string(64)),
        added(
            5,
            schema,
            "year_of",
            "strftime('%Y', $day)",
            &json!({"type": "int4"}),
        ),
        added(6, schema, "twice", "$n * 2", &json!({"type": "int8"})),
        added(
            7,
            schema,
            "origin",
            "$AR_M_SOURCE_TABLE_NAME || replaceChars('abcde','abcd','123')",
            &string(40),
        ),
        added(
            8,
            schema,
            "price_text",
            "$price",
            &json!({"type": "numeric", "precision": 20, "scale": 2}),
        ),
    ]
}

#[test]
fn columns_are_added_in_the_load_and_in_changes() {
    for (source, target) in PAIRS {
        let ruled = Ruled::new(source, target, rules);
        ruled.source(
            "create table t (id int primary key, first varchar(20), last varchar(20), n int, day date, price decimal(20,2));
             insert into t values (1, 'A', 'B', 10, '2024-02-29', 123456789012345678.25), (2, null, 'B', null, null, null), (3, 'C', '''x', 1, '1999-12-31', 0.5)",
        );
        let said = ruled.run_well("migrate", &["--dry-run"]);
        assert!(said.out.contains("column full_name is added"), "{said:?}");
        ruled.moved_and_compared(
            "update t set first = 'Z' where id = 1; update t set n = 11 where id = 2; delete from t where id = 3;
             insert into t values (4, 'abc', '', 9, '2001-01-01', -1)",
        );
        let abc = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        let z = "BBEEBD879E1DFF6918546DC0C179FDDE505F2A21591C9A9C96E36B054EC5AF83";
        assert_eq!(
            ruled.target("select id, full_name, class, hash, year_of, twice, origin, price_text from t order by id"),
            format!(
                "1\tZ B\tmany\t{z}\t2024\t20\tt1231e\t123456789012345678.25\n\
                 2\tNULL\tmany\tNULL\tNULL\t22\tt1231e\tNULL\n\
                 4\tabc \tfew\t{abc}\t2001\t18\tt1231e\t-1.00\n"
            ),
            "{source} {target}"
        );
    }
}

#[test]
fn many_changes_at_once_have_their_added_columns() {
    for (source, target) in [
        (Engine::Postgres18, Engine::Mariadb1011),
        (Engine::Mysql97, Engine::Postgres15),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            vec![added(
                2,
                schema,
                "sum_of",
                "$id + $n",
                &json!({"type": "int8"}),
            )]
        });
        ruled.source("create table t (id int primary key, n int); insert into t values (0, 1)");
        let rows: Vec<String> = (1..300).map(|n| format!("({n}, {n})")).collect();
        ruled.moved_and_compared(&format!(
            "insert into t values {}; update t set n = 1000 where id < 5; update t set id = 1000 where id = 7; delete from t where id between 291 and 299",
            rows.join(", ")
        ));
        assert_eq!(
            ruled.target("select count(*) from t where sum_of = id + n"),
            "291\n",
            "{source} {target}"
        );
    }
}

#[test]
fn an_expression_that_fails_is_an_error_of_its_row() {
    let ruled = Ruled::new(Engine::Postgres15, Engine::Mysql97, |schema| {
        vec![added(
            2,
            schema,
            "third",
            "$n / 3.0",
            &json!({"type": "numeric", "precision": 10, "scale": 2}),
        )]
    });
    ruled.source("create table t (id int primary key, n int); insert into t values (1, 3), (2, 4)");
    let said = ruled.run("migrate", &[]);
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    let text = format!("{said:?}");
    for part in ["key (2)", "column third", "more digits behind the point"] {
        assert!(text.contains(part), "{part}: {said:?}");
    }
}

#[test]
fn expressions_reach_nothing_but_their_row() {
    for (expression, part) in [
        ("(SELECT 1)", "a query is none"),
        ("load_extension('x')", "function load_extension"),
        ("sqlite_version()", "function sqlite_version"),
        ("no_such($id)", "no such function"),
        ("$id +", "syntax error"),
        ("$nothing", "$nothing is none"),
        ("printf('%s', $id)", "function printf"),
    ] {
        let ruled = Ruled::new(Engine::Postgres15, Engine::Postgres18, |schema| {
            vec![added(7, schema, "x", expression, &string(9))]
        });
        ruled.source("create table t (id int primary key)");
        let said = ruled.run("migrate", &[]);
        assert_ne!(said.exit_code, Some(0), "{expression}: {said:?}");
        let text = format!("{said:?}");
        assert!(
            text.contains("rule 7") && text.contains(part),
            "{expression}: {said:?}"
        );
        assert!(ruled.ends.target.sql("select * from t").is_err());
    }
}

#[test]
fn a_column_that_the_log_does_not_tell_suspends_the_table_with_what_to_do() {
    let doubled = |schema: &str| {
        vec![added(
            2,
            schema,
            "size_of",
            "length($body) + $n",
            &json!({"type": "int8"}),
        )]
    };
    let long = "(select string_agg(md5(n::text), '') from generate_series(1, 300) n)";
    let ruled = Ruled::new(Engine::Postgres15, Engine::Postgres18, doubled);
    ruled.source(&format!(
        "create table t (id int primary key, n int, body text); insert into t select 1, 1, {long}"
    ));
    ruled.run_well("migrate", &["--until-caught-up"]);
    ruled.source("update t set n = 2");
    let said = ruled.run("migrate", &["--until-caught-up", "--resume"]);
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    assert!(
        format!("{said:?}").contains("REPLICA IDENTITY FULL"),
        "{said:?}"
    );

    let ruled = Ruled::new(Engine::Postgres15, Engine::Mysql97, doubled);
    ruled.source(&format!(
        "create table t (id int primary key, n int, body text); alter table t replica identity full; insert into t select 1, 1, {long}"
    ));
    ruled.moved_and_compared("update t set n = 2");
    assert_eq!(ruled.target("select size_of from t"), "9602\n");
}

#[test]
fn what_is_known_of_a_change_is_told() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres18),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            vec![
                added(2, schema, "op", "$AR_H_OPERATION", &string(9)),
                added(
                    3,
                    schema,
                    "moved_at",
                    "$AR_H_COMMIT_TIMESTAMP",
                    &json!({"type": "datetime"}),
                ),
                added(4, schema, "place", "$AR_H_STREAM_POSITION", &string(200)),
                added(5, schema, "seq", "$AR_H_CHANGE_SEQ", &string(35)),
                added(6, schema, "who", "$AR_H_USER", &string(9)),
            ]
        });
        ruled.source(
            "create table t (id int primary key, n int); insert into t values (1, 1), (2, 2)",
        );
        ruled.moved_and_compared("update t set n = 3 where id = 1; insert into t values (3, 3)");
        assert_eq!(
            ruled.target("select id, op, who, length(seq), case when length(place) > 0 then 1 else 0 end from t order by id"),
            "1\tUPDATE\t\t35\t1\n2\tINSERT\t\t0\t0\n3\tINSERT\t\t35\t1\n",
            "{source} {target}"
        );
        assert_eq!(
            ruled.target(
                "select count(*) from t where moved_at > '2020-01-01' and moved_at < '2100-01-01'"
            ),
            "3\n"
        );
    }
}

/// A row so long that it is made in windows, by an expression that gives another text each time.
#[test]
fn a_long_text_that_is_another_one_each_time_is_made_once() {
    for (source, target) in PAIRS {
        let ruled = Ruled::new(source, target, |schema| {
            let clob = json!({"type": "clob"});
            vec![
                added(2, schema, "stamped", "random() || ':' || $body", &clob),
                added(3, schema, "pure", "'a:' || $body", &clob),
            ]
        });
        let ty = if source.is_postgres() {
            "text"
        } else {
            "longtext character set utf8mb4"
        };
        ruled.source(&format!(
            "create table t (id int primary key, body {ty}); insert into t values (1, repeat('0123456789ü€😀', 500000)), (2, 'short')"
        ));
        ruled.run_well("migrate", &[]);
        let rest = if target.is_postgres() {
            "substr(stamped, position(':' in stamped) + 1) = body and substr(pure, 3) = body"
        } else {
            "binary substr(stamped, instr(stamped, ':') + 1) = binary body and binary substr(pure, 3) = binary body"
        };
        let same = ruled.target(&format!("select count(*) from t where {rest}"));
        assert_eq!(same.trim(), "2", "{source} {target}");
    }
}
