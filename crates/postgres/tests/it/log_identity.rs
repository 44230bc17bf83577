//! By which columns changes name their rows, and tables that cannot be captured.

use whimbrel_connector::TableFault;
use whimbrel_testkit::Engine;

use crate::log_support::{Captured, tables};
use crate::support::{ENGINES, Pair, TASK};

#[tokio::test]
async fn each_replica_identity_names_rows_by_its_columns() {
    for engine in ENGINES {
        let mut log = Captured::of(
            engine,
            "create table by_default (id int primary key, name text);
             create table by_full (id int, name text); alter table by_full replica identity full;
             create table by_full_key (id int primary key, name text); alter table by_full_key replica identity full;
             create table by_index (id int primary key, name text, code int not null);
             create unique index by_code on by_index (code) include (name);
             alter table by_index replica identity using index by_code;",
        )
        .await;
        log.database
            .sql(
                "insert into by_default values (1, 'a'); update by_default set name = 'b'; delete from by_default;
                 insert into by_full values (1, null); update by_full set name = 'b'; delete from by_full;
                 insert into by_full_key values (1, 'a'); update by_full_key set id = 2; delete from by_full_key;
                 insert into by_index values (1, 'a', 7); update by_index set id = 2; update by_index set code = 8; delete from by_index;",
            )
            .unwrap();
        let end = log.log.end().await.unwrap();
        let mut reader = log.open().await;
        let told = reader.until(&end).await.unwrap();
        let told: Vec<String> = told.into_iter().flat_map(|told| told.changes).collect();
        assert_eq!(
            told,
            [
                "insert by_default (1, a)",
                "update by_default (1, b)",
                "delete by_default (1, ?)",
                "insert by_full (1, null)",
                "update by_full (1, null) → (1, b)",
                "delete by_full (1, b)",
                "insert by_full_key (1, a)",
                "update by_full_key (1, a) → (2, a)",
                "delete by_full_key (2, a)",
                "insert by_index (1, a, 7)",
                "update by_index (2, a, 7)",
                "update by_index (?, ?, 7) → (2, a, 8)",
                "delete by_index (?, ?, 8)",
            ]
        );
        assert_eq!(
            reader.shapes,
            [
                "table by_default (id integer, name text) by (id)",
                "table by_full (id integer, name text) by ()",
                "table by_full_key (id integer, name text) by (id)",
                "table by_index (id integer, name text, code integer) by (code)",
            ]
        );
    }
}

#[tokio::test]
async fn unchanged_oversized_values_are_not_sent() {
    for engine in ENGINES {
        let mut log = Captured::of(
            engine,
            "create table t (id int primary key, big text, n int); alter table t alter big set storage external;
             create table f (id int primary key, big text, n int); alter table f alter big set storage external;
             alter table f replica identity full;
             create table k (big text primary key, n int); alter table k alter big set storage external;",
        )
        .await;
        let told = log
            .told(
                "insert into t values (1, repeat('x', 10000), 1); update t set n = 2; update t set id = 2; update t set big = 'small';
                 insert into f values (1, repeat('x', 10000), 1); update f set n = 2;
                 insert into k values (repeat('x', 2600), 1); update k set n = 2; delete from k;",
            )
            .await;
        assert_eq!(
            told,
            [
                "insert t (1, 10000 characters, 1)",
                "update t (1, ?, 2)",
                "update t (1, ?, ?) → (2, ?, 2)",
                "update t (2, small, 2)",
                "insert f (1, 10000 characters, 1)",
                "update f (1, 10000 characters, 1) → (1, ?, 2)",
                "insert k (2600 characters, 1)",
                "update k (2600 characters, ?) → (?, 2)",
                "delete k (2600 characters, ?)",
            ]
        );
    }
}

#[tokio::test]
async fn tables_whose_rows_cannot_be_told_apart_are_refused_and_stay_writable() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "refused");
        pair.source
            .sql(
                "create table keyless (id int);
                 create table nothing (id int primary key); alter table nothing replica identity nothing;
                 create table late (id int, constraint late_key primary key (id) deferrable);
                 create table late_by_all (id int primary key deferrable); alter table late_by_all replica identity full;
                 create unlogged table unlogged (id int primary key);
                 create table dropped (id int not null); create unique index dropped_index on dropped (id);
                 alter table dropped replica identity using index dropped_index; drop index dropped_index;
                 create table good (id int primary key);
                 insert into keyless values (1); insert into nothing values (1);",
            )
            .unwrap();
        let mut found = tables(&*pair.from).await;
        found.push(whimbrel_core::Table {
            name: whimbrel_core::TableName::new("public", "no such table"),
            ..found[0].clone()
        });
        let mut log = pair.from.change_log(TASK).await.unwrap();
        let prepared = log.prepare(&found).await.unwrap();
        let expected = [
            (
                "dropped",
                "ALTER TABLE \"public\".\"dropped\" REPLICA IDENTITY FULL",
            ),
            ("keyless", "REPLICA IDENTITY FULL"),
            ("late", "REPLICA IDENTITY USING INDEX"),
            ("late_by_all", "one that is not DEFERRABLE"),
            ("nothing", "REPLICA IDENTITY FULL"),
            ("unlogged", "SET LOGGED"),
            ("no such table", "dropped or renamed"),
        ];
        assert_eq!(
            prepared.refused.len(),
            expected.len(),
            "{:?}",
            prepared.refused
        );
        for (TableFault { table, message }, (name, remedy)) in prepared.refused.iter().zip(expected)
        {
            assert_eq!(table.name, name);
            assert!(message.contains(remedy), "{message}");
        }
        // Published without an identity, these would fail.
        pair.source
            .sql("update keyless set id = 2; delete from nothing;")
            .unwrap();
        let mut stream = log.open(&found, &prepared.position).await.unwrap();
        let block = stream.next().await.unwrap();
        assert!(!block.events.is_empty());
        drop(stream);
        log.remove().await.unwrap();
    }
}

