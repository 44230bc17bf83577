//! Columns that are renamed, left out and masked, and keys that rules make.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, of_column};

const PAIRS: [(Engine, Engine); 5] = [
    (Engine::Postgres15, Engine::Postgres18),
    (Engine::Postgres18, Engine::Mariadb1011),
    (Engine::Mysql97, Engine::Postgres15),
    (Engine::Mariadb1011, Engine::Mysql97),
    (Engine::Mysql97, Engine::Mysql97),
];

fn renames(schema: &str) -> Vec<Value> {
    vec![
        of_column(
            2,
            schema,
            "id",
            &json!({"rule-action": "rename", "value": "number"}),
        ),
        of_column(
            3,
            schema,
            "secret",
            &json!({"rule-action": "remove-column"}),
        ),
        of_column(
            4,
            schema,
            "na%",
            &json!({"rule-action": "add-prefix", "value": "x_"}),
        ),
        of_column(
            5,
            schema,
            "extra",
            &json!({"rule-action": "convert-uppercase"}),
        ),
        of_column(
            6,
            schema,
            "body",
            &json!({"rule-action": "replace-suffix", "value": "ies", "old-value": "y"}),
        ),
    ]
}

#[test]
fn columns_are_renamed_and_left_out() {
    for (source, target) in PAIRS {
        let ruled = Ruled::new(source, target, renames);
        let long = disorder(3072);
        ruled.source(&format!(
            "create table t (secret varchar(20), id int primary key, name varchar(20), body text);
             insert into t values ('s', 1, 'one', '{long}'), ('s', 2, 'two', null), ('s', 3, null, 'x'), ('s', 4, 'four', 'y')"
        ));
        let said = ruled.run_well("migrate", &["--dry-run"]);
        assert!(said.out.contains("column secret is left out"), "{said:?}");
        assert!(said.out.contains("number"), "{said:?}");
        ruled.moved_and_compared(
            "update t set name = 'uno' where id = 1; update t set secret = 'other' where id = 2; update t set id = 30 where id = 3;
             delete from t where id = 4; insert into t values ('s', 5, 'five', 'z')",
        );
        let rows = "select number, x_name, length(bodies) from t order by number";
        assert_eq!(
            ruled.target(rows),
            "1\tuno\t3072\n2\ttwo\tNULL\n5\tfive\t1\n30\tNULL\t1\n",
            "{source} {target}"
        );
        ruled.source(
            "alter table t add column extra varchar(9); update t set extra = 'e' where id = 1; alter table t drop column secret;
             alter table t rename column name to title; update t set title = 'deux' where id = 2; insert into t (id, title) values (6, 'six')",
        );
        ruled.source("create table further (id int primary key, name int, secret int); insert into further values (1, 2, 3)");
        ruled.run_well("migrate", &["--until-caught-up", "--resume"]);
        ruled.run_well("validate", &[]);
        assert_eq!(
            ruled.target(
                "select number, title, EXTRA from t where number in (1, 2, 6) order by number"
                    .replace("EXTRA", quoted(target))
                    .as_str()
            ),
            "1\tuno\te\n2\tdeux\tNULL\n6\tsix\tNULL\n",
            "{source} {target}"
        );
        assert_eq!(
            ruled.target("select * from further"),
            "1\t2\n",
            "{source} {target}"
        );
    }
}

/// Text with little enough order in it that PostgreSQL keeps it beside the row.
fn disorder(length: usize) -> String {
    let mut state = 7_u64;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'a' + u8::try_from(state >> 59).unwrap() % 26)
    };
    (0..length).map(|_| letter()).collect()
}

fn quoted(target: Engine) -> &'static str {
    if target.is_postgres() {
        "\"EXTRA\""
    } else {
        "EXTRA"
    }
}

