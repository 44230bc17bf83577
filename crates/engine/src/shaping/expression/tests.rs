use std::sync::{Arc, OnceLock};

use whimbrel_core::{Column, Decimal, Engine, Generation, Timestamp};

use super::*;
use crate::shaping::event::{ChangeOrigin, CommitPoint};

const TEXT: ColumnType = ColumnType::Text { bytes_max: None };
const BIGINT: ColumnType = ColumnType::Int {
    bits: 64,
    unsigned: false,
};
const WHOLE: ColumnType = ColumnType::Decimal {
    precision: Some((38, 0)),
    unsigned: false,
};

fn table() -> Table {
    let column = |name: &str| Column {
        name: name.to_owned(),
        ty: if name == "whole" { WHOLE } else { TEXT },
        native: "text".to_owned(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    };
    Table {
        engine: Engine::Postgres,
        name: TableName::new("s", "t"),
        columns: ["a", "b", "AR_x", "whole"].map(column).into(),
        primary_key: vec![0],
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    }
}

fn expression(text: &str, ty: &ColumnType) -> Result<Expression, String> {
    Expression::new(text, ty, &table(), &TableName::new("new_s", "new_t"))
}

/// The value of an expression for a row, in words.
fn of_row(text: &str, ty: &ColumnType, event: Event<'_>, row: &[Value<'_>]) -> String {
    let mut expressions = Expressions::default();
    expressions.push(expression(text, ty).unwrap());
    let mut scratch = Scratch::default();
    let made = expressions.evaluator().value(0, event, row, &mut scratch);
    match made {
        Ok(cell) => format!("{:?}", cell.value(&scratch)),
        Err(NoCell::Refused(error)) => format!("refused: {}", error.why),
        Err(NoCell::NoValue(why)) => format!("no value: {why}"),
        Err(other) => format!("{other:?}"),
    }
}

fn value(text: &str, ty: &ColumnType, a: Value<'_>) -> String {
    of_row(text, ty, Event::LOAD, &[a, Value::Text("B"), Value::Null])
}

#[test]
fn expressions_are_those_of_sqlite() {
    for (text, a, expected) in [
        ("$a || ' ' || $b", Value::Text("A"), "Text(\"A B\")"),
        ("$a || ' ' || $b", Value::Null, "Null"),
        ("upper($a)", Value::Text("it's"), "Text(\"IT'S\")"),
        ("coalesce($a, 'none')", Value::Null, "Text(\"none\")"),
        (
            "CASE WHEN $a > 1 THEN 'x' ELSE 'y' END",
            Value::Int(2),
            "Text(\"x\")",
        ),
        (
            "substr($a, 2, 1) -- a comment",
            Value::Text("abc"),
            "Text(\"b\")",
        ),
        ("$a LIKE '%b%'", Value::Text("abc"), "Text(\"1\")"),
        ("$a || $a", Value::Int(7), "Text(\"77\")"),
        (
            "replaceChars('abcde','abcd','123')",
            Value::Null,
            "Text(\"1231e\")",
        ),
        (
            "replaceChars($a, 'é', 'e')",
            Value::Text("éx"),
            "Text(\"ex\")",
        ),
        (
            "replaceChars($a, 'x', '')",
            Value::Text("axb"),
            "Text(\"ab\")",
        ),
        ("replaceChars($a, 'x', 'y')", Value::Null, "Null"),
        (
            "hash_sha256($a)",
            Value::Text("abc"),
            "Text(\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\")",
        ),
        ("hash_sha256($a)", Value::Null, "Null"),
        (
            "$AR_M_SOURCE_SCHEMA || $AR_M_SOURCE_TABLE_NAME",
            Value::Null,
            "Text(\"st\")",
        ),
        (
            "$AR_M_MODIFIED_SCHEMA || $AR_M_MODIFIED_TABLE_NAME",
            Value::Null,
            "Text(\"new_snew_t\")",
        ),
        ("$AR_x", Value::Null, "Null"),
        ("$AR_H_OPERATION", Value::Null, "Text(\"INSERT\")"),
        (
            "$AR_H_STREAM_POSITION || $AR_H_USER || $AR_H_CHANGE_SEQ",
            Value::Null,
            "Text(\"\")",
        ),
    ] {
        assert_eq!(value(text, &TEXT, a), expected, "{text}");
    }
}

