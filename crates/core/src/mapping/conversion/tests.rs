use super::*;
use crate::{Bits, Decimal};

const TEXT: ColumnType = ColumnType::Text { bytes_max: None };

fn int(bits: u8, unsigned: bool) -> ColumnType {
    ColumnType::Int { bits, unsigned }
}

fn numeric(digits: u32, scale: i32) -> ColumnType {
    ColumnType::Decimal {
        precision: Some((digits, scale)),
        unsigned: false,
    }
}

fn varchar(length: u32) -> ColumnType {
    ColumnType::Varchar {
        length: Some(length),
    }
}

fn decimal(text: &str) -> Value<'_> {
    Value::Decimal(Decimal::from_text(text).unwrap())
}

/// What a value becomes, in words; or why it does not.
fn made(value: Value<'_>, to: &ColumnType) -> String {
    let mut out = String::new();
    match Conversion::to(to).unwrap().convert(&value, &mut out) {
        Ok(Converted::Text) => format!("Text({out:?})"),
        Ok(Converted::Decimal) => format!("Decimal({out})"),
        Ok(Converted::Value(value)) => format!("{value:?}"),
        Err(error) => format!("refused: {}", error.why),
    }
}

#[test]
fn whole_numbers_fit_or_are_refused() {
    for (value, to, expected) in [
        (Value::Int(127), int(8, false), "Int(127)"),
        (
            Value::Int(128),
            int(8, false),
            "refused: it is out of range",
        ),
        (Value::Int(-1), int(64, true), "refused: it is out of range"),
        (
            Value::UInt(u64::MAX),
            int(64, true),
            "UInt(18446744073709551615)",
        ),
        (
            Value::UInt(u64::MAX),
            int(64, false),
            "refused: it is out of range",
        ),
        (Value::Bool(true), int(8, true), "UInt(1)"),
        (decimal("-7.000"), int(32, false), "Int(-7)"),
        (
            decimal("7.001"),
            int(32, false),
            "refused: it has digits behind the point",
        ),
        (
            Value::Float64(9_007_199_254_740_992.0),
            int(64, false),
            "Int(9007199254740992)",
        ),
        (
            Value::Float64(0.5),
            int(64, false),
            "refused: it has digits behind the point",
        ),
        (
            Value::Float64(f64::NAN),
            int(64, false),
            "refused: it is no number",
        ),
        (Value::Text(" +12.0 "), int(32, false), "Int(12)"),
        (Value::Text("12e2"), int(32, false), "Int(1200)"),
        (Value::Text("1200e-2"), int(32, false), "Int(12)"),
        (
            Value::Text("0x1"),
            int(32, false),
            "refused: it is no number",
        ),
        (Value::Text(""), int(32, false), "refused: it is no number"),
        (
            Value::Text("1e999999999"),
            int(64, false),
            "refused: it is no number",
        ),
        (
            Value::Json("1"),
            int(32, false),
            "refused: there is no conversion of such values",
        ),
        (Value::Null, int(8, false), "Null"),
        (Value::NotSent, int(8, false), "NotSent"),
    ] {
        assert_eq!(made(value, &to), expected, "{value:?}");
    }
    let bits = Bits {
        bytes: &[0b1010_0000],
        length: 3,
    };
    assert_eq!(made(Value::Bits(bits), &int(8, false)), "Int(5)");
}

