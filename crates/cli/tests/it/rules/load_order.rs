//! The order in which tables are loaded.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, selection};

/// Tables of a higher order begin first, whatever their names and sizes, and however many are loaded at once; those without one come last, the
/// largest of them first.
#[test]
fn tables_begin_in_the_order_of_their_rules() {
    for (source, target, jobs) in [
        (Engine::Postgres15, Engine::Mariadb1011, "1"),
        (Engine::Mariadb1011, Engine::Postgres18, "2"),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            let orders = [("a", 1), ("m", 7), ("z", 2_147_483_647), ("twice", 3)];
            let mut rules: Vec<_> = (2..)
                .zip(orders)
                .map(|(id, (table, order))| {
                    let mut rule = selection(id, schema, table);
                    rule["load-order"] = json!(order);
                    rule
                })
                .collect();
            // Of several rules the highest order counts.
            let mut again = selection(20, schema, "twi%");
            again["load-order"] = json!("9");
            rules.push(again);
            rules
        });
        for (table, rows) in [
            ("a", 300),
            ("z", 1),
            ("m", 1),
            ("twice", 2),
            ("small", 1),
            ("large", 3000),
        ] {
            let rows: Vec<String> = (0..rows)
                .map(|id| format!("({id}, '{}')", "x".repeat(100)))
                .collect();
            ruled.source(&format!(
                "create table {table} (id int primary key, a varchar(200)); insert into {table} values {}; analyze {} {table}",
                rows.join(", "),
                if source.is_postgres() { "" } else { "table" }
            ));
        }
        let said = ruled.run_well("migrate", &["--dry-run", "--json", "--jobs", jobs]);
        let plan: Value = serde_json::from_str(&said.out).unwrap();
        let tables = plan["tables"].as_array().unwrap().iter();
        let names =
            tables.map(|table| table["table"].as_str().unwrap().rsplit('.').next().unwrap());
        let names: Vec<&str> = names.collect();
        assert_eq!(
            names,
            ["z", "twice", "m", "a", "large", "small"],
            "{source} {target}"
        );
        ruled.run_well("migrate", &["--jobs", jobs]);
        ruled.run_well("validate", &[]);
    }
}