#[test]
fn values_reach_sqlite_with_all_of_themselves() {
    let number = Value::Decimal(Decimal::Text("12345678901234567890.123456789"));
    let moment = Timestamp::Micros(1);
    for (a, kind, expected) in [
        (number, "text", "Text(\"12345678901234567890.123456789\")"),
        (
            Value::UInt(u64::MAX),
            "text",
            "Text(\"18446744073709551615\")",
        ),
        (
            Value::Int(i64::MIN),
            "integer",
            "Text(\"-9223372036854775808\")",
        ),
        (Value::Float64(0.1), "real", "Text(\"0.1\")"),
        (Value::Float64(f64::NAN), "text", "Text(\"NaN\")"),
        (Value::Bool(true), "integer", "Text(\"1\")"),
        (
            Value::Timestamp(moment),
            "text",
            "Text(\"2000-01-01 00:00:00.000001\")",
        ),
        (
            Value::TimestampTz(moment),
            "text",
            "Text(\"2000-01-01 00:00:00.000001\")",
        ),
        (Value::Text("a\0b"), "text", "Text(\"a\\0b\")"),
        (Value::Json("{}"), "text", "Text(\"{}\")"),
    ] {
        assert_eq!(value("$a", &TEXT, a), expected, "{kind}");
    }
    let bytes = ColumnType::Blob { bytes_max: None };
    assert_eq!(
        value("$a", &bytes, Value::Bytes(&[0, 255])),
        "Bytes([0, 255])"
    );
    assert_eq!(
        value("hex($a)", &TEXT, Value::Bytes(&[0, 255])),
        "Text(\"00FF\")"
    );
    let numeric = ColumnType::Decimal {
        precision: Some((30, 10)),
        unsigned: false,
    };
    assert_eq!(
        value("$a", &numeric, number),
        "Decimal(Text(\"12345678901234567890.123456789\"))"
    );
}

fn decimal(text: &str) -> Value<'_> {
    Value::Decimal(Decimal::from_text(text).unwrap())
}

#[test]
fn decimals_are_compared_and_computed_with_as_numbers() {
    for (text, a, b, expected) in [
        ("$a > 100", decimal("99.50"), Value::Null, "Text(\"0\")"),
        ("$a > 100", decimal("100.5"), Value::Null, "Text(\"1\")"),
        ("$a = 0", decimal("0.00"), Value::Null, "Text(\"1\")"),
        ("$a = 0", decimal("-0.00"), Value::Null, "Text(\"1\")"),
        ("$a = 3.2", decimal("3.20"), Value::Null, "Text(\"1\")"),
        ("$a < $b", decimal("9.5"), decimal("10"), "Text(\"1\")"),
        ("$a < $b", Value::Float64(9.5), decimal("10"), "Text(\"1\")"),
        (
            "max($a, $b)",
            decimal("9"),
            decimal("10.00"),
            "Text(\"10\")",
        ),
        ("max($a, 5)", decimal("-7.25"), Value::Null, "Text(\"5\")"),
        (
            "$a BETWEEN 1 AND 2",
            decimal("15"),
            Value::Null,
            "Text(\"0\")",
        ),
        ("$a IN (1, $b)", decimal("2.0"), decimal("2"), "Text(\"1\")"),
        ("$a % 4", decimal("10"), Value::Null, "Text(\"2\")"),
        (
            "CASE WHEN $a > 100 THEN $a ELSE 'less' END",
            decimal("100.10"),
            Value::Null,
            "Text(\"100.10\")",
        ),
        (
            "$a > $b",
            Value::UInt(u64::MAX - 3),
            Value::Int(1),
            TOO_LONG,
        ),
        ("$a > $b", Value::UInt(7), Value::Int(10), "Text(\"0\")"),
    ] {
        let row = [a, b, Value::Null];
        let told = of_row(text, &TEXT, Event::LOAD, &row);
        assert_eq!(told, expected, "{text} {a:?} {b:?}");
    }
}

const TOO_LONG: &str = "no value: column a has a number that is compared or computed with and that SQLite has not: one of too many digits, NaN or an infinity; CAST($a AS TEXT) is its text";

#[test]
fn a_division_is_one_of_whole_numbers_by_the_type_of_its_column_and_not_by_its_values() {
    for (text, number, expected) in [
        ("$a / 4", "10.00", "Text(\"2.5\")"),
        ("$a / 4", "10", "Text(\"2.5\")"),
        ("$a / 4", "10.5", "Text(\"2.625\")"),
        ("$whole / 4", "10", "Text(\"2\")"),
        // More digits than a floating-point number has.
        (
            "$a = 9007199254740993",
            "9007199254740993.00",
            "Text(\"1\")",
        ),
        (
            "$a = 9007199254740992",
            "9007199254740993.00",
            "Text(\"0\")",
        ),
        (
            "$whole - 1",
            "9223372036854775807",
            "Text(\"9223372036854775806\")",
        ),
        ("$whole > 1", "100000000000000000000", "Text(\"1\")"),
    ] {
        let number = decimal(number);
        let row = [number, Value::Null, Value::Null, number];
        let told = of_row(text, &TEXT, Event::LOAD, &row);
        assert_eq!(told, expected, "{text} {number:?}");
    }
}

