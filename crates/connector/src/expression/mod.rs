//! Reads expressions of a catalog into those that mean the same on every engine ([`Expression`]).
//!
//! What is not known to mean the same is not read at all: the answer is `None`, never a guess. The texts come from the servers' own printers, so they are
//! fully qualified, with casts spelled out (PostgreSQL) or names in back-ticks (MySQL, MariaDB).

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

/// Reads an expression. `is_text` tells of a column whether it holds texts that no cast to text changes.
pub fn parse(text: &str, dialect: Dialect, is_text: &dyn Fn(&str) -> bool) -> Option<Expression> {
    let tokens = lexer::tokens(text, dialect)?;
    parser::Parser::new(&tokens, dialect, is_text).whole()
}

/// Reads the defaults and checks of tables as far as they mean the same everywhere.
pub fn read_all(objects: &mut SchemaObjects, tables: &[Table], dialect: Dialect) {
    for object in &mut objects.tables {
        let Some(table) = tables.iter().find(|table| table.name == object.table) else {
            continue;
        };
        let is_text = |name: &str| {
            let column = table.columns.iter().find(|column| column.name == name);
            let holds_text = |ty: &ColumnType| {
                matches!(
                    ty,
                    ColumnType::Varchar { .. } | ColumnType::Text { .. } | ColumnType::Enum { .. }
                )
            };
            column.is_some_and(|column| holds_text(&column.ty))
        };
        for check in &mut object.checks {
            check.condition = parse(&check.native, dialect, &is_text);
        }
        for default in &mut object.defaults {
            let native = default.native.as_deref();
            default.value = native.and_then(|native| parse(native, dialect, &|_| false));
        }
    }
}

#[cfg(test)]
mod tests;
