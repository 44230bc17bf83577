//! Whether values are compared and reckoned with as all engines do it: each by its own kind.

use whimbrel_core::ColumnType;
use whimbrel_core::objects::{BinaryOperator, Expression, Literal};

/// What a value is, as far as engines agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Number,
    Bool,
    Text,
    /// A date, a time of day or both.
    Time(&'a ColumnType),
    Enum(&'a [String]),
    /// A text of a constant, which becomes what it is compared with.
    Constant(&'a str),
    Null,
}

/// Holds a condition against the types of its columns.
///
/// # Errors
/// Says what may mean something else on another engine.
pub fn check_types<'a>(
    expression: &'a Expression,
    type_of: &dyn Fn(&str) -> Option<&'a ColumnType>,
) -> Result<(), String> {
    kind(expression, type_of).map(drop)
}

fn kind<'a>(
    expression: &'a Expression,
    type_of: &dyn Fn(&str) -> Option<&'a ColumnType>,
) -> Result<Kind<'a>, String> {
    match expression {
        Expression::Column(name) => {
            let ty = type_of(name).ok_or_else(|| format!("its column {name} is not known"))?;
            kind_of_type(ty)
                .ok_or_else(|| format!("its column {name} has a type that is kept otherwise here"))
        }
        Expression::Literal(literal) => match literal {
            Literal::Null => Ok(Kind::Null),
            Literal::Bool(_) => Ok(Kind::Bool),
            Literal::Number(_) => Ok(Kind::Number),
            Literal::Text(text) => Ok(Kind::Constant(text)),
            Literal::Bits(_) => Err("it has a bit string".to_owned()),
        },
        Expression::Special(_) => Err("it depends on the time".to_owned()),
        Expression::CharLength(value) => {
            let value = kind(value, type_of)?;
            let is_text = matches!(value, Kind::Text | Kind::Constant(_));
            let other = || "it counts the characters of what is no text".to_owned();
            is_text.then_some(Kind::Number).ok_or_else(other)
        }
        Expression::Not(value) | Expression::IsNull { value, .. } => {
            kind(value, type_of).map(|_| Kind::Bool)
        }
        Expression::In { value, list, .. } => {
            let value = kind(value, type_of)?;
            for item in list {
                compare(value, BinaryOperator::Equal, kind(item, type_of)?)?;
            }
            Ok(Kind::Bool)
        }
        Expression::Binary {
            left,
            operator,
            right,
        } => {
            let (left, right) = (kind(left, type_of)?, kind(right, type_of)?);
            combine(left, *operator, right)
        }
    }
}

fn kind_of_type(ty: &ColumnType) -> Option<Kind<'_>> {
    Some(match ty {
        ColumnType::Bool => Kind::Bool,
        ColumnType::Int { .. }
        | ColumnType::Decimal { .. }
        | ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Year => Kind::Number,
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => {
            Kind::Text
        }
        ColumnType::Date | ColumnType::Time { .. } | ColumnType::Timestamp { .. } => Kind::Time(ty),
        ColumnType::Enum { labels } => Kind::Enum(labels),
        _ => return None,
    })
}

fn combine<'a>(
    left: Kind<'a>,
    operator: BinaryOperator,
    right: Kind<'a>,
) -> Result<Kind<'a>, String> {
    match operator {
        BinaryOperator::And | BinaryOperator::Or => Ok(Kind::Bool),
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Times => {
            let is_number = |kind| matches!(kind, Kind::Number | Kind::Null);
            if is_number(left) && is_number(right) {
                return Ok(Kind::Number);
            }
            Err("it reckons with what is no number, which engines do in their own ways".to_owned())
        }
        compares => compare(left, compares, right).map(|()| Kind::Bool),
    }
}

fn compare(left: Kind<'_>, operator: BinaryOperator, right: Kind<'_>) -> Result<(), String> {
    let asks_order = !matches!(operator, BinaryOperator::Equal | BinaryOperator::Unequal);
    match (left, right) {
        (Kind::Null, _)
        | (_, Kind::Null)
        | (Kind::Number, Kind::Number)
        | (Kind::Text, Kind::Text | Kind::Constant(_))
        | (Kind::Constant(_), Kind::Text) => Ok(()),
        (Kind::Bool, Kind::Bool) if !asks_order => Ok(()),
        (Kind::Time(one), Kind::Time(other))
            if std::mem::discriminant(one) == std::mem::discriminant(other) =>
        {
            Ok(())
        }
        (Kind::Time(_), Kind::Constant(text)) | (Kind::Constant(text), Kind::Time(_))
            if is_plain_time(text) =>
        {
            Ok(())
        }
        (Kind::Enum(labels), Kind::Constant(text)) | (Kind::Constant(text), Kind::Enum(labels))
            if !asks_order && labels.iter().any(|label| label == text) =>
        {
            Ok(())
        }
        (Kind::Enum(_), _) | (_, Kind::Enum(_)) => Err(
            "it asks for more of an enumeration than whether it is one of its labels, which engines answer in their own ways"
                .to_owned(),
        ),
        _ => Err("it compares values of different kinds, which engines do in their own ways".to_owned()),
    }
}

/// Whether all engines read it alike: digits, without zones and words, and no date of zeros.
fn is_plain_time(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | ' ');
    let has_form = text.len() >= 8 && text.chars().all(is_plain);
    has_form && !text.starts_with("0000")
}
