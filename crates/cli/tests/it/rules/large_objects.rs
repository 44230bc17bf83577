//! What becomes of the large objects of single tables.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::Ruled;

fn settings(id: u32, schema: &str, table: &str, lob: &Value) -> Value {
    json!({"rule-type": "table-settings", "rule-id": id, "rule-name": id, "lob-settings": lob,
        "object-locator": {"schema-name": schema, "table-name": table}})
}

#[test]
fn large_objects_of_a_table_are_cut_kept_or_left_out() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres18),
    ] {
        let ruled = Ruled::new(source, target, |schema| {
            vec![
                settings(
                    2,
                    schema,
                    "a",
                    &json!({"mode": "limited", "bulk-max-size": "1"}),
                ),
                settings(3, schema, "b", &json!({"mode": "none"})),
                settings(
                    4,
                    schema,
                    "c",
                    &json!({"mode": "unlimited", "bulk-max-size": "0"}),
                ),
            ]
        });
        let text = if source.is_postgres() {
            "text"
        } else {
            "longtext"
        };
        for table in ["a", "b", "c"] {
            ruled.source(&format!(
                "create table {table} (id int primary key, body {text}); insert into {table} values (1, repeat('x', 2048)), (2, 'y')"
            ));
        }
        let said = ruled.run_well("migrate", &["--dry-run"]);
        assert!(
            said.out.contains("values of more than 1024 bytes are cut"),
            "{said:?}"
        );
        assert!(said.out.contains("column body is left out"), "{said:?}");
        ruled.moved_and_compared(
            "insert into a values (3, repeat('z', 1025)); insert into b values (3, 'z'); insert into c values (3, repeat('z', 3000)); update a set body = repeat('y', 2000) where id = 2",
        );
        assert_eq!(
            ruled.target("select id, length(body) from a order by id"),
            "1\t1024\n2\t1024\n3\t1024\n"
        );
        assert_eq!(ruled.target("select * from b order by id"), "1\n2\n3\n");
        assert_eq!(
            ruled.target("select id, length(body) from c order by id"),
            "1\t2048\n2\t1\n3\t3000\n"
        );
    }
}
