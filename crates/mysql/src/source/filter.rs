//! The rows that a filter selects, as a condition in SQL.
//!
//! Each part is written so that the server decides as [`Predicate::selects`] does: text by the bytes of its UTF-8, dates and times by their
//! digits as numbers, which zero dates have too and no `sql_mode` refuses. A part for which that cannot be promised is left out; the reader
//! then gives more rows than are wanted, and whoever reads them looks at each.

use whimbrel_core::mapping::{Comparison, Day, Literal, Predicate, TestedColumn};
use whimbrel_core::{Column, ColumnType, MICROS_PER_SECOND, Table};

use crate::quote;

/// Longer numbers are no exact ones to the servers.
const DIGITS_MAX: usize = 60;

/// The condition; `None`: nothing can be asked of the server.
pub(super) fn condition(filter: &Predicate, table: &Table) -> Option<String> {
    let parts: Vec<String> = filter
        .conjuncts()
        .into_iter()
        .filter_map(|part| written(part, table))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" AND "))
}

fn written(predicate: &Predicate, table: &Table) -> Option<String> {
    let all = |parts: &[Predicate], between: &str, none: &str| {
        let parts = parts.iter().map(|part| written(part, table));
        let parts = parts.collect::<Option<Vec<String>>>()?;
        Some(match parts.as_slice() {
            [] => none.to_owned(),
            [one] => one.clone(),
            parts => format!("({})", parts.join(between)),
        })
    };
    match predicate {
        Predicate::All(parts) => all(parts, " AND ", "TRUE"),
        Predicate::Any(parts) => all(parts, " OR ", "FALSE"),
        Predicate::Not(part) => Some(format!("(NOT {})", written(part, table)?)),
        Predicate::IsTrue(part) => Some(format!("({} IS TRUE)", written(part, table)?)),
        Predicate::IsNull(tested) => {
            let name = quote::identifier(&column(tested, table)?.name);
            // The servers take IS NULL for a question about zero dates where the column allows no NULL.
            Some(format!("({name} <=> NULL)"))
        }
        Predicate::Compare {
            column: tested,
            comparison,
            literal,
        } => compared(column(tested, table)?, *comparison, literal),
    }
}

fn column<'t>(tested: &TestedColumn, table: &'t Table) -> Option<&'t Column> {
    let column = table.columns.get(tested.column)?;
    (column.name == tested.name).then_some(column)
}

fn compared(column: &Column, comparison: Comparison, literal: &Literal) -> Option<String> {
    let name = quote::identifier(&column.name);
    let digits = format!("({name} + 0)");
    let (left, right) = match literal {
        Literal::Bool(flag) => (format!("({name} <> 0)"), u8::from(*flag).to_string()),
        Literal::Number(number) => {
            let text = number.to_string();
            if text.len() > DIGITS_MAX {
                return None;
            }
            // A year is compared with two digits as one of this century or the last.
            let left = if column.ty == ColumnType::Year {
                digits
            } else {
                name
            };
            (left, format!("({text})"))
        }
        Literal::Float64(_) => (name, format!("({})", literal.text())),
        Literal::Text(text) => (by_bytes(&name), hex(text)),
        Literal::Padded(text) => {
            let trimmed = format!("TRIM(TRAILING ' ' FROM {name})");
            (by_bytes(&trimmed), hex(text))
        }
        Literal::Date(day) => (digits, date_digits(*day)?),
        Literal::Time(micros) => (digits, time_digits(*micros)),
        Literal::Timestamp(day, micros) => {
            let (date, time) = (date_digits(*day)?, clock_digits(*micros));
            (digits, format!("{date}{time}"))
        }
        // Single precision is compared in double here, and the order of UUIDs is the server's own.
        Literal::Float32(_) | Literal::Uuid(_) => return None,
    };
    Some(format!("({left} {} {right})", comparison.symbol()))
}

fn by_bytes(text: &str) -> String {
    format!("CAST(CONVERT({text} USING utf8mb4) AS BINARY)")
}

fn hex(text: &str) -> String {
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect();
    format!("X'{digits}'")
}

/// `YYYYMMDD`
fn date_digits(day: Day) -> Option<String> {
    match day {
        Day::Civil(year @ 0..=9999, month, day) => Some(format!("{year:04}{month:02}{day:02}")),
        Day::Civil(..) | Day::NegInfinity | Day::Infinity => None,
    }
}

/// `HHMMSS.ffffff`
fn clock_digits(micros: i64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{hours:02}{minutes:02}{:02}.{:06}",
        seconds % 60,
        micros % MICROS_PER_SECOND
    )
}

fn time_digits(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("({sign}{})", clock_digits(micros.abs()))
}

#[cfg(test)]
mod tests {
    use whimbrel_core::mapping::{NoExpressions, TableMappings};
    use whimbrel_core::{Engine, Generation, TableName};

    use super::*;

    /// The condition for one filter on a column `c`.
    fn sql(ty: ColumnType, conditions: &str) -> Option<String> {
        let table = Table {
            engine: Engine::MySql,
            name: TableName::new("s", "t"),
            columns: vec![Column {
                name: "c".to_owned(),
                ty,
                native: String::new(),
                nullable: true,
                generation: Generation::None,
                id: None,
                default: None,
            }],
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        };
        let document = format!(
            r#"{{"rules":[{{"rule-type":"selection","rule-id":1,"rule-action":"include",
            "object-locator":{{"schema-name":"s","table-name":"t"}},"filters":[{{"filter-type":"source",
            "column-name":"c","filter-conditions":[{conditions}]}}]}}]}}"#
        );
        let mappings = TableMappings::parse(&document).unwrap();
        let rules = mappings.resolve(&table, &NoExpressions).unwrap();
        condition(&rules.filter.unwrap(), &table)
    }

    fn gte(value: &str) -> String {
        format!(r#"{{"filter-operator":"gte","value":"{value}"}}"#)
    }

    #[test]
    fn conditions_are_written_for_the_column_s_type() {
        let int = ColumnType::Int {
            bits: 32,
            unsigned: false,
        };
        for (ty, value, expected) in [
            (int, "-5", "(`c` >= (-5))"),
            (ColumnType::Year, "70", "((`c` + 0) >= (70))"),
            (
                ColumnType::Varchar { length: Some(9) },
                "a'",
                "(CAST(CONVERT(`c` USING utf8mb4) AS BINARY) >= X'6127')",
            ),
            (ColumnType::Date, "0000-00-00", "((`c` + 0) >= 00000000)"),
            (
                ColumnType::Timestamp { precision: 6 },
                "2024-02-29 01:02:03.4",
                "((`c` + 0) >= 20240229010203.400000)",
            ),
            (
                ColumnType::Time { precision: 6 },
                "-838:59:59",
                "((`c` + 0) >= (-8385959.000000))",
            ),
        ] {
            assert_eq!(sql(ty, &gte(value)).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(
            sql(ColumnType::Date, r#"{"filter-operator":"null"}"#).unwrap(),
            "(`c` <=> NULL)"
        );
    }
}
