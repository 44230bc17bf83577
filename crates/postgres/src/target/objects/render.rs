//! Expressions that mean the same everywhere, in the SQL of this engine.

use whimbrel_connector::TargetColumn;
use whimbrel_connector::expression::{
    ExpressionWriter, check_types, compared_columns, constant, is_condition, orders_texts,
};
use whimbrel_core::ColumnType;
use whimbrel_core::objects::{Expression, Literal, SpecialValue};

use super::Placed;
use crate::quote::{identifier, literal};

/// A condition on the columns of a table; `Err`: why it cannot be written.
pub(super) fn condition(table: &Placed<'_>, expression: &Expression) -> Result<String, String> {
    for column in expression.columns() {
        let planned = table
            .planned(column)
            .ok_or_else(|| format!("its column {column} is not at the target"))?;
        if !is_plain(&planned.source_type) {
            return Err(format!(
                "its column {column} has a type that is kept otherwise here"
            ));
        }
    }
    let source = |name: &str| {
        table
            .target
            .source
            .columns
            .iter()
            .find(|column| column.name == name)
    };
    check_types(expression, &|name| source(name).map(|column| &column.ty))?;
    let is_text = |name: &str| source(name).is_some_and(|column| is_text(&column.ty));
    // Texts agree by their collation at the source, and by their bytes here.
    let is_exact = |name: &str| source(name).is_some_and(|column| column.native.contains("_bin"));
    let mut compared = compared_columns(expression).into_iter();
    if orders_texts(expression, &is_text) || compared.any(|name| is_text(name) && !is_exact(name)) {
        return Err("it compares texts, which agree by other rules here".to_owned());
    }
    let is_bool = |name: &str| source(name).is_some_and(|column| column.ty == ColumnType::Bool);
    if !is_condition(expression, &is_bool) {
        return Err("it takes a number for true or false".to_owned());
    }
    write(table, expression)
}

fn is_text(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. }
    )
}

fn is_plain(ty: &ColumnType) -> bool {
    is_text(ty)
        || matches!(
            ty,
            ColumnType::Bool
                | ColumnType::Int { .. }
                | ColumnType::Decimal { .. }
                | ColumnType::Float32
                | ColumnType::Float64
                | ColumnType::Date
                | ColumnType::Timestamp { .. }
                | ColumnType::Time { .. }
                | ColumnType::Year
                | ColumnType::Enum { .. }
        )
}

fn write(table: &Placed<'_>, expression: &Expression) -> Result<String, String> {
    let column = |name: &str| {
        let name = table.column(name).map_err(|refused| refused.reason)?;
        Ok(identifier(name))
    };
    let column = &column;
    ExpressionWriter { column, literal }.write(expression)
}

/// A default of a column; `Err`: why it cannot be written.
pub(super) fn default(column: &TargetColumn, expression: &Expression) -> Result<String, String> {
    match expression {
        Expression::Literal(Literal::Bits(bits)) => {
            let ColumnType::Bit {
                length: Some(length),
                ..
            } = column.source_type
            else {
                return Err("its value is a bit string".to_owned());
            };
            let width = usize::try_from(length).unwrap_or_default();
            Ok(format!("B{}", literal(&format!("{bits:0>width$}"))))
        }
        Expression::Literal(Literal::Text(text)) if text.starts_with("0000-00-00") => {
            Err("there is no such date here".to_owned())
        }
        Expression::Literal(_) if column.native == "bytea" => {
            Err("its value is a text, and the column has bytes".to_owned())
        }
        Expression::Literal(value) => Ok(constant(value, literal)),
        Expression::Special(SpecialValue::Now(digits)) => match column.source_type {
            ColumnType::TimestampTz { .. } => Ok(format!("CURRENT_TIMESTAMP({digits})")),
            ColumnType::Timestamp { .. } => Ok(format!("LOCALTIMESTAMP({digits})")),
            _ => Err("its value is a time, and the column has none".to_owned()),
        },
        Expression::Special(SpecialValue::Today) if column.source_type == ColumnType::Date => {
            Ok("CURRENT_DATE".to_owned())
        }
        Expression::Special(SpecialValue::Uuid) => Ok("gen_random_uuid()".to_owned()),
        _ => Err("its value is an expression that may mean something else here".to_owned()),
    }
}
