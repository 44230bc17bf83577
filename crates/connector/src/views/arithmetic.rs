//! Sums, products and quotients.
//!
//! MySQL calculates with whole numbers in 64 bits, with a sign or, where one of the two has none, without; what does not fit is an error. PostgreSQL calculates in the
//! type of the larger of the two. So that each row which the source shows has its number at the target too, PostgreSQL is told to calculate in `bigint`, or in
//! `numeric` where numbers without a sign may leave that.

use super::DIVIDES;
use super::ast::{Expr, Op};
use super::class::{Class, Digits};
use super::query::{Converter, Done, Typed};

/// The bits of `bigint`.
const BIGINT: u8 = 64;

impl Converter<'_> {
    pub(super) fn arithmetic(&mut self, op: Op, left: &Expr, right: &Expr) -> Done<Typed> {
        let (one, other) = (self.value(left)?, self.value(right)?);
        let (symbol, class) = match op {
            Op::Plus => ("+", sum(one.class, other.class)),
            Op::Minus => ("-", sum(one.class, other.class)),
            Op::Times => ("*", product(one.class, other.class)),
            Op::WholeDivide | Op::Modulo | Op::Divide => {
                return self.divided(op, &one, &other, is_sure(right));
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
        let left = self.widened(&one.sql, class);
        Ok(Typed::new(
            format!("({left} {symbol} {})", other.sql),
            class,
        ))
    }

    /// A value in the type in which whole numbers of a class are calculated.
    fn widened(&self, sql: &str, class: Class) -> String {
        match class {
            Class::Int { bits, .. } if self.is_into_postgres() && bits > BIGINT => {
                format!("({sql})::numeric")
            }
            Class::Int { .. } if self.is_into_postgres() => format!("({sql})::bigint"),
            _ => sql.to_owned(),
        }
    }

    pub(super) fn negative(&mut self, value: &Expr) -> Done<Typed> {
        let value = self.value(value)?;
        let class = other_sign(value.class)
            .ok_or_else(|| format!("it takes {} for a number", value.class.named()))?;
        let sql = self.widened(&value.sql, class);
        Ok(Typed::new(format!("(- {sql})"), class))
    }

    /// Without its sign.
    pub(super) fn absolute(&mut self, value: &Typed) -> Done<Typed> {
        let class = match value.class {
            Class::Int {
                is_unsigned: true, ..
            }
            | Class::Decimal(_) => Some(value.class),
            class @ Class::Int { .. } => other_sign(class),
            _ => None,
        };
        let class = class.ok_or_else(|| format!("it has abs of {}", value.class.named()))?;
        Ok(Typed::new(
            format!("ABS({})", self.widened(&value.sql, class)),
            class,
        ))
    }

    /// A division by nothing is NULL to MySQL and an error to PostgreSQL, and quotients have other digits.
    fn divided(&mut self, op: Op, one: &Typed, other: &Typed, is_sure: bool) -> Done<Typed> {
        let bits = |class: Class| match class {
            Class::Int { bits, .. } => Some(bits).filter(|bits| *bits <= BIGINT),
            _ => None,
        };
        let are_whole = bits(one.class).zip(bits(other.class)).is_some();
        let is_whole = op != Op::Divide || !self.is_into_postgres();
        if are_whole && is_whole && is_sure {
            let symbol = match (op, self.is_into_postgres()) {
                (Op::Modulo, _) => "%",
                (_, true) => "/",
                (_, false) => "DIV",
            };
            // The smallest number of a type divided by -1 is none of it.
            let class = other_sign(one.class).unwrap_or(one.class);
            let left = self.widened(&one.sql, class);
            return Ok(Typed::new(
                format!("({left} {symbol} {})", other.sql),
                class,
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

/// Whether a divisor is a number that is not nothing.
fn is_sure(divisor: &Expr) -> bool {
    matches!(divisor, Expr::Number(digits) if digits.bytes().any(|digit| matches!(digit, b'1'..=b'9')))
}

/// Of a number with the other sign.
fn other_sign(class: Class) -> Option<Class> {
    match class {
        Class::Int { bits, .. } if bits <= BIGINT => Some(Class::int((bits + 1).min(BIGINT))),
        Class::Decimal(_) | Class::Float32 | Class::Float64 => Some(class),
        _ => None,
    }
}

/// What is calculated of two kinds of whole numbers, of which the result may have so many bits.
fn whole(one: Class, other: Class, result: impl Fn(u8, u8) -> u8) -> Option<Class> {
    let (
        Class::Int {
            bits: one,
            is_unsigned,
        },
        Class::Int {
            bits: other,
            is_unsigned: is_other,
        },
    ) = (one, other)
    else {
        return None;
    };
    let is_unsigned = is_unsigned || is_other;
    let is_wide = one > BIGINT || other > BIGINT || is_unsigned;
    let bits = result(one, other).min(if is_wide { BIGINT + 1 } else { BIGINT });
    Some(Class::Int { bits, is_unsigned })
}

fn floats(one: Class, other: Class) -> Option<Class> {
    let is_double = one == Class::Float64 || other == Class::Float64;
    let are_wide = one != Class::Float32 && other != Class::Float32;
    (is_double && are_wide && one.is_number() && other.is_number()).then_some(Class::Float64)
}

fn sum(one: Class, other: Class) -> Option<Class> {
    if let Some(class) = whole(one, other, |one, other| one.max(other) + 1) {
        return Some(class);
    }
    match (one.digits(), other.digits()) {
        (Some(one), Some(other)) => one.with(other, 1).map(Class::Decimal),
        _ => floats(one, other),
    }
}

fn product(one: Class, other: Class) -> Option<Class> {
    if let Some(class) = whole(one, other, |one, other| one + other) {
        return Some(class);
    }
    match (one.digits(), other.digits()) {
        (Some(one), Some(other)) => {
            let digits = Digits {
                precision: one.precision + other.precision,
                scale: one.scale + other.scale,
                are_fixed: one.are_fixed && other.are_fixed,
            };
            digits.within().map(Class::Decimal)
        }
        _ => floats(one, other),
    }
}
