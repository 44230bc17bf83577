//! Conditions on rows, evaluated on values here and written as SQL by a source.

use std::cmp::Ordering;
use std::fmt;

use super::{Literal, TestedColumn};
use crate::Value;

/// How a value stands to a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::AtLeast => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }

    /// In SQL.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }
}

/// A condition on a row. It has SQL's three truth values: a comparison with NULL is unknown, and rows are selected where it is true.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// All of them; true without any.
    All(Vec<Predicate>),
    /// At least one of them; false without any.
    Any(Vec<Predicate>),
    /// The opposite, unknown where that is unknown.
    Not(Box<Predicate>),
    /// It is true, and not unknown.
    IsTrue(Box<Predicate>),
    /// The column is NULL.
    IsNull(TestedColumn),
    /// The column's value stands so to the literal.
    Compare {
        /// The column.
        column: TestedColumn,
        /// How its value must stand to the literal.
        comparison: Comparison,
        /// The literal, in the column's type.
        literal: Literal,
    },
}

impl Predicate {
    /// Whether a row of loaded columns is selected. `None`: that depends on values that were not sent.
    pub fn selects(&self, row: &[Value<'_>]) -> Option<bool> {
        match self.truth(row) {
            Truth::TRUE => Some(true),
            truth if truth.0 & Truth::TRUE.0 == 0 => Some(false),
            _ => None,
        }
    }

    /// Conditions that must all hold: a source may ask for some of them and leave the others to us.
    pub fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// The columns that it looks at.
    pub fn columns(&self) -> Vec<&TestedColumn> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::columns).collect(),
            Self::Not(part) | Self::IsTrue(part) => part.columns(),
            Self::IsNull(column) | Self::Compare { column, .. } => vec![column],
        }
    }

    fn truth(&self, row: &[Value<'_>]) -> Truth {
        match self {
            Self::All(parts) => parts
                .iter()
                .fold(Truth::TRUE, |truth, part| truth.and(part.truth(row))),
            Self::Any(parts) => parts
                .iter()
                .fold(Truth::FALSE, |truth, part| truth.or(part.truth(row))),
            Self::Not(part) => part.truth(row).not(),
            Self::IsTrue(part) => part.truth(row).is_true(),
            Self::IsNull(column) => match row.get(column.place) {
                Some(Value::Null) => Truth::TRUE,
                Some(Value::NotSent) | None => Truth(Truth::TRUE.0 | Truth::FALSE.0),
                Some(_) => Truth::FALSE,
            },
            Self::Compare {
                column,
                comparison,
                literal,
            } => match row.get(column.place) {
                Some(Value::Null) => Truth::UNKNOWN,
                Some(Value::NotSent) | None => Truth::ANY,
                Some(value) => match literal.order_of(value) {
                    Some(ordering) if comparison.holds(ordering) => Truth::TRUE,
                    Some(_) => Truth::FALSE,
                    // Not the kind of value that the column's type gives.
                    None => Truth::ANY,
                },
            },
        }
    }
}

impl fmt::Display for Predicate {
    /// In words that are the same as long as the condition is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |f: &mut fmt::Formatter<'_>, parts: &[Self], between: &str, none: &str| match parts {
                [] => f.write_str(none),
                [one] => write!(f, "{one}"),
                [first, rest @ ..] => {
                    write!(f, "({first}")?;
                    for part in rest {
                        write!(f, " {between} {part}")?;
                    }
                    f.write_str(")")
                }
            };
        match self {
            Self::All(parts) => list(f, parts, "and", "true"),
            Self::Any(parts) => list(f, parts, "or", "false"),
            Self::Not(part) => write!(f, "not {part}"),
            Self::IsTrue(part) => write!(f, "{part} is true"),
            Self::IsNull(column) => write!(f, "{} is null", column.name),
            Self::Compare {
                column,
                comparison,
                literal,
            } => write!(
                f,
                "{} {} {:?}",
                column.name,
                comparison.symbol(),
                literal.text()
            ),
        }
    }
}

/// The truth values that are possible, a bit each: more than one where values were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Truth(u8);

impl Truth {
    const FALSE: Self = Self(1);
    const UNKNOWN: Self = Self(2);
    const TRUE: Self = Self(4);
    const ANY: Self = Self(7);

    fn and(self, other: Self) -> Self {
        let is_true = self.0 & other.0 & Self::TRUE.0;
        let is_false = (self.0 | other.0) & Self::FALSE.0;
        let not_false = Self::TRUE.0 | Self::UNKNOWN.0;
        let unknown_of_both = (self.0 & Self::UNKNOWN.0 != 0 && other.0 & not_false != 0)
            || (other.0 & Self::UNKNOWN.0 != 0 && self.0 & not_false != 0);
        let unknown = if unknown_of_both { Self::UNKNOWN.0 } else { 0 };
        Self(is_true | is_false | unknown)
    }

    fn is_true(self) -> Self {
        let not_true = Self::FALSE.0 | Self::UNKNOWN.0;
        let is_false = if self.0 & not_true == 0 {
            0
        } else {
            Self::FALSE.0
        };
        Self(self.0 & Self::TRUE.0 | is_false)
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    fn not(self) -> Self {
        let swapped = (self.0 & Self::FALSE.0) << 2 | (self.0 & Self::TRUE.0) >> 2;
        Self(swapped | self.0 & Self::UNKNOWN.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [(Truth, Option<bool>); 3] = [
        (Truth::FALSE, Some(false)),
        (Truth::UNKNOWN, None),
        (Truth::TRUE, Some(true)),
    ];

    fn of(value: Option<bool>) -> Truth {
        match value {
            Some(true) => Truth::TRUE,
            Some(false) => Truth::FALSE,
            None => Truth::UNKNOWN,
        }
    }

    #[test]
    fn single_truth_values_combine_as_in_sql() {
        for (a, x) in ONE {
            assert_eq!(a.not(), of(x.map(|x| !x)));
            for (b, y) in ONE {
                let and = match (x, y) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                };
                let or = match (x, y) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                };
                assert_eq!(a.and(b), of(and), "{x:?} and {y:?}");
                assert_eq!(a.or(b), of(or), "{x:?} or {y:?}");
            }
        }
    }

    #[test]
    fn sets_of_truth_values_combine_each_with_each() {
        let members = |set: Truth| {
            ONE.iter()
                .map(|(one, _)| *one)
                .filter(move |one| set.0 & one.0 != 0)
        };
        for a in (1..=7).map(Truth) {
            for b in (1..=7).map(Truth) {
                let mut expected = 0;
                for x in members(a) {
                    for y in members(b) {
                        expected |= x.and(y).0;
                    }
                }
                assert_eq!(a.and(b).0, expected, "{a:?} and {b:?}");
            }
        }
    }
}
