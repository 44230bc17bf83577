//! The law of change capture: the log gives for a row, inserted or updated, what a full load gives for it.

use std::collections::HashMap;

use whimbrel_testkit::{Engine, Server, ServerOptions, TestDatabase};

use crate::log_support::{Tap, inserted, updated};
use crate::support::ENGINES;
use crate::types::COMMON;

/// Runs `make` (tables), then `fill` (rows), and checks the law for every row of every table by inserting each row again
/// through the log.
async fn law_holds(engine: Engine, hint: &str, make: &str, fill: &str) {
    law_on(
        &Server::get(engine).unwrap().database(hint).unwrap(),
        make,
        fill,
    )
    .await;
}

pub(crate) async fn law_on(database: &TestDatabase, make: &str, fill: &str) {
    let engine = database.engine();
    database.sql(make).unwrap();
    let mut tap = Tap::on(database).await;
    let start = tap.start().await;
    database.sql(fill).unwrap();
    let names: Vec<String> = tap
        .tables
        .iter()
        .map(|table| table.name.name.clone())
        .collect();
    let seen = tap.seen(&start).await;
    for name in &names {
        let loaded = tap.loaded(name).await;
        assert!(!loaded.is_empty());
        let mut captured = inserted(&seen, name);
        captured.sort();
        let mut sorted = loaded.clone();
        sorted.sort();
        for (captured, loaded) in captured.iter().zip(&sorted) {
            assert_eq!(captured, loaded, "{engine} {name}: insert against load");
        }
        assert_eq!(captured.len(), loaded.len());
    }
    let middle = tap.log.end().await.unwrap();
    for table in &tap.tables {
        let key = &table.columns[table.primary_key[0]].name;
        // The key comes back, so that each row is written twice, all cells of it once.
        let name = &table.name.name;
        database
            .sql(&format!("set sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'; set foreign_key_checks = 0;
                update {name} set {key} = {key} + 1000; update {name} set {key} = {key} - 1000"))
            .unwrap();
    }
    let seen = tap.seen(&middle).await;
    for name in &names {
        let mut loaded = tap.loaded(name).await;
        loaded.sort();
        let mut captured = updated(&seen, name).split_off(loaded.len());
        captured.sort();
        assert_eq!(captured, loaded, "{engine} {name}: update against load");
    }
}

/// Splits a script into the statements that make tables and those that fill them.
pub(crate) fn split(script: &str) -> (String, String) {
    let mut made = (String::new(), String::new());
    for statement in script.split(";\n") {
        let part = if statement.trim_start().starts_with("create") {
            &mut made.0
        } else {
            &mut made.1
        };
        part.push_str(statement);
        part.push_str(";\n");
    }
    made
}

#[tokio::test]
async fn every_common_type_is_captured_as_it_is_loaded() {
    for engine in ENGINES {
        let (make, fill) = split(COMMON);
        law_holds(engine, "log_types", &make, &fill).await;
    }
}

#[tokio::test]
async fn documents_in_json_are_captured_as_the_server_writes_them() {
    let make = "create table j (id int auto_increment primary key, j json)";
    let fill = r#"insert into j (j) values ('{"a": [1, 2.5, "x\\ny \\u00e9 𝄞 \\u0001\\b\\f\\r\\t\\" / \\\\", null, true, false]}'), ('null'), (null), ('[]'), ('{}'), ('"text"'),
          ('[18446744073709551615, -9223372036854775808, 1e300, 0.1, -0.0, 1.0, 100.0, 1e15, 1e14, 123456789012345678, 1.5e-7, 2147483648, -32769, 65536, 32768, -1, 1e-15, 1e-16, 5e-324, 1.7976931348623157e308, 123456789.123456789]'),
          (json_object('k', repeat('long ', 20000), 'z', json_array(repeat('x', 100), repeat('y', 200))));"#;
    for engine in ENGINES {
        law_holds(engine, "log_json", make, fill).await;
    }
    let fill = r"insert into j (j) values
          (json_array(cast(1.50 as decimal(10, 2)), cast(-0.000001 as decimal(30, 20)), 12345678901234567890.5)),
          (json_array(cast('2015-01-15' as date), cast('23:24:25' as time), cast('-838:59:59.5' as time(1)), cast('2015-01-15 23:24:25.12' as datetime(3)), cast('0000-00-00' as date))),
          (json_array(timestamp'2015-01-15 23:24:25.123456', x'00ff10', b'1010', cast('abc' as binary))),
          (json_object('bytes', cast(repeat('abcdefgh', 50) as binary))), (json_array(point(1, 2))),
          (json_array(cast(repeat('9', 65) as decimal(65, 0)), cast(0.1 as decimal(30, 30))));
        insert into j (j) with recursive n (i) as (select 1 union all select i + 1 from n where i < 300)
          select json_array(rand(i) * pow(10, i % 40 - 20), -rand(i) * pow(10, i - 150), pow(2, i), floor(rand(i) * pow(10, i % 25)) * 1.0e0) from n;
        insert into j (j) with recursive n (i) as (select 1 union all select i + 1 from n where i < 900)
          select json_objectagg(concat('key', i), repeat('v', i)) from n;";
    law_holds(
        Engine::Mysql97,
        "log_jsonb",
        make,
        &format!("set sql_mode = 'ALLOW_INVALID_DATES';{fill}"),
    )
    .await;
}

#[tokio::test]
async fn types_of_one_flavour_alone_are_captured_as_they_are_loaded() {
    let make = "create table t (id int primary key, u uuid, i4 inet4, i6 inet6, z longtext compressed, zv varchar(300) compressed character set latin1, zb varbinary(2000) compressed, zt tinytext compressed,
          inv int invisible default 3, g int as (inv * 2) stored, v int generated always as (inv + 1) virtual, after_computed varchar(9));";
    let fill = "insert into t (id, u, i4, i6, z, zv, zb, zt, inv, after_computed) values
          (1, '123e4567-e89b-12d3-a456-426655440000', '192.168.0.1', '2001:db8::ff00:42:8329', repeat('abcä', 1000), repeat('é', 200), repeat('x', 1500), repeat('t', 200), 9, 'x'),
          (2, '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', '', '', '', '', null, ''),
          (3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '255.255.255.255', '::ffff:1.2.3.4', 'short', 'é', x'00', 'a', 1, 'y'),
          (4, '017f22e2-79b0-7cc3-98c4-dc0c0c07398f', '1.0.0.0', '::1.2.3.4', null, null, null, null, 1, null),
          (5, 'c232ab00-9414-11ec-b3c8-9e6bdeced846', null, '1::', 'x', 'x', 'x', 'x', 1, 'z'),
          (6, '5df41881-3aed-3515-88a7-2f4a814cf09e', null, 'fe80::1:0:0:1', 'x', 'x', 'x', 'x', 1, 'z'),
          (7, '1ec9414c-232a-6b00-b3c8-9e6bdeced846', null, '1:0:0:2::', 'x', 'x', 'x', 'x', 1, 'z'),
          (8, '919108f7-52d1-4320-9bac-f847db4148a8', null, '::1', 'x', 'x', 'x', 'x', 1, 'z'),
          (9, '919108f7-52d1-4320-1bac-f847db414800', null, null, 'x', 'x', 'x', 'x', 1, 'z');";
    law_holds(Engine::Mariadb1011, "log_mariadb_types", make, fill).await;
    let make = "create table t (id int primary key, v vector(3), g point not null srid 4326, x int, y int as (x + 1) stored, w int as (x + 2) virtual, z varchar(9) collate utf8mb4_0900_as_cs, a varchar(20) invisible,
          key ((upper(z))), j json, key multi ((cast(j->'$.ids' as unsigned array))));
        create table hidden (a int, b int); create table u (id int primary key, d decimal(10,2) zerofill, i int(5) unsigned zerofill);";
    let fill = "insert into t (id, v, g, x, z, a, j) values (1, to_vector('[1,2.5,-3]'), st_srid(point(10, 20), 4326), 4, 'aä', 'a', '{\"ids\": [1, 2]}'), (2, null, st_srid(point(1, 2), 4326), null, null, null, null);
        insert into u values (1, 1.5, 7), (2, 0, 0);";
    let make = make.replace("create table hidden (a int, b int); ", "");
    law_holds(Engine::Mysql97, "log_mysql_types", &make, fill).await;
}

