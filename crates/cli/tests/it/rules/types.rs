//! Columns that get another type.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, of_column};

/// Gives columns another type.
fn retyped(id: u32, schema: &str, column: &str, data_type: &Value) -> Value {
    let rest = json!({"rule-action": "change-data-type", "data-type": data_type});
    of_column(id, schema, column, &rest)
}

const PAIRS: [(Engine, Engine); 4] = [
    (Engine::Postgres18, Engine::Mariadb1011),
    (Engine::Mysql97, Engine::Postgres15),
    (Engine::Mariadb1011, Engine::Postgres18),
    (Engine::Postgres15, Engine::Postgres18),
];

fn rules(schema: &str) -> Vec<Value> {
    // Every column of a type, by the type alone.
    let mut all_of_int4 = retyped(2, schema, "%", &json!({"type": "int8"}));
    all_of_int4["object-locator"]["data-type"] = json!("int4");
    vec![
        all_of_int4,
        retyped(3, schema, "price", &json!({"type": "string", "length": 20})),
        retyped(
            4,
            schema,
            "amount",
            &json!({"type": "numeric", "precision": 12, "scale": 3}),
        ),
        retyped(5, schema, "born", &json!({"type": "datetime", "scale": 0})),
        retyped(6, schema, "card", &json!({"type": "clob"})),
        of_column(
            7,
            schema,
            "card",
            &json!({"rule-action": "data-masking-digits-mask", "value": "#"}),
        ),
        of_column(
            8,
            schema,
            "amount",
            &json!({"rule-action": "rename", "value": "sum_of"}),
        ),
    ]
}

#[test]
fn columns_get_another_type_in_the_load_and_in_changes() {
    for (source, target) in PAIRS {
        let ruled = Ruled::new(source, target, rules);
        ruled.source(
            "create table t (id int primary key, n numeric(5,1), price numeric(10,2), amount varchar(20), born date, card varchar(30));
             insert into t values (1, 1.5, 12.50, '7.25', '2024-02-29', '4111-1'), (2, null, null, null, null, null), (3, -1.5, -0.01, '-8', '1999-12-31', 'x')",
        );
        let said = ruled.run_well("migrate", &["--dry-run"]);
        assert!(
            said.out
                .contains("the values of column id become whole numbers of 64 bits"),
            "{said:?}"
        );
        ruled.moved_and_compared(
            "update t set price = 99.99, amount = '0.125' where id = 1; update t set id = 20 where id = 2; delete from t where id = 3;
             insert into t values (4, 0, 0, '12', '2000-01-01', '99')",
        );
        assert_eq!(
            ruled.target("select id, n, price, sum_of, born, card from t order by id"),
            "1\t1.5\t99.99\t0.125\t2024-02-29 00:00:00\t####-#\n4\t0.0\t0.00\t12.000\t2000-01-01 00:00:00\t##\n20\tNULL\tNULL\tNULL\tNULL\tNULL\n",
            "{source} {target}"
        );
        let types = if target.is_postgres() {
            "select string_agg(data_type, ',' order by ordinal_position) from information_schema.columns where table_name = 't' and column_name in ('id', 'n', 'price')"
        } else {
            "select group_concat(data_type order by ordinal_position) from information_schema.columns where table_schema = database() and table_name = 't' and column_name in ('id', 'n', 'price')"
        };
        let expected = if target.is_postgres() {
            "bigint,numeric,character varying\n"
        } else {
            "bigint,decimal,varchar\n"
        };
        assert_eq!(ruled.target(types), expected, "{source} {target}");
    }
}

#[test]
fn many_changes_at_once_are_converted_too() {
    for (source, target) in [
        (Engine::Postgres18, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres15),
    ] {
        let ruled = Ruled::new(source, target, rules);
        ruled.source("create table t (id int primary key, amount varchar(20), card varchar(30)); insert into t values (0, '0.5', '1')");
        let rows: Vec<String> = (1..400)
            .map(|n| format!("({n}, '{n}.5', 'a{n}')"))
            .collect();
        ruled.moved_and_compared(&format!(
            "insert into t values {}; update t set amount = '1' where id < 10; delete from t where id > 390",
            rows.join(", ")
        ));
        assert_eq!(
            ruled.target("select count(*), sum(sum_of) from t"),
            "391\t76400.500\n",
            "{source} {target}"
        );
    }
}

#[test]
fn a_value_that_the_new_type_cannot_hold_is_an_error_and_never_changed() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Mysql97, Engine::Postgres18),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            vec![retyped(2, schema, "n", &json!({"type": "int1"}))]
        });
        ruled.source(
            "create table t (id int primary key, n int); insert into t values (1, 5), (2, 1000)",
        );
        let said = ruled.run("migrate", &[]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        let text = format!("{said:?}");
        for part in [
            "key (2)",
            "column n",
            "cannot hold this integer: it is out of range",
        ] {
            assert!(text.contains(part), "{part}: {said:?}");
        }
        assert!(!text.contains("1000"), "{said:?}");
        ruled.source("update t set n = 100 where id = 2");
        ruled.run_well("migrate", &["--until-caught-up"]);
        ruled.source("insert into t values (3, 128), (4, -128)");
        // A change is refused like one that the target cannot hold.
        let said = ruled.run("migrate", &["--until-caught-up", "--resume"]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        let text = format!("{said:?}");
        assert!(
            text.contains("column n") && text.contains("out of range"),
            "{said:?}"
        );
        assert_eq!(
            ruled.target("select id, n from t order by id"),
            "1\t5\n2\t100\n"
        );
        let said = ruled.run("validate", &[]);
        assert!(format!("{said:?}").contains("column n"), "{said:?}");
    }
}

#[test]
fn types_without_a_conversion_are_refused_before_anything_is_touched() {
    let ruled = Ruled::new(Engine::Postgres15, Engine::Postgres18, |schema| {
        vec![retyped(
            7,
            schema,
            "body",
            &json!({"type": "string", "length": 9}),
        )]
    });
    ruled.source("create table t (id int primary key, body bytea)");
    let said = ruled.run("migrate", &[]);
    let text = format!("{said:?}");
    assert!(
        text.contains("rule 7") && text.contains("bytea"),
        "{said:?}"
    );
    assert!(ruled.ends.target.sql("select * from t").is_err());
}
