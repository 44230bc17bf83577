//! Casts that change no value, and those that both engines make alike.

use super::ast::Expr;
use super::class::{Agrees, Class, Digits};
use super::dates;
use super::expr::number;
use super::query::{Converter, Done, Typed};

impl Converter<'_> {
    pub(super) fn cast(&mut self, value: &Expr, ty: &str) -> Done<Typed> {
        if let Expr::Text(text) = value {
            return self.constant(text, ty);
        }
        let typed = self.value(value)?;
        let class = typed.class;
        let refused = || format!("it makes {} of {}", ty, class.named());
        match (class, ty) {
            (Class::Null, _)
            | (Class::Text(_), "text" | "character varying")
            | (Class::Timestamp, "timestamp without time zone") => Ok(typed),
            (Class::Enum, "text" | "character varying") => {
                Ok(Typed::new(typed.sql, Class::Text(Agrees::Exactly)))
            }
            (Class::Int { bits, .. }, "smallint" | "integer" | "bigint" | "signed")
                if bits <= whole_bits(ty) =>
            {
                Ok(Typed::new(typed.sql, Class::int(whole_bits(ty))))
            }
            (Class::Int { .. } | Class::Decimal(_), "numeric") => {
                let digits = class.digits().ok_or_else(refused)?;
                Ok(Typed::new(typed.sql, Class::Decimal(digits)))
            }
            (Class::Int { .. } | Class::Decimal(_), _) if sizes(ty).is_some() => {
                let (own, digits) = class.digits().zip(sizes(ty)).ok_or_else(refused)?;
                // What does not fit is cut by one and refused by the other.
                if digits.whole() < own.whole() + 1 {
                    return Err(refused());
                }
                let word = if self.is_into_postgres() {
                    "numeric"
                } else {
                    "decimal"
                };
                let sql = format!(
                    "CAST({} AS {word}({},{}))",
                    typed.sql, digits.precision, digits.scale
                );
                Ok(Typed::new(sql, Class::Decimal(digits)))
            }
            (Class::Date | Class::Timestamp, "date") => Ok(Typed::new(
                format!("CAST({} AS date)", typed.sql),
                Class::Date,
            )),
            (Class::Date, "timestamp without time zone") => Ok(Typed::new(
                format!("CAST({} AS datetime)", typed.sql),
                Class::Timestamp,
            )),
            _ => Err(refused()),
        }
    }

    /// A constant of a type, as PostgreSQL prints all that are no plain numbers.
    fn constant(&mut self, text: &str, ty: &str) -> Done<Typed> {
        match ty {
            "text" | "character varying" => self.text(text),
            "smallint" | "integer" | "bigint" | "numeric" => number(text),
            "date" => dates::constant(text, Class::Date),
            "timestamp without time zone" => dates::constant(text, Class::Timestamp),
            _ => Err(format!("it has a constant of the type {ty}")),
        }
    }
}

fn whole_bits(ty: &str) -> u8 {
    match ty {
        "smallint" => 16,
        "integer" => 32,
        _ => 64,
    }
}

/// Digits of a decimal type.
fn sizes(ty: &str) -> Option<Digits> {
    let inner = ty
        .strip_prefix("numeric(")
        .or_else(|| ty.strip_prefix("decimal("))?;
    let inner = inner.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    Digits::fixed(precision, scale).filter(|digits| digits.precision == precision)
}
