//! A view's query, as far as it can be read.

/// A query: bodies that are put together, their order, and how many rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The first, and the others with whether equal rows stay.
    pub(super) first: Select,
    pub(super) others: Vec<(Union, Select)>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<Limit>,
}

/// How many rows are wanted, and behind how many others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) rows: String,
    pub(super) behind: Option<String>,
}

/// How the rows of two bodies are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Union {
    All,
    Distinct,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) is_distinct: bool,
    pub(super) items: Vec<Item>,
    pub(super) from: Vec<From>,
    pub(super) filter: Option<Expr>,
    pub(super) group: Vec<Expr>,
    pub(super) having: Option<Expr>,
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) value: Expr,
    /// Within a query it may have none.
    pub(super) name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) value: Expr,
    pub(super) is_descending: bool,
    /// Whether NULLs come first, where the text says so.
    pub(super) nulls_first: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    Table {
        schema: Option<String>,
        name: String,
        alias: String,
    },
    Derived {
        query: Box<Query>,
        alias: String,
    },
    Join {
        /// `JOIN`, `LEFT JOIN` and so on.
        how: &'static str,
        left: Box<From>,
        right: Box<From>,
        on: On,
    },
}

/// Which rows of two tables belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum On {
    All,
    Condition(Expr),
    /// Those that agree in columns of these names.
    Using(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Or,
    And,
    Compare(&'static str),
    Plus,
    Minus,
    Times,
    Divide,
    WholeDivide,
    Modulo,
    Join,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Column {
        table: Option<String>,
        name: String,
    },
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    IsNull(Box<Expr>, Is),
    Like(Box<Expr>, Box<Expr>, Is),
    In(Box<Expr>, Vec<Expr>, Is),
    InQuery(Box<Expr>, Box<Query>, Is),
    Exists(Box<Query>),
    Scalar(Box<Query>),
    Between(Box<Expr>, Box<[Expr; 2]>, Is),
    Case {
        operand: Option<Box<Expr>>,
        arms: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Call {
        name: String,
        arguments: Vec<Expr>,
        is_distinct: bool,
        /// The order of what is gathered, and what stands between, as `GROUP_CONCAT` has them.
        gathers: Option<(Vec<Order>, String)>,
    },
    Cast(Box<Expr>, String),
}

/// Whether a test is meant as it is or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    So,
    Not,
}

impl Is {
    pub(super) fn negated(is_negated: bool) -> Self {
        if is_negated { Self::Not } else { Self::So }
    }

    /// ` NOT`, or nothing.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::So => "",
            Self::Not => " NOT",
        }
    }
}