#[test]
fn numbers_that_sqlite_has_not_are_handed_on_or_refused() {
    let long = "1234567890123456789012345678901234567.890";
    for number in [long, "3.20", "-0.5", "100"] {
        let of_text = format!("Text({number:?})");
        for text in ["$a", "($a)", "coalesce($a, $b)", "'' || $a", "$a || ''"] {
            assert_eq!(value(text, &TEXT, decimal(number)), of_text, "{text}");
        }
        let length = format!("Text(\"{}\")", number.len());
        assert_eq!(value("length($a)", &TEXT, decimal(number)), length);
    }
    assert_eq!(
        value("substr($a, 1, 3)", &TEXT, decimal(long)),
        "Text(\"123\")"
    );
    assert_eq!(value("$a IS NULL", &TEXT, decimal(long)), "Text(\"0\")");
    for a in [
        decimal(long),
        decimal("0.12345678901234567891"),
        Value::Decimal(Decimal::NaN),
        Value::Decimal(Decimal::Infinity),
        Value::Decimal(Decimal::NegInfinity),
        Value::Float64(f64::NAN),
        Value::UInt(u64::MAX),
    ] {
        for text in ["$a > 0", "$a = 0", "$a + 1", "max($a, 1)", "-$a || ''"] {
            assert_eq!(value(text, &TEXT, a), TOO_LONG, "{text} {a:?}");
        }
        assert!(value("$a", &TEXT, a).starts_with("Text("), "{a:?}");
        assert_eq!(
            value("CAST(CAST($a AS TEXT) AS REAL) > -1", &TEXT, a).len(),
            "Text(\"1\")".len(),
            "{a:?}"
        );
    }
}

#[test]
fn results_are_converted_exactly_or_refused() {
    let cents = ColumnType::Decimal {
        precision: Some((10, 2)),
        unsigned: false,
    };
    let price = Value::Decimal(Decimal::Text("12.34"));
    for (text, ty, expected) in [
        ("$a * 2", &cents, "Decimal(Text(\"24.68\"))"),
        (
            "$a / 3.0",
            &cents,
            "refused: it has more digits behind the point",
        ),
        ("round($a / 3.0, 2)", &cents, "Decimal(Text(\"4.11\"))"),
        ("$a", &BIGINT, "refused: it has digits behind the point"),
        ("'x'", &BIGINT, "refused: it is no number"),
        (
            "date('2024-02-29', '+1 day')",
            &ColumnType::Date,
            "Date(Days(8826))",
        ),
        ("NULL", &BIGINT, "Null"),
    ] {
        assert_eq!(value(text, ty, price), expected, "{text}");
    }
}

#[test]
fn a_cell_that_was_not_sent_leaves_the_result_as_it_was() {
    assert_eq!(value("$a || 'x'", &TEXT, Value::NotSent), "NotSent");
    assert_eq!(value("$b || 'x'", &TEXT, Value::NotSent), "Text(\"Bx\")");
}

