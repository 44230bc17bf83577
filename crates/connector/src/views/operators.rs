//! Operators and tests between values, each as strong as servers have it.

use super::ast::{Expr, Is, Op};
use super::parser::{Parser, Read};
use crate::expression::Dialect;
use crate::expression::lexer::Token;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Read<Expr> {
        self.deeper(|parser| parser.binary(0))
    }

    /// Reads operators that bind at least so strongly.
    fn binary(&mut self, least: u8) -> Read<Expr> {
        let mut left = if least <= 3 && self.takes_word("not") {
            let value = self.deeper(|parser| parser.binary(3))?;
            Expr::Not(Box::new(value))
        } else {
            self.unary()?
        };
        loop {
            if least <= 4 {
                match self.test(left)? {
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
                "or" => (Op::Or, 1),
                "and" => (Op::And, 2),
                "div" => (Op::WholeDivide, 7),
                "mod" => (Op::Modulo, 7),
                _ => return None,
            },
            Token::Symbol(symbol) => match *symbol {
                "=" | "<" | ">" | "<=" | ">=" | "<>" => (Op::Compare(symbol), 4),
                "!=" => (Op::Compare("<>"), 4),
                "+" => (Op::Plus, 6),
                "-" => (Op::Minus, 6),
                "*" => (Op::Times, 7),
                "/" => (Op::Divide, 7),
                "%" => (Op::Modulo, 7),
                // To MySQL it is OR, unless a mode of it says otherwise; its server prints it as what it is.
                "||" if self.dialect == Dialect::Postgres => (Op::Join, 5),
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
    fn test(&mut self, value: Expr) -> Read<Result<Expr, Expr>> {
        if self.takes_word("is") {
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
            let low = self.deeper(|parser| parser.binary(5))?;
            self.wants_word("and")?;
            let high = self.deeper(|parser| parser.binary(5))?;
            return Ok(Ok(Expr::Between(
                Box::new(value),
                Box::new([low, high]),
                is,
            )));
        }
        Ok(Err(value))
    }

    fn like(&mut self, value: Expr, is: Is) -> Read<Expr> {
        let pattern = self.deeper(|parser| parser.binary(5))?;
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
