use whimbrel_core::ColumnType;
use whimbrel_core::objects::{BinaryOperator, Expression, Literal, SpecialValue};

use super::Dialect;
use super::casts::{self, CastType};
use super::lexer::Token;

/// Deeper ones are left to a person.
const DEPTH_MAX: usize = 64;

pub(super) struct Parser<'p, 't> {
    tokens: &'p [Token],
    at: usize,
    depth: usize,
    dialect: Dialect,
    type_of: &'p dyn Fn(&str) -> Option<&'t ColumnType>,
}

impl<'p, 't> Parser<'p, 't> {
    pub(super) fn new(
        tokens: &'p [Token],
        dialect: Dialect,
        type_of: &'p dyn Fn(&str) -> Option<&'t ColumnType>,
    ) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
            dialect,
            type_of,
        }
    }

    pub(super) fn whole(mut self) -> Option<Expression> {
        let expression = self.any()?;
        (self.at == self.tokens.len()).then_some(expression)
    }

    fn peek(&self) -> Option<&'p Token> {
        self.tokens.get(self.at)
    }

    fn takes_symbol(&mut self, symbol: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol);
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.at += usize::from(is_it);
        is_it
    }

    fn symbol(&mut self, symbol: &str) -> Option<()> {
        self.takes_symbol(symbol).then_some(())
    }

    fn any(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut left = self.all()?;
        while self.takes_word("or") {
            left = binary(left, BinaryOperator::Or, self.all()?);
        }
        self.depth -= 1;
        Some(left)
    }

    fn all(&mut self) -> Option<Expression> {
        let mut left = self.negation()?;
        while self.takes_word("and") {
            left = binary(left, BinaryOperator::And, self.negation()?);
        }
        Some(left)
    }

    fn negation(&mut self) -> Option<Expression> {
        let mut count = 0_usize;
        while self.takes_word("not") {
            count += 1;
        }
        let mut expression = self.comparison()?;
        for _ in 0..count {
            expression = Expression::Not(Box::new(expression));
        }
        Some(expression)
    }

    fn comparison(&mut self) -> Option<Expression> {
        let mut left = self.sum()?;
        loop {
            if self.takes_word("is") {
                let is_negated = self.takes_word("not");
                if !self.takes_word("null") {
                    return None;
                }
                left = Expression::IsNull {
                    value: Box::new(left),
                    is_negated,
                };
                continue;
            }
            let is_negated = self.takes_word("not");
            if self.takes_word("in") {
                self.symbol("(")?;
                let list = self.list(")")?;
                left = Expression::In {
                    value: Box::new(left),
                    list,
                    is_negated,
                };
            } else if self.takes_word("between") {
                left = self.between(left, is_negated)?;
            } else if is_negated {
                return None;
            } else if let Some(operator) = self.comparing_operator() {
                left = self.compared(left, operator)?;
            } else {
                return Some(left);
            }
        }
    }

    fn between(&mut self, value: Expression, is_negated: bool) -> Option<Expression> {
        let low = self.sum()?;
        if !self.takes_word("and") {
            return None;
        }
        let high = self.sum()?;
        let within = binary(
            binary(value.clone(), BinaryOperator::AtLeast, low),
            BinaryOperator::And,
            binary(value, BinaryOperator::AtMost, high),
        );
        Some(if is_negated {
            Expression::Not(Box::new(within))
        } else {
            within
        })
    }

    fn comparing_operator(&mut self) -> Option<BinaryOperator> {
        const OPERATORS: [(&str, BinaryOperator); 7] = [
            ("=", BinaryOperator::Equal),
            ("<>", BinaryOperator::Unequal),
            ("!=", BinaryOperator::Unequal),
            ("<=", BinaryOperator::AtMost),
            (">=", BinaryOperator::AtLeast),
            ("<", BinaryOperator::Less),
            (">", BinaryOperator::Greater),
        ];
        let found = OPERATORS
            .iter()
            .find(|(symbol, _)| self.takes_symbol(symbol));
        found.map(|(_, operator)| *operator)
    }

    /// The right side; PostgreSQL writes lists as `= ANY (ARRAY[…])` and `<> ALL (ARRAY[…])`.
    fn compared(&mut self, left: Expression, operator: BinaryOperator) -> Option<Expression> {
        let (any, all) = (self.takes_word("any"), self.takes_word("all"));
        if !any && !all {
            return Some(binary(left, operator, self.sum()?));
        }
        let is_negated = match (operator, any) {
            (BinaryOperator::Equal, true) => false,
            (BinaryOperator::Unequal, false) => true,
            _ => return None,
        };
        self.symbol("(")?;
        let is_wrapped = self.takes_symbol("(");
        if !self.takes_word("array") {
            return None;
        }
        self.symbol("[")?;
        let list = self.list("]")?;
        if is_wrapped {
            self.symbol(")")?;
        }
        if self.takes_symbol("::") {
            let ty = self.cast_type()?;
            if !ty.is_list_of_texts() {
                return None;
            }
        }
        self.symbol(")")?;
        Some(Expression::In {
            value: Box::new(left),
            list,
            is_negated,
        })
    }

    fn list(&mut self, end: &str) -> Option<Vec<Expression>> {
        let mut list = vec![self.any()?];
        while self.takes_symbol(",") {
            list.push(self.any()?);
        }
        self.symbol(end)?;
        Some(list)
    }

    fn sum(&mut self) -> Option<Expression> {
        let mut left = self.product()?;
        loop {
            let operator = if self.takes_symbol("+") {
                BinaryOperator::Plus
            } else if self.takes_symbol("-") {
                BinaryOperator::Minus
            } else {
                return Some(left);
            };
            left = binary(left, operator, self.product()?);
        }
    }

    fn product(&mut self) -> Option<Expression> {
        let mut left = self.signed()?;
        while self.takes_symbol("*") {
            left = binary(left, BinaryOperator::Times, self.signed()?);
        }
        Some(left)
    }

    fn signed(&mut self) -> Option<Expression> {
        if !self.takes_symbol("-") {
            return self.cast();
        }
        match self.cast()? {
            Expression::Literal(Literal::Number(digits)) if !digits.starts_with('-') => {
                Some(Expression::Literal(Literal::Number(format!("-{digits}"))))
            }
            _ => None,
        }
    }

    /// A text in quotes has the type of the first cast behind it; every other cast makes another value of one, or the same.
    fn cast(&mut self) -> Option<Expression> {
        let mut is_untyped = matches!(self.peek(), Some(Token::Text(_)));
        let mut value = self.primary()?;
        while self.dialect == Dialect::Postgres && self.takes_symbol("::") {
            let ty = self.cast_type()?;
            value = match value {
                Expression::Literal(Literal::Text(text)) if is_untyped => casts::typed(text, &ty)?,
                value => casts::unchanged(value, &ty, self.type_of)?,
            };
            is_untyped = false;
        }
        Some(value)
    }

    fn cast_type(&mut self) -> Option<CastType> {
        let (mut words, mut bounds) = (Vec::new(), Vec::new());
        loop {
            match self.peek()? {
                Token::Name(name) => words.push(name.clone()),
                Token::Word(word) => words.push(word.clone()),
                _ => return None,
            }
            self.at += 1;
            if self.takes_symbol(".") {
                // A type of a user: only its own name is of interest, which none of the known ones has.
                words.push("of".to_owned());
                continue;
            }
            if self.takes_symbol("(") {
                bounds = self.bounds()?;
            }
            let goes_on = ["varying", "precision", "without", "with", "time", "zone"];
            let more =
                matches!(self.peek(), Some(Token::Word(word)) if goes_on.contains(&word.as_str()));
            if !more {
                break;
            }
        }
        let mut name = words.join(" ");
        while self.takes_symbol("[") {
            self.symbol("]")?;
            name.push_str("[]");
        }
        Some(CastType { name, bounds })
    }

    /// Lengths, or digits, behind the opening parenthesis.
    fn bounds(&mut self) -> Option<Vec<usize>> {
        let mut bounds = Vec::new();
        loop {
            let Some(Token::Number(digits)) = self.peek() else {
                return None;
            };
            self.at += 1;
            bounds.push(digits.parse().ok()?);
            if !self.takes_symbol(",") {
                self.symbol(")")?;
                return Some(bounds);
            }
        }
    }

    fn primary(&mut self) -> Option<Expression> {
        let token = self.peek()?;
        self.at += 1;
        match token {
            Token::Text(text) => Some(Expression::Literal(Literal::Text(text.clone()))),
            Token::Bits(bits) => Some(Expression::Literal(Literal::Bits(bits.clone()))),
            Token::Number(digits) => {
                let is_plain = digits
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
                is_plain.then(|| Expression::Literal(Literal::Number(digits.clone())))
            }
            Token::Name(name) => self.column(name),
            Token::Word(word) => self.word(word),
            Token::Symbol("(") => {
                let inner = self.any()?;
                self.symbol(")")?;
                Some(inner)
            }
            Token::Symbol(_) => None,
        }
    }

    /// A name that is not followed by what makes it something else.
    fn column(&mut self, name: &str) -> Option<Expression> {
        let is_else = matches!(self.peek(), Some(Token::Symbol("." | "(")));
        (!is_else).then(|| Expression::Column(name.to_owned()))
    }

    fn word(&mut self, word: &str) -> Option<Expression> {
        match word {
            "null" => return Some(Expression::Literal(Literal::Null)),
            "true" => return Some(Expression::Literal(Literal::Bool(true))),
            "false" => return Some(Expression::Literal(Literal::Bool(false))),
            _ => {}
        }
        if let Some(special) = self.special(word) {
            return Some(Expression::Special(special));
        }
        if self.takes_symbol("(") {
            let counts = match self.dialect {
                // Of bytes in MySQL.
                Dialect::Postgres => ["char_length", "character_length", "length"].contains(&word),
                Dialect::MySql => ["char_length", "character_length"].contains(&word),
            };
            let value = self.any()?;
            self.symbol(")")?;
            return counts.then(|| Expression::CharLength(Box::new(value)));
        }
        // Plain names are not in quotes in PostgreSQL.
        (self.dialect == Dialect::Postgres)
            .then(|| self.column(word))
            .flatten()
    }

    /// The present, by any of its names.
    fn special(&mut self, word: &str) -> Option<SpecialValue> {
        let is_postgres = self.dialect == Dialect::Postgres;
        let start = self.at;
        let digits = if self.takes_symbol("(") {
            let digits = match self.peek() {
                Some(Token::Number(digits)) => {
                    self.at += 1;
                    digits.parse().ok()
                }
                _ => None,
            };
            if !self.takes_symbol(")") {
                self.at = start;
                return None;
            }
            Some(digits)
        } else {
            None
        };
        let seconds = if is_postgres { 6 } else { 0 };
        let found = match (word, digits) {
            ("current_timestamp" | "localtimestamp" | "now", digits) => {
                Some(SpecialValue::Now(digits.flatten().unwrap_or(seconds)))
            }
            ("current_date", None | Some(None)) => Some(SpecialValue::Today),
            ("curdate", Some(None)) if !is_postgres => Some(SpecialValue::Today),
            ("gen_random_uuid", Some(None)) if is_postgres => Some(SpecialValue::Uuid),
            ("uuid", Some(None)) if !is_postgres => Some(SpecialValue::Uuid),
            _ => None,
        };
        if found.is_none() {
            self.at = start;
        }
        found
    }
}

fn binary(left: Expression, operator: BinaryOperator, right: Expression) -> Expression {
    Expression::Binary {
        left: Box::new(left),
        operator,
        right: Box::new(right),
    }
}
