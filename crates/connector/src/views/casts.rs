//! Casts that change no value, and those that both engines make alike.

use super::ast::Expr;
use super::class::{Agrees, Class};
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
        let refused = || Err(format!("it makes {} of {}", ty, class.named()));
        match (class, ty) {
            (Class::Null, _)
            | (Class::Text(_), "text" | "character varying")
            | (Class::Timestamp, "timestamp without time zone") => Ok(typed),
            (Class::Enum, "text" | "character varying") => {
                Ok(Typed::new(typed.sql, Class::Text(Agrees::Exactly)))
            }
            (Class::Int(bits), "smallint" | "integer" | "bigint" | "signed")
                if bits <= whole_bits(ty) =>
            {
                Ok(Typed::new(typed.sql, Class::Int(whole_bits(ty))))
            }
            (Class::Int(_) | Class::Decimal { .. }, "numeric") => {
                let Some((precision, scale)) = class.digits() else {
                    return refused();
                };
                Ok(Typed::new(typed.sql, Class::Decimal { precision, scale }))
            }
            (Class::Int(_) | Class::Decimal { .. }, _) if sizes(ty).is_some() => {
                let own = class.digits();
                let Some(((precision, scale), own)) = sizes(ty).zip(own) else {
                    return refused();
                };
                // What does not fit is cut by one and refused by the other.
                if precision - scale < own.0 - own.1 + 1 {
                    return refused();
                }
                let word = if self.is_into_postgres() {
                    "numeric"
                } else {
                    "decimal"
                };
                let sql = format!("CAST({} AS {word}({precision},{scale}))", typed.sql);
                Ok(Typed::new(sql, Class::Decimal { precision, scale }))
            }
            (Class::Date | Class::Timestamp, "date") => Ok(Typed::new(
                format!("CAST({} AS date)", typed.sql),
                Class::Date,
            )),
            (Class::Date, "timestamp without time zone") => Ok(Typed::new(
                format!("CAST({} AS datetime)", typed.sql),
                Class::Timestamp,
            )),
            _ => refused(),
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

/// Digits of a decimal type, in all and behind the point.
fn sizes(ty: &str) -> Option<(u32, u32)> {
    let inner = ty
        .strip_prefix("numeric(")
        .or_else(|| ty.strip_prefix("decimal("))?;
    let inner = inner.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let sizes: (u32, u32) = (precision.parse().ok()?, scale.parse().ok()?);
    (sizes.1 <= 30 && sizes.0 <= 65 && sizes.1 <= sizes.0).then_some(sizes)
}
