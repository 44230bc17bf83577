//! Views in the SQL of another engine.
//!
//! A view is converted where no part of it is known to mean something else at the target, whatever the rows of its tables are. Its text, as the source's server prints it, is read by
//! a grammar that knows little, and written anew from what was read: what is not known here cannot be passed on. The types of the columns
//! decide whether an operation means the same; where it does not, the view is not made, and the converted text is what a person begins from.
//!
//! - **Texts** agree by the collation of the source: what compares, groups or counts them is converted only where both servers compare characters.
//! - **Conditions** are numbers to MySQL and nothing of the kind to PostgreSQL: each is cast, or compared with zero, where the other is wanted.
//! - **Whole numbers** are calculated with in 64 bits by MySQL, and so they are in PostgreSQL by a cast. Quotients have other digits and other ideas of nothing.
//! - **NULLs** are put where the source puts them: an order says so in full.
//! - **Loose groups**: what a group does not decide, PostgreSQL refuses; its own views are strict.
//!
//! A transpiler of many dialects (`sqlparser` was tried: 26 s of one core to build) reads more, and says of none of it whether it means the same.

mod arithmetic;
mod ast;
mod casts;
mod class;
mod dates;
mod expr;
mod functions;
mod groups;
mod head;
mod operators;
mod parser;
mod query;
mod reads;
mod shapes;
mod spell;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;

use whimbrel_core::TableName;

use self::ast::Query;
use self::head::Head;
use self::parser::Parser;
use self::query::{Converter, columns_of};
pub use self::reads::{ReadTable, Reads};
use self::shapes::{Origin, Shape, Shapes};
use crate::TargetTable;
use crate::expression::Dialect;
use crate::expression::lexer::{self, Token};

const TEXTS_AGREE: &str = "it compares, groups or counts texts, of which some are one by the rules of the one server (upper and lower case, accents, trailing spaces) and differ at the other";
const LIMITS: &str = "LIMIT takes some of the rows, and where these are equal in their order, each server takes others";
const DIVIDES: &str = "it divides: quotients have other digits here, and a division by nothing is NULL to one server and an error to the other";
const AVERAGES: &str = "averages have other digits here";
const GATHERS: &str =
    "it gathers texts of many rows, which MySQL and MariaDB cut at group_concat_max_len";
const LETTERS: &str = "upper and lower case of letters beyond ASCII depend on the server's locale";
const ORDERS_TEXTS: &str = "its order is that of this server's collation";
const OWNER: &str = "it reads with the rights of the migration's user";

/// A view in the target's SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Its place at the target.
    pub name: TableName,
    /// Why it may show other rows than the source's; empty: it shows the same.
    pub differs: Vec<String>,
    /// What is not the same besides.
    pub notes: Vec<&'static str>,
    /// Its query.
    pub query: String,
    /// What that reads.
    pub reads: Reads,
    /// Whose rights it reads with, in MySQL's words.
    security: &'static str,
    /// What stands behind its name.
    tail: String,
    place: String,
}

impl Converted {
    /// The statement that makes it.
    pub fn statement(&self) -> String {
        self.made_as("CREATE", &self.place)
    }

    /// The statement that makes it over what has its name.
    pub fn over(&self) -> String {
        self.made_as("CREATE OR REPLACE", &self.place)
    }

    /// The statement with other words before, and another name, which is quoted.
    pub fn made_as(&self, create: &str, place: &str) -> String {
        format!("{create} {}VIEW {place}{}", self.security, self.tail)
    }
}

/// Converts views one after another, each behind those that it reads.
#[derive(Debug)]
pub struct Views {
    from: Dialect,
    shapes: Shapes,
    homes: HashMap<String, Option<String>>,
}

impl Views {
    /// Of a source of one dialect for the other, with the tables of the migration.
    pub fn new(tables: &[TargetTable], from: Dialect) -> Self {
        let mut homes: HashMap<String, Option<String>> = HashMap::new();
        for table in tables {
            let home = &table.name.schema;
            homes
                .entry(table.source.name.schema.clone())
                .and_modify(|known| {
                    if known.as_ref() != Some(home) {
                        *known = None;
                    }
                })
                .or_insert_with(|| Some(home.clone()));
        }
        Self {
            from,
            shapes: Shapes::of(tables, from),
            homes,
        }
    }

