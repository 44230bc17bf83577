//! Values and conditions in the SQL of the target.

use super::TEXTS_AGREE;
use super::ast::{Expr, Is, Op, Query};
use super::class::{Agrees, Class, Digits, common};
use super::dates;
use super::query::{Converter, Done, Typed};

/// Of one value. What is compared with several stands beside each of them, and such values within one another grow fast.
const TEXT_BYTES_MAX: usize = 1 << 20;
const SOME_EXACT: &str =
    "it compares a number with others, of which some are exact and some are not";

impl Converter<'_> {
    /// A value: to MySQL a condition is a number, which PostgreSQL has to be told.
    pub(super) fn value(&mut self, value: &Expr) -> Done<Typed> {
        let typed = self.any(value)?;
        if typed.class == Class::Bool && self.is_into_postgres() {
            return Ok(Typed::new(
                format!("({})::integer", typed.sql),
                Class::int(32),
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
        let typed = self.of_any_kind(value)?;
        if typed.sql.len() > TEXT_BYTES_MAX {
            return Err("its text would be too long here".to_owned());
        }
        Ok(typed)
    }

    fn of_any_kind(&mut self, value: &Expr) -> Done<Typed> {
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
            Expr::Negative(value) => self.negative(value),
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
            Expr::Between(value, ends, is) => self.between(value, ends, *is),
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
        let (one, other) = (self.value(left)?, self.value(right)?);
        self.paired((left, &one), (right, &other), is_order)
    }

    /// The same of values that were converted already.
    pub(super) fn paired(
        &mut self,
        (left, one): (&Expr, &Typed),
        (right, other): (&Expr, &Typed),
        is_order: bool,
    ) -> Done<(String, String)> {
        // A constant in quotes is what it is compared with.
        let one = dates::read(one, other.class, left)?;
        let other = dates::read(other, one.class, right)?;
        self.comparable(one.class, other.class, is_order)?;
        Ok((one.sql, other.sql))
    }

    /// A value and those that it is compared with, one after another. A constant in quotes is one thing in all of them.
    fn paired_with_all(
        &mut self,
        value: &Expr,
        others: &[&Expr],
        is_order: bool,
    ) -> Done<(Typed, Vec<Typed>)> {
        let mut first = self.value(value)?;
        let plain = first.clone();
        let mut all = Vec::with_capacity(others.len());
        for (place, other) in others.iter().enumerate() {
            let typed = self.value(other)?;
            let (sql, other) = self.paired((value, &plain), (other, &typed), is_order)?;
            if place > 0 && sql != first.sql {
                return Err("it compares one constant with values of several types".to_owned());
            }
            first.sql = sql;
            all.push(Typed::new(other, typed.class));
        }
        Ok((first, all))
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
        let list: Vec<&Expr> = list.iter().collect();
        let (mut value, mut items) = self.paired_with_all(value, &list, false)?;
        let has_floats = items.iter().any(|item| item.class.is_float());
        if self.is_into_postgres() && value.class.is_float() {
            // Of a list it makes one type, in which decimals are rounded; MySQL compares with each for itself, in double precision.
            for one in items.iter_mut().chain([&mut value]) {
                one.sql = format!("({})::double precision", one.sql);
            }
        } else if has_floats && self.is_into_postgres() {
            return Err(SOME_EXACT.to_owned());
        }
        let items: Vec<&str> = items.iter().map(|item| item.sql.as_str()).collect();
        Ok(bool(format!(
            "({}{} IN ({}))",
            value.sql,
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

    fn between(&mut self, value: &Expr, ends: &[Expr; 2], is: Is) -> Done<Typed> {
        let [low, high] = ends;
        let (value, ends) = self.paired_with_all(value, &[low, high], true)?;
        let all = ends.iter().chain([&value]);
        let floats = all.filter(|one| one.class.is_float()).count();
        if self.is_into_postgres() && floats % 3 != 0 {
            // MySQL makes all three of one type, and PostgreSQL two at a time.
            return Err(SOME_EXACT.to_owned());
        }
        Ok(bool(format!(
            "({}{} BETWEEN {} AND {})",
            value.sql,
            is.word(),
            ends[0].sql,
            ends[1].sql
        )))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        arms: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Done<Typed> {
        let whens: Vec<&Expr> = arms.iter().map(|(when, _)| when).collect();
        let whens: Vec<String> = if let Some(operand) = operand {
            let (value, whens) = self.paired_with_all(operand, &whens, false)?;
            let equal = whens
                .iter()
                .map(|when| format!("{} = {}", value.sql, when.sql));
            equal.collect()
        } else {
            let conditions = whens.iter().map(|when| self.condition(when));
            conditions.collect::<Done<_>>()?
        };
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

    /// MySQL gives all of them the digits of the longest, but for those that `IF` and `CASE` make a text of; PostgreSQL lets each keep its own.
    pub(super) fn scaled(&self, sql: &str, class: Class) -> Typed {
        match class {
            Class::Decimal(digits) if self.is_into_postgres() => Typed::new(
                format!(
                    "CAST({sql} AS numeric({},{}))",
                    digits.precision, digits.scale
                ),
                class,
            ),
            _ => Typed::new(format!("({sql})"), class),
        }
    }

    fn joined_texts(&mut self, left: &Expr, right: &Expr) -> Done<Typed> {
        self.concat(&[left, right])
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
    let unknown = || format!("it has the number {digits}");
    let length = |part: &str| u32::try_from(part.len()).unwrap_or(u32::MAX);
    let class = if plain.contains('.') {
        let digits = Digits::fixed(length(whole) + length(behind), length(behind));
        Class::Decimal(digits.ok_or_else(unknown)?)
    } else {
        let value: i64 = digits.parse().map_err(|_| unknown())?;
        Class::int(if i32::try_from(value).is_ok() { 32 } else { 64 })
    };
    let sql = if digits.starts_with('-') {
        format!("({digits})")
    } else {
        digits.to_owned()
    };
    Ok(Typed::new(sql, class))
}
