//! Which rows pass filters, by the type of the column.

use proptest::prelude::*;
use serde_json::json;

use super::super::*;
use super::support::{INT4, TEXT, filtered, numeric, resolved, selects, table, varchar};
use crate::{CivilDate, ColumnType, Date, Decimal, Engine, Time, Timestamp, Value};

fn literal(text: &str, ty: &ColumnType) -> Literal {
    Literal::read(text, ty, Engine::Postgres).unwrap()
}

#[track_caller]
fn ordered(
    ty: &ColumnType,
    text: &str,
    below: &[Value<'_>],
    equal: &[Value<'_>],
    above: &[Value<'_>],
) {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let literal = literal(text, ty);
    for (values, expected) in [(below, Less), (equal, Equal), (above, Greater)] {
        for value in values {
            assert_eq!(
                literal.order_of(value),
                Some(expected),
                "{value:?} and {text}"
            );
        }
    }
}

#[test]
fn numbers_are_exact_at_any_length() {
    let long = "123456789012345678901234567890.5";
    let decimal = |text: &'static str| Value::Decimal(Decimal::from_text(text).unwrap());
    ordered(
        &numeric(40, 5),
        long,
        &[
            decimal("123456789012345678901234567890.49999"),
            Value::Int(i64::MAX),
            decimal("-999999999999999999999999999999999"),
        ],
        &[decimal("123456789012345678901234567890.50000")],
        &[
            decimal("123456789012345678901234567890.500001"),
            Value::Decimal(Decimal::NaN),
            Value::Decimal(Decimal::Infinity),
        ],
    );
    ordered(
        &INT4,
        "-0.0",
        &[Value::Int(-1)],
        &[Value::Int(0), Value::UInt(0), decimal("0.00")],
        &[Value::UInt(u64::MAX)],
    );
    ordered(
        &INT4,
        "+1.5",
        &[Value::Int(1), Value::Decimal(Decimal::NegInfinity)],
        &[decimal("1.50")],
        &[Value::Int(2)],
    );
    ordered(
        &INT4,
        "-10",
        &[Value::Int(-11), decimal("-10.01")],
        &[Value::Int(-10)],
        &[Value::Int(-9), decimal("-9.99")],
    );
    for wrong in [
        "", "-", "1e5", ".5", "1.", "1 ", "0x1", "--1", "1.2.3", "NaN", "١",
    ] {
        assert!(
            Literal::read(wrong, &INT4, Engine::Postgres).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn floats_compare_as_their_engine_compares() {
    let real = ColumnType::Float32;
    // PostgreSQL brings the literal to single precision; MySQL and MariaDB bring the value to double.
    ordered(
        &real,
        "0.1",
        &[],
        &[Value::Float32(0.1)],
        &[Value::Float32(f32::NAN)],
    );
    let double = Literal::read("0.1", &real, Engine::MySql).unwrap();
    assert_eq!(
        double.order_of(&Value::Float32(0.1)),
        Some(std::cmp::Ordering::Greater)
    );
    ordered(
        &ColumnType::Float64,
        "0",
        &[Value::Float64(-1.0)],
        &[Value::Float64(-0.0)],
        &[Value::Float64(5e-324)],
    );
    ordered(
        &ColumnType::Float64,
        "NaN",
        &[Value::Float64(f64::INFINITY)],
        &[Value::Float64(f64::NAN)],
        &[],
    );
    assert!(Literal::read("NaN", &ColumnType::Float64, Engine::MariaDb).is_err());
}

#[test]
fn texts_compare_by_bytes_and_padding_does_not_count() {
    ordered(
        &TEXT,
        "b",
        &[Value::Text("B"), Value::Text("a~"), Value::Text("")],
        &[Value::Text("b")],
        &[Value::Text("b "), Value::Text("é")],
    );
    let padded = ColumnType::Char { length: 5 };
    ordered(
        &padded,
        "b ",
        &[Value::Text("a")],
        &[Value::Text("b    "), Value::Text("b")],
        &[Value::Text("c")],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn dates_and_times_have_their_order() {
    let day = |year, month, day| Date::Days(CivilDate { year, month, day }.to_days().unwrap());
    ordered(
        &ColumnType::Date,
        "2024-02-29",
        &[
            Value::Date(day(2024, 2, 28)),
            Value::Date(Date::NegInfinity),
            Value::Date(day(-5, 3, 1)),
        ],
        &[Value::Date(day(2024, 2, 29))],
        &[Value::Date(day(2024, 3, 1)), Value::Date(Date::Infinity)],
    );
    let midnight = |date: Date, micros: i64| match date {
        Date::Days(days) => Timestamp::Micros(i64::from(days) * 86_400_000_000 + micros),
        _ => Timestamp::Infinity,
    };
    let ty = ColumnType::Timestamp { precision: 6 };
    ordered(
        &ty,
        "1999-12-31 23:59:59.5",
        &[Value::Timestamp(midnight(
            day(1999, 12, 31),
            86_399_499_999,
        ))],
        &[
            Value::Timestamp(midnight(day(1999, 12, 31), 86_399_500_000)),
            Value::TimestampTz(Timestamp::Micros(-500_000)),
        ],
        &[
            Value::Timestamp(Timestamp::Micros(0)),
            Value::Timestamp(Timestamp::Infinity),
        ],
    );
    ordered(
        &ty,
        "2000-01-01",
        &[],
        &[Value::Timestamp(Timestamp::Micros(0))],
        &[],
    );
    let time = ColumnType::Time { precision: 6 };
    ordered(
        &time,
        "01:02:03.000004",
        &[Value::Time(Time {
            micros: 3_723_000_003,
        })],
        &[Value::Time(Time {
            micros: 3_723_000_004,
        })],
        &[],
    );
    for (wrong, ty) in [
        ("2023-02-29", &ColumnType::Date),
        ("0000-00-00", &ColumnType::Date),
        ("24-01-01", &ColumnType::Date),
        ("2024-01-01 24:00:00", &ty),
        ("2024-01-01 1:00", &ty),
        ("2024-01-01 00:00:00.1234567", &ty),
        ("infinity 00:00:00", &ty),
        ("24:00:01", &time),
        ("-01:00:00", &time),
        ("1:2:3", &time),
    ] {
        assert!(
            Literal::read(wrong, ty, Engine::Postgres).is_err(),
            "{wrong}"
        );
    }
    // MySQL's zero dates and durations.
    let zero = Literal::read("0000-00-00", &ColumnType::Date, Engine::MySql).unwrap();
    let is = Date::Zero {
        year: 0,
        month: 0,
        day: 0,
    };
    assert_eq!(
        zero.order_of(&Value::Date(is)),
        Some(std::cmp::Ordering::Equal)
    );
    assert!(Literal::read("-838:59:59", &time, Engine::MySql).is_ok());
}

#[test]
fn literals_are_written_in_their_canonical_form() {
    for (text, ty, expected) in [
        ("t", ColumnType::Bool, "true"),
        ("+007.50", numeric(9, 2), "7.5"),
        ("-0", INT4, "0"),
        ("0.25", numeric(9, 2), "0.25"),
        ("1e2", ColumnType::Float64, "1e2"),
        ("2024-02-29", ColumnType::Date, "2024-02-29"),
        (
            "2024-02-29T01:02:03.40",
            ColumnType::Timestamp { precision: 6 },
            "2024-02-29 01:02:03.4",
        ),
        (
            "infinity",
            ColumnType::Timestamp { precision: 6 },
            "infinity",
        ),
        ("1:02:03", ColumnType::Time { precision: 0 }, "01:02:03"),
        (
            "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
            ColumnType::Uuid,
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("x ", ColumnType::Char { length: 2 }, "x"),
    ] {
        assert_eq!(literal(text, &ty).text(), expected);
    }
    for ty in [
        ColumnType::Json { binary: true },
        ColumnType::Interval,
        ColumnType::Blob { bytes_max: None },
    ] {
        assert!(Literal::read("1", &ty, Engine::Postgres).is_err());
        assert_eq!(
            selects(json!([{"filter-operator": "null"}]), ty, Value::Null),
            Some(true)
        );
    }
}

#[test]
fn null_beside_negative_conditions_selects_what_the_service_selects() {
    let is_null = json!({"filter-operator": "null"});
    let not_one = json!({"filter-operator": "noteq", "value": "1"});
    let upto_five = json!({"filter-operator": "lte", "value": "5"});
    let not_range = json!({"filter-operator": "notbetween", "start-value": "2", "end-value": "3"});
    let of = |conditions: serde_json::Value| {
        [
            Value::Null,
            Value::Int(1),
            Value::Int(2),
            Value::Int(4),
            Value::Int(9),
        ]
        .map(|value| selects(conditions.clone(), INT4, value) == Some(true))
    };
    assert_eq!(of(json!([not_one])), [false, false, true, true, true]);
    assert_eq!(of(json!([not_one, is_null])), [false; 5]);
    assert_eq!(
        of(json!([upto_five, not_one, is_null])),
        [false, false, true, true, false]
    );
    assert_eq!(
        of(json!([upto_five, is_null])),
        [true, true, true, true, false]
    );
    assert_eq!(
        of(json!([not_one, not_range])),
        [false, false, false, true, true]
    );
    assert_eq!(
        of(json!([{"filter-operator": "notnull"}])),
        [false, true, true, true, true]
    );
}

#[test]
fn values_that_were_not_sent_leave_it_open_only_where_they_matter() {
    let rule = filtered(&[
        ("a", json!([{"filter-operator": "eq", "value": "1"}])),
        ("b", json!([{"filter-operator": "eq", "value": "x"}])),
    ]);
    let filter = resolved(&[rule], &table(&[("a", INT4), ("b", varchar(5))]))
        .filter
        .unwrap();
    assert_eq!(filter.selects(&[Value::Int(1), Value::NotSent]), None);
    assert_eq!(
        filter.selects(&[Value::Int(2), Value::NotSent]),
        Some(false)
    );
    assert_eq!(filter.selects(&[Value::Null, Value::NotSent]), Some(false));
    assert_eq!(
        filter.selects(&[Value::Int(1), Value::Text("x")]),
        Some(true)
    );
    assert_eq!(filter.selects(&[Value::Int(1)]), None);
}

#[test]
fn ranges_of_several_columns_share_out_every_row_without_null() {
    let ranges = super::support::settings(
        2,
        json!({"parallel-load": {"type": "ranges", "columns": ["a", "b"],
        "boundaries": [["1", "1"], ["1", "2"], ["3", "0"]]}}),
    );
    let rules = resolved(&[ranges], &table(&[("a", INT4), ("b", INT4)]));
    let Some(Segments::Ranges {
        segments,
        rest: Some(rest),
    }) = rules.segments
    else {
        panic!()
    };
    let boundaries = [(1, 1), (1, 2), (3, 0)];
    for a in 0..5 {
        for b in -1..4 {
            let row = [Value::Int(a), Value::Int(b)];
            let expected = boundaries
                .iter()
                .filter(|boundary| **boundary <= (a, b))
                .count();
            for (place, segment) in segments.iter().enumerate() {
                assert_eq!(
                    segment.selects(&row),
                    Some(place == expected),
                    "{a} {b} {place}"
                );
            }
            assert_eq!(rest.selects(&row), Some(false));
        }
    }
    for row in [
        [Value::Null, Value::Int(1)],
        [Value::Int(1), Value::Null],
        [Value::Int(2), Value::Null],
        [Value::Null; 2],
    ] {
        let loaded = segments
            .iter()
            .filter(|segment| segment.selects(&row) == Some(true))
            .count();
        let left = rest.selects(&row).unwrap();
        assert_eq!(loaded + usize::from(left), 1, "{row:?}");
    }
}

proptest! {
    #[test]
    fn numbers_are_ordered_like_scaled_integers(
        a in any::<i64>(), b in any::<i64>(), scale_a in 0_u32..7, scale_b in 0_u32..7,
    ) {
        let text = |number: i64, scale: u32| {
            let (sign, digits) = if number < 0 { ("-", number.unsigned_abs()) } else { ("", number.unsigned_abs()) };
            let digits = format!("{digits:0>width$}", width = scale as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
            if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
        };
        let (value, other) = (text(a, scale_a), text(b, scale_b));
        let scaled = |number: i64, scale: u32| i128::from(number) * 10_i128.pow(7 - scale);
        let literal = literal(&other, &numeric(30, 6));
        let found = literal.order_of(&Value::Decimal(Decimal::from_text(&value).unwrap()));
        prop_assert_eq!(found, Some(scaled(a, scale_a).cmp(&scaled(b, scale_b))));
        let short = Decimal::short(value.as_bytes());
        if let Some(short) = short {
            prop_assert_eq!(literal.order_of(&Value::Decimal(short)), found);
        }
        if scale_a == 0 {
            prop_assert_eq!(literal.order_of(&Value::Int(a)), found);
        }
    }
}
