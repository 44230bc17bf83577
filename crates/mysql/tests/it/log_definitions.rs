//! Definitions that the log tells in ways of its own, late, or not at all: rows are never read with columns that their table did not have.

use std::time::Duration;

use whimbrel_connector::{ChangeStream, LogEvent};
use whimbrel_testkit::{Engine, Server, ServerOptions, TestDatabase};

use crate::log_support::{Seen, Tap, inserted, outline};
use crate::support::ENGINES;

const TABLE: &str = "create table t (id int primary key, a int, b int)";
/// By their types alone the columns could be taken for each other.
const SWAP: &str = "alter table t modify column a int after b";

fn database(engine: Engine, hint: &str) -> TestDatabase {
    let database = Server::get(engine).unwrap().database(hint).unwrap();
    database.sql(TABLE).unwrap();
    database
}

async fn seen_of(engine: Engine, hint: &str, sql: &str) -> Vec<Seen> {
    let database = database(engine, hint);
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    database.sql(sql).unwrap();
    tap.seen(&start).await
}

#[tokio::test]
async fn an_alteration_behind_settings_of_its_own_is_one() {
    let sql = format!(
        "insert into t values (1, 2, 3); set statement lock_wait_timeout = 9, sql_mode = 'ansi' for {SWAP}; insert into t values (4, 6, 5)"
    );
    let seen = seen_of(Engine::Mariadb1011, "log_settings", &sql).await;
    assert_eq!(outline(&seen), "(+)(t)(+)", "{seen:?}");
}

/// With `binlog_alter_two_phase` MariaDB tells an alteration when it begins and when it is over, or has come to nothing.
#[tokio::test]
async fn an_alteration_in_two_phases_is_made_in_the_second() {
    let sql = "insert into t values (1, 2, null); set binlog_alter_two_phase = on; alter table t rename column a to c, algorithm = copy;
               insert into t values (4, 6, 5)";
    let seen = seen_of(Engine::Mariadb1011, "log_phases", sql).await;
    assert_eq!(outline(&seen), "(+)(t)(+)", "{seen:?}");

    let database = database(Engine::Mariadb1011, "log_phases");
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    database
        .sql("insert into t values (1, 2, null); set binlog_alter_two_phase = on")
        .unwrap();
    let refused = "set binlog_alter_two_phase = on; alter table t modify column b int not null, rename column a to c, algorithm = copy";
    assert!(database.sql(refused).is_err(), "there is a NULL");
    database.sql("insert into t values (4, 6, 5)").unwrap();
    let seen = tap.seen(&start).await;
    assert_eq!(outline(&seen), "(+)(+)", "{seen:?}");
}

/// The columns of the first table that is told from here on, behind what the stream was opened with.
async fn next_columns(stream: &mut dyn ChangeStream) -> Vec<String> {
    let mut has_begun = false;
    loop {
        let block = stream.next().await.unwrap();
        for event in block.events {
            match event {
                LogEvent::Begin { .. } => has_begun = true,
                LogEvent::Table { table, .. } if has_begun => {
                    let names = table.columns.iter().map(|column| column.name.clone());
                    return names.collect();
                }
                _ => {}
            }
        }
    }
}

/// A server that waits for a replica has sent a definition that its own catalog does not have.
#[tokio::test]
async fn the_catalog_is_asked_once_it_has_what_the_log_tells() {
    let server = Server::private_with(Engine::Mysql97, ServerOptions::default()).unwrap();
    let database = server.database("log_semisync").unwrap();
    database.sql(TABLE).unwrap();
    database
        .sql("install plugin rpl_semi_sync_source soname 'semisync_source.so';
              set global rpl_semi_sync_source_timeout = 3000; set global rpl_semi_sync_source_enabled = on")
        .unwrap();
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    let mut stream = tap.open(&start).await;
    let url = database.url();
    let altering = tokio::task::spawn_blocking(move || {
        database
            .sql("alter table t rename column a to c")
            .map(|_| database)
    });
    let columns = tokio::time::timeout(Duration::from_mins(1), next_columns(&mut *stream)).await;
    assert_eq!(columns.expect("it is told"), ["id", "c", "b"], "{url}");
    altering.await.unwrap().unwrap();
}

/// Made with the log switched off while nobody followed: by their order alone the columns would be taken for each other.
#[tokio::test]
async fn a_table_altered_without_the_logs_knowledge_is_to_be_loaded_again() {
    for engine in ENGINES {
        let database = database(engine, "log_unlogged");
        database.sql("create table u (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql(&format!(
                "insert into u values (1); set sql_log_bin = 0; {SWAP}; set sql_log_bin = 1; insert into t values (4, 6, 5); insert into u values (2)"
            ))
            .unwrap();
        let seen = tap.seen(&start).await;
        let Some(Seen::Rewritten(table, why)) = seen.first() else {
            panic!("{engine} {seen:?}")
        };
        assert!(table == "t" && why.contains("does not tell"), "{why}");
        assert_eq!(inserted(&seen, "u").len(), 2, "the others go on");

        // What the log tells is no reason, though the catalog is ahead of the place.
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let back = "insert into u values (3); alter table t modify column a int after id; insert into t values (7, 8, 9)";
        database.sql(back).unwrap();
        assert_eq!(outline(&tap.seen(&start).await), "(+)(t)(+)", "{engine}");
    }
}

/// Whoever begins at a place of their own begins with the tables of now.
#[tokio::test]
async fn tables_that_were_altered_behind_a_place_are_told() {
    for engine in ENGINES {
        let database = database(engine, "log_since");
        database
            .sql("create table u (id int primary key); create table w (id int primary key); create table old (id int primary key)")
            .unwrap();
        let tap = &mut Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql(&format!(
                "insert into t values (1, 2, 3); insert into u values (1); {SWAP}; create table new (id int primary key); rename table w to v;
                 drop table old; create table old (id int); alter table u add index (id); insert into new values (1)"
            ))
            .unwrap();
        *tap = Tap::on(&database).await;
        let mut faults = tap.log.altered_since(&tap.tables, &start).await.unwrap();
        faults.sort_by(|one, other| one.table.cmp(&other.table));
        let names: Vec<&str> = faults.iter().map(|fault| &*fault.table.name).collect();
        // An index changes no columns.
        assert_eq!(names, ["old", "t", "v"], "{engine} {faults:?}");
        let end = tap.log.end().await.unwrap();
        let remedy = faults[1].message.split_once(" begin at ").unwrap().1;
        let place = remedy.split([' ', ';', ',']).next().unwrap();
        let begun = whimbrel_connector::StartPoint::Given(place.to_owned());
        let begun = tap.log.locate(&begun).await.unwrap();
        let later = tap.log.altered_since(&tap.tables, &begun).await.unwrap();
        assert!(
            !later.iter().any(|fault| fault.table.name == "t"),
            "{later:?}"
        );
        assert!(
            later.iter().any(|fault| fault.table.name == "v"),
            "{later:?}"
        );
        assert_eq!(tap.log.altered_since(&tap.tables, &end).await.unwrap(), []);
    }
}
