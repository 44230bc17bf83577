mod holes;

use whimbrel_core::{Column, ColumnType, Engine, Generation, Table, TableName};

use super::*;
use crate::{KeyPolicy, TargetColumn};

fn column(name: &str, ty: ColumnType, native: &str) -> (Column, TargetColumn) {
    let source = Column {
        name: name.to_owned(),
        ty: ty.clone(),
        native: native.to_owned(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    };
    let target = TargetColumn {
        name: name.to_owned(),
        native: native.to_owned(),
        source_type: ty,
        nullable: true,
    };
    (source, target)
}

/// A table `t` with columns of several types, and the key `id`.
fn table(engine: Engine) -> TargetTable {
    let text = ColumnType::Varchar { length: Some(20) };
    let exact = "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin";
    let loose = "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    let exact_here = if engine == Engine::Postgres {
        "character varying(20)"
    } else {
        exact
    };
    let int = ColumnType::Int {
        bits: 32,
        unsigned: false,
    };
    let decimal = ColumnType::Decimal {
        precision: Some((10, 2)),
        unsigned: false,
    };
    let all = [
        column("id", int.clone(), "int"),
        column("n", int, "int"),
        column("d", decimal, "decimal(10,2)"),
        column("day", ColumnType::Date, "date"),
        column("at", ColumnType::Timestamp { precision: 0 }, "datetime"),
        column("exact", text.clone(), exact_here),
        column("loose", text, loose),
    ];
    let (columns, mut targets): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    for target in &mut targets {
        if target.name == "exact" {
            target.native = exact.to_owned();
        }
    }
    TargetTable {
        name: TableName::new("there", "t"),
        source: Table {
            name: TableName::new("s", "t"),
            engine,
            columns,
            primary_key: vec![0],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        },
        shaped: None,
        columns: targets,
        primary_key: vec![0],
        keys: KeyPolicy::Best,
        notes: Vec::new(),
    }
}

fn of_mysql(query: &str) -> Result<Converted, String> {
    let mut views = Views::new(&[table(Engine::MySql)], Dialect::MySql);
    let head = "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`%` SQL SECURITY DEFINER VIEW `v` AS";
    views.convert(&format!("{head} {query}"), Some("s"))
}

fn of_postgres(query: &str) -> Result<Converted, String> {
    let mut views = Views::new(&[table(Engine::Postgres)], Dialect::Postgres);
    views.convert(&format!("CREATE VIEW s.v AS {query};"), None)
}

fn same(converted: Result<Converted, String>) -> String {
    let converted = converted.unwrap();
    assert_eq!(converted.differs, Vec::<String>::new());
    converted.query
}

#[test]
fn names_and_conditions_are_those_of_postgres() {
    assert_eq!(
        same(of_mysql(
            "select if(`t`.`n`,'a\\'b',NULL) AS `x`,`t`.`n` > 1 AS `y` from `t` where `t`.`n` and not `t`.`id` is null"
        )),
        "SELECT (CASE WHEN (\"t\".\"n\" <> 0) THEN 'a''b'::text ELSE NULL END) AS \"x\", ((\"t\".\"n\" > 1))::integer AS \"y\" \
         FROM \"there\".\"t\" AS \"t\" WHERE ((\"t\".\"n\" <> 0) AND (NOT (\"t\".\"id\" IS NULL)))"
    );
}

/// MariaDB prints no parentheses where precedence tells.
#[test]
fn operators_bind_as_the_server_has_them() {
    assert_eq!(
        same(of_mysql(
            "select `t`.`n` + `t`.`id` * 2 - 1 AS `x` from `t` where `t`.`n` = 1 or `t`.`n` = 2 and not `t`.`n` = 3 or `t`.`n` between 1 and 2 and `t`.`id` = 5"
        )),
        "SELECT ((((\"t\".\"n\")::bigint + ((\"t\".\"id\")::bigint * 2)))::bigint - 1) AS \"x\" FROM \"there\".\"t\" AS \"t\" WHERE \
         (((\"t\".\"n\" = 1) OR ((\"t\".\"n\" = 2) AND (NOT (\"t\".\"n\" = 3)))) OR ((\"t\".\"n\" BETWEEN 1 AND 2) AND (\"t\".\"id\" = 5)))"
    );
}

