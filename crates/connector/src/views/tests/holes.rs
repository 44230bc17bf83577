//! What looks as if it meant the same, and does not.

use super::*;

/// More columns beside those of [`super::table`].
fn wide(engine: Engine) -> TargetTable {
    let mut table = table(engine);
    let int = |bits, unsigned| ColumnType::Int { bits, unsigned };
    let decimal = |precision, scale| ColumnType::Decimal {
        precision: Some((precision, scale)),
        unsigned: false,
    };
    let labels = |labels: &[&str]| ColumnType::Enum {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let varchar = ColumnType::Varchar { length: Some(9) };
    let exact = "varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin";
    for (source, mut target) in [
        column("u", int(32, true), "int unsigned"),
        column("big", int(64, true), "bigint unsigned"),
        column("long", int(64, false), "bigint"),
        column("d4", decimal(12, 4), "decimal(12,4)"),
        column("tiny", decimal(2, 5), "numeric(2,5)"),
        column("f", ColumnType::Float32, "float"),
        column("one", labels(&["a", "b"]), "enum('a','b')"),
        column("same", labels(&["a", "b"]), "enum('a','b')"),
        column("other", labels(&["B", "A"]), "enum('B','A')"),
        column("own", varchar, "public.ci"),
    ] {
        if target.name == "own" {
            exact.clone_into(&mut target.native);
        }
        table.source.columns.push(source);
        table.columns.push(target);
    }
    table
}

fn of_mysql(query: &str) -> Result<Converted, String> {
    let mut views = Views::new(&[wide(Engine::MySql)], Dialect::MySql);
    views.convert(&format!("CREATE VIEW `v` AS {query}"), Some("s"))
}

fn of_postgres(query: &str) -> Result<Converted, String> {
    let mut views = Views::new(&[wide(Engine::Postgres)], Dialect::Postgres);
    views.convert(&format!("CREATE VIEW s.v AS {query};"), None)
}

fn refused(converted: Result<Converted, String>, why: &str) {
    let told = converted.unwrap_err();
    assert!(told.contains(why), "{told}");
}

fn has(converted: Result<Converted, String>, sql: &str) {
    let query = same(converted);
    assert!(query.contains(sql), "{sql} is not in {query}");
}

/// MariaDB prints `a = (b IN (c))` so.
#[test]
fn tests_bind_more_strongly_than_comparisons() {
    has(
        of_mysql("select `t`.`n` = `t`.`id` in (1,2) AS `x` from `t`"),
        "((\"t\".\"n\" = ((\"t\".\"id\" IN (1, 2)))::integer))::integer AS",
    );
    has(
        of_mysql("select `t`.`n` = `t`.`id` between 0 and 1 AS `x` from `t`"),
        "(\"t\".\"n\" = ((\"t\".\"id\" BETWEEN 0 AND 1))::integer)",
    );
    has(
        of_mysql("select `t`.`n` = `t`.`exact` like 'a' AS `x` from `t`"),
        "(\"t\".\"n\" = ((\"t\".\"exact\" LIKE 'a'::text))::integer)",
    );
    has(
        of_mysql("select `t`.`n` in (1) = `t`.`id` AS `x` from `t`"),
        "(((\"t\".\"n\" IN (1)))::integer = \"t\".\"id\")",
    );
    has(
        of_mysql("select `t`.`n` = `t`.`id` is null AS `x` from `t`"),
        "((\"t\".\"n\" = \"t\".\"id\") IS NULL)",
    );
    has(
        of_mysql("select `t`.`n` between 1 and 2 in (0) AS `x` from `t`"),
        "(\"t\".\"n\" BETWEEN 1 AND ((2 IN (0)))::integer)",
    );
    has(
        of_mysql("select not `t`.`n` = 1 and `t`.`id` = 2 AS `x` from `t`"),
        "((NOT (\"t\".\"n\" = 1)) AND (\"t\".\"id\" = 2))",
    );
}

#[test]
fn a_text_of_a_number_has_its_digits() {
    let mixed = "digits behind the point";
    refused(
        of_postgres("SELECT concat(COALESCE(t.d, t.d4)) AS x FROM s.t"),
        mixed,
    );
    refused(
        of_postgres(
            "SELECT concat(CASE WHEN (t.n = 1) THEN t.d ELSE (0)::numeric END) AS x FROM s.t",
        ),
        mixed,
    );
    refused(
        of_mysql(
            "select concat(`u`.`d`) AS `x` from (select `t`.`d` AS `d` from `t` union all select `t`.`n` AS `n` from `t`) `u`",
        ),
        mixed,
    );
    // MySQL 9.7 prints `0` here, and MariaDB `0.00`.
    refused(
        of_mysql("select concat(if(`t`.`n`,`t`.`d`,0)) AS `x` from `t`"),
        mixed,
    );
    has(
        of_postgres("SELECT concat(COALESCE(t.d, 0.00), (t.d * t.d4), (t.n + t.d)) AS x FROM s.t"),
        "concat_ws(",
    );
}

#[test]
fn a_float_is_looked_for_in_double_precision() {
    has(
        of_mysql("select `t`.`id` AS `id` from `t` where `t`.`f` in (0.1,2)"),
        "((\"t\".\"f\")::double precision IN ((0.1)::double precision, (2)::double precision))",
    );
    refused(
        of_mysql("select `t`.`id` AS `id` from `t` where `t`.`n` in (0.1,`t`.`f`)"),
        "some are exact",
    );
    refused(
        of_mysql("select `t`.`id` AS `id` from `t` where `t`.`long` between 0 and `t`.`f`"),
        "some are exact",
    );
}

#[test]
fn having_without_a_group_is_refused() {
    for query in [
        "select `t`.`n` AS `n` from `t` having `n` > 1",
        "select 1 AS `one` from `t` having 1",
        "select (select count(0) from `t` `u`) AS `c` from `t` having `c` > 1",
    ] {
        refused(of_mysql(query), "HAVING without a group");
    }
    refused(
        of_postgres("SELECT 1 AS one FROM s.t HAVING true"),
        "HAVING without a group",
    );
    same(of_mysql("select count(0) AS `c` from `t` having `c` > 1"));
    same(of_mysql("select 1 AS `c` from `t` having sum(`t`.`n`) > 1"));
}

/// Labels of two types are texts to MySQL, which its collation compares.
#[test]
fn labels_of_two_types_are_not_put_into_one_column() {
    for query in [
        "select `t`.`one` AS `x` from `t` union select `t`.`other` AS `x` from `t`",
        "select distinct coalesce(`t`.`one`,`t`.`other`) AS `x` from `t`",
        "select count(0) AS `c` from `t` group by if(`t`.`n`,`t`.`one`,`t`.`other`)",
    ] {
        refused(of_mysql(query), "a value of another type");
    }
    same(of_mysql(
        "select `t`.`one` AS `x` from `t` union select `t`.`same` AS `x` from `t` group by `t`.`same`",
    ));
}

#[test]
fn functions_of_users_are_refused() {
    let users = "a function of a user's";
    refused(of_mysql("select `concat`(`t`.`n`) AS `x` from `t`"), users);
    refused(of_mysql("select `s`.`abs`(`t`.`n`) AS `x` from `t`"), users);
    refused(of_postgres("SELECT public.abs(t.n) AS x FROM s.t"), users);
    refused(of_postgres("SELECT s.\"left\"(t.n) AS x FROM s.t"), users);
    // A keyword, which the server quotes.
    has(
        of_postgres("SELECT \"left\"(t.exact, 2) AS x FROM s.t"),
        "left(`t`.`exact`, 2)",
    );
    refused(
        of_postgres("SELECT \"left\"(t.exact, '-2'::integer) AS x FROM s.t"),
        "not converted",
    );
}

#[test]
fn whole_numbers_are_calculated_with_where_they_fit() {
    for (query, sql) in [
        ("-`t`.`n`", "(- (\"t\".\"n\")::bigint)"),
        ("abs(`t`.`n`)", "ABS((\"t\".\"n\")::bigint)"),
        ("abs(`t`.`big`)", "ABS((\"t\".\"big\")::numeric)"),
        (
            "`t`.`u` * `t`.`u`",
            "((\"t\".\"u\")::numeric * \"t\".\"u\")",
        ),
        ("`t`.`u` + 1", "((\"t\".\"u\")::bigint + 1)"),
        (
            "`t`.`u` + `t`.`long`",
            "((\"t\".\"u\")::numeric + \"t\".\"long\")",
        ),
        (
            "`t`.`long` * `t`.`long`",
            "((\"t\".\"long\")::bigint * \"t\".\"long\")",
        ),
        ("`t`.`n` div -1", "((\"t\".\"n\")::bigint / (-1))"),
        ("sum(`t`.`n`) * 2", "(SUM(\"t\".\"n\")::numeric * 2)"),
    ] {
        has(of_mysql(&format!("select {query} AS `x` from `t`")), sql);
    }
    refused(
        of_mysql("select -`t`.`big` AS `x` from `t`"),
        "for a number",
    );
    // In PostgreSQL it is no whole number.
    let half = of_postgres("SELECT (EXTRACT(year FROM t.day) / 2) AS x FROM s.t").unwrap();
    assert_eq!(half.differs, [DIVIDES]);
}

#[test]
fn digits_that_stand_far_behind_the_point_are_no_failure() {
    same(of_postgres(
        "SELECT (t.tiny + t.d) AS x, (t.tiny)::numeric(9,6) AS y FROM s.t",
    ));
    refused(
        of_postgres("SELECT (t.d)::numeric(2,2) AS y FROM s.t"),
        "makes numeric(2,2)",
    );
    refused(
        of_postgres(&format!("SELECT 0.{} AS x", "1".repeat(31))),
        "has the number",
    );
}

#[test]
fn rows_are_not_put_together_by_constants() {
    refused(
        of_postgres("SELECT count(*) AS c FROM s.t GROUP BY (1)::integer"),
        "by a constant",
    );
    refused(
        of_mysql("select count(0) AS `c` from `t` group by 'a'"),
        "by a constant",
    );
}

/// The server prints the bytes of a text in another set than that of the session.
#[test]
fn a_text_of_another_character_set_is_read_where_its_bytes_are_the_same() {
    same(of_mysql("select _latin1'abc' AS `x` from `t`"));
    refused(
        of_mysql("select _latin1'\u{e4}' AS `x` from `t`"),
        "is not read here",
    );
    same(of_mysql("select _utf8mb4'\u{e4}' AS `x` from `t`"));
}

#[test]
fn a_separator_is_a_part_of_the_text() {
    let query =
        "select `t`.`id` AS `id` from `t` where concat_ws(`t`.`loose`,`t`.`exact`,'a') = 'b'";
    assert_eq!(of_mysql(query).unwrap().differs, [TEXTS_AGREE]);
    same(of_mysql(&query.replace("loose", "exact")));
}

/// A domain may bring a collation that is not deterministic.
#[test]
fn texts_of_a_users_type_are_not_known_to_agree() {
    let converted = of_postgres("SELECT t.id FROM s.t WHERE (t.own = 'a'::text)").unwrap();
    assert_eq!(converted.differs, [TEXTS_AGREE]);
}

#[test]
fn tables_without_those_that_inherit_are_refused() {
    refused(
        of_postgres("SELECT t.n FROM ONLY s.t"),
        "those that inherit from it",
    );
}

#[test]
fn rows_and_values_that_do_not_arrive_are_told() {
    let mut table = wide(Engine::MySql);
    table.shaped = Some(Box::new(crate::ShapedTable {
        table: table.source.clone(),
        source_places: (0..table.columns.len()).map(Some).collect(),
        keeps_values: (0..table.columns.len()).map(|place| place != 1).collect(),
        leaves_out_rows: true,
    }));
    let mut views = Views::new(&[table], Dialect::MySql);
    let mut convert = |text: &str| views.convert(text, Some("s"));
    let converted =
        convert("CREATE VIEW `v` AS select `t`.`id` AS `id` from `t` where `t`.`n` is null");
    let differs = converted.unwrap().differs;
    assert_eq!(differs.len(), 2, "{differs:?}");
    assert!(differs[0].contains("rows of s.t out"), "{differs:?}");
    assert!(
        differs[1].contains("its column n arrive as others"),
        "{differs:?}"
    );
    refused(
        convert("CREATE VIEW `w` AS select `v`.`id` AS `id` from `v`"),
        "may show other rows here",
    );
}

#[test]
fn what_a_view_reads_is_told() {
    let mut views = Views::new(&[wide(Engine::Postgres)], Dialect::Postgres);
    let text = "CREATE VIEW s.v AS SELECT count(*) AS c FROM s.t WHERE (t.exact = 'a'::text);";
    let reads = views.convert(text, None).unwrap().reads;
    let table = &reads.tables[&TableName::new("s", "t")];
    assert_eq!(table.name, TableName::new("there", "t"));
    let columns: Vec<&String> = table.columns.keys().collect();
    assert_eq!(columns, ["exact"]);
    let text = "CREATE VIEW s.w AS SELECT v.c FROM s.v;";
    let reads = views.convert(text, None).unwrap().reads;
    assert!(reads.tables.is_empty());
    assert_eq!(
        reads.views.into_iter().collect::<Vec<_>>(),
        [TableName::new("s", "v")]
    );
}

/// Lists within lists: each value is looked at once.
#[test]
fn values_within_values_take_no_time() {
    for depth in [5, 90] {
        let nested = |open: &str, close: &str| {
            format!(
                "select {}`t`.`n`{} AS `x` from `t`",
                open.repeat(depth),
                close.repeat(depth)
            )
        };
        of_mysql(&nested("(", " in (0,1,2))")).ok();
        of_mysql(&nested("(", " between 0 and 1)")).ok();
        of_mysql(&nested("nullif(", ",1)")).ok();
        let told = of_mysql(&nested(
            "case ",
            " when 0 then 1 when 1 then 0 when 2 then 3 end",
        ));
        assert_eq!(told.is_err(), depth > 5, "{depth}");
    }
}
