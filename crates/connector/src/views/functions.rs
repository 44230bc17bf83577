//! Functions that both engines have, under whatever names.

use super::ast::{Expr, Order};
use super::class::{Agrees, Class, Digits};
use super::expr::number;
use super::query::{Converter, Done, Typed};
use super::{AVERAGES, GATHERS, LETTERS, TEXTS_AGREE};
use crate::expression::Dialect;

impl Converter<'_> {
    pub(super) fn call(&mut self, call: &Expr) -> Done<Typed> {
        let Expr::Call {
            name,
            arguments,
            is_distinct,
            gathers,
        } = call
        else {
            return Err("it is no function".to_owned());
        };
        let name = canonical(name, self.from);
        let gathers = gathers.as_ref();
        if name == "gather" {
            return self.gather(arguments, *is_distinct, gathers);
        }
        if gathers.is_some() {
            return Err(format!("it has {name} with an order"));
        }
        if let Some(aggregate) = self.aggregate(name, arguments, *is_distinct)? {
            return Ok(aggregate);
        }
        if *is_distinct {
            return Err(format!("it has {name} of distinct values"));
        }
        let arguments: Vec<&Expr> = arguments.iter().collect();
        match (name, &arguments[..]) {
            ("concat", parts @ [_, ..]) if self.is_into_postgres() => self.concat(parts),
            ("concat", parts @ [_, ..]) => self.concat_ws(&Expr::Text(String::new()), parts),
            ("concat_ws", [separator, parts @ ..]) if !parts.is_empty() => {
                self.concat_ws(separator, parts)
            }
            ("coalesce" | "ifnull", values @ [_, _, ..]) => {
                let (values, class) = self.alike(values)?;
                let sql = format!("COALESCE({})", values.join(", "));
                Ok(self.scaled(&sql, class))
            }
            ("if", [condition, yes, no]) => {
                let condition = self.condition(condition)?;
                let (values, class) = self.alike(&[yes, no])?;
                let sql = format!(
                    "CASE WHEN {condition} THEN {} ELSE {} END",
                    values[0], values[1]
                );
                Ok(self.scaled(&sql, class))
            }
            ("nullif", [left, right]) => {
                let (value, other) = (self.value(left)?, self.value(right)?);
                let (one, other) = self.paired((left, &value), (right, &other), false)?;
                if one != value.sql {
                    return Err("it has nullif of a constant".to_owned());
                }
                Ok(Typed::new(format!("NULLIF({one}, {other})"), value.class))
            }
            ("extract", [Expr::Text(field), value]) => self.part_of_date(field, value),
            ("year" | "month" | "day" | "hour" | "minute", [value]) => {
                self.part_of_date(name, value)
            }
            ("date", [value]) => self.cast(value, "date"),
            ("abs" | "ceil" | "floor" | "round", [value, places @ ..]) => {
                self.rounded(name, value, places)
            }
            _ => self.of_text(name, &arguments),
        }
    }

    fn aggregate(
        &mut self,
        name: &str,
        arguments: &[Expr],
        is_distinct: bool,
    ) -> Done<Option<Typed>> {
        let distinct = if is_distinct { "DISTINCT " } else { "" };
        let typed = match (name, arguments) {
            // MySQL prints `count(0)`.
            ("count", [] | [Expr::Number(_)]) if !is_distinct => {
                Typed::new("COUNT(*)", Class::int(64))
            }
            ("count", [value]) => {
                let value = self.value(value)?;
                match value.class.agrees() {
                    None if is_distinct => {
                        return Err(format!("it counts {}", value.class.named()));
                    }
                    Some(false) if is_distinct => {
                        self.differs.insert(TEXTS_AGREE.to_owned());
                    }
                    _ => {}
                }
                Typed::new(format!("COUNT({distinct}{})", value.sql), Class::int(64))
            }
            ("sum", [value]) => {
                let value = self.value(value)?;
                let digits = value.class.digits().and_then(|digits| {
                    let precision = digits.precision + 22;
                    let more = Digits {
                        precision,
                        ..digits
                    };
                    more.within()
                });
                let digits = digits.ok_or_else(|| format!("it adds up {}", value.class.named()))?;
                // PostgreSQL has whole numbers in `bigint`, in which it would calculate on.
                let ty = if self.is_into_postgres() && matches!(value.class, Class::Int { .. }) {
                    "::numeric"
                } else {
                    ""
                };
                Typed::new(
                    format!("SUM({distinct}{}){ty}", value.sql),
                    Class::Decimal(digits),
                )
            }
            ("min" | "max", [value]) => {
                let value = self.value(value)?;
                let is_ordered = value.class.is_number()
                    || matches!(value.class, Class::Date | Class::Timestamp);
                if !is_ordered {
                    return Err(format!("it has the {name} of {}", value.class.named()));
                }
                Typed::new(
                    format!("{}({})", name.to_uppercase(), value.sql),
                    value.class,
                )
            }
            ("avg", [value]) => {
                let value = self.value(value)?;
                self.differs.insert(AVERAGES.to_owned());
                Typed::new(format!("AVG({distinct}{})", value.sql), Class::Opaque)
            }
            _ => return Ok(None),
        };
        Ok(Some(typed))
    }

    /// `GROUP_CONCAT` and `string_agg`.
    fn gather(
        &mut self,
        arguments: &[Expr],
        is_distinct: bool,
        gathers: Option<&(Vec<Order>, String)>,
    ) -> Done<Typed> {
        self.differs.insert(GATHERS.to_owned());
        let (value, separator) = match (arguments, gathers) {
            ([value], Some((_, separator))) if self.from == Dialect::MySql => {
                (value, separator.clone())
            }
            ([value, separator], _) if self.from == Dialect::Postgres => match separator {
                Expr::Text(text) => (value, text.clone()),
                Expr::Cast(inner, _) => match &**inner {
                    Expr::Text(text) => (value, text.clone()),
                    _ => return Err("it gathers texts with what is no constant".to_owned()),
                },
                _ => return Err("it gathers texts with what is no constant".to_owned()),
            },
            _ => return Err("it gathers more than one value".to_owned()),
        };
        let value = self.as_text(value)?;
        let mut order = Vec::new();
        for one in gathers.iter().flat_map(|(order, _)| order) {
            let sql = self.value(&one.value)?.sql;
            order.push(self.ordered(&sql, one));
        }
        let order = if order.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", order.join(", "))
        };
        let distinct = if is_distinct { "DISTINCT " } else { "" };
        let separator = self.literal(&separator);
        let sql = if self.is_into_postgres() {
            format!("string_agg({distinct}{}, {separator}{order})", value.sql)
        } else {
            format!(
                "GROUP_CONCAT({distinct}{}{order} SEPARATOR {separator})",
                value.sql
            )
        };
        Ok(Typed::new(sql, value.class))
    }

    /// A text, or a number as both write it.
    fn as_text(&mut self, value: &Expr) -> Done<Typed> {
        let typed = self.value(value)?;
        match typed.class {
            Class::Text(_) | Class::Null => Ok(typed),
            Class::Decimal(digits) if !digits.are_fixed => Err(
                "it makes a text of numbers that have more digits behind the point here".to_owned(),
            ),
            Class::Int { .. } | Class::Decimal(_) => {
                let sql = if self.is_into_postgres() {
                    format!("({})::text", typed.sql)
                } else {
                    typed.sql
                };
                Ok(Typed::new(sql, Class::Text(Agrees::AsOther)))
            }
            class => Err(format!("it makes a text of {}", class.named())),
        }
    }

    fn texts(&mut self, parts: &[&Expr]) -> Done<(Vec<String>, Agrees)> {
        let mut agrees = Agrees::AsOther;
        let mut sqls = Vec::with_capacity(parts.len());
        for part in parts {
            let part = self.as_text(part)?;
            if let Class::Text(own) = part.class {
                agrees = agrees.with(own);
            }
            sqls.push(part.sql);
        }
        Ok((sqls, agrees))
    }

    /// Texts in a row; NULL where one is.
    pub(super) fn concat(&mut self, parts: &[&Expr]) -> Done<Typed> {
        let (parts, agrees) = self.texts(parts)?;
        let sql = if self.is_into_postgres() {
            format!("({})", parts.join(" || "))
        } else {
            format!("CONCAT({})", parts.join(", "))
        };
        Ok(Typed::new(sql, Class::Text(agrees)))
    }

    /// Texts in a row, those that are NULL left out.
    fn concat_ws(&mut self, separator: &Expr, parts: &[&Expr]) -> Done<Typed> {
        let mut all = vec![separator];
        all.extend(parts.iter().copied());
        let (all, agrees) = self.texts(&all)?;
        let sql = format!("concat_ws({})", all.join(", "));
        Ok(Typed::new(sql, Class::Text(agrees)))
    }

    fn part_of_date(&mut self, field: &str, value: &Expr) -> Done<Typed> {
        let value = self.value(value)?;
        let has = match value.class {
            Class::Date => matches!(field, "year" | "month" | "day"),
            Class::Timestamp => matches!(field, "year" | "month" | "day" | "hour" | "minute"),
            _ => false,
        };
        if !has {
            return Err(format!("it takes {field} of {}", value.class.named()));
        }
        let sql = format!("EXTRACT({field} FROM {})", value.sql);
        if self.is_into_postgres() {
            return Ok(Typed::new(format!("({sql})::integer"), Class::int(32)));
        }
        // In PostgreSQL it is a `numeric`, of which a quotient has digits behind the point.
        let digits = Digits::fixed(10, 0).map(Class::Decimal);
        Ok(Typed::new(sql, digits.unwrap_or(Class::Opaque)))
    }

    fn rounded(&mut self, name: &str, value: &Expr, places: &[&Expr]) -> Done<Typed> {
        let value = self.value(value)?;
        let unknown = || format!("it has {name} of {}", value.class.named());
        if name == "abs" && places.is_empty() {
            return self.absolute(&value);
        }
        let Class::Decimal(digits) = value.class else {
            return Err(unknown());
        };
        let (sql, scale) = match (name, places) {
            ("ceil" | "floor" | "round", []) => (format!("{name}({})", value.sql), 0),
            ("round", [Expr::Number(places)]) => {
                let places = places.parse().ok().filter(|places| *places <= digits.scale);
                let places = places.ok_or_else(unknown)?;
                (format!("round({}, {places})", value.sql), places)
            }
            _ => return Err(unknown()),
        };
        let digits = Digits::fixed(digits.whole() + 1 + scale, scale);
        Ok(Typed::new(sql, Class::Decimal(digits.ok_or_else(unknown)?)))
    }

    fn of_text(&mut self, name: &str, arguments: &[&Expr]) -> Done<Typed> {
        let unknown = || Err(format!("the function {name} is not converted"));
        let Some((first, rest)) = arguments.split_first() else {
            return unknown();
        };
        let counts = || {
            rest.iter()
                .map(|count| counted(count))
                .collect::<Option<Vec<u32>>>()
        };
        let sql = match (name, rest.len()) {
            ("char_length" | "upper" | "lower" | "trim" | "ltrim" | "rtrim", 0)
            | ("replace", 2) => None,
            ("substr", 1 | 2) if counts().is_some_and(|counts| counts[0] > 0) => counts(),
            ("left" | "right", 1) if counts().is_some() => counts(),
            _ => return unknown(),
        };
        let text = self.value(first)?;
        let Class::Text(agrees) = text.class else {
            return Err(format!("it has {name} of {}", text.class.named()));
        };
        let class = Class::Text(agrees);
        if let Some(counts) = sql {
            let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
            let sql = format!("{name}({}, {})", text.sql, counts.join(", "));
            return Ok(Typed::new(sql, class));
        }
        match name {
            "char_length" => Ok(Typed::new(
                format!("char_length({})", text.sql),
                Class::int(32),
            )),
            "replace" => {
                let (others, more) = self.texts(rest)?;
                let sql = format!("replace({}, {})", text.sql, others.join(", "));
                Ok(Typed::new(sql, Class::Text(agrees.with(more))))
            }
            "upper" | "lower" => {
                self.differs.insert(LETTERS.to_owned());
                Ok(Typed::new(format!("{name}({})", text.sql), class))
            }
            _ => Ok(Typed::new(format!("{name}({})", text.sql), class)),
        }
    }
}

/// One name for what has another in each engine, where it means the same.
fn canonical(name: &str, from: Dialect) -> &str {
    match (from, name) {
        (Dialect::MySql, "group_concat") | (Dialect::Postgres, "string_agg") => "gather",
        (Dialect::MySql, "ucase") => "upper",
        (Dialect::MySql, "lcase") => "lower",
        (Dialect::MySql, "character_length") | (Dialect::Postgres, "length") => "char_length",
        // Of MySQL it counts bytes, which are others in another character set.
        (Dialect::MySql, "length") => "the length in bytes",
        (Dialect::MySql, "dayofmonth") => "day",
        (_, "ceiling") => "ceil",
        (_, "substring") | (Dialect::MySql, "mid") => "substr",
        (Dialect::Postgres, "btrim") => "trim",
        // Functions of the other engine have other meanings under these names, or are a user's.
        (Dialect::Postgres, "if" | "ifnull" | "year" | "month" | "day" | "hour" | "minute") => {
            "of a user"
        }
        (_, name) => name,
    }
}

/// A number of characters.
fn counted(value: &Expr) -> Option<u32> {
    match value {
        Expr::Number(digits) => {
            number(digits).ok()?;
            digits.parse().ok()
        }
        _ => None,
    }
}