/// Tables with texts of each character set, and rows for them.
fn texts(sets: &[(&str, u32)], codes: &HashMap<String, String>) -> (String, String) {
    let columns: Vec<String> = sets
        .iter()
        .map(|(name, _)| format!("v_{name} varchar(64) character set {name}, c_{name} char(40) character set {name}, t_{name} tinytext character set {name}, e_{name} enum('a','b') character set {name}"))
        .collect();
    // As many tables as rows of tables may be long.
    let tables: Vec<String> = columns
        .chunks(8)
        .enumerate()
        .map(|(index, columns)| {
            format!(
                "create table t{index} (id int primary key, {});\n",
                columns.join(", ")
            )
        })
        .collect();
    let mut fill = vec!["set sql_mode = '';\n".to_owned()];
    let names: Vec<&str> = sets.iter().map(|(name, _)| *name).collect();
    for (index, names) in names.chunks(8).enumerate() {
        for (row, text) in [
            "abc é ä ß",
            "привет мир",
            "カタカナ 漢字 한국어",
            "שלום Ελληνικά ไทย",
            "𝄞 € ½ ł ş",
            "",
            "~\\\\ ¥ £",
        ]
        .iter()
        .enumerate()
        {
            let values: Vec<String> = names
                .iter()
                .map(|_| format!("'{text}', '{text}', '{text}', 'b'"))
                .collect();
            fill.push(format!(
                "insert ignore into t{index} values ({row}, {});\n",
                values.join(", ")
            ));
        }
        // Bytes straight from the table of codes, for sets of single bytes.
        let values: Vec<String> = names
            .iter()
            .map(|name| {
                let text = match codes.get(*name) {
                    Some(bytes) => format!("_{name} x'{bytes}'"),
                    None => "'x'".to_owned(),
                };
                format!("{text}, {text}, {text}, 'a'")
            })
            .collect();
        fill.push(format!(
            "insert ignore into t{index} values (99, {});\n",
            values.join(", ")
        ));
    }
    (tables.concat(), fill.concat())
}

