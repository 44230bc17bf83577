//! Values that the target does not hold.

use whimbrel_testkit::Engine;

use super::{Assessed, database};

const SAMPLED: &str = "values-not-fitting-sampled";
const ALL: &str = "values-not-fitting";

#[test]
fn values_of_postgres_that_mariadb_and_mysql_do_not_hold() {
    let source = database(Engine::Postgres15);
    source
        .sql(
            "create table t (id int, part int, n numeric, m numeric(6,2), d date, at timestamptz, f real, note varchar(20), primary key (id, part));
             insert into t values (1, 1, 1.5, 1.25, '2020-01-01', now(), 1.5, 'fine'),
               (2, 7, 'NaN', 'NaN', '0044-03-15 BC', 'infinity', '-Infinity', 'fine'),
               (3, 1, 1e36, 0, '9999-12-31', '10000-01-01 12:00+00', 0, 'fine'),
               (4, 1, 1e-31, 0, '0001-12-31 BC', now(), 0, null)",
        )
        .unwrap();
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let target = database(engine);
        let assessed = Assessed::of(&source.url(), &target.url(), &["--full"]);
        assessed.finds(
            ALL,
            "failure",
            &[
                "public.t.n", "1 row has an infinite value or NaN", "1 row has more than 30 digits behind the point (the most are 31), such as that of key (4,1)",
                "1 row has a number below", "public.t.m", "public.t.d", "a year before 0 or after 9999 (from 0044-03-15 BC to 9999-12-31), such as that of key (2,7)",
                "public.t.at", "public.t.f",
            ],
        );
        assert_eq!(assessed.said.exit_code, Some(1));
        let text = assessed.check(ALL).to_string();
        assert!(!text.contains("public.t.note"), "{text}");
        // Neither is made without being asked for.
        let assessed = Assessed::of(&source.url(), &target.url(), &[]);
        for name in [ALL, SAMPLED] {
            assert!(
                !assessed.said.out.contains(&format!("\"{name}\"")),
                "{:?}",
                assessed.said
            );
        }
    }
}

#[test]
fn values_of_mysql_and_mariadb_that_postgres_does_not_hold() {
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let (source, target) = (database(engine), database(Engine::Postgres18));
        source
            .sql(
                "create table t (id int primary key, d date, at datetime(3), h time, s text, u bigint unsigned);
                 create table b (k binary(2) primary key, d date);
                 set session sql_mode = 'ALLOW_INVALID_DATES';
                 insert into b values (unhex('FF80'), '2021-02-31');
                 insert into t values (1, '2020-02-29', '1000-01-01', '23:59:59', 'fine', 18446744073709551615),
                   (2, '2021-02-31', '0000-00-00 00:00:00', '24:00:01', concat('a', char(0)), 0)",
            )
            .unwrap();
        let assessed = Assessed::of(
            &source.url(),
            &target.url(),
            &["--full", "--sample", "10000"],
        );
        for name in [ALL, SAMPLED] {
            let objects = [
                "t.d\"",
                "t.at\"",
                "t.h\"",
                "t.s\"",
                "such as that of key 2",
                "b.d\"",
                "key FF80",
            ];
            assessed.finds(name, "failure", &objects);
            let text = assessed.check(name).to_string();
            assert!(!text.contains("t.u\"") && !text.contains("key 1"), "{text}");
        }
        source
            .sql("delete from t where id = 2; delete from b")
            .unwrap();
        let assessed = Assessed::of(
            &source.url(),
            &target.url(),
            &["--full", "--sample", "10000"],
        );
        assessed.is_quiet(&[ALL, SAMPLED]);
    }
}

