//! Values and conditions in the SQL of the target.

use super::ast::{Expr, Is, Op, Query};
use super::class::{Agrees, Class, common};
use super::dates;
use super::query::{Converter, Done, Typed};
use super::{DIVIDES, TEXTS_AGREE};

impl Converter<'_> {
    /// A value: to MySQL a condition is a number, which PostgreSQL has to be told.
    pub(super) fn value(&mut self, value: &Expr) -> Done<Typed> {
        let typed = self.any(value)?;
        if typed.class == Class::Bool && self.is_into_postgres() {
            return Ok(Typed::new(
                format!("({})::integer", typed.sql),
                Class::Int(32),
            ));
        }
        Ok(typed)
    }

    /// A condition: PostgreSQL takes no number for one.
    pub(super) fn condition(&mut self, value: &Expr) -> Done<String> {
        let typed = self.any(value)?;
        match typed.class {
            Class::Bool | Class::Null => Ok(typed.sql),
            class if class.is_number() && self.is_into_postgres() => {
                Ok(format!("({} <> 0)", typed.sql))
            }
            class => Err(format!("it takes {} for a condition", class.named())),
        }
    }

    fn any(&mut self, value: &Expr) -> Done<Typed> {
        match value {
            Expr::Column { table, name } => self.column(table.as_deref(), name),
            Expr::Null => Ok(Typed::new("NULL", Class::Null)),
            Expr::Bool(value) => Ok(Typed::new(
                if *value { "TRUE" } else { "FALSE" },
                Class::Bool,
            )),
            Expr::Number(digits) => number(digits),
            Expr::Text(text) => self.text(text),
            Expr::Not(value) => Ok(bool(format!("(NOT {})", self.condition(value)?))),
            Expr::Negative(value) => {
                let value = self.value(value)?;
                if !value.class.is_number() {
                    return Err(format!("it takes {} for a number", value.class.named()));
                }
                Ok(Typed::new(format!("(- {})", value.sql), value.class))
            }
            Expr::Binary(op, left, right) => self.binary(*op, left, right),
            Expr::IsNull(value, is) => {
                let value = self.any(value)?;
                Ok(bool(format!("({} IS{} NULL)", value.sql, is.word())))
            }
            Expr::Like(value, pattern, is) => self.like(value, pattern, *is),
            Expr::In(value, list, is) => self.among(value, list, *is),
            Expr::InQuery(value, query, is) => self.among_rows(value, query, *is),
            Expr::Exists(query) => {
                let (sql, _) = match &query.limit {
                    // MariaDB adds that.
                    Some(limit) if limit.rows == "1" && limit.behind.is_none() => {
                        let unlimited = Query {
                            limit: None,
                            ..(**query).clone()
                        };
                        self.query(&unlimited)?
                    }
                    _ => self.query(query)?,
                };
                Ok(bool(format!("EXISTS ({sql})")))
            }
            Expr::Scalar(query) => {
                let (sql, class) = self.one_column(query)?;
                Ok(Typed::new(format!("({sql})"), class))
            }
            Expr::Between(value, ends, is) => {
                let (value, low, high) = self.between(value, &ends[0], &ends[1])?;
                let not = is.word();
                Ok(bool(format!("({value}{not} BETWEEN {low} AND {high})")))
            }
            Expr::Case {
                operand,
                arms,
                otherwise,
            } => self.case(operand.as_deref(), arms, otherwise.as_deref()),
            Expr::Call { .. } => self.call(value),
            Expr::Cast(value, ty) => self.cast(value, ty),
        }
    }

    /// A text: one of the characters that it has, with either server's quoting.
    pub(super) fn text(&self, text: &str) -> Done<Typed> {
        if text.contains('\0') {
            return Err("it has the character NUL".to_owned());
        }
        Ok(Typed::new(self.literal(text), Class::Text(Agrees::AsOther)))
    }

    fn binary(&mut self, op: Op, left: &Expr, right: &Expr) -> Done<Typed> {
        match op {
            Op::And | Op::Or => {
                let word = if op == Op::And { "AND" } else { "OR" };
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Ok(bool(format!("({left} {word} {right})")))
            }
            Op::Compare(symbol) => {
                let is_order = !matches!(symbol, "=" | "<>");
                let (left, right) = self.compared(left, right, is_order)?;
                Ok(bool(format!("({left} {symbol} {right})")))
            }
            Op::Join => self.joined_texts(left, right),
            _ => self.arithmetic(op, left, right),
        }
    }

    /// Two values that are compared, where that means the same on both engines.
    pub(super) fn compared(
        &mut self,
        left: &Expr,
        right: &Expr,
        is_order: bool,
    ) -> Done<(String, String)> {
        let (mut one, mut other) = (self.value(left)?, self.value(right)?);
        // A constant in quotes is what it is compared with.
        dates::read(&mut one, other.class, left)?;
        dates::read(&mut other, one.class, right)?;
        self.comparable(one.class, other.class, is_order)?;
        Ok((one.sql, other.sql))
    }

    fn comparable(&mut self, one: Class, other: Class, is_order: bool) -> Done<()> {
        let may_be = match (one, other) {
            (Class::Null, _)
            | (_, Class::Null)
            | (Class::Date | Class::Timestamp, Class::Date | Class::Timestamp)
            | (Class::Bool, Class::Bool) => true,
            (Class::Text(left), Class::Text(right)) => {
                if is_order || left.with(right) != Agrees::Exactly {
                    self.differs.insert(TEXTS_AGREE.to_owned());
                }
                true
            }
            (Class::Uuid, Class::Uuid) => !is_order,
            (one, other) => one.is_number() && other.is_number(),
        };
        if may_be {
            Ok(())
        } else {
            Err(format!(
                "it compares {} with {}",
                one.named(),
                other.named()
            ))
        }
    }

    fn like(&mut self, value: &Expr, pattern: &Expr, is: Is) -> Done<Typed> {
        match pattern {
            Expr::Text(text) if !text.contains('\\') => {}
            Expr::Cast(inner, ty) if ty == "text" => {
                return self.like(value, inner, is);
            }
            _ => return Err("it has a pattern that is no plain constant".to_owned()),
        }
        let (value, pattern) = (self.value(value)?, self.value(pattern)?);
        let Class::Text(agrees) = value.class else {
            return Err(format!("it looks for a pattern in {}", value.class.named()));
        };
        if agrees != Agrees::Exactly {
            self.differs.insert(TEXTS_AGREE.to_owned());
        }
        Ok(bool(format!(
            "({}{} LIKE {})",
            value.sql,
            is.word(),
            pattern.sql
        )))
    }

    fn among(&mut self, value: &Expr, list: &[Expr], is: Is) -> Done<Typed> {
        let mut items = Vec::with_capacity(list.len());
        let mut sought = String::new();
        for item in list {
            let (value, item) = self.compared(value, item, false)?;
            sought = value;
            items.push(item);
        }
        Ok(bool(format!(
            "({sought}{} IN ({}))",
            is.word(),
            items.join(", ")
        )))
    }

    fn among_rows(&mut self, value: &Expr, query: &Query, is: Is) -> Done<Typed> {
        let value = self.value(value)?;
        let (sql, class) = self.one_column(query)?;
        self.comparable(value.class, class, false)?;
        Ok(bool(format!("({}{} IN ({sql}))", value.sql, is.word())))
    }

    fn one_column(&mut self, query: &Query) -> Done<(String, Class)> {
        let (sql, outputs) = self.query(query)?;
        match &outputs[..] {
            [output] => Ok((sql, output.value.class)),
            _ => Err("it compares rows of several columns".to_owned()),
        }
    }

    fn between(&mut self, value: &Expr, low: &Expr, high: &Expr) -> Done<(String, String, String)> {
        let (sql, low) = self.compared(value, low, true)?;
        let (_, high) = self.compared(value, high, true)?;
        Ok((sql, low, high))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        arms: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Done<Typed> {
        let mut whens = Vec::with_capacity(arms.len());
        for (when, _) in arms {
            whens.push(match operand {
                Some(operand) => {
                    let (value, when) = self.compared(operand, when, false)?;
                    format!("{value} = {when}")
                }
                None => self.condition(when)?,
            });
        }
        let mut values: Vec<&Expr> = arms.iter().map(|(_, value)| value).collect();
        values.extend(otherwise);
        let (values, class) = self.alike(&values)?;
        let mut sql = "CASE".to_owned();
        for (when, value) in whens.iter().zip(&values) {
            sql = format!("{sql} WHEN {when} THEN {value}");
        }
        if let (Some(_), Some(value)) = (otherwise, values.last()) {
            sql = format!("{sql} ELSE {value}");
        }
        Ok(self.scaled(&format!("{sql} END"), class))
    }

    /// Values of which one is taken.
    pub(super) fn alike(&mut self, values: &[&Expr]) -> Done<(Vec<String>, Class)> {
        let mut class = Class::Null;
        let mut sqls = Vec::with_capacity(values.len());
        for value in values {
            let typed = self.value(value)?;
            class = common(class, typed.class).ok_or_else(|| {
                format!(
                    "one of its values may be {} or {}",
                    class.named(),
                    typed.class.named()
                )
            })?;
            sqls.push(typed.sql);
        }
        if class == Class::Opaque {
            return Err(format!("it chooses among {}", class.named()));
        }
        Ok((sqls, class))
    }

    /// MySQL gives all of them the digits of the longest; PostgreSQL lets each keep its own.
    pub(super) fn scaled(&self, sql: &str, class: Class) -> Typed {
        match class {
            Class::Decimal { precision, scale } if self.is_into_postgres() => Typed::new(
                format!("CAST({sql} AS numeric({precision},{scale}))"),
                class,
            ),
            _ => Typed::new(format!("({sql})"), class),
        }
    }

    fn joined_texts(&mut self, left: &Expr, right: &Expr) -> Done<Typed> {
        self.concat(&[left, right])
    }

    fn arithmetic(&mut self, op: Op, left: &Expr, right: &Expr) -> Done<Typed> {
        let divisor_is_sure = matches!(right, Expr::Number(digits) if digits.bytes().any(|digit| matches!(digit, b'1'..=b'9')));
        let (one, other) = (self.value(left)?, self.value(right)?);
        let (symbol, class) = match op {
            Op::Plus => ("+", sum(one.class, other.class)),
            Op::Minus => ("-", sum(one.class, other.class)),
            Op::Times => ("*", product(one.class, other.class)),
            Op::WholeDivide | Op::Modulo | Op::Divide => {
                return self.divided(op, &one, &other, divisor_is_sure);
            }
            Op::Or | Op::And | Op::Compare(_) | Op::Join => ("", None),
        };
        let class = class.ok_or_else(|| {
            format!(
                "it calculates with {} and {}",
                one.class.named(),
                other.class.named()
            )
        })?;
        let left = match class {
            // MySQL calculates in 64 bits, and PostgreSQL in those of the larger type.
            Class::Int(_) if self.is_into_postgres() => format!("({})::bigint", one.sql),
            _ => one.sql,
        };
        Ok(Typed::new(
            format!("({left} {symbol} {})", other.sql),
            class,
        ))
    }

    /// A division by nothing is NULL to MySQL and an error to PostgreSQL, and quotients have other digits.
    fn divided(&mut self, op: Op, one: &Typed, other: &Typed, is_sure: bool) -> Done<Typed> {
        let are_whole = matches!((one.class, other.class), (Class::Int(a), Class::Int(b)) if a <= 64 && b <= 64);
        let is_whole = op != Op::Divide || !self.is_into_postgres();
        if are_whole && is_whole && is_sure {
            let symbol = match (op, self.is_into_postgres()) {
                (Op::Modulo, _) => "%",
                (_, true) => "/",
                (_, false) => "DIV",
            };
            return Ok(Typed::new(
                format!("({} {symbol} {})", one.sql, other.sql),
                one.class,
            ));
        }
        if op != Op::Divide || !one.class.is_number() || !other.class.is_number() {
            return Err(
                "it divides by what may be nothing, or by a number that is not whole".to_owned(),
            );
        }
        self.differs.insert(DIVIDES.to_owned());
        let sql = match (self.is_into_postgres(), are_whole) {
            (true, _) => format!("({}::numeric / NULLIF({}, 0))", one.sql, other.sql),
            (false, true) => format!("({} DIV {})", one.sql, other.sql),
            (false, false) => format!("({} / {})", one.sql, other.sql),
        };
        Ok(Typed::new(sql, Class::Opaque))
    }
}

