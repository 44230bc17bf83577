//! Primary keys are built after the rows.

use whimbrel_connector::{Error, KeyPolicy};
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair, TASK, all_tables, load_table};

const KEY_COLUMNS: &str = "select a.attname from pg_index i, unnest(i.indkey) with ordinality k (n, o), pg_attribute a
    where i.indrelid = 't'::regclass and i.indisprimary and a.attrelid = i.indrelid and a.attnum = k.n order by k.o";

#[tokio::test]
async fn keys_keep_the_order_of_their_columns() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "keys");
        pair.source
            .sql("create table t (a int, b text, c int, primary key (c, a)); insert into t values (1, 'x', 2)")
            .unwrap();
        pair.load(How::RAW).await.unwrap();
        assert_eq!(pair.same(KEY_COLUMNS), "c\na\n");
    }
}

#[tokio::test]
async fn finishing_twice_leaves_one_key() {
    let pair = Pair::on(Engine::Postgres15, "twice");
    pair.source
        .sql("create table t (id int primary key); insert into t values (1)")
        .unwrap();
    let mut source = pair.from.source().await.unwrap();
    let mut target = pair.to.target().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let fence = target.claim(TASK).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let loaded = load_table(&*snapshot, &mut *target, &fence, &tables[0], How::RAW)
        .await
        .unwrap();
    target.finish(&fence, &loaded.target).await.unwrap();
    assert_eq!(pair.same(KEY_COLUMNS), "id\n");
    let records = target.load_records(&fence).await.unwrap();
    assert!(records[0].is_finished);
}

#[tokio::test]
async fn rows_that_violate_the_key_are_a_fault_of_the_table() {
    let pair = Pair::on(Engine::Postgres15, "violated");
    pair.source
        .sql("create table t (id int, v int); insert into t values (7, 1), (7, 2)")
        .unwrap();
    let mut source = pair.from.source().await.unwrap();
    let mut target = pair.to.target().await.unwrap();
    let mut tables = all_tables(&mut *source).await.unwrap();
    tables[0].primary_key = vec![0];
    let fence = target.claim(TASK).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let how = How {
        keys: KeyPolicy::AfterLoad,
        ..How::RAW
    };
    let error = load_table(&*snapshot, &mut *target, &fence, &tables[0], how)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Table(fault) if fault.table.name == "t"),
        "{error:?}"
    );
}
