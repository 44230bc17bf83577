//! What the catalog says of the objects of tables. Texts come from the server's own functions, with every name qualified: the session's search path holds
//! nothing but the catalog.

mod constraints;
mod counters;
mod domains;
mod indexes;
mod others;
mod scripts;

pub(crate) use scripts::{Resting, resting_on};

use std::collections::{BTreeSet, HashMap};

use whimbrel_core::objects::{ColumnDefault, SchemaObjects, TableObjects};
use whimbrel_core::{Engine, Table};

use super::{number, oid_array, text};
use crate::quote::literal;
use crate::wire::{Connection, TextRow, WireError};

const DEFAULTS: &str = "
select d.adrelid, a.attname, pg_get_expr(d.adbin, d.adrelid)
from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
where a.attgenerated = '' and not a.attisdropped and d.adrelid = any($1)
order by d.adrelid, a.attnum";

const COMMENTS: &str = "
select d.objoid, a.attname, d.description
from pg_description d left join pg_attribute a on d.objsubid > 0 and a.attrelid = d.objoid and a.attnum = d.objsubid
where d.classoid = 'pg_class'::regclass and d.objoid = any($1)
order by d.objoid, d.objsubid";

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

/// The tables under description, by the server's number.
pub(super) struct Described {
    places: HashMap<u32, usize>,
    objects: SchemaObjects,
    /// The tables, as a list of the server's numbers.
    oids: String,
    /// The schemas, as a list of literals.
    schemas: String,
}

impl Described {
    async fn of(connection: &mut Connection, tables: &[Table]) -> Result<Self, WireError> {
        let known = tables.iter().filter_map(|table| Some((table, table.id?)));
        let (mut places, mut objects) = (HashMap::new(), SchemaObjects::default());
        let mut own = BTreeSet::new();
        for (table, oid) in known {
            places.insert(oid, objects.tables.len());
            own.insert(literal(&table.name.schema));
            objects
                .tables
                .push(TableObjects::new(Engine::Postgres, table.name.clone()));
        }
        let mut schemas = Vec::new();
        if !own.is_empty() {
            let own: Vec<String> = own.into_iter().collect();
            for row in connection
                .query(&SCHEMAS.replace("$2", &own.join(", ")))
                .await?
            {
                schemas.push(literal(text(&row, 0)?));
            }
        }
        Ok(Self {
            oids: oid_array(places.keys().copied()),
            schemas: schemas.join(", "),
            places,
            objects,
        })
    }

    /// The table that a row is about, by its first column.
    fn table(&mut self, row: &TextRow) -> Result<&mut TableObjects, WireError> {
        let oid = number(row, 0)?;
        let place = self.places.get(&oid).copied();
        place
            .and_then(|place| self.objects.tables.get_mut(place))
            .ok_or_else(|| WireError::Protocol(format!("unasked table {oid}")))
    }

    /// Runs a query in which `$1` stands for the tables and `$2` for the schemas.
    async fn rows(
        &self,
        connection: &mut Connection,
        sql: &str,
    ) -> Result<Vec<TextRow>, WireError> {
        let sql = sql.replace("$1", &self.oids).replace("$2", &self.schemas);
        connection.query(&sql).await
    }
}

/// Describes the objects of tables that were described before.
pub(crate) async fn schema_objects(
    connection: &mut Connection,
    tables: &[Table],
) -> Result<SchemaObjects, WireError> {
    let mut described = Described::of(connection, tables).await?;
    if described.places.is_empty() {
        return Ok(described.objects);
    }
    indexes::read(connection, &mut described).await?;
    constraints::read_foreign_keys(connection, &mut described).await?;
    constraints::read_checks(connection, &mut described).await?;
    read_defaults(connection, &mut described).await?;
    domains::read(connection, &mut described).await?;
    counters::read(connection, &mut described).await?;
    read_comments(connection, &mut described).await?;
    others::read(connection, &mut described).await?;
    scripts::read(connection, &mut described).await?;
    Ok(described.objects)
}

async fn read_defaults(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for row in described.rows(connection, DEFAULTS).await? {
        let native = text(&row, 2)?.to_owned();
        let default = ColumnDefault {
            column: text(&row, 1)?.to_owned(),
            value: None,
            native: Some(native),
            on_update: None,
        };
        described.table(&row)?.defaults.push(default);
    }
    Ok(())
}

async fn read_comments(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for row in described.rows(connection, COMMENTS).await? {
        let comment = text(&row, 2)?.to_owned();
        let column = row.get(1).cloned().flatten();
        let table = described.table(&row)?;
        match column {
            Some(column) => table.column_comments.push((column, comment)),
            None => table.comment = Some(comment),
        }
    }
    Ok(())
}

/// A text that the query may leave NULL.
fn optional(row: &TextRow, column: usize) -> Option<String> {
    row.get(column).cloned().flatten()
}

/// A list of names, given as JSON.
fn names(row: &TextRow, column: usize) -> Result<Vec<String>, WireError> {
    let list = optional(row, column);
    let list = list.as_deref().map_or(Ok(Vec::new()), serde_json::from_str);
    list.map_err(|_| WireError::Protocol("the names of columns are not a list".to_owned()))
}