pub(super) fn bool(sql: String) -> Typed {
    Typed::new(sql, Class::Bool)
}

/// A number as both engines read it: with an exponent it is exact in one and not in the other.
pub(super) fn number(digits: &str) -> Done<Typed> {
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    let (whole, behind) = plain.split_once('.').unwrap_or((plain, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(behind) || plain.len() > 60 {
        return Err(format!("it has the number {digits}"));
    }
    let length = |part: &str| u32::try_from(part.len()).unwrap_or(u32::MAX);
    let class = if plain.contains('.') {
        Class::Decimal {
            precision: length(whole) + length(behind),
            scale: length(behind),
        }
    } else if let Ok(value) = digits.parse::<i64>() {
        Class::Int(if i32::try_from(value).is_ok() { 32 } else { 64 })
    } else {
        return Err(format!("it has the number {digits}"));
    };
    let sql = if digits.starts_with('-') {
        format!("({digits})")
    } else {
        digits.to_owned()
    };
    Ok(Typed::new(sql, class))
}

/// MySQL keeps 65 digits, 30 of them behind the point.
fn within(precision: u32, scale: u32) -> Option<Class> {
    (precision <= 65 && scale <= 30).then_some(Class::Decimal { precision, scale })
}

fn floats(one: Class, other: Class) -> Option<Class> {
    let is_double = one == Class::Float64 || other == Class::Float64;
    let are_wide = one != Class::Float32 && other != Class::Float32;
    (is_double && are_wide && one.is_number() && other.is_number()).then_some(Class::Float64)
}

fn sum(one: Class, other: Class) -> Option<Class> {
    if let (Class::Int(one), Class::Int(other)) = (one, other) {
        return (one <= 64 && other <= 64).then_some(Class::Int(64));
    }
    let (Some(left), Some(right)) = (one.digits(), other.digits()) else {
        return floats(one, other);
    };
    let scale = left.1.max(right.1);
    within(
        left.0
            .saturating_sub(left.1)
            .max(right.0.saturating_sub(right.1))
            + scale
            + 1,
        scale,
    )
}

fn product(one: Class, other: Class) -> Option<Class> {
    if let (Class::Int(one), Class::Int(other)) = (one, other) {
        return (one <= 64 && other <= 64).then_some(Class::Int(64));
    }
    let (Some(left), Some(right)) = (one.digits(), other.digits()) else {
        return floats(one, other);
    };
    within(left.0 + right.0, left.1 + right.1)
}
