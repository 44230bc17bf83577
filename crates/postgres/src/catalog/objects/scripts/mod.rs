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

use super::super::oid_array;
use super::{Described, optional};
use crate::quote::literal;
use crate::wire::{Connection, TextRow, WireError};

/// The schemas that belong to a migration: those of its tables, and those without any table, where all schemas that have some take part.
const SCHEMAS: &str = "
with own as (
  select n.oid, n.nspname, exists (select from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p')) as has_tables
  from pg_namespace n
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and n.nspname !~ '^awsdms_'
    and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
)
select o.nspname from own o
where o.nspname in ($2) or not o.has_tables and not exists (select from own other where other.has_tables and other.nspname not in ($2))
order by o.nspname";

/// What the texts are of.
struct Scope {
    /// The tables, as a list of the server's numbers.
    tables: String,
    /// The schemas, as a list of literals.
    schemas: String,
    names: HashMap<String, TableName>,
}

impl Scope {
    async fn of(connection: &mut Connection, described: &Described) -> Result<Self, WireError> {
        let tables = &described.objects.tables;
        let mut schemas: Vec<String> = tables
            .iter()
            .map(|table| literal(&table.table.schema))
            .collect();
        schemas.sort();
        schemas.dedup();
        let sql = SCHEMAS.replace("$2", &schemas.join(", "));
        let rows = connection.query(&sql).await?;
        let schemas: Vec<String> = rows
            .iter()
            .filter_map(|row| optional(row, 0))
            .map(|schema| literal(&schema))
            .collect();
        let names = described
            .places
            .iter()
            .filter_map(|(oid, place)| Some((oid.to_string(), tables.get(*place)?.table.clone())));
        Ok(Self {
            tables: oid_array(described.places.keys().copied()),
            schemas: schemas.join(", "),
            names: names.collect(),
        })
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
    let scope = Scope::of(connection, described).await?;
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
