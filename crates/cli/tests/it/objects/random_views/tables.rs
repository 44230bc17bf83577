//! Two tables, with values at which types and servers differ.

use whimbrel_testkit::Engine;

use crate::random::Random;

const ROWS: usize = 14;

/// A column's name and its types in PostgreSQL and MySQL, and its values.
type Typed = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const COLUMNS: &[Typed] = &[
    (
        "i",
        "int",
        "int",
        &["0", "1", "-1", "2", "7", "-3", "2147483647", "-2147483648"],
    ),
    (
        "s",
        "smallint",
        "smallint",
        &["0", "1", "2", "-2", "-32768", "32767"],
    ),
    (
        "g",
        "bigint",
        "bigint",
        &[
            "0",
            "1",
            "5",
            "-7",
            "9007199254740993",
            "-9223372036854775808",
            "9223372036854775807",
        ],
    ),
    ("u", "int", "int unsigned", &["0", "1", "3", "2000000000"]),
    (
        "q",
        "bigint",
        "bigint unsigned",
        &["0", "1", "4", "9223372036854775807"],
    ),
    (
        "d",
        "numeric(6,2)",
        "decimal(6,2)",
        &["0", "0.05", "-0.05", "1.5", "2.25", "-0.5", "9999.99", "7"],
    ),
    (
        "e",
        "numeric(9,4)",
        "decimal(9,4)",
        &[
            "0",
            "1.5",
            "2.25",
            "0.0001",
            "-0.5000",
            "0.4999",
            "-99999.9999",
        ],
    ),
    ("f", "real", "float", &["0", "0.1", "-0.5", "1.5", "0.3"]),
    (
        "h",
        "double precision",
        "double",
        &["0", "0.1", "-0.5", "1.5", "10000000000", "0.3"],
    ),
    (
        "t",
        "varchar(20)",
        "varchar(20) EXACT",
        &[
            "''", "'a'", "'A'", "'a '", "'ab'", "'a%b'", "'ä'", "'1'", "'10'", "' x '", "'it''s'",
        ],
    ),
    (
        "w",
        "text",
        "text EXACT",
        &["''", "'a'", "'b'", "'B'", "'b '", "'a_b'", "'Ä'", "'01'"],
    ),
    (
        "l",
        "varchar(20)",
        "varchar(20) character set utf8mb4 collate utf8mb4_general_ci",
        &["'a'", "'A'", "'a '", "'ä'", "'b'"],
    ),
    (
        "day",
        "date",
        "date",
        &[
            "'2024-01-31'",
            "'2024-02-29'",
            "'1999-12-31'",
            "'2000-01-01'",
        ],
    ),
    (
        "at",
        "timestamp(3)",
        "datetime(3)",
        &[
            "'2024-01-31 00:00:00'",
            "'2024-02-29 23:59:59.999'",
            "'2000-01-01 12:30:00.5'",
        ],
    ),
    (
        "tm",
        "time(3)",
        "time(3)",
        &["'00:00:00'", "'12:30:00.5'", "'23:59:59'"],
    ),
    (
        "c",
        "char(5)",
        "char(5) EXACT",
        &["'a'", "'ab'", "'ab   '", "''"],
    ),
    ("y", "smallint", "year", &["2024", "1999"]),
    ("x", "bytea", "blob", &["'a'", "'A'", "'a '"]),
    ("k", "boolean", "tinyint(1)", &["true", "false"]),
];

/// What makes and fills them.
pub(super) fn statements(random: &mut Random, engine: Engine) -> String {
    let exact = match engine {
        Engine::Mysql97 => "character set utf8mb4 collate utf8mb4_0900_bin",
        _ => "character set utf8mb4 collate utf8mb4_nopad_bin",
    };
    let labels = if engine.is_postgres() {
        "create type one as enum ('a', 'b', 'C'); create type other as enum ('C', 'x', 'a');"
    } else {
        ""
    };
    let enums = if engine.is_postgres() {
        ["one", "other"].map(str::to_owned)
    } else {
        ["enum('a','b','C')", "enum('C','x','a')"].map(|ty| format!("{ty} {exact}"))
    };
    let mut columns = vec!["id int primary key".to_owned()];
    for (name, postgres, mysql, _) in COLUMNS {
        let ty = if engine.is_postgres() {
            postgres
        } else {
            mysql
        };
        columns.push(format!("{name} {} null", ty.replace("EXACT", exact)));
    }
    columns.push(format!("n1 {} null, n2 {} null", enums[0], enums[1]));
    let columns = columns.join(", ");
    let mut sql = labels.to_owned();
    for table in ["a", "b"] {
        let rows: Vec<String> = (0..ROWS).map(|id| row(random, id)).collect();
        sql = format!(
            "{sql} create table {table} ({columns}); insert into {table} values {};",
            rows.join(", ")
        );
    }
    sql
}

fn row(random: &mut Random, id: usize) -> String {
    let mut cells = vec![id.to_string()];
    for (.., values) in COLUMNS {
        cells.push(cell(random, values));
    }
    cells.push(cell(random, &["'a'", "'b'", "'C'"]));
    cells.push(cell(random, &["'a'", "'x'", "'C'"]));
    format!("({})", cells.join(", "))
}

fn cell(random: &mut Random, values: &[&str]) -> String {
    if random.one_in(6) {
        return "null".to_owned();
    }
    // The first ones more often: the last leave the types that are calculated in.
    let place = random
        .below(values.len())
        .min(random.below(values.len() + 1));
    values[place].to_owned()
}
