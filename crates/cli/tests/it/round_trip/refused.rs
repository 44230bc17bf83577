//! Values that the target's type does not hold: the table is left in error with nothing in it, and the error says where and
//! why. Once they are mended, a resume loads those tables.

use std::fmt::Write as _;

use whimbrel_testkit::Engine;

use crate::charsets::names_the_row;
use crate::ends::Ends;

/// A type, a value that the target holds, one that it does not, and a word of the reason.
type Case = (&'static str, &'static str, &'static str, &'static str);

const POSTGRES: &[Case] = &[
    ("numeric", "1.5", "'NaN'", "NaN"),
    ("numeric", "1.5", "'Infinity'", "infinities"),
    ("numeric", "1.5", "1e35", "range"),
    ("numeric", "1.5", "1e-31", "cut"),
    ("real", "1.5", "'NaN'", "NaN"),
    ("double precision", "1.5", "'-Infinity'", "infinities"),
    ("date", "'2000-01-01'", "'infinity'", "infinite"),
    ("date", "'2000-01-01'", "'0044-03-15 BC'", "year"),
    ("date", "'2000-01-01'", "'10000-01-01'", "year"),
    ("timestamp", "'2000-01-01'", "'-infinity'", "infinite"),
    ("timestamp", "'2000-01-01'", "'10000-01-01'", "year"),
    ("timestamptz", "'2000-01-01'", "'infinity'", "infinite"),
    ("timestamptz", "'2000-01-01'", "'0044-03-15 BC'", "year"),
];

/// What MySQL's own form of JSON cannot hold. MariaDB keeps the text.
const POSTGRES_TO_MYSQL: &[Case] = &[
    ("jsonb", "'[1]'", "'[0.12345678901234567890123]'", "number"),
    ("json", "'[1]'", "'[1e400]'", "number"),
    (
        "json",
        "'{\"a\": 1}'",
        "'[{\"a\": 1, \"b\": 2, \"\\u0061\": 3}]'",
        "name",
    ),
];

const MYSQL: &[Case] = &[
    ("date", "'2000-01-01'", "'0000-00-00'", "date"),
    ("date", "'2000-01-01'", "'2023-02-31'", "date"),
    ("date", "'2000-01-01'", "'2020-05-00'", "date"),
    ("datetime", "'2000-01-01'", "'0000-00-00'", "date"),
    (
        "datetime(6)",
        "'2000-01-01'",
        "'2023-02-31 01:02:03'",
        "date",
    ),
    ("timestamp null", "'2000-01-01'", "'0000-00-00'", "date"),
    ("time", "'24:00:00'", "'24:00:01'", "24:00"),
    ("time(6)", "'00:00:00'", "'-00:00:00.000001'", "24:00"),
    ("varchar(9)", "'a'", "'a\\0b'", "NUL"),
    ("json", "'\"a\"'", "'\"a\\\\u0000b\"'", "NUL"),
];

fn table(index: usize) -> String {
    format!("r{index:02}")
}

