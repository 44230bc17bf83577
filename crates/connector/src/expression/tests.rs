use whimbrel_core::objects::{BinaryOperator, Expression, Literal, SpecialValue};

use whimbrel_core::ColumnType;

use super::{Dialect, ExpressionWriter, check_types, is_condition, orders_texts, parse};

fn column(name: &str) -> Expression {
    Expression::Column(name.to_owned())
}

fn number(digits: &str) -> Expression {
    Expression::Literal(Literal::Number(digits.to_owned()))
}

fn text(text: &str) -> Expression {
    Expression::Literal(Literal::Text(text.to_owned()))
}

fn binary(left: Expression, operator: BinaryOperator, right: Expression) -> Expression {
    Expression::Binary {
        left: Box::new(left),
        operator,
        right: Box::new(right),
    }
}

fn type_of(name: &str) -> Option<&'static ColumnType> {
    Some(match name {
        "state" => &ColumnType::Text { bytes_max: None },
        "padded" => &ColumnType::Char { length: 3 },
        "int" => &ColumnType::Int {
            bits: 32,
            unsigned: false,
        },
        "bigint" => &ColumnType::Int {
            bits: 64,
            unsigned: false,
        },
        "dec" => &ColumnType::Decimal {
            precision: Some((10, 2)),
            unsigned: false,
        },
        "real" => &ColumnType::Float32,
        "double" => &ColumnType::Float64,
        _ => return None,
    })
}

fn postgres(text: &str) -> Option<Expression> {
    parse(text, Dialect::Postgres, &type_of)
}

fn mysql(text: &str) -> Option<Expression> {
    parse(text, Dialect::MySql, &type_of)
}

#[test]
fn lists_are_the_same_however_a_server_writes_them() {
    let expected = Expression::In {
        value: Box::new(column("state")),
        list: vec![text("a'b"), text("c")],
        is_negated: false,
    };
    for written in [
        "(state = ANY (ARRAY['a''b'::text, 'c'::text]))",
        "((state)::text = ANY ((ARRAY['a''b'::character varying, 'c'::character varying])::text[]))",
    ] {
        assert_eq!(postgres(written), Some(expected.clone()), "{written}");
    }
    for written in [
        "(`state` in (_utf8mb4'a\\'b',_utf8mb4'c'))",
        "`state` in ('a''b','c')",
    ] {
        assert_eq!(mysql(written), Some(expected.clone()), "{written}");
    }
}

#[test]
fn operators_bind_as_they_do_in_sql() {
    let small = binary(column("a"), BinaryOperator::Less, number("-1.5"));
    let sum = binary(
        column("a"),
        BinaryOperator::Plus,
        binary(column("b"), BinaryOperator::Times, number("2")),
    );
    let large = binary(sum, BinaryOperator::AtLeast, number("10"));
    let missing = Expression::IsNull {
        value: Box::new(column("b")),
        is_negated: true,
    };
    let expected = binary(
        small,
        BinaryOperator::Or,
        binary(large, BinaryOperator::And, missing),
    );
    assert_eq!(
        mysql("`a` < -1.5 or `a` + `b` * 2 >= 10 and `b` is not null"),
        Some(expected.clone())
    );
    assert_eq!(
        postgres("((a < '-1.5'::numeric) OR (((a + (b * 2)) >= 10) AND (b IS NOT NULL)))"),
        Some(expected)
    );
    assert_eq!(
        mysql("(char_length(`n`) between 1 and 5)"),
        postgres("((length(n) >= 1) AND (length(n) <= 5))")
    );
}

#[test]
fn the_present_has_many_names() {
    let now = |digits| Some(Expression::Special(SpecialValue::Now(digits)));
    assert_eq!(postgres("now()"), now(6));
    assert_eq!(postgres("CURRENT_TIMESTAMP(3)"), now(3));
    assert_eq!(mysql("CURRENT_TIMESTAMP"), now(0));
    assert_eq!(mysql("current_timestamp(6)"), now(6));
    assert_eq!(
        postgres("CURRENT_DATE"),
        Some(Expression::Special(SpecialValue::Today))
    );
    assert_eq!(
        mysql("(uuid())"),
        Some(Expression::Special(SpecialValue::Uuid))
    );
}