#[test]
fn nulls_stay_where_the_source_has_them() {
    let sql = same(of_mysql(
        "select `t`.`n` AS `n` from `t` order by `t`.`n` desc",
    ));
    assert!(
        sql.ends_with("ORDER BY \"t\".\"n\" DESC NULLS LAST"),
        "{sql}"
    );
    let sql = same(of_postgres("SELECT t.n FROM s.t ORDER BY t.n DESC, t.id"));
    assert!(
        sql.ends_with("ORDER BY `t`.`n` IS NOT NULL, `t`.`n` DESC, `t`.`id` IS NULL, `t`.`id`"),
        "{sql}"
    );
    let sql = same(of_postgres(
        "SELECT t.n FROM s.t ORDER BY t.n DESC NULLS LAST",
    ));
    assert!(
        sql.ends_with("ORDER BY `t`.`n` IS NULL, `t`.`n` DESC"),
        "{sql}"
    );
}

#[test]
fn texts_are_compared_only_where_both_compare_characters() {
    for query in [
        "select `t`.`id` AS `id` from `t` where `t`.`loose` = 'a'",
        "select `t`.`loose` AS `x`,count(0) AS `n` from `t` group by `t`.`loose`",
        "select distinct `t`.`loose` AS `x` from `t`",
        "select count(distinct `t`.`loose`) AS `x` from `t`",
        "select `t`.`id` AS `id` from `t` where `t`.`exact` < 'a'",
        "select `t`.`id` AS `id` from `t` where concat('a','b') = 'ab'",
        "select `t`.`loose` AS `x` from `t` union select `t`.`exact` AS `x` from `t`",
    ] {
        let converted = of_mysql(query).unwrap();
        assert_eq!(converted.differs, [TEXTS_AGREE], "{query}");
    }
    same(of_mysql(
        "select `t`.`id` AS `id` from `t` where `t`.`exact` = 'a' and `t`.`exact` like 'b%'",
    ));
    // Rows that have the key in common have all of the table in common.
    same(of_mysql(
        "select `t`.`loose` AS `x` from `t` group by `t`.`id`,`t`.`loose`",
    ));
}

/// Queries, and what is said of them.
const UNKNOWN_OF_MYSQL: &[(&str, &str)] = &[
    ("select now() AS `x`", "not converted"),
    (
        "select `t`.`day` + interval 1 day AS `x` from `t`",
        "INTERVAL",
    ),
    (
        "select `t`.`n` AS `x` from `u`.`t`",
        "no table of the migration",
    ),
    ("select `n` AS `x` from `t`", "without a table"),
    (
        "select sum(`t`.`n`) AS `x` from `t` having `x` in (1,2)",
        "without a table",
    ),
    (
        "select `t`.`n` AS `x`,`t`.`d` AS `X` from `t`",
        "two of its columns",
    ),
    (
        "select `t`.`n` AS `x` from `t` where `t`.`n` = '5'",
        "compares a number with a text",
    ),
    (
        "select `t`.`n` AS `x` from `t` where `t`.`loose`",
        "a text for a condition",
    ),
    (
        "select `t`.`n` AS `x` from `t` where `t`.`day` = '2024-1-1'",
        "compares with",
    ),
    ("select `t`.`n` AS `x` from `t` for update", "FOR"),
    (
        "select `t`.`n` AS `x` from `t` WITH CASCADED CHECK OPTION",
        "WITH",
    ),
    ("select 1e3 AS `x`", "the number 1e3"),
    ("select 0x41 AS `x`", "the number 0x41"),
    (
        "select mod(`t`.`n`,`t`.`id`) AS `x` from `t`",
        "not converted",
    ),
    (
        "select `t`.`n` % `t`.`id` AS `x` from `t`",
        "may be nothing",
    ),
    ("select sum(`t`.`loose`) AS `x` from `t`", "adds up a text"),
    (
        "select max(`t`.`exact`) AS `x` from `t`",
        "the max of a text",
    ),
    (
        "select `t`.`n` AS `x` from `t` group by `t`.`n` with rollup",
        "WITH",
    ),
    (
        "select row_number() over ( order by `t`.`n`) AS `x` from `t`",
        "OVER",
    ),
];

/// Queries, and what is said of them.
const UNKNOWN_OF_POSTGRES: &[(&str, &str)] = &[
    ("SELECT DISTINCT ON (t.n) t.n FROM s.t", "its text has T"),
    ("SELECT CURRENT_DATE AS d", "CURRENT_DATE"),
    (
        "SELECT t.n FROM s.t TABLESAMPLE bernoulli (10)",
        "BERNOULLI",
    ),
    ("SELECT year(t.day) AS y FROM s.t", "not converted"),
    (
        "SELECT ('1'::text)::integer AS y",
        "makes integer of a text",
    ),
    (
        "SELECT t.n FROM s.t FULL JOIN s.t u ON ((t.n = u.n))",
        "FULL",
    ),
];

