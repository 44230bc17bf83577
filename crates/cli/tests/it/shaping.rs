//! Values that a user wants to be different at the target: loaded, followed and compared alike.

use whimbrel_testkit::Engine;

use crate::ends::Ends;
use crate::{run, run_well};

const CUT: &[&str] = &["--lob-max-size", "1KiB"];

/// Loads, lets changes happen, goes on with them, and compares.
fn moved_and_compared(ends: &Ends, options: &[&str], changes: &str) {
    let follow = [options, &["--until-caught-up"]].concat();
    run_well(&ends.words("migrate", &follow));
    ends.source.sql(changes).unwrap();
    let resume = [options, &["--until-caught-up", "--resume"]].concat();
    run_well(&ends.words("migrate", &resume));
    run_well(&ends.words("validate", options));
    let whole = run(&ends.words("validate", &[]));
    assert_eq!(whole.exit_code, Some(1), "{whole:?}");
}

#[test]
fn long_values_are_cut_from_mysql_and_mariadb() {
    for (source, target) in [
        (Engine::Mariadb1011, Engine::Postgres15),
        (Engine::Mysql97, Engine::Postgres18),
        (Engine::Mariadb1011, Engine::Mysql97),
    ] {
        let ends = Ends::between(source, target, "cut");
        ends.source
            .sql(
                "create table t (id int primary key, s varchar(4000), t mediumtext, b longblob, j json) character set utf8mb4;
                 insert into t values (1, repeat('s', 3000), concat('x', repeat('é', 1000)), repeat('b', 2000), json_array(repeat('j', 2000))),
                   (2, null, 'short', null, null), (3, '', repeat('y', 1024), repeat('b', 1025), '[]')",
            )
            .unwrap();
        let said = run_well(&ends.words("migrate", &[CUT, &["--dry-run"]].concat()));
        assert!(said.out.contains("cut"), "{said:?}");
        moved_and_compared(
            &ends,
            CUT,
            "update t set t = concat(t, repeat('z', 1020)) where id = 2; update t set s = 'same' where id = 1;
             insert into t values (4, 's', repeat('w', 5000), 'b', '{}'); delete from t where id = 3",
        );
        let lengths = "select id, coalesce(length(s), -1), octet_length(t), coalesce(octet_length(b), -1) from t order by id";
        let expected = "1\t4\t1023\t1024\n2\t-1\t1024\t-1\n4\t1\t1024\t1\n";
        assert_eq!(
            ends.target.sql(lengths).unwrap(),
            expected,
            "{source} {target}"
        );
    }
}

#[test]
fn booleans_and_numbers_of_postgres_become_what_is_wanted() {
    for target in [Engine::Postgres18, Engine::Mariadb1011, Engine::Mysql97] {
        for (mode, number, changed) in [
            ("text", "12345678901234567890.123456789", "-0.00000049"),
            ("rounded", "12345678901234567890.123457", "0.000000"),
        ] {
            let ends = Ends::between(Engine::Postgres15, target, "retyped");
            ends.source
                .sql(
                    "create table t (id int primary key, f boolean, n numeric, p numeric(9,3), d text);
                     insert into t values (1, true, 12345678901234567890.123456789, 1.5, repeat('d', 3000)), (2, null, null, null, null),
                       (3, false, 0.5, 0, '')",
                )
                .unwrap();
            let options = ["--booleans-as-text", "--unbounded-numbers", mode];
            moved_and_compared(
                &ends,
                &options,
                "update t set f = not f where id = 1; update t set n = -0.00000049 where id = 3;
                 update t set d = 'e' where id = 2",
            );
            let rows = ends
                .target
                .sql("select id, f, n, p, length(d) from t order by id")
                .unwrap();
            assert_eq!(
                rows,
                format!(
                    "1\tfalse\t{number}\t1.500\t3000\n2\tNULL\tNULL\tNULL\t1\n3\tfalse\t{changed}\t0.000\t0\n"
                ),
                "{target} {mode}"
            );
        }
    }
}