#[test]
fn what_may_mean_something_else_is_not_read() {
    for written in [
        "(a / 2) > 1",
        "a || 'x'",
        "lower(a) = 'x'",
        "nextval('s'::regclass)",
        "'\\xff'::bytea",
        "(a)::integer > 1",
        "(other)::text = 'x'",
        "'now'::timestamp without time zone",
        "a ~ 'x'",
        "(a > 1",
        "a > 1)",
        "s.a > 1",
        "'x",
        "a = ANY (b)",
        "",
    ] {
        assert_eq!(postgres(written), None, "{written}");
    }
    for written in [
        "length(`a`) > 1",
        "`a` / 2 > 1",
        "`a` like 'x%'",
        "(`a` % 2) = 0",
        "0x41",
        "_binary'x'",
        "`a` is true",
        "json_valid(`a`)",
    ] {
        assert_eq!(mysql(written), None, "{written}");
    }
    let deep = format!("{}a > 1{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(postgres(&deep), None);
}

#[test]
fn a_cast_that_keeps_every_value_is_left_out() {
    let equal = |name, value| Some(binary(column(name), BinaryOperator::Equal, value));
    for (written, expected) in [
        ("(int)::integer = 5", equal("int", number("5"))),
        ("(int)::bigint = 5", equal("int", number("5"))),
        ("(int)::numeric = 0.5", equal("int", number("0.5"))),
        ("(dec)::numeric = 0.5", equal("dec", number("0.5"))),
        (
            "(int)::double precision = (0.5)::double precision",
            equal("int", number("0.5")),
        ),
        (
            "(\"real\")::double precision = '1e+20'::double precision",
            equal("real", number("1e+20")),
        ),
        ("\"real\" = (1.5)::real", equal("real", number("1.5"))),
        ("dec = (0.50)::numeric(10,2)", equal("dec", number("0.50"))),
        ("dec = (5)::numeric(10)", equal("dec", number("5"))),
        ("int = '-5'::integer", equal("int", number("-5"))),
        (
            "(state)::text = ('ab'::character varying)::text",
            equal("state", text("ab")),
        ),
        (
            "(state)::text = ('äb'::character varying)::character varying(2)",
            equal("state", text("äb")),
        ),
        ("padded = 'ab  '::bpchar", equal("padded", text("ab"))),
    ] {
        assert!(
            expected.is_some() && postgres(written) == expected,
            "{written}"
        );
    }
}

#[test]
fn a_cast_that_makes_another_value_is_not_read() {
    for written in [
        "dec = (dec)::bigint",
        "double = (double)::numeric",
        "(dec)::double precision = 0.5",
        "(bigint)::double precision = 0.5",
        "(bigint)::integer = 5",
        "(int)::smallint = 5",
        "int = (int)::numeric(3,0)",
        "(state)::character varying(1) = 'A'",
        "(state)::bpchar = 'A'::bpchar",
        "(padded)::text = 'A'",
        "(unknown)::bigint = 5",
        "(state)::text = ('ab'::character varying)::character varying(1)",
        "(state)::text = ANY ((ARRAY['ab'::character varying])::character varying(1)[])",
        "(state)::text = ('A'::bpchar)::character(2)",
        "int = (0.6)::integer",
        "int = ('0.6'::numeric)::integer",
        "dec = (0.555)::numeric(10,2)",
        "dec = (1e-3)::numeric(10,2)",
        "dec = (155)::numeric(10,-2)",
        "\"real\" = (0.1)::real",
        "'2020-01-01 23:00:00.5'::timestamp(0) without time zone",
        "('2020-01-01 23:00:00'::timestamp without time zone)::date",
        "(B'101')::bit(4)",
        "dec <> 'NaN'::numeric",
        "double < 'Infinity'::double precision",
        "double < '-Infinity'::double precision",
    ] {
        assert_eq!(postgres(written), None, "{written}");
    }
}

/// Servers disagree about what binds closer, so that nothing is left to that.
#[test]
fn what_is_written_is_read_as_it_was_meant() {
    let null = |name: &str| Expression::IsNull {
        value: Box::new(column(name)),
        is_negated: false,
    };
    let within = |value| Expression::In {
        value: Box::new(value),
        list: vec![number("1"), number("2")],
        is_negated: true,
    };
    let not = |value| Expression::Not(Box::new(value));
    let equal = |left, right| binary(left, BinaryOperator::Equal, right);
    let writer = ExpressionWriter {
        column: &|name| Ok(format!("`{name}`")),
        literal: |text| format!("'{text}'"),
    };
    for (expression, written) in [
        (
            equal(null("a"), null("b")),
            "(((`a`) IS NULL) = ((`b`) IS NULL))",
        ),
        (
            equal(within(column("a")), within(column("b"))),
            "((`a` NOT IN (1, 2)) = (`b` NOT IN (1, 2)))",
        ),
        (
            equal(not(column("a")), not(column("b"))),
            "((NOT (`a`)) = (NOT (`b`)))",
        ),
        (within(null("a")), "(((`a`) IS NULL) NOT IN (1, 2))"),
        (not(null("a")), "(NOT (((`a`) IS NULL)))"),
    ] {
        assert_eq!(writer.write(&expression).as_deref(), Ok(written));
        assert_eq!(mysql(written), Some(expression), "{written}");
    }
}

#[test]
fn texts_in_order_and_numbers_as_conditions_are_told() {
    let is_text = |name: &str| name == "state";
    assert!(orders_texts(
        &postgres("(a = 1) OR (state > 'x'::text)").unwrap(),
        &is_text
    ));
    assert!(!orders_texts(
        &postgres("(a > 1) OR (state = 'x'::text)").unwrap(),
        &is_text
    ));
    let is_bool = |name: &str| name == "flag";
    assert!(is_condition(
        &postgres("flag AND (NOT (a > 1))").unwrap(),
        &is_bool
    ));
    assert!(!is_condition(&postgres("a OR flag").unwrap(), &is_bool));
}

#[test]
fn values_are_held_against_the_types_of_their_columns() {
    let columns = [
        ("a", ColumnType::Float64),
        ("day", ColumnType::Date),
        ("other_day", ColumnType::Date),
        ("at", ColumnType::Timestamp { precision: 6 }),
        ("flag", ColumnType::Bool),
        ("state", ColumnType::Text { bytes_max: None }),
        (
            "mood",
            ColumnType::Enum {
                labels: vec!["sad".to_owned(), "ok".to_owned()],
            },
        ),
    ];
    let type_of = |name: &str| {
        let mut known = columns.iter();
        known.find(|(known, _)| *known == name).map(|(_, ty)| ty)
    };
    let is_same = |written: &str| {
        let read = mysql(written).unwrap_or_else(|| panic!("{written} is not read"));
        check_types(&read, &|name| type_of(name))
    };
    for written in [
        "`a` + 2 > 1.5",
        "`day` >= '2020-01-01'",
        "`day` < `other_day`",
        "`mood` = 'ok' or `mood` in ('sad','ok')",
        "`state` <> 'x' and `a` is not null",
        "char_length(`state`) between 1 and 3",
    ] {
        assert_eq!(is_same(written), Ok(()), "{written}");
    }
    for written in [
        "`day` + 1 > '2020-01-01'",
        "`day` - `other_day` > 3",
        "`day` < `at`",
        "`day` > 20200101",
        "`day` > '2020-01-01T00:00:00Z'",
        "`day` > '0000-00-00'",
        "`mood` > 'ok'",
        "`mood` = 2",
        "`mood` = 'OK'",
        "`a` <> 'NaN'",
        "`flag` = 1",
        "`state` > 5",
        "`unknown` = 1",
    ] {
        assert!(is_same(written).is_err(), "{written}");
    }
}
