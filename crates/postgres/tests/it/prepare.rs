//! The three prepare modes.

use whimbrel_connector::{KeyPolicy, PrepareMode};
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair, all_tables};

const SOURCE: &str =
    "create table t (id int primary key, v text); insert into t values (1, 'new'), (2, 'new')";
const TARGET: &str = "create table t (id int, v varchar(20) default 'd', extra int); insert into t values (9, 'old', 1)";

#[tokio::test]
async fn drop_and_create_replaces_the_table() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "drop");
            pair.source.sql(SOURCE).unwrap();
            pair.target.sql(TARGET).unwrap();
            pair.load(how).await.unwrap();
            pair.same_table("t");
        }
    }
}

#[tokio::test]
async fn truncate_keeps_the_table_and_replaces_its_rows() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "truncate");
            pair.source.sql(SOURCE).unwrap();
            pair.target.sql(TARGET).unwrap();
            pair.load(how.mode(PrepareMode::Truncate)).await.unwrap();
            assert_eq!(
                pair.target.sql("select * from t order by 1").unwrap(),
                "1\tnew\tNULL\n2\tnew\tNULL\n"
            );
        }
    }
}

#[tokio::test]
async fn do_nothing_adds_to_the_rows_that_are_there() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(Engine::Postgres15, "nothing");
        pair.source.sql(SOURCE).unwrap();
        pair.target.sql(TARGET).unwrap();
        pair.load(how.mode(PrepareMode::DoNothing)).await.unwrap();
        assert_eq!(
            pair.target.sql("select id, v from t order by 1").unwrap(),
            "1\tnew\n2\tnew\n9\told\n"
        );
    }
}

#[tokio::test]
async fn every_mode_creates_what_is_missing() {
    for mode in [
        PrepareMode::DropAndCreate,
        PrepareMode::Truncate,
        PrepareMode::DoNothing,
    ] {
        let pair = Pair::on(Engine::Postgres15, "missing");
        pair.source.sql("create schema s; create table s.t (id int primary key); insert into s.t values (1)").unwrap();
        pair.load(How::RAW.mode(mode)).await.unwrap();
        pair.same_table("s.t");
    }
}

#[tokio::test]
async fn a_table_that_exists_may_have_wider_types_and_other_column_order() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(Engine::Postgres15, "wider");
        pair.source.sql("create table t (id int primary key, v varchar(5), n numeric(5,2)); insert into t values (1, 'a', 1.5)").unwrap();
        pair.target
            .sql("create table t (n numeric, v text, id bigint primary key)")
            .unwrap();
        pair.load(how.mode(PrepareMode::Truncate)).await.unwrap();
        pair.same("select id, v, n from t");
    }
}

#[tokio::test]
async fn a_preview_runs_as_it_is_printed() {
    let pair = Pair::on(Engine::Postgres15, "preview");
    pair.source
        .sql("create schema s; create table s.t (id int primary key, v numeric(9,2) not null)")
        .unwrap();
    let tables = all_tables(&mut *pair.from.source().await.unwrap())
        .await
        .unwrap();
    let target = pair.to.target().await.unwrap();
    let planned = target
        .plan_table(&tables[0], tables[0].name.clone(), KeyPolicy::Best)
        .unwrap();
    for mode in [PrepareMode::DropAndCreate, PrepareMode::DropAndCreate] {
        let script = target.preview(&planned, mode).join(";\n");
        pair.target.sql(&script).unwrap();
    }
    pair.same_table("s.t");
}

#[tokio::test]
async fn a_table_that_is_emptied_leaves_alone_the_tables_that_inherit_from_it() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "inherits");
        let source = "create table a_child (id int); create table parent (id int); create table part (id int) partition by range (id);
            create table part_1 partition of part for values from (0) to (10);
            insert into a_child values (1); insert into parent values (2), (3); insert into part values (4)";
        pair.source.sql(source).unwrap();
        let target = "create table parent (id int); create table a_child () inherits (parent); insert into parent values (9);
            create table part (id int) partition by range (id);
            create table part_1 partition of part for values from (0) to (10); insert into part values (9)";
        pair.target.sql(target).unwrap();
        pair.load(How::RAW.mode(PrepareMode::Truncate))
            .await
            .unwrap();
        let shown = "select (select string_agg(id::text, ' ') from a_child), (select string_agg(id::text, ' ' order by id) from only parent),
            (select string_agg(id::text, ' ') from part)";
        assert_eq!(pair.target.sql(shown).unwrap(), "1\t2 3\t4\n");
    }
}

#[tokio::test]
async fn a_constraint_that_old_rows_need_not_meet_is_not_asked_of_them() {
    let pair = Pair::on(Engine::Postgres18, "not_valid");
    pair.source
        .sql(
            "create table t (id int primary key, v int, w int not null); insert into t values (1, null, 1);
             alter table t add constraint t_v not null v not valid",
        )
        .unwrap();
    pair.load(How::RAW).await.unwrap();
    assert_eq!(pair.target.sql("select * from t").unwrap(), "1\tNULL\t1\n");
    let asked = "select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 't'::regclass and attnotnull and attnum > 0";
    assert_eq!(pair.target.sql(asked).unwrap(), "id w\n");
}
