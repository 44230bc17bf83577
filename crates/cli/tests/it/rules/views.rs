//! Views that are loaded as tables.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::Ruled;

const PAIRS: [(Engine, Engine); 4] = [
    (Engine::Postgres18, Engine::Mariadb1011),
    (Engine::Mariadb1011, Engine::Postgres18),
    (Engine::Postgres15, Engine::Postgres15),
    (Engine::Mysql97, Engine::Mysql97),
];

const TABLES: &str = "
    create table t (id int primary key, a varchar(20), price numeric(9, 2));
    insert into t values (1, 'x', 1.5), (2, null, 2), (3, 'z', null);
    create view v as select id * 10 as number, a, price from t where id < 3;
    create view hidden as select * from t";

fn of_views(schema: &str, kind: &str) -> Vec<Value> {
    let rule = |id: u32, action: &str, table: &str| {
        json!({"rule-type": "selection", "rule-id": id, "rule-action": action,
            "object-locator": {"schema-name": schema, "table-name": table, "table-type": kind}})
    };
    vec![
        rule(2, "include", "%"),
        rule(3, "exclude", "hidden"),
        json!({"rule-type": "transformation", "rule-id": 4, "rule-target": "table", "rule-action": "add-prefix", "value": "x_",
            "object-locator": {"schema-name": schema, "table-name": "v"}}),
    ]
}

fn kind_at(ruled: &Ruled, table: &str) -> String {
    ruled
        .target(&format!("select table_type from information_schema.tables where table_name = '{table}' and table_schema = '{}'", ruled.target_schema))
        .trim()
        .to_owned()
}

#[test]
fn what_views_show_is_loaded_as_tables() {
    for ((source, target), kind) in PAIRS.into_iter().zip(["view", "all", "all", "view"]) {
        let ruled = Ruled::new(source, target, |schema| of_views(schema, kind));
        ruled.source(TABLES);
        ruled.run_well("migrate", &["--objects", "all,converted-views"]);
        ruled.run_well("validate", &[]);
        assert_eq!(
            ruled.target("select number, a, price from x_v order by number"),
            "10\tx\t1.50\n20\tNULL\t2.00\n",
            "{source} {target}"
        );
        assert_eq!(kind_at(&ruled, "x_v"), "BASE TABLE");
        assert_eq!(ruled.target("select count(*) from t"), "3\n");
        // Those that are not selected are made as what they are, where that can be done.
        assert_eq!(kind_at(&ruled, "hidden"), "VIEW");
        ruled.source("update t set a = 'other' where id = 1");
        let said = ruled.run("validate", &[]);
        assert_ne!(said.exit_code, Some(0));
        assert!(
            format!("{said:?}").contains("x_v") || format!("{said:?}").contains(".v"),
            "{said:?}"
        );
    }
}

#[test]
fn materialized_views_and_those_that_are_broken_are_told() {
    let ruled = Ruled::new(Engine::Postgres18, Engine::Mariadb1011, |schema| {
        of_views(schema, "all")
    });
    ruled.source(TABLES);
    ruled.source(
        "create materialized view m as select id, a from t; insert into t values (4, 'late', 1)",
    );
    ruled.run_well("migrate", &[]);
    ruled.run_well("validate", &[]);
    assert_eq!(ruled.target("select count(*) from m"), "3\n");

    let ruled = Ruled::new(Engine::Mariadb1011, Engine::Postgres18, |schema| {
        of_views(schema, "view")
    });
    ruled.source(TABLES);
    ruled.source(
        "create table gone (id int); create view broken as select * from gone; drop table gone",
    );
    let said = ruled.run("migrate", &[]);
    assert_ne!(said.exit_code, Some(0));
    assert!(
        format!("{said:?}").contains("it is a view that names"),
        "{said:?}"
    );
    assert_eq!(ruled.target("select count(*) from x_v"), "2\n");
}

#[test]
fn views_are_refused_where_changes_are_followed() {
    for (source, target) in [PAIRS[0], PAIRS[1]] {
        let ruled = Ruled::new(source, target, |schema| of_views(schema, "all"));
        ruled.source(TABLES);
        let said = ruled.run("migrate", &["--until-caught-up"]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        assert!(
            format!("{said:?}").contains("no log tells what changes in a view"),
            "{said:?}"
        );
        assert_eq!(kind_at(&ruled, "t"), "");
        // What selects no view is followed.
        ruled.source("drop view v");
        ruled.moved_and_compared("update t set a = 'other' where id = 1");
    }
}
