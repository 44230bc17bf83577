//! Values within a query: names, constants, functions, casts, CASE.

use super::ast::{Expr, Order};
use super::parser::Parser;
use crate::expression::Dialect;
use crate::expression::lexer::Token;

type Read<T> = Result<T, String>;

/// Words that are values or begin them, and that no name is without quotes.
const KEYWORDS: [&str; 17] = [
    "array",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "distinct",
    "interval",
    "localtime",
    "localtimestamp",
    "row",
    "session_user",
    "system_user",
    "user",
];

impl Parser<'_> {
    /// A value with signs before and casts behind it.
    pub(super) fn unary(&mut self) -> Read<Expr> {
        if self.takes("-") {
            let value = self.deeper(Self::unary)?;
            return Ok(match value {
                Expr::Number(digits) if !digits.starts_with('-') => {
                    Expr::Number(format!("-{digits}"))
                }
                other => Expr::Negative(Box::new(other)),
            });
        }
        let mut value = self.primary()?;
        while self.takes("::") {
            value = Expr::Cast(Box::new(value), self.type_name()?);
        }
        Ok(value)
    }

    fn primary(&mut self) -> Read<Expr> {
        match self.peek() {
            Some(Token::Symbol("(")) => {
                self.wants("(")?;
                let inner = if self.is_word("select") {
                    Expr::Scalar(Box::new(self.query()?))
                } else {
                    self.expression()?
                };
                self.wants(")")?;
                Ok(inner)
            }
            Some(Token::Number(digits)) => {
                self.next();
                Ok(Expr::Number(digits.clone()))
            }
            Some(Token::Text(text)) => {
                self.next();
                Ok(Expr::Text(text.clone()))
            }
            Some(Token::Name(name)) => {
                let name = name.clone();
                if matches!(self.peek_at(1), Some(Token::Symbol("("))) {
                    // MySQL and MariaDB print those of their own without quotes. PostgreSQL, which has all that are not its own with their schema, quotes
                    // what is a keyword besides.
                    if self.dialect == Dialect::MySql {
                        return Err(of_user(&name));
                    }
                    self.next();
                    return self.call(name);
                }
                self.column()
            }
            Some(Token::Word(word)) => self.word(word),
            _ => Err(self.unknown()),
        }
    }

    fn word(&mut self, word: &str) -> Read<Expr> {
        let is_called = matches!(self.peek_at(1), Some(Token::Symbol("(")));
        match word {
            "null" | "true" | "false" => {
                self.next();
                Ok(match word {
                    "null" => Expr::Null,
                    other => Expr::Bool(other == "true"),
                })
            }
            "case" => {
                self.next();
                self.deeper(Self::case)
            }
            "exists" if is_called => {
                self.next();
                self.wants("(")?;
                let query = self.query()?;
                self.wants(")")?;
                Ok(Expr::Exists(Box::new(query)))
            }
            "cast" if is_called => {
                self.next();
                self.wants("(")?;
                let value = self.expression()?;
                self.wants_word("as")?;
                let ty = self.type_name()?;
                self.wants(")")?;
                Ok(Expr::Cast(Box::new(value), ty))
            }
            _ if is_called => {
                self.next();
                self.call(word.to_owned())
            }
            _ if KEYWORDS.contains(&word) => Err(self.unknown()),
            _ => self.column(),
        }
    }

    /// `column`, `table.column`, or in MySQL `database.table.column`, whose database the table's name tells.
    fn column(&mut self) -> Read<Expr> {
        let mut name = self.name()?;
        let mut table = None;
        if self.takes(".") {
            table = Some(std::mem::replace(&mut name, self.name()?));
        }
        if table.is_some() && self.is_next("(") {
            return Err(of_user(&name));
        }
        if self.is_next(".") || self.is_next("[") {
            return Err(self.unknown());
        }
        Ok(Expr::Column { table, name })
    }

    fn case(&mut self) -> Read<Expr> {
        let operand = if self.is_word("when") {
            None
        } else {
            Some(Box::new(self.expression()?))
        };
        let mut arms = Vec::new();
        while self.takes_word("when") {
            let when = self.expression()?;
            self.wants_word("then")?;
            arms.push((when, self.expression()?));
        }
        let otherwise = if self.takes_word("else") {
            Some(Box::new(self.expression()?))
        } else {
            None
        };
        self.wants_word("end")?;
        if arms.is_empty() {
            return Err(self.unknown());
        }
        Ok(Expr::Case {
            operand,
            arms,
            otherwise,
        })
    }

    /// Behind a function's name.
    fn call(&mut self, name: String) -> Read<Expr> {
        self.wants("(")?;
        let is_postgres = self.dialect == Dialect::Postgres;
        let arguments = match name.as_str() {
            "extract" => self.extract()?,
            "substring" => self.substring()?,
            // `TRIM(BOTH FROM x)` without what is taken away: spaces.
            "trim" if is_postgres => {
                self.wants_word("both")?;
                self.wants_word("from")?;
                vec![self.expression()?]
            }
            _ => return self.called(name),
        };
        self.wants(")")?;
        Ok(plain(name, arguments))
    }

    fn called(&mut self, name: String) -> Read<Expr> {
        if self.takes("*") {
            self.wants(")")?;
            self.nothing_behind()?;
            return Ok(plain(name, Vec::new()));
        }
        let is_distinct = self.takes_word("distinct");
        let mut arguments = Vec::new();
        if !self.is_next(")") {
            arguments.push(self.expression()?);
            while self.takes(",") {
                arguments.push(self.expression()?);
            }
        }
        let mut gathers = self.gathers()?;
        self.wants(")")?;
        self.nothing_behind()?;
        if gathers.is_none() && name == "group_concat" {
            gathers = Some((Vec::new(), ",".to_owned()));
        }
        Ok(Expr::Call {
            name,
            arguments,
            is_distinct,
            gathers,
        })
    }

    fn gathers(&mut self) -> Read<Option<(Vec<Order>, String)>> {
        let order = self.order()?;
        let separator = if self.takes_word("separator") {
            match self.next() {
                Some(Token::Text(text)) => text.clone(),
                _ => return Err(self.unknown()),
            }
        } else {
            ",".to_owned()
        };
        let is_there = !order.is_empty() || separator != ",";
        Ok(is_there.then_some((order, separator)))
    }

    /// Windows and filters of aggregates.
    fn nothing_behind(&self) -> Read<()> {
        if self.is_word("over") || self.is_word("filter") || self.is_word("within") {
            return Err(self.unknown());
        }
        Ok(())
    }

    fn extract(&mut self) -> Read<Vec<Expr>> {
        let field = match self.next() {
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.unknown()),
        };
        self.wants_word("from")?;
        Ok(vec![Expr::Text(field), self.expression()?])
    }

    /// `SUBSTRING(x FROM 1 FOR 3)`, or with commas.
    fn substring(&mut self) -> Read<Vec<Expr>> {
        let mut arguments = vec![self.expression()?];
        if self.takes_word("from") {
            arguments.push(self.expression()?);
            if self.takes_word("for") {
                arguments.push(self.expression()?);
            }
            return Ok(arguments);
        }
        while self.takes(",") {
            arguments.push(self.expression()?);
        }
        Ok(arguments)
    }

    /// A type, with its length where it has one: `numeric(10,2)`, `timestamp without time zone`.
    pub(super) fn type_name(&mut self) -> Read<String> {
        let mut words: Vec<&str> = Vec::new();
        while let Some(Token::Word(word)) = self.peek() {
            let is_more = match words.last() {
                None => true,
                Some(last) => {
                    matches!(
                        (*last, word.as_str()),
                        ("character", "varying")
                            | ("double", "precision")
                            | ("timestamp" | "time" | ")", "without" | "with")
                            | ("without" | "with", "time")
                            | ("time", "zone")
                            | ("char", "charset")
                            | ("charset", _)
                    )
                }
            };
            if !is_more {
                break;
            }
            self.next();
            words.push(word);
        }
        if words.is_empty() || self.is_next(".") {
            return Err(self.unknown());
        }
        let mut ty = words.join(" ");
        if self.takes("(") {
            let mut sizes = Vec::new();
            while let Some(Token::Number(size)) = self.peek() {
                self.next();
                sizes.push(size.as_str());
                self.takes(",");
            }
            self.wants(")")?;
            ty = format!("{ty}({})", sizes.join(","));
        }
        Ok(ty)
    }
}

fn of_user(name: &str) -> String {
    format!("it calls {name}, a function of a user's")
}

fn plain(name: String, arguments: Vec<Expr>) -> Expr {
    Expr::Call {
        name,
        arguments,
        is_distinct: false,
        gathers: None,
    }
}
