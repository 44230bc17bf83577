//! Rows that stay when they go at the source, and what rows were before an update.

use serde_json::json;
use whimbrel_testkit::Engine;

use super::expressions::added;
use super::{Ruled, of_column};

#[test]
fn rows_that_go_at_the_source_stay_with_a_flag() {
    for (source, target) in [
        (Engine::Postgres18, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres15),
        (Engine::Mysql97, Engine::Postgres18),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            let flag = json!({"type": "string", "length": 1});
            let expression = "operation_indicator('D','U','I')";
            vec![added(2, schema, "op", expression, &flag)]
        });
        ruled.source("create table t (id int primary key, n int); insert into t values (1, 1), (2, 2), (3, 3), (4, 4)");
        ruled.moved_and_compared(
            "update t set n = 20 where id = 2; delete from t where id in (3, 4); insert into t values (5, 5)",
        );
        let rows = "select id, n, op from t order by id";
        assert_eq!(
            ruled.target(rows),
            "1\t1\tI\n2\t20\tU\n3\t3\tD\n4\t4\tD\n5\t5\tI\n",
            "{source} {target}"
        );
        // One comes again under its key, many at once.
        let many: Vec<String> = (100..200).map(|n| format!("({n}, {n})")).collect();
        ruled.source(&format!(
            "insert into t values (3, 30); insert into t values {}; delete from t where id >= 150; insert into t values (150, 0)",
            many.join(", ")
        ));
        ruled.run_well("migrate", &["--until-caught-up", "--resume"]);
        ruled.run_well("validate", &[]);
        assert_eq!(
            ruled.target("select id, n, op from t where id in (3, 4, 100, 150, 199) order by id"),
            "3\t30\tI\n4\t4\tD\n100\t100\tI\n150\t0\tI\n199\t199\tD\n",
            "{source} {target}"
        );
        // A row that is missing is found all the same.
        ruled.target("delete from t where id = 1");
        let said = ruled.run("validate", &[]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
    }
}

#[test]
fn a_flag_for_deletes_needs_a_key_and_no_columns() {
    for (table, expression, part) in [
        (
            "create table t (id int)",
            "operation_indicator('D','U','I')",
            "a table with a key",
        ),
        (
            "create table t (id int primary key)",
            "operation_indicator('D','U','I') || $id",
            "name no columns",
        ),
    ] {
        let ruled = Ruled::new(Engine::Postgres15, Engine::Mysql97, |schema| {
            vec![added(
                7,
                schema,
                "op",
                expression,
                &json!({"type": "string", "length": 9}),
            )]
        });
        ruled.source(table);
        let said = ruled.run("migrate", &[]);
        let text = format!("{said:?}");
        assert!(text.contains("rule 7") && text.contains(part), "{said:?}");
    }
}

fn before_images(schema: &str, filter: &str) -> Vec<serde_json::Value> {
    let rest = json!({"rule-action": "add-before-image-columns",
        "before-image-def": {"column-prefix": "BI_", "column-suffix": "", "column-filter": filter}});
    vec![of_column(2, schema, "%", &rest)]
}

#[test]
fn the_key_before_an_update_is_kept_beside_it() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Mysql97, Engine::Postgres18),
        (Engine::Mariadb1011, Engine::Mariadb1011),
    ] {
        let ruled = Ruled::new(source, target, |schema| before_images(schema, "pk-only"));
        ruled.source("create table t (emp_no int primary key, n int); insert into t values (1, 1), (2, 2), (5, 5)");
        ruled.moved_and_compared(
            "update t set emp_no = 3 where emp_no = 1; update t set n = 7 where emp_no = 2; insert into t values (4, 4)",
        );
        let image = if target.is_postgres() {
            "\"BI_emp_no\""
        } else {
            "BI_emp_no"
        };
        assert_eq!(
            ruled.target(&format!("select emp_no, n, {image} from t order by emp_no")),
            "2\t7\t2\n3\t1\t1\n4\t4\tNULL\n5\t5\tNULL\n",
            "{source} {target}"
        );
    }
}

#[test]
fn all_columns_before_an_update_need_a_log_that_tells_them() {
    for (source, target, prelude) in [
        (
            Engine::Postgres15,
            Engine::Mysql97,
            "alter table t replica identity full;",
        ),
        (Engine::Mysql97, Engine::Postgres18, ""),
    ] {
        let ruled = Ruled::new(source, target, |schema| before_images(schema, "all"));
        ruled.source(&format!("create table t (id int primary key, n int, s varchar(9)); {prelude} insert into t values (1, 1, 'a'), (2, 2, null)"));
        ruled.moved_and_compared("update t set n = 10 where id = 1; update t set n = 11 where id = 1; update t set s = 'b' where id = 2");
        let images = if target.is_postgres() {
            "\"BI_n\", \"BI_s\""
        } else {
            "BI_n, BI_s"
        };
        assert_eq!(
            ruled.target(&format!("select id, n, s, {images} from t order by id")),
            "1\t11\ta\t10\ta\n2\t2\tb\t2\tNULL\n",
            "{source} {target}"
        );
    }
    let ruled = Ruled::new(Engine::Postgres15, Engine::Postgres18, |schema| {
        before_images(schema, "all")
    });
    ruled.source("create table t (id int primary key, n int); insert into t values (1, 1)");
    let said = ruled.run("migrate", &["--until-caught-up"]);
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    let text = format!("{said:?}");
    assert!(text.contains("REPLICA IDENTITY FULL"), "{said:?}");
    assert!(ruled.ends.target.sql("select * from t").is_err());
    // Nor is an update taken that tells less than those before it.
    ruled.source("alter table t replica identity full");
    ruled.run_well("migrate", &["--until-caught-up"]);
    ruled.source("alter table t replica identity default; update t set n = 2");
    let said = ruled.run("migrate", &["--until-caught-up", "--resume"]);
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    assert!(
        format!("{said:?}").contains("REPLICA IDENTITY FULL"),
        "{said:?}"
    );
}
