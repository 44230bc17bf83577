//! The rows that a filter selects, as a condition in SQL.
//!
//! Each part is written so that the server decides as [`Predicate::selects`] does: text by its bytes, numbers and times in the column's own
//! type, blank-padded text without its padding. A part for which that cannot be promised is left out; the reader then gives more rows than
//! are wanted, and whoever reads them looks at each.

use whimbrel_core::mapping::{Comparison, Day, Literal, Predicate, TestedColumn};
use whimbrel_core::{Column, ColumnType, Table};

use crate::quote;

/// Writes conditions for one table.
pub(super) struct Conditions<'t> {
    pub(super) table: &'t Table,
    /// The server keeps text in UTF-8. In other encodings bytes have another order, and literals may be no text.
    pub(super) is_utf8: bool,
}

impl Conditions<'_> {
    /// The condition; `None`: nothing can be asked of the server.
    pub(super) fn of(&self, filter: &Predicate) -> Option<String> {
        let parts: Vec<String> = filter
            .conjuncts()
            .into_iter()
            .filter_map(|part| self.written(part))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" AND "))
    }

    /// The condition, if it selects exactly the rows that the filter does.
    pub(super) fn exactly(&self, filter: &Predicate) -> Option<String> {
        self.written(filter)
    }

    fn written(&self, predicate: &Predicate) -> Option<String> {
        let all = |parts: &[Predicate], between: &str, none: &str| {
            let parts = parts.iter().map(|part| self.written(part));
            let parts = parts.collect::<Option<Vec<String>>>()?;
            Some(match parts.as_slice() {
                [] => none.to_owned(),
                [one] => one.clone(),
                parts => format!("({})", parts.join(between)),
            })
        };
        match predicate {
            Predicate::All(parts) => all(parts, " AND ", "true"),
            Predicate::Any(parts) => all(parts, " OR ", "false"),
            Predicate::Not(part) => Some(format!("(NOT {})", self.written(part)?)),
            Predicate::IsTrue(part) => Some(format!("({} IS TRUE)", self.written(part)?)),
            Predicate::IsNull(tested) => {
                let name = quote::identifier(&self.column(tested)?.name);
                // Of a composite value IS NULL asks for its parts.
                Some(format!("({name} IS NOT DISTINCT FROM NULL)"))
            }
            Predicate::Compare {
                literal: Literal::Text(_) | Literal::Padded(_),
                ..
            } if !self.is_utf8 => None,
            Predicate::Compare {
                column,
                comparison,
                literal,
            } => compared(self.column(column)?, *comparison, literal),
        }
    }

    fn column(&self, tested: &TestedColumn) -> Option<&Column> {
        let column = self.table.columns.get(tested.column)?;
        (column.name == tested.name).then_some(column)
    }
}

fn compared(column: &Column, comparison: Comparison, literal: &Literal) -> Option<String> {
    let name = quote::identifier(&column.name);
    let cast = |ty: &str| format!("{}::{ty}", quote::literal(&literal.text()));
    let by_bytes = || {
        let text = quote::literal(&literal.text());
        (format!("{name}::text COLLATE \"C\""), text)
    };
    let (left, right) = match literal {
        Literal::Bool(flag) => (name, flag.to_string()),
        Literal::Number(number) => {
            let text = number.to_string();
            // A literal of the column's own kind lets the server use an index.
            let is_whole = text.parse::<i64>().is_ok();
            let is_int = matches!(column.ty, ColumnType::Int { .. });
            // Compared with an oid, a negative number would be taken for a large one.
            let is_oid = matches!(column.ty, ColumnType::Int { unsigned: true, .. });
            let name = if is_oid {
                format!("{name}::int8")
            } else {
                name
            };
            let right = if is_whole && is_int {
                format!("({text})")
            } else {
                cast("numeric")
            };
            (name, right)
        }
        Literal::Float32(_) => (name, cast("real")),
        Literal::Float64(_) => (name, cast("double precision")),
        // NUL is in no text, and in no literal either.
        Literal::Text(text) | Literal::Padded(text) if text.contains('\0') => return None,
        Literal::Text(_) | Literal::Padded(_) => by_bytes(),
        Literal::Date(day) if is_common(*day) => (name, cast("date")),
        Literal::Time(_) => (name, cast("time")),
        Literal::Timestamp(day, _) if is_common(*day) => {
            if matches!(column.ty, ColumnType::TimestampTz { .. }) {
                let instant = match day {
                    Day::Civil(..) => format!("{}+00", literal.text()),
                    Day::NegInfinity | Day::Infinity => literal.text(),
                };
                (name, format!("{}::timestamptz", quote::literal(&instant)))
            } else {
                (name, cast("timestamp"))
            }
        }
        Literal::Date(_) | Literal::Timestamp(..) => return None,
        Literal::Uuid(_) => (name, cast("uuid")),
    };
    Some(format!("({left} {} {right})", comparison.symbol()))
}

/// A day that every type of the server has.
fn is_common(day: Day) -> bool {
    match day {
        Day::Civil(year, ..) => (1..=9999).contains(&year),
        Day::NegInfinity | Day::Infinity => true,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::mapping::{NoExpressions, TableMappings};
    use whimbrel_core::{Engine, Generation, TableName};

    use super::*;

    /// The condition for one filter on a column `c "d"`.
    fn sql(ty: ColumnType, conditions: &str) -> Option<String> {
        let table = Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: vec![Column {
                name: "c \"d\"".to_owned(),
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
            "column-name":"c \"d\"","filter-conditions":[{conditions}]}}]}}]}}"#
        );
        let mappings = TableMappings::parse(&document).unwrap();
        let rules = mappings.resolve(&table, &NoExpressions).unwrap();
        let conditions = Conditions {
            table: &table,
            is_utf8: true,
        };
        conditions.of(&rules.filter.unwrap())
    }

    fn eq(value: &str) -> String {
        format!(r#"{{"filter-operator":"eq","value":"{value}"}}"#)
    }

    const INT: ColumnType = ColumnType::Int {
        bits: 32,
        unsigned: false,
    };

    #[test]
    fn conditions_are_written_in_the_column_s_type() {
        let number = r#"("c ""d""" = (-5))"#;
        assert_eq!(sql(INT, &eq("-5")).unwrap(), number);
        assert_eq!(
            sql(INT, &eq("1.5")).unwrap(),
            r#"("c ""d""" = '1.5'::numeric)"#
        );
        let text = ColumnType::Text { bytes_max: None };
        assert_eq!(
            sql(text, &eq("it's")).unwrap(),
            r#"("c ""d"""::text COLLATE "C" = 'it''s')"#
        );
        let instant = ColumnType::TimestampTz { precision: 6 };
        assert_eq!(
            sql(instant.clone(), &eq("2024-02-29 01:02:03")).unwrap(),
            r#"("c ""d""" = '2024-02-29 01:02:03+00'::timestamptz)"#
        );
        assert_eq!(sql(instant, &eq("20240-02-29")), None);
    }

    #[test]
    fn conditions_on_one_column_combine() {
        let range = r#"{"filter-operator":"between","start-value":"1","end-value":"2"},{"filter-operator":"null"},
            {"filter-operator":"noteq","value":"7"}"#;
        assert_eq!(
            sql(INT, range).unwrap(),
            r#"("c ""d""" <> (7)) AND ((("c ""d""" >= (1)) AND ("c ""d""" <= (2))) OR ("c ""d""" IS NOT DISTINCT FROM NULL))"#
        );
    }
}
