//! Names that expressions make.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, of_column};

const PAIRS: [(Engine, Engine); 2] = [
    (Engine::Postgres18, Engine::Mariadb1011),
    (Engine::Mariadb1011, Engine::Postgres18),
];

fn of_tables(id: u32, schema: &str, table: &str, expression: &str) -> Value {
    json!({"rule-type": "transformation", "rule-id": id, "rule-target": "table", "rule-action": "rename-table", "expression": expression,
        "object-locator": {"schema-name": schema, "table-name": table}})
}

#[test]
fn tables_and_columns_get_the_names_that_expressions_make() {
    for (source, target) in PAIRS {
        let ruled = Ruled::new(source, target, |schema| {
            let by_type = "replace($AR_M_SOURCE_COLUMN_NAME, ' ', '_') || '_' || $AR_M_SOURCE_COLUMN_DATATYPE";
            vec![
                of_tables(5, schema, "%", "lower('X_' || $AR_M_SOURCE_TABLE_NAME)"),
                // The lowest rule-id acts.
                of_tables(4, schema, "u", "'v' || length($AR_M_SOURCE_TABLE_NAME)"),
                of_column(
                    6,
                    schema,
                    "%",
                    &json!({"rule-action": "rename-column", "expression": by_type}),
                ),
                of_column(
                    3,
                    schema,
                    "plain",
                    &json!({"rule-action": "rename", "value": "simple"}),
                ),
            ]
        });
        let quote = if source.is_postgres() { '"' } else { '`' };
        ruled.source(&format!(
            "create table t (id int primary key, {quote}a b{quote} varchar(9), plain numeric(5, 1)); insert into t values (1, 'x', 1.5), (2, 'y', 2.5);
             create table u (id int primary key); insert into u values (1)"
        ));
        ruled.moved_and_compared(&format!(
            "update t set {quote}a b{quote} = 'z', plain = 7 where id = 1; delete from t where id = 2; insert into u values (2)"
        ));
        assert_eq!(
            ruled.target("select id_int4, a_b_string, simple from x_t"),
            "1\tz\t7.0\n",
            "{source} {target}"
        );
        assert_eq!(ruled.target("select max(id_int4) from v1"), "2\n");
        // A table and a column that come while changes are followed have their names by the rules too.
        ruled.source("create table w (id int primary key); insert into w values (5); alter table t add column more int; update t set more = 3");
        ruled.run_well("migrate", &["--until-caught-up", "--resume"]);
        ruled.run_well("validate", &[]);
        assert_eq!(ruled.target("select id_int4 from x_w"), "5\n");
        assert_eq!(ruled.target("select more_int4 from x_t"), "3\n");
    }
}

#[test]
fn what_makes_no_name_is_its_table_s_error() {
    for (rule, expected) in [
        (
            "nullif($AR_M_SOURCE_TABLE_NAME, 't')",
            "expected an expression that makes a text",
        ),
        (
            "'x' || random()",
            "expected an expression that makes the same name always, without random",
        ),
        ("$id || 'x'", "$id is none of these"),
        ("''", "expected a rule that leaves something of the name t"),
    ] {
        let ruled = Ruled::new(Engine::Postgres15, Engine::Mariadb1011, |schema| {
            vec![of_tables(7, schema, "t", rule)]
        });
        ruled.source("create table t (id int primary key); create table u (id int primary key); insert into u values (1)");
        let said = ruled.run("migrate", &[]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        let text = format!("{said:?}");
        assert!(
            text.contains("rule 7 of the table mappings does not fit it; $.rules[1]: ")
                && text.contains(expected),
            "{text}"
        );
        assert_eq!(ruled.target("select id from u"), "1\n");
    }
    let ruled = Ruled::new(Engine::Mariadb1011, Engine::Postgres18, |schema| {
        vec![of_tables(7, schema, "%", "'same'")]
    });
    ruled.source("create table t (id int primary key); create table u (id int primary key)");
    let said = ruled.run("migrate", &[]);
    assert!(
        format!("{said:?}").contains("would also receive"),
        "{said:?}"
    );
}
