//! Operators and tests between values, each as strong as servers have it.

use super::ast::{Expr, Is, Op};
use super::parser::{Parser, Read};
use crate::expression::Dialect;
use crate::expression::lexer::Token;

// How strongly operators bind, as both grammars have it where a server prints no parentheses: `a = b IN (c)` is `a = (b IN (c))`, and
// `a = b IS NULL` is `(a = b) IS NULL`.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
/// Comparisons, and `IS NULL`.
const COMPARE: u8 = 4;
/// `IN`, `BETWEEN`, `LIKE`.
const TEST: u8 = 5;
const JOIN: u8 = 6;
const SUM: u8 = 7;
const PRODUCT: u8 = 8;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Read<Expr> {
        self.deeper(|parser| parser.binary(0))
    }

    /// Reads operators that bind at least so strongly.
    fn binary(&mut self, least: u8) -> Read<Expr> {
        let mut left = if least <= NOT && self.takes_word("not") {
            let value = self.deeper(|parser| parser.binary(NOT))?;
            Expr::Not(Box::new(value))
        } else {
            self.unary()?
        };
        loop {
            if least <= TEST {
                match self.test(left, least)? {
                    Ok(tested) => {
                        left = tested;
                        continue;
                    }
                    Err(untested) => left = untested,
                }
            }
            let Some((op, strength)) = self.operator().filter(|(_, strength)| *strength >= least)
            else {
                return Ok(left);
            };
            self.next();
            if matches!(op, Op::Compare(_)) && (self.is_word("any") || self.is_word("all")) {
                left = self.any_of(op, left)?;
                continue;
            }
            let right = self.deeper(|parser| parser.binary(strength + 1))?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
    }

    fn operator(&self) -> Option<(Op, u8)> {
        Some(match self.peek()? {
            Token::Word(word) => match word.as_str() {
                "or" => (Op::Or, OR),
                "and" => (Op::And, AND),
                "div" => (Op::WholeDivide, PRODUCT),
                "mod" => (Op::Modulo, PRODUCT),
                _ => return None,
            },
            Token::Symbol(symbol) => match *symbol {
                "=" | "<" | ">" | "<=" | ">=" | "<>" => (Op::Compare(symbol), COMPARE),
                "!=" => (Op::Compare("<>"), COMPARE),
                "+" => (Op::Plus, SUM),
                "-" => (Op::Minus, SUM),
                "*" => (Op::Times, PRODUCT),
                "/" => (Op::Divide, PRODUCT),
                "%" => (Op::Modulo, PRODUCT),
                // To MySQL it is OR, unless a mode of it says otherwise; its server prints it as what it is.
                "||" if self.dialect == Dialect::Postgres => (Op::Join, JOIN),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// `IS NULL`, `LIKE`, `IN`, `BETWEEN` behind a value; `Err`: none of them.
    #[allow(
        clippy::type_complexity,
        reason = "the value comes back where nothing stands behind it"
    )]
    fn test(&mut self, value: Expr, least: u8) -> Read<Result<Expr, Expr>> {
        if least <= COMPARE && self.takes_word("is") {
            let is = Is::negated(self.takes_word("not"));
            self.wants_word("null")?;
            return Ok(Ok(Expr::IsNull(Box::new(value), is)));
        }
        if self.takes("~~") || self.is_next("!~~") {
            let is = Is::negated(self.takes("!~~"));
            return self.like(value, is).map(Ok);
        }
        let is_negated = self.is_word("not")
            && matches!(self.peek_at(1), Some(Token::Word(word)) if matches!(word.as_str(), "like" | "in" | "between"));
        if is_negated {
            self.next();
        }
        let is = Is::negated(is_negated);
        if self.takes_word("like") {
            return self.like(value, is).map(Ok);
        }
        if self.takes_word("in") {
            return self.among(value, is).map(Ok);
        }
        if self.takes_word("between") {
            let low = self.deeper(|parser| parser.binary(TEST))?;
            self.wants_word("and")?;
            let high = self.deeper(|parser| parser.binary(TEST))?;
            return Ok(Ok(Expr::Between(
                Box::new(value),
                Box::new([low, high]),
                is,
            )));
        }
        Ok(Err(value))
    }

    fn like(&mut self, value: Expr, is: Is) -> Read<Expr> {
        let pattern = self.deeper(|parser| parser.binary(TEST + 1))?;
        if self.is_word("escape") {
            return Err(self.unknown());
        }
        Ok(Expr::Like(Box::new(value), Box::new(pattern), is))
    }

    fn among(&mut self, value: Expr, is: Is) -> Read<Expr> {
        self.wants("(")?;
        if self.is_word("select") {
            let query = self.query()?;
            self.wants(")")?;
            return Ok(Expr::InQuery(Box::new(value), Box::new(query), is));
        }
        let list = self.list(")")?;
        Ok(Expr::In(Box::new(value), list, is))
    }

    /// Values with commas between, up to what ends them.
    pub(super) fn list(&mut self, end: &str) -> Read<Vec<Expr>> {
        let mut list = vec![self.expression()?];
        while self.takes(",") {
            list.push(self.expression()?);
        }
        self.wants(end)?;
        Ok(list)
    }

    /// `= ANY (ARRAY[…])` and `<> ALL (ARRAY[…])`, as PostgreSQL prints `IN`.
    fn any_of(&mut self, op: Op, value: Expr) -> Read<Expr> {
        let is = match (op, self.takes_word("any")) {
            (Op::Compare("="), true) => Is::So,
            (Op::Compare("<>"), false) => Is::Not,
            _ => return Err(self.unknown()),
        };
        if is == Is::Not {
            self.wants_word("all")?;
        }
        self.wants("(")?;
        let is_cast = self.takes("(");
        self.wants_word("array")?;
        self.wants("[")?;
        let list = self.list("]")?;
        if is_cast {
            self.wants(")")?;
            self.wants("::")?;
            let ty = self.type_name()?;
            if ty != "text" && ty != "character varying" {
                return Err(format!("it compares with a list of {ty}"));
            }
            self.wants("[")?;
            self.wants("]")?;
        }
        self.wants(")")?;
        Ok(Expr::In(Box::new(value), list, is))
    }
}