#[test]
fn names_that_collide_are_refused_before_anything_is_touched() {
    let renamed = |schema: &str| {
        let to = |value: &str| json!({"rule-action": "rename", "value": value});
        vec![of_column(7, schema, "a", &to("Id"))]
    };
    for (target, is_one_name) in [(Engine::Mysql97, true), (Engine::Postgres18, false)] {
        let ruled = Ruled::new(Engine::Postgres15, target, renamed);
        ruled.source("create table t (id int primary key, a int); insert into t values (1, 2)");
        let said = ruled.run("migrate", &[]);
        if is_one_name {
            assert_ne!(said.exit_code, Some(0), "{said:?}");
            let text = format!("{said:?}");
            assert!(
                text.contains("rule 7") && text.contains("one name"),
                "{said:?}"
            );
            assert!(ruled.ends.target.sql("select * from t").is_err());
        } else {
            assert_eq!(ruled.target("select * from t"), "1\t2\n");
        }
    }
    let same = |schema: &str| {
        let to = json!({"rule-action": "rename", "value": "id"});
        vec![of_column(7, schema, "a", &to)]
    };
    let ruled = Ruled::new(Engine::Postgres15, Engine::Postgres18, same);
    ruled.source("create table t (id int primary key, a int)");
    let said = ruled.run("migrate", &[]);
    assert!(format!("{said:?}").contains("rule 7"), "{said:?}");
    assert!(ruled.ends.target.sql("select * from t").is_err());
}

#[test]
fn computed_columns_are_made_where_nothing_they_rest_on_is_renamed() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Postgres18),
        (Engine::Mysql97, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Mariadb1011),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            let to = |value: &str| json!({"rule-action": "rename", "value": value});
            vec![
                of_column(2, schema, "alpha", &to("beta")),
                of_column(3, schema, "twice", &to("double_of")),
            ]
        });
        ruled.source(
            "create table t (id int primary key, alpha int, other int, next int generated always as (alpha + 1) stored,
               twice int generated always as (other * 2) stored); insert into t (id, alpha, other) values (1, 5, 7)",
        );
        ruled.moved_and_compared(
            "update t set alpha = 6, other = 8; insert into t (id, alpha, other) values (2, 0, 0)",
        );
        assert_eq!(
            ruled.target("select id, beta, other, double_of from t order by id"),
            "1\t6\t8\t16\n2\t0\t0\t0\n",
            "{source} {target}"
        );
        let said = ruled.run_well("migrate", &["--dry-run"]);
        assert!(said.out.contains("column next is computed"), "{said:?}");
    }
}

#[test]
fn text_is_masked_and_a_key_is_made() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Postgres18),
        (Engine::Postgres18, Engine::Mysql97),
        (Engine::Mysql97, Engine::Postgres15),
        (Engine::Mariadb1011, Engine::Mariadb1011),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            vec![
                of_column(
                    2,
                    schema,
                    "card",
                    &json!({"rule-action": "data-masking-digits-mask", "value": "*"}),
                ),
                of_column(
                    3,
                    schema,
                    "mail",
                    &json!({"rule-action": "data-masking-hash-mask"}),
                ),
                json!({"rule-type": "transformation", "rule-id": 4, "rule-target": "table", "rule-action": "define-primary-key",
                    "object-locator": {"schema-name": schema, "table-name": "t"}, "primary-key-def": {"columns": ["b", "a"]}}),
            ]
        });
        let full = if source.is_postgres() {
            "alter table t replica identity full;"
        } else {
            ""
        };
        ruled.source(&format!(
            "create table t (a int, b int, card varchar(30), mail varchar(20)); {full}
             create table k (mail varchar(20) primary key, n int); insert into k values ('abc', 1), ('x', 2), ('y', 3);
             insert into t values (1, 1, '4111-1111', 'abc'), (1, 2, null, null), (2, 1, '12', '')"
        ));
        ruled.moved_and_compared(
            "update t set card = '99', a = 5 where a = 2; delete from t where b = 2; insert into t values (7, 7, '7', 'abc');
             update k set n = 10 where mail = 'abc'; delete from k where mail = 'y'; update k set mail = 'z' where mail = 'x'",
        );
        let abc = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        let empty = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        assert_eq!(
            ruled.target("select a, b, card, mail from t order by a"),
            format!("1\t1\t****-****\t{abc}\n5\t1\t**\t{empty}\n7\t7\t*\t{abc}\n"),
            "{source} {target}"
        );
        assert_eq!(
            ruled.target(&format!("select n from k where mail = '{abc}'")),
            "10\n"
        );
        assert_eq!(ruled.target("select count(*) from k"), "2\n");
        let twice = ruled
            .ends
            .target
            .sql("insert into t values (1, 1, null, null)");
        assert!(twice.is_err(), "{source} {target}");
    }
}