#[test]
fn decimals_keep_every_digit_or_are_refused() {
    let long = "123456789012345678901234567890.5";
    for (value, to, expected) in [
        (decimal("12.50"), numeric(3, 1), "Decimal(12.5)"),
        (
            decimal("12.55"),
            numeric(10, 1),
            "refused: it has more digits behind the point",
        ),
        (
            decimal("100"),
            numeric(4, 2),
            "refused: it has more digits before the point",
        ),
        (decimal("-0.00"), numeric(4, 2), "Decimal(0.00)"),
        (
            decimal(long),
            numeric(40, 5),
            "Decimal(123456789012345678901234567890.5)",
        ),
        (Value::Float64(0.1), numeric(10, 2), "Decimal(0.1)"),
        (Value::Float32(0.1), numeric(10, 2), "Decimal(0.1)"),
        (
            Value::Float64(1.0 / 3.0),
            numeric(10, 2),
            "refused: it has more digits behind the point",
        ),
        (Value::Int(-5), numeric(1, 0), "Decimal(-5)"),
        (Value::Text("1.5e-3"), numeric(10, 4), "Decimal(0.0015)"),
        (Value::Decimal(Decimal::NaN), numeric(10, 4), "Decimal(NaN)"),
    ] {
        assert_eq!(made(value, &to), expected, "{value:?}");
    }
}

#[test]
fn floating_point_numbers_tell_the_same_digits_or_are_refused() {
    let (single, double) = (ColumnType::Float32, ColumnType::Float64);
    for (value, to, expected) in [
        (decimal("0.1"), &double, "Float64(0.1)"),
        (
            decimal("0.12345678901234567890"),
            &double,
            "refused: it has more digits than that type can tell apart",
        ),
        (
            Value::Int(i64::MAX),
            &double,
            "refused: it has more digits than that type can tell apart",
        ),
        (
            Value::Int(16_777_217),
            &single,
            "refused: it has more digits than that type can tell apart",
        ),
        (Value::Int(16_777_216), &single, "Float32(16777216.0)"),
        (Value::Float32(0.5), &double, "Float64(0.5)"),
        (Value::Float64(0.1), &single, "Float32(0.1)"),
        (
            Value::Float64(0.123_456_789_012),
            &single,
            "refused: it has more digits than that type can tell apart",
        ),
        (Value::Float64(f64::INFINITY), &single, "Float32(inf)"),
        (Value::Text("-Infinity"), &double, "Float64(-inf)"),
        (Value::Text("1e400"), &double, "refused: it is out of range"),
        (decimal("0"), &double, "Float64(0.0)"),
    ] {
        assert_eq!(made(value, to), expected, "{value:?}");
    }
}

/// A column of the longer type holds another number than one of the shorter type that looks like it.
#[test]
fn a_number_of_a_longer_type_is_not_the_shorter_one_of_the_same_digits() {
    let conversion = Conversion::between(&ColumnType::Float64, &ColumnType::Float32).unwrap();
    let made = |number| {
        let converted = conversion.convert(&Value::Float64(number), &mut String::new());
        converted.map(|made| format!("{made:?}"))
    };
    assert_eq!(made(f64::from(0.1_f32)).unwrap(), "Value(Float32(0.1))");
    made(0.1).unwrap_err();
}

#[test]
fn texts_are_those_that_servers_print() {
    for (value, expected) in [
        (Value::Int(-5), "Text(\"-5\")"),
        (Value::Bool(true), "Text(\"true\")"),
        (decimal("1.50"), "Text(\"1.50\")"),
        (Value::Float64(0.1), "Text(\"0.1\")"),
        (Value::Float32(0.1), "Text(\"0.1\")"),
        (Value::Float64(1e21), "Text(\"1e21\")"),
        (Value::Date(Date::Days(8825)), "Text(\"2024-02-29\")"),
        (
            Value::Timestamp(Timestamp::Micros(0)),
            "Text(\"2000-01-01 00:00:00\")",
        ),
        (Value::Json("{}"), "Text(\"{}\")"),
        (
            Value::Bytes(b"a"),
            "refused: bytes have no text of their own; an expression with hex() makes one",
        ),
    ] {
        assert_eq!(made(value, &TEXT), expected, "{value:?}");
    }
    assert_eq!(made(Value::Text("äöü"), &varchar(3)), "Text(\"äöü\")");
    assert_eq!(
        made(Value::Text("äöüx"), &varchar(3)),
        "refused: it has more characters"
    );
    assert_eq!(
        made(Value::Int(1234), &varchar(3)),
        "refused: it has more characters"
    );
    let padded = Conversion::between(&ColumnType::Char { length: 9 }, &varchar(2)).unwrap();
    let cut = padded.convert(&Value::Text("ab       "), &mut String::new());
    assert_eq!(cut, Ok(Converted::Value(Value::Text("ab"))));
    let bytes = ColumnType::Varbinary { length: 2 };
    assert_eq!(made(Value::Text("é"), &bytes), "Bytes([195, 169])");
    assert_eq!(
        made(Value::Bytes(&[1, 2, 3]), &bytes),
        "refused: it has more bytes"
    );
}