#[test]
fn what_is_not_known_is_not_converted() {
    let of_mysql = UNKNOWN_OF_MYSQL.iter().map(|case| (case, of_mysql(case.0)));
    let of_postgres = UNKNOWN_OF_POSTGRES
        .iter()
        .map(|case| (case, of_postgres(case.0)));
    for ((query, why), converted) in of_mysql.chain(of_postgres) {
        let told = converted.as_ref().err();
        assert!(
            told.is_some_and(|told| told.contains(why)),
            "{query}: {converted:?}"
        );
    }
}

#[test]
fn what_is_nested_too_deeply_is_left() {
    for depth in [90, 5_000, 100_000] {
        let query = format!("select {}1{} AS `x`", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(of_mysql(&query).is_ok(), depth < 100, "{depth}");
        let query = format!("select {} 1 AS `x`", "not ".repeat(depth));
        assert_eq!(of_mysql(&query).is_ok(), depth < 100, "{depth}");
        let query = format!("select {}1 AS `x`", "- ".repeat(depth));
        assert_eq!(of_mysql(&query).is_ok(), depth < 100, "{depth}");
    }
}

#[test]
fn a_view_is_read_by_others_where_it_shows_the_same() {
    let mut views = Views::new(&[table(Engine::Postgres)], Dialect::Postgres);
    let mut convert = |text: &str| views.convert(text, None);
    convert("CREATE VIEW s.a AS SELECT t.n AS m FROM s.t;").unwrap();
    let on =
        convert("CREATE VIEW s.b (\"x\") WITH (security_invoker=true) AS SELECT a.m FROM s.a;");
    assert_eq!(
        on.unwrap().statement(),
        "CREATE SQL SECURITY INVOKER VIEW `there`.`b` (`x`) AS SELECT `a`.`m` AS `x` FROM `there`.`a` AS `a`"
    );
    convert("CREATE VIEW s.c AS SELECT upper(t.exact) AS u FROM s.t;").unwrap();
    let on = convert("CREATE VIEW s.d AS SELECT c.u FROM s.c;");
    assert_eq!(
        on.unwrap_err(),
        "it reads the view s.c, and that may show other rows here"
    );
    let barred = convert("CREATE VIEW s.e WITH (security_barrier=true) AS SELECT 1 AS x;");
    assert_eq!(barred.unwrap_err(), "it has options of its own");
}

/// Texts with pieces of others in them: whatever they say, nothing panics.
#[test]
fn no_text_makes_it_panic() {
    let queries = [
        "select if(`t`.`n`,'a\\'b',NULL) AS `x`,count(distinct `t`.`n`) AS `y` from (`t` join `t` `u` on(`t`.`id` = `u`.`id`)) where `t`.`day` >= '2024-01-01' group by `t`.`n` having count(0) > 1 order by `t`.`n` desc limit 1, 2",
        "SELECT (CASE t.n WHEN 1 THEN 'a'::text ELSE NULL::text END) AS x, EXTRACT(year FROM t.day) AS y FROM (s.t LEFT JOIN s.t u USING (id)) WHERE ((t.n = ANY (ARRAY[1, 2])) AND (t.exact !~~ 'a%'::text)) UNION ALL SELECT DISTINCT concat_ws('-'::text, t.exact) AS x, round(t.d, 1) AS y FROM ( SELECT t.n FROM s.t) z",
        "select \u{e9}\u{1f600} ( ( - not in between and 99999999999999999999 .5 1. '2024-02-30 ' ''' `` \"\" :: @ <=> $1 exists any array [ ] substring trim both from for cast as decimal(70,99)",
        "t.d::numeric(3,2) round(`t`.`d`,3) `t`.`day` = '2024-0é-01 00:00:0' substr(`t`.`exact`,0) left(`t`.`exact`,4294967296) cast(`t`.`n` as decimal(1,0)) `t`.`n` / 0 order by 0",
    ];
    let pieces: Vec<Vec<&str>> = queries
        .iter()
        .map(|query| query.split_inclusive([' ', '(', ')', ',', '.']).collect())
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for _ in 0..3_000 {
        let mut text = pieces[next(2)].clone();
        for _ in 0..=next(6) {
            let other = &pieces[next(pieces.len())];
            let piece = other[next(other.len())];
            let at = next(text.len());
            match next(3) {
                0 => text[at] = piece,
                1 => text.insert(at, piece),
                _ if text.len() > 1 => {
                    text.remove(at);
                }
                _ => {}
            }
        }
        let text = text.concat();
        for converted in [of_mysql(&text), of_postgres(&text)].into_iter().flatten() {
            assert!(
                converted.statement().len() < 20 * text.len() + 1000,
                "{text}"
            );
        }
    }
}
