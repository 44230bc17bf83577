//! Rules by chance: a row that is loaded arrives as one that comes by a change does, and both as a comparison makes it.
//!
//! Each case is two tables under the same rules. The rows of one are loaded, for which the source is asked by its own conditions; those of the
//! other come by changes, which are looked at here alone.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, of_column};
use crate::random::Random;

const CASES: usize = 6;
const ROWS: usize = 40;

/// Columns with values in their order, some of which are not in any row.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("n", &["-3", "0", "5", "7", "2147483647"]),
    ("m", &["-1.5", "0", "1.5", "1.501", "99999.999"]),
    ("s", &[" x", "10", "B", "a", "b", "bb", "é"]),
    (
        "d",
        &["1999-01-01", "2023-12-31", "2024-02-29", "2024-03-01"],
    ),
    (
        "w",
        &[
            "2023-12-31 23:59:59.999",
            "2024-02-29 01:02:03.000",
            "2024-02-29 01:02:03.001",
            "2024-02-29 01:02:04.500",
        ],
    ),
];

fn setup(table: &str) -> String {
    format!(
        "create table {table} (id int primary key, n int, m numeric(12, 3), s varchar(20), d date, w timestamp(3) null);"
    )
}

fn value(random: &mut Random, values: &[&str]) -> String {
    if random.one_in(5) {
        "null".to_owned()
    } else {
        format!("'{}'", random.pick(values))
    }
}

fn rows(random: &mut Random) -> Vec<String> {
    let mut row = |id: usize| {
        let cells = COLUMNS.map(|(_, values)| value(random, values));
        format!("({id}, {})", cells.join(", "))
    };
    (0..ROWS).map(&mut row).collect()
}

fn condition(random: &mut Random, values: &[&str]) -> Value {
    let mut literal = || random.pick(values).to_owned();
    let (one, other) = (literal(), literal());
    let operators = [
        "lte",
        "ste",
        "gte",
        "eq",
        "noteq",
        "between",
        "notbetween",
        "null",
        "notnull",
    ];
    match random.pick(&operators) {
        operator @ ("null" | "notnull") => json!({ "filter-operator": operator }),
        operator @ ("between" | "notbetween") => {
            json!({"filter-operator": operator, "start-value": one, "end-value": other})
        }
        operator => json!({"filter-operator": operator, "value": one}),
    }
}

fn filters(random: &mut Random) -> Value {
    let mut filters = Vec::new();
    for (column, values) in COLUMNS {
        if random.one_in(3) {
            let count = 1 + random.below(3);
            let conditions: Vec<Value> = (0..count).map(|_| condition(random, values)).collect();
            filters.push(json!({"filter-type": "source", "column-name": column, "filter-conditions": conditions}));
        }
    }
    Value::Array(filters)
}

/// Rules for the columns of a case, and the ranges in which its first table is loaded.
fn rules(random: &mut Random, schema: &str, case: usize, next_id: &mut u32) -> Vec<Value> {
    let transformations = [
        (
            "s",
            json!({"rule-action": "data-masking-digits-mask", "value": "#"}),
        ),
        ("s", json!({"rule-action": "data-masking-hash-mask"})),
        (
            "n",
            json!({"rule-action": "change-data-type", "data-type": {"type": "string", "length": 20}}),
        ),
        ("d", json!({"rule-action": "remove-column"})),
        ("w", json!({"rule-action": "rename", "value": "at_time"})),
        (
            "id",
            json!({"rule-action": "rename-column", "expression": "$AR_M_SOURCE_COLUMN_NAME || '_of'"}),
        ),
        (
            "%",
            json!({"rule-action": "add-column", "value": "x", "expression": "$n || '/' || coalesce(upper($s), '-') || $m",
            "data-type": {"type": "string", "length": 80}}),
        ),
        (
            "%",
            json!({"rule-action": "add-column", "value": "y", "expression": "CASE WHEN $m > 1.5 THEN $n ELSE length($s) END",
            "data-type": {"type": "int8"}}),
        ),
    ];
    let filter = filters(random);
    let mut rules = Vec::new();
    let mut id = || {
        *next_id += 1;
        *next_id
    };
    for table in [format!("t{case}"), format!("u{case}")] {
        if filter.as_array().is_some_and(|filters| !filters.is_empty()) {
            let mut rule = super::selection(id(), schema, &table);
            rule["filters"] = filter.clone();
            rules.push(rule);
        }
    }
    for (column, transformation) in transformations {
        if random.one_in(3) {
            for table in [format!("t{case}"), format!("u{case}")] {
                let mut rule = of_column(id(), schema, column, &transformation);
                rule["object-locator"]["table-name"] = table.into();
                rules.push(rule);
            }
        }
    }
    if random.one_in(2) {
        let (column, values) = COLUMNS[random.below(COLUMNS.len())];
        let mut boundaries: Vec<[&str; 1]> = values.iter().map(|value| [*value]).collect();
        boundaries.retain(|_| random.one_in(2));
        if !boundaries.is_empty() {
            rules.push(json!({"rule-type": "table-settings", "rule-id": id(),
                "object-locator": {"schema-name": schema, "table-name": format!("t{case}")},
                "parallel-load": {"type": "ranges", "columns": [column], "boundaries": boundaries}}));
        }
    }
    rules
}

/// Changes of rows of a table.
fn changes(random: &mut Random, table: &str) -> String {
    let changes = (0..ROWS / 2).map(|_| {
        let id = random.below(ROWS);
        let (column, values) = COLUMNS[random.below(COLUMNS.len())];
        if random.one_in(6) {
            return format!("delete from {table} where id = {id};");
        }
        let value = value(random, values);
        format!("update {table} set {column} = {value} where id = {id};")
    });
    changes.collect()
}

#[test]
fn rows_arrive_alike_whichever_way_they_come() {
    let mut random = Random::announced();
    for (source, target) in [
        (Engine::Postgres15, Engine::Mariadb1011),
        (Engine::Mariadb1011, Engine::Postgres18),
    ] {
        let of_rules = random.split().seed();
        let ruled = Ruled::new(source, target, |schema| {
            let mut random = Random::of_case(of_rules, "rules", "");
            let mut next_id = 1;
            let cases = 0..CASES;
            cases
                .flat_map(|case| rules(&mut random, schema, case, &mut next_id))
                .collect()
        });
        let (mut load, mut follow) = (Vec::new(), Vec::new());
        for case in 0..CASES {
            let rows = rows(&mut random).join(", ");
            load.extend(["t", "u"].map(|table| setup(&format!("{table}{case}"))));
            load.push(format!("insert into t{case} values {rows};"));
            follow.push(format!("insert into u{case} values {rows};"));
            let changes = changes(&mut random, "t");
            let of = |table: &str| changes.replace(" t ", &format!(" {table}{case} "));
            follow.extend(["t", "u"].map(of));
        }
        ruled.source(&load.concat());
        ruled.run_well("migrate", &["--until-caught-up"]);
        ruled.run_well("validate", &[]);
        let document = std::fs::read_to_string(ruled.file.path()).unwrap();
        ruled.source(&follow.concat());
        ruled.run_well("migrate", &["--until-caught-up", "--resume"]);
        ruled.run_well("validate", &[]);
        for case in 0..CASES {
            let rows =
                |table: &str| ruled.target(&format!("select * from {table}{case} order by 1"));
            assert_eq!(
                rows("t"),
                rows("u"),
                "case {case} of {source} to {target}: {document}"
            );
        }
    }
}
