//! Documents of MySQL with values of types that JSON does not have.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

const DOCUMENT: &str = "json_object('dec', cast(1.10 as decimal(10, 2)), 'day', cast('2015-01-15' as date), \
    'at', cast('2015-01-15 23:24:25.12' as datetime(3)), 'clock', cast('-23:24:25' as time), 'bytes', cast('abc' as binary))";

const PARTS: [&str; 5] = ["dec", "day", "at", "clock", "bytes"];

fn select(what: impl Fn(&str) -> String) -> String {
    let parts: Vec<String> = PARTS.iter().map(|part| what(part)).collect();
    format!(
        "select {} from t where id in (1, 11, 21) order by id",
        parts.join(", ")
    )
}

#[test]
fn values_of_types_that_json_has_not_arrive_as_their_text_however_they_come() {
    let ends = Ends::between(Engine::Mysql97, Engine::Mysql97, "cast_json");
    ends.source
        .sql(&format!(
            "create table t (id int primary key, j json); insert into t values (1, {DOCUMENT}), (21, '{{}}')"
        ))
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    ends.source
        .sql(&format!(
            "insert into t values (11, {DOCUMENT}); update t set j = {DOCUMENT} where id = 21"
        ))
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);

    let types = select(|part| format!("json_type(j->'$.{part}')"));
    assert_eq!(
        ends.source.sql(&types).unwrap(),
        "DECIMAL\tDATE\tDATETIME\tTIME\tBLOB\n".repeat(3)
    );
    assert_eq!(
        ends.target.sql(&types).unwrap(),
        "DOUBLE\tSTRING\tSTRING\tSTRING\tSTRING\n".repeat(3)
    );
    let texts = select(|part| format!("j->>'$.{part}'"));
    let rest = "2015-01-15\t2015-01-15 23:24:25.120000\t-23:24:25.000000\tbase64:type15:YWJj\n";
    for (at, decimal) in [(&ends.source, "1.10"), (&ends.target, "1.1")] {
        let row = format!("{decimal}\t{rest}");
        assert_eq!(at.sql(&texts).unwrap(), row.repeat(3));
    }
    ends.run_well("validate", &[]);
}
