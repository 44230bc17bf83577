//! A check that arrives at another engine takes and refuses the rows that the source takes and refuses; where that is not known, it is listed.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

/// A condition each on two columns.
const CONDITIONS: [&str; 4] = [
    "(shipped is null) = (carrier is null)",
    "(shipped in (1, 2)) = (carrier in (3, 4))",
    "(not (shipped = 1)) = (carrier = 3)",
    "shipped::bigint < 100 and carrier::numeric < 4.5",
];

const OTHERS: &str = "create table t (id int primary key, qty numeric(6,2), code varchar(9), ratio double precision, constraint whole check (qty = qty::bigint),
      constraint first_letter check (code::varchar(1) = 'A'), constraint rounded check (qty > 0.6::int), constraint number check (ratio <> 'NaN'), constraint finite check (ratio < 'infinity'));
    create table d (id int primary key, a int default 0.6::int, b numeric(4,1) default 7::numeric(4,1), c varchar(9) default 'abc'::varchar(2))";

fn mean_the_same(target: Engine) {
    let ends = Ends::between(Engine::Postgres15, target, "conditions");
    ends.source.sql(OTHERS).unwrap();
    for (at, condition) in CONDITIONS.iter().enumerate() {
        let create = format!(
            "create table c{at} (shipped int, carrier int, constraint holds{at} check ({condition}))"
        );
        ends.source.sql(&create).unwrap();
    }
    let said = ends.run_well("migrate", &[]);
    for name in [
        "check public.t.whole",
        "check public.t.first_letter",
        "check public.t.rounded",
        "check public.t.number",
        "check public.t.finite",
        "default public.d.a",
        "default public.d.c",
    ] {
        let line = format!("not made: {name}: ");
        assert!(said.out.contains(&line), "{line} is not in\n{}", said.out);
    }
    for (at, condition) in CONDITIONS.iter().enumerate() {
        let mut outcomes = [0, 0];
        for shipped in ["null", "1", "2", "3", "100"] {
            for carrier in ["null", "3", "5"] {
                let insert = format!("insert into c{at} values ({shipped}, {carrier})");
                let is_taken = ends.source.sql(&insert).is_ok();
                let arrives = ends.target.sql(&insert).is_ok();
                assert_eq!(arrives, is_taken, "{insert}: {condition}");
                outcomes[usize::from(is_taken)] += 1;
            }
        }
        assert!(
            outcomes.iter().all(|count| *count > 2),
            "{condition}: {outcomes:?}"
        );
    }
    ends.target.sql("insert into d (id) values (1)").unwrap();
    let found = ends.target.sql("select a, b, c from d").unwrap();
    assert_eq!(found, "NULL\t7.0\tNULL\n");
}

#[test]
fn conditions_mean_the_same_in_mysql() {
    mean_the_same(Engine::Mysql97);
}

#[test]
fn conditions_mean_the_same_in_mariadb() {
    mean_the_same(Engine::Mariadb1011);
}

/// MariaDB prints as few parentheses as it needs.
#[test]
fn conditions_of_mariadb_mean_the_same_in_postgres() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "conditions_of");
    ends.source
        .sql("create table t (id int primary key, a int, b int, constraint both_or_none check ((a is null) = (b is null)))")
        .unwrap();
    ends.run_well("migrate", &[]);
    for (row, is_taken) in [
        ("1, null, null", true),
        ("2, 1, 2", true),
        ("3, 1, null", false),
        ("4, null, 1", false),
    ] {
        let insert = format!("insert into t values ({row})");
        assert_eq!(ends.source.sql(&insert).is_ok(), is_taken, "{row}");
        assert_eq!(ends.target.sql(&insert).is_ok(), is_taken, "{row}");
    }
}
