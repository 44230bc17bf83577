//! What another PostgreSQL makes by this one's own text: extensions, types, routines, views, triggers, rules, policies, privileges, comments.
//!
//! The texts are the server's (`pg_get_viewdef` and its like), with all names qualified: the session looks up names in the catalog's schema alone.

mod code;
mod comments;
mod extensions;
mod grants;
mod of_tables;
mod order;
mod policies;
mod resting;
mod types;

pub(crate) use resting::{Resting, resting_on};

use std::collections::HashMap;

use whimbrel_core::TableName;

use super::{Described, optional};
use crate::quote::literal;
use crate::wire::{Connection, TextRow, WireError};

/// What the texts are of.
struct Scope {
    /// The tables, as a list of the server's numbers.
    tables: String,
    /// The schemas, as a list of literals.
    schemas: String,
    names: HashMap<String, TableName>,
}

impl Scope {
    fn of(described: &Described) -> Self {
        let tables = &described.objects.tables;
        let names = described
            .places
            .iter()
            .filter_map(|(oid, place)| Some((oid.to_string(), tables.get(*place)?.table.clone())));
        Self {
            tables: described.oids.clone(),
            schemas: described.schemas.clone(),
            names: names.collect(),
        }
    }

    /// Runs a query in which `$1` stands for the tables and `$2` for the schemas.
    async fn rows(
        &self,
        connection: &mut Connection,
        sql: &str,
    ) -> Result<Vec<TextRow>, WireError> {
        let sql = sql.replace("$1", &self.tables).replace("$2", &self.schemas);
        connection.query(&sql).await
    }

    /// The table that the server's number in a column is of.
    fn table(&self, row: &TextRow, column: usize) -> Option<TableName> {
        self.names.get(&optional(row, column)?).cloned()
    }
}

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let scope = Scope::of(described);
    let mut scripts = extensions::read(connection, &scope).await?;
    let (types, other_types) = types::read(connection, &scope).await?;
    let code = code::read(connection, &scope).await?;
    let others = &mut described.objects.others;
    others.extend(other_types.into_iter().chain(code.others));
    scripts.extend(types);
    scripts.extend(code.scripts.into_iter().map(|(_, script)| script));
    scripts.extend(of_tables::read(connection, &scope).await?);
    scripts.extend(policies::read(connection, &scope).await?);
    let guards = policies::guards(connection, &scope).await?;
    scripts.extend(grants::read(connection, &scope, (&code.likenesses, &guards)).await?);
    scripts.extend(comments::read(connection, &scope).await?);
    described.objects.scripts = scripts;
    Ok(())
}

/// A query that gives a row if a role exists.
fn role_exists(role: &str) -> String {
    format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(role))
}