#[test]
fn dates_and_times_keep_all_of_themselves_or_are_refused() {
    let day = Value::Date(Date::Days(1));
    let noon = Value::Timestamp(Timestamp::Micros(MICROS_PER_DAY / 2));
    let moment = ColumnType::Timestamp { precision: 0 };
    let time = ColumnType::Time { precision: 2 };
    for (value, to, expected) in [
        (day, &moment, "Timestamp(Micros(86400000000))"),
        (noon, &ColumnType::Date, "refused: it has a time of day"),
        (
            Value::TimestampTz(Timestamp::Micros(MICROS_PER_DAY)),
            &ColumnType::Date,
            "Date(Days(1))",
        ),
        (
            Value::Timestamp(Timestamp::Micros(1)),
            &moment,
            "refused: it has more digits of a second",
        ),
        (
            Value::Text("2000-01-02"),
            &ColumnType::Date,
            "Date(Days(1))",
        ),
        (
            Value::Text("2000-01-02 00:00:01"),
            &moment,
            "Timestamp(Micros(86401000000))",
        ),
        (
            Value::Text("2000-02-30"),
            &ColumnType::Date,
            "refused: it is no date (YYYY-MM-DD)",
        ),
        (
            Value::Text("01:02:03.25"),
            &time,
            "Time(Time { micros: 3723250000 })",
        ),
        (
            Value::Text("01:02:03.255"),
            &time,
            "refused: it has more digits of a second",
        ),
        (Value::Date(Date::Infinity), &moment, "Timestamp(Infinity)"),
        (
            Value::Int(1),
            &moment,
            "refused: there is no conversion of such values",
        ),
    ] {
        assert_eq!(made(value, to), expected, "{value:?}");
    }
}

#[test]
fn booleans_are_zero_or_one() {
    for (value, expected) in [
        (Value::Int(1), "Bool(true)"),
        (decimal("0.0"), "Bool(false)"),
        (Value::Text("t"), "Bool(true)"),
        (Value::Text("on"), "refused: it is neither true nor false"),
        (Value::Int(2), "refused: it is neither 0 nor 1"),
    ] {
        assert_eq!(made(value, &ColumnType::Bool), expected, "{value:?}");
    }
}

#[test]
fn types_without_a_common_value_are_told_apart_before_any_row() {
    let blob = ColumnType::Blob { bytes_max: None };
    assert!(Conversion::between(&blob, &TEXT).is_none());
    assert!(Conversion::between(&int(32, false), &ColumnType::Date).is_none());
    assert!(Conversion::between(&TEXT, &ColumnType::Uuid).is_none());
    assert!(Conversion::between(&ColumnType::Uuid, &TEXT).is_some());
    assert!(Conversion::between(&TEXT, &blob).is_some());
}

#[test]
fn wider_types_take_values_as_they_are() {
    for (from, to, keeps) in [
        (int(32, false), int(64, false), true),
        (int(64, false), int(32, false), false),
        (int(32, true), int(64, false), false),
        (varchar(5), varchar(6), true),
        (varchar(5), varchar(4), false),
        (varchar(5), TEXT, true),
        (TEXT, varchar(5), false),
        (numeric(10, 2), numeric(12, 4), true),
        (numeric(10, 2), numeric(12, 5), false),
        (ColumnType::Date, ColumnType::Date, true),
        (ColumnType::Char { length: 3 }, varchar(3), false),
    ] {
        assert_eq!(Conversion::keeps_all(&from, &to), keeps, "{from:?} {to:?}");
    }
}
