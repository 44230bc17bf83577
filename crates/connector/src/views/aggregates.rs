//! Which values are made of many rows.

use super::ast::Expr;

/// Names of functions that make one value of many rows, as far as they are converted or listed.
const AGGREGATES: [&str; 7] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "group_concat",
    "string_agg",
];

/// Whether a value of a query makes one row of many where nothing puts rows together. Those of queries within it are theirs.
pub(super) fn has_aggregate(value: &Expr) -> bool {
    match value {
        Expr::Call {
            name, arguments, ..
        } => AGGREGATES.contains(&name.as_str()) || arguments.iter().any(has_aggregate),
        Expr::Column { .. }
        | Expr::Null
        | Expr::Bool(_)
        | Expr::Number(_)
        | Expr::Text(_)
        | Expr::Exists(_)
        | Expr::Scalar(_) => false,
        Expr::Not(value)
        | Expr::Negative(value)
        | Expr::IsNull(value, _)
        | Expr::Cast(value, _)
        | Expr::InQuery(value, ..) => has_aggregate(value),
        Expr::Binary(_, left, right) | Expr::Like(left, right, _) => {
            has_aggregate(left) || has_aggregate(right)
        }
        Expr::In(value, list, _) => has_aggregate(value) || list.iter().any(has_aggregate),
        Expr::Between(value, ends, _) => has_aggregate(value) || ends.iter().any(has_aggregate),
        Expr::Case {
            operand,
            arms,
            otherwise,
        } => {
            let mut all = operand.iter().chain(otherwise).map(|value| &**value);
            all.any(has_aggregate)
                || arms
                    .iter()
                    .any(|(when, value)| has_aggregate(when) || has_aggregate(value))
        }
    }
}
