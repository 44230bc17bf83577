use whimbrel_core::objects::{BinaryOperator, Expression, Literal, SpecialValue};

use whimbrel_core::ColumnType;

use super::{Dialect, check_types, is_condition, orders_texts, parse};

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

fn postgres(text: &str) -> Option<Expression> {
    parse(text, Dialect::Postgres, &|name| name == "state")
}

fn mysql(text: &str) -> Option<Expression> {
    parse(text, Dialect::MySql, &|_| false)
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