/// Of each set of single bytes some codes beyond ASCII that mean something; the others are no text.
fn single_codes(server: &Server, sets: &[(&str, u32)]) -> HashMap<String, String> {
    let codes = [
        "80", "81", "8d", "8f", "90", "9d", "a0", "a4", "bc", "d0", "e0", "f1", "ff",
    ];
    let codes = codes
        .map(|code| format!("select '{code}' as code"))
        .join(" union all ");
    let single = sets
        .iter()
        .filter(|(name, width)| *width == 1 && *name != "ascii");
    let of_set = single.map(|(name, _)| {
        format!(
            "select '{name}', group_concat(code order by code separator '') from ({codes}) c where hex(convert(convert(unhex(code) using {name}) using utf8mb4)) <> '3F'"
        )
    });
    let sql = of_set.collect::<Vec<_>>().join(" union all ");
    let found = server.sql(&sql).unwrap();
    let found = found.lines().filter_map(|line| line.split_once('\t'));
    found
        .filter(|(_, bytes)| *bytes != "NULL")
        .map(|(name, bytes)| (name.to_owned(), bytes.to_owned()))
        .collect()
}

#[tokio::test]
async fn text_of_every_character_set_is_captured_as_it_is_loaded() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let sets = server
            .sql("select character_set_name, maxlen from information_schema.character_sets where character_set_name <> 'binary' order by 1")
            .unwrap();
        let sets: Vec<(&str, u32)> = sets
            .lines()
            .map(|line| {
                line.split_once('\t')
                    .map(|(name, width)| (name, width.parse().unwrap()))
                    .unwrap()
            })
            .collect();
        assert!(sets.len() >= 39, "{sets:?}");
        let (tables, fill) = texts(&sets, &single_codes(&server, &sets));
        law_holds(engine, "log_charsets", &tables, &fill).await;
    }
}

#[tokio::test]
async fn times_in_the_old_forms_are_captured_as_they_are_loaded() {
    let server = Server::private_with(
        Engine::Mariadb1011,
        ServerOptions {
            settings: vec![("mysql56-temporal-format".into(), "OFF".into())],
            ..ServerOptions::default()
        },
    )
    .unwrap();
    let database = server.database("log_old_times").unwrap();
    let columns: Vec<String> = (0..=6)
        .map(|digits| format!(", t{digits} time({digits}), d{digits} datetime({digits}), s{digits} timestamp({digits}) null"))
        .collect();
    let values = |time: &str, at: &str, instant: &str| -> String {
        format!(", '{time}', '{at}', '{instant}'").repeat(7)
    };
    let make = format!("create table t (id int primary key{})", columns.concat());
    let rows = [
        values(
            "-11:22:33.44",
            "2020-02-29 23:59:59.123456",
            "2038-01-19 03:14:07.999999",
        ),
        values("838:59:59", "9999-12-31 23:59:59", "1970-01-01 00:00:01"),
        values("-838:59:59", "0000-00-00", "0000-00-00"),
        values(
            "00:00:00.000001",
            "2020-05-00 10:11:12.5",
            "2024-01-02 03:04:05.5",
        ),
    ];
    let rows: Vec<String> = (0..)
        .zip(&rows)
        .map(|(id, row)| format!("({id}{row})"))
        .collect();
    let fill = format!("insert into t values {}", rows.join(", "));
    law_on(&database, &make, &fill).await;
}
