//! The law of change capture: the log gives for a row, inserted or updated, what a full load gives for it.

use whimbrel_testkit::{Engine, Server};

use crate::log_support::{Tap, inserted, updated};
use crate::support::ENGINES;
use crate::types::COMMON;

/// Runs `make` (tables), then `fill` (rows), and checks the law for every row of every table by inserting each row again
/// through the log.
async fn law_holds(engine: Engine, hint: &str, make: &str, fill: &str) {
    let database = Server::get(engine).unwrap().database(hint).unwrap();
    database.sql(make).unwrap();
    let mut tap = Tap::on(&database).await;
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
fn split(script: &str) -> (String, String) {
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
