//! Keys that come to stand in another form and are the same key, in batches that are folded: the target ends with the new form.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

/// Follows what `sql` does in one transaction, with so many other changes that the batch is folded.
fn followed(from: Engine, to: Engine, tables: &str, sql: &str) -> Ends {
    let ends = Ends::between(from, to, "forms");
    ends.source
        .sql(&format!("create table many (id int primary key); {tables}"))
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    let many: Vec<String> = (1..=200).map(|id| format!("({id})")).collect();
    ends.source
        .sql(&format!(
            "begin; insert into many values {}; {sql}; commit",
            many.join(", ")
        ))
        .unwrap();
    let said = ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    assert!(!said.err.contains("left out"), "{said:?}");
    ends.run_well("validate", &[]);
    assert_eq!(ends.arrived("many"), 200);
    ends
}

#[test]
fn numbers_that_are_keys_get_their_new_scale_and_sign() {
    for (from, to) in [
        (Engine::Postgres15, Engine::Postgres18),
        (Engine::Postgres18, Engine::Postgres15),
    ] {
        for identity in ["default", "full"] {
            let tables = format!(
                "create table n (k numeric primary key, v int); insert into n select k, 0 from generate_series(1.0, 9.0) k;
                 create table f (k float8 primary key, v int); insert into f values (0, 1), (2, 1);
                 alter table n replica identity {identity}; alter table f replica identity {identity}"
            );
            let sql = "update n set k = 1.00 where k = 1;
                 update n set k = 2.00, v = 7 where k = 2; update n set v = 8 where k = 2;
                 delete from n where k = 3; insert into n values (3.000, 9);
                 update n set k = 40 where k = 4; update n set k = 4.0000 where k = 40;
                 insert into n values (10.0, 1); update n set k = 10.00 where k = 10;
                 update n set v = 5 where k = 5; update n set k = 5.00 where k = 5; update n set k = 5.0 where k = 5;
                 update n set k = 6.00 where k = 6; delete from n where k = 6;
                 update n set k = k where k = 7; delete from n where k = 8;
                 update f set k = '-0' where k = 0; update f set v = 3 where k = 0";
            let ends = followed(from, to, &tables, sql);
            let rows = ends
                .target
                .sql("select k, v from n order by k; select k, v from f order by k")
                .unwrap();
            let expected = "1.00\t0\n2.00\t8\n3.000\t9\n4.0000\t0\n5.0\t5\n7.0\t0\n9.0\t0\n10.00\t1\n-0\t3\n2\t1\n";
            assert_eq!(rows, expected, "{identity}");
        }
    }
}

#[test]
fn texts_that_are_keys_get_their_new_case_and_spaces() {
    for (from, to) in [
        (Engine::Mysql97, Engine::Postgres15),
        (Engine::Mariadb1011, Engine::Mysql97),
        (Engine::Mysql97, Engine::Mariadb1011),
    ] {
        let tables = "create table t (k varchar(20) character set utf8mb4 collate utf8mb4_general_ci primary key, v int);
             insert into t values ('a', 1), ('b', 1), ('c', 1), ('d', 1), ('e', 1)";
        let sql = "update t set k = 'A' where k = 'a'; update t set k = 'b ' where k = 'b'; update t set v = 2 where k = 'b';
             delete from t where k = 'c'; insert into t values ('C ', 3); update t set k = 'D', v = 4 where k = 'd'; update t set k = 'd' where k = 'd';
             insert into t values ('f', 1); update t set k = 'F ' where k = 'f'";
        let ends = followed(from, to, tables, sql);
        let rows = "select concat(k, '.'), v from t order by lower(k)";
        assert_eq!(
            ends.target.sql(rows).unwrap(),
            "A.\t1\nb .\t2\nC .\t3\nd.\t4\ne.\t1\nF .\t1\n",
            "{from} {to}"
        );
    }
}
