//! Tables that are loaded in segments of their user's choice.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, filter};
use crate::ends::wait_until;

const PAIRS: [(Engine, Engine); 4] = [
    (Engine::Postgres15, Engine::Mariadb1011),
    (Engine::Mariadb1011, Engine::Postgres18),
    (Engine::Postgres18, Engine::Mysql97),
    (Engine::Postgres15, Engine::Postgres18),
];

fn parallel_load(id: u32, schema: &str, table: &str, load: &Value) -> Value {
    json!({"rule-type": "table-settings", "rule-id": id, "parallel-load": load,
        "object-locator": {"schema-name": schema, "table-name": table}})
}

/// Chunks of a table, and rows, as a dry run or a load tells.
fn chunks(ruled: &Ruled, table: &str) -> u64 {
    let said = ruled.run_well("migrate", &["--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    let tables = plan["tables"].as_array().unwrap().iter();
    let found = tables.filter(|entry| {
        entry["table"]
            .as_str()
            .unwrap()
            .ends_with(&format!(".{table}"))
    });
    let counts: Vec<u64> = found
        .map(|entry| entry["chunks"].as_u64().unwrap())
        .collect();
    assert_eq!(counts.len(), 1, "{plan}");
    counts[0]
}

/// Rows below, between, at and above boundaries, and with NULL in each of the columns.
const GRID: &str = "
    create table t (id int primary key, a int, b varchar(9), d date, n numeric(9, 2));
    insert into t values (1, null, null, null, null), (2, 1, null, '2024-01-01', 1), (3, 1, 'm', '2024-06-30', 2.49), (4, 1, 'z', '2024-07-01', 2.5),
      (5, 5, null, null, 2.51), (6, 5, 'a', '1999-01-01', -7), (7, 5, 'm', '2030-01-01', null), (8, 5, 'mm', '2024-07-02', 9), (9, 9, 'a', null, 3),
      (10, null, 'm', '2024-07-01', 2.5), (11, 5, 'M', '2024-06-30', 0), (12, 2147483647, '', '9999-12-31', 9999999.99), (13, -2147483648, '', '0001-01-01', 1);
    create table u (id int primary key, a int);
    insert into u values (1, 1), (2, 2)";

fn with_ranges(pair: (Engine, Engine), columns: &Value, boundaries: &Value) -> Ruled {
    let ruled = Ruled::new(pair.0, pair.1, |schema| {
        let load = json!({"type": "ranges", "columns": columns, "boundaries": boundaries});
        vec![parallel_load(2, schema, "t", &load)]
    });
    ruled.source(GRID);
    ruled
}

/// Every row arrives once, and changes find it. `pairs` are places among [`PAIRS`].
#[track_caller]
fn arrive_by_ranges(pairs: [usize; 2], columns: &Value, boundaries: &Value, expected: u64) {
    for pair in pairs.map(|place| PAIRS[place]) {
        let ruled = with_ranges(pair, columns, boundaries);
        assert_eq!(chunks(&ruled, "t"), expected, "{columns} {pair:?}");
        ruled.moved_and_compared(
            "update t set a = null, b = 'zz', d = null, n = null where id = 4; update t set a = 1, b = 'm', d = '2024-07-01', n = 2.5 where id = 1;
             delete from t where id = 7; insert into t values (20, 5, 'm', null, 2.5)",
        );
        let ids = ruled.target(
            "select count(*) from t where id in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 20)",
        );
        assert_eq!(ids.trim(), "13", "{columns} {pair:?}");
    }
}

/// The fourth is for NULL, which a key has none of; but what a catalog says of that is not believed.
#[test]
fn every_row_is_in_one_range_of_the_key() {
    arrive_by_ranges([0, 1], &json!(["id"]), &json!([["4"], ["9"]]), 4);
}

/// Rows whose first column decides are in a range whatever the second one is; the others with NULL are in the rest.
#[test]
fn every_row_is_in_one_range_of_several_columns() {
    let boundaries = json!([["1", "m"], ["5", "m"], ["5", "n"]]);
    arrive_by_ranges([1, 3], &json!(["a", "b"]), &boundaries, 5);
}

#[test]
fn every_row_is_in_one_range_of_dates() {
    arrive_by_ranges([0, 2], &json!(["d"]), &json!([["2024-07-01"]]), 3);
}

#[test]
fn every_row_is_in_one_range_of_decimals() {
    let boundaries = json!([["2.5"], ["2.505"], ["8"]]);
    arrive_by_ranges([1, 3], &json!(["n"]), &boundaries, 5);
}

/// Ranges and what chooses among rows, and gives them another shape, are of no account to each other.
#[test]
fn ranges_and_filters_act_side_by_side() {
    for pair in PAIRS {
        let ruled = Ruled::new(pair.0, pair.1, |schema| {
            let load = json!({"type": "ranges", "columns": ["a", "b"], "boundaries": [["1", "m"], ["5", "m"]]});
            let conditions =
                json!([{"filter-operator": "between", "start-value": "3", "end-value": "10"}]);
            vec![
                parallel_load(2, schema, "t", &load),
                filter(3, schema, "t", "id", &conditions),
                super::of_column(4, schema, "d", &json!({"rule-action": "remove-column"})),
            ]
        });
        ruled.source(GRID);
        ruled.moved_and_compared(
            "update t set a = a + 4, b = null where id < 5; delete from t where id = 6",
        );
        assert_eq!(ruled.target("select count(*) from t").trim(), "7");
    }
}

#[test]
fn ranges_that_do_not_fit_their_table_are_its_error() {
    for (pair, columns, boundaries, expected) in [
        (
            PAIRS[0],
            json!(["x"]),
            json!([["1"]]),
            "columns[0]: expected the name of a column as the source spells it, not x",
        ),
        (
            PAIRS[1],
            json!(["id"]),
            json!([["9"], ["9"]]),
            "boundaries[1]: expected a boundary above the one before it",
        ),
        (
            PAIRS[1],
            json!(["id"]),
            json!([["nine"]]),
            "boundaries[0][0]: expected a number",
        ),
        (
            PAIRS[0],
            json!(["b"]),
            json!([["a"], ["B"]]),
            "boundaries[1]: expected a boundary above the one before it",
        ),
    ] {
        let ruled = with_ranges(pair, &columns, &boundaries);
        let said = ruled.run("migrate", &[]);
        assert_ne!(said.exit_code, Some(0));
        let expected = format!(
            "rule 2 of the table mappings does not fit it; $.rules[1].parallel-load.{expected}"
        );
        assert!(format!("{said:?}").contains(&expected), "{said:?}");
        assert_eq!(ruled.target("select count(*) from u").trim(), "2");
    }
}

const OF_MYSQL: &str = "
    create table t (id int, k int not null, s varchar(9), primary key (id, k)) partition by range (k) subpartition by hash (id) subpartitions 2
      (partition `p 0` values less than (10), partition p1 values less than (20), partition p2 values less than maxvalue);
    insert into t values (1, 1, 'a'), (2, 9, 'b'), (3, 10, 'c'), (4, 19, null), (5, 20, 'e'), (6, 500, 'f');
    create table u (id int primary key, a int); insert into u values (1, 1)";

const OF_POSTGRES: &str = "
    create table t (id int, k int not null, s varchar(9), primary key (id, k)) partition by range (k);
    create schema other;
    create table \"p 0\" partition of t for values from (minvalue) to (10) partition by range (id);
    create table \"p 0sp0\" partition of \"p 0\" for values from (minvalue) to (2);
    create table other.\"p 0sp1\" partition of \"p 0\" for values from (2) to (maxvalue);
    create table p1 partition of t for values from (10) to (20);
    create table p2 partition of t for values from (20) to (maxvalue);
    insert into t values (1, 1, 'a'), (2, 9, 'b'), (3, 10, 'c'), (4, 19, null), (5, 20, 'e'), (6, 500, 'f');
    create table u (id int primary key, a int); insert into u values (1, 1)";

fn partitioned(source: Engine, target: Engine, load: &Value) -> Ruled {
    let ruled = Ruled::new(source, target, |schema| {
        vec![
            parallel_load(2, schema, "t", load),
            parallel_load(3, schema, "u", &json!({"type": "partitions-auto"})),
        ]
    });
    let is_postgres = source.is_postgres();
    ruled.source(if is_postgres { OF_POSTGRES } else { OF_MYSQL });
    ruled
}

#[test]
fn partitions_are_segments() {
    for (load, of_mysql, of_postgres) in [
        ("none", 1, 4),
        ("partitions-auto", 3, 4),
        ("subpartitions-auto", 6, 4),
    ] {
        for (source, target, expected) in [
            (Engine::Mariadb1011, Engine::Postgres18, of_mysql),
            (Engine::Mysql97, Engine::Postgres15, of_mysql),
            (Engine::Postgres18, Engine::Mariadb1011, of_postgres),
        ] {
            let ruled = partitioned(source, target, &json!({"type": load}));
            assert_eq!(chunks(&ruled, "t"), expected, "{load} of {source:?}");
            assert_eq!(chunks(&ruled, "u"), 1);
            if load == "none" {
                continue;
            }
            ruled.moved_and_compared("update t set k = 15 where id = 1; insert into t values (7, 10, 'g'); delete from t where id = 6");
        }
    }
}

#[test]
fn partitions_that_are_not_listed_are_left_out() {
    for (source, target, part) in [
        (Engine::Mariadb1011, Engine::Postgres18, "p 0sp1"),
        (Engine::Mysql97, Engine::Mysql97, "p 0sp1"),
        (Engine::Postgres18, Engine::Mariadb1011, "other.p 0sp1"),
    ] {
        let load =
            json!({"type": "partitions-list", "partitions": ["p2"], "subpartitions": [part]});
        let ruled = partitioned(source, target, &load);
        assert_eq!(chunks(&ruled, "t"), 2);
        ruled.run_well("migrate", &[]);
        let of_part = if source.is_postgres() {
            "in (2, 5, 6)"
        } else {
            "in (1, 5, 6)"
        };
        assert_eq!(ruled.target("select count(*) from t").trim(), "3");
        assert_eq!(
            ruled
                .target(&format!("select count(*) from t where id {of_part}"))
                .trim(),
            "3"
        );
        ruled.run_well("validate", &[]);
        // What is not loaded is not compared; what is loaded is.
        ruled.source("update t set s = 'x' where id = 3");
        ruled.run_well("validate", &[]);
        ruled.source("update t set s = 'x' where id = 5");
        assert_ne!(ruled.run("validate", &[]).exit_code, Some(0));

        let said = ruled.run("migrate", &["--until-caught-up"]);
        assert_ne!(said.exit_code, Some(0));
        assert!(
            format!("{said:?}").contains("which partition a row is in; list all partitions"),
            "{said:?}"
        );
    }
}

#[test]
fn all_partitions_may_be_listed_by_who_follows() {
    for (source, target) in [
        (Engine::Mariadb1011, Engine::Postgres18),
        (Engine::Postgres18, Engine::Mariadb1011),
    ] {
        let load = json!({"type": "partitions-list", "partitions": ["p1", "p2", "p 0"]});
        let ruled = partitioned(source, target, &load);
        ruled.moved_and_compared(
            "update t set k = 15 where id = 1; insert into t values (7, 10, 'g')",
        );
    }
}

#[test]
fn partitions_that_are_not_there_are_their_table_s_error() {
    for (source, target) in [
        (Engine::Mariadb1011, Engine::Postgres18),
        (Engine::Postgres18, Engine::Mariadb1011),
    ] {
        for (load, expected) in [
            (
                json!({"partitions": ["p1", "p9"]}),
                "partitions[1]: expected a partition of the table: p 0, p1, p2",
            ),
            (
                json!({"subpartitions": ["p1"]}),
                "subpartitions[0]: expected a subpartition of the table: ",
            ),
            (
                json!({"partitions": ["p1", "p1"]}),
                "partitions[1]: expected partition p1 to be listed once",
            ),
            (
                json!({"partitions": ["p 0"], "subpartitions": ["p 0sp0"]}),
                "subpartitions[0]: expected subpartition p 0sp0 to be listed once, and not",
            ),
        ] {
            let mut load = load;
            load["type"] = "partitions-list".into();
            let ruled = partitioned(source, target, &load);
            let said = ruled.run("migrate", &[]);
            assert_ne!(said.exit_code, Some(0));
            let expected = format!(
                "rule 2 of the table mappings does not fit it; $.rules[1].parallel-load.{expected}"
            );
            assert!(format!("{said:?}").contains(&expected), "{said:?}");
            assert_eq!(ruled.target("select count(*) from u").trim(), "1");
        }
    }
}

/// Rows of ranges that were committed are marked: one that is loaded again would lose the marks.
#[test]
fn an_interrupted_load_goes_on_with_the_ranges_that_are_left() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Postgres15),
        (Engine::Mariadb1011, Engine::Postgres15),
    ] {
        let boundaries: Vec<[String; 1]> =
            (1..20).map(|place| [(place * 100).to_string()]).collect();
        let ruled = Ruled::new(source, target, |schema| {
            let load = json!({"type": "ranges", "columns": ["v"], "boundaries": boundaries});
            vec![parallel_load(2, schema, "t", &load)]
        });
        ruled.source("create table t (id int primary key, v int, a varchar(9))");
        let rows: Vec<String> = (0..2000)
            .map(|id| {
                if id % 50 == 0 {
                    format!("({id}, null, 'x')")
                } else {
                    format!("({id}, {id}, 'x')")
                }
            })
            .collect();
        ruled.source(&format!("insert into t values {}", rows.join(", ")));
        ruled.target("create table t (id int primary key, v int, a varchar(9));
            create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.002); return new; end $$;
            create trigger slow before insert on t for each row execute function slow();");
        let count = |condition: &str| -> u64 {
            ruled
                .target(&format!("select count(*) from t where {condition}"))
                .trim()
                .parse()
                .unwrap()
        };
        let migration = ruled.start(&["--prepare", "do-nothing", "--jobs", "2"]);
        wait_until(|| count("true") >= 300);
        migration.kill();
        let kept = count("true");
        assert!((300..2000).contains(&kept), "{kept}");
        ruled.target("drop trigger slow on t; update t set a = 'kept'");
        ruled.run_well("migrate", &["--prepare", "do-nothing", "--resume"]);
        assert_eq!(
            (count("true"), count("a = 'kept'"), count("v is null")),
            (2000, kept, 40)
        );
    }
}
