//! Reads queries as servers print them. What is not in this grammar is not read: the answer says what was met.

use super::ast::{Expr, From, Item, Limit, On, Order, Query, Select, Union};
use crate::expression::Dialect;
use crate::expression::lexer::Token;

/// Deeper ones are left to a person.
const DEPTH_MAX: usize = 100;

/// Words behind a table that are no name for it.
const NO_ALIAS: [&str; 22] = [
    "as",
    "join",
    "left",
    "right",
    "full",
    "inner",
    "cross",
    "natural",
    "on",
    "using",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "fetch",
    "union",
    "except",
    "intersect",
    "window",
    "for",
];

pub(super) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    pub(super) dialect: Dialect,
}

pub(super) type Read<T> = Result<T, String>;

impl<'t> Parser<'t> {
    pub(super) fn new(tokens: &'t [Token], dialect: Dialect) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
            dialect,
        }
    }

    /// Reads a query to the end of the text.
    pub(super) fn whole(mut self) -> Read<Query> {
        let query = self.query()?;
        self.takes(";");
        match self.peek() {
            None => Ok(query),
            Some(_) => Err(self.unknown()),
        }
    }

    pub(super) fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&'t Token> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next(&mut self) -> Option<&'t Token> {
        let token = self.tokens.get(self.at);
        self.at += usize::from(token.is_some());
        token
    }

    /// What is told of a place that is not understood.
    pub(super) fn unknown(&self) -> String {
        let place = match self.peek() {
            None => return "its text ends where more is expected".to_owned(),
            Some(Token::Word(word)) => word.to_uppercase(),
            Some(Token::Name(name)) => name.clone(),
            Some(Token::Text(_)) => "a text".to_owned(),
            Some(Token::Number(number)) => number.clone(),
            Some(Token::Bits(_)) => "a bit string".to_owned(),
            Some(Token::Symbol(symbol)) => (*symbol).to_owned(),
        };
        format!("its text has {place} where nothing of that kind is converted")
    }

    pub(super) fn is_next(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(next)) if next == word)
    }

    pub(super) fn takes(&mut self, symbol: &str) -> bool {
        let is_it = self.is_next(symbol);
        self.at += usize::from(is_it);
        is_it
    }

    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let is_it = self.is_word(word);
        self.at += usize::from(is_it);
        is_it
    }

    pub(super) fn wants(&mut self, symbol: &str) -> Read<()> {
        if self.takes(symbol) {
            Ok(())
        } else {
            Err(self.unknown())
        }
    }

    pub(super) fn wants_word(&mut self, word: &str) -> Read<()> {
        if self.takes_word(word) {
            Ok(())
        } else {
            Err(self.unknown())
        }
    }

    /// Goes one level deeper.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH_MAX {
            return Err("its text is nested too deeply".to_owned());
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// A name that is not a keyword.
    pub(super) fn name(&mut self) -> Read<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            Some(Token::Word(word)) if self.dialect == Dialect::Postgres => {
                self.at += 1;
                Ok(word.clone())
            }
            _ => Err(self.unknown()),
        }
    }

    pub(super) fn query(&mut self) -> Read<Query> {
        self.deeper(|parser| {
            let first = parser.select()?;
            let mut others = Vec::new();
            while parser.takes_word("union") {
                let how = if parser.takes_word("all") {
                    Union::All
                } else {
                    Union::Distinct
                };
                others.push((how, parser.select()?));
            }
            let order = parser.order()?;
            let limit = parser.limit()?;
            Ok(Query {
                first,
                others,
                order,
                limit,
            })
        })
    }

    pub(super) fn order(&mut self) -> Read<Vec<Order>> {
        let mut order = Vec::new();
        if !self.takes_word("order") {
            return Ok(order);
        }
        self.wants_word("by")?;
        loop {
            let value = self.expression()?;
            let is_descending = self.takes_word("desc");
            if !is_descending {
                self.takes_word("asc");
            }
            let nulls_first = if self.takes_word("nulls") {
                let is_first = self.takes_word("first");
                if !is_first {
                    self.wants_word("last")?;
                }
                Some(is_first)
            } else {
                None
            };
            order.push(Order {
                value,
                is_descending,
                nulls_first,
            });
            if !self.takes(",") {
                return Ok(order);
            }
        }
    }

    fn limit(&mut self) -> Read<Option<Limit>> {
        let mut limit = None;
        if self.takes_word("limit") {
            let first = self.number()?;
            // MySQL prints `LIMIT behind, rows`.
            limit = Some(if self.takes(",") {
                Limit {
                    rows: self.number()?,
                    behind: Some(first),
                }
            } else {
                Limit {
                    rows: first,
                    behind: None,
                }
            });
        }
        if let Some(limit) = &mut limit
            && self.takes_word("offset")
        {
            limit.behind = Some(self.number()?);
        }
        Ok(limit)
    }

    fn number(&mut self) -> Read<String> {
        match self.peek() {
            Some(Token::Number(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.at += 1;
                Ok(digits.clone())
            }
            _ => Err(self.unknown()),
        }
    }

    fn select(&mut self) -> Read<Select> {
        self.wants_word("select")?;
        let is_distinct = self.takes_word("distinct");
        let mut items = vec![self.item()?];
        while self.takes(",") {
            items.push(self.item()?);
        }
        let mut from = Vec::new();
        if self.takes_word("from") {
            from.push(self.joined()?);
            while self.takes(",") {
                from.push(self.joined()?);
            }
        }
        let filter = self.behind("where")?;
        let mut group = Vec::new();
        if self.takes_word("group") {
            self.wants_word("by")?;
            group.push(self.expression()?);
            while self.takes(",") {
                group.push(self.expression()?);
            }
        }
        Ok(Select {
            is_distinct,
            items,
            from,
            filter,
            group,
            having: self.behind("having")?,
        })
    }

    fn behind(&mut self, word: &str) -> Read<Option<Expr>> {
        if self.takes_word(word) {
            self.expression().map(Some)
        } else {
            Ok(None)
        }
    }

    fn item(&mut self) -> Read<Item> {
        let value = self.expression()?;
        let name = if self.takes_word("as") {
            Some(self.name()?)
        } else if let Expr::Column { name, .. } = &value {
            Some(name.clone())
        } else {
            None
        };
        Ok(Item { value, name })
    }

    fn joined(&mut self) -> Read<From> {
        self.deeper(|parser| {
            let mut left = parser.source()?;
            while let Some(how) = parser.join()? {
                let right = parser.source()?;
                let on = parser.on()?;
                if on == On::All && how != "CROSS JOIN" && how != "JOIN" {
                    return Err(parser.unknown());
                }
                left = From::Join {
                    how: if on == On::All { "CROSS JOIN" } else { how },
                    left: Box::new(left),
                    right: Box::new(right),
                    on,
                };
            }
            Ok(left)
        })
    }

    fn on(&mut self) -> Read<On> {
        if self.takes_word("on") {
            return self.expression().map(On::Condition);
        }
        if !self.takes_word("using") {
            return Ok(On::All);
        }
        self.wants("(")?;
        let mut names = vec![self.name()?];
        while self.takes(",") {
            names.push(self.name()?);
        }
        self.wants(")")?;
        Ok(On::Using(names))
    }

    fn join(&mut self) -> Read<Option<&'static str>> {
        let how = match self.peek() {
            Some(Token::Word(word)) => match word.as_str() {
                "join" | "inner" => "JOIN",
                "left" => "LEFT JOIN",
                "right" => "RIGHT JOIN",
                "cross" => "CROSS JOIN",
                // There is none in MySQL.
                "full" | "natural" | "straight_join" => return Err(self.unknown()),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        if !self.takes_word("join") {
            self.at += 1;
            self.takes_word("outer");
            self.wants_word("join")?;
        }
        Ok(Some(how))
    }

    fn source(&mut self) -> Read<From> {
        if self.is_next("(") {
            let is_query = matches!(self.peek_at(1), Some(Token::Word(word)) if word == "select");
            self.wants("(")?;
            if is_query {
                let query = Box::new(self.query()?);
                self.wants(")")?;
                self.takes_word("as");
                let alias = self.name()?;
                return Ok(From::Derived { query, alias });
            }
            let inner = self.joined()?;
            self.wants(")")?;
            return Ok(inner);
        }
        if self.is_word("only") {
            return Err("it reads a table without those that inherit from it".to_owned());
        }
        let mut name = self.name()?;
        let mut schema = None;
        if self.takes(".") {
            schema = Some(std::mem::replace(&mut name, self.name()?));
        }
        if self.is_next("(") {
            return Err(format!("it reads from the function {name}"));
        }
        let alias = self.alias()?.unwrap_or_else(|| name.clone());
        if self.is_next("(") {
            return Err("it gives columns of a table other names".to_owned());
        }
        Ok(From::Table {
            schema,
            name,
            alias,
        })
    }

    fn alias(&mut self) -> Read<Option<String>> {
        self.takes_word("as");
        match self.peek() {
            Some(Token::Name(_)) => self.name().map(Some),
            Some(Token::Word(word))
                if self.dialect == Dialect::Postgres && !NO_ALIAS.contains(&word.as_str()) =>
            {
                self.name().map(Some)
            }
            _ => Ok(None),
        }
    }
}