fn are_refused(from: Engine, to: Engine) {
    let cases = match (from.is_postgres(), to) {
        (true, Engine::Mysql97) => [POSTGRES, POSTGRES_TO_MYSQL].concat(),
        (true, _) => POSTGRES.to_vec(),
        // MariaDB's JSON is text, and arrives as text.
        (false, _) if from.is_mariadb() => MYSQL[..MYSQL.len() - 1].to_vec(),
        (false, _) => MYSQL.to_vec(),
    };
    let ends = Ends::between(from, to, "refused");
    let mut script = String::new();
    if !from.is_postgres() {
        script.push_str("set sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00';\n");
    }
    script.push_str("create table held (id int primary key); insert into held values (1);\n");
    for (index, (ty, good, bad, _)) in cases.iter().enumerate() {
        let table = table(index);
        writeln!(
            script,
            "create table {table} (id int primary key, v {ty});
             insert into {table} values (1, {good}), (7, {bad}), (9, null);"
        )
        .unwrap();
    }
    ends.source.sql(&script).unwrap();

    let said = ends.run("migrate", &["--json"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let mut wrong = Vec::new();
    for (index, (ty, _, bad, word)) in cases.iter().enumerate() {
        let table = table(index);
        let event = said.events().into_iter().find(|event| {
            event["state"] == "error" && event["table"].as_str().unwrap().ends_with(&table)
        });
        let message = event.map_or_else(String::new, |event| event["message"].to_string());
        let says = |word: &str| message.contains(word);
        let is_clear = says(&table) && says("key (7)") && says("column v") && says(word);
        if !is_clear || ends.arrived(&table) != 0 {
            let arrived = ends.arrived(&table);
            wrong.push(format!("{ty} {bad}: {arrived} rows arrived, {message}"));
        }
    }
    assert!(wrong.is_empty(), "{from} to {to}:\n{}", wrong.join("\n"));
    assert_eq!(ends.arrived("held"), 1);

    let mut mend = String::new();
    for (index, (_, good, ..)) in cases.iter().enumerate() {
        writeln!(mend, "update {} set v = {good} where id = 7;", table(index)).unwrap();
    }
    ends.source.sql(&mend).unwrap();
    ends.run_well("migrate", &["--json", "--resume"]);
    let said = ends.run_well("validate", &[]);
    let all_equal = format!("{} equal", cases.len() + 1);
    assert!(said.out.contains(&all_equal), "{said:?}");
}

#[test]
fn what_mysql_cannot_hold_of_postgres_is_refused() {
    are_refused(Engine::Postgres18, Engine::Mysql97);
}

#[test]
fn what_mariadb_cannot_hold_of_postgres_is_refused() {
    are_refused(Engine::Postgres15, Engine::Mariadb1011);
}

#[test]
fn what_postgres_cannot_hold_of_mysql_is_refused() {
    are_refused(Engine::Mysql97, Engine::Postgres15);
}

#[test]
fn what_postgres_cannot_hold_of_mariadb_is_refused() {
    are_refused(Engine::Mariadb1011, Engine::Postgres18);
}

#[test]
fn long_and_negative_times_arrive_in_a_column_of_intervals() {
    let ends = Ends::between(Engine::Mysql97, Engine::Postgres15, "intervals");
    ends.source
        .sql("create table t (id int primary key, v time(6)); insert into t values (1, '-838:59:59'), (2, '100:00:00.5'), (3, null)")
        .unwrap();
    ends.target
        .sql("create table t (id int primary key, v interval)")
        .unwrap();
    ends.run_well("migrate", &["--prepare", "do-nothing"]);
    let intervals = ends.target.sql("select v from t order by id").unwrap();
    assert_eq!(intervals, "-838:59:59\n100:00:00.5\nNULL\n");
}

/// A column that was there takes texts as documents, and keeps one member of each name.
fn names_that_repeat_are_refused(from: Engine, ty: &str, to: Engine, kept: &str) {
    let ends = Ends::between(from, to, "names");
    ends.source
        .sql(&format!(
            "create table t (id int primary key, v {ty}); insert into t values (1, '{{\"a\": {{\"a\": 1}}}}'), (7, '{{\"a\": 1, \"a\": 2}}')"
        ))
        .unwrap();
    ends.target
        .sql(&format!("create table t (id int primary key, v {kept})"))
        .unwrap();
    let said = ends.run("migrate", &["--prepare", "do-nothing"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    for words in ["key (7)", "column v", "a name more than once"] {
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    assert_eq!(ends.arrived("t"), 0);
    ends.source.sql("delete from t where id = 7").unwrap();
    ends.run_well("migrate", &["--prepare", "do-nothing", "--resume"]);
    assert_eq!(ends.arrived("t"), 1);
}

#[test]
fn documents_that_repeat_names_are_refused_by_columns_that_keep_one() {
    use Engine::{Mariadb1011, Mysql97, Postgres15, Postgres18};
    for (from, ty, to, kept) in [
        (Postgres15, "text", Mysql97, "json"),
        (Mysql97, "longtext", Postgres15, "jsonb"),
        (Mariadb1011, "json", Mysql97, "json"),
        (Mariadb1011, "json", Postgres18, "jsonb"),
        (Postgres15, "json", Postgres18, "jsonb"),
    ] {
        names_that_repeat_are_refused(from, ty, to, kept);
    }
}

/// A column that was there before, what it is at the source, a value that it holds, one that it would cut without a word, and what the error says.
const NARROWER: &[(&str, &str, &str, &str, &str)] = &[
    (
        "interval day to minute",
        "interval",
        "'1 day 02:03'",
        "'1 day 02:03:04.5'",
        "smaller",
    ),
    (
        "interval year to month",
        "interval",
        "'1 year 2 mons'",
        "'1 day'",
        "smaller",
    ),
    ("interval day", "interval", "'3 days'", "'25:00'", "smaller"),
    ("char(10)", "text", "'abc'", "'abc '", "trailing spaces"),
    ("char(10)", "varchar(20)", "''", "' '", "trailing spaces"),
];

#[test]
fn what_a_column_of_postgres_would_cut_is_refused() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "narrower");
    let (mut source, mut target) = (String::new(), String::new());
    for (index, (there, here, good, bad, _)) in NARROWER.iter().enumerate() {
        let table = table(index);
        writeln!(source, "create table {table} (id int primary key, v {here}); insert into {table} values (1, {good}), (7, {bad});").unwrap();
        writeln!(
            target,
            "create table {table} (id int primary key, v {there});"
        )
        .unwrap();
    }
    ends.source.sql(&source).unwrap();
    ends.target.sql(&target).unwrap();
    let said = ends.run("migrate", &["--json", "--prepare", "truncate"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    for (index, (there, .., why)) in NARROWER.iter().enumerate() {
        let name = format!("public.{}", table(index));
        let event = said
            .events()
            .into_iter()
            .rfind(|event| event["event"] == "table" && event["table"] == *name);
        let message = event.unwrap()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            message.contains(why) && message.contains("(7)"),
            "{there}: {message}"
        );
    }
    // What somebody else has cut there is found.
    for (index, (_, _, good, bad, _)) in NARROWER.iter().enumerate() {
        ends.target
            .sql(&format!(
                "insert into {0} values (1, {good}), (7, {bad})",
                table(index)
            ))
            .unwrap();
    }
    let compared = ends.run("validate", &["--json"]);
    for event in compared
        .events()
        .iter()
        .filter(|event| event["event"] == "table")
    {
        assert_eq!(event["verdict"], "different", "{event}");
        assert_eq!(event["differences"].as_array().unwrap().len(), 1, "{event}");
        assert_eq!(event["differences"][0]["key"], "(7)", "{event}");
    }
}

#[test]
fn changes_that_a_column_of_postgres_would_cut_are_refused() {
    for (there, here, good, bad, why) in NARROWER {
        let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "narrower_changes");
        ends.source
            .sql(&format!(
                "create table t (id int primary key, v {here}); insert into t values (1, {good})"
            ))
            .unwrap();
        ends.target
            .sql(&format!("create table t (id int primary key, v {there})"))
            .unwrap();
        let options = ["--prepare", "do-nothing", "--until-caught-up"];
        ends.run_well("migrate", &options);
        ends.source
            .sql(&format!("insert into t values (7, {bad})"))
            .unwrap();
        let said = ends.run("migrate", &[&options[..], &["--resume"]].concat());
        names_the_row(&said, "(7)", "v", why);
        assert_eq!(ends.arrived("t"), 1, "{there}");
    }
}
