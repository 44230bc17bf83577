//! Batches that do not find their rows, because somebody took these away at the target.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

/// More than are told one by one where that can be helped.
const ROWS: u64 = 1500;

/// Follows a transaction of changes of rows that are not at the target.
fn followed(from: Engine, to: Engine, sql: &str) -> Ends {
    let ends = Ends::between(from, to, "missed");
    let rows: Vec<String> = (1..=ROWS).map(|id| format!("({id}, 'old')")).collect();
    ends.source
        .sql(&format!(
            "create table t (id int primary key, v varchar(9)); insert into t values {}",
            rows.join(", ")
        ))
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    ends.target.sql("delete from t").unwrap();
    ends.source.sql(&format!("begin; {sql}; commit")).unwrap();
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    ends
}

const PAIRS: [(Engine, Engine); 3] = [
    (Engine::Postgres15, Engine::Postgres18),
    (Engine::Mysql97, Engine::Postgres15),
    (Engine::Postgres18, Engine::Mysql97),
];

/// How many changes of a kind are written down as left out.
fn written_down(ends: &Ends, kind: &str) -> u64 {
    let column = if ends.target.engine().is_postgres() {
        "\"STATEMENT\""
    } else {
        "STATEMENT"
    };
    let table = "awsdms_control.awsdms_apply_exceptions";
    ends.arrived(&format!("{table} where {column} like '{kind}%'"))
}

#[test]
fn a_row_that_goes_and_comes_again_comes_where_it_was_not_there() {
    for (from, to) in PAIRS {
        let rows: Vec<String> = (1..=ROWS).map(|id| format!("({id}, 'new')")).collect();
        let sql = format!("delete from t; insert into t values {}", rows.join(", "));
        let ends = followed(from, to, &sql);
        assert_eq!(ends.arrived("t where v = 'new'"), ROWS, "{from} {to}");
        ends.run_well("validate", &[]);
        ends.run_well("forget", &[]);
    }
}

#[test]
fn a_row_that_changes_its_key_does_not_come_where_it_was_not_there() {
    for (from, to) in PAIRS {
        let ends = followed(from, to, "update t set id = id + 10000");
        assert_eq!(ends.arrived("t"), 0, "{from} {to}");
        assert_eq!(written_down(&ends, "UPDATE"), ROWS, "{from} {to}");
        ends.run_well("forget", &[]);
    }
}