#[test]
fn only_what_is_named_can_be_called() {
    for (text, part) in [
        ("(SELECT 1)", "a query"),
        ("EXISTS (SELECT 1)", "a query"),
        (
            "$a IN (SELECT name FROM sqlite_master)",
            "what reads a table",
        ),
        ("load_extension('x')", "function load_extension"),
        ("readfile('/etc/passwd')", "no such function"),
        ("sqlite_version()", "function sqlite_version"),
        ("printf('%s', 1)", "function printf"),
        ("count(*)", "function count"),
        ("json_extract($a, '$.x')", "function json_extract"),
        ("1) FROM (SELECT 1", "opened before they are closed"),
        ("a", "no such column"),
        ("", "syntax error"),
        (
            "$AR_M_SOURCE_COLUMN_NAME",
            "$AR_M_SOURCE_COLUMN_NAME is none",
        ),
    ] {
        let error = expression(text, &TEXT).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    let deep = format!("{}1{}", "(1+".repeat(500), ")".repeat(500));
    assert!(expression(&deep, &TEXT).is_err());
}

#[test]
fn memory_is_bounded() {
    let long = value("zeroblob(1000000000)", &TEXT, Value::Null);
    assert!(long.contains("longer than 67108864 bytes"), "{long}");
}

#[test]
fn the_indicator_tells_the_change() {
    let flag = "operation_indicator('D','U','I')";
    for (operation, expected) in [
        (Operation::Load, "I"),
        (Operation::Insert, "I"),
        (Operation::Update, "U"),
        (Operation::Delete, "D"),
    ] {
        let event = Event {
            operation,
            ..Event::LOAD
        };
        let told = of_row(flag, &TEXT, event, &[]);
        assert_eq!(told, format!("Text({expected:?})"));
    }
    let made = expression(flag, &TEXT).unwrap();
    assert_eq!(made.deleted_flag.as_deref(), Some("D"));
    let narrow = ColumnType::Varchar { length: Some(1) };
    assert!(expression("operation_indicator('gone','U','I')", &narrow).is_err());
    assert!(expression("operation_indicator('D','U','I') || $a", &TEXT).is_err());
}

#[test]
fn changes_tell_their_commit_once_it_is_known() {
    let change = ChangeOrigin {
        number: 7,
        commit: Arc::new(OnceLock::new()),
    };
    let event = Event {
        operation: Operation::Update,
        before: None,
        change: Some(&change),
    };
    let early = of_row("$AR_H_COMMIT_TIMESTAMP", &TEXT, event, &[]);
    assert_eq!(early, "NotYet");
    change.commit.get_or_init(|| CommitPoint {
        position: "0/1".to_owned(),
        committed_at_us: 946_684_800_250_000,
    });
    for (text, expected) in [
        ("$AR_H_COMMIT_TIMESTAMP", "2000-01-01 00:00:00.25"),
        ("$AR_H_TIMESTAMP", "2000-01-01 00:00:00.25"),
        ("$AR_H_STREAM_POSITION", "0/1"),
        ("$AR_H_OPERATION", "UPDATE"),
        ("$AR_H_CHANGE_SEQ", "20000101000000250000000000000000007"),
    ] {
        let told = of_row(text, &TEXT, event, &[]);
        assert_eq!(told, format!("Text({expected:?})"), "{text}");
    }
}

#[test]
fn short_floating_point_numbers_are_what_their_digits_say() {
    let tenth = Value::Float32(0.1);
    assert_eq!(value("$a", &TEXT, tenth), "Text(\"0.1\")");
    assert_eq!(value("$a", &ColumnType::Float32, tenth), "Float32(0.1)");
    let is_tenth = "CASE WHEN $a = 0.1 THEN 'yes' END";
    assert_eq!(value(is_tenth, &TEXT, tenth), "Text(\"yes\")");
}

#[test]
fn padding_is_none_of_the_characters_of_an_expression() {
    let mut table = table();
    table.columns[0].ty = ColumnType::Char { length: 10 };
    let mut expressions = Expressions::default();
    let target = TableName::new("new_s", "new_t");
    for text in ["$a || 'x'", "length($a)"] {
        expressions.push(Expression::new(text, &TEXT, &table, &target).unwrap());
    }
    let row = [Value::Text("ab        "), Value::Text("B"), Value::Null];
    let mut scratch = Scratch::default();
    let mut made = |number| {
        let cell = expressions
            .evaluator()
            .value(number, Event::LOAD, &row, &mut scratch)
            .unwrap();
        format!("{:?}", cell.value(&scratch))
    };
    assert_eq!([made(0), made(1)], ["Text(\"abx\")", "Text(\"2\")"]);
}

#[test]
fn what_follows_from_the_row_alone_is_told_apart() {
    for (text, is_pure) in [
        ("$a || 'now'", true),
        ("upper($a)", true),
        ("date($a, '+1 day')", true),
        ("date('now')", false),
        ("$a || date( )", false),
        ("strftime('%s')", false),
        ("$a || strftime('%Y (%m), %d')", false),
        ("$a || date(/* today */)", false),
        ("strftime('%s', $a)", true),
        ("strftime(upper('%s'), trim($a, ' '))", true),
        ("random()", false),
        ("hex(randomblob(4))", false),
        ("$AR_H_OPERATION", false),
        ("$AR_M_SOURCE_SCHEMA", true),
        ("operation_indicator('D','U','I')", false),
    ] {
        assert_eq!(expression(text, &TEXT).unwrap().is_pure, is_pure, "{text}");
    }
}
