//! Table mappings against real servers.

mod columns;
mod events;
mod expressions;
mod filters;
mod large_objects;
mod load_order;
mod masks;
mod names;
mod random_rules;
mod segments;
mod types;
mod views;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use whimbrel_testkit::{Engine, TestDatabase};

use crate::Said;
use crate::ends::{Ends, Running};

/// Ends, and a file of table mappings for them.
struct Ruled {
    ends: Ends,
    file: NamedTempFile,
    target_schema: String,
}

impl Ruled {
    fn new(source: Engine, target: Engine, rules: impl Fn(&str) -> Vec<Value>) -> Self {
        let ends = Ends::between(source, target, "rules");
        let schema = schema_of(&ends.source);
        let mut all = vec![selection(1, &schema, "%")];
        all.extend(rules(&schema));
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({ "rules": all }).to_string()).unwrap();
        let target_schema = schema_of(&ends.target);
        Self {
            ends,
            file,
            target_schema,
        }
    }

    fn run(&self, command: &str, options: &[&str]) -> Said {
        let file = self.file.path().to_str().unwrap();
        let own = ["--mappings", file, "--target-schema", &self.target_schema];
        let ends = &self.ends;
        let words = [command, &ends.source_url, &ends.target_url];
        crate::run(&[&words, own.as_slice(), options].concat())
    }

    /// Starts a migration and does not wait for it.
    fn start(&self, options: &[&str]) -> Running {
        let file = self.file.path().to_str().unwrap();
        let own = ["--mappings", file, "--target-schema", &self.target_schema];
        self.ends.start_with(&[own.as_slice(), options].concat())
    }

    #[track_caller]
    fn run_well(&self, command: &str, options: &[&str]) -> Said {
        let said = self.run(command, options);
        assert_eq!(said.exit_code, Some(0), "{said:?}");
        said
    }

    fn source(&self, sql: &str) -> String {
        self.ends.source.sql(sql).unwrap()
    }

    fn target(&self, sql: &str) -> String {
        self.ends.target.sql(sql).unwrap()
    }

    /// Loads, lets changes happen, goes on with them, and compares.
    #[track_caller]
    fn moved_and_compared(&self, changes: &str) {
        self.run_well("migrate", &["--until-caught-up"]);
        self.run_well("validate", &[]);
        self.source(changes);
        self.run_well("migrate", &["--until-caught-up", "--resume"]);
        self.run_well("validate", &[]);
    }
}

/// The schema in which a database's tables are.
fn schema_of(database: &TestDatabase) -> String {
    if database.engine().is_postgres() {
        "public".to_owned()
    } else {
        database.name().to_owned()
    }
}

fn selection(id: u32, schema: &str, table: &str) -> Value {
    json!({"rule-type": "selection", "rule-id": id, "rule-action": "include",
        "object-locator": {"schema-name": schema, "table-name": table}})
}

fn of_column(id: u32, schema: &str, column: &str, rest: &Value) -> Value {
    let mut rule = json!({"rule-type": "transformation", "rule-id": id, "rule-target": "column",
        "object-locator": {"schema-name": schema, "table-name": "%", "column-name": column}});
    let members = rule.as_object_mut().unwrap();
    members.extend(rest.as_object().unwrap().clone());
    rule
}

fn filter(id: u32, schema: &str, table: &str, column: &str, conditions: &Value) -> Value {
    let mut rule = selection(id, schema, table);
    rule["filters"] =
        json!([{"filter-type": "source", "column-name": column, "filter-conditions": conditions}]);
    rule
}