#[test]
fn a_table_that_is_kept_counts_as_it_is() {
    let columns = "(id int primary key, s varchar(40), n int)";
    for (from, to) in [
        (Engine::Postgres15, Engine::Postgres18),
        (Engine::Mariadb1011, Engine::Mysql97),
    ] {
        let (source, target) = (database(from), database(to));
        source.sql(&format!("create table t {columns}")).unwrap();
        source
            .sql("insert into t values (1, 'short', 1), (2, 'much too long', 70000)")
            .unwrap();
        let schema = if from == Engine::Postgres15 {
            "public"
        } else {
            target.name()
        };
        target
            .sql("create table t (id int, s varchar(10), n smallint); create index by_n on t (n)")
            .unwrap();
        let into = [
            "--target-schema",
            schema,
            "--prepare",
            "truncate",
            "--sample",
            "5",
            "--follow",
        ];
        let assessed = Assessed::of(&source.url(), &target.url(), &into);
        let words = [
            "more than 10 characters (the longest has 13)",
            "a number below -32768 or above 32767 (from 1 to 70000)",
        ];
        assessed.finds(SAMPLED, "failure", &words);
        assessed.finds(
            "target-table-has-unique-key-or-primary-key-for-cdc",
            "warning",
            &["t"],
        );
        let indexes = if from == Engine::Postgres15 {
            "postgres-check-target-secondary-indexes"
        } else {
            "mysql-check-secondary-indexes"
        };
        assessed.finds(indexes, "warning", &["by_n"]);
        // Dropped and made anew, it has the columns of the source.
        let assessed = Assessed::of(&source.url(), &target.url(), &into[..2]);
        assessed.is_quiet(&["all-check-secondary-constraints", indexes]);
        let anew = [&into[..2], &["--sample", "9"]].concat();
        Assessed::of(&source.url(), &target.url(), &anew).is_quiet(&[SAMPLED]);
    }
}

#[test]
fn unique_keys_that_tell_rows_apart_are_keys() {
    const PLAIN: &str = "table-with-no-primary-key-or-unique-constraint";
    const CHANGES: &str = "changes-without-primary-key";
    for (from, to) in [
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres18),
    ] {
        let (source, target) = (database(from), database(to));
        source
            .sql(
                "create table keyed (a int not null unique); create table nullable (a int unique); create table both_of (a int not null, b int, unique (a, b))",
            )
            .unwrap();
        let assessed = Assessed::of(&source.url(), &target.url(), &["--follow"]);
        assessed.finds(PLAIN, "warning", &["nullable", "both_of"]);
        assert!(!assessed.check(PLAIN).to_string().contains(".keyed"));
        assessed.finds(CHANGES, "note", &[".keyed"]);
        assert!(!assessed.check(CHANGES).to_string().contains("nullable"));
    }
}

#[test]
fn room_on_the_disk_is_told_where_a_server_tells_it_and_never_passed_over() {
    const ROOM: &str = "target-disk-room";
    let source = database(Engine::Postgres15);
    source.sql("create table t (id int primary key)").unwrap();
    for (engine, words) in [
        (Engine::Mysql97, "MySQL does not tell"),
        (Engine::Mariadb1011, "plugin DISKS"),
        (Engine::Postgres18, "PostgreSQL does not tell"),
    ] {
        let target = database(engine);
        let assessed = Assessed::of(&source.url(), &target.url(), &[]);
        assessed.finds(ROOM, "skipped", &[words, "MB at the source"]);
        assert_eq!(assessed.said.exit_code, Some(0), "{:?}", assessed.said);
    }
}

#[test]
fn what_the_user_may_not_read_has_not_passed() {
    let (source, target) = (database(Engine::Postgres15), database(Engine::Mysql97));
    let user = format!("v_{}", source.name());
    source
        .sql(&format!(
            "create table closed (id int primary key, n numeric); create role {user} login password 'a-secret'"
        ))
        .unwrap();
    let few = source.url_as(&user, "a-secret");
    let assessed = Assessed::of(&few, &target.url(), &["--sample", "10"]);
    assessed.finds(
        SAMPLED,
        "error",
        &["table public.closed", "permission denied"],
    );
    assert_eq!(assessed.said.exit_code, Some(1));
    source.sql(&format!("drop role {user}")).unwrap();
}

#[test]
fn values_that_settings_cut_are_told() {
    const CUT: &str = "postgres-check-limited-lob-size";
    for (from, to, large) in [
        (Engine::Postgres15, Engine::Mysql97, "text"),
        (Engine::Mysql97, Engine::Postgres15, "longtext"),
    ] {
        let (source, target) = (database(from), database(to));
        source
            .sql(&format!(
                "create table t (id int primary key, s {large}); insert into t values (1, repeat('x', 2048)), (2, repeat('y', 1024))"
            ))
            .unwrap();
        let limited = ["--sample", "10", "--lob-max-size", "1KiB"];
        let assessed = Assessed::of(&source.url(), &target.url(), &limited);
        assessed.finds(
            CUT,
            "warning",
            &[
                "t.s",
                "1 row has more than 1024 bytes (the longest has 2048), such as that of key 1",
            ],
        );
        Assessed::of(&source.url(), &target.url(), &limited[..2]).is_quiet(&[CUT]);
    }
}
