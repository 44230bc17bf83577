//! Reads expressions of a catalog into those that mean the same on every engine ([`Expression`]).
//!
//! What is not known to mean the same is not read at all: the answer is `None`, never a guess. The texts come from the servers' own printers, so they are
//! fully qualified, with casts spelled out (PostgreSQL) or names in back-ticks (MySQL, MariaDB).

mod casts;
pub(crate) mod lexer;
mod parser;
mod safety;
mod typing;
mod write;

pub use safety::{compared_columns, is_condition, orders_texts};
pub use typing::check_types;
pub use write::{ExpressionWriter, constant};

use whimbrel_core::objects::{Expression, SchemaObjects};
use whimbrel_core::{ColumnType, Table};

/// Whose SQL a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL's.
    Postgres,
    /// That of MySQL and MariaDB.
    MySql,
}

/// Reads an expression. `type_of` tells the type of a column, by which a cast changes its values or not.
pub fn parse<'t>(
    text: &str,
    dialect: Dialect,
    type_of: &dyn Fn(&str) -> Option<&'t ColumnType>,
) -> Option<Expression> {
    let tokens = lexer::tokens(text, dialect)?;
    parser::Parser::new(&tokens, dialect, type_of).whole()
}

/// Reads the defaults and checks of tables as far as they mean the same everywhere.
pub fn read_all(objects: &mut SchemaObjects, tables: &[Table], dialect: Dialect) {
    for object in &mut objects.tables {
        let Some(table) = tables.iter().find(|table| table.name == object.table) else {
            continue;
        };
        let type_of = |name: &str| {
            let column = table.columns.iter().find(|column| column.name == name);
            column.map(|column| &column.ty)
        };
        let of_domains = &mut object.of_domains;
        for check in object.checks.iter_mut().chain(&mut of_domains.checks) {
            check.condition = parse(&check.native, dialect, &type_of);
        }
        for default in object.defaults.iter_mut().chain(&mut of_domains.defaults) {
            let native = default.native.as_deref();
            default.value = native.and_then(|native| parse(native, dialect, &|_| None));
        }
    }
}

#[cfg(test)]
mod tests;
