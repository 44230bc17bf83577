//! Expressions that mean the same everywhere, in the SQL of this engine.

use whimbrel_connector::TargetColumn;
use whimbrel_connector::expression::{ExpressionWriter, check_types, constant, orders_texts};
use whimbrel_core::objects::{Expression, Literal, SpecialValue};
use whimbrel_core::{ColumnType, Engine};

use super::Placed;
use crate::quote::{identifier, literal};

/// A condition on the columns of a table; `Err`: why it cannot be written.
pub(super) fn condition(table: &Placed<'_>, expression: &Expression) -> Result<String, String> {
    for column in expression.columns() {
        let planned = table
            .planned(column)
            .ok_or_else(|| format!("its column {column} is not at the target"))?;
        let is_plain = matches!(
            planned.source_type,
            ColumnType::Bool
                | ColumnType::Int { .. }
                | ColumnType::Decimal { .. }
                | ColumnType::Float32
                | ColumnType::Float64
                | ColumnType::Date
                | ColumnType::Timestamp { .. }
                | ColumnType::Time { .. }
                | ColumnType::Year
                | ColumnType::Char { .. }
                | ColumnType::Varchar { .. }
                | ColumnType::Text { .. }
                | ColumnType::Enum { .. }
        );
        if !is_plain {
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
    let is_text = |name: &str| {
        let ty = source(name).map(|column| &column.ty);
        matches!(
            ty,
            Some(ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. })
        )
    };
    if table.objects.engine == Engine::Postgres && orders_texts(expression, &is_text) {
        return Err(
            "it asks which of two texts comes first, which is answered by other rules here"
                .to_owned(),
        );
    }
    write(table, expression)
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
pub(super) fn default(
    table: &Placed<'_>,
    column: &TargetColumn,
    expression: &Expression,
) -> Result<String, String> {
    let native = column.native.to_lowercase();
    let ty = native.split([' ', '(']).next().unwrap_or_default();
    match expression {
        Expression::Literal(Literal::Bits(bits)) if ty == "bit" => {
            Ok(format!("b{}", literal(bits)))
        }
        Expression::Literal(Literal::Bits(_)) => Err("its value is a bit string".to_owned()),
        Expression::Literal(_) if ty.ends_with("blob") || ty.ends_with("binary") => {
            Err("its value is a text, and the column has bytes".to_owned())
        }
        Expression::Literal(_)
            if matches!(
                column.source_type,
                ColumnType::TimestampTz { .. } | ColumnType::TimeTz { .. }
            ) && table.objects.engine == Engine::Postgres =>
        {
            Err("its value is an instant, and the column has times of UTC here".to_owned())
        }
        // Values of such types lie elsewhere, so that their defaults are computed.
        Expression::Literal(value) if ty.ends_with("text") || ty == "json" => {
            Ok(format!("({})", constant(value, literal)))
        }
        Expression::Literal(value) => Ok(constant(value, literal)),
        Expression::Special(SpecialValue::Now(_)) => now(table, column, ty),
        Expression::Special(SpecialValue::Today) if ty == "date" => {
            Ok("(current_date())".to_owned())
        }
        Expression::Special(SpecialValue::Uuid) => Ok("(uuid())".to_owned()),
        _ => Err("its value is an expression that may mean something else here".to_owned()),
    }
}

/// The present, with as many digits of a second as the column has: the server demands that they agree.
fn now(table: &Placed<'_>, column: &TargetColumn, ty: &str) -> Result<String, String> {
    let (ColumnType::Timestamp { precision } | ColumnType::TimestampTz { precision }) =
        column.source_type
    else {
        return Err("its value is a time, and the column has none".to_owned());
    };
    if ty != "datetime" && ty != "timestamp" {
        return Err(format!(
            "its value is a time, and the column is a {ty} here"
        ));
    }
    let is_instant = matches!(column.source_type, ColumnType::TimestampTz { .. });
    if is_instant && table.objects.engine == Engine::Postgres {
        return Ok(format!("(utc_timestamp({precision}))"));
    }
    Ok(format!("CURRENT_TIMESTAMP({precision})"))
}
