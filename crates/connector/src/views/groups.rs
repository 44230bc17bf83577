//! What stands beside groups: values that are made of many rows, constants, and names of the result.

use super::ast::{Expr, Select};

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

/// Whether a value is one for all rows, or in MySQL the place of a column of the result.
pub(super) fn is_constant(value: &Expr) -> bool {
    match value {
        Expr::Null | Expr::Bool(_) | Expr::Number(_) | Expr::Text(_) => true,
        Expr::Negative(value) | Expr::Cast(value, _) => is_constant(value),
        _ => false,
    }
}

/// A condition on groups, with the values themselves in the place of their names in the result, which MySQL takes there.
pub(super) fn with_names(having: &Expr, select: &Select) -> Expr {
    let replaced = |name: &str| {
        let item = select
            .items
            .iter()
            .find(|item| item.name.as_deref() == Some(name));
        item.map(|item| item.value.clone())
    };
    match having {
        Expr::Column { table: None, name } => replaced(name).unwrap_or_else(|| having.clone()),
        Expr::Binary(op, left, right) => Expr::Binary(
            *op,
            Box::new(with_names(left, select)),
            Box::new(with_names(right, select)),
        ),
        Expr::Not(value) => Expr::Not(Box::new(with_names(value, select))),
        Expr::IsNull(value, is) => Expr::IsNull(Box::new(with_names(value, select)), *is),
        other => other.clone(),
    }
}
