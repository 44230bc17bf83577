//! What PostgreSQL does to tables beside their rows while changes are followed: partitions that come and go, and what tells rows apart.

use whimbrel_testkit::Engine;

use super::process::Following;
use crate::ends::Ends;

/// Marks the table of the target: who loads it again makes it anew, without the mark.
fn mark(ends: &Ends) {
    let sql = if ends.target.engine().is_postgres() {
        "comment on table t is 'kept'"
    } else {
        "alter table t comment 'kept'"
    };
    ends.target.sql(sql).unwrap();
}

fn has_mark(ends: &Ends) -> bool {
    let sql = if ends.target.engine().is_postgres() {
        "select obj_description('t'::regclass)"
    } else {
        "select table_comment from information_schema.tables where table_schema = database() and table_name = 't'"
    };
    ends.target.sql(sql).unwrap().trim() == "kept"
}

fn wait_until_equal(ends: &Ends, following: &mut Following, after: &str) {
    following.wait_until(after, |_| ends.run("validate", &[]).exit_code == Some(0));
}

const PARTITIONED: &str = "create table p (id int primary key, v text) partition by range (id);
    create table low partition of p for values from (0) to (100); create table high partition of p for values from (100) to (200);
    insert into p values (1, 'one'), (101, 'a hundred and one')";

/// Rows come to the table, or leave it, with the partition that holds them, and no change tells of them.
#[test]
fn partitions_that_are_attached_and_detached_take_their_rows_along() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "partitions");
    ends.source.sql(PARTITIONED).unwrap();
    let mut following = Following::start(&ends, &["--follow", "--json"]);
    following.wait_until_caught_up();
    for step in [
        "insert into p values (2, 'two'); alter table p detach partition high; insert into p values (3, 'three')",
        "alter table p attach partition high for values from (100) to (200); update p set v = 'back' where id = 101",
        "create table more (id int primary key, v text); insert into more values (201, 'before'); alter table p attach partition more for values from (200) to (300); insert into p values (202, 'behind')",
        "drop table more; insert into p values (4, 'four')",
        "create table next partition of p for values from (300) to (400); insert into p values (301, 'next')",
    ] {
        ends.source.sql(step).unwrap();
        wait_until_equal(&ends, &mut following, step);
    }
    following.interrupt();
    ends.run_well("forget", &[]);
}

/// What tells rows apart may change without a row.
#[test]
fn another_replica_identity_loads_no_rows_again() {
    for target in [Engine::Postgres18, Engine::Mariadb1011] {
        let ends = Ends::between(Engine::Postgres15, target, "identities");
        ends.source
            .sql("create table t (id int primary key, code int not null, v varchar(20)); create unique index by_code on t (code); insert into t values (1, 10, 'one'), (2, 20, 'two')")
            .unwrap();
        let mut following = Following::start(&ends, &["--follow", "--json"]);
        following.wait_until_caught_up();
        mark(&ends);
        for step in [
            "alter table t replica identity using index by_code; update t set v = 'by code' where id = 1; update t set code = 21 where id = 2",
            "alter table t replica identity full; update t set id = 3 where id = 2; insert into t values (4, 40, 'four')",
            "delete from t where id = 1; alter table t replica identity using index by_code; insert into t values (5, 50, 'five'); update t set id = 6 where id = 5",
            "alter table t replica identity default; update t set v = 'again', id = 7 where id = 6",
        ] {
            ends.source.sql(step).unwrap();
            wait_until_equal(&ends, &mut following, step);
        }
        following.interrupt();
        assert!(has_mark(&ends), "{following:?}");
        ends.run_well("forget", &[]);
    }
}
