//! Rows that are chosen.

use serde_json::{Value, json};
use whimbrel_testkit::Engine;

use super::{Ruled, filter};

/// A type, values of it, conditions of a filter, and the same condition in the words of the source.
type Typed = (&'static str, &'static [&'static str], Value, &'static str);

fn between(start: &str, end: &str) -> Value {
    json!([{"filter-operator": "between", "start-value": start, "end-value": end}])
}

fn one(operator: &str, value: &str) -> Value {
    json!([{"filter-operator": operator, "value": value}])
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn of_postgres() -> Vec<Typed> {
    vec![
        (
            "int",
            &["-1", "0", "5", "7", "2147483647", "null"],
            one("gte", "5"),
            "v >= 5",
        ),
        (
            "int",
            &["-1", "0", "5", "7", "null"],
            one("noteq", "5"),
            "v <> 5",
        ),
        (
            "bigint",
            &["9223372036854775807", "-3", "2", "3", "null"],
            one("gte", "2.5"),
            "v >= 2.5",
        ),
        (
            "numeric(30,10)",
            &[
                "1.5",
                "1.50",
                "1.4999999999",
                "-7",
                "99999999999999999999.5",
                "null",
            ],
            between("1.5", "100000000000000000000"),
            "v between 1.5 and 100000000000000000000",
        ),
        (
            "numeric",
            &["'NaN'", "'Infinity'", "'-Infinity'", "0.1", "null"],
            one("gte", "0.1"),
            "v >= 0.1",
        ),
        (
            "real",
            &["0.1", "0.2", "'NaN'", "-0.0", "null"],
            one("lte", "0.1"),
            "v <= 0.1::real",
        ),
        (
            "double precision",
            &["0.1", "1e300", "'-Infinity'", "'NaN'"],
            one("gte", "1e300"),
            "v >= 1e300",
        ),
        (
            "boolean",
            &["true", "false", "null"],
            one("eq", "true"),
            "v",
        ),
        (
            "text",
            &[
                "'a'",
                "'b'",
                "'B'",
                "'b '",
                "'é'",
                "''",
                "'ba'",
                "'it''s \\ x'",
                "null",
            ],
            one("gte", "b"),
            "v collate \"C\" >= 'b'",
        ),
        (
            "varchar(20)",
            &["'it''s'", "'its'", "'IT''S'", "null"],
            one("eq", "it's"),
            "v = 'it''s'",
        ),
        (
            "char(5)",
            &["'b'", "'b  '", "'a'", "'c'", "null"],
            one("lte", "b"),
            "v::text collate \"C\" <= 'b'",
        ),
        (
            "date",
            &[
                "'2024-02-29'",
                "'2023-12-31'",
                "'infinity'",
                "'-infinity'",
                "'0044-03-15 BC'",
                "null",
            ],
            one("gte", "2024-02-29"),
            "v >= '2024-02-29'",
        ),
        (
            "timestamp",
            &[
                "'2024-02-29 12:00:00'",
                "'2024-02-29 12:00:00.000001'",
                "'infinity'",
                "'1999-01-01'",
                "null",
            ],
            one("lte", "2024-02-29 12:00:00.000"),
            "v <= '2024-02-29 12:00:00'",
        ),
        (
            "timestamptz",
            &[
                "'2024-02-29 12:00:00+02'",
                "'2024-02-29 12:00:00+00'",
                "'2024-02-29 09:59:59.999+00'",
                "null",
            ],
            between("2024-02-29 10:00:00", "2024-02-29 11:00:00"),
            "v between '2024-02-29 10:00:00+00' and '2024-02-29 11:00:00+00'",
        ),
        (
            "time",
            &["'00:00'", "'12:30:00.5'", "'24:00'", "null"],
            one("gte", "12:30:00.5"),
            "v >= '12:30:00.5'",
        ),
        (
            "uuid",
            &[
                "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
                "'00000000-0000-0000-0000-000000000000'",
                "null",
            ],
            one("gte", "10000000-0000-0000-0000-000000000000"),
            "v >= '10000000-0000-0000-0000-000000000000'",
        ),
        (
            "jsonb",
            &["'{}'", "'null'", "null"],
            json!([{"filter-operator": "null"}]),
            "v is null",
        ),
        (
            "int[]",
            &["'{1}'", "'{null}'", "null"],
            json!([{"filter-operator": "notnull"}]),
            "v is not null",
        ),
        (
            "int",
            &["1", "2", "3", "9", "null"],
            json!([{"filter-operator": "notbetween", "start-value": "2", "end-value": "3"}, {"filter-operator": "lte", "value": "5"}, {"filter-operator": "null"}]),
            "v not between 2 and 3 and (v <= 5 or v is null)",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn of_mysql() -> Vec<Typed> {
    vec![
        (
            "int",
            &["-1", "0", "5", "7", "null"],
            one("gte", "5"),
            "v >= 5",
        ),
        (
            "bigint unsigned",
            &["18446744073709551615", "0", "3", "null"],
            one("gte", "2.5"),
            "v >= 2.5",
        ),
        (
            "int unsigned",
            &["0", "4000000000", "null"],
            one("gte", "-5"),
            "v >= -5",
        ),
        (
            "decimal(30,10)",
            &["1.5", "1.4999999999", "-7", "null"],
            one("gte", "1.50"),
            "v >= 1.5",
        ),
        (
            "float",
            &["0.1", "0.2", "-0.0", "null"],
            one("lte", "0.1"),
            "v <= 0.1e0",
        ),
        (
            "double",
            &["0.1", "1e300", "-3", "null"],
            one("eq", "1e300"),
            "v = 1e300",
        ),
        (
            "varchar(20) character set utf8mb4",
            &[
                "'a'",
                "'b'",
                "'B'",
                "'b '",
                "'é'",
                "''",
                "'ba'",
                "'it''s \\\\ x'",
                "null",
            ],
            one("gte", "b"),
            "cast(v as binary) >= 'b'",
        ),
        (
            "varchar(20) character set latin1",
            &["'é'", "'e'", "'É'", "null"],
            one("eq", "é"),
            "cast(convert(v using utf8mb4) as binary) = 'é'",
        ),
        (
            "char(5) character set utf8mb4",
            &["'b'", "'B'", "'a'", "'c'", "null"],
            one("lte", "b"),
            "cast(v as binary) <= 'b'",
        ),
        (
            "text character set utf8mb4",
            &["'x'", "'X'", "'y'", "null"],
            one("noteq", "x"),
            "cast(v as binary) <> 'x'",
        ),
        (
            "enum('z','a','m') character set utf8mb4",
            &["'z'", "'a'", "'m'", "null"],
            one("gte", "m"),
            "cast(concat(v) as binary) >= 'm'",
        ),
        (
            "date",
            &["'2024-02-29'", "'2023-12-31'", "'9999-12-31'", "null"],
            one("gte", "2024-02-29"),
            "v >= '2024-02-29'",
        ),
        (
            "datetime(6)",
            &[
                "'2024-02-29 12:00:00'",
                "'2024-02-29 12:00:00.000001'",
                "'1999-01-01'",
                "null",
            ],
            one("lte", "2024-02-29 12:00:00.000"),
            "v <= '2024-02-29 12:00:00'",
        ),
        (
            "timestamp(3) null",
            &[
                "'2024-02-29 12:00:00'",
                "'2024-02-29 12:00:00.001'",
                "'1999-01-01'",
                "null",
            ],
            one("gte", "2024-02-29 12:00:00.001"),
            "v >= '2024-02-29 12:00:00.001'",
        ),
        (
            "time(3)",
            &[
                "'-838:59:59'",
                "'-00:00:01'",
                "'00:00:00'",
                "'100:00:00.5'",
                "null",
            ],
            one("lte", "-00:00:01"),
            "v <= '-00:00:01'",
        ),
        (
            "year",
            &["1970", "2069", "2000", "null"],
            one("gte", "1999"),
            "v >= 1999",
        ),
        (
            "json",
            &["'{}'", "'null'", "null"],
            json!([{"filter-operator": "notnull"}]),
            "v is not null",
        ),
    ]
}

/// For each type a table whose rows are loaded, and then the same rows again and others as changes.
fn rows_are_chosen(source: Engine, target: Engine, types: &[Typed]) {
    let ruled = Ruled::new(source, target, |schema| {
        let rule = |(place, typed): (u32, &Typed)| {
            filter(10 + place, schema, &format!("f{place}"), "v", &typed.2)
        };
        (0..).zip(types).map(rule).collect()
    });
    let mut changes = Vec::new();
    for (place, (ty, values, ..)) in types.iter().enumerate() {
        let row = |id: usize, value: &str| format!("({id}, {value}, 'n')");
        let rows = |from: usize, values: Vec<&str>| -> String {
            let rows = (from..).zip(values).map(|(id, value)| row(id, value));
            rows.collect::<Vec<_>>().join(", ")
        };
        ruled.source(&format!(
            "create table f{place} (id int primary key, v {ty}, note varchar(9)); insert into f{place} values {}, {}",
            rows(1, values.to_vec()),
            // These become others.
            rows(201, values.to_vec()),
        ));
        changes.push(format!(
            "insert into f{place} values {}",
            rows(101, values.to_vec())
        ));
        for (id, value) in (201..).zip(values.iter().rev()) {
            changes.push(format!("update f{place} set v = {value} where id = {id}"));
        }
        // What the filter looks at stays as it is.
        changes.push(format!("update f{place} set note = 'm' where id < 200"));
        changes.push(format!("delete from f{place} where id in (1, 102)"));
        changes.push(format!("update f{place} set id = 900 where id = 201"));
    }
    ruled.moved_and_compared(&changes.join("; "));
    for (place, (ty, values, conditions, native)) in types.iter().enumerate() {
        let expected = ruled.source(&format!(
            "select id, note from f{place} where {native} order by id"
        ));
        let arrived = ruled.target(&format!("select id, note from f{place} order by id"));
        assert_eq!(arrived, expected, "{source} {target} {ty} {conditions}");
        let all = ruled.source(&format!("select id, note from f{place}"));
        assert!(
            arrived.len() < all.len() && values.len() > 2,
            "{ty} {conditions}: {arrived}"
        );
    }
}

#[test]
fn rows_of_postgres_are_chosen_as_the_server_chooses() {
    rows_are_chosen(Engine::Postgres15, Engine::Postgres18, &of_postgres());
    let held: Vec<Typed> = of_postgres()
        .into_iter()
        .filter(|(_, values, ..)| {
            let text = values.concat();
            !text.contains("nfinity") && !text.contains("NaN") && !text.contains("BC")
        })
        .collect();
    rows_are_chosen(Engine::Postgres18, Engine::Mariadb1011, &held);
}

#[test]
fn rows_of_mysql_and_mariadb_are_chosen_as_the_server_chooses() {
    // PostgreSQL has no times below zero.
    let held: Vec<Typed> = of_mysql()
        .into_iter()
        .filter(|(ty, ..)| !ty.starts_with("time("))
        .collect();
    rows_are_chosen(Engine::Mysql97, Engine::Postgres18, &held);
    rows_are_chosen(Engine::Mariadb1011, Engine::Mysql97, &of_mysql());
}

#[test]
fn a_log_that_does_not_tell_enough_suspends_the_table_with_what_to_do() {
    let by_state = |schema: &str| vec![filter(2, schema, "t", "state", &one("eq", "in"))];
    let long = "(select string_agg(md5(n::text), '') from generate_series(1, 300) n)";
    let ruled = Ruled::new(Engine::Postgres15, Engine::Postgres18, by_state);
    ruled.source(&format!(
        "create table t (id int primary key, state text, body text); create table other (id int primary key);
         insert into t select 1, 'out', {long}; insert into t select 2, 'in', {long}; insert into t select 3, 'in', {long}"
    ));
    ruled.run_well("migrate", &["--until-caught-up"]);
    // The key tells enough of a row that goes out.
    ruled.source("update t set state = 'out' where id = 2; delete from t where id = 3");
    ruled.run_well("migrate", &["--until-caught-up", "--resume"]);
    assert_eq!(ruled.target("select count(*) from t"), "0\n");
    ruled.source("update t set state = 'in' where id = 1; insert into other values (1)");
    let said = ruled.run("migrate", &["--until-caught-up", "--resume"]);
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    assert!(
        format!("{said:?}").contains("REPLICA IDENTITY FULL"),
        "{said:?}"
    );
    assert_eq!(ruled.target("select count(*) from other"), "1\n");

    let ruled = Ruled::new(Engine::Postgres15, Engine::Mysql97, by_state);
    ruled.source(&format!(
        "create table t (id int primary key, state text, body text); alter table t replica identity full;
         insert into t select 1, 'out', {long}; insert into t select 2, 'in', {long}"
    ));
    ruled.moved_and_compared(
        "update t set state = 'in' where id = 1; update t set state = 'out' where id = 2",
    );
    assert_eq!(ruled.target("select id, length(body) from t"), "1\t9600\n");
}

#[test]
fn minimal_row_images_tell_enough_while_the_filter_s_columns_stay() {
    for source in [Engine::Mysql97, Engine::Mariadb1011] {
        let ruled = Ruled::new(source, Engine::Postgres18, |schema| {
            vec![filter(2, schema, "t", "state", &one("eq", "in"))]
        });
        ruled.source(
            "create table t (id int primary key, state varchar(9), n int); insert into t values (1, 'in', 1), (2, 'out', 2), (3, 'in', 3)",
        );
        ruled.moved_and_compared(
            "set session binlog_row_image = minimal; update t set n = n + 10; update t set state = 'out' where id = 3; delete from t where id = 2",
        );
        assert_eq!(ruled.target("select id, n from t"), "1\t11\n");
        ruled.source(
            "set session binlog_row_image = minimal; update t set state = 'in' where id = 3",
        );
        let said = ruled.run("migrate", &["--until-caught-up", "--resume"]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        assert!(
            format!("{said:?}").contains("binlog_row_image = FULL"),
            "{said:?}"
        );
    }
}