const PARTITIONED: &str = "
    create table p (id int, region text, note text, primary key (id, region)) partition by list (region);
    create table p_east partition of p for values in ('east');
    create table p_rest (note text, region text not null, gone int, id int not null);
    alter table p_rest drop column gone; alter table p attach partition p_rest default;";

#[tokio::test]
async fn changes_of_partitions_come_as_changes_of_their_table() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, PARTITIONED).await;
        let told = log
            .told(
                "insert into p values (1, 'east', 'a'), (2, 'west', 'b'); insert into p_east values (3, 'east', 'c');
                 update p set note = 'd' where id = 2; update p set region = 'west' where id = 1;
                 create table p_north partition of p for values in ('north'); insert into p values (4, 'north', 'e');
                 delete from p where id = 3; truncate p;",
            )
            .await;
        assert_eq!(
            told,
            [
                "insert p (1, east, a)",
                "insert p (2, west, b)",
                "insert p (3, east, c)",
                "update p (2, west, d)",
                "delete p (1, east, ?)",
                "insert p (1, west, a)",
                "insert p (4, north, e)",
                "delete p (3, east, ?)",
                "truncate p",
            ]
        );
    }
}

#[tokio::test]
async fn partitions_that_tell_less_than_their_table_promises_are_refused() {
    let pair = Pair::on(Engine::Postgres15, "partitions");
    pair.source.sql(PARTITIONED).unwrap();
    pair.source
        .sql("alter table p replica identity full;")
        .unwrap();
    let found = tables(&*pair.from).await;
    let mut log = pair.from.change_log(TASK).await.unwrap();
    let prepared = log.prepare(&found).await.unwrap();
    let message = &prepared.refused[0].message;
    assert!(message.contains("its partition public.p_"), "{message}");
    pair.source
        .sql("alter table p_east replica identity full; alter table p_rest replica identity full;")
        .unwrap();
    assert_eq!(log.prepare(&found).await.unwrap().refused, []);
    log.remove().await.unwrap();
}

#[tokio::test]
async fn tables_that_are_told_apart_by_computed_columns_are_refused_and_stay_writable() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "computed");
        pair.source
            .sql(
                "create table by_key (a int not null, k int generated always as (a * 2) stored primary key);
                 create table by_index (id int primary key, tenant int not null, g int generated always as (id * 2) stored not null);
                 create unique index by_both on by_index (tenant, g); alter table by_index replica identity using index by_both;
                 create table by_full (id int primary key, g int generated always as (id * 2) stored); alter table by_full replica identity full;
                 create table good (id int primary key, g int generated always as (id * 2) stored);
                 insert into by_key values (1), (2); insert into by_index values (1, 7), (2, 7);
                 insert into by_full values (1), (2); insert into good values (1), (2);",
            )
            .unwrap();
        let is_strict = engine == Engine::Postgres18;
        if is_strict {
            pair.source
                .sql(
                    "create table by_virtual (id int primary key, g int generated always as (id * 2) virtual);
                     alter table by_virtual replica identity full; insert into by_virtual values (1), (2);",
                )
                .unwrap();
        }
        let found = tables(&*pair.from).await;
        let mut log = pair.from.change_log(TASK).await.unwrap();
        let prepared = log.prepare(&found).await.unwrap();
        let mut expected = vec!["by_full", "by_index", "by_key", "by_virtual"];
        expected.retain(|name| is_strict || !matches!(*name, "by_full" | "by_virtual"));
        let refused = prepared.refused.iter();
        let names: Vec<&str> = refused.map(|fault| fault.table.name.as_str()).collect();
        assert_eq!(names, expected, "{engine}");
        for TableFault { table, message } in &prepared.refused {
            let is_full = matches!(&*table.name, "by_full" | "by_virtual");
            assert!(
                message.contains("REPLICA IDENTITY USING INDEX"),
                "{message}"
            );
            assert!(message.contains("generated"), "{message}");
            assert!(is_full || !message.contains("IDENTITY FULL"), "{message}");
            // Published as they are, some of these would fail.
            let sql = format!("delete from {}", table.name);
            pair.source.sql(&sql).unwrap();
        }
        if is_strict {
            let untold = log.old_rows_untold(&found).await.unwrap();
            let good = untold.iter().find(|fault| fault.table.name == "good");
            let message = &good.unwrap().message;
            assert!(!message.contains("run ALTER TABLE"), "{message}");
        }
        log.remove().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_that_is_told_apart_by_all_its_columns_again_has_its_own_key() {
    for engine in ENGINES {
        let mut log = Captured::of(
            engine,
            "create table t (id int primary key, u int not null); create unique index t_u on t (u);
             alter table t replica identity using index t_u;",
        )
        .await;
        log.database
            .sql(
                "insert into t values (9, 9); alter table t replica identity full; drop index t_u;
                 insert into t values (1, 5), (2, 5); delete from t where id = 1;",
            )
            .unwrap();
        let end = log.log.end().await.unwrap();
        let mut reader = log.open().await;
        reader.until(&end).await.unwrap();
        let shape = reader.shapes.last().unwrap();
        assert_eq!(shape, "table t (id integer, u integer) by (id)", "{engine}");
    }
}
