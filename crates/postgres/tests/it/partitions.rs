//! Tables of every kind: each row arrives once.

use whimbrel_connector::PrepareMode;

use crate::support::{ENGINES, How, Pair, TASK, all_tables, load_table};

#[tokio::test]
async fn a_partitioned_table_is_one_table_and_each_row_arrives_once() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "partitioned");
            pair.source
                .sql(
                    "create table p (id int, region text, v text, primary key (id, region)) partition by list (region);
                     create table p_eu partition of p for values in ('eu') partition by range (id);
                     create table p_eu_1 partition of p_eu for values from (0) to (1000);
                     create table p_eu_2 partition of p_eu for values from (1000) to (100000);
                     create table p_us (v text, id int not null, region text not null);
                     alter table p attach partition p_us for values in ('us');
                     create table p_rest partition of p default;
                     insert into p select i, (array['eu','us','ap'])[i % 3 + 1], repeat('v', 100) from generate_series(0, 9999) i;
                     analyze p",
                )
                .unwrap();
            let loaded = pair.load(how.chunk_bytes(128 << 10)).await.unwrap();
            let names: Vec<_> = loaded
                .iter()
                .map(|table| table.target.name.name.as_str())
                .collect();
            assert_eq!(names, ["p"]);
            assert_eq!(loaded[0].row_count, 10_000);
            pair.same("select count(*), sum(id), count(distinct id) from p");
            pair.same_table("p");
        }
    }
}

#[tokio::test]
async fn a_partitioned_table_without_partitions_is_empty() {
    let pair = Pair::on(ENGINES[0], "no_partitions");
    pair.source
        .sql("create table p (id int) partition by hash (id)")
        .unwrap();
    let loaded = pair.load(How::RAW).await.unwrap();
    assert_eq!(loaded[0].row_count, 0);
    pair.same_table("p");
}

#[tokio::test]
async fn inherited_rows_stay_with_the_table_that_holds_them() {
    let pair = Pair::on(ENGINES[0], "inheritance");
    pair.source
        .sql(
            "create table parent (id int); create table child (extra text) inherits (parent);
             insert into parent values (1); insert into child values (2, 'x')",
        )
        .unwrap();
    pair.load(How::RAW).await.unwrap();
    assert_eq!(
        pair.target.sql("select id from only parent").unwrap(),
        "1\n"
    );
    assert_eq!(
        pair.target.sql("select id, extra from child").unwrap(),
        "2\tx\n"
    );
}

#[tokio::test]
async fn only_tables_with_rows_of_their_own_are_offered() {
    let pair = Pair::on(ENGINES[1], "kinds");
    pair.source
        .sql(
            "create table plain (id int); create unlogged table unlogged (id int);
             create view a_view as select 1 as x; create materialized view mat as select 1 as x;
             create sequence seq; create schema other; create table other.t (id int);
             create schema empty_one",
        )
        .unwrap();
    let tables = all_tables(&mut *pair.from.source().await.unwrap())
        .await
        .unwrap();
    let names: Vec<_> = tables.iter().map(|table| table.name.to_string()).collect();
    assert_eq!(names, ["other.t", "public.plain", "public.unlogged"]);
    assert_eq!(
        pair.from.schemas().await.unwrap(),
        ["empty_one", "other", "public"]
    );
}

#[tokio::test]
async fn computed_columns_are_computed_again_and_numbered_ones_keep_their_numbers() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "generated");
            pair.source
                .sql(
                    "create table t (a int, twice int generated always as (a * 2) stored,
                        id int generated always as identity (start 100) primary key, dropped int, z text);
                     alter table t drop column dropped;
                     insert into t (a, z) values (5, 'x'), (6, null)",
                )
                .unwrap();
            pair.load(how).await.unwrap();
            pair.same_table("t");
            assert_eq!(
                pair.same("select a, twice, id from t order by a"),
                "5\t10\t100\n6\t12\t101\n"
            );
            pair.target
                .sql("insert into t (a, id) values (7, 1)")
                .unwrap();
            assert_eq!(
                pair.target.sql("select twice from t where a = 7").unwrap(),
                "14\n"
            );
        }
    }
}

#[tokio::test]
async fn columns_that_are_computed_on_reading_are_computed_on_writing_by_older_servers() {
    let pair = Pair::between(ENGINES[1], ENGINES[0], "virtual");
    pair.source
        .sql("create table t (a int, twice int generated always as (a * 2) virtual, b text); insert into t values (3, default, 'b')")
        .unwrap();
    pair.load(How::RAW).await.unwrap();
    pair.same_table("t");
}

#[tokio::test]
async fn odd_names_and_tables_without_columns_arrive() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(ENGINES[0], "names");
        pair.source
            .sql(
                r#"create schema "S'q""x"; create table "S'q""x"."T $1;--" ("select" int primary key, "a""b\c" text);
                   insert into "S'q""x"."T $1;--" values (1, 'v'); create table nothing ();
                   insert into nothing default values; insert into nothing default values"#,
            )
            .unwrap();
        pair.load(how).await.unwrap();
        pair.same(r#"select * from "S'q""x"."T $1;--""#);
        pair.same("select count(*) from nothing");
    }
}

#[tokio::test]
async fn rows_larger_than_a_block_arrive() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(ENGINES[0], "large_rows");
        pair.source
            .sql(
                "create table t (id int primary key, v text, b bytea);
                 insert into t select i, repeat(md5(i::text), 300000), decode(repeat('ff', 1000 * i), 'hex')
                    from generate_series(1, 4) i",
            )
            .unwrap();
        pair.load(how).await.unwrap();
        pair.same("select id, md5(v), length(v), md5(b) from t order by id");
    }
}

#[tokio::test]
async fn partitions_that_come_before_the_snapshot_are_read() {
    let pair = Pair::on(ENGINES[0], "late_partition");
    pair.source
        .sql("create table p (id int) partition by list (id); create table p1 partition of p for values in (1)")
        .unwrap();
    let mut source = pair.from.source().await.unwrap();
    let mut target = pair.to.target().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    pair.source
        .sql("create table p2 partition of p for values in (2); insert into p values (1), (2)")
        .unwrap();
    let fence = target.claim(TASK).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    load_table(&*snapshot, &mut *target, &fence, &tables[0], How::RAW)
        .await
        .unwrap();
    pair.same_table("p");
}

#[tokio::test]
async fn a_foreign_partition_is_a_fault_and_not_left_out() {
    let pair = Pair::on(ENGINES[0], "foreign");
    pair.source
        .sql(
            "create foreign data wrapper nowhere; create server elsewhere foreign data wrapper nowhere;
             create table p (id int) partition by list (id); create table p1 partition of p for values in (1);
             create foreign table p2 partition of p for values in (2) server elsewhere",
        )
        .unwrap();
    let error = pair.load(How::RAW).await.unwrap_err();
    assert!(
        error.to_string().contains("public.p2 is a foreign table"),
        "{error}"
    );
}

#[tokio::test]
async fn a_partitioned_table_that_stays_takes_the_rows() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(ENGINES[1], "target_parts");
        pair.source
            .sql("create table p as select i as id from generate_series(1, 9) i")
            .unwrap();
        pair.target
            .sql("create table p (id int) partition by hash (id); create table p1 partition of p for values with (modulus 1, remainder 0)")
            .unwrap();
        pair.load(how.mode(PrepareMode::Truncate)).await.unwrap();
        pair.same("select id from p order by id");
    }
}
