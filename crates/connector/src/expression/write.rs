//! Expressions in SQL that PostgreSQL, MySQL and MariaDB read alike, but for how names and texts are quoted.

use whimbrel_core::objects::{Expression, Literal};

/// How an engine's SQL names what stands in an expression.
#[derive(Clone, Copy)]
pub struct ExpressionWriter<'a> {
    /// The quoted name of a column at the target; `Err`: why it has none.
    pub column: &'a dyn Fn(&str) -> Result<String, String>,
    /// Quotes text.
    pub literal: fn(&str) -> String,
}

impl ExpressionWriter<'_> {
    /// The expression in SQL; `Err`: why it cannot be written.
    ///
    /// Whatever has an operator stands in parentheses: engines do not agree which of two binds closer (`a IS NULL = b`).
    ///
    /// # Errors
    /// What `column` says, and that an expression depends on the time.
    pub fn write(&self, expression: &Expression) -> Result<String, String> {
        Ok(match expression {
            Expression::Column(name) => (self.column)(name)?,
            Expression::Literal(value) => constant(value, self.literal),
            Expression::Special(_) => return Err("it depends on the time".to_owned()),
            Expression::CharLength(value) => format!("char_length({})", self.write(value)?),
            Expression::Not(value) => format!("(NOT ({}))", self.write(value)?),
            Expression::IsNull { value, is_negated } => {
                let not = if *is_negated { "NOT " } else { "" };
                format!("(({}) IS {not}NULL)", self.write(value)?)
            }
            Expression::In {
                value,
                list,
                is_negated,
            } => {
                let list: Vec<String> = list
                    .iter()
                    .map(|item| self.write(item))
                    .collect::<Result<_, _>>()?;
                let not = if *is_negated { "NOT " } else { "" };
                format!("({} {not}IN ({}))", self.write(value)?, list.join(", "))
            }
            Expression::Binary {
                left,
                operator,
                right,
            } => format!(
                "({} {} {})",
                self.write(left)?,
                operator.as_str(),
                self.write(right)?
            ),
        })
    }
}

/// A constant in SQL.
pub fn constant(value: &Literal, literal: fn(&str) -> String) -> String {
    match value {
        Literal::Null => "NULL".to_owned(),
        Literal::Bool(true) => "TRUE".to_owned(),
        Literal::Bool(false) => "FALSE".to_owned(),
        Literal::Number(digits) => digits.clone(),
        Literal::Text(text) => literal(text),
        Literal::Bits(bits) => format!("b{}", literal(bits)),
    }
}