    /// Converts a view. `text` is the statement that makes it at the source; `schema` is where names without one are.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub fn convert(&mut self, text: &str, schema: Option<&str>) -> Result<Converted, String> {
        let tokens = lexer::tokens(text, self.from).ok_or(
            "its text has what is not read here: constants or operators of its engine alone",
        )?;
        let head = Head::read(&tokens, self.from)?;
        let schema = head.schema.as_deref().or(schema).unwrap_or_default();
        let name = TableName::new(schema, &head.name);
        let converted = self.convert_named(&tokens, &head, &name);
        let shape = match &converted {
            Ok((view, shape)) if view.differs.is_empty() => Ok(shape.clone()),
            Ok(_) => Err("that may show other rows here".to_owned()),
            Err(_) => Err("that is not converted".to_owned()),
        };
        self.shapes.add(&name, shape);
        converted.map(|(view, _)| view)
    }

    fn convert_named(
        &self,
        tokens: &[Token],
        head: &Head,
        name: &TableName,
    ) -> Result<(Converted, Shape), String> {
        let home = match self.homes.get(&name.schema) {
            Some(Some(home)) => home,
            Some(None) => {
                return Err(format!(
                    "the tables of {} go to several schemas",
                    name.schema
                ));
            }
            None => return Err(format!("no table of {} is migrated", name.schema)),
        };
        let target = TableName::new(home, &name.name);
        let mut query = Parser::new(&tokens[head.body..], self.from).whole()?;
        if let Some(columns) = &head.columns {
            rename(&mut query, columns)?;
        }
        if query.first.items.iter().any(|item| item.name.is_none()) {
            return Err("a column of it has no name in its text".to_owned());
        }
        let mut converter = Converter::new(self.from, &self.shapes, &name.schema);
        if let Some(why) = converter.refuses_name(&target.name) {
            return Err(why);
        }
        let (sql, outputs) = converter.query(&query)?;
        let names: Vec<String> = outputs
            .iter()
            .map(|one| converter.quoted(&one.name))
            .collect();
        let place = converter.quoted_table(&target);
        let (security, option) = security(head, self.from);
        if !head.is_invokers {
            converter.notes.insert(OWNER);
        }
        let view = Converted {
            name: target.clone(),
            differs: converter.differs.into_iter().collect(),
            notes: converter.notes.into_iter().collect(),
            security,
            tail: format!(" ({}){option} AS {sql}", names.join(", ")),
            query: sql,
            reads: converter.reads,
            place,
        };
        let shape = Shape {
            name: target,
            columns: columns_of(&outputs),
            key: Vec::new(),
            origin: Origin::View,
        };
        Ok((view, shape))
    }
}

/// Gives the columns of a query the names that the view has for them.
fn rename(query: &mut Query, columns: &[String]) -> Result<(), String> {
    let items = &mut query.first.items;
    if columns.len() != items.len() {
        return Err("it has another number of columns than its query".to_owned());
    }
    if columns
        .iter()
        .map(Some)
        .eq(items.iter().map(|item| item.name.as_ref()))
    {
        return Ok(());
    }
    // Where an order names a column by its own name, that is another one now.
    if !query.order.is_empty() || query.first.having.is_some() {
        return Err("it gives columns of an ordered query other names".to_owned());
    }
    for (item, name) in items.iter_mut().zip(columns) {
        item.name = Some(name.clone());
    }
    Ok(())
}

/// Whose rights a view reads with, before its word and behind its columns.
fn security(head: &Head, from: Dialect) -> (&'static str, &'static str) {
    match (from, head.is_invokers) {
        (Dialect::MySql, true) => ("", " WITH (security_invoker = true)"),
        (Dialect::MySql, false) => ("", ""),
        (Dialect::Postgres, true) => ("SQL SECURITY INVOKER ", ""),
        (Dialect::Postgres, false) => ("SQL SECURITY DEFINER ", ""),
    }
}
