//! Expressions that mean the same on every engine of the project.
//!
//! There is room for little here, on purpose: what is not among it is left to a person who knows what was meant. Division is out (integers are divided
//! otherwise), so is joining of texts, and every function but those below.

/// A constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Bool(bool),
    /// Digits, with a sign, a point or an exponent.
    Number(String),
    /// A text; dates and times too.
    Text(String),
    /// A bit string, in zeros and ones.
    Bits(String),
}

/// What the server knows at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialValue {
    /// Date and time of day, with so many digits of a second.
    Now(u8),
    /// The date.
    Today,
    /// A UUID that nobody has.
    Uuid,
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `=`
    Equal,
    /// `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `AND`
    And,
    /// `OR`
    Or,
}

impl BinaryOperator {
    /// In SQL, which is the same on every engine.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::And => "AND",
            Self::Or => "OR",
        }
    }

    /// Whether it compares two values.
    pub fn compares(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::Unequal | Self::Less | Self::AtMost | Self::Greater | Self::AtLeast
        )
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A column of the table.
    Column(String),
    /// A constant.
    Literal(Literal),
    /// What the server knows at the moment.
    Special(SpecialValue),
    /// The number of characters of a text.
    CharLength(Box<Expression>),
    /// `NOT`.
    Not(Box<Expression>),
    /// `IS NULL`, or `IS NOT NULL`.
    IsNull {
        /// The value.
        value: Box<Expression>,
        /// Whether it is `IS NOT NULL`.
        is_negated: bool,
    },
    /// One of some values.
    In {
        /// The value.
        value: Box<Expression>,
        /// Those it is looked for among.
        list: Vec<Expression>,
        /// Whether it is none of them.
        is_negated: bool,
    },
    /// Two values and an operator.
    Binary {
        /// The left one.
        left: Box<Expression>,
        /// The operator.
        operator: BinaryOperator,
        /// The right one.
        right: Box<Expression>,
    },
}

impl Expression {
    /// The columns in it, as often as they are.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns = Vec::new();
        self.collect_columns(&mut columns);
        columns
    }

    fn collect_columns<'a>(&'a self, columns: &mut Vec<&'a str>) {
        match self {
            Self::Column(name) => columns.push(name),
            Self::Literal(_) | Self::Special(_) => {}
            Self::CharLength(value) | Self::Not(value) | Self::IsNull { value, .. } => {
                value.collect_columns(columns);
            }
            Self::In { value, list, .. } => {
                value.collect_columns(columns);
                for item in list {
                    item.collect_columns(columns);
                }
            }
            Self::Binary { left, right, .. } => {
                left.collect_columns(columns);
                right.collect_columns(columns);
            }
        }
    }
}
