//! What of an expression depends on more than its words.

use whimbrel_core::objects::{BinaryOperator, Expression, Literal};

/// The columns whose values are compared, beside those that are only counted or looked at for NULL.
pub fn compared_columns(expression: &Expression) -> Vec<&str> {
    let mut columns = Vec::new();
    collect(expression, &mut columns);
    columns
}

fn collect<'e>(expression: &'e Expression, columns: &mut Vec<&'e str>) {
    match expression {
        Expression::Column(name) => columns.push(name),
        Expression::Literal(_)
        | Expression::Special(_)
        | Expression::CharLength(_)
        | Expression::IsNull { .. } => {}
        Expression::Not(value) => collect(value, columns),
        Expression::In { value, list, .. } => {
            collect(value, columns);
            for item in list {
                collect(item, columns);
            }
        }
        Expression::Binary { left, right, .. } => {
            collect(left, columns);
            collect(right, columns);
        }
    }
}

/// Whether texts are asked which comes first, which each collation answers in its own way.
pub fn orders_texts(expression: &Expression, is_text: &dyn Fn(&str) -> bool) -> bool {
    match expression {
        Expression::Binary {
            left,
            operator,
            right,
        } => {
            let orders = operator.compares()
                && !matches!(operator, BinaryOperator::Equal | BinaryOperator::Unequal);
            let has_text = |side: &Expression| compared_columns(side).into_iter().any(is_text);
            (orders && (has_text(left) || has_text(right)))
                || orders_texts(left, is_text)
                || orders_texts(right, is_text)
        }
        Expression::Not(value) => orders_texts(value, is_text),
        Expression::Column(_)
        | Expression::Literal(_)
        | Expression::Special(_)
        | Expression::CharLength(_)
        | Expression::IsNull { .. }
        | Expression::In { .. } => false,
    }
}

/// Whether it is true or false, on an engine that has such values: numbers do not count as one.
pub fn is_condition(expression: &Expression, is_bool: &dyn Fn(&str) -> bool) -> bool {
    match expression {
        Expression::Column(name) => is_bool(name),
        Expression::Literal(literal) => matches!(literal, Literal::Bool(_) | Literal::Null),
        Expression::Special(_) | Expression::CharLength(_) => false,
        Expression::Not(value) => is_condition(value, is_bool),
        Expression::IsNull { .. } | Expression::In { .. } => true,
        Expression::Binary {
            left,
            operator,
            right,
        } => match operator {
            BinaryOperator::And | BinaryOperator::Or => {
                is_condition(left, is_bool) && is_condition(right, is_bool)
            }
            operator => operator.compares(),
        },
    }
}
