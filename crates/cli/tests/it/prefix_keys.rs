//! Keys of MySQL and MariaDB that hold only the beginnings of values: rows are told apart, and found again when they change.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

const MAKE: &str = "create table digits (d int); insert into digits values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    create table t (k text not null, v int, primary key (k(10)));
    insert into t select concat(a.d, b.d, c.d, ' beginning', if(a.d < 5, ' and end', '')), 0 from digits a, digits b, digits c;
    drop table digits;";

/// Many rows for statements over sets, few for statements of their own; keys that change beyond what the key holds and within it.
const CHANGES: [&str; 7] = [
    "update t set v = 1 where k like '1%'; delete from t where k like '2%'",
    "update t set k = concat(k, ', longer') where k like '3%'",
    "update t set k = concat('x', k), v = 2 where k like '4%'",
    "start transaction; delete from t where k like '500%'; insert into t values ('500 beginning of another', 5); commit",
    "update t set k = upper(k) where k like '501%'; update t set v = 7 where k like '502%'",
    "set session binlog_row_image = 'MINIMAL'; update t set v = 3 where k like '6%'; update t set k = concat(k, '!') where k like '7%'; delete from t where k like '8%'",
    "insert into t values ('later', 9); update t set k = 'later than that' where k = 'later'; update t set v = null where k like 'later%'",
];

fn followed(from: Engine, to: Engine) -> Ends {
    let ends = Ends::between(from, to, "prefix");
    ends.source.sql(MAKE).unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    for changes in CHANGES {
        ends.source.sql(changes).unwrap();
        ends.run_well("migrate", &["--resume", "--until-caught-up"]);
    }
    let said = ends.run_well("validate", &[]);
    assert!(said.out.contains("equal      "), "{said:?}");
    ends.run_well("forget", &[]);
    ends
}

#[test]
fn changes_find_their_rows_from_mariadb_to_mysql() {
    let ends = followed(Engine::Mariadb1011, Engine::Mysql97);
    let key = "select column_name, sub_part from information_schema.statistics where table_schema = database()";
    assert_eq!(ends.target.sql(key).unwrap(), "k\t10\n");
}

#[test]
fn changes_find_their_rows_from_mysql_to_mysql() {
    followed(Engine::Mysql97, Engine::Mysql97);
}

#[test]
fn changes_find_their_rows_from_mysql_to_postgres() {
    let ends = followed(Engine::Mysql97, Engine::Postgres15);
    let key = "select indkey from pg_index where indrelid = 't'::regclass and indisprimary";
    assert_eq!(ends.target.sql(key).unwrap(), "1\n");
}

/// What `PostgreSQL` makes of the key is said beforehand, and what to do where that cannot be.
#[test]
fn values_too_long_for_a_key_of_postgres_are_an_error_with_a_remedy() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "prefix_long");
    ends.source.sql(MAKE).unwrap();
    let long = "update t set k = (select group_concat(sha2(k, 512) separator '') from (select k from t limit 60) x) limit 1";
    ends.source
        .sql(&format!("set group_concat_max_len = 100000; {long}"))
        .unwrap();
    let said = ends.run_well("migrate", &["--dry-run"]);
    assert!(
        said.out.contains("holds the first 10 of it") && said.out.contains("2700 bytes"),
        "{said:?}"
    );
    let said = ends.run("migrate", &[]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    assert!(said.out.contains("--no-keys"), "{said:?}");
    ends.run_well("migrate", &["--no-keys"]);
    ends.run_well("validate", &[]);
}
